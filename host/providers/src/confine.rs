//! Confines this process for good: a runner does so to itself, before it opens the library that it runs. Nothing here
//! looks at the library or starts anything.
//!
//! What it lays upon itself, all that it starts inherits: the workers of a provider that runs programs on this machine have
//! the same user, each of them the same limits, and the same paths and system calls.
//!
//! | guard | by | what it does not do |
//! |---|---|---|
//! | user | `setresuid` and its like | keep the runner from what that user may do elsewhere |
//! | limits | `RLIMIT_AS`, `RLIMIT_NOFILE`, `RLIMIT_CPU` | add up over several processes: each has them for itself |
//! | no new privileges | `PR_SET_NO_NEW_PRIVS` | take away rights that the runner has already |
//! | paths | Landlock | close what is open, or keep it from sockets, the network and signals |
//! | system calls | seccomp | more than refuse what no provider needs |
//!
//! A guard that the system does not offer is [`Lacking`], which is told, and an error where it is required. Anything else
//! that goes wrong is an error in any case, after which this process is half confined and should end.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod paths;
#[cfg(all(test, target_os = "linux"))]
mod tests;
#[cfg(target_os = "linux")]
mod user;

use std::{collections::BTreeSet, path::Path};

use longshore_config::{Confinement, Guard};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A guard that was asked for, and is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("\"{guard}\" is not in force: {why}")]
pub struct Lacking {
    /// Which one.
    pub guard: Guard,
    /// Why, and what would bring it.
    pub why: String,
}

/// Why a process was not confined as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "kebab-case")]
pub enum ConfineError {
    /// A guard that is required is not to be had.
    #[error("{0}; it is `required` in [provider.confine]")]
    Required(Lacking),
    /// A guard cannot be what the configuration says, or the system failed at it.
    #[error("\"{guard}\" cannot be put in force: {why}")]
    Failed {
        /// Which one.
        guard: Guard,
        /// Why, and what to do.
        why: String,
    },
}

/// What comes of putting one guard in force: why it is lacking, if it is.
#[cfg(target_os = "linux")]
type Outcome = Result<Option<String>, ConfineError>;

#[cfg(target_os = "linux")]
fn failed(guard: Guard, why: impl Into<String>) -> ConfineError {
    ConfineError::Failed { guard, why: why.into() }
}

/// Confines the calling process, which should have one thread alone, and cannot undo it. `own` are files and folders that it
/// has to read itself, such as its library where that is not open yet. Tells what is lacking of what was asked for.
///
/// The signal that it gets when its parent dies stays what it was. Where the user is changed, its memory can no longer be
/// read by others of that user (it is not *dumpable*), nor by itself through `/proc/self/environ` and the like.
///
/// # Errors
///
/// What is required is lacking, the configuration asks for what is not there, or the system failed.
#[cfg(target_os = "linux")]
pub fn apply(confinement: &Confinement, own: &[&Path]) -> Result<Vec<Lacking>, ConfineError> {
    let mut report = Report { required: &confinement.required, lacking: vec![] };
    // What has to be looked up or opened comes first, while everything may be.
    let user = confinement.user.as_deref().map(user::find).transpose()?;
    let paths = paths::Rules::open(confinement, own)?;
    // Limits before the user: what is set for the former is not for the latter to lower again.
    limits::set(confinement)?;
    if let Some(user) = user {
        report.note(Guard::User, user.take_on()?)?;
    }
    report.note(Guard::NoNewPrivileges, no_new_privileges())?;
    if let Some(paths) = paths {
        report.note(Guard::Paths, paths.enforce()?)?;
    }
    // Last, as everything above may need a call that it refuses.
    if confinement.seccomp {
        report.note(Guard::SystemCalls, calls::refuse())?;
    }
    Ok(report.lacking)
}

/// As on Linux; here is none of it.
///
/// # Errors
///
/// Something is required.
#[cfg(not(target_os = "linux"))]
pub fn apply(confinement: &Confinement, _own: &[&Path]) -> Result<Vec<Lacking>, ConfineError> {
    let mut report = Report { required: &confinement.required, lacking: vec![] };
    for guard in confinement.guards() {
        report.note(guard, Some("it takes Linux, which this system is not".to_owned()))?;
    }
    Ok(report.lacking)
}

/// Gathers what is lacking.
struct Report<'a> {
    required: &'a BTreeSet<Guard>,
    lacking: Vec<Lacking>,
}

impl Report<'_> {
    fn note(&mut self, guard: Guard, why: Option<String>) -> Result<(), ConfineError> {
        let Some(why) = why else { return Ok(()) };
        let lacking = Lacking { guard, why };
        if self.required.contains(&guard) {
            return Err(ConfineError::Required(lacking));
        }
        self.lacking.push(lacking);
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn no_new_privileges() -> Option<String> {
    let error = rustix::thread::set_no_new_privs(true).err()?;
    Some(format!("the kernel refuses PR_SET_NO_NEW_PRIVS: {error}"))
}
