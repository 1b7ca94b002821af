//! A first look at a plugin, in a process that is thrown away: whatever the plugin does while it is loaded, it does it there.
//! That should be nothing, so that the process may do next to nothing, as far as the system can forbid it.

use std::{
    env,
    io::{self, Read},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_config::Confinement;

use super::{
    frame::{self, FrameError, decode, encode},
    process::{Handle, Start, Started, how},
    program::RunnerProgram,
    wire::{FromRunner, Hello, Opening},
};
use crate::{
    error::{LoadError, LoadErrorKind},
    registry::LOAD_LIMIT,
    sealed::Sealed,
};

/// The plugin's metadata, a document, where it is sound. Blocks, for at most [`LOAD_LIMIT`].
pub(crate) fn examine(sealed: &Arc<Sealed>, program: &RunnerProgram) -> Result<String, LoadError> {
    let refuse = |kind, message: String| LoadError::new(sealed.path(), kind, message);
    let path = sealed.path().to_string_lossy();
    let confine = serde_json::to_string(&bounds())
        .map_err(|error| refuse(LoadErrorKind::NoProcess, error.to_string()))?;
    let hello = Hello { path: &path, hash: sealed.hash(), confine: Some(&confine), serve: None };
    let hello = encode(&(Opening::OURS, hello))
        .map_err(|_| refuse(LoadErrorKind::Unreadable, "its path is too long".to_owned()))?;
    let start = Start {
        program: program.clone(),
        title: format!("examine {path}"),
        hello,
        sealed: Arc::clone(sealed),
    };
    let (started, ends) = start.start(false).map_err(|error| {
        let program = program.path().display();
        refuse(
            LoadErrorKind::NoProcess,
            format!("the process of {program} that should look at it could not be had: {error}"),
        )
    })?;
    let mut line = Patient {
        line: ends.line,
        end: Instant::now() + LOAD_LIMIT,
        process: Arc::clone(started.handle()),
        is_over: false,
    };
    let thrown_away = ThrownAway(Some(started));
    loop {
        match frame::read(&mut line) {
            Ok(Some(frame)) => {
                if let Some(document) = heard(sealed, &frame)? {
                    return Ok(document);
                }
            }
            Err(FrameError::Unreadable(error)) if is_late(&error) => {
                let message = format!("it has not ended to load within {} s", LOAD_LIMIT.as_secs());
                return Err(refuse(LoadErrorKind::Stuck, message));
            }
            Ok(None) | Err(FrameError::CutOff | FrameError::Unreadable(_)) => {
                return Err(refuse(LoadErrorKind::Crashed, thrown_away.ended()));
            }
            Err(error) => {
                return Err(refuse(LoadErrorKind::Crashed, senseless(&error)));
            }
        }
    }
}

/// What no library needs while it is loaded: it may read all that its host may, and change nothing. Where it cannot be loaded
/// from memory, it is written to the folder for temporary files first.
fn bounds() -> Confinement {
    Confinement {
        read: Some(vec![PathBuf::from("/")]),
        write: Some([env::temp_dir()].into_iter().filter(|folder| folder.is_dir()).collect()),
        seccomp: true,
        ..Confinement::default()
    }
}

/// How often it is looked whether the process is there still: children that it leaves behind may have its end of the line.
const LOOK: Duration = Duration::from_millis(50);
/// How long what a process has said before its end may take to be there.
const REST: Duration = Duration::from_millis(1);

/// A line that is read for so long, or while the process is there, and no longer.
struct Patient {
    line: UnixStream,
    end: Instant,
    process: Arc<Handle>,
    is_over: bool,
}

impl Read for Patient {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.line.set_read_timeout(Some(left.min(if self.is_over { REST } else { LOOK })))?;
            match self.line.read(bytes) {
                Err(error) if is_late(&error) && self.is_over => return Ok(0),
                // It may have said something in between.
                Err(error) if is_late(&error) => self.is_over = self.process.has_ended(),
                read => return read,
            }
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// The document, where that is what was said.
fn heard(sealed: &Sealed, frame: &[u8]) -> Result<Option<String>, LoadError> {
    let refuse = |kind, message: String| LoadError::new(sealed.path(), kind, message);
    let message =
        decode::<FromRunner<'_>>(frame).map_err(|error| refuse(LoadErrorKind::Crashed, senseless(&error)))?;
    match message {
        FromRunner::Examined { document } => Ok(Some(document.to_owned())),
        FromRunner::Refused { kind, message, detail } => {
            let error = refuse(kind, message.to_owned());
            Err(match detail {
                Some(detail) => error.with_detail(detail),
                None => error,
            })
        }
        FromRunner::OtherVersion(theirs) => Err(refuse(LoadErrorKind::NoProcess, other_version(theirs))),
        // What is lacking there is the system's, and nobody's configuration.
        FromRunner::Lacking(_) | FromRunner::Log { .. } => Ok(None),
        FromRunner::Unconfined(why) => Err(refuse(LoadErrorKind::NoProcess, why.to_owned())),
        _ => Err(refuse(LoadErrorKind::Crashed, "the process that loads it said something else".to_owned())),
    }
}

pub(super) fn other_version(theirs: u32) -> String {
    format!(
        "the program of the runners speaks version {theirs} of their language, and this host version {}",
        super::wire::VERSION
    )
}

fn senseless(error: &FrameError) -> String {
    format!("the process that loads it makes no sense: {error}")
}

/// A process that is ended when it is not needed any more.
struct ThrownAway(Option<Started>);

impl ThrownAway {
    /// How it ended by itself.
    fn ended(mut self) -> String {
        // It has closed its line. Where it does not end by itself it is ended; where it does, that tells how.
        let wait = |started: Started| {
            started.handle().kill();
            started.wait()
        };
        let status = self.0.take().map(wait);
        match status {
            Some(Ok(status)) => format!("the process that loads it {}", how(status)),
            _ => "the process that loads it is gone".to_owned(),
        }
    }
}

impl Drop for ThrownAway {
    fn drop(&mut self) {
        if let Some(started) = self.0.take() {
            started.handle().kill();
            // It was killed, and ends.
            let _ = started.wait();
        }
    }
}
