//! A deterministic simulator: the scaling core, on the very cycle that the host's shell drives, in a world where everything
//! that may go wrong does, and checkers that watch from outside.
//!
//! ```text
//! cargo run -p longshore-simulation --release -- --seeds 100000 --coverage
//! cargo run -p longshore-simulation --release -- --for 10m
//! cargo run -p longshore-simulation -- --seed 0x2a --trace
//! ```
//!
//! # How it works
//!
//! One seed is one run. It draws first the run's *shape*: what the provider can do, the policy, the timings, which faults
//! there are, and how often each strikes. So runs differ in kind. Then events happen in virtual time, and whatever is left to
//! chance is drawn from streams of the same seed: the same seed is the same run, on every machine and in every build.
//!
//! | part | what it is |
//! |---|---|
//! | `backend` | the truth: which containers there really are, and whether the cluster's server is |
//! | `provider` | calls to it, which arrive late, work in part, are answered wrongly, or never |
//! | `store` | a journal that fails in all the ways that a journal may |
//! | `host` | the shell: the same few steps as the real one's, and it may end between any two of them |
//! | `operator` | people who change their minds, and who look at the backend when nobody else can tell |
//! | `checkers` | what must hold, reckoned from the truth and the journal's records, apart from the core |
//! | `seam`, `mutation` | the way to the core, on which a test bends one rule to see that its checker notices |
//!
//! A run has three parts. First faults strike and operators act. Then faults stop, and within a time that follows from the
//! policy the cluster must be exactly as it was wanted last, and then quiet. At last it is deleted, and nothing may be left.
//!
//! A seed that fails is told with the rule that was broken, what was seen, one command that runs it again, and the same for a
//! run that was made smaller while the same rule is broken in it, with the last of what happened.
//!
//! # What is assumed
//!
//! The core cannot be right about a world without any bounds. These are the ones that the simulated world keeps, and that
//! the real one has to:
//!
//! - **Lists lag, and calls outlive their host, by less than two poll intervals together.** A provider that lists and is not
//!   idempotent can only be asked whether a launch has happened. A list that lags by more than that, or a call that takes
//!   effect so long after its host has ended, cannot be told from one that never happened, by anybody.
//! - **A provider that says "failed" has created nothing** (RUN-9), one that says "so many" has created so many; what it does
//!   besides, once the launch is settled, is found by its list alone, and counts from then on. Without a list, nobody could
//!   ever find it; before the launch is settled, nobody could tell it from what was asked for.
//! - **Stopped is final, and nobody is said to have stopped who has not** (STATUS), with one exception: one look in a row may
//!   say so of all, where they are enough for a mass death. The look after it tells the truth.
//! - **A batch of the journal is there as a whole or not at all**; what was acknowledged stays; what was refused may be found
//!   by the next host, unless something was written after it.
//! - **The status and the address of a server are true wherever they can be had, and there is one at most** (SERVER). A start
//!   whose host has ended, or whose answer was lost, comes true within the bound that calls have which outlive their host, or
//!   never. Whoever gives a cluster up by force removes its server before one of the same name is made.
//! - **Where the first provider of a cluster can list, those that it moves to can.** Strangers and late workers are there in such a
//!   world, and nobody could find them otherwise.
//! - **Time does not leap within a running host**, but where lists do not lag and calls do not outlive their hosts. It does
//!   leap, both ways, while the host is down; and a host may stand still for as long as it likes.
//! - **A host that was taken for dead ends, and its calls with it, within the time for which calls may outlive their host.**
//!   It can write nothing from the takeover on.
//! - **An idempotent provider says of a token what it said before**, once it has said that it is done. **An operator who
//!   resolves a launch tells the truth**, once nothing more can come of it.
//!
//! # What is counted
//!
//! `--coverage` tells how often each fault struck, and each kind of record, action, reason and denial occurred. The tests hold
//! that a fixed set of seeds has all of them.

mod backend;
mod checkers;
mod coverage;
mod dice;
mod fault;
mod host;
mod mutation;
mod names;
mod operator;
mod provider;
mod queue;
mod seam;
mod shape;
mod shrink;
mod soak;
mod store;
mod trace;
mod world;

use std::time::Duration;

use longshore_scaling::Policy;

pub use checkers::{Checker, Violation};
pub use coverage::{Coverage, Event};
pub use fault::{Fault, Strike};
pub use mutation::Mutation;
pub use shrink::{Shrunk, shrink};
pub use soak::{MOST_FAILURES, Soak, Soaked, replay_command, tell_failure};
pub use world::{Outcome, Settings, run};

/// By how much lists may lag and calls outlive their hosts, together and exclusive: the core believes that a launch has not
/// happened only of lists that were asked for so long after its call ended.
pub(crate) fn evidence_gap(policy: &Policy) -> Duration {
    policy.poll_interval * 2
}
