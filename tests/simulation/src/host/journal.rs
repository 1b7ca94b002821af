//! How a host writes its journal, and what becomes of what it writes.

use longshore_scaling::{Change, HandleId, Names, NewHandle, Record, Side, tell};

use super::JOURNAL_RETRY;
use crate::{
    checkers::Ledger,
    coverage::{self, Event as Counted},
    fault::Fault,
    queue::{Event, HostId},
    seam::Core,
    trace::{Who, say},
    world::{Stage, World},
};

/// So many handles of a change a history names by itself.
const TOLD_HANDLES: usize = 3;

/// What an append is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The cycle asked for it.
    Step,
    /// What the provider can do.
    Attach,
    /// A command, whose operator waits.
    Command,
    /// The first records of a cluster.
    Create(Box<Core>),
}

#[derive(Debug)]
pub(super) struct Append {
    pub(super) records: Vec<Record>,
    pub(super) purpose: Purpose,
}

impl World {
    /// The cluster goes to another provider: what comes with the move says what that one can do.
    fn note_move(&mut self, records: &[Record]) {
        let side = records.iter().find_map(|record| match record.change {
            Change::MoveStarted { side, .. } => Some(side),
            _ => None,
        });
        let traits = records.iter().find_map(|record| match record.change {
            Change::Updated { traits, .. } => Some(traits),
            _ => None,
        });
        let Some((side, traits)) = side.zip(traits) else { return };
        if self.checkers.ledger.left_side() == Some(side) {
            return self.count(Counted::TurnedBack);
        }
        if side != Side(0) {
            self.providers.insert(side, traits);
        }
    }

    /// Gives records to the journal.
    pub(super) fn append(&mut self, id: HostId, records: Vec<Record>, purpose: Purpose) -> bool {
        if self.strikes(Fault::CrashInWrite) {
            if self.is_fenced(id) {
                return false;
            }
            self.tear(id, &records);
            self.host_ends(id, "ends in the middle of an append");
            return false;
        }
        let is_slow = self.strikes(Fault::AppendSlow);
        let time = self.chaos.dice().magnitude(1, 3_000);
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        host.append = Some(Append { records, purpose });
        if is_slow {
            self.queue.push(self.now + time, Event::Appended { host: id });
            return false;
        }
        self.appended_now(id)
    }

    pub(crate) fn appended(&mut self, id: HostId) {
        if self.appended_now(id) {
            self.drive(id);
        }
    }

    /// A host whose lease has ended learns of it when it writes, and ends.
    pub(super) fn is_fenced(&mut self, id: HostId) -> bool {
        let fenced = self.hosts.get(&id).is_none_or(|host| !self.store.is_current(host.term));
        if fenced && self.hosts.contains_key(&id) {
            self.count(Counted::Fenced);
            if let Some(host) = self.hosts.get_mut(&id) {
                host.append = None;
            }
            self.host_ends(id, "may write no more, and ends");
        }
        fenced
    }

    fn appended_now(&mut self, id: HostId) -> bool {
        if self.is_fenced(id) {
            return false;
        }
        let Some(append) = self.hosts.get_mut(&id).and_then(|host| host.append.take()) else { return false };
        let Append { records, purpose } = append;
        let fails = self.strikes(Fault::AppendFails);
        let in_limbo = !fails && self.strikes(Fault::AppendLimbo);
        if fails || in_limbo {
            return self.refused(id, records, &purpose, in_limbo);
        }
        if !records.is_empty() {
            say!(self, Who::Journal, "has {}", self.told(&records));
            self.commit(id, &records);
        }
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        match purpose {
            // Whether all is known now that the providers can do is seen when there is nothing more to tell.
            Purpose::Step | Purpose::Attach => host.core.iter_mut().for_each(Core::written),
            Purpose::Command => {
                host.core.iter_mut().for_each(Core::written);
                self.checkers.acknowledged(&records);
            }
            Purpose::Create(core) => {
                host.core = Some(*core);
                self.checkers.acknowledged(&records);
            }
        }
        self.compact(id);
        true
    }

    fn refused(&mut self, id: HostId, records: Vec<Record>, purpose: &Purpose, in_limbo: bool) -> bool {
        say!(self, Who::Journal, "refuses {}", self.told(&records));
        if in_limbo && !matches!(purpose, Purpose::Create(_)) {
            self.store.refuse(records);
        }
        let retry = self.now + JOURNAL_RETRY;
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        host.core.iter_mut().for_each(Core::refused);
        // Who gave a command is told that it failed, the one that waits for its turn as well.
        host.command = None;
        host.in_turn = false;
        host.stamp += 1;
        let stamp = host.stamp;
        self.queue.push(retry, Event::Timer { host: id, stamp });
        false
    }

    fn compact(&mut self, id: HostId) {
        if self.store.tail() < self.shape.compact_after || self.strikes(Fault::CompactFails) {
            return;
        }
        let Some(core) = self.hosts.get(&id).and_then(|host| host.core.as_ref()) else { return };
        self.store.compact(core.snapshot());
        self.count(Counted::Compacted);
        say!(self, Who::Journal, "keeps a snapshot in the place of all records");
    }

    pub(super) fn commit(&mut self, id: HostId, records: &[Record]) {
        if records.iter().any(|record| matches!(record.change, Change::Created { .. })) {
            self.checkers.new_life();
            self.backend.disown();
            self.providers.clear();
            self.lives += 1;
            if self.lives > 1 {
                self.count(Counted::Recreated);
            }
        }
        self.store.append(records);
        self.note_move(records);
        let before = self.checkers.ledger.server.map(|server| server.kind);
        self.checkers.durable(id, records, &self.backend);
        let updates = |record: &Record| matches!(record.change, Change::Updated { .. });
        if before != self.checkers.ledger.server.map(|server| server.kind) && records.iter().any(updates) {
            self.count(Counted::ServerOfAnotherKind);
        }
        self.last_record = self.now;
        for record in records {
            self.coverage.count("change", coverage::change(&record.change));
            match record.change {
                Change::Reconnected { .. } => self.count(Counted::ClusterTakenOver),
                // The configuration that came with it says where the server is.
                Change::Updated { .. } => {
                    self.external_home = self.next_external_home.take().unwrap_or(self.external_home);
                }
                _ => {}
            }
        }
        // That a crash loop is forgiven comes by time alone, and once.
        let stirring = records.iter().any(|record| record.change != Change::Stable);
        if matches!(self.stage, Stage::Quiet { .. }) && stirring {
            let what = self.told(records);
            self.checkers.stirs(&what);
        }
    }
}

impl World {
    /// Records, in the words of a cluster's history.
    pub(super) fn told(&self, records: &[Record]) -> String {
        let ledger = &self.checkers.ledger;
        let words = records.iter().map(|record| {
            let names = handles(&record.change, ledger);
            // A history counts the handles of a large change; here each one is named, so that it can be followed.
            let all =
                if names.len() > TOLD_HANDLES { format!(" [{}]", names.join(" ")) } else { String::new() };
            format!("\u{201c}{}\u{201d}{all}", tell(&record.change, ledger))
        });
        words.collect::<Vec<_>>().join(" + ")
    }
}

/// The names of all handles of a change.
fn handles(change: &Change, ledger: &Ledger) -> Vec<String> {
    let name = |id: &HandleId| Some(ledger.handle(*id)?.to_string());
    let new = |handles: &[NewHandle]| handles.iter().map(|new| new.name.to_string()).collect();
    match change {
        Change::LaunchSettled { handles, .. }
        | Change::LaunchResolved { handles, .. }
        | Change::LaunchUnknown { claimed: handles, .. }
        | Change::StraysCondemned { handles }
        | Change::Adopted { handles } => new(handles),
        Change::KillStarted { handles, .. }
        | Change::KillAnswered { handles }
        | Change::KillFailed { handles, .. }
        | Change::Suspected { handles } => handles.iter().filter_map(name).collect(),
        Change::PhaseSeen { initializing, running } => {
            initializing.iter().chain(running).filter_map(name).collect()
        }
        Change::Gone { killed, died } => killed.iter().chain(died).filter_map(name).collect(),
        _ => Vec::new(),
    }
}
