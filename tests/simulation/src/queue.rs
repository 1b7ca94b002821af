//! Virtual time: what will happen, in order. Of two events of the same moment a coin of the run's decides which is first.

use std::collections::BTreeMap;

use longshore_scaling::Seen;

use crate::{
    backend::Name,
    dice::{Dice, Stream},
};

/// A call to the provider, by its number in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) u64);

/// A host process, by its number in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(crate) u32);

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A host's timer runs out, unless it was set anew since.
    Timer { host: HostId, stamp: u64 },
    /// A host begins.
    HostStarts,
    /// A host's append has come to its end.
    Appended { host: HostId },
    /// A host that stood still goes on.
    Thaws { host: HostId },
    /// A host that was taken for dead is dead.
    Ends { host: HostId },
    /// A call takes effect in the backend.
    Effect { call: CallId },
    /// A call is answered.
    Answer { call: CallId },
    /// A call's deadline passes.
    Deadline { call: CallId },
    /// A container changes.
    Becomes { name: Name, status: Seen },
    /// A server changes.
    ServerBecomes { number: u64, status: Seen },
    /// A server can be reached again.
    ServerReachable { number: u64 },
    /// The server that others run can be reached again.
    ExternalReachable,
    /// The backend is back.
    BlipEnds,
    /// Operators act.
    Operators,
    /// The surroundings may change.
    Tick,
    /// Faults end.
    Calm,
    /// Once faults have ended: is all as it should be?
    Inspect,
}

/// What will happen, by when. Times are milliseconds of the run.
#[derive(Debug)]
pub(crate) struct Queue {
    events: BTreeMap<(u64, u32, u64), Event>,
    pushed: u64,
    dice: Dice,
    /// When the last change of a container or server happens that is set already.
    last_change: u64,
}

impl Queue {
    pub(crate) fn new(seed: u64) -> Self {
        Self { events: BTreeMap::new(), pushed: 0, dice: Dice::new(seed, Stream::Queue), last_change: 0 }
    }

    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.pushed += 1;
        if matches!(event, Event::Becomes { .. } | Event::ServerBecomes { .. }) {
            self.last_change = self.last_change.max(at);
        }
        let coin = self.dice.bits() as u32;
        self.events.insert((at, coin, self.pushed), event);
    }

    /// When all that is set to become of containers and servers will have come.
    pub(crate) fn last_change(&self) -> u64 {
        self.last_change
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        self.events.pop_first().map(|((at, ..), event)| (at, event))
    }
}
