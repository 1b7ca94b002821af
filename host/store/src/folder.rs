//! The folder of a journal: what its files are called, who may see them, and the lock that keeps a second host out.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;

use crate::{guard::Identity, open::OpenError};

/// The journal itself, a database of `SQLite`.
pub const FILE: &str = "journal.db";
/// How many commits have been made durable.
pub const WITNESS: &str = "head";
/// Held by the host that uses the folder.
pub const LOCK: &str = "lock";
/// A journal that is being made; it gets its name when it is complete.
const UNFINISHED: &str = "journal.new";
/// The bytes of a page of the file: `SQLite`'s default, which every journal has.
pub(crate) const PAGE: u64 = 4_096;
/// How often the lock is tried, and how long between: for a second, together. A host that was killed while a plugin started a
/// process leaves the lock to that child until the child has become its program, which is no reason to turn the next host away.
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// What `SQLite` appends to the names of the files beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The paths in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    pub(crate) fn witness(&self) -> PathBuf {
        self.path.join(WITNESS)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(format!("{FILE}-wal"))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    pub(crate) fn unfinished(&self) -> PathBuf {
        self.path.join(UNFINISHED)
    }

    /// The copy that is kept of a file of an older format.
    pub(crate) fn older(&self, format: u32) -> PathBuf {
        self.path.join(format!("journal.format-{format}.db"))
    }

    /// A folder that is there, by the one name that leads to it without a link: `SQLite` follows none.
    pub(crate) fn existing(path: &Path) -> Result<Self, OpenError> {
        let looked = |error| OpenError::system("look at the state folder", path, error);
        if !fs::metadata(path).map_err(looked)?.is_dir() {
            return Err(OpenError::NotAFolder { path: path.to_owned() });
        }
        Ok(Self { path: fs::canonicalize(path).map_err(looked)? })
    }

    /// The same, made where there is none.
    pub(crate) fn make(path: &Path) -> Result<Self, OpenError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() && metadata.permissions().mode() & 0o022 > 0 => {
                tracing::warn!(
                    "others than you may write to the state folder {}, and could replace what is in it: `chmod 700` it",
                    path.display()
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|error| OpenError::system("make the state folder", path, error))?,
            // What is wrong with it is told of below.
            Ok(_) | Err(_) => {}
        }
        Self::existing(path)
    }

    /// Brings the names of its files to the disk.
    pub(crate) fn sync(&self) -> Result<(), OpenError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| OpenError::system("bring the state folder to the disk", &self.path, error))
    }

    /// Takes away what is left of a journal that was never finished.
    pub(crate) fn clear_unfinished(&self) -> Result<(), OpenError> {
        let path = self.unfinished();
        let beside = BESIDE.map(|suffix| self.path.join(format!("{UNFINISHED}{suffix}")));
        for path in [&path].into_iter().chain(&beside) {
            match fs::remove_file(path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(OpenError::system("remove the unfinished journal", path, error)),
            }
        }
        Ok(())
    }

    /// Whether there is a journal, by the length of its file. One that is shorter than a page is none: `SQLite` would take it for
    /// an empty database, and throw the log away.
    pub(crate) fn has_file(&self) -> Result<bool, OpenError> {
        let path = self.file();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {
                let error = io::Error::other("it is no file");
                Err(OpenError::system("use", &path, error))
            }
            Ok(metadata) => Ok(metadata.len() >= PAGE),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(OpenError::system("look at", &path, error)),
        }
    }

    /// A file without which there can have been no journal, where the journal itself is not there.
    pub(crate) fn remains(&self) -> Option<&'static str> {
        let is_there = |path: PathBuf| fs::symlink_metadata(path).is_ok();
        if let Ok(metadata) = fs::symlink_metadata(self.file()) {
            Some(if metadata.len() == 0 { "is empty" } else { "is cut short" })
        } else if is_there(self.witness()) || is_there(self.log()) {
            Some("is missing")
        } else {
            None
        }
    }
}

/// Keeps others from a file.
pub(crate) fn make_private(path: &Path) -> Result<(), OpenError> {
    let private = fs::metadata(path).and_then(|metadata| {
        let (mode, own) = (metadata.permissions().mode() & 0o777, metadata.permissions().mode() & 0o700);
        if mode == own { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(own)) }
    });
    private.map_err(|error| OpenError::system("keep others from", path, error))
}

/// Who holds a lock, as far as its file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Since when, as a date and time.
    pub since: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}, since {}", self.pid, self.since)
    }
}

/// The right to use a folder. The system takes it back when its holder dies, however it dies.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Kept open, and with it locked. The file stays when this is dropped: a lock on a file that somebody removed would keep
    /// nobody out.
    file: File,
}

impl Lock {
    pub(crate) fn take(folder: &Folder) -> Result<Self, OpenError> {
        let path = folder.lock();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        // A link could lead to a file that must not be written to.
        let opened = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path);
        let mut file = opened.map_err(|error| OpenError::system("open the lock", &path, error))?;
        let mut attempts = 1;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A child of a killed host may have it for a moment; and whoever looks whether it is held does so by
                // holding it, for an instant.
                Err(fs::TryLockError::WouldBlock) if attempts < LOCK_ATTEMPTS => {
                    attempts += 1;
                    thread::sleep(LOCK_PAUSE);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(OpenError::Held { folder: folder.path.clone(), holder: holder(&mut file) });
                }
                Err(fs::TryLockError::Error(error)) => {
                    return Err(OpenError::system("lock", &path, error));
                }
            }
        }
        let since = humantime::format_rfc3339_seconds(SystemTime::now());
        let line = format!("{} {since}\n", std::process::id());
        let told =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(line.as_bytes()));
        told.map_err(|error| OpenError::system("write to the lock", &path, error))?;
        Ok(Self { file })
    }

    /// Which file it is.
    pub(crate) fn identity(&self) -> io::Result<Identity> {
        self.file.metadata().map(|metadata| Identity::from(&metadata))
    }

    /// Whether anybody holds the lock of a folder, and who.
    pub(crate) fn held(folder: &Folder) -> (bool, Option<Holder>) {
        let Ok(mut file) = File::open(folder.lock()) else { return (false, None) };
        match file.try_lock_shared() {
            Err(fs::TryLockError::WouldBlock) => (true, holder(&mut file)),
            Ok(()) | Err(fs::TryLockError::Error(_)) => (false, None),
        }
    }
}

impl Drop for Lock {
    /// Frees it even where a child that has not become its program yet has a copy of the file.
    fn drop(&mut self) {
        // Should it fail, closing the file frees it too.
        let _ = self.file.unlock();
    }
}

/// The holder that a lock file names.
fn holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(128).read_to_string(&mut text).ok()?;
    let (pid, since) = text.trim().split_once(' ')?;
    Some(Holder { pid: pid.parse().ok()?, since: since.to_owned() })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_a_killed_hosts_child_still_has_is_waited_for() {
        let temp = tempfile::tempdir().expect("a folder");
        let folder = Folder::existing(temp.path()).expect("it is there");
        let path = folder.lock();
        let held = File::create(&path).expect("a lock file");
        held.lock().expect("nobody else has it");
        let taking = thread::spawn(move || Lock::take(&folder));
        let leads = |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to == path);
        let open_files = || {
            let files = fs::read_dir("/proc/self/fd").expect("this system has /proc");
            files.filter_map(Result::ok).filter(|entry| leads(entry)).count()
        };
        while open_files() < 2 && !taking.is_finished() {
            thread::yield_now();
        }
        drop(held);
        let lock = taking.join().expect("it ends").expect("the child has become its program");
        let folder = Folder::existing(temp.path()).expect("it is there");
        let holder = Lock::held(&folder).1.expect("it is held");
        assert_eq!(holder.pid, std::process::id());
        drop(lock);
    }
}
