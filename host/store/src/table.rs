//! The tables of the file, and their rows: all have the same shape, a key, a format number, a payload and a checksum over
//! the three. Every row that is written or dropped is counted into one sum, which the meta row keeps: a row that is lost,
//! doubled or old makes it wrong.

use rusqlite::{Connection, Row as SqlRow, params_from_iter, types::ValueRef};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// One row: what is true of the whole file.
    Meta,
    /// The definitions of providers.
    Providers,
    /// What must be there of each cluster.
    Clusters,
    /// The latest definition of each cluster, which outlives its entry.
    Definitions,
    /// The entries.
    Entries,
    /// The snapshots, in pieces.
    Parts,
    /// What is known of libraries.
    Libraries,
}

impl Table {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Providers => "providers",
            Self::Clusters => "clusters",
            Self::Definitions => "definitions",
            Self::Entries => "entries",
            Self::Parts => "parts",
            Self::Libraries => "libraries",
        }
    }

    /// The columns of its key.
    pub(crate) const fn key(self) -> &'static [&'static str] {
        match self {
            Self::Meta | Self::Providers | Self::Clusters | Self::Libraries => &["id"],
            Self::Definitions => &["cluster"],
            Self::Entries => &["cluster", "number"],
            Self::Parts => &["cluster", "part"],
        }
    }

    /// The format of the payloads that are written today; older ones are read, newer ones are refused. Whoever raises one raises
    /// the file's as well, so that an earlier version refuses the file as a whole.
    pub(crate) const fn format(self) -> u32 {
        match self {
            Self::Meta
            | Self::Providers
            | Self::Clusters
            | Self::Definitions
            | Self::Entries
            | Self::Parts
            | Self::Libraries => 1,
        }
    }
}

/// Where a row is in its table; the second number is 0 where the key has one column.
pub(crate) type Key = (u64, u64);

/// A row as it lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) format: u32,
    pub(crate) payload: Vec<u8>,
    pub(crate) sum: u64,
}

/// The checksum of a row.
pub(crate) fn seal(table: Table, key: Key, format: u32, payload: &[u8]) -> u64 {
    let mut head = [0; 21];
    head[0] = table as u8;
    head[1..9].copy_from_slice(&key.0.to_le_bytes());
    head[9..17].copy_from_slice(&key.1.to_le_bytes());
    head[17..].copy_from_slice(&format.to_le_bytes());
    xxh3_64_with_seed(payload, xxh3_64(&head))
}

/// A row that is only looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef<'a> {
    pub(crate) key: Key,
    pub(crate) format: u32,
    pub(crate) payload: &'a [u8],
    pub(crate) sum: u64,
}

impl<'a> RowRef<'a> {
    /// Reads what [`select`] selects.
    pub(crate) fn of(row: &'a SqlRow<'_>) -> rusqlite::Result<Self> {
        let ValueRef::Blob(payload) = row.get_ref(3)? else {
            return Err(rusqlite::Error::InvalidColumnType(
                3,
                "payload".to_owned(),
                row.get_ref(3)?.data_type(),
            ));
        };
        let key = (row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
        Ok(Self { key, format: row.get(2)?, payload, sum: row.get::<_, i64>(4)?.cast_unsigned() })
    }

    /// Whether nothing of it has changed since it was written.
    pub(crate) fn is_whole(&self, table: Table) -> bool {
        seal(table, self.key, self.format, self.payload) == self.sum
    }

    pub(crate) fn to_owned(self) -> Row {
        Row { key: self.key, format: self.format, payload: self.payload.to_owned(), sum: self.sum }
    }
}

/// `SELECT` the columns that [`RowRef::of`] reads, up to the condition.
pub(crate) fn select(table: Table) -> String {
    let key = table.key();
    let second = key.get(1).copied().unwrap_or("0");
    format!("SELECT {}, {second}, format, payload, sum FROM {}", key[0], table.name())
}

/// Writes a row that must not be there yet, and counts it into the sum.
pub(crate) fn insert(
    connection: &Connection,
    table: Table,
    key: Key,
    payload: &[u8],
    total: &mut u64,
) -> rusqlite::Result<()> {
    let format = table.format();
    let sum = seal(table, key, format, payload);
    let columns = table.key();
    let marks = &"?, ?, "[..3 * columns.len()];
    let sql = format!(
        "INSERT INTO {} ({}, format, payload, sum) VALUES ({marks}?, ?, ?)",
        table.name(),
        columns.join(", ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut at = 0;
    for part in [key.0, key.1].into_iter().take(columns.len()) {
        at += 1;
        statement.raw_bind_parameter(at, part.cast_signed())?;
    }
    statement.raw_bind_parameter(at + 1, format)?;
    statement.raw_bind_parameter(at + 2, payload)?;
    statement.raw_bind_parameter(at + 3, sum.cast_signed())?;
    statement.raw_execute()?;
    *total = total.wrapping_add(sum);
    Ok(())
}

/// How many rows were dropped, and the bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Drops the rows of a condition, and counts them out of the sum.
pub(crate) fn delete(
    connection: &Connection,
    table: Table,
    condition: &str,
    values: &[u64],
    total: &mut u64,
) -> rusqlite::Result<Dropped> {
    let sql = format!("DELETE FROM {} WHERE {condition} RETURNING sum, length(payload)", table.name());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values.iter().map(|value| value.cast_signed())))?;
    let mut dropped = Dropped::default();
    while let Some(row) = rows.next()? {
        *total = total.wrapping_sub(row.get::<_, i64>(0)?.cast_unsigned());
        dropped.rows += 1;
        dropped.bytes += row.get::<_, i64>(1)?.cast_unsigned();
    }
    Ok(dropped)
}

/// Writes a row in the place of the one before, where there is one.
pub(crate) fn replace(
    connection: &Connection,
    table: Table,
    key: Key,
    payload: &[u8],
    total: &mut u64,
) -> rusqlite::Result<()> {
    delete(connection, table, &format!("{} = ?1", table.key()[0]), &[key.0], total)?;
    insert(connection, table, key, payload, total)
}
