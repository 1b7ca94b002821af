//! A provider as one of its clusters has it: what its calls go to, and what its status and its history say of that.

use std::sync::Arc;

use longshore_providers::{Library, Provider};
use longshore_scaling::{Build, Command, Serving, Side, Standing, Time, Trouble, Turn};
use serde::{Deserialize, Serialize};

use crate::{
    generations::{Canary, Generations},
    registry::{Made, Shared},
};

/// What a cluster's calls go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingStatus {
    /// The number of the provider's generation.
    pub generation: u64,
    /// Its plugin's version.
    pub version: String,
    /// The SHA-256 of its library, in hexadecimal.
    pub hash: String,
    /// How far it is trusted.
    pub standing: Standing,
    /// Until when it is watched, in milliseconds since the epoch; none of one that is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<Time>,
    /// A version that another cluster of the provider tries, before this one has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<TriedStatus>,
}

/// A version that another cluster tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedStatus {
    /// The cluster.
    pub cluster: String,
    /// The number of the provider's generation.
    pub generation: u64,
    /// Its plugin's version.
    pub version: String,
    /// The SHA-256 of its library, in hexadecimal.
    pub hash: String,
}

/// A provider as one cluster has it.
#[derive(Clone)]
pub(crate) struct AtHand {
    /// Its name.
    pub(crate) provider: Arc<str>,
    pub(crate) made: Made,
    told: Told,
    /// Of two looks at the providers the later one has the higher number.
    look: u64,
}

/// What is told of it.
#[derive(Clone)]
enum Told {
    /// Nothing: it is not there yet.
    Nothing,
    Serving(ServingStatus, Turn),
    /// It is not there, for its library is quarantined.
    Quarantined(Build, Trouble),
}

impl AtHand {
    /// Whether it tells of an earlier time than another one. Those who tell of a provider do not wait for each other.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        self.look < other.look
    }

    /// How it serves, where it does.
    pub(crate) fn serving(&self) -> Option<&ServingStatus> {
        match &self.told {
            Told::Serving(serving, _) => Some(serving),
            Told::Nothing | Told::Quarantined(..) => None,
        }
    }

    /// What the core is to record of it.
    pub(crate) fn introduction(&self, side: Side) -> Option<Command> {
        let provider = Arc::clone(&self.provider);
        match self.told.clone() {
            Told::Nothing => None,
            Told::Serving(ServingStatus { version, hash, standing, .. }, turn) => {
                let build = Build { version: version.into(), hash: hash.into() };
                Some(Command::Serve { side, provider, serving: Serving { build, standing }, turn })
            }
            Told::Quarantined(build, trouble) => Some(Command::Lose { side, provider, build, trouble }),
        }
    }
}

impl Shared {
    /// The provider of that name as a cluster has it, or why it has none.
    pub(crate) fn at_hand(&self, provider: &str, cluster: &str) -> AtHand {
        let mut registry = self.registry();
        registry.looks += 1;
        let look = registry.looks;
        let (generations, now) = (registry.generations.get(provider), self.clock.now());
        // Who tries another one has that, whatever becomes of the one that all others have.
        let tried = generations.and_then(|generations| tried(generations, cluster, now));
        let (made, told) = match (tried, registry.made(provider)) {
            (Some((tried, told)), _) => (Ok(tried), told),
            (None, Ok(serving)) => {
                let told = generations.map(|generations| told(generations, &serving, now));
                (Ok(serving), told.unwrap_or(Told::Nothing))
            }
            (None, Err(trouble)) => {
                let held = self.quarantines.holding(provider).map(|held| {
                    let build = Build { version: held.version.into(), hash: held.hash.into() };
                    Told::Quarantined(build, Trouble::new(held.quarantine.why))
                });
                (Err(trouble), held.unwrap_or(Told::Nothing))
            }
        };
        AtHand { provider: provider.into(), made, told, look }
    }
}

fn version_and_hash(library: &Library) -> (String, String) {
    (library.metadata().version.clone(), library.hash().to_owned())
}

/// What a cluster tries of a provider's generations, before the others have it, and what is told of that; none where it does not.
fn tried(generations: &Generations, cluster: &str, now: Time) -> Option<(Arc<Provider>, Told)> {
    let canary = generations.canary.as_ref().filter(|canary| canary.cluster == cluster)?;
    let (version, hash) = version_and_hash(canary.provider.library());
    let watched_until = generations.watched_for().map(|left| now + left);
    let (generation, standing) = (generations.latest(), Standing::Tried);
    let status = ServingStatus { generation, version, hash, standing, watched_until, tried: None };
    Some((Arc::clone(&canary.provider), Told::Serving(status, Turn::Swapped)))
}

fn tried_elsewhere(canary: &Canary, generation: u64) -> TriedStatus {
    let (version, hash) = version_and_hash(canary.provider.library());
    TriedStatus { cluster: canary.cluster.clone(), generation, version, hash }
}

/// What is told to those who have of a provider's generations the one that serves.
fn told(generations: &Generations, serving: &Provider, now: Time) -> Told {
    let generation = generations.number();
    let (version, hash) = version_and_hash(serving.library());
    if let Some(canary) = &generations.canary {
        let (standing, tried) = (Standing::Settled, Some(tried_elsewhere(canary, generations.latest())));
        let status = ServingStatus { generation, version, hash, standing, watched_until: None, tried };
        return Told::Serving(status, Turn::Begun);
    }
    let watched_until = generations.watched_for().map(|left| now + left);
    let standing = if watched_until.is_some() { Standing::Watched } else { Standing::Settled };
    let status = ServingStatus { generation, version, hash, standing, watched_until, tried: None };
    Told::Serving(status, generations.turn.clone())
}
