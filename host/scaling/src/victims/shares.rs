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

struct Search<'a> {
    runs: &'a [Run],
    cut: &'a Cut,
    core: Core,
    /// The class that the cut runs into: those before it are whole, those after it untouched.
    edge: u32,
}

impl Search<'_> {
    /// Searches among the choices that spare up to `spared` workers; `None` when one that spares more could be better.
    ///
    /// In what follows, *open* workers are those that the classes from some class on have to give beyond what lies before
    /// the cut: the gap, more where earlier classes spare handles, fewer where they give more.
    fn within(&self, spared: usize) -> Option<Vec<Share>> {
        let gap = self.cut.gap as usize;
        let limit = gap + spared;

        // What cannot be bettered: all classes before the edge are whole, and the edge gives everything else.
        let mut open = Sums::only(gap, limit);
        for step in self.core.steps.iter().filter(|step| step.class == self.edge) {
            give(step, &mut open);
        }
        if open.contains(0) {
            return Some(vec![self.share(self.edge, gap, 0)]);
        }

        // From the last class to the first: which numbers of open workers can be given, and by which classes. For each
        // such number, the last class from which on there are handles for it; 0 too for those that cannot be given.
        let mut since = vec![0; limit + 1];
        since[0] = u32::MAX;
        let mut given = Sums::only(0, limit);
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
            for step in class.iter().rev() {
                for part in step.parts() {
                    let by = (part as usize).saturating_mul(step.workers);
                    if idle.contains(&(step.spares, by)) {
                        continue;
                    }
                    idle.insert((step.spares, by));
                    let found = |sum| {
                        since[sum] = number;
                        idle.clear();
                    };
                    if step.spares { given.lower(by, found) } else { given.raise(by, found) }
                }
            }
            if number <= self.edge && given.contains(gap) {
                break;
            }
        }

        // From the first class to the last: each gives the most that leaves to those after it what they can give.
        let mut shares = Vec::new();
        let mut left = (0..=gap).rev().find(|&sum| given.contains(sum)).unwrap_or(0);
        for class in self.core.steps.chunk_by(|a, b| a.class == b.class) {
            let number = class[0].class;
            if number < self.edge && since[left] > number {
                continue;
            }
            if left == 0 {
                break;
            }
            open.reset(left);
            for step in class {
                give(step, &mut open);
            }
            if let Some(next) = open.iter().find(|&sum| since[sum] > number)
                && next != left
            {
                shares.push(self.share(number, left, next));
                left = next;
            }
        }
        Some(shares)
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

/// From the workers that are open before a step to those that may be open after it.
fn give(step: &Step, open: &mut Sums) {
    for part in step.parts() {
        let by = (part as usize).saturating_mul(step.workers);
        if step.spares { open.raise(by, |_| ()) } else { open.lower(by, |_| ()) }
    }
}
