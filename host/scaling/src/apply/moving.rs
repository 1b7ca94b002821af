//! What the records of a move do to the state, and where what is known of one side alone is kept.

use std::sync::Arc;

use crate::{
    backoff::Backoff,
    ids::{HandleId, Side},
    moving::Leaving,
    policy::{Policy, ProviderTraits},
    serving::Serving,
    state::{SideCalls, State, Suspicion},
    time::Time,
    trouble::Trouble,
};

/// What is known of one side alone, to be changed.
pub(super) struct OnSide<'a> {
    pub(super) traits: &'a mut ProviderTraits,
    pub(super) serving: &'a mut Option<Serving>,
    pub(super) suspicion: &'a mut Option<Suspicion>,
    pub(super) launch_backoff: &'a mut Backoff,
    pub(super) launch_trouble: &'a mut Option<Trouble>,
    pub(super) calls: &'a mut SideCalls,
    pub(super) policy: &'a Policy,
}

impl State {
    /// What is known of the side that is left, where it is that one, or of the one that workers are launched on.
    pub(super) fn on(&mut self, side: Side) -> OnSide<'_> {
        let policy = &self.policy;
        match self.leaving.as_mut().filter(|left| left.side == side) {
            Some(left) => OnSide {
                traits: &mut left.traits,
                serving: &mut left.serving,
                suspicion: &mut left.suspicion,
                launch_backoff: &mut left.launch_backoff,
                launch_trouble: &mut left.launch_trouble,
                calls: &mut self.calls.left,
                policy,
            },
            None => OnSide {
                traits: &mut self.traits,
                serving: &mut self.serving,
                suspicion: &mut self.suspicion,
                launch_backoff: &mut self.launch_backoff,
                launch_trouble: &mut self.launch_trouble,
                calls: &mut self.calls.here,
                policy,
            },
        }
    }

    /// Leaves a provider for another one, or turns back to the one that it was leaving. What the new one can do comes with the
    /// configuration that names it.
    pub(super) fn set_out(&mut self, from: &Arc<str>, to: Side, now: Time) {
        let before = self.leaving.replace(Leaving {
            side: self.side,
            provider: Arc::clone(from),
            since: now,
            traits: self.traits,
            serving: self.serving.take(),
            suspicion: self.suspicion.take(),
            launch_backoff: self.launch_backoff,
            launch_trouble: self.launch_trouble.take(),
        });
        std::mem::swap(&mut self.calls.here, &mut self.calls.left);
        match before.filter(|left| left.side == to) {
            Some(back) => {
                (self.suspicion, self.launch_trouble) = (back.suspicion, back.launch_trouble);
                self.serving = back.serving;
            }
            // Of the new one nothing was asked yet.
            None => self.calls.here = SideCalls::default(),
        }
        self.launch_backoff.succeed();
        self.crash_backoff.succeed();
        self.side = to;
        self.latest_side = self.latest_side.max(to);
    }

    /// Lets go of the provider that was left.
    pub(super) fn arrive(&mut self) {
        self.leaving = None;
        self.calls.left = SideCalls::default();
    }

    /// Where nobody is left on a side, there is nobody to look at a second time.
    pub(super) fn suspect_nobody_of_none(&mut self) {
        for side in self.sides().filter(|side| self.handles.count_on(*side) == 0).collect::<Vec<_>>() {
            *self.on(side).suspicion = None;
        }
    }

    /// What waits on either side waits no longer.
    pub(super) fn hurry_sides(&mut self) {
        for side in self.sides() {
            let on = self.on(side);
            on.launch_backoff.hurry();
            on.calls.status.hurry();
            on.calls.initialize.backoff.hurry();
            if on.traits.list {
                on.calls.list.hurry();
            }
        }
    }

    /// The side of handles that are all of one.
    pub(super) fn side_of(&self, handles: &[HandleId]) -> Side {
        let known = handles.iter().find_map(|id| self.handles.get(*id));
        known.map_or(self.side, |handle| handle.side)
    }
}
