//! One run: the world of a seed, and the events that happen in it until it is over or a rule is broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use longshore_scaling::{ProviderTraits, Seen, Side, Time};

use crate::{
    backend::{Backend, Name, Origin},
    checkers::{Checker, Checkers, Violation},
    coverage::{Coverage, Event as Counted},
    dice::{Dice, Stream},
    fault::{Chaos, Fault, Strike},
    host::Host,
    mutation::Mutation,
    provider::{Calls, Plugin},
    queue::{Event, HostId, Queue},
    seam::Core,
    shape::Shape,
    store::Store,
    trace::{Trace, Who, say},
};

/// The most events of one run; one that takes more goes round in circles.
const MOST_EVENTS: u64 = 2_000_000;
/// The homes of servers that others run begin here, those of the provider's own at 1.
const EXTERNAL_HOMES: u32 = 1_001;
/// When a run begins, by the host's clock.
pub(crate) const EPOCH: u64 = 1_000_000_000;

/// Which run it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What everything is drawn from.
    pub seed: u64,
    /// Faults that do not strike.
    pub without: BTreeSet<Fault>,
    /// Strikes that do not happen, by number.
    pub skip: BTreeSet<u32>,
    /// When faults and operators end, in milliseconds; the seed says where this does not.
    pub until: Option<u64>,
    /// A rule that is bent.
    pub mutation: Option<Mutation>,
    /// So many lines of the trace are kept.
    pub trace: usize,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// What happened, counted.
    pub coverage: Coverage,
    /// What happened, told.
    pub trace: Vec<String>,
    /// The faults that struck.
    pub strikes: Vec<Strike>,
    /// What kind of run it was, for a person.
    pub shape: String,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Faults strike, operators change their minds.
    Faults,
    /// Faults have stopped then; all shall become as it was wanted last.
    Settling { since: u64 },
    /// All is as wanted, and must stay so until then.
    Quiet { until: u64 },
    /// The cluster was deleted then, and shall go.
    Deleting { since: u64 },
    /// It is over.
    Done,
}

/// All there is.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) shape: Shape,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) queue: Queue,
    pub(crate) chaos: Chaos,
    pub(crate) provider_dice: Dice,
    pub(crate) operator_dice: Dice,
    pub(crate) host_dice: Dice,
    pub(crate) backend: Backend,
    /// What the providers can do that the cluster has moved to.
    pub(crate) providers: BTreeMap<Side, ProviderTraits>,
    /// What the provider of each side is made of, where it was exchanged.
    pub(crate) plugins: BTreeMap<Side, Plugin>,
    /// Whether the backend can be reached.
    pub(crate) is_reachable: bool,
    pub(crate) calls: Calls,
    /// Where the next server comes up, unless it moves.
    pub(crate) server_home: u32,
    /// Where the server is that others run, and whether it can be reached there.
    pub(crate) external_home: u32,
    pub(crate) is_external_up: bool,
    /// Where it will be once a configuration says so that an operator has ordered.
    pub(crate) next_external_home: Option<u32>,
    pub(crate) store: Store,
    pub(crate) hosts: BTreeMap<HostId, Host>,
    pub(crate) next_host: u32,
    /// What the system's clock says beside the world's.
    pub(crate) clock_error: i64,
    pub(crate) checkers: Checkers,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
    /// The list that was told last, so that the same one is told once.
    pub(crate) last_list: String,
    pub(crate) stage: Stage,
    /// When a record was last made durable.
    pub(crate) last_record: u64,
    /// Clusters of the name that were made so far, and how often one was asked for.
    pub(crate) lives: u64,
    pub(crate) creations: u64,
}

/// Runs a seed.
pub fn run(settings: &Settings) -> Outcome {
    let mut world = World::new(settings);
    // What the core holds may be half changed after a panic; nothing but the story is looked at then.
    let panicked = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    if let Some(panic) = panicked {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        world.checkers.fail(Checker::NeverPanics, words.unwrap_or_default());
    }
    if let Some(violation) = &world.checkers.violation {
        let text = format!("BROKEN    {violation}");
        say!(world, Who::World, "{text}");
    }
    world.coverage.seeds = 1;
    world.coverage.virtual_ms = world.now;
    for strike in &world.chaos.strikes {
        world.coverage.count("fault", strike.fault.name());
    }
    Outcome {
        violation: world.checkers.violation,
        coverage: world.coverage,
        trace: world.trace.finish(),
        strikes: world.chaos.strikes,
        shape: world.shape.to_string(),
    }
}

impl World {
    fn new(settings: &Settings) -> Self {
        let seed = settings.seed;
        let mut shape = Shape::draw(seed);
        if let Some(until) = settings.until {
            shape.horizon = until;
        }
        let chaos = Chaos::new(seed, shape.rates.clone(), settings.without.clone(), settings.skip.clone());
        Self {
            now: 0,
            mutation: settings.mutation,
            queue: Queue::new(seed),
            chaos,
            provider_dice: Dice::new(seed, Stream::Provider),
            operator_dice: Dice::new(seed, Stream::Operator),
            host_dice: Dice::new(seed, Stream::Host),
            backend: Backend::default(),
            providers: BTreeMap::new(),
            plugins: BTreeMap::new(),
            is_reachable: true,
            calls: Calls::default(),
            server_home: 1,
            external_home: EXTERNAL_HOMES,
            is_external_up: true,
            next_external_home: None,
            store: Store::new(shape.serialized),
            hosts: BTreeMap::new(),
            next_host: 1,
            clock_error: 0,
            checkers: Checkers::default(),
            coverage: Coverage::default(),
            trace: Trace::new(settings.trace),
            last_list: String::new(),
            stage: Stage::Faults,
            last_record: 0,
            lives: 0,
            creations: 0,
            shape,
        }
    }

    fn run(&mut self) {
        for _ in 0..3 {
            let name = self.backend.create(Side(0), "0123456789abcdef-0", 1, Origin::Neighbour, 0);
            self.backend.set(&name, Seen::Running, 0);
        }
        let mut heritage = self.shape.heritage;
        while heritage > 0 {
            let workers = self.provider_dice.count(1, self.shape.share).min(heritage);
            heritage -= workers;
            let name = self.backend.create(Side(0), "fedcba9876543210-7", workers, Origin::Rogue, 0);
            self.backend.set(&name, Seen::Running, 0);
        }
        self.queue.push(0, Event::HostStarts);
        self.queue.push(1, Event::Operators);
        self.queue.push(self.shape.tick, Event::Tick);
        self.queue.push(self.shape.horizon, Event::Calm);
        let mut events = 0;
        while self.stage != Stage::Done && self.checkers.violation.is_none() {
            let Some((at, event)) = self.queue.pop() else {
                let saw = "nothing is to come any more, and the run is not at its end".to_owned();
                return self.checkers.fail(Checker::Converges, saw);
            };
            self.now = at;
            self.checkers.tick(at);
            self.happen(event);
            events += 1;
            if events > MOST_EVENTS {
                self.checkers.fail(Checker::ComesToRest, format!("{MOST_EVENTS} events, and no end"));
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Timer { host, stamp } => {
                if self.hosts.get(&host).is_some_and(|host| host.stamp == stamp) {
                    self.drive(host);
                }
            }
            Event::HostStarts => self.host_starts(),
            Event::Appended { host } => self.appended(host),
            Event::Thaws { host } => self.host_thaws(host),
            Event::Ends { host } => self.host_ends(host, "is ended, having been taken for dead"),
            Event::Effect { call } => self.effect(call),
            Event::Answer { call } => self.answer(call),
            Event::Deadline { call } => self.deadline(call),
            Event::Becomes { name, status } => self.becomes(&name, status),
            Event::ServerBecomes { number, status } => self.server_becomes(number, status),
            Event::ServerReachable { number } => self.server_reachable(number),
            Event::ExternalReachable => self.is_external_up = true,
            Event::BlipEnds => {
                self.is_reachable = true;
                say!(self, Who::Backend, "can be reached again");
            }
            Event::Operators => self.operators(),
            Event::Tick => self.surroundings(),
            Event::Calm => self.calm(),
            Event::Inspect => self.inspect(),
        }
    }

    /// What the provider of a side can do.
    pub(crate) fn traits_of(&self, side: Side) -> ProviderTraits {
        self.providers.get(&side).copied().unwrap_or(self.shape.traits)
    }

    pub(crate) fn becomes(&mut self, name: &Name, status: Seen) {
        if self.backend.set(name, status, self.now) {
            say!(self, Who::Backend, "{name} is {}", format!("{status:?}").to_lowercase());
        }
    }

    /// Whether a fault strikes on this occasion.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.chaos.strikes(fault, self.now);
        if strikes && self.trace.is_on() {
            let number = self.chaos.strikes.last().map_or(0, |strike| strike.number);
            say!(self, Who::Fault, "{fault} (strike {number}): {}", fault.about());
        }
        strikes
    }

    pub(crate) fn count(&mut self, event: Counted) {
        self.coverage.event(event);
    }

    /// The system's clock.
    pub(crate) fn wall(&self) -> Time {
        Time::from_millis((EPOCH + self.now).saturating_add_signed(self.clock_error))
    }

    /// Faults of the surroundings: what strikes by itself, whatever the host does.
    fn surroundings(&mut self) {
        if self.stage != Stage::Faults {
            return;
        }
        let mean = self.shape.tick;
        let next = self.now + self.chaos.dice().between(1, mean * 2);
        self.queue.push(next, Event::Tick);
        self.trouble_containers();
        self.trouble_server();
        if self.is_reachable && self.strikes(Fault::Blip) {
            self.is_reachable = false;
            let ends = self.now + self.chaos.dice().magnitude(10, 30_000);
            self.queue.push(ends, Event::BlipEnds);
        }
        self.trouble_hosts();
    }

    fn trouble_containers(&mut self) {
        let ours: Vec<_> = self.backend.ours().map(|(name, _)| name.clone()).collect();
        if !ours.is_empty()
            && self.strikes(Fault::DiesAlone)
            && let Some(name) = self.chaos.dice().pick(&ours).cloned()
        {
            self.becomes(&name, Seen::Stopped);
        }
        if ours.len() > 1 && self.strikes(Fault::MassDeath) {
            let part = self.chaos.dice().between(3, 10);
            for name in &ours {
                if self.chaos.dice().below(10) < part {
                    self.becomes(name, Seen::Stopped);
                }
            }
        }
        let running = |name: &&Name| self.backend.get(name).is_some_and(|it| it.status() == Seen::Running);
        let running: Vec<_> = ours.iter().filter(running).cloned().collect();
        if !running.is_empty() && self.strikes(Fault::FallsBack) {
            let back = self.now + self.chaos.dice().magnitude(10, 20_000);
            if let Some(name) = self.chaos.dice().pick(&running).cloned() {
                self.becomes(&name, Seen::Initializing);
                self.queue.push(back, Event::Becomes { name, status: Seen::Running });
            }
        }
        if self.strikes(Fault::Stray) {
            let sides: Vec<_> = self.checkers.ledger.sides().collect();
            if let Some(side) = self.chaos.dice().pick(&sides).copied() {
                self.rogue(side, "00000000deadbeef-3");
            }
        }
        if self.strikes(Fault::LateWorker) {
            // While a launch's fate is not known, one that was not asked for would be taken for one that was.
            let host = self.current().and_then(|id| self.hosts.get(&id)).and_then(|host| host.core.as_ref());
            let settled = |token: &str| {
                let state = host.map(Core::state)?;
                let launch = state.launch_of(token)?;
                state.launches().all(|(open, _)| open != launch).then_some(())
            };
            let tokens = self.backend.tokens.iter();
            // Of a provider that was let go nobody would ever hear.
            let has_side = |side: Side| self.checkers.ledger.sides().any(|one| one == side);
            let tokens = tokens.filter(|(token, launch)| {
                launch.open == 0 && has_side(launch.side) && settled(token).is_some()
            });
            let tokens: Vec<_> = tokens.map(|(token, launch)| (launch.side, token.clone())).collect();
            if let Some((side, token)) = self.chaos.dice().pick(&tokens).cloned() {
                self.rogue(side, &token);
            }
        }
        if self.strikes(Fault::NeighbourDies) {
            let neighbours = self.backend.alive().filter(|(_, it)| it.origin == Origin::Neighbour);
            let name = neighbours.map(|(name, _)| name.clone()).next();
            if let Some(name) = name {
                self.becomes(&name, Seen::Stopped);
            }
        }
    }

    /// A container appears that nobody said would come.
    fn rogue(&mut self, side: Side, token: &str) {
        if !self.traits_of(side).list {
            // What nobody launched, nobody can find without a list.
            return;
        }
        let workers = self.chaos.dice().count(1, self.shape.share);
        let name = self.backend.create(side, token, workers, Origin::Rogue, self.now);
        say!(self, Who::Backend, "{name} appears, with {workers} workers, of launch {token}");
        let starts = self.now + self.chaos.dice().magnitude(1, self.shape.start);
        self.queue.push(starts, Event::Becomes { name, status: Seen::Running });
    }
}
