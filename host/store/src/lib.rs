//! The journal: where a cluster's records are kept, so that what was decided outlives the decision's host.
//!
//! A host writes an intent here before it acts on it. [`Journal`] says what a journal is; [`SqliteJournal`] keeps one in a
//! folder, or in memory for a host that may forget.

mod check;
mod codec;
mod error;
mod folder;
mod journal;
mod ledger;
mod open;
mod scan;
mod schema;
mod sqlite;
mod table;
mod transfer;
mod witness;
mod writer;

pub use check::{CheckReport, ClusterReport, check};
pub use codec::{PART_HANDLES, PAYLOAD_LIMIT};
pub use error::{JournalError, JournalErrorKind, Subject};
pub use folder::{FILE, Holder, LOCK, WITNESS};
pub use journal::{Appended, Claimed, Entry, Journal, Journaling, Kept, Lease, Numbered};
pub use ledger::{CLAIMS_LIMIT, COMPACT_BYTES, COMPACT_ENTRIES, HISTORY_BYTES, HISTORY_ENTRIES};
pub use open::OpenError;
pub use scan::{DAMAGE_LIMIT, Damage, Damages};
pub use schema::FORMAT;
pub use sqlite::{CLOSE_LIMIT, QUEUE, SqliteJournal};
pub use transfer::{EXPORT_VERSION, ExportError, ImportError, LINE_LIMIT, export, import};
pub use writer::{
    GROUP_BYTES, GROUP_OPERATIONS, IDLE, SLACK_PAGES, VACUUM_PAGES, WAL_PAGES, WITNESS_COMMITS,
};
