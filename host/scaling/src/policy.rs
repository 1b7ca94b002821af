//! How a cluster is scaled: its limits, its patience, its preferences. Plain numbers with their defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::victims::Prefer;

/// The most workers that one cluster may ask for.
pub const WORKERS_LIMIT: u32 = 1_000_000;

/// Where nothing is said of a move's surge, it is one part in so many.
const UNSAID_SURGE: u32 = 4;

/// Whether a cluster shall have workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// As many as expected.
    #[default]
    Running,
    /// None; the expected number is remembered.
    Stopped,
    /// None, and then the cluster goes.
    Deleted,
}

/// What becomes of workers that carry the cluster's name and that none of its launches brought: those of a host that had
/// the cluster before, say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strays {
    /// They are the cluster's own from then on, and count.
    #[default]
    Adopt,
    /// They are killed once they have been there for [`Policy::stray_grace`]. Until then they count against the maximum.
    Kill,
}

/// How a cluster is scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// The fewest workers that may be asked for.
    pub min: u32,
    /// The most workers that may be asked for, and that are ever alive at once: launches in flight, launches whose fate is
    /// unknown and workers that are being killed are counted.
    pub max: u32,
    /// Who goes first when the cluster shrinks, after those that are still initializing.
    pub prefer: Prefer,
    /// The most workers asked for in one launch.
    pub launch_batch: u32,
    /// The most launches in flight at once.
    pub launches_in_flight: u32,
    /// How long a worker may stay initializing before it is killed and counted as a failure.
    pub launch_timeout: Duration,
    /// How long after a kill a worker may still be alive before it is killed again; doubled at each further attempt.
    pub kill_retry: Duration,
    /// How often statuses are asked for when nothing is under way.
    pub poll_interval: Duration,
    /// How often statuses are asked for while workers are starting or stopping.
    pub busy_poll_interval: Duration,
    /// How often the provider is asked for all its workers, where it can tell.
    pub list_interval: Duration,
    /// What becomes of listed workers that no launch of this cluster brought.
    pub strays: Strays,
    /// How long such workers are let live where they shall be killed.
    pub stray_grace: Duration,
    /// The first wait after a failed launch; doubled at each further failure.
    pub backoff: Duration,
    /// The longest wait after a failed launch.
    pub backoff_max: Duration,
    /// A worker that dies sooner than this after its launch counts as a crash; one that lives longer ends a crash loop.
    pub stable_after: Duration,
    /// A death of at least so many workers at once ...
    pub mass_death_workers: u32,
    /// ... that are at least so many percent of those looked at is believed only when it is seen a second time.
    pub mass_death_percent: u32,
    /// How many workers beyond the expected number may be there while the cluster moves to another provider, those that are
    /// being killed included. Where nothing is said, a quarter of the expected number, and a container's worth at least.
    pub surge: Option<u32>,
    /// How many workers fewer than expected may be there for the sake of such a move.
    pub missing: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min: 0,
            max: WORKERS_LIMIT,
            prefer: Prefer::Newest,
            launch_batch: 1_000,
            launches_in_flight: 4,
            launch_timeout: Duration::from_mins(10),
            kill_retry: Duration::from_secs(30),
            poll_interval: Duration::from_secs(5),
            busy_poll_interval: Duration::from_millis(500),
            list_interval: Duration::from_mins(1),
            strays: Strays::Adopt,
            stray_grace: Duration::from_mins(10),
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_mins(5),
            stable_after: Duration::from_secs(10),
            mass_death_workers: 10,
            mass_death_percent: 50,
            surge: None,
            missing: 0,
        }
    }
}

/// A policy that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyError {
    /// The limits cross.
    #[error("min ({min}) is above max ({max})")]
    MinAboveMax {
        /// The fewest workers.
        min: u32,
        /// The most workers.
        max: u32,
    },
    /// A move to another provider could never begin.
    #[error(
        "surge and missing cannot both be 0: no worker could ever be replaced when the cluster moves to another provider"
    )]
    NoRoomToMove,
    /// A number is outside its range.
    #[error("{field} must be between {low} and {high}, not {given}")]
    OutOfRange {
        /// The field's name.
        field: String,
        /// The smallest value allowed.
        low: u64,
        /// The largest value allowed.
        high: u64,
        /// The value found; durations in milliseconds.
        given: u64,
    },
}

impl Policy {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// The first field that is out of range, durations in milliseconds.
    pub fn check(&self) -> Result<(), PolicyError> {
        let ranges = [
            ("max", u64::from(self.max), 0, u64::from(WORKERS_LIMIT)),
            ("launch_batch", u64::from(self.launch_batch), 1, u64::from(WORKERS_LIMIT)),
            ("launches_in_flight", u64::from(self.launches_in_flight), 1, 64),
            ("launch_timeout", millis(self.launch_timeout), 1, 30 * DAY),
            ("kill_retry", millis(self.kill_retry), 1, DAY),
            ("poll_interval", millis(self.poll_interval), 10, DAY),
            ("busy_poll_interval", millis(self.busy_poll_interval), 10, DAY),
            ("list_interval", millis(self.list_interval), 100, 30 * DAY),
            ("stray_grace", millis(self.stray_grace), 0, 30 * DAY),
            ("backoff", millis(self.backoff), 1, DAY),
            ("backoff_max", millis(self.backoff_max), millis(self.backoff), 30 * DAY),
            ("stable_after", millis(self.stable_after), 0, DAY),
            ("mass_death_workers", u64::from(self.mass_death_workers), 1, u64::from(u32::MAX)),
            ("mass_death_percent", u64::from(self.mass_death_percent), 1, 100),
            ("surge", u64::from(self.surge.unwrap_or(0)), 0, u64::from(WORKERS_LIMIT)),
            ("missing", u64::from(self.missing), 0, u64::from(WORKERS_LIMIT)),
        ];
        for (field, given, low, high) in ranges {
            in_range(field, given, low, high)?;
        }
        if self.min > self.max {
            return Err(PolicyError::MinAboveMax { min: self.min, max: self.max });
        }
        if (self.surge, self.missing) == (Some(0), 0) {
            return Err(PolicyError::NoRoomToMove);
        }
        Ok(())
    }

    /// How many workers may be there at once while the cluster moves, where so many are wanted: the surge more, and never
    /// more than the maximum.
    pub fn ceiling(&self, target: u32, per_container: u32) -> u32 {
        let quarter = || target.div_ceil(UNSAID_SURGE).max(per_container).max(1);
        target.saturating_add(self.surge.unwrap_or_else(quarter)).min(self.max)
    }

    /// How many workers must be there at least while the cluster moves, where so many are wanted.
    pub fn floor(&self, target: u32) -> u32 {
        target.saturating_sub(self.missing)
    }
}

pub(crate) const DAY: u64 = 24 * 60 * 60 * 1_000;

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn in_range(field: &str, given: u64, low: u64, high: u64) -> Result<(), PolicyError> {
    if given < low || given > high {
        return Err(PolicyError::OutOfRange { field: field.to_owned(), low, high, given });
    }
    Ok(())
}

/// What the cluster's provider can do beyond run, status and kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "one yes or no an ability, each asked for by itself")]
pub struct ProviderTraits {
    /// It must be told of the cluster before the first launch.
    pub initialize: bool,
    /// It can name all live handles of the cluster, with the launch that each came from.
    pub list: bool,
    /// The same launch may be asked for again without launching twice.
    pub idempotent_run: bool,
    /// It can run the cluster's server.
    #[serde(default)]
    pub server: bool,
}
