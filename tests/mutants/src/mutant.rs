//! The provider: an honest one in memory, with the faults that the trait of an author can express.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use longshore_plugin_api::{
    Cleanup, Context, Error, Initialize, Killed, Launch, LaunchToken, List, ListedHandle, Log, Provider,
    RunRequest, Server, ServerAddress, ServerRequest, Shortfall, WorkerStatus,
};

use crate::settings::{Fault, Function, Plan, Settings};

/// The provider.
#[derive(Debug)]
pub(crate) struct Mutant {
    plan: Plan,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By handle: the cluster, the token, the workers.
    live: BTreeMap<String, (String, LaunchToken, u32)>,
    launches: HashMap<LaunchToken, Vec<String>>,
    servers: Vec<String>,
}

impl Mutant {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work`, but for the faults that are the same everywhere; it is told of any other.
    fn call<T>(
        &self,
        function: Function,
        work: impl FnOnce(Option<Fault>, &mut State) -> T,
    ) -> Result<T, Error> {
        let fault = self.plan.due(function, false);
        let text = format!("the mutant fails in {function:?}");
        match fault {
            Some(Fault::Panic) => panic!("the mutant panics in {function:?}"),
            Some(Fault::Hang) => self.plan.hang(),
            Some(Fault::Other) => return Err(Error::other(text)),
            Some(Fault::Retryable) => return Err(Error::retryable(text)),
            Some(Fault::Permanent) => return Err(Error::permanent(text)),
            Some(Fault::Unreachable) => return Err(Error::unreachable(text)),
            Some(Fault::Cancelled) => return Err(Error::cancelled(text)),
            Some(Fault::Config) => return Err(Error::config("faults", text)),
            _ => (),
        }
        let answer = work(fault, &mut self.state());
        if fault == Some(Fault::Unknown) { Err(Error::unknown(text)) } else { Ok(answer) }
    }

    fn is(&self, function: Function, handles: &[&str], wanted: WorkerStatus) -> Result<Vec<bool>, Error> {
        self.call(function, |fault, state| {
            resized(handles.iter().map(|handle| state.status(handle) == wanted).collect(), fault, true)
        })
    }
}

impl State {
    fn status(&self, handle: &str) -> WorkerStatus {
        if self.live.contains_key(handle) { WorkerStatus::Running } else { WorkerStatus::Stopped }
    }

    fn launch(&mut self, cluster: &str, request: &RunRequest, workers: u32) -> Vec<String> {
        let request = RunRequest { workers, ..request.clone() };
        let mut handles = Vec::new();
        for (index, workers) in request.containers().enumerate() {
            let handle = format!("{}.{index}", request.token);
            handles.extend(std::iter::repeat_n(handle.clone(), workers as usize));
            self.live.insert(handle, (cluster.to_owned(), request.token.clone(), workers));
        }
        self.launches.insert(request.token, handles.clone());
        handles
    }
}

/// The answers, with one less or one more where that is the fault.
fn resized<T>(mut answers: Vec<T>, fault: Option<Fault>, more: T) -> Vec<T> {
    match fault {
        Some(Fault::Fewer) => drop(answers.pop()),
        Some(Fault::More) => answers.push(more),
        _ => (),
    }
    answers
}

impl Provider for Mutant {
    const NAME: &'static str = "mutant";
    const IDEMPOTENT_RUN: bool = true;
    type Config = Settings;

    fn create(settings: Settings, _log: Log) -> Result<Self, Error> {
        let mutant = Self { plan: Plan::new(settings)?, state: Mutex::default() };
        mutant.call(Function::Create, |_, _| ())?;
        Ok(mutant)
    }

    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        self.call(Function::Run, |fault, state| {
            let extra = u32::from(fault == Some(Fault::More));
            let known = state.launches.get(&request.token).cloned();
            let mut handles =
                known.unwrap_or_else(|| state.launch(ctx.cluster(), request, request.workers + extra));
            let mut spoil = |text: &str| {
                if let Some(first) = handles.first_mut() {
                    text.clone_into(first);
                }
            };
            match fault {
                Some(Fault::EmptyHandle) => spoil(""),
                Some(Fault::ControlHandle) => spoil("two\nlines"),
                Some(Fault::LongHandle) => spoil(&"x".repeat(257)),
                Some(Fault::SameHandle) => spoil("same"),
                Some(Fault::Fewer) => drop(handles.pop()),
                _ => (),
            }
            let short = Shortfall { reason: "a shortfall that is none".to_owned(), retryable: true };
            Launch { handles, shortfall: (fault == Some(Fault::FalseShortfall)).then_some(short) }
        })
    }

    fn status(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        self.call(Function::Status, |fault, state| {
            let status = |handle: &&str| match fault {
                Some(Fault::Lie) => WorkerStatus::Stopped,
                _ => state.status(handle),
            };
            resized(handles.iter().map(status).collect(), fault, WorkerStatus::Running)
        })
    }

    fn kill(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        self.call(Function::Kill, |fault, state| {
            let mut kill = |handle: &&str| {
                if fault != Some(Fault::Lie) {
                    state.live.remove(*handle);
                }
                Killed::Yes
            };
            resized(handles.iter().map(&mut kill).collect(), fault, Killed::Yes)
        })
    }

    fn is_initializing(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.is(Function::IsInitializing, handles, WorkerStatus::Initializing)
    }

    fn is_running(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.is(Function::IsRunning, handles, WorkerStatus::Running)
    }

    fn is_stopped(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        self.is(Function::IsStopped, handles, WorkerStatus::Stopped)
    }
}

impl Drop for Mutant {
    fn drop(&mut self) {
        match self.plan.due(Function::Drop, false) {
            Some(Fault::Panic) => panic!("the mutant panics in Drop"),
            Some(Fault::Hang) => self.plan.hang(),
            _ => (),
        }
    }
}

impl Initialize for Mutant {
    fn initialize(&self, _ctx: &Context<'_>) -> Result<(), Error> {
        self.call(Function::Initialize, |_, _| ())
    }
}

impl List for Mutant {
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error> {
        self.call(Function::List, |fault, state| {
            let ours = |entry: &(&String, &(String, LaunchToken, u32))| entry.1.0 == ctx.cluster();
            let mut listed: Vec<_> = state
                .live
                .iter()
                .filter(ours)
                .map(|(handle, (_, token, workers))| ListedHandle {
                    handle: handle.clone(),
                    token: token.clone(),
                    workers: *workers,
                })
                .collect();
            let stranger = ListedHandle {
                handle: "stranger".to_owned(),
                token: LaunchToken::new("strange-launch"),
                workers: 1,
            };
            match (fault, listed.first_mut()) {
                (Some(Fault::Lie), _) => listed.clear(),
                (Some(Fault::Omit), Some(_)) => drop(listed.remove(0)),
                (Some(Fault::Duplicate), Some(first)) => {
                    let again = first.clone();
                    listed.push(again);
                }
                (Some(Fault::NoWorkers), Some(first)) => first.workers = 0,
                (Some(Fault::WrongToken), Some(first)) => first.token = stranger.token,
                (Some(Fault::Stopped), _) => listed.push(stranger),
                (Some(Fault::Foreign), _) => {
                    let foreign = state.live.iter().find(|entry| !ours(entry));
                    listed.extend(foreign.map(|(handle, (_, token, workers))| ListedHandle {
                        handle: handle.clone(),
                        token: token.clone(),
                        workers: *workers,
                    }));
                }
                _ => (),
            }
            listed
        })
    }
}

impl Server for Mutant {
    fn run_server(&self, ctx: &Context<'_>, _request: &ServerRequest) -> Result<(), Error> {
        self.call(Function::RunServer, |_, state| {
            state.servers.retain(|server| server != ctx.cluster());
            state.servers.push(ctx.cluster().to_owned());
        })
    }

    fn stop_server(&self, ctx: &Context<'_>) -> Result<(), Error> {
        self.call(Function::StopServer, |_, state| state.servers.retain(|server| server != ctx.cluster()))
    }

    fn server_status(&self, ctx: &Context<'_>) -> Result<WorkerStatus, Error> {
        self.call(Function::ServerStatus, |_, state| {
            let runs = state.servers.iter().any(|server| server == ctx.cluster());
            if runs { WorkerStatus::Running } else { WorkerStatus::Stopped }
        })
    }

    fn server_address(&self, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error> {
        self.call(Function::ServerAddress, |_, state| {
            let server = state.servers.iter().find(|server| *server == ctx.cluster())?;
            Some(ServerAddress { host: format!("{server}.mutant.invalid"), port: Some(4000) })
        })
    }
}

impl Cleanup for Mutant {
    fn cleanup(&self, _ctx: &Context<'_>, _deep: bool) -> Result<(), Error> {
        self.call(Function::Cleanup, |_, _| ())
    }
}
