//! Ends containers, all of a call in one go: SIGTERM to every process of each, the grace for all together, then SIGKILL,
//! and an answer only once nobody is left.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use longshore_plugin_api::{Context, Error, Killed};
use rustix::process::Signal;

use crate::{
    folder::{State, Target},
    group::{self, KnownTags, Remains, Snapshot},
    names::Spot,
    store::Store,
};

/// How long to wait between two looks at the processes: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// How long a process may take to vanish after SIGKILL: longer only where it waits for a device.
const VANISH_LIMIT: Duration = Duration::from_secs(10);
/// How many looks in a row must find nobody: one look may miss a process that is made while it is taken.
const LOOKS: u8 = 2;

/// How long to look again at processes of which it cannot be told whose they are: that may pass.
const DOUBT_LIMIT: Duration = Duration::from_secs(1);

/// When each container was asked to end, by its tag. So a kill that is asked for again neither signals again nor begins the
/// grace anew.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<HashMap<String, Instant>>);

impl Asked {
    /// When it was asked; `true` when that is now.
    fn ask(&self, tag: &str) -> (Instant, bool) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = asked.get(tag) {
            return (*at, false);
        }
        let now = Instant::now();
        asked.insert(tag.to_owned(), now);
        (now, true)
    }

    /// Whether it was asked and has not been seen to be gone.
    pub(crate) fn contains(&self, tag: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(tag)
    }

    /// Forgets those asked longer than `age` ago: another host on the same folder has seen to them.
    pub(crate) fn forget_older(&self, age: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, at| at.elapsed() < age);
    }

    fn forget(&self, tag: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(tag);
    }
}

/// What ends containers: whoever shares one shares the memory of who was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Killer<'a> {
    pub(crate) store: &'a Store,
    pub(crate) grace: Duration,
    pub(crate) asked: &'a Asked,
}

/// How far a container has come towards its end.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nobody was there at this look.
    Nobody,
    /// Somebody is; what the last signal met with, if it failed.
    Somebody { since: Instant, trouble: Option<String> },
    /// Nobody can tell whose the processes are that are there.
    Doubtful(String),
}

/// A container of a call.
struct Case<'a> {
    spot: Spot<'a>,
    target: Target,
    /// How many looks in a row found nobody.
    looks: u8,
    /// Since when it cannot be told whose its processes are.
    doubted: Option<Instant>,
    /// What the last look found.
    last: Progress,
    answer: Option<Killed>,
}

impl<'a> Case<'a> {
    fn new(spot: Spot<'a>, target: Target) -> Self {
        Self { spot, target, looks: 0, doubted: None, last: Progress::Nobody, answer: None }
    }
}

impl Killer<'_> {
    /// Kills the containers of all handles, and answers for each, in order.
    pub(crate) fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        let spots: Vec<_> = handles.iter().map(|handle| Spot::of_handle(ctx.cluster(), handle)).collect();
        let ours: Vec<Spot<'_>> = spots.iter().flatten().copied().collect();
        let mut answers = self.end(ctx, &ours)?.into_iter();
        // What is no handle of ours has nothing to stop.
        let answer = |spot: Option<Spot<'_>>| spot.and_then(|_| answers.next()).unwrap_or(Killed::Yes);
        Ok(spots.into_iter().map(answer).collect())
    }

    /// Ends containers, and answers for each, in order.
    pub(crate) fn end(&self, ctx: &Context<'_>, spots: &[Spot<'_>]) -> Result<Vec<Killed>, Error> {
        let mut answers: HashMap<Spot<'_>, Killed> = HashMap::with_capacity(spots.len());
        // Those about to start may have to be waited for, which must not keep the others alive.
        let mut about_to_start = Vec::new();
        let mut cases = Vec::new();
        for spot in spots {
            if answers.insert(*spot, Killed::Yes).is_some() {
                continue;
            }
            match self.store.state(*spot) {
                Ok(State::Waiting) => about_to_start.push(*spot),
                state => self.open_case(*spot, state, &mut cases, &mut answers),
            }
        }
        self.close_cases(ctx, &mut cases)?;
        for spot in about_to_start {
            let state = self.call_off(ctx, spot);
            self.open_case(spot, state, &mut cases, &mut answers);
        }
        self.close_cases(ctx, &mut cases)?;
        answers.extend(cases.into_iter().filter_map(|case| Some((case.spot, case.answer?))));
        Ok(spots.iter().map(|spot| answers.get(spot).cloned().unwrap_or(Killed::Yes)).collect())
    }

    /// Makes a case of a container of which something may be left.
    fn open_case<'s>(
        &self,
        spot: Spot<'s>,
        state: Result<State, Error>,
        cases: &mut Vec<Case<'s>>,
        answers: &mut HashMap<Spot<'s>, Killed>,
    ) {
        match state.and_then(|state| self.store.target(spot, &state)) {
            Ok(Some(target)) => cases.push(Case::new(spot, target)),
            Ok(None) => {}
            Err(error) => {
                answers.insert(spot, Killed::No(error.to_string()));
            }
        }
    }

    /// Sees to it that a container that has not started never does. Under the launch's lock it cannot be on its way: it
    /// has started meanwhile, or its launch was cut off.
    fn call_off(&self, ctx: &Context<'_>, spot: Spot<'_>) -> Result<State, Error> {
        let locked = self.store.lock(ctx, spot.unit)?;
        match locked.folder.state(spot.index)? {
            State::Waiting => locked.folder.mark_over(spot.index).map(|()| State::Over),
            state => Ok(state),
        }
    }

    /// Ends every case, or says why not.
    fn close_cases(&self, ctx: &Context<'_>, cases: &mut [Case<'_>]) -> Result<(), Error> {
        let mut known = KnownTags::new();
        let mut pause = PAUSES.0;
        loop {
            let open: Vec<&Target> =
                cases.iter().filter(|case| case.answer.is_none()).map(|case| &case.target).collect();
            if open.is_empty() {
                return Ok(());
            }
            let snapshot = Snapshot::take(&open, &mut known)
                .map_err(|error| Error::unreachable(format_args!("cannot read /proc: {error}")))?;
            let mut next: Option<Instant> = None;
            for case in cases.iter_mut().filter(|case| case.answer.is_none()) {
                case.last = self.advance(&snapshot, &case.target);
                let due = self.judge(case);
                next = next.into_iter().chain(due).min();
            }
            // Where nobody is left, all that is missing is another look; where somebody is, one is due when a grace ends.
            let Some(next) = next else {
                thread::sleep(PAUSES.0);
                continue;
            };
            let until_next = next.saturating_duration_since(Instant::now());
            let wait = if until_next.is_zero() { pause } else { pause.min(until_next) };
            if ctx.sleep(wait).is_err() {
                for case in cases.iter_mut().filter(|case| case.answer.is_none()) {
                    case.answer = Some(Killed::No(self.unfinished(case)));
                }
                return Ok(());
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Draws the conclusions of the last look at a case. Gives when something is due, while it has to be waited for.
    fn judge(&self, case: &mut Case<'_>) -> Option<Instant> {
        match &case.last {
            Progress::Nobody => {
                case.looks += 1;
                if case.looks >= LOOKS {
                    case.answer = Some(Killed::Yes);
                    self.settle(case.spot, &case.target);
                }
                None
            }
            Progress::Doubtful(why) => {
                case.looks = 0;
                let until = *case.doubted.get_or_insert_with(Instant::now) + DOUBT_LIMIT;
                if Instant::now() >= until {
                    case.answer = Some(Killed::No(why.clone()));
                }
                Some(until)
            }
            Progress::Somebody { since, trouble } => {
                case.looks = 0;
                if since.elapsed() > self.grace + VANISH_LIMIT {
                    let why = trouble.as_deref().unwrap_or("it was killed, and is still there");
                    case.answer = Some(Killed::No(format!(
                        "process {} does not end: {why}; look at its state",
                        case.target.leader.pid
                    )));
                }
                Some(*since + self.grace)
            }
        }
    }

    /// Does what is due for one container, by one look: SIGTERM the first time, SIGKILL from the end of the grace on.
    pub(crate) fn advance(&self, snapshot: &Snapshot, target: &Target) -> Progress {
        if let Some(leader) = snapshot.leader(target) {
            leader.reap();
        }
        let processes = match snapshot.remains(target) {
            Remains::Nothing => return Progress::Nobody,
            Remains::Doubtful(count) => {
                return Progress::Doubtful(format!(
                    "the first process, {}, has ended; of {count} others in a session of that number none can be told to \
                     be the container's, so none was signalled",
                    target.leader.pid
                ));
            }
            Remains::Ours(processes) => processes,
        };
        let (since, is_first) = self.asked.ask(&target.tag);
        let mut trouble = None;
        if since.elapsed() >= self.grace {
            trouble = group::signal(target, &processes, Signal::KILL);
        } else if is_first {
            // One that is halted hears of SIGTERM only when it goes on.
            trouble = group::signal(target, &processes, Signal::TERM);
            trouble = group::signal(target, &processes, Signal::CONT).or(trouble);
        }
        Progress::Somebody { since, trouble: trouble.map(|error| error.to_string()) }
    }

    /// Notes that nothing is left of a container.
    pub(crate) fn settle(&self, spot: Spot<'_>, target: &Target) {
        self.asked.forget(&target.tag);
        // Of what is noted as over, nobody looks for a zombie any more.
        if !target.leader.lay_to_rest() {
            return;
        }
        let noted = match self.store.find(spot.unit) {
            Ok(Some(folder)) => folder.mark_over(spot.index),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            // It is only a shortcut for those who look later.
            tracing::debug!("{error}");
        }
    }

    /// Why a case is not at its end when the call is.
    fn unfinished(&self, case: &Case<'_>) -> String {
        let why = match &case.last {
            Progress::Nobody => "it has ended, which is to be confirmed".to_owned(),
            Progress::Doubtful(why) => why.clone(),
            Progress::Somebody { since, .. } => {
                let left = self.grace.saturating_sub(since.elapsed()).as_secs_f64();
                format!(
                    "process {} was asked to end, and has {left:.1} s of its grace left",
                    case.target.leader.pid
                )
            }
        };
        format!("{why}; the call was over before; kill it again")
    }
}
