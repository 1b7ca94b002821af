//! Opens a folder's journal: looks at all of it before anything is written, so that what is damaged or lost is told of and
//! left as it was found.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};
use thiserror::Error;

use crate::{
    codec::Meta,
    folder::{Folder, Holder, Lock, PAGE, make_private},
    guard::{Guard, Identity},
    ledger::Ledger,
    scan::{Census, Damages, Depth, scan},
    schema::{self, FORMAT, Migration, ShapeError},
    upkeep::checkpoint,
    witness::{self, Found, Testimony, Witness},
};

/// How long opening waits for somebody who reads the journal.
const READERS_LIMIT: Duration = Duration::from_secs(2);
/// Memory for pages, in KiB.
const CACHE_KIB: i32 = 16 << 10;

/// What is done while nothing is written yet.
pub(crate) const READ: &str = "read";
const OPEN: &str = "open";

/// What to do about a journal that is damaged.
const RESTORE: &str = "restore an export with `longshore state import` into another folder, or begin with an empty one and \
                       take the running clusters over with `longshore reconnect`";

/// Why a journal cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is something else in the folder's place.
    #[error("the state folder {} is no folder: name another one", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// There is no journal.
    #[error("there is no journal in {}", folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
    },
    /// There is a journal, where none may be.
    #[error("there is a journal in {} already: name an empty folder", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// A host uses the folder.
    #[error(
        "a host uses the state folder {} already{}: end it, or name another folder",
        folder.display(), holder.as_ref().map(|holder| format!(" ({holder})")).unwrap_or_default()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who, where it is known.
        holder: Option<Holder>,
    },
    /// Somebody writes the file who has not the lock.
    #[error(
        "somebody wrote to {} while it was being opened, though its lock was free: another host, whose lock was removed, or \
         another program; end it, and start again",
        path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{} is not a journal of Longshore, and is left alone: name another folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "{} has the format {found}, and this Longshore knows formats up to {known}: use the version that wrote it or a later \
         one, or name another folder",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// An earlier version wrote it, and it is only to be read.
    #[error(
        "{} has the older format {found}: a host that starts with its folder brings it to format {FORMAT}",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The journal's file is not there, and other files say that it was.
    #[error("the journal {} {state}, and what lies beside it says that it was in use: {RESTORE}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// `is missing`, `is empty` or `is cut short`.
        state: &'static str,
    },
    /// Something in it has changed, or is missing.
    #[error(
        "the journal {} is damaged: {}; `longshore state check` tells of everything; {RESTORE}",
        path.display(), summary(damages)
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        damages: Damages,
    },
    /// What was acknowledged is not there.
    #[error(
        "the journal {} lacks what was written last: {acknowledged} commits were acknowledged, and {found} are there; its log, \
         {}-wal, was lost or damaged, or an older copy was put in its place; {RESTORE}",
        path.display(), path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// Commits that are there.
        found: u64,
        /// Commits that were acknowledged.
        acknowledged: u64,
    },
    /// The witness is another journal's.
    #[error(
        "{} belongs to another journal than the one beside it: files of two folders were mixed; put back those that belong \
         together; otherwise, {RESTORE}",
        witness.display()
    )]
    Mixed {
        /// The witness.
        witness: PathBuf,
    },
    /// The disk is full.
    #[error("there is no room left on the disk of {}: free some, and start again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(
        "{} cannot be written: look at who may write it and its folder, and whether its disk is mounted read-only",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The system does not let it be opened.
    #[error("{} cannot be opened: look at who may read and write it and its folder", path.display())]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system does not let this user do something.
    #[error("cannot {what} {} (look at who may read and write it and its folder)", path.display())]
    NotAllowed {
        /// What, up to the path.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refuses something.
    #[error("cannot {what} {}", path.display())]
    System {
        /// What, up to the path.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database refuses something.
    #[error("cannot {what} {}", path.display())]
    Database {
        /// What, up to the path.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The first damage, and how much more there is.
fn summary(damages: &Damages) -> String {
    let rest = damages.first.len().saturating_sub(1) + damages.more;
    match (damages.first.first(), rest) {
        (None, _) => "it cannot be read".to_owned(),
        (Some(first), 0) => first.to_string(),
        (Some(first), rest) => format!("{first} (and {rest} more)"),
    }
}

impl OpenError {
    pub(crate) fn system(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { what, path, source },
            _ => Self::System { what, path, source },
        }
    }

    pub(crate) fn database(what: &'static str, path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::corrupt(&path, error.to_string())
            }
            // What is asked for never changes: where that is wrong, the tables are.
            None | Some(ErrorCode::Unknown) if [READ, OPEN].contains(&what) => {
                Self::corrupt(&path, error.to_string())
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::CannotOpen) => Self::CannotOpen { path, source: Box::new(error) },
            _ => Self::Database { what, path, source: Box::new(error) },
        }
    }

    pub(crate) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        let mut damages = Damages::default();
        damages.add("the file", what);
        Self::Corrupt { path: path.to_owned(), damages }
    }

    pub(crate) fn shape(path: &Path, error: ShapeError) -> Self {
        match error {
            ShapeError::Foreign => Self::Foreign { path: path.to_owned() },
            ShapeError::Newer { found } => Self::Newer { path: path.to_owned(), found, known: FORMAT },
            ShapeError::Corrupt(what) => Self::corrupt(path, what),
            ShapeError::Sql(error) => Self::database(READ, path, error),
        }
    }
}

/// A journal's file, looked at and found whole.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) ledger: Ledger,
    pub(crate) witness: Witness,
    pub(crate) guard: Guard,
    pub(crate) lock: Lock,
}

/// Opens a folder's journal, and makes one where the folder has none.
pub(crate) fn open(folder: &Folder) -> Result<Opened, OpenError> {
    let lock = Lock::take(folder)?;
    folder.clear_unfinished()?;
    let path = folder.file();
    let is_new = !folder.has_file()?;
    if is_new {
        if let Some(state) = folder.remains() {
            return Err(OpenError::Missing { path, state });
        }
        make(folder, |_| Ok::<_, OpenError>(()))?;
    }
    make_private(&path)?;
    let identity = Identity::of(&path).map_err(|error| OpenError::system("look at", &path, error))?;
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sql = |what| {
        let path = path.clone();
        move |error| OpenError::database(what, &path, error)
    };
    let format = schema::inspect(&connection, FORMAT).map_err(|error| OpenError::shape(&path, error))?;
    if is_read_only(&connection, &path)? {
        return Err(OpenError::ReadOnly { path });
    }
    let meta = schema::read_meta(&connection).map_err(|error| OpenError::shape(&path, error))?;
    heed_witness(folder, &meta, is_new)?;
    if format < FORMAT {
        migrate(folder, &connection, schema::LADDER, format, FORMAT)?;
    }
    schema::check_tables(&connection).map_err(|error| OpenError::shape(&path, error))?;
    let mut census = scan(&connection, Depth::Sums);
    let Some(mut meta) = census.meta.take().filter(|_| census.damages.is_empty()) else {
        return Err(OpenError::Corrupt { path, damages: census.damages });
    };
    if !begin(&connection, &mut meta).map_err(sql("write"))? {
        return Err(OpenError::Busy { path });
    }
    let guard = Guard::new(folder, identity, &lock);
    let guard = guard.map_err(|error| OpenError::system("look at the files of", &folder.path, error))?;
    let now = Testimony { file: meta.file, commits: meta.commits };
    let path = folder.witness();
    let witness = Witness::open(&path, now).map_err(|error| OpenError::system("write", &path, error))?;
    folder.sync()?;
    Ok(Opened { connection, ledger: Ledger::new(meta, census), witness, guard, lock })
}

/// A journal that ends with its process.
pub(crate) fn in_memory() -> rusqlite::Result<(Connection, Ledger)> {
    let connection = Connection::open_in_memory()?;
    schema::create(&connection, 0)?;
    let meta = schema::read_meta(&connection).map_err(|_| rusqlite::Error::QueryReturnedNoRows)?;
    Ok((connection, Ledger::new(meta, Census::default())))
}

/// Makes a journal under another name, lets `fill` put something in, and gives it its name once it is on the disk.
pub(crate) fn make<E: From<OpenError>>(
    folder: &Folder,
    fill: impl FnOnce(&Connection) -> Result<(), E>,
) -> Result<(), E> {
    let (path, unfinished) = (folder.file(), folder.unfinished());
    let mut options = fs::OpenOptions::new();
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.write(true).create_new(true).mode(0o600);
    }
    drop(options.open(&unfinished).map_err(|error| OpenError::system("make", &unfinished, error))?);
    let number = getrandom::u64().map_err(|error| {
        OpenError::system("find a random number for", &path, io::Error::other(error.to_string()))
    })?;
    let connection = connect(&unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = |error| OpenError::database("make", &unfinished, error);
    schema::create(&connection, number).map_err(failed)?;
    fill(&connection)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    let synced = fs::File::open(&unfinished).and_then(|file| file.sync_all());
    synced.map_err(|error| OpenError::system("bring to the disk", &unfinished, error))?;
    fs::rename(&unfinished, &path).map_err(|error| OpenError::system("make", &path, error))?;
    Ok(folder.sync()?)
}

/// Opens a database. Nothing is read yet, nor written.
pub(crate) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    let connection = || {
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(READERS_LIMIT)?;
        // What was found damaged stays as it was found: the log would otherwise go when the file is closed.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        Ok(connection)
    };
    connection().map_err(|error| OpenError::database(OPEN, path, error))
}

/// What is wrong with a file whose header forbids to write it.
pub(crate) const MARKED_READ_ONLY: &str = "its header says that it may only be read";

/// Whether the system lets a file be read only. One whose header says so is damaged.
fn is_read_only(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let is_read_only =
        connection.is_readonly("main").map_err(|error| OpenError::database(OPEN, path, error))?;
    if is_read_only && may_write(path) {
        return Err(OpenError::corrupt(path, MARKED_READ_ONLY));
    }
    Ok(is_read_only)
}

/// Whether the system would let a file be written.
pub(crate) fn may_write(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Holds what the file has against what the witness knows.
pub(crate) fn heed_witness(folder: &Folder, meta: &Meta, is_new: bool) -> Result<(), OpenError> {
    let path = folder.witness();
    let found = witness::read(&path).map_err(|error| OpenError::system("read", &path, error))?;
    match found {
        Found::Whole(said) => compare(folder, meta, said),
        Found::Missing if is_new => Ok(()),
        Found::Missing | Found::Damaged => {
            let what = if matches!(found, Found::Missing) { "is missing" } else { "is damaged" };
            tracing::warn!(
                "the journal's witness {} {what}: whether the end of the journal was lost cannot be told this once; it is \
                 made anew",
                path.display()
            );
            Ok(())
        }
    }
}

pub(crate) fn compare(folder: &Folder, meta: &Meta, said: Testimony) -> Result<(), OpenError> {
    if said.file != meta.file {
        return Err(OpenError::Mixed { witness: folder.witness() });
    }
    if said.commits > meta.commits {
        let (found, acknowledged) = (meta.commits, said.commits);
        return Err(OpenError::Lost { path: folder.file(), found, acknowledged });
    }
    Ok(())
}

/// Brings a file of an older format to today's, and keeps a copy as it was.
fn migrate(
    folder: &Folder,
    connection: &Connection,
    ladder: &[Migration],
    from: u32,
    to: u32,
) -> Result<(), OpenError> {
    let (path, copy) = (folder.file(), folder.older(from));
    match fs::remove_file(&copy) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(OpenError::system("replace", &copy, error)),
    }
    let name = copy.to_string_lossy();
    connection
        .execute("VACUUM INTO ?1", [name.as_ref()])
        .map_err(|error| OpenError::database("keep a copy of the older journal as", &copy, error))?;
    make_private(&copy)?;
    schema::migrate(connection, ladder, from, to).map_err(|error| OpenError::shape(&path, error))
}

/// The first commit of a host: moves to the file what the host before left in the log, and shows that the file can be written.
/// Tells whether the file still was what `meta` says, and has done nothing otherwise.
fn begin(connection: &Connection, meta: &mut Meta) -> rusqlite::Result<bool> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The log is moved to the file by the writer, in its own time.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(
        None,
        "journal_size_limit",
        crate::writer::WAL_PAGES * 2 * PAGE.cast_signed(),
    )?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if !matches!(schema::read_meta(&transaction), Ok(found) if found == *meta) {
        return Ok(false);
    }
    meta.commits += 1;
    schema::write_meta(&transaction, meta)?;
    transaction.commit()?;
    if let Err(error) = checkpoint(connection, "TRUNCATE") {
        // It is as safe in the log.
        tracing::debug!("the journal's log stays for now: {error}");
    }
    connection.busy_timeout(Duration::ZERO)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
