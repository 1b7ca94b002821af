//! How a host begins: with its socket, then its state, then what the state has; and how it says so.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use longshore_http::{Socket, wire};
use longshore_runtime::{Host, Leaving};
use serde::Serialize;
use tokio::{net::TcpListener, time::timeout};

use super::{configure::effects, host::END_LIMIT, plugins, socket_path};
use crate::{
    args::{Global, Keeping, Telling},
    exit::{Exit, Failure},
    output::Output,
    state::State,
};

/// The most clusters that are named in one line.
const NAMED: usize = 8;

/// A host that listens, for `--json`.
#[derive(Serialize)]
pub(super) struct Listening {
    socket: String,
    pid: u32,
    version: &'static str,
    plugin_folders: Vec<String>,
    /// Where the figures are told over TCP; null where they are not.
    metrics: Option<String>,
    /// Where the state is kept; null where it is in memory alone.
    state_folder: Option<String>,
    /// What was there of it.
    taken_up: TakenUp,
    /// What the configuration did; null where there is none.
    applied: Option<wire::Applied>,
}

/// What a host took up from its state folder.
#[derive(Clone, Serialize)]
struct TakenUp {
    /// The names of the clusters.
    clusters: Vec<String>,
    /// The workers that they had, as far as is known before the providers are asked.
    workers: u64,
}

/// A host that has its socket and its state, and that nobody can talk to yet.
pub(super) struct Begun {
    pub(super) host: Arc<Host>,
    pub(super) socket: Socket,
    /// Where the figures are told beside the socket.
    pub(super) metrics: Option<TcpListener>,
    pub(super) state_folder: Option<String>,
    taken_up: TakenUp,
}

impl Begun {
    /// Takes socket and state, or fails with nothing done; then takes up what the state has. Nothing is launched or killed
    /// before [`Host::begin`].
    pub(super) async fn begin(
        global: &Global,
        keeping: &Keeping,
        telling: &Telling,
    ) -> Result<Self, Failure> {
        // From here on others can connect; they are answered once all that was asked for is there to be seen.
        let socket = Socket::bind(&socket_path(global)).await?;
        let metrics = match telling.metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let State { folder, journal } = State::open(keeping).await?;
        let host = Host::prepare_to_begin(plugins(global, folder.as_deref()), journal).await;
        let host = host.map_err(|error| Failure::state(&error))?;
        let found = host.clusters();
        let workers = |it: &wire::ClusterStatus| it.initializing + it.running + it.terminating;
        let taken_up = TakenUp {
            clusters: found.iter().map(|cluster| cluster.name.clone()).collect(),
            workers: found.iter().map(workers).sum(),
        };
        Ok(Self {
            host: Arc::new(host),
            socket,
            metrics,
            state_folder: folder.map(|folder| folder.display().to_string()),
            taken_up,
        })
    }

    pub(super) fn listening(&self, applied: Option<wire::Applied>) -> Listening {
        let folders = self.host.search_path().folders();
        Listening {
            socket: self.socket.path().display().to_string(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            plugin_folders: folders.iter().map(|folder| folder.display().to_string()).collect(),
            metrics: self
                .metrics
                .as_ref()
                .and_then(|it| it.local_addr().ok())
                .map(|it| format!("http://{it}/metrics")),
            state_folder: self.state_folder.clone(),
            taken_up: self.taken_up.clone(),
            applied,
        }
    }

    /// Why a configuration was refused; with what to do, where what was taken up stands in its way.
    pub(super) fn refused(&self, mut failure: Failure) -> Failure {
        if let Some(folder) = &self.state_folder
            && failure.exit == Exit::Denied
            && !self.taken_up.clusters.is_empty()
        {
            failure.message = format!(
                "{}\n  what runs is what the state folder {folder} has: `longshore serve` takes it up without the file, so that \
                 it can be changed or deleted; or name another folder with --state",
                failure.message
            );
        }
        failure
    }

    /// Ends a host whose configuration was refused, and that has begun nothing.
    pub(super) async fn take_back(self) {
        let _ = timeout(END_LIMIT, self.host.shut_down(Leaving::Workers)).await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let message =
            format_args!("the figures cannot be served at {address}: {error}; name another --metrics");
        Failure::new(Exit::Socket, "socket", message)
    })
}

pub(super) fn announce(listening: &Listening, output: &Output) {
    let told = output.either(listening, || {
        let mut text = listening.applied.as_ref().map(effects).unwrap_or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&state(listening));
        if let Some(metrics) = &listening.metrics {
            text.push_str("\nits figures are at ");
            text.push_str(metrics);
        }
        format!("{text}\nthe host (process {}) listens at {}", listening.pid, listening.socket)
    });
    // A reader that has gone away is no reason to end.
    drop(told);
}

/// Where the state is, and what of it runs besides what the configuration names.
fn state(listening: &Listening) -> String {
    let Listening { state_folder, taken_up, applied, .. } = listening;
    let Some(folder) = state_folder else {
        return "nothing is kept: the next host finds workers by their provider's list alone".to_owned();
    };
    if taken_up.clusters.is_empty() {
        return format!("the state is kept in {folder}, which had no clusters");
    }
    let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (clusters, workers) = (taken_up.clusters.len() as u64, taken_up.workers);
    let mut text = format!(
        "the state is kept in {folder}, and was taken up: {} with {}",
        counted(clusters, "cluster"),
        counted(workers, "worker")
    );
    let in_file: BTreeSet<_> =
        applied.iter().flat_map(|applied| &applied.clusters).map(|cluster| &cluster.name).collect();
    let others: Vec<_> = taken_up.clusters.iter().filter(|name| !in_file.contains(name)).collect();
    if applied.is_some() && !others.is_empty() {
        let named: Vec<_> = others.iter().take(NAMED).map(|name| name.as_str()).collect();
        let more = match others.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        text =
            format!("{text}; these the file does not name, and they run as well: {}{more}", named.join(", "));
    }
    text
}
