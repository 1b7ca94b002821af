//! What kind of run a seed stands for: the provider's traits, the policy, the timings, and which faults there are how
//! often. Runs differ in kind and not only in detail (Groce et al., "Swarm testing", 2012).

use std::{fmt, time::Duration};

use longshore_scaling::{OnRestart, Policy, Prefer, ProviderTraits, ServerKind, ServerPolicy, Strays};

use crate::{
    dice::{Dice, Stream},
    fault::{Fault, Rates, draw_rates},
};

/// The fixed part of a run.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) traits: ProviderTraits,
    pub(crate) policy: Policy,
    pub(crate) expected: u32,
    /// Numbers of workers that operators ask for are of this size.
    pub(crate) scale: u32,
    /// The most workers in one container.
    pub(crate) share: u32,
    pub(crate) rates: Rates,
    /// How long faults and operators go on, in milliseconds, as all that follows.
    pub(crate) horizon: u64,
    /// The longest a call takes to arrive, and an answer to come back, where nothing is wrong.
    pub(crate) latency: u64,
    /// How long the host waits for a launch's answer.
    pub(crate) deadline: u64,
    /// By how much lists and statuses may lag behind.
    pub(crate) lag: u64,
    /// For how long the calls of a host that has ended may still take effect.
    pub(crate) linger: u64,
    /// How long a container takes to start.
    pub(crate) start: u64,
    /// How long a container takes to stop.
    pub(crate) stop: u64,
    /// The mean time between two occasions for faults of the surroundings.
    pub(crate) tick: u64,
    /// The mean time between two commands of operators.
    pub(crate) patience: u64,
    /// How long the host stays down at most.
    pub(crate) pause: u64,
    /// Launches that the backend takes in ten seconds before it throttles.
    pub(crate) throttle: u32,
    /// So many records make a snapshot worth while.
    pub(crate) compact_after: usize,
    /// Whether the journal goes through JSON, as it does in a file.
    pub(crate) serialized: bool,
    /// Workers that run before the cluster is made, which it takes over.
    pub(crate) heritage: u32,
    /// How its server is looked after at first, where the run has one at all.
    pub(crate) server: Option<ServerPolicy>,
    /// The most workers in one container, as the configuration says; the provider may cut them smaller.
    pub(crate) per_container: u32,
    /// How long a server takes to start.
    pub(crate) server_start: u64,
    /// Whether a repeated launch completes what an earlier attempt left short.
    pub(crate) repeats_complete: bool,
}

impl Shape {
    pub(crate) fn draw(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, Stream::Shape);
        let traits = ProviderTraits {
            initialize: dice.chance(4_000),
            list: dice.chance(6_000),
            idempotent_run: dice.chance(4_000),
            server: false,
        };
        let scale = [3, 8, 8, 20, 40, 120][dice.below(6) as usize];
        let expected = dice.count(0, scale);
        let policy = draw_policy(dice, scale, expected);
        let mut rates = draw_rates(dice);
        // The bound that the core can rest on, divided between the two at random: see the crate's documentation.
        let bound = crate::evidence_gap(&policy).as_millis() as u64 - 1;
        let part = dice.below(5);
        let is_exact = dice.chance(2_000);
        let bound = if is_exact { 0 } else { bound };
        let (lag, linger) = (bound * part / 4, bound * (4 - part) / 4);
        // Mostly as much as is allowed, for that is where it hurts.
        let (lag, linger) =
            if dice.coin() { (lag, linger) } else { (dice.between(0, lag), dice.between(0, linger)) };
        if !traits.list {
            // What nobody launched, nobody can find without a list.
            rates[Fault::Stray as usize] = 0;
            rates[Fault::LateWorker as usize] = 0;
        }
        if lag + linger > 0 {
            // A bound in time is none where time can be skipped.
            rates[Fault::ClockLeap as usize] = 0;
        }
        let latency = dice.magnitude(2, 2_000);
        let share = [1, 1, 1, 2, 3, 5][dice.below(6) as usize];
        let server = match dice.below(8) {
            0..3 => Some(draw_server(dice, ServerKind::Managed)),
            3 => Some(draw_server(dice, ServerKind::External)),
            _ => None,
        };
        let traits = ProviderTraits { server: server.is_some() || dice.coin(), ..traits };
        Self {
            traits,
            policy,
            expected,
            scale,
            share,
            per_container: if dice.coin() { share } else { 1 },
            server,
            server_start: dice.magnitude(1, 10_000),
            rates,
            horizon: dice.magnitude(10_000, 600_000),
            latency,
            deadline: dice.magnitude(latency * 2, 60_000),
            lag,
            linger,
            start: dice.magnitude(1, 10_000),
            stop: dice.magnitude(1, 3_000),
            tick: dice.magnitude(100, 5_000),
            patience: dice.magnitude(500, 60_000),
            pause: dice.magnitude(1, 60_000),
            throttle: dice.count(1, 20),
            compact_after: dice.magnitude(2, 400) as usize,
            serialized: dice.chance(2_000),
            heritage: if traits.list && dice.chance(1_500) { dice.count(1, scale) } else { 0 },
            repeats_complete: dice.coin(),
        }
    }

    /// What a provider can do that the cluster may move to.
    pub(crate) fn another_provider(&self, dice: &mut Dice) -> ProviderTraits {
        let mostly = |dice: &mut Dice, as_here: bool| if dice.chance(7_000) { as_here } else { !as_here };
        ProviderTraits {
            initialize: mostly(dice, self.traits.initialize),
            // Where nobody's launches and late workers are, nobody can find them without a list: see `draw`.
            list: self.traits.list || mostly(dice, false),
            idempotent_run: mostly(dice, self.traits.idempotent_run),
            server: self.traits.server,
        }
    }

    /// Another policy of the same run, as an operator may come up with. The poll interval stays: bounds rest on it.
    pub(crate) fn another_policy(&self, dice: &mut Dice, expected: u32) -> Policy {
        Policy { poll_interval: self.policy.poll_interval, ..draw_policy(dice, self.scale, expected) }
    }
}

pub(crate) fn draw_server(dice: &mut Dice, kind: ServerKind) -> ServerPolicy {
    let on_restart = [OnRestart::ReplaceIfMoved, OnRestart::Replace, OnRestart::Keep];
    ServerPolicy {
        kind,
        start_timeout: Duration::from_millis(dice.magnitude(1_000, 120_000)),
        on_restart: on_restart[dice.below(3) as usize],
    }
}

fn draw_policy(dice: &mut Dice, scale: u32, expected: u32) -> Policy {
    let millis = |dice: &mut Dice, low, high| Duration::from_millis(dice.magnitude(low, high));
    let max = match dice.below(4) {
        0 => expected,
        1 => expected + dice.count(0, 2),
        2 => expected + scale,
        _ => scale * 3,
    };
    let backoff = millis(dice, 50, 3_000);
    let poll_interval = millis(dice, 200, 10_000);
    Policy {
        min: if dice.chance(8_000) { 0 } else { dice.count(0, expected) },
        max,
        prefer: if dice.coin() { Prefer::Newest } else { Prefer::Oldest },
        launch_batch: dice.count(1, scale.max(2)),
        launches_in_flight: dice.count(1, 4),
        launch_timeout: millis(dice, 3_000, 120_000),
        kill_retry: millis(dice, 300, 10_000),
        poll_interval,
        busy_poll_interval: millis(dice, 50, 1_000),
        list_interval: millis(dice, 1_000, 30_000),
        backoff,
        backoff_max: backoff * dice.count(1, 20),
        stable_after: millis(dice, 1, 15_000),
        mass_death_workers: dice.count(1, 10),
        mass_death_percent: dice.count(20, 100),
        strays: if dice.coin() { Strays::Adopt } else { Strays::Kill },
        stray_grace: millis(dice, 1, 30_000),
        surge: if dice.chance(3_000) { None } else { Some(dice.count(1, scale)) },
        missing: if dice.coin() { 0 } else { dice.count(0, scale.div_ceil(2)) },
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { min, max, launch_batch, launches_in_flight, .. } = self.policy;
        let ProviderTraits { initialize, list, idempotent_run, server } = self.traits;
        let can = [
            (initialize, "initialize"),
            (list, "list"),
            (idempotent_run, "idempotent run"),
            (server, "server"),
        ];
        let can: Vec<_> = can.iter().filter(|(can, _)| *can).map(|(_, name)| *name).collect();
        let can =
            if can.is_empty() { "nothing beside run, status and kill".to_owned() } else { can.join(", ") };
        let faults: Vec<_> = Fault::ALL.iter().filter(|fault| self.rates[**fault as usize] > 0).collect();
        writeln!(f, "  provider   {can}; containers of up to {} workers", self.share)?;
        writeln!(
            f,
            "  policy     {} expected, {min} to {max}; {launches_in_flight} launches of {launch_batch} at once; \
             strays: {:?}",
            self.expected, self.policy.strays
        )?;
        match &self.server {
            None => writeln!(f, "  server     none")?,
            Some(ServerPolicy { kind, start_timeout, on_restart }) => {
                writeln!(f, "  server     {kind:?}, up within {start_timeout:?}; {on_restart:?}")?;
            }
        }
        let seconds = |millis: u64| millis as f64 / 1_000.0;
        writeln!(
            f,
            "  timing     faults for {} s; latency {} s, deadline {} s; lists lag {} s, calls outlive {} s; polls every {} s",
            seconds(self.horizon),
            seconds(self.latency),
            seconds(self.deadline),
            seconds(self.lag),
            seconds(self.linger),
            self.policy.poll_interval.as_secs_f64(),
        )?;
        let faults: Vec<_> = faults.iter().map(|fault| fault.name()).collect();
        write!(f, "  faults     {}", if faults.is_empty() { "none".to_owned() } else { faults.join(", ") })
    }
}
