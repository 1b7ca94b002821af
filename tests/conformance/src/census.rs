//! Counts what this process has: threads, descriptors, child processes, memory, files; and how it takes signals. All of it
//! is read from `/proc`, by looking alone.
//!
//! What is the harness's own is told from what is a plugin's by having been there before, or by ending by itself soon after:
//! never by its name, which a thread inherits from the one that starts it.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use procfs::{
    ProcResult,
    process::{Process, all_processes},
};

use crate::verdict::{OrFault as _, Verdict};

/// How long what is ending may take to be gone: the harness's call threads, and processes that somebody else has to reap.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// The most entries of a list that is shown to a person.
const SHOWN: usize = 5;

/// Things of one sort, each under what tells it from all others, with words for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Things(BTreeMap<u64, String>);

impl Things {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are not among others, by what they are.
    pub(crate) fn beyond(mut self, others: &Self) -> Self {
        self.0.retain(|id, _| !others.0.contains_key(id));
        self
    }

    /// Those that others have fewer of, by their words alone: for what has a number that is given out again.
    pub(crate) fn more_than(mut self, others: &Self) -> Self {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for words in others.0.values() {
            *known.entry(words).or_default() += 1;
        }
        self.0.retain(|_, words| match known.get_mut(words.as_str()) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        });
        self
    }

    /// Those that a condition on their words holds for.
    pub(crate) fn filtered(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|_, words| keep(words));
        self
    }

    fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

impl fmt::Display for Things {
    /// Each sort of words once, with their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorts: BTreeMap<&str, usize> = BTreeMap::new();
        for words in self.0.values() {
            *sorts.entry(words).or_default() += 1;
        }
        let mut text = String::new();
        for (words, count) in sorts.iter().take(SHOWN) {
            text.push_str(if text.is_empty() { "" } else { ", " });
            text.push_str(words);
            if *count > 1 {
                write!(text, " ({count} times)")?;
            }
        }
        if sorts.len() > SHOWN {
            write!(text, ", and others")?;
        }
        f.write_str(&text)
    }
}

/// Turns what `/proc` refused into a fault of the harness.
fn read<T>(what: &str, result: ProcResult<T>) -> Verdict<T> {
    result.or_fault(format_args!("{what} of this process could not be read"))
}

fn myself() -> Verdict<Process> {
    read("the entry in /proc", Process::myself())
}

/// The threads of this process.
pub(crate) fn threads() -> Verdict<Things> {
    let process = myself()?;
    let main = read("the status", process.stat())?.comm;
    let mut threads = Things::default();
    for task in read("the threads", process.tasks())? {
        // One that has ended meanwhile is no thread any more.
        let Ok(task) = task else { continue };
        let Ok(stat) = task.stat() else { continue };
        // One that is given no name has that of the thread that started it: of ours, where a call started it.
        let is_nameless = stat.comm == main || stat.comm.starts_with("ls-");
        let words = if is_nameless {
            "a thread without a name".to_owned()
        } else {
            format!("the thread \"{}\"", stat.comm)
        };
        threads.0.insert(task.tid.unsigned_abs().into(), words);
    }
    Ok(threads)
}

/// The child processes of this process, those among them that have ended and were not waited for.
pub(crate) fn children() -> Verdict<Things> {
    let own = std::process::id().cast_signed();
    let mut children = Things::default();
    for process in read("the children", all_processes())? {
        // Whoever has ended meanwhile is nobody's child any more.
        let Ok(stat) = process.and_then(|process| process.stat()) else { continue };
        if stat.ppid == own {
            let state = if stat.state == 'Z' { ", which has ended and was not waited for" } else { "" };
            let words = format!("the process \"{}\"{state}", stat.comm);
            // The number may be given out again; not together with the moment of the start.
            children
                .0
                .insert(u64::from(stat.pid.unsigned_abs()) << 40 | stat.starttime & ((1 << 40) - 1), words);
        }
    }
    Ok(children)
}

/// The child processes, once those that are ending are gone, as far as they go.
pub(crate) fn settled_children() -> Verdict<Things> {
    settle(children)
}

/// The open descriptors of this process.
pub(crate) fn descriptors() -> Verdict<Things> {
    let unread = "the descriptors of this process could not be read";
    // The one that looks is among them.
    let looking = format!("/proc/{}/fd", std::process::id());
    let mut descriptors = Things::default();
    for entry in fs::read_dir("/proc/self/fd").or_fault(unread)? {
        let entry = entry.or_fault(unread)?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy();
        if target == looking {
            continue;
        }
        descriptors.0.insert(number, sort_of(&target));
    }
    Ok(descriptors)
}

/// What a descriptor leads to, without the number that no second one has.
fn sort_of(target: &str) -> String {
    match target.split_once(":[") {
        Some(("socket", _)) => "a socket".to_owned(),
        Some(("pipe", _)) => "a pipe".to_owned(),
        _ => target.strip_prefix("anon_inode:").map_or_else(
            || target.trim_end_matches(" (deleted)").to_owned(),
            |kind| format!("an {}", kind.trim_matches(['[', ']'])),
        ),
    }
}

/// What a process has of the memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What it has written to and that is in no file.
    pub(crate) used: u64,
    /// What it has asked for, written to or not.
    pub(crate) asked_for: u64,
}

/// The memory of this process.
pub(crate) fn memory() -> Verdict<Memory> {
    let status = read("the status", myself()?.status())?;
    let bytes = |kib: Option<u64>| kib.unwrap_or_default() * 1024;
    Ok(Memory { used: bytes(status.rssanon.or(status.vmrss)), asked_for: bytes(status.vmdata) })
}

/// The files and folders that there are in some folders, all the way down. A folder that is not there has none, and what is
/// in two of them counts once.
pub(crate) fn files<P: AsRef<Path>>(folders: impl IntoIterator<Item = P>) -> Things {
    let mut files = Things::default();
    for folder in folders {
        count_files(folder.as_ref(), folder.as_ref(), &mut files);
    }
    files
}

fn count_files(root: &Path, folder: &Path, files: &mut Things) {
    // What is removed while it is being looked at is not there any more.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let path = entry.path();
        let words = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        files.0.insert(metadata.dev() << 48 ^ entry.ino(), words);
        if metadata.is_dir() {
            count_files(root, &path, files);
        }
    }
}

/// How a process takes signals. (Which function is called for a signal that was caught before cannot be seen from here.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signals {
    /// A bit for each signal that is ignored.
    ignored: u64,
    /// A bit for each signal that a function is called for.
    caught: u64,
    /// A bit for each signal that the main thread does not take. (A thread that begins takes none for a moment.)
    blocked: u64,
}

impl Signals {
    /// How this process takes signals.
    pub(crate) fn now() -> Verdict<Self> {
        let status = read("the status", myself()?.status())?;
        Ok(Self { ignored: status.sigign, caught: status.sigcgt, blocked: status.sigblk })
    }

    /// What is otherwise now, in words.
    pub(crate) fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let mut tell = |before: u64, now: u64, word: &str| {
            let (more, less) = (now & !before, before & !now);
            for (bits, is) in [(more, "is now"), (less, "is no longer")] {
                let numbers = (1_i32..=64).filter(|number| bits >> (number - 1) & 1 == 1);
                changes.extend(numbers.map(|number| format!("{} {is} {word}", signal(number))));
            }
        };
        tell(self.ignored, now.ignored, "ignored");
        tell(self.caught, now.caught, "caught");
        tell(self.blocked, now.blocked, "blocked on the main thread");
        changes
    }
}

/// A signal's name, or its number where it has none.
fn signal(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned())
}

/// The umask of this process.
pub(crate) fn umask() -> Verdict<Option<u32>> {
    Ok(read("the status", myself()?.status())?.umask)
}

/// The limits of this process, a line each.
pub(crate) fn limits() -> Verdict<Vec<String>> {
    let text =
        fs::read_to_string("/proc/self/limits").or_fault("the limits of this process could not be read")?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Looks again and again until nothing is left over, for at most [`SETTLE`], and gives back what is left then.
pub(crate) fn settle(mut look: impl FnMut() -> Verdict<Things>) -> Verdict<Things> {
    let end = Instant::now() + SETTLE;
    loop {
        // The last look comes after the limit, so that a slow machine is not the provider's fault.
        let is_last = Instant::now() >= end;
        let left = look()?;
        if left.is_empty() || is_last {
            return Ok(left);
        }
        std::thread::sleep(LOOK);
    }
}

/// Does something while another thread looks at the threads of this process over and over. Returns the threads that came up
/// meanwhile, also those that ended again in the time between, as far as a look met them.
pub(crate) fn threads_during<T>(work: impl FnOnce() -> T) -> Verdict<(T, Things)> {
    let before = threads()?;
    let is_over = AtomicBool::new(false);
    let (done, seen) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| -> Verdict<Things> {
            let own = nix::unistd::gettid().as_raw().unsigned_abs();
            let mut seen = Things::default();
            while !is_over.load(Ordering::Relaxed) {
                seen.join(threads()?);
                std::thread::yield_now();
            }
            seen.join(threads()?);
            seen.0.remove(&own.into());
            Ok(seen)
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        (done, watcher.join())
    });
    let seen = seen.or_else(|_| crate::verdict::fault("the thread that looks at the threads panicked"))??;
    Ok((done, seen.beyond(&before)))
}

#[cfg(test)]
mod tests;
