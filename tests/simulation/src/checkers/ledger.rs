//! What the journal's records say, reckoned anew: a second, smaller reading of them than the core's own, made for the
//! checkers alone. Where the two readings disagree, one of them is wrong.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use longshore_scaling::{
    Change, Desired, HandleId, LaunchId, Names, NewHandle, Policy, ProviderTraits, Record, Time,
};

/// What the records say of a handle.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    pub(crate) workers: u32,
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
pub(crate) struct Ledger {
    pub(crate) uid: Option<u64>,
    pub(crate) generation: u64,
    pub(crate) policy: Policy,
    pub(crate) traits: ProviderTraits,
    pub(crate) expected: u32,
    pub(crate) desired: Desired,
    pub(crate) resting: bool,
    pub(crate) forgotten: bool,
    pub(crate) handles: BTreeMap<HandleId, Known>,
    pub(crate) names: BTreeMap<Arc<str>, HandleId>,
    /// Workers of each stray, and since when it was seen.
    pub(crate) strays: BTreeMap<Arc<str>, (u32, Time)>,
    /// Of every launch that ever began: how many workers, and how often it was to be asked for.
    pub(crate) launches: BTreeMap<LaunchId, (u32, u32)>,
    /// How often each handle was to be killed.
    pub(crate) kills: BTreeMap<HandleId, u32>,
    /// The next handle's number is no lower.
    pub(crate) next_handle: u64,
    pub(crate) latest: Time,
    /// The shortest time that a worker ever had to start.
    pub(crate) shortest_timeout: Duration,
    /// A mass death is looked at a second time.
    pub(crate) suspected: bool,
    /// All records.
    pub(crate) history: Vec<Record>,
}

impl Names for Ledger {
    fn token(&self, launch: LaunchId) -> String {
        Self::token(self, launch)
    }

    fn handle(&self, id: HandleId) -> Option<Arc<str>> {
        self.handles.get(&id).map(|known| Arc::clone(&known.name))
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
            Change::Created { uid, policy, traits, expected, desired, .. } => {
                self.uid = Some(*uid);
                self.configure(policy, *traits, *expected);
                self.desired = *desired;
            }
            Change::Updated { policy, traits, expected } => self.configure(policy, *traits, *expected),
            Change::Scaled { expected } | Change::Reconnected { expected, .. } => {
                self.generation += 1;
                self.expected = *expected;
            }
            Change::DesiredSet { desired } => {
                self.generation += 1;
                self.desired = *desired;
            }
            Change::Attached { traits } => {
                self.traits = *traits;
                if !traits.list {
                    self.strays.clear();
                }
            }
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
                self.suspected = false;
                self.handles.clear();
                self.names.clear();
                self.strays.clear();
            }
            Change::LaunchStarted { launch, workers, .. } => {
                self.launches.entry(*launch).or_insert((*workers, 0)).1 += 1;
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
            Change::StraysSeen { strays } => {
                for (name, workers) in strays {
                    self.strays.insert(Arc::clone(name), (*workers, now));
                }
            }
            Change::StraysGone { strays } => self.strays.retain(|name, _| !strays.contains(name)),
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
            Change::Suspected { .. } => self.suspected = true,
            Change::SuspicionEnded => self.suspected = false,
            // They change nothing that a checker looks at.
            _ => {}
        }
    }

    fn configure(&mut self, policy: &Policy, traits: ProviderTraits, expected: u32) {
        let shortest = if self.generation == 0 { policy.launch_timeout } else { self.shortest_timeout };
        self.shortest_timeout = shortest.min(policy.launch_timeout);
        self.generation += 1;
        (self.policy, self.traits, self.expected) = (policy.clone(), traits, expected);
    }

    fn add(&mut self, handles: &[NewHandle], initializing: Option<Time>) {
        for new in handles {
            self.strays.remove(&new.name);
            self.next_handle = self.next_handle.max(new.id.0 + 1);
            let known = Known {
                name: Arc::clone(&new.name),
                workers: new.workers,
                initializing,
                killed: false,
                answered: None,
                outstanding: false,
            };
            self.names.insert(Arc::clone(&new.name), new.id);
            self.handles.insert(new.id, known);
        }
    }
}
