//! One runner of a provider, from its start to its end: what it says is heard, what it writes is logged, and how it ended is
//! told.

use std::{
    io,
    pin::Pin,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    thread,
    time::{Duration, Instant},
};

use longshore_plugin_abi::level;
use longshore_plugin_api::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout, timeout_at},
};

use super::{
    desk::{Desk, Large},
    examine::other_version,
    frame::{FrameError, Incoming, decode_first, encode},
    line::{Ear, Line},
    output::Output,
    process::{Ends, Handle, Start, how},
    program::RunnerProgram,
    ration::Ration,
    reading::{Reading, Room},
    wire::{FromRunner, Hello, Opening, Serve, ToRunner},
};
use crate::{
    error::{CreateError, LoadError, cut},
    library::Library,
    log::{self, Source},
    pool::{self, CallLimits},
};

/// How long a process that is being ended may take to be gone: one that waits for a disk is waited for no longer.
const EXIT_LIMIT: Duration = Duration::from_secs(5);
/// The most that is heard of a process that has ended, in bytes: more than a line can hold. Who still has its end of the line is
/// not listened to for ever.
const LAST_WORDS: usize = 16 << 20;

/// What is needed to make an instance in a runner, again and again.
pub(super) struct Recipe {
    pub(super) program: RunnerProgram,
    pub(super) library: Arc<Library>,
    pub(super) log: &'static Source,
    /// A JSON document.
    pub(super) config: String,
    /// What the runner may not do, as a JSON document.
    pub(super) confine: Option<String>,
    pub(super) limits: CallLimits,
}

impl Recipe {
    /// Starts a runner and has the instance made, for at most [`CallLimits::create`].
    pub(super) async fn begin(&self, desk: &Desk) -> Result<Spell, CreateError> {
        let after = self.limits.create;
        let begun = async {
            let mut spell = self.start().await?;
            spell.until_created(desk, &self.library).await?;
            Ok(spell)
        };
        // Who is late is dropped, and so ended.
        timeout(after, begun).await.unwrap_or(Err(CreateError::Deadline { after }))
    }

    async fn start(&self) -> Result<Spell, CreateError> {
        let lost = |reason: String| CreateError::NoRunner { reason };
        let start = self.order().ok_or_else(|| lost("its configuration is too large".to_owned()))?;
        let program = start.program.path().display().to_string();
        let (told, hear) = oneshot::channel();
        let (over, end) = oneshot::channel();
        let wait = move || match start.start(true) {
            Err(error) => drop(told.send(Err(error))),
            Ok((started, ends)) => {
                let process = Process(Arc::clone(started.handle()));
                // Where nobody waits for it any more it comes back, and is ended as it is dropped.
                drop(told.send(Ok((process, ends))));
                // Nobody may care.
                let _ = over.send(started.wait());
            }
        };
        thread::Builder::new()
            .name(format!("{}-runner", pool::thread_name(self.log.provider())))
            .spawn(wait)
            .map_err(|error| lost(format!("no thread could be started: {error}")))?;
        let started = hear.await.map_err(|_| lost("the thread died".to_owned()))?;
        let (process, ends) = started.map_err(|error| lost(format!("{program}: {error}")))?;
        Spell::new(self.log, process, ends, end).map_err(|error| lost(error.to_string()))
    }

    fn order(&self) -> Option<Start> {
        let sealed = self.library.sealed();
        let (provider, path) = (self.log.provider(), sealed.path().to_string_lossy());
        let CallLimits { threads, idle, .. } = self.limits;
        let config = &*self.config;
        let serve = Serve { provider, config, threads, idle, level: log::loudest() };
        let hello =
            Hello { path: &path, hash: sealed.hash(), confine: self.confine.as_deref(), serve: Some(serve) };
        Some(Start {
            program: self.program.clone(),
            title: provider.to_owned(),
            hello: encode(&(Opening::OURS, hello)).ok()?,
            sealed: Arc::clone(sealed),
        })
    }
}

/// A process that ends with this.
struct Process(Arc<Handle>);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// A runner. Dropping it ends it.
pub(super) struct Spell {
    process: Process,
    line: Arc<Line>,
    ear: Ear,
    incoming: Incoming,
    output: Output,
    errors: Output,
    log: Lines,
    end: Ending,
    begun: Instant,
    /// What is lacking of its confinement.
    lacking: Arc<[String]>,
    /// Why the host ended it, where it did.
    cause: Option<String>,
    /// Until when its end is waited for, once it was killed.
    given_up: Option<Instant>,
    /// Where large answers are read.
    room: Room,
    /// Whether what it said last is too large to be read now.
    reading: Reading,
    /// Until when it was not listened to, for want of room.
    unheard_until: Option<Instant>,
    /// What was found to make no sense where large answers are read.
    nonsense: (mpsc::Sender<FrameError>, mpsc::Receiver<FrameError>),
    /// How much was heard of it after its end, in bytes.
    last_words: usize,
}

/// What a runner has come to.
pub(super) enum Step {
    /// The instance is there.
    Created,
    /// It is not, and will not be.
    NotCreated(CreateError),
    /// It is gone. How, in words that follow "its process".
    Over(String),
}

impl Spell {
    fn new(
        log: &'static Source,
        process: Process,
        ends: Ends,
        end: oneshot::Receiver<io::Result<ExitStatus>>,
    ) -> io::Result<Self> {
        let (output, errors) = ends.written.ok_or_else(|| io::Error::other("it has no output"))?;
        let (line, ear) = Line::new(ends.line)?;
        Ok(Self {
            process,
            line: Arc::new(line),
            ear,
            incoming: Incoming::default(),
            output: Output::new(output)?,
            errors: Output::new(errors)?,
            log: Lines { source: log, ration: Mutex::new(Ration::new(Instant::now())) },
            end: Ending::Awaited(end),
            begun: Instant::now(),
            lacking: Arc::default(),
            cause: None,
            given_up: None,
            room: Room::of_all().clone(),
            reading: Reading::Free,
            unheard_until: None,
            nonsense: mpsc::channel(1),
            last_words: 0,
        })
    }

    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    pub(super) fn process(&self) -> &Arc<Handle> {
        &self.process.0
    }

    pub(super) fn lacking(&self) -> &Arc<[String]> {
        &self.lacking
    }

    /// For how long it has been there.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Until when the host did not listen to it, for want of room for what it said: until now, where it still waits.
    pub(super) fn unheard_until(&self) -> Option<Instant> {
        if self.reading.is_waiting() { Some(Instant::now()) } else { self.unheard_until }
    }

    /// Ends it, for a reason in words that follow "its process was ended by the host, for". Its end comes as a step;
    /// what else it says is not heard.
    pub(super) fn end_for(&mut self, reason: &str) {
        // Whoever waits behind it for room has its turn.
        self.reading = Reading::Free;
        self.cause.get_or_insert_with(|| format!("was ended by the host, for {reason}"));
        self.kill();
    }

    /// Kills it, and tells until when its end is waited for, counted from the first time.
    fn kill(&mut self) -> Instant {
        self.process.0.kill();
        *self.given_up.get_or_insert_with(|| Instant::now() + EXIT_LIMIT)
    }

    /// Asks it to let the instance end, and to end itself.
    pub(super) fn ask_to_shut_down(&self) {
        // A word fits a frame.
        if let Ok(frame) = encode(&ToRunner::ShutDown) {
            self.line.send(None, frame);
        }
    }

    async fn until_created(&mut self, desk: &Desk, library: &Library) -> Result<(), CreateError> {
        match self.next(desk).await {
            Step::Created => Ok(()),
            Step::NotCreated(CreateError::Load(why)) => {
                Err(CreateError::Load(Box::new(why.at(library.path()))))
            }
            Step::NotCreated(error) => Err(error),
            Step::Over(how) => Err(CreateError::Died { how }),
        }
    }

    /// Hears what the runner says, until it comes to something. May be dropped and called again.
    pub(super) async fn next(&mut self, desk: &Desk) -> Step {
        loop {
            let is_heard = self.cause.is_none();
            if is_heard {
                match self.hear(desk) {
                    Ok(None) => {}
                    Ok(Some(step)) => return step,
                    Err(error) => return self.makes_no_sense(&error, desk).await,
                }
            }
            let given_up = self.given_up;
            let Self { line, ear, incoming, output, errors, log, end, reading, nonsense, .. } = &mut *self;
            let listens = is_heard && !reading.is_waiting();
            tokio::select! {
                read = ear.read(incoming), if listens => if !matches!(read, Ok(1..)) {
                    return self.over(desk).await;
                },
                () = output.hear(|text| log.written(level::INFO, "stdout", text)) => {}
                () = errors.hear(|text| log.written(level::WARN, "stderr", text)) => {}
                _ = end => return self.over(desk).await,
                () = until(given_up) => return self.over(desk).await,
                () = reading.had() => self.unheard_until = Some(Instant::now()),
                Some(error) = nonsense.1.recv() => return self.makes_no_sense(&error, desk).await,
                never = line.write() => match never {},
            }
        }
    }

    /// What it says makes no sense, wherever that was found.
    async fn makes_no_sense(&mut self, error: &FrameError, desk: &Desk) -> Step {
        self.end_for(&format!("what it says makes no sense: {error}"));
        self.over(desk).await
    }

    /// It has ended, has closed its line or makes no sense: it is ended as a whole, and what it said before is heard, unless
    /// it was the host that ended it.
    async fn over(&mut self, desk: &Desk) -> Step {
        let by = self.kill();
        let ended = timeout_at(by.into(), &mut self.end).await;
        if self.cause.is_none() {
            // A part of a frame may be left over, which is no wonder now.
            while self.last_words < LAST_WORDS
                && let Ok(read @ 1..) = self.ear.take(&mut self.incoming)
            {
                self.last_words += read;
            }
            while let Ok(step) = self.hear(desk) {
                // Until it is over, calls are sent where nobody is: others' answers do not keep it so for ever.
                if step.is_none()
                    && (!self.reading.is_waiting()
                        || timeout_at(by.into(), self.reading.had()).await.is_err())
                {
                    break;
                }
            }
        }
        let Self { output, errors, log, .. } = &mut *self;
        output.finish(|text| log.written(level::INFO, "stdout", text));
        errors.finish(|text| log.written(level::WARN, "stderr", text));
        Step::Over(match (self.cause.take(), ended) {
            (Some(cause), _) => cause,
            (None, Ok(Some(status))) => how(status),
            (None, Ok(None)) => "is gone".to_owned(),
            (None, Err(_)) => "has closed its line, and does not end".to_owned(),
        })
    }

    /// Takes what has come in as a whole, up to what ends the hearing, or what there is no room for yet.
    fn hear(&mut self, desk: &Desk) -> Result<Option<Step>, FrameError> {
        while let Some(bytes) = self.incoming.next_length()? {
            let Ok(place) = self.reading.place(&self.room, bytes) else { break };
            let Some(frame) = self.incoming.next()? else { break };
            let (message, rest) = decode_first::<FromRunner<'_>>(frame)?;
            match message {
                FromRunner::Ended { id, inside } => {
                    let large = place.map(|place| Large { place, nonsense: self.nonsense.0.clone() });
                    desk.ended(&self.line, id, inside, rest, large)?;
                }
                FromRunner::Inside { calls } => desk.counted(calls)?,
                FromRunner::Log { call, missed, level, target, line } => {
                    desk.in_span(call, || self.log.take(missed, level, target, line));
                }
                FromRunner::Lacking(what) => {
                    // It is told once, and of each guard.
                    if !self.lacking.is_empty() || !what.is_whole() {
                        return Err(FrameError::Misplaced("that more guards are lacking than there are"));
                    }
                    let provider = self.log.source.provider();
                    self.lacking =
                        what.into_kept().into_iter().map(|lacking| cut(lacking).into_owned()).collect();
                    for lacking in &*self.lacking {
                        tracing::warn!(
                            provider,
                            "the provider's process is not confined as asked: {lacking}"
                        );
                    }
                }
                FromRunner::Created => return Ok(Some(Step::Created)),
                FromRunner::NotCreated(failed) => {
                    let error = Error::from(longshore_plugin_abi::Failure::from(failed));
                    return Ok(Some(Step::NotCreated(error.into())));
                }
                FromRunner::Refused { kind, message, detail } => {
                    let error = LoadError::new("", kind, message);
                    let error = match detail {
                        Some(detail) => error.with_detail(detail),
                        None => error,
                    };
                    return Ok(Some(Step::NotCreated(CreateError::Load(Box::new(error)))));
                }
                FromRunner::Unconfined(why) => {
                    let error = CreateError::Unconfined { why: cut(why).into_owned() };
                    return Ok(Some(Step::NotCreated(error)));
                }
                FromRunner::OtherVersion(theirs) => {
                    let error = CreateError::NoRunner { reason: other_version(theirs) };
                    return Ok(Some(Step::NotCreated(error)));
                }
                FromRunner::Examined { .. } => {
                    return Err(FrameError::Misplaced("what a plugin says of itself"));
                }
            }
        }
        Ok(None)
    }
}

/// Waits until a moment, or for ever where there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Where the lines of a runner go, as far as they are not too many.
struct Lines {
    source: &'static Source,
    ration: Mutex<Ration>,
}

impl Lines {
    /// A line that the plugin has written rather than logged.
    fn written(&self, level: u8, stream: &str, line: &str) {
        self.take(0, level, stream, line);
    }

    /// A line, before which so many were left out already.
    fn take(&self, missed: u64, level: u8, target: &str, line: &str) {
        let admitted = {
            let mut ration = self.ration.lock().unwrap_or_else(PoisonError::into_inner);
            ration.admit(Instant::now(), target.len() + line.len())
        };
        let Some(also_missed) = admitted else { return };
        let missed = missed.saturating_add(also_missed);
        if missed > 0 {
            let provider = self.source.provider();
            tracing::warn!(provider, "{missed} lines of the provider are left out: it says too much at once");
        }
        log::emit(self.source, level, target, line);
    }
}

/// How a process ended, however often it is asked for.
enum Ending {
    Awaited(oneshot::Receiver<io::Result<ExitStatus>>),
    /// Nothing where that cannot be known.
    Known(Option<ExitStatus>),
}

impl Future for Ending {
    type Output = Option<ExitStatus>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let status = match &mut *self {
            Self::Known(status) => return Poll::Ready(*status),
            Self::Awaited(end) => ready!(Pin::new(end).poll(context)).ok().and_then(Result::ok),
        };
        *self = Self::Known(status);
        Poll::Ready(status)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _, os::unix::net::UnixStream, os::unix::process::ExitStatusExt as _, task::Waker,
    };

    use super::*;
    use crate::{
        error::NotSent,
        runner::reading::{LARGE, Place, weight},
    };

    /// A runner that has said more than there is room for, what fills the room, and how its end is told.
    async fn waiting(desk: &Desk) -> (Spell, Place, oneshot::Sender<io::Result<ExitStatus>>) {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let written = ["output", "errors"].map(|_| io::pipe().expect("a pipe").0.into());
        let [output, errors] = written;
        let (over, end) = oneshot::channel();
        let ends = Ends { line: ours, written: Some((output, errors)) };
        let mut spell = Spell::new(log::source("test"), Process(Arc::new(Handle::over())), ends, end)
            .expect("there is a runtime");
        spell.room = Room::of(weight(2 * LARGE));
        let place = spell.room.place(2 * LARGE).ok().expect("all the room is there");
        let answer = FromRunner::Ended { id: 0, inside: None };
        let frame = encode(&(answer, "x".repeat(LARGE))).expect("it fits");
        // A line may hold less.
        let says = thread::spawn(move || theirs.write_all(&frame).map(|()| theirs));
        while !spell.reading.is_waiting() {
            let heard = timeout(Duration::from_millis(1), spell.next(desk)).await;
            assert!(heard.is_err(), "it comes to nothing yet");
        }
        says.join().expect("it does not panic").expect("all was heard");
        (spell, place, over)
    }

    fn desk() -> Desk {
        Desk::new(CallLimits::default(), NotSent::ShutDown)
    }

    #[tokio::test]
    async fn who_is_ended_by_the_host_leaves_its_turn_to_the_next_and_is_not_heard() {
        let desk = desk();
        let (mut spell, place, over) = waiting(&desk).await;
        let Err(mut next) = spell.room.place(2 * LARGE) else { panic!("there is no room") };
        let mut is_its_turn = || next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!is_its_turn());
        spell.end_for("a test");
        drop(place);
        assert!(is_its_turn());
        over.send(Ok(ExitStatus::from_raw(0))).expect("it is waited for");
        let Step::Over(how) = spell.next(&desk).await else { panic!("it is over") };
        assert_eq!(how, "was ended by the host, for a test");
    }

    #[tokio::test]
    async fn who_has_ended_waits_for_room_no_longer_than_for_its_end() {
        let desk = desk();
        let (mut spell, _place, over) = waiting(&desk).await;
        assert!(spell.unheard_until().is_some());
        spell.given_up = Some(Instant::now());
        over.send(Ok(ExitStatus::from_raw(0))).expect("it is waited for");
        let Step::Over(how) = spell.next(&desk).await else { panic!("it is over") };
        assert_eq!(how, "exited with code 0");
    }
}
