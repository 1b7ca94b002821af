//! From a configuration to providers and clusters: all is checked, loaded and made first, and only then does anything
//! change. What a configuration does not name is left as it is.

use std::{collections::BTreeMap, sync::Arc};

use longshore_config::{ClusterConfig, Config, ProviderConfig};
use longshore_providers::{CallLimits, CallScope, CreateError, Library, LoadError, Provider, SearchPath};
use longshore_scaling::{
    Action, Command, Cycle, Desired, Observation, Plan, PlanReport, State, admit, observe, plan,
};
use longshore_store::Entry;
use serde::{Deserialize, Serialize};

use crate::{
    calls::{listed, traits},
    error::{ApplyError, CommandError, nearest},
    host::Host,
    message::Previewed,
    reconciler::{definition, provider_definition},
    registry::{Cluster, Installed, Made},
    view::Explanation,
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
    pub async fn apply(&self, config: Config) -> Result<Applied, ApplyError> {
        let _one_at_a_time = self.applying.lock().await;
        let providers = self.prepare(&config).await?;
        for cluster in &config.clusters {
            self.look_ahead(cluster, &provider_of(cluster, &providers)).await?;
        }

        let mut applied = Applied::default();
        for ProviderConfig { name, .. } in &config.providers {
            let effect = match &providers[name] {
                Prepared::Current(_) => Effect::Unchanged,
                Prepared::New { config, provider, effect } => {
                    self.install(config, provider).await?;
                    *effect
                }
            };
            applied.providers.push((name.clone(), effect));
        }
        for cluster in config.clusters {
            let provider = there(&cluster, &provider_of(&cluster, &providers))?;
            let (name, effect) = (cluster.name.clone(), self.bring_about(cluster, provider).await?);
            applied.clusters.push((name, effect));
        }
        Ok(applied)
    }

    /// Says what [`apply`](Self::apply) would do, and does nothing of it. Providers that would be new are made, asked which
    /// workers run already, and shut down again.
    ///
    /// # Errors
    ///
    /// As `apply`.
    pub async fn plan(&self, config: Config) -> Result<Vec<Preview>, ApplyError> {
        let _one_at_a_time = self.applying.lock().await;
        let providers = self.prepare(&config).await?;
        let mut previews = Vec::new();
        for cluster in &config.clusters {
            let provider = provider_of(cluster, &providers);
            previews.push(match self.look_ahead(cluster, &provider).await? {
                Some(previewed) => preview_update(cluster, previewed),
                None => preview_new(cluster, &there(cluster, &provider)?).await?,
            });
        }
        Ok(previews)
    }

    /// Finds, loads and makes what providers the configuration needs, without letting anybody use them.
    pub(crate) async fn prepare(&self, config: &Config) -> Result<BTreeMap<String, Prepared>, ApplyError> {
        if self.shared.registry().closed {
            return Err(CommandError::ShuttingDown.into());
        }
        config.check()?;
        let mut providers = BTreeMap::new();
        for wanted in &config.providers {
            let library = self.open_library(wanted).await?;
            let current = self.shared.registry().providers.get(&wanted.name).cloned();
            let prepared = match current {
                Some(Installed { made: Ok(provider), config })
                    if is_same(&config, &provider, wanted, &library) =>
                {
                    Prepared::Current(Ok(provider))
                }
                current => {
                    if let Some(Installed { made: Ok(current), .. }) = &current {
                        // That it is wrong is worth more to know than that it differs.
                        let wrong = |why| failed(wanted, CreateError::Config(why));
                        library.validate_config(&wanted.config).map_err(wrong)?;
                        self.check_unused(current, wanted, &library)?;
                    }
                    let effect = if current.is_some() { Effect::Updated } else { Effect::Created };
                    let provider = make(wanted, &library).await?;
                    Prepared::New { config: wanted.clone(), provider, effect }
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

    async fn open_library(&self, wanted: &ProviderConfig) -> Result<Arc<Library>, ApplyError> {
        open_library(&self.search, wanted).await
    }

    /// Lets everybody use a provider that was made. It is in the journal before anything relies on it.
    pub(crate) async fn install(
        &self,
        config: &ProviderConfig,
        provider: &Arc<Provider>,
    ) -> Result<(), ApplyError> {
        let definition = provider_definition(config).map_err(CommandError::from)?;
        self.journal.define_provider(&config.name, Some(definition)).await.map_err(CommandError::from)?;
        self.shared.install(config.clone(), provider).await;
        Ok(())
    }

    fn check_unused(
        &self,
        current: &Provider,
        wanted: &ProviderConfig,
        library: &Arc<Library>,
    ) -> Result<(), ApplyError> {
        let registry = self.shared.registry();
        let begun = *self.shared.begun().borrow();
        let uses =
            |cluster: &Cluster| cluster.provider == wanted.name && (begun || cluster.may_have_workers());
        let Some((cluster, _)) = registry.clusters.iter().find(|(_, cluster)| uses(cluster)) else {
            return Ok(());
        };
        let same_library = current.library().hash() == library.hash();
        let what = if same_library { "configuration" } else { "plugin" };
        let (provider, cluster) = (wanted.name.clone(), cluster.clone());
        Err(ApplyError::ProviderInUse { provider, what, cluster })
    }

    fn is_known(&self, cluster: &str) -> bool {
        self.shared.registry().clusters.contains_key(cluster)
    }

    /// Whether the command that a cluster comes down to would be admitted, and what it would lead to where the cluster is
    /// there already.
    pub(crate) async fn look_ahead(
        &self,
        cluster: &ClusterConfig,
        provider: &Made,
    ) -> Result<Option<Previewed>, ApplyError> {
        let current = self.shared.registry().clusters.get(&cluster.name).map(|known| known.provider.clone());
        match current {
            None => {
                let denied = |denied| CommandError::Denied { cluster: cluster.name.clone(), denied };
                let provider = there(cluster, provider)?;
                admit(&State::default(), self.clock.now(), &create(cluster, &provider)?).map_err(denied)?;
                Ok(None)
            }
            Some(from) if from != cluster.provider => {
                let (cluster, to) = (cluster.name.clone(), cluster.provider.clone());
                Err(ApplyError::OtherProvider { cluster, from, to })
            }
            Some(_) => {
                let provider = there(cluster, provider)?;
                Ok(Some(self.preview(cluster, update(cluster, &provider)).await?))
            }
        }
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
        let state = State::replay(&records);
        let mut entries = vec![definition(&cluster).map_err(CommandError::from)?];
        entries.extend(records.into_iter().map(Entry::Happened));
        let claimed = self.journal.claim(&name).await.map_err(CommandError::from)?;
        self.journal.append(&claimed.lease, entries).await.map_err(CommandError::from)?;
        self.start(cluster, Cycle::new(state), claimed.lease, Ok(provider));
        Ok(())
    }
}

/// A provider that is ready to be used.
pub(crate) enum Prepared {
    /// In the host just so, or not named by the configuration at all.
    Current(Made),
    /// Made for the configuration.
    New { config: ProviderConfig, provider: Arc<Provider>, effect: Effect },
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
    let same_limits = current.threads == wanted.threads && current.create_timeout == wanted.create_timeout;
    same_limits && current.config == wanted.config && provider.library().hash() == library.hash()
}

/// Finds, loads and makes a provider.
pub(crate) async fn bring_up(
    search: &SearchPath,
    wanted: &ProviderConfig,
) -> Result<Arc<Provider>, ApplyError> {
    let library = open_library(search, wanted).await?;
    make(wanted, &library).await
}

async fn open_library(search: &SearchPath, wanted: &ProviderConfig) -> Result<Arc<Library>, ApplyError> {
    let provider = wanted.name.clone();
    let path = search
        .find(&wanted.plugin)
        .map_err(|why| ApplyError::NotFound { provider: provider.clone(), why: Box::new(why) })?;
    load(path).await.map_err(|why| ApplyError::Load { provider, why: Box::new(why) })
}

/// Loads a library away from the runtime's own threads: the system's loader may take its time.
async fn load(path: std::path::PathBuf) -> Result<Arc<Library>, LoadError> {
    let opening = tokio::task::spawn_blocking(move || Library::open(&path));
    opening.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

async fn make(wanted: &ProviderConfig, library: &Arc<Library>) -> Result<Arc<Provider>, ApplyError> {
    let mut limits = CallLimits::default();
    if let Some(threads) = wanted.threads {
        limits.threads = threads as usize;
    }
    if let Some(create) = wanted.create_timeout {
        limits.create = create;
    }
    let made = Provider::create(library, &wanted.name, wanted.config.clone(), limits).await;
    made.map_err(|why| failed(wanted, why))
}

fn failed(wanted: &ProviderConfig, why: CreateError) -> ApplyError {
    ApplyError::Create { provider: wanted.name.clone(), why: Box::new(why) }
}

fn create(cluster: &ClusterConfig, provider: &Provider) -> Result<Command, ApplyError> {
    Ok(Command::Create {
        uid: unique()?,
        policy: cluster.policy.clone(),
        traits: traits(provider),
        expected: cluster.workers,
        desired: if cluster.stopped { Desired::Stopped } else { Desired::Running },
    })
}

fn update(cluster: &ClusterConfig, provider: &Provider) -> Command {
    Command::Update { policy: cluster.policy.clone(), traits: traits(provider), expected: cluster.workers }
}

/// A number that no other cluster has: 64 random bits.
fn unique() -> Result<u64, ApplyError> {
    getrandom::u64().map_err(|error| ApplyError::NoRandomness { reason: error.to_string() })
}

fn preview_update(cluster: &ClusterConfig, previewed: Previewed) -> Preview {
    let Previewed { changes, before, after, live, actions, report } = previewed;
    let effect = if changes { Effect::Updated } else { Effect::Unchanged };
    preview(cluster, effect, before, after, live, &actions, report)
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
    let list = provider.has_list().then_some(Action::List);
    let initialize = provider.has_initialize().then_some(Action::Initialize);
    for action in list.into_iter().chain(initialize) {
        let observation = match action {
            Action::List => listed(provider.list(&scope).reply().await),
            _ => Observation::Initialized(Ok(())),
        };
        let asked = Plan { actions: vec![action], ..Plan::default() };
        for record in &asked.records(now) {
            state.apply(record);
        }
        for record in &observe(&state, now, &observation) {
            state.apply(record);
        }
    }
    let (next, report) = plan(&state, now);
    let live = state.tally().live();
    Ok(preview(cluster, Effect::Created, 0, state.target(), live, &next.actions, report))
}

fn preview(
    cluster: &ClusterConfig,
    effect: Effect,
    target_before: u32,
    target: u32,
    live: u64,
    actions: &[Action],
    report: PlanReport,
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
        reasons: report.reasons.into_iter().map(Explanation::from).collect(),
    }
}
