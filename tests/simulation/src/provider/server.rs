//! The server, in the fake provider: how it is started, looked at and stopped, and what goes wrong with that. What the
//! provider keeps is the contract: there is one at most, to ask for one that is there changes nothing, and its status and
//! address are true wherever they can be had.

use longshore_scaling::{Observation, ProviderTraits, Seen, ServerKind, ServerSeen, Side, Trouble};

use crate::{
    backend::{self, Server},
    coverage::Event as Counted,
    fault::Fault,
    host::Message,
    queue::{CallId, Event, HostId},
    trace::{Who, say},
    world::World,
};

/// What becomes of a server's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartFate {
    Well,
    Fails,
    Permanent,
    Claims,
    ReplyLost,
    Late,
    Hangs,
}

/// What becomes of a server's stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopFate {
    Well,
    Fails,
    Claims,
    ReplyLost,
}

impl World {
    pub(super) fn start_fate(&mut self) -> StartFate {
        let fates = [
            (Fault::ServerRunPermanent, StartFate::Permanent),
            (Fault::ServerRunFails, StartFate::Fails),
            (Fault::ServerRunClaims, StartFate::Claims),
            (Fault::ServerRunReplyLost, StartFate::ReplyLost),
            (Fault::ServerRunLate, StartFate::Late),
            (Fault::ServerRunHangs, StartFate::Hangs),
        ];
        fates.into_iter().find(|(fault, _)| self.strikes(*fault)).map_or(StartFate::Well, |(_, fate)| fate)
    }

    pub(super) fn stop_fate(&mut self) -> StopFate {
        let fates = [
            (Fault::ServerStopFails, StopFate::Fails),
            (Fault::ServerStopClaims, StopFate::Claims),
            (Fault::ServerStopReplyLost, StopFate::ReplyLost),
        ];
        fates.into_iter().find(|(fault, _)| self.strikes(*fault)).map_or(StopFate::Well, |(_, fate)| fate)
    }

    /// A server's start arrives.
    pub(super) fn start_server(&mut self, uid: u64, fate: StartFate, is_orphan: bool, reachable: bool) {
        self.server_run_is_over(uid);
        let fails = matches!(fate, StartFate::Fails | StartFate::Permanent | StartFate::Claims);
        // Nothing comes of what was asked for a cluster that an operator has given up since.
        if fails || !reachable || self.checkers.ledger.uid != Some(uid) {
            return;
        }
        if self.backend.server.is_none() && self.strikes(Fault::ServerMoves) {
            self.server_home += 1;
        }
        let Some(number) = self.backend.start_server(self.server_home) else { return };
        say!(self, Who::Backend, "server {number} starts at {}", backend::address(self.server_home));
        if is_orphan {
            self.count(Counted::LateServer);
        }
        let mut up = self.now + self.provider_dice.magnitude(0, self.shape.server_start);
        if self.strikes(Fault::ServerSlowStart) {
            up += self.chaos.dice().magnitude(1, 180_000);
        }
        if self.strikes(Fault::ServerDiesEarly) {
            let dies = up + self.chaos.dice().magnitude(0, 10_000);
            self.queue.push(dies, Event::ServerBecomes { number, status: Seen::Stopped });
        }
        if !self.strikes(Fault::ServerNeverUp) {
            self.queue.push(up, Event::ServerBecomes { number, status: Seen::Running });
        }
    }

    /// Nothing more can come of a server's start.
    pub(super) fn server_run_is_over(&mut self, uid: u64) {
        // Those of a cluster that was given up were left out of the count with it.
        if self.checkers.ledger.uid == Some(uid) {
            self.backend.server_runs_open -= 1;
        }
    }

    /// A server's stop arrives.
    pub(super) fn stop_server(&mut self, fate: StopFate) {
        if matches!(fate, StopFate::Fails | StopFate::Claims) {
            return;
        }
        let Some(number) = self.backend.server.as_ref().map(|server| server.number) else { return };
        let stops = self.now + self.provider_dice.magnitude(0, self.shape.stop);
        self.queue.push(stops, Event::ServerBecomes { number, status: Seen::Stopped });
    }

    pub(crate) fn server_becomes(&mut self, number: u64, status: Seen) {
        let Some(server) = self.backend.server_mut(number) else { return };
        if status == Seen::Stopped {
            self.backend.server = None;
        } else if server.is_running {
            return;
        } else {
            server.is_running = true;
        }
        say!(self, Who::Backend, "server {number} is {}", format!("{status:?}").to_lowercase());
    }

    pub(crate) fn server_reachable(&mut self, number: u64) {
        if let Some(server) = self.backend.server_mut(number) {
            server.is_reachable = true;
            say!(self, Who::Backend, "server {number} can be reached again");
        }
    }

    /// How the server of a kind is at this moment, to whoever can look.
    pub(super) fn see_server(&self, kind: ServerKind, reachable: bool) -> Result<ServerSeen, Trouble> {
        let refused = || Trouble::new("connection refused");
        if kind == ServerKind::External {
            let address = backend::address(self.external_home);
            return Ok(if self.is_external_up {
                ServerSeen::Up { address }
            } else {
                ServerSeen::Unreachable { address, trouble: refused() }
            });
        }
        if !reachable {
            return Err(Trouble::new("the backend is out of reach"));
        }
        Ok(match &self.backend.server {
            None => ServerSeen::Stopped,
            Some(Server { is_running: false, .. }) => ServerSeen::Initializing,
            Some(Server { address, is_reachable: true, .. }) => ServerSeen::Up { address: address.clone() },
            Some(Server { address, .. }) => {
                ServerSeen::Unreachable { address: address.clone(), trouble: refused() }
            }
        })
    }

    /// A server's start takes longer than its host waits; the call goes on.
    pub(super) fn server_deadline(&mut self, host: HostId) {
        let trouble = Some(Trouble::new("run_server has not returned within its budget"));
        say!(self, Who::Provider, "has not yet come back from the server's start");
        let ran = Observation::ServerRan { trouble, retryable: true, returned: false, doubtful: true };
        self.tell(host, Message::Seen(self.checkers.ledger.side, ran));
    }

    pub(super) fn server_ran(&mut self, host: HostId, fate: StartFate, out_of_reach: bool) {
        let trouble = match fate {
            _ if out_of_reach => Some("the backend is out of reach"),
            StartFate::Permanent => Some("no such image"),
            StartFate::Fails => Some("the server could not be started"),
            StartFate::ReplyLost => Some("the connection was reset"),
            StartFate::Well | StartFate::Claims | StartFate::Late | StartFate::Hangs => None,
        };
        let retryable = fate != StartFate::Permanent;
        let trouble = trouble.map(Trouble::new);
        say!(self, Who::Provider, "answers the server's start: {trouble:?}");
        let doubtful = fate == StartFate::ReplyLost && !out_of_reach;
        let ran = Observation::ServerRan { trouble, retryable, returned: true, doubtful };
        self.tell(host, Message::Seen(self.checkers.ledger.side, ran));
    }

    /// The answer of a server's start is lost before anything has come of it, and something may come of it yet.
    pub(super) fn lost_server_run(&mut self, id: CallId) {
        let Some(call) = self.calls.open.get_mut(&id) else { return };
        call.orphan = true;
        let (host, uid) = (call.host, call.uid);
        if self.has_cluster(host, uid) {
            self.server_ran(host, StartFate::ReplyLost, false);
        }
    }

    pub(super) fn server_stop_answered(&mut self, host: HostId, fate: StopFate, out_of_reach: bool) {
        let fails = out_of_reach || matches!(fate, StopFate::Fails | StopFate::ReplyLost);
        let answer = if fails { Err(Trouble::new("the server could not be stopped")) } else { Ok(()) };
        self.tell(host, Message::Seen(self.checkers.ledger.side, Observation::ServerStopAnswered(answer)));
    }

    pub(super) fn server_looked(
        &mut self,
        host: HostId,
        began: u64,
        kind: ServerKind,
        seen: Option<Result<ServerSeen, Trouble>>,
    ) {
        let fails = kind == ServerKind::Managed && self.strikes(Fault::ServerStatusFails);
        let seen = seen.filter(|_| !fails).unwrap_or_else(|| Err(Trouble::new("server_status failed")));
        self.checkers.server_looked(host, began, &seen);
        self.tell(host, Message::Seen(self.checkers.ledger.side, Observation::ServerLooked(seen)));
    }

    /// Faults that befall the server by itself.
    pub(crate) fn trouble_server(&mut self) {
        if self.shape.server.is_none() {
            return;
        }
        let number = self.backend.server.as_ref().map(|server| server.number);
        if let Some(number) = number
            && self.strikes(Fault::ServerDies)
        {
            self.server_becomes(number, Seen::Stopped);
        }
        if self.strikes(Fault::ServerUnreachable) {
            let back = self.now + self.chaos.dice().magnitude(10, 60_000);
            if let Some(server) = &mut self.backend.server {
                server.is_reachable = false;
                let number = server.number;
                say!(self, Who::Backend, "server {number} cannot be reached");
                self.queue.push(back, Event::ServerReachable { number });
            } else if self.is_external_up {
                self.is_external_up = false;
                say!(self, Who::World, "the server that others run cannot be reached");
                self.queue.push(back, Event::ExternalReachable);
            }
        }
        if self.strikes(Fault::ServerUnsupported) {
            let side = self.checkers.ledger.side;
            self.exchange_plugin(!self.traits_of(side).server);
        }
    }

    /// From now on the provider of a side can do this.
    pub(crate) fn exchange(&mut self, side: Side, traits: ProviderTraits) {
        match self.providers.get_mut(&side) {
            Some(provider) => *provider = traits,
            None => self.shape.traits = traits,
        }
        self.plugins.entry(side).or_default().version += 1;
    }

    /// The plugin is another one from now on, under the running host.
    pub(crate) fn exchange_plugin(&mut self, can_serve: bool) {
        let side = self.checkers.ledger.side;
        let traits = self.traits_of(side);
        if traits.server == can_serve {
            return;
        }
        self.exchange(side, ProviderTraits { server: can_serve, ..traits });
        self.plugins.entry(side).or_default().is_lost = true;
        say!(self, Who::Provider, "is exchanged, and can run {} server", if can_serve { "a" } else { "no" });
        for host in self.hosts.values_mut() {
            host.attach_anew();
        }
        if let Some(id) = self.current() {
            self.drive(id);
        }
    }

    /// Once faults have stopped, servers can be reached, and the plugin is one that can run them.
    pub(crate) fn calm_server(&mut self) {
        self.is_external_up = true;
        if let Some(server) = &mut self.backend.server {
            server.is_reachable = true;
        }
        if self.shape.server.is_some() {
            self.exchange_plugin(true);
        }
    }
}
