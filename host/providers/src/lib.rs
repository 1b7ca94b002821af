//! Finds, checks, loads and calls provider plugins.
//!
//! [`locate`] finds a plugin's file in the folders of a [`SearchPath`] or on the [`Shelf`], [`verify`] holds it to what is demanded
//! of it, [`Library`] is what is known of it, [`Provider`] is an instance of it, and [`Call`] is one call on its way. All
//! of the host's unsafe code is here. Nothing here knows what a cluster should look like.

mod account;
mod ask;
mod breaker;
mod call;
mod check;
mod code;
mod confine;
mod control;
mod discover;
mod error;
mod figures;
#[cfg(test)]
mod heap;
mod image;
mod in_process;
mod instance;
mod lanes;
mod library;
mod locate;
mod log;
mod made;
mod pool;
mod private_copy;
mod provider;
mod registry;
mod runner;
mod said;
mod schema;
mod sealed;
mod seat;
mod shelf;
mod verify;
mod watch;

pub use breaker::{
    BREAKER_FAILURES, BREAKER_OVER, BREAKER_WAIT, BreakerLimits, BreakerOpen, BreakerState, Fault,
};
pub use call::{Call, CallScope};
pub use check::{Launched, MAX_ENTRIES, MAX_HANDLE_BYTES, MAX_HOST_BYTES};
pub use confine::{ConfineError, Lacking, apply as confine};
pub use discover::{Candidate, NotFound, PATH_VARIABLE, Place, SearchPath, is_path, named_plugin};
pub use error::{
    CallError, ConfigError, CreateError, Function, LoadError, LoadErrorKind, MAX_TEXT_BYTES, NotSent,
    Violation, check_command,
};
pub use figures::{Figures, FunctionFigures, LATENCY_BOUNDS, Latency, LatencyBucket};
pub use library::Library;
pub use locate::{Located, locate};
pub use log::{MAX_LINE_BYTES, TARGET as LOG_TARGET, Veil, Veiled};
pub use pool::{CallLimits, HANG_GRACE, ProviderLoad};
pub use provider::{Handles, Housing, Provider};
pub use registry::{LOAD_LIMIT, MAX_LIBRARIES};
pub use runner::{
    DEATHS_LIMIT, DEATHS_WINDOW, RESTART_WAIT, Resources, RunnerLoad, RunnerProgram, RunnerSetup,
    RunnerState, SHUTDOWN_LIMIT, STABLE, intercept,
};
pub use said::MAX_METADATA_BYTES;
pub use sealed::Sealed;
pub use shelf::{
    Contents, Named, NotOnShelf, RefusedFile, SHELF_BYTES, SHELF_PLUGINS, Shelf, ShelfError, Shelved,
    versioned,
};
pub use verify::{MAX_LIBRARY_BYTES, Signer, Verified, WRITABLE_VARIABLE, verify};
pub use watch::{LOOK_EVERY, News, SETTLE, WATCHED_NAMES, Watcher};
