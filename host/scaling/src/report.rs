//! Why nothing moves, or what does, in words that a person can read.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{record::KillReason, trouble::Trouble};

/// The clause that a kill which was answered with yes holds.
const KILL_HOLDS: &str = "KILL-4";

/// What a plan does not do, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The reasons, in the order in which the planner came upon them.
    pub reasons: Vec<Reason>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// All is as it shall be.
    AtTarget {
        /// How many workers run.
        workers: u64,
    },
    /// The cluster is stopped.
    Stopped {
        /// How many workers it will have when it is started.
        expected: u32,
    },
    /// The host leaves, and the workers with it.
    Resting {
        /// How many workers the next host brings back.
        expected: u32,
    },
    /// The cluster is on its way out.
    Deleting,
    /// The host cannot write down what it decides, and so does nothing. (The shell says so, not the planner.)
    JournalFailing {
        /// Why.
        trouble: Trouble,
    },
    /// It is not known yet which workers run already.
    FindingWorkers {
        /// Why the last attempt failed, where it did.
        trouble: Option<Trouble>,
    },
    /// The cluster is taken over: nothing is done before all workers that run already are found.
    Reconnecting {
        /// How many are found so far.
        found: u64,
    },
    /// Workers are there that none of the cluster's launches brought, and the policy is to kill such.
    Strays {
        /// How many.
        workers: u64,
        /// When the first of them is killed, if it is still there then.
        kill_in: Duration,
    },
    /// The cluster moves to another provider.
    Moving {
        /// The provider that it leaves.
        from: String,
        /// Workers that are left there, those included that may be.
        left: u64,
        /// Workers that run on the other one already.
        arrived: u64,
    },
    /// The move does not go on: no worker of before may go, and none may come before one has gone.
    MoveBlocked {
        /// How many workers are wanted.
        target: u32,
        /// How many may be there at once.
        ceiling: u32,
        /// How many must be.
        floor: u32,
        /// Workers in the smallest container that is left.
        smallest: u32,
    },
    /// What holds for the provider that the cluster leaves.
    Left {
        /// The provider.
        from: String,
        /// What.
        because: Box<Reason>,
    },
    /// The provider has not yet prepared itself for the cluster.
    Initializing {
        /// Why the last attempt failed, where it did.
        trouble: Option<Trouble>,
    },
    /// Workers are being asked for.
    Launching {
        /// How many.
        workers: u64,
    },
    /// Handles are being killed.
    Killing {
        /// How many.
        handles: usize,
        /// Why.
        why: KillReason,
    },
    /// The provider has not yet answered launches.
    LaunchesInFlight {
        /// Workers asked for.
        workers: u64,
    },
    /// As many launches are in flight as are allowed at once.
    LaunchLimit {
        /// How many may be.
        limit: u32,
        /// Workers that wait.
        workers: u64,
    },
    /// Workers were launched and do not work yet.
    Starting {
        /// How many.
        workers: u64,
    },
    /// Workers were killed and are not seen stopped yet.
    Stopping {
        /// How many.
        workers: u64,
    },
    /// Launching failed, and is tried again later.
    BackingOff {
        /// Failures in a row.
        failures: u32,
        /// How long until it is tried again.
        retry_in: Duration,
        /// The last failure.
        trouble: Option<Trouble>,
    },
    /// Workers die soon after their launch.
    CrashLoop {
        /// How often in a row.
        crashes: u32,
        /// How long until the next launch.
        retry_in: Duration,
    },
    /// It is not known what a launch created, and its capacity is held until it is.
    HeldForUnknown {
        /// The launch's token.
        token: String,
        /// How many workers it may have created that are not known.
        workers: u32,
        /// Why its outcome is not known.
        trouble: Trouble,
        /// How it will be found out.
        remedy: Remedy,
    },
    /// The surplus is smaller than any container that could be killed.
    SharedHandles {
        /// Workers too many.
        surplus: u64,
        /// Workers in the smallest container.
        smallest: u32,
    },
    /// More workers may not be alive at once.
    AtMaximum {
        /// The limit.
        max: u32,
        /// Workers that are being killed and count until they are gone.
        stopping: u64,
        /// Workers that wait.
        waiting: u64,
    },
    /// So many workers died at once that a second look is taken before they are replaced.
    MassDeath {
        /// How many.
        workers: u64,
    },
    /// Statuses cannot be had: what is known is kept.
    StatusFailing {
        /// Failures in a row.
        failures: u32,
        /// The last one.
        trouble: Trouble,
    },
    /// The list of all workers cannot be had.
    ListFailing {
        /// Failures in a row.
        failures: u32,
        /// The last one.
        trouble: Trouble,
    },
    /// The server is not up yet, and workers wait for it.
    ServerStarting {
        /// Why it was not up when it was looked at last, where that was seen.
        trouble: Option<Trouble>,
    },
    /// This host has not looked at the server yet, and workers wait for that.
    ServerUnseen,
    /// The server cannot be reached, and workers wait for it; one that the host runs is not started again, for it has not
    /// stopped.
    ServerLost {
        /// Why, where that was seen.
        trouble: Option<Trouble>,
    },
    /// Starting the server failed, or it died soon after, and it is tried again later.
    ServerBackingOff {
        /// Failures in a row.
        failures: u32,
        /// How long until it is tried again.
        retry_in: Duration,
        /// Why the provider failed to start it, where it did.
        trouble: Option<Trouble>,
    },
    /// The provider was asked for the server, has not answered in time, and is still at it. Nothing else is asked about the
    /// server before it has.
    ServerHangs,
    /// It is not known how the server is: what was known is kept.
    ServerStatusFailing {
        /// Failures in a row.
        failures: u32,
        /// The last one.
        trouble: Trouble,
    },
    /// The server goes after the last worker.
    ServerOutlivesWorkers,
    /// The server was told to stop and is not seen stopped yet.
    ServerStopping {
        /// Why telling it failed, where it did.
        trouble: Option<Trouble>,
    },
    /// The provider at hand can run no server.
    ServerUnsupported,
    /// A handle was killed and is still there.
    KillFailing {
        /// The handle.
        handle: String,
        /// How often it was killed.
        attempts: u32,
        /// Why it failed, where the provider said so.
        trouble: Option<Trouble>,
    },
}

/// How the outcome of a launch will be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// The provider's call has not returned; its answer is waited for.
    WaitForReturn,
    /// The provider is asked for all its workers.
    List,
    /// The same launch is asked for again, which does not launch twice.
    Repeat,
    /// The provider can do neither: an operator must look.
    Operator,
}

impl Reason {
    /// The number of the clause of the contract that the provider broke, or seems to have broken.
    pub fn clause(&self) -> Option<&str> {
        let trouble = match self {
            Self::HeldForUnknown { trouble, .. }
            | Self::StatusFailing { trouble, .. }
            | Self::ListFailing { trouble, .. }
            | Self::ServerStatusFailing { trouble, .. } => Some(trouble),
            Self::Left { because, .. } => return because.clause(),
            Self::KillFailing { trouble: None, .. } => return Some(KILL_HOLDS),
            Self::FindingWorkers { trouble }
            | Self::Initializing { trouble }
            | Self::BackingOff { trouble, .. }
            | Self::ServerStarting { trouble }
            | Self::ServerLost { trouble }
            | Self::ServerBackingOff { trouble, .. }
            | Self::ServerStopping { trouble }
            | Self::KillFailing { trouble, .. } => trouble.as_ref(),
            _ => None,
        };
        trouble?.clause.as_deref()
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.reasons.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    #[expect(clippy::too_many_lines, reason = "one arm a reason, and the compiler sees that none is missing")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtTarget { workers: 0 } => f.write_str("no workers are wanted, and none are there"),
            Self::AtTarget { workers } => write!(f, "all is as asked: {} running", Workers(*workers)),
            Self::Stopped { expected } => {
                write!(f, "the cluster is stopped; starting it brings {}", Workers(u64::from(*expected)))
            }
            Self::Resting { expected } => write!(
                f,
                "the host leaves, and the workers with it; the next host brings {} back",
                Workers(u64::from(*expected))
            ),
            Self::Reconnecting { found } => write!(
                f,
                "the cluster is being taken over: {} found so far, and nothing is done before all are",
                Workers(*found)
            ),
            Self::Strays { workers, kill_in } => write!(
                f,
                "{} of this cluster's name that none of its launches brought; killed in {} if still there",
                Workers(*workers),
                Seconds(*kill_in)
            ),
            Self::Deleting => f.write_str("the cluster is being deleted"),
            Self::JournalFailing { trouble } => {
                write!(f, "nothing is done before the journal can be written again: {trouble}")
            }
            Self::FindingWorkers { trouble } => {
                f.write_str(
                    "nothing is launched before the provider has listed the workers that run already",
                )?;
                after(f, trouble.as_ref())
            }
            Self::Initializing { trouble } => {
                f.write_str("nothing is launched before the provider has prepared itself for the cluster")?;
                after(f, trouble.as_ref())
            }
            Self::Moving { from, left, arrived } => write!(
                f,
                "moving away from provider `{from}`: {} left there, {arrived} running on the other one",
                Workers(*left)
            ),
            Self::MoveBlocked { target, ceiling, floor, smallest } => write!(
                f,
                "the move does not go on: of {target} wanted, no fewer than {floor} and no more than {ceiling} may be there at \
                 once, and the smallest container that is left holds {smallest}; raise `surge` (and `max`, where it is in the \
                 way) or `missing` in [cluster.scaling]"
            ),
            Self::Left { from, because } => write!(f, "on provider `{from}`, which is left: {because}"),
            Self::Launching { workers } => write!(f, "launching {}", Workers(*workers)),
            Self::Killing { handles, why } => {
                let why = match why {
                    KillReason::Surplus => "of the surplus",
                    KillReason::LaunchTimeout => "that did not start in time",
                    KillReason::StillThere => "that were killed before and are still there",
                    KillReason::OtherServer => "that know a server which was started again since",
                    KillReason::Moved => "that are left on the provider of before",
                    KillReason::Outstanding => "that were to be killed before, which may not have been done",
                };
                write!(f, "killing {handles} container{} {why}", if *handles == 1 { "" } else { "s" })
            }
            Self::LaunchesInFlight { workers } => {
                write!(f, "the provider has been asked for {} and has not answered yet", Workers(*workers))
            }
            Self::LaunchLimit { limit, workers } => write!(
                f,
                "{} wait: {limit} launches are in flight, which is as many as are allowed at once",
                Workers(*workers)
            ),
            Self::Starting { workers } => write!(f, "{} still initializing", Workers(*workers)),
            Self::Stopping { workers } => {
                write!(f, "{} killed and not yet seen stopped", Workers(*workers))
            }
            Self::BackingOff { failures, retry_in, trouble } => {
                write!(
                    f,
                    "launching failed {} in a row; next try in {}",
                    Times(*failures),
                    Seconds(*retry_in)
                )?;
                after(f, trouble.as_ref())
            }
            Self::CrashLoop { crashes, retry_in } => write!(
                f,
                "workers died soon after their launch {} in a row; next launch in {}",
                Times(*crashes),
                Seconds(*retry_in)
            ),
            Self::HeldForUnknown { token, workers, trouble, remedy } => {
                let remedy = match remedy {
                    Remedy::WaitForReturn => "the provider's call has not returned yet",
                    Remedy::List => "the provider is being asked for all its workers",
                    Remedy::Repeat => "the same launch is being asked for again",
                    Remedy::Operator => {
                        "the provider cannot tell: look at its backend, and say what is there with `longshore resolve`"
                    }
                };
                write!(
                    f,
                    "{} of launch {token} may or may not exist, so that none is launched in their place: \
                     {trouble}; {remedy}",
                    Workers(u64::from(*workers))
                )
            }
            Self::SharedHandles { surplus, smallest } => write!(
                f,
                "{} too many, but the smallest container holds {smallest} and can only be killed whole",
                Workers(*surplus)
            ),
            Self::AtMaximum { max, stopping, waiting } => write!(
                f,
                "{} wait: no more than {max} may be alive at once, and {stopping} being killed still count",
                Workers(*waiting)
            ),
            Self::MassDeath { workers } => write!(
                f,
                "{} died at once; a second look is taken before they are replaced",
                Workers(*workers)
            ),
            Self::StatusFailing { failures, trouble } => write!(
                f,
                "the provider failed to tell statuses {} in a row, so that what was known is kept: {trouble}",
                Times(*failures)
            ),
            Self::ListFailing { failures, trouble } => {
                write!(f, "the provider failed to list its workers {} in a row: {trouble}", Times(*failures))
            }
            Self::ServerStarting { trouble } => {
                f.write_str("no worker is launched before the server is up")?;
                after(f, trouble.as_ref())
            }
            Self::ServerUnseen => f.write_str("no worker is launched before this host has looked at the server"),
            Self::ServerLost { trouble } => {
                f.write_str("no worker is launched while the server cannot be reached")?;
                after(f, trouble.as_ref())
            }
            Self::ServerBackingOff { failures, retry_in, trouble } => {
                write!(
                    f,
                    "the server failed to start, or died soon after, {} in a row; next try in {}",
                    Times(*failures),
                    Seconds(*retry_in)
                )?;
                after(f, trouble.as_ref())
            }
            Self::ServerHangs => f.write_str(
                "the provider was asked for the server and is still at it after its deadline; nothing else is done about \
                 the server before that call has ended (it ends with the host at the latest)",
            ),
            Self::ServerStatusFailing { failures, trouble } => write!(
                f,
                "how the server is could not be found out {} in a row, so that what was known is kept: {trouble}",
                Times(*failures)
            ),
            Self::ServerOutlivesWorkers => f.write_str("the server goes after the last worker"),
            Self::ServerStopping { trouble } => {
                f.write_str("the server was told to stop and is not yet seen stopped")?;
                after(f, trouble.as_ref())
            }
            Self::ServerUnsupported => f.write_str(
                "the provider at hand can run no server, so that the cluster's cannot be brought up, looked at or taken down; \
                 begin the host with the plugin that can, or let `longshore delete --force` leave the server as it is",
            ),
            Self::KillFailing { handle, attempts, trouble } => {
                write!(f, "{handle} was killed {} and is still there", Times(*attempts))?;
                match trouble {
                    Some(trouble) => write!(f, ": {trouble}"),
                    None => {
                        write!(f, "; where the provider said yes, it breaks its word (clause {KILL_HOLDS})")
                    }
                }
            }
        }
    }
}

fn after(f: &mut fmt::Formatter<'_>, trouble: Option<&Trouble>) -> fmt::Result {
    trouble.map_or(Ok(()), |trouble| write!(f, ": {trouble}"))
}

pub(crate) struct Workers(pub(crate) u64);

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} worker{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

struct Times(u32);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} time{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(10) {
            write!(f, "{:.1} s", self.0.as_secs_f64())
        } else {
            write!(f, "{} s", self.0.as_secs())
        }
    }
}
