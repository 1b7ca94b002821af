//! Turns that threads and processes take: each a lock on one byte of one file, so that a million of them cost no file. It
//! ends with its holder, however that ends.

use std::{
    fs::{File, OpenOptions},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::Path,
    time::Duration,
};

use longshore_plugin_api::{Context, Error};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

/// How long to wait before another try.
const PAUSE: Duration = Duration::from_millis(2);

/// A turn; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Turn {
    file: File,
    at: libc::off_t,
}

impl Turn {
    /// Takes the turn of this name if nobody has it.
    pub(crate) fn try_take(lock_file: &Path, name: &[&str]) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(lock_file)?;
        let at = place(name);
        match set(&file, at, libc::F_WRLCK) {
            Ok(()) => Ok(Some(Self { file, at })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the turn, for as long as the call may.
    pub(crate) fn take(ctx: &Context<'_>, lock_file: &Path, name: &[&str]) -> Result<Self, Error> {
        loop {
            if let Some(turn) = Self::try_take(lock_file, name)
                .map_err(|error| super::folder::unreachable(lock_file, &error))?
            {
                return Ok(turn);
            }
            ctx.sleep(PAUSE)?;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A child that is being started may hold the same open file for a moment longer.
        let _released_by_closing_at_the_latest = set(&self.file, self.at, libc::F_UNLCK);
    }
}

/// The byte of a name. Two names may share one, of 2^62: then they take turns for no reason.
fn place(name: &[&str]) -> libc::off_t {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    i64::try_from(hasher.finish() >> 2).unwrap_or_default()
}

fn set(file: &File, at: libc::off_t, kind: libc::c_int) -> nix::Result<()> {
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: at,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop)
}
