//! How a cluster moves to another provider: others are launched there, and those of before go as the new ones run, so that
//! never fewer are there than the floor says, nor more than the ceiling.

use super::{Action, Planner};
use crate::{
    handles::Phase,
    ids::Side,
    moving::Leaving,
    record::KillReason,
    report::Reason,
    victims::{self, Candidate},
};

/// Workers of one side that no part of this plan kills so far.
#[derive(Clone, Copy, Debug, Default)]
struct Staying {
    live: u64,
    running: u64,
}

impl<'a> Planner<'a> {
    /// Lets go of the provider that is left, once nothing of it is there any more, at a last look. From here on the plan is
    /// that of a cluster which has arrived.
    pub(super) fn let_go(&mut self) {
        let Some(left) = self.left else { return };
        if self.state.is_side_empty(left.side) && self.state.has_looked_since_last_death(left.side) {
            self.plan.actions.push(Action::LetGo { side: left.side, from: left.provider.clone() });
            self.left = None;
        }
    }

    /// The sides whose providers are called.
    pub(super) fn sides(&self) -> impl Iterator<Item = Side> + use<'a> {
        [Some(self.state.side), self.left.map(|left| left.side)].into_iter().flatten()
    }

    pub(super) fn explain_move(&mut self) {
        let Some(left) = self.left else { return };
        let arrived = self.state.handles.tally_on(self.state.side).running;
        let (from, left) = (left.provider.to_string(), self.state.left_behind());
        self.because(Reason::Moving { from, left, arrived });
    }

    /// A reason, said of the side that it holds for.
    pub(super) fn because_on(&mut self, side: Side, reason: Reason) {
        match self.left.filter(|left| left.side == side) {
            Some(left) => {
                let from = left.provider.to_string();
                self.because(Reason::Left { from, because: Box::new(reason) });
            }
            None => self.because(reason),
        }
    }

    /// Launches on the new side what is missing there and has room, and kills of the old one who may go.
    pub(super) fn move_on(&mut self, left: &Leaving) {
        let state = self.state;
        let target = u64::from(state.target());
        let (here, there) = (self.staying(state.side), self.staying(left.side));
        if here.live > target {
            self.kill_surplus(state.side, here.live - target);
        }
        // Where containers are shared, some that are at work may go for others that are not.
        let here = self.staying(state.side);
        self.relieve(left, here, there);
        let coming = state.held_on(state.side);
        if here.live + coming < target {
            let tally = state.tally();
            let all = tally.live()
                + tally.terminating
                + state.in_flight()
                + state.unknown()
                + state.stray_workers();
            let ceiling = self.policy().ceiling(state.target(), state.per_container);
            let room = u64::from(ceiling).saturating_sub(all);
            self.launch((target - here.live - coming).min(room));
        }
    }

    /// Kills of the old side as many as run on the new one in their place, or may be missing.
    fn relieve(&mut self, left: &Leaving, here: Staying, there: Staying) {
        let state = self.state;
        if there.live == 0 {
            return;
        }
        let target = state.target();
        // Those that may just have died, all at once, are nobody's relief before a second look.
        let doubtful = state.suspicion.as_ref().map_or(0, |suspicion| suspicion.workers);
        let relief = here.running.saturating_sub(doubtful).min(target.into());
        let (floor, ceiling) =
            (self.policy().floor(target), self.policy().ceiling(target, state.per_container));
        let may_go = (there.live + relief).saturating_sub(floor.into());
        let candidates = if may_go > 0 { self.candidates(left.side) } else { Vec::new() };
        let choice = victims::choose(&candidates, may_go, self.policy().prefer);
        // Of a cluster that shall have none, nobody is replaced.
        let why = if target == 0 { KillReason::Surplus } else { KillReason::Moved };
        let span = ceiling.saturating_sub(floor);
        if choice.handles.is_empty()
            && let Some(smallest) = self.smallest_beyond(left.side, span)
        {
            self.because(Reason::MoveBlocked { target, ceiling, floor, smallest });
        }
        self.kill(choice.handles, why);
    }

    /// The workers of the smallest container of a side, where none is so small that it fits.
    fn smallest_beyond(&self, side: Side, span: u32) -> Option<u32> {
        let alive = self
            .state
            .handles()
            .map(|(_, handle)| handle)
            .filter(|handle| handle.side == side && !matches!(handle.phase, Phase::Terminating { .. }));
        let mut smallest = None;
        for handle in alive {
            if handle.workers <= span {
                return None;
            }
            smallest = Some(smallest.map_or(handle.workers, |least: u32| least.min(handle.workers)));
        }
        smallest
    }

    fn staying(&self, side: Side) -> Staying {
        let tally = self.state.handles.tally_on(side);
        let mut staying = Staying { live: tally.live(), running: tally.running };
        for handle in self.killed_now().filter_map(|id| self.state.handle(id)) {
            let workers = if handle.side == side { u64::from(handle.workers) } else { 0 };
            staying.live -= workers;
            if handle.phase == Phase::Running {
                staying.running -= workers;
            }
        }
        staying
    }

    /// Who of a side may be killed, and is not by this plan already.
    pub(super) fn candidates(&self, side: Side) -> Vec<Candidate<crate::HandleId>> {
        let already: std::collections::BTreeSet<_> = self.killed_now().collect();
        let alive = self.state.handles().filter(|(id, handle)| {
            handle.side == side && !matches!(handle.phase, Phase::Terminating { .. }) && !already.contains(id)
        });
        let candidate = |(id, handle): (crate::HandleId, &crate::Handle)| Candidate {
            id,
            workers: handle.workers,
            initializing: matches!(handle.phase, Phase::Initializing { .. }),
            launched_at: handle.launched_at.as_millis(),
        };
        alive.map(candidate).collect()
    }
}
