//! A plugin's file as it was when it was read: its bytes under their hash, in a copy that nobody else can touch. Whatever is
//! found out about a plugin, and whatever is loaded of it, is about these bytes, and never about the file again.
//!
//! On Linux the copy is a sealed file in memory, which needs no writable folder and leaves nothing behind. Elsewhere, and
//! where the system allows no such file, it is a temporary file without a name that is open for reading alone. Who has that could
//! still find ways to write to it, so that each process that a plugin runs in is handed one of its own, and what is loaded from one
//! is hashed again.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use longshore_config::Trust;
#[cfg(target_os = "linux")]
use rustix::fs::SealFlags;

use crate::{
    error::{LoadError, LoadErrorKind},
    image,
    verify::{Verified, verify},
};

/// What a file had in it when it was read.
pub struct Sealed {
    path: PathBuf,
    hash: String,
    copy: Copied,
    length: usize,
}

/// Where a copy is.
#[derive(Debug)]
enum Copied {
    /// In memory, sealed: nobody can ever change it.
    #[cfg(target_os = "linux")]
    InMemory(File),
    /// In a file without a name.
    InFolder(File),
}

impl Copied {
    fn of(bytes: &[u8], hash: &str) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = in_memory(bytes, hash) {
            return Ok(Self::InMemory(file));
        }
        // Its name is for a file in memory alone.
        let _ = hash;
        in_folder(bytes).map(Self::InFolder)
    }

    /// What somebody else has copied. It is in memory only where its seals say that nobody can change it any more.
    #[cfg(unix)]
    fn found(file: File) -> Self {
        #[cfg(target_os = "linux")]
        if is_sealed(&file) {
            return Self::InMemory(file);
        }
        Self::InFolder(file)
    }

    fn file(&self) -> &File {
        match self {
            #[cfg(target_os = "linux")]
            Self::InMemory(file) => file,
            Self::InFolder(file) => file,
        }
    }
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
        let copy = Copied::of(bytes, hash).map_err(|error| {
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
        Ok(Self { path, hash, copy: Copied::found(copy), length })
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
        fill(self.copy.file(), &mut bytes)?;
        Ok(bytes)
    }

    /// Whether it can be a plugin for this machine, as far as that can be seen without running any of it.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let unreadable = |error| LoadError::new(&self.path, LoadErrorKind::Unreadable, error);
        let bytes = self.bytes().map_err(unreadable)?;
        image::check(&bytes).map_err(|(kind, message)| LoadError::new(&self.path, kind, message))
    }

    /// A copy for another process, which may do with it what it can.
    #[cfg(unix)]
    pub(crate) fn hand_over(&self) -> io::Result<File> {
        match &self.copy {
            #[cfg(target_os = "linux")]
            Copied::InMemory(file) => file.try_clone(),
            Copied::InFolder(_) => in_folder(&self.bytes()?),
        }
    }

    /// The copy in memory, where it is there and sealed.
    #[cfg(target_os = "linux")]
    pub(crate) fn in_memory(&self) -> Option<&File> {
        match &self.copy {
            Copied::InMemory(file) => Some(file),
            Copied::InFolder(_) => None,
        }
    }

    /// Its content, if it is still what was read.
    ///
    /// # Errors
    ///
    /// It is not, or cannot be read.
    pub(crate) fn same_bytes(&self) -> io::Result<Vec<u8>> {
        let bytes = self.bytes()?;
        if crate::verify::hash(&bytes) == self.hash {
            return Ok(bytes);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what was read, but was changed since"))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, hash, .. } = self;
        f.debug_struct("Sealed").field("path", path).field("hash", hash).finish_non_exhaustive()
    }
}

/// A file without a name that can only be read.
#[cfg(unix)]
fn in_folder(bytes: &[u8]) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let mut written = tempfile::NamedTempFile::new()?;
    written.write_all(bytes)?;
    written.as_file().set_permissions(std::fs::Permissions::from_mode(0o400))?;
    let copy = File::open(written.path())?;
    // It has a name for a moment, under which another could be found in a folder that is not as it should be.
    let [ours, found] =
        [written.as_file().metadata()?, copy.metadata()?].map(|file| (file.dev(), file.ino()));
    if ours != found {
        return Err(io::Error::other(
            "another file was put in the place of a new one in the folder for temporary files",
        ));
    }
    Ok(copy)
}

/// A file without a name, which nobody else is handed here.
#[cfg(not(unix))]
fn in_folder(bytes: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    Ok(file)
}

/// All that must be sealed: what is in it, how long it is, and that nothing of that is taken back.
#[cfg(target_os = "linux")]
const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

/// A sealed file in memory; nothing where that does not work, for whatever reason: then the other way finds the reason, too.
#[cfg(target_os = "linux")]
fn in_memory(bytes: &[u8], hash: &str) -> Option<File> {
    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};

    let name = format!("longshore-{hash}");
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // It is a library, and no program; kernels before 6.3 do not tell the two apart.
    let memory = memfd_create(&name, flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create(&name, flags));
    let mut file = File::from(memory.ok()?);
    file.write_all(bytes).ok()?;
    fcntl_add_seals(&file, SEALS).ok()?;
    is_sealed(&file).then_some(file)
}

/// Whether a file is in memory and can never change.
#[cfg(target_os = "linux")]
fn is_sealed(file: &File) -> bool {
    rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SEALS))
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
        for length in [0, 100] {
            copy.set_len(length).expect_err("it is as long as it is");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_lacks_a_seal_is_not_taken_for_sealed() {
        use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};

        for missing in [SealFlags::WRITE, SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL] {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let file = File::from(memfd_create("of-a-test", flags).expect("this system has files in memory"));
            fcntl_add_seals(&file, SEALS - missing).expect("it can be sealed");
            let found = Sealed::handed_over("x".into(), String::new(), file).expect("it is a file");
            assert!(found.in_memory().is_none(), "{missing:?}");
        }
        let whole = in_memory(b"sealed", "of-a-test").expect("this system has files in memory");
        let found = Sealed::handed_over("x".into(), String::new(), whole).expect("it is a file");
        assert!(found.in_memory().is_some());
    }

    /// What is copied without files in memory.
    #[cfg(unix)]
    fn in_a_folder(content: &[u8]) -> Sealed {
        let copy = Copied::InFolder(in_folder(content).expect("there is room"));
        Sealed { path: "x".into(), hash: crate::verify::hash(content), copy, length: content.len() }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_handed_over_can_be_read_and_not_written() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

        let sealed = in_a_folder(b"as it was");
        let mut handed_over = sealed.hand_over().expect("there is room");
        let mut read = String::new();
        io::Read::read_to_string(&mut handed_over, &mut read).expect("it can be read");
        assert_eq!(read, "as it was");
        let refused = handed_over.write_all(b"as it is").expect_err("it is for reading");
        assert_eq!(refused.raw_os_error(), Some(libc::EBADF));
        handed_over.set_len(0).expect_err("it is for reading");
        let metadata = handed_over.metadata().expect("it is there");
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.nlink()), (0o400, 0), "it has no name");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_finds_a_way_to_write_what_was_handed_over_changes_nothing_for_others() {
        use std::os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _};

        let sealed = in_a_folder(b"as it was");
        let handed_over = sealed.hand_over().expect("there is room");
        // As its owner can.
        handed_over.set_permissions(std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        let mut again = File::options()
            .write(true)
            .open(format!("/proc/self/fd/{}", handed_over.as_raw_fd()))
            .expect("it is ours");
        again.write_all(b"as it is!").expect("it can be written now");
        let theirs = Sealed::handed_over("x".into(), sealed.hash().to_owned(), handed_over).expect("a file");
        let changed = theirs.same_bytes().expect_err("it was changed").to_string();
        assert!(changed.contains("changed since"), "{changed}");
        assert_eq!(sealed.same_bytes().expect("the host's own is another"), b"as it was");
        let next = sealed.hand_over().expect("there is room");
        let next = Sealed::handed_over("x".into(), sealed.hash().to_owned(), next).expect("a file");
        assert_eq!(next.same_bytes().expect("and so is the next one"), b"as it was");
    }
}
