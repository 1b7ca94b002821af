//! Changes a provider over to another version of its plugin while its workers run, and back.
//!
//! A swap finds, loads and makes the new one, lets it be compared with the one that serves (`compare.rs`), writes to the
//! journal what shall serve, and only then lets the clusters know: each changes over between two calls. Calls under way
//! end on the generation that they began with. What follows, the watch and the end of the old one, is in `trial.rs`.

mod arrivals;
mod error;
mod trial;

use std::{sync::Arc, time::Duration};

use longshore_providers::{Library, Provider, check_command};
use semver::Version;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub(crate) use self::arrivals::Watched;
pub use self::error::SwapError;
use crate::{
    apply::finish,
    compare::{Compared, Difference},
    definition::{Definition, Origin, Swapped, Trial},
    error::{ApplyError, nearest},
    generations::{GENERATIONS_LIMIT, Generations},
    host::Host,
    house::House,
    registry::{Installed, Registry},
    watch::Conduct,
};

/// For how long a new version is watched unless it is said.
const WATCH: Duration = Duration::from_mins(1);
/// The longest that one is watched.
const WATCH_LIMIT: Duration = Duration::from_hours(24);

/// What a provider shall be swapped to, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwapRequest {
    /// The provider.
    pub provider: String,
    /// A version, a plugin's name and version (`memory@1.2.0`), or the absolute path of a file; without it, what the provider's
    /// configuration names by now.
    pub to: Option<String>,
    /// The SHA-256 that the library must have, in place of the one that the configuration asks for.
    pub sha256: Option<String>,
    /// For how long it is watched: one minute unless it is said, a day at most, and zero for not at all.
    pub watch: Option<Duration>,
    /// One cluster that tries it first, for as long as it is watched; then all do, and are watched as long.
    pub canary: Option<Canary>,
    /// Whether only a version is wanted that comes after the one that serves.
    pub only_newer: bool,
}

/// A cluster that tries a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canary {
    /// Of those that have workers, the one with the fewest containers.
    Smallest,
    /// This one.
    Cluster(String),
}

/// A version of a provider's plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderVersion {
    /// The version.
    pub version: String,
    /// The SHA-256 of its library, in hexadecimal.
    pub hash: String,
    /// The library's file.
    pub path: String,
}

/// What became of a swap, or of a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapOutcome {
    /// The provider.
    pub provider: String,
    /// Whether anything is other than before: that version may have been serving already.
    pub changed: bool,
    /// The number of the generation that serves now, or that the canary tries.
    pub generation: u64,
    /// What served before; null where the provider was not there.
    pub from: Option<ProviderVersion>,
    /// What serves now, or what the canary tries.
    pub to: ProviderVersion,
    /// What the two were compared over; null where nothing was to be compared.
    pub compared: Option<Compared>,
    /// The cluster that tries it; null where all do.
    pub canary: Option<String>,
    /// For how long it is watched, in milliseconds.
    pub watch_ms: u64,
}

/// A new generation that was found fit to serve.
struct Ready {
    current: Installed,
    new: Arc<Provider>,
    compared: Compared,
    watch: Duration,
    canary: Option<String>,
}

impl Host {
    /// Changes a provider over to another version of its plugin. Its clusters, their workers, and the launches and kills that
    /// are under way go on; what follows is told by [`Host::providers`].
    ///
    /// # Errors
    ///
    /// The version is not found, cannot be loaded or made, or does not agree with the one that serves on what runs. Nothing
    /// has changed then.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped while the new version is found, made and compared has changed nothing. Once the change has
    /// begun it is carried out, whether anybody waits for it or not.
    pub async fn swap(&self, request: SwapRequest) -> Result<SwapOutcome, ApplyError> {
        swap_in(Arc::clone(&self.house), request).await
    }

    /// Goes back to the version that served before the last swap: at once where it is kept, and otherwise as soon as it is made
    /// anew. Nothing is compared, for the one that serves may be what is wrong.
    ///
    /// # Errors
    ///
    /// There is no such provider, or nothing to go back to, or that cannot be made. Nothing has changed then.
    pub async fn rollback(&self, provider: &str) -> Result<SwapOutcome, ApplyError> {
        let turn = self.house.turn_of(provider).await?;
        let (house, provider) = (Arc::clone(&self.house), provider.to_owned());
        finish(async move {
            let _turn = turn;
            let outcome = house.go_back(&provider, None).await?;
            // Nothing is watched any more; what a canary leaves as the one before still goes in time.
            house.look_after(&provider, Duration::ZERO, Default::default());
            Ok(outcome)
        })
        .await
    }
}

/// As [`Host::swap`].
async fn swap_in(house: Arc<House>, request: SwapRequest) -> Result<SwapOutcome, ApplyError> {
    let turn = house.turn_of(&request.provider).await?;
    let ready = house.unless_closed(house.get_ready(&request)).await?;
    finish(async move {
        let _turn = turn;
        match ready {
            Ok(ready) => house.change_over(ready).await,
            Err(as_it_is) => Ok(*as_it_is),
        }
    })
    .await
}

impl House {
    /// All that can be found out before anything changes; as an error, what is so already.
    async fn get_ready(&self, request: &SwapRequest) -> Result<Result<Ready, Box<SwapOutcome>>, ApplyError> {
        let name = request.provider.as_str();
        let (current, clusters, canary) = {
            let registry = self.shared.registry();
            let current = installed(&registry, name)?;
            check_room(&registry, name, &current)?;
            let clusters: Vec<_> = registry.served_names(name).collect();
            let canary = chosen(&registry, request, &clusters)?;
            (current, clusters, canary)
        };
        let library = self.find_library(&current, request).await?;
        if let Ok(serving) = &current.made
            && serving.library().hash() == library.hash()
        {
            return Ok(Err(Box::new(self.as_it_is(name, serving))));
        }
        if request.only_newer {
            check_newer(name, &current, &library)?;
        }
        self.shared.quarantines.admit(name, library.hash())?;
        let new = self.workshop.make(&current.config, &library).await?;
        let old = current.made.as_ref().ok();
        let compared = self.compare(clusters, old, &new).await.map_err(|difference| {
            let Difference { cluster, what, clause } = difference;
            SwapError::Differs {
                provider: name.to_owned(),
                version: library.metadata().version.clone(),
                cluster,
                what,
                check: clause.map(|clause| check_command(library.path(), clause)),
            }
        })?;
        // Where nothing served before, there is nothing to be measured by, or to go back to.
        let has_old = old.is_some();
        let watch = if has_old { request.watch.unwrap_or(WATCH).min(WATCH_LIMIT) } else { Duration::ZERO };
        let canary = canary.filter(|_| !watch.is_zero());
        Ok(Ok(Ready { current, new, compared, watch, canary }))
    }

    /// Lets the new generation serve.
    async fn change_over(self: &Arc<Self>, ready: Ready) -> Result<SwapOutcome, ApplyError> {
        let Ready { current, new, compared, watch, canary } = ready;
        let name = current.config.name.clone();
        let old = current.made.ok();
        let watch_ms = u64::try_from(watch.as_millis()).unwrap_or(u64::MAX);
        let given_up = {
            let registry = self.shared.registry();
            let swapped = registry.generations.get(&name).and_then(|it| it.swapped.as_ref());
            swapped.map(|it| it.given_up.clone()).unwrap_or_default().without(new.library().hash())
        };
        let swapped = Swapped {
            serving: Origin::of(new.library()),
            before: old.as_ref().map(|old| Origin::of(old.library())),
            trial: (!watch.is_zero()).then_some(Trial { watch_ms, is_put_off: false }),
            given_up,
        };
        // Whoever begins on this journal from here on finds both.
        let definition = Definition { config: current.config, swapped: Some(swapped) };
        self.define(&definition).await?;

        let conduct = (Conduct::of(&new), old.as_deref().map(Conduct::of).unwrap_or_default());
        let watched_until = (!watch.is_zero()).then(|| Instant::now() + watch);
        if let Some(cluster) = &canary {
            if let Some(generations) = self.shared.registry().generations.get_mut(&name) {
                generations.try_out(Arc::clone(&new), cluster.clone());
                generations.swapped = definition.swapped;
                generations.watched_until = watched_until;
            }
            self.shared.guard(&new);
            self.shared.tell(&name).await;
        } else {
            let change = |generations: &mut Generations, old| {
                generations.advance(old);
                generations.swapped = definition.swapped;
                generations.watched_until = watched_until;
            };
            self.shared.change_over(&name, &new, change).await;
        }
        self.look_after(&name, watch, conduct);
        let from = old.as_deref().map(ProviderVersion::of);
        let to = ProviderVersion::of(&new);
        let before = from.as_ref().map_or("none", |from| &from.version);
        let canary_name = canary.as_deref();
        tracing::info!(
            provider = name,
            before,
            version = to.version,
            canary = canary_name,
            "the provider is swapped"
        );
        let generation = self.shared.registry().generations.get(&name).map_or(0, Generations::latest);
        Ok(SwapOutcome {
            provider: name,
            changed: true,
            generation,
            from,
            to,
            compared: Some(compared),
            canary,
            watch_ms,
        })
    }

    fn as_it_is(&self, name: &str, serving: &Provider) -> SwapOutcome {
        let version = ProviderVersion::of(serving);
        SwapOutcome {
            provider: name.to_owned(),
            changed: false,
            generation: self.shared.registry().generations.get(name).map_or(0, Generations::latest),
            from: Some(version.clone()),
            to: version,
            compared: None,
            canary: None,
            watch_ms: 0,
        }
    }
}

impl From<&Origin> for ProviderVersion {
    fn from(origin: &Origin) -> Self {
        let Origin { path, hash, version } = origin.clone();
        Self { version, hash, path: path.display().to_string() }
    }
}

impl ProviderVersion {
    fn of(provider: &Provider) -> Self {
        let library = provider.library();
        Self {
            version: library.metadata().version.clone(),
            hash: library.hash().to_owned(),
            path: library.path().display().to_string(),
        }
    }
}

/// Whether a library is of a version after that which serves; after none comes any.
fn check_newer(name: &str, current: &Installed, library: &Library) -> Result<(), SwapError> {
    let Ok(serving) = &current.made else { return Ok(()) };
    let versions = [library.metadata(), serving.library().metadata()].map(|it| it.version.as_str());
    // Of what is no version in the usual form, nobody can tell.
    let [Ok(version), Ok(served)] = versions.map(Version::parse) else {
        return Err(SwapError::not_newer(name, versions));
    };
    if version > served { Ok(()) } else { Err(SwapError::not_newer(name, versions)) }
}

fn installed(registry: &Registry, name: &str) -> Result<Installed, SwapError> {
    registry.providers.get(name).cloned().ok_or_else(|| SwapError::NoSuchProvider {
        provider: name.to_owned(),
        nearest: nearest(name, registry.providers.keys().map(String::as_str)),
    })
}

/// Whether a provider may have one more generation.
fn check_room(registry: &Registry, name: &str, current: &Installed) -> Result<(), SwapError> {
    let Some(generations) = registry.generations.get(name) else { return Ok(()) };
    if generations.is_on_trial() {
        let version = generations.swapped.as_ref().map(|swapped| swapped.serving.version.clone());
        let version = version.unwrap_or_else(|| current.config.plugin.clone());
        return Err(SwapError::OnTrial { provider: name.to_owned(), version });
    }
    // The one that serves, and the one that would.
    if generations.alive() + 2 > GENERATIONS_LIMIT {
        return Err(SwapError::TooManyGenerations { provider: name.to_owned(), count: generations.alive() });
    }
    Ok(())
}

/// The cluster that tries the new version; none where there is only one, which is as good as all.
fn chosen(
    registry: &Registry,
    request: &SwapRequest,
    clusters: &[String],
) -> Result<Option<String>, SwapError> {
    let chosen = match &request.canary {
        None => None,
        Some(Canary::Cluster(cluster)) if !clusters.contains(cluster) => {
            return Err(SwapError::NoCanary {
                provider: request.provider.clone(),
                cluster: cluster.clone(),
                clusters: clusters.to_vec(),
            });
        }
        Some(Canary::Cluster(cluster)) => Some(cluster.clone()),
        Some(Canary::Smallest) => {
            let size = |name: &&String| {
                let status = registry.clusters[*name].status.borrow();
                // One that has none proves nothing, and of one that moves some are elsewhere.
                (status.handles == 0, status.leaving.is_some(), status.handles)
            };
            clusters.iter().min_by_key(size).cloned()
        }
    };
    Ok(chosen.filter(|_| clusters.len() > 1))
}
