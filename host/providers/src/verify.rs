//! What a plugin's file must be before any of its code runs: whole, out of the reach of other users, and, where that is asked
//! for, the very bytes that were pinned or that somebody trusted has signed. It reads the file once; what is loaded
//! afterwards are the bytes that were looked at here, whatever becomes of the file.

#[cfg(unix)]
mod accounts;
mod reach;
mod signature;

use std::{
    fmt::Write as _,
    fs::{File, Metadata},
    io::{self, Read as _},
    path::Path,
};

use longshore_config::Trust;
use sha2::{Digest as _, Sha256};

pub use reach::WRITABLE_VARIABLE;
pub use signature::Signer;
pub(crate) use signature::{MAX_SIGNATURE_BYTES, beside as signature_of};

use crate::{
    error::{LoadError, LoadErrorKind},
    image,
};

/// The largest library that is read: 1 GiB.
pub const MAX_LIBRARY_BYTES: u64 = 1 << 30;

/// The content of a file that may be loaded.
#[derive(Clone, Debug)]
pub struct Verified {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its SHA-256, in hexadecimal.
    pub hash: String,
    /// Who has signed it, where a signature was asked for.
    pub signer: Option<Signer>,
}

/// Reads a file and holds it to what is demanded of it. None of its code runs.
///
/// Whatever else is demanded, nobody but root and the host's user may be able to write the file, or to put another one in its
/// place: see the rule in `verify/reach.rs`.
///
/// # Errors
///
/// [`LoadError`] says what is wrong, where, and what to do about it.
pub fn verify(path: &Path, trust: &Trust) -> Result<Verified, LoadError> {
    let bytes = read(path)?;
    let hash = hash(&bytes);
    check_pin(path, &hash, trust)?;
    let signer = signature::check(path, &bytes, &trust.signed_by)
        .map_err(|message| LoadError::new(path, LoadErrorKind::Signature, message))?;
    Ok(Verified { bytes, hash, signer })
}

impl Verified {
    /// Whether it is a whole library for this machine that exports what a plugin does. None of its code runs.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what is wrong with what was read from the path.
    pub fn check_image(&self, path: &Path) -> Result<(), LoadError> {
        image::check(&self.bytes).map_err(|(kind, message)| LoadError::new(path, kind, message))
    }
}

/// The SHA-256 of a file's content, in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a file is the one that was pinned, if one was.
pub(crate) fn check_pin(path: &Path, hash: &str, trust: &Trust) -> Result<(), LoadError> {
    match &trust.sha256 {
        Some(pin) if *pin != hash => {
            let message = format_args!("its SHA-256 is {hash}, and {pin} is asked for");
            Err(LoadError::new(path, LoadErrorKind::Pin, message))
        }
        _ => Ok(()),
    }
}

/// The whole file, of at most [`MAX_LIBRARY_BYTES`], if it is out of the reach of others.
fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |error| LoadError::new(path, LoadErrorKind::Unreadable, error);
    let (file, before) = open(path).map_err(unreadable)?;
    if !before.is_file() {
        return Err(LoadError::new(path, LoadErrorKind::NotALibrary, "it is not a regular file"));
    }
    check_reach(path, &before)?;
    read_opened(path, &file, &before)
}

/// Opens whatever is there, without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Whether the file that was opened is the one that the path leads to, and out of the reach of others.
fn check_reach(path: &Path, opened: &Metadata) -> Result<(), LoadError> {
    match reach::check(path, opened) {
        Ok(()) => Ok(()),
        Err(reach::Fault::Changed) => Err(changed(path)),
        Err(reach::Fault::Writable(message)) => Err(LoadError::new(path, LoadErrorKind::Writable, message)),
        Err(reach::Fault::Unreadable(error)) => Err(LoadError::new(path, LoadErrorKind::Unreadable, error)),
    }
}

/// The content of an open file that nobody writes meanwhile.
fn read_opened(path: &Path, file: &File, before: &Metadata) -> Result<Vec<u8>, LoadError> {
    let unreadable = |error| LoadError::new(path, LoadErrorKind::Unreadable, error);
    let mut bytes = Vec::with_capacity(usize::try_from(before.len().min(MAX_LIBRARY_BYTES)).unwrap_or(0));
    file.take(MAX_LIBRARY_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_LIBRARY_BYTES {
        let message = format_args!("it is larger than {} MiB", MAX_LIBRARY_BYTES >> 20);
        return Err(LoadError::new(path, LoadErrorKind::TooLarge, message));
    }
    let after = file.metadata().map_err(unreadable)?;
    let is_same = bytes.len() as u64 == before.len()
        && after.len() == before.len()
        && after.modified().ok() == before.modified().ok();
    if is_same { Ok(bytes) } else { Err(changed(path)) }
}

fn changed(path: &Path) -> LoadError {
    LoadError::new(path, LoadErrorKind::Changed, "it was written to, or replaced, while it was read")
}

#[cfg(test)]
mod tests;
