//! The host's shell in the simulated world: the same few steps as the real one goes through, on the very same cycle of the
//! core. Between any two of them it may end, stand still, or be taken for dead.

mod journal;
mod life;

use std::{collections::VecDeque, time::Duration};

use longshore_scaling::{Action, Command, Desired, Observation, PlanReport, Side, Step, Time};

use self::journal::{Append, Purpose};
use crate::{
    checkers::Checker,
    coverage::{self, Event as Counted},
    fault::Fault,
    mutation::Mutation,
    queue::{Event, HostId},
    seam::Core,
    trace::{Who, say},
    world::{Stage, World},
};

/// How long a host waits before it tries a journal again that failed.
const JOURNAL_RETRY: u64 = 1_000;

/// A message that waits for the host.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Seen(Side, Observation),
    Command(Command),
}

/// A host process.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each of them holds or not, whatever the others do")]
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
    /// Whether the core knows what the provider of this host can do and is made of.
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
    /// The provider at hand is another one: the core is to know what that can do.
    pub(crate) fn attach_anew(&mut self) {
        self.is_attached = false;
    }

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
                Some(Message::Seen(side, observation)) => {
                    if let Some(core) = &mut host.core {
                        core.see(side, observation);
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
            && !matches!(action, Action::Status { .. } | Action::List { .. } | Action::LookAtServer)
        {
            self.checkers.stirs(&format!("{action:?}"));
        }
        self.carry_out(id, action, now);
        if self.strikes(Fault::CrashBetween) {
            self.host_ends(id, "ends between two calls");
        }
        true
    }

    /// Lets the core know what the providers at hand can do and are made of, before anything is decided that relies on it.
    fn attach(&mut self, id: HostId, now: Time) -> bool {
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        let Some(core) = &mut host.core else { return false };
        if let Some(records) = core.catch_up(now) {
            return self.append(id, records, Purpose::Step);
        }
        let left = core.state().leaving().map(longshore_scaling::Leaving::side);
        for side in [Some(core.state().side()), left].into_iter().flatten() {
            for command in self.introductions(side) {
                self.coverage.count("command", coverage::command(&command));
                if matches!(command, Command::Lose { .. })
                    && let Some(plugin) = self.plugins.get_mut(&side)
                {
                    plugin.is_lost = false;
                }
                let core = self.hosts.get_mut(&id).and_then(|host| host.core.as_mut());
                match core.map_or_else(|| Ok(Vec::new()), |core| core.admit(now, &command)) {
                    Ok(records) if records.is_empty() => {}
                    Ok(records) => return self.append(id, records, Purpose::Attach),
                    Err(denied) => {
                        let saw = format!("a host is denied to tell of its provider: {denied}");
                        self.checkers.fail(Checker::AcknowledgedIsKept, saw);
                        return false;
                    }
                }
            }
        }
        if let Some(host) = self.hosts.get_mut(&id) {
            host.is_attached = true;
        }
        true
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
        let command = match command {
            // As the shell does: what the provider at hand can do counts, whatever it was when the command was given.
            Command::Update {
                policy, expected, server, per_container, other_server, route: None, ..
            } => {
                let side = core.state().side();
                let traits = self.providers.get(&side).copied().unwrap_or(self.shape.traits);
                Command::Update { policy, traits, expected, server, per_container, other_server, route: None }
            }
            other => other,
        };
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
        let has_left = state.has_left();
        if state.is_finished() {
            self.finish(id);
        } else if has_left && state.desired() != Desired::Deleted && !host.is_zombie {
            self.count(Counted::HostLeft);
            self.checkers.left(&self.backend);
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
