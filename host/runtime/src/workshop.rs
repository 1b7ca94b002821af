//! From a provider's configuration to a provider: finds, loads and makes it. At most one making of each name is inside a
//! plugin, however often it is tried again.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use longshore_config::{Isolation, ProviderConfig};
use longshore_providers::{
    CallLimits, CreateError, Housing, Library, LoadError, Located, NotFound, Provider, RunnerProgram,
    RunnerSetup, Sealed, SearchPath, Shelf, Verified, locate,
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{error::ApplyError, quarantine::Quarantines};

/// Where the code of a provider runs whose configuration does not say, in a host that has a program for runners.
pub const DEFAULT_ISOLATION: Isolation = Isolation::Subprocess;

/// Where a host finds plugins, and what it runs them with.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// The folders that they are looked for in.
    pub search: SearchPath,
    /// The program that they run in, where they run in processes of their own; without it they all run in this one.
    pub runner: Option<RunnerProgram>,
    /// Where those are kept that operators give to the host; one that keeps no state has none.
    pub shelf: Option<Arc<Shelf>>,
}

impl From<SearchPath> for Plugins {
    fn from(search: SearchPath) -> Self {
        Self { search, ..Self::default() }
    }
}

impl Plugins {
    /// The file of a plugin. Blocks.
    pub(crate) fn locate(&self, plugin: &str) -> Result<Located, NotFound> {
        locate(&self.search, self.shelf.as_deref(), plugin)
    }

    /// Looks at what was read from a path, in a process that is thrown away where there is a program for that. Blocks.
    pub(crate) fn examine(&self, path: &Path, verified: &Verified) -> Result<Arc<Library>, LoadError> {
        let sealed = Sealed::of(path, verified)?;
        match &self.runner {
            Some(program) => Library::examine(sealed, program),
            None => Library::load(sealed),
        }
    }
}

/// Where providers are made.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) plugins: Plugins,
    /// By the provider's name. Who has the one place has a thread inside the plugin.
    benches: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

impl Workshop {
    pub(crate) fn new(plugins: Plugins) -> Self {
        Self { plugins, benches: Arc::default() }
    }

    /// Where the code of a provider is to run.
    pub(crate) fn isolation(&self, wanted: &ProviderConfig) -> Isolation {
        let unless_said =
            if self.plugins.runner.is_some() { DEFAULT_ISOLATION } else { Isolation::InProcess };
        wanted.isolation.unwrap_or(unless_said)
    }

    fn housing(&self, wanted: &ProviderConfig) -> Result<Housing, ApplyError> {
        match (self.isolation(wanted), &self.plugins.runner) {
            (Isolation::InProcess, _) => Ok(Housing::InProcess),
            (Isolation::Subprocess, Some(program)) => Ok(Housing::Runner(RunnerSetup {
                program: program.clone(),
                confine: wanted.confine.clone(),
                quarantined: None,
            })),
            (Isolation::Subprocess, None) => Err(ApplyError::NoRunner { provider: wanted.name.clone() }),
        }
    }

    /// Finds, loads and makes a provider that was there before.
    pub(crate) async fn bring_up(
        &self,
        wanted: &ProviderConfig,
        quarantines: &Arc<Quarantines>,
    ) -> Result<Arc<Provider>, ApplyError> {
        let library = self.open_again(wanted, quarantines).await?;
        self.make(wanted, &library).await
    }

    /// Finds a provider's plugin and looks at it, if it is what the provider's configuration demands.
    pub(crate) async fn open_library(&self, wanted: &ProviderConfig) -> Result<Arc<Library>, ApplyError> {
        self.open(wanted, |_| Ok(())).await
    }

    /// The same for a provider that was there before, unless that ended in a quarantine.
    pub(crate) async fn open_again(
        &self,
        wanted: &ProviderConfig,
        quarantines: &Arc<Quarantines>,
    ) -> Result<Arc<Library>, ApplyError> {
        let (provider, quarantines) = (wanted.name.clone(), Arc::clone(quarantines));
        self.open(wanted, move |hash| quarantines.admit_again(&provider, hash)).await
    }

    /// Finds a plugin and looks at it; before any of its code runs, `admit` is asked about its hash.
    async fn open(
        &self,
        wanted: &ProviderConfig,
        admit: impl FnOnce(&str) -> Result<(), ApplyError> + Send + 'static,
    ) -> Result<Arc<Library>, ApplyError> {
        let (plugins, wanted) = (self.plugins.clone(), wanted.clone());
        // Away from the runtime's own threads: folders may be slow, and a plugin may take its time.
        let opening = spawn_blocking(move || {
            let provider = || wanted.name.clone();
            let not_loaded = |why| ApplyError::Load { provider: provider(), why: Box::new(why) };
            let located = plugins.locate(&wanted.plugin);
            let located =
                located.map_err(|why| ApplyError::NotFound { provider: provider(), why: Box::new(why) })?;
            let verified = located.verify(&wanted.trust).map_err(not_loaded)?;
            admit(&verified.hash)?;
            plugins.examine(located.path(), &verified).map_err(not_loaded)
        });
        opening.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    pub(crate) async fn make(
        &self,
        wanted: &ProviderConfig,
        library: &Arc<Library>,
    ) -> Result<Arc<Provider>, ApplyError> {
        let housing = self.housing(wanted)?;
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
        let config = wanted.config.clone();
        let made = Provider::create_in(&housing, library, &wanted.name, config, limits, place).await;
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
