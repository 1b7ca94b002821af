//! The calls of a runner: what the host asks for is done, on the thread that heard it, and what came of it is said.

use std::{
    collections::HashMap,
    io::BufReader,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use longshore_plugin_abi::{Failure, kind};

use super::{
    clock,
    crew::Duty,
    fate::end_group,
    frame,
    serve::Listener,
    voice::{self, Voice},
    wire::{Body, Failed, FromRunner, NotMade, Outcome, ToRunner},
};
use crate::{
    ask::Raw,
    call::Answer,
    control::Control,
    error::{CallError, NotSent},
    made::Made,
};

/// The instance, once it is there, and its calls.
pub(super) struct Calls {
    voice: &'static Voice,
    /// One recv brings a small call as a whole.
    listener: Mutex<BufReader<Listener>>,
    made: Mutex<Option<Arc<Made>>>,
    /// Those under way, by their numbers.
    running: Mutex<HashMap<u64, Arc<Control>>>,
    /// How many are inside the plugin.
    inside: AtomicU64,
}

/// A call that was heard.
pub(super) struct Heard {
    id: u64,
    control: Arc<Control>,
    frame: Vec<u8>,
    /// Where in the frame it is described.
    body: usize,
}

impl Calls {
    pub(super) fn new(voice: &'static Voice, listener: Listener) -> Self {
        let listener = Mutex::new(BufReader::new(listener));
        let (made, running, inside) = (Mutex::new(None), Mutex::default(), AtomicU64::new(0));
        Self { voice, listener, made, running, inside }
    }

    /// Lets the instance be called.
    pub(super) fn serve(&self, made: Made) {
        *lock(&self.made) = Some(Arc::new(made));
    }

    /// Lets the instance end once its last call has left it.
    fn shut_down(&self) {
        let made = lock(&self.made).take();
        for control in lock(&self.running).values() {
            control.cancel();
        }
        drop(made);
    }

    fn make(&self, Heard { id, control, frame, body }: Heard) {
        let mut answering = Answering { calls: self, id, inside: None, answered: false };
        let Some(made) = lock(&self.made).clone() else {
            return answering.say(&Outcome::NotMade(NotMade::ShutDown));
        };
        if control.remaining().is_zero() {
            return answering.say(&Outcome::NotMade(NotMade::OutOfTime));
        }
        let answer = voice::during(id, || self.call(&made, &control, &frame[body..], &mut answering.inside));
        answering.answer(answer);
        // The last holder destroys the instance, which may hang: only now that the answer is out.
        drop(made);
    }

    /// Makes a call that is described in so many bytes, and notes how long it was inside the plugin.
    fn call(
        &self,
        made: &Made,
        control: &Control,
        body: &[u8],
        inside: &mut Option<Duration>,
    ) -> Answer<Raw> {
        let Body { cluster, verbose, level, ask } = frame::decode(body)
            .map_err(|error| format!("it cannot read the request ({error})"))
            .map_err(|why| CallError::NotSent { reason: NotSent::TurnedDown { why } })?;
        let _inside = Inside::new(&self.inside);
        let (answer, took) = made.call(control, cluster, verbose, self.voice.logger(level), &ask);
        *inside = Some(took);
        answer
    }
}

/// A call that is counted as inside the plugin.
struct Inside<'a>(&'a AtomicU64);

impl<'a> Inside<'a> {
    fn new(calls: &'a AtomicU64) -> Self {
        calls.fetch_add(1, Relaxed);
        Self(calls)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Duty for Calls {
    type Task = Heard;

    /// A host that is gone, or that makes no sense, has nobody else to serve.
    fn listen(&self) -> Option<Heard> {
        let mut listener = lock(&self.listener);
        while let Ok(Some(frame)) = frame::read(&mut *listener) {
            let Ok((order, rest)) = frame::decode_first::<ToRunner>(&frame) else { break };
            match order {
                ToRunner::Call { id, deadline } => {
                    let control = Arc::new(Control::new(Instant::now() + clock::until(deadline)));
                    lock(&self.running).insert(id, Arc::clone(&control));
                    let body = frame.len() - rest.len();
                    return Some(Heard { id, control, frame, body });
                }
                // One that has ended needs it no more.
                ToRunner::Cancel { id } => {
                    if let Some(control) = lock(&self.running).get(&id) {
                        control.cancel();
                    }
                }
                ToRunner::ShutDown => self.shut_down(),
                // A number fits a frame.
                ToRunner::Count => {
                    let _ = self.voice.say(&FromRunner::Inside { calls: self.inside.load(Relaxed) });
                }
            }
        }
        end_group();
        None
    }

    fn act(&self, heard: Heard) {
        // A panic here is one of our own code: the host is told that the call is lost, and the thread lives on.
        let _ = catch_unwind(AssertUnwindSafe(|| self.make(heard)));
    }
}

/// Nothing that panics is done under these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call whose answer is owed: where it is dropped without one, the host is told that it is lost.
struct Answering<'a> {
    calls: &'a Calls,
    id: u64,
    /// How long it was inside the plugin, where it got there.
    inside: Option<Duration>,
    answered: bool,
}

impl Answering<'_> {
    fn answer(self, answer: Answer<Raw>) {
        match answer {
            Ok(raw) => self.say(&Outcome::from(&raw)),
            Err(CallError::Failed(error)) => {
                let failure = Failure::from(error);
                self.say(&Outcome::Failed((&failure).into()));
            }
            Err(CallError::NotSent { reason: NotSent::TurnedDown { why } }) => {
                self.say(&Outcome::NotMade(NotMade::TurnedDown(&why)));
            }
            // Nothing else comes from an instance.
            Err(_) => self.say(&Outcome::Lost),
        }
    }

    fn say(mut self, outcome: &Outcome<'_>) {
        self.answered = true;
        let Self { calls: Calls { voice, running, .. }, id, .. } = self;
        lock(running).remove(&id);
        if voice.say(&(self.ended(), outcome)).is_err() {
            let message = "its answer is larger than a host takes from a runner";
            let outcome = Outcome::Failed(Failed { kind: kind::UNKNOWN, message, field: "" });
            // A word fits a frame.
            let _ = voice.say(&(self.ended(), outcome));
        }
    }

    fn ended(&self) -> FromRunner<'static> {
        let nanos = |inside: Duration| u64::try_from(inside.as_nanos()).unwrap_or(u64::MAX);
        FromRunner::Ended { id: self.id, inside: self.inside.map(nanos) }
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if !self.answered {
            lock(&self.calls.running).remove(&self.id);
            let _ = self.calls.voice.say(&(self.ended(), Outcome::Lost));
        }
    }
}
