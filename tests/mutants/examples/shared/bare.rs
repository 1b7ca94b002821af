//! An honest provider with nothing optional: no `list`, no second `run` of one token. A host that loses a reply of it can
//! never learn what became of the workers.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use longshore_plugin_api::{Context, Error, Killed, Launch, Log, Provider, RunRequest, WorkerStatus};
use schemars::JsonSchema;
use serde::Deserialize;

/// The settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// How many runs, from the first one on, take effect and then say that they do not know whether they did.
    lose_replies: u64,
}

/// The provider.
#[derive(Debug)]
pub(crate) struct Bare {
    settings: Settings,
    runs: AtomicU64,
    live: Mutex<BTreeSet<String>>,
    tokens: Mutex<BTreeSet<String>>,
}

impl Bare {
    fn live(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Bare {
    const NAME: &'static str = "bare";
    type Config = Settings;

    fn create(settings: Settings, _log: Log) -> Result<Self, Error> {
        Ok(Self { settings, runs: AtomicU64::new(0), live: Mutex::default(), tokens: Mutex::default() })
    }

    fn run(&self, _ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if !tokens.insert(request.token.to_string()) {
            return Err(Error::permanent(format_args!("the token {} has launched already", request.token)));
        }
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let mut handles = Vec::new();
        for (index, workers) in request.containers().enumerate() {
            let handle = format!("{}.{index}", request.token);
            handles.extend(std::iter::repeat_n(handle.clone(), workers as usize));
            self.live().insert(handle);
        }
        if run < self.settings.lose_replies {
            return Err(Error::unknown("the reply was lost"));
        }
        Ok(Launch::complete(handles))
    }

    fn status(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        let live = self.live();
        let status = |known| if known { WorkerStatus::Running } else { WorkerStatus::Stopped };
        Ok(handles.iter().map(|handle| status(live.contains(*handle))).collect())
    }

    fn kill(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        let mut live = self.live();
        for handle in handles {
            live.remove(*handle);
        }
        Ok(vec![Killed::Yes; handles.len()])
    }
}
