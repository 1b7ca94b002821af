//! How a host begins: with the clusters that its journal has, each taken up where the host before it was cut off. A provider
//! that cannot be made is tried again and again; its clusters are there meanwhile, and nothing of them is forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use longshore_config::ClusterConfig;
use longshore_providers::{CreateError, DEATHS_LIMIT};
use longshore_scaling::{Cycle, State, Trouble};
use longshore_store::{Claimed, Journal, Lease};
use serde::de::DeserializeOwned;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use crate::{
    clock::Clock,
    definition::Definition,
    error::{ApplyError, OpenError},
    generations::{Generations, RolledBack},
    host::Host,
    house::House,
    quarantine::Quarantines,
    registry::{Installed, Shared},
    turns::Turns,
    workshop::{Failed, Plugins, Risen, Workshop},
};

/// How long to wait before a provider that could not be made is tried again: at first, and at most. It doubles in between.
const PROVIDER_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How many clusters are claimed at once.
const CLAIMS_AT_ONCE: usize = 64;

/// A cluster as the journal has it.
struct Found {
    config: ClusterConfig,
    state: State,
    lease: Lease,
}

impl Host {
    /// A host with what the journal has: its providers, and its clusters, each taken up where it was left, and looked after
    /// from now on. It needs a tokio runtime with its timer.
    ///
    /// # Errors
    ///
    /// As [`Host::prepare_to_begin`].
    pub async fn open(plugins: impl Into<Plugins>, journal: Arc<dyn Journal>) -> Result<Self, OpenError> {
        let host = Self::prepare_to_begin(plugins, journal).await?;
        host.begin();
        Ok(host)
    }

    /// The same, and nothing is launched or killed before [`Host::begin`]: what a configuration changes meanwhile counts
    /// from the first step on, and a provider whose clusters have no workers can be another one than it was.
    ///
    /// A provider that cannot be made does not keep the host from beginning: it is told of by [`Host::providers`], its
    /// clusters explain that they wait for it, and it is tried again.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the journal cannot be read, or makes no sense.
    pub async fn prepare_to_begin(
        plugins: impl Into<Plugins>,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, OpenError> {
        let mut providers = Vec::new();
        for (name, definition) in journal.providers().await? {
            let read = Definition::read(definition);
            let definition = read.map_err(|error| not_understood("provider", &name, &error))?;
            providers.push(named("provider", name, definition, |definition| &definition.config.name)?);
        }
        let found = claim_all(&journal).await?;
        let latest = found.iter().map(|cluster| cluster.state.latest()).max().unwrap_or_default();

        let clock = Clock::start(latest);
        let quarantines = Quarantines::of(journal.libraries().await?, Arc::clone(&journal), clock)?;
        let shared = Arc::new(Shared::new(quarantines, clock));
        let (workshop, turns) = (Workshop::new(plugins.into()), Turns::default());
        let house = Arc::new(House { workshop, shared, journal, clock, turns });
        {
            // No provider that is mended meanwhile is put in its place before its clusters are there to know.
            let named: BTreeSet<_> = providers.iter().map(|it: &Definition| it.config.name.clone()).collect();
            let _turn = house.turns.configuring(|| named.clone()).await;
            house.make_all(providers).await;
            for Found { config, state, lease } in found {
                let cycle = Cycle::recover(state, house.clock.now(), lease.term);
                // Nobody has the host yet who could end it.
                let _ = house.start(config, cycle, lease);
            }
            for name in &named {
                house.go_on_with_trial(name).await;
            }
        }
        house.watch_folders();
        Ok(Self { house })
    }

    /// Looks after the clusters from now on.
    pub fn begin(&self) {
        self.house.shared.begin();
    }
}

impl House {
    /// Makes all providers at once, so that one that takes its time does not hold up the others.
    async fn make_all(self: &Arc<Self>, providers: Vec<Definition>) {
        let mut making = JoinSet::new();
        for definition in providers {
            let (workshop, shared) = (self.workshop.clone(), Arc::clone(&self.shared));
            making.spawn(
                async move { (workshop.bring_up(&definition, &shared.quarantines).await, definition) },
            );
        }
        while let Some(joined) = making.join_next().await {
            // A panic in there is one of the host's own making.
            let (outcome, mut definition) =
                joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let mut rolled_back = None;
            let made = match outcome {
                Ok(Risen { provider, swapped, left }) => {
                    definition.swapped = swapped;
                    rolled_back = left.map(|left| RolledBack::of(left, self.clock.now()));
                    Ok(provider)
                }
                // It is not tried again before it is released.
                Err(Failed { error: error @ ApplyError::Quarantined { .. }, .. }) => {
                    Err(Trouble::new(error.to_string()))
                }
                Err(Failed { error, .. }) => Err(self.mend(&definition, &error)),
            };
            let there = made.as_ref().ok().cloned();
            self.shared.registry().place(definition, made, rolled_back);
            if let Some(provider) = there {
                self.shared.guard(&provider);
            }
        }
    }

    /// Sees to it that a provider is tried again; says why it is not there.
    fn mend(self: &Arc<Self>, definition: &Definition, error: &ApplyError) -> Trouble {
        let provider = &definition.config.name;
        tracing::error!(provider, "the provider cannot be made, and is tried again: {error}");
        self.try_again(definition.clone(), PROVIDER_RETRY.0, u64::from(is_death(error)));
        not_there(error)
    }

    /// Makes a provider that is not there, as soon as that can be. It has died so often already while it was made.
    pub(crate) fn try_again(self: &Arc<Self>, definition: Definition, wait: Duration, deaths: u64) {
        let mender = Mender { house: Arc::downgrade(self), definition };
        let mut closing = self.shared.closing();
        // It ends when the provider is there, or the host ends or is gone.
        tokio::spawn(async move {
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => {}
                () = mender.run(wait, deaths) => {}
            }
        });
    }
}

/// Tries again to make a provider.
struct Mender {
    house: Weak<House>,
    definition: Definition,
}

/// Whether the library ended the process in which the provider was to be made.
fn is_death(error: &ApplyError) -> bool {
    matches!(error, ApplyError::Create { why, .. } if matches!(**why, CreateError::Died { .. }))
}

impl Mender {
    async fn run(self, mut wait: Duration, mut deaths: u64) {
        loop {
            sleep(wait).await;
            wait = (wait * 2).clamp(PROVIDER_RETRY.0, PROVIDER_RETRY.1);
            let Some(house) = self.house.upgrade() else { return };
            if !self.is_wanted(&house) {
                return;
            }
            // It may take long, and holds nobody up: who puts another one in its place meanwhile is first.
            let outcome = house.workshop.bring_up(&self.definition, &house.shared.quarantines).await;
            let turn = house.turns.of(&self.definition.config.name).await;
            if !self.is_wanted(&house) {
                return;
            }
            let Failed { library, error } = match outcome {
                Ok(risen) => return self.install(&house, risen).await,
                Err(failed) => failed,
            };
            if matches!(error, ApplyError::Quarantined { .. }) {
                // Whoever releases the library has the provider tried again.
                return self.note(&house, Trouble::new(error.to_string()), true);
            }
            if let Some(library) = library.filter(|_| is_death(&error)) {
                deaths += 1;
                if deaths >= DEATHS_LIMIT as u64 {
                    drop(turn);
                    let why = format!("{deaths} times in a row, {error}");
                    return house.shared.give_up(&self.definition.config.name, &library, &why, deaths).await;
                }
            } else {
                deaths = 0;
            }
            let provider = &self.definition.config.name;
            tracing::debug!(provider, "the provider is still not there: {error}");
            self.note(&house, not_there(&error), false);
        }
    }

    fn is_wanted(&self, house: &House) -> bool {
        let config = &self.definition.config;
        let registry = house.shared.registry();
        let current = registry.providers.get(&config.name);
        let is_missing = |current: &Installed| current.made.is_err() && current.config == *config;
        !registry.closed && current.is_some_and(is_missing)
    }

    async fn install(&self, house: &Arc<House>, risen: Risen) {
        let Risen { provider, swapped, left } = risen;
        let name = &self.definition.config.name;
        let is_tried = |it: &Generations| it.canary.is_some();
        if house.shared.registry().generations.get(name).is_some_and(is_tried) {
            tracing::info!(provider = name, "the provider is there again, beside the version that is tried");
            return house.shared.change_over(name, &provider, |_, _| {}).await;
        }
        let definition = Definition { swapped, ..self.definition.clone() };
        let rolled_back = left.map(|left| RolledBack::of(left, house.clock.now()));
        tracing::info!(provider = name, "the provider is there again");
        house.shared.install(definition, &provider, rolled_back).await;
        house.go_on_with_trial(name).await;
    }

    /// Says why the provider is not there; where that is a quarantine, unless it was lifted while this waited.
    fn note(&self, house: &House, trouble: Trouble, is_held: bool) {
        let name = &self.definition.config.name;
        let mut registry = house.shared.registry();
        if is_held && house.shared.quarantines.holding(name).is_none() {
            return;
        }
        if let Some(current) = registry.providers.get_mut(name) {
            current.made = Err(trouble);
        }
    }
}

fn not_there(error: &ApplyError) -> Trouble {
    Trouble::new(format!("{error} (it is tried again, and `longshore apply` can bring another)"))
}

/// Claims all clusters, many at a time so that they share the journal's commits, and keeps their order.
async fn claim_all(journal: &Arc<dyn Journal>) -> Result<Vec<Found>, OpenError> {
    let mut names = journal.clusters().await?.into_iter().enumerate();
    let mut claiming = JoinSet::new();
    let mut found = BTreeMap::new();
    let mut first_error: Option<(usize, OpenError)> = None;
    loop {
        // What follows an error is left alone; what came before it may have one that is told instead.
        while first_error.is_none() && claiming.len() < CLAIMS_AT_ONCE {
            let Some((place, name)) = names.next() else { break };
            let journal = Arc::clone(journal);
            claiming.spawn(async move { (place, claim(&*journal, name).await) });
        }
        // A panic in there is one of the host's own making.
        let Some(joined) = claiming.join_next().await else { break };
        match joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            (place, Ok(cluster)) => _ = found.insert(place, cluster),
            (place, Err(error)) if first_error.as_ref().is_none_or(|(first, _)| place < *first) => {
                first_error = Some((place, error));
            }
            (_, Err(_)) => {}
        }
    }
    first_error.map_or_else(|| Ok(found.into_values().collect()), |(_, error)| Err(error))
}

async fn claim(journal: &dyn Journal, name: String) -> Result<Found, OpenError> {
    let claimed = journal.claim(&name).await?;
    // A large cluster takes its time, which is not the runtime's.
    let understanding = spawn_blocking(move || understand(name, claimed));
    understanding.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn understand(name: String, claimed: Claimed) -> Result<Found, OpenError> {
    let Claimed { lease, kept } = claimed;
    let Some(definition) = kept.definition else { return Err(OpenError::NoDefinition { cluster: name }) };
    let config = understood::<ClusterConfig>("cluster", &name, definition)?;
    let config = named("cluster", name.clone(), config, |config| &config.name)?;
    let snapshot = kept.snapshot.map(State::restore).transpose();
    let mut state = snapshot.map_err(|why| OpenError::Snapshot { cluster: name, why })?.unwrap_or_default();
    for record in &kept.tail {
        state.apply(record);
    }
    Ok(Found { config, state, lease })
}

fn understood<T: DeserializeOwned>(
    what: &'static str,
    name: &str,
    definition: serde_json::Value,
) -> Result<T, OpenError> {
    serde_json::from_value(definition).map_err(|error| not_understood(what, name, &error))
}

fn not_understood(what: &'static str, name: &str, error: &serde_json::Error) -> OpenError {
    OpenError::Definition { what, name: name.to_owned(), reason: error.to_string() }
}

/// A definition that has the journal's name for it.
fn named<T>(
    what: &'static str,
    name: String,
    definition: T,
    defined: impl Fn(&T) -> &String,
) -> Result<T, OpenError> {
    if *defined(&definition) == name {
        return Ok(definition);
    }
    Err(OpenError::OtherName { what, name, defined: defined(&definition).clone() })
}
