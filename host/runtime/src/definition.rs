//! What the journal keeps of a provider: what it was configured as and, once it was swapped, which library serves and which
//! one did before. A host that was killed in the middle of a swap finds in it either the one or the other.

use std::path::PathBuf;

use longshore_config::ProviderConfig;
use longshore_providers::Library;
use longshore_store::{JournalError, JournalErrorKind, Subject};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// So many libraries that were gone back from are remembered of a provider: the latest.
const GIVEN_UP_LIMIT: usize = 64;

/// The key beside those of the configuration that says what a swap did.
const SWAPPED: &str = "swapped";

/// A provider, as the journal keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    pub(crate) config: ProviderConfig,
    /// None where it is made from what its configuration names.
    pub(crate) swapped: Option<Swapped>,
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swapped {
    /// The library that serves.
    pub(crate) serving: Origin,
    /// The one that served before, which it can go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Origin>,
    /// Whether the one that serves still has to prove itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<Trial>,
    /// What was gone back from: no watched folder brings it again.
    #[serde(default, skip_serializing_if = "GivenUp::is_empty")]
    pub(crate) given_up: GivenUp,
}

/// The libraries that a provider went back from, by the SHA-256 of their content in hexadecimal, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct GivenUp(Vec<String>);

/// As it was written: earlier hosts remembered but one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(String),
    Many(Vec<String>),
}

impl From<Written> for GivenUp {
    fn from(written: Written) -> Self {
        match written {
            Written::One(hash) => Self(vec![hash]),
            Written::Many(hashes) => Self(hashes),
        }
    }
}

impl GivenUp {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With one more, which is the latest.
    #[must_use]
    pub(crate) fn and(self, hash: &str) -> Self {
        let Self(mut hashes) = self.without(hash);
        hashes.push(hash.to_owned());
        Self(hashes.split_off(hashes.len().saturating_sub(GIVEN_UP_LIMIT)))
    }

    /// Without one: somebody wants it again.
    #[must_use]
    pub(crate) fn without(mut self, hash: &str) -> Self {
        self.0.retain(|known| known != hash);
        self
    }

    /// Their hashes.
    pub(crate) fn into_hashes(self) -> Vec<String> {
        self.0
    }
}

/// A library, by its content, and where that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) path: PathBuf,
    /// The SHA-256 of its content, in hexadecimal.
    pub(crate) hash: String,
    pub(crate) version: String,
}

/// That a library still has to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// For how long it is watched.
    pub(crate) watch_ms: u64,
    /// Whether its host ended in order meanwhile. One that was cut off may have been brought down by it.
    #[serde(default)]
    pub(crate) is_put_off: bool,
}

impl Origin {
    pub(crate) fn of(library: &Library) -> Self {
        Self {
            path: library.path().to_owned(),
            hash: library.hash().to_owned(),
            version: library.metadata().version.clone(),
        }
    }
}

impl Swapped {
    /// The libraries that a host may begin with, the best first. A host that was cut off while a new one was on trial
    /// begins with the one before.
    pub(crate) fn choices(&self) -> Vec<&Origin> {
        let was_cut_off = self.trial.is_some_and(|trial| !trial.is_put_off);
        let mut choices: Vec<_> = [Some(&self.serving), self.before.as_ref()].into_iter().flatten().collect();
        if was_cut_off {
            choices.reverse();
        }
        choices
    }

    /// Why a host does not begin with what serves, where the host before may have been brought down by it.
    pub(crate) fn why_not_again(&self) -> Option<String> {
        let was_cut_off = self.trial.is_some_and(|trial| !trial.is_put_off);
        was_cut_off.then(|| "its host was cut off while it still had to prove itself".to_owned())
    }

    /// The same, for a host that begins with one of the [`choices`](Self::choices).
    pub(crate) fn begun_with(self, chosen: &Origin) -> Self {
        if *chosen == self.serving && self.trial.is_none_or(|trial| trial.is_put_off) {
            return self;
        }
        let was_cut_off = self.trial.is_some_and(|trial| !trial.is_put_off);
        let given_up = if was_cut_off && *chosen != self.serving {
            self.given_up.and(&self.serving.hash)
        } else {
            self.given_up
        };
        Self { serving: chosen.clone(), before: None, trial: None, given_up }
    }
}

impl From<ProviderConfig> for Definition {
    fn from(config: ProviderConfig) -> Self {
        Self { config, swapped: None }
    }
}

impl Definition {
    /// Reads what the journal has.
    pub(crate) fn read(mut document: Value) -> Result<Self, serde_json::Error> {
        let swapped = document.as_object_mut().and_then(|document| document.remove(SWAPPED));
        let swapped = swapped.map(serde_json::from_value).transpose()?;
        Ok(Self { config: serde_json::from_value(document)?, swapped })
    }

    /// As the journal keeps it.
    pub(crate) fn written(&self) -> Result<Value, JournalError> {
        let write = || {
            let mut document = serde_json::to_value(&self.config)?;
            if let (Some(swapped), Some(document)) = (&self.swapped, document.as_object_mut()) {
                document.insert(SWAPPED.to_owned(), serde_json::to_value(swapped)?);
            }
            Ok(document)
        };
        write().map_err(|error: serde_json::Error| JournalError {
            subject: Subject::Provider(self.config.name.clone()),
            action: "written",
            kind: JournalErrorKind::Failed,
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn origin(version: &str) -> Origin {
        Origin {
            path: format!("/plugins/{version}.so").into(),
            hash: version.repeat(4),
            version: version.to_owned(),
        }
    }

    fn swapped(trial: Option<bool>) -> Swapped {
        let trial = trial.map(|is_put_off| Trial { watch_ms: 60_000, is_put_off });
        Swapped { serving: origin("2"), before: Some(origin("1")), trial, given_up: GivenUp::default() }
    }

    fn begins_with(swapped: &Swapped) -> String {
        swapped.choices()[0].version.clone()
    }

    #[test]
    fn what_is_written_is_read_again_and_what_an_older_host_wrote_as_well() {
        let config: ProviderConfig =
            serde_json::from_value(json!({ "name": "x", "plugin": "memory", "config": { "a": 1 } }))
                .expect("legal");
        for swapped in [None, Some(swapped(None)), Some(swapped(Some(true)))] {
            let definition = Definition { config: config.clone(), swapped };
            let written = definition.written().expect("it can be written");
            assert_eq!(Definition::read(written).expect("it can be read"), definition);
        }
        let plain = serde_json::to_value(&config).expect("it can be written");
        assert_eq!(Definition::read(plain.clone()).expect("it can be read").swapped, None);
        assert_eq!(Definition { config, swapped: None }.written().expect("it can be written"), plain);
    }

    #[test]
    fn a_host_that_was_cut_off_during_a_trial_begins_with_the_one_before() {
        assert_eq!(begins_with(&swapped(None)), "2");
        assert_eq!(begins_with(&swapped(Some(true))), "2", "the host ended in order, and the trial goes on");
        let cut_off = swapped(Some(false));
        assert_eq!(begins_with(&cut_off), "1");
        let begun = cut_off.clone().begun_with(&origin("1"));
        let given_up = GivenUp::default().and(&origin("2").hash);
        assert_eq!(begun, Swapped { serving: origin("1"), before: None, trial: None, given_up });
        assert_eq!(cut_off.begun_with(&origin("2")).trial, None, "nothing is left to go back to");
        assert_eq!(swapped(None).begun_with(&origin("2")), swapped(None));
    }

    #[test]
    fn the_latest_that_were_given_up_are_remembered_each_once() {
        let read = |written: Value| serde_json::from_value::<GivenUp>(written).expect("legal");
        assert_eq!(read(json!("a")), GivenUp::default().and("a"), "as an earlier host wrote it");
        assert_eq!(read(json!(["a", "b"])).and("a").into_hashes(), ["b", "a"]);
        assert_eq!(read(json!(["a", "b"])).without("a").into_hashes(), ["b"]);
        let all = (0..1_000).fold(GivenUp::default(), |all, number| all.and(&number.to_string()));
        assert_eq!(read(serde_json::to_value(&all).expect("it can be written")), all);
        let hashes = all.into_hashes();
        assert_eq!((hashes.len(), hashes.last().map(String::as_str)), (GIVEN_UP_LIMIT, Some("999")));
    }
}
