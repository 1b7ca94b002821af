//! A plugin's file as it was when it was read: its bytes under their hash, in a copy that nobody else can touch. Whatever is
//! found out about a plugin, and whatever is loaded of it, is about these bytes, and never about the file again.
//!
//! On Linux the copy is a sealed file in memory, which needs no writable folder and leaves nothing behind. Elsewhere, and
//! where the system allows no such file, it is a temporary file without a name.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use longshore_config::Trust;

use crate::{
    error::{LoadError, LoadErrorKind},
    image,
    verify::{Verified, verify},
};

/// What a file had in it when it was read.
pub struct Sealed {
    path: PathBuf,
    hash: String,
    copy: File,
    length: usize,
}

impl Sealed {
    /// Reads a file, once, if nobody else can write it: see [`verify`].
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what is wrong.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        Self::of(path, &verify(path, &Trust::default())?)
    }

    /// What was read from a path, and held to what is demanded of it.
    ///
    /// # Errors
    ///
    /// No copy of it could be made.
    pub fn of(path: &Path, verified: &Verified) -> Result<Self, LoadError> {
        let Verified { bytes, hash, .. } = verified;
        let copy = copy(bytes, hash).map_err(|error| {
            let message = format_args!("no private copy of it could be made: {error}");
            LoadError::new(path, LoadErrorKind::Open, message)
        })?;
        Ok(Self { path: path.to_owned(), hash: hash.clone(), copy, length: bytes.len() })
    }

    /// What another process has read, hashed and sealed, and handed over.
    #[cfg(unix)]
    pub(crate) fn handed_over(path: PathBuf, hash: String, copy: File) -> io::Result<Self> {
        let length = copy.metadata()?.len();
        let length = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(Self { path, hash, copy, length })
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of its content, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Its content.
    ///
    /// # Errors
    ///
    /// The system could not read the copy.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        fill(&self.copy, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether it can be a plugin for this machine, as far as that can be seen without running any of it.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let unreadable = |error| LoadError::new(&self.path, LoadErrorKind::Unreadable, error);
        let bytes = self.bytes().map_err(unreadable)?;
        image::check(&bytes).map_err(|(kind, message)| LoadError::new(&self.path, kind, message))
    }

    /// The copy, to be loaded from or handed over.
    pub(crate) fn copy(&self) -> &File {
        &self.copy
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, hash, .. } = self;
        f.debug_struct("Sealed").field("path", path).field("hash", hash).finish_non_exhaustive()
    }
}

fn copy(bytes: &[u8], hash: &str) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    if let Some(file) = in_memory(bytes, hash) {
        return Ok(file);
    }
    // Its name is for a file in memory alone.
    let _ = hash;
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    Ok(file)
}

/// A sealed file in memory; nothing where that does not work, for whatever reason: then the other way finds the reason, too.
#[cfg(target_os = "linux")]
fn in_memory(bytes: &[u8], hash: &str) -> Option<File> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    let name = format!("longshore-{hash}");
    let memory = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).ok()?;
    let mut file = File::from(memory);
    file.write_all(bytes).ok()?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).ok()?;
    Some(file)
}

/// Reads from the file's beginning, wherever others read.
#[cfg(unix)]
fn fill(file: &File, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, 0)
}

#[cfg(windows)]
fn fill(file: &File, bytes: &mut [u8]) -> io::Result<()> {
    let mut place = 0;
    while place < bytes.len() {
        match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[place..], place as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => place += read,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_does_not_change_with_its_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("any");
        std::fs::write(&path, "as it was").expect("the folder can be written");
        let sealed = Sealed::read(&path).expect("it is a file");
        std::fs::write(&path, "as it is").expect("the folder can be written");
        let before = sealed.bytes().expect("the copy is there");
        assert_eq!(before, b"as it was");
        assert_eq!(before, sealed.bytes().expect("the copy is there"), "however often it is read");
        assert_eq!(sealed.hash(), crate::verify::hash(b"as it was"));
        assert_ne!(sealed.hash(), Sealed::read(&path).expect("it is a file").hash());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nobody_writes_into_a_copy_in_memory() {
        let mut copy = in_memory(b"sealed", "of-a-test").expect("this system has files in memory");
        let refused = copy.write_all(b"more").expect_err("it is sealed");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}
