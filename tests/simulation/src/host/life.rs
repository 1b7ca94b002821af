//! How hosts begin, stand still, are taken for dead, and end.

use std::collections::VecDeque;

use longshore_scaling::{PlanReport, ProviderTraits, Record, State, Time};

use super::{Host, JOURNAL_RETRY, journal::Append};
use crate::{
    checkers::Checker,
    coverage::Event as Counted,
    fault::Fault,
    queue::{Event, HostId},
    seam::Core,
    trace::{Who, say},
    world::World,
};

/// By how much a clock is put forward or back at most, in milliseconds.
const CLOCK_ERROR: u64 = 7_200_000;

impl World {
    pub(crate) fn host_starts(&mut self) {
        if self.current().is_some() {
            return;
        }
        if self.strikes(Fault::ReadFails) {
            self.queue.push(self.now + JOURNAL_RETRY, Event::HostStarts);
            return;
        }
        if self.strikes(Fault::ClockForward) {
            self.clock_error += i64::from(self.chaos.dice().magnitude(1, CLOCK_ERROR) as u32);
        }
        if self.strikes(Fault::ClockBack) {
            self.clock_error -= i64::from(self.chaos.dice().magnitude(1, CLOCK_ERROR) as u32);
        }
        self.settle_limbo();
        let from_snapshot = self.store.has_snapshot();
        let found = match self.store.claim() {
            Ok(found) => found,
            Err(why) => return self.checkers.fail(Checker::ReplayEqualsLive, why),
        };
        let id = HostId(self.next_host);
        self.next_host += 1;
        self.count(Counted::HostStarted);
        if from_snapshot {
            self.count(Counted::FromSnapshot);
        }
        // The shell's rule: time never goes back before the last record.
        let latest = found.state.as_ref().map_or(Time::default(), State::latest);
        let epoch = self.wall().max(latest);
        say!(self, Who::Host(id.0), "begins, term {}, at {} ms by its clock", found.term, epoch.as_millis());
        let core = found.state.map(|state| Core::recover(state, epoch, found.term, self.mutation));
        if let Some(core) = &core {
            // What was durable is what is there, before anything new is decided.
            self.checkers.recovered(core.state());
        }
        let host = Host {
            term: found.term,
            epoch,
            born: self.now,
            leapt: 0,
            core,
            inbox: VecDeque::new(),
            is_attached: false,
            command: None,
            append: None,
            actions: VecDeque::new(),
            in_turn: false,
            stamp: 0,
            wake_at: None,
            is_frozen: false,
            is_zombie: false,
            report: PlanReport::default(),
        };
        self.hosts.insert(id, host);
        if self.strikes(Fault::CrashOnStart) {
            self.host_ends(id, "ends as soon as it has begun");
            return;
        }
        if self.host_dice.chance(2_500) {
            // The plugin is another version than before.
            let side = self.checkers.ledger.side;
            let traits = self.traits_of(side);
            self.exchange(side, ProviderTraits { initialize: !traits.initialize, ..traits });
        }
        self.drive(id);
    }

    /// What was refused may be there after all, now that another host looks.
    fn settle_limbo(&mut self) {
        let Some(records) = self.store.take_limbo() else { return };
        if self.chaos.dice().coin() {
            self.count(Counted::LimboFound);
            say!(self, Who::Journal, "an append that was refused is there: {}", self.told(&records));
            self.commit(HostId(0), &records);
            // Whoever decided it does not know that it is durable, and is gone.
            self.checkers.host_ended(HostId(0));
        }
    }

    /// A host is gone, with all that only it knew.
    pub(crate) fn host_ends(&mut self, id: HostId, how: &str) {
        let Some(host) = self.hosts.remove(&id) else { return };
        say!(self, Who::Host(id.0), "{how}");
        if let Some(Append { records, .. }) = host.append
            && self.store.is_current(host.term)
        {
            self.tear(id, &records);
        }
        self.checkers.host_ended(id);
        self.cut_off_calls(id);
        if !host.is_zombie {
            let pause = self.host_dice.magnitude(0, self.shape.pause);
            self.queue.push(self.now + pause, Event::HostStarts);
        }
    }

    /// An append is cut off in the middle: all of it is there, or nothing.
    pub(super) fn tear(&mut self, id: HostId, records: &[Record]) {
        if self.chaos.dice().coin() {
            self.count(Counted::TornKept);
            say!(self, Who::Journal, "an append that was cut off is there: {}", self.told(records));
            self.commit(id, records);
        } else {
            self.count(Counted::TornLost);
            say!(self, Who::Journal, "an append that was cut off is not there: {}", self.told(records));
        }
    }

    /// Faults that befall hosts by themselves.
    pub(crate) fn trouble_hosts(&mut self) {
        let Some(id) = self.current() else { return };
        if self.strikes(Fault::CrashAnytime) {
            return self.host_ends(id, "ends");
        }
        let has_zombie = self.hosts.len() > 1;
        if !has_zombie && self.strikes(Fault::Takeover) {
            // The old one may go on for as long as calls of an ended host may.
            let linger = self.shape.linger;
            let ends = self.now + self.chaos.dice().between(0, linger);
            if let Some(host) = self.hosts.get_mut(&id) {
                host.is_zombie = true;
            }
            say!(self, Who::Host(id.0), "is taken for dead");
            self.calls.fence(id, self.now + linger);
            self.queue.push(ends, Event::Ends { host: id });
            return self.host_starts();
        }
        if self.strikes(Fault::Stall) {
            self.freeze(id);
        }
        if self.strikes(Fault::ClockLeap) {
            let leap = self.chaos.dice().magnitude(1, 600_000);
            if let Some(host) = self.hosts.get_mut(&id) {
                host.leapt += leap;
            }
            say!(self, Who::Host(id.0), "finds its clock {leap} ms ahead");
            self.set_timer(id);
        }
    }

    pub(super) fn freeze(&mut self, id: HostId) {
        let thaws = self.now + self.chaos.dice().magnitude(10, 60_000);
        if let Some(host) = self.hosts.get_mut(&id)
            && !host.is_frozen
        {
            host.is_frozen = true;
            self.queue.push(thaws, Event::Thaws { host: id });
        }
    }

    pub(crate) fn host_thaws(&mut self, id: HostId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.is_frozen = false;
            say!(self, Who::Host(id.0), "goes on");
            self.drive(id);
        }
    }
}
