//! Locks on open files, which tell whether anybody works on a launch or a server. A child inherits the open file, and with it the lock,
//! until it has become its program: so a lock that is free says that no child is on its way, whatever became of the host.

use std::{fmt, fs::File, io, time::Duration};

use longshore_plugin_api::{Context, Error};
use rustix::{fs::FlockOperation, io::Errno};

/// How long to wait before looking again whether a lock is free.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// A lock on an open file. It ends with its drop, even where a child of another thread still has a copy of the file; when
/// the host is killed, it ends with the last copy.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock for itself alone, unless somebody has it.
    pub(crate) fn take(file: File) -> io::Result<Option<Self>> {
        Ok(try_lock(&file, FlockOperation::NonBlockingLockExclusive)?.then_some(Self(file)))
    }

    /// Takes the lock together with others who only look, unless somebody has it for itself.
    pub(crate) fn share(file: File) -> io::Result<Option<Self>> {
        Ok(try_lock(&file, FlockOperation::NonBlockingLockShared)?.then_some(Self(file)))
    }

    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Should it fail, closing the file unlocks it too.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn try_lock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for the lock of something, as long as the call may take.
pub(crate) fn wait_for(ctx: &Context<'_>, file: File, what: impl fmt::Display) -> Result<Lock, Error> {
    loop {
        match try_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(true) => return Ok(Lock(file)),
            Ok(false) => {}
            Err(error) => return Err(Error::retryable(format_args!("cannot lock {what}: {error}"))),
        }
        if ctx.sleep(PAUSE).is_err() {
            return Err(Error::unknown(format_args!(
                "another call is still at work on {what}; ask again when it has ended"
            )));
        }
    }
}
