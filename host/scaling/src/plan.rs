//! What to do next, from the state alone. It does not matter which event woke the planner: a plan follows from what is
//! wanted and what is known, and the report says what keeps the two apart.

mod moving;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    backoff::Backoff,
    handles::Phase,
    ids::{HandleId, LaunchId, Side},
    moving::Leaving,
    policy::{Desired, Policy},
    record::{Aim, Change, KillReason, Record, StopReason},
    report::{PlanReport, Reason, Remedy},
    state::{Call, LaunchPhase, State},
    time::Time,
    victims,
};

/// A kill that was not answered is doubled in its patience so often at the most.
const KILL_DOUBLINGS: u32 = 6;

/// Something for the shell to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the provider to be ready for the cluster.
    Initialize {
        /// Which provider.
        side: Side,
    },
    /// Ask the provider for all live handles of the cluster.
    List {
        /// Which provider.
        side: Side,
    },
    /// Ask for workers; also asked again, under the same token, where the launch's fate is unknown.
    Launch {
        /// Whom.
        side: Side,
        /// The launch's number; [`State::token`] names it to the provider.
        launch: LaunchId,
        /// How many workers.
        workers: u32,
        /// Whether it was asked for before.
        again: bool,
    },
    /// Kill handles.
    Kill {
        /// The side of all of them.
        side: Side,
        /// Which.
        handles: Vec<HandleId>,
        /// Why.
        why: KillReason,
    },
    /// Ask for statuses.
    Status {
        /// Which provider.
        side: Side,
        /// Of these, which are expected to live.
        live: Vec<HandleId>,
        /// Of these only whether they have stopped.
        terminating: Vec<HandleId>,
    },
    /// Ask the provider for the cluster's server; where it runs already, that changes nothing.
    RunServer,
    /// Tell the provider to stop the server.
    StopServer {
        /// Why.
        why: StopReason,
    },
    /// Look how the server is, and whether it can be reached.
    LookAtServer,
    /// Let go of the provider that the cluster has left: nothing of it is there any more.
    LetGo {
        /// Its side.
        side: Side,
        /// Its name.
        from: Arc<str>,
    },
}

impl Action {
    /// The side whose provider is called; none for the server's, which are for the provider that launches.
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::Initialize { side }
            | Self::List { side }
            | Self::Launch { side, .. }
            | Self::Kill { side, .. }
            | Self::Status { side, .. }
            | Self::LetGo { side, .. } => Some(*side),
            Self::RunServer | Self::StopServer { .. } | Self::LookAtServer => None,
        }
    }
}

/// What to do now, and when to look again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// What it is for.
    pub aim: Aim,
    /// When time alone makes a new plan worth while.
    pub wake_at: Option<Time>,
}

impl Plan {
    /// What must be recorded before the actions are carried out.
    pub fn records(&self, now: Time) -> Vec<Record> {
        let change = |action: &Action| match action {
            Action::Initialize { side } => Change::InitializeStarted { side: *side },
            Action::List { side } => Change::ListStarted { side: *side },
            Action::Launch { launch, again: true, .. } => Change::LaunchRepeated { launch: *launch },
            Action::Launch { launch, workers, again: false, .. } => {
                Change::LaunchStarted { launch: *launch, workers: *workers, aim: self.aim }
            }
            Action::Kill { handles, why, .. } => {
                Change::KillStarted { handles: handles.clone(), why: *why, aim: self.aim }
            }
            Action::Status { side, .. } => Change::StatusStarted { side: *side },
            Action::RunServer => Change::ServerStarted,
            Action::StopServer { why } => Change::ServerStopStarted { why: *why },
            Action::LookAtServer => Change::ServerLookStarted,
            Action::LetGo { from, .. } => Change::MoveEnded { from: Arc::clone(from) },
        };
        self.actions.iter().map(|action| change(action).at(now)).collect()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

/// Plans a cluster's next steps. Planning changes nothing, and the same state and time give the same plan.
pub fn plan(state: &State, now: Time) -> (Plan, PlanReport) {
    let had = state.tally().live() + state.in_flight() + state.unknown();
    let plan = Plan { aim: Aim { target: state.target(), had }, ..Plan::default() };
    let mut planner = Planner {
        state,
        now,
        left: state.leaving.as_ref(),
        plan,
        report: PlanReport::default(),
        unprepared: Vec::new(),
    };
    planner.let_go();
    planner.explain_desired();
    planner.explain_move();
    planner.kill_again();
    planner.kill_stale();
    planner.kill_late_starters();
    planner.look_after_server();
    planner.resolve_unknown();
    if planner.knows_its_workers() {
        match planner.left {
            Some(left) => planner.move_on(left),
            None => planner.meet_target(),
        }
    }
    planner.explain_strays();
    for side in planner.sides() {
        planner.list(side);
        planner.ask_statuses(side);
    }
    planner.explain_waiting();
    (planner.plan, planner.report)
}

/// As many workers of one launch as make all its containers hold the same number: full ones, or a single one that does not
/// fill up. So the number can be told to each.
fn whole_containers(workers: u32, per_container: u32) -> u32 {
    let each = per_container.max(1);
    if workers > each { workers - workers % each } else { workers }
}

fn is_on(state: &State, side: Side, id: HandleId) -> bool {
    state.handle(id).is_some_and(|handle| handle.side == side)
}

struct Planner<'a> {
    state: &'a State,
    now: Time,
    /// The side that the cluster leaves, while it does.
    left: Option<&'a Leaving>,
    plan: Plan,
    report: PlanReport,
    /// Sides whose providers were found to be unprepared so far.
    unprepared: Vec<Side>,
}

impl Planner<'_> {
    fn policy(&self) -> &Policy {
        &self.state.policy
    }

    fn because(&mut self, reason: Reason) {
        self.report.reasons.push(reason);
    }

    fn wake(&mut self, at: Time) {
        self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |before| before.min(at)));
    }

    /// Whether a moment has come; where not, the planner is woken then.
    fn is_due(&mut self, at: Time) -> bool {
        if at > self.now {
            self.wake(at);
        }
        at <= self.now
    }

    fn explain_desired(&mut self) {
        match self.state.desired {
            Desired::Running if self.state.resting => {
                self.because(Reason::Resting { expected: self.state.expected });
            }
            Desired::Running => {}
            Desired::Stopped => self.because(Reason::Stopped { expected: self.state.expected }),
            Desired::Deleted => self.because(Reason::Deleting),
        }
    }

    /// Kills again what was killed and is still there.
    fn kill_again(&mut self) {
        self.explain_stubborn();
        let (mut outstanding, mut due) = (Vec::new(), Vec::new());
        for (answered_at, id) in self.state.handles.dying() {
            // The first patience is the shortest: whoever comes later in this order is not due either.
            if !self.is_due(answered_at + self.policy().kill_retry) {
                break;
            }
            let Some(Phase::Terminating { attempts, .. }) = self.state.handle(id).map(|handle| handle.phase)
            else {
                continue;
            };
            if answered_at == Time::default() {
                outstanding.push(id);
                continue;
            }
            let patience = self.policy().kill_retry * (1 << attempts.saturating_sub(1).min(KILL_DOUBLINGS));
            if self.is_due(answered_at + patience) {
                due.push(id);
            }
        }
        self.kill(outstanding, KillReason::Outstanding);
        self.kill(due, KillReason::StillThere);
    }

    /// Says which handle does not die: the one whose kill failed last, or the oldest that was killed more than once.
    fn explain_stubborn(&mut self) {
        let refused = self.state.kill_trouble.as_ref();
        let id = refused.map(|(id, _)| *id).or_else(|| self.state.handles.stubborn());
        let Some(handle) = id.and_then(|id| self.state.handle(id)) else { return };
        let Phase::Terminating { attempts, .. } = handle.phase else { return };
        let trouble = refused.map(|(_, trouble)| trouble.clone());
        self.because(Reason::KillFailing { handle: handle.name.to_string(), attempts, trouble });
    }

    /// Kills what stayed initializing for too long, as a look has shown that was taken after that time: while nobody looked,
    /// because the provider could not tell or because there was no host, it may have begun to work.
    fn kill_late_starters(&mut self) {
        let already: BTreeSet<_> = self.killed_now().collect();
        let due = self.state.calls.late.iter().copied().filter(|id| {
            let phase = self.state.handle(*id).map(|handle| handle.phase);
            // The patience may have grown since the look.
            matches!(phase, Some(Phase::Initializing { since }) if since + self.policy().launch_timeout <= self.now)
                && !already.contains(id)
        });
        let due = due.collect();
        if let Some((since, _)) = self.state.handles.initializing().next() {
            self.is_due(since + self.policy().launch_timeout);
        }
        self.kill(due, KillReason::LaunchTimeout);
    }

    /// Kills the workers that know another server than the one that is there now.
    fn kill_stale(&mut self) {
        if !self.state.has_stale {
            return;
        }
        let stale = self.state.handles().filter(|(_, handle)| self.state.is_stale_and_alive(handle));
        self.kill(stale.map(|(id, _)| id).collect(), KillReason::OtherServer);
    }

    fn kill(&mut self, handles: Vec<HandleId>, why: KillReason) {
        if handles.is_empty() {
            return;
        }
        self.because(Reason::Killing { handles: handles.len(), why });
        let mut by_side: BTreeMap<Side, Vec<HandleId>> = BTreeMap::new();
        for id in handles {
            let side = self.state.handle(id).map_or(self.state.side, |handle| handle.side);
            by_side.entry(side).or_default().push(id);
        }
        let kill = |(side, handles)| Action::Kill { side, handles, why };
        self.plan.actions.extend(by_side.into_iter().map(kill));
    }

    /// Says what is held for launches of unknown fate, and asks for them again where that is safe.
    fn resolve_unknown(&mut self) {
        for (id, launch) in self.state.launches() {
            let LaunchPhase::Unknown { trouble, returned, .. } = &launch.phase else { continue };
            let side = launch.side;
            let traits = self.state.traits_of(side);
            let remedy = match returned {
                false => Remedy::WaitForReturn,
                true if traits.list => Remedy::List,
                true if traits.idempotent_run => Remedy::Repeat,
                true => Remedy::Operator,
            };
            let (token, workers) = (self.state.token(id), launch.held());
            self.because_on(
                side,
                Reason::HeldForUnknown { token, workers, trouble: trouble.clone(), remedy },
            );
            // Where the server is gone for good, the launch is asked for all the same: it must be found out before the cluster
            // can go.
            let is_served = !self.state.wants_server() || self.state.is_served();
            if remedy == Remedy::Repeat
                && is_served
                && self.is_initialized(side)
                && self.is_due_after(self.state.launch_backoff_of(side))
            {
                let workers = launch.workers;
                self.plan.actions.push(Action::Launch { side, launch: id, workers, again: true });
            }
        }
    }

    fn is_due_after(&mut self, backoff: Backoff) -> bool {
        backoff.until(self.now).is_none_or(|until| self.is_due(until))
    }

    fn explain_strays(&mut self) {
        let Some(since) = self.state.strays.values().map(|stray| stray.since).min() else { return };
        let kill_in = (since + self.policy().stray_grace).since(self.now);
        self.because(Reason::Strays { workers: self.state.stray_workers(), kill_in });
    }

    fn knows_its_workers(&mut self) -> bool {
        if self.state.reconnect.is_some() {
            self.because(Reason::Reconnecting { found: self.state.tally().live() });
            return false;
        }
        let known = self.state.knows_its_workers();
        if !known {
            self.because(Reason::FindingWorkers { trouble: self.state.calls.here.list.trouble.clone() });
        }
        known
    }

    /// Launches what is missing, or kills what is too much.
    fn meet_target(&mut self) {
        let target = u64::from(self.state.target());
        // What this very plan kills for starting too late no longer counts as live.
        let live = self.state.tally().live() - self.workers_killed_now();
        let coming = self.state.in_flight() + self.state.unknown();
        if live > target {
            self.kill_surplus(self.state.side, live - target);
        } else if live + coming < target {
            self.launch_missing(target - live - coming, live + coming);
        }
    }

    /// Whom this plan kills so far, of those that live.
    fn killed_now(&self) -> impl Iterator<Item = HandleId> {
        let killed = self.plan.actions.iter().flat_map(|action| match action {
            Action::Kill { handles, .. } => &**handles,
            _ => &[],
        });
        let lives = |id: &HandleId| {
            let phase = self.state.handle(*id).map(|handle| handle.phase);
            phase.is_some_and(|phase| !matches!(phase, Phase::Terminating { .. }))
        };
        killed.copied().filter(lives)
    }

    fn workers_killed_now(&self) -> u64 {
        self.killed_now().filter_map(|id| self.state.handle(id)).map(|handle| u64::from(handle.workers)).sum()
    }

    fn kill_surplus(&mut self, side: Side, surplus: u64) {
        let candidates = self.candidates(side);
        let choice = victims::choose(&candidates, surplus, self.policy().prefer);
        if choice.workers < surplus {
            let chosen: BTreeSet<_> = choice.handles.iter().collect();
            let left = candidates.iter().filter(|candidate| !chosen.contains(&candidate.id));
            let smallest = left.map(|candidate| candidate.workers).min().unwrap_or(0);
            self.because(Reason::SharedHandles { surplus: surplus - choice.workers, smallest });
        }
        self.kill(choice.handles, KillReason::Surplus);
    }

    fn launch_missing(&mut self, missing: u64, counted: u64) {
        // What this plan kills is still alive while it launches.
        let stopping = self.state.tally().terminating + self.workers_killed_now();
        let beside = stopping + self.state.stray_workers();
        let room = u64::from(self.policy().max).saturating_sub(counted + beside);
        if room < missing {
            let max = self.policy().max;
            self.because(Reason::AtMaximum { max, stopping, waiting: missing - room });
        }
        self.launch(missing.min(room));
    }

    /// Launches so many, as far as that may be now.
    fn launch(&mut self, mut wanted: u64) {
        if wanted == 0 || !self.may_launch() {
            return;
        }
        let limit = self.policy().launches_in_flight;
        let in_flight =
            self.state.launches().filter(|(_, launch)| launch.phase == LaunchPhase::InFlight).count();
        let slots = (limit as usize).saturating_sub(in_flight) as u64;
        let next = self.state.next_launch;
        let mut launched = 0;
        for launch in (next..next + slots).map(LaunchId) {
            if wanted == 0 {
                break;
            }
            let workers = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.policy().launch_batch);
            let workers = whole_containers(workers, self.state.per_container);
            wanted -= u64::from(workers);
            launched += u64::from(workers);
            self.plan.actions.push(Action::Launch { side: self.state.side, launch, workers, again: false });
        }
        if launched > 0 {
            self.because(Reason::Launching { workers: launched });
        }
        if wanted > 0 {
            self.because(Reason::LaunchLimit { limit, workers: wanted });
        }
    }

    /// Whether the provider has prepared itself for the cluster, where it must; where not, it is asked to.
    fn is_initialized(&mut self, side: Side) -> bool {
        let call = &self.state.calls_of(side).initialize;
        if !self.state.traits_of(side).initialize || call.succeeded_at.is_some() {
            return true;
        }
        if !self.unprepared.contains(&side) {
            self.unprepared.push(side);
            self.because_on(side, Reason::Initializing { trouble: call.trouble.clone() });
            if !call.in_flight && self.is_due_after(call.backoff) {
                self.plan.actions.push(Action::Initialize { side });
            }
        }
        false
    }

    /// Whether nothing but room stands in the way of a launch.
    fn may_launch(&mut self) -> bool {
        let mut clear = self.is_initialized(self.state.side) & self.state.is_served();
        if let Some(until) = self.state.launch_backoff.until(self.now) {
            clear = false;
            self.wake(until);
            self.because(Reason::BackingOff {
                failures: self.state.launch_backoff.failures(),
                retry_in: until.since(self.now),
                trouble: self.state.launch_trouble.clone(),
            });
        }
        if let Some(until) = self.state.crash_backoff.until(self.now) {
            clear = false;
            self.wake(until);
            let crashes = self.state.crash_backoff.failures();
            self.because(Reason::CrashLoop { crashes, retry_in: until.since(self.now) });
        }
        clear
    }

    /// Asks the provider for all its workers: first of all, while a launch's fate is unknown, and now and then.
    fn list(&mut self, side: Side) {
        let (state, policy) = (self.state, &self.state.policy);
        if !state.traits_of(side).list {
            return;
        }
        let call = &state.calls_of(side).list;
        let unknown = |phase: &LaunchPhase| matches!(phase, LaunchPhase::Unknown { .. });
        let doubtful = state.launches().any(|(_, launch)| launch.side == side && unknown(&launch.phase));
        let interval = if doubtful { policy.poll_interval } else { policy.list_interval };
        if let Some(trouble) = call.trouble.clone() {
            let failures = call.backoff.failures();
            self.because_on(side, Reason::ListFailing { failures, trouble });
        }
        // A cluster that is deleted goes only after a last look has found nothing of it, and so does a provider that is left.
        let is_over = if state.desired == Desired::Deleted {
            state.is_empty()
        } else {
            side != state.side && state.is_side_empty(side)
        };
        let last_look = is_over && !state.has_looked_since_last_death(side);
        let hurry = last_look || state.reconnect.is_some();
        let strays = state.strays.values().filter(|stray| stray.side == side);
        let mut interval = if hurry { policy.busy_poll_interval } else { interval };
        if let (Some(condemned_at), Some(last)) =
            (strays.map(|stray| stray.since + policy.stray_grace).min(), call.started_at)
            && last < condemned_at
        {
            // The list that condemns strays is asked for when their time is up.
            interval = interval.min(condemned_at.since(last));
        }
        if self.call_is_due(call, interval) {
            self.plan.actions.push(Action::List { side });
        }
    }

    /// Asks for statuses: often while something is under way, now and then otherwise.
    fn ask_statuses(&mut self, side: Side) {
        let state = self.state;
        // Of nobody, nobody asks for a status, nor minds that the last one failed.
        if state.handles.count_on(side) == 0 {
            return;
        }
        let call = &state.calls_of(side).status;
        if let Some(trouble) = call.trouble.clone() {
            let failures = call.backoff.failures();
            self.because_on(side, Reason::StatusFailing { failures, trouble });
        }
        // While a kill is out there is nothing to see yet: its answer asks for statuses.
        let tally = state.handles.tally_on(side);
        let dying = tally.terminating > 0 && state.handles.dying().any(|(_, id)| is_on(state, side, id));
        let busy = tally.initializing > 0 || dying || state.suspicion_of(side).is_some();
        let interval = if busy { state.policy.busy_poll_interval } else { state.policy.poll_interval };
        if self.call_is_due(call, interval) {
            let (mut live, mut terminating) = (Vec::new(), Vec::new());
            for (id, handle) in state.handles().filter(|(_, handle)| handle.side == side) {
                match handle.phase {
                    Phase::Terminating { .. } => terminating.push(id),
                    Phase::Initializing { .. } | Phase::Running => live.push(id),
                }
            }
            self.plan.actions.push(Action::Status { side, live, terminating });
        }
    }

    fn call_is_due(&mut self, call: &Call, interval: Duration) -> bool {
        if call.in_flight {
            return false;
        }
        if let Some(until) = call.backoff.until(self.now) {
            return self.is_due(until);
        }
        match call.started_at {
            Some(started) if !call.wanted => self.is_due(started + interval),
            _ => true,
        }
    }

    /// Says what is waited for, and that all is well where nothing is.
    fn explain_waiting(&mut self) {
        let (state, tally) = (self.state, self.state.tally());
        for side in self.sides() {
            if let Some(suspicion) = state.suspicion_of(side) {
                self.because_on(side, Reason::MassDeath { workers: suspicion.workers });
            }
        }
        if state.in_flight() > 0 {
            self.because(Reason::LaunchesInFlight { workers: state.in_flight() });
        }
        if tally.initializing > 0 {
            self.because(Reason::Starting { workers: tally.initializing });
        }
        if tally.terminating > 0 {
            self.because(Reason::Stopping { workers: tally.terminating });
        }
        if self.report.reasons.is_empty() && state.is_converged() {
            self.because(Reason::AtTarget { workers: tally.running });
        }
    }
}
