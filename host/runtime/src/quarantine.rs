//! Which libraries are quarantined, by the hash of their bytes: what runs them died too often. It is in the journal before it
//! takes effect, so that the next host knows as well; an operator lifts it. It never says when a library has died too often.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longshore_providers::{Library, Provider, RunnerState};
use longshore_scaling::{Time, Trouble};
use longshore_store::{Journal, JournalError, JournalErrorKind, Subject};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::{sync::Mutex as AsyncMutex, time::sleep};

use crate::{
    clock::Clock,
    definition::Definition,
    error::{ApplyError, CommandError, OpenError},
    generations::Generations,
    host::Host,
    registry::{Made, Shared},
};

/// How long to wait before a quarantine that the journal did not take is written again: at first, and at most.
const WRITE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// So many digits of a hash name its library, where no other begins with them.
const HASH_DIGITS: usize = 12;
/// The providers that a quarantine remembers. Another one that it happens to is tried again by the next host.
const PROVIDERS_LIMIT: usize = 256;

/// What is known of a library: a document of the journal's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryRecord {
    /// The plugin's own name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The file that it was loaded from last.
    pub path: String,
    /// Where it is quarantined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<Quarantine>,
}

/// Why nobody runs a library any more. Who ran it without harm goes on; nobody else begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// How what ran it died, and how often within which time.
    pub why: String,
    /// Since when, in milliseconds since 1970.
    pub since: Time,
    /// How often it had died by then, since it was made.
    pub deaths: u64,
    /// The providers that this happened to, which are not there until it is lifted.
    pub providers: BTreeSet<String>,
}

/// A library that is quarantined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedLibrary {
    /// The SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
    /// The plugin's own name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The file that it was loaded from last.
    pub path: String,
    /// Why it is quarantined, and since when.
    #[serde(flatten)]
    pub quarantine: Quarantine,
}

impl QuarantinedLibrary {
    fn of(hash: &str, record: &LibraryRecord) -> Option<Self> {
        let LibraryRecord { plugin, version, path, quarantined } = record.clone();
        Some(Self { hash: hash.to_owned(), plugin, version, path, quarantine: quarantined? })
    }

    /// As much of the hash as names the library.
    pub fn short_hash(&self) -> &str {
        self.hash.get(..HASH_DIGITS).unwrap_or(&self.hash)
    }
}

/// What the release of a library came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The library, as it was quarantined.
    #[serde(flatten)]
    pub library: QuarantinedLibrary,
    /// The providers that are made again now; whether they can be, their statuses say.
    pub tried_again: Vec<String>,
}

/// A library is not run, since it is quarantined.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the library of plugin `{}` {} (sha256 {}, from {}) is quarantined: {}; `longshore apply` or `longshore swap` brings a mended \
     one, and `longshore plugin release {}` lets this one be tried again",
    library.plugin, library.version, library.short_hash(), library.path, library.quarantine.why, library.short_hash()
)]
pub struct Quarantined {
    /// Which, and why.
    pub library: QuarantinedLibrary,
}

impl Known {
    fn refuse(
        &self,
        provider: &str,
        hash: &str,
        counts: impl Fn(&Quarantine) -> bool,
    ) -> Result<(), ApplyError> {
        let library = self.libraries.get(hash).and_then(|record| QuarantinedLibrary::of(hash, record));
        match library.filter(|library| counts(&library.quarantine)) {
            None => Ok(()),
            Some(library) => Err(refusal(provider, library)),
        }
    }
}

/// The quarantines of a host.
pub(crate) struct Quarantines {
    journal: Arc<dyn Journal>,
    clock: Clock,
    known: Mutex<Known>,
    /// One change at a time, in the journal and here.
    changing: AsyncMutex<()>,
}

#[derive(Default)]
struct Known {
    /// By hash.
    libraries: BTreeMap<String, LibraryRecord>,
    /// Those of which the journal does not know yet what is known here.
    unwritten: BTreeSet<String>,
    /// The hash that each provider waits for which is not there because of it.
    held: BTreeMap<String, String>,
}

impl Quarantines {
    /// Those that the journal has.
    pub(crate) fn of(
        libraries: Vec<(String, Value)>,
        journal: Arc<dyn Journal>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let mut known = Known::default();
        for (hash, document) in libraries {
            let record = serde_json::from_value(document).map_err(|error| OpenError::Definition {
                what: "library",
                name: hash.clone(),
                reason: error.to_string(),
            })?;
            known.libraries.insert(hash, record);
        }
        Ok(Self { journal, clock, known: Mutex::new(known), changing: AsyncMutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // It is changed by single inserts and removals: a panic in between leaves it sound.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that are quarantined, by hash.
    pub(crate) fn all(&self) -> Vec<QuarantinedLibrary> {
        let known = self.known();
        known.libraries.iter().filter_map(|(hash, record)| QuarantinedLibrary::of(hash, record)).collect()
    }

    /// The library that a provider waits for which is not there because of its quarantine.
    pub(crate) fn holding(&self, provider: &str) -> Option<QuarantinedLibrary> {
        let known = self.known();
        let hash = known.held.get(provider)?;
        QuarantinedLibrary::of(hash, known.libraries.get(hash)?)
    }

    /// Whether anybody may begin to run a library.
    pub(crate) fn admit(&self, provider: &str, hash: &str) -> Result<(), ApplyError> {
        self.known().refuse(provider, hash, |_| true)
    }

    /// Whether a provider may run a library as it did under the host before: unless this ended in a quarantine.
    pub(crate) fn admit_again(&self, provider: &str, hash: &str) -> Result<(), ApplyError> {
        let mut known = self.known();
        // Both at once: whoever lifts the quarantine in between would not find who waits for that.
        let refused = known.refuse(provider, hash, |quarantine| quarantine.providers.contains(provider));
        if refused.is_err() {
            known.held.insert(provider.to_owned(), hash.to_owned());
        }
        refused
    }

    /// Has a provider wait for a library that is not there any more because of its quarantine. None where that is lifted already.
    fn hold(&self, provider: &str, hash: &str) -> Option<QuarantinedLibrary> {
        let mut known = self.known();
        let held = QuarantinedLibrary::of(hash, known.libraries.get(hash)?)?;
        known.held.insert(provider.to_owned(), hash.to_owned());
        Some(held)
    }

    /// A provider is there, whatever it waited for.
    pub(crate) fn is_there(&self, provider: &str) {
        self.known().held.remove(provider);
    }

    /// Quarantines a library that a provider died of too often. It counts from then on, and where the journal did not take
    /// it, that is said: then [`write`](Self::write) tries again.
    async fn add(
        &self,
        provider: &str,
        library: &Library,
        why: &str,
        deaths: u64,
    ) -> Result<(), JournalError> {
        let _alone = self.changing.lock().await;
        let hash = library.hash();
        let record = {
            let known = self.known();
            let before = known.libraries.get(hash).and_then(|record| record.quarantined.clone());
            let mut providers = before.map(|quarantine| quarantine.providers).unwrap_or_default();
            if providers.len() < PROVIDERS_LIMIT {
                providers.insert(provider.to_owned());
            }
            LibraryRecord {
                plugin: library.metadata().name.clone(),
                version: library.metadata().version.clone(),
                path: library.path().display().to_string(),
                quarantined: Some(Quarantine {
                    why: why.to_owned(),
                    since: self.clock.now(),
                    deaths,
                    providers,
                }),
            }
        };
        let written = self.journal.define_library(hash, Some(document(hash, &record)?)).await;
        let mut known = self.known();
        known.libraries.insert(hash.to_owned(), record);
        if written.is_err() {
            known.unwritten.insert(hash.to_owned());
        }
        written
    }

    /// Writes what is known of a library, unless the journal knows it.
    async fn write(&self, hash: &str) -> Result<(), JournalError> {
        let _alone = self.changing.lock().await;
        let record = {
            let known = self.known();
            known.unwritten.get(hash).and_then(|hash| known.libraries.get(hash)).cloned()
        };
        let Some(record) = record else { return Ok(()) };
        self.journal.define_library(hash, Some(document(hash, &record)?)).await?;
        self.known().unwritten.remove(hash);
        Ok(())
    }

    /// Lifts the quarantine of a library. Gives the providers that were not there because of it.
    async fn lift(&self, hash: &str) -> Result<Vec<String>, JournalError> {
        let _alone = self.changing.lock().await;
        self.journal.define_library(hash, None).await?;
        let mut known = self.known();
        known.libraries.remove(hash);
        known.unwritten.remove(hash);
        let waiting = known.held.extract_if(.., |_, held| held == hash);
        Ok(waiting.map(|(provider, _)| provider).collect())
    }
}

fn refusal(provider: &str, library: QuarantinedLibrary) -> ApplyError {
    ApplyError::Quarantined { provider: provider.to_owned(), why: Box::new(Quarantined { library }) }
}

fn document(hash: &str, record: &LibraryRecord) -> Result<Value, JournalError> {
    serde_json::to_value(record).map_err(|error| JournalError {
        subject: Subject::Library(hash.to_owned()),
        action: "written",
        kind: JournalErrorKind::Failed,
        reason: error.to_string(),
    })
}

/// The one library that a name means: a provider that it is quarantined for, or its hash, or the beginning of that.
fn meant(what: &str, all: Vec<QuarantinedLibrary>) -> Result<QuarantinedLibrary, CommandError> {
    let is_hash = what.len() >= HASH_DIGITS && what.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = what.to_ascii_lowercase();
    let is_meant = |library: &QuarantinedLibrary| {
        library.quarantine.providers.contains(what) || (is_hash && library.hash.starts_with(&digits))
    };
    let hashes = |all: &[QuarantinedLibrary]| all.iter().map(|it| it.short_hash().to_owned()).collect();
    let (mut found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_meant);
    match (found.pop(), found.is_empty()) {
        (Some(library), true) => Ok(library),
        (None, _) => Err(CommandError::NotQuarantined { what: what.to_owned(), hashes: hashes(&others) }),
        (Some(library), false) => {
            found.push(library);
            Err(CommandError::SeveralQuarantined { what: what.to_owned(), hashes: hashes(&found) })
        }
    }
}

impl Host {
    /// The libraries that are quarantined, by hash.
    pub fn quarantined(&self) -> Vec<QuarantinedLibrary> {
        self.house.shared.quarantines.all()
    }

    /// Lifts the quarantine of a library, named by its hash, by at least 12 digits of it, or by a provider that it is
    /// quarantined for; and makes the providers again that were not there because of it.
    ///
    /// # Errors
    ///
    /// It names no library, or several; or the journal does not take it. Nothing has changed then.
    pub async fn release(&self, what: &str) -> Result<Released, CommandError> {
        let shared = &self.house.shared;
        let library = meant(what, shared.quarantines.all())?;
        let waiting = shared.quarantines.lift(&library.hash).await?;
        tracing::info!(
            plugin = library.plugin,
            hash = library.hash,
            "the library is released from its quarantine"
        );
        let mut tried_again = Vec::new();
        for provider in waiting {
            let definition = {
                let mut registry = shared.registry();
                let swapped = registry.generations.get(&provider).and_then(Generations::swapped_for_all);
                let current = registry.providers.get_mut(&provider).filter(|current| current.made.is_err());
                current.map(|current| {
                    let text = format!("provider `{provider}` is being made again: its library was released");
                    current.made = Err(Trouble::new(text));
                    Definition { config: current.config.clone(), swapped }
                })
            };
            if let Some(definition) = definition {
                self.house.try_again(definition, Duration::ZERO, 0);
                tried_again.push(provider);
            }
        }
        shared.note_change();
        Ok(Released { library, tried_again })
    }
}

impl Shared {
    /// Sees to it that a provider which dies too often is taken away, and its library quarantined.
    pub(crate) fn guard(self: &Arc<Self>, provider: &Arc<Provider>) {
        let Some(mut state) = provider.runner() else { return };
        let (shared, provider) = (Arc::downgrade(self), Arc::downgrade(provider));
        // It ends with the provider.
        tokio::spawn(async move {
            let is_given_up = |state: &RunnerState| matches!(state, RunnerState::Quarantined { .. });
            let Ok(RunnerState::Quarantined { why }) = state.wait_for(is_given_up).await.map(|it| it.clone())
            else {
                return;
            };
            let Some((shared, provider)) = shared.upgrade().zip(provider.upgrade()) else { return };
            let (library, deaths) = (Arc::clone(provider.library()), provider.restarts() + 1);
            let is_it = |made: &Made| made.as_ref().is_ok_and(|made| Arc::ptr_eq(made, &provider));
            let written = shared.quarantine(provider.name(), &library, &why, deaths, is_it).await;
            drop(provider);
            shared.write_until_taken(library.hash(), written).await;
        });
    }

    /// The same for a provider that dies again and again while it is being made, so that it is not there yet.
    pub(crate) async fn give_up(&self, provider: &str, library: &Library, why: &str, deaths: u64) {
        let written = self.quarantine(provider, library, why, deaths, Result::is_err).await;
        self.write_until_taken(library.hash(), written).await;
    }

    /// Quarantines a library, and then lets the clusters of its provider know that it is not there, and why; unless what is
    /// there by now is another one.
    async fn quarantine(
        &self,
        provider: &str,
        library: &Library,
        why: &str,
        deaths: u64,
        is_it: impl Fn(&Made) -> bool,
    ) -> Result<(), JournalError> {
        let written = self.quarantines.add(provider, library, why, deaths).await;
        {
            let mut registry = self.registry();
            let current = registry.providers.get_mut(provider).filter(|current| is_it(&current.made));
            let Some(current) = current else {
                // One that a single cluster tries is given up by whoever watches it.
                tracing::error!(provider, hash = library.hash(), "a library is quarantined: {why}");
                return written;
            };
            let Some(held) = self.quarantines.hold(provider, library.hash()) else { return written };
            let trouble = Trouble::new(refusal(provider, held).to_string());
            tracing::error!(provider, "{trouble}");
            current.made = Err(trouble);
        }
        self.tell(provider).await;
        written
    }

    /// Writes what is known of a library until the journal takes it, which it has done already or not.
    async fn write_until_taken(&self, hash: &str, mut written: Result<(), JournalError>) {
        let mut wait = WRITE_RETRY.0;
        while let Err(error) = written {
            tracing::error!("{error}: a host that begins before it is written runs the library again");
            tokio::select! {
                () = self.closed() => return,
                () = sleep(wait) => {}
            }
            wait = (wait * 2).min(WRITE_RETRY.1);
            written = self.quarantines.write(hash).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(hash: &str, provider: &str) -> QuarantinedLibrary {
        let quarantine = Quarantine {
            why: "signal 11".to_owned(),
            since: Time::default(),
            deaths: 5,
            providers: [provider.to_owned()].into(),
        };
        let (plugin, version, path) = ("mutant".to_owned(), "0.1.0".to_owned(), "/p".to_owned());
        QuarantinedLibrary { hash: hash.repeat(32), plugin, version, path, quarantine }
    }

    #[test]
    fn a_library_is_meant_by_its_hash_or_by_a_provider() {
        let all = || vec![library("a1", "one"), library("b2", "two"), library("c3", "two")];
        let hash = |what: &str| meant(what, all()).map(|library| library.hash);
        for what in ["one", "a1a1a1a1a1a1", "A1A1A1A1A1A1A1", &"a1".repeat(32)] {
            assert_eq!(hash(what).expect("it is one"), "a1".repeat(32), "{what}");
        }
        for what in ["", "a1", "a1a1a1a1a1b2", "three", &"a1".repeat(33)] {
            let error = hash(what).expect_err("nothing is called so");
            assert!(matches!(&error, CommandError::NotQuarantined { .. }), "{what}: {error}");
        }
        let error = hash("two").expect_err("they are two");
        let text = error.to_string();
        assert!(text.contains("b2b2b2b2b2b2") && text.contains("c3c3c3c3c3c3"), "{text}");
        assert!(!text.contains("a1a1"), "{text}");
    }

    #[test]
    fn a_refusal_says_why_and_what_to_do() {
        let text = refusal("one", library("a1", "one")).to_string();
        assert_eq!(
            text,
            "provider `one`: the library of plugin `mutant` 0.1.0 (sha256 a1a1a1a1a1a1, from /p) is quarantined: signal 11; \
             `longshore apply` or `longshore swap` brings a mended one, and `longshore plugin release a1a1a1a1a1a1` lets this \
             one be tried again"
        );
    }
}
