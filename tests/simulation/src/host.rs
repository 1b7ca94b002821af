//! The host's shell in the simulated world: the same few steps as the real one goes through, on the very same cycle of the
//! core. Between any two of them it may end, stand still, or be taken for dead.

use std::{collections::VecDeque, time::Duration};

use longshore_scaling::{Action, Change, Command, Desired, Observation, PlanReport, Record, Step, Time};

use crate::{
    checkers::Checker,
    coverage::{self, Event as Counted},
    fault::Fault,
    mutation::{Core, Mutation},
    queue::{Event, HostId},
    trace::{Who, say},
    world::{Stage, World},
};

/// How long a host waits before it tries a journal again that failed.
const JOURNAL_RETRY: u64 = 1_000;

/// By how much a clock is put forward or back at most, in milliseconds.
const CLOCK_ERROR: u64 = 7_200_000;

/// A message that waits for the host.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Seen(Observation),
    Command(Command),
}

/// What an append is for.
#[derive(Debug)]
enum Purpose {
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
struct Append {
    records: Vec<Record>,
    purpose: Purpose,
}

/// A host process.
#[derive(Debug)]
pub(crate) struct Host {
    term: u64,
    /// Its clock at its beginning, and when that was.
    epoch: Time,
    born: u64,
    /// By how much its clock was put forward since.
    leapt: u64,
    /// The cluster, where it has one.
    pub(crate) core: Option<Core>,
    pub(crate) inbox: VecDeque<Message>,
    /// Whether the core knows what the provider of this host can do.
    is_attached: bool,
    /// A command that is decided on once all that was seen before counts.
    command: Option<Command>,
    append: Option<Append>,
    /// Actions that are still to be carried out.
    actions: VecDeque<Action>,
    /// Whether it is in the middle of a turn: it takes no message before that is over.
    in_turn: bool,
    /// Which of its timers counts.
    pub(crate) stamp: u64,
    /// When it shall wake, by its own clock.
    wake_at: Option<Time>,
    pub(crate) is_frozen: bool,
    /// It was taken for dead.
    pub(crate) is_zombie: bool,
    /// Why nothing moved, when it rested last.
    pub(crate) report: PlanReport,
}

impl Host {
    /// Whether it is doing nothing at all just now.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_frozen
            && self.append.is_none()
            && self.inbox.is_empty()
            && self.command.is_none()
            && self.actions.is_empty()
    }
}

impl World {
    /// The host that is in charge, if there is one.
    pub(crate) fn current(&self) -> Option<HostId> {
        self.hosts.iter().find(|(_, host)| !host.is_zombie).map(|(id, _)| *id)
    }

    pub(crate) fn host_now(&self, id: HostId) -> Time {
        let Some(host) = self.hosts.get(&id) else { return self.wall() };
        host.epoch + Duration::from_millis(self.now - host.born + host.leapt)
    }

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
        let latest = found.state.as_ref().map_or(Time::default(), longshore_scaling::State::latest);
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
            self.shape.traits.initialize = !self.shape.traits.initialize;
        }
        self.drive(id);
    }

    /// What was refused may be there after all, now that another host looks.
    fn settle_limbo(&mut self) {
        let Some(records) = self.store.take_limbo() else { return };
        if self.chaos.dice().coin() {
            self.count(Counted::LimboFound);
            say!(self, Who::Journal, "an append that was refused is there: {}", told(&records));
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
    fn tear(&mut self, id: HostId, records: &[Record]) {
        if self.chaos.dice().coin() {
            self.count(Counted::TornKept);
            say!(self, Who::Journal, "an append that was cut off is there: {}", told(records));
            self.commit(id, records);
        } else {
            self.count(Counted::TornLost);
            say!(self, Who::Journal, "an append that was cut off is not there: {}", told(records));
        }
    }

    fn commit(&mut self, id: HostId, records: &[Record]) {
        if records.iter().any(|record| matches!(record.change, Change::Created { .. })) {
            self.checkers.new_life();
            self.backend.disown();
            self.lives += 1;
            if self.lives > 1 {
                self.count(Counted::Recreated);
            }
        }
        self.store.append(records);
        self.checkers.durable(id, records, &self.backend);
        self.last_record = self.now;
        for record in records {
            self.coverage.count("change", coverage::change(&record.change));
            if matches!(record.change, Change::Reconnected { .. }) {
                self.count(Counted::ClusterTakenOver);
            }
        }
        // That a crash loop is forgiven comes by time alone, and once.
        let stirring = records.iter().any(|record| record.change != Change::Stable);
        if matches!(self.stage, Stage::Quiet { .. }) && stirring {
            self.checkers.stirs(&told(records));
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

    fn freeze(&mut self, id: HostId) {
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

    /// Puts a message into a host's inbox, and lets it go on.
    pub(crate) fn tell(&mut self, id: HostId, message: Message) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.inbox.push_back(message);
            self.drive(id);
        }
    }

    /// Lets a host go on until it rests, waits, or is no more.
    pub(crate) fn drive(&mut self, id: HostId) {
        let mut steps = 0;
        while self.step(id) && self.checkers.violation.is_none() {
            steps += 1;
            self.checkers.steps(steps, "it goes on and on");
        }
    }

    /// One step; whether there may be another at once.
    fn step(&mut self, id: HostId) -> bool {
        let now = self.host_now(id);
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        if host.is_frozen || host.append.is_some() {
            return false;
        }
        if let Some(action) = host.actions.pop_front() {
            return self.act(id, &action, now);
        }
        if !host.in_turn {
            if host.core.is_some() && !host.is_attached {
                return self.attach(id, now);
            }
            if let Some(command) = host.command.take() {
                return self.obey(id, command, now);
            }
            match host.inbox.pop_front() {
                Some(Message::Seen(observation)) => {
                    if let Some(core) = &mut host.core {
                        core.see(observation);
                    }
                    return true;
                }
                Some(Message::Command(command)) => {
                    host.command = Some(command);
                    return true;
                }
                None => {}
            }
        }
        let Some(core) = &mut host.core else { return false };
        match core.next(now) {
            Step::Write(records) => {
                host.in_turn = true;
                self.append(id, records, Purpose::Step)
            }
            Step::Act(actions) => {
                host.actions = actions.into();
                if self.strikes(Fault::CrashAfterWrite) {
                    self.host_ends(id, "ends before it acts");
                } else if self.strikes(Fault::Stall) {
                    self.freeze(id);
                }
                true
            }
            Step::Rest { wake_at, report } => {
                host.in_turn = false;
                self.rests(id, now, wake_at, report);
                // What came in meanwhile is taken now.
                self.hosts.get(&id).is_some_and(|host| !host.inbox.is_empty())
            }
        }
    }

    fn act(&mut self, id: HostId, action: &Action, now: Time) -> bool {
        self.coverage.count("action", coverage::action(action));
        if matches!(self.stage, Stage::Quiet { .. })
            && matches!(action, Action::Launch { .. } | Action::Kill { .. } | Action::Initialize)
        {
            self.checkers.stirs(&format!("{action:?}"));
        }
        self.carry_out(id, action, now);
        if self.strikes(Fault::CrashBetween) {
            self.host_ends(id, "ends between two calls");
        }
        true
    }

    /// Lets the core know what the provider at hand can do, before anything is decided that relies on it.
    fn attach(&mut self, id: HostId, now: Time) -> bool {
        let traits = self.shape.traits;
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        let Some(core) = &mut host.core else { return false };
        if let Some(records) = core.catch_up(now) {
            return self.append(id, records, Purpose::Step);
        }
        self.coverage.count("command", "attach");
        let records = match core.admit(now, &Command::Attach { traits }) {
            Ok(records) => records,
            Err(denied) => {
                let saw = format!("a host is denied to tell what its provider can do: {denied}");
                self.checkers.fail(Checker::AcknowledgedIsKept, saw);
                return false;
            }
        };
        host.is_attached = records.is_empty();
        records.is_empty() || self.append(id, records, Purpose::Attach)
    }

    fn obey(&mut self, id: HostId, command: Command, now: Time) -> bool {
        let mutation = self.mutation;
        self.coverage.count("command", coverage::command(&command));
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        let Some(core) = &mut host.core else {
            let made = match &command {
                Command::Create { .. } => Core::create(now, &command, mutation),
                _ => return true,
            };
            return match made {
                Ok((records, core)) => self.append(id, records, Purpose::Create(Box::new(core))),
                Err(denied) => self.deny(&denied),
            };
        };
        if matches!(command, Command::Create { .. }) {
            say!(self, Who::Operator, "is told that there is such a cluster");
            return true;
        }
        // What was seen before the command was given counts before it.
        if let Some(records) = core.catch_up(now) {
            host.command = Some(command);
            return self.append(id, records, Purpose::Step);
        }
        match core.admit(now, &command) {
            Ok(records) if records.is_empty() => {
                say!(self, Who::Operator, "is told that all is as asked already");
                true
            }
            Ok(records) => {
                if mutation == Some(Mutation::AcknowledgesEarly) {
                    self.checkers.acknowledged(&records);
                }
                self.append(id, records, Purpose::Command)
            }
            Err(denied) => self.deny(&denied),
        }
    }

    fn deny(&mut self, denied: &longshore_scaling::Denied) -> bool {
        self.coverage.count("denied", coverage::denied(denied));
        say!(self, Who::Operator, "is denied: {denied}");
        true
    }

    /// Gives records to the journal.
    fn append(&mut self, id: HostId, records: Vec<Record>, purpose: Purpose) -> bool {
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
    fn is_fenced(&mut self, id: HostId) -> bool {
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
            say!(self, Who::Journal, "has {}", told(&records));
            self.commit(id, &records);
        }
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        match purpose {
            Purpose::Step => host.core.iter_mut().for_each(Core::written),
            Purpose::Attach => {
                host.is_attached = true;
                host.core.iter_mut().for_each(Core::written);
            }
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
        say!(self, Who::Journal, "refuses {}", told(&records));
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

    fn rests(&mut self, id: HostId, now: Time, wake_at: Option<Time>, report: PlanReport) {
        for reason in &report.reasons {
            self.coverage.count("reason", coverage::reason(reason));
        }
        let compare = self.host_dice.chance(100);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let Some(core) = &host.core else { return };
        let kinds = |report: &PlanReport| report.reasons.iter().map(coverage::reason).collect::<Vec<_>>();
        if self.trace.is_on() && kinds(&host.report) != kinds(&report) {
            say!(self, Who::Host(id.0), "rests: {}", report.to_string().replace('\n', "; "));
        }
        // One that was taken for dead may know less than the journal has.
        if !host.is_zombie {
            self.checkers.rests(core.state(), &report, now, wake_at);
            if compare {
                self.checkers.compare(core.state(), self.store.read());
                self.coverage.event(Counted::Replayed);
            }
        }
        (host.report, host.wake_at) = (report, wake_at);
        let state = core.state();
        let has_left = state.is_resting() && state.handle_count() == 0 && state.launches().next().is_none();
        if state.is_finished() {
            self.finish(id);
        } else if has_left && state.desired() != Desired::Deleted && !host.is_zombie {
            self.count(Counted::HostLeft);
            self.host_ends(id, "leaves, and its workers are gone");
        } else {
            self.set_timer(id);
        }
    }

    fn set_timer(&mut self, id: HostId) {
        let now = self.host_now(id);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.stamp += 1;
        if let Some(wake_at) = host.wake_at {
            let wait = wake_at.since(now).as_millis() as u64;
            self.queue.push(self.now + wait, Event::Timer { host: id, stamp: host.stamp });
        }
    }

    /// A deleted cluster is gone: the host forgets it.
    fn finish(&mut self, id: HostId) {
        if self.is_fenced(id) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let Some(core) = host.core.take() else { return };
        say!(self, Who::Host(id.0), "the cluster is gone");
        self.checkers.compare(core.state(), self.store.read());
        self.checkers.finished(core.state(), &self.backend);
        self.count(Counted::Finished);
        self.store.remove();
        if matches!(self.stage, Stage::Deleting { .. }) {
            self.stage = Stage::Done;
        }
    }
}

/// Records, in a few words each.
pub(crate) fn told(records: &[Record]) -> String {
    const LONGEST: usize = 160;
    let words = records.iter().map(|record| {
        let mut words = format!("{:?}", record.change);
        if words.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
            words.truncate(end);
            words.push('…');
        }
        words
    });
    words.collect::<Vec<_>>().join(" + ")
}
