//! What a cluster's providers are made of: which library, and how sure that is. To the core it is a word of whoever holds the
//! providers, and nothing is decided by it: it is kept so that a history tells, once and durably, when it has changed and why.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{ids::Side, record::Change, state::State, trouble::Trouble};

/// How much of a hash tells it from others, for a person.
const SHOWN_OF_HASH: usize = 12;

/// A library that a provider is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The plugin's version.
    pub version: Arc<str>,
    /// The SHA-256 of the library, in hexadecimal.
    pub hash: Arc<str>,
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (sha256 {})", self.version, self.hash.get(..SHOWN_OF_HASH).unwrap_or(&self.hash))
    }
}

/// How far a library is trusted that serves a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// This cluster alone tries it, before the others of its provider do.
    Tried,
    /// All clusters of its provider have it, and it is still watched.
    Watched,
    /// It serves for good.
    Settled,
    /// It does not serve any more, and nothing does: it is quarantined.
    Lost,
}

/// How what serves came to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// A host began with it, or a configuration brought it.
    Begun,
    /// The provider was swapped to it.
    Swapped,
    /// A cluster had tried it, and was well.
    Promoted {
        /// That cluster.
        canary: Arc<str>,
    },
    /// It was watched, and was well.
    Proved,
    /// The provider went back to it.
    RolledBack {
        /// Why the host did that by itself; none where somebody asked for it.
        fault: Option<Trouble>,
    },
}

/// What serves one side of a cluster, as it was recorded last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The library.
    pub build: Build,
    /// How far it is trusted.
    pub standing: Standing,
}

impl State {
    /// What the provider of a side is made of, as it was recorded last; none before it was.
    pub fn serving_on(&self, side: Side) -> Option<&Serving> {
        self.left(side).map_or(self.serving.as_ref(), |left| left.serving.as_ref())
    }

    /// What is to be recorded of the library that serves a side from now on; nothing where it is known.
    pub(crate) fn serve(
        &self,
        side: Side,
        provider: &Arc<str>,
        serving: &Serving,
        turn: &Turn,
    ) -> Option<Change> {
        let known = self.serving_on(side);
        (self.has_side(side) && known != Some(serving)).then(|| Change::Served {
            side,
            provider: Arc::clone(provider),
            before: known.cloned(),
            serving: serving.clone(),
            turn: turn.clone(),
        })
    }

    /// What is to be recorded of a library that does not serve a side any more; nothing where it is known.
    pub(crate) fn lose(
        &self,
        side: Side,
        provider: &Arc<str>,
        build: &Build,
        trouble: &Trouble,
    ) -> Option<Change> {
        let lost = Serving { build: build.clone(), standing: Standing::Lost };
        (self.has_side(side) && self.serving_on(side) != Some(&lost)).then(|| Change::Unserved {
            side,
            provider: Arc::clone(provider),
            build: build.clone(),
            trouble: trouble.clone(),
        })
    }
}

/// A change of what serves, in a line.
pub(crate) fn tell_serving(
    provider: &str,
    before: Option<&Serving>,
    serving: &Serving,
    turn: &Turn,
) -> String {
    let Serving { build, standing } = serving;
    let trial = match standing {
        Standing::Tried => "; this cluster alone tries it, and it is watched",
        Standing::Watched => "; it is watched",
        Standing::Settled | Standing::Lost => "",
    };
    let Some(before) = before else {
        return format!("provider `{provider}` serves with {build}{trial}");
    };
    let from = &before.build;
    let is_other = from != build;
    match turn {
        Turn::Swapped if is_other => {
            format!("provider `{provider}` was swapped from {from} to {build}{trial}")
        }
        Turn::Promoted { canary } if is_other => {
            format!(
                "provider `{provider}` was swapped from {from} to {build}, with which cluster `{canary}` was well{trial}"
            )
        }
        Turn::Promoted { .. } if before.standing == Standing::Tried => {
            format!(
                "provider `{provider}` goes on with {build}, which was well here: all its clusters have it now{trial}"
            )
        }
        Turn::Proved if !is_other => {
            format!("provider `{provider}` keeps {build}, which has proved itself")
        }
        Turn::RolledBack { fault: None } if is_other => {
            format!("provider `{provider}` was rolled back from {from} to {build}, as somebody asked")
        }
        Turn::RolledBack { fault: Some(fault) } if is_other => {
            format!(
                "provider `{provider}` was rolled back from {from} to {build} by the host itself: {fault}"
            )
        }
        _ if is_other => format!("provider `{provider}` serves with {build} in the place of {from}{trial}"),
        _ if before.standing == Standing::Lost => {
            format!("provider `{provider}` is there again, with {build}{trial}")
        }
        _ => format!("provider `{provider}` goes on with {build}{trial}"),
    }
}
