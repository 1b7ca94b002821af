//! Which workers really run, by what the system says of its processes: nothing of it comes from the host or from the plugin's
//! own records.

use std::{collections::BTreeMap, fmt, fs};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::{FromRead as _, process::Stat};

/// The variable by which a cluster's container marks its workers; its value is the cluster's name.
pub(crate) const CLUSTER: &str = "CHAOS_CLUSTER";

/// A process, for as long as the system runs: its number, and the moment that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    start: u64,
}

#[cfg(test)]
impl Identity {
    /// Of a process that is none.
    pub(crate) fn sample(pid: i32) -> Self {
        Self { pid, start: 1 }
    }
}

/// The first process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) identity: Identity,
    pub(crate) cluster: String,
    /// What it was told that it is.
    pub(crate) handle: String,
    pub(crate) token: String,
    /// How many workers it was told that it is.
    pub(crate) workers: u32,
}

impl Worker {
    /// Kills it as the system would. It may have ended meanwhile.
    pub(crate) fn kill(&self) {
        // A number is not given to another process so soon.
        let _ = kill(Pid::from_raw(self.identity.pid), Signal::SIGKILL);
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, cluster, handle, workers, .. } = self;
        write!(f, "process {}, {handle} of {cluster} ({workers} workers)", identity.pid)
    }
}

/// A process of the house that is no container's first: the host, one that it runs a plugin in, a command, a worker's child, or
/// what should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) pid: i32,
    /// Who started it, or who took it over when that one ended.
    pub(crate) parent: i32,
    pub(crate) name: String,
    /// The first process of its session.
    pub(crate) session: i32,
}

/// All processes of a house at about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) workers: Vec<Worker>,
    pub(crate) others: Vec<Other>,
}

impl Census {
    /// Looks at every process of the system. One that begins or ends meanwhile may be there or not; one that has ended and
    /// waits for its parent is not.
    pub(crate) fn take(mark: &str) -> Self {
        let mut census = Self::default();
        let processes = fs::read_dir("/proc").expect("this system has /proc");
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids {
            census.add(pid, mark);
        }
        census
    }

    /// What ends in between is not there.
    fn add(&mut self, pid: i32, mark: &str) -> Option<()> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mut lines = environment.split(|byte| *byte == 0);
        if !lines.any(|line| line == mark.as_bytes()) {
            return None;
        }
        let line = fs::read(format!("/proc/{pid}/stat")).ok().filter(|line| !line.is_empty())?;
        let stat = Stat::from_read(line.as_slice()).ok()?;
        if matches!(stat.state, 'Z' | 'X') {
            return None;
        }
        let variables = variables(&environment);
        let text = |name| variables.get(name).map(|value| (*value).to_owned());
        match text(CLUSTER) {
            Some(cluster) if stat.session == pid => self.workers.push(Worker {
                identity: Identity { pid, start: stat.starttime },
                cluster,
                handle: text("LONGSHORE_HANDLE")?,
                token: text("LONGSHORE_TOKEN")?,
                workers: text("LONGSHORE_WORKERS")?.parse().ok()?,
            }),
            _ => self.others.push(Other { pid, parent: stat.ppid, name: stat.comm, session: stat.session }),
        }
        Some(())
    }

    /// The workers of one cluster.
    pub(crate) fn of<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a Worker> {
        self.workers.iter().filter(move |worker| worker.cluster == cluster)
    }

    /// How many workers of one cluster live.
    pub(crate) fn live(&self, cluster: &str) -> u32 {
        self.of(cluster).map(|worker| worker.workers).sum()
    }
}

fn variables(environment: &[u8]) -> BTreeMap<&str, &str> {
    let lines = environment.split(|byte| *byte == 0);
    lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once('=')).collect()
}
