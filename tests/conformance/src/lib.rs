//! The conformance harness: holds a provider to the contract, clause by clause, and says what it found.
//!
//! The runner never loads the library that it tries. It starts its own program again for each check, in a process
//! group of its own and with a time limit, and reads what that process reports.

mod bench;
mod census;
mod check;
mod checks;
mod child;
mod format;
#[doc(hidden)]
pub mod harness;
mod ledger;
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
    BadConfig, Costly, Outage, Outlives, Quirks, ServerQuirks, Shortfall, SlowRun, Variant, WitnessQuirks,
};
pub use report::{Counts, FORMAT, Overall, PluginInfo, Report};
pub use runner::{Event, JOBS, Refusal, Trial};
pub use verdict::{Breach, Finding, Leftover, Outcome};
