//! From a provider's configuration to a provider: finds, loads and makes it. At most one making of each name is inside a
//! plugin, however often it is tried again.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use longshore_config::{Isolation, ProviderConfig};
use longshore_providers::{
    BreakerLimits, CallLimits, CreateError, Housing, Library, LoadError, Provider, RunnerProgram,
    RunnerSetup, Sealed, SearchPath,
};
use tokio::{sync::Semaphore, time::timeout};

use crate::error::ApplyError;

/// Where the code of a provider runs whose configuration does not say, in a host that has a program for runners.
pub const DEFAULT_ISOLATION: Isolation = Isolation::Subprocess;

/// Where a host finds plugins, and what it runs them with.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// The folders that they are looked for in.
    pub search: SearchPath,
    /// The program that they run in, where they run in processes of their own; without it they all run in this one.
    pub runner: Option<RunnerProgram>,
    /// When a provider's calls are held back because nothing but failures came of them.
    pub breaker: BreakerLimits,
}

impl From<SearchPath> for Plugins {
    fn from(search: SearchPath) -> Self {
        Self { search, ..Self::default() }
    }
}

/// Where providers are made.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) search: SearchPath,
    runner: Option<RunnerProgram>,
    breaker: BreakerLimits,
    /// By the provider's name. Who has the one place has a thread inside the plugin.
    benches: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

impl Workshop {
    pub(crate) fn new(plugins: Plugins) -> Self {
        let Plugins { search, runner, breaker } = plugins;
        Self { search, runner, breaker, benches: Arc::default() }
    }

    /// Where the code of a provider is to run.
    pub(crate) fn isolation(&self, wanted: &ProviderConfig) -> Isolation {
        let unless_said = if self.runner.is_some() { DEFAULT_ISOLATION } else { Isolation::InProcess };
        wanted.isolation.unwrap_or(unless_said)
    }

    fn housing(&self, wanted: &ProviderConfig) -> Result<Housing, ApplyError> {
        match (self.isolation(wanted), &self.runner) {
            (Isolation::InProcess, _) => Ok(Housing::InProcess),
            (Isolation::Subprocess, Some(program)) => Ok(Housing::Runner(RunnerSetup {
                program: program.clone(),
                confine: wanted.confine.clone(),
                quarantined: None,
            })),
            (Isolation::Subprocess, None) => Err(ApplyError::NoRunner { provider: wanted.name.clone() }),
        }
    }

    /// Finds, loads and makes a provider.
    pub(crate) async fn bring_up(&self, wanted: &ProviderConfig) -> Result<Arc<Provider>, ApplyError> {
        let library = self.open_library(wanted).await?;
        self.make(wanted, &library).await
    }

    pub(crate) async fn open_library(&self, wanted: &ProviderConfig) -> Result<Arc<Library>, ApplyError> {
        let provider = wanted.name.clone();
        let path = self
            .search
            .find(&wanted.plugin)
            .map_err(|why| ApplyError::NotFound { provider: provider.clone(), why: Box::new(why) })?;
        load(path, self.runner.clone()).await.map_err(|why| ApplyError::Load { provider, why: Box::new(why) })
    }

    pub(crate) async fn make(
        &self,
        wanted: &ProviderConfig,
        library: &Arc<Library>,
    ) -> Result<Arc<Provider>, ApplyError> {
        let housing = self.housing(wanted)?;
        let mut limits = CallLimits { breaker: Some(self.breaker), ..CallLimits::default() };
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

/// Reads a library and looks at it, in a process that is thrown away where there is a program for that: away from the
/// runtime's own threads, for it may take its time.
async fn load(path: PathBuf, runner: Option<RunnerProgram>) -> Result<Arc<Library>, LoadError> {
    let opening = tokio::task::spawn_blocking(move || {
        let sealed = Sealed::read(&path)?;
        match &runner {
            Some(program) => Library::examine(sealed, program),
            None => Library::load(sealed),
        }
    });
    opening.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
