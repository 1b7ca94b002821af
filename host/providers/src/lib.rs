//! Finds, checks, loads and calls provider plugins.
//!
//! [`locate`] finds a plugin's file in the folders of a [`SearchPath`] or on the [`Shelf`], [`verify`] holds it to what is demanded
//! of it, [`Library`] loads it, [`Provider`] is an instance of it, and [`Call`] is one call on its way. All of the host's unsafe code is here. Nothing here knows what a cluster should look like.

mod call;
mod check;
mod control;
mod discover;
mod error;
mod examine;
mod image;
mod instance;
mod library;
mod locate;
mod log;
mod pool;
mod private_copy;
mod provider;
mod registry;
mod schema;
mod shelf;
mod verify;
mod watch;

pub use call::{Call, CallScope};
pub use check::{Launched, MAX_HANDLE_BYTES};
pub use discover::{Candidate, NotFound, PATH_VARIABLE, Place, SearchPath, named_plugin};
pub use error::{
    CallError, ConfigError, CreateError, Function, LoadError, LoadErrorKind, NotSent, Violation,
    check_command,
};
pub use examine::{Examine, InThisProcess};
pub use library::Library;
pub use locate::{Located, locate};
pub use log::{MAX_LINE_BYTES, TARGET as LOG_TARGET, Veil, Veiled};
pub use pool::{CallLimits, ProviderLoad};
pub use provider::{Handles, Provider};
pub use registry::{LOAD_LIMIT, MAX_LIBRARIES};
pub use shelf::{
    Contents, Named, NotOnShelf, RefusedFile, SHELF_BYTES, SHELF_PLUGINS, Shelf, ShelfError, Shelved,
    versioned,
};
pub use verify::{MAX_LIBRARY_BYTES, Signer, Verified, WRITABLE_VARIABLE, verify};
pub use watch::{LOOK_EVERY, News, SETTLE, WATCHED_NAMES, Watcher};
