//! The witness: a small file beside the journal that says how many commits have been made durable. `SQLite` takes the first
//! damaged frame of its log for the log's end, and so would lose without a word what was acknowledged after it; the witness
//! knows better. It is written after a commit is durable, never before, so that on an honest disk it is never ahead. It is
//! not brought to the disk each time: the end of the process cannot take it back, and the loss of power only to an older
//! number, which is true as well.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;
use xxhash_rust::xxh3::xxh3_64;

/// The file's length: a mark, the journal's number, the commits, and a checksum over the three.
pub(crate) const LENGTH: usize = 32;
const MARK: &[u8; 8] = b"LSHEAD01";

/// What a witness says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Testimony {
    /// The number of the journal's file that it is about.
    pub(crate) file: u64,
    /// The commits that were durable.
    pub(crate) commits: u64,
}

impl Testimony {
    fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(MARK);
        bytes[8..16].copy_from_slice(&self.file.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.commits.to_le_bytes());
        let sum = xxh3_64(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let found = Self { file: number(8)?, commits: number(16)? };
        (bytes == found.to_bytes()).then_some(found)
    }
}

/// What was found where a witness should be.
#[derive(Debug)]
pub(crate) enum Found {
    /// A witness.
    Whole(Testimony),
    /// No file.
    Missing,
    /// A file that says nothing.
    Damaged,
}

/// Reads a witness.
pub(crate) fn read(path: &Path) -> io::Result<Found> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Testimony::from_bytes(&bytes).map_or(Found::Damaged, Found::Whole)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
        Err(error) => Err(error),
    }
}

/// The witness of a journal that is open.
#[derive(Debug)]
pub(crate) struct Witness {
    out: File,
    file: u64,
    /// Trouble is told of once.
    has_failed: bool,
}

impl Witness {
    /// Opens a witness, or makes it, and lets it say what is so now.
    pub(crate) fn open(path: &Path, now: Testimony) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let out = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
        out.write_all_at(&now.to_bytes(), 0)?;
        out.set_len(LENGTH as u64)?;
        out.sync_all()?;
        Ok(Self { out, file: now.file, has_failed: false })
    }

    /// So many commits are durable.
    pub(crate) fn tell(&mut self, commits: u64) {
        let bytes = Testimony { file: self.file, commits }.to_bytes();
        let done = self.out.write_all_at(&bytes, 0);
        self.note(done);
    }

    /// Brings it to the disk.
    pub(crate) fn sync(&mut self) {
        let done = self.out.sync_data();
        self.note(done);
    }

    /// A witness that knows too little is one that says less than it could; the journal itself is as safe.
    fn note(&mut self, done: io::Result<()>) {
        match done {
            Ok(()) => self.has_failed = false,
            Err(error) if !self.has_failed => {
                self.has_failed = true;
                tracing::warn!("the journal's witness cannot be written, so that it guards less: {error}");
            }
            Err(_) => {}
        }
    }
}
