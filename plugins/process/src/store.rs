//! The state folder: where each launch has its own folder, which launches there were, and who may change one.
//!
//! ```text
//! ROOT/machine                                  the machine that the folder belongs to
//! ROOT/upkeep                                   a lock: one host at a time tidies up
//! ROOT/clusters/CLUSTER/launches/TOKEN/         one launch: see `folder`
//! ROOT/clusters/CLUSTER/ended/TOKEN             a launch that has ended and was cleared away, so that it is not repeated
//! ```

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use longshore_plugin_api::{Context, Error, Launch};

use crate::{
    files::{make_folder, read_document, remove_file, trouble, write_durably, write_durably_among_others},
    folder::{Ended, Folder, State, Target, tag},
    identity::{Identity, Place},
    lock::{self, Lock},
    names::{self, Handle},
};

/// How often a launch's folder may vanish under our hands before we give up: each time, another host cleared it away.
const OPEN_ATTEMPTS: u32 = 100;

/// The state folder of one provider.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
    here: Place,
    /// The process that this is, which stands by the launches that it carries out.
    pub(crate) itself: Identity,
}

impl Store {
    /// Opens a state folder, and makes it where it is missing.
    pub(crate) fn open(root: &Path, here: Place) -> Result<Self, Error> {
        let unusable = |error| Error::config("root", format_args!("cannot use {}: {error}", root.display()));
        make_folder(&root.join("clusters")).map_err(unusable)?;
        let store = Self { root: root.to_owned(), here, itself: Identity::of_this_process()? };
        store.claim_for_this_machine()?;
        Ok(store)
    }

    /// On a folder shared by several machines, each would take the others' workers for dead.
    fn claim_for_this_machine(&self) -> Result<(), Error> {
        let Ok(machine) = fs::read_to_string("/etc/machine-id") else { return Ok(()) };
        let path = self.root.join("machine");
        let owner = match fs::read_to_string(&path) {
            Ok(owner) => owner,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Instances that are made at the same moment come here together.
                write_durably_among_others(&path, machine.as_bytes())
                    .map_err(|e| trouble("write", &path, &e))?;
                return Ok(());
            }
            Err(error) => return Err(trouble("read", &path, &error)),
        };
        if owner.trim() == machine.trim() || owner.trim().is_empty() || machine.trim().is_empty() {
            return Ok(());
        }
        Err(Error::config(
            "root",
            format_args!(
                "{} belongs to another machine (its id is {}, this one's {}); give each machine a folder of its own, \
                 or remove the file `machine` there once none of that machine's workers is alive",
                self.root.display(),
                owner.trim(),
                machine.trim()
            ),
        ))
    }

    /// The lock of the one host that tidies up, if no other has it.
    pub(crate) fn upkeep_lock(&self) -> io::Result<Option<Lock>> {
        let path = self.root.join("upkeep");
        Lock::take(File::options().create(true).append(true).open(path)?)
    }

    fn cluster(&self, cluster: &str) -> PathBuf {
        self.root.join("clusters").join(cluster)
    }

    fn launch(&self, cluster: &str, token: &str) -> PathBuf {
        self.cluster(cluster).join("launches").join(token)
    }

    fn ended_path(&self, cluster: &str, token: &str) -> PathBuf {
        self.cluster(cluster).join("ended").join(token)
    }

    /// The clusters that ever had a launch.
    pub(crate) fn clusters(&self) -> Result<Vec<String>, Error> {
        self.names_in(&self.root.join("clusters"))
    }

    /// The tokens of a cluster's launches that were not cleared away.
    pub(crate) fn tokens(&self, cluster: &str) -> Result<Vec<String>, Error> {
        if !names::is_valid(cluster) {
            return Ok(Vec::new());
        }
        self.names_in(&self.cluster(cluster).join("launches"))
    }

    fn names_in(&self, folder: &Path) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.check_present()?;
                return Ok(Vec::new());
            }
            Err(error) => return Err(trouble("read", folder, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| trouble("read", folder, &e))?.file_name();
            names.extend(name.into_string().ok().filter(|name| names::is_valid(name)));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A state folder that is gone says nothing of the workers.
    fn check_present(&self) -> Result<(), Error> {
        let path = self.root.join("clusters");
        fs::metadata(&path).map(drop).map_err(|error| trouble("read", &path, &error))
    }

    /// A launch's folder, if there is one.
    pub(crate) fn find(&self, cluster: &str, token: &str) -> Result<Option<Folder>, Error> {
        if !names::is_valid(cluster) || !names::is_valid(token) {
            return Ok(None);
        }
        let found = Folder::open(self.launch(cluster, token), &self.here)?;
        if found.is_none() {
            self.check_present()?;
        }
        Ok(found)
    }

    /// How the container of one handle is. One that is not known is over.
    pub(crate) fn state(&self, cluster: &str, handle: &str) -> Result<State, Error> {
        let Some(Handle { token, index }) = Handle::parse(handle) else { return Ok(State::Over) };
        match self.find(cluster, token)? {
            Some(folder) => folder.state(index),
            None => Ok(State::Over),
        }
    }

    /// What there is to end of a container; nothing when it is over.
    pub(crate) fn target(&self, cluster: &str, handle: &str, state: &State) -> Result<Option<Target>, Error> {
        let (State::Live(leader) | State::Ended(leader)) = *state else { return Ok(None) };
        let Some(Handle { token, index }) = Handle::parse(handle) else { return Ok(None) };
        let Some(folder) = self.find(cluster, token)? else { return Ok(None) };
        // Identities are only ever written after the intent: without it, somebody has tampered with the folder.
        let missing =
            || Error::unreachable(format_args!("{} has lost its intent.json", folder.path().display()));
        let intent = folder.intent()?.ok_or_else(missing)?;
        Ok(Some(Target { leader, tag: tag(&intent, index) }))
    }

    /// A launch's folder, made where it is missing, under the lock that a launch is carried out with.
    ///
    /// The lock is one of the open file that each child inherits until it has become its program. So whoever holds it knows
    /// that no child is on its way, even after a host was killed between two steps.
    pub(crate) fn lock(&self, ctx: &Context<'_>, cluster: &str, token: &str) -> Result<Locked, Error> {
        let path = self.launch(cluster, token);
        for _ in 0..OPEN_ATTEMPTS {
            // The folder of the clusters is made by `open` alone: where it is gone, it must not come back empty.
            self.check_present()?;
            match make_folder(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                made => made.map_err(|error| trouble("make", &path, &error))?,
            }
            let Some(file) = Folder::open_or_create(&path)? else { continue };
            let lock = lock::wait_for(ctx, file, token)?;
            if let Some(locked) = self.still_there(lock, path.clone())? {
                return Ok(locked);
            }
        }
        let message = format!("{} is cleared away again and again; look who does so", path.display());
        Err(Error::retryable(message))
    }

    /// As [`lock`](Self::lock), but only for a launch that is there and that nobody works on.
    pub(crate) fn try_lock(&self, cluster: &str, token: &str) -> Result<Option<Locked>, Error> {
        let path = self.launch(cluster, token);
        let file = match File::options().read(true).write(true).open(Folder::slots(&path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A host was killed right after it had made the folder. Not empty after all: somebody is there.
                let _ = fs::remove_dir(&path);
                return Ok(None);
            }
            Err(error) => return Err(trouble("open", &path, &error)),
        };
        match Lock::take(file) {
            Ok(Some(lock)) => self.still_there(lock, path),
            Ok(None) => Ok(None),
            Err(error) => Err(trouble("lock", &path, &error)),
        }
    }

    /// A launch's folder, with the marks of all children that exist. Where the host that launched is dead, one of its
    /// children may be about to leave its mark, and is waited for.
    pub(crate) fn find_with_all_marks(
        &self,
        ctx: &Context<'_>,
        cluster: &str,
        token: &str,
    ) -> Result<Option<Folder>, Error> {
        loop {
            let Some(folder) = self.find(cluster, token)? else { return Ok(None) };
            if folder.outcome()?.is_some() || folder.is_quiet()? || folder.has_launcher()? {
                return Ok(Some(folder));
            }
            if ctx.sleep(lock::PAUSE).is_err() {
                let message = format!("a worker of launch {token} is about to start; ask again in a moment");
                return Err(Error::retryable(message));
            }
        }
    }

    /// Between opening and locking, the folder may have been cleared away.
    fn still_there(&self, lock: Lock, path: PathBuf) -> Result<Option<Locked>, Error> {
        let of = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let slots = Folder::slots(&path);
        let ours = lock.file().metadata().map_err(|e| trouble("read", &slots, &e))?;
        match fs::metadata(&slots) {
            Ok(there) if of(&there) == of(&ours) => {
                let file = lock.file().try_clone().map_err(|e| trouble("open", &slots, &e))?;
                Ok(Some(Locked { folder: Folder::new(path, file, &self.here), _lock: lock }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble("read", &slots, &error)),
        }
    }

    /// Makes a launch's folder and all above it survive a loss of power.
    pub(crate) fn sync(&self, cluster: &str, token: &str) -> Result<(), Error> {
        let path = self.launch(cluster, token);
        for folder in path.ancestors().take_while(|folder| folder.starts_with(&self.root)) {
            File::open(folder).and_then(|file| file.sync_all()).map_err(|e| trouble("sync", folder, &e))?;
        }
        Ok(())
    }

    /// What a launch answered that was cleared away since.
    pub(crate) fn ended(&self, cluster: &str, token: &str) -> Result<Option<Launch>, Error> {
        let path = self.ended_path(cluster, token);
        Ok(read_document::<Ended>(&path)?.map(|ended| ended.answer(token)))
    }

    /// Clears away a launch whose workers have all stopped. Its token and its answer stay known.
    pub(crate) fn clear(&self, cluster: &str, token: &str, locked: &Locked) -> Result<(), Error> {
        if let Some(ended) = locked.folder.ended()? {
            let path = self.ended_path(cluster, token);
            let document = serde_json::to_vec(&ended).map_err(Error::other)?;
            make_folder(&self.cluster(cluster).join("ended"))
                .and_then(|()| write_durably(&path, &document))
                .map_err(|e| trouble("write", &path, &e))?;
        }
        self.remove(cluster, locked)
    }

    /// Removes a launch's folder with all that is in it: the launch has never been.
    pub(crate) fn remove(&self, cluster: &str, locked: &Locked) -> Result<(), Error> {
        let path = locked.folder.path();
        fs::remove_dir_all(path).map_err(|error| trouble("remove", path, &error))?;
        self.remove_if_empty(cluster);
        Ok(())
    }

    /// Removes a cluster's folders unless something is in them: then each of these fails, which is what is wanted.
    fn remove_if_empty(&self, cluster: &str) {
        let folder = self.cluster(cluster);
        for path in [folder.join("ended"), folder.join("launches"), folder] {
            let _ = fs::remove_dir(path);
        }
    }

    /// Forgets tokens that were cleared away longer than `age` ago, and the cluster itself when nothing of it is left.
    pub(crate) fn forget(&self, cluster: &str, age: Duration) -> Result<(), Error> {
        let folder = self.cluster(cluster).join("ended");
        for token in self.names_in(&folder)? {
            let path = folder.join(token);
            let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let old = written.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|is| is >= age));
            if old {
                remove_file(&path).map_err(|e| trouble("remove", &path, &e))?;
            }
        }
        self.remove_if_empty(cluster);
        Ok(())
    }
}

/// A launch's folder while nobody else may change it.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) folder: Folder,
    _lock: Lock,
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn instances_that_are_made_at_the_same_moment_open_a_fresh_folder_together() {
        const AT_ONCE: usize = 16;
        for _ in 0..20 {
            let root = tempfile::tempdir().expect("a temporary folder");
            let barrier = Barrier::new(AT_ONCE);
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| {
                        let here = Place::here().expect("/proc is readable");
                        barrier.wait();
                        Store::open(&root.path().join("state"), here).expect("the folder can be used");
                    });
                }
            });
            let left = fs::read_dir(root.path().join("state")).expect("it is there").flatten();
            let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
            left.sort_unstable();
            assert!(left.iter().all(|name| name == "clusters" || name == "machine"), "{left:?}");
        }
    }
}
