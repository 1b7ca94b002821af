//! The pure core: from what is wanted and what was seen, it decides what to launch, what to kill and what to ask, and says
//! why nothing moves when nothing does. It knows no clock, thread, file, runtime or ABI: time and replies enter as values,
//! and all that it wants done leaves as values.
//!
//! One cluster is one [`State`]. A turn of the shell around it goes:
//!
//! 1. A command is [`admit`]ted, or a reply is [`observe`]d: both give [`Record`]s. The shell makes them durable, then
//!    [`State::apply`]s them.
//! 2. [`plan`] looks at the state alone, never at the event that woke it, and gives a [`Plan`] and a [`PlanReport`].
//! 3. [`Plan::records`] says what is about to be done. The shell makes that durable and applies it, and only then carries
//!    out the plan's [`Action`]s: intent before effect.
//!
//! At rest, planning again changes nothing.

mod apply;
mod backoff;
mod command;
mod handles;
mod observe;
mod plan;
mod policy;
mod record;
mod report;
mod state;
mod time;
pub mod victims;

pub use backoff::Backoff;
pub use command::{Command, Denied, admit};
pub use handles::{Handle, HandleId, Phase, Tally};
pub use observe::{LaunchOutcome, Listing, Observation, observe};
pub use plan::{Action, Plan, plan};
pub use policy::{Policy, PolicyError, ProviderTraits, WORKERS_LIMIT};
pub use record::{Change, KillReason, NewHandle, Record, Trouble};
pub use report::{PlanReport, Reason, Remedy};
pub use state::{Call, Desired, Launch, LaunchId, LaunchPhase, State};
pub use time::Time;
pub use victims::Prefer;

/// How a worker was seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Asked for, not yet at work.
    Initializing,
    /// At work.
    Running,
    /// Gone for good, or not known to the provider.
    Stopped,
}
