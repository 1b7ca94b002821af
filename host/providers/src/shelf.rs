//! The shelf: plugins that an operator has given to the host, in a folder of its own. Each is a copy of the bytes that were
//! verified, named by their hash, with a card that says what it is. Its content is hashed again whenever it is used, and what is
//! there without a sound card is told of and never loaded.
//!
//! A plugin is on the shelf from the moment on that its card is, which comes last; it is not any more once the card is gone,
//! which goes first. So an end of the host in between leaves a file without a card at most.

mod contents;
mod select;

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use longshore_config::Trust;
use semver::Version;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use contents::{Contents, RefusedFile};
pub use select::{NotOnShelf, versioned};

use crate::{
    error::{LoadError, LoadErrorKind},
    verify::{MAX_SIGNATURE_BYTES, Signer, Verified, check_pin, signature_of, verify},
};

/// The most plugins on a shelf.
pub const SHELF_PLUGINS: usize = 64;
/// The most bytes that they may have together.
pub const SHELF_BYTES: u64 = 4 << 30;

/// How the names of files begin that are being written.
const UNFINISHED: &str = ".adding-";

/// What a plugin says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A plugin on the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelved {
    /// What it calls itself.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The SHA-256 of its content, in hexadecimal.
    pub hash: String,
    /// The bytes of its content.
    pub bytes: u64,
    /// When it was put there, in milliseconds since 1970.
    pub added_at: u64,
    /// Whose signature it bore, where one was asked for when it was put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// Its file.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Shelved {
    /// Reads it, and holds it to what is demanded of it, and to its being what was put on the shelf.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what is wrong.
    pub fn verify(&self, trust: &Trust) -> Result<Verified, LoadError> {
        let unpinned = Trust { sha256: None, signed_by: trust.signed_by.clone() };
        let verified = verify(&self.path, &unpinned)?;
        if verified.hash != self.hash {
            let message =
                format_args!("it is not what was put on the shelf: its SHA-256 is {}", verified.hash);
            return Err(LoadError::new(&self.path, LoadErrorKind::Spoiled, message));
        }
        check_pin(&self.path, &verified.hash, trust)?;
        Ok(verified)
    }
}

/// Why a plugin cannot be put on the shelf, or taken off it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The file is refused.
    #[error(transparent)]
    Refused(#[from] LoadError),
    /// There is no room.
    #[error(
        "the shelf {} is full: it has {plugins} plugins of {bytes} bytes, of at most {SHELF_PLUGINS} plugins of {SHELF_BYTES} \
         bytes; `longshore plugin remove` what is not needed any more",
        folder.display()
    )]
    Full {
        /// The shelf.
        folder: PathBuf,
        /// What it has.
        plugins: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// The folder cannot be read or written.
    #[error("the shelf cannot be used: {} {what}", path.display())]
    Unusable {
        /// What of it.
        path: PathBuf,
        /// What could not be done.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A folder with plugins. One host uses it at a time.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    /// One change at a time.
    turn: Mutex<()>,
}

impl Shelf {
    /// The shelf in a folder, which is made when the first plugin is put there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), turn: Mutex::default() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts a copy of a file on the shelf, if it is what is demanded of it. `examine` finds out what it is. The same content is
    /// there once, however often it is put there; a signature that has come meanwhile is kept with it.
    ///
    /// # Errors
    ///
    /// [`ShelfError`]; nothing has changed then.
    pub fn add(
        &self,
        path: &Path,
        trust: &Trust,
        examine: impl FnOnce(&Path, &Verified) -> Result<Named, LoadError>,
    ) -> Result<Shelved, ShelfError> {
        let verified = verify(path, trust)?;
        let signature = read_signature(path);
        let Named { name, version } = examine(path, &verified)?;
        let version = Version::parse(&version).map_err(|error| {
            let message = format_args!("its version {version:?} is not one that can be compared: {error}");
            LoadError::new(path, LoadErrorKind::Metadata, message)
        })?;
        let Verified { bytes, hash, signer } = verified;

        let _turn = self.turn();
        self.prepare()?;
        let contents = self.contents()?;
        let found = contents.shelved.iter().find(|shelved| shelved.hash == hash);
        if found.is_none() {
            self.check_room(&contents, bytes.len() as u64)?;
        }
        let shelved = Shelved {
            name,
            version,
            bytes: bytes.len() as u64,
            added_at: found.map_or_else(now, |found| found.added_at),
            signer: signer.or_else(|| found.and_then(|found| found.signer.clone())),
            path: self.content(&hash),
            hash,
        };
        // What is there may be damaged: it is as good as new then.
        self.write(&shelved.path, &bytes)?;
        let place = signature_of(&shelved.path);
        // One that is there may be good, and this one was looked at only where that was asked for.
        if let Some(signature) = signature.filter(|_| !trust.signed_by.is_empty() || !place.exists()) {
            self.write(&place, &signature)?;
        }
        self.sync()?;
        let card = serde_json::to_vec(&shelved).map_err(io::Error::from);
        let path = self.card(&shelved.hash);
        self.write(&path, &card.map_err(|error| unusable(&path, "cannot be written", error))?)?;
        self.sync()?;
        Ok(shelved)
    }

    /// Takes the content of that hash off the shelf, damaged or not; false where it is not there.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn remove(&self, hash: &str) -> Result<bool, ShelfError> {
        let _turn = self.turn();
        let content = self.content(hash);
        let mut was_there = false;
        for path in [self.card(hash), signature_of(&content), content] {
            match fs::remove_file(&path) {
                Ok(()) => was_there = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unusable(&path, "cannot be removed", error)),
            }
        }
        if was_there {
            self.sync()?;
        }
        Ok(was_there)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the content of that hash is, or would be.
    fn content(&self, hash: &str) -> PathBuf {
        self.folder.join(format!("{hash}{}", std::env::consts::DLL_SUFFIX))
    }

    fn card(&self, hash: &str) -> PathBuf {
        self.folder.join(format!("{hash}{}", contents::CARD_SUFFIX))
    }

    /// Makes the folder, for us alone, and removes what an earlier host was writing when it ended.
    fn prepare(&self) -> Result<(), ShelfError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder).map_err(|error| unusable(&self.folder, "cannot be made", error))?;
        let entries = fs::read_dir(&self.folder);
        for entry in entries.map_err(|error| unusable(&self.folder, "cannot be read", error))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // One that stays takes room alone.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn check_room(&self, contents: &Contents, more: u64) -> Result<(), ShelfError> {
        let (plugins, bytes) =
            (contents.shelved.len(), contents.shelved.iter().map(|it| it.bytes).sum::<u64>());
        if plugins < SHELF_PLUGINS && bytes.saturating_add(more) <= SHELF_BYTES {
            return Ok(());
        }
        Err(ShelfError::Full { folder: self.folder.clone(), plugins, bytes })
    }

    /// Writes a file that is there as a whole or not at all. Its name is durable after [`sync`](Self::sync).
    fn write(&self, path: &Path, content: &[u8]) -> Result<(), ShelfError> {
        let written = || {
            // For us alone, as the builder has it.
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        written().map_err(|error| unusable(path, "cannot be written", error))
    }

    /// Makes the names in the folder durable.
    fn sync(&self) -> Result<(), ShelfError> {
        if cfg!(not(unix)) {
            // A folder cannot be opened there, and names are durable with their files.
            return Ok(());
        }
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| unusable(&self.folder, "cannot be made durable", error))
    }
}

/// The signature beside a file, where there is one of a signature's size.
fn read_signature(path: &Path) -> Option<Vec<u8>> {
    let path = signature_of(path);
    fs::metadata(&path)
        .ok()
        .filter(|metadata| metadata.is_file() && metadata.len() <= MAX_SIGNATURE_BYTES)?;
    let mut content = Vec::new();
    File::open(path).ok()?.take(MAX_SIGNATURE_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn unusable(path: &Path, what: &'static str, source: io::Error) -> ShelfError {
    ShelfError::Unusable { path: path.to_owned(), what, source }
}

#[cfg(test)]
mod tests;
