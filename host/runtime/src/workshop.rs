//! From a provider's configuration to a provider: finds, loads and makes it. At most one making of each name is inside a
//! plugin, however often it is tried again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use longshore_config::{Isolation, ProviderConfig, Trust};
use longshore_providers::{
    BreakerLimits, CallLimits, CreateError, Housing, Library, LoadError, Located, NotFound, Provider,
    RunnerProgram, RunnerSetup, Sealed, SearchPath, Shelf, Verified, locate,
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{
    definition::{Definition, Origin, Swapped},
    error::ApplyError,
    quarantine::Quarantines,
    registry::Made,
};

/// A provider that was made as the journal has it.
pub(crate) struct Risen {
    pub(crate) provider: Arc<Provider>,
    /// What is so of an earlier swap.
    pub(crate) swapped: Option<Swapped>,
    /// What should have served.
    pub(crate) left: Option<Left>,
}

/// A library that the journal has as serving, and that another one serves in the place of.
pub(crate) struct Left {
    pub(crate) origin: Origin,
    /// Why.
    pub(crate) why: String,
}

/// What an attempt to make a provider failed at, and with which library where it came so far.
pub(crate) struct Failed {
    pub(crate) library: Option<Arc<Library>>,
    pub(crate) error: ApplyError,
}

impl From<ApplyError> for Failed {
    fn from(error: ApplyError) -> Self {
        Self { library: None, error }
    }
}

/// The library of a provider as the journal has it, or of what takes its place.
struct Opened {
    library: Arc<Library>,
    swapped: Option<Swapped>,
    left: Option<Left>,
}

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
    /// When a provider's calls are held back because nothing but failures came of them.
    pub breaker: BreakerLimits,
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
            (Isolation::Subprocess, Some(program)) => {
                Ok(Housing::Runner(RunnerSetup { program: program.clone(), confine: wanted.confine.clone() }))
            }
            (Isolation::Subprocess, None) => Err(ApplyError::NoRunner { provider: wanted.name.clone() }),
        }
    }

    /// Finds, loads and makes a provider as the journal has it.
    pub(crate) async fn bring_up(
        &self,
        wanted: &Definition,
        quarantines: &Quarantines,
    ) -> Result<Risen, Failed> {
        let config = &wanted.config;
        let Opened { library, swapped, left } = self.open_again(wanted, quarantines).await?;
        let error = match self.make(config, &library).await {
            Ok(provider) => return Ok(Risen { provider, swapped, left }),
            Err(error) => error,
        };
        // One that is still on trial is not waited for: the one before is the safe one.
        let Some(Swapped { serving, before: Some(before), trial: Some(_), given_up }) = swapped else {
            return Err(Failed { library: Some(library), error });
        };
        let provider = &config.name;
        tracing::error!(provider, "the new version is given up, for it cannot be made: {error}");
        let library = self.open_exact(config, &before, Some(quarantines)).await?;
        let made = self.make(config, &library).await;
        let provider = made.map_err(|error| Failed { library: Some(library), error })?;
        let given_up = given_up.and(&serving.hash);
        let left = Some(Left { origin: serving, why: format!("it could not be made: {error}") });
        let swapped = Some(Swapped { serving: before, before: None, trial: None, given_up });
        Ok(Risen { provider, swapped, left })
    }

    /// The library of a provider as the journal has it, unless that ended in a quarantine, and what is so of an earlier swap.
    /// Where a swap's library is not to be had any more, the next best serves: that which was there before, or what the
    /// configuration names.
    async fn open_again(&self, wanted: &Definition, quarantines: &Quarantines) -> Result<Opened, ApplyError> {
        let Definition { config, swapped } = wanted;
        let provider = &config.name;
        let mut why = swapped.iter().find_map(Swapped::why_not_again);
        let left = |library: &Library, why: Option<String>| {
            let origin = swapped.as_ref().map(|it| it.serving.clone());
            let (origin, why) = origin.filter(|it| it.hash != library.hash()).zip(why)?;
            Some(Left { origin, why })
        };
        for origin in swapped.iter().flat_map(Swapped::choices) {
            match self.open_exact(config, origin, Some(quarantines)).await {
                Ok(library) => {
                    let left = left(&library, why);
                    let swapped = swapped.clone().map(|swapped| swapped.begun_with(origin));
                    return Ok(Opened { library, swapped, left });
                }
                // It is there, and waits for an operator.
                Err(quarantined @ ApplyError::Quarantined { .. }) => return Err(quarantined),
                Err(error) => {
                    let version = &origin.version;
                    tracing::warn!(provider, version, "the library that served is not to be had: {error}");
                    why.get_or_insert_with(|| format!("its library is not to be had: {error}"));
                }
            }
        }
        let library = self.open(config, |hash| quarantines.admit_again(provider, hash)).await?;
        let left = left(&library, why);
        Ok(Opened { library, swapped: None, left })
    }

    /// Finds a provider's plugin and looks at it, if it is what the provider's configuration demands and is not quarantined.
    /// What runs already without harm, `current`, may run.
    pub(crate) async fn open_library(
        &self,
        wanted: &ProviderConfig,
        current: Option<&Made>,
        quarantines: &Quarantines,
    ) -> Result<Arc<Library>, ApplyError> {
        let running = current.and_then(|made| Some(made.as_ref().ok()?.library().hash()));
        self.open(wanted, |hash| match running {
            Some(running) if running == hash => Ok(()),
            _ => quarantines.admit(&wanted.name, hash),
        })
        .await
    }

    /// Finds a provider's plugin and looks at it, if it is what the provider's configuration demands and `admit` lets that be
    /// run: it is asked before any of the code runs, wherever that would be.
    async fn open(
        &self,
        wanted: &ProviderConfig,
        admit: impl Fn(&str) -> Result<(), ApplyError>,
    ) -> Result<Arc<Library>, ApplyError> {
        let (located, verified) = self.read(wanted).await?;
        admit(&verified.hash)?;
        self.look_at(wanted, located, verified).await
    }

    /// Finds a provider's plugin, and reads it if it is what the provider's configuration demands.
    async fn read(&self, wanted: &ProviderConfig) -> Result<(Located, Verified), ApplyError> {
        let (plugins, wanted) = (self.plugins.clone(), wanted.clone());
        apart(move || {
            let provider = || wanted.name.clone();
            let located = plugins.locate(&wanted.plugin);
            let located =
                located.map_err(|why| ApplyError::NotFound { provider: provider(), why: Box::new(why) })?;
            let verified = located.verify(&wanted.trust).map_err(|why| not_loaded(&wanted, why))?;
            Ok((located, verified))
        })
        .await
    }

    /// Looks at what was read.
    async fn look_at(
        &self,
        wanted: &ProviderConfig,
        located: Located,
        verified: Verified,
    ) -> Result<Arc<Library>, ApplyError> {
        let plugins = self.plugins.clone();
        let looking = apart(move || plugins.examine(located.path(), &verified));
        looking.await.map_err(|why| not_loaded(wanted, why))
    }

    /// A library that this or an earlier host had before: from its file where that is the same still, or from the shelf. Whoever
    /// calls has seen to it that it is not quarantined.
    pub(crate) async fn open_exactly(
        &self,
        config: &ProviderConfig,
        origin: &Origin,
    ) -> Result<Arc<Library>, ApplyError> {
        self.open_exact(config, origin, None).await
    }

    async fn open_exact(
        &self,
        config: &ProviderConfig,
        origin: &Origin,
        quarantines: Option<&Quarantines>,
    ) -> Result<Arc<Library>, ApplyError> {
        let trust = Trust { sha256: Some(origin.hash.clone()), ..config.trust.clone() };
        let plugin = origin.path.to_string_lossy().into_owned();
        let wanted = ProviderConfig { plugin, trust, ..config.clone() };
        // Whoever has asked already, for that hash, need not ask again.
        let admit = |hash: &str| quarantines.map_or(Ok(()), |it| it.admit_again(&config.name, hash));
        let error = match self.open(&wanted, admit).await {
            Ok(library) => return Ok(library),
            Err(error) => error,
        };
        let Some(path) = self.shelved(origin.hash.clone()).await else { return Err(error) };
        let plugin = path.to_string_lossy().into_owned();
        self.open(&ProviderConfig { plugin, ..wanted }, admit).await
    }

    /// Where the shelf has what has that hash.
    async fn shelved(&self, hash: String) -> Option<PathBuf> {
        let shelf = self.plugins.shelf.clone()?;
        let looking = apart(move || {
            let contents = shelf.contents().ok()?;
            contents.shelved.into_iter().find(|shelved| shelved.hash == hash).map(|shelved| shelved.path)
        });
        looking.await
    }

    pub(crate) async fn make(
        &self,
        wanted: &ProviderConfig,
        library: &Arc<Library>,
    ) -> Result<Arc<Provider>, ApplyError> {
        let housing = self.housing(wanted)?;
        let mut limits = CallLimits { breaker: Some(self.plugins.breaker), ..CallLimits::default() };
        if let Some(threads) = wanted.threads {
            limits.threads = threads as usize;
        }
        if let Some(create) = wanted.create_timeout {
            limits.create = create;
        }
        if let Some(grace) = wanted.hang_grace {
            limits.hang_grace = grace;
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

fn not_loaded(wanted: &ProviderConfig, why: LoadError) -> ApplyError {
    ApplyError::Load { provider: wanted.name.clone(), why: Box::new(why) }
}

/// Does what may take its time away from the runtime's own threads: folders may be slow, and a plugin as well.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
