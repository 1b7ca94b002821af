//! A provider that is made up, with a clock of its own, and with one fault where a test plants it.

use std::time::Duration;

use longshore_plugin_api::{
    Container, Error, Hardware, Killed, LaunchToken, ListedHandle, RunRequest, WorkerStatus,
};
use longshore_providers::{CallError, Launched};

use crate::{subject::Handle, verdict::Verdict};

use super::{
    backend::{Backend, Facts},
    operation::CLUSTERS,
};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Kill says yes and does nothing.
    KillLies,
    /// Kill answers no for what it does not know.
    KillOfUnknownFails,
    /// Kill kills the next container of the cluster too.
    KillTakesTheNext,
    /// Kill answers no, for ever.
    KillRefuses,
    /// What has stopped runs again when an instance is made anew.
    TheDeadRise,
    /// What runs is initializing again when an instance is made anew.
    WayBack,
    /// What runs is stopped when an instance is made anew.
    DiesWithTheInstance,
    /// What is not known runs.
    UnknownRuns,
    /// The statuses of several handles stand in the opposite order.
    StatusReversed,
    /// Instance B knows of nobody's workers but its own.
    BlindB,
    /// A token that is sent again launches again, behind the same answer.
    TokenLaunchesTwice,
    /// A token that is sent again launches again, and says so.
    TokenAnswersAnew,
    /// A handle is used again when its container has stopped.
    HandleComesTwice,
    /// One more container than asked for.
    OneMore,
    /// One container where none was asked for.
    OneForNone,
    /// The list ends after three launches.
    ListOfThree,
    /// An instance that was made anew lists nothing of before.
    ListForgets,
    /// The list names both clusters'.
    ListOfAll,
    /// The list names the dead as well.
    ListOfTheDead,
    /// The list counts one worker for each handle.
    ListCountsOne,
    /// The list leaves out what was killed at once, though it lives on for a while.
    ListHidesTheDying,
    /// Workers never come to run.
    NeverRuns,
}

#[derive(Clone, Debug)]
struct Boxed {
    handle: Handle,
    cluster: usize,
    instance: usize,
    token: LaunchToken,
    workers: u32,
    born: Duration,
    killed: Option<Duration>,
    refusals: u32,
    /// What a fault has made of it.
    forced: Option<WorkerStatus>,
    lives: Vec<u32>,
}

/// The provider.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) facts: Facts,
    pub(super) fault: Option<Fault>,
    /// How long a worker takes to run, and to stop.
    pub(super) starts: Duration,
    pub(super) stops: Duration,
    /// How often each handle's kill is answered with no first.
    pub(super) refuses: u32,
    now: Duration,
    boxes: Vec<Boxed>,
    launches: Vec<(RunRequest, Vec<(Handle, u32)>)>,
    lives: Vec<u32>,
    next: u32,
}

impl Fake {
    pub(super) fn new(fault: Option<Fault>) -> Self {
        let facts = Facts {
            instances: 2,
            renews: true,
            lists: true,
            idempotent: true,
            most: 12,
            start: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        };
        Self {
            facts,
            fault,
            starts: Duration::from_millis(30),
            stops: Duration::from_millis(20),
            refuses: 0,
            now: Duration::ZERO,
            boxes: Vec::new(),
            launches: Vec::new(),
            lives: vec![0; 2],
            next: 0,
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// A call takes a moment.
    fn tick(&mut self) {
        self.now += Duration::from_millis(1);
    }

    fn state(&self, of: &Boxed) -> WorkerStatus {
        if let Some(forced) = of.forced {
            return forced;
        }
        if of.killed.is_some_and(|killed| self.now >= killed + self.stops) && !self.is(Fault::KillLies) {
            return WorkerStatus::Stopped;
        }
        if self.now >= of.born + self.starts && !self.is(Fault::NeverRuns) {
            return WorkerStatus::Running;
        }
        WorkerStatus::Initializing
    }

    fn launch(
        &mut self,
        instance: usize,
        cluster: usize,
        request: &RunRequest,
        sizes: &[u32],
    ) -> Vec<(Handle, u32)> {
        let mut handles = Vec::new();
        for workers in sizes {
            let reused = self.boxes.iter().find(|it| self.state(it) == WorkerStatus::Stopped);
            let handle = match reused {
                Some(old) if self.is(Fault::HandleComesTwice) => Handle::clone(&old.handle),
                _ => {
                    self.next += 1;
                    format!("box-{}", self.next).into()
                }
            };
            self.boxes.push(Boxed {
                handle: Handle::clone(&handle),
                cluster,
                instance,
                token: request.token.clone(),
                workers: *workers,
                born: self.now,
                killed: None,
                refusals: 0,
                forced: None,
                lives: self.lives.clone(),
            });
            handles.push((handle, *workers));
        }
        handles
    }
}

impl Backend for Fake {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn pause(&mut self) {
        self.now += Duration::from_millis(40);
    }

    fn begin(&mut self) -> Verdict {
        self.boxes.clear();
        self.launches.clear();
        Ok(())
    }

    fn end(&mut self) {
        self.boxes.clear();
    }

    fn request(&mut self, workers: u32, each: u32) -> RunRequest {
        let container = Container { max_workers: Some(each), ..Container::default() };
        let token = LaunchToken::new(format!("t{}", self.launches.len() + 1));
        RunRequest { container, hardware: Hardware::default(), workers, token }
    }

    fn nobody(&self, number: usize) -> Handle {
        format!("nobody-{number}").into()
    }

    fn run(
        &mut self,
        instance: usize,
        cluster: usize,
        request: &RunRequest,
    ) -> Verdict<Result<Launched, CallError>> {
        self.tick();
        let mut sizes: Vec<u32> = request.containers().collect();
        let first = self.launches.iter().find(|(known, _)| known.token == request.token);
        if let Some((_, handles)) = first {
            let handles = handles.clone();
            if self.is(Fault::TokenAnswersAnew) {
                let handles = self.launch(instance, cluster, request, &sizes);
                return Ok(Ok(Launched { handles, shortfall: None }));
            }
            if self.is(Fault::TokenLaunchesTwice) {
                self.launch(instance, cluster, request, &sizes);
            }
            return Ok(if self.facts.idempotent {
                Ok(Launched { handles, shortfall: None })
            } else {
                Err(CallError::Failed(Error::permanent("the token was used")))
            });
        }
        if self.is(Fault::OneForNone) && sizes.is_empty() || self.is(Fault::OneMore) && !sizes.is_empty() {
            sizes.push(1);
        }
        let mut handles = self.launch(instance, cluster, request, &sizes);
        handles.truncate(request.containers().count());
        self.launches.push((request.clone(), handles.clone()));
        Ok(Ok(Launched { handles, shortfall: None }))
    }

    fn status(
        &mut self,
        instance: usize,
        _cluster: usize,
        handles: &[Handle],
    ) -> Result<Vec<WorkerStatus>, CallError> {
        self.tick();
        let unknown = if self.is(Fault::UnknownRuns) { WorkerStatus::Running } else { WorkerStatus::Stopped };
        let of = |handle: &Handle| {
            let found = self.boxes.iter().rev().find(|it| it.handle == *handle);
            let found = found.filter(|it| !self.is(Fault::BlindB) || instance == 0 || it.instance == 1);
            found.map_or(unknown, |it| self.state(it))
        };
        let mut statuses: Vec<WorkerStatus> = handles.iter().map(of).collect();
        if self.is(Fault::StatusReversed) {
            statuses.reverse();
        }
        Ok(statuses)
    }

    fn kill(
        &mut self,
        _instance: usize,
        cluster: usize,
        handles: &[Handle],
    ) -> Result<Vec<Killed>, CallError> {
        self.tick();
        let now = self.now;
        let (takes_the_next, refuses) = (self.is(Fault::KillTakesTheNext), self.is(Fault::KillRefuses));
        let mut answers = Vec::new();
        for handle in handles {
            let Some(place) = self.boxes.iter().rposition(|it| it.handle == *handle) else {
                let fails = self.is(Fault::KillOfUnknownFails);
                answers.push(if fails { Killed::No("it is not known".to_owned()) } else { Killed::Yes });
                continue;
            };
            let found = &mut self.boxes[place];
            if found.killed.is_none() && (found.refusals < self.refuses || refuses) {
                found.refusals += 1;
                answers.push(Killed::No("not now".to_owned()));
                continue;
            }
            found.killed.get_or_insert(now);
            answers.push(Killed::Yes);
            let next = self.boxes.iter_mut().skip(place + 1).find(|it| it.cluster == cluster);
            if let Some(next) = next.filter(|_| takes_the_next) {
                next.killed.get_or_insert(now);
            }
        }
        Ok(answers)
    }

    fn list(&mut self, instance: usize, cluster: usize) -> Verdict<Vec<ListedHandle>> {
        self.tick();
        let three: Vec<LaunchToken> =
            self.launches.iter().take(3).map(|(request, _)| request.token.clone()).collect();
        let is_named = |it: &&Boxed| {
            (it.cluster == cluster || self.is(Fault::ListOfAll))
                && (self.state(it) != WorkerStatus::Stopped || self.is(Fault::ListOfTheDead))
                && !(self.is(Fault::ListHidesTheDying) && it.killed.is_some())
                && !(self.is(Fault::ListForgets) && it.lives[instance] < self.lives[instance])
                && (!self.is(Fault::ListOfThree) || three.contains(&it.token))
        };
        let entries = self.boxes.iter().filter(is_named).map(|it| ListedHandle {
            handle: it.handle.to_string(),
            token: it.token.clone(),
            workers: if self.is(Fault::ListCountsOne) { 1 } else { it.workers },
        });
        Ok(entries.collect())
    }

    fn renew(&mut self, instance: usize) -> Verdict {
        self.tick();
        self.lives[instance] += 1;
        let states: Vec<WorkerStatus> = self.boxes.iter().map(|it| self.state(it)).collect();
        for (it, state) in self.boxes.iter_mut().zip(states) {
            match (self.fault, state) {
                (Some(Fault::TheDeadRise), WorkerStatus::Stopped) => it.forced = Some(WorkerStatus::Running),
                (Some(Fault::WayBack), WorkerStatus::Running) => it.forced = Some(WorkerStatus::Initializing),
                (Some(Fault::DiesWithTheInstance), _) => it.forced = Some(WorkerStatus::Stopped),
                _ => {}
            }
        }
        Ok(())
    }
}

const _: () = assert!(CLUSTERS == 2);
