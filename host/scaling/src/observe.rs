//! What was seen, and what it means: replies of the provider become records. A reply that failed changes nothing but the
//! knowledge that it failed; what is not sure is neither taken for dead nor for alive.

pub(crate) mod server;

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    handles::Phase,
    ids::{HandleId, LaunchId, Side},
    policy::Strays,
    record::{Change, NewHandle, Record},
    server::ServerSeen,
    state::{Launch, LaunchPhase, State},
    time::Time,
    trouble::Trouble,
};

/// A launch is believed not to have happened once so many complete lists in a row did not have it: one alone may come from a
/// backend that lags behind. The first must have been asked for a poll interval after the launch's call ended or was cut
/// off, the second one two: however soon lists follow each other, a backend that lags by less than that is not believed
/// wrongly, nor is a call forgotten that takes effect so late.
const LISTS_TO_BELIEVE: u32 = 2;

/// How a worker was seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Asked for, not yet at work.
    Initializing,
    /// At work.
    Running,
    /// Gone for good, or not known to the provider.
    Stopped,
}

/// What came of a `run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchOutcome {
    /// These were created.
    Succeeded {
        /// Each handle once, with the workers on it.
        handles: Vec<(Arc<str>, u32)>,
        /// Why they are fewer than asked for, where they are.
        shortfall: Option<Trouble>,
        /// Whether asking for the rest soon may help.
        retryable: bool,
    },
    /// Nothing was created.
    Failed {
        /// Why.
        trouble: Trouble,
        /// Whether asking again soon may help.
        retryable: bool,
    },
    /// What was created is not known.
    Unknown {
        /// Why.
        trouble: Trouble,
        /// The handles that a refused reply did name.
        claimed: Vec<(Arc<str>, u32)>,
        /// Whether the provider's call has ended, so that nothing more can come of it.
        returned: bool,
    },
}

/// A live handle, as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The handle.
    pub name: Arc<str>,
    /// How many workers it holds.
    pub workers: u32,
    /// The token of its launch.
    pub token: String,
}

/// A reply of the provider, or the lack of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// A launch was answered, or given up.
    Launch {
        /// Which.
        launch: LaunchId,
        /// What came of it.
        outcome: LaunchOutcome,
    },
    /// A kill was answered, handle by handle; in error where the handle may still be alive.
    Killed {
        /// One entry a handle.
        answers: Vec<(HandleId, Result<(), Trouble>)>,
    },
    /// Statuses were answered: all that one look brought, so that a mass death is seen as what it is.
    Statuses {
        /// When they were asked for.
        asked_at: Time,
        /// One entry a handle.
        seen: Vec<(HandleId, Seen)>,
    },
    /// All statuses that were asked for have been answered, or something failed.
    StatusEnded {
        /// Why it failed, where it did.
        trouble: Option<Trouble>,
    },
    /// The provider has listed all its live handles of this cluster, or failed to.
    Listed(Result<Vec<Listing>, Trouble>),
    /// The provider was told of the cluster, or failed.
    Initialized(Result<(), Trouble>),
    /// The provider answered that it was asked for the server, or is not waited for any more.
    ServerRan {
        /// Why it failed, where it did.
        trouble: Option<Trouble>,
        /// Whether asking again soon may help.
        retryable: bool,
        /// Whether the provider's call has ended. Where not, that is told later.
        returned: bool,
        /// Whether it may have started the server in spite of the failure, or may start it yet: the answer was lost, say.
        doubtful: bool,
    },
    /// The provider answered that it was told to stop the server.
    ServerStopAnswered(Result<(), Trouble>),
    /// The server was looked at, or could not be.
    ServerLooked(Result<ServerSeen, Trouble>),
}

/// What an observation of a side's provider means for a state, as records. The server's is the provider that launches.
pub fn observe(state: &State, now: Time, side: Side, observation: &Observation) -> Vec<Record> {
    // Whoever gave up what is left does not want it back; and of a provider that was let go nothing is left to be told.
    if state.forgotten || !state.has_side(side) {
        return Vec::new();
    }
    let changes = match observation {
        Observation::Launch { launch, outcome } => launch_answered(state, side, *launch, outcome),
        Observation::Killed { answers } => killed(answers),
        Observation::Statuses { asked_at, seen } => statuses(state, now, side, *asked_at, seen),
        Observation::StatusEnded { trouble } => vec![Change::StatusEnded { side, trouble: trouble.clone() }],
        Observation::Listed(Ok(entries)) => listed(state, side, entries),
        Observation::Listed(Err(trouble)) => {
            vec![Change::ListEnded { side, trouble: Some(trouble.clone()) }]
        }
        Observation::Initialized(outcome) => {
            vec![Change::InitializeEnded { side, trouble: outcome.as_ref().err().cloned() }]
        }
        Observation::ServerRan { trouble, retryable, returned, doubtful } => {
            let (trouble, retryable) = (trouble.clone(), *retryable);
            vec![Change::ServerRunEnded { trouble, retryable, returned: *returned, doubtful: *doubtful }]
        }
        Observation::ServerStopAnswered(answer) => {
            vec![Change::ServerStopEnded { trouble: answer.as_ref().err().cloned() }]
        }
        Observation::ServerLooked(Ok(seen)) => server::server_seen(state, seen),
        Observation::ServerLooked(Err(trouble)) => {
            vec![Change::ServerLookEnded { trouble: Some(trouble.clone()), not_up: None }]
        }
    };
    changes.into_iter().map(|change| change.at(now)).collect()
}

fn launch_answered(state: &State, side: Side, launch: LaunchId, outcome: &LaunchOutcome) -> Vec<Change> {
    if state.launches.get(&launch).is_none_or(|open| open.side != side) {
        return late_answer(state, side, launch, outcome);
    }
    let change = match outcome {
        LaunchOutcome::Succeeded { handles, shortfall, retryable } => {
            if let Some(name) = reused(state, side, launch, handles) {
                let text = format!("the handle {name} of another launch was returned again");
                Change::LaunchUnknown {
                    launch,
                    trouble: Trouble { text, clause: Some("RUN-5".to_owned()) },
                    claimed: unknown_names(state, side, handles, launch),
                    returned: true,
                }
            } else {
                Change::LaunchSettled {
                    launch,
                    handles: unknown_names(state, side, handles, launch),
                    trouble: shortfall.clone(),
                    retryable: *retryable,
                }
            }
        }
        // That asking again failed for now does not say what the first time created. That it can never succeed does
        // (RUN-6).
        LaunchOutcome::Failed { trouble, retryable: true } if was_repeated(state, launch) => {
            Change::LaunchUnknown { launch, trouble: trouble.clone(), claimed: Vec::new(), returned: true }
        }
        LaunchOutcome::Failed { trouble, retryable } => Change::LaunchSettled {
            launch,
            handles: Vec::new(),
            trouble: Some(trouble.clone()),
            retryable: *retryable,
        },
        LaunchOutcome::Unknown { trouble, claimed, returned } => Change::LaunchUnknown {
            launch,
            trouble: trouble.clone(),
            claimed: unknown_names(state, side, claimed, launch),
            returned: *returned,
        },
    };
    vec![change]
}

fn was_repeated(state: &State, launch: LaunchId) -> bool {
    let phase = state.launches.get(&launch).map(|launch| &launch.phase);
    matches!(phase, Some(LaunchPhase::Unknown { repeats: 1.., .. }))
}

/// An answer to a launch that is settled already can only tell of workers that nobody else told of.
fn late_answer(state: &State, side: Side, launch: LaunchId, outcome: &LaunchOutcome) -> Vec<Change> {
    let (LaunchOutcome::Succeeded { handles, .. } | LaunchOutcome::Unknown { claimed: handles, .. }) =
        outcome
    else {
        return Vec::new();
    };
    let handles = unknown_names(state, side, handles, launch);
    if handles.is_empty() { Vec::new() } else { vec![Change::Adopted { handles }] }
}

fn reused<'a>(
    state: &State,
    side: Side,
    launch: LaunchId,
    handles: &'a [(Arc<str>, u32)],
) -> Option<&'a str> {
    let of_another = |name: &str| {
        let known = state.handles.find(side, name).and_then(|id| state.handles.get(id));
        known.is_some_and(|handle| handle.launch != Some(launch))
    };
    handles.iter().map(|(name, _)| &**name).find(|name| of_another(name))
}

fn unknown_names(state: &State, side: Side, handles: &[(Arc<str>, u32)], launch: LaunchId) -> Vec<NewHandle> {
    let is_new =
        |(name, workers): &&(Arc<str>, u32)| *workers > 0 && state.handles.find(side, name).is_none();
    state.handles.number(side, handles.iter().filter(is_new).cloned(), Some(launch))
}

fn killed(answers: &[(HandleId, Result<(), Trouble>)]) -> Vec<Change> {
    let stopped: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(id, _)| *id).collect();
    let mut changes = Vec::new();
    // One record for each run of handles with the same trouble: a call that failed as a whole leaves one.
    for (id, answer) in answers {
        let Err(trouble) = answer else { continue };
        match changes.last_mut() {
            Some(Change::KillFailed { handles, trouble: before }) if before == trouble => handles.push(*id),
            _ => changes.push(Change::KillFailed { handles: vec![*id], trouble: trouble.clone() }),
        }
    }
    if !stopped.is_empty() {
        changes.push(Change::KillAnswered { handles: stopped });
    }
    changes
}

fn statuses(state: &State, now: Time, side: Side, asked_at: Time, seen: &[(HandleId, Seen)]) -> Vec<Change> {
    let (mut initializing, mut running) = (Vec::new(), Vec::new());
    let (mut killed, mut died, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for (id, seen) in seen {
        let Some(handle) = state.handles.get(*id) else { continue };
        match (handle.phase, seen) {
            (Phase::Terminating { .. }, Seen::Stopped) => killed.push(*id),
            (Phase::Initializing { .. } | Phase::Running, Seen::Stopped) => died.push(*id),
            (Phase::Initializing { .. }, Seen::Running) => running.push(*id),
            (Phase::Running, Seen::Initializing) => initializing.push(*id),
            (Phase::Initializing { since }, Seen::Initializing) => {
                if asked_at >= since + state.policy.launch_timeout && !state.calls.late.contains(id) {
                    late.push(*id);
                }
            }
            (Phase::Terminating { .. }, _) | (Phase::Running, Seen::Running) => {}
        }
    }

    let mut changes = Vec::new();
    if !(initializing.is_empty() && running.is_empty()) {
        changes.push(Change::PhaseSeen { initializing, running });
    }
    if !late.is_empty() {
        changes.push(Change::LateSeen { handles: late });
    }
    let (believed, suspected) = believe(state, side, asked_at, seen, died);
    if !(killed.is_empty() && believed.is_empty()) {
        changes.push(Change::Gone { killed, died: believed });
    }
    if !suspected.is_empty() {
        changes.push(Change::Suspected { handles: suspected });
    }
    let second_look = state.suspicion_of(side).is_some_and(|suspicion| asked_at > suspicion.since);
    if second_look && !seen.is_empty() {
        // One look is one observation: who was in this one and is still here is alive. Who was not, because it failed in
        // parts, would be suspected anew.
        changes.push(Change::SuspicionEnded { side });
    }
    if state.crash_backoff.failures() > 0 && is_stable(state, now, seen) {
        changes.push(Change::Stable);
    }
    changes
}

/// Splits the dead into those that are believed and those that are looked at a second time.
fn believe(
    state: &State,
    side: Side,
    asked_at: Time,
    seen: &[(HandleId, Seen)],
    died: Vec<HandleId>,
) -> (Vec<HandleId>, Vec<HandleId>) {
    if let Some(suspicion) = state.suspicion_of(side) {
        // What was asked before the first look was in proves nothing. Deaths that are new in the second look belong to the
        // same event.
        let died = if asked_at > suspicion.since { died } else { Vec::new() };
        return (died, Vec::new());
    }
    let live = |id: &HandleId| {
        let handle =
            state.handles.get(*id).filter(|handle| !matches!(handle.phase, Phase::Terminating { .. }));
        handle.map_or(0, |handle| u64::from(handle.workers))
    };
    // Of those that were looked at: a look that failed in parts is no proof that the others live.
    let looked_at: u64 = seen.iter().map(|(id, _)| live(id)).sum();
    let dead: u64 = died.iter().map(live).sum();
    let policy = &state.policy;
    let many = dead >= u64::from(policy.mass_death_workers);
    if many && dead * 100 >= looked_at * u64::from(policy.mass_death_percent) {
        (Vec::new(), died)
    } else {
        (died, Vec::new())
    }
}

/// Whether a worker that was launched after the last crash has lived for long enough. One of a provider that is left does not
/// tell how the next one's do.
fn is_stable(state: &State, now: Time, seen: &[(HandleId, Seen)]) -> bool {
    seen.iter().any(|(id, seen)| {
        *seen == Seen::Running
            && state.handles.get(*id).is_some_and(|handle| {
                handle.side == state.side
                    && handle.launched_at >= state.crash_backoff.last()
                    && now.since(handle.launched_at) >= state.policy.stable_after
            })
    })
}

fn listed(state: &State, side: Side, entries: &[Listing]) -> Vec<Change> {
    let (asked_at, policy) = (state.calls_of(side).list.started_at.unwrap_or_default(), &state.policy);
    let mut changes = Vec::new();

    let Found { adopted, new_strays, condemned } = sort(state, side, asked_at, entries);
    let mut settled = Vec::new();
    for (id, launch) in state.launches.iter().filter(|(_, launch)| launch.side == side) {
        let LaunchPhase::Unknown { since, returned, unlisted, .. } = &launch.phase else { continue };
        // One that was found before and has gone since counts once.
        let is_new = |new: &&NewHandle| new.launch == Some(*id) && !launch.found.contains_key(&new.name);
        let of_it = adopted.iter().filter(is_new);
        let found = of_it.fold(0_u32, |sum, new| sum.saturating_add(new.workers));
        match launch.held().saturating_sub(found) {
            0 => settled.push(settle(*id, None)),
            missing
                if *returned
                    && asked_at > *since
                    && asked_at >= *since + policy.poll_interval * (unlisted + 1) =>
            {
                settled.push(if unlisted + 1 >= LISTS_TO_BELIEVE {
                    settle(*id, Some(never_came(launch, missing)))
                } else {
                    Change::LaunchNotListed { launch: *id }
                });
            }
            _ => {}
        }
    }

    changes.extend(taken_over(state, entries, &adopted));
    if !adopted.is_empty() {
        changes.push(Change::Adopted { handles: adopted });
    }
    if !condemned.is_empty() {
        changes.push(Change::StraysCondemned { handles: condemned });
    }
    if !new_strays.is_empty() {
        changes.push(Change::StraysSeen { side, strays: new_strays });
    }
    let listed: BTreeSet<_> = entries.iter().map(|entry| &entry.name).collect();
    let gone = state
        .strays
        .iter()
        .filter(|((of, name), stray)| *of == side && stray.since < asked_at && !listed.contains(name));
    let gone: Vec<_> = gone.map(|((_, name), _)| Arc::clone(name)).collect();
    if !gone.is_empty() {
        changes.push(Change::StraysGone { side, strays: gone });
    }
    changes.extend(settled);
    changes.push(Change::ListEnded { side, trouble: None });
    changes
}

/// What a list has that was not known.
struct Found {
    adopted: Vec<NewHandle>,
    new_strays: Vec<(Arc<str>, u32)>,
    condemned: Vec<NewHandle>,
}

fn sort(state: &State, side: Side, asked_at: Time, entries: &[Listing]) -> Found {
    let policy = &state.policy;
    let (mut ours, mut new_strays, mut condemned) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        // One that was buried while the list was under way is dead; a list that is asked for later tells if it is not.
        let is_new = state.handles.find(side, &entry.name).is_none()
            && !state.calls_of(side).buried_meanwhile.contains(&entry.name);
        let launch = state.launch_of(&entry.token);
        if entry.workers == 0 || !is_new || is_the_other_sides(state, side, entry, launch) {
            continue;
        }
        let spared = policy.strays == Strays::Adopt || state.reconnect.is_some();
        let named = (Arc::clone(&entry.name), entry.workers);
        match state.strays.get(&(side, Arc::clone(&entry.name))) {
            _ if launch.is_some() || spared => ours.push((named, launch)),
            None => new_strays.push(named),
            Some(stray) if asked_at >= stray.since + policy.stray_grace => condemned.push(named),
            Some(_) => {}
        }
    }
    let after = ours.len();
    let mut adopted =
        state.handles.number_each(side, ours.into_iter().chain(condemned.into_iter().map(|it| (it, None))));
    let condemned = adopted.split_off(after);
    Found { adopted, new_strays, condemned }
}

/// Whether it is a container of the other side: both providers may look at the same backend. A launch was asked for on one side
/// alone; what it brought, or what came of nobody's launch, is the same container where it has the same name.
fn is_the_other_sides(state: &State, side: Side, entry: &Listing, launch: Option<LaunchId>) -> bool {
    if let Some(open) = launch.and_then(|launch| state.launches.get(&launch)) {
        return open.side != side;
    }
    state.sides().filter(|other| *other != side).any(|other| {
        let known = state.handles.find(other, &entry.name).and_then(|id| state.handles.get(id));
        known.is_some_and(|known| known.launch == launch)
            || (launch.is_none() && state.strays.contains_key(&(other, Arc::clone(&entry.name))))
    })
}

/// How far the taking over of a cluster has come with a list of these, of which so many were new.
fn taken_over(state: &State, entries: &[Listing], adopted: &[NewHandle]) -> Option<Change> {
    let before = state.reconnect?;
    // What a launch may still bring, and a death that is not believed yet, could not be counted.
    let is_open = !state.launches.is_empty() || state.suspicion.is_some();
    let quiet = if adopted.is_empty() && !is_open { before + 1 } else { 0 };
    if quiet < LISTS_TO_BELIEVE {
        return Some(Change::ReconnectLooked { quiet });
    }
    let known =
        entries.iter().filter_map(|entry| state.handles.get(state.handles.find(state.side, &entry.name)?));
    let live = known.filter(|handle| !matches!(handle.phase, Phase::Terminating { .. }));
    let found = live.fold(0_u32, |sum, handle| sum.saturating_add(handle.workers));
    Some(Change::Reconnected { expected: found.clamp(state.policy.min, state.policy.max), found })
}

fn settle(launch: LaunchId, trouble: Option<Trouble>) -> Change {
    Change::LaunchSettled { launch, handles: Vec::new(), trouble, retryable: true }
}

fn never_came(launch: &Launch, missing: u32) -> Trouble {
    Trouble::new(format!("{missing} of {} workers of a launch never came to be", launch.workers))
}
