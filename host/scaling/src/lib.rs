//! The pure core: from what is wanted and what was seen, it decides what to launch, what to kill and what to ask, and says
//! why nothing moves when nothing does. It knows no clock, thread, file, runtime or ABI: time and replies enter as values,
//! and all that it wants done leaves as values.
//!
//! One cluster is one [`State`]. A turn of the shell around it goes:
//!
//! 1. A command is [`admit`]ted, or a reply is [`observe`]d: both give [`Record`]s. The shell makes those durable that must outlive it, then
//!    [`State::apply`]s them.
//! 2. [`plan`] looks at the state alone, never at the event that woke it, and gives a [`Plan`] and a [`PlanReport`].
//! 3. [`Plan::records`] says what is about to be done. The shell makes that durable and applies it, and only then carries
//!    out the plan's [`Action`]s: intent before effect.
//!
//! At rest, planning again changes nothing.

mod apply;
mod backoff;
mod command;
mod cycle;
mod handles;
mod ids;
mod moving;
mod names;
mod observe;
mod ordered;
mod plan;
mod policy;
mod record;
mod report;
mod server;
mod serving;
mod snapshot;
mod state;
mod story;
mod time;
mod trouble;
pub mod victims;

pub use backoff::Backoff;
pub use command::{Command, Denied, admit};
pub use cycle::{Cycle, Step};
pub use handles::{Handle, Phase, Tally};
pub use ids::{HandleId, LaunchId, Side};
pub use moving::{Leaving, Route};
pub use observe::{LaunchOutcome, Listing, Observation, Seen, observe};
pub use plan::{Action, Plan, plan};
pub use policy::{Desired, Policy, PolicyError, ProviderTraits, Strays, WORKERS_LIMIT};
pub use record::{Aim, Change, KillReason, NewHandle, Record, StopReason};
pub use report::{PlanReport, Reason, Remedy};
pub use server::{Address, OnRestart, Server, ServerKind, ServerPhase, ServerPolicy, ServerSeen};
pub use serving::{Build, Serving, Standing, Turn};
pub use snapshot::{KeptHandle, Snapshot, SnapshotError, SnapshotHead};
pub use state::{Call, Launch, LaunchPhase, State, Stray};
pub use story::{Names, tell};
pub use time::Time;
pub use trouble::Trouble;
pub use victims::Prefer;
