//! From a provider's configuration to a provider: finds, loads and makes it. At most one making of each name is inside a
//! plugin, however often it is tried again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use longshore_config::ProviderConfig;
use longshore_providers::{
    CallLimits, CreateError, Examine, Library, Located, NotFound, Provider, SearchPath, Shelf, locate,
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::error::ApplyError;

/// Where a host has its plugins from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The folders that it looks for plugins in.
    pub search: SearchPath,
    /// Where it keeps those that operators give to it; a host that keeps no state has none.
    pub shelf: Option<Arc<Shelf>>,
    /// Who looks at plugins that nobody has asked to be loaded; without it, none of their code is run before.
    pub examiner: Option<Arc<dyn Examine>>,
}

/// Folders alone.
impl From<SearchPath> for Sources {
    fn from(search: SearchPath) -> Self {
        Self { search, ..Self::default() }
    }
}

impl Sources {
    /// The file of a plugin. Blocks.
    pub(crate) fn locate(&self, plugin: &str) -> Result<Located, NotFound> {
        locate(&self.search, self.shelf.as_deref(), plugin)
    }
}

/// Where providers are made.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) sources: Sources,
    /// By the provider's name. Who has the one place has a thread inside the plugin.
    benches: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

impl Workshop {
    pub(crate) fn new(sources: Sources) -> Self {
        Self { sources, benches: Arc::default() }
    }

    /// Finds, loads and makes a provider.
    pub(crate) async fn bring_up(&self, wanted: &ProviderConfig) -> Result<Arc<Provider>, ApplyError> {
        let library = self.open_library(wanted).await?;
        self.make(wanted, &library).await
    }

    /// Finds a provider's plugin and loads it, if it is what the provider's configuration demands.
    pub(crate) async fn open_library(&self, wanted: &ProviderConfig) -> Result<Arc<Library>, ApplyError> {
        let (sources, wanted) = (self.sources.clone(), wanted.clone());
        // Away from the runtime's own threads: folders may be slow, and the system's loader may take its time.
        let opening = spawn_blocking(move || {
            let provider = || wanted.name.clone();
            let located = sources.locate(&wanted.plugin);
            let located =
                located.map_err(|why| ApplyError::NotFound { provider: provider(), why: Box::new(why) })?;
            let verified = located.verify(&wanted.trust);
            let library = verified.and_then(|verified| Library::open_verified(located.path(), verified));
            library.map_err(|why| ApplyError::Load { provider: provider(), why: Box::new(why) })
        });
        opening.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    pub(crate) async fn make(
        &self,
        wanted: &ProviderConfig,
        library: &Arc<Library>,
    ) -> Result<Arc<Provider>, ApplyError> {
        let mut limits = CallLimits::default();
        if let Some(threads) = wanted.threads {
            limits.threads = threads as usize;
        }
        if let Some(create) = wanted.create_timeout {
            limits.create = create;
        }
        // The semaphores are never closed.
        let place = timeout(limits.create, self.bench(&wanted.name).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            let (provider, waited) = (wanted.name.clone(), limits.create);
            return Err(ApplyError::StillBeingMade { provider, waited });
        };
        let made =
            Provider::create_holding(library, &wanted.name, wanted.config.clone(), limits, place).await;
        made.map_err(|why| failed(wanted, why))
    }

    fn bench(&self, provider: &str) -> Arc<Semaphore> {
        let mut benches = self.benches.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody works at is put away.
        benches.retain(|_, bench| Arc::strong_count(bench) > 1 || bench.available_permits() == 0);
        Arc::clone(benches.entry(provider.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

pub(crate) fn failed(wanted: &ProviderConfig, why: CreateError) -> ApplyError {
    ApplyError::Create { provider: wanted.name.clone(), why: Box::new(why) }
}
