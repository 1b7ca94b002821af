//! What is noted while a document is read and checked: where each key stands, and what is wrong with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::successors,
};

use crate::{
    error::{ConfigError, FAULTS_LIMIT, Fault, Faults},
    spot::{Spot, Table},
};

/// One of several texts under one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// Of a list, from 0.
    Number(usize),
    /// Of a table.
    Name(String),
}

/// The notes on one document. A document without lines, such as one from the wire, has no notes on lines.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    tables: BTreeMap<Table, usize>,
    keys: BTreeMap<Spot, usize>,
    entries: BTreeMap<(Spot, Entry), usize>,
    faulty: BTreeSet<Spot>,
    faults: Vec<Fault>,
}

impl Notes {
    pub(crate) fn table_is_in(&mut self, table: Table, line: usize) {
        self.tables.insert(table, line);
    }

    pub(crate) fn key_is_in(&mut self, spot: Spot, line: usize) {
        self.keys.insert(spot, line);
    }

    /// Notes the line of one of several texts under a key.
    pub(crate) fn entry_is_in(&mut self, spot: Spot, entry: Entry, line: usize) {
        self.entries.insert((spot, entry), line);
    }

    /// The line of a key that the document has.
    pub(crate) fn line_of(&self, spot: Spot) -> Option<usize> {
        self.keys.get(&spot).copied()
    }

    /// Whether the document has lines, and the key is on none of them.
    pub(crate) fn is_left_out(&self, spot: Spot) -> bool {
        !self.tables.is_empty() && !self.keys.contains_key(&spot)
    }

    /// Holds back further faults of a key: one is enough.
    pub(crate) fn set_faulty(&mut self, spot: Spot) {
        self.faulty.insert(spot);
    }

    pub(crate) fn is_faulty(&self, spot: Spot) -> bool {
        self.faulty.contains(&spot)
    }

    /// Notes that the value of a key is wrong. `what` follows on the key's name and place: "must be ...".
    pub(crate) fn wrong(&mut self, name: &str, spot: Spot, what: &str) {
        if self.is_faulty(spot) {
            return;
        }
        self.set_faulty(spot);
        let line = self.line_of(spot).or_else(|| self.line_of_table(spot.table));
        self.fault(name, spot.table, spot.key, line, &format!("`{}` in", spot.key), what);
    }

    /// Notes that one of several texts under a key is wrong. Other than of [`wrong`](Self::wrong), a key may have several.
    pub(crate) fn wrong_entry(&mut self, name: &str, spot: Spot, entry: Option<Entry>, what: &str) {
        let line = entry.and_then(|entry| self.entries.get(&(spot, entry)).copied());
        let line = line.or_else(|| self.line_of(spot)).or_else(|| self.line_of_table(spot.table));
        self.fault(name, spot.table, spot.key, line, &format!("`{}` in", spot.key), what);
    }

    /// Notes a fault of a key that may be none of ours: `"{head} {table}, line {line}{tail}"`, a blank before a word.
    pub(crate) fn fault(
        &mut self,
        name: &str,
        table: Table,
        key: &str,
        line: Option<usize>,
        head: &str,
        tail: &str,
    ) {
        let place = table.named(name);
        let message = match (line, tail.starts_with(';')) {
            (Some(line), true) => format!("{head} {place}, line {line}{tail}"),
            (Some(line), false) => format!("{head} {place}, line {line}, {tail}"),
            (None, true) => format!("{head} {place}{tail}"),
            (None, false) => format!("{head} {place} {tail}"),
        };
        self.push(format!("{}.{key}", table.path(name)), line, message);
    }

    pub(crate) fn push(&mut self, key: String, line: Option<usize>, message: String) {
        self.faults.push(Fault { key, line, message });
    }

    /// Whether there are as many faults as are told.
    pub(crate) fn is_full(&self) -> bool {
        self.faults.len() >= FAULTS_LIMIT
    }

    fn line_of_table(&self, table: Table) -> Option<usize> {
        let mut tables = successors(Some(table), |table| table.outer());
        tables.find_map(|table| self.tables.get(&table).copied())
    }

    /// The error, where something is wrong.
    pub(crate) fn into_result(self, origin: &str) -> Result<(), ConfigError> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.into_error(origin)) }
    }

    pub(crate) fn into_error(self, origin: &str) -> ConfigError {
        let mut list = self.faults;
        list.sort_by_key(|fault| fault.line);
        let more = list.len().saturating_sub(FAULTS_LIMIT);
        list.truncate(FAULTS_LIMIT);
        ConfigError::Wrong(Faults { origin: origin.to_owned(), list, more })
    }
}
