//! What the records of a server's life do to the state.

use super::FREE_CRASHES;
use crate::{
    ids::LaunchId,
    observe::server::doubt_of_server,
    record::StopReason,
    server::{Address, Server, ServerPhase, ServerPolicy},
    state::{Call, ServerCalls, State},
    time::Time,
};

impl State {
    pub(super) fn configure_server(&mut self, policy: Option<ServerPolicy>, per_container: u32) {
        self.per_container = per_container;
        match (&mut self.server, policy) {
            (Some(server), Some(policy)) if server.policy.kind == policy.kind => server.policy = policy,
            // One that is there is never let go of: whoever wants another has it taken down first.
            (Some(server), Some(policy)) => *server = server.succeeded_by(policy),
            (server, policy) => *server = policy.map(Server::new),
        }
        self.has_stale = self.has_stale && self.any_is_stale();
        self.try_server_now();
    }

    pub(super) fn any_is_stale(&self) -> bool {
        self.handles.iter().any(|(_, handle)| self.is_stale_and_alive(handle))
    }

    /// What was seen of the server may not be so any more: no worker is launched before it was looked at again.
    pub(super) fn look_at_server_anew(&mut self) {
        let calls = &mut self.calls.server;
        calls.look.hurry();
        calls.look.succeeded_at = None;
        calls.look_is_old = calls.look.in_flight;
    }

    pub(super) fn try_server_now(&mut self) {
        self.calls.server.run.backoff.succeed();
        self.look_at_server_anew();
        if let Some(server) = &mut self.server {
            server.crashes.succeed();
        }
    }

    pub(super) fn set_server_phase(&mut self, phase: ServerPhase) {
        if let Some(server) = &mut self.server {
            server.phase = phase;
        }
    }

    pub(super) fn server_up(&mut self, address: &Address, replaces: bool, now: Time) {
        let next = LaunchId(self.next_launch);
        let Some(server) = &mut self.server else { return };
        if !matches!(server.phase, ServerPhase::Up { .. } | ServerPhase::Lost { .. }) {
            server.starts += 1;
            server.came_up_at = now;
        }
        if !server.is_up() {
            server.phase = ServerPhase::Up { since: now };
        }
        server.address = Some(address.clone());
        if replaces {
            server.stale_before = next;
            self.has_stale = self.any_is_stale();
        }
    }

    pub(super) fn stop_server(&mut self, why: StopReason, now: Time) {
        let (first, longest, seed) = (self.policy.backoff, self.policy.backoff_max, self.uid);
        let Some(server) = &mut self.server else { return };
        if !matches!(server.phase, ServerPhase::Stopping { .. }) {
            server.phase = ServerPhase::Stopping { since: now };
            server.stop_reason = Some(why);
            if why == StopReason::StartTimeout {
                server.crashes.fail(now, first, longest, FREE_CRASHES, seed);
            }
        }
        self.calls.server.stop.start(now);
        self.calls.server.not_up = None;
    }

    pub(super) fn server_gone(&mut self, died: bool, now: Time) {
        let (policy, seed) = (&self.policy, self.uid);
        let Some(server) = &mut self.server else { return };
        let came_up = matches!(server.phase, ServerPhase::Up { .. } | ServerPhase::Lost { .. });
        let lasted = came_up && now.since(server.came_up_at) >= policy.stable_after;
        (server.phase, server.stop_reason, server.in_doubt_since) = (ServerPhase::Down, None, None);
        if died && lasted {
            server.crashes.succeed();
        } else if died {
            server.crashes.fail(now, policy.backoff, policy.backoff_max, FREE_CRASHES, seed);
        }
        (self.calls.server.stop, self.calls.server.not_up) = (Call::default(), None);
    }

    /// Where a call that may start the server was cut off, or one before it was and the host that ended did not live for long
    /// enough to see the end of it: evidence is gathered anew, as it is for launches.
    pub(super) fn doubt_server(&mut self, before: Time, now: Time) {
        let patience = doubt_of_server(&self.policy);
        let Some(server) = &mut self.server else { return };
        let in_doubt = server.in_doubt_since.is_some_and(|since| before < since + patience)
            || matches!(server.phase, ServerPhase::Starting { .. });
        server.in_doubt_since = in_doubt.then_some(now);
    }
}

impl ServerCalls {
    pub(super) fn hurry(&mut self) {
        self.run.backoff.hurry();
        self.stop.hurry();
        self.look.hurry();
    }
}
