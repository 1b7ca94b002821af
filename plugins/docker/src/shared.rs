//! What all calls of a provider share, and how a call of the host, which blocks, waits for what is asynchronous.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use longshore_plugin_api::{Context, Error, Log};
use tokio::{
    runtime::Handle,
    sync::{Mutex as Turn, OwnedMutexGuard, Semaphore},
};

use crate::{ending::Endings, engine::Engine, labels::Place, pull::Pulls, settings::Settings};

/// How often to look whether a call was cancelled.
const LOOK: Duration = Duration::from_millis(20);

/// What all calls of a provider share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) engine: Engine,
    pub(crate) pulls: Pulls,
    pub(crate) endings: Endings,
    /// Who may create or start a container now.
    pub(crate) makers: Arc<Semaphore>,
    turns: Mutex<HashMap<String, Weak<Turn<()>>>>,
    runtime: Handle,
    log: Log,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(settings: Settings, runtime: Handle, log: Log) -> Result<Self, Error> {
        Ok(Self {
            engine: Engine::new(&settings.endpoint, settings.connect_timeout)?,
            pulls: Pulls::default(),
            endings: Endings::new(settings.parallel),
            makers: Arc::new(Semaphore::new(settings.parallel)),
            turns: Mutex::default(),
            runtime,
            log,
            settings,
        })
    }

    /// A cluster of this provider's.
    pub(crate) fn place(&self, cluster: &str) -> Place {
        Place::new(self.settings.namespace(), cluster)
    }

    /// Does something on the thread of the call.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The same for what only reads: it is given up when the call is over.
    pub(crate) fn read<T>(
        &self,
        ctx: &Context<'_>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        ctx.check()?;
        self.block_on(async {
            tokio::select! {
                answer = work => answer,
                error = over(ctx) => Err(if ctx.is_cancelled() { error } else {
                    let text = format!("the engine at {} did not answer in time: {}", self.settings.endpoint, error.message());
                    Error::unreachable(text)
                }),
            }
        })
    }

    /// Does something beside the calls; it is given up when the provider is dropped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }

    /// Says something in the host's log from a task that is not inside a call.
    pub(crate) fn say(&self, event: impl FnOnce()) {
        self.log.scope(event);
    }

    /// Waits until nobody else of this provider is at what has this name.
    ///
    /// # Errors
    ///
    /// The call is over before.
    pub(crate) async fn turn(&self, ctx: &Context<'_>, name: String) -> Result<OwnedMutexGuard<()>, Error> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(&name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(name, Arc::downgrade(&turn));
                turn
            })
        };
        tokio::select! {
            biased;
            guard = turn.lock_owned() => Ok(guard),
            error = over(ctx) => Err(error),
        }
    }

    /// Whether somebody of this provider is at something whose name begins so.
    pub(crate) fn is_busy(&self, begin: &str) -> bool {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.iter().any(|(name, turn)| turn.strong_count() > 0 && name.starts_with(begin))
    }
}

/// Waits until a call is cancelled or out of time.
pub(crate) async fn over(ctx: &Context<'_>) -> Error {
    loop {
        if let Err(error) = ctx.check() {
            return error;
        }
        tokio::time::sleep(LOOK.min(ctx.remaining())).await;
    }
}

/// Does something that may be cut off in the middle, and is when the call is over.
pub(crate) async fn unless_over<T>(
    ctx: &Context<'_>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        done = work => done,
        error = over(ctx) => Err(error),
    }
}
