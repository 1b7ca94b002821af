//! Looks at every row of the file: whether it is whole, whether none is missing, doubled or old, and what there is. It
//! changes nothing, and tells of all damage that it finds, not only of the first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use rusqlite::Connection;

use crate::{
    Entry,
    codec::{self, ClusterRow, LibraryRow, Meta, NUMBER_LIMIT, ProviderRow, TERM_LIMIT},
    schema,
    table::{RowRef, Table, select},
};

/// How much damage is told of; what is beyond is counted.
pub const DAMAGE_LIMIT: usize = 200;

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where, in words: "entry 7 of cluster web".
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// All damage that was found, up to a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damages {
    /// The first [`DAMAGE_LIMIT`].
    pub first: Vec<Damage>,
    /// How many more there are.
    pub more: usize,
}

impl Damages {
    pub(crate) fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.first.len() < DAMAGE_LIMIT {
            self.first.push(Damage { place: place.into(), what: what.into() });
        } else {
            self.more += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Nothing where the meta row is damaged.
    pub(crate) meta: Option<Meta>,
    pub(crate) clusters: BTreeMap<u64, ClusterRow>,
    /// Names by id.
    pub(crate) providers: BTreeMap<u64, String>,
    /// Hashes by id.
    pub(crate) libraries: BTreeMap<u64, String>,
    pub(crate) damages: Damages,
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Checksums and counts.
    Sums,
    /// Each payload is decoded as well.
    Payloads,
}

const CHANGED: &str = "it has changed since it was written";

/// Looks at everything. The caller sees to it that nothing changes meanwhile.
pub(crate) fn scan(connection: &Connection, depth: Depth) -> Census {
    let mut scan = Scan { connection, depth, census: Census::default(), total: 0, found: BTreeMap::new() };
    scan.integrity();
    scan.meta();
    scan.clusters();
    scan.providers();
    scan.libraries();
    let mut defined = BTreeSet::new();
    scan.rows(Table::Definitions, |_, row| _ = defined.insert(row.key.0));
    scan.entries();
    scan.parts();
    scan.compare(&defined);
    scan.census
}

struct Scan<'a> {
    connection: &'a Connection,
    depth: Depth,
    census: Census,
    /// The sum of the checksums of all rows but the meta row.
    total: u64,
    /// What was found of each cluster.
    found: BTreeMap<u64, Found>,
}

/// What was found of a cluster.
#[derive(Debug, Default)]
struct Found {
    first: u64,
    last: u64,
    bytes: u64,
    tail_bytes: u64,
    parts: u64,
    part_bytes: u64,
}

impl Scan<'_> {
    fn integrity(&mut self) {
        let sql = format!("PRAGMA integrity_check({DAMAGE_LIMIT})");
        let found: rusqlite::Result<Vec<String>> = self
            .connection
            .prepare(&sql)
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect());
        match found {
            Ok(lines) if lines == ["ok"] => {}
            Ok(lines) => lines.into_iter().for_each(|line| self.census.damages.add("the file", line)),
            Err(error) => self.census.damages.add("the file", error.to_string()),
        }
    }

    fn meta(&mut self) {
        match schema::read_meta(self.connection) {
            Ok(meta) => self.census.meta = Some(meta),
            Err(schema::ShapeError::Corrupt(why)) => self.census.damages.add("the file", why),
            Err(schema::ShapeError::Sql(error)) => self.census.damages.add("the meta row", error.to_string()),
            Err(other) => self.census.damages.add("the meta row", format!("{other:?}")),
        }
        let count = self.connection.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0));
        if let Ok(count) = count
            && count != 1
        {
            self.census.damages.add("the file", format!("it has {count} meta rows instead of 1"));
        }
    }

    /// Goes through a table in the order of its keys. What cannot be read is told of, and what comes after it looked at
    /// none the less, from the next cluster on.
    fn rows(&mut self, table: Table, mut each: impl FnMut(&mut Self, RowRef<'_>)) {
        let first = table.key()[0];
        let sql = format!("{} WHERE {first} > ?1 ORDER BY {}", select(table), table.key().join(", "));
        let mut after: i64 = -1;
        loop {
            match self.rows_after(table, &sql, &mut after, &mut each) {
                Ok(()) => return,
                Err(error) => {
                    let place = format!("the table of {}", table.name());
                    self.census.damages.add(place, format!("it cannot be read after id {after}: {error}"));
                    // Each round ends a cluster later than the one before.
                    let next = self.census.clusters.keys().find(|id| id.cast_signed() > after);
                    let Some(next) = next.filter(|_| table.key().len() > 1) else { return };
                    after = next.cast_signed();
                }
            }
        }
    }

    fn rows_after(
        &mut self,
        table: Table,
        sql: &str,
        after: &mut i64,
        each: &mut impl FnMut(&mut Self, RowRef<'_>),
    ) -> rusqlite::Result<()> {
        let connection = self.connection;
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([*after])?;
        while let Some(row) = rows.next()? {
            let row = RowRef::of(row)?;
            *after = row.key.0.cast_signed();
            self.total = self.total.wrapping_add(row.sum);
            if !row.is_whole(table) {
                let place = self.place(table, row);
                self.census.damages.add(place, CHANGED);
            } else if row.format > table.format() {
                let place = self.place(table, row);
                let what = format!("it is of format {}, and {} is known", row.format, table.format());
                self.census.damages.add(place, what);
            }
            // A row that has changed is counted all the same, so that it is not said to be missing as well.
            each(self, row);
        }
        Ok(())
    }

    fn place(&self, table: Table, row: RowRef<'_>) -> String {
        let (id, second) = row.key;
        let cluster = || match self.census.clusters.get(&id) {
            Some(cluster) => format!("cluster {}", cluster.name),
            None => format!("a cluster of the id {id} that is not there"),
        };
        match table {
            Table::Meta => "the meta row".to_owned(),
            Table::Providers => format!("the provider of the id {id}"),
            Table::Clusters => format!("the cluster of the id {id}"),
            Table::Definitions => format!("the definition of {}", cluster()),
            Table::Entries => format!("entry {second} of {}", cluster()),
            Table::Parts => format!("part {second} of the snapshot of {}", cluster()),
            Table::Libraries => format!("the library of the id {id}"),
        }
    }

    fn clusters(&mut self) {
        let mut names = BTreeSet::new();
        self.rows(Table::Clusters, |scan, row| {
            if !row.is_whole(Table::Clusters) {
                return;
            }
            match codec::decode::<ClusterRow>(row.payload) {
                Ok(cluster) => {
                    if !names.insert(cluster.name.clone()) {
                        scan.census.damages.add(format!("cluster {}", cluster.name), "it is there twice");
                    }
                    scan.census.clusters.insert(row.key.0, cluster);
                }
                Err(why) => scan.undecodable(Table::Clusters, row, &why),
            }
        });
    }

    fn providers(&mut self) {
        let mut names = BTreeSet::new();
        self.rows(Table::Providers, |scan, row| {
            if !row.is_whole(Table::Providers) {
                return;
            }
            match codec::decode::<ProviderRow>(row.payload) {
                Ok(provider) => {
                    if !names.insert(provider.name.clone()) {
                        scan.census.damages.add(format!("provider {}", provider.name), "it is there twice");
                    }
                    scan.census.providers.insert(row.key.0, provider.name);
                }
                Err(why) => scan.undecodable(Table::Providers, row, &why),
            }
        });
    }

    fn libraries(&mut self) {
        let mut hashes = BTreeSet::new();
        self.rows(Table::Libraries, |scan, row| {
            if !row.is_whole(Table::Libraries) {
                return;
            }
            match codec::decode::<LibraryRow>(row.payload) {
                Ok(library) => {
                    if !hashes.insert(library.hash.clone()) {
                        scan.census.damages.add(format!("library {}", library.hash), "it is there twice");
                    }
                    scan.census.libraries.insert(row.key.0, library.hash);
                }
                Err(why) => scan.undecodable(Table::Libraries, row, &why),
            }
        });
    }

    fn entries(&mut self) {
        self.rows(Table::Entries, |scan, row| {
            let (id, number) = row.key;
            let upto = scan.census.clusters.get(&id).map_or(0, |cluster| cluster.upto);
            let found = scan.found.entry(id).or_default();
            let gap = found.last > 0 && number != found.last.saturating_add(1);
            let missing = (found.last.saturating_add(1), number.saturating_sub(1));
            if found.first == 0 {
                found.first = number;
            }
            found.last = number;
            found.bytes += row.payload.len() as u64;
            if number > upto {
                found.tail_bytes += row.payload.len() as u64;
            }
            if gap {
                let place = scan.place(Table::Entries, row);
                let what = format!("the entries {} to {} before it are missing", missing.0, missing.1);
                scan.census.damages.add(place, what);
            }
            if scan.depth == Depth::Payloads
                && row.is_whole(Table::Entries)
                && let Err(why) = codec::decode::<Entry>(row.payload)
            {
                scan.undecodable(Table::Entries, row, &why);
            }
        });
    }

    fn parts(&mut self) {
        self.rows(Table::Parts, |scan, row| {
            let (id, part) = row.key;
            let found = scan.found.entry(id).or_default();
            let expected = found.parts;
            found.parts += 1;
            found.part_bytes += row.payload.len() as u64;
            if part != expected {
                let place = scan.place(Table::Parts, row);
                scan.census.damages.add(place, "a part before it is missing");
            }
            if scan.depth == Depth::Payloads
                && row.is_whole(Table::Parts)
                && let Err(why) = codec::decode_part(part, row.payload)
            {
                scan.undecodable(Table::Parts, row, &why);
            }
        });
    }

    fn undecodable(&mut self, table: Table, row: RowRef<'_>, why: &str) {
        let place = self.place(table, row);
        self.census.damages.add(place, format!("it makes no sense: {why}"));
    }

    /// What was found, beside what the cluster rows and the meta row say.
    fn compare(&mut self, defined: &BTreeSet<u64>) {
        let Census { meta, clusters, providers, libraries, damages } = &mut self.census;
        let empty = Found::default();
        for (id, cluster) in &*clusters {
            let found = self.found.get(id).unwrap_or(&empty);
            let place = format!("cluster {}", cluster.name);
            let mut differ = |what: &str, is: u64, should: u64| {
                if is != should {
                    damages.add(place.as_str(), format!("{what}: {is} instead of {should}"));
                }
            };
            differ("the first entry", found.first, cluster.first);
            differ("the last entry", found.last, cluster.last);
            differ("bytes of its entries", found.bytes, cluster.bytes);
            differ("bytes of its entries after the snapshot", found.tail_bytes, cluster.tail_bytes);
            differ("parts of its snapshot", found.parts, cluster.parts);
            differ("bytes of its snapshot", found.part_bytes, cluster.snapshot_bytes);
            differ("definitions", u64::from(defined.contains(id)), u64::from(cluster.defined));
            if cluster.upto > cluster.last || cluster.first > cluster.upto.saturating_add(1) {
                damages.add(place.as_str(), "its entries do not follow its snapshot");
            }
            if cluster.last > NUMBER_LIMIT || cluster.term >= TERM_LIMIT || *id > NUMBER_LIMIT {
                damages.add(place.as_str(), "a number of it is larger than any can be");
            }
        }
        for id in self.found.keys().chain(defined).filter(|id| !clusters.contains_key(id)) {
            damages.add(format!("the cluster of the id {id}"), "it is missing, and something of it is there");
        }
        let Some(meta) = meta else { return };
        for (what, is, should) in [
            ("clusters", clusters.len(), meta.clusters),
            ("providers", providers.len(), meta.providers),
            ("libraries", libraries.len(), meta.libraries),
        ] {
            if is as u64 != should {
                damages.add("the file", format!("it has {is} {what} instead of {should}"));
            }
        }
        if meta.term >= TERM_LIMIT || meta.commits.max(meta.next_id) > NUMBER_LIMIT {
            damages.add("the meta row", "a number of it is larger than any can be");
        }
        if clusters.values().any(|cluster| cluster.term > meta.term) {
            damages.add("the meta row", "a cluster has a later term than the file");
        }
        let ids = clusters.keys().chain(providers.keys()).chain(libraries.keys());
        let latest = ids.max();
        if latest.is_some_and(|latest| *latest >= meta.next_id) {
            damages.add("the meta row", "it is older than the rest of the file");
        }
        // Only where nothing else tells what it is: this does not say where.
        if damages.is_empty() && self.total != meta.total {
            damages.add("the file", "a row of it is older than the others");
        }
    }
}
