//! A provider whose workers are local operating-system processes, for Linux: it stands on `/proc`, sessions and file locks.
//!
//! # Containers and workers
//!
//! A container is one child process, which is told how many workers it is: `LONGSHORE_WORKERS` in its environment. A
//! request for 10 workers with `max_workers = 4` starts three processes that are told 4, 4 and 2. A supervisor of ours
//! between the host and the workers would only be one more thing that can die; a program that wants to be several starts
//! its own children, and they are ended with it.
//!
//! Each process sees `LONGSHORE_CLUSTER`, `LONGSHORE_TOKEN`, `LONGSHORE_HANDLE`, `LONGSHORE_WORKERS` and `LONGSHORE_TAG`. They
//! win over the container's variables, and these over what it inherits of the host's (see [`Config::inherit_env`]). Its
//! standard input is empty; its output goes to log files. It starts in the container's folder, or the host's where that
//! is left out. The image is not used. The hardware is not enforced: `cpu` and `memory` are the host's to count with.
//!
//! A container lives as long as its first process, which leads a session of its own. What is left of the session when it
//! has ended is ended too, as a container engine does it; so is a process that left the session (a daemon) but still has
//! the `LONGSHORE_TAG` that it inherited. Keep a container's first process alive for as long as its work goes on.
//!
//! # A cluster's server
//!
//! It is one more process, started, logged and ended as a worker's container is, with its children and those that left its
//! session. It sees `LONGSHORE_CLUSTER` and `LONGSHORE_TAG` of Longshore's variables. Its address is [`Config::server_host`] and
//! the port of the request, which is kept beside its record; the provider looks after neither: the program listens where its
//! own arguments say. It counts as running as soon as it has become its program.
//!
//! There is one a cluster, whoever asks for it, from however many threads, instances and processes on one root. One that died
//! is started anew by the next `run_server` alone, once nothing is left of it, its children included. That it died is told in
//! the log, with the place of what it said: `clusters/CLUSTER/servers/…/0.out` and `0.err` below the root, where the last three
//! are kept.
//!
//! # What holds when something dies
//!
//! * Workers outlive the provider and the host. (Under systemd, set `KillMode=process` for the host.)
//! * The intent is on disk before a process is made, and each child writes its number and the time of its start there
//!   before it becomes its program. So no worker exists that [`List`] does not find, even if the host is killed with
//!   SIGKILL between any two steps.
//! * The same token again gives the same answer, whether its workers are alive or not, and starts nothing twice. Only a
//!   launch that was cut off by the death of its host goes on, with the containers of which it is sure that they never
//!   started. Tokens stay known for 30 days after [`Cleanup`] has cleared them away, or until a deep cleanup, which forgets
//!   them: a host never sends a token again once it knows what became of it.
//! * A number that the system gave to another process is never taken for ours: see `identity` and `group`.
//! * A worker is taken for running as soon as it has become its program; this provider knows no readiness.
//!
//! # Limits
//!
//! A root belongs to one host: two hosts with clusters of one name in one root take each other's workers for their own. Give
//! each host a root of its own.
//!
//! The limit of logs is kept by copying and truncating, once a second while a host runs: until then a log may be longer, and
//! what is written in the moment of the truncation is lost. The state folder must be on a local file system, as locks of
//! network file systems do not reach the children, and be seen from one numbering of processes (container) only.

#[cfg(not(target_os = "linux"))]
compile_error!("longshore-process needs Linux: it finds its workers through /proc, sessions and file locks");

mod cleanup;
mod config;
mod files;
mod folder;
mod group;
mod identity;
mod kill;
mod launch;
mod lock;
mod locked;
mod logs;
mod names;
mod server;
mod spawn;
mod store;
mod upkeep;

use std::sync::Arc;

pub use config::{Config, InheritEnv, Size, Time};
use longshore_plugin_api::{
    Cleanup, Context, Error, Killed, Launch, LaunchToken, List, ListedHandle, Log, Provider, RunRequest,
    Server, ServerAddress, ServerRequest, WorkerStatus, export_provider,
};

use crate::{
    cleanup::Shared,
    config::Settings,
    folder::State,
    identity::Place,
    kill::Asked,
    names::{Handle, Kind, Spot, Unit},
    store::Store,
    upkeep::Upkeep,
};

/// Workers that are processes of this machine.
#[derive(Debug)]
pub struct LocalProcesses {
    shared: Arc<Shared>,
    /// Ends with the instance.
    _upkeep: Upkeep,
}

impl Provider for LocalProcesses {
    const NAME: &'static str = "process";
    const IDEMPOTENT_RUN: bool = true;
    type Config = Config;

    fn create(config: Config, log: Log) -> Result<Self, Error> {
        let settings = Settings::try_from(config)?;
        let store = Store::open(&settings.root, Place::here()?)?;
        let shared = Arc::new(Shared { store, settings, asked: Asked::default() });
        Ok(Self { _upkeep: Upkeep::start(Arc::clone(&shared), log)?, shared })
    }

    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        launch::run(&self.shared.store, &self.shared.settings, ctx, request)
    }

    fn status(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        let status = |handle: &&str| {
            let Some(spot) = Spot::of_handle(ctx.cluster(), handle) else { return Ok(WorkerStatus::Stopped) };
            Ok(match self.shared.store.state(spot)? {
                State::Waiting => WorkerStatus::Initializing,
                State::Live(_) => WorkerStatus::Running,
                State::Ended(_) | State::Over => WorkerStatus::Stopped,
            })
        };
        handles.iter().map(status).collect()
    }

    fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        self.shared.killer().kill(ctx, handles)
    }
}

impl List for LocalProcesses {
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error> {
        let (store, cluster) = (&self.shared.store, ctx.cluster());
        let mut listed = Vec::new();
        for token in store.tokens(cluster, Kind::Launch)? {
            ctx.check()?;
            let unit = Unit::launch(cluster, &token);
            let Some(folder) = store.find_with_all_marks(ctx, unit)? else { continue };
            let Some(intent) = folder.intent()? else { continue };
            for index in 0..intent.containers() {
                if let State::Live(_) = folder.state(index)? {
                    listed.push(ListedHandle {
                        handle: Handle { token: &token, index }.text(),
                        token: LaunchToken::new(&token),
                        workers: intent.workers_of(index),
                    });
                }
            }
        }
        Ok(listed)
    }
}

impl Server for LocalProcesses {
    fn run_server(&self, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
        server::run(&self.shared, ctx, request)
    }

    fn stop_server(&self, ctx: &Context<'_>) -> Result<(), Error> {
        server::stop(&self.shared, ctx)
    }

    fn server_status(&self, ctx: &Context<'_>) -> Result<WorkerStatus, Error> {
        server::status(&self.shared, ctx)
    }

    fn server_address(&self, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error> {
        server::address(&self.shared, ctx)
    }
}

impl Cleanup for LocalProcesses {
    fn cleanup(&self, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
        cleanup::cleanup(&self.shared, ctx, deep)
    }
}

export_provider!(LocalProcesses, capabilities = [List, Server, Cleanup]);
