//! What the journal's records say, reckoned anew: a second, smaller reading of them than the core's own, made for the
//! checkers alone. Where the two readings disagree, one of them is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use longshore_scaling::{
    Address, Change, Desired, HandleId, LaunchId, Names, NewHandle, OnRestart, Policy, ProviderTraits,
    Record, ServerKind, ServerPolicy, Side, Time,
};

use crate::backend::Name;

/// What the records say of a handle.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: Name,
    pub(crate) workers: u32,
    pub(crate) launch: Option<LaunchId>,
    /// Since when it is initializing, where it is.
    pub(crate) initializing: Option<Time>,
    /// Whether its end was decided.
    pub(crate) killed: bool,
    /// When the last kill was answered; nothing where one is out, or was cut off.
    pub(crate) answered: Option<Time>,
    /// Whether a kill must be done again at once: it was decided, and a host's end cut it off, or it never began.
    pub(crate) outstanding: bool,
}

/// All that the records of a cluster's present life say.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what is so of a cluster and what is not, each by itself")]
pub(crate) struct Ledger {
    pub(crate) uid: Option<u64>,
    pub(crate) generation: u64,
    pub(crate) policy: Policy,
    pub(crate) traits: ProviderTraits,
    /// The side that workers are launched on, and the one that is left, with what its provider can do.
    pub(crate) side: Side,
    pub(crate) left: Option<(Side, ProviderTraits)>,
    pub(crate) expected: u32,
    pub(crate) desired: Desired,
    pub(crate) resting: bool,
    pub(crate) forgotten: bool,
    pub(crate) handles: BTreeMap<HandleId, Known>,
    pub(crate) names: BTreeMap<Name, HandleId>,
    /// Workers of each stray, and since when it was seen.
    pub(crate) strays: BTreeMap<Name, (u32, Time)>,
    /// Of every launch that ever began: how many workers, and how often it was to be asked for.
    pub(crate) launches: BTreeMap<LaunchId, (u32, u32)>,
    /// The side that each was asked for on.
    pub(crate) launch_sides: BTreeMap<LaunchId, Side>,
    /// How often each handle was to be killed.
    pub(crate) kills: BTreeMap<HandleId, u32>,
    /// The next handle's number is no lower.
    pub(crate) next_handle: u64,
    pub(crate) latest: Time,
    /// The shortest time that a worker ever had to start.
    pub(crate) shortest_timeout: Duration,
    /// Sides on which a mass death is looked at a second time.
    pub(crate) suspected: BTreeSet<Side>,
    pub(crate) per_container: u32,
    pub(crate) server: Option<ServerPolicy>,
    /// Whether the server is up, as it was seen last.
    pub(crate) server_up: bool,
    /// Where it was seen last.
    pub(crate) server_address: Option<Address>,
    /// When it was asked for last, where it has not been seen stopped since.
    pub(crate) server_asked_at: Option<Time>,
    pub(crate) server_stopping: bool,
    /// The shortest time that it ever had to be up.
    pub(crate) shortest_start: Duration,
    /// How often it came up, and whether it was asked for since it last did.
    ups: u64,
    asked_since_up: bool,
    /// Workers of launches before this one know a server that is no more, and shall be replaced.
    pub(crate) stale_before: u64,
    /// How often it was to be asked for, and to be stopped.
    pub(crate) server_intents: [u64; 2],
    /// All records.
    pub(crate) history: Vec<Record>,
}

impl Names for Ledger {
    fn token(&self, launch: LaunchId) -> String {
        Self::token(self, launch)
    }

    fn handle(&self, id: HandleId) -> Option<Arc<str>> {
        self.handles.get(&id).map(|known| known.name.to_string().into())
    }
}

impl Ledger {
    /// How many workers are wanted.
    pub(crate) fn target(&self) -> u32 {
        if self.desired == Desired::Running && !self.resting {
            self.expected.clamp(self.policy.min, self.policy.max)
        } else {
            0
        }
    }

    /// The sides whose providers are asked and told.
    pub(crate) fn sides(&self) -> impl Iterator<Item = Side> + use<> {
        [Some(self.side), self.left_side()].into_iter().flatten()
    }

    /// The side that is left, where the cluster moves.
    pub(crate) fn left_side(&self) -> Option<Side> {
        self.left.map(|(side, _)| side)
    }

    /// What the provider of a side can do.
    pub(crate) fn traits_of(&self, side: Side) -> ProviderTraits {
        self.left.filter(|(left, _)| *left == side).map_or(self.traits, |(_, traits)| traits)
    }

    /// How many workers may be there at once: while the cluster moves, so many more than are wanted as its policy says.
    pub(crate) fn ceiling(&self) -> u32 {
        let target = self.target();
        let unsaid = target.div_ceil(4).max(self.per_container).max(1);
        (target + self.policy.surge.unwrap_or(unsaid)).min(self.policy.max)
    }

    /// Workers of a side that are known and whose end was not decided; and of these, those that are at work.
    pub(crate) fn live_on(&self, side: Side) -> (u64, u64) {
        let live = self.handles.values().filter(|known| known.name.side == side && !known.killed);
        live.fold((0, 0), |(live, running), known| {
            let workers = u64::from(known.workers);
            (live + workers, running + if known.initializing.is_none() { workers } else { 0 })
        })
    }

    /// Whether it shall have a server at this time.
    pub(crate) fn wants_server(&self) -> bool {
        self.server.is_some() && self.desired == Desired::Running && !self.resting
    }

    /// Whether workers may be launched as far as the server is concerned.
    pub(crate) fn is_served(&self) -> bool {
        self.server.is_none() || self.server_up
    }

    pub(crate) fn is_managed(&self) -> bool {
        self.server.is_some_and(|server| server.kind == ServerKind::Managed)
    }

    /// Workers that are known and whose end was not decided.
    pub(crate) fn live(&self) -> u64 {
        self.handles.values().filter(|known| !known.killed).map(|known| u64::from(known.workers)).sum()
    }

    pub(crate) fn token(&self, launch: LaunchId) -> String {
        format!("{:016x}-{:x}", self.uid.unwrap_or_default(), launch.0)
    }

    /// Whether a token is one of this life's.
    pub(crate) fn is_own(&self, token: &str) -> bool {
        self.uid.is_some_and(|uid| token.starts_with(&format!("{uid:016x}-")))
    }

    pub(crate) fn take(&mut self, record: &Record) {
        let now = record.at;
        self.latest = self.latest.max(now);
        self.history.push(record.clone());
        match &record.change {
            Change::Created { uid, policy, traits, expected, desired, server, per_container } => {
                self.uid = Some(*uid);
                self.configure(policy, *traits, *expected);
                (self.server, self.per_container) = (*server, *per_container);
                self.shortest_start = server.map_or(Duration::MAX, |server| server.start_timeout);
                self.desired = *desired;
            }
            Change::Updated { policy, traits, expected, server, per_container } => {
                self.configure(policy, *traits, *expected);
                self.per_container = *per_container;
                self.configure_server(*server);
            }
            Change::Scaled { expected } | Change::Reconnected { expected, .. } => {
                self.generation += 1;
                self.expected = *expected;
            }
            Change::DesiredSet { desired } => {
                self.generation += 1;
                self.desired = *desired;
            }
            Change::Attached { side, traits } => {
                match &mut self.left {
                    Some((left, before)) if left == side => *before = *traits,
                    _ => self.traits = *traits,
                }
                if !traits.list {
                    self.strays.retain(|name, _| name.side != *side);
                }
            }
            Change::MoveStarted { side, .. } => {
                self.left = Some((self.side, self.traits));
                self.side = *side;
            }
            Change::MoveEnded { .. } => self.left = None,
            Change::Refreshed => {
                // Kills that did not help are done again without further patience.
                for known in self.handles.values_mut() {
                    known.outstanding |= known.killed && known.answered.is_some();
                }
            }
            Change::Rested => self.resting = true,
            Change::Recovered { .. } => {
                self.resting = false;
                for known in self.handles.values_mut() {
                    known.outstanding |= known.killed && known.answered.is_none();
                }
            }
            Change::Forgotten => {
                self.forgotten = true;
                self.suspected.clear();
                self.left = None;
                self.handles.clear();
                self.names.clear();
                self.strays.clear();
                self.server_up = false;
            }
            Change::LaunchStarted { launch, workers, .. } => {
                self.launches.entry(*launch).or_insert((*workers, 0)).1 += 1;
                self.launch_sides.insert(*launch, self.side);
            }
            Change::LaunchRepeated { launch } => {
                if let Some((_, asked)) = self.launches.get_mut(launch) {
                    *asked += 1;
                }
            }
            Change::LaunchSettled { handles, .. }
            | Change::LaunchResolved { handles, .. }
            | Change::LaunchUnknown { claimed: handles, .. }
            | Change::Adopted { handles } => self.add(handles, Some(now)),
            Change::StraysSeen { side, strays } => {
                for (name, workers) in strays {
                    self.strays.insert(Name::new(*side, name), (*workers, now));
                }
            }
            Change::StraysGone { side, strays } => {
                self.strays.retain(|name, _| name.side != *side || !strays.contains(&name.text));
            }
            Change::StraysCondemned { handles } => {
                self.add(handles, None);
                for known in handles.iter().map(|new| new.id) {
                    if let Some(known) = self.handles.get_mut(&known) {
                        (known.killed, known.outstanding) = (true, true);
                    }
                }
            }
            change => self.take_end(change, now),
        }
    }

    /// The changes of how workers are, and of how they end.
    fn take_end(&mut self, change: &Change, now: Time) {
        match change {
            Change::KillStarted { handles, .. } => {
                for id in handles {
                    *self.kills.entry(*id).or_default() += 1;
                    if let Some(known) = self.handles.get_mut(id) {
                        (known.killed, known.answered, known.outstanding) = (true, None, false);
                    }
                }
            }
            Change::KillAnswered { handles } | Change::KillFailed { handles, .. } => {
                for id in handles {
                    if let Some(known) = self.handles.get_mut(id) {
                        (known.answered, known.outstanding) = (Some(now), false);
                    }
                }
            }
            Change::PhaseSeen { initializing, running } => {
                for id in initializing {
                    if let Some(known) = self.handles.get_mut(id) {
                        known.initializing = Some(now);
                    }
                }
                for id in running {
                    if let Some(known) = self.handles.get_mut(id) {
                        known.initializing = None;
                    }
                }
            }
            Change::Gone { killed, died } => {
                for id in killed.iter().chain(died) {
                    if let Some(known) = self.handles.remove(id) {
                        self.names.remove(&known.name);
                    }
                }
            }
            Change::ServerStarted => {
                self.server_intents[0] += 1;
                (self.server_asked_at, self.asked_since_up) = (Some(now), true);
            }
            Change::ServerUp { address, .. } => self.server_is_up(address),
            Change::ServerLost { .. } => self.server_up = false,
            Change::ServerStopStarted { .. } => {
                self.server_intents[1] += 1;
                (self.server_up, self.server_stopping) = (false, true);
            }
            Change::ServerGone { .. } => {
                (self.server_up, self.server_stopping, self.server_asked_at) = (false, false, None);
            }
            Change::Suspected { handles } => {
                let sides = handles.iter().filter_map(|id| self.handles.get(id)).map(|known| known.name.side);
                self.suspected.extend(sides);
            }
            Change::SuspicionEnded { side } => _ = self.suspected.remove(side),
            // They change nothing that a checker looks at.
            _ => {}
        }
    }

    fn configure(&mut self, policy: &Policy, traits: ProviderTraits, expected: u32) {
        let shortest = if self.generation == 0 { policy.launch_timeout } else { self.shortest_timeout };
        self.shortest_timeout = shortest.min(policy.launch_timeout);
        self.generation += 1;
        (self.policy, self.traits, self.expected) = (policy.clone(), traits, expected);
        if !traits.list {
            self.strays.retain(|name, _| name.side != self.side);
        }
    }

    fn configure_server(&mut self, server: Option<ServerPolicy>) {
        if let Some(server) = server {
            self.shortest_start = self.shortest_start.min(server.start_timeout);
        }
        let kind = |server: Option<ServerPolicy>| server.map(|server| server.kind);
        if kind(self.server) != kind(server) {
            (self.server_up, self.server_stopping, self.server_asked_at) = (false, false, None);
            (self.ups, self.asked_since_up) = (0, false);
            if self.server.is_none() || server.is_none() {
                // Who had none knows none.
                (self.server_address, self.stale_before) = (None, 0);
            }
        }
        self.server = server;
    }

    /// It is seen up: whoever was launched before may know another one.
    fn server_is_up(&mut self, address: &Address) {
        let Some(policy) = self.server else { return };
        let moved = self.server_address.as_ref().is_some_and(|before| before != address);
        let restarted = policy.kind == ServerKind::Managed && self.asked_since_up && self.ups > 0;
        let replaces = match policy.on_restart {
            OnRestart::ReplaceIfMoved => moved,
            OnRestart::Replace => moved || restarted,
            OnRestart::Keep => false,
        };
        if replaces {
            let next = self.launches.last_key_value().map(|(launch, _)| launch.0 + 1);
            self.stale_before = next.unwrap_or(0);
        }
        self.ups += 1;
        (self.server_up, self.asked_since_up) = (true, false);
        self.server_address = Some(address.clone());
    }

    fn add(&mut self, handles: &[NewHandle], initializing: Option<Time>) {
        for new in handles {
            let name = Name::new(new.side, &new.name);
            self.strays.remove(&name);
            self.next_handle = self.next_handle.max(new.id.0 + 1);
            let known = Known {
                name: name.clone(),
                workers: new.workers,
                launch: new.launch,
                initializing,
                killed: false,
                answered: None,
                outstanding: false,
            };
            self.names.insert(name, new.id);
            self.handles.insert(new.id, known);
        }
    }
}
