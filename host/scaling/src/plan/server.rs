//! What is done about the cluster's server: it is brought up before the first worker, looked at, started again when it has
//! died, and taken down after the last worker. One call about it is out at a time.

use super::{Action, Planner};
use crate::{
    record::StopReason,
    report::Reason,
    server::{Server, ServerKind, ServerPhase},
};

impl Planner<'_> {
    pub(super) fn look_after_server(&mut self) {
        let state = self.state;
        let Some(server) = &state.server else { return };
        self.explain_server(server);
        if state.cannot_serve() || state.calls.server.is_any_out() {
            return;
        }
        match (server.policy.kind, server.phase) {
            (ServerKind::External, _) => {}
            (ServerKind::Managed, ServerPhase::Up { .. } | ServerPhase::Lost { .. }) => {
                if !state.wants_server() {
                    self.take_server_down();
                }
            }
            (ServerKind::Managed, ServerPhase::Down) => self.bring_server_up(server),
            (ServerKind::Managed, ServerPhase::Starting { since }) => {
                let late_at = since + server.policy.start_timeout;
                let seen_late = state.calls.server.look.succeeded_at.is_some_and(|at| at >= late_at);
                // The host that asked for it is gone. To ask again changes nothing where it was heard.
                let was_cut_off = state.calls.server.run.started_at.is_none();
                if !state.wants_server() {
                    self.take_server_down();
                } else if was_cut_off {
                    self.bring_server_up(server);
                } else if seen_late {
                    self.plan.actions.push(Action::StopServer { why: StopReason::StartTimeout });
                } else {
                    self.is_due(late_at);
                }
            }
            (ServerKind::Managed, ServerPhase::Stopping { .. }) => self.stop_server_again(),
        }
        self.look_at_server(server);
    }

    fn bring_server_up(&mut self, server: &Server) {
        if !self.state.wants_server() {
            return;
        }
        let run = &self.state.calls.server.run;
        // Both waits must be over, and the planner is woken for each.
        let may_run = self.is_due_after(run.backoff)
            & self.is_due_after(server.crashes)
            & self.is_initialized(self.state.side);
        if may_run {
            self.plan.actions.push(Action::RunServer);
        }
    }

    /// The server goes after the last worker: while workers are being killed they may still report to it.
    fn take_server_down(&mut self) {
        if self.state.has_no_workers() {
            self.plan.actions.push(Action::StopServer { why: StopReason::Unwanted });
        }
    }

    fn stop_server_again(&mut self) {
        let stop = &self.state.calls.server.stop;
        let why = self.state.server.as_ref().and_then(|server| server.stop_reason);
        let why = why.unwrap_or(StopReason::Unwanted);
        let due = match stop.started_at {
            // The host that told it is gone, and whether it reached the provider is not known.
            None => true,
            Some(_) if stop.wanted => true,
            // It failed: it is told again when its wait is over.
            Some(_) if stop.trouble.is_some() => self.is_due_after(stop.backoff),
            Some(told_at) => self.is_due(told_at + self.policy().kill_retry),
        };
        if due {
            self.plan.actions.push(Action::StopServer { why });
        }
    }

    fn look_at_server(&mut self, server: &Server) {
        let asked = |action: &Action| matches!(action, Action::RunServer | Action::StopServer { .. });
        if !self.state.is_server_looked_at() || self.plan.actions.iter().any(asked) {
            return;
        }
        let interval =
            if server.is_up() { self.policy().poll_interval } else { self.policy().busy_poll_interval };
        if self.call_is_due(&self.state.calls.server.look, interval) {
            self.plan.actions.push(Action::LookAtServer);
        }
    }

    fn explain_server(&mut self, server: &Server) {
        if self.state.cannot_serve() {
            if self.state.wants_server() || !server.is_gone() {
                self.because(Reason::ServerUnsupported);
            }
            return;
        }
        let calls = &self.state.calls.server;
        // Of one that nobody looks at any more, nobody minds that the last look failed.
        if self.state.is_server_looked_at()
            && let Some(trouble) = calls.look.trouble.clone()
        {
            self.because(Reason::ServerStatusFailing { failures: calls.look.backoff.failures(), trouble });
        }
        if calls.run_hangs {
            self.because(Reason::ServerHangs);
        }
        if self.state.wants_server() {
            self.explain_wanted(server);
        } else if !server.is_gone() {
            self.because(match server.phase {
                ServerPhase::Stopping { .. } => {
                    Reason::ServerStopping { trouble: calls.stop.trouble.clone() }
                }
                _ => Reason::ServerOutlivesWorkers,
            });
        }
    }

    fn explain_wanted(&mut self, server: &Server) {
        let calls = &self.state.calls.server;
        let not_up = calls.not_up.clone();
        let reason = match server.phase {
            ServerPhase::Up { .. } if self.state.knows_its_server() => return,
            ServerPhase::Up { .. } => Reason::ServerUnseen,
            ServerPhase::Lost { .. } => Reason::ServerLost { trouble: not_up },
            ServerPhase::Stopping { .. } => Reason::ServerStopping { trouble: calls.stop.trouble.clone() },
            ServerPhase::Starting { .. } => Reason::ServerStarting { trouble: not_up },
            ServerPhase::Down if server.policy.kind == ServerKind::External => {
                Reason::ServerLost { trouble: not_up }
            }
            ServerPhase::Down => {
                let waits = [calls.run.backoff, server.crashes].map(|backoff| backoff.until(self.now));
                match waits.into_iter().flatten().max() {
                    Some(until) => Reason::ServerBackingOff {
                        failures: calls.run.backoff.failures().max(server.crashes.failures()),
                        retry_in: until.since(self.now),
                        trouble: calls.run.trouble.clone(),
                    },
                    None => Reason::ServerStarting { trouble: None },
                }
            }
        };
        self.because(reason);
    }
}
