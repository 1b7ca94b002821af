//! How a provider is kept apart from the host, and what is demanded of its library before any of its code runs.

use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// Where a provider's code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the host's own process: the quickest, and a crash of it is the host's.
    InProcess,
    /// In a process of its own, a *runner*, which the host starts, watches and starts again.
    Subprocess,
}

/// What the library of a provider must be before it is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trust {
    /// The SHA-256 that its bytes must have, in 64 lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Public keys of minisign, as `minisign -G` prints them: one of them must have signed the file, in `FILE.minisig` beside
    /// it. Where there is none, no signature is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
}

/// What a runner may not do, nor anything that it starts: the workers of a provider that runs programs on this machine inherit
/// all of it. Linux alone has it; what a system does not offer is told, and fatal where it is [`required`](Self::required).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confinement {
    /// The user whose rights it has, by name or number; the host's own where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The most memory that each process may address, in bytes: what is reserved counts, used or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The most descriptors that each process may have open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<u32>,
    /// The most time of a processor that each process may use, in its whole life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_time: Option<Duration>,
    /// The files and folders that it may read and run, beside what each program needs; everything where both this and
    /// [`write`](Self::write) are `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<PathBuf>>,
    /// The files and folders that it may change as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<Vec<PathBuf>>,
    /// Whether system calls that no provider needs (of modules, mounts, tracing, the clock, …) are refused.
    pub seccomp: bool,
    /// What must be in force: without it the runner does not start.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub required: BTreeSet<Guard>,
}

impl Confinement {
    /// What it asks for. It always asks that nothing that the runner starts gains rights.
    pub fn guards(&self) -> BTreeSet<Guard> {
        let is_there = |guard: &Guard| match guard {
            Guard::User => self.user.is_some(),
            Guard::Limits => self.memory.is_some() || self.descriptors.is_some() || self.cpu_time.is_some(),
            Guard::NoNewPrivileges => true,
            Guard::Paths => self.read.is_some() || self.write.is_some(),
            Guard::SystemCalls => self.seccomp,
        };
        Guard::ALL.into_iter().filter(is_there).collect()
    }
}

/// One of the things that confine a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Another user.
    User,
    /// The limits of memory, descriptors and time.
    Limits,
    /// No program that it starts has more rights than it has (`PR_SET_NO_NEW_PRIVS`).
    NoNewPrivileges,
    /// The paths that it may use (Landlock).
    Paths,
    /// The system calls that it may use (seccomp).
    SystemCalls,
}

impl Guard {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::User, Self::Limits, Self::NoNewPrivileges, Self::Paths, Self::SystemCalls];

    /// Its name, as a configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Limits => "limits",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Paths => "paths",
            Self::SystemCalls => "system-calls",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_has_one_name_in_the_file_and_on_the_wire() {
        for guard in Guard::ALL {
            assert_eq!(serde_json::to_value(guard).expect("it is plain data"), guard.name());
        }
    }
}
