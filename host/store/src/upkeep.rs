//! The upkeep of the file: what is in its log is moved to it, and pages that it does not need are given back.

use rusqlite::Connection;

/// Free pages that stay in the file, to be used again without growing it.
pub const SLACK_PAGES: i64 = 256;
/// Pages that are given back to the system in one go.
pub const VACUUM_PAGES: i64 = 2_000;

/// What there is of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    /// All of it.
    pub(crate) pages: i64,
    /// Those that are in the file as well.
    pub(crate) moved: i64,
}

/// Moves pages from the log to the file, and tells what there is of the log then. A reader may keep some of them there, except
/// where the mode is `TRUNCATE`, which fails then.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Log> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Log { pages: row.get(1)?, moved: row.get(2)? }));
    let (busy, log): (i64, Log) = statement.query_row([], read)?;
    if busy != 0 && mode == "TRUNCATE" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let why = "somebody reads it at the moment".to_owned();
        return Err(rusqlite::Error::SqliteFailure(code, Some(why)));
    }
    Ok(log)
}

/// Gives some of the free pages back to the system; tells whether there are more to give.
pub(crate) fn vacuum(connection: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let excess = free - SLACK_PAGES;
    if excess <= 0 {
        return Ok(false);
    }
    let sql = format!("PRAGMA incremental_vacuum({})", excess.min(VACUUM_PAGES));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    // A page a step.
    while rows.next()?.is_some() {}
    Ok(excess > VACUUM_PAGES)
}
