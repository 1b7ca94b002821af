//! The conformance harness: holds a provider to the contract, clause by clause, and says what it found.
//!
//! It is used in two ways, which run the same checks: `longshore conformance LIB`, and [`main!`] in a provider's own crate, which
//! makes each check a test of `cargo test`. [`Check`] is the table of them: for each its name, the clauses that it looks at,
//! whether a breach is a failure or a warning, what it needs, and in a sentence what it demands. How a provider is tried (a
//! configuration, a container that works there, how to put the backend out of reach) is said in a quirks file: `QUIRKS.md`.
//!
//! # How it runs
//!
//! ```text
//!   runner ──▶ this program again, as the process of one check ──▶ providers::Library ──▶ plugin
//!     ▲              │ report, ledger, calls, output: files            │
//!     └──────────────┘                                          workers, some of them
//!                                                              this program once more
//! ```
//!
//! - The runner ([`Trial`]) never loads the library. Each check has a process of its own, in a process group of its own, with a
//!   time limit; when that is over, the whole group is ended. Whatever a plugin does there, the run goes on, and says with which
//!   signal and during which call the check ended.
//! - The library is loaded and called by the host's own code, so that every answer is held to the clauses in the same way.
//! - What a check makes is noted in its ledger before anybody asks for it, and killed last-in first-out when the check has
//!   ended. Where its process did not come to that, another one does it. What is alive after all fails the run, and is listed.
//! - What a worker sees is told by a *witness*: a worker whose program is this program, which connects to the check, answers what
//!   it is asked, and ends when the connection breaks.
//! - A fault of the harness (no folder, no port) is told apart from the provider's, and never counts as a breach.
//!
//! So every program that runs checks begins its `main` with [`intercept`].
//!
//! # What it cannot tell
//!
//! A check that passes has not seen a breach; that there is none, nobody can see from outside. In particular: nothing is looked at
//! beyond the boundary but by `list`, by witnesses and by the folders that the quirks name, so what a provider leaves in a backend
//! that none of them shows stays unseen; races are provoked and not proved absent; what the quirks do not declare is skipped, and
//! counted as such; time is the machine's own, and no figure of speed is judged. A runner that is killed with SIGKILL takes its
//! checks along, but not what they have made: that is left alive, and its temporary folder with it. A plugin is trusted not to attack: it runs with
//! the rights of who runs the harness, and could write its own report.

mod bench;
mod census;
mod check;
mod checks;
mod child;
mod format;
#[doc(hidden)]
pub mod harness;
mod ledger;
mod listener;
mod order;
mod outage;
mod process;
mod quirks;
mod report;
mod runner;
mod subject;
mod sweep;
mod texts;
mod verdict;
mod watch;
mod witness;

pub use check::{Check, Need};
pub use child::intercept;
pub use format::{Again, Context, Format, Sink, block, is_bad, schema, sentence};
pub use quirks::{
    BadConfig, BadKill, Costly, Outage, Outlives, Quirks, ServerQuirks, Shortfall, SlowRun, Variant,
    WitnessQuirks,
};
pub use report::{Counts, FORMAT, Overall, PluginInfo, Report};
pub use runner::{Event, JOBS, Refusal, Trial};
pub use verdict::{Breach, Finding, Leftover, Outcome};
