//! What a record says, in words: the lines of a cluster's history. A reason is told where one was recorded, so that a
//! history explains itself without the state that it came from.

use std::sync::Arc;

use crate::{
    ids::{HandleId, LaunchId},
    policy::Desired,
    record::{Aim, Change, KillReason, NewHandle, StopReason},
    report::Workers,
    serving::tell_serving,
};

/// So many handles are named; the others are counted.
const NAMED_HANDLES: usize = 3;

/// Where a story has its names from.
pub trait Names {
    /// The token of a launch.
    fn token(&self, launch: LaunchId) -> String;
    /// The provider's name for a handle, where it is still known.
    fn handle(&self, id: HandleId) -> Option<Arc<str>>;
}

/// One line on what a change was, and why.
#[expect(clippy::too_many_lines, reason = "one arm a change, and the compiler sees that none is missing")]
pub fn tell(change: &Change, names: &dyn Names) -> String {
    let name =
        |id: &HandleId| names.handle(*id).map_or_else(|| format!("no. {}", id.0), |name| name.to_string());
    let of = |ids: &[HandleId]| list(ids.iter().map(name));
    let token = |launch: &LaunchId| names.token(*launch);
    match change {
        Change::Created { expected, desired, .. } => {
            let stopped = if *desired == Desired::Stopped { ", stopped" } else { "" };
            format!("made{stopped}, with {} expected", workers(*expected))
        }
        Change::Recovered { term } => {
            format!("taken up by a host (term {term}); what was under way before is not taken for done")
        }
        Change::Scaled { expected } => format!("scaled: {} expected", workers(*expected)),
        Change::Updated { policy, expected, .. } => format!(
            "configured anew: {} expected, from {} to {} allowed",
            workers(*expected),
            policy.min,
            policy.max
        ),
        Change::DesiredSet { desired } => match desired {
            Desired::Running => "started".to_owned(),
            Desired::Stopped => "stopped".to_owned(),
            Desired::Deleted => "to be deleted".to_owned(),
        },
        Change::Rested => "the host leaves, and the workers with it".to_owned(),
        Change::ReconnectStarted => "to be taken over: what runs is looked for".to_owned(),
        Change::ReconnectLooked { quiet: 0 } => "taking over: workers were found".to_owned(),
        Change::ReconnectLooked { .. } => "taking over: nothing new was found".to_owned(),
        Change::Reconnected { expected, found } if expected != found => format!(
            "taken over: {} found, and {} expected, as the configuration allows",
            workers(*found),
            workers(*expected)
        ),
        Change::Reconnected { expected, .. } => {
            format!("taken over: {} found and expected", workers(*expected))
        }
        Change::MoveStarted { from, to, .. } => format!("moving from provider `{from}` to `{to}`"),
        Change::MoveEnded { from } => format!("moved: nothing is left on provider `{from}`"),
        Change::Served { provider, before, serving, turn, .. } => {
            tell_serving(provider, before.as_ref(), serving, turn)
        }
        Change::Unserved { provider, build, trouble, .. } => {
            format!("provider `{provider}` is not there, and {build} is not run any more: {trouble}")
        }
        Change::Attached { .. } => "its provider can do something else than before".to_owned(),
        Change::Forgotten => "deleted by force: whatever is left is forgotten".to_owned(),
        Change::Refreshed => "asked to look again, and to try again what failed".to_owned(),
        Change::LaunchStarted { launch, workers: asked, aim } => {
            format!("launching {} ({}): {}", workers(*asked), token(launch), wanted(*aim))
        }
        Change::LaunchRepeated { launch } => format!("launching {} again, to learn its fate", token(launch)),
        Change::LaunchSettled { launch, handles, trouble, .. } => {
            let short =
                trouble.as_ref().map(|trouble| format!("; it fell short: {trouble}")).unwrap_or_default();
            format!("launch {} brought {}{short}", token(launch), new(handles))
        }
        Change::LaunchUnknown { launch, trouble, claimed, .. } => {
            let claimed =
                if claimed.is_empty() { String::new() } else { format!(", beyond {}", new(claimed)) };
            format!("what launch {} brought is not known{claimed}: {trouble}", token(launch))
        }
        Change::LaunchNotListed { launch } => format!("launch {} was not in a complete list", token(launch)),
        Change::LaunchResolved { launch, handles } => {
            format!("an operator says that launch {} brought {}", token(launch), new(handles))
        }
        Change::StraysSeen { strays, .. } => {
            format!("found, of nobody's launch: {}", list(strays.iter().map(|(name, _)| name.to_string())))
        }
        Change::StraysGone { strays, .. } => {
            format!(
                "gone by themselves, of nobody's launch: {}",
                list(strays.iter().map(ToString::to_string))
            )
        }
        Change::StraysCondemned { handles } => {
            format!("to be killed, being of nobody's launch: {}", new(handles))
        }
        Change::Adopted { handles } => format!("found running, and adopted: {}", new(handles)),
        Change::KillStarted { handles, why, aim } => {
            let why = match why {
                KillReason::Surplus => wanted(*aim),
                KillReason::LaunchTimeout => "did not start in time".to_owned(),
                KillReason::StillThere => "killed before and still there".to_owned(),
                KillReason::Outstanding => "decided before, and perhaps not done".to_owned(),
                KillReason::OtherServer => "they know a server that was started again since".to_owned(),
                KillReason::Moved => format!("left on the provider of before; {}", wanted(*aim)),
            };
            format!("killing {}: {why}", of(handles))
        }
        Change::KillAnswered { handles } => format!("the provider says that it killed {}", of(handles)),
        Change::KillFailed { handles, trouble } => format!("killing {} failed: {trouble}", of(handles)),
        Change::PhaseSeen { initializing, running } => {
            let seen = [("running", running), ("initializing again", initializing)];
            let seen = seen.into_iter().filter(|(_, handles)| !handles.is_empty());
            seen.map(|(phase, handles)| format!("{phase}: {}", of(handles))).collect::<Vec<_>>().join("; ")
        }
        Change::Gone { killed, died } => {
            let seen = [("stopped, as asked", killed), ("died", died)];
            let seen = seen.into_iter().filter(|(_, handles)| !handles.is_empty());
            seen.map(|(how, handles)| format!("{how}: {}", of(handles))).collect::<Vec<_>>().join("; ")
        }
        Change::Suspected { handles } => {
            format!("{} seem to have died at once; looking a second time", of(handles))
        }
        Change::SuspicionEnded { .. } => "the second look has shown who lives".to_owned(),
        Change::Stable => "the workers last: no crash loop any more".to_owned(),
        Change::LateSeen { handles } => format!("still initializing, and too late: {}", of(handles)),
        Change::StatusStarted { .. } => "asking for statuses".to_owned(),
        Change::StatusEnded { trouble, .. } => ended("statuses", trouble.as_ref()),
        Change::ListStarted { .. } => "asking for all workers".to_owned(),
        Change::ListEnded { trouble, .. } => ended("the list of all workers", trouble.as_ref()),
        Change::InitializeStarted { .. } => "asking the provider to prepare itself".to_owned(),
        Change::InitializeEnded { trouble, .. } => ended("the provider's preparation", trouble.as_ref()),
        Change::ServerStarted => "starting the server".to_owned(),
        Change::ServerUp { address, replaces } => {
            let then = if *replaces { "; the workers of before are replaced" } else { "" };
            format!("the server is up at {address}{then}")
        }
        Change::ServerLost { trouble } => format!("the server cannot be reached any more: {trouble}"),
        Change::ServerStopStarted { why: StopReason::Unwanted } => {
            "stopping the server: no worker is left, and none is wanted".to_owned()
        }
        Change::ServerStopStarted { why: StopReason::StartTimeout } => {
            "stopping the server, which was not up in time".to_owned()
        }
        Change::ServerGone { died: true } => "the server died".to_owned(),
        Change::ServerGone { died: false } => "the server has stopped".to_owned(),
        Change::ServerRunEnded { trouble, .. } => ended("the start of the server", trouble.as_ref()),
        Change::ServerStopEnded { trouble } => ended("the stop of the server", trouble.as_ref()),
        Change::ServerLookStarted => "looking at the server".to_owned(),
        Change::ServerLookEnded { trouble, .. } => ended("the look at the server", trouble.as_ref()),
    }
}

fn ended(what: &str, trouble: Option<&crate::Trouble>) -> String {
    trouble.map_or_else(|| format!("{what}: done"), |trouble| format!("{what} failed: {trouble}"))
}

fn workers(count: u32) -> String {
    Workers(u64::from(count)).to_string()
}

fn wanted(aim: Aim) -> String {
    format!("{} wanted, and there were {}", aim.target, aim.had)
}

fn new(handles: &[NewHandle]) -> String {
    if handles.is_empty() {
        return "nothing".to_owned();
    }
    let sum: u64 = handles.iter().map(|handle| u64::from(handle.workers)).sum();
    format!("{} in {}", Workers(sum), list(handles.iter().map(|handle| handle.name.to_string())))
}

fn list(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let named = if count > NAMED_HANDLES + 1 { NAMED_HANDLES } else { count };
    let mut told: Vec<_> = names.take(named).collect();
    if count > named {
        told.push(format!("{} more", count - named));
    }
    match told.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => told.concat(),
    }
}
