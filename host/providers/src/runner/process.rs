//! A runner's process, as its host sees it: started by a thread that waits for it, so that it hears when the host is gone,
//! and ended together with all that is in its group.

use std::{
    io::{self, IoSlice, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{
            net::UnixStream,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    net::{
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg, sockopt::set_socket_send_buffer_size,
    },
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};

use super::program::{FLAG, RunnerProgram};
use crate::sealed::Sealed;

/// How long a runner may take to take over what it is told first.
const TELL_LIMIT: Duration = Duration::from_secs(10);

/// What a line may hold that nobody has read yet: a call about a hundred thousand handles, so that it is written at once. The
/// system may allow less.
const LINE_ROOM: usize = 4 << 20;

/// What a process is started with.
pub(super) struct Start {
    pub(super) program: RunnerProgram,
    /// For lists of processes.
    pub(super) title: String,
    /// The first frame, beside which the plugin's bytes go.
    pub(super) hello: Vec<u8>,
    pub(super) sealed: Arc<Sealed>,
}

/// The ends of a new process that the host has.
pub(super) struct Ends {
    pub(super) line: UnixStream,
    /// What the process writes to its output, and to its errors.
    pub(super) written: Option<(OwnedFd, OwnedFd)>,
}

/// A process that was started, and is waited for by the thread that started it.
pub(super) struct Started {
    child: Child,
    handle: Arc<Handle>,
}

/// Ends a process. Where nobody has it any more, it is ended as well.
pub(super) struct Handle {
    pid: Pid,
    /// From then on its number may be another's.
    is_over: Mutex<bool>,
}

impl Handle {
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether the process has ended, whoever else may have what it had open.
    pub(super) fn has_ended(&self) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        *is_over || matches!(waitid(WaitId::Pid(self.pid), ended), Ok(Some(_)))
    }

    /// Does something while the process's number is certain to be its own; nothing once it is over.
    pub(super) fn while_there<T>(&self, work: impl FnOnce(u32) -> T) -> Option<T> {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        (!*is_over).then(|| work(self.pid()))
    }

    /// Of a process that is over already.
    #[cfg(test)]
    pub(super) fn over() -> Self {
        Self { pid: rustix::process::getpid(), is_over: Mutex::new(true) }
    }

    /// Ends the process, and all that is in its group.
    pub(super) fn kill(&self) {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_over {
            // It may have ended, and is not waited for yet: then there is nobody to hear it.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

impl Start {
    /// Starts the process and tells it what it is for. Its output goes to the host where that is `heard`, and nowhere
    /// otherwise. The calling thread must be the one that waits for it: the process ends with it.
    pub(super) fn start(&self, heard: bool) -> io::Result<(Started, Ends)> {
        let (line, theirs) = UnixStream::pair()?;
        for end in [&line, &theirs] {
            set_socket_send_buffer_size(end, LINE_ROOM)?;
        }
        let output = || if heard { Stdio::piped() } else { Stdio::null() };
        let mut child = Command::new(self.program.path())
            .arg0("longshore")
            .arg(FLAG)
            .arg(std::process::id().to_string())
            .arg(&self.title)
            .stdin(OwnedFd::from(theirs))
            .stdout(output())
            .stderr(output())
            .process_group(0)
            .spawn()?;
        let written = child.stdout.take().zip(child.stderr.take());
        let written = written.map(|(output, errors)| (output.into(), errors.into()));
        let handle = Arc::new(Handle { pid: Pid::from_child(&child), is_over: Mutex::new(false) });
        let started = Started { child, handle };
        // One that ends before it has heard all is waited for like any other; that tells more.
        if let Err(error) = self.tell(&line)
            && error.kind() != io::ErrorKind::BrokenPipe
            && error.kind() != io::ErrorKind::ConnectionReset
        {
            started.handle.kill();
            started.wait()?;
            return Err(error);
        }
        Ok((started, Ends { line, written }))
    }

    /// Hands over the plugin with the first bytes, and then the rest.
    fn tell(&self, mut line: &UnixStream) -> io::Result<()> {
        line.set_write_timeout(Some(TELL_LIMIT))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let copy = self.sealed.hand_over()?;
        let handed_over = [copy.as_fd()];
        if !beside.push(SendAncillaryMessage::ScmRights(&handed_over)) {
            return Err(io::Error::other("there is no room beside a message"));
        }
        #[cfg(target_os = "linux")]
        let flags = SendFlags::NOSIGNAL;
        #[cfg(not(target_os = "linux"))]
        let flags = SendFlags::empty();
        // A line with a limit is cut off by signals that the host handles.
        let sent =
            rustix::io::retry_on_intr(|| sendmsg(line, &[IoSlice::new(&self.hello)], &mut beside, flags))?;
        line.write_all(&self.hello[sent..])?;
        line.set_write_timeout(None)
    }
}

impl Started {
    pub(super) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Waits for the end of the process, and ends what is left in its group.
    pub(super) fn wait(mut self) -> io::Result<ExitStatus> {
        let pid = self.handle.pid;
        // It is not taken away yet, so that its group's number stays its own.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let waited = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), ended));
        let mut is_over = self.handle.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        *is_over = true;
        // Where somebody else has taken it away, its number may be another's already.
        waited?;
        // Nobody may be left.
        let _ = kill_process_group(pid, Signal::KILL);
        self.child.wait()
    }
}

/// How a process ended, in words that follow "its process".
pub(super) fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(_)) => {
            // It has the signal's name as well.
            let text = status.to_string();
            format!("was ended by {}", text.replacen("signal: ", "signal ", 1))
        }
        (None, None) => format!("ended: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_code_or_its_signal() {
        assert_eq!(how(ExitStatus::from_raw(3 << 8)), "exited with code 3");
        assert_eq!(how(ExitStatus::from_raw(11)), "was ended by signal 11 (SIGSEGV)");
        assert_eq!(how(ExitStatus::from_raw(6 | 0x80)), "was ended by signal 6 (SIGABRT) (core dumped)");
    }
}
