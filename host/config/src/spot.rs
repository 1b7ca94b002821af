//! Where in a document something stands: named the same way in messages, in a fault's key and in the notes on lines.

use std::fmt;

use crate::keys::{self, Sections};

/// The two kinds of tables that a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Provider,
    Cluster,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Provider, Self::Cluster];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Cluster => "cluster",
        }
    }

    /// The keys of such a table, its sections included.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Provider => keys::PROVIDER,
            Self::Cluster => keys::CLUSTER,
        }
    }

    /// Its sections, with their keys.
    pub(crate) fn sections(self) -> Sections {
        match self {
            Self::Provider => keys::PROVIDER_SECTIONS,
            Self::Cluster => keys::CLUSTER_SECTIONS,
        }
    }
}

/// A table: the `[[provider]]` or `[[cluster]]` of an index, or one of the sections in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Table {
    pub(crate) kind: Kind,
    /// From 0, in the document's order.
    pub(crate) index: usize,
    /// Such as `container` for `[cluster.container]`, or `server.container` for `[cluster.server.container]`.
    pub(crate) section: Option<&'static str>,
}

impl Table {
    pub(crate) fn new(kind: Kind, index: usize) -> Self {
        Self { kind, index, section: None }
    }

    /// A section of this table.
    pub(crate) fn section(self, key: &'static str) -> Self {
        let inner = |outer: &str| {
            let is_it =
                |name: &&str| name.strip_prefix(outer).and_then(|rest| rest.strip_prefix('.')) == Some(key);
            self.kind.sections().iter().map(|(name, _)| *name).find(is_it)
        };
        Self { section: Some(self.section.and_then(inner).unwrap_or(key)), ..self }
    }

    /// The table that this one is a section of.
    pub(crate) fn outer(self) -> Option<Self> {
        let section = self.section?;
        Some(Self { section: section.rsplit_once('.').map(|(outer, _)| outer), ..self })
    }

    pub(crate) fn key(self, key: &'static str) -> Spot {
        Spot { table: self, key }
    }

    /// The table's name for a person. A `name` that is not known is empty.
    pub(crate) fn named(self, name: &str) -> Named<'_> {
        Named { table: self, name }
    }

    /// The table's path, such as `cluster.web.container`.
    pub(crate) fn path(self, name: &str) -> String {
        let mut path = match name {
            "" => format!("{}.{}", self.kind.word(), self.index + 1),
            name => format!("{}.{}", self.kind.word(), short(name)),
        };
        if let Some(section) = self.section {
            path.push('.');
            path.push_str(section);
        }
        path
    }
}

/// A key in a table, whether the document has it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) table: Table,
    pub(crate) key: &'static str,
}

/// Displays as `[[cluster]] "web"` or `[cluster.container] of cluster "web"`.
pub(crate) struct Named<'a> {
    table: Table,
    name: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.table.kind.word();
        match self.table.section {
            None => write!(f, "[[{kind}]] ")?,
            Some(section) => write!(f, "[{kind}.{section}] of {kind} ")?,
        }
        match self.name {
            "" => write!(f, "number {}", self.table.index + 1),
            name => write!(f, "\"{}\"", short(name)),
        }
    }
}

/// Text of a document, fit for a message: bounded, on one line, without control characters.
pub(crate) fn short(text: &str) -> String {
    clipped(text, 80)
}

/// As [`short`], with a limit of its own in characters.
pub(crate) fn clipped(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (at, character) in text.chars().enumerate() {
        if at == limit {
            out.push_str("...");
            break;
        }
        if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
    }
    out
}
