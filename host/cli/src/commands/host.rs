//! Commands that are a host, for as long as they run.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use longshore_config::Config;
use longshore_http::{Socket, apply_config, wire::Clusters};
use longshore_runtime::{Host, Leaving};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use super::begin::{Begun, announce};
use crate::{
    args::{Global, Keeping, Up},
    exit::Failure,
    feed::{Feed, Source},
    output::Output,
    progress::{self, Progress},
    render::summary,
    signals::Signals,
    wait::line,
};

/// How long a host may take to end, beyond stopping its workers.
pub(super) const END_LIMIT: Duration = Duration::from_secs(30);

/// How long a service waits for those workers that stop with it.
const STOP_LIMIT: Duration = Duration::from_mins(5);

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
                Leaving::Nothing { patience } | Leaving::AsEachSays { patience, .. } => {
                    patience.saturating_add(END_LIMIT)
                }
            };
            timeout(limit, self.host.shut_down(leaving)).await.unwrap_or(false)
        };
        let done = tokio::select! {
            done = ending => Ok(done),
            () = signals.next() => Err(left_at_once()),
        };
        // The server may be gone already.
        let _ = self.close.send(());
        if done.is_ok() {
            // It bounds itself.
            let _ = self.server.await;
        } else {
            abort(self.server).await;
        }
        done
    }

    /// Leaves at once. The workers are as they are.
    async fn cut_off(self) {
        let _ = self.close.send(());
        abort(self.server).await;
    }
}

/// Ends a socket's task, which removes the socket.
async fn abort(server: JoinHandle<()>) {
    server.abort();
    let _ = server.await;
}

pub(super) async fn serve(global: &Global, keeping: &Keeping, output: &Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let begun = tokio::select! {
        begun = Begun::begin(global, keeping) => begun?,
        () = signals.next() => return Err(ended_early()),
    };
    let listening = begun.listening(None);
    begun.host.begin();
    let running = Running::begin(begun.host, begun.socket);
    announce(&listening, output);
    signals.next().await;
    tracing::info!("the host ends; workers go on, but those of clusters with `stop_on_exit`");
    let leaving = Leaving::AsEachSays { unless_said: false, patience: STOP_LIMIT };
    if running.end(leaving, &mut signals).await? {
        return Ok(());
    }
    Err(Failure::gave_up(format_args!(
        "the host did not end within {} s, or not all workers that stop with it had stopped within {} s; it was cut off",
        END_LIMIT.as_secs(),
        STOP_LIMIT.as_secs()
    )))
}

pub(super) async fn up(global: &Global, up: &Up, output: &Output) -> Result<(), Failure> {
    let config = Config::read(&up.config.file)?;
    let mut signals = Signals::listen()?;
    let begun = tokio::select! {
        begun = Begun::begin(global, &up.keeping) => begun?,
        () = signals.next() => return Err(ended_early()),
    };
    let applied = tokio::select! {
        applied = apply_config(Arc::clone(&begun.host), config) => Some(applied),
        () = signals.next() => None,
    };
    let listening = match applied {
        Some(Ok(applied)) => Some(begun.listening(Some(applied))),
        Some(Err(error)) => {
            let failure = begun.refused(error.into());
            begun.take_back().await;
            return Err(failure);
        }
        None => None,
    };
    let folder = begun.state_folder;
    if listening.is_some() {
        begun.host.begin();
    }
    let mut feed = Feed::new(Source::Here(Arc::clone(&begun.host)));
    let running = Running::begin(begun.host, begun.socket);
    if let Some(listening) = listening {
        announce(&listening, output);
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
    let host = Arc::clone(&running.host);
    let left = tokio::select! {
        left = host.left_running(true) => left,
        () = signals.next() => {
            running.cut_off().await;
            return Err(left_at_once());
        }
    };
    let leaving = Leaving::AsEachSays { unless_said: true, patience: up.stop_timeout };
    let done = tokio::select! {
        done = running.end(leaving, &mut signals) => done?,
        never = show_stopping(&mut feed, &mut last) => match never {},
    };
    if done {
        let left = if left.is_empty() {
            String::new()
        } else {
            format!(" but those of {}, as `stop_on_exit` says", left.join(", "))
        };
        let back = folder.map(|folder| format!("; the next host on {folder} brings them back"));
        tell(output, &format!("all workers are stopped{left}{}", back.unwrap_or_default()));
        return Ok(());
    }
    let limit = humantime::format_duration(up.stop_timeout);
    // On a busy machine a short limit may pass before any news of it.
    let last = if last.is_empty() { last } else { format!("; at last: {last}") };
    Err(Failure::gave_up(format_args!("not all workers were stopped within {limit}{last}")))
}

fn left_at_once() -> Failure {
    Failure::gave_up("left at once, as asked by a second signal; workers may still run")
}

fn ended_early() -> Failure {
    Failure::gave_up("interrupted before the host listened; nothing was begun")
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
