//! Writes a journal as text.

use std::{
    io::{self, Write},
    path::Path,
    time::SystemTime,
};

use rusqlite::Connection;
use xxhash_rust::xxh3::Xxh3;

use super::{ClusterLine, EXPORT_VERSION, End, ExportError, Header, Line, ProviderLine};
use crate::{
    Entry, Numbered, OpenError,
    check::{self, Reading},
    codec::{self, ClusterRow, CodecError, ProviderRow},
    folder::Folder,
    open::READ,
    table::{self, RowRef, Table},
};

/// Writes all of a folder's journal, as it is at one moment, in the text that this module describes. It works beside a host
/// that runs, whose log grows until this is done: let it write to a file, not to somebody who reads slowly. What is damaged is
/// not exported.
///
/// # Errors
///
/// [`ExportError`]; what was written until then has no end, and [`import`](super::import) refuses it.
pub fn export(folder: &Path, out: &mut dyn Write) -> Result<(), ExportError> {
    let folder = Folder::existing(folder)?;
    let Reading { connection, census, .. } = check::read(&folder)?;
    let path = folder.file();
    let Some(meta) = census.meta.filter(|_| census.damages.is_empty()) else {
        return Err(OpenError::Corrupt { path, damages: census.damages }.into());
    };
    let mut out = Out::new(out);
    let written = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    out.line(&Line::LongshoreJournal(Header { version: EXPORT_VERSION, written, term: meta.term }))?;
    let read = Read { connection: &connection, path: &path };
    let mut providers: Vec<_> = census.providers.into_iter().map(|(id, name)| (name, id)).collect();
    providers.sort();
    for (_, id) in &providers {
        read.rows(Table::Providers, "id = ?1", &[*id], |row| {
            let ProviderRow { name, definition } = read.decode(row)?;
            out.line(&Line::Provider(ProviderLine { name, definition }))
        })?;
    }
    let mut libraries: Vec<_> = census.libraries.into_iter().map(|(id, hash)| (hash, id)).collect();
    libraries.sort();
    for (_, id) in &libraries {
        read.rows(Table::Libraries, "id = ?1", &[*id], |row| out.line(&Line::Library(read.decode(row)?)))?;
    }
    let mut clusters: Vec<_> = census.clusters.into_iter().collect();
    clusters.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    let mut entries = 0;
    for (id, cluster) in &clusters {
        self::cluster(&mut out, &read, *id, cluster)?;
        entries += cluster.last + 1 - cluster.first;
    }
    let end = End {
        lines: out.lines,
        providers: providers.len() as u64,
        libraries: libraries.len() as u64,
        clusters: clusters.len() as u64,
        entries,
        sum: format!("{:016x}", out.sum.digest()),
    };
    out.line(&Line::End(end))?;
    out.to.flush().map_err(ExportError::Write)
}

fn cluster(out: &mut Out<'_>, read: &Read<'_>, id: u64, row: &ClusterRow) -> Result<(), ExportError> {
    let mut definition = None;
    read.rows(Table::Definitions, "cluster = ?1", &[id], |found| {
        if let Entry::Defined(value) = read.decode(found)? {
            definition = Some(value);
        }
        Ok(())
    })?;
    out.line(&Line::Cluster(ClusterLine {
        name: row.name.clone(),
        term: row.term,
        first: row.first,
        last: row.last,
        upto: row.upto,
        handles: row.handles,
        definition,
    }))?;
    read.rows(Table::Parts, "cluster = ?1 ORDER BY part", &[id], |part| {
        let line = if part.key.1 == 0 {
            Line::Snapshot(Box::new(read.decode(part)?))
        } else {
            Line::Handles(read.decode(part)?)
        };
        out.line(&line)
    })?;
    read.rows(Table::Entries, "cluster = ?1 ORDER BY number", &[id], |entry| {
        let number = entry.key.1;
        out.line(&Line::Entry(Box::new(Numbered { number, entry: read.decode(entry)? })))
    })
}

/// Where the rows come from. They were all looked at before, in the same transaction.
struct Read<'a> {
    connection: &'a Connection,
    path: &'a Path,
}

impl Read<'_> {
    fn rows(
        &self,
        table: Table,
        condition: &str,
        values: &[u64],
        mut each: impl FnMut(RowRef<'_>) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let failed = |error| OpenError::database(READ, self.path, error);
        let sql = format!("{} WHERE {condition}", table::select(table));
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let values = values.iter().map(|value| value.cast_signed());
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            each(RowRef::of(row).map_err(failed)?)?;
        }
        Ok(())
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, row: RowRef<'_>) -> Result<T, ExportError> {
        let corrupt = |why: CodecError| OpenError::corrupt(self.path, why);
        Ok(codec::decode(row.payload).map_err(corrupt)?)
    }
}

/// What is written, and what was written so far.
struct Out<'a> {
    to: &'a mut dyn Write,
    lines: u64,
    sum: Xxh3,
}

impl<'a> Out<'a> {
    fn new(to: &'a mut dyn Write) -> Self {
        Self { to, lines: 0, sum: Xxh3::new() }
    }

    fn line(&mut self, line: &Line) -> Result<(), ExportError> {
        let mut text =
            serde_json::to_vec(line).map_err(|error| ExportError::Write(io::Error::other(error)))?;
        text.push(b'\n');
        self.sum.update(&text);
        self.lines += 1;
        self.to.write_all(&text).map_err(ExportError::Write)
    }
}
