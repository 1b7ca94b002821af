//! The host's Unix socket: one host a path, held by a lock beside it, usable by its owner alone, replaced when a dead host
//! left it behind, and never put in the place of something else.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{fs::OFlags, process::geteuid};
use thiserror::Error;
use tokio::{
    net::{UnixListener, UnixSocket, UnixStream},
    time::{sleep, timeout},
};

/// The longest path of a socket, in bytes: the system has room for 108 with the zero at the end.
pub const PATH_LIMIT: usize = 107;
/// Connections that the system keeps waiting.
const BACKLOG: u32 = 128;
/// How long somebody else's socket may take to accept a connection.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// How long a lock that somebody has is waited for. A host that was killed while it started a process leaves it to that child
/// until the child has become its program: a moment, and no reason to turn the next host away.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait before looking again whether it is free.
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// How often the lock file is opened anew when a host that ends takes it away meanwhile.
const LOCK_ATTEMPTS: usize = 10;

/// Why there is no socket.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The system cannot hold the path.
    #[error(
        "the socket's path {} has {} bytes, and the system allows {PATH_LIMIT}: name a shorter one with --socket",
        path.display(), path.as_os_str().len()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// It names no file.
    #[error("{} is not the path of a socket: name a file with --socket", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// A host listens there.
    #[error(
        "a host{} listens at {} already: use that one, end it, or name another socket with --socket",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display()
    )]
    Taken {
        /// The path.
        path: PathBuf,
        /// The host's process, where it is known.
        pid: Option<u32>,
    },
    /// Something else listens there.
    #[error("another program listens at {}: name another socket with --socket", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// There is something that is no socket.
    #[error("{} is {what}, not a socket, and is left alone: name another path with --socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Its folder belongs to another user, who could put something else in its place.
    #[error(
        "the folder {} belongs to the user with the id {owner}, who could take the socket's place: name a socket in a \
         folder of your own with --socket",
        folder.display()
    )]
    ForeignFolder {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// The system refuses something.
    #[error("{what} {}", path.display())]
    System {
        /// What cannot be done, up to the path.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Where a host listens unless it is told otherwise: in the user's runtime folder, or else in a folder of the user's among
/// the temporary files.
pub fn default_path() -> PathBuf {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = match runtime {
        Some(runtime) => runtime.join("longshore"),
        None => env::temp_dir().join(format!("longshore-{}", geteuid().as_raw())),
    };
    folder.join("host.sock")
}

/// Checks what can be known of a path before it is used: that it fits, and that its folder is not another user's.
///
/// # Errors
///
/// [`SocketError::NoFile`], [`SocketError::TooLong`] or [`SocketError::ForeignFolder`].
pub fn check(path: &Path) -> Result<(), SocketError> {
    if path.file_name().is_none() {
        return Err(SocketError::NoFile { path: path.to_owned() });
    }
    if path.as_os_str().len() > PATH_LIMIT {
        return Err(SocketError::TooLong { path: path.to_owned() });
    }
    let (folder, me) = (folder_of(path), geteuid().as_raw());
    match fs::metadata(folder).map(|metadata| metadata.uid()) {
        Ok(owner) if owner != me && owner != 0 && me != 0 => {
            Err(SocketError::ForeignFolder { folder: folder.to_owned(), owner })
        }
        // What is wrong with a folder that cannot be looked at shows when it is used.
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A socket that listens. It is removed, with its lock, when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    /// Device and inode, to remove nothing else.
    identity: (u64, u64),
    /// Given up when the socket is gone.
    _lock: Lock,
    path: PathBuf,
}

impl Socket {
    /// Listens at a path. Its folder is made where there is none.
    ///
    /// # Errors
    ///
    /// [`SocketError`] says what is in the way. Nothing has changed then, but that its folder may have been made.
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        check(path)?;
        let system = |what, source| SocketError::System { what, path: path.to_owned(), source };
        let folder = folder_of(path);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| {
            SocketError::System { what: "cannot make the socket's folder", path: folder.to_owned(), source }
        })?;
        check(path)?;
        let lock = Lock::take(path).await?;
        clear(path).await?;
        let socket = UnixSocket::new_stream().map_err(|error| system("cannot make the socket", error))?;
        socket.bind(path).map_err(|error| system("cannot bind the socket", error))?;
        // Nobody can connect before it listens, and by then nobody else may.
        let private = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
        let metadata = private.and_then(|()| fs::symlink_metadata(path));
        let metadata = metadata.map_err(|error| system("cannot keep others from the socket", error))?;
        let listener = socket.listen(BACKLOG).map_err(|error| system("cannot listen at", error))?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { listener, identity, _lock: lock, path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| ours(&metadata)) {
            // What cannot be removed is found stale by the next host.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes sure that nothing is at the path, where that may be done: a socket that nobody listens at is removed.
async fn clear(path: &Path) -> Result<(), SocketError> {
    let system = |what, source| SocketError::System { what, path: path.to_owned(), source };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("cannot look at", error)),
    };
    let kind = metadata.file_type();
    if !kind.is_socket() {
        let what = if kind.is_dir() {
            "a folder"
        } else if kind.is_symlink() {
            "a symbolic link"
        } else {
            "a file"
        };
        return Err(SocketError::NotASocket { path: path.to_owned(), what });
    }
    let began = Instant::now();
    let mut answer = timeout(PROBE_LIMIT, UnixStream::connect(path)).await;
    // The child of a killed host may be about to give up the socket as well, which resets who has just connected.
    let is_going = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    while answer.as_ref().is_ok_and(|answer| answer.as_ref().err().is_none_or(is_going))
        && began.elapsed() < LOCK_PATIENCE
    {
        sleep(LOCK_PAUSE).await;
        answer = timeout(PROBE_LIMIT, UnixStream::connect(path)).await;
    }
    match answer {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!("replacing the socket {} that a dead host left", path.display());
            fs::remove_file(path).map_err(|error| system("cannot remove the stale socket", error))
        }
        Ok(Err(error)) => Err(system("cannot find out who listens at", error)),
        // Our lock is free, so that it is no host of ours.
        Ok(Ok(_)) | Err(_) => Err(SocketError::Foreign { path: path.to_owned() }),
    }
}

/// The lock beside a socket. The system frees it when its holder dies, however it dies.
#[derive(Debug)]
struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    async fn take(socket: &Path) -> Result<Self, SocketError> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let began = Instant::now();
        let mut attempts = 0;
        while attempts < LOCK_ATTEMPTS {
            match Self::try_take(&path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => attempts += 1,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(SocketError::System { what: "cannot lock", path, source: error });
                }
                Err(_) if began.elapsed() < LOCK_PATIENCE => sleep(LOCK_PAUSE).await,
                Err(_) => return Err(SocketError::Taken { path: socket.to_owned(), pid: holder(&path) }),
            }
        }
        Err(SocketError::Taken { path: socket.to_owned(), pid: None })
    }

    /// The lock; nothing where the file was taken away before it was locked.
    fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        // A link could lead to a file that must not be written to.
        let mut file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
        file.try_lock()?;
        let (locked, there) = (file.metadata()?, fs::symlink_metadata(path));
        if !there.is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino())) {
            return Ok(None);
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Some(Self { file, path: path.to_owned() }))
    }
}

impl Drop for Lock {
    /// Takes the file away while it is still locked, so that nobody can hold a lock on a file that another then replaces.
    fn drop(&mut self) {
        // A file that stays is locked by nobody, which is as good.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// The process that a lock file names.
fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests;
