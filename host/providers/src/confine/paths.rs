//! The files and folders that this process may use, by Landlock: those that are configured, and what each program needs.
//!
//! A path stands for what is there now: all that is and comes to be in a folder, but of a file only this one, not another
//! that is later put in its place. Links are followed; what they lead to must be allowed itself.
//!
//! Landlock always lets a process look up names and their attributes, and use what is open already, pipes, sockets and files
//! in memory, as which a library is loaded. Two processes that confined themselves one by one cannot trace each other, nor,
//! unless they are root, read `/proc/PID/environ` and the like of each other: not even a runner that is started again those of
//! workers that the one before it started.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};
use longshore_config::{Confinement, Guard};
use rustix::fs::{FileType, fstat};

use super::{ConfineError, Outcome, failed};

/// The version of Landlock that has all that is asked of it: Linux 6.2. What later ones add (devices' own calls, sockets,
/// signals) is none of paths.
const NEEDED: ABI = ABI::V3;

/// What each program may read and run: the loader and the libraries, the system's programs (a worker is often `/bin/sh`), and
/// what the C library looks at to know users, hosts, times, certificates and processors. A process finds itself in
/// `/proc/self`, which is another folder for each, and the process provider finds its workers in `/proc`.
const NEEDED_BY_ALL: &[&str] = &[
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
];
/// The devices that each program may read and write.
const DEVICES: &[&str] = &["/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];

/// What the process may do with which paths: made while all of them can be reached, and before descriptors are limited, of which
/// it then needs one alone.
#[derive(Debug)]
pub(super) struct Rules(RulesetCreated);

impl Rules {
    /// Opens the paths; nothing where none are configured.
    pub(super) fn open(confinement: &Confinement, own: &[&Path]) -> Result<Option<Self>, ConfineError> {
        if !confinement.guards().contains(&Guard::Paths) {
            return Ok(None);
        }
        let mut rules = vec![];
        for (paths, access) in [(NEEDED_BY_ALL, reading()), (DEVICES, changing() & !AccessFs::Execute)] {
            // What one system has another has not.
            rules.extend(paths.iter().filter_map(|path| rule(Path::new(path), access).ok()));
        }
        for path in own {
            rules.push(rule(path, reading()).map_err(|error| {
                failed(Guard::Paths, format!("{} cannot be opened: {error}", path.display()))
            })?);
        }
        for (key, paths, access) in
            [("read", &confinement.read, reading()), ("write", &confinement.write, changing())]
        {
            for path in paths.iter().flatten() {
                rules.push(rule(path, access).map_err(|error| {
                    let path = path.display();
                    let why = format!(
                        "{path} in `{key}` cannot be opened: {error}; make it first, name the folder that it is in, or \
                         leave it out"
                    );
                    failed(Guard::Paths, why)
                })?);
            }
        }
        Ok(Some(Self(made(rules).map_err(|error| refused(&error))?)))
    }

    /// From here on, nothing else can be opened, run, made or removed.
    pub(super) fn enforce(self) -> Outcome {
        let status = self.0.restrict_self().map_err(|error| refused(&error))?;
        Ok(lacking(&status.ruleset, status.landlock))
    }
}

fn refused(error: &RulesetError) -> ConfineError {
    failed(Guard::Paths, format!("Landlock refuses the paths: {}", innermost(error)))
}

fn made(rules: Vec<PathBeneath<PathFd>>) -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEEDED))?
        .create()?
        .add_rules(rules.into_iter().map(Ok::<_, RulesetError>))
}

/// What is not in force, if anything.
fn lacking(ruleset: &RulesetStatus, landlock: LandlockStatus) -> Option<String> {
    match (ruleset, landlock) {
        (RulesetStatus::FullyEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => Some(format!(
            "the kernel's Landlock is of version {}, which does not keep files elsewhere from being cut short; version {}, \
             of Linux 6.2, does",
            effective_abi as u32, NEEDED as u32
        )),
        (_, LandlockStatus::NotEnabled) => {
            Some("the kernel's Landlock is switched off; add `landlock` to its boot option `lsm=`".to_owned())
        }
        (_, LandlockStatus::NotImplemented) => {
            Some("the kernel has no Landlock; Linux 5.13 and later have, where it is built in".to_owned())
        }
    }
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::from_read(NEEDED)
}

/// Who could make a device, as root can, could reach every disk through it.
fn changing() -> BitFlags<AccessFs> {
    AccessFs::from_all(NEEDED) & !(AccessFs::MakeBlock | AccessFs::MakeChar)
}

fn rule(path: &Path, access: BitFlags<AccessFs>) -> Result<PathBeneath<PathFd>, String> {
    let open = PathFd::new(path).map_err(|error| innermost(&error))?;
    let attributes = fstat(&open).map_err(|error| error.to_string())?;
    let is_folder = FileType::from_raw_mode(attributes.st_mode) == FileType::Directory;
    let access = if is_folder { access } else { access & AccessFs::from_file(NEEDED) };
    Ok(PathBeneath::new(open, access))
}

/// The error at the bottom, which says what the kernel said.
fn innermost(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That it is missing altogether is tried in truth; an older version cannot be had for a test.
    #[test]
    fn an_older_landlock_is_told() {
        let older = LandlockStatus::Available { effective_abi: ABI::V2, kernel_abi: None };
        let why = lacking(&RulesetStatus::PartiallyEnforced, older).expect("something is");
        assert_eq!(
            why,
            "the kernel's Landlock is of version 2, which does not keep files elsewhere from being cut short; version 3, of \
             Linux 6.2, does"
        );
        assert_eq!(lacking(&RulesetStatus::FullyEnforced, older), None);
    }
}
