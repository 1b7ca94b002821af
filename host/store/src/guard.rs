//! Sees to it that a folder is still its host's while the host runs. The lock keeps a second host out only as long as its file
//! is there, and what is written to files that were removed is gone; so both are looked at before anything is acknowledged.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use crate::{
    JournalErrorKind,
    codec::Meta,
    folder::{Folder, Lock},
    ledger::Fault,
    schema::{self, ShapeError},
};

/// Why nothing is done for now, or any more.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    kind: JournalErrorKind,
    why: String,
}

impl From<Refusal> for Fault {
    fn from(Refusal { kind, why }: Refusal) -> Self {
        Self::Refused(kind, why)
    }
}

/// Which file it is, whatever it is called. The number is not given to another one while this one is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&fs::Metadata> for Identity {
    fn from(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The files that a host has open, as their paths led to them.
#[derive(Debug)]
pub(crate) struct Guard {
    folder: PathBuf,
    files: [(PathBuf, Identity); 3],
    /// Another host has written the file. That cannot be undone: what this one has in memory is not what is there.
    is_fenced: bool,
}

impl Guard {
    /// Begins when all of them are open. `file` is the journal's, from before it was opened.
    pub(crate) fn new(folder: &Folder, file: Identity, lock: &Lock) -> io::Result<Self> {
        let log = folder.log();
        let log_now = Identity::of(&log)?;
        let files = [(folder.file(), file), (log, log_now), (folder.lock(), lock.identity()?)];
        Ok(Self { folder: folder.path.clone(), files, is_fenced: false })
    }

    /// Looks at the paths, before a transaction. `meta` is what this host wrote last.
    pub(crate) fn look(&mut self, connection: &Connection, meta: &Meta) -> Result<(), Refusal> {
        if self.is_fenced {
            return Err(self.fenced());
        }
        let Some(missing) = self.missing() else { return Ok(()) };
        // Where a second host has come in already, that says more, and is for ever.
        self.compare(connection, meta).unwrap_or(Ok(())).and(Err(missing))
    }

    /// Looks inside a transaction whether the file is as this host left it.
    pub(crate) fn compare(
        &mut self,
        connection: &Connection,
        meta: &Meta,
    ) -> rusqlite::Result<Result<(), Refusal>> {
        match schema::read_meta(connection) {
            Ok(found) if found == *meta => Ok(Ok(())),
            Err(ShapeError::Sql(error)) => Err(error),
            Err(ShapeError::Corrupt(why)) => Ok(Err(Refusal { kind: JournalErrorKind::Damaged, why })),
            Ok(_) | Err(ShapeError::Foreign | ShapeError::Newer { .. }) => {
                self.is_fenced = true;
                Ok(Err(self.fenced()))
            }
        }
    }

    /// Whether the files are this host's, so that it may move and remove them.
    pub(crate) fn is_own(&self) -> bool {
        !self.is_fenced && self.missing().is_none()
    }

    fn missing(&self) -> Option<Refusal> {
        let folder = self.folder.display();
        self.files.iter().find_map(|(path, identity)| {
            let path_shown = path.display();
            let (kind, why) = match Identity::of(path) {
                Ok(found) if found == *identity => return None,
                Ok(_) => (JournalErrorKind::Gone, format!("{path_shown} is another file now")),
                Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
                    (JournalErrorKind::Gone, format!("{path_shown} is not there any more"))
                }
                Err(error) => {
                    let why = format!(
                        "the state folder {folder} cannot be looked at any more ({path_shown}: {error}); nothing is \
                         written before that is mended"
                    );
                    return Some(Refusal { kind: JournalErrorKind::Failed, why });
                }
            };
            let why = format!(
                "the state folder {folder} was removed or replaced under this host ({why}); end it, and put back what was \
                 there, or name another folder; nothing is written before that"
            );
            Some(Refusal { kind, why })
        })
    }

    fn fenced(&self) -> Refusal {
        let why = format!(
            "another host has written the state folder {} since, whose lock must have been removed while this host ran; \
             this one writes nothing any more: end it, and leave its clusters to the other",
            self.folder.display()
        );
        Refusal { kind: JournalErrorKind::Fenced, why }
    }
}
