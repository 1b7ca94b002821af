//! The server that a cluster's workers report to: who runs it, where it is, and what becomes of workers that knew another
//! one. It comes up before the first worker and goes after the last; while it is down no worker is launched, and the
//! expected number is kept.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    backoff::Backoff,
    ids::LaunchId,
    policy::{DAY, PolicyError, in_range, millis},
    record::StopReason,
    time::Time,
};

/// Who runs a cluster's server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerKind {
    /// The cluster's provider does, as the host asks it to.
    #[default]
    Managed,
    /// Others do: it is only looked at.
    External,
}

/// What becomes of the workers of before when a server that had died is up again. Those whose launch is under way at that
/// time are treated as the others; those that none of the cluster's launches brought are left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRestart {
    /// They are killed and launched anew where its address is another one than theirs, and live on where it is the same.
    #[default]
    ReplaceIfMoved,
    /// They are killed and launched anew in any case. (Of a server that others run nobody sees that it was started again;
    /// it counts as restarted where its address is another one.)
    Replace,
    /// They live on in any case.
    Keep,
}

/// How a cluster's server is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerPolicy {
    /// Who runs it.
    pub kind: ServerKind,
    /// How long it may take to be up after it was asked for. It is stopped then, and started anew.
    pub start_timeout: Duration,
    /// What becomes of the workers of before when it was started again.
    pub on_restart: OnRestart,
}

impl Default for ServerPolicy {
    fn default() -> Self {
        Self {
            kind: ServerKind::Managed,
            start_timeout: Duration::from_mins(2),
            on_restart: OnRestart::default(),
        }
    }
}

impl ServerPolicy {
    /// Checks every field against its range.
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        in_range("start_timeout", millis(self.start_timeout), 1, 30 * DAY)
    }
}

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// A host name or an address.
    pub host: String,
    /// The port, where one is known.
    pub port: Option<u16>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As in a URL, where the colons of an IPv6 address would be taken for the port's (RFC 3986, 3.2.2).
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (_, None) => f.write_str(&self.host),
        }
    }
}

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerPhase {
    /// Not there; of one that others run: not reached yet.
    #[default]
    Down,
    /// Asked for, and not up yet.
    Starting {
        /// When it was asked for.
        since: Time,
    },
    /// Up: it can be reached, or, where that is not looked at, its provider says that it runs.
    Up {
        /// Since when.
        since: Time,
    },
    /// It was up and cannot be reached now, while its provider does not say that it has stopped. It is waited for: it may be
    /// busy, and starting another one in its place would lose what it knows.
    Lost {
        /// Since when.
        since: Time,
    },
    /// Told to stop, and not seen stopped yet.
    Stopping {
        /// When it was told first.
        since: Time,
    },
}

/// A cluster's server, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// How it is looked after.
    pub policy: ServerPolicy,
    /// Where it is in its life.
    pub phase: ServerPhase,
    /// Where it was reached last: what the latest workers were told.
    pub address: Option<Address>,
    /// How often it has come up; that it was out of reach for a while does not count.
    pub starts: u64,
    /// When it last came up, by the same count.
    pub(crate) came_up_at: Time,
    /// Why it is being stopped, where it is.
    pub(crate) stop_reason: Option<StopReason>,
    /// A call that was to start it was cut off with its host, or its answer was lost: since when that is known. What it asked
    /// for may come to be for a while yet, and no look is believed before that has no server.
    pub(crate) in_doubt_since: Option<Time>,
    /// Deaths soon after the start, in a row, and starts that came to nothing.
    pub crashes: Backoff,
    /// Workers of launches before this one know another server, and are to be replaced.
    pub(crate) stale_before: LaunchId,
}

impl Server {
    pub(crate) fn new(policy: ServerPolicy) -> Self {
        Self {
            policy,
            phase: ServerPhase::Down,
            address: None,
            starts: 0,
            came_up_at: Time::default(),
            stop_reason: None,
            in_doubt_since: None,
            crashes: Backoff::default(),
            stale_before: LaunchId(0),
        }
    }

    /// Whether workers may be launched as far as it is concerned.
    pub fn is_up(&self) -> bool {
        matches!(self.phase, ServerPhase::Up { .. })
    }

    /// Whether nothing of it can be there that this cluster has to take down.
    pub fn is_gone(&self) -> bool {
        self.policy.kind == ServerKind::External || self.phase == ServerPhase::Down
    }

    /// Another one in the place of this one, of which nothing is left but the workers that know it.
    pub(crate) fn succeeded_by(&self, policy: ServerPolicy) -> Self {
        let (address, stale_before) = (self.address.clone(), self.stale_before);
        Self { address, stale_before, ..Self::new(policy) }
    }

    /// Whether workers must be replaced that knew the server before it was seen at this address.
    pub(crate) fn replaces(&self, address: &Address) -> bool {
        let moved = self.address.as_ref().is_some_and(|before| before != address);
        let restarted = self.policy.kind == ServerKind::Managed
            && self.starts > 0
            && matches!(self.phase, ServerPhase::Starting { .. } | ServerPhase::Down);
        match self.policy.on_restart {
            OnRestart::ReplaceIfMoved => moved,
            OnRestart::Replace => moved || restarted,
            OnRestart::Keep => false,
        }
    }
}

/// How a server was seen to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerSeen {
    /// Its provider knows of none, or of one that has stopped.
    Stopped,
    /// Its provider says that it is still starting, or does not know its address yet.
    Initializing,
    /// It should be there, and cannot be reached.
    Unreachable {
        /// Where.
        address: Address,
        /// Why.
        trouble: crate::Trouble,
    },
    /// It is up.
    Up {
        /// Where.
        address: Address,
    },
}
