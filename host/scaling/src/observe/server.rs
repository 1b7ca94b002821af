//! What a look at the server means: whether it is up, gone, died, or not to be believed yet.

use std::time::Duration;

use super::LISTS_TO_BELIEVE;
use crate::{
    policy::Policy,
    record::Change,
    server::{Server, ServerKind, ServerPhase, ServerSeen},
    state::State,
    trouble::Trouble,
};

/// What a look at the server means. No other call about it was out meanwhile.
pub(super) fn server_seen(state: &State, seen: &ServerSeen) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut not_up = None;
    if let Some(server) = &state.server
        && !state.calls.server.look_is_old
    {
        let is_managed = server.policy.kind == ServerKind::Managed;
        match (seen, server.phase) {
            // One that was told to stop is on its way out, however it looks.
            (
                ServerSeen::Up { .. } | ServerSeen::Initializing | ServerSeen::Unreachable { .. },
                ServerPhase::Stopping { .. },
            )
            | (ServerSeen::Stopped, ServerPhase::Down) => {}
            (ServerSeen::Up { address }, phase) => {
                let is_news = server.address.as_ref() != Some(address);
                if !matches!(phase, ServerPhase::Up { .. }) || is_news {
                    let (address, replaces) = (address.clone(), server.replaces(address));
                    changes.push(Change::ServerUp { address, replaces });
                }
            }
            (ServerSeen::Stopped, _) if is_managed && may_yet_come(state, server) => {}
            (ServerSeen::Stopped, phase) if is_managed => {
                changes.push(Change::ServerGone { died: has_died(state, phase) });
            }
            (seen, phase) => {
                let trouble = why_not_up(seen);
                if matches!(phase, ServerPhase::Up { .. }) {
                    let trouble = trouble.clone().unwrap_or_else(|| Trouble::new("it is initializing again"));
                    changes.push(Change::ServerLost { trouble });
                }
                not_up = trouble;
            }
        }
    }
    changes.push(Change::ServerLookEnded { trouble: None, not_up });
    changes
}

/// For so long a call whose answer was lost, or of a host that has ended, may still start a server: the same time that
/// launches are given.
pub(crate) fn doubt_of_server(policy: &Policy) -> Duration {
    policy.poll_interval * LISTS_TO_BELIEVE
}

/// Whether a call whose answer nobody has may still start the server that was just seen stopped.
fn may_yet_come(state: &State, server: &Server) -> bool {
    let asked_at = state.calls.server.look.started_at.unwrap_or_default();
    server.in_doubt_since.is_some_and(|since| asked_at < since + doubt_of_server(&state.policy))
}

/// Whether a server that was seen stopped had come to life and was not told to stop.
fn has_died(state: &State, phase: ServerPhase) -> bool {
    match phase {
        ServerPhase::Up { .. } | ServerPhase::Lost { .. } => true,
        // One that could not be started has its own wait.
        ServerPhase::Starting { .. } => {
            state.calls.server.run.succeeded_at.is_some() && state.calls.server.run.trouble.is_none()
        }
        ServerPhase::Down | ServerPhase::Stopping { .. } => false,
    }
}

fn why_not_up(seen: &ServerSeen) -> Option<Trouble> {
    match seen {
        ServerSeen::Unreachable { address, trouble } => {
            let text = format!("{address} cannot be reached: {}", trouble.text);
            Some(Trouble { text, clause: trouble.clause.clone() })
        }
        ServerSeen::Initializing | ServerSeen::Stopped | ServerSeen::Up { .. } => None,
    }
}
