//! What the host tells of its clusters and providers: plain values, the same for the library, the socket and the command
//! line.

use std::path::Path;

use longshore_config::Isolation;
use longshore_providers::{FunctionFigures, check_command};
use longshore_scaling::{
    Desired, Handle, Phase, PlanReport, Reason, Server, ServerKind, ServerPhase, State, Time, Trouble,
};
use serde::{Deserialize, Serialize};

use crate::{
    breaker::BreakerStatus,
    generations::{GenerationStatus, Generations, RolledBack},
    quarantine::QuarantinedLibrary,
    registry::Installed,
    runner::RunnerStatus,
    serving::ServingStatus,
};

/// How a cluster is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// The name of its provider.
    pub provider: String,
    /// The provider that it leaves, while it moves to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<LeavingStatus>,
    /// What the calls to that one go to, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingStatus>,
    /// Whether it shall have workers.
    pub desired: Desired,
    /// Whether the host is leaving, and the workers with it: it shall have none, until the next host comes.
    pub resting: bool,
    /// How many workers its user asked for.
    pub expected: u32,
    /// The fewest that may be asked for.
    pub min: u32,
    /// The most that may be asked for.
    pub max: u32,
    /// Workers that are launched and not yet at work.
    pub initializing: u64,
    /// Workers at work.
    pub running: u64,
    /// Workers that were told to stop and are not yet seen stopped.
    pub terminating: u64,
    /// Workers asked for in launches that have not been answered yet.
    pub launching: u64,
    /// Workers that launches of unknown fate may have created.
    pub unknown: u64,
    /// Workers of the cluster's name that none of its launches brought, and that are killed if they stay.
    pub strays: u64,
    /// Containers that are not known to have stopped.
    pub handles: usize,
    /// Grows with every command that changed what is wanted.
    pub generation: u64,
    /// Its server, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerStatus>,
    /// Whether there are just the workers that there shall be, all of them running, and the server that there shall be.
    pub converged: bool,
    /// Why nothing moves, or what does.
    pub reasons: Vec<Explanation>,
}

impl ClusterStatus {
    pub(crate) fn of(
        name: &str,
        provider: &str,
        libraries: Libraries<'_>,
        state: &State,
        report: PlanReport,
    ) -> Self {
        let tally = state.tally();
        Self {
            name: name.to_owned(),
            provider: provider.to_owned(),
            leaving: state.leaving().map(|left| LeavingStatus {
                provider: left.provider().to_string(),
                since: left.since(),
                left: state.left_behind(),
            }),
            serving: None,
            desired: state.desired(),
            resting: state.is_resting(),
            expected: state.expected(),
            min: state.policy().min,
            max: state.policy().max,
            initializing: tally.initializing,
            running: tally.running,
            terminating: tally.terminating,
            launching: state.in_flight(),
            unknown: state.unknown(),
            strays: state.strays().map(|(_, stray)| u64::from(stray.workers)).sum(),
            handles: state.handle_count(),
            generation: state.generation(),
            server: state.server().map(ServerStatus::of),
            converged: state.is_converged(),
            reasons: explanations(report, libraries),
        }
    }

    /// Whether anything of it may run, its server among it, as far as is known.
    pub(crate) fn may_have_workers(&self) -> bool {
        let managed = self.server.as_ref().filter(|server| server.kind == ServerKind::Managed);
        managed.is_some_and(|server| server.phase != ServerLife::Down)
            || self.handles > 0
            || self.launching > 0
            || self.unknown > 0
            || self.strays > 0
    }

    /// How many workers it shall have now.
    pub fn target(&self) -> u32 {
        if self.desired == Desired::Running && !self.resting {
            self.expected.clamp(self.min, self.max)
        } else {
            0
        }
    }
}

/// A provider that a cluster leaves for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavingStatus {
    /// Its name.
    pub provider: String,
    /// Since when, in milliseconds since 1970.
    pub since: Time,
    /// Workers that are left there, those included that may be.
    pub left: u64,
}

/// The files of the libraries of a cluster's providers, where they are there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Libraries<'a> {
    pub(crate) here: Option<&'a Path>,
    /// That of the provider that the cluster leaves.
    pub(crate) left: Option<&'a Path>,
}

impl<'a> Libraries<'a> {
    pub(crate) fn one(here: &'a Path) -> Self {
        Self { here: Some(here), left: None }
    }
}

/// How a cluster's server is. Its password is not in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Who runs it.
    pub kind: ServerKind,
    /// Where it is in its life.
    pub phase: ServerLife,
    /// Since when it has been there, where that is known; in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Where it is reached, or was reached last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How often it has come up.
    pub starts: u64,
}

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerLife {
    /// Not there; of one that others run: not reached yet.
    Down,
    /// Asked for, and not up yet.
    Starting,
    /// Up.
    Up,
    /// It was up, and cannot be reached now.
    Lost,
    /// Told to stop, and not seen stopped yet.
    Stopping,
}

impl ServerStatus {
    fn of(server: &Server) -> Self {
        let (phase, since) = match server.phase {
            ServerPhase::Down => (ServerLife::Down, None),
            ServerPhase::Starting { since } => (ServerLife::Starting, Some(since)),
            ServerPhase::Up { since } => (ServerLife::Up, Some(since)),
            ServerPhase::Lost { since } => (ServerLife::Lost, Some(since)),
            ServerPhase::Stopping { since } => (ServerLife::Stopping, Some(since)),
        };
        let address = server.address.as_ref().map(ToString::to_string);
        Self { kind: server.policy.kind, phase, since, address, starts: server.starts }
    }

    /// Whether workers can report to it, as far as is known.
    pub fn is_up(&self) -> bool {
        self.phase == ServerLife::Up
    }
}

/// A reason, as data and in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// For a person.
    pub text: String,
    /// The command that shows it again, where the provider broke a clause of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// For a program.
    #[serde(flatten)]
    pub reason: Reason,
}

impl Explanation {
    pub(crate) fn of(reason: Reason, libraries: Libraries<'_>) -> Self {
        let library = if let Reason::Left { .. } = reason { libraries.left } else { libraries.here };
        let check = library.zip(reason.clause()).map(|(library, clause)| check_command(library, clause));
        Self { text: reason.to_string(), check, reason }
    }
}

/// All reasons of a report.
pub(crate) fn explanations(report: PlanReport, libraries: Libraries<'_>) -> Vec<Explanation> {
    report.reasons.into_iter().map(|reason| Explanation::of(reason, libraries)).collect()
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerPhase {
    /// Launched, not yet at work.
    Initializing,
    /// At work.
    Running,
    /// Told to stop.
    Terminating,
}

/// One container of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerView {
    /// The provider's handle.
    pub handle: String,
    /// How many workers share it.
    pub workers: u32,
    /// Where it is in its life.
    pub phase: WorkerPhase,
    /// When the host learned of it, in milliseconds since the epoch.
    pub since: Time,
    /// For how long the host has known it, in milliseconds.
    pub age_ms: u64,
    /// The token of its launch; none where it was found running.
    pub token: Option<String>,
}

impl WorkerView {
    pub(crate) fn of(state: &State, handle: &Handle, now: Time) -> Self {
        let phase = match handle.phase {
            Phase::Initializing { .. } => WorkerPhase::Initializing,
            Phase::Running => WorkerPhase::Running,
            Phase::Terminating { .. } => WorkerPhase::Terminating,
        };
        Self {
            handle: handle.name.to_string(),
            workers: handle.workers,
            phase,
            since: handle.launched_at,
            age_ms: u64::try_from(now.since(handle.launched_at).as_millis()).unwrap_or(u64::MAX),
            token: handle.launch.map(|launch| state.token(launch)),
        }
    }
}

/// A page of a cluster's containers, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerPage {
    /// These.
    pub workers: Vec<WorkerView>,
    /// How many there are in all.
    pub total: usize,
}

/// How a provider is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// Its name.
    pub name: String,
    /// The plugin's own name; where the provider is not there, what its configuration calls the plugin.
    pub plugin: String,
    /// Why the provider is not there, where it is not. It is tried again and again, unless its library is quarantined.
    pub trouble: Option<Trouble>,
    /// The library that the provider died of too often, where it is not there because of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<QuarantinedLibrary>,
    /// The plugin's version; empty, as what follows, where the provider is not there.
    pub version: String,
    /// The plugin's file.
    pub path: String,
    /// The SHA-256 of the file's bytes, in hexadecimal.
    pub hash: String,
    /// The clusters that use it.
    pub clusters: Vec<String>,
    /// Threads that call the plugin.
    pub threads: usize,
    /// Of these, those inside the plugin.
    pub busy: usize,
    /// Of these, those that are past their deadline and have not returned.
    pub stuck: usize,
    /// Calls that wait for a thread.
    pub queued: usize,
    /// Where its code runs, where the provider is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// The process of its own, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<RunnerStatus>,
    /// Its generations, the newest first: the one that serves, and those that are kept or end their calls.
    #[serde(default)]
    pub generations: Vec<GenerationStatus>,
    /// What the host gave up by itself, last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// Its circuit breaker, where the provider is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerStatus>,
    /// What its calls came to since it was made, of each function that was called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionFigures>,
}

impl ProviderStatus {
    pub(crate) fn of(
        installed: &Installed,
        generations: Option<&Generations>,
        clusters: Vec<String>,
        quarantined: Option<QuarantinedLibrary>,
    ) -> Self {
        let Installed { config, made } = installed;
        let rolled_back = generations.and_then(|generations| generations.rolled_back.clone());
        let told = |serving| generations.map(|generations| generations.told(serving)).unwrap_or_default();
        let provider = match made {
            Ok(provider) => provider,
            Err(trouble) => {
                return Self {
                    name: config.name.clone(),
                    plugin: config.plugin.clone(),
                    trouble: Some(trouble.clone()),
                    quarantined,
                    clusters,
                    generations: told(None),
                    rolled_back,
                    ..Self::default()
                };
            }
        };
        let (library, load) = (provider.library(), provider.load());
        let runner = RunnerStatus::of(provider);
        let isolation = if runner.is_some() { Isolation::Subprocess } else { Isolation::InProcess };
        Self {
            name: provider.name().to_owned(),
            trouble: None,
            quarantined: None,
            plugin: library.metadata().name.clone(),
            version: library.metadata().version.clone(),
            path: library.path().display().to_string(),
            hash: library.hash().to_owned(),
            clusters,
            threads: load.threads,
            busy: load.busy,
            stuck: load.stuck,
            queued: load.queued,
            isolation: Some(isolation),
            runner,
            generations: told(Some(provider)),
            rolled_back,
            breaker: Some(BreakerStatus::of(provider)),
            functions: provider.figures_by_function(),
        }
    }
}
