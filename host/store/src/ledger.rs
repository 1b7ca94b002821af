//! What the writer does inside a transaction, with what it keeps in memory to do it: the rows of all clusters and the ids of
//! all providers and libraries. An operation that is refused has changed nothing; one that breaks takes its transaction back, and
//! [`Ledger::undo`] the memory with it.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::Connection;

mod libraries;

use crate::{
    Appended, JournalError, JournalErrorKind, Lease,
    codec::{self, ClusterRow, EncodedEntry, EncodedSnapshot, Meta, ProviderRow, TERM_LIMIT},
    scan::Census,
    schema,
    table::{self, Row, RowRef, Table},
};

/// A snapshot is due when this many entries came after the last one, and they are as large as it...
pub const COMPACT_ENTRIES: u64 = 4_096;
/// ...or when they have this many bytes, and are as large as it.
pub const COMPACT_BYTES: u64 = 256 << 10;
/// Entries of a cluster that stay for its history when a snapshot is taken.
pub const HISTORY_ENTRIES: u64 = 10_000;
/// Their bytes at most; the latest entry stays however large it is.
pub const HISTORY_BYTES: u64 = 4 << 20;
/// Claims of clusters without entries that are remembered; beyond that the oldest end.
pub const CLAIMS_LIMIT: usize = 100_000;
/// Libraries that something is known of; one more is refused.
pub const LIBRARIES_LIMIT: usize = 4_096;

/// Why an operation was not done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is refused, by itself; nothing has changed.
    Refused(JournalErrorKind, String),
    /// The database failed; the transaction has to go.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

type Outcome<T> = Result<T, Fault>;

fn damaged(what: impl Into<String>) -> Fault {
    Fault::Refused(JournalErrorKind::Damaged, what.into())
}

/// What a journal holds of a cluster, not decoded yet.
#[derive(Debug, Default)]
pub(crate) struct RawKept {
    pub(crate) definition: Option<Vec<u8>>,
    pub(crate) snapshot: Option<EncodedSnapshot>,
    pub(crate) tail: Vec<(u64, Vec<u8>)>,
}

/// A cluster as it is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cluster {
    id: u64,
    row: ClusterRow,
}

#[derive(Debug)]
enum Undo {
    Cluster(Arc<str>, Option<Cluster>),
    Provider(String, Option<u64>),
    Library(String, Option<u64>),
    Claim(Arc<str>, Option<u64>),
}

/// The memory of the writer.
#[derive(Debug)]
pub(crate) struct Ledger {
    meta: Meta,
    clusters: BTreeMap<Arc<str>, Cluster>,
    providers: BTreeMap<String, u64>,
    libraries: BTreeMap<String, u64>,
    /// The terms of clusters that were claimed and have no entries yet.
    claims: BTreeMap<Arc<str>, u64>,
    /// How it was before the transaction.
    meta_before: Meta,
    undo: Vec<Undo>,
}

impl Ledger {
    /// The memory of a file in which nothing is damaged.
    pub(crate) fn new(meta: Meta, census: Census) -> Self {
        let clusters = census.clusters.into_iter();
        let clusters =
            clusters.map(|(id, row)| (Arc::from(row.name.as_str()), Cluster { id, row })).collect();
        let by_name = |names: BTreeMap<u64, String>| names.into_iter().map(|(id, name)| (name, id)).collect();
        Self {
            meta_before: meta.clone(),
            meta,
            clusters,
            providers: by_name(census.providers),
            libraries: by_name(census.libraries),
            claims: BTreeMap::new(),
            undo: vec![],
        }
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Writes the meta row, as the last thing of a transaction that changed something; tells whether it did.
    pub(crate) fn finish(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.undo.is_empty() && self.meta == self.meta_before {
            return Ok(false);
        }
        self.meta.commits += 1;
        schema::write_meta(connection, &self.meta)?;
        Ok(true)
    }

    /// The transaction is durable.
    pub(crate) fn settle(&mut self) {
        self.undo.clear();
        self.meta_before = self.meta.clone();
    }

    /// The transaction has not been.
    pub(crate) fn undo(&mut self) {
        while let Some(step) = self.undo.pop() {
            match step {
                Undo::Cluster(name, before) => put(&mut self.clusters, name, before),
                Undo::Provider(name, before) => put(&mut self.providers, name, before),
                Undo::Library(hash, before) => put(&mut self.libraries, hash, before),
                Undo::Claim(name, before) => put(&mut self.claims, name, before),
            }
        }
        self.meta = self.meta_before.clone();
    }

    fn set_cluster(&mut self, name: &Arc<str>, cluster: Option<Cluster>) {
        let before = self.clusters.get(name).cloned();
        put(&mut self.clusters, Arc::clone(name), cluster);
        self.undo.push(Undo::Cluster(Arc::clone(name), before));
    }

    fn set_claim(&mut self, name: &Arc<str>, term: Option<u64>) {
        let before = self.claims.get(name).copied();
        put(&mut self.claims, Arc::clone(name), term);
        self.undo.push(Undo::Claim(Arc::clone(name), before));
    }

    fn next_id(&mut self) -> u64 {
        let id = self.meta.next_id;
        self.meta.next_id += 1;
        id
    }

    /// Writes a cluster's row, to the file and to memory.
    fn write_cluster(
        &mut self,
        connection: &Connection,
        name: &Arc<str>,
        cluster: Cluster,
    ) -> rusqlite::Result<()> {
        let payload = codec::encode(&cluster.row).map_err(unwritable)?;
        table::replace(connection, Table::Clusters, (cluster.id, 0), &payload, &mut self.meta.total)?;
        self.set_cluster(name, Some(cluster));
        Ok(())
    }

    pub(crate) fn providers(&self, connection: &Connection) -> Outcome<Vec<(String, serde_json::Value)>> {
        let mut all = Vec::with_capacity(self.providers.len());
        for (name, id) in &self.providers {
            let rows = read(connection, Table::Providers, "WHERE id = ?1", &[*id])?;
            let [row] = rows.as_slice() else {
                return Err(damaged(format!("the definition of provider {name} is missing")));
            };
            let row: ProviderRow = codec::decode(&row.payload)
                .map_err(|why| damaged(format!("the definition of provider {name} makes no sense: {why}")))?;
            all.push((row.name, row.definition));
        }
        Ok(all)
    }

    pub(crate) fn define_provider(
        &mut self,
        connection: &Connection,
        name: &str,
        payload: Option<&[u8]>,
    ) -> Outcome<()> {
        let known = self.providers.get(name).copied();
        let id = match (known, payload) {
            (None, None) => return Ok(()),
            (Some(id), None) => {
                table::delete(connection, Table::Providers, "id = ?1", &[id], &mut self.meta.total)?;
                self.meta.providers -= 1;
                None
            }
            (known, Some(payload)) => {
                let id = known.unwrap_or_else(|| self.next_id());
                table::replace(connection, Table::Providers, (id, 0), payload, &mut self.meta.total)?;
                self.meta.providers += u64::from(known.is_none());
                Some(id)
            }
        };
        put(&mut self.providers, name.to_owned(), id);
        self.undo.push(Undo::Provider(name.to_owned(), known));
        Ok(())
    }

    pub(crate) fn clusters(&self) -> Vec<String> {
        self.clusters.keys().map(|name| name.as_ref().to_owned()).collect()
    }

    pub(crate) fn claim(&mut self, connection: &Connection, name: &Arc<str>) -> Outcome<(Lease, RawKept)> {
        let cluster = self.clusters.get(name).cloned();
        // Read before anything is written: what is damaged refuses the claim, and nothing else.
        let kept = match &cluster {
            Some(cluster) => read_kept(connection, cluster)?,
            None => RawKept::default(),
        };
        let Some(term) = self.meta.term.checked_add(1).filter(|term| *term < TERM_LIMIT) else {
            let why = "all terms of this journal are used up; begin with an empty state folder, and take the running cluster \
                       over with `longshore reconnect`";
            return Err(Fault::Refused(JournalErrorKind::Failed, why.to_owned()));
        };
        self.meta.term = term;
        if let Some(mut cluster) = cluster {
            cluster.row.term = term;
            self.write_cluster(connection, name, cluster)?;
        } else {
            if self.claims.len() >= CLAIMS_LIMIT {
                let oldest = self.claims.iter().min_by_key(|(_, term)| **term);
                if let Some(oldest) = oldest.map(|(name, _)| Arc::clone(name)) {
                    self.set_claim(&oldest, None);
                }
            }
            self.set_claim(name, Some(term));
        }
        Ok((Lease { cluster: Arc::clone(name), term }, kept))
    }

    /// The cluster that a lease is good for; nothing where it has no entries yet.
    fn held(&self, lease: &Lease) -> Outcome<Option<Cluster>> {
        let cluster = self.clusters.get(&lease.cluster);
        let term =
            cluster.map(|cluster| cluster.row.term).or_else(|| self.claims.get(&lease.cluster).copied());
        match term {
            Some(term) if term == lease.term => Ok(cluster.cloned()),
            Some(term) => Err(Fault::Refused(
                JournalErrorKind::Fenced,
                format!(
                    "it was claimed by a later host, which writes it now (term {term}; the lease here has term {}); leave \
                     the cluster to that one",
                    lease.term
                ),
            )),
            None => Err(Fault::Refused(
                JournalErrorKind::Fenced,
                format!(
                    "the lease with term {} is over: the cluster was removed since, or never claimed; claim it anew",
                    lease.term
                ),
            )),
        }
    }

    pub(crate) fn append(
        &mut self,
        connection: &Connection,
        lease: &Lease,
        entries: &[EncodedEntry],
    ) -> Outcome<Appended> {
        let held = self.held(lease)?;
        if entries.is_empty() {
            return Ok(Appended { compaction_due: held.is_some_and(|cluster| is_due(&cluster.row)) });
        }
        let mut cluster = if let Some(cluster) = held {
            cluster
        } else {
            self.set_claim(&lease.cluster, None);
            self.meta.clusters += 1;
            let row = ClusterRow {
                name: lease.cluster.as_ref().to_owned(),
                term: lease.term,
                first: 1,
                ..ClusterRow::default()
            };
            Cluster { id: self.next_id(), row }
        };
        for entry in entries {
            cluster.row.last += 1;
            let (id, number, payload) = (cluster.id, cluster.row.last, &entry.payload);
            table::insert(connection, Table::Entries, (id, number), payload, &mut self.meta.total)?;
            cluster.row.bytes += payload.len() as u64;
            cluster.row.tail_bytes += payload.len() as u64;
        }
        if let Some(definition) = entries.iter().rev().find(|entry| entry.is_definition) {
            let key = (cluster.id, 0);
            table::replace(connection, Table::Definitions, key, &definition.payload, &mut self.meta.total)?;
            cluster.row.defined = true;
        }
        let compaction_due = is_due(&cluster.row);
        self.write_cluster(connection, &lease.cluster, cluster)?;
        Ok(Appended { compaction_due })
    }

    pub(crate) fn compact(
        &mut self,
        connection: &Connection,
        lease: &Lease,
        snapshot: &EncodedSnapshot,
    ) -> Outcome<()> {
        let Some(mut cluster) = self.held(lease)? else {
            let why = "it has no entries that a snapshot could stand for; append one first";
            return Err(Fault::Refused(JournalErrorKind::Failed, why.to_owned()));
        };
        let total = &mut self.meta.total;
        table::delete(connection, Table::Parts, "cluster = ?1", &[cluster.id], total)?;
        for (part, payload) in snapshot.parts.iter().enumerate() {
            table::insert(connection, Table::Parts, (cluster.id, part as u64), payload, total)?;
        }
        let row = &mut cluster.row;
        row.parts = snapshot.parts.len() as u64;
        row.handles = snapshot.handles;
        row.snapshot_bytes = snapshot.parts.iter().map(|part| part.len() as u64).sum();
        row.upto = row.last;
        row.tail_bytes = 0;
        let keep_from = history_begins(connection, cluster.id, row)?;
        if keep_from > row.first {
            let values = [cluster.id, keep_from];
            let condition = "cluster = ?1 AND number < ?2";
            let dropped = table::delete(connection, Table::Entries, condition, &values, total)?;
            row.bytes -= dropped.bytes;
            row.first = keep_from;
        }
        self.write_cluster(connection, &lease.cluster, cluster)?;
        Ok(())
    }

    pub(crate) fn history(
        &self,
        connection: &Connection,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Outcome<Vec<(u64, Vec<u8>)>> {
        let Some(cluster) = self.clusters.get(name) else { return Ok(vec![]) };
        let end = before.map_or(cluster.row.last, |before| before.saturating_sub(1)).min(cluster.row.last);
        let begin = (end + 1).saturating_sub(limit as u64).max(cluster.row.first);
        read_entries(connection, cluster.id, begin, end)
    }

    pub(crate) fn remove(&mut self, connection: &Connection, lease: &Lease) -> Outcome<()> {
        let Some(cluster) = self.held(lease)? else {
            self.set_claim(&lease.cluster, None);
            return Ok(());
        };
        for table in [Table::Entries, Table::Parts, Table::Definitions] {
            table::delete(connection, table, "cluster = ?1", &[cluster.id], &mut self.meta.total)?;
        }
        table::delete(connection, Table::Clusters, "id = ?1", &[cluster.id], &mut self.meta.total)?;
        self.meta.clusters -= 1;
        self.set_cluster(&lease.cluster, None);
        Ok(())
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => _ = map.insert(key, value),
        None => _ = map.remove(&key),
    }
}

fn unwritable(why: codec::CodecError) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(why.into())
}

/// Whether a snapshot would be worth its while: what it replaces is as large as the last one was, so that over time as much
/// is written for snapshots as for entries.
fn is_due(row: &ClusterRow) -> bool {
    let entries = row.last - row.upto;
    row.tail_bytes >= row.snapshot_bytes && (entries >= COMPACT_ENTRIES || row.tail_bytes >= COMPACT_BYTES)
}

/// The first entry that stays for the history.
fn history_begins(connection: &Connection, id: u64, row: &ClusterRow) -> rusqlite::Result<u64> {
    let mut begin = row.first.max((row.last + 1).saturating_sub(HISTORY_ENTRIES));
    if begin == row.first && row.bytes <= HISTORY_BYTES {
        return Ok(begin);
    }
    let sql = "SELECT number, length(payload) FROM entries WHERE cluster = ?1 ORDER BY number DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id.cast_signed()])?;
    let mut bytes = 0;
    while let Some(row_found) = rows.next()? {
        let number = row_found.get::<_, i64>(0)?.cast_unsigned();
        bytes += row_found.get::<_, i64>(1)?.cast_unsigned();
        if bytes > HISTORY_BYTES && number != row.last {
            begin = begin.max(number + 1);
            break;
        }
        if number <= begin {
            break;
        }
    }
    Ok(begin)
}

/// Reads rows, each of which must be whole.
fn read(connection: &Connection, table: Table, condition: &str, values: &[u64]) -> Outcome<Vec<Row>> {
    let sql = format!("{} {condition}", table::select(table));
    let mut statement = connection.prepare_cached(&sql)?;
    let values = values.iter().map(|value| value.cast_signed());
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        let row = RowRef::of(row)?;
        if !row.is_whole(table) {
            let name = table.name();
            return Err(damaged(format!(
                "a row of its {name} ({:?}) has changed since it was written",
                row.key
            )));
        }
        found.push(row.to_owned());
    }
    Ok(found)
}

fn read_entries(connection: &Connection, id: u64, begin: u64, end: u64) -> Outcome<Vec<(u64, Vec<u8>)>> {
    let condition = "WHERE cluster = ?1 AND number BETWEEN ?2 AND ?3 ORDER BY number";
    let rows = read(connection, Table::Entries, condition, &[id, begin, end])?;
    let mut expected = begin..=end;
    if !rows.iter().all(|row| expected.next() == Some(row.key.1)) || expected.next().is_some() {
        return Err(damaged(format!("entries between {begin} and {end} are missing")));
    }
    Ok(rows.into_iter().map(|row| (row.key.1, row.payload)).collect())
}

fn read_kept(connection: &Connection, cluster: &Cluster) -> Outcome<RawKept> {
    let (id, row) = (cluster.id, &cluster.row);
    let mut definitions = read(connection, Table::Definitions, "WHERE cluster = ?1", &[id])?;
    let definition = definitions.pop().map(|row| row.payload);
    if definition.is_some() != row.defined {
        return Err(damaged("its definition is missing"));
    }
    let parts = read(connection, Table::Parts, "WHERE cluster = ?1 ORDER BY part", &[id])?;
    if parts.len() as u64 != row.parts {
        return Err(damaged(format!("its snapshot has {} parts instead of {}", parts.len(), row.parts)));
    }
    let parts: Vec<_> = parts.into_iter().map(|part| part.payload).collect();
    let snapshot = (!parts.is_empty()).then_some(EncodedSnapshot { parts, handles: row.handles });
    let tail = read_entries(connection, id, row.upto + 1, row.last)?;
    Ok(RawKept { definition, snapshot, tail })
}

/// Turns a fault into what the caller is told.
pub(crate) fn explain(
    fault: Fault,
    subject: crate::Subject,
    action: &'static str,
    file: &str,
) -> JournalError {
    let (kind, reason) = match fault {
        Fault::Refused(JournalErrorKind::Damaged, why) => (
            JournalErrorKind::Damaged,
            format!("{why}; `longshore state check` tells of all that is damaged in {file}"),
        ),
        Fault::Refused(kind, why) => (kind, why),
        Fault::Broken(error) => broken(&error, file),
    };
    JournalError { subject, action, kind, reason }
}

fn broken(error: &rusqlite::Error, file: &str) -> (JournalErrorKind, String) {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        None if matches!(error, rusqlite::Error::InvalidColumnType(..)) => (
            JournalErrorKind::Damaged,
            format!("{file} is damaged ({error}); `longshore state check` tells where"),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            JournalErrorKind::Failed,
            format!(
                "another program holds {file} ({error}), which a host alone may write; end it, and it works again"
            ),
        ),
        Some(ErrorCode::DiskFull) => (
            JournalErrorKind::NoRoom,
            format!("there is no room left on the disk of {file}; free some, and it works again"),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            JournalErrorKind::Damaged,
            format!("{file} is damaged ({error}); `longshore state check` tells where"),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => (
            JournalErrorKind::Failed,
            format!(
                "the system does not let it be written ({error}); look at who may write {file} and its folder"
            ),
        ),
        _ => (JournalErrorKind::Failed, format!("the disk or the system failed at {file} ({error})")),
    }
}
