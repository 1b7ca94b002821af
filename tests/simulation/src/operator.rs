//! Operators: they change their minds, ask for what cannot be, look at the backend when nobody else can tell, and in the end
//! leave the cluster alone.

use std::{sync::Arc, time::Duration};

use longshore_scaling::{
    Command, Desired, LaunchPhase, Policy, ProviderTraits, Reason, Remedy, Route, ServerKind, ServerPolicy,
    Side, State,
};

use crate::{
    backend::address,
    checkers::{Checker, unwrapped},
    coverage::{self, Event as Counted},
    host::{Host, Message},
    queue::{Event, HostId},
    seam::Core,
    shape::draw_server,
    trace::{Who, say},
    world::{Stage, World},
};

/// How soon operators who are impatient ask for something else at the latest, in milliseconds.
const IMPATIENCE: u64 = 1_500;
/// How often it is looked whether all is as it should be, once faults have stopped.
const INSPECTION: u64 = 1_000;

impl World {
    /// Operators act, if the host is there to hear them.
    pub(crate) fn operators(&mut self) {
        if self.stage == Stage::Faults {
            // Who is impatient asks again at once.
            let longest = if self.operator_dice.chance(3_000) { IMPATIENCE } else { self.shape.patience * 2 };
            let next = self.now + self.operator_dice.between(1, longest);
            self.queue.push(next, Event::Operators);
        }
        let Some(id) = self.current() else { return };
        if self.stage != Stage::Faults {
            return;
        }
        let command = match self.hosts.get(&id) {
            Some(host) if host.core.is_some() => self.whim(id),
            _ => self.creation(),
        };
        self.order(id, command);
        if self.shape.heritage > 0 && self.lives <= 1 && self.operator_dice.coin() {
            self.order(id, Command::Reconnect);
        }
    }

    fn order(&mut self, id: HostId, command: Command) {
        say!(self, Who::Operator, "{}", in_words(&command));
        self.tell(id, Message::Command(command));
    }

    fn creation(&mut self) -> Command {
        self.creations += 1;
        let uid = 0x00c0_ffee_0000_0000 + self.creations;
        let (policy, expected) = if self.lives == 0 {
            (self.shape.policy.clone(), self.shape.expected)
        } else {
            let expected = self.operator_dice.count(0, self.shape.scale);
            (self.shape.another_policy(&mut self.operator_dice, expected), expected)
        };
        let desired = if self.operator_dice.chance(9_000) { Desired::Running } else { Desired::Stopped };
        Command::Create {
            uid,
            policy,
            traits: self.traits_of(Side(0)),
            expected,
            desired,
            server: self.shape.server,
            per_container: self.shape.per_container,
        }
    }

    /// Whatever comes to an operator's mind.
    fn whim(&mut self, id: HostId) -> Command {
        if self.operator_dice.chance(5_000)
            && let Some(command) = self.resolution(id)
        {
            return command;
        }
        let scale = self.shape.scale;
        let ledger = &self.checkers.ledger;
        let (min, max, live) = (ledger.policy.min, ledger.policy.max, ledger.live() as u32);
        let (policy, server) = (ledger.policy.clone(), ledger.server);
        let dice = &mut self.operator_dice;
        match dice.below(100) {
            0..34 => Command::Scale { expected: dice.count(min, max.min(scale * 3)) },
            34..40 => self.journey(),
            40..43 => Command::Scale { expected: max + dice.count(1, 5) },
            43..55 => {
                let expected = dice.count(0, scale);
                let policy = self.shape.another_policy(dice, expected);
                let (server, other_server) = self.another_server();
                self.update(policy, expected, server, other_server)
            }
            55..63 => {
                // Less than what lives now.
                let max = dice.count(0, live);
                let policy = Policy { min: 0, max, ..policy };
                self.update(policy, max, server, false)
            }
            63..65 => {
                let policy = Policy { launch_batch: 0, ..policy };
                self.update(policy, min, server, false)
            }
            65..72 => Command::Stop,
            72..80 => Command::Start,
            80..90 => Command::Refresh,
            90..92 => Command::Reconnect,
            92..94 => Command::Rest,
            94..96 => Command::Delete { force: false },
            96..97 => Command::Delete { force: true },
            _ => self.nonsense(id),
        }
    }

    fn update(
        &self,
        policy: Policy,
        expected: u32,
        server: Option<ServerPolicy>,
        other_server: bool,
    ) -> Command {
        let traits = self.traits_of(self.checkers.ledger.side);
        let (per_container, route) = (self.shape.per_container, None);
        Command::Update { policy, traits, expected, server, per_container, other_server, route }
    }

    /// To another provider, or back to the one that the cluster comes from.
    fn journey(&mut self) -> Command {
        let ledger = &self.checkers.ledger;
        let name = |side: Side| format!("provider no. {}", side.0);
        let (from, left) = (ledger.side, ledger.left_side());
        let (policy, expected, server) = (ledger.policy.clone(), ledger.expected, ledger.server);
        // Now and then somebody would go on to a third one, and is told to wait.
        let back = left.filter(|_| self.operator_dice.chance(8_000));
        let to = back.unwrap_or_else(|| Side(self.providers.keys().last().map_or(0, |latest| latest.0) + 1));
        let traits = if let Some(back) = back {
            self.traits_of(back)
        } else {
            let server = self.traits_of(from).server;
            ProviderTraits { server, ..self.shape.another_provider(&mut self.operator_dice) }
        };
        let route = Some(Route { from: name(from).into(), to: name(to).into() });
        let (per_container, other_server) = (self.shape.per_container, false);
        Command::Update { policy, traits, expected, server, per_container, other_server, route }
    }

    /// The server of a new configuration: mostly the same, and whether it is another one all the same.
    fn another_server(&mut self) -> (Option<ServerPolicy>, bool) {
        let server = self.checkers.ledger.server;
        if self.shape.server.is_none() {
            return (server, false);
        }
        let dice = &mut self.operator_dice;
        match (dice.below(10), server) {
            (0..5, _) => (server, false),
            (5..7, Some(ServerPolicy { kind, .. })) => (Some(draw_server(dice, kind)), false),
            (7, Some(ServerPolicy { kind, .. })) => {
                if kind == ServerKind::External {
                    self.next_external_home = Some(self.external_home + 1);
                }
                (server, true)
            }
            (8, _) => (None, false),
            _ => {
                let kinds = [ServerKind::Managed, ServerKind::Managed, ServerKind::External];
                let kind = kinds[dice.below(3) as usize];
                (Some(draw_server(dice, kind)), server.is_some_and(|server| server.kind != kind))
            }
        }
    }

    /// What an operator who is mistaken says of a launch.
    fn nonsense(&mut self, id: HostId) -> Command {
        let state = self.hosts.get(&id).and_then(|host| host.core.as_ref()).map(Core::state);
        let launches = state.into_iter().flat_map(State::launches);
        let launches: Vec<_> = launches.map(|(launch, it)| (launch, it.held())).collect();
        let Some((launch, held)) = self.operator_dice.pick(&launches).copied() else {
            return Command::Resolve { token: "no-such-launch".to_owned(), handles: Vec::new() };
        };
        let handles =
            if self.operator_dice.coin() { vec![("".into(), 1)] } else { vec![("much".into(), held + 1)] };
        Command::Resolve { token: self.checkers.ledger.token(launch), handles }
    }

    /// Where the host cannot find out what came of a launch, an operator looks at the backend and says it: once nothing more
    /// can come of it.
    fn resolution(&mut self, id: HostId) -> Option<Command> {
        let host = self.hosts.get(&id)?;
        let state = host.core.as_ref()?.state();
        let token = host.report.reasons.iter().map(unwrapped).find_map(|reason| match reason {
            Reason::HeldForUnknown { token, remedy: Remedy::Operator, .. } => Some(token.clone()),
            _ => None,
        })?;
        let launch = state.launch_of(&token)?;
        let (_, held) = state.launches().find(|(id, _)| *id == launch)?;
        let LaunchPhase::Unknown { since, .. } = held.phase else { return None };
        let patience = Duration::from_millis(self.shape.linger + 1);
        if self.host_now(id) < since + patience
            || self.backend.tokens.get(&token).is_some_and(|it| it.open > 0)
        {
            return None;
        }
        let unknown = |name: &Arc<str>| {
            state.handles().all(|(_, handle)| handle.side != held.side || handle.name != *name)
        };
        let there = self
            .backend
            .ours()
            .filter(|(name, it)| name.side == held.side && it.token == token && unknown(&name.text));
        let handles = there.map(|(name, it)| (Arc::clone(&name.text), it.workers)).collect();
        Some(Command::Resolve { token, handles })
    }

    /// Faults stop, and operators have their last word.
    pub(crate) fn calm(&mut self) {
        say!(self, Who::World, "faults stop; from now on all goes well");
        self.chaos.on = false;
        self.is_reachable = true;
        self.stage = Stage::Settling { since: self.now };
        self.release_calls();
        self.calm_server();
        if let Some(id) = self.current()
            && self.hosts.get(&id).is_some_and(|host| host.core.is_some())
        {
            let command = match self.operator_dice.below(6) {
                0 => Command::Stop,
                1 => Command::Refresh,
                2 => {
                    let policy = &self.checkers.ledger.policy;
                    let expected = self.operator_dice.count(policy.min, policy.max.min(self.shape.scale * 3));
                    Command::Scale { expected }
                }
                _ => Command::Start,
            };
            self.order(id, command);
        }
        self.queue.push(self.now + INSPECTION, Event::Inspect);
    }

    /// Whoever waits for the end of a move lets as many be missing as it takes: a worker at a time it could take hours, and where no
    /// container is small enough, for ever.
    fn haste(&self) -> Option<Command> {
        let ledger = &self.checkers.ledger;
        let missing = self.shape.scale * 3;
        if ledger.left.is_none() || ledger.desired == Desired::Deleted || ledger.policy.missing >= missing {
            return None;
        }
        let policy = Policy { missing, ..ledger.policy.clone() };
        Some(self.update(policy, ledger.expected, ledger.server, false))
    }

    /// How long a cluster may take to become as wanted once nothing goes wrong any more. Generous where it adds up what the
    /// policy lets the core wait for, and bounded.
    fn patience(&self) -> u64 {
        let policy = &self.checkers.ledger.policy;
        let millis = |duration: Duration| duration.as_millis() as u64;
        let launches = u64::from(self.shape.scale * 3 / policy.launch_batch + 1);
        let waits = 2 * millis(policy.launch_timeout)
            + 80 * millis(policy.kill_retry)
            + 8 * millis(policy.backoff_max)
            + 8 * millis(policy.list_interval)
            + 12 * millis(policy.poll_interval)
            + 4 * millis(policy.stray_grace)
            + millis(policy.stable_after)
            + 4 * self.checkers.ledger.server.map_or(0, |server| millis(server.start_timeout));
        let shape = &self.shape;
        let calls = (launches + 10) * (2 * shape.latency + millis(policy.busy_poll_interval));
        let server = shape.server_start + shape.stop + 3 * shape.deadline;
        let world =
            shape.start + shape.stop + 3 * shape.deadline + server + shape.pause + shape.lag + shape.linger;
        2 * (waits + calls + 4 * world) + 600_000
    }

    /// How long nothing must happen before it is believed that nothing will, and then for how long it must not.
    fn quiet_time(&self) -> u64 {
        let policy = &self.checkers.ledger.policy;
        let waits = policy.stable_after + policy.list_interval * 2 + policy.poll_interval * 3;
        waits.as_millis() as u64 + 4 * self.shape.latency + 5_000
    }

    /// Once faults have stopped: is all as it should be?
    pub(crate) fn inspect(&mut self) {
        self.queue.push(self.now + INSPECTION, Event::Inspect);
        let id = self.current().filter(|id| self.hosts.get(id).is_some_and(Host::is_idle));
        let has_cluster = |id: &HostId| self.hosts.get(id).is_some_and(|host| host.core.is_some());
        let Some(id) = id.filter(has_cluster) else {
            self.inspect_nothing(id);
            return;
        };
        if let Some(command) = self.resolution(id).or_else(|| self.haste()) {
            return self.order(id, command);
        }
        let Some((core, report)) =
            self.hosts.get(&id).and_then(|host| host.core.as_ref().map(|core| (core, &host.report)))
        else {
            return;
        };
        let external = self.is_external_up.then(|| address(self.external_home));
        match self.stage {
            Stage::Settling { since } => {
                let as_wanted = self.is_calm()
                    && report.reasons.iter().all(is_at_rest)
                    && self.checkers.as_wanted(core.state(), &self.backend).is_ok()
                    && self.checkers.server_as_wanted(core.state(), &self.backend, external.as_ref()).is_ok();
                let last = self.last_record.max(self.queue.last_change());
                let is_quiet = self.now >= last + self.quiet_time();
                if as_wanted && is_quiet {
                    self.checkers.none_is_stale(&self.backend);
                    self.checkers.compare(core.state(), self.store.read());
                    if core.state().server().is_some_and(longshore_scaling::Server::is_up) {
                        self.coverage.event(Counted::ServedQuiet);
                    }
                    self.stage = Stage::Quiet { until: self.now + self.quiet_time() };
                    say!(self, Who::World, "all is as wanted, and quiet");
                } else if self.now > since + self.patience() {
                    let report = report.clone();
                    let server =
                        self.checkers.server_as_wanted(core.state(), &self.backend, external.as_ref());
                    self.checkers.is_late(
                        Some(core.state()),
                        &self.backend,
                        server,
                        &report,
                        self.now - since,
                    );
                }
            }
            Stage::Quiet { until } if self.now >= until => {
                self.count(Counted::Quiet);
                self.stage = Stage::Deleting { since: self.now };
                self.order(id, Command::Delete { force: false });
            }
            Stage::Deleting { since } if self.now > since + self.patience() => {
                let saw = format!(
                    "{} ms after it was deleted, the cluster is still there: {}",
                    self.now - since,
                    report.to_string().replace('\n', "; ")
                );
                self.checkers.fail(Checker::Converges, saw);
            }
            _ => {}
        }
    }

    /// There is no cluster, or no host that could tell of it.
    fn inspect_nothing(&mut self, idle: Option<HostId>) {
        let Stage::Settling { since } = self.stage else { return };
        let is_bare = idle
            .or(self.current())
            .is_some_and(|id| self.hosts.get(&id).is_some_and(|host| host.core.is_none() && host.is_idle()));
        if is_bare {
            // The cluster was deleted, and nobody made it anew.
            self.stage = Stage::Done;
        } else if self.now > since + self.patience() {
            self.checkers.fail(Checker::Converges, "there is no host at rest");
        }
    }
}

/// Whether a reason is one of those that may stand for ever.
fn is_at_rest(reason: &Reason) -> bool {
    matches!(reason, Reason::AtTarget { .. } | Reason::Stopped { .. } | Reason::SharedHandles { .. })
}

fn in_words(command: &Command) -> String {
    match command {
        Command::Create { expected, policy, .. } => {
            format!("wants a cluster of {expected}, from {} to {}", policy.min, policy.max)
        }
        Command::Scale { expected } => format!("wants {expected}"),
        Command::Update { route: Some(Route { from, to }), .. } => format!("wants to go from {from} to {to}"),
        Command::Update { expected, policy, .. } => {
            format!("wants another policy: {expected}, from {} to {}", policy.min, policy.max)
        }
        Command::Resolve { token, handles } => {
            let names: Vec<_> = handles.iter().map(|(name, _)| &**name).collect();
            format!("says what launch {token} created: {}", names.join(", "))
        }
        other => format!("says {}", coverage::command(other)),
    }
}
