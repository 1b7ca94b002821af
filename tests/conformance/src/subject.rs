//! A provider under test: the host's calls, made one after the other or from many threads, with everything that they make
//! put down in the ledger.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_plugin_api::{
    Clause, ErrorKind, Killed, ListedHandle, RunRequest, ServerAddress, ServerRequest, WorkerStatus,
};
use longshore_providers::{Call, CallError, CallScope, Launched, Provider, Violation};
use serde_json::{Map, Value};

use crate::{
    bench::Bench,
    ledger::{Entry, Place},
    verdict::{Must as _, Verdict, breach, demand},
};

/// A handle.
pub(crate) type Handle = Arc<str>;

/// How long an instance may take to shut down: "within seconds" (LOAD-9).
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(10);

/// A provider under test. It may be used from many threads.
#[derive(Clone, Debug)]
pub(crate) struct Subject<'b> {
    bench: &'b Bench,
    provider: Arc<Provider>,
    /// Its configuration, where it is not the check's own.
    config: Option<Arc<Map<String, Value>>>,
}

/// A `run` that is under way.
#[derive(Debug)]
pub(crate) struct Running<'b> {
    bench: &'b Bench,
    place: Place,
    token: String,
    call: Call<Launched>,
}

impl Running<'_> {
    /// Tells the provider that the answer is no longer wanted.
    pub(crate) fn cancel(&self) {
        self.call.cancel();
    }

    /// The answer of the plugin itself, however late, and what it made in the ledger.
    ///
    /// # Errors
    ///
    /// Outer: the harness's; inner: the call's.
    pub(crate) fn answer(self) -> Verdict<Result<Launched, CallError>> {
        let answer = self.bench.runtime().block_on(self.call.late());
        self.bench.progress("-");
        note(self.bench, &self.place, &self.token, &answer)?;
        Ok(answer)
    }
}

/// Puts down what a run made, and whether that is all.
fn note(bench: &Bench, place: &Place, token: &str, answer: &Result<Launched, CallError>) -> Verdict {
    if let Ok(Launched { handles, .. }) | Err(CallError::Violation(Violation { claimed: handles, .. })) =
        answer
    {
        let handles = handles.iter().map(|(handle, _)| handle.to_string()).collect();
        bench.ledger().note(&Entry::Made { place: place.clone(), handles })?;
    }
    let is_settled = match answer {
        Ok(_) | Err(CallError::NotSent { .. }) => true,
        Err(CallError::Failed(error)) => !matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Panic),
        Err(_) => false,
    };
    if is_settled { bench.ledger().note(&Entry::Settled { token: token.to_owned() }) } else { Ok(()) }
}

/// A function that answers for handles.
macro_rules! of_handles {
    ($($(#[$doc:meta])* $name:ident -> $answer:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(&self, cluster: &str, handles: &[Handle]) -> Result<Vec<$answer>, CallError> {
            self.call(stringify!($name), || self.provider.$name(&self.scope(cluster), handles))
        }
    )*};
}

/// A function of a cluster.
macro_rules! of_cluster {
    ($($(#[$doc:meta])* $name:ident -> $answer:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(&self, cluster: &str) -> Result<$answer, CallError> {
            self.call(stringify!($name), || self.provider.$name(&self.scope(cluster)))
        }
    )*};
}

impl<'b> Subject<'b> {
    /// `config` is its configuration, where it is not the check's own.
    pub(crate) fn new(bench: &'b Bench, provider: Arc<Provider>, config: Option<Map<String, Value>>) -> Self {
        Self { bench, provider, config: config.map(Arc::new) }
    }

    /// Where something is made.
    fn place(&self, cluster: &str) -> Place {
        Place { cluster: cluster.to_owned(), config: self.config.as_deref().cloned() }
    }

    /// The host's side of it.
    pub(crate) fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    fn scope(&self, cluster: &str) -> CallScope {
        scope_within(cluster, self.bench.quirks().call)
    }

    /// Waits for a call, and, where it is late, for as long again, so that nothing of it comes after the check.
    /// It is put down before it is sent: it may end the process.
    fn call<T>(&self, name: &str, send: impl FnOnce() -> Call<T>) -> Result<T, CallError> {
        self.bench.progress(name);
        let mut call = send();
        let answer = self.bench.runtime().block_on(call.reply());
        if matches!(answer, Err(CallError::Deadline { .. })) {
            let late = async { tokio::time::timeout(self.bench.quirks().call, call.late()).await };
            drop(self.bench.runtime().block_on(late));
        }
        self.bench.progress("-");
        answer
    }

    /// `run`, after `initialize` where the cluster is new and the plugin has it, as a host does.
    pub(crate) fn run(&self, cluster: &str, request: &RunRequest) -> Verdict<Result<Launched, CallError>> {
        let running = match self.begin_run(cluster, request, self.bench.quirks().call)? {
            Ok(running) => running,
            Err(error) => return Ok(Err(error)),
        };
        let Running { bench, place, token, mut call } = running;
        let answer = bench.runtime().block_on(call.reply());
        if matches!(answer, Err(CallError::Deadline { .. })) {
            // What it makes late is in the ledger; what it has not said by then is found by a list.
            let late = async { tokio::time::timeout(bench.quirks().call, call.late()).await };
            if let Ok(late) = bench.runtime().block_on(late) {
                note(bench, &place, &token, &late)?;
            }
        } else {
            note(bench, &place, &token, &answer)?;
        }
        bench.progress("-");
        Ok(answer)
    }

    /// Begins a `run` with a budget, and does not wait for it. The outer error is the harness's, the inner one that of
    /// `initialize`, where that comes first.
    pub(crate) fn begin_run(
        &self,
        cluster: &str,
        request: &RunRequest,
        budget: Duration,
    ) -> Verdict<Result<Running<'b>, CallError>> {
        if let Err(error) = self.prepare(cluster) {
            return Ok(Err(error));
        }
        let (place, token) = (self.place(cluster), request.token.as_str().to_owned());
        self.bench.ledger().note(&Entry::Launching { place: place.clone(), token: token.clone() })?;
        self.bench.progress("run");
        let call = self.provider.run(&scope_within(cluster, budget), request.clone());
        Ok(Ok(Running { bench: self.bench, place, token, call }))
    }

    /// `initialize`, where the cluster is new and the plugin has it, as a host does before it launches anything.
    pub(crate) fn prepare(&self, cluster: &str) -> Result<(), CallError> {
        if self.provider.has_initialize() && self.bench.prepare(cluster) {
            return self.initialize(cluster);
        }
        Ok(())
    }

    of_handles! {
        /// `status`.
        status -> WorkerStatus;
        /// `kill`.
        kill -> Killed;
        /// `is_initializing`.
        is_initializing -> bool;
        /// `is_running`.
        is_running -> bool;
        /// `is_stopped`.
        is_stopped -> bool;
    }

    of_cluster! {
        /// `initialize`.
        initialize -> ();
        /// `list`.
        list -> Vec<ListedHandle>;
        /// `stop_server`.
        stop_server -> ();
        /// `server_status`.
        server_status -> WorkerStatus;
        /// `server_address`.
        server_address -> Option<ServerAddress>;
    }

    /// `run_server`, after `initialize` where the cluster is new and the plugin has it.
    pub(crate) fn run_server(
        &self,
        cluster: &str,
        request: &ServerRequest,
    ) -> Verdict<Result<(), CallError>> {
        if let Err(error) = self.prepare(cluster) {
            return Ok(Err(error));
        }
        self.bench.ledger().note(&Entry::Server { place: self.place(cluster) })?;
        Ok(self.call("run_server", || self.provider.run_server(&self.scope(cluster), request.clone())))
    }

    /// `cleanup`.
    pub(crate) fn cleanup(&self, cluster: &str, deep: bool) -> Result<(), CallError> {
        self.call("cleanup", || self.provider.cleanup(&self.scope(cluster), deep))
    }

    /// Shuts the instance down; whether it was gone within [`SHUTDOWN`]. No other clone of it may be left.
    pub(crate) fn shut_down(self) -> bool {
        self.bench.progress("drop");
        let gone = self.bench.runtime().block_on(self.provider.shut_down(SHUTDOWN));
        self.bench.progress("-");
        gone
    }

    /// Launches so many workers of the plain container and demands that all are there: each container's handle once.
    pub(crate) fn up(&self, cluster: &str, workers: u32) -> Verdict<Vec<Handle>> {
        self.up_of(cluster, &self.bench.request(workers))
    }

    /// As [`up`](Self::up), of a request.
    pub(crate) fn up_of(&self, cluster: &str, request: &RunRequest) -> Verdict<Vec<Handle>> {
        Ok(self.whole(cluster, request)?.into_iter().map(|(handle, _)| handle).collect())
    }

    /// As [`up_of`](Self::up_of), each container's handle with the number of its workers.
    pub(crate) fn whole(&self, cluster: &str, request: &RunRequest) -> Verdict<Vec<(Handle, u32)>> {
        let expected = format!("a run of {} workers launches them", request.workers);
        let launched = self.run(cluster, request)?.must(Clause::RunCount, &expected)?;
        if let Some(shortfall) = &launched.shortfall {
            let seen = format!(
                "it answered with {} of them, and the shortfall: {}; where fewer may be had, say `most_workers` in the \
                 quirks file",
                launched.workers(),
                shortfall.reason
            );
            return breach(Clause::RunCount, expected, seen);
        }
        Ok(launched.handles)
    }

    /// Waits until all are running. Where one stops instead, `clause` is broken.
    pub(crate) fn wait_running(&self, cluster: &str, handles: &[Handle], clause: Clause) -> Verdict {
        let limit = self.bench.quirks().start;
        let expected =
            format!("workers run within {limit:?} (`start` of the quirks file), and go on running");
        let mut last = Vec::new();
        let running = self.bench.poll(limit, || {
            last = self.status(cluster, handles).must(clause, &expected)?;
            if let Some(place) = last.iter().position(|status| *status == WorkerStatus::Stopped) {
                let seen = format!("the worker {} has stopped", handles[place]);
                return breach(clause, &expected, seen);
            }
            Ok(last.iter().all(|status| *status == WorkerStatus::Running).then_some(()))
        })?;
        demand(running.is_some(), clause, &expected, || {
            let waiting = last.iter().filter(|status| **status != WorkerStatus::Running).count();
            format!("{waiting} of {} were still initializing", handles.len())
        })
    }

    /// Waits until all have stopped, for at most the grace. Where one has not, `clause` is broken.
    pub(crate) fn wait_stopped(&self, cluster: &str, handles: &[Handle], clause: Clause) -> Verdict {
        let limit = self.bench.quirks().grace;
        let expected = format!("killed workers have stopped within {limit:?} (`grace` of the quirks file)");
        let begin = Instant::now();
        let mut last = Vec::new();
        let stopped = self.bench.poll(limit, || {
            last = self.status(cluster, handles).must(clause, &expected)?;
            Ok(last.iter().all(|status| *status == WorkerStatus::Stopped).then_some(()))
        })?;
        demand(stopped.is_some(), clause, &expected, || {
            let alive = last.iter().position(|status| *status != WorkerStatus::Stopped).unwrap_or_default();
            format!("after {:?} the worker {} was still {}", begin.elapsed(), handles[alive], last[alive])
        })
    }

    /// The cluster's list. One that fails is asked for again, since a provider that is not sure must fail (LIST-4), but not
    /// for longer than a worker may take to start. Where it never succeeds, `clause` is broken.
    pub(crate) fn listed(&self, cluster: &str, clause: Clause) -> Verdict<Vec<ListedHandle>> {
        let expected = "list succeeds, if not at once, then after a while";
        let mut last = None;
        let listed = self.bench.poll(self.bench.quirks().start, || match self.list(cluster) {
            Ok(listed) => Ok(Some(listed)),
            Err(error @ CallError::Failed(_)) if !is_panic(&error) => {
                last = Some(error);
                Ok(None)
            }
            Err(error) => Err::<Vec<ListedHandle>, _>(error).must(clause, expected).map(Some),
        })?;
        match (listed, last) {
            (Some(listed), _) => Ok(listed),
            (None, Some(error)) => Err(error).must(clause, expected),
            (None, None) => breach(clause, expected, "it was never answered"),
        }
    }

    /// Kills, and demands a yes for each.
    pub(crate) fn kill_all(&self, cluster: &str, handles: &[Handle], clause: Clause) -> Verdict {
        let expected = format!("a kill of {} handles answers yes for each", handles.len());
        let killed = self.kill(cluster, handles).must(clause, &expected)?;
        for (handle, killed) in handles.iter().zip(killed) {
            if let Killed::No(why) = killed {
                return breach(clause, &expected, format_args!("for {handle} it answered no: {why}"));
            }
        }
        Ok(())
    }

    /// Kills, and waits until all have stopped.
    pub(crate) fn down(&self, cluster: &str, handles: &[Handle]) -> Verdict {
        self.kill_all(cluster, handles, Clause::KillTrue)?;
        self.wait_stopped(cluster, handles, Clause::KillTrue)
    }
}

/// Whether a call ended in a panic of the plugin's.
pub(crate) fn is_panic(error: &CallError) -> bool {
    matches!(error, CallError::Failed(error) if error.kind() == ErrorKind::Panic)
}

/// Texts as handles.
pub(crate) fn handles<T: AsRef<str>>(texts: &[T]) -> Vec<Handle> {
    texts.iter().map(|text| Handle::from(text.as_ref())).collect()
}

/// The scope of a call that may take so long.
fn scope_within(cluster: &str, budget: Duration) -> CallScope {
    CallScope { cluster: cluster.into(), budget, verbose: 1 }
}
