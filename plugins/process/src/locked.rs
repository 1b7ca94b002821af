//! Who may change a unit, and who may start or stop a server: locks in the state folder, which hold between threads, instances
//! and processes, and end with whoever had them.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use longshore_plugin_api::{Context, Error};

use crate::{
    files::{make_folder, trouble},
    folder::Folder,
    lock::{self, Lock},
    names::{Kind, Unit},
    store::Store,
};

/// How often a launch's folder may vanish under our hands before we give up: each time, another host cleared it away.
const OPEN_ATTEMPTS: u32 = 100;

impl Store {
    /// A unit's folder, made where it is missing, under the lock that it is started with.
    ///
    /// The lock is one of the open file that each child inherits until it has become its program. So whoever holds it knows
    /// that no child is on its way, even after a host was killed between two steps.
    pub(crate) fn lock(&self, ctx: &Context<'_>, unit: Unit<'_>) -> Result<Locked, Error> {
        let path = self.unit(unit);
        let lock = self.lock_in(ctx, &path, &Folder::slots(&path), Folder::open_or_create, unit)?;
        self.locked(lock, path)
    }

    /// The turn to start or stop a cluster's server. Each child inherits it as it does a unit's lock: whoever has it knows that
    /// no server is on its way.
    pub(crate) fn turn(&self, ctx: &Context<'_>, cluster: &str) -> Result<Lock, Error> {
        let path = self.units(cluster, Kind::Server);
        let open = |path: &Path| match File::open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble("open", path, &error)),
        };
        self.lock_in(ctx, &path, &path, open, format_args!("the server of cluster {cluster}"))
    }

    /// Makes a folder where it is missing, and waits for the lock of the file in it that `open` gives.
    fn lock_in(
        &self,
        ctx: &Context<'_>,
        path: &Path,
        file: &Path,
        open: impl Fn(&Path) -> Result<Option<File>, Error>,
        what: impl fmt::Display,
    ) -> Result<Lock, Error> {
        for _ in 0..OPEN_ATTEMPTS {
            // The folder of the clusters is made by `open` alone: where it is gone, it must not come back empty.
            self.check_present()?;
            match make_folder(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                made => made.map_err(|error| trouble("make", path, &error))?,
            }
            let Some(opened) = open(path)? else { continue };
            let lock = lock::wait_for(ctx, opened, &what)?;
            if is_still_there(&lock, file)? {
                return Ok(lock);
            }
        }
        let message = format!("{} is cleared away again and again; look who does so", path.display());
        Err(Error::retryable(message))
    }

    /// As [`lock`](Self::lock), but only for a unit that is there and that nobody works on.
    pub(crate) fn try_lock(&self, unit: Unit<'_>) -> Result<Option<Locked>, Error> {
        let path = self.unit(unit);
        let slots = Folder::slots(&path);
        let file = match File::options().read(true).write(true).open(&slots) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A host was killed right after it had made the folder. Not empty after all: somebody is there.
                let _ = fs::remove_dir(&path);
                return Ok(None);
            }
            Err(error) => return Err(trouble("open", &path, &error)),
        };
        match Lock::take(file) {
            Ok(Some(lock)) if is_still_there(&lock, &slots)? => self.locked(lock, path).map(Some),
            Ok(_) => Ok(None),
            Err(error) => Err(trouble("lock", &path, &error)),
        }
    }

    /// A launch's folder, with the marks of all children that exist. Where the host that launched is dead, one of its
    /// children may be about to leave its mark, and is waited for.
    pub(crate) fn find_with_all_marks(
        &self,
        ctx: &Context<'_>,
        unit: Unit<'_>,
    ) -> Result<Option<Folder>, Error> {
        loop {
            let Some(folder) = self.find(unit)? else { return Ok(None) };
            if folder.outcome()?.is_some() || folder.is_quiet()? || folder.has_launcher()? {
                return Ok(Some(folder));
            }
            if ctx.sleep(lock::PAUSE).is_err() {
                let message = format!("a worker of {unit} is about to start; ask again in a moment");
                return Err(Error::retryable(message));
            }
        }
    }

    fn locked(&self, lock: Lock, path: PathBuf) -> Result<Locked, Error> {
        let file = lock.file().try_clone().map_err(|e| trouble("open", &Folder::slots(&path), &e))?;
        Ok(Locked { folder: Folder::new(path, file, &self.here), _lock: lock })
    }
}

/// Between opening and locking, what is locked may have been cleared away.
fn is_still_there(lock: &Lock, path: &Path) -> Result<bool, Error> {
    let of = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    let ours = lock.file().metadata().map_err(|e| trouble("read", path, &e))?;
    match fs::metadata(path) {
        Ok(there) => Ok(of(&there) == of(&ours)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(trouble("read", path, &error)),
    }
}

/// A unit's folder while nobody else may change it.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) folder: Folder,
    _lock: Lock,
}
