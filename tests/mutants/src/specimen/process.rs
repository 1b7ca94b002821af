//! Processes as `/proc` tells of them, and whose each one is. A number that the system gave away again is never taken for
//! ours: a process is its number and the moment of its start, and what a container has started carries its tag.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// The variable that every process of a container has.
pub(crate) const TAG: &str = "LONGSHORE_SPECIMEN";

/// One process, for as long as the system runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the system did.
    pub(crate) start: u64,
}

/// A process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) identity: Identity,
    session: i32,
    has_ended: bool,
}

/// The session, the start, and whether it has ended, from a line of `/proc/PID/stat`.
///
/// It neither allocates nor panics: a child calls it between fork and exec.
pub(crate) fn parse(line: &[u8]) -> Option<(i32, u64, bool)> {
    // The name before may have anything in it, blanks and brackets as well.
    let after_name = line.iter().rposition(|byte| *byte == b')')?;
    let mut fields =
        line.get(after_name + 1..)?.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let has_ended = matches!(fields.next()?, b"Z" | b"X" | b"x");
    // The parent and the group come before the session.
    let session = number(fields.nth(2)?)?;
    let start = number(fields.nth(15)?)?;
    Some((i32::try_from(session).ok()?, start, has_ended))
}

fn number(text: &[u8]) -> Option<u64> {
    let digit = |number: u64, byte: &u8| {
        number.checked_mul(10)?.checked_add(u64::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?))
    };
    text.iter().try_fold(0, digit)
}

impl Process {
    /// The process that has this number now.
    fn of(pid: i32) -> io::Result<Option<Self>> {
        let line = match fs::read(format!("/proc/{pid}/stat")) {
            Ok(line) => line,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(parse(&line).map(|(session, start, has_ended)| Self {
            identity: Identity { pid, start },
            session,
            has_ended,
        }))
    }

    /// Every process that has not ended, but for this one and the system's first.
    pub(crate) fn all() -> io::Result<Vec<Self>> {
        let itself = i32::try_from(std::process::id()).unwrap_or_default();
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = pid.filter(|pid| *pid > 1 && *pid != itself) {
                all.extend(Self::of(pid)?.filter(|process| !process.has_ended));
            }
        }
        Ok(all)
    }

    /// Whether it belongs to the container with this first process and this tag.
    pub(crate) fn belongs_to(&self, leader: Identity, tag: &str) -> bool {
        if self.identity == leader {
            return true;
        }
        // A session has its leader's number, which is not given away while any process of the session is there.
        (self.session == leader.pid && leader.is_there().unwrap_or(false))
            || (self.identity.start >= leader.start && has_tag(self.identity.pid, tag))
    }
}

impl Identity {
    fn is_there(self) -> io::Result<bool> {
        Ok(Process::of(self.pid)?.is_some_and(|process| process.identity == self))
    }

    /// Whether it is there and has not ended.
    pub(crate) fn is_alive(self) -> io::Result<bool> {
        Ok(Process::of(self.pid)?.is_some_and(|process| process.identity == self && !process.has_ended))
    }

    /// Sends a signal to this process and to no other; one that is gone needs none.
    pub(crate) fn signal(self, signal: Signal) -> io::Result<()> {
        if !self.is_there()? {
            return Ok(());
        }
        match signal::kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Ends all processes of containers at once, and waits until they are gone, for so long. Whether they are.
pub(crate) fn end_at_once(containers: &[(Identity, String)], limit: Duration) -> io::Result<bool> {
    let end = Instant::now() + limit;
    let mut looks_without = 0;
    while looks_without < 2 {
        let mut found = false;
        for process in Process::all()? {
            if containers.iter().any(|(leader, tag)| process.belongs_to(*leader, tag)) {
                process.identity.signal(Signal::SIGKILL)?;
                found = true;
            }
        }
        // One look may miss a process that is made while it is taken.
        looks_without = if found { 0 } else { looks_without + 1 };
        if Instant::now() >= end {
            return Ok(false);
        }
        if found {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(true)
}

/// Whether a process has the tag in the environment that it was started with. One that is gone, or another user's, has not.
fn has_tag(pid: i32, tag: &str) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let is_it = |text: &[u8]| {
        text.strip_prefix(TAG.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) == Some(tag.as_bytes())
    };
    environment.split(|byte| *byte == 0).any(is_it)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        let line = fs::read(format!("/proc/{own}/stat")).expect("/proc is there");
        let (session, start, has_ended) = parse(&line).expect("it is a line of stat");
        let text = String::from_utf8(line).expect("it is text");
        let (open, close) = (text.find('(').expect("a name"), text.rfind(')').expect("a name"));
        let odd = format!("{}(a) Z 1 (b{}", &text[..open], &text[close..]);
        assert_eq!(parse(odd.as_bytes()), Some((session, start, has_ended)));
        assert!(!has_ended && start > 0);
        for damaged in ["", ")", "1 (x) S 1 2", "1 (x) S a b c d"] {
            assert_eq!(parse(damaged.as_bytes()), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_number_with_another_start_is_another_process() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        let real = Process::of(own).expect("readable").expect("it is there").identity;
        let other = Identity { start: real.start + 1, ..real };
        assert!(real.is_alive().expect("readable") && !other.is_alive().expect("readable"));
        // Were this to reach this process, the test would end here.
        other.signal(Signal::SIGKILL).expect("a process that is gone needs no signal");
    }
}
