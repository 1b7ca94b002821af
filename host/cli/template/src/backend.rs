//! Where the workers are: a file in a folder for each launch. Replace this by calls of what really
//! runs your workers.
//!
//! Whatever it becomes, keep three things. What it makes carries the launch's token and the
//! cluster's name, so that it is found again without this process. A launch comes into being whole
//! or not at all, or says what is there. Nothing that takes long holds a lock.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    iter::repeat_n,
    path::PathBuf,
    time::Duration,
};

use longshore_plugin_api::{
    Context, Error, Killed, LaunchToken, ListedHandle,
    serde::{Deserialize, Serialize},
};

/// How often a lock that somebody else has is tried.
const TURN: Duration = Duration::from_millis(2);

/// A folder of launches.
pub struct Backend {
    folder: PathBuf,
}

/// A launch, as its file has it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(crate = "longshore_plugin_api::serde")]
pub struct Record {
    /// The cluster that it is for.
    pub cluster: String,
    containers: Vec<Entry>,
}

/// A container, which is no more than this.
#[derive(Debug, Deserialize, Serialize)]
#[serde(crate = "longshore_plugin_api::serde")]
struct Entry {
    workers: u32,
    alive: bool,
}

/// A handle never comes again (RUN-5), for no token does; and it leads back to its launch.
fn handle(token: &str, index: usize) -> String {
    format!("{token}.{index}")
}

/// The token and the place that a handle stands for; none where no `handle` made it.
fn parse(text: &str) -> Option<(&str, usize)> {
    let (token, index) = text.rsplit_once('.')?;
    let index = index.parse().ok()?;
    // "a.01" is not "a.1".
    (is_token(token) && handle(token, index) == text).then_some((token, index))
}

/// Whether a text may become the name of a file.
fn is_token(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(is_fit)
}

impl Record {
    /// One handle a worker.
    pub fn handles(&self, token: &str) -> impl Iterator<Item = String> {
        let entries = self.containers.iter().enumerate();
        entries.flat_map(move |(index, it)| repeat_n(handle(token, index), it.workers as usize))
    }

    /// The containers that are alive.
    pub fn live(&self, token: &str) -> impl Iterator<Item = ListedHandle> {
        let entries = self
            .containers
            .iter()
            .enumerate()
            .filter(|(_, it)| it.alive);
        entries.map(move |(index, it)| ListedHandle {
            handle: handle(token, index),
            token: LaunchToken::new(token),
            workers: it.workers,
        })
    }

    fn live_workers(&self) -> u32 {
        self.containers
            .iter()
            .filter(|it| it.alive)
            .map(|it| it.workers)
            .sum()
    }
}

impl Backend {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A launch, where there is one of this token.
    pub fn read(&self, token: &str) -> Result<Option<Record>, Error> {
        if !is_token(token) {
            return Ok(None);
        }
        match fs::read(self.file(token)) {
            Ok(bytes) => {
                let what = |error| Error::other(format_args!("launch {token} is damaged: {error}"));
                serde_json::from_slice(&bytes).map(Some).map_err(what)
            }
            // There is no such launch, or there is no folder: the second must not pass for the
            // first.
            Err(error) if error.kind() == ErrorKind::NotFound && self.folder.is_dir() => Ok(None),
            Err(error) => Err(self.out_of_reach(&error)),
        }
    }

    /// All launches.
    pub fn records(&self) -> Result<Vec<(String, Record)>, Error> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|error| self.out_of_reach(&error))? {
            let name = entry
                .map_err(|error| self.out_of_reach(&error))?
                .file_name();
            let Some(token) = name.to_str().and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            // One that is gone meanwhile was stopped.
            if let Some(record) = self.read(token)? {
                records.push((token.to_owned(), record));
            }
        }
        Ok(records)
    }

    /// Makes a launch of containers with so many workers each, as far as there is room; the one
    /// that is there already, where another thread or process was quicker (RUN-6).
    pub fn make(
        &self,
        ctx: &Context<'_>,
        token: &str,
        containers: &[u32],
        capacity: Option<u32>,
    ) -> Result<Record, Error> {
        if !is_token(token) {
            return Err(Error::permanent(format_args!(
                "{token:?} is no launch token"
            )));
        }
        let _turn = self.lock(ctx)?;
        if let Some(record) = self.read(token)? {
            return Ok(record);
        }
        let mut room = u32::MAX;
        if let Some(capacity) = capacity {
            let live = self
                .records()?
                .iter()
                .map(|(_, it)| it.live_workers())
                .sum();
            room = capacity.saturating_sub(live);
        }
        let mut record = Record {
            cluster: ctx.cluster().to_owned(),
            containers: Vec::new(),
        };
        for workers in containers {
            let workers = room.min(*workers);
            if workers == 0 {
                break;
            }
            record.containers.push(Entry {
                workers,
                alive: true,
            });
            room -= workers;
        }
        if !record.containers.is_empty() {
            ctx.check()?;
            self.write(token, &record)
                .map_err(|error| self.out_of_reach(&error))?;
        }
        Ok(record)
    }

    /// Whether each handle's container is alive.
    pub fn alive(&self, handles: &[&str]) -> Result<Vec<bool>, Error> {
        let mut records: BTreeMap<&str, Option<Record>> = BTreeMap::new();
        let mut alive = Vec::with_capacity(handles.len());
        for text in handles {
            let Some((token, index)) = parse(text) else {
                alive.push(false);
                continue;
            };
            if !records.contains_key(token) {
                records.insert(token, self.read(token)?);
            }
            let record = records.get(token).and_then(Option::as_ref);
            alive.push(
                record
                    .and_then(|it| it.containers.get(index))
                    .is_some_and(|it| it.alive),
            );
        }
        // Where all that was asked is nonsense, nothing has looked at the folder yet.
        fs::metadata(&self.folder).map_err(|error| self.out_of_reach(&error))?;
        Ok(alive)
    }

    /// Stops each handle's container.
    pub fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        let _turn = self.lock(ctx)?;
        let mut killed = vec![Killed::Yes; handles.len()];
        let mut launches: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (place, text) in handles.iter().enumerate() {
            if let Some((token, index)) = parse(text) {
                launches.entry(token).or_default().push((place, index));
            }
        }
        for (token, entries) in launches {
            let indices = entries.iter().map(|(_, index)| *index);
            if let Err(error) = self.stop(token, indices) {
                for (place, _) in entries {
                    killed[place] = Killed::No(error.to_string());
                }
            }
        }
        Ok(killed)
    }

    fn stop(&self, token: &str, indices: impl Iterator<Item = usize>) -> Result<(), Error> {
        let Some(mut record) = self.read(token)? else {
            return Ok(());
        };
        let mut changed = false;
        for index in indices {
            if let Some(entry) = record.containers.get_mut(index) {
                changed |= std::mem::replace(&mut entry.alive, false);
            }
        }
        if changed {
            self.write(token, &record)
                .map_err(|error| self.out_of_reach(&error))?;
        }
        Ok(())
    }

    /// Removes the launches of the context's cluster that have no live worker. Their handles stay
    /// stopped: they are unknown from now on.
    pub fn forget_stopped(&self, ctx: &Context<'_>) -> Result<(), Error> {
        let _turn = self.lock(ctx)?;
        for (token, record) in self.records()? {
            if record.cluster == ctx.cluster() && record.live_workers() == 0 {
                fs::remove_file(self.file(&token)).map_err(|error| self.out_of_reach(&error))?;
            }
        }
        Ok(())
    }

    fn file(&self, token: &str) -> PathBuf {
        self.folder.join(format!("{token}.json"))
    }

    /// Writes a launch whole: whoever reads it sees what was before, or this. Only with the lock.
    fn write(&self, token: &str, record: &Record) -> io::Result<()> {
        let unfinished = self.folder.join("unfinished");
        fs::write(&unfinished, serde_json::to_vec(record)?)?;
        fs::rename(unfinished, self.file(token))
    }

    /// Keeps other threads and processes from writing, until it is dropped.
    fn lock(&self, ctx: &Context<'_>) -> Result<File, Error> {
        let file = self.folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(file);
        let file = file.map_err(|error| self.out_of_reach(&error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => ctx.sleep(TURN)?,
                Err(TryLockError::Error(error)) => return Err(self.out_of_reach(&error)),
            }
        }
    }

    fn out_of_reach(&self, error: &io::Error) -> Error {
        Error::unreachable(format_args!(
            "the folder {}: {error}",
            self.folder.display()
        ))
    }
}
