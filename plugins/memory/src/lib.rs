//! A provider whose workers exist in memory alone, for tests and benchmarks.
//!
//! It is deterministic: what a worker does next depends on its configuration, on how often its status was asked, and, only
//! where the configuration says so, on the clock. Nothing listens on a server's address, and no command is run.

mod settings;
mod store;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use longshore_plugin_api::{
    Cleanup, Context, Error, Initialize, Killed, Launch, List, ListedHandle, Log, Provider, RunRequest,
    Server, ServerAddress, ServerRequest, WorkerStatus, export_provider, tracing,
};

use settings::Function;
pub use settings::{After, FailureKind, Failures, Lifetime, PerFunction, Settings};
use store::SharedStore;
use worker::{Rules, Worker};

/// The provider.
#[derive(Debug)]
pub struct Memory {
    settings: Settings,
    rules: Rules,
    store: SharedStore,
    /// How often each function was called.
    calls: [AtomicU64; Function::COUNT],
}

impl Memory {
    /// Makes one call of a function: waits as long as it is to take, does its `work`, fails where it is to fail.
    fn call<T>(
        &self,
        ctx: &Context<'_>,
        function: Function,
        work: impl FnOnce(Instant) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let number = self.calls[function as usize].fetch_add(1, Ordering::Relaxed) + 1;
        match *self.settings.latency_ms.of(function) {
            0 => ctx.check()?,
            ms => ctx.sleep(Duration::from_millis(ms))?,
        }
        match self.settings.fail.of(function) {
            Some(failures) if failures.hit(number) => {
                if failures.takes_effect {
                    work(Instant::now())?;
                }
                Err(failures.error(number))
            }
            _ => work(Instant::now()),
        }
    }

    /// Looks at the handles without being an observation, so that a predicate changes no status.
    fn peek(&self, ctx: &Context<'_>, handles: &[&str], wanted: WorkerStatus) -> Result<Vec<bool>, Error> {
        self.call(ctx, Function::Status, |now| {
            let found = self.store.lock().status(handles, |worker, rules| worker.peek(rules, now));
            Ok(found.iter().map(|status| *status == wanted).collect())
        })
    }
}

impl Provider for Memory {
    const NAME: &'static str = "memory";
    const IDEMPOTENT_RUN: bool = true;
    type Config = Settings;

    fn create(settings: Settings, _log: Log) -> Result<Self, Error> {
        settings.check()?;
        let store = match &settings.store {
            Some(name) => SharedStore::named(name)?,
            None => SharedStore::default(),
        };
        Ok(Self { rules: Rules::new(&settings), store, calls: Default::default(), settings })
    }

    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        self.call(ctx, Function::Run, |now| {
            let limits = (self.rules, self.settings.capacity);
            let launch = self.store.lock().launch(ctx.cluster(), request, limits, now)?;
            tracing::debug!(token = %request.token, workers = launch.handles.len(), "launched");
            Ok(launch)
        })
    }

    fn status(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        self.call(ctx, Function::Status, |now| {
            Ok(self.store.lock().status(handles, |worker, rules| worker.observe(rules, now)))
        })
    }

    fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        self.call(ctx, Function::Kill, |now| {
            let killed = self.store.lock().kill(handles, now);
            tracing::debug!(handles = handles.len(), "killed");
            Ok(killed)
        })
    }

    fn is_initializing(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.peek(ctx, handles, WorkerStatus::Initializing)
    }

    fn is_running(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.peek(ctx, handles, WorkerStatus::Running)
    }

    fn is_stopped(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.peek(ctx, handles, WorkerStatus::Stopped)
    }
}

impl Initialize for Memory {
    fn initialize(&self, ctx: &Context<'_>) -> Result<(), Error> {
        self.call(ctx, Function::Initialize, |_| {
            self.store.lock().initialize(ctx.cluster());
            Ok(())
        })
    }
}

impl List for Memory {
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error> {
        self.call(ctx, Function::List, |now| Ok(self.store.lock().list(ctx.cluster(), now)))
    }
}

impl Server for Memory {
    fn run_server(&self, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
        self.call(ctx, Function::Server, |now| {
            self.store.lock().run_server(ctx.cluster(), request.port, self.rules, now)
        })
    }

    fn stop_server(&self, ctx: &Context<'_>) -> Result<(), Error> {
        self.call(ctx, Function::Server, |now| {
            self.store.lock().stop_server(ctx.cluster(), now);
            Ok(())
        })
    }

    fn server_status(&self, ctx: &Context<'_>) -> Result<WorkerStatus, Error> {
        self.call(ctx, Function::Server, |now| {
            let look = |worker: &mut Worker, rules: &Rules| worker.observe(rules, now);
            Ok(self.store.lock().server_status(ctx.cluster(), look))
        })
    }

    /// A name that no resolver knows (RFC 6761), since nothing listens there, and the port of the request.
    fn server_address(&self, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error> {
        self.call(ctx, Function::Server, |now| {
            let look = |worker: &mut Worker, rules: &Rules| worker.peek(rules, now);
            let mut store = self.store.lock();
            let running = store.server_status(ctx.cluster(), look) == WorkerStatus::Running;
            let host = format!("{}.memory.invalid", ctx.cluster());
            Ok(running.then(|| ServerAddress { host, port: store.server_port(ctx.cluster()) }))
        })
    }
}

impl Cleanup for Memory {
    fn cleanup(&self, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
        self.call(ctx, Function::Cleanup, |now| {
            self.store.lock().cleanup(ctx.cluster(), deep, now);
            Ok(())
        })
    }
}

export_provider!(Memory, capabilities = [Initialize, List, Server, Cleanup]);
