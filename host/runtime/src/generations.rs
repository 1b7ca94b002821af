//! A provider's generations: the one that serves, the one before it, those that only end their calls, and the one that a
//! single cluster tries. What they are, not how they come about: that is in `swap.rs`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use longshore_providers::{Library, Provider};
use longshore_scaling::{Time, Trouble, Turn};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    definition::{Origin, Swapped},
    workshop::Left,
};

/// The most generations of one provider that are alive. A swap that would be one more is refused: calls hang in those before.
pub(crate) const GENERATIONS_LIMIT: usize = 8;
/// How long the one before is kept as it is, so that going back takes no time. Later it is made anew from its bytes.
pub(crate) const KEPT_FOR: Duration = Duration::from_mins(10);

/// One provider's generations. The one that serves is in the registry's own place for it.
pub(crate) struct Generations {
    /// The number of the one that serves.
    number: u64,
    /// The number of the newest that there ever was.
    latest: u64,
    since: Instant,
    /// What the journal has of it; none where the provider is made from what its configuration names.
    pub(crate) swapped: Option<Swapped>,
    pub(crate) before: Option<Before>,
    pub(crate) canary: Option<Canary>,
    /// Until when the newest is watched, while it is.
    pub(crate) watched_until: Option<Instant>,
    /// How the one that serves came to serve.
    pub(crate) turn: Turn,
    /// Those that nothing is asked of any more.
    retiring: Vec<Retiring>,
    /// What was given up by the host itself, last.
    pub(crate) rolled_back: Option<RolledBack>,
    /// Looks after the newest. It ends with what it looks after.
    pub(crate) keeper: Option<Keeper>,
}

/// The one before, to go back to.
pub(crate) struct Before {
    number: u64,
    since: Instant,
    pub(crate) origin: Origin,
    /// Its library, where this host has loaded it.
    pub(crate) library: Option<Arc<Library>>,
    /// Itself, while it is kept.
    pub(crate) provider: Option<Arc<Provider>>,
}

/// The newest, while one cluster alone tries it.
pub(crate) struct Canary {
    number: u64,
    since: Instant,
    pub(crate) cluster: String,
    pub(crate) provider: Arc<Provider>,
}

/// One that is gone once its last call has returned.
struct Retiring {
    number: u64,
    since: Instant,
    provider: Weak<Provider>,
}

/// A task that ends when this is dropped.
pub(crate) struct Keeper(JoinHandle<()>);

impl Keeper {
    pub(crate) fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the host gave up by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// When, in milliseconds since the epoch.
    pub at: Time,
    /// The version that was given up.
    pub version: String,
    /// The SHA-256 of its library, in hexadecimal.
    pub hash: String,
    /// Why.
    pub reason: String,
}

impl RolledBack {
    /// What a provider was to be made of, and was not.
    pub(crate) fn of(left: Left, at: Time) -> Self {
        let Left { origin: Origin { version, hash, .. }, why } = left;
        Self { at, version, hash, reason: why }
    }
}

/// What a generation is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationState {
    /// It takes the calls.
    Serving,
    /// It takes the calls of one cluster, to prove itself.
    Canary,
    /// It served before, and takes the calls again at once when the provider is rolled back.
    Kept,
    /// It ends the calls that it has, and then goes.
    Retiring,
}

/// One generation of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// Its number: the first is 1, and each that comes has one more.
    pub number: u64,
    /// What it is there for.
    pub state: GenerationState,
    /// Its plugin's version.
    pub version: String,
    /// The SHA-256 of its library, in hexadecimal.
    pub hash: String,
    /// The file of its library.
    pub path: String,
    /// How long ago it came to be, in milliseconds.
    pub age_ms: u64,
    /// For how long it is watched still, in milliseconds; none of one that is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_ms: Option<u64>,
    /// Calls of it that have not ended.
    pub under_way: u64,
    /// Calls of it that have.
    pub calls: u64,
    /// Of these, those that went wrong.
    pub errors: u64,
    /// Of these, those whose answers broke the contract.
    pub violations: u64,
}

impl Generations {
    /// A provider that comes to be, after a provider of that name where there was one. Nothing of that one is left.
    pub(crate) fn first(
        after: Option<&Self>,
        swapped: Option<Swapped>,
        rolled_back: Option<RolledBack>,
    ) -> Self {
        let latest = after.map_or(0, |after| after.latest);
        let before = swapped.as_ref().and_then(|swapped| swapped.before.clone()).map(|origin| Before {
            number: latest + 1,
            since: Instant::now(),
            origin,
            library: None,
            provider: None,
        });
        let number = latest + 1 + u64::from(before.is_some());
        Self {
            number,
            latest: number,
            since: Instant::now(),
            swapped,
            before,
            canary: None,
            watched_until: None,
            turn: match &rolled_back {
                Some(it) => Turn::RolledBack { fault: Some(Trouble::new(it.reason.clone())) },
                None => Turn::Begun,
            },
            retiring: Vec::new(),
            rolled_back,
            keeper: None,
        }
    }

    /// It is watched from now on, where the host before put that off.
    pub(crate) fn resume_trial(&mut self) {
        let trial = self.swapped.as_ref().and_then(|swapped| swapped.trial);
        let put_off = trial.filter(|trial| trial.is_put_off);
        self.watched_until = put_off.map(|trial| Instant::now() + Duration::from_millis(trial.watch_ms));
    }

    /// What the journal would have of the one that serves all but the cluster that tries another one.
    pub(crate) fn swapped_for_all(&self) -> Option<Swapped> {
        let swapped = self.swapped.clone()?;
        match (&self.canary, swapped.before) {
            (Some(_), Some(serving)) => Some(Swapped { serving, before: None, trial: None, ..swapped }),
            (_, before) => Some(Swapped { before, ..swapped }),
        }
    }

    /// The number of the one that serves.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The number of the newest.
    pub(crate) fn latest(&self) -> u64 {
        self.latest
    }

    /// For how long the newest is watched still, while it is.
    pub(crate) fn watched_for(&self) -> Option<Duration> {
        self.watched_until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Whether the newest still has to prove itself.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.watched_until.is_some() || self.canary.is_some()
    }

    /// One cluster tries a new one.
    pub(crate) fn try_out(&mut self, provider: Arc<Provider>, cluster: String) {
        self.latest += 1;
        self.canary = Some(Canary { number: self.latest, since: Instant::now(), cluster, provider });
    }

    /// A new one serves from now on; `old` is the one that did, where it was there.
    pub(crate) fn advance(&mut self, old: Option<Arc<Provider>>) {
        self.retire_before();
        self.before = old.map(|provider| Before {
            number: self.number,
            since: self.since,
            origin: Origin::of(provider.library()),
            library: Some(Arc::clone(provider.library())),
            provider: Some(provider),
        });
        if let Some(canary) = self.canary.take() {
            (self.number, self.since) = (canary.number, canary.since);
            self.turn = Turn::Promoted { canary: canary.cluster.into() };
        } else {
            self.turn = Turn::Swapped;
            self.latest += 1;
            (self.number, self.since) = (self.latest, Instant::now());
        }
    }

    /// The one before serves again; `new` is the one that did. There is nothing to go back to then. `fault` is why, where nobody
    /// asked for it.
    pub(crate) fn go_back(&mut self, new: Option<&Arc<Provider>>, fault: Option<&str>) {
        self.turn = Turn::RolledBack { fault: fault.map(Trouble::new) };
        if let Some(canary) = self.canary.take() {
            self.retire(canary.number, canary.since, &canary.provider);
        } else {
            if let Some(new) = new {
                self.retire(self.number, self.since, new);
            }
            if let Some(before) = self.before.take() {
                (self.number, self.since) = (before.number, before.since);
            }
        }
        self.watched_until = None;
    }

    /// The one before is kept no longer. Its calls under way keep it until they have ended.
    pub(crate) fn retire_before(&mut self) {
        if let Some(before) = &mut self.before
            && let Some(provider) = before.provider.take()
        {
            let (number, since) = (before.number, before.since);
            self.retire(number, since, &provider);
        }
    }

    fn retire(&mut self, number: u64, since: Instant, provider: &Arc<Provider>) {
        self.retiring.retain(|retiring| retiring.provider.strong_count() > 0);
        self.retiring.push(Retiring { number, since, provider: Arc::downgrade(provider) });
    }

    /// How many are alive beside the one that serves.
    pub(crate) fn alive(&self) -> usize {
        let retiring = self.retiring.iter().filter(|retiring| retiring.provider.strong_count() > 0).count();
        let kept = self.before.as_ref().is_some_and(|before| before.provider.is_some());
        retiring + usize::from(kept) + usize::from(self.canary.is_some())
    }

    /// Whether a library may be made use of that does not serve.
    pub(crate) fn may_need(&self, hash: &str) -> bool {
        let before = self.before.as_ref().is_some_and(|before| before.origin.hash == hash);
        before || self.canary.as_ref().is_some_and(|canary| canary.provider.library().hash() == hash)
    }

    /// Every other one that is there, to be shut down with the host.
    pub(crate) fn others(self) -> impl Iterator<Item = Arc<Provider>> {
        let retiring = self.retiring.into_iter().filter_map(|retiring| retiring.provider.upgrade());
        let canary = self.canary.map(|canary| canary.provider);
        retiring.chain(self.before.and_then(|before| before.provider)).chain(canary)
    }

    /// What there is, the newest first.
    pub(crate) fn told(&self, serving: Option<&Arc<Provider>>) -> Vec<GenerationStatus> {
        let mut told = BTreeMap::new();
        let now = Instant::now();
        let watched = self.watched_for().map(millis);
        let mut tell = |number, state, since: Instant, provider: &Provider| {
            let watched_ms = watched.filter(|_| number == self.latest);
            told.insert(number, status(number, state, millis(now - since), watched_ms, provider));
        };
        for retiring in &self.retiring {
            if let Some(provider) = retiring.provider.upgrade() {
                tell(retiring.number, GenerationState::Retiring, retiring.since, &provider);
            }
        }
        if let Some(before) = &self.before
            && let Some(provider) = &before.provider
        {
            tell(before.number, GenerationState::Kept, before.since, provider);
        }
        if let Some(canary) = &self.canary {
            tell(canary.number, GenerationState::Canary, canary.since, &canary.provider);
        }
        if let Some(serving) = serving {
            tell(self.number, GenerationState::Serving, self.since, serving);
        }
        told.into_values().rev().collect()
    }
}

fn status(
    number: u64,
    state: GenerationState,
    age_ms: u64,
    watched_ms: Option<u64>,
    provider: &Provider,
) -> GenerationStatus {
    let (library, figures) = (provider.library(), provider.figures());
    GenerationStatus {
        number,
        state,
        version: library.metadata().version.clone(),
        hash: library.hash().to_owned(),
        path: library.path().display().to_string(),
        age_ms,
        watched_ms,
        under_way: figures.under_way,
        calls: figures.calls,
        errors: figures.errors(),
        violations: figures.violations,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
