//! The cut through the order of preference, and the few handles beside it among which the best choice is found. Nothing
//! here chooses.
//!
//! # Why a few handles are enough
//!
//! Say the best choice spares the handles R before the cut and takes the handles A after it, and of all best choices it is
//! one with the fewest such changes. No part of R has as many workers as a part of A: undoing both would keep the sum, give
//! workers back to earlier classes or, within a class, trade containers for ones at least as big; a choice no worse, with
//! fewer changes.
//!
//! Make the changes one at a time: take a handle of A while the balance (workers taken less workers spared) is not above
//! 0, otherwise spare one of R. The balance ends between 0 and the gap, so when one kind runs out the other leads straight
//! there. With r the biggest container before the cut and a the biggest after it, the balance stays within 1−r ..= a. It
//! never has the same value twice, since the changes between would be parts of R and A with as many workers. Hence
//!
//! - R and A together have fewer than r + a handles;
//! - R has at most a handles, as each is spared at a balance of 1 ..= a, and so at most r·a workers.
//!
//! Handles of one size differ only in their place in the order, so those of R are the last of their size before the cut,
//! and those of A are the first of theirs after it.

use std::collections::BTreeMap;

/// Handles alike in class and workers, which are neighbours in the order of preference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Counts up along the order.
    pub(super) class: u32,
    /// On each of the handles, 1 or more; falls along the order within a class.
    pub(super) workers: u32,
    /// Of handles, 1 or more.
    pub(super) count: u32,
}

/// Where the order of preference, followed from its start, has no room for the next handle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// The run that the next handle is in; the number of runs when all handles fit.
    pub(super) run: usize,
    /// How many handles of that run come before the cut.
    pub(super) copies: u32,
    /// The workers that are still wanted: fewer than the next handle has.
    pub(super) gap: u64,
}

impl Cut {
    /// Follows the order for up to `wanted` workers.
    pub(super) fn of(runs: &[Run], wanted: u64) -> Self {
        let mut gap = wanted;
        for (index, run) in runs.iter().enumerate() {
            let copies = (gap / u64::from(run.workers)).min(run.count.into()) as u32;
            gap -= u64::from(copies) * u64::from(run.workers);
            if copies < run.count {
                return Self { run: index, copies, gap };
            }
        }
        Self { run: runs.len(), copies: 0, gap }
    }

    /// How many handles of the run at `index` come before the cut.
    pub(super) fn copies_before(&self, runs: &[Run], index: usize) -> u32 {
        match index.cmp(&self.run) {
            std::cmp::Ordering::Less => runs[index].count,
            std::cmp::Ordering::Equal => self.copies,
            std::cmp::Ordering::Greater => 0,
        }
    }
}

/// Handles of one run that the best choice may treat otherwise than the cut does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The index of the run.
    pub(super) run: usize,
    /// See [`Run::class`].
    pub(super) class: u32,
    /// On each handle.
    pub(super) workers: usize,
    /// How many handles.
    pub(super) copies: u32,
    /// Whether they come before the cut, and may be spared. The others come after it, and may be taken.
    pub(super) spares: bool,
}

impl Step {
    /// Parts of `copies` whose sums are every number from 0 to `copies`, so that a step costs the logarithm of its copies.
    pub(super) fn parts(&self) -> impl Iterator<Item = u32> + use<> {
        let (mut left, mut next) = (self.copies, 1);
        std::iter::from_fn(move || {
            let part = next.min(left);
            (left, next) = (left - part, next.saturating_mul(2));
            (part > 0).then_some(part)
        })
    }

    /// The workers on each of the parts, and whether they are spared.
    pub(super) fn moves(&self) -> impl Iterator<Item = (usize, bool)> + use<> {
        let Self { workers, spares, .. } = *self;
        self.parts().map(move |copies| ((copies as usize).saturating_mul(workers), spares))
    }
}

/// The handles beside a cut among which the best choice differs from it.
#[derive(Debug)]
pub(super) struct Core {
    /// In the order of preference.
    pub(super) steps: Vec<Step>,
    /// The most workers that a best choice spares.
    pub(super) most_spared: usize,
    /// The most workers that are worth sparing in a first, quick search.
    pub(super) first_spared: usize,
}

impl Core {
    /// The handles beside `cut`, which must not be at the end of `runs`.
    pub(super) fn around(runs: &[Run], cut: &Cut) -> Self {
        let biggest = |runs: &[Run]| runs.iter().map(|run| u64::from(run.workers)).max().unwrap_or(0);
        let biggest_spared = biggest(&runs[..cut.run + usize::from(cut.copies > 0)]);
        let biggest_taken = biggest(&runs[cut.run..]);

        let mut quota = Quota::new(|_| biggest_taken);
        let mut steps: Vec<Step> = (0..=cut.run)
            .rev()
            .filter_map(|run| quota.step(runs, run, cut.copies_before(runs, run), true))
            .collect();
        steps.reverse();

        let spared = steps.iter().map(|step| u64::from(step.copies) * step.workers as u64).sum();
        let most_spared = biggest_spared.saturating_mul(biggest_taken).min(spared);
        let first_spared = biggest_spared.max(biggest_taken).saturating_mul(4).min(most_spared);

        let changes = biggest_spared + biggest_taken - 1;
        let most_taken = most_spared + cut.gap;
        let mut quota = Quota::new(|workers| changes.min(most_taken / workers));
        steps.extend((cut.run..runs.len()).filter_map(|run| {
            let copies = runs[run].count - cut.copies_before(runs, run);
            quota.step(runs, run, copies, false)
        }));
        Self { steps, most_spared: most_spared as usize, first_spared: first_spared as usize }
    }
}

/// How many more handles of each size may join the core.
struct Quota<F> {
    most: F,
    left: BTreeMap<u32, u64>,
}

impl<F: Fn(u64) -> u64> Quota<F> {
    fn new(most: F) -> Self {
        Self { most, left: BTreeMap::new() }
    }

    fn step(&mut self, runs: &[Run], run: usize, copies: u32, spares: bool) -> Option<Step> {
        let Run { class, workers, .. } = runs[run];
        let left = self.left.entry(workers).or_insert_with(|| (self.most)(workers.into()));
        let copies = (*left).min(copies.into());
        *left -= copies;
        (copies > 0).then_some(Step { run, class, workers: workers as usize, copies: copies as u32, spares })
    }
}
