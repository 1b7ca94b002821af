//! Finds the fewest containers of one class that have exactly the workers which the class gives. It never changes how many
//! workers that is.

use super::cut::{Core, Cut, Run, Step};

/// Sets `taken` to how many handles of each of a class's `runs` make up `workers` with the fewest handles. There must be
/// handles that do.
pub(super) fn fill(runs: &[Run], workers: u64, taken: &mut [u32]) {
    let cut = Cut::of(runs, workers);
    for (index, copies) in taken.iter_mut().enumerate() {
        *copies = cut.copies_before(runs, index);
    }
    if cut.gap == 0 || cut.run == runs.len() {
        return;
    }
    let core = Core::around(runs, &cut);
    let gap = cut.gap as usize;
    let mut limit = core.first_spared;
    loop {
        let spare = parts(&core, limit, true);
        let take = parts(&core, gap + limit, false);
        let (least_spare, least_take) = (cheapest(&spare, limit), cheapest(&take, gap + limit));
        let cost = |spared: usize| least_spare[spared] + least_take[gap + spared];
        let spared = (0..=limit).min_by_key(|&spared| cost(spared)).unwrap_or(0);
        // Before the cut are the biggest containers and they do not suffice, so one more is the least that can be.
        if cost(spared) == 1 || limit == core.most_spared {
            pick(&spare, spared, &mut |part| taken[part.run] -= part.copies);
            pick(&take, gap + spared, &mut |part| taken[part.run] += part.copies);
            return;
        }
        limit = limit.saturating_mul(8).min(core.most_spared);
    }
}

/// Handles that are taken, or spared, together.
struct Part {
    run: usize,
    copies: u32,
    workers: usize,
    /// The containers that this adds to the choice: negative where they are spared.
    cost: i32,
}

/// The parts of at most `limit` workers on one side of the cut.
fn parts(core: &Core, limit: usize, spares: bool) -> Vec<Part> {
    let part = |step: &Step, copies: u32| Part {
        run: step.run,
        copies,
        workers: (copies as usize).saturating_mul(step.workers),
        cost: if spares { -copies.cast_signed() } else { copies.cast_signed() },
    };
    let steps = core.steps.iter().filter(|step| step.spares == spares);
    steps
        .flat_map(|step| step.parts().map(move |copies| part(step, copies)))
        .filter(|it| it.workers <= limit)
        .collect()
}

/// Stands for a number of workers that cannot be made up; two of them can be added.
const NEVER: i32 = i32::MAX / 4;

/// For each number of workers up to `limit`, the least cost of parts that make it up.
fn cheapest(parts: &[Part], limit: usize) -> Vec<i32> {
    let mut costs = vec![NEVER; limit + 1];
    costs[0] = 0;
    let mut next = costs.clone();
    for part in parts.iter().filter(|part| part.workers <= limit) {
        // Two tables, so that the compiler sees that cells are independent and does several at once.
        let (low, high) = next.split_at_mut(part.workers);
        low.copy_from_slice(&costs[..part.workers]);
        for ((cell, &without), &with) in high.iter_mut().zip(&costs[part.workers..]).zip(&costs) {
            *cell = without.min(with + part.cost);
        }
        std::mem::swap(&mut costs, &mut next);
    }
    costs
}

/// Hands over the parts that make up `workers` at the least cost, with no table of decisions: the sum is split between the
/// two halves of the parts, and each half is picked in the same way. (D. S. Hirschberg's idea; the sums of the halves add up
/// to `workers`, so all levels together cost as much as the first one twice.)
fn pick(parts: &[Part], workers: usize, picked: &mut impl FnMut(&Part)) {
    match parts {
        _ if workers == 0 => {}
        [] => {}
        [only] => picked(only),
        _ => {
            let (first, second) = parts.split_at(parts.len() / 2);
            let (left, right) = (cheapest(first, workers), cheapest(second, workers));
            // Of equally cheap splits, the one that takes most from the first half, which has the bigger containers.
            let cheapest = (0..=workers).rev().min_by_key(|&sum| left[sum] + right[workers - sum]);
            let sum = cheapest.unwrap_or(workers);
            pick(first, sum, picked);
            pick(second, workers - sum, picked);
        }
    }
}
