//! Admission: whether a command may be carried out, and the records that it leaves. A denied command changes nothing.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    ids::Side,
    moving::Route,
    policy::{Desired, Policy, PolicyError, ProviderTraits},
    record::{Change, Record},
    server::{ServerKind, ServerPolicy},
    serving::{Build, Serving, Turn},
    state::{LaunchPhase, State},
    time::Time,
    trouble::Trouble,
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
        /// How its server is looked after, where it has one.
        server: Option<ServerPolicy>,
        /// The most workers in one container, at least 1.
        per_container: u32,
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
        /// How its server is looked after, where it has one.
        server: Option<ServerPolicy>,
        /// The most workers in one container, at least 1.
        per_container: u32,
        /// Whether the server is another one than before in what it runs, or where: not while it is there.
        other_server: bool,
        /// Where it goes, where its provider is another one from now on.
        route: Option<Route>,
    },
    /// A provider of it is there, and can do this: it may be another one than before.
    Attach {
        /// The side whose provider it is.
        side: Side,
        /// What it can do.
        traits: ProviderTraits,
    },
    /// A provider of it is made of this library from now on, and trusted so far.
    Serve {
        /// The side whose provider it is.
        side: Side,
        /// Its name.
        provider: Arc<str>,
        /// The library, and how far it is trusted.
        serving: Serving,
        /// How that came about.
        turn: Turn,
    },
    /// A provider of it is not there, for its library is quarantined.
    Lose {
        /// The side whose provider it is.
        side: Side,
        /// Its name.
        provider: Arc<str>,
        /// The library.
        build: Build,
        /// Why.
        trouble: Trouble,
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
    /// Take over what runs: find all workers, whoever launched them, and expect as many as there are.
    Reconnect,
    /// Kill all workers, because the host leaves; the next host that takes the cluster up brings them back.
    Rest,
    /// Say what a launch of unknown fate created, when nobody but an operator can tell.
    Resolve {
        /// The launch's token.
        token: String,
        /// All handles that it created and that are not known yet, with the workers on each; none where nothing came of it.
        handles: Vec<(Arc<str>, u32)>,
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
    /// A server is to be run by a provider that can run none.
    #[error(
        "the provider cannot run a server: leave [cluster.server] out, or name one that others run with its `external`"
    )]
    CannotServe,
    /// A server is there, and another one cannot take its place.
    #[error(
        "its server is there, and what it runs cannot be changed under its workers: stop the cluster first (`longshore \
         stop`), which takes the server down after the workers, and start it afterwards"
    )]
    ServerIsThere,
    /// A server is there that the provider runs, and it cannot be taken along to another one.
    #[error(
        "its server is run by provider `{from}` and cannot move under its workers: stop the cluster first (`longshore stop`), \
         which takes the server down after the workers, and start it again once it is on the other provider"
    )]
    ServerStaysBehind {
        /// The provider.
        from: String,
    },
    /// It moves already.
    #[error(
        "the cluster is still moving away from provider `{from}`, where {left} workers are left: wait until that is done \
         (`longshore explain` says what it waits for), or turn back to `{from}`"
    )]
    IsMoving {
        /// The provider that it leaves.
        from: String,
        /// Workers that are left there, those included that may be.
        left: u64,
    },
    /// A cluster can be taken over only from a provider that lists its workers.
    #[error("the provider cannot list its workers, so that nothing can be taken over from it")]
    CannotList,
    /// A cluster that is stopped shall have no workers, and whatever is found would be killed.
    #[error(
        "the cluster is stopped, and what is found would be killed; start it first (`longshore start`, or `stopped` in \
             its configuration)"
    )]
    IsStopped,
    /// There is no such launch whose outcome is unknown.
    #[error(
        "there is no launch {token} whose outcome is unknown; `longshore explain` names those that there are"
    )]
    NoSuchLaunch {
        /// The token.
        token: String,
    },
    /// The provider has not answered the launch yet.
    #[error(
        "the launch {token} is in flight: the provider is still at it, and its answer is waited for; a call that hangs ends \
         with its host"
    )]
    InFlight {
        /// The token.
        token: String,
    },
    /// More workers were named than the launch can have created.
    #[error(
        "the launch {token} can have created {held} workers that are not known yet, and {named} were named"
    )]
    TooMany {
        /// The token.
        token: String,
        /// How many workers are held for it.
        held: u32,
        /// How many were named.
        named: u64,
    },
    /// A handle cannot be one of this launch.
    #[error("the handle `{handle}` {why}")]
    BadHandle {
        /// The handle.
        handle: String,
        /// What is wrong with it.
        why: String,
    },
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
        Command::Create { uid, policy, traits, expected, desired, server, per_container } => {
            check(policy, *expected)?;
            check_server(server.as_ref(), *traits)?;
            let (uid, traits, expected, desired) = (*uid, *traits, *expected, *desired);
            let (policy, server, per_container) = (policy.clone(), *server, *per_container);
            Some(Change::Created { uid, policy, traits, expected, desired, server, per_container })
        }
        Command::Delete { force: true } => {
            let going = Change::DesiredSet { desired: Desired::Deleted };
            return Ok(vec![going.at(now), Change::Forgotten.at(now)]);
        }
        Command::Delete { force: false } => set_desired(state, Desired::Deleted),
        // What is unknown stands in the way of the end as well.
        Command::Resolve { token, handles } => Some(resolve(state, token, handles)?),
        Command::Attach { side, traits } => (state.has_side(*side) && *traits != state.traits_of(*side))
            .then_some(Change::Attached { side: *side, traits: *traits }),
        Command::Serve { side, provider, serving, turn } => state.serve(*side, provider, serving, turn),
        Command::Lose { side, provider, build, trouble } => state.lose(*side, provider, build, trouble),
        Command::Rest => (!state.resting).then_some(Change::Rested),
        _ if gone => return Err(Denied::BeingDeleted),
        Command::Scale { expected } => {
            check(&state.policy, *expected)?;
            (*expected != state.expected || state.reconnect.is_some())
                .then_some(Change::Scaled { expected: *expected })
        }
        Command::Update { policy, traits, expected, server, per_container, other_server, route } => {
            check(policy, *expected)?;
            check_server(server.as_ref(), *traits)?;
            let moved = route.as_ref().map(|route| set_out(state, route)).transpose()?;
            let before = state.server.as_ref().map(|server| server.policy);
            let other_kind = before.map(|before| before.kind) != server.map(|server| server.kind);
            if (other_kind || *other_server) && !state.has_no_server() {
                return Err(Denied::ServerIsThere);
            }
            let same = *policy == state.policy
                && *traits == state.traits
                && *expected == state.expected
                && *server == before
                && (*per_container).max(1) == state.per_container.max(1)
                && !other_server
                && moved.is_none();
            // Whoever names a number while it is being found out has it.
            let updated = (!same || state.reconnect.is_some()).then(|| Change::Updated {
                policy: policy.clone(),
                traits: *traits,
                expected: *expected,
                server: *server,
                per_container: *per_container,
            });
            // What the new provider can do is of its side.
            return Ok(moved.into_iter().chain(updated).map(|change| change.at(now)).collect());
        }
        Command::Reconnect if state.leaving.is_some() => return Err(is_moving(state)),
        Command::Reconnect if !state.traits.list => return Err(Denied::CannotList),
        Command::Reconnect if state.desired == Desired::Stopped => return Err(Denied::IsStopped),
        Command::Reconnect => state.reconnect.is_none().then_some(Change::ReconnectStarted),
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

/// Where a cluster goes that is to move to another provider. While it moves it can turn back, and go nowhere else.
fn set_out(state: &State, Route { from, to }: &Route) -> Result<Change, Denied> {
    let side = match &state.leaving {
        None => Side(state.latest_side.0.saturating_add(1)),
        Some(left) if left.provider == *to => left.side,
        Some(_) => return Err(is_moving(state)),
    };
    if !state.has_no_server() {
        return Err(Denied::ServerStaysBehind { from: from.to_string() });
    }
    Ok(Change::MoveStarted { from: Arc::clone(from), to: Arc::clone(to), side })
}

fn is_moving(state: &State) -> Denied {
    let from = state.leaving.as_ref().map(|left| left.provider.to_string()).unwrap_or_default();
    Denied::IsMoving { from, left: state.left_behind() }
}

fn check_server(server: Option<&ServerPolicy>, traits: ProviderTraits) -> Result<(), Denied> {
    if let Some(server) = server {
        server.check().map_err(Denied::Policy)?;
    }
    let is_managed = server.is_some_and(|server| server.kind == ServerKind::Managed);
    if is_managed && !traits.server { Err(Denied::CannotServe) } else { Ok(()) }
}

fn resolve(state: &State, token: &str, handles: &[(Arc<str>, u32)]) -> Result<Change, Denied> {
    let known = state.launch_of(token).and_then(|id| Some((id, state.launches.get(&id)?)));
    let Some((launch, found)) = known else {
        return Err(Denied::NoSuchLaunch { token: token.to_owned() });
    };
    if matches!(found.phase, LaunchPhase::InFlight | LaunchPhase::Unknown { returned: false, .. }) {
        return Err(Denied::InFlight { token: token.to_owned() });
    }
    let mut names = BTreeSet::new();
    for (name, workers) in handles {
        let bad = |why: &str| Denied::BadHandle { handle: name.to_string(), why: why.to_owned() };
        if state.handles.find(found.side, name).is_some() {
            return Err(bad("is known already, and needs no naming"));
        }
        if !names.insert(name) {
            return Err(bad("is named twice"));
        }
        if name.is_empty() || *workers == 0 {
            return Err(bad("must have a name and hold a worker at least"));
        }
    }
    let (held, named) = (found.held(), handles.iter().map(|(_, workers)| u64::from(*workers)).sum());
    if named > u64::from(held) {
        return Err(Denied::TooMany { token: token.to_owned(), held, named });
    }
    let handles = state.handles.number(found.side, handles.to_vec(), Some(launch));
    Ok(Change::LaunchResolved { launch, handles })
}

fn set_desired(state: &State, desired: Desired) -> Option<Change> {
    (state.desired != desired).then_some(Change::DesiredSet { desired })
}
