//! The tokio shell around the pure core: one reconciler a cluster, woken by commands, replies and timers.
//!
//! A [`Host`] holds providers and clusters. A cluster's reconciler makes each decision durable before it carries it out,
//! and nothing else in the host changes a cluster. What is decided, and why, is the business of `longshore-scaling`.

mod apply;
mod calls;
mod clock;
mod error;
mod fill;
mod history;
mod host;
mod house;
mod message;
mod passwords;
mod plugins;
mod reconciler;
mod reconnect;
mod recover;
mod registry;
mod runner;
mod view;
mod workshop;

pub use apply::{Applied, Effect, Preview};
pub use error::{ApplyError, CommandError, OpenError};
pub use history::{HistoryEntry, HistoryPage};
pub use host::{Host, Leaving};
pub use message::INBOX;
pub use plugins::{
    AddedPlugin, Plugin, PluginError, PluginList, PluginPlace, RefusedPlugin, RemovedPlugin, look_at_plugins,
};
pub use runner::{RunnerPhase, RunnerStatus};
pub use view::{
    ClusterStatus, Explanation, LeavingStatus, ProviderStatus, ServerLife, ServerStatus, WorkerPage,
    WorkerPhase, WorkerView,
};
pub use workshop::{DEFAULT_ISOLATION, Plugins};
