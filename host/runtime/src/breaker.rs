//! How a provider's circuit breaker is, for those who look.

use std::time::{SystemTime, UNIX_EPOCH};

use longshore_providers::{BreakerState, Provider};
use longshore_scaling::Time;
use serde::{Deserialize, Serialize};

/// How a provider's circuit breaker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerStatus {
    /// What it does.
    pub phase: BreakerPhase,
    /// How many calls in a row have failed in a way that counts.
    pub failures: u32,
    /// How often it has opened.
    pub openings: u64,
    /// Since when it is open, where it is; in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When the next call is let through, where it is open; in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Since when, why and until when it is open, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerPhase {
    /// It lets all calls through.
    Closed,
    /// It holds calls back.
    Open,
    /// It holds calls back, but for one that tries whether it is over.
    Trying,
}

impl BreakerStatus {
    pub(crate) fn of(provider: &Provider) -> Self {
        let BreakerState { failures, open, openings } = provider.breaker();
        let phase = match open {
            None => BreakerPhase::Closed,
            Some(open) if open.is_trying => BreakerPhase::Trying,
            Some(_) => BreakerPhase::Open,
        };
        Self {
            phase,
            failures,
            openings,
            since: open.map(|open| time(open.since)),
            until: open.map(|open| time(open.until)),
            why: open.map(|open| open.to_string()),
        }
    }
}

fn time(at: SystemTime) -> Time {
    Time::default() + at.duration_since(UNIX_EPOCH).unwrap_or_default()
}
