//! What a runner does: it takes its task from the host, binds itself, opens the plugin from the bytes that the host has checked,
//! makes the instance and serves its calls. It lives no longer than its host, and nothing that it started in its group does.

use std::{
    env,
    fs::File,
    io::{self, IoSliceMut, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    sync::{Mutex, mpsc},
    thread,
};

use longshore_config::Confinement;
use longshore_plugin_abi::Failure;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::{
    calls::Calls,
    crew::Crew,
    fate::{end_group, end_with, let_go_of_what_is_not_ours},
    frame::{self, FrameError},
    program::FLAG,
    voice::Voice,
    wire::{FromRunner, Hello, Opening, Serve, VERSION},
};
use crate::{
    code::Code, confine, error::LoadError, instance::Paired, made::Made, pool, registry::Refusal,
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
    let_go_of_what_is_not_ours();
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
pub(super) struct Listener {
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
                // What this process starts does not have it; elsewhere that cannot be said as it is received.
                #[cfg(not(target_os = "linux"))]
                if let Some(received) = &self.handed_over {
                    rustix::io::fcntl_setfd(received, rustix::io::FdFlags::CLOEXEC)?;
                }
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

/// Makes the instance on a thread of its own, and listens to the host meanwhile.
fn serve_instance(
    voice: &'static Voice,
    listener: Listener,
    sealed: Sealed,
    serve: &Serve<'_>,
) -> io::Result<ExitCode> {
    let (name, idle) = (pool::thread_name(serve.provider), serve.idle);
    let crew = Crew::new(Calls::new(voice, listener), name, serve.threads, idle);
    crew.begin()?;
    // Nothing is ever sent: it ends with the instance.
    let (sender, gone) = mpsc::channel::<()>();
    let making = {
        let (provider, config, level) = (serve.provider.to_owned(), serve.config.to_owned(), serve.level);
        move || match make(voice, &sealed, &config, level) {
            Ok(instance) => {
                crew.duty().serve(Made::new(instance, &provider, Box::new(Mutex::new(sender))));
                // A word fits a frame.
                let _ = voice.say(&FromRunner::Created);
            }
            Err(why) => {
                let _ = match why {
                    NotMadeYet::Refused(why) => refuse(voice, &why),
                    NotMadeYet::Failed(failure) => voice.say(&FromRunner::NotCreated((&failure).into())),
                };
                // The host ends this process when it has heard that.
                let _not_gone = sender;
                loop {
                    thread::park();
                }
            }
        }
    };
    thread::Builder::new().name("ls-create".to_owned()).spawn(making)?;
    let _ = gone.recv();
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
