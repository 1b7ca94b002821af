//! The handles of one cluster, with the sums and the order that planning needs kept up to date at every change, so that
//! planning at rest does not walk over a million workers.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{HandleId, LaunchId, Side},
    names::Names,
    ordered::Ordered,
    record::NewHandle,
    time::Time,
};

/// Where a handle is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Launched, not yet at work, since then.
    Initializing {
        /// Since when.
        since: Time,
    },
    /// At work.
    Running,
    /// Told to stop, not yet seen stopped.
    Terminating {
        /// How often it was told.
        attempts: u32,
        /// When it was told last; once that has been answered, when it was.
        asked_at: Time,
        /// Whether the provider's answer to that is still out.
        in_flight: bool,
    },
}

/// One container: a handle and the workers that live and die with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// The provider's name for it.
    pub name: Arc<str>,
    /// How many workers it holds: at least 1.
    pub workers: u32,
    /// The side whose provider has it.
    #[serde(default, skip_serializing_if = "Side::is_first")]
    pub side: Side,
    /// The launch that it came from, where it is one of this cluster's.
    pub launch: Option<LaunchId>,
    /// When it was launched, as far as the host knows.
    pub launched_at: Time,
    /// Where it is in its life.
    pub phase: Phase,
}

/// Sums over a cluster's handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Workers that are initializing.
    pub initializing: u64,
    /// Workers that are running.
    pub running: u64,
    /// Workers that were told to stop and are not yet seen stopped.
    pub terminating: u64,
}

impl Tally {
    /// Workers that count towards what is expected.
    pub fn live(&self) -> u64 {
        self.initializing + self.running
    }

    fn with(self, other: Self) -> Self {
        Self {
            initializing: self.initializing + other.initializing,
            running: self.running + other.running,
            terminating: self.terminating + other.terminating,
        }
    }

    fn of(&mut self, phase: Phase) -> &mut u64 {
        match phase {
            Phase::Initializing { .. } => &mut self.initializing,
            Phase::Running => &mut self.running,
            Phase::Terminating { .. } => &mut self.terminating,
        }
    }
}

/// All handles of one cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handles {
    by_id: Ordered<HandleId, Handle>,
    by_name: Names,
    /// Those that are initializing, by since when: who has waited longest comes first.
    initializing: Ordered<(Time, HandleId), ()>,
    /// Those that were told to stop and whose kill has been answered, by when.
    dying: Ordered<(Time, HandleId), ()>,
    /// Those that were told to stop more than once.
    stubborn: Ordered<HandleId, ()>,
    /// By side: one, and two while the cluster moves.
    sides: Vec<OnSide>,
    next: u64,
}

/// What there is on one side; no side without a handle is kept.
#[derive(Clone, Copy, Debug)]
struct OnSide {
    side: Side,
    handles: usize,
    tally: Tally,
}

impl PartialEq for Handles {
    /// Everything else follows from these.
    fn eq(&self, other: &Self) -> bool {
        self.next == other.next && self.by_id == other.by_id
    }
}

impl Eq for Handles {}

impl Handles {
    pub(crate) fn tally(&self) -> Tally {
        self.sides.iter().fold(Tally::default(), |sum, on| sum.with(on.tally))
    }

    /// Sums over those of one side.
    pub(crate) fn tally_on(&self, side: Side) -> Tally {
        self.on(side).map_or_else(Tally::default, |on| on.tally)
    }

    /// How many are on one side.
    pub(crate) fn count_on(&self, side: Side) -> usize {
        self.on(side).map_or(0, |on| on.handles)
    }

    fn on(&self, side: Side) -> Option<&OnSide> {
        self.sides.iter().find(|on| on.side == side)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn get(&self, id: HandleId) -> Option<&Handle> {
        self.by_id.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (HandleId, &Handle)> {
        self.by_id.iter()
    }

    /// The one of that name on a side: another provider may use the same name for something else.
    pub(crate) fn find(&self, side: Side, name: &str) -> Option<HandleId> {
        self.by_name.find(name, is_named(&self.by_id, side, name))
    }

    /// Those that are initializing, with since when, longest first.
    pub(crate) fn initializing(&self) -> impl Iterator<Item = (Time, HandleId)> {
        self.initializing.keys()
    }

    /// Those that were told to stop and whose kill has been answered, with when, longest ago first.
    pub(crate) fn dying(&self) -> impl Iterator<Item = (Time, HandleId)> {
        self.dying.keys()
    }

    /// The oldest of those that were told to stop more than once.
    pub(crate) fn stubborn(&self) -> Option<HandleId> {
        self.stubborn.keys().next()
    }

    /// Those of them that wait until it is time to be told again.
    pub(crate) fn stubborn_and_answered(&self) -> impl Iterator<Item = HandleId> {
        let waits = |id: &HandleId| {
            self.get(*id)
                .is_some_and(|handle| matches!(handle.phase, Phase::Terminating { in_flight: false, .. }))
        };
        self.stubborn.keys().filter(waits)
    }

    /// The number that the next handle gets.
    pub(crate) fn next_id(&self) -> HandleId {
        HandleId(self.next)
    }

    /// Handles of one launch, or of none, that are not known yet, numbered as the next ones.
    pub(crate) fn number(
        &self,
        side: Side,
        handles: impl IntoIterator<Item = (Arc<str>, u32)>,
        launch: Option<LaunchId>,
    ) -> Vec<NewHandle> {
        self.number_each(side, handles.into_iter().map(|handle| (handle, launch)))
    }

    /// Handles that are not known yet, each with its launch, numbered as the next ones.
    pub(crate) fn number_each(
        &self,
        side: Side,
        handles: impl IntoIterator<Item = ((Arc<str>, u32), Option<LaunchId>)>,
    ) -> Vec<NewHandle> {
        let ids = (self.next..).map(HandleId);
        let numbered = ids.zip(handles);
        numbered
            .map(|(id, ((name, workers), launch))| NewHandle { id, name, workers, side, launch })
            .collect()
    }

    /// Numbers go on here, whatever the handles that are there have.
    pub(crate) fn go_on_at(&mut self, next: HandleId) {
        self.next = self.next.max(next.0);
    }

    /// Those whose kill has not been answered, with how often they were told to stop.
    pub(crate) fn being_killed(&self) -> impl Iterator<Item = (HandleId, u32)> {
        self.by_id.iter().filter_map(|(id, handle)| match handle.phase {
            Phase::Terminating { attempts, in_flight: true, .. } => Some((id, attempts)),
            _ => None,
        })
    }

    /// Makes room for so many more at once.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.by_name.reserve(more);
    }

    /// Adds a handle, unless one of that name or number is there; whether it did.
    pub(crate) fn insert(&mut self, id: HandleId, handle: Handle) -> bool {
        self.next = self.next.max(id.0.saturating_add(1));
        let is_new = self.by_id.get(id).is_none()
            && self.by_name.insert(&handle.name, id, is_named(&self.by_id, handle.side, &handle.name));
        if is_new {
            self.on_mut(handle.side).handles += 1;
            self.enter(id, handle.side, handle.phase, handle.workers);
            self.by_id.insert(id, handle);
        }
        is_new
    }

    pub(crate) fn remove(&mut self, id: HandleId) -> Option<Handle> {
        let handle = self.by_id.remove(id)?;
        self.by_name.remove(&handle.name, id);
        self.leave(id, handle.side, handle.phase, handle.workers);
        self.on_mut(handle.side).handles -= 1;
        self.sides.retain(|on| on.handles > 0);
        Some(handle)
    }

    pub(crate) fn set_phase(&mut self, id: HandleId, phase: Phase) {
        let Some(handle) = self.by_id.get_mut(id) else { return };
        let before = std::mem::replace(&mut handle.phase, phase);
        let (side, workers) = (handle.side, handle.workers);
        self.leave(id, side, before, workers);
        self.enter(id, side, phase, workers);
    }

    fn on_mut(&mut self, side: Side) -> &mut OnSide {
        let known = self.sides.iter().position(|on| on.side == side);
        let place = known.unwrap_or_else(|| {
            self.sides.push(OnSide { side, handles: 0, tally: Tally::default() });
            self.sides.len() - 1
        });
        &mut self.sides[place]
    }

    fn enter(&mut self, id: HandleId, side: Side, phase: Phase, workers: u32) {
        *self.on_mut(side).tally.of(phase) += u64::from(workers);
        match phase {
            Phase::Initializing { since } => _ = self.initializing.insert((since, id), ()),
            Phase::Running => {}
            Phase::Terminating { attempts, asked_at, in_flight } => {
                if !in_flight {
                    self.dying.insert((asked_at, id), ());
                }
                if attempts > 1 {
                    self.stubborn.insert(id, ());
                }
            }
        }
    }

    fn leave(&mut self, id: HandleId, side: Side, phase: Phase, workers: u32) {
        *self.on_mut(side).tally.of(phase) -= u64::from(workers);
        match phase {
            Phase::Initializing { since } => _ = self.initializing.remove((since, id)),
            Phase::Running => {}
            Phase::Terminating { asked_at, .. } => {
                self.dying.remove((asked_at, id));
                self.stubborn.remove(id);
            }
        }
    }
}

/// Whether a handle has a name on a side.
fn is_named(handles: &Ordered<HandleId, Handle>, side: Side, name: &str) -> impl Fn(HandleId) -> bool {
    move |id| handles.get(id).is_some_and(|handle| handle.side == side && *handle.name == *name)
}
