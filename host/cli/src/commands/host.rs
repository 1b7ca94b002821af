//! Commands that are a host, for as long as they run.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use longshore_config::Config;
use longshore_http::{
    Socket, apply_config,
    wire::{self, Clusters},
};
use longshore_runtime::{Host, Leaving};
use longshore_store::MemoryJournal;
use serde::Serialize;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use super::{configure::effects, search_path, socket_path};
use crate::{
    args::{Global, Up},
    exit::Failure,
    feed::{Feed, Source},
    output::Output,
    progress::{self, Progress},
    render::summary,
    signals::Signals,
    wait::line,
};

/// How long a host may take to end, beyond stopping its workers.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A host that listens, for `--json`.
#[derive(Serialize)]
struct Listening {
    socket: String,
    pid: u32,
    version: &'static str,
    plugin_folders: Vec<String>,
    /// What the configuration did; null where there is none.
    applied: Option<wire::Applied>,
}

/// A host with its socket.
struct Running {
    host: Arc<Host>,
    server: JoinHandle<()>,
    close: oneshot::Sender<()>,
}

impl Running {
    fn begin(host: Arc<Host>, socket: Socket) -> Self {
        let (close, closed) = oneshot::channel();
        let closed = async {
            // Whoever forgets it closes the socket as well.
            let _ = closed.await;
        };
        let server = tokio::spawn(longshore_http::serve(Arc::clone(&host), socket, closed));
        Self { host, server, close }
    }

    /// Ends the host, then its socket; a second signal ends the waiting.
    async fn end(self, leaving: Leaving, signals: &mut Signals) -> Result<bool, Failure> {
        let ending = async {
            let limit = match leaving {
                Leaving::Workers => END_LIMIT,
                Leaving::Nothing { patience } => patience.saturating_add(END_LIMIT),
            };
            timeout(limit, self.host.shut_down(leaving)).await.unwrap_or(false)
        };
        let done = tokio::select! {
            done = ending => Ok(done),
            () = signals.next() => Err(Failure::gave_up("left at once, as asked by a second signal; workers may still run")),
        };
        // The server may be gone already.
        let _ = self.close.send(());
        if done.is_ok() {
            // It bounds itself.
            let _ = self.server.await;
        } else {
            self.server.abort();
            let _ = self.server.await;
        }
        done
    }
}

fn new_host(global: &Global) -> Arc<Host> {
    Arc::new(Host::new(search_path(global), Arc::new(MemoryJournal::default())))
}

fn announce(host: &Host, socket: String, applied: Option<wire::Applied>, output: &Output) {
    let folders = host.search_path().folders();
    let listening = Listening {
        socket,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
        plugin_folders: folders.iter().map(|folder| folder.display().to_string()).collect(),
        applied,
    };
    let told = output.either(&listening, || {
        let mut text = listening.applied.as_ref().map(effects).unwrap_or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        format!("{text}the host (process {}) listens at {}", listening.pid, listening.socket)
    });
    // A reader that has gone away is no reason to end.
    drop(told);
}

pub(super) async fn serve(global: &Global, output: &Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let socket = Socket::bind(&socket_path(global)).await?;
    let path = socket.path().display().to_string();
    let host = new_host(global);
    let running = Running::begin(Arc::clone(&host), socket);
    announce(&host, path, None, output);
    signals.next().await;
    tracing::info!("the host ends; workers go on");
    if running.end(Leaving::Workers, &mut signals).await? {
        return Ok(());
    }
    Err(Failure::gave_up(format_args!(
        "the host did not end within {} s and was cut off",
        END_LIMIT.as_secs()
    )))
}

pub(super) async fn up(global: &Global, up: &Up, output: &Output) -> Result<(), Failure> {
    let config = Config::read(&up.config.file)?;
    let mut signals = Signals::listen()?;
    // From here on others can connect; they are answered once all that the file asks for is there to be seen.
    let socket = Socket::bind(&socket_path(global)).await?;
    let path = socket.path().display().to_string();
    let host = new_host(global);
    let applied = tokio::select! {
        applied = apply_config(Arc::clone(&host), config) => Some(applied),
        () = signals.next() => None,
    };
    if let Some(Err(error)) = applied {
        // Of a configuration that was refused nothing runs.
        let _ = timeout(END_LIMIT, host.shut_down(Leaving::Workers)).await;
        return Err(error.into());
    }
    let running = Running::begin(Arc::clone(&host), socket);
    let mut feed = Feed::new(Source::Here(Arc::clone(&host)));
    if let Some(Ok(applied)) = applied {
        announce(&host, path, Some(applied), output);
        tokio::select! {
            never = follow(&mut feed, up.no_wait, output) => match never {},
            () = signals.next() => {}
        }
    }
    if up.keep {
        running.end(Leaving::Workers, &mut signals).await?;
        tell(output, "the host has ended; its workers go on");
        return Ok(());
    }
    let mut last = String::new();
    let leaving = Leaving::Nothing { patience: up.stop_timeout };
    let done = tokio::select! {
        done = running.end(leaving, &mut signals) => done?,
        never = show_stopping(&mut feed, &mut last) => match never {},
    };
    if done {
        tell(output, "all workers are stopped");
        return Ok(());
    }
    let limit = humantime::format_duration(up.stop_timeout);
    Err(Failure::gave_up(format_args!("not all workers were stopped within {limit}; at last: {last}")))
}

/// Tells a person something. A reader that has gone away is no reason to leave the workers to themselves.
fn tell(output: &Output, text: &str) {
    if !output.is_json() {
        let _ = progress::aside(|| output.text(text));
    }
}

/// Shows how workers come up, and every cluster that is as asked again after a change.
async fn follow(feed: &mut Feed, quiet: bool, output: &Output) -> Infallible {
    let mut settled: BTreeMap<String, String> = BTreeMap::new();
    show(feed, |news, progress| {
        if quiet {
            return;
        }
        for cluster in news.clusters.iter().filter(|cluster| cluster.converged) {
            let text = summary(cluster);
            if settled.get(&cluster.name) != Some(&text) {
                tell(output, &text);
                settled.insert(cluster.name.clone(), text);
            }
        }
        settled.retain(|name, _| news.clusters.iter().any(|it| it.name == *name && it.converged));
        match unsettled(news) {
            Some(line) => progress.show(&line),
            None => progress.pause(),
        }
    })
    .await
}

/// Shows how workers go.
async fn show_stopping(feed: &mut Feed, last: &mut String) -> Infallible {
    show(feed, |news, progress| {
        if let Some(line) = unsettled(news) {
            progress.show(&line);
            *last = line;
        }
    })
    .await
}

/// Shows news until it is dropped.
async fn show(feed: &mut Feed, mut each: impl FnMut(&Clusters, &mut Progress)) -> Infallible {
    let mut progress = Progress::new();
    loop {
        tokio::select! {
            news = feed.next() => match news {
                Ok(news) => each(&news, &mut progress),
                // A host in this process has no errors.
                Err(_) => std::future::pending().await,
            },
            () = progress.catch_up() => {}
        }
    }
}

/// The line of progress, where not all is as asked.
fn unsettled(news: &Clusters) -> Option<String> {
    let missed: Vec<_> = news.clusters.iter().filter(|cluster| !cluster.converged).collect();
    (!missed.is_empty()).then(|| line(&missed, news.clusters.len()))
}
