//! Admission: whether a command may be carried out, and the records that it leaves. A denied command changes nothing.

use serde::{Deserialize, Serialize};

use crate::{
    policy::{Desired, Policy, PolicyError, ProviderTraits},
    record::{Change, Record},
    state::State,
    time::Time,
};

/// What an operator may ask of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Make it.
    Create {
        /// A number that no other cluster has, nor had.
        uid: u64,
        /// How it is scaled.
        policy: Policy,
        /// What its provider can do.
        traits: ProviderTraits,
        /// How many workers.
        expected: u32,
        /// Whether it starts out running or stopped.
        desired: Desired,
    },
    /// Expect another number of workers.
    Scale {
        /// How many.
        expected: u32,
    },
    /// Scale it in another way.
    Update {
        /// The new policy.
        policy: Policy,
        /// What its provider can do.
        traits: ProviderTraits,
        /// How many workers.
        expected: u32,
    },
    /// Run the expected number of workers.
    Start,
    /// Kill all workers; remember the expected number.
    Stop,
    /// Kill all workers, then forget the cluster.
    Delete {
        /// Forget it at once, alive or not.
        force: bool,
    },
    /// Ask for fresh statuses, and a list where there is one, now; and try again now what failed.
    Refresh,
}

/// Why a command was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denied {
    /// The number is outside the cluster's limits.
    #[error("{expected} workers are outside the limits of {min} to {max}, which its configuration sets")]
    OutOfLimits {
        /// The number asked for.
        expected: u32,
        /// The fewest allowed.
        min: u32,
        /// The most allowed.
        max: u32,
    },
    /// The policy cannot be kept.
    #[error("{0}")]
    Policy(PolicyError),
    /// The cluster is on its way out.
    #[error("the cluster is being deleted")]
    BeingDeleted,
}

/// Decides on a command. An empty answer means that all is as asked already.
///
/// # Errors
///
/// [`Denied`], with the reason; nothing has changed then.
pub fn admit(state: &State, now: Time, command: &Command) -> Result<Vec<Record>, Denied> {
    let gone = state.desired == Desired::Deleted;
    let change = match command {
        Command::Create { uid, policy, traits, expected, desired } => {
            check(policy, *expected)?;
            let (uid, traits, expected, desired) = (*uid, *traits, *expected, *desired);
            Some(Change::Created { uid, policy: policy.clone(), traits, expected, desired })
        }
        Command::Delete { force: true } => {
            let going = Change::DesiredSet { desired: Desired::Deleted };
            return Ok(vec![going.at(now), Change::Forgotten.at(now)]);
        }
        Command::Delete { force: false } => set_desired(state, Desired::Deleted),
        _ if gone => return Err(Denied::BeingDeleted),
        Command::Scale { expected } => {
            check(&state.policy, *expected)?;
            (*expected != state.expected).then_some(Change::Scaled { expected: *expected })
        }
        Command::Update { policy, traits, expected } => {
            check(policy, *expected)?;
            let same = *policy == state.policy && *traits == state.traits && *expected == state.expected;
            (!same).then(|| Change::Updated { policy: policy.clone(), traits: *traits, expected: *expected })
        }
        Command::Start => set_desired(state, Desired::Running),
        Command::Stop => set_desired(state, Desired::Stopped),
        Command::Refresh => Some(Change::Refreshed),
    };
    Ok(change.map(|change| change.at(now)).into_iter().collect())
}

fn check(policy: &Policy, expected: u32) -> Result<(), Denied> {
    policy.check().map_err(Denied::Policy)?;
    let (min, max) = (policy.min, policy.max);
    if (min..=max).contains(&expected) { Ok(()) } else { Err(Denied::OutOfLimits { expected, min, max }) }
}

fn set_desired(state: &State, desired: Desired) -> Option<Change> {
    (state.desired != desired).then_some(Change::DesiredSet { desired })
}
