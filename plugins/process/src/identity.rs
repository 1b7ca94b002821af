//! Who a process is: its number together with the moment that it started, so that a number that the system gave to
//! another process later is never taken for ours. Signals go through a pidfd, which cannot be reused either.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, TryLockError},
    thread,
    time::{Duration, Instant},
};

use longshore_plugin_api::Error;
use procfs::{FromRead as _, process::Stat};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions},
};

/// How long to wait for a moment in which no child is being started, and how long between two looks.
const REST_LIMIT: Duration = Duration::from_millis(100);
const REST_PAUSE: Duration = Duration::from_millis(1);

/// Held together by all who are starting a child. A child that fails to become its program has left its identity already, and
/// the standard library waits for it by itself: it panics when somebody else took notice of its end first.
static STARTING: RwLock<()> = RwLock::new(());

/// While this is held, nobody takes notice of the end of a child.
pub(crate) fn starting() -> RwLockReadGuard<'static, ()> {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}

/// One process, for as long as the system runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the system did.
    pub(crate) start: u64,
}

/// What `/proc` tells of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) identity: Identity,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    pub(crate) state: char,
}

impl Process {
    /// Reads a line of `/proc/PID/stat`; nothing when it is not one.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        // procfs trusts its input; a damaged record must not make it panic.
        let begins_well = line.iter().position(|byte| *byte == b'(').is_some_and(|at| at > 1);
        let ends_well = line.iter().rposition(|byte| *byte == b')').is_some_and(|at| at + 2 < line.len());
        let stat = (begins_well && ends_well).then(|| Stat::from_read(line).ok())??;
        Some(Self {
            identity: Identity { pid: stat.pid, start: stat.starttime },
            parent: stat.ppid,
            group: stat.pgrp,
            session: stat.session,
            state: stat.state,
        })
    }

    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> io::Result<Option<Self>> {
        let mut line = Vec::with_capacity(1024);
        match File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read_to_end(&mut line)) {
            Ok(_) => {}
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let unreadable = || io::Error::other(format!("/proc/{pid}/stat has no form that is known"));
        Self::parse(&line).map(Some).ok_or_else(unreadable)
    }

    /// Every process that there is. One that starts or ends meanwhile may be there or not.
    pub(crate) fn all() -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                match Self::of(pid) {
                    // Some systems hide the processes of other users, which no worker of ours is.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    process => all.extend(process?),
                }
            }
        }
        Ok(all)
    }

    /// Whether it has ended, and waits for its parent to take notice at the most.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Takes notice of the end of a child of this very process, so that no zombie stays. Gives whether there is nothing left to
    /// take notice of: while some child is being started it is put off, and whoever looks next does it.
    pub(crate) fn reap(&self) -> bool {
        if !self.has_ended() || u32::try_from(self.parent) != Ok(std::process::id()) {
            return true;
        }
        let _nobody_starts = match STARTING.try_write() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let outcome = match self.identity.hold() {
            Ok(Hold::Fd(fd)) => rustix::process::waitid(WaitId::PidFd(fd.as_fd()), options),
            Ok(Hold::Number(pid)) => rustix::process::waitid(WaitId::Pid(pid), options),
            Ok(Hold::Gone) | Err(_) => return true,
        };
        // Another thread may have been faster.
        if let Err(error) = outcome
            && error != Errno::CHILD
        {
            tracing::debug!(pid = self.identity.pid, "cannot take notice of the end of a worker: {error}");
        }
        true
    }
}

/// A way to a process that cannot lead to another one.
enum Hold {
    Fd(OwnedFd),
    /// The kernel has no pidfds: the number, checked a moment ago.
    Number(Pid),
    Gone,
}

impl Identity {
    /// This very process.
    pub(crate) fn of_this_process() -> Result<Self, Error> {
        let found =
            Process::of(std::process::id().cast_signed()).map_err(|e| unusable("/proc/self/stat", &e))?;
        found.map(|process| process.identity).ok_or_else(|| unusable("/proc/self/stat", &"it is not there"))
    }

    /// Sees to it that no zombie is left of it, where it is a child of this very process. Gives whether that is so: a child that
    /// is being started for long, from a slow disk for instance, keeps it from being done.
    pub(crate) fn lay_to_rest(self) -> bool {
        let end = Instant::now() + REST_LIMIT;
        loop {
            match self.find() {
                Ok(Some(process)) if !process.reap() => {}
                _ => return true,
            }
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(REST_PAUSE);
        }
    }

    /// The process, if it is still there, be it as a zombie.
    pub(crate) fn find(self) -> io::Result<Option<Process>> {
        Ok(Process::of(self.pid)?.filter(|process| process.identity == self))
    }

    fn hold(self) -> io::Result<Hold> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(Hold::Gone) };
        let hold = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Hold::Fd(fd),
            Err(Errno::SRCH) => return Ok(Hold::Gone),
            Err(Errno::NOSYS | Errno::PERM) => Hold::Number(pid),
            Err(error) => return Err(error.into()),
        };
        // The descriptor was opened before this look: if the number is still ours now, it was ours then.
        Ok(if self.find()?.is_some() { hold } else { Hold::Gone })
    }

    /// Sends a signal to this process and to no other. One that is gone needs none.
    pub(crate) fn signal(self, signal: Signal) -> io::Result<()> {
        let sent = match self.hold()? {
            Hold::Fd(fd) => rustix::process::pidfd_send_signal(fd, signal),
            Hold::Number(pid) => rustix::process::kill_process(pid, signal),
            Hold::Gone => Ok(()),
        };
        ignore_gone(sent)
    }

    /// Sends a signal to the process group that this process leads, after a look that the group is still its own. A
    /// leader's number is not given away while it is there, be it as a zombie.
    pub(crate) fn signal_group(self, signal: Signal) -> io::Result<()> {
        let leads = self.find()?.is_some_and(|process| process.group == self.pid);
        match Pid::from_raw(self.pid).filter(|_| leads) {
            Some(pid) => ignore_gone(rustix::process::kill_process_group(pid, signal)),
            None => Ok(()),
        }
    }
}

fn ignore_gone(sent: rustix::io::Result<()>) -> io::Result<()> {
    match sent {
        Err(Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// Whether an error of a file of `/proc` says that the process is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// Where identities mean something: one run of one system, and in it one numbering of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place(Arc<str>);

impl Place {
    /// The place of this process.
    pub(crate) fn here() -> Result<Self, Error> {
        let boot = procfs::sys::kernel::random::boot_id()
            .map_err(|error| unusable("/proc/sys/kernel/random/boot_id", &error))?;
        let numbering = fs::read_link("/proc/self/ns/pid").map_err(|e| unusable("/proc/self/ns/pid", &e))?;
        Ok(Self(format!("{boot} {}", numbering.display()).into()))
    }

    /// The place as one line of text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn unusable(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::other(format_args!(
        "cannot read {what}: {error}; the process provider needs Linux with /proc mounted"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this() -> Process {
        Process::of(std::process::id().cast_signed()).expect("/proc is readable").expect("this process lives")
    }

    #[test]
    fn a_name_full_of_parentheses_is_read() {
        let text = fs::read_to_string("/proc/self/stat").expect("/proc is readable");
        let (before, after) = (text.find('(').expect("a name"), text.rfind(')').expect("a name"));
        let odd = format!("{}(a) R (b) 7{}", &text[..before], &text[after..]);
        let process = Process::parse(odd.as_bytes()).expect("it is a line of stat");
        assert_eq!(process.identity, this().identity);
        assert!(Process::all().expect("/proc is readable").iter().any(|p| p.identity == process.identity));
    }

    #[test]
    fn damaged_lines_are_refused() {
        for line in ["", "(", ")(", "()", "1 ()", "1 (x)", "1 (x) ", "1 (x) S 1 2", "over\n", "\0\0\0"] {
            assert!(Process::parse(line.as_bytes()).is_none(), "{line:?}");
        }
    }

    #[test]
    fn a_number_with_another_start_is_another_process() {
        let real = this().identity;
        let other = Identity { start: real.start + 1, ..real };
        assert!(real.find().expect("readable").is_some());
        assert!(other.find().expect("readable").is_none());
        // Were these to reach this process, the test would end here.
        other.signal(Signal::KILL).expect("a process that is gone needs no signal");
        other.signal_group(Signal::KILL).expect("a group that is gone needs no signal");
    }
}
