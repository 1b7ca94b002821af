//! What a sequence is played against: the provider under test, or, in the tests of this check, one that is made up.

use std::time::{Duration, Instant};

use longshore_plugin_api::{Clause, Killed, ListedHandle, RunRequest, WorkerStatus};
use longshore_providers::{CallError, Launched};

use crate::{
    bench::Bench,
    quirks::Outlives,
    subject::{Handle, SHUTDOWN, Subject},
    verdict::{Verdict, demand, fault},
};

use super::operation::CLUSTERS;

/// How long the end of a sequence that failed may wait for its workers to stop, lest they get into the way of the next.
const AFTERMATH: Duration = Duration::from_secs(2);

/// What is known of it beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// One, or two that see the same workers.
    pub(super) instances: usize,
    /// Whether workers outlive their instance.
    pub(super) renews: bool,
    pub(super) lists: bool,
    pub(super) idempotent: bool,
    /// The most workers at a time.
    pub(super) most: u32,
    /// How long a worker may take to run, and a killed one to stop.
    pub(super) start: Duration,
    pub(super) grace: Duration,
}

/// What a sequence is played against. Instances and clusters are numbers below [`Facts::instances`] and [`CLUSTERS`].
pub(super) trait Backend {
    fn facts(&self) -> Facts;

    /// The time since some moment.
    fn now(&self) -> Duration;

    /// Waits a little.
    fn pause(&mut self);

    /// Begins a sequence: with clusters that nobody has used, and new instances.
    fn begin(&mut self) -> Verdict;

    /// Ends it: whatever was made is killed. Says nothing of what fails then.
    fn end(&mut self);

    /// A request for so many workers, at most so many in a container, under a fresh token.
    fn request(&mut self, workers: u32, each: u32) -> RunRequest;

    /// A text that is nobody's handle.
    fn nobody(&self, number: usize) -> Handle;

    fn run(
        &mut self,
        instance: usize,
        cluster: usize,
        request: &RunRequest,
    ) -> Verdict<Result<Launched, CallError>>;

    fn status(
        &mut self,
        instance: usize,
        cluster: usize,
        handles: &[Handle],
    ) -> Result<Vec<WorkerStatus>, CallError>;

    fn kill(&mut self, instance: usize, cluster: usize, handles: &[Handle])
    -> Result<Vec<Killed>, CallError>;

    /// The list, of a provider that has it; asked for again where it fails at first.
    fn list(&mut self, instance: usize, cluster: usize) -> Verdict<Vec<ListedHandle>>;

    /// Drops an instance and makes it anew.
    fn renew(&mut self, instance: usize) -> Verdict;
}

/// The provider under test.
#[derive(Debug)]
pub(super) struct Real<'b> {
    bench: &'b Bench,
    most: u32,
    instances: Vec<Option<Subject<'b>>>,
    clusters: [String; CLUSTERS],
    /// What the sequence made, and in which cluster.
    made: Vec<(usize, Handle)>,
    began: Instant,
}

impl<'b> Real<'b> {
    pub(super) fn new(bench: &'b Bench, most: u32) -> Self {
        Self {
            bench,
            most,
            instances: Vec::new(),
            clusters: Default::default(),
            made: Vec::new(),
            began: Instant::now(),
        }
    }

    /// An instance that is there, as all are between `begin` and `end`.
    fn instance(&self, number: usize) -> Verdict<&Subject<'b>> {
        match self.instances.get(number).and_then(Option::as_ref) {
            Some(subject) => Ok(subject),
            None => fault(format_args!("the sequence has no instance {number}")),
        }
    }
}

impl Backend for Real<'_> {
    fn facts(&self) -> Facts {
        let quirks = self.bench.quirks();
        let metadata = self.bench.library().map(|library| library.metadata().clone()).ok();
        let outlives = quirks.outlives >= Outlives::Instance;
        Facts {
            instances: if outlives { 2 } else { 1 },
            renews: outlives,
            lists: metadata.as_ref().is_some_and(|it| it.has("longshore.list/1")),
            idempotent: metadata.as_ref().is_some_and(|it| it.idempotent_run),
            most: self.most,
            start: quirks.start,
            grace: quirks.grace,
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn pause(&mut self) {
        std::thread::sleep(self.bench.quirks().poll);
    }

    fn begin(&mut self) -> Verdict {
        // A library that cannot be loaded is told here.
        self.bench.library()?;
        self.clusters = std::array::from_fn(|_| self.bench.cluster());
        self.made.clear();
        self.instances.clear();
        for _ in 0..self.facts().instances {
            self.instances.push(Some(self.bench.provider()?));
        }
        Ok(())
    }

    fn end(&mut self) {
        let Some(subject) = self.instances.iter().flatten().next() else { return };
        for (number, cluster) in self.clusters.iter().enumerate() {
            let of_this = self.made.iter().filter(|(of, _)| *of == number);
            let mut handles: Vec<Handle> = of_this.map(|(_, handle)| Handle::clone(handle)).collect();
            if handles.is_empty() {
                continue;
            }
            if subject.provider().has_list() {
                let listed = subject.list(cluster).unwrap_or_default();
                let more = listed.into_iter().map(|entry| Handle::from(entry.handle));
                let more: Vec<Handle> = more.filter(|handle| !handles.contains(handle)).collect();
                handles.extend(more);
            }
            handles.reverse();
            drop(subject.kill(cluster, &handles));
            let stopped = self.bench.poll(AFTERMATH.min(self.bench.quirks().grace), || {
                let statuses = subject.status(cluster, &handles).unwrap_or_default();
                let alive = statuses.iter().any(|status| *status != WorkerStatus::Stopped);
                Ok((!alive).then_some(()))
            });
            // What is alive all the same is found by the sweep.
            drop(stopped);
        }
        self.made.clear();
        for subject in self.instances.drain(..).flatten() {
            subject.shut_down();
        }
    }

    fn request(&mut self, workers: u32, each: u32) -> RunRequest {
        let mut request = self.bench.request(workers);
        request.container.max_workers = Some(each);
        request
    }

    fn nobody(&self, number: usize) -> Handle {
        format!("nobody-{number}-{}", self.clusters[0]).into()
    }

    fn run(
        &mut self,
        instance: usize,
        cluster: usize,
        request: &RunRequest,
    ) -> Verdict<Result<Launched, CallError>> {
        let launched = self.instance(instance)?.run(&self.clusters[cluster], request)?;
        let handles = match &launched {
            Ok(launched) => launched.handles.as_slice(),
            Err(CallError::Violation(violation)) => violation.claimed.as_slice(),
            Err(_) => &[],
        };
        self.made.extend(handles.iter().map(|(handle, _)| (cluster, Handle::clone(handle))));
        Ok(launched)
    }

    fn status(
        &mut self,
        instance: usize,
        cluster: usize,
        handles: &[Handle],
    ) -> Result<Vec<WorkerStatus>, CallError> {
        self.instance(instance).map_err(|_| CallError::Gone)?.status(&self.clusters[cluster], handles)
    }

    fn kill(
        &mut self,
        instance: usize,
        cluster: usize,
        handles: &[Handle],
    ) -> Result<Vec<Killed>, CallError> {
        self.instance(instance).map_err(|_| CallError::Gone)?.kill(&self.clusters[cluster], handles)
    }

    fn list(&mut self, instance: usize, cluster: usize) -> Verdict<Vec<ListedHandle>> {
        let cluster = &self.clusters[cluster];
        let subject = self.instance(instance)?;
        // A host lists a cluster that it has prepared.
        drop(subject.prepare(cluster));
        subject.listed(cluster, Clause::ListComplete)
    }

    fn renew(&mut self, instance: usize) -> Verdict {
        let taken = self.instances.get_mut(instance).and_then(Option::take);
        if let Some(subject) = taken {
            demand(subject.shut_down(), Clause::LoadShutdown, Clause::LoadShutdown.text(), || {
                format!("an instance that was dropped was still there after {SHUTDOWN:?}")
            })?;
        }
        self.instances[instance] = Some(self.bench.provider()?);
        Ok(())
    }
}
