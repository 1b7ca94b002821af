//! Looks at a folder's journal without changing it, beside a host that runs or without one: for `longshore state check`,
//! and for whoever exports it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use crate::{
    OpenError,
    folder::{Folder, Holder, Lock},
    open::{MARKED_READ_ONLY, READ, compare, connect, may_write},
    scan::{Census, Damages, Depth, scan},
    schema::{self, FORMAT, ShapeError},
    witness::{self, Found},
};

/// What there is of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterReport {
    /// Its name.
    pub name: String,
    /// How many entries are kept.
    pub entries: u64,
    /// The number of the first of them.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// The last entry that its snapshot stands for; 0 where it has none.
    pub snapshot_upto: u64,
    /// Handles in the snapshot.
    pub snapshot_handles: u64,
    /// The bytes of its payload.
    pub snapshot_bytes: u64,
}

/// What was found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The format of the file, where it can be told.
    pub format: Option<u32>,
    /// Transactions since the file was made, where it can be told.
    pub commits: Option<u64>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of its log.
    pub log_bytes: u64,
    /// The clusters, by name.
    pub clusters: Vec<ClusterReport>,
    /// The names of the providers.
    pub providers: Vec<String>,
    /// The hashes of the libraries that something is known of.
    pub libraries: Vec<String>,
    /// Whether a host uses it.
    pub is_in_use: bool,
    /// Which host, where it can be told.
    pub holder: Option<Holder>,
    /// Whether there is a witness that makes sense. Without one, the loss of what was written last cannot be told.
    pub has_witness: bool,
    /// All that is damaged.
    pub damages: Damages,
}

/// A journal that is only read: everything in it as it was at one moment.
pub(crate) struct Reading {
    pub(crate) connection: Connection,
    pub(crate) format: Option<u32>,
    pub(crate) census: Census,
    has_witness: bool,
}

/// Reads all of a journal. What is damaged is in the census.
pub(crate) fn read(folder: &Folder) -> Result<Reading, OpenError> {
    let path = folder.file();
    if !folder.has_file()? {
        return Err(match folder.remains() {
            Some(state) => OpenError::Missing { path, state },
            None => OpenError::Nothing { folder: folder.path.clone() },
        });
    }
    // Before the file: a host that runs writes it afterwards, so that it never knows more than what is read then.
    let said = witness::read(&folder.witness())
        .map_err(|error| OpenError::system("read", &folder.witness(), error))?;
    let connection = begin(folder, &path)?;
    let mut damages = Damages::default();
    let format = match schema::inspect(&connection, FORMAT) {
        Ok(format) if format < FORMAT => return Err(OpenError::Older { path, found: format }),
        Ok(format) => Some(format),
        Err(ShapeError::Corrupt(what)) => {
            damages.add("the file", what);
            None
        }
        Err(error) => match OpenError::shape(&path, error) {
            OpenError::Corrupt { damages: found, .. } => {
                damages = found;
                None
            }
            error => return Err(error),
        },
    };
    if format.is_some()
        && let Err(error) = schema::check_tables(&connection)
    {
        match error {
            ShapeError::Corrupt(what) => damages.add("the file", what),
            ShapeError::Sql(error) => damages.add("the file", error.to_string()),
            // The tables do not tell.
            ShapeError::Foreign | ShapeError::Newer { .. } => {}
        }
    }
    if is_marked_read_only(&path) {
        damages.add("the file", MARKED_READ_ONLY);
    }
    let mut census = scan(&connection, Depth::Payloads);
    if let (Found::Whole(said), Some(meta)) = (&said, &census.meta)
        && let Err(error) = compare(folder, meta, *said)
    {
        damages.add("the end of the journal", error.to_string());
    }
    for damage in census.damages.first.drain(..) {
        if !damages.first.contains(&damage) {
            damages.add(damage.place, damage.what);
        }
    }
    damages.more += census.damages.more;
    census.damages = damages;
    let has_witness = matches!(said, Found::Whole(_));
    Ok(Reading { connection, format, census, has_witness })
}

/// Opens a journal to be read, and holds on to what it is at this moment.
fn begin(folder: &Folder, path: &Path) -> Result<Connection, OpenError> {
    let begin = |path: &Path, more: OpenFlags| {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | more)?;
        connection
            .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
            .map(|()| connection)
            .map_err(|error| OpenError::database(READ, path, error))
    };
    match begin(path, OpenFlags::empty()) {
        // Whatever is damaged is told of by the look at everything, as far as that can be.
        Err(OpenError::Corrupt { .. }) => connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY),
        // SQLite keeps an index of the log beside the file. Where it may not, a file without a log can be read as it is.
        Err(OpenError::CannotOpen { .. } | OpenError::ReadOnly { .. }) => {
            if fs::metadata(folder.log()).is_ok_and(|log| log.len() > 0) {
                return Err(OpenError::ReadOnly { path: path.to_owned() });
            }
            begin(&immutable(path), OpenFlags::SQLITE_OPEN_URI)
        }
        other => other,
    }
}

/// Whether a file's header forbids to write it. Only a connection that could write knows; this one reads alone.
fn is_marked_read_only(path: &Path) -> bool {
    let is_marked = || -> Option<bool> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
        connection.pragma_update(None, "query_only", true).ok()?;
        connection.execute_batch("SELECT count(*) FROM sqlite_schema").ok()?;
        connection.is_readonly("main").ok()
    };
    may_write(path) && is_marked() == Some(true)
}

/// The address of a file that nobody changes.
fn immutable(path: &Path) -> PathBuf {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            address.push(char::from(*byte));
        } else {
            // A string takes all that is written to it.
            let _ = write!(address, "%{byte:02x}");
        }
    }
    PathBuf::from(address + "?immutable=1")
}

/// Looks at all of a folder's journal, and changes nothing. It works beside a host that runs.
///
/// # Errors
///
/// [`OpenError`] where there is no journal, or where it cannot be looked at. What is damaged is in the report.
pub fn check(folder: &Path) -> Result<CheckReport, OpenError> {
    let folder = Folder::existing(folder)?;
    let (format, census, has_witness) = match read(&folder) {
        Ok(reading) => (reading.format, reading.census, reading.has_witness),
        // So much is wrong that nothing of it can be looked at.
        Err(OpenError::Corrupt { damages, .. }) => (None, Census { damages, ..Census::default() }, false),
        Err(error) => return Err(error),
    };
    let mut clusters: Vec<_> = census
        .clusters
        .into_values()
        .map(|row| ClusterReport {
            entries: row.last.saturating_add(1).saturating_sub(row.first),
            first: row.first,
            last: row.last,
            bytes: row.bytes,
            snapshot_upto: row.upto,
            snapshot_handles: row.handles,
            snapshot_bytes: row.snapshot_bytes,
            name: row.name,
        })
        .collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    let mut providers: Vec<_> = census.providers.into_values().collect();
    providers.sort();
    let mut libraries: Vec<_> = census.libraries.into_values().collect();
    libraries.sort();
    let (is_in_use, holder) = Lock::held(&folder);
    let bytes = |path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    Ok(CheckReport {
        format,
        commits: census.meta.map(|meta| meta.commits),
        file_bytes: bytes(folder.file()),
        log_bytes: bytes(folder.log()),
        clusters,
        providers,
        libraries,
        is_in_use,
        holder,
        has_witness,
        damages: census.damages,
    })
}
