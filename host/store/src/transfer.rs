//! A journal as text, for `longshore state export` and `import`: a backup, and a way to another machine or version.
//!
//! An export is UTF-8, one JSON document a line:
//!
//! 1. `{"longshore_journal": {"version": 5, "written": TIME, "term": N}}`: what it is. `term` is the latest lease's, or
//!    that of the import which the journal began with.
//! 2. `{"provider": {"name", "definition"}}`: one a provider.
//! 3. `{"library": {"hash", "document"}}`: one a library that something is known of.
//! 4. For each cluster `{"cluster": {"name", "term", "first", "last", "upto", "handles", "definition"}}`; where it has a
//!    snapshot (`upto` is not 0), `{"snapshot": HEAD}` and then as many `{"handles": [...]}` as it takes; then
//!    `{"entry": {"number", ...}}` for each number from `first` to `last`.
//! 5. `{"end": {"lines", "providers", "libraries", "clusters", "entries", "sum"}}`: how many of each came before, and the XXH3 (64 bits,
//!    in hexadecimal) of all bytes before this line. Without it, an export is not complete.

mod export;
mod import;

use std::io;

use longshore_scaling::{KeptHandle, SnapshotHead};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{Numbered, OpenError, codec::LibraryRow};

pub use export::export;
pub use import::import;

/// The version of the text. Version 2 has the same lines as version 1, and clusters with servers in them, which whoever knows
/// version 1 alone must not take for damage. Version 3 has lines about libraries, version 4 clusters that move between
/// providers, and version 5 clusters that say what their providers are made of.
pub const EXPORT_VERSION: u32 = 5;

/// The longest line that is read, in bytes: what the largest payload can come to as text.
pub const LINE_LIMIT: u64 = 1 << 30;

/// A journal cannot be exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// It cannot be read, or is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The text cannot be written.
    #[error("the export cannot be written, and is not complete")]
    Write(#[source] io::Error),
}

/// A journal cannot be imported. There is none in the folder then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The folder cannot take it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The text cannot be read.
    #[error("line {line} of the export cannot be read")]
    Read {
        /// Which, from 1 on.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The machine's clock is wrong, so that no terms can be taken from it.
    #[error(
        "the clock says that {seconds} s have gone by since 1970, which is too many: set it right, and import again"
    )]
    Clock {
        /// Seconds since 1970.
        seconds: u64,
    },
    /// The text is not what was exported.
    #[error("line {line} of the export: {what}")]
    Line {
        /// Which, from 1 on.
        line: u64,
        /// What is wrong with it, and what to do.
        what: String,
    },
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    LongshoreJournal(Header),
    Provider(ProviderLine),
    Library(LibraryRow),
    Cluster(ClusterLine),
    Snapshot(Box<SnapshotHead>),
    Handles(Vec<KeptHandle>),
    Entry(Box<Numbered>),
    End(End),
}

impl Line {
    fn kind(&self) -> &'static str {
        match self {
            Self::LongshoreJournal(_) => "a header",
            Self::Provider(_) => "a provider",
            Self::Library(_) => "a library",
            Self::Cluster(_) => "a cluster",
            Self::Snapshot(_) => "a snapshot",
            Self::Handles(_) => "handles",
            Self::Entry(_) => "an entry",
            Self::End(_) => "the end",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    written: String,
    term: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProviderLine {
    name: String,
    definition: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClusterLine {
    name: String,
    term: u64,
    first: u64,
    last: u64,
    upto: u64,
    handles: u64,
    definition: Option<Value>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    lines: u64,
    providers: u64,
    /// Before version 3 there were none.
    #[serde(default)]
    libraries: u64,
    clusters: u64,
    entries: u64,
    sum: String,
}
