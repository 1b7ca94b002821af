//! How a provider's runner is, for those who look.

use longshore_providers::{Provider, Resources, RunnerLoad, RunnerState};
use serde::{Deserialize, Serialize};

/// How the process is that a provider's code runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerStatus {
    /// What it is doing.
    pub phase: RunnerPhase,
    /// The number of its process, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// How often it ended though nobody had asked for it.
    #[serde(default)]
    pub deaths: u64,
    /// What became of the last one, where none is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What is lacking of what its configuration confines it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
    /// Where the calls are that it has, as it says; null where it was not asked, or did not say in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<RunnerLoad>,
    /// What its process takes of the machine; null where the host was not asked for it, or does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// What a runner is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerPhase {
    /// It is being started, and makes the provider.
    Starting,
    /// It is there.
    Running,
    /// It is gone, and is started again in a while.
    Waiting,
    /// It is not started again, until an operator says so.
    Quarantined,
    /// The provider is shut down.
    ShutDown,
}

impl RunnerStatus {
    /// Nothing for a provider that runs in the host's own process.
    pub(crate) fn of(provider: &Provider) -> Option<Self> {
        let state = provider.runner()?;
        let mut status = Self {
            phase: RunnerPhase::Starting,
            pid: None,
            restarts: provider.restarts(),
            deaths: provider.deaths(),
            why: None,
            lacking: Vec::new(),
            calls: None,
            resources: None,
        };
        match &*state.borrow() {
            RunnerState::Starting => {}
            RunnerState::Running { pid, lacking, .. } => {
                status.phase = RunnerPhase::Running;
                status.pid = Some(*pid);
                status.lacking = lacking.to_vec();
            }
            RunnerState::Waiting { why, .. } => {
                status.phase = RunnerPhase::Waiting;
                status.why = Some(why.to_string());
            }
            RunnerState::Quarantined { why } => {
                status.phase = RunnerPhase::Quarantined;
                status.why = Some(why.to_string());
            }
            RunnerState::ShutDown => status.phase = RunnerPhase::ShutDown,
        }
        Some(status)
    }
}
