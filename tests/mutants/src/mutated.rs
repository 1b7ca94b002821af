//! The specimen with what a mutation changes at its surface: an answer that is other than the truth, or something that is
//! done beside what was asked for. Without a mutation every call is handed on as it is.

mod answers;
mod effects;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use longshore_plugin_api::{
    Cleanup, Context, Error, Initialize, Killed, Launch, List, ListedHandle, Log, Provider, RunRequest,
    Server, ServerAddress, ServerRequest, WorkerStatus,
};

pub(crate) use self::answers::is_odd;
use crate::{
    crash::{Crash, How},
    mutation::Mutation,
    settings::Function,
    specimen::{Config, Specimen},
};

/// The provider.
#[derive(Debug)]
pub(crate) struct Mutated {
    honest: Specimen,
    bend: Option<Mutation>,
    /// The panics that the export macro contains.
    crashes: Vec<Crash>,
    memory: Memory,
}

/// What mutants remember; an honest specimen remembers nothing.
#[derive(Debug, Default)]
struct Memory {
    /// How many runs are under way.
    runs: AtomicU64,
    calls: AtomicU64,
    /// Whether a call is under way.
    busy: AtomicBool,
    has_failed: AtomicBool,
    /// How many instances had been dropped when this one was made.
    generation: u64,
    lock: Mutex<()>,
    state: Mutex<State>,
    stop: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each handle was asked for, or killed.
    asked: HashMap<String, u32>,
    killed: HashMap<String, u32>,
    being_killed: HashSet<String>,
    /// What the predicates answered first.
    predicates: HashMap<String, WorkerStatus>,
    /// The clusters whose servers were started here.
    servers: HashSet<String>,
    threads: Vec<JoinHandle<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Panics in a function whose turn it is.
fn panic_in(crashes: &[Crash], function: Function) {
    if crashes.iter().any(|crash| crash.is_due(function)) {
        How::Contained.strike();
    }
}

/// How many instances were dropped in this process.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Whether there is an instance in this process.
static ONE: AtomicBool = AtomicBool::new(false);

/// A call that is under way; while it is, others may be turned away or have to wait.
struct Inside<'a> {
    memory: &'a Memory,
    was_busy: bool,
    _lock: Option<MutexGuard<'a, ()>>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if !self.was_busy {
            self.memory.busy.store(false, Ordering::SeqCst);
        }
    }
}

impl Mutated {
    fn is(&self, mutation: Mutation) -> bool {
        self.bend == Some(mutation)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.memory.state)
    }

    /// Before every call.
    fn enter(&self, function: Function) -> Result<Inside<'_>, Error> {
        panic_in(&self.crashes, function);
        if self.is(Mutation::FailureEndsTheInstance) && self.memory.has_failed.load(Ordering::SeqCst) {
            return Err(Error::other("a run failed before, and the provider is of no use since"));
        }
        if self.is(Mutation::DropEndsTheOthers) && DROPPED.load(Ordering::SeqCst) != self.memory.generation {
            return Err(Error::other("another instance was dropped, and all connections with it"));
        }
        let lock = self.is(Mutation::OneLockForAll).then(|| locked(&self.memory.lock));
        let bends = self.is(Mutation::BusyWhenCalledAtOnce);
        let was_busy = bends && self.memory.busy.swap(true, Ordering::SeqCst);
        let inside = Inside { memory: &self.memory, was_busy, _lock: lock };
        if was_busy {
            return Err(Error::retryable("another call is under way"));
        }
        if bends {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(inside)
    }

    /// Whether the cluster's server has ended without being stopped: its record is still there then.
    fn has_ended_server(&self, ctx: &Context<'_>) -> Result<bool, Error> {
        let is_stopped = self.honest.server_status(ctx)? == WorkerStatus::Stopped;
        Ok(is_stopped && self.honest.folder.server(ctx.cluster())?.is_some())
    }

    fn predicate(
        &self,
        ctx: &Context<'_>,
        handles: &[&str],
        wanted: WorkerStatus,
    ) -> Result<Vec<bool>, Error> {
        let function = match wanted {
            WorkerStatus::Initializing => Function::IsInitializing,
            WorkerStatus::Running => Function::IsRunning,
            WorkerStatus::Stopped => Function::IsStopped,
        };
        let _inside = self.enter(function)?;
        let statuses = self.predicate_statuses(ctx, handles)?;
        let is = |status: &Option<WorkerStatus>| *status == Some(wanted);
        Ok(self.bend_predicate(wanted, statuses.iter().map(is).collect()))
    }
}

impl Provider for Mutated {
    const NAME: &'static str = "specimen";
    const IDEMPOTENT_RUN: bool = true;
    type Config = Config;

    fn create(mut config: Config, log: Log) -> Result<Self, Error> {
        let bend = config.mutation;
        let mut crashes = config.all_crashes();
        crashes.retain(|crash| crash.how == How::Contained);
        panic_in(&crashes, Function::Create);
        Self::before_create(&mut config)?;
        let memory = Memory { generation: DROPPED.load(Ordering::SeqCst), ..Memory::default() };
        let made = Specimen::create(config, log).map(|honest| Self { honest, bend, crashes, memory });
        if made.is_err() && bend == Some(Mutation::OneInstanceAtATime) {
            ONE.store(false, Ordering::SeqCst);
        }
        made?.after_create()
    }

    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        let _inside = self.enter(Function::Run)?;
        let outcome = self.bent_run(ctx, request);
        if outcome.is_err() {
            self.memory.has_failed.store(true, Ordering::SeqCst);
        }
        outcome
    }

    fn status(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        let _inside = self.enter(Function::Status)?;
        self.before_status(ctx, handles)?;
        let statuses = self.true_status(ctx, handles)?;
        self.bend_status(ctx, handles, statuses)
    }

    fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        let _inside = self.enter(Function::Kill)?;
        self.bent_kill(ctx, handles)
    }

    fn is_initializing(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.predicate(ctx, handles, WorkerStatus::Initializing)
    }

    fn is_running(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.predicate(ctx, handles, WorkerStatus::Running)
    }

    fn is_stopped(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.predicate(ctx, handles, WorkerStatus::Stopped)
    }
}

impl Initialize for Mutated {
    fn initialize(&self, ctx: &Context<'_>) -> Result<(), Error> {
        let _inside = self.enter(Function::Initialize)?;
        let again = self.honest.folder.is_prepared(ctx.cluster());
        if again && self.is(Mutation::InitializeFailsAgain) {
            self.honest.reach()?;
            return Err(Error::other("the cluster was initialized before"));
        }
        if again && self.is(Mutation::InitializeStopsWorkers) {
            self.stop_workers(|cluster| cluster == ctx.cluster(), usize::MAX)?;
        }
        if self.is(Mutation::InitializeFailsForEver) {
            let failed = self.honest.folder.litter(&format!("{}.failed", ctx.cluster()));
            if self.honest.settings.outage {
                std::fs::write(&failed, "")?;
            } else if failed.exists() {
                return Err(Error::other("the cluster is half made, from an initialize that failed"));
            }
        }
        self.honest.initialize(ctx)
    }
}

impl List for Mutated {
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error> {
        let _inside = self.enter(Function::List)?;
        if self.is(Mutation::OutageListsNothing) && self.honest.settings.outage {
            return Ok(Vec::new());
        }
        if self.is(Mutation::ListFailsBesideRun) && self.memory.runs.load(Ordering::SeqCst) > 0 {
            return Err(Error::retryable("a run is under way"));
        }
        let listed = self.honest.list(ctx)?;
        self.bend_list(ctx, listed)
    }
}

impl Server for Mutated {
    fn run_server(&self, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
        let _inside = self.enter(Function::RunServer)?;
        let again = match self.bend {
            Some(Mutation::ServerStartsAgain) => true,
            Some(Mutation::ServerStartsAgainAfterDrop) => !self.state().servers.contains(ctx.cluster()),
            _ => false,
        };
        if again {
            self.honest.stop_server(ctx)?;
        }
        if self.is(Mutation::EndedServerIsNotStarted) && self.has_ended_server(ctx)? {
            return Ok(());
        }
        if self.bend.is_some() {
            self.state().servers.insert(ctx.cluster().to_owned());
        }
        self.honest.run_server(ctx, request)
    }

    fn stop_server(&self, ctx: &Context<'_>) -> Result<(), Error> {
        let _inside = self.enter(Function::StopServer)?;
        match self.bend {
            Some(Mutation::StopServerDoesNothing) => return self.honest.reach(),
            Some(Mutation::OutageStopServerSaysYes) if self.honest.settings.outage => return Ok(()),
            Some(Mutation::StopOfNoServerFails)
                if self.honest.server_status(ctx)? == WorkerStatus::Stopped =>
            {
                return Err(Error::permanent("the cluster has no server"));
            }
            Some(Mutation::StopServerStopsAll) => self.stop_servers()?,
            _ => {}
        }
        self.honest.stop_server(ctx)
    }

    fn server_status(&self, ctx: &Context<'_>) -> Result<WorkerStatus, Error> {
        let _inside = self.enter(Function::ServerStatus)?;
        if self.is(Mutation::OutageServerIsStopped) && self.honest.settings.outage {
            return Ok(WorkerStatus::Stopped);
        }
        let status = self.honest.server_status(ctx)?;
        match (self.bend, status) {
            (Some(Mutation::EndedServerRuns), WorkerStatus::Stopped) if self.has_ended_server(ctx)? => {
                Ok(WorkerStatus::Running)
            }
            (Some(Mutation::NoServerRuns), WorkerStatus::Stopped) => Ok(WorkerStatus::Running),
            (Some(Mutation::NoServerIsAnError), WorkerStatus::Stopped) => {
                Err(Error::permanent("the cluster has no server"))
            }
            (Some(Mutation::ServerNeverRuns), WorkerStatus::Running) => Ok(WorkerStatus::Initializing),
            _ => Ok(status),
        }
    }

    fn server_address(&self, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error> {
        let _inside = self.enter(Function::ServerAddress)?;
        let call = self.memory.calls.fetch_add(1, Ordering::SeqCst);
        Ok(self.honest.server_address(ctx)?.and_then(|address| {
            let other = |by: u64| address.port.map(|port| port.wrapping_add(by as u16).max(1));
            match self.bend {
                Some(Mutation::ServerHasNoAddress) => None,
                Some(Mutation::ServerAddressIsEmpty) => {
                    Some(ServerAddress { host: String::new(), ..address })
                }
                Some(Mutation::ServerPortIsLost) => Some(ServerAddress { port: None, ..address }),
                Some(Mutation::ServerAddressMoves) => Some(ServerAddress { port: other(call), ..address }),
                Some(Mutation::ServerAddressIsAnothers) => Some(ServerAddress { port: other(1), ..address }),
                _ => Some(address),
            }
        }))
    }
}

impl Cleanup for Mutated {
    fn cleanup(&self, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
        let _inside = self.enter(Function::Cleanup)?;
        self.before_cleanup(ctx, deep)?;
        self.honest.cleanup(ctx, deep)
    }
}

impl Drop for Mutated {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
        panic_in(&self.crashes, Function::Drop);
        match self.bend {
            Some(Mutation::OneInstanceAtATime) => ONE.store(false, Ordering::SeqCst),
            Some(Mutation::DropStopsWorkers) => self.stop_own(),
            Some(Mutation::DropNeverEnds) => loop {
                std::thread::sleep(std::time::Duration::from_mins(1));
            },
            _ => {}
        }
        *locked(&self.memory.stop.0) = true;
        self.memory.stop.1.notify_all();
        for thread in self.state().threads.drain(..) {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}
