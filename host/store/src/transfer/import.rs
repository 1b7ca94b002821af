//! Reads a journal from text, into a folder that has none: all of it, or nothing.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read},
    path::Path,
    time::SystemTime,
};

use rusqlite::{Connection, Transaction};
use xxhash_rust::xxh3::Xxh3;

use super::{ClusterLine, EXPORT_VERSION, End, Header, ImportError, LINE_LIMIT, Line, ProviderLine};
use crate::{
    Entry, LIBRARIES_LIMIT, Numbered, OpenError,
    codec::{self, ClusterRow, CodecError, LibraryRow, Meta, NUMBER_LIMIT, ProviderRow, TERM_LIMIT},
    folder::{Folder, Lock},
    open, schema,
    table::{self, Table},
};

/// Makes a folder's journal of what [`export`](super::export) wrote. Its terms, and with them its launches' numbers, go on
/// behind those that hosts can have used since: with the seconds since 1970, by this machine's clock. The folder may exist, and must hold no journal, nor
/// what is left of one.
///
/// # Errors
///
/// [`ImportError`] names the line, where one is wrong. There is no journal in the folder then.
pub fn import(folder: &Path, text: &mut dyn Read) -> Result<(), ImportError> {
    let folder = Folder::make(folder)?;
    let _lock = Lock::take(&folder)?;
    if folder.has_file()? || folder.remains().is_some() {
        return Err(OpenError::Occupied { folder: folder.path.clone() }.into());
    }
    folder.clear_unfinished()?;
    let made = open::make(&folder, |connection| fill(connection, &folder, text));
    if made.is_err() {
        // What is in the way of that is in the next one's way as well, which says so.
        let _ = folder.clear_unfinished();
    }
    made
}

fn fill(connection: &Connection, folder: &Folder, text: &mut dyn Read) -> Result<(), ImportError> {
    let path = folder.unfinished();
    let failed = |error| ImportError::Open(OpenError::database("write", &path, error));
    let meta = schema::read_meta(connection).map_err(|error| OpenError::shape(&path, error))?;
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let mut import = Import {
        transaction,
        folder,
        meta,
        text: Text { from: BufReader::new(text), lines: 0, sum: Xxh3::new() },
        entries: 0,
        names: BTreeSet::new(),
    };
    import.run()?;
    let Import { transaction, meta, .. } = import;
    schema::write_meta(&transaction, &meta).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// A term later than those that hosts may have used after an export was made: the seconds since 1970. Only a journal that was
/// imported itself, and has claimed more clusters since than seconds went by, is further.
fn later_term() -> Result<u64, ImportError> {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if seconds >= TERM_LIMIT {
        return Err(ImportError::Clock { seconds });
    }
    Ok(seconds)
}

struct Import<'a> {
    transaction: Transaction<'a>,
    folder: &'a Folder,
    meta: Meta,
    text: Text<'a>,
    entries: u64,
    /// Of providers, libraries and clusters, each with its kind before it.
    names: BTreeSet<String>,
}

impl Import<'_> {
    fn run(&mut self) -> Result<(), ImportError> {
        let Some(Line::LongshoreJournal(Header { version, term, .. })) = self.text.line()? else {
            return Err(self.text.wrong("this is not an export of a journal"));
        };
        if version == 0 {
            return Err(self.text.wrong("it says that it is of version 0, which there never was"));
        }
        if version > EXPORT_VERSION {
            return Err(self.text.wrong(format!(
                "it is of version {version}, and this Longshore knows versions up to {EXPORT_VERSION}: use the one that \
                 wrote it, or a later one"
            )));
        }
        if term >= TERM_LIMIT {
            return Err(self
                .text
                .wrong(format!("its term {term} is larger than any can be; take another one")));
        }
        self.meta.term = term.max(later_term()?);
        let mut line = self.text.line()?;
        loop {
            line = match line {
                Some(Line::Provider(provider)) => {
                    self.provider(provider)?;
                    self.text.line()?
                }
                Some(Line::Library(library)) => {
                    self.library(&library)?;
                    self.text.line()?
                }
                Some(Line::Cluster(cluster)) => self.cluster(&cluster)?,
                Some(Line::End(end)) => return self.end(&end),
                other => return Err(self.text.unexpected(other.as_ref())),
            };
        }
    }

    fn put(&mut self, table: Table, key: table::Key, payload: &[u8]) -> Result<(), ImportError> {
        table::insert(&self.transaction, table, key, payload, &mut self.meta.total)
            .map_err(|error| OpenError::database("write", &self.folder.unfinished(), error).into())
    }

    fn encode<T: serde::Serialize>(&self, value: &T) -> Result<Vec<u8>, ImportError> {
        codec::encode(value).map_err(|why: CodecError| self.text.wrong(why))
    }

    fn next_id(&mut self, name: String) -> Result<u64, ImportError> {
        if let Some(name) = self.names.replace(name) {
            return Err(self.text.wrong(format!("{name} is there twice")));
        }
        self.meta.next_id += 1;
        Ok(self.meta.next_id - 1)
    }

    fn provider(&mut self, ProviderLine { name, definition }: ProviderLine) -> Result<(), ImportError> {
        let id = self.next_id(format!("provider {name}"))?;
        let payload = self.encode(&ProviderRow { name, definition })?;
        self.meta.providers += 1;
        self.put(Table::Providers, (id, 0), &payload)
    }

    fn library(&mut self, row: &LibraryRow) -> Result<(), ImportError> {
        let id = self.next_id(format!("library {}", row.hash))?;
        if self.meta.libraries >= LIBRARIES_LIMIT as u64 {
            return Err(self.text.wrong(format!("it is one library more than {LIBRARIES_LIMIT}")));
        }
        let payload = row.encode().map_err(|why| self.text.wrong(why))?;
        self.meta.libraries += 1;
        self.put(Table::Libraries, (id, 0), &payload)
    }

    /// Takes in a cluster, and gives back the line after it.
    fn cluster(&mut self, said: &ClusterLine) -> Result<Option<Line>, ImportError> {
        let id = self.next_id(format!("cluster {}", said.name))?;
        let is_sane = said.first >= 1
            && said.first <= said.last
            && said.upto <= said.last
            && said.first <= said.upto.saturating_add(1)
            && (said.upto > 0 || said.handles == 0)
            && said.last <= NUMBER_LIMIT
            && said.term < TERM_LIMIT;
        if !is_sane {
            return Err(self.text.wrong("its numbers contradict each other, or are larger than any can be"));
        }
        let mut row = ClusterRow {
            name: said.name.clone(),
            term: said.term,
            first: said.first,
            last: said.last,
            upto: said.upto,
            handles: said.handles,
            defined: said.definition.is_some(),
            ..ClusterRow::default()
        };
        if let Some(definition) = &said.definition {
            let payload = self.encode(&Entry::Defined(definition.clone()))?;
            self.put(Table::Definitions, (id, 0), &payload)?;
        }
        let line = self.snapshot(id, &mut row)?;
        let line = self.entries_of(id, &mut row, line)?;
        let payload = self.encode(&row)?;
        self.meta.clusters += 1;
        self.meta.term = self.meta.term.max(row.term);
        self.put(Table::Clusters, (id, 0), &payload)?;
        Ok(line)
    }

    fn snapshot(&mut self, id: u64, row: &mut ClusterRow) -> Result<Option<Line>, ImportError> {
        let line = self.text.line()?;
        if row.upto == 0 {
            return Ok(line);
        }
        let Some(Line::Snapshot(head)) = line else { return Err(self.text.unexpected(line.as_ref())) };
        let mut payload = self.encode(&head)?;
        let mut handles = 0;
        loop {
            self.put(Table::Parts, (id, row.parts), &payload)?;
            row.parts += 1;
            row.snapshot_bytes += payload.len() as u64;
            match self.text.line()? {
                Some(Line::Handles(some)) => {
                    handles += some.len() as u64;
                    payload = self.encode(&some)?;
                }
                line if handles == row.handles => return Ok(line),
                _ => {
                    let what =
                        format!("the snapshot before it has {handles} handles instead of {}", row.handles);
                    return Err(self.text.wrong(what));
                }
            }
        }
    }

    fn entries_of(
        &mut self,
        id: u64,
        row: &mut ClusterRow,
        mut line: Option<Line>,
    ) -> Result<Option<Line>, ImportError> {
        for expected in row.first..=row.last {
            let Some(Line::Entry(numbered)) = line else { return Err(self.text.unexpected(line.as_ref())) };
            let Numbered { number, entry } = *numbered;
            if number != expected {
                return Err(self.text.wrong(format!("it is entry {number}, and {expected} should be next")));
            }
            let payload = self.encode(&entry)?;
            self.put(Table::Entries, (id, number), &payload)?;
            row.bytes += payload.len() as u64;
            if number > row.upto {
                row.tail_bytes += payload.len() as u64;
            }
            self.entries += 1;
            line = self.text.line()?;
        }
        Ok(line)
    }

    fn end(&mut self, end: &End) -> Result<(), ImportError> {
        let found = End {
            lines: self.text.lines - 1,
            providers: self.meta.providers,
            libraries: self.meta.libraries,
            clusters: self.meta.clusters,
            entries: self.entries,
            // It was taken before this line was.
            sum: end.sum.clone(),
        };
        if found != *end {
            return Err(self.text.wrong(format!("it should be {end:?}, and what came before is {found:?}")));
        }
        if self.text.line()?.is_some() {
            return Err(self.text.wrong("there is more after the end"));
        }
        Ok(())
    }
}

/// The text, line by line.
struct Text<'a> {
    from: BufReader<&'a mut dyn Read>,
    lines: u64,
    /// Of all lines before the one that was read last.
    sum: Xxh3,
}

impl Text<'_> {
    /// The next line; nothing at the end of the text.
    fn line(&mut self) -> Result<Option<Line>, ImportError> {
        let mut text = vec![];
        self.lines += 1;
        let read = (&mut self.from).take(LINE_LIMIT).read_until(b'\n', &mut text);
        read.map_err(|source| ImportError::Read { line: self.lines, source })?;
        if text.is_empty() {
            return Ok(None);
        }
        if text.last() != Some(&b'\n') {
            let what = if text.len() as u64 == LINE_LIMIT { "it is too long" } else { "it is cut off" };
            return Err(self.wrong(format!("{what}: the export is not complete; take another one")));
        }
        let line: Line = serde_json::from_slice(&text)
            .map_err(|error| self.wrong(format!("it makes no sense: {error}")))?;
        if let Line::End(end) = &line
            && end.sum != format!("{:016x}", self.sum.digest())
        {
            return Err(self.wrong("what came before it has changed since it was exported; take another one"));
        }
        self.sum.update(&text);
        Ok(Some(line))
    }

    fn wrong(&self, what: impl Into<String>) -> ImportError {
        ImportError::Line { line: self.lines, what: what.into() }
    }

    fn unexpected(&self, line: Option<&Line>) -> ImportError {
        match line {
            Some(line) => self.wrong(format!("{} does not belong here", line.kind())),
            None => self.wrong("it is missing: the export is not complete; take another one"),
        }
    }
}
