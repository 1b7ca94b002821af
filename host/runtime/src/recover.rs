//! How a host begins: with the clusters that its journal has, each taken up where the host before it was cut off. A provider
//! that cannot be made is tried again and again; its clusters are there meanwhile, and nothing of them is forgotten.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use longshore_config::{ClusterConfig, ProviderConfig};
use longshore_providers::{Provider, SearchPath};
use longshore_scaling::{Cycle, State, Trouble};
use longshore_store::{Claimed, Journal, Lease};
use serde::de::DeserializeOwned;
use tokio::{sync::Mutex as AsyncMutex, task::JoinSet, time::sleep};

use crate::{
    apply::bring_up,
    clock::Clock,
    error::{ApplyError, OpenError},
    host::Host,
    registry::{Installed, Made, Shared},
};

/// How long to wait before a provider that could not be made is tried again: at first, and at most. It doubles in between.
const PROVIDER_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

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
    pub async fn open(search: SearchPath, journal: Arc<dyn Journal>) -> Result<Self, OpenError> {
        let host = Self::prepare_to_begin(search, journal).await?;
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
    pub async fn prepare_to_begin(search: SearchPath, journal: Arc<dyn Journal>) -> Result<Self, OpenError> {
        let mut providers = Vec::new();
        for (name, definition) in journal.providers().await? {
            providers.push(understood::<ProviderConfig>("provider", &name, definition)?);
        }
        let mut found = Vec::new();
        for name in journal.clusters().await? {
            found.push(understand(name.clone(), journal.claim(&name).await?)?);
        }
        let latest = found.iter().map(|cluster| cluster.state.latest()).max().unwrap_or_default();

        let shared = Arc::new(Shared::new());
        let clock = Clock::start(latest);
        let host = Self { search, shared, journal, clock, applying: Arc::default() };
        host.make_all(providers).await;
        for Found { config, state, lease } in found {
            let made = host.made(&config.provider);
            let cycle = Cycle::recover(state, host.clock.now(), lease.term);
            host.start(config, cycle, lease, made);
        }
        Ok(host)
    }

    /// Looks after the clusters from now on.
    pub fn begin(&self) {
        self.shared.begin();
    }

    /// Makes all providers at once, so that one that takes its time does not hold up the others.
    async fn make_all(&self, providers: Vec<ProviderConfig>) {
        let mut making = JoinSet::new();
        for config in providers {
            let search = self.search.clone();
            making.spawn(async move { (bring_up(&search, &config).await, config) });
        }
        while let Some(joined) = making.join_next().await {
            // A panic in there is one of the host's own making.
            let (outcome, config) =
                joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let made = outcome.map_err(|error| self.mend(&config, &error));
            self.shared.registry().providers.insert(config.name.clone(), Installed { config, made });
        }
    }

    fn made(&self, provider: &str) -> Made {
        let registry = self.shared.registry();
        let found = registry.providers.get(provider).map(|installed| installed.made.clone());
        found.unwrap_or_else(|| {
            Err(Trouble::new(format!(
                "provider `{provider}` is not in the journal: apply its configuration again"
            )))
        })
    }

    /// Sees to it that a provider is tried again; says why it is not there.
    fn mend(&self, config: &ProviderConfig, error: &ApplyError) -> Trouble {
        tracing::error!(provider = config.name, "the provider cannot be made, and is tried again: {error}");
        let mender = Mender {
            search: self.search.clone(),
            shared: Arc::downgrade(&self.shared),
            applying: Arc::clone(&self.applying),
            config: config.clone(),
        };
        // It ends when the provider is there, or the host is gone.
        tokio::spawn(mender.run());
        not_there(error)
    }
}

/// Tries again to make a provider.
struct Mender {
    search: SearchPath,
    shared: Weak<Shared>,
    applying: Arc<AsyncMutex<()>>,
    config: ProviderConfig,
}

impl Mender {
    async fn run(self) {
        let mut wait = PROVIDER_RETRY.0;
        loop {
            sleep(wait).await;
            wait = (wait * 2).min(PROVIDER_RETRY.1);
            // No configuration puts another one in its place meanwhile.
            let _one_at_a_time = self.applying.lock().await;
            if !self.is_wanted() {
                return;
            }
            match bring_up(&self.search, &self.config).await {
                Ok(provider) => return self.install(&provider).await,
                Err(error) => self.note(&error),
            }
        }
    }

    fn is_wanted(&self) -> bool {
        self.shared.upgrade().is_some_and(|shared| {
            let registry = shared.registry();
            let current = registry.providers.get(&self.config.name);
            !registry.closed && current.is_some_and(|current| current.made.is_err())
        })
    }

    async fn install(&self, provider: &Arc<Provider>) {
        let Some(shared) = self.shared.upgrade() else { return };
        tracing::info!(provider = self.config.name, "the provider is there again");
        shared.install(self.config.clone(), provider).await;
    }

    fn note(&self, error: &ApplyError) {
        tracing::debug!(provider = self.config.name, "the provider is still not there: {error}");
        let Some(shared) = self.shared.upgrade() else { return };
        if let Some(current) = shared.registry().providers.get_mut(&self.config.name) {
            current.made = Err(not_there(error));
        }
    }
}

fn not_there(error: &ApplyError) -> Trouble {
    Trouble::new(format!("{error} (it is tried again, and `longshore apply` can bring another)"))
}

fn understand(name: String, claimed: Claimed) -> Result<Found, OpenError> {
    let Claimed { lease, kept } = claimed;
    let definition = kept.definition.unwrap_or_default();
    let config = understood::<ClusterConfig>("cluster", &name, definition)?;
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
    serde_json::from_value(definition).map_err(|error| OpenError::Definition {
        what,
        name: name.to_owned(),
        reason: error.to_string(),
    })
}
