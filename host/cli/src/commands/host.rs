//! Commands that are a host, for as long as they run.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use longshore_config::Config;
use longshore_http::{Socket, apply_config, wire::Clusters};
use longshore_runtime::{Host, Leaving};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use super::begin::{Begun, announce};
use crate::{
    args::{Global, Serve, Up},
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

/// A host with its socket, and with what else serves it.
struct Running {
    host: Arc<Host>,
    servers: Vec<Server>,
}

/// What answers those who connect.
struct Server {
    task: JoinHandle<()>,
    close: oneshot::Sender<()>,
}

impl Server {
    fn begin<S: Future<Output = ()> + Send + 'static>(serve: impl FnOnce(Closed) -> S) -> Self {
        let (close, closed) = oneshot::channel();
        Self { task: tokio::spawn(serve(Closed(closed))), close }
    }

    /// Ends it at once, which removes a socket.
    async fn abort(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Resolves when a server is to close, or whoever had to say so has gone.
struct Closed(oneshot::Receiver<()>);

impl Future for Closed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

impl Running {
    fn begin(host: Arc<Host>, socket: Socket, metrics: Option<TcpListener>) -> Self {
        let (it, since) = (|| Arc::clone(&host), Instant::now());
        let mut servers = vec![Server::begin(|closed| longshore_http::serve(it(), socket, since, closed))];
        if let Some(listener) = metrics {
            servers
                .push(Server::begin(|closed| longshore_http::serve_metrics(it(), listener, since, closed)));
        }
        Self { host, servers }
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
        if done.is_err() {
            cut_off(self.servers).await;
            return done;
        }
        // All of them are told before one is waited for; one that is gone already needs no telling. They bound themselves.
        let tasks: Vec<_> =
            self.servers.into_iter().map(|Server { task, close }| (task, close.send(()))).collect();
        for (task, _) in tasks {
            let _ = task.await;
        }
        done
    }

    /// Leaves at once. The workers are as they are.
    async fn cut_off(self) {
        cut_off(self.servers).await;
    }
}

async fn cut_off(servers: Vec<Server>) {
    for server in servers {
        server.abort().await;
    }
}

pub(super) async fn serve(global: &Global, serve: &Serve, output: &Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let begun = tokio::select! {
        begun = Begun::begin(global, &serve.keeping, &serve.telling) => begun?,
        () = signals.next() => return Err(ended_early()),
    };
    let listening = begun.listening(None);
    begun.host.begin();
    let running = Running::begin(begun.host, begun.socket, begun.metrics);
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
        begun = Begun::begin(global, &up.keeping, &up.telling) => begun?,
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
    let running = Running::begin(begun.host, begun.socket, begun.metrics);
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
