//! What is held against the server's life: it is there before the first launch and until after the last worker, it is not
//! left behind, and workers that know another one do not stay.

use std::collections::BTreeMap;

use longshore_scaling::{Address, Change, LaunchId, Record, ServerSeen, Side, State, StopReason, Trouble};

use super::{Checker, Checkers, some};
use crate::{
    backend::{Backend, Container, Name, Origin},
    queue::HostId,
};

/// What was told of the server, and asked of the provider.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// Hosts that have looked since anything changed that may have changed what they saw; and where they saw it up, if they
    /// did, by their last look.
    looked: BTreeMap<HostId, Option<Address>>,
    /// Looks that were begun before this moment of the run say nothing of what is there now.
    valid_from: u64,
    /// How often it was asked for, and told to stop.
    calls: [u64; 2],
}

impl Checkers {
    /// A host is told how the server is.
    pub(crate) fn server_looked(&mut self, host: HostId, began: u64, seen: &Result<ServerSeen, Trouble>) {
        let Ok(seen) = seen else { return };
        if began < self.servers.valid_from {
            return;
        }
        let up = if let ServerSeen::Up { address } = seen { Some(address.clone()) } else { None };
        self.servers.looked.insert(host, up);
    }

    /// A launch becomes durable.
    pub(super) fn check_served(&mut self, host: HostId, launch: LaunchId) {
        // What an earlier host had tried to write may be found by the next one: who decided it had looked.
        let has_looked = host == HostId(0) || self.servers.looked.contains_key(&host);
        let supported = !self.ledger.is_managed() || self.ledger.traits.server;
        if self.ledger.server.is_some() && !(self.ledger.server_up && has_looked && supported) {
            let saw = format!(
                "launch {} begins; the server is {}, this host has {}looked, and its provider can {}run one",
                self.ledger.token(launch),
                if self.ledger.server_up { "up" } else { "not up" },
                if has_looked { "" } else { "not " },
                if supported { "" } else { "not " },
            );
            self.fail(Checker::ServerFirst, saw);
        }
    }

    /// The records of the server's life.
    pub(super) fn check_server(&mut self, host: HostId, record: &Record, backend: &Backend) {
        match &record.change {
            // The server may be another one from now on, or nobody has looked at it for a while.
            Change::Updated { .. } | Change::DesiredSet { .. } | Change::Attached { .. } => {
                let changes = match &record.change {
                    Change::DesiredSet { desired } => *desired == longshore_scaling::Desired::Running,
                    Change::Attached { side, traits } => {
                        *side == self.ledger.side && traits.server != self.ledger.traits.server
                    }
                    _ => true,
                };
                if changes {
                    (self.servers.looked, self.servers.valid_from) = (BTreeMap::new(), self.now);
                }
                if let Change::Updated { server, .. } = &record.change {
                    let stays = server
                        .is_some_and(|server| Some(server.kind) == self.ledger.server.map(|it| it.kind));
                    if !stays && self.ledger.is_managed() {
                        self.left(backend);
                    }
                }
            }
            Change::ServerUp { address, .. } if host != HostId(0) => {
                let seen = self.servers.looked.get(&host);
                if seen != Some(&Some(address.clone())) {
                    let saw =
                        format!("the server is said to be up at {address}, and what was seen is {seen:?}");
                    self.fail(Checker::ServerFirst, saw);
                }
            }
            Change::ServerStopStarted { why } => self.check_stop(record, *why, backend),
            Change::ServerGone { .. } => self.left(backend),
            _ => {}
        }
    }

    fn check_stop(&mut self, record: &Record, why: StopReason, backend: &Backend) {
        let ledger = &self.ledger;
        if ledger.server_stopping {
            // It is told again.
            return;
        }
        let saw = match why {
            StopReason::StartTimeout => {
                let late_at = ledger.server_asked_at.map(|at| at + ledger.shortest_start);
                let is_late = late_at.is_some_and(|at| record.at >= at) && !ledger.server_up;
                let seen_up = self.servers.looked.values().any(Option::is_some) && ledger.server_up;
                (!is_late || seen_up || !ledger.wants_server()).then(|| {
                    format!("the server is stopped for being late, and could be so until {late_at:?}")
                })
            }
            StopReason::Unwanted => {
                let living = |(name, it): &(&Name, &Container)| {
                    it.origin == Origin::Launched || self.ledger.names.contains_key(*name)
                };
                let alive: Vec<_> = backend.ours().filter(living).map(|(name, _)| name).collect();
                let coming = self.potential(backend);
                (!alive.is_empty() || coming > 0 || !ledger.handles.is_empty() || ledger.wants_server()).then(|| {
                    format!(
                        "the server is stopped as unwanted{}; {} live, {} are known, {coming} more may come",
                        if ledger.wants_server() { ", and is wanted" } else { "" },
                        some(alive.iter().copied()),
                        ledger.handles.len()
                    )
                })
            }
        };
        if let Some(saw) = saw {
            self.fail(Checker::ServerLast, saw);
        }
    }

    /// The provider is asked for the server, or to stop it.
    pub(crate) fn server_called(&mut self, runs: bool) {
        let which = usize::from(!runs);
        self.servers.calls[which] += 1;
        let (called, intended) = (self.servers.calls[which], self.ledger.server_intents[which]);
        if called > intended {
            let what = if runs { "asked for" } else { "stopped" };
            let saw = format!("the server is {what} the {called}. time; the journal has {intended}");
            self.fail(Checker::IntentBeforeEffect, saw);
        }
    }

    /// The provider is asked for the server, by the host that is in charge.
    pub(crate) fn server_prepared(&mut self, host: HostId, side: Side) {
        if self.ledger.traits_of(side).initialize && !self.prepared.contains(&(host, side)) {
            self.fail(Checker::PreparedFirst, "the server is asked for, and the provider was not prepared");
        }
    }

    /// Somebody goes who would have to take the server along, or believes that it is gone.
    pub(crate) fn left(&mut self, backend: &Backend) {
        if let Some(server) = &backend.server {
            let saw = format!("server {} at {} is there, and taken for gone", server.number, server.address);
            self.fail(Checker::NoServerLeft, saw);
        } else if backend.server_runs_open > 0 {
            let saw =
                format!("{} calls may yet start a server, which is taken for gone", backend.server_runs_open);
            self.fail(Checker::NoServerLeft, saw);
        }
    }

    /// Whether the server is as wanted, in truth and as the state has it. If not, why.
    pub(crate) fn server_as_wanted(
        &self,
        state: &State,
        backend: &Backend,
        external: Option<&Address>,
    ) -> Result<(), String> {
        let (wanted, is_managed) = (self.ledger.wants_server(), self.ledger.is_managed());
        let own = backend.server.as_ref();
        let own_is_up = own.filter(|server| server.is_running && server.is_reachable);
        let there = if is_managed { own_is_up.map(|server| &server.address) } else { external };
        if own.is_some() && !(wanted && is_managed) || backend.server_runs_open > 0 {
            return Err(format!("no server shall be there, and there is {own:?}"));
        }
        if wanted {
            let known =
                state.server().filter(|server| server.is_up()).and_then(|server| server.address.as_ref());
            if there.is_none() || known != there {
                return Err(format!("the server is at {there:?}, and known to be at {known:?}"));
            }
        }
        Ok(())
    }

    /// All is as wanted and quiet: nobody may be left that knows a server which is no more.
    pub(crate) fn none_is_stale(&mut self, backend: &Backend) {
        let ledger = &self.ledger;
        let of_before = |(name, _): &(&Name, &Container)| {
            let known = ledger.names.get(*name).and_then(|id| ledger.handles.get(id));
            known.and_then(|known| known.launch).is_some_and(|launch| launch.0 < ledger.stale_before)
        };
        let stale: Vec<_> = backend.ours().filter(of_before).map(|(name, _)| name).collect();
        if !stale.is_empty() {
            let saw = format!("{} know a server that is no more", some(stale.iter().copied()));
            self.fail(Checker::StaleReplaced, saw);
        }
    }
}
