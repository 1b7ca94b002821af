//! Plays many sequences of a seed, and shortens one that fails for as long as what is left still fails.

use std::{collections::BTreeSet, time::Duration};

use longshore_plugin_api::Clause;
use proptest::strategy::{Strategy as _, ValueTree};

use crate::{
    subject::Handle,
    verdict::{Breach, OrFault as _, Verdict},
};

use super::{
    backend::Backend,
    operation::{self, Op},
    play::{Played, play},
};

/// How much is to be tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Sequences, and operations in the longest.
    pub(super) sequences: u32,
    pub(super) length: usize,
    /// The most sequences that are played to shorten one that fails.
    pub(super) shrinks: u32,
    /// When no further sequence is begun, and how long a failing one may be shortened.
    pub(super) search: Duration,
    pub(super) shrink: Duration,
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Searched {
    /// How many sequences were played.
    pub(super) played: u32,
    pub(super) found: Option<Found>,
}

/// A sequence that fails, as short as it could be made.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) ops: Vec<Op>,
    pub(super) steps: Vec<String>,
    pub(super) breach: Breach,
    /// Which of the seed's sequences it came from, from 1.
    pub(super) sequence: u32,
    /// How many others were played to shorten it.
    pub(super) tried: u32,
}

/// Plays the sequences of a plan until one fails.
pub(super) fn search(plan: &Plan, backend: &mut dyn Backend) -> Verdict<Searched> {
    let strategy = operation::sequences(backend.facts(), plan.length);
    let mut runner = operation::runner(plan.seed);
    let mut past = BTreeSet::new();
    let began = backend.now();
    let mut played = 0;
    while played < plan.sequences && backend.now().saturating_sub(began) < plan.search {
        let tree = strategy.new_tree(&mut runner).or_fault("no sequence could be made")?;
        let ops = tree.current();
        let one = play(&ops, backend, past)?;
        past = one.past;
        played += 1;
        if let Some(breach) = one.breach {
            let first = Found { ops, steps: one.steps, breach, sequence: played, tried: 0 };
            let found = shorten(plan, backend, tree, first, past)?;
            return Ok(Searched { played, found: Some(found) });
        }
    }
    Ok(Searched { played, found: None })
}

/// Tries simpler and simpler sequences for as long as they fail in the same way: as proptest makes them simpler, and then
/// without one step after the other, until none can be spared.
fn shorten(
    plan: &Plan,
    backend: &mut dyn Backend,
    mut tree: impl ValueTree<Value = Vec<Op>>,
    first: Found,
    past: BTreeSet<Handle>,
) -> Verdict<Found> {
    let way = way(first.breach.clause);
    let mut shortening = Shortening { plan, way, began: backend.now(), best: first, past };
    let mut is_simpler = tree.simplify();
    while is_simpler && shortening.may_go_on(backend) {
        is_simpler =
            if shortening.fails(tree.current(), backend)? { tree.simplify() } else { tree.complicate() };
    }
    let mut place = shortening.best.ops.len();
    while place > 0 && shortening.best.ops.len() > 1 && shortening.may_go_on(backend) {
        place -= 1;
        let mut fewer = shortening.best.ops.clone();
        fewer.remove(place);
        if shortening.fails(fewer, backend)? {
            // What stood after it may be to spare now, too.
            place = shortening.best.ops.len();
        }
    }
    Ok(shortening.best)
}

/// A sequence that is being made shorter.
struct Shortening<'p> {
    plan: &'p Plan,
    way: Clause,
    began: Duration,
    best: Found,
    past: BTreeSet<Handle>,
}

impl Shortening<'_> {
    fn may_go_on(&self, backend: &dyn Backend) -> bool {
        self.best.tried < self.plan.shrinks && backend.now().saturating_sub(self.began) < self.plan.shrink
    }

    /// Whether a simpler sequence fails in the same way; if so, it is the best one now.
    fn fails(&mut self, ops: Vec<Op>, backend: &mut dyn Backend) -> Verdict<bool> {
        let Played { steps, breach, past } = play(&ops, backend, std::mem::take(&mut self.past))?;
        self.past = past;
        self.best.tried += 1;
        match breach {
            Some(breach) if way(breach.clause) == self.way => {
                (self.best.ops, self.best.steps, self.best.breach) = (ops, steps, breach);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// Which breaches are one and the same seen from different sides, so that a shorter sequence may show another of them: a
/// worker that is lost, one that is not listed, one that was launched behind the answer.
fn way(clause: Clause) -> Clause {
    match clause {
        Clause::KillNobodyElse | Clause::LoadShutdown | Clause::StatusReadOnly => Clause::RunKnown,
        Clause::ListSurvives => Clause::ListComplete,
        Clause::RunOnce => Clause::RunNeverMore,
        other => other,
    }
}
