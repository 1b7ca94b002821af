//! What belongs to a container: a look at every process of the system, and whose each one is.
//!
//! A container's first process leads a session, and all that it starts is in that session unless it leaves on purpose.
//! A session's number is its leader's, and is not given away while any of its processes is there. So while the leader is
//! there (its start tells), every process of the session is ours. Once it is gone, one process of the session that carries
//! our tag in its environment proves the same. Without either, the number may be somebody else's: nothing is signalled.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
};

use rustix::process::Signal;

use crate::{
    folder::Target,
    identity::{Identity, Process, is_gone},
    launch::TAG_VARIABLE,
};

/// How much of an environment is read in search of the tag. Linux allows a program no more than this by default.
const ENVIRONMENT_LIMIT: u64 = 2 << 20;

/// The tags of processes that were looked at, so that a look repeated every few milliseconds stays cheap.
pub(crate) type KnownTags = HashMap<Identity, Tag>;

/// What the environment of a process says of its container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Some(String),
    None,
    /// It has no environment at this moment, as while it becomes another program, or ends.
    Unclear,
}

/// Every process of the system at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pids: HashMap<i32, Process>,
    /// The living processes of the targets' sessions.
    sessions: HashMap<i32, Vec<Process>>,
    /// The living processes with a tag, but for those of a session whose leader is there.
    tags: HashMap<String, Vec<Process>>,
}

/// What is left of a container.
#[derive(Debug)]
pub(crate) enum Remains {
    /// No process.
    Nothing,
    /// These, for sure.
    Ours(Vec<Process>),
    /// So many in a session of the container's number, of which none can be told to be ours. Where they are about to end,
    /// or to become another program, another look may tell more.
    Doubtful(usize),
}

impl Snapshot {
    /// Looks at every process. Environments are read only of processes that started after the first of the targets.
    pub(crate) fn take(targets: &[&Target], known: &mut KnownTags) -> io::Result<Self> {
        let oldest = targets.iter().map(|target| target.leader.start).min().unwrap_or(u64::MAX);
        let leaders: HashMap<i32, &Target> =
            targets.iter().map(|target| (target.leader.pid, *target)).collect();
        let itself = std::process::id().cast_signed();
        let all = Process::all()?;
        let mut seen = KnownTags::with_capacity(known.len());
        let mut snapshot =
            Self { pids: HashMap::with_capacity(all.len()), sessions: HashMap::new(), tags: HashMap::new() };
        for process in &all {
            snapshot.pids.insert(process.identity.pid, *process);
        }
        for process in all {
            // Whatever a record says, we never end ourselves, nor the system.
            if process.has_ended() || process.identity.pid == itself || process.identity.pid <= 1 {
                continue;
            }
            if let Some(target) = leaders.get(&process.session) {
                snapshot.sessions.entry(process.session).or_default().push(process);
                if snapshot.leader(target).is_some() {
                    continue;
                }
            }
            if process.identity.start >= oldest {
                let tag = known.remove(&process.identity).unwrap_or_else(|| tag_of(process.identity.pid));
                if let Tag::Some(tag) = &tag {
                    snapshot.tags.entry(tag.clone()).or_default().push(process);
                }
                if tag != Tag::Unclear {
                    seen.insert(process.identity, tag);
                }
            }
        }
        *known = seen;
        Ok(snapshot)
    }

    /// The first process of a container, if it is there, be it as a zombie.
    pub(crate) fn leader(&self, target: &Target) -> Option<&Process> {
        self.pids.get(&target.leader.pid).filter(|process| process.identity == target.leader)
    }

    /// What is left of a container.
    pub(crate) fn remains(&self, target: &Target) -> Remains {
        let pid = target.leader.pid;
        let tagged = self.tags.get(&target.tag).map(Vec::as_slice).unwrap_or_default();
        let session = self.sessions.get(&pid).map(Vec::as_slice).unwrap_or_default();
        let is_ours = self.leader(target).is_some() || tagged.iter().any(|process| process.session == pid);
        // Somebody else has the number now: our session must have been empty before.
        let is_anothers = !is_ours && self.pids.contains_key(&pid);
        let mut ours: Vec<Process> = if is_ours { session.to_vec() } else { Vec::new() };
        ours.extend(tagged.iter().filter(|process| !(is_ours && process.session == pid)));
        match ours.is_empty() {
            true if session.is_empty() || is_ours || is_anothers => Remains::Nothing,
            true => Remains::Doubtful(session.len()),
            false => Remains::Ours(ours),
        }
    }
}

/// Sends a signal to every process of a container. Gives what went wrong, if anything.
pub(crate) fn signal(target: &Target, processes: &[Process], signal: Signal) -> Option<io::Error> {
    // The whole group at one stroke: whoever is about to fork gets it too.
    let mut trouble = target.leader.signal_group(signal).err();
    let group_had_it = trouble.is_none() && matches!(target.leader.find(), Ok(Some(_)));
    for process in processes {
        if !(group_had_it && process.group == target.leader.pid)
            && let Err(error) = process.identity.signal(signal)
        {
            trouble = Some(error);
        }
    }
    trouble
}

/// The tag in a process's environment, as far as it may be read.
fn tag_of(pid: i32) -> Tag {
    let mut environment = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(ENVIRONMENT_LIMIT).read_to_end(&mut environment));
    if let Err(error) = read {
        // Another user's process: none of ours, or one whose tag nobody can see.
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Tag::None;
        }
        if !is_gone(&error) {
            tracing::debug!(pid, "cannot read the environment of a process: {error}");
        }
        return Tag::Unclear;
    }
    if environment.is_empty() {
        return Tag::Unclear;
    }
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|text| text.strip_prefix(TAG_VARIABLE.as_bytes())?.strip_prefix(b"="));
    value.map_or(Tag::None, |value| Tag::Some(String::from_utf8_lossy(value).into_owned()))
}
