//! What a whole run came to. The JSON form is part of the interface: `report.schema.json` in this crate describes it.

use longshore_plugin_api::{Level, Metadata};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    check::Check,
    verdict::{Finding, Outcome},
};

/// The version of the JSON form. Fields may be added to it; whoever reads it ignores those that it does not know.
pub const FORMAT: u32 = 1;

/// What a run came to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The library's file.
    pub library: String,
    /// What it says of itself; absent where it could not be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginInfo>,
    /// Whether `--long` was given.
    pub long: bool,
    /// What the random checks began with.
    pub seed: u64,
    /// How long the run took, in milliseconds.
    pub took_ms: u64,
    /// How many checks ended in which way.
    pub counts: Counts,
    /// Every check that was asked for, in the order of the contract.
    pub findings: Vec<Finding>,
}

/// A plugin, as its metadata say.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The ids of its interfaces.
    pub interfaces: Vec<String>,
}

impl From<&Metadata> for PluginInfo {
    fn from(metadata: &Metadata) -> Self {
        Self {
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            interfaces: metadata.interfaces.clone(),
        }
    }
}

/// How many checks ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed: a MUST is broken.
    pub failed: usize,
    /// A SHOULD is broken.
    pub warnings: usize,
    /// The process of the check ended in the middle.
    pub crashed: usize,
    /// Ended at the limit.
    pub timed_out: usize,
    /// Not tried.
    pub skipped: usize,
    /// The harness failed.
    pub harness_faults: usize,
    /// Workers and servers that are still alive.
    pub left_behind: usize,
}

impl Counts {
    pub(crate) fn of(findings: &[Finding]) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            counts.left_behind += finding.left_behind.len();
            *match finding.outcome {
                Outcome::Passed => &mut counts.passed,
                Outcome::Failed(_) => &mut counts.failed,
                Outcome::Warning(_) => &mut counts.warnings,
                Outcome::Crashed { .. } => &mut counts.crashed,
                Outcome::TimedOut { .. } => &mut counts.timed_out,
                Outcome::Skipped { .. } => &mut counts.skipped,
                Outcome::HarnessFault { .. } => &mut counts.harness_faults,
            } += 1;
        }
        counts
    }
}

/// What a run says of the provider as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overall {
    /// It keeps every MUST, as far as was tried.
    Conforms,
    /// It breaks one, or left something behind.
    Breaks,
    /// Nothing can be said, as the harness itself failed.
    Unknown,
}

impl Report {
    /// What the run says of the provider.
    pub fn overall(&self) -> Overall {
        let counts = &self.counts;
        if counts.failed + counts.crashed + counts.timed_out + counts.left_behind > 0 {
            Overall::Breaks
        } else if counts.harness_faults > 0 {
            Overall::Unknown
        } else {
            Overall::Conforms
        }
    }
}

impl Finding {
    pub(crate) fn new(check: Check, outcome: Outcome) -> Self {
        Self {
            check: check.name().to_owned(),
            must: check.level() == Level::Must,
            clauses: check.clauses().to_vec(),
            outcome,
            took_ms: 0,
            left_behind: Vec::new(),
            log: String::new(),
            notes: Vec::new(),
        }
    }
}
