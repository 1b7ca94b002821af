//! A cluster on its way from one provider to another. It has two *sides* then: what it leaves, and what it goes to. Whatever
//! a provider alone can tell is known of each side for itself, so that no handle, launch or answer of the one is ever taken
//! for one of the other, however alike their names are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    backoff::Backoff,
    ids::Side,
    policy::ProviderTraits,
    serving::Serving,
    state::{SideCalls, State, Suspicion},
    time::Time,
    trouble::Trouble,
};

/// Which provider a cluster goes to, and from which. To the core these are names, and nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The provider that its workers were launched on so far.
    pub from: Arc<str>,
    /// The provider that they are launched on from now on.
    pub to: Arc<str>,
}

/// The side that a cluster leaves, with what is known of it alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leaving {
    pub(crate) side: Side,
    pub(crate) provider: Arc<str>,
    pub(crate) since: Time,
    pub(crate) traits: ProviderTraits,
    #[serde(default)]
    pub(crate) serving: Option<Serving>,
    pub(crate) suspicion: Option<Suspicion>,
    pub(crate) launch_backoff: Backoff,
    pub(crate) launch_trouble: Option<Trouble>,
}

impl Leaving {
    /// Which side it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The name of its provider.
    pub fn provider(&self) -> &Arc<str> {
        &self.provider
    }

    /// Since when it is left.
    pub fn since(&self) -> Time {
        self.since
    }
}

impl State {
    /// The side that workers are launched on.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The side that the cluster leaves, while it moves to another provider.
    pub fn leaving(&self) -> Option<&Leaving> {
        self.leaving.as_ref()
    }

    /// Its sides: the one that workers are launched on, and the one that it leaves, where it does.
    pub(crate) fn sides(&self) -> impl Iterator<Item = Side> + use<> {
        [Some(self.side), self.leaving.as_ref().map(|left| left.side)].into_iter().flatten()
    }

    pub(crate) fn has_side(&self, side: Side) -> bool {
        self.sides().any(|one| one == side)
    }

    pub(crate) fn left(&self, side: Side) -> Option<&Leaving> {
        self.leaving.as_ref().filter(|left| left.side == side)
    }

    /// What the provider of a side can do.
    pub fn traits_of(&self, side: Side) -> ProviderTraits {
        self.left(side).map_or(self.traits, |left| left.traits)
    }

    pub(crate) fn suspicion_of(&self, side: Side) -> Option<&Suspicion> {
        self.left(side).map_or(self.suspicion.as_ref(), |left| left.suspicion.as_ref())
    }

    pub(crate) fn launch_backoff_of(&self, side: Side) -> Backoff {
        self.left(side).map_or(self.launch_backoff, |left| left.launch_backoff)
    }

    pub(crate) fn calls_of(&self, side: Side) -> &SideCalls {
        if self.left(side).is_some() { &self.calls.left } else { &self.calls.here }
    }

    /// Workers of a side that launches may still bring.
    pub(crate) fn held_on(&self, side: Side) -> u64 {
        let of_it = self.launches.values().filter(|launch| launch.side == side);
        of_it.map(|launch| u64::from(launch.held())).sum()
    }

    pub(crate) fn strays_on(&self, side: Side) -> u64 {
        let of_it = self.strays.iter().filter(|((of, _), _)| *of == side);
        of_it.map(|(_, stray)| u64::from(stray.workers)).sum()
    }

    /// Whether nothing of a side is known that lives, or may yet come to light.
    pub(crate) fn is_side_empty(&self, side: Side) -> bool {
        self.handles.count_on(side) == 0
            && self.launches.values().all(|launch| launch.side != side)
            && self.strays.keys().all(|(of, _)| *of != side)
    }

    /// Whether the provider of a side, where it can, has listed all workers since the last one was buried.
    pub(crate) fn has_looked_since_last_death(&self, side: Side) -> bool {
        let listed_at = self.calls_of(side).list.succeeded_at;
        !self.traits_of(side).list || listed_at.is_some_and(|asked_at| asked_at > self.last_gone)
    }

    /// Workers that are left on the side which the cluster leaves: those that are there, and those that may be.
    pub fn left_behind(&self) -> u64 {
        let Some(left) = &self.leaving else { return 0 };
        let tally = self.handles.tally_on(left.side);
        tally.live() + tally.terminating + self.held_on(left.side) + self.strays_on(left.side)
    }
}
