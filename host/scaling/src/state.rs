//! What is known of one cluster: what is wanted, which handles it has, which calls are out. It is the sum of its records.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    backoff::Backoff,
    handles::{Handle, Handles, Phase, Tally},
    ids::{HandleId, LaunchId, Side},
    moving::Leaving,
    policy::{Desired, Policy, ProviderTraits},
    server::{Server, ServerKind, ServerPhase},
    serving::Serving,
    time::Time,
    trouble::Trouble,
};

/// A launch whose outcome is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// How many workers were asked for.
    pub workers: u32,
    /// The side whose provider was asked.
    #[serde(default, skip_serializing_if = "Side::is_first")]
    pub side: Side,
    /// Handles of it that were named by refused replies or lists, with the workers on each: those that have gone since as
    /// well, so that one that is named again does not count twice.
    pub found: BTreeMap<Arc<str>, u32>,
    /// When it was asked for, the last time.
    pub started_at: Time,
    /// Where it is.
    pub phase: LaunchPhase,
}

impl Launch {
    /// The workers that it may still have created: the capacity that is held for it.
    pub fn held(&self) -> u32 {
        let found = self.found.values().fold(0_u32, |sum, workers| sum.saturating_add(*workers));
        self.workers.saturating_sub(found)
    }
}

/// Where a launch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchPhase {
    /// Asked for, no answer yet.
    InFlight,
    /// The answer was lost or refused: neither dead nor alive until it is found out.
    Unknown {
        /// Since when.
        since: Time,
        /// Why.
        trouble: Trouble,
        /// Whether the provider's call has ended, so that nothing more can come of it.
        returned: bool,
        /// How many complete lists, one after the other, did not have it.
        unlisted: u32,
        /// How often it was asked for again.
        repeats: u32,
    },
}

/// A kind of call of which at most one is out: statuses, list, initialize.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Whether one is out.
    pub in_flight: bool,
    /// When the last one was sent.
    pub started_at: Option<Time>,
    /// When the last one that succeeded was sent.
    pub succeeded_at: Option<Time>,
    /// Failures in a row.
    pub backoff: Backoff,
    /// Why the last one failed, where it did.
    pub trouble: Option<Trouble>,
    /// Whether one is wanted now, whatever the interval says.
    pub wanted: bool,
}

/// The calls of which at most one is out: what a host knows of them ends with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) here: SideCalls,
    /// Those of the side that is being left, where one is.
    pub(crate) left: SideCalls,
    pub(crate) server: ServerCalls,
    /// Handles that were still initializing when a look was taken that was late enough to kill them for it.
    pub(crate) late: BTreeSet<HandleId>,
}

/// The calls of one side's provider, of each kind at most one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SideCalls {
    pub(crate) status: Call,
    pub(crate) list: Call,
    pub(crate) initialize: Call,
    /// Names of handles that were buried while a list was under way.
    pub(crate) buried_meanwhile: BTreeSet<Arc<str>>,
}

/// The calls about a server. At most one of them is out, so that what a look saw is never older than what was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerCalls {
    pub(crate) run: Call,
    /// Whether the host has given up waiting for the answer of a `run` that is still in the provider.
    pub(crate) run_hangs: bool,
    pub(crate) stop: Call,
    pub(crate) look: Call,
    /// Whether the look that is out was asked for before something changed that it does not know of: it tells nothing.
    pub(crate) look_is_old: bool,
    /// Why the server, which is there, was not up at the last look.
    pub(crate) not_up: Option<Trouble>,
}

impl ServerCalls {
    pub(crate) fn is_any_out(&self) -> bool {
        self.run.in_flight || self.stop.in_flight || self.look.in_flight
    }
}

/// A mass death that is looked at a second time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suspicion {
    pub(crate) since: Time,
    pub(crate) workers: u64,
}

/// A handle of the cluster's that none of its launches brought, and that is to be killed if it stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    /// How many workers it holds.
    pub workers: u32,
    /// When it was seen first.
    pub since: Time,
    /// The side whose provider listed it.
    #[serde(default, skip_serializing_if = "Side::is_first")]
    pub side: Side,
}

/// Everything that is known of one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) uid: u64,
    /// Which host in a row has it.
    pub(crate) term: u64,
    pub(crate) generation: u64,
    pub(crate) policy: Policy,
    /// The side that workers are launched on, and the latest that there was.
    pub(crate) side: Side,
    pub(crate) latest_side: Side,
    pub(crate) leaving: Option<Leaving>,
    pub(crate) traits: ProviderTraits,
    /// What the provider is made of, as it was recorded last.
    pub(crate) serving: Option<Serving>,
    pub(crate) desired: Desired,
    pub(crate) forgotten: bool,
    /// The host leaves, and its workers with it.
    pub(crate) resting: bool,
    /// Where the cluster is being taken over: how many lists in a row had nothing new.
    pub(crate) reconnect: Option<u32>,
    pub(crate) expected: u32,
    /// The most workers in one container; 0 counts as 1.
    pub(crate) per_container: u32,
    pub(crate) server: Option<Server>,
    /// Whether there may be workers that know another server than the one that is there now.
    pub(crate) has_stale: bool,
    pub(crate) handles: Handles,
    pub(crate) launches: BTreeMap<LaunchId, Launch>,
    pub(crate) next_launch: u64,
    pub(crate) launch_backoff: Backoff,
    pub(crate) launch_trouble: Option<Trouble>,
    pub(crate) crash_backoff: Backoff,
    pub(crate) kill_trouble: Option<(HandleId, Trouble)>,
    pub(crate) suspicion: Option<Suspicion>,
    pub(crate) last_gone: Time,
    pub(crate) strays: BTreeMap<(Side, Arc<str>), Stray>,
    /// When the last record was made that a journal holds.
    pub(crate) latest: Time,
    /// Known to this host alone.
    pub(crate) calls: Calls,
}

impl State {
    /// A number that no other cluster has, nor had.
    pub fn uid(&self) -> u64 {
        self.uid
    }

    /// Grows with every command that changed what is wanted.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Which host in a row has the cluster: grows with each that takes it up.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// When the last record was made that a journal holds. A host that takes the cluster up begins no earlier.
    pub fn latest(&self) -> Time {
        self.latest
    }

    /// Whether the host is leaving, and the cluster's workers with it.
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// Handles that none of the cluster's launches brought, and that will be killed if they stay.
    pub fn strays(&self) -> impl Iterator<Item = (&str, &Stray)> {
        self.strays.iter().map(|((_, name), stray)| (&**name, stray))
    }

    pub(crate) fn stray_workers(&self) -> u64 {
        self.strays.values().map(|stray| u64::from(stray.workers)).sum()
    }

    /// How the cluster is scaled.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether it shall have workers.
    pub fn desired(&self) -> Desired {
        self.desired
    }

    /// Its server, where it has one.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Whether its server shall be there: it is taken down after the last worker.
    pub(crate) fn wants_server(&self) -> bool {
        self.desired == Desired::Running && !self.resting
    }

    /// Whether no worker is there, nor any that may yet come to light.
    pub(crate) fn has_no_workers(&self) -> bool {
        self.handles.is_empty() && self.launches.is_empty()
    }

    /// Whether nothing of its server is left that would have to be taken down.
    pub(crate) fn has_no_server(&self) -> bool {
        self.server.as_ref().is_none_or(Server::is_gone) && !self.calls.server.run.in_flight
    }

    /// Whether a handle's workers were launched for a server that was started again since.
    pub(crate) fn is_stale(&self, handle: &Handle) -> bool {
        let stale_before = self.server.as_ref().map_or(LaunchId(0), |server| server.stale_before);
        handle.launch.is_some_and(|launch| launch < stale_before)
    }

    /// How many workers its user asked for. Stopping the cluster does not change it.
    pub fn expected(&self) -> u32 {
        self.expected
    }

    /// How many workers it shall have now.
    pub fn target(&self) -> u32 {
        match self.desired {
            Desired::Running if self.resting => 0,
            Desired::Running => self.expected.clamp(self.policy.min, self.policy.max),
            Desired::Stopped | Desired::Deleted => 0,
        }
    }

    /// Sums over its handles.
    pub fn tally(&self) -> Tally {
        self.handles.tally()
    }

    /// A handle.
    pub fn handle(&self, id: HandleId) -> Option<&Handle> {
        self.handles.get(id)
    }

    /// All handles, oldest first.
    pub fn handles(&self) -> impl Iterator<Item = (HandleId, &Handle)> {
        self.handles.iter()
    }

    /// How many handles there are.
    pub fn handle_count(&self) -> usize {
        self.handles.len()
    }

    /// The launches whose outcome is not known, oldest first.
    pub fn launches(&self) -> impl Iterator<Item = (LaunchId, &Launch)> {
        self.launches.iter().map(|(id, launch)| (*id, launch))
    }

    /// The token of a launch: what the provider tags its workers with.
    pub fn token(&self, launch: LaunchId) -> String {
        launch.token(self.uid)
    }

    /// The launch that a token names, where it is one of this cluster's.
    pub fn launch_of(&self, token: &str) -> Option<LaunchId> {
        let (uid, number) = token.split_once('-')?;
        let launch = LaunchId(u64::from_str_radix(number, 16).ok()?);
        (u64::from_str_radix(uid, 16).ok()? == self.uid && launch.0 < self.next_launch).then_some(launch)
    }

    /// Workers asked for in launches that are in flight.
    pub fn in_flight(&self) -> u64 {
        self.held(|phase| matches!(phase, LaunchPhase::InFlight))
    }

    /// Workers that launches of unknown fate may have created.
    pub fn unknown(&self) -> u64 {
        self.held(|phase| matches!(phase, LaunchPhase::Unknown { .. }))
    }

    fn held(&self, of: impl Fn(&LaunchPhase) -> bool) -> u64 {
        self.launches.values().filter(|launch| of(&launch.phase)).map(|launch| u64::from(launch.held())).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.handles.is_empty() && self.launches.is_empty() && self.strays.is_empty()
    }

    /// Whether an operator gave up what is left of it.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    /// Whether the cluster was deleted and nothing of it is left, at a last look.
    pub fn is_finished(&self) -> bool {
        self.desired == Desired::Deleted
            && self.is_empty()
            && (self.forgotten || self.has_no_server())
            && (self.forgotten || self.sides().all(|side| self.has_looked_since_last_death(side)))
    }

    /// Whether nothing but expected, running workers is there, and as many as there shall be.
    pub fn is_converged(&self) -> bool {
        let tally = self.tally();
        let wants_server = self.wants_server();
        let is_served = if wants_server { self.is_served() } else { self.has_no_server() };
        is_served
            && self.launches.is_empty()
            && tally.initializing == 0
            && tally.terminating == 0
            && tally.running == u64::from(self.target())
            && self.leaving.is_none()
            && self.suspicion.is_none()
            && self.reconnect.is_none()
            && self.knows_its_workers()
    }

    /// Whether a look at its workers is wanted, or under way.
    pub fn is_looking(&self) -> bool {
        let is_on = |call: &Call| call.wanted || call.in_flight;
        let is_side_looked_at = |side: Side| {
            let calls = self.calls_of(side);
            // Nobody asks for the statuses of no handles.
            (is_on(&calls.status) && self.handles.count_on(side) > 0)
                || (self.traits_of(side).list && is_on(&calls.list))
        };
        self.sides().any(is_side_looked_at)
            // None is taken before a call that hangs has come back.
            || (self.is_server_looked_at() && is_on(&self.calls.server.look) && !self.calls.server.run_hangs)
    }

    /// Whether a host that shall leave may: neither workers nor a server are left behind.
    pub fn has_left(&self) -> bool {
        self.resting && self.has_no_workers() && self.has_no_server()
    }

    /// Whether looks at the server are taken: where it should be there, or has yet to be seen gone.
    pub(crate) fn is_server_looked_at(&self) -> bool {
        let Some(server) = &self.server else { return false };
        match (server.policy.kind, server.phase) {
            (ServerKind::External, _) => self.wants_server(),
            (ServerKind::Managed, ServerPhase::Down) => false,
            (ServerKind::Managed, _) => self.traits.server,
        }
    }

    /// Whether this host has seen how the server is, since anything changed that may have changed that.
    pub(crate) fn knows_its_server(&self) -> bool {
        self.calls.server.look.succeeded_at.is_some()
    }

    /// Whether there is a server, where there shall be one, as this host has seen.
    pub(crate) fn is_served(&self) -> bool {
        let Some(server) = &self.server else { return true };
        server.is_up() && self.knows_its_server() && !self.cannot_serve()
    }

    /// Whether its provider was exchanged for one that can run no servers: the server is left where it is.
    pub(crate) fn cannot_serve(&self) -> bool {
        !self.traits.server && self.server.as_ref().is_some_and(|it| it.policy.kind == ServerKind::Managed)
    }

    /// Whether a handle is to be killed for the server that its workers know.
    pub(crate) fn is_stale_and_alive(&self, handle: &Handle) -> bool {
        !matches!(handle.phase, Phase::Terminating { .. }) && self.is_stale(handle)
    }

    /// Whether the workers that ran before this host did are known, where the provider that launches can tell. Of a side that is
    /// left, the journal knows whom it launched, and nobody is launched there any more.
    pub(crate) fn knows_its_workers(&self) -> bool {
        !self.traits.list || self.calls.here.list.succeeded_at.is_some()
    }
}
