//! The tokio shell around the pure core: one reconciler a cluster, woken by commands, replies and timers.
//!
//! A [`Host`] holds providers and clusters. A cluster's reconciler makes each decision durable before it carries it out,
//! and nothing else in the host changes a cluster. What is decided, and why, is the business of `longshore-scaling`.

mod apply;
mod breaker;
mod calls;
mod clock;
mod compare;
mod definition;
mod error;
mod fill;
mod find;
mod generations;
mod history;
mod host;
mod house;
mod message;
mod passwords;
mod plugins;
mod quarantine;
mod reconciler;
mod reconnect;
mod recover;
mod registry;
mod runner;
mod serving;
mod swap;
mod turns;
mod view;
mod watch;
mod workshop;

pub use apply::{Applied, Effect, Preview};
pub use breaker::{BreakerPhase, BreakerStatus};
pub use compare::Compared;
pub use error::{ApplyError, CommandError, OpenError};
pub use generations::{GenerationState, GenerationStatus, RolledBack};
pub use history::{HistoryEntry, HistoryPage};
pub use host::{Host, Leaving};
pub use message::INBOX;
pub use plugins::{
    AddedPlugin, Plugin, PluginError, PluginList, PluginPlace, RefusedPlugin, RemovedPlugin, look_at_plugins,
};
pub use quarantine::{LibraryRecord, Quarantine, Quarantined, QuarantinedLibrary, Released};
pub use runner::{RunnerPhase, RunnerStatus};
pub use serving::{ServingStatus, TriedStatus};
pub use swap::{Canary, ProviderVersion, SwapError, SwapOutcome, SwapRequest};
pub use view::{
    ClusterStatus, Explanation, LeavingStatus, ProviderStatus, ServerLife, ServerStatus, WorkerPage,
    WorkerPhase, WorkerView,
};
pub use workshop::{DEFAULT_ISOLATION, Plugins};
