//! Settles how many workers each class gives: the most in all, then the most from the first class, and so on. Which
//! containers of a class they come from is not decided here.

use std::{collections::BTreeSet, ops::Range};

use super::{
    cut::{Core, Cut, Run, Step},
    sums::Sums,
};

/// What a class gives.
#[derive(Debug)]
pub(super) struct Share {
    /// The runs of the class.
    pub(super) runs: Range<usize>,
    /// From all of its handles, in workers.
    pub(super) workers: u64,
}

/// The classes that give something else than what lies before `cut`, which has a gap and is not at the end of `runs`.
pub(super) fn settle(runs: &[Run], cut: &Cut) -> Vec<Share> {
    let search = Search { runs, cut, core: Core::around(runs, cut), edge: runs[cut.run].class };
    let mut spared = search.core.first_spared;
    loop {
        if let Some(shares) = search.within(spared) {
            return shares;
        }
        spared = spared.saturating_mul(8).min(search.core.most_spared);
    }
}

/// In what follows, *open* workers are those that the classes from some class on have to give beyond what lies before the
/// cut: the gap, more where earlier classes spare handles, fewer where they give more.
struct Search<'a> {
    runs: &'a [Run],
    cut: &'a Cut,
    core: Core,
    /// The class that the cut runs into: those before it are whole, those after it untouched.
    edge: u32,
}

/// Which numbers of open workers can be given, and by which classes.
struct Reach {
    given: Sums,
    /// For each number, the last class from which on there are handles for it; 0 too where there are none.
    since: Vec<u32>,
}

impl Search<'_> {
    /// Searches among the choices that spare up to `spared` workers; `None` when one that spares more could be better.
    fn within(&self, spared: usize) -> Option<Vec<Share>> {
        let gap = self.cut.gap as usize;
        let mut open = Sums::only(gap, gap + spared);
        give(self.core.steps.iter().filter(|step| step.class == self.edge), &mut open);
        if open.contains(0) {
            // This cannot be bettered: the classes before the edge are whole, and the edge gives everything else.
            return Some(vec![self.share(self.edge, gap, 0)]);
        }
        Some(self.shares(&self.reach(spared)?, open))
    }

    /// From the last class to the first: what can be given from each on.
    fn reach(&self, spared: usize) -> Option<Reach> {
        let gap = self.cut.gap as usize;
        let mut since = vec![0; gap + spared + 1];
        since[0] = u32::MAX;
        let mut given = Sums::only(0, gap + spared);
        let mut sparable = 0;
        // The moves that have found nothing since anything was found, and so would find nothing again.
        let mut idle = BTreeSet::new();
        for class in self.core.steps.chunk_by(|a, b| a.class == b.class).rev() {
            let spares = class.iter().filter(|step| step.spares);
            sparable += spares.map(|step| step.copies as usize * step.workers).sum::<usize>();
            if sparable > spared && spared < self.core.most_spared {
                return None;
            }
            let number = class[0].class;
            for (by, spares) in class.iter().rev().flat_map(Step::moves) {
                if !idle.insert((by, spares)) {
                    continue;
                }
                let found = |sum| {
                    since[sum] = number;
                    idle.clear();
                };
                if spares { given.lower(by, found) } else { given.raise(by, found) }
            }
            // Everything is given with the classes before this one whole, so they stay so.
            if number <= self.edge && given.contains(gap) {
                break;
            }
        }
        Some(Reach { given, since })
    }

    /// From the first class to the last: each gives the most that leaves to those after it what they can give. What is in
    /// `open` is forgotten.
    fn shares(&self, Reach { given, since }: &Reach, mut open: Sums) -> Vec<Share> {
        let mut shares = Vec::new();
        let mut left = (0..=self.cut.gap as usize).rev().find(|&sum| given.contains(sum)).unwrap_or(0);
        for class in self.core.steps.chunk_by(|a, b| a.class == b.class) {
            if left == 0 {
                break;
            }
            let number = class[0].class;
            if number < self.edge && since[left] > number {
                continue;
            }
            open.reset(left);
            give(class, &mut open);
            if let Some(next) = open.iter().find(|&sum| since[sum] > number)
                && next != left
            {
                shares.push(self.share(number, left, next));
                left = next;
            }
        }
        shares
    }

    /// The share of a class that finds `open` workers and leaves `left` of them.
    fn share(&self, class: u32, open: usize, left: usize) -> Share {
        let start = self.runs.partition_point(|run| run.class < class);
        let end = self.runs.partition_point(|run| run.class <= class);
        let before =
            |run| u64::from(self.cut.copies_before(self.runs, run)) * u64::from(self.runs[run].workers);
        let workers = (start..end).map(before).sum::<u64>() + open as u64 - left as u64;
        Share { runs: start..end, workers }
    }
}

/// From the workers that are open before the steps of a class to those that may be open after them.
fn give<'a>(steps: impl IntoIterator<Item = &'a Step>, open: &mut Sums) {
    for (by, spares) in steps.into_iter().flat_map(Step::moves) {
        if spares { open.raise(by, |_| ()) } else { open.lower(by, |_| ()) }
    }
}
