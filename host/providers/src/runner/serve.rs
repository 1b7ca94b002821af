//! What a runner does: it takes its task from the host, binds itself, opens the plugin from the bytes that the host has checked,
//! makes the instance and serves its calls. It lives no longer than its host, and nothing that it started in its group does.
use std::{
    collections::HashMap,
    env,
    fs::File,
    io::{self, IoSliceMut, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{self, Receiver},
    },
    thread,
    time::Instant,
};

use longshore_config::Confinement;
use longshore_plugin_abi::{Failure, kind};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::{
    clock,
    fate::{end_group, end_with},
    frame::{self, FrameError},
    program::FLAG,
    voice::{self, Voice},
    wire::{Body, Failed, FromRunner, Hello, NotMade, Opening, Outcome, Serve, ToRunner, VERSION},
};
use crate::{
    ask::Raw,
    call::Answer,
    code::Code,
    confine,
    control::Control,
    error::{CallError, LoadError, NotSent},
    instance::Paired,
    made::Made,
    pool::{CallLimits, Job, Pool},
    registry::Refusal,
    sealed::Sealed,
};

/// The exit code of a runner that could not begin.
const FAULT: u8 = 121;

/// What every program that can be a runner calls first in its `main`: where it was started to be one, it is one, and the
/// program ends with the code that is returned.
pub fn intercept() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != FLAG {
        return None;
    }
    let host = arguments.next().and_then(|host| host.to_str()?.parse().ok());
    Some(begin(host).unwrap_or_else(|error| {
        // Its output is the host's to log.
        eprintln!("the runner cannot begin: {error}");
        ExitCode::from(FAULT)
    }))
}

fn begin(host: Option<u32>) -> io::Result<ExitCode> {
    let stream = take_line()?;
    end_with(host)?;
    let voice = Voice::new(stream.try_clone()?);
    let mut listener = Listener { stream, handed_over: None };
    let Some(frame) = hear(&mut listener)? else { return Ok(ExitCode::SUCCESS) };
    let (opening, rest) = frame::decode_first::<Opening>(&frame).map_err(senseless)?;
    if opening != Opening::OURS {
        return say_and_stay(voice, listener, &FromRunner::OtherVersion(VERSION));
    }
    let hello: Hello<'_> = frame::decode(rest).map_err(senseless)?;
    let copy = listener.handed_over.take().ok_or_else(|| io::Error::other("no plugin came with its task"))?;
    let sealed = Sealed::handed_over(hello.path.into(), hello.hash.to_owned(), File::from(copy))?;
    match bind(&hello) {
        Err(why) => return say_and_stay(voice, listener, &FromRunner::Unconfined(&why)),
        Ok(lacking) if lacking.is_empty() => {}
        Ok(lacking) => {
            let lacking = lacking.iter().map(String::as_str).collect();
            voice.say(&FromRunner::Lacking(lacking)).map_err(|_| io::Error::other("too much is lacking"))?;
        }
    }
    let Some(serve) = hello.serve else {
        thread::Builder::new().name("ls-examine".to_owned()).spawn(move || examine(voice, &sealed))?;
        return Ok(stay(listener));
    };
    serve_instance(voice, listener, sealed, &serve)
}

/// Binds this process, while it has but one thread, and tells what is lacking. The plugin is here already, and needs no path.
fn bind(hello: &Hello<'_>) -> Result<Vec<String>, String> {
    let Some(document) = hello.confine else { return Ok(Vec::new()) };
    let confinement: Confinement = serde_json::from_str(document).map_err(|error| error.to_string())?;
    let lacking = confine::apply(&confinement, &[]).map_err(|error| error.to_string())?;
    Ok(lacking.iter().map(ToString::to_string).collect())
}

/// Takes the line to the host, which came as the standard input. Nobody finds it there any more.
fn take_line() -> io::Result<UnixStream> {
    let line = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(line))
}

/// The line from the host, for reading. What is handed over beside the bytes is kept.
struct Listener {
    stream: UnixStream,
    handed_over: Option<OwnedFd>,
}

impl Read for Listener {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        let flags = RecvFlags::CMSG_CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = RecvFlags::empty();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(&self.stream, &mut [IoSliceMut::new(bytes)], &mut beside, flags)?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                self.handed_over = descriptors.next().or(self.handed_over.take());
            }
        }
        Ok(received.bytes)
    }
}

fn hear(listener: &mut Listener) -> io::Result<Option<Vec<u8>>> {
    frame::read(listener).map_err(senseless)
}

fn senseless(error: FrameError) -> io::Error {
    match error {
        FrameError::Unreadable(error) => error,
        other => io::Error::other(other),
    }
}

fn say_and_stay(voice: &Voice, listener: Listener, last: &FromRunner<'_>) -> io::Result<ExitCode> {
    voice.say(last).map_err(|_| io::Error::other("there is too much to say"))?;
    Ok(stay(listener))
}

/// Waits for the host to go, or to end this process; a host says nothing more here.
fn stay(mut listener: Listener) -> ExitCode {
    while let Ok(Some(_)) = hear(&mut listener) {}
    end_group();
    ExitCode::SUCCESS
}

/// Loads the plugin, and says what it is.
fn examine(voice: &Voice, sealed: &Sealed) {
    let said = match Code::load(sealed) {
        Ok(code) => voice.say(&FromRunner::Examined { document: code.document() }),
        Err(refusal) => refuse(voice, &refusal.into_error()),
    };
    // Metadata that no frame can hold are no metadata.
    if said.is_err() {
        let _ = refuse(voice, &too_much_said(sealed));
    }
}

fn too_much_said(sealed: &Sealed) -> LoadError {
    LoadError::new(
        sealed.path(),
        crate::LoadErrorKind::Metadata,
        "its metadata are too large to be passed on",
    )
}

fn refuse(voice: &Voice, why: &LoadError) -> Result<(), frame::TooLarge> {
    let (kind, message, detail) = (why.kind(), why.message(), why.detail());
    voice.say(&FromRunner::Refused { kind, message, detail })
}

/// The calls that are under way, by their numbers.
type Running = HashMap<u64, Arc<Control>>;

/// An instance that is there, and its calls.
struct Served {
    voice: &'static Voice,
    pool: Pool,
    made: Mutex<Option<Arc<Made>>>,
    running: Arc<Mutex<Running>>,
    /// Ends when the instance is destroyed.
    gone: Mutex<Option<Receiver<()>>>,
}

/// Makes the instance on a thread of its own, and listens to the host meanwhile.
fn serve_instance(
    voice: &'static Voice,
    mut listener: Listener,
    sealed: Sealed,
    serve: &Serve<'_>,
) -> io::Result<ExitCode> {
    let served = Arc::new(OnceLock::new());
    let making = {
        let (served, provider) = (Arc::clone(&served), serve.provider.to_owned());
        let (config, level) = (serve.config.to_owned(), serve.level);
        let Serve { threads, reserved, queue, idle, .. } = *serve;
        // The host lets no more calls in than there are threads; one whose thread has not yet left the last one waits.
        let limits = CallLimits { threads, reserved, queue: queue + threads, idle, ..CallLimits::default() };
        move || match make(voice, &sealed, &config, level) {
            Ok(instance) => {
                let (sender, gone) = mpsc::channel::<()>();
                let made = Made::new(instance, &provider, Box::new(Mutex::new(sender)));
                let is_first = served.set(Served {
                    voice,
                    pool: Pool::new(&provider, limits),
                    made: Mutex::new(Some(Arc::new(made))),
                    running: Arc::default(),
                    gone: Mutex::new(Some(gone)),
                });
                debug_assert!(is_first.is_ok(), "there is one instance a runner");
                // A word fits a frame.
                let _ = voice.say(&FromRunner::Created);
            }
            Err(NotMadeYet::Refused(why)) => _ = refuse(voice, &why),
            Err(NotMadeYet::Failed(failure)) => _ = voice.say(&FromRunner::NotCreated((&failure).into())),
        }
    };
    thread::Builder::new().name("ls-create".to_owned()).spawn(making)?;
    // A host that is gone, or that makes no sense, has nobody else to serve.
    while let Ok(Some(frame)) = hear(&mut listener) {
        let Ok((order, rest)) = frame::decode_first::<ToRunner>(&frame) else { break };
        let Some(served) = served.get() else { break };
        match order {
            ToRunner::Call { id, deadline, slow } => {
                let body = frame.len() - rest.len();
                served.take(id, deadline, slow, frame, body);
            }
            ToRunner::Cancel { id } => served.cancel(id),
            ToRunner::ShutDown => return Ok(shut_down(served, listener)),
        }
    }
    end_group();
    Ok(ExitCode::SUCCESS)
}

enum NotMadeYet {
    Refused(LoadError),
    Failed(Failure),
}

fn make(voice: &'static Voice, sealed: &Sealed, config: &str, level: u8) -> Result<Paired, NotMadeYet> {
    let code = Code::load(sealed).map_err(Refusal::into_error).map_err(NotMadeYet::Refused)?;
    Paired::make(&code, voice.logger(level), config).map_err(NotMadeYet::Failed)
}

/// Lets the instance end once its last call has left it. The host is listened to, lest it be gone meanwhile.
fn shut_down(served: &Served, listener: Listener) -> ExitCode {
    served.pool.close();
    let gone = lock(&served.gone).take();
    drop(lock(&served.made).take());
    // Where no thread can be had, a host that goes is noticed by its signal alone.
    drop(thread::Builder::new().name("ls-listen".to_owned()).spawn(move || stay(listener)));
    if let Some(gone) = gone {
        // Nothing is ever sent: it ends with the instance.
        let _ = gone.recv();
    }
    ExitCode::SUCCESS
}

impl Served {
    /// Lets a call be made, which is described in a frame from some place on.
    fn take(&self, id: u64, deadline: u64, slow: bool, frame: Vec<u8>, body: usize) {
        let budget = clock::until(deadline);
        let control = Arc::new(Control::new(Instant::now() + budget));
        let running = Arc::clone(&self.running);
        lock(&running).insert(id, Arc::clone(&control));
        let answering = Answering { voice: self.voice, id, running, answered: false };
        let made = lock(&self.made).clone();
        let work = {
            let (control, voice) = (Arc::clone(&control), self.voice);
            move |begin: Result<(), NotSent>| {
                match (begin, &made) {
                    (Ok(()), Some(made)) => {
                        let answer = voice::during(id, || call(made, &control, voice, &frame[body..]));
                        answering.answer(answer);
                    }
                    (Err(NotSent::OutOfTime { .. }), _) => {
                        answering.say(&Outcome::NotMade(NotMade::OutOfTime));
                    }
                    (Ok(()), None) | (Err(NotSent::ShutDown), _) => {
                        answering.say(&Outcome::NotMade(NotMade::ShutDown));
                    }
                    (Err(other), _) => {
                        answering.say(&Outcome::NotMade(NotMade::Other(&other.to_string())));
                    }
                }
                // The last holder destroys the instance, which may hang: only now that the answer is out.
                drop(made);
            }
        };
        self.pool.submit(Job { control, slow, budget, work: Box::new(work) });
    }

    fn cancel(&self, id: u64) {
        // One that has ended needs it no more.
        if let Some(control) = lock(&self.running).get(&id) {
            control.cancel();
        }
    }
}

/// Nothing that panics is done under these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a call that is described in so many bytes.
fn call(made: &Made, control: &Control, voice: &'static Voice, body: &[u8]) -> Answer<Raw> {
    let Body { cluster, verbose, level, ask } = frame::decode(body)
        .map_err(|error| CallError::NotSent { reason: NotSent::Unwritable(error.to_string()) })?;
    made.call(control, cluster, verbose, voice.logger(level), &ask)
}

/// A call whose answer is owed: where it is dropped without one, the host is told that it is lost.
struct Answering {
    voice: &'static Voice,
    id: u64,
    running: Arc<Mutex<Running>>,
    answered: bool,
}

impl Answering {
    fn answer(self, answer: Answer<Raw>) {
        match answer {
            Ok(raw) => self.say(&Outcome::from(&raw)),
            Err(CallError::Failed(error)) => {
                let failure = Failure::from(error);
                self.say(&Outcome::Failed((&failure).into()));
            }
            Err(CallError::NotSent { reason }) => {
                self.say(&Outcome::NotMade(NotMade::Other(&reason.to_string())));
            }
            // Nothing else comes from an instance.
            Err(_) => self.say(&Outcome::Lost),
        }
    }

    fn say(mut self, outcome: &Outcome<'_>) {
        self.answered = true;
        lock(&self.running).remove(&self.id);
        if self.voice.say(&(FromRunner::Ended { id: self.id }, outcome)).is_err() {
            let message = "its answer is larger than a host takes from a runner";
            let outcome = Outcome::Failed(Failed { kind: kind::UNKNOWN, message, field: "" });
            // A word fits a frame.
            let _ = self.voice.say(&(FromRunner::Ended { id: self.id }, outcome));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.answered {
            lock(&self.running).remove(&self.id);
            let _ = self.voice.say(&(FromRunner::Ended { id: self.id }, Outcome::Lost));
        }
    }
}
