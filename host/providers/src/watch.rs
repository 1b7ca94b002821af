//! Watches a folder for plugins that are put there, and tells of each that is complete. It looks again and again instead of being
//! told by the system, which works on every file system and misses nothing that stays.
//!
//! A file is complete when it has looked the same for [`SETTLE`] and is a whole library. Who puts a file in place with a rename
//! is always right; one that is written where it lies is told of when its writer has paused for so long, and as a whole library
//! at that: half of one is refused, and looked at again when it grows.

mod settle;

use std::{
    collections::{HashSet, VecDeque},
    env::consts,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use longshore_config::Trust;
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use self::settle::{Listing, Look, Settling};
use crate::{
    error::{LoadError, LoadErrorKind},
    verify::{signature_of, verify},
};

/// How often the folder is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a file must have looked the same.
pub const SETTLE: Duration = Duration::from_secs(2);
/// The most names that the folder may have: one with more is not looked at.
pub const WATCHED_NAMES: usize = 10_000;
/// The most files that are read at one look; the others have their turn at the next.
const READS_A_LOOK: usize = 16;
/// The most contents that are remembered as told of; the oldest is forgotten first.
const CONTENTS: usize = 1_024;

/// What a watched folder has to tell, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A file is complete, and its content is new. None of its code was run.
    Complete {
        /// The file.
        path: PathBuf,
        /// The SHA-256 of the content that was looked at: what is loaded should be pinned to it.
        hash: String,
    },
    /// A file is complete, and may not be loaded.
    Refused(LoadError),
    /// A file is not there any more.
    Gone(PathBuf),
    /// The folder cannot be looked at, and is tried again.
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        why: String,
    },
}

/// Looks at one folder.
#[derive(Debug)]
pub struct Watcher {
    folder: PathBuf,
    trust: Trust,
    settling: Settling,
    told: Told,
    /// Why the folder could not be looked at the last time.
    trouble: Option<String>,
}

impl Watcher {
    /// Watches a folder for what is demanded of its files. Contents of the `known` hashes are not news.
    pub fn new(folder: impl Into<PathBuf>, trust: Trust, known: impl IntoIterator<Item = String>) -> Self {
        let mut told = Told::default();
        for hash in known {
            told.is_new(&hash);
        }
        Self { folder: folder.into(), trust, settling: Settling::default(), told, trouble: None }
    }

    /// Looks once, at that time, and tells what is new. Blocks.
    pub fn look(&mut self, now: Instant) -> Vec<News> {
        let listing = match list(&self.folder) {
            Ok(listing) => listing,
            Err(error) => return self.unreadable(error.to_string()).into_iter().collect(),
        };
        self.trouble = None;
        let mut news: Vec<_> = self.settling.compare(&listing, now).into_iter().map(News::Gone).collect();
        for path in self.settling.settled(now, SETTLE, READS_A_LOOK) {
            match self.read(&path) {
                Err(why) if why.kind() == LoadErrorKind::Changed => self.settling.unsettle(&path, now),
                Err(why) => {
                    self.settling.done(&path);
                    news.push(News::Refused(why));
                }
                Ok(hash) => {
                    self.settling.done(&path);
                    if self.told.is_new(&hash) {
                        news.push(News::Complete { path, hash });
                    }
                }
            }
        }
        news
    }

    /// Looks until nobody listens any more.
    pub async fn run(mut self, news: mpsc::Sender<News>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = news.closed() => return,
            }
            let looking = spawn_blocking(move || {
                let found = self.look(Instant::now());
                (self, found)
            });
            let looked = match looking.await.map_err(tokio::task::JoinError::try_into_panic) {
                Ok(looked) => looked,
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                // The runtime ends.
                Err(Err(_)) => return,
            };
            let found;
            (self, found) = looked;
            for one in found {
                if news.send(one).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The hash of a whole library.
    fn read(&self, path: &Path) -> Result<String, LoadError> {
        let verified = verify(path, &self.trust)?;
        verified.check_image(path)?;
        Ok(verified.hash)
    }

    fn unreadable(&mut self, why: String) -> Option<News> {
        if self.trouble.as_ref() == Some(&why) {
            return None;
        }
        self.trouble = Some(why.clone());
        Some(News::Unreadable { folder: self.folder.clone(), why })
    }
}

/// How the libraries of a folder look, by their names alone.
fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::new();
    for (number, entry) in fs::read_dir(folder)?.enumerate() {
        let entry = entry?;
        // Which of them would be looked at nobody could tell, and it could be others each time.
        if number >= WATCHED_NAMES {
            let why = format!("it has more than {WATCHED_NAMES} names in it: let it have plugins alone");
            return Err(io::Error::other(why));
        }
        if !is_library(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        // One that went meanwhile is gone; a link is what it leads to.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            let signature = fs::metadata(signature_of(&path)).ok();
            let look = Look::of(&metadata, signature.as_ref());
            listing.insert(path, look);
        }
    }
    Ok(listing)
}

/// Whether a file of that name may be a complete library: not one that is hidden, nor one with an ending of its own such as
/// `.tmp` or `.part`.
fn is_library(name: &str) -> bool {
    name.ends_with(consts::DLL_SUFFIX) && !name.starts_with('.')
}

/// The contents that were told of, the oldest first.
#[derive(Debug, Default)]
struct Told {
    hashes: HashSet<String>,
    order: VecDeque<String>,
}

impl Told {
    /// Whether it has not been told of; from now on it has.
    fn is_new(&mut self, hash: &str) -> bool {
        if !self.hashes.insert(hash.to_owned()) {
            return false;
        }
        self.order.push_back(hash.to_owned());
        if self.order.len() > CONTENTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests;
