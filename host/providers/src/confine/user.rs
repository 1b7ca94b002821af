//! Another user: its number, its group and its other groups, in place of the host's.

use std::ffi::CString;

use longshore_config::Guard;
use nix::{
    errno::Errno,
    unistd::{Gid, Uid, User, getresgid, getresuid, initgroups, setgroups, setresgid, setresuid},
};
use rustix::process::{parent_process_death_signal, set_parent_process_death_signal};

use super::{ConfineError, Outcome, failed};

/// A user whom this process can become.
#[derive(Debug)]
pub(super) struct Target {
    uid: Uid,
    gid: Gid,
    /// A number that the system has no name for has no other groups either.
    name: Option<CString>,
}

/// Looks a user up by its name or number.
pub(super) fn find(user: &str) -> Result<Target, ConfineError> {
    let unknown =
        |error: Errno| failed(Guard::User, format!("the user \"{user}\" cannot be looked up: {error}"));
    // To the system's calls, the highest number means to leave things as they are.
    let number = user.parse().ok().filter(|number| *number != u32::MAX);
    let found = match number {
        Some(number) => User::from_uid(Uid::from_raw(number)).map_err(unknown)?,
        None => User::from_name(user).map_err(unknown)?,
    };
    match (found, number) {
        (Some(found), _) => {
            let name = CString::new(found.name).map_err(|_| unknown(Errno::EINVAL))?;
            Ok(Target { uid: found.uid, gid: found.gid, name: Some(name) })
        }
        (None, Some(number)) => {
            Ok(Target { uid: Uid::from_raw(number), gid: Gid::from_raw(number), name: None })
        }
        (None, None) => {
            let why =
                format!("there is no user \"{user}\" on this machine; make it, or name another in `user`");
            Err(failed(Guard::User, why))
        }
    }
}

impl Target {
    /// Becomes this user, for good.
    pub(super) fn take_on(&self) -> Outcome {
        if self.is_taken_on().map_err(|error| self.failed(error))? {
            return Ok(None);
        }
        // The kernel forgets it with the user.
        let parent_dies = parent_process_death_signal().map_err(|error| self.failed(error))?;
        let groups = match &self.name {
            Some(name) => initgroups(name, self.gid),
            None => setgroups(&[]),
        };
        match groups {
            Ok(()) => {}
            Err(Errno::EPERM) => {
                let uid = Uid::effective();
                return Ok(Some(format!("to change the user, the host must be root, and is user {uid}")));
            }
            Err(error) => return Err(self.failed(error)),
        }
        // From here on it is all or nothing.
        setresgid(self.gid, self.gid, self.gid).map_err(|error| self.failed(error))?;
        setresuid(self.uid, self.uid, self.uid).map_err(|error| self.failed(error))?;
        set_parent_process_death_signal(parent_dies).map_err(|error| self.failed(error))?;
        match self.is_taken_on() {
            Ok(true) => Ok(None),
            Ok(false) => Err(self.failed("the system says that it did, and did not")),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn is_taken_on(&self) -> nix::Result<bool> {
        let (users, groups) = (getresuid()?, getresgid()?);
        Ok([users.real, users.effective, users.saved] == [self.uid; 3]
            && [groups.real, groups.effective, groups.saved] == [self.gid; 3])
    }

    fn failed(&self, why: impl std::fmt::Display) -> ConfineError {
        failed(Guard::User, format!("this process cannot become user {}: {why}", self.uid))
    }
}
