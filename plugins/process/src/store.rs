//! The state folder: where each launch and each server has its own folder, which there were, and who may change one.
//!
//! ```text
//! ROOT/machine                                  the machine that the folder belongs to
//! ROOT/upkeep                                   a lock: one host at a time tidies up
//! ROOT/clusters/CLUSTER/launches/TOKEN/         one launch: see `folder`
//! ROOT/clusters/CLUSTER/servers/TOKEN/          a server, under a token of our own; its folder is a launch's, too
//! ROOT/clusters/CLUSTER/servers/                its lock: one call at a time starts or stops the cluster's server
//! ROOT/clusters/CLUSTER/ended/TOKEN             a launch that has ended and was cleared away, so that it is not repeated
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use longshore_plugin_api::{Error, Launch};

use crate::{
    files::{make_folder, read_document, remove_file, trouble, write_durably, write_durably_among_others},
    folder::{Ended, Folder, State, Target, tag},
    identity::{Identity, Place},
    lock::Lock,
    locked::Locked,
    names::{self, Kind, Spot, Unit},
};

/// The state folder of one provider.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
    pub(crate) here: Place,
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

    pub(crate) fn units(&self, cluster: &str, kind: Kind) -> PathBuf {
        self.cluster(cluster).join(match kind {
            Kind::Launch => "launches",
            Kind::Server => "servers",
        })
    }

    pub(crate) fn unit(&self, unit: Unit<'_>) -> PathBuf {
        self.units(unit.cluster, unit.kind).join(unit.token)
    }

    fn ended_path(&self, cluster: &str, token: &str) -> PathBuf {
        self.cluster(cluster).join("ended").join(token)
    }

    /// The clusters that ever had a launch or a server.
    pub(crate) fn clusters(&self) -> Result<Vec<String>, Error> {
        self.names_in(&self.root.join("clusters"))
    }

    /// The tokens of a cluster's launches, or servers, that were not cleared away.
    pub(crate) fn tokens(&self, cluster: &str, kind: Kind) -> Result<Vec<String>, Error> {
        if !names::is_valid(cluster) {
            return Ok(Vec::new());
        }
        self.names_in(&self.units(cluster, kind))
    }

    /// Whether a cluster has, or is about to have, a folder for servers.
    pub(crate) fn has_servers(&self, cluster: &str) -> bool {
        names::is_valid(cluster) && self.units(cluster, Kind::Server).is_dir()
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
    pub(crate) fn check_present(&self) -> Result<(), Error> {
        let path = self.root.join("clusters");
        fs::metadata(&path).map(drop).map_err(|error| trouble("read", &path, &error))
    }

    /// A unit's folder, if there is one.
    pub(crate) fn find(&self, unit: Unit<'_>) -> Result<Option<Folder>, Error> {
        if !names::is_valid(unit.cluster) || !names::is_valid(unit.token) {
            return Ok(None);
        }
        let found = Folder::open(self.unit(unit), &self.here)?;
        if found.is_none() {
            self.check_present()?;
        }
        Ok(found)
    }

    /// How one container is. One that is not known is over.
    pub(crate) fn state(&self, spot: Spot<'_>) -> Result<State, Error> {
        match self.find(spot.unit)? {
            Some(folder) => folder.state(spot.index),
            None => Ok(State::Over),
        }
    }

    /// What there is to end of a container; nothing when it is over.
    pub(crate) fn target(&self, spot: Spot<'_>, state: &State) -> Result<Option<Target>, Error> {
        let (State::Live(leader) | State::Ended(leader)) = *state else { return Ok(None) };
        let Some(folder) = self.find(spot.unit)? else { return Ok(None) };
        // Identities are only ever written after the intent: without it, somebody has tampered with the folder.
        let missing =
            || Error::unreachable(format_args!("{} has lost its intent.json", folder.path().display()));
        let intent = folder.intent()?.ok_or_else(missing)?;
        Ok(Some(Target { leader, tag: tag(&intent, spot.index) }))
    }

    /// Makes a unit's folder and all above it survive a loss of power.
    pub(crate) fn sync(&self, unit: Unit<'_>) -> Result<(), Error> {
        let path = self.unit(unit);
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

    /// Clears away a unit of which nobody is left. A launch's token and its answer stay known.
    pub(crate) fn clear(&self, unit: Unit<'_>, locked: &Locked) -> Result<(), Error> {
        if unit.kind == Kind::Launch
            && let Some(ended) = locked.folder.ended()?
        {
            let path = self.ended_path(unit.cluster, unit.token);
            let document = serde_json::to_vec(&ended).map_err(Error::other)?;
            make_folder(&self.cluster(unit.cluster).join("ended"))
                .and_then(|()| write_durably(&path, &document))
                .map_err(|e| trouble("write", &path, &e))?;
        }
        self.remove(unit.cluster, locked)
    }

    /// Removes a unit's folder with all that is in it: it has never been.
    pub(crate) fn remove(&self, cluster: &str, locked: &Locked) -> Result<(), Error> {
        let path = locked.folder.path();
        fs::remove_dir_all(path).map_err(|error| trouble("remove", path, &error))?;
        self.remove_if_empty(cluster);
        Ok(())
    }

    /// Removes a cluster's folders unless something is in them: then each of these fails, which is what is wanted.
    pub(crate) fn remove_if_empty(&self, cluster: &str) {
        let folder = self.cluster(cluster);
        let servers = self.units(cluster, Kind::Server);
        // Not from under a call that is about to start a server in it.
        if let Ok(Some(_turn)) = File::open(&servers).and_then(Lock::take) {
            let _ = fs::remove_dir(servers);
        }
        for path in [folder.join("ended"), self.units(cluster, Kind::Launch), folder] {
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
