//! The shape of the file: whose it is, its format's number, its tables, and how a file of an older format becomes one of
//! today's. Whoever changes [`TABLES`] adds a step to [`LADDER`]; a test holds a file of each format against that.

use rusqlite::{Connection, OptionalExtension as _, Transaction, types::ValueRef};

use crate::{
    codec::{self, Meta},
    table::{RowRef, Table, seal, select},
};

/// Marks the file as a journal of Longshore: "LSJ1" in ASCII.
pub(crate) const APPLICATION_ID: i32 = 0x4c53_4a31;

/// The format that is written today. Format 2 has the same tables as format 1, and clusters with servers in them: a host that
/// knows format 1 alone must not take those records for damaged ones. Format 3 has a table more, of what is known of libraries.
/// Format 4 has the same tables, and clusters that move from one provider to another; format 5 such whose providers are swapped.
pub const FORMAT: u32 = 5;

/// The tables of today's format, as `SQLite` keeps them.
pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE meta (id INTEGER PRIMARY KEY, format INTEGER NOT NULL, payload BLOB NOT NULL, \
     sum INTEGER NOT NULL) STRICT",
    "CREATE TABLE providers (id INTEGER PRIMARY KEY, format INTEGER NOT NULL, payload BLOB NOT NULL, \
     sum INTEGER NOT NULL) STRICT",
    "CREATE TABLE clusters (id INTEGER PRIMARY KEY, format INTEGER NOT NULL, payload BLOB NOT NULL, \
     sum INTEGER NOT NULL) STRICT",
    "CREATE TABLE definitions (cluster INTEGER PRIMARY KEY, format INTEGER NOT NULL, payload BLOB NOT NULL, \
     sum INTEGER NOT NULL) STRICT",
    "CREATE TABLE entries (cluster INTEGER NOT NULL, number INTEGER NOT NULL, format INTEGER NOT NULL, \
     payload BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (cluster, number)) STRICT, WITHOUT ROWID",
    "CREATE TABLE parts (cluster INTEGER NOT NULL, part INTEGER NOT NULL, format INTEGER NOT NULL, \
     payload BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (cluster, part)) STRICT, WITHOUT ROWID",
    "CREATE TABLE libraries (id INTEGER PRIMARY KEY, format INTEGER NOT NULL, payload BLOB NOT NULL, \
     sum INTEGER NOT NULL) STRICT",
];

/// One step from a format to the next. It changes the tables; the numbers are changed for it.
#[derive(Clone, Copy)]
pub(crate) struct Migration {
    /// The format that it begins with; it ends with the next.
    pub(crate) from: u32,
    pub(crate) step: fn(&Transaction<'_>) -> rusqlite::Result<()>,
}

/// All steps, oldest first.
pub(crate) const LADDER: &[Migration] = &[
    // What format 1 wrote reads as it is: no cluster of it has a server.
    Migration { from: 1, step: |_| Ok(()) },
    Migration {
        from: 2,
        step: |file| {
            file.execute_batch(
                "CREATE TABLE libraries (id INTEGER PRIMARY KEY, format INTEGER NOT NULL, payload BLOB NOT NULL, \
                 sum INTEGER NOT NULL) STRICT",
            )
        },
    },
    // No cluster of format 3 moves.
    Migration { from: 3, step: |_| Ok(()) },
    // None of format 4 says what its provider is made of.
    Migration { from: 4, step: |_| Ok(()) },
];

/// What is wrong with a file's shape.
#[derive(Debug)]
pub(crate) enum ShapeError {
    /// It is a database of something else.
    Foreign,
    /// It is of a format that is not known yet.
    Newer { found: u32 },
    /// It is damaged: how.
    Corrupt(String),
    /// `SQLite` says so.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for ShapeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Makes the tables of an empty database, which holds nothing yet.
pub(crate) fn create(connection: &Connection, file: u64) -> rusqlite::Result<()> {
    // Before the first table, or it has no effect.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let transaction = connection.unchecked_transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    for table in TABLES {
        transaction.execute_batch(table)?;
    }
    let meta = Meta {
        file,
        format: FORMAT,
        commits: 1,
        term: 0,
        next_id: 1,
        clusters: 0,
        providers: 0,
        libraries: 0,
        total: 0,
    };
    write_meta(&transaction, &meta)?;
    transaction.commit()
}

/// Reads the meta row.
pub(crate) fn read_meta(connection: &Connection) -> Result<Meta, ShapeError> {
    let read = |row: &rusqlite::Row<'_>| RowRef::of(row).map(RowRef::to_owned);
    let row = connection.query_row(&format!("{} WHERE id = 1", select(Table::Meta)), [], read).optional()?;
    let row = row.ok_or_else(|| ShapeError::Corrupt("the meta row is missing".to_owned()))?;
    if seal(Table::Meta, row.key, row.format, &row.payload) != row.sum {
        return Err(ShapeError::Corrupt("the meta row has changed since it was written".to_owned()));
    }
    if row.format > Table::Meta.format() {
        return Err(ShapeError::Newer { found: row.format });
    }
    codec::decode(&row.payload)
        .map_err(|why| ShapeError::Corrupt(format!("the meta row makes no sense: {why}")))
}

/// Writes the meta row in the place of the one before.
pub(crate) fn write_meta(connection: &Connection, meta: &Meta) -> rusqlite::Result<()> {
    let payload = codec::encode(meta).map_err(|why| rusqlite::Error::ToSqlConversionFailure(why.into()))?;
    let format = Table::Meta.format();
    let sum = seal(Table::Meta, (1, 0), format, &payload);
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO meta (id, format, payload, sum) VALUES (1, ?, ?, ?)")?;
    statement.execute((format, payload, sum.cast_signed()))?;
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// The file's format, as far as both its header and its meta row say the same.
pub(crate) fn inspect(connection: &Connection, newest: u32) -> Result<u32, ShapeError> {
    let id = pragma(connection, "application_id")?;
    let version = pragma(connection, "user_version")?;
    if id != i64::from(APPLICATION_ID) {
        // A single damaged byte there does not make it somebody else's.
        return match read_meta(connection) {
            Ok(meta) if i64::from(meta.format) == version => Err(ShapeError::Corrupt(
                "its header does not say that it is a journal of Longshore".to_owned(),
            )),
            _ => Err(ShapeError::Foreign),
        };
    }
    let found = u32::try_from(version).unwrap_or(u32::MAX);
    let meta = match read_meta(connection) {
        Ok(meta) => meta,
        // A later format may have another meta row; then only the header can tell.
        Err(_) if found > newest => return Err(ShapeError::Newer { found }),
        Err(error) => return Err(error),
    };
    if meta.format != found {
        let why = format!("its header says format {version}, and its meta row {}", meta.format);
        return Err(ShapeError::Corrupt(why));
    }
    if found > newest {
        return Err(ShapeError::Newer { found });
    }
    if found == 0 {
        return Err(ShapeError::Corrupt("its format is 0, which there never was".to_owned()));
    }
    Ok(found)
}

/// Brings a file to a format, one transaction a step.
pub(crate) fn migrate(
    connection: &Connection,
    ladder: &[Migration],
    from: u32,
    to: u32,
) -> Result<(), ShapeError> {
    for format in from..to {
        let migration = ladder
            .iter()
            .find(|migration| migration.from == format)
            .ok_or_else(|| ShapeError::Corrupt(format!("nothing leads from format {format} to the next")))?;
        let transaction = connection.unchecked_transaction()?;
        (migration.step)(&transaction)?;
        // The step may have changed what the meta row counts.
        let meta = Meta { format: format + 1, ..read_meta(&transaction)? };
        write_meta(&transaction, &meta)?;
        transaction.pragma_update(None, "user_version", format + 1)?;
        transaction.commit()?;
        tracing::info!("the journal's file was brought from format {format} to {}", format + 1);
    }
    Ok(())
}

/// Whether the tables are exactly those of today's format.
pub(crate) fn check_tables(connection: &Connection) -> Result<(), ShapeError> {
    let wrong = || ShapeError::Corrupt("its tables are not those of its format".to_owned());
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")?;
    let mut rows = statement.query([])?;
    let mut expected = TABLES.iter();
    while let Some(row) = rows.next()? {
        let sql = expected.next().ok_or_else(wrong)?;
        let name = sql.split(' ').nth(2).unwrap_or_default();
        for (at, text) in ["table", name, name, sql].into_iter().enumerate() {
            if row.get_ref(at)? != ValueRef::Text(text.as_bytes()) {
                return Err(wrong());
            }
        }
    }
    if expected.next().is_some() { Err(wrong()) } else { Ok(()) }
}
