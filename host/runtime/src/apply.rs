//! From a configuration to providers and clusters: all is checked, loaded and made first, and only then does anything
//! change. What a configuration does not name is left as it is.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use longshore_config::{ClusterConfig, Config, ProviderConfig, ServerConfig};
use longshore_providers::{CallScope, CreateError, Library, Provider, named_plugin};
use longshore_scaling::{
    Action, Command, Cycle, Desired, Observation, Plan, Side, State, admit, observe, plan,
};
use longshore_store::{Entry, JournalError, Kept, Lease};
use serde::{Deserialize, Serialize};

use crate::{
    calls::{listed, traits},
    definition::Definition,
    error::{ApplyError, CommandError, nearest},
    generations::RolledBack,
    host::Host,
    house::House,
    message::Previewed,
    passwords::{Secured, check_that_made_counts},
    reconciler::definition,
    registry::{Cluster, Installed, Made},
    view::{Explanation, Libraries, explanations},
    workshop::{Failed, Risen, failed},
};

/// What a configuration did, or would do, to one provider or cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It was not there.
    Created,
    /// It was there, and is another now.
    Updated,
    /// It was there, just so.
    Unchanged,
}

/// What a configuration did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// To its providers, in its order.
    pub providers: Vec<(String, Effect)>,
    /// To its clusters, in its order.
    pub clusters: Vec<(String, Effect)>,
}

/// What a configuration would do to one cluster, first of all; nothing has been done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// The cluster.
    pub cluster: String,
    /// Whether it is new.
    pub effect: Effect,
    /// How many workers it shall have now.
    pub target_before: u32,
    /// How many it would be.
    pub target: u32,
    /// How many workers are there already.
    pub live: u64,
    /// Workers that would be launched at once.
    pub launch: u64,
    /// Containers that would be killed at once.
    pub kill: usize,
    /// What would be waited for, and why.
    pub reasons: Vec<Explanation>,
}

impl Host {
    /// Makes providers and clusters as a configuration says. Those that are there already are brought to what it says;
    /// those that it does not name are left alone.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]. Nothing has changed, unless the error came up while the clusters were brought about one after the
    /// other: the journal failed, or somebody deleted one meanwhile. Applying again completes it.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped while all is still being checked, loaded and made has changed nothing. Once the first
    /// change has begun, all of it is carried out, whether anybody waits for it or not.
    pub async fn apply(&self, config: Config) -> Result<Applied, ApplyError> {
        let turn = self.house.turn_for(&config).await?;
        let secured = self.house.with_passwords(config).await?;
        let house = Arc::clone(&self.house);
        let providers = self.house.unless_closed(house.look_at(&secured)).await?;
        let house = Arc::clone(&self.house);
        finish(async move {
            let _turn = turn;
            let applied = house.bring_all_about(secured.config, providers).await;
            house.watch_folders();
            applied
        })
        .await
    }

    /// Says what [`apply`](Self::apply) would do, and does nothing of it. Providers that would be new are made, asked which
    /// workers run already, and shut down again.
    ///
    /// # Errors
    ///
    /// As `apply`.
    pub async fn plan(&self, config: Config) -> Result<Vec<Preview>, ApplyError> {
        let _turn = self.house.turn_for(&config).await?;
        let secured = self.house.with_passwords(config).await?;
        self.house.unless_closed(self.house.plan(&secured)).await
    }
}

impl House {
    async fn plan(&self, secured: &Secured) -> Result<Vec<Preview>, ApplyError> {
        let Secured { config, made } = secured;
        let providers = self.prepare(config).await?;
        let mut previews = Vec::new();
        for cluster in &config.clusters {
            let provider = provider_of(cluster, &providers);
            let previewed = self.look_ahead(cluster, &provider).await?;
            let provider = there(cluster, &provider)?;
            check_that_made_counts(cluster, made, &provider).await?;
            previews.push(match previewed {
                Some(previewed) => preview_update(cluster, &provider, previewed),
                None => preview_new(cluster, &provider).await?,
            });
        }
        Ok(previews)
    }

    /// All that can be found out before anything changes.
    async fn look_at(&self, secured: &Secured) -> Result<BTreeMap<String, Prepared>, ApplyError> {
        let Secured { config, made } = secured;
        let providers = self.prepare(config).await?;
        for cluster in &config.clusters {
            let provider = provider_of(cluster, &providers);
            self.look_ahead(cluster, &provider).await?;
            check_that_made_counts(cluster, made, &*there(cluster, &provider)?).await?;
        }
        Ok(providers)
    }

    async fn bring_all_about(
        self: &Arc<Self>,
        config: Config,
        providers: BTreeMap<String, Prepared>,
    ) -> Result<Applied, ApplyError> {
        let mut applied = Applied::default();
        for wanted in &config.providers {
            let effect = match &providers[&wanted.name] {
                Prepared::Current(_) => {
                    self.note_config(wanted).await?;
                    Effect::Unchanged
                }
                Prepared::New { definition, provider, effect, rolled_back } => {
                    self.install(definition, provider, rolled_back.clone()).await?;
                    *effect
                }
            };
            applied.providers.push((wanted.name.clone(), effect));
        }
        for cluster in config.clusters {
            let provider = there(&cluster, &provider_of(&cluster, &providers))?;
            let (name, effect) = (cluster.name.clone(), self.bring_about(cluster, provider).await?);
            applied.clusters.push((name, effect));
        }
        Ok(applied)
    }

    /// Finds, loads and makes what providers the configuration needs, without letting anybody use them.
    pub(crate) async fn prepare(&self, config: &Config) -> Result<BTreeMap<String, Prepared>, ApplyError> {
        if self.shared.registry().closed {
            return Err(CommandError::ShuttingDown.into());
        }
        config.check()?;
        let mut providers = BTreeMap::new();
        for wanted in &config.providers {
            if let Some(prepared) = self.kept_as_swapped(wanted).await? {
                providers.insert(wanted.name.clone(), prepared);
                continue;
            }
            let current = self.shared.registry().providers.get(&wanted.name).cloned();
            let made = current.as_ref().map(|current| &current.made);
            let library = self.workshop.open_library(wanted, made, &self.shared.quarantines).await?;
            let prepared = match current {
                Some(Installed { made: Ok(provider), config })
                    if is_same(&config, &provider, wanted, &library) =>
                {
                    Prepared::Current(Ok(provider))
                }
                current => {
                    if let Some(current) = &current {
                        // That it is wrong is worth more to know than that it differs.
                        let wrong = |why| failed(wanted, CreateError::Config(why));
                        library.validate_config(&wanted.config).map_err(wrong)?;
                        self.check_unused(current, wanted, &library)?;
                    }
                    self.shared.quarantines.admit(&wanted.name, library.hash())?;
                    let effect = if current.is_some() { Effect::Updated } else { Effect::Created };
                    let provider = self.workshop.make(wanted, &library).await?;
                    let definition = Box::new(wanted.clone().into());
                    Prepared::New { definition, provider, effect, rolled_back: None }
                }
            };
            providers.insert(wanted.name.clone(), prepared);
        }
        let registry = self.shared.registry();
        for cluster in &config.clusters {
            if providers.contains_key(&cluster.provider) {
                continue;
            }
            // One that the configuration does not name may be in the host from before.
            let Some(current) = registry.providers.get(&cluster.provider) else {
                let nearest = nearest(&cluster.provider, registry.providers.keys().map(String::as_str));
                let (cluster, provider) = (cluster.name.clone(), cluster.provider.clone());
                return Err(ApplyError::NoSuchProvider { cluster, provider, nearest });
            };
            let current = Prepared::Current(current.made.clone());
            providers.insert(cluster.provider.clone(), current);
        }
        Ok(providers)
    }

    /// A provider that was swapped keeps what it was swapped to, for as long as its configuration says the same.
    async fn kept_as_swapped(&self, wanted: &ProviderConfig) -> Result<Option<Prepared>, ApplyError> {
        let (made, swapped) = {
            let registry = self.shared.registry();
            // What is watched for newer ones is no part of what serves.
            let same = |current: &ProviderConfig| {
                ProviderConfig { watch: wanted.watch.clone(), ..current.clone() } == *wanted
            };
            let current = registry.providers.get(&wanted.name).filter(|current| same(&current.config));
            let swapped = registry.generations.get(&wanted.name).and_then(|it| it.swapped.clone());
            let Some((current, swapped)) = current.zip(swapped) else { return Ok(None) };
            (current.made.clone(), swapped)
        };
        if made.is_ok() {
            return Ok(Some(Prepared::Current(made)));
        }
        let mut definition = Box::new(Definition { config: wanted.clone(), swapped: Some(swapped) });
        let risen = match self.workshop.bring_up(&definition, &self.shared.quarantines).await {
            // What it was swapped to is not run any more: what the configuration names takes its place, where that may run.
            Err(Failed { error: ApplyError::Quarantined { .. }, .. }) => return Ok(None),
            risen => risen.map_err(|failed| failed.error)?,
        };
        let Risen { provider, swapped, left } = risen;
        definition.swapped = swapped;
        let rolled_back = left.map(|left| RolledBack::of(left, self.clock.now()));
        Ok(Some(Prepared::New { definition, provider, effect: Effect::Updated, rolled_back }))
    }

    /// Lets everybody use a provider that was made. It is in the journal before anything relies on it. One that was not there, and
    /// was on trial when the host before ended, goes on with that.
    pub(crate) async fn install(
        self: &Arc<Self>,
        definition: &Definition,
        provider: &Arc<Provider>,
        rolled_back: Option<RolledBack>,
    ) -> Result<(), ApplyError> {
        self.define(definition).await?;
        self.shared.install(definition.clone(), provider, rolled_back).await;
        self.go_on_with_trial(&definition.config.name).await;
        Ok(())
    }

    /// Keeps what the configuration of a provider, which stays as it is, says now: it may call the same plugin otherwise.
    async fn note_config(&self, wanted: &ProviderConfig) -> Result<(), ApplyError> {
        let swapped = {
            let registry = self.shared.registry();
            let current = registry.providers.get(&wanted.name);
            if current.is_none_or(|current| current.config == *wanted) {
                return Ok(());
            }
            registry.generations.get(&wanted.name).and_then(|it| it.swapped.clone())
        };
        self.define(&Definition { config: wanted.clone(), swapped }).await?;
        if let Some(current) = self.shared.registry().providers.get_mut(&wanted.name) {
            current.config = wanted.clone();
        }
        Ok(())
    }

    /// Makes a provider's definition durable.
    pub(crate) async fn define(&self, definition: &Definition) -> Result<(), CommandError> {
        let written = definition.written()?;
        Ok(self.journal.define_provider(&definition.config.name, Some(written)).await?)
    }

    /// A provider that may have workers is not replaced by one that does not know them.
    fn check_unused(
        &self,
        current: &Installed,
        wanted: &ProviderConfig,
        library: &Arc<Library>,
    ) -> Result<(), ApplyError> {
        let (what, begun) = match &current.made {
            Ok(made) if made.library().hash() != library.hash() => ("plugin", *self.shared.begun().borrow()),
            Ok(_) => ("configuration", *self.shared.begun().borrow()),
            // One that is lost is brought back with its plugin from elsewhere, or a mended one: what it was made from
            // says which workers it knows.
            Err(_) if current.config.config != wanted.config => ("configuration", false),
            Err(_) if !is_same_plugin(&current.config.plugin, &wanted.plugin, library) => ("plugin", false),
            Err(_) => return Ok(()),
        };
        let registry = self.shared.registry();
        let uses = |cluster: &Cluster| cluster.uses(&wanted.name) && (begun || cluster.may_have_workers());
        let Some((cluster, _)) = registry.clusters.iter().find(|(_, cluster)| uses(cluster)) else {
            return Ok(());
        };
        let (provider, cluster) = (wanted.name.clone(), cluster.clone());
        Err(ApplyError::ProviderInUse { provider, what, cluster })
    }

    pub(crate) fn is_known(&self, cluster: &str) -> bool {
        self.shared.registry().clusters.contains_key(cluster)
    }

    /// The file of the library of a cluster's provider, where the provider is there.
    pub(crate) fn library_of(&self, cluster: &str) -> Option<PathBuf> {
        let registry = self.shared.registry();
        let installed = registry.providers.get(&registry.clusters.get(cluster)?.provider())?;
        installed.made.as_ref().ok().map(|provider| provider.library().path().to_owned())
    }

    /// Whether the command that a cluster comes down to would be admitted, and what it would lead to where the cluster is
    /// there already.
    pub(crate) async fn look_ahead(
        &self,
        cluster: &ClusterConfig,
        provider: &Made,
    ) -> Result<Option<Previewed>, ApplyError> {
        let provider = there(cluster, provider)?;
        if self.is_known(&cluster.name) {
            return Ok(Some(self.preview(cluster, update(cluster, &provider)).await?));
        }
        let denied = |denied| CommandError::Denied { cluster: cluster.name.clone(), denied };
        admit(&State::default(), self.clock.now(), &create(cluster, &provider)?).map_err(denied)?;
        Ok(None)
    }

    async fn bring_about(
        &self,
        cluster: ClusterConfig,
        provider: Arc<Provider>,
    ) -> Result<Effect, ApplyError> {
        if self.is_known(&cluster.name) {
            let command = update(&cluster, &provider);
            let obeyed = self.update(cluster, command).await?;
            return Ok(if obeyed.changed { Effect::Updated } else { Effect::Unchanged });
        }
        self.make(cluster, provider, None).await?;
        Ok(Effect::Created)
    }

    /// Makes a cluster; where so many workers run already, as one that is taken over.
    pub(crate) async fn make(
        &self,
        cluster: ClusterConfig,
        provider: Arc<Provider>,
        running: Option<u32>,
    ) -> Result<(), ApplyError> {
        let name = cluster.name.clone();
        let denied = |denied| CommandError::Denied { cluster: name.clone(), denied };
        let now = self.clock.now();
        let expected = running.unwrap_or(cluster.workers);
        let create = create(&ClusterConfig { workers: expected, ..cluster.clone() }, &provider)?;
        let mut records = admit(&State::default(), now, &create).map_err(denied)?;
        if running.is_some() {
            records.extend(admit(&State::replay(&records), now, &Command::Reconnect).map_err(denied)?);
        }
        let mut state = State::replay(&records);
        // What it begins with, the history says as well.
        let serve = self.shared.at_hand(&cluster.provider, &name).introduction(state.side());
        let served = serve.map(|serve| admit(&state, now, &serve)).transpose().map_err(denied)?;
        for record in served.unwrap_or_default() {
            state.apply(&record);
            records.push(record);
        }
        let mut entries = vec![definition(&cluster).map_err(CommandError::from)?];
        entries.extend(records.into_iter().map(Entry::Happened));
        let lease = self.claim_anew(&name).await.map_err(CommandError::from)?;
        self.journal.append(&lease, entries).await.map_err(CommandError::from)?;
        Ok(self.start(cluster, Cycle::new(state), lease)?)
    }

    /// Claims a cluster that the host does not have. What the journal still has under its name is of one that is gone, or
    /// that was never started, and must not be mixed with the new one's.
    async fn claim_anew(&self, cluster: &str) -> Result<Lease, JournalError> {
        let claimed = self.journal.claim(cluster).await?;
        if claimed.kept == Kept::default() {
            return Ok(claimed.lease);
        }
        tracing::info!(
            cluster,
            "the journal has entries of an earlier cluster of that name: they are removed"
        );
        self.journal.remove(&claimed.lease).await?;
        Ok(self.journal.claim(cluster).await?.lease)
    }
}

/// A provider that is ready to be used.
pub(crate) enum Prepared {
    /// In the host just so, or not named by the configuration at all.
    Current(Made),
    /// Made for the configuration.
    New {
        definition: Box<Definition>,
        provider: Arc<Provider>,
        effect: Effect,
        /// What it was to be made of, where that was given up.
        rolled_back: Option<RolledBack>,
    },
}

pub(crate) fn provider_of(cluster: &ClusterConfig, providers: &BTreeMap<String, Prepared>) -> Made {
    match &providers[&cluster.provider] {
        Prepared::Current(made) => made.clone(),
        Prepared::New { provider, .. } => Ok(Arc::clone(provider)),
    }
}

/// A cluster's provider, where it is there.
pub(crate) fn there(cluster: &ClusterConfig, made: &Made) -> Result<Arc<Provider>, ApplyError> {
    made.clone().map_err(|trouble| ApplyError::ProviderNotThere {
        cluster: cluster.name.clone(),
        provider: cluster.provider.clone(),
        trouble,
    })
}

fn is_same(
    current: &ProviderConfig,
    provider: &Provider,
    wanted: &ProviderConfig,
    library: &Library,
) -> bool {
    let same_limits = current.threads == wanted.threads
        && current.create_timeout == wanted.create_timeout
        && current.hang_grace == wanted.hang_grace;
    let same_place = current.isolation == wanted.isolation && current.confine == wanted.confine;
    same_limits
        && same_place
        && current.config == wanted.config
        && provider.library().hash() == library.hash()
}

/// Whether the plugin that a provider was made from, which is not there, can be the one at hand: two files may hold it, and
/// an author may mend it, but it has its name.
pub(crate) fn is_same_plugin(before: &str, wanted: &str, library: &Library) -> bool {
    let name = named_plugin(before);
    before == wanted || name == named_plugin(wanted) || name.as_ref() == Some(&library.metadata().name)
}

/// Carries on to the end, whether anybody waits for it or not.
pub(crate) async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApplyError>> + Send + 'static,
) -> Result<T, ApplyError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and the host with it.
            Err(_) => Err(CommandError::ShuttingDown.into()),
        },
    }
}

fn create(cluster: &ClusterConfig, provider: &Provider) -> Result<Command, ApplyError> {
    Ok(Command::Create {
        uid: unique()?,
        policy: cluster.policy.clone(),
        traits: traits(provider),
        expected: cluster.workers,
        desired: if cluster.stopped { Desired::Stopped } else { Desired::Running },
        server: cluster.server.as_ref().map(ServerConfig::policy),
        per_container: cluster.container.max_workers(),
    })
}

fn update(cluster: &ClusterConfig, provider: &Provider) -> Command {
    Command::Update {
        policy: cluster.policy.clone(),
        traits: traits(provider),
        expected: cluster.workers,
        server: cluster.server.as_ref().map(ServerConfig::policy),
        per_container: cluster.container.max_workers(),
        // Whoever has the definition of before says these.
        other_server: false,
        route: None,
    }
}

/// A number that no other cluster has: 64 random bits.
fn unique() -> Result<u64, ApplyError> {
    getrandom::u64().map_err(|error| ApplyError::NoRandomness { reason: error.to_string() })
}

fn preview_update(cluster: &ClusterConfig, provider: &Provider, previewed: Previewed) -> Preview {
    let Previewed { changes, before, after, live, actions, report } = previewed;
    let effect = if changes { Effect::Updated } else { Effect::Unchanged };
    let reasons = explanations(report, Libraries::one(provider.library().path()));
    preview(cluster, effect, before, after, live, &actions, reasons)
}

async fn preview_new(cluster: &ClusterConfig, provider: &Arc<Provider>) -> Result<Preview, ApplyError> {
    let now = longshore_scaling::Time::from_millis(1);
    let denied = |denied| CommandError::Denied { cluster: cluster.name.clone(), denied };
    let mut state =
        State::replay(&admit(&State::default(), now, &create(cluster, provider)?).map_err(denied)?);
    // What runs already decides what would be launched, and asking changes nothing. That the provider will be able to
    // prepare itself is taken for granted.
    let scope = CallScope {
        cluster: cluster.name.as_str().into(),
        budget: cluster.deadlines.list,
        verbose: cluster.verbose,
    };
    let list = provider.has_list().then_some(Action::List { side: Side::default() });
    let initialize = provider.has_initialize().then_some(Action::Initialize { side: Side::default() });
    for action in list.into_iter().chain(initialize) {
        let observation = match action {
            Action::List { .. } => listed(provider.list(&scope).reply().await),
            _ => Observation::Initialized(Ok(())),
        };
        let asked = Plan { actions: vec![action], ..Plan::default() };
        for record in &asked.records(now) {
            state.apply(record);
        }
        for record in &observe(&state, now, state.side(), &observation) {
            state.apply(record);
        }
    }
    let (next, report) = plan(&state, now);
    let live = state.tally().live();
    let reasons = explanations(report, Libraries::one(provider.library().path()));
    Ok(preview(cluster, Effect::Created, 0, state.target(), live, &next.actions, reasons))
}

fn preview(
    cluster: &ClusterConfig,
    effect: Effect,
    target_before: u32,
    target: u32,
    live: u64,
    actions: &[Action],
    reasons: Vec<Explanation>,
) -> Preview {
    let launch = actions.iter().map(|action| match action {
        Action::Launch { workers, again: false, .. } => u64::from(*workers),
        _ => 0,
    });
    let kill = actions.iter().map(|action| match action {
        Action::Kill { handles, .. } => handles.len(),
        _ => 0,
    });
    Preview {
        cluster: cluster.name.clone(),
        effect,
        target_before,
        target,
        live,
        launch: launch.sum(),
        kill: kill.sum(),
        reasons,
    }
}
