//! From a provider's configuration to a provider: finds, loads and makes it. At most one making of each name is inside a
//! plugin, however often it is tried again.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use longshore_config::ProviderConfig;
use longshore_providers::{CallLimits, CreateError, Library, LoadError, Provider, SearchPath};
use tokio::{sync::Semaphore, time::timeout};

use crate::{error::ApplyError, quarantine::Quarantines};

/// Where providers are made.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) search: SearchPath,
    /// By the provider's name. Who has the one place has a thread inside the plugin.
    benches: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

impl Workshop {
    pub(crate) fn new(search: SearchPath) -> Self {
        Self { search, benches: Arc::default() }
    }

    /// Finds, loads and makes a provider that was there before.
    pub(crate) async fn bring_up(
        &self,
        wanted: &ProviderConfig,
        quarantines: &Quarantines,
    ) -> Result<Arc<Provider>, ApplyError> {
        let library = self.open_library(wanted).await?;
        quarantines.admit_again(&wanted.name, &library)?;
        self.make(wanted, &library).await
    }

    pub(crate) async fn open_library(&self, wanted: &ProviderConfig) -> Result<Arc<Library>, ApplyError> {
        let provider = wanted.name.clone();
        let path = self
            .search
            .find(&wanted.plugin)
            .map_err(|why| ApplyError::NotFound { provider: provider.clone(), why: Box::new(why) })?;
        load(path).await.map_err(|why| ApplyError::Load { provider, why: Box::new(why) })
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

/// Loads a library away from the runtime's own threads: the system's loader may take its time.
async fn load(path: PathBuf) -> Result<Arc<Library>, LoadError> {
    let opening = tokio::task::spawn_blocking(move || Library::open(&path));
    opening.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
