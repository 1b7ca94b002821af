//! The calls of a provider that is in a runner: those that wait, those that the runner has, and what becomes of each. Only as
//! many are let into the runner as it has threads for, so that what waits is certain not to have reached the plugin.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::Span;

use super::{
    clock,
    frame::{FrameError, decode, encode, encode_in},
    line::Line,
    reading::Place,
    wire::{Body, Outcome, ToRunner},
};
use crate::{
    ask::{Packing, Raw},
    call::Answer,
    check::MAX_ENTRIES,
    control::Control,
    error::{CallError, Function, NotSent},
    lanes::{Job, Lanes},
    log,
    pool::{CallLimits, ProviderLoad},
    seat::{End, Errand},
};

/// How long a runner may take to say how many calls are inside its plugin: who listens to the host has nothing else to do.
pub(super) const COUNT_LIMIT: Duration = Duration::from_millis(500);

/// How much longer a call that is past its deadline may be away, at most, because the host did not listen to its runner.
pub(super) const UNHEARD_LIMIT: Duration = Duration::from_secs(30);

/// About how many bytes a call is described with, its handles or its document not counted.
const HEADER: usize = 120;

/// The calls of one provider.
pub(super) struct Desk {
    state: Mutex<State>,
    next: AtomicU64,
    /// What the runner said last of the calls that it has.
    counts: watch::Sender<RunnerLoad>,
}

struct State {
    lanes: Lanes<Parcel>,
    sent: HashMap<u64, Sent>,
    way: Way,
    /// Whether the runner is asked how many calls are inside, and has not answered: one that never does is asked once.
    is_asked: bool,
}

/// Where the calls are that a runner has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerLoad {
    /// Inside the plugin, by the runner's word, as far as the host has let in so many.
    pub inside: usize,
    /// On their way there or back: in the socket, or waiting in the runner.
    pub on_the_way: usize,
}

/// The way to the runner.
enum Way {
    Open(Arc<Line>),
    /// Why there is none.
    Shut(NotSent),
}

/// A call that waits, ready to be sent.
struct Parcel {
    id: u64,
    frame: Vec<u8>,
    function: Function,
    span: Span,
    end: End,
}

/// A call that the runner has.
struct Sent {
    control: Arc<Control>,
    slow: bool,
    budget: Duration,
    function: Function,
    span: Span,
    end: End,
}

/// What a large answer is read with.
pub(super) struct Large {
    /// The memory that it may take.
    pub(super) place: Place,
    /// Who is told where it makes no sense. One such word is enough: there is room for no more.
    pub(super) nonsense: mpsc::Sender<FrameError>,
}

/// A call on its way to the runner.
struct Letter {
    line: Arc<Line>,
    id: u64,
    control: Arc<Control>,
    frame: Vec<u8>,
}

/// What is done once nobody has the lock.
#[derive(Default)]
struct Afterwards {
    letters: Vec<Letter>,
    /// Those that ended without an answer.
    ended: Vec<(End, Answer<Raw>)>,
}

impl Afterwards {
    fn end(&mut self, end: End, reason: NotSent) {
        self.ended.push((end, Err(CallError::NotSent { reason })));
    }

    fn carry_out(self) {
        for Letter { line, id, control, frame } in self.letters {
            line.send(Some(id), frame);
            let line = Arc::downgrade(&line);
            // Where it was cancelled meanwhile, that is told at once.
            control.when_cancelled(Box::new(move || {
                if let (Some(line), Ok(frame)) = (line.upgrade(), encode(&ToRunner::Cancel { id })) {
                    line.send(None, frame);
                }
            }));
        }
        for (end, answer) in self.ended {
            end(answer, None);
        }
    }
}

impl Desk {
    /// A desk without a way to any runner, for the reason that is given.
    pub(super) fn new(limits: CallLimits, why: NotSent) -> Self {
        let (lanes, sent) = (Lanes::new(limits), HashMap::new());
        let state = Mutex::new(State { lanes, sent, way: Way::Shut(why), is_asked: false });
        Self { state, next: AtomicU64::new(0), counts: watch::Sender::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that panics is done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call.
    pub(super) fn submit(&self, errand: Errand) {
        let Errand { control, budget, cluster, verbose, span, ask, end } = errand;
        let (id, function) = (self.next.fetch_add(1, Ordering::Relaxed), ask.function());
        if ask.handles().is_some_and(|handles| handles.len() > MAX_ENTRIES) {
            return end(Err(CallError::NotSent { reason: NotSent::TooLarge }), None);
        }
        let slow = function.is_slow();
        let call = ToRunner::Call { id, deadline: clock::after(control.remaining()) };
        let ask = ask.with(|handles| Packing(handles), String::as_str);
        let room = ask.handles().map_or(0, Packing::size) + HEADER;
        let body = Body { cluster: &cluster, verbose, level: log::loudest(), ask };
        // It is written before it waits, so that nobody waits while it is.
        let Ok(frame) = encode_in(&(call, body), room) else {
            return end(Err(CallError::NotSent { reason: NotSent::TooLarge }), None);
        };
        let mut afterwards = Afterwards::default();
        let mut state = self.state();
        if let Way::Shut(why) = &state.way {
            afterwards.end(end, why.clone());
        } else {
            let work = Parcel { id, frame, function, span, end };
            if let Err((job, reason)) = state.lanes.offer(Job { control, slow, budget, work }) {
                afterwards.end(job.work.end, reason);
            }
            state.send(&mut afterwards);
        }
        drop(state);
        afterwards.carry_out();
    }

    /// What came of a call, as the runner tells it on its line, and how long it was inside the plugin, by its word. One that
    /// is large is read elsewhere, and what is wrong with it is told from there.
    pub(super) fn ended(
        &self,
        line: &Line,
        id: u64,
        inside: Option<u64>,
        outcome: &[u8],
        large: Option<Large>,
    ) -> Result<(), FrameError> {
        // Were it believed, who never listens could have the host keep what it has to say without end.
        if !line.has_told(id) {
            return Err(FrameError::Unasked { call: id });
        }
        let inside = inside.map(Duration::from_nanos);
        let mut afterwards = Afterwards::default();
        let mut state = self.state();
        // One that nobody has asked for, or that was told of before.
        let Some(sent) = state.sent.remove(&id) else { return Err(FrameError::Unasked { call: id }) };
        state.lanes.ended(&sent.control, sent.slow);
        state.send(&mut afterwards);
        drop(state);
        afterwards.carry_out();
        let Some(Large { place, nonsense }) = large else { return sent.read(inside, outcome) };
        let outcome = outcome.to_vec();
        tokio::task::spawn_blocking(move || {
            let read = sent.read(inside, &outcome);
            drop(outcome);
            drop(place);
            if let Err(error) = read {
                // Where one was told of already, or the runner is gone, nothing more comes of it.
                let _ = nonsense.try_send(error);
            }
        });
        Ok(())
    }

    /// Asks the runner where the calls are that it has. Nothing where it does not say so within [`COUNT_LIMIT`], or where there
    /// is none. Whoever asks meanwhile has the same answer.
    pub(super) async fn count(&self) -> Option<RunnerLoad> {
        let mut counts = self.counts.subscribe();
        let line = {
            let mut state = self.state();
            let Way::Open(line) = &state.way else { return None };
            let line = Arc::clone(line);
            (!std::mem::replace(&mut state.is_asked, true)).then_some(line)
        };
        if let Some(line) = line {
            line.send(None, encode(&ToRunner::Count).ok()?);
        }
        timeout(COUNT_LIMIT, counts.changed()).await.ok()?.ok()?;
        let load = *counts.borrow();
        Some(load)
    }

    /// So many calls are inside the plugin, as the runner tells it.
    pub(super) fn counted(&self, inside: u64) -> Result<(), FrameError> {
        let mut state = self.state();
        // Nobody has asked, or it was told before.
        if !std::mem::take(&mut state.is_asked) {
            return Err(FrameError::Misplaced("how many calls are inside the plugin"));
        }
        // Some may have ended since it counted. Whoever lies about the rest has no more than it was given.
        let sent = state.sent.len();
        drop(state);
        let inside = usize::try_from(inside).unwrap_or(usize::MAX).min(sent);
        self.counts.send_replace(RunnerLoad { inside, on_the_way: sent - inside });
        Ok(())
    }

    /// Lets calls go to a runner.
    pub(super) fn open(&self, line: Arc<Line>) {
        let mut state = self.state();
        // Who has been told to shut down stays shut.
        if !matches!(state.way, Way::Shut(NotSent::ShutDown)) {
            state.way = Way::Open(line);
            state.is_asked = false;
        }
    }

    /// The runner is gone: what it had is lost, and what waits has not happened.
    pub(super) fn lose(&self, how: &str, why: &NotSent) {
        let mut afterwards = Afterwards::default();
        let mut state = self.state();
        for (_, sent) in std::mem::take(&mut state.sent) {
            state.lanes.ended(&sent.control, sent.slow);
            afterwards.ended.push((sent.end, Err(CallError::Died { how: how.to_owned() })));
        }
        state.shut(why, &mut afterwards);
        drop(state);
        afterwards.carry_out();
    }

    /// There is no way to a runner, for the reason that is given.
    pub(super) fn shut(&self, why: &NotSent) {
        let mut afterwards = Afterwards::default();
        self.state().shut(why, &mut afterwards);
        afterwards.carry_out();
    }

    /// Why there is no way to a runner, where there is none.
    pub(super) fn why_shut(&self) -> Option<NotSent> {
        match &self.state().way {
            Way::Open(_) => None,
            Way::Shut(why) => Some(why.clone()),
        }
    }

    /// The function of a call that has been inside the plugin for so long after its deadline, at this moment. The time until
    /// which the host did not listen to the runner does not count, for it may have come back meanwhile; but no more than
    /// [`UNHEARD_LIMIT`] of it, so that who keeps the host from listening does not hang for ever.
    pub(super) fn hangs(
        &self,
        grace: Duration,
        now: Instant,
        unheard_until: Option<Instant>,
    ) -> Option<Function> {
        let hangs = |sent: &&Sent| {
            let since_deadline = |moment: Instant| moment.saturating_duration_since(sent.control.deadline());
            let unheard = unheard_until.map_or(Duration::ZERO, since_deadline).min(UNHEARD_LIMIT);
            since_deadline(now).saturating_sub(unheard) > grace
        };
        self.state().sent.values().find(hangs).map(|sent| sent.function)
    }

    /// Does something where a call was begun.
    pub(super) fn in_span(&self, call: Option<u64>, work: impl FnOnce()) {
        let span = call.and_then(|id| self.state().sent.get(&id).map(|sent| sent.span.clone()));
        match span {
            Some(span) => span.in_scope(work),
            None => work(),
        }
    }

    pub(super) fn load(&self) -> ProviderLoad {
        let state = self.state();
        state.lanes.load(state.sent.len())
    }
}

impl State {
    /// Lets as many calls go as there is room for.
    fn send(&mut self, afterwards: &mut Afterwards) {
        let Way::Open(line) = &self.way else { return };
        while let Some(job) = self.lanes.take() {
            let Job { control, slow, budget, work: Parcel { id, frame, function, span, end } } = job;
            if !control.start() {
                // Nobody waits for it any more.
                self.lanes.ended(&control, slow);
                continue;
            }
            if control.remaining().is_zero() {
                self.lanes.ended(&control, slow);
                afterwards.end(end, NotSent::OutOfTime { waited: budget });
                continue;
            }
            afterwards.letters.push(Letter {
                line: Arc::clone(line),
                id,
                control: Arc::clone(&control),
                frame,
            });
            self.sent.insert(id, Sent { control, slow, budget, function, span, end });
        }
    }

    fn shut(&mut self, why: &NotSent, afterwards: &mut Afterwards) {
        if !matches!(self.way, Way::Shut(NotSent::ShutDown)) {
            self.way = Way::Shut(why.clone());
        }
        for job in self.lanes.take_waiting() {
            afterwards.end(job.work.end, why.clone());
        }
    }
}

impl Sent {
    /// Reads what came of it, and tells who waits. What cannot be read, or is of another kind, leaves the call lost.
    fn read(self, inside: Option<Duration>, outcome: &[u8]) -> Result<(), FrameError> {
        let read = decode::<Outcome<'_>>(outcome).map(|outcome| outcome.into_answer(self.budget));
        let fits = |answer: Answer<Raw>| match answer {
            Ok(raw) if !raw.fits(self.function) => Err(FrameError::OtherKind(self.function)),
            Err(CallError::Violation(breach)) if breach.function != self.function => {
                Err(FrameError::OtherKind(self.function))
            }
            answer => Ok(answer),
        };
        match read.and_then(fits) {
            Ok(answer) => {
                self.span.in_scope(|| (self.end)(answer, inside));
                Ok(())
            }
            Err(error) => {
                (self.end)(Err(CallError::Gone), None);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
