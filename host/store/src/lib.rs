//! The journal: where a cluster's records are kept, so that what was decided outlives the decision's host.
//!
//! A host writes an intent here before it acts on it. [`Journal`] says what a journal is; [`SqliteJournal`] keeps one in a
//! folder, or in memory for a host that may forget. [`check`], [`export`] and [`import`] look at a folder without a host.
//!
//! # What damage comes to
//!
//! A folder holds the journal (`journal.db`), its log (`journal.db-wal`, while a host runs or after it was killed), the
//! witness (`head`: how many commits were acknowledged) and the lock. When a journal is opened, all of it is read first. It
//! then is what it was, or is refused with an error and left alone:
//!
//! | what happens | what comes of it |
//! |---|---|
//! | the host is killed, at any moment | nothing: what was acknowledged is there, the rest is there as a whole or not at all |
//! | the power fails | the same, as far as the disk keeps what it said was written |
//! | a byte of the file changes | an error; nothing where that byte was free, or is in the log as well |
//! | the file is cut short, emptied, deleted | an error; nothing where the end that is missing was free |
//! | the log is changed, cut short, emptied, deleted | an error: the witness knows of more commits |
//! | an older copy of the file, or of the log, is put back | an error, by the witness; nothing where the log has all that differs |
//! | rows are lost, doubled, or put back as they were | an error, by the sum in the meta row |
//! | the witness is changed, cut short, deleted | a warning; it is made anew |
//! | the witness is older than the journal | nothing: it says less than it could |
//! | files of two folders are mixed | an error |
//! | the folder, its journal, log or lock is removed or replaced under a host | an error for all that it is asked, from then on; it works again where the very same files are put back |
//! | a second host comes in, because the lock was removed | what it claims is its own; the first is fenced, wholly and for ever |
//! | a number is larger than any can be | an error, when it is opened or imported |
//! | the disk is full, or may not be written | an error for what was to be written; it works again once that is mended |
//!
//! What cannot be told, because nothing is left that could tell:
//!
//! - The whole folder as it once was, witness and all, put in the place of what there is; or all of it deleted, so that it looks
//!   new. The same goes for two things at once: an older file put back and the witness deleted. Workers launched since then
//!   are found by the provider's `list`, where it has one, and are not in the state. Their terms are given out again as well, and
//!   with them the numbers of launches: a provider that knows launches by their tokens may take a new launch for one of those.
//!   So a backup is best an [`export`]: [`import`] lets the terms go on with the seconds since 1970, behind all that were used
//!   meanwhile, unless the clock is wrong, or a journal that was imported itself has claimed more clusters since than seconds
//!   went by. Where the file alone is put back by hand, the witness beside it refuses it; where the whole folder was restored,
//!   with the witness, nobody can tell.
//! - Files that are removed or replaced in the instant between the look at them and the commit: what is acknowledged then is where
//!   they went.
//! - After a loss of power alone: the witness may have fallen back to what it said up to [`IDLE`] after the last pause, or
//!   [`WITNESS_COMMITS`] commits ago, since it is not brought to the disk with each commit. Damage to the log that comes on top of
//!   that, behind what it says, is taken for the log's end. Nothing is lost by the loss of power itself.
//! - A disk that says that it has written what it has not, and forgets the witness with it.
//!
//! The folder belongs on a local disk: locks and the log's index do not work over a network.

mod check;
mod codec;
mod error;
mod folder;
mod guard;
mod journal;
mod ledger;
mod open;
mod scan;
mod schema;
mod sqlite;
mod table;
mod transfer;
mod upkeep;
mod witness;
mod writer;

pub use check::{CheckReport, ClusterReport, check};
pub use codec::{LIBRARY_BYTES, NUMBER_LIMIT, PART_HANDLES, PAYLOAD_LIMIT, TERM_LIMIT};
pub use error::{JournalError, JournalErrorKind, Subject};
pub use folder::{FILE, Holder, LOCK, WITNESS};
pub use journal::{Appended, Claimed, Entry, Journal, Journaling, Kept, Lease, Numbered};
pub use ledger::{
    CLAIMS_LIMIT, COMPACT_BYTES, COMPACT_ENTRIES, HISTORY_BYTES, HISTORY_ENTRIES, LIBRARIES_LIMIT,
};
pub use open::OpenError;
pub use scan::{DAMAGE_LIMIT, Damage, Damages};
pub use schema::FORMAT;
pub use sqlite::{CLOSE_LIMIT, QUEUE, SqliteJournal};
pub use transfer::{EXPORT_VERSION, ExportError, ImportError, LINE_LIMIT, export, import};
pub use upkeep::{SLACK_PAGES, VACUUM_PAGES};
pub use writer::{GROUP_BYTES, GROUP_OPERATIONS, IDLE, WAL_PAGES, WITNESS_COMMITS};
