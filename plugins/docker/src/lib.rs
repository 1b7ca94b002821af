//! A provider whose workers are containers of a Docker Engine, or of Podman's service that speaks like one.
//!
//! # Containers and workers
//!
//! A container holds up to `max_workers` workers, and is told how many in `LONGSHORE_WORKERS`; its `cpu` and `memory` are those of
//! all its workers together, and the engine holds it to them. `hardware.id` means nothing here. The request's `command` takes the
//! place of the image's own program (its entrypoint), and its arguments that of the image's; arguments alone go to the image's
//! program. Each container sees `LONGSHORE_CLUSTER`, `LONGSHORE_TOKEN`, `LONGSHORE_HANDLE` and `LONGSHORE_WORKERS`.
//!
//! A container that the engine has made or that waits for the first good answer of its image's health check is initializing; one
//! that runs, with a health check that was good once, is running, also where it is unhealthy later; one that has exited, is dead
//! or was removed has stopped.
//!
//! # What holds when something dies
//!
//! * All that is ever known of a container lies in the engine: its name and its labels (`labels`). A handle is the container's
//!   name, so that `docker logs HANDLE` works.
//! * The same token again gives the same answer, and starts nothing twice: names are taken once, and a launch leaves a receipt,
//!   an empty volume, which is remembered for a day longer than its containers, or until a cleanup (`receipt`). A launch that was
//!   cut off is completed.
//! * Containers are never started again by the engine. Where the engine itself is stopped, its containers stop with it unless it
//!   is told to keep them (`live-restore`); out of reach, it is an error, and nothing counts as stopped.
//! * A stop is the engine's business once it was asked for: it forces a container that does not hear, also when the host is gone.
//!
//! # What is kept and removed
//!
//! A container that is killed is removed. Of those that ended by themselves the newest `keep_stopped` of each cluster are kept, for
//! their logs; a minute's upkeep removes the others, and `cleanup` all of them. A deep cleanup also removes the cluster's network
//! and receipts. Images are never removed: nobody can tell who else wants them.
//!
//! # The server
//!
//! The server is a container like the others, in the same network, which workers and the host reach at its own address. Where that
//! is not so (an engine on another machine, Docker Desktop, Podman without root), `publish` and `server_host` say how.
//!
//! # Limits
//!
//! Hosts that share an engine are kept apart by their `namespace`: two of the same with clusters of one name take each other's
//! workers for their own. Engines from API 1.40 (2019) on and Podman 4 are spoken to, over a unix socket, TCP or TCP with TLS;
//! Windows' named pipes and ssh are not.

#[cfg(not(unix))]
compile_error!("longshore-docker needs a system with unix sockets");

mod cleanup;
mod config;
mod credentials;
mod ending;
mod endpoint;
mod engine;
mod fault;
mod image;
mod kill;
mod labels;
mod launch;
mod maker;
mod network;
mod pull;
mod receipt;
mod request;
mod server;
mod settings;
mod shared;
mod state;
mod upkeep;
mod wire;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

pub use config::{All, Config, Gpus, LogTarget, Mount, Pull, Size, SoftAndHard, Time, Tls, Ulimit};
use longshore_plugin_api::{
    Cleanup, Context, Error, Initialize, Killed, Launch, LaunchToken, List, ListedHandle, Log, Provider,
    RunRequest, Server, ServerAddress, ServerRequest, WorkerStatus, export_provider,
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    labels::Role,
    settings::Settings,
    shared::Shared,
    state::{Found, Phase},
};

/// The threads that carry out what is asynchronous; the calls wait on the host's.
const THREADS: usize = 2;
/// The most threads that look up names of machines.
const LOOKUPS: usize = 4;
/// How long dropping an instance waits for a look-up that does not end.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// Workers that are containers.
pub struct DockerContainers {
    shared: Arc<Shared>,
    /// There until the drop.
    runtime: Option<Runtime>,
}

impl fmt::Debug for DockerContainers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl Drop for DockerContainers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }
}

impl DockerContainers {
    /// The containers with workers of the call's cluster, running or not.
    fn workers(&self, ctx: &Context<'_>, filter: Option<String>) -> Result<Vec<Found>, Error> {
        let place = self.shared.place(ctx.cluster());
        let labels = place.filter(Some(Role::Worker)).into_iter().chain(filter).collect();
        self.shared.read(ctx, async {
            let found = self.shared.engine.containers_labelled(labels).await;
            found.map_err(|fault| {
                fault.during(format_args!("list the containers of the cluster {}", place.cluster))
            })
        })
    }
}

impl Provider for DockerContainers {
    const NAME: &'static str = "docker";
    const IDEMPOTENT_RUN: bool = true;
    type Config = Config;

    /// An engine that is down is no error here, but one of the calls: a host begins calmly, and says what it waits for.
    fn create(config: Config, log: Log) -> Result<Self, Error> {
        let settings = Settings::try_from(config)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(LOOKUPS)
            .thread_name("longshore-docker")
            .enable_all()
            .build()
            .map_err(|error| Error::other(format_args!("cannot start threads: {error}")))?;
        let shared = Arc::new(Shared::new(settings, runtime.handle().clone(), log)?);
        upkeep::begin(&shared);
        Ok(Self { shared, runtime: Some(runtime) })
    }

    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        launch::run(&self.shared, ctx, request)
    }

    fn status(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        // One is asked for alone, several with the cluster's list.
        let filter = match handles {
            [] => return Ok(Vec::new()),
            [one] => Some(format!("{}={one}", labels::HANDLE)),
            _ => None,
        };
        let found = self.workers(ctx, filter)?;
        let known: HashMap<&str, Phase> =
            found.iter().filter_map(|one| Some((one.handle()?, one.phase()))).collect();
        let status = |handle: &&str| known.get(handle).map_or(WorkerStatus::Stopped, |phase| phase.status());
        Ok(handles.iter().map(status).collect())
    }

    fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        kill::kill(&self.shared, ctx, handles)
    }
}

impl Initialize for DockerContainers {
    fn initialize(&self, ctx: &Context<'_>) -> Result<(), Error> {
        if let Some(why) = labels::fault(ctx.cluster(), None) {
            return Err(Error::permanent(why));
        }
        self.shared.read(ctx, network::initialize(&self.shared, &self.shared.place(ctx.cluster())))
    }
}

impl List for DockerContainers {
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error> {
        let found = self.workers(ctx, None)?;
        let live = found.iter().filter(|one| one.phase() != Phase::Ended);
        let listed = |one: &Found| {
            let listed = (one.handle(), one.label(labels::TOKEN), one.workers());
            let (Some(handle), Some(token), Some(workers)) = listed else {
                return Err(Error::other(format_args!(
                    "the container {} has labels of this provider's that are not understood; remove it",
                    one.name()
                )));
            };
            Ok(ListedHandle { handle: handle.to_owned(), token: LaunchToken::new(token), workers })
        };
        live.map(listed).collect()
    }
}

impl Server for DockerContainers {
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

impl Cleanup for DockerContainers {
    fn cleanup(&self, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
        cleanup::cleanup(&self.shared, ctx, deep)
    }
}

export_provider!(DockerContainers, capabilities = [Initialize, List, Server, Cleanup]);
