//! Chooses which containers go when a cluster has more workers than it wants: whole handles whose workers add up to as
//! much of the surplus as whole handles can, and never to more. Nothing here knows why there is a surplus, kills anything,
//! or lets a handle's place in the input change the answer.
//!
//! # How
//!
//! The handles are put in the order in which they should go ([`Prefer`]), and the order is followed from its start for as
//! long as the next handle fits. That *cut* leaves a gap smaller than one container. The best choice lies next to the cut:
//! it spares a few handles before it and takes a few after it, and how many is bounded by the sizes of the containers
//! alone, whatever the number of handles (the module `cut` says why). So what costs time is sorting; the exact search
//! happens among a few handles of each size, first for the workers that each class gives (`shares`), then for the fewest
//! containers that give them (`fewest`).
//!
//! This is the subset sum problem, with the balancing idea of D. Pisinger, *Linear time algorithms for knapsack problems
//! with bounded weights* (1999), in the form that F. Eisenbrand and R. Weismantel gave it in *Proximity results and faster
//! algorithms for integer programming using the Steinitz lemma* (2018).

mod cut;
mod fewest;
mod shares;
mod sums;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use self::cut::{Cut, Run};

/// Which end of a cluster's age goes first, when its surplus is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// The handles launched last: they have done the least work.
    #[default]
    Newest,
    /// The handles launched first: they have run for the longest, on the oldest configuration.
    Oldest,
}

/// A handle that may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<Id> {
    /// Names the handle, once in a list of candidates. Of handles alike in everything else, the lowest goes first.
    pub id: Id,
    /// The workers that live and die with this handle, 1 or more. A handle with 0 workers is never chosen.
    pub workers: u32,
    /// Whether its workers are still coming up. Such handles go before all that are at work.
    pub initializing: bool,
    /// When it was launched, in any unit: greater is newer. Handles with the same value are of one class.
    pub launched_at: u64,
}

/// The handles to kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice<Id> {
    /// In the order in which they should go.
    pub handles: Vec<Id>,
    /// The workers on these handles, from 0 to the surplus. When it is less than the surplus, no set of whole handles
    /// comes closer: sharing blocks the rest.
    pub workers: u64,
}

/// Chooses the handles to kill so that `surplus` workers fewer remain, exactly:
///
/// 1. Their workers add up to the most that whole handles can, without going over `surplus`.
/// 2. Handles with the same `initializing` and `launched_at` are a class. The class that is initializing and newest (or
///    oldest, see [`Prefer`]) gives as many workers as it can, then the next class does, and so on.
/// 3. There are as few handles as possible.
/// 4. Of handles alike in class and workers, those with the lowest ids go. Which sizes a class gives does not depend on
///    ids, so equal clusters shrink equally.
///
/// With n handles of at most w workers it takes n log n steps for the order, and at most about n·w²/64 + w³·log w for the
/// search (when w is large and hardly any sums can be made; otherwise far fewer), and memory for n handles and w² sums.
pub fn choose<Id: Copy + Ord>(candidates: &[Candidate<Id>], surplus: u64, prefer: Prefer) -> Choice<Id> {
    let mut order: Vec<Ranked<Id>> =
        candidates.iter().filter(|it| it.workers > 0).map(|it| Ranked::new(it, prefer)).collect();
    order.sort_unstable();
    let runs = runs(&order);
    let taken = taken(&runs, surplus);

    let mut choice = Choice { handles: Vec::new(), workers: 0 };
    choice.handles.reserve_exact(taken.iter().map(|&copies| copies as usize).sum());
    let mut rest = order.as_slice();
    for (run, &copies) in runs.iter().zip(&taken) {
        let (alike, later) = rest.split_at(run.count as usize);
        choice.handles.extend(alike[..copies as usize].iter().map(|it| it.id));
        choice.workers += u64::from(copies) * u64::from(alike[0].workers.0);
        rest = later;
    }
    choice
}

/// A candidate whose natural order is the order in which handles should go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked<Id> {
    running: bool,
    age: u64,
    /// Bigger containers first, so that following the order takes the fewest.
    workers: Reverse<u32>,
    id: Id,
}

impl<Id: Copy> Ranked<Id> {
    fn new(candidate: &Candidate<Id>, prefer: Prefer) -> Self {
        let age = match prefer {
            Prefer::Newest => !candidate.launched_at,
            Prefer::Oldest => candidate.launched_at,
        };
        Self { running: !candidate.initializing, age, workers: Reverse(candidate.workers), id: candidate.id }
    }
}

/// Gathers neighbours that are alike, and numbers the classes.
fn runs<Id>(order: &[Ranked<Id>]) -> Vec<Run> {
    let mut runs = Vec::new();
    for (class, members) in order.chunk_by(|a, b| (a.running, a.age) == (b.running, b.age)).enumerate() {
        for alike in members.chunk_by(|a, b| a.workers == b.workers) {
            runs.push(Run { class: class as u32, workers: alike[0].workers.0, count: alike.len() as u32 });
        }
    }
    runs
}

/// How many handles of each run to take, from its start.
fn taken(runs: &[Run], surplus: u64) -> Vec<u32> {
    // Containers of 2, 4 and 6 workers are the same question as containers of 1, 2 and 3, and that one is smaller.
    let unit = runs.iter().fold(0, |unit, run| gcd(run.workers, unit)).max(1);
    let runs: Vec<Run> = runs.iter().map(|run| Run { workers: run.workers / unit, ..*run }).collect();
    let cut = Cut::of(&runs, surplus / u64::from(unit));
    let mut taken: Vec<u32> = (0..runs.len()).map(|run| cut.copies_before(&runs, run)).collect();
    if cut.gap > 0 && cut.run < runs.len() {
        for share in shares::settle(&runs, &cut) {
            fewest::fill(&runs[share.runs.clone()], share.workers, &mut taken[share.runs]);
        }
    }
    taken
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
