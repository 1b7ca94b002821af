//! One launch, or one server, on disk: what was intended, which child became which container, and what was answered.
//!
//! `intent.json` is durable before the first child exists. In `identities`, every child writes down who it is before it
//! becomes its program, so that no worker runs without a record. `outcome.json` is what `run` answered.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use longshore_plugin_api::{Error, Launch, Shortfall};
use serde::{Deserialize, Serialize};

use crate::{
    files::{draft_of, read_document, trouble, write_durably},
    identity::{Identity, Place, Process},
    lock::Lock,
    names::Handle,
};

/// Bytes of `identities` that belong to one container, and to the head in front of the first. A line of
/// `/proc/self/stat` of a process that has just been made takes about 250.
pub(crate) const SLOT: usize = 512;
/// Where in the head the host stands that carries out the launch: behind the place.
const LAUNCHER_AT: u64 = 256;
/// The file that says that a server was told to stop.
const STOPPING: &str = "stopping";
/// What a container's slot says once all of its processes are known to be gone.
const OVER: &[u8; 6] = b"\nover\n";

/// What a launch is going to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) cluster: String,
    pub(crate) token: String,
    pub(crate) workers: u32,
    pub(crate) max_workers: u32,
    /// Marks the launch's processes in their environment, like nothing else on earth.
    pub(crate) tag: String,
    /// For a person who looks: the program, its arguments and its folder. Never its environment, which holds secrets.
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) working_dir: Option<String>,
    /// The port that a server is reached at, where the request had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// For a person who looks: when it was intended, in UTC.
    pub(crate) at: String,
}

impl Intent {
    pub(crate) fn containers(&self) -> u32 {
        self.workers.div_ceil(self.max_workers.max(1))
    }

    /// How many workers a container holds.
    pub(crate) fn workers_of(&self, index: u32) -> u32 {
        self.max_workers.min(self.workers.saturating_sub(index.saturating_mul(self.max_workers)))
    }
}

/// What a launch did: the first so many containers were started, and the rest never will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) containers: u32,
    pub(crate) shortfall: Option<Shortfall>,
}

/// What is kept of a launch that has ended: enough to answer its token again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    workers: u32,
    max_workers: u32,
    outcome: Outcome,
}

impl Ended {
    pub(crate) fn new(intent: &Intent, outcome: Outcome) -> Self {
        Self { workers: intent.workers, max_workers: intent.max_workers, outcome }
    }

    /// The answer of `run`.
    pub(crate) fn answer(self, token: &str) -> Launch {
        let started = self.outcome.containers.saturating_mul(self.max_workers).min(self.workers);
        let handle = |worker| Handle { token, index: worker / self.max_workers.max(1) }.text();
        Launch { handles: (0..started).map(handle).collect(), shortfall: self.outcome.shortfall }
    }
}

/// The processes of a container: those of the session that its first process leads, and those that left the session but
/// carry the tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) leader: Identity,
    pub(crate) tag: String,
}

/// How a container is.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Intended; its process does not exist yet.
    Waiting,
    /// Its first process is alive.
    Live(Identity),
    /// Its first process has ended. Others of its session may be left.
    Ended(Identity),
    /// Nothing of it is left, and nothing of it will ever be.
    Over,
}

/// The folder of one launch.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    identities: File,
    here: Place,
}

impl Folder {
    /// The file of identities in a launch's folder; its lock is the launch's lock.
    pub(crate) fn slots(path: &Path) -> PathBuf {
        path.join("identities")
    }

    /// Opens a launch's folder, if it is there.
    pub(crate) fn open(path: PathBuf, here: &Place) -> Result<Option<Self>, Error> {
        match File::open(Self::slots(&path)) {
            Ok(file) => Ok(Some(Self::new(path, file, here))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble("open", &Self::slots(&path), &error)),
        }
    }

    /// The file of identities, made where it is missing; nothing when the folder around it has just vanished.
    pub(crate) fn open_or_create(path: &Path) -> Result<Option<File>, Error> {
        let slots = Self::slots(path);
        let mut options = File::options();
        match options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&slots) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble("open", &slots, &error)),
        }
    }

    pub(crate) fn new(path: PathBuf, identities: File, here: &Place) -> Self {
        Self { path, identities, here: here.clone() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the launch's identities mean something now: not after the system was started anew.
    pub(crate) fn is_here(&self) -> Result<bool, Error> {
        Ok(self.read(0)? == self.here.as_str().as_bytes())
    }

    /// The file that a container's process writes its identity to, and the place in it.
    pub(crate) fn slot(&self, index: u32) -> (&File, u64) {
        (&self.identities, (u64::from(index) + 1) * SLOT as u64)
    }

    /// The text of a slot, without what pads it; 0 is the head.
    fn read(&self, slot: u64) -> Result<Vec<u8>, Error> {
        self.read_from(slot * SLOT as u64, SLOT)
    }

    fn read_from(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        let mut text = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.identities.read_at(&mut text[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(trouble("read", &Self::slots(&self.path), &error)),
            }
        }
        text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(length).min(filled));
        Ok(text)
    }

    /// Writes down the intent, durably. The lock is held, and nothing has been started.
    pub(crate) fn intend(&self, intent: &Intent) -> Result<(), Error> {
        let slots = Self::slots(&self.path);
        // Where the system goes down, every worker goes down with it: the identities need not be durable. A head that is
        // lost reads as one of another place, which is right.
        self.identities
            .write_all_at(self.here.as_str().as_bytes(), 0)
            .map_err(|error| trouble("write", &slots, &error))?;
        let path = self.path.join("intent.json");
        let document = serde_json::to_vec_pretty(intent).map_err(Error::other)?;
        write_durably(&path, &document).map_err(|error| trouble("write", &path, &error))
    }

    /// Notes who carries out the launch. The lock is held.
    pub(crate) fn sign(&self, launcher: Identity) -> Result<(), Error> {
        let text = format!("{} {}\n", launcher.pid, launcher.start);
        self.identities
            .write_all_at(text.as_bytes(), LAUNCHER_AT)
            .map_err(|error| trouble("write", &Self::slots(&self.path), &error))
    }

    /// Whether the host that carries out the launch, or last did, is alive.
    pub(crate) fn has_launcher(&self) -> Result<bool, Error> {
        let text = self.read_from(LAUNCHER_AT, SLOT - LAUNCHER_AT as usize)?;
        let text = String::from_utf8_lossy(&text);
        let Some((pid, start)) = text.lines().next().and_then(|line| line.split_once(' ')) else {
            return Ok(false);
        };
        let (Ok(pid), Ok(start)) = (pid.parse(), start.parse()) else { return Ok(false) };
        let found = Identity { pid, start }.find();
        let found = found.map_err(|error| trouble("read", Path::new("/proc"), &error))?;
        Ok(self.is_here()? && found.is_some_and(|process| !process.has_ended()))
    }

    /// Whether nobody works on the launch, and no child of it is on its way.
    pub(crate) fn is_quiet(&self) -> Result<bool, Error> {
        let quiet = self.identities.try_clone().and_then(Lock::share);
        Ok(quiet.map_err(|error| trouble("lock", &Self::slots(&self.path), &error))?.is_some())
    }

    /// What the launch was going to do; nothing when it was cut off before it began.
    pub(crate) fn intent(&self) -> Result<Option<Intent>, Error> {
        read_document(&self.path.join("intent.json"))
    }

    /// What the launch did; nothing while it is under way, or when it was cut off.
    pub(crate) fn outcome(&self) -> Result<Option<Outcome>, Error> {
        read_document(&self.path.join("outcome.json"))
    }

    /// Writes down what the launch did.
    pub(crate) fn settle(&self, outcome: &Outcome) -> Result<(), Error> {
        let path = self.path.join("outcome.json");
        let draft = draft_of(&path);
        let document = serde_json::to_vec(outcome).map_err(Error::other)?;
        fs::write(&draft, document)
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|error| trouble("write", &path, &error))
    }

    /// Notes that a server is to stop, so that whoever meets it alive, in this process or a later one, does not take it for
    /// one that stays.
    pub(crate) fn mark_stopping(&self) -> Result<(), Error> {
        let path = self.path.join(STOPPING);
        File::create(&path).map(drop).map_err(|error| trouble("make", &path, &error))
    }

    /// Whether a server was told to stop.
    pub(crate) fn is_stopping(&self) -> Result<bool, Error> {
        let path = self.path.join(STOPPING);
        path.try_exists().map_err(|error| trouble("look for", &path, &error))
    }

    /// Whether a container's process was ever there, or was called off.
    pub(crate) fn is_used(&self, index: u32) -> Result<bool, Error> {
        Ok(!self.read(u64::from(index) + 1)?.is_empty())
    }

    /// How a container is now.
    pub(crate) fn state(&self, index: u32) -> Result<State, Error> {
        let mut text = self.read(u64::from(index) + 1)?;
        if text.is_empty() {
            if self.is_waiting(index)? {
                return Ok(State::Waiting);
            }
            // It may have been filled before the launch was settled, and after the first look.
            text = self.read(u64::from(index) + 1)?;
        }
        // The head is read after the slot, since it was written before it.
        if text.is_empty() || text.starts_with(OVER) || !self.is_here()? {
            return Ok(State::Over);
        }
        let Some(recorded) = Process::parse(&text) else {
            return Err(Error::unreachable(format_args!(
                "the record of container {index} in {} is damaged; end its processes by hand, then remove the folder",
                self.path.display()
            )));
        };
        let found = recorded.identity.find().map_err(|error| {
            let stat = PathBuf::from(format!("/proc/{}/stat", recorded.identity.pid));
            trouble("read", &stat, &error)
        })?;
        if let Some(process) = found {
            process.reap();
        }
        let alive = found.is_some_and(|process| !process.has_ended());
        Ok(if alive { State::Live(recorded.identity) } else { State::Ended(recorded.identity) })
    }

    /// Whether an unused slot may be filled yet.
    fn is_waiting(&self, index: u32) -> Result<bool, Error> {
        let intended = self.intent()?.is_some_and(|intent| index < intent.containers());
        Ok(intended && self.is_here()? && self.outcome()?.is_none())
    }

    /// Notes that nothing of a container is left, or that it is called off.
    pub(crate) fn mark_over(&self, index: u32) -> Result<(), Error> {
        let slots = Self::slots(&self.path);
        File::options()
            .write(true)
            .open(&slots)
            .and_then(|file| file.write_all_at(OVER, self.slot(index).1))
            .map_err(|error| trouble("write", &slots, &error))
    }

    /// What to keep of the launch when it is cleared away; nothing when nothing was ever started. The lock is held.
    pub(crate) fn ended(&self) -> Result<Option<Ended>, Error> {
        let Some(intent) = self.intent()? else { return Ok(None) };
        let outcome = match self.outcome()? {
            Some(outcome) => outcome,
            None => self.cut_off(&intent)?,
        };
        Ok((outcome.containers > 0).then(|| Ended::new(&intent, outcome)))
    }

    /// What a launch did that nobody saw to its end.
    fn cut_off(&self, intent: &Intent) -> Result<Outcome, Error> {
        let mut containers = 0;
        while containers < intent.containers() && self.is_used(containers)? {
            containers += 1;
        }
        let reason = "the launch was cut off".to_owned();
        let shortfall = (containers < intent.containers()).then_some(Shortfall { reason, retryable: true });
        Ok(Outcome { containers, shortfall })
    }
}

/// The tag of one container of a launch.
pub(crate) fn tag(intent: &Intent, index: u32) -> String {
    format!("{}/{index}", intent.tag)
}
