//! The host: providers and clusters by name, and the way to each. Many may ask at once; each cluster answers in turn.

use std::{sync::Arc, time::Duration};

use longshore_config::Secret;
use longshore_providers::{Provider, Resources, RunnerLoad, SearchPath};
use longshore_scaling::{Command, Desired};
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{
    error::CommandError,
    generations::Generations,
    house::House,
    message::Message,
    registry::{Cluster, Installed},
    view::{ClusterStatus, ProviderStatus, ServerStatus, WorkerPage},
};

/// How long a cluster's loop may take to end: between two messages it waits for the journal alone.
pub(crate) const RECONCILER_SHUTDOWN: Duration = Duration::from_secs(5);
/// How long to wait between two looks at clusters that are being stopped, at least and at most.
const STOP_LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long a provider may take to shut down when the host ends.
const PROVIDER_SHUTDOWN: Duration = Duration::from_secs(5);

/// What becomes of the workers when the host ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// They go on, and the next host finds them where its provider can list.
    Workers,
    /// They are stopped first, for at most so long.
    Nothing {
        /// How long to wait until all are stopped.
        patience: Duration,
    },
    /// Each cluster's as its `stop_on_exit` says.
    AsEachSays {
        /// What it is taken for where a cluster's configuration does not say.
        unless_said: bool,
        /// How long to wait until those that stop are stopped.
        patience: Duration,
    },
}

/// Holds providers and clusters, and keeps each cluster as it was asked to be. [`Host::open`] makes one.
pub struct Host {
    pub(crate) house: Arc<House>,
}

impl Host {
    /// Where it looks for plugins.
    pub fn search_path(&self) -> &SearchPath {
        &self.house.workshop.plugins.search
    }

    /// Grows whenever a cluster's status changes, a cluster comes or goes.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.house.shared.version()
    }

    /// How all clusters were when last something moved, by name.
    pub fn clusters(&self) -> Vec<ClusterStatus> {
        self.house
            .shared
            .registry()
            .clusters
            .values()
            .map(|cluster| cluster.status.borrow().clone())
            .collect()
    }

    /// How all providers are, by name.
    pub fn providers(&self) -> Vec<ProviderStatus> {
        let registry = self.house.shared.registry();
        let users = |name: &str| {
            let of_it = registry.clusters.iter().filter(|(_, cluster)| cluster.uses(name));
            of_it.map(|(cluster, _)| cluster.clone()).collect()
        };
        let quarantines = &self.house.shared.quarantines;
        let status = |(name, it): (&String, &Installed)| {
            ProviderStatus::of(it, registry.generations.get(name), users(name), quarantines.holding(name))
        };
        registry.providers.iter().map(status).collect()
    }

    /// The same, with what the runners say of their calls and what their processes take of the machine: both are asked for now,
    /// all at once and without the registry held. A runner that does not answer is waited for for half a second.
    pub async fn providers_with_runners(&self) -> Vec<ProviderStatus> {
        let mut all = self.providers();
        let mut asking = JoinSet::new();
        for (place, status) in all.iter().enumerate().filter(|(_, status)| status.runner.is_some()) {
            let made = self.house.shared.registry().made(&status.name);
            if let Ok(provider) = made {
                asking.spawn(async move { (place, look_at_runner(provider).await) });
            }
        }
        while let Some(looked) = asking.join_next().await {
            // Of one whose look failed, as when the runtime ends, no more is known.
            let Ok((place, (calls, resources))) = looked else { continue };
            if let Some(runner) = &mut all[place].runner {
                (runner.calls, runner.resources) = (calls, resources);
            }
        }
        all
    }

    /// How one cluster is right now.
    ///
    /// # Errors
    ///
    /// There is no such cluster, or the host is shutting down.
    pub async fn status(&self, cluster: &str) -> Result<ClusterStatus, CommandError> {
        self.house.ask(cluster, Message::Status).await
    }

    /// How one cluster is once no look at its workers is wanted or under way: after a [`Command::Refresh`], with what came
    /// of it. It takes as long as the provider does.
    ///
    /// # Errors
    ///
    /// There is no such cluster, or the host is shutting down.
    pub async fn fresh_status(&self, cluster: &str) -> Result<ClusterStatus, CommandError> {
        self.house.ask(cluster, Message::FreshStatus).await
    }

    /// A page of a cluster's containers, oldest first.
    ///
    /// # Errors
    ///
    /// There is no such cluster, or the host is shutting down.
    pub async fn workers(
        &self,
        cluster: &str,
        offset: usize,
        limit: usize,
    ) -> Result<WorkerPage, CommandError> {
        self.house.ask(cluster, |reply| Message::Workers { offset, limit, reply }).await
    }

    /// A cluster's server and its password, where it has one that is known: for those who are to report to it.
    ///
    /// # Errors
    ///
    /// There is no such cluster, or it has no server; or the host is shutting down.
    pub async fn server(&self, cluster: &str) -> Result<(ServerStatus, Option<Secret>), CommandError> {
        let status = self.status(cluster).await?;
        let server = status.server.ok_or_else(|| CommandError::NoServer { cluster: cluster.to_owned() })?;
        let definition = self.house.ask(cluster, Message::Definition).await?;
        Ok((server, definition.server.and_then(|server| server.password)))
    }

    /// Lets a cluster's provider remove what its stopped workers and servers left in the backend; `deep` also what further
    /// clusters may want again. It takes as long as the provider does, up to the cluster's deadline for it.
    ///
    /// # Errors
    ///
    /// There is no such cluster; its provider has no cleanup, or failed.
    pub async fn clean_up(&self, cluster: &str, deep: bool) -> Result<(), CommandError> {
        self.house.ask(cluster, |reply| Message::CleanUp { deep, reply }).await?
    }

    /// Gives a cluster a command and returns the generation that it leads to. The command is durable by then; what it asks
    /// for comes about later.
    ///
    /// # Errors
    ///
    /// There is no such cluster, the command is denied, or it cannot be made durable. Nothing has changed then.
    pub async fn command(&self, cluster: &str, command: Command) -> Result<u64, CommandError> {
        let obeyed =
            self.house.ask(cluster, |reply| Message::Command { command, config: None, reply }).await??;
        Ok(obeyed.generation)
    }

    /// Ends the host. True when the workers are as `leaving` asked for.
    pub async fn shut_down(&self, leaving: Leaving) -> bool {
        // No configuration comes in after this, and whoever still makes a provider gives it up.
        self.house.shared.close();
        // One that is being brought about waits for the journal alone.
        let _turn = timeout(RECONCILER_SHUTDOWN, self.house.every_turn()).await;
        let done = match leaving {
            Leaving::Workers => true,
            Leaving::Nothing { patience } => timeout(patience, self.stop_all(&[])).await.is_ok(),
            Leaving::AsEachSays { unless_said, patience } => {
                let stopping = async {
                    let left = self.left_running(unless_said).await;
                    self.stop_all(&left).await;
                };
                timeout(patience, stopping).await.is_ok()
            }
        };
        self.house.put_trials_off().await;
        let (clusters, providers, generations) = {
            let registry = &mut *self.house.shared.registry();
            let clusters = std::mem::take(&mut registry.clusters);
            (clusters, std::mem::take(&mut registry.providers), std::mem::take(&mut registry.generations))
        };
        let mut closing = JoinSet::new();
        for (name, cluster) in clusters {
            closing.spawn(leave(name, cluster));
        }
        while closing.join_next().await.is_some() {}
        let others = generations.into_values().flat_map(Generations::others);
        for provider in providers.into_values().filter_map(|installed| installed.made.ok()).chain(others) {
            closing.spawn(async move {
                if !provider.shut_down(PROVIDER_SHUTDOWN).await {
                    let provider = provider.name();
                    tracing::warn!(provider, "the provider did not shut down in time; a call of it hangs");
                }
            });
        }
        closing.join_all().await;
        done
    }

    /// The clusters whose workers go on when the host ends and each does as its `stop_on_exit` says; `unless_said` is what
    /// that is taken for where a cluster's configuration does not say.
    pub async fn left_running(&self, unless_said: bool) -> Vec<String> {
        let names: Vec<_> = self.house.shared.registry().clusters.keys().cloned().collect();
        let mut left = Vec::new();
        for name in names {
            // One that went meanwhile leaves nothing.
            let definition = self.house.ask(&name, Message::Definition).await;
            if definition.is_ok_and(|definition| !definition.stop_on_exit.unwrap_or(unless_said)) {
                left.push(name);
            }
        }
        left
    }

    /// Stops all clusters but some, and returns when they are down.
    async fn stop_all(&self, but: &[String]) {
        let mut names: Vec<_> = self.house.shared.registry().clusters.keys().cloned().collect();
        names.retain(|name| !but.contains(name));
        let mut version = self.version();
        loop {
            version.mark_unchanged();
            let mut all_down = true;
            for name in &names {
                all_down &= self.is_down(name).await;
            }
            if all_down {
                return;
            }
            // Who has been told to stop is looked after for that, where the host had not begun.
            self.begin();
            // What changes by time alone, such as a journal that works again, is looked at as well.
            let _ = timeout(STOP_LOOKS.1, version.changed()).await;
            sleep(STOP_LOOKS.0).await;
        }
    }

    /// Tells a cluster that the host leaves, where it has not been told, and whether its workers have stopped. That the
    /// cluster shall run is not forgotten: the next host brings it back.
    async fn is_down(&self, name: &str) -> bool {
        let told = self.command(name, Command::Rest).await;
        // One that went meanwhile is not there, and one that another host has taken is not ours to stop.
        if let Err(
            CommandError::NoSuchCluster { .. } | CommandError::ShuttingDown | CommandError::TakenAway { .. },
        ) = told
        {
            return true;
        }
        if let Err(error) = told
            && !matches!(error, CommandError::Denied { .. })
        {
            tracing::warn!(cluster = name, "the cluster is not stopped: {error}");
            return false;
        }
        let status = self.status(name).await;
        status.is_ok_and(|status| {
            // Of a deleted one that the journal does not forget, nothing is left to stop.
            let is_gone = status.desired == Desired::Deleted && !status.may_have_workers();
            is_gone || (status.converged && status.target() == 0)
        })
    }
}

impl Drop for Host {
    /// A host that is not there decides nothing any more. The workers are left as they are.
    fn drop(&mut self) {
        self.house.shared.close();
        let clusters = std::mem::take(&mut self.house.shared.registry().clusters);
        for cluster in clusters.into_values() {
            if let Some(task) = cluster.take_task() {
                task.abort();
            }
        }
    }
}

/// What a runner says of its calls, and what its process takes.
async fn look_at_runner(provider: Arc<Provider>) -> (Option<RunnerLoad>, Option<Resources>) {
    let measured = Arc::clone(&provider);
    // The system may take its time.
    let measuring = spawn_blocking(move || measured.runner_resources());
    let (calls, resources) = tokio::join!(provider.runner_load(), measuring);
    (calls, resources.ok().flatten())
}

/// Lets a cluster's loop end between two messages, or ends it.
async fn leave(name: String, cluster: Cluster) {
    let Some(task) = cluster.take_task() else { return };
    let abort = task.abort_handle();
    let end = async {
        // One that ended already needs no telling.
        let _ = cluster.inbox.send(Message::Leave).await;
        task.await
    };
    match timeout(RECONCILER_SHUTDOWN, end).await {
        Ok(Err(error)) if error.is_panic() => {
            tracing::error!(cluster = name, "the cluster's loop had failed: {error}");
        }
        Ok(_) => {}
        Err(_) => {
            tracing::warn!(cluster = name, "the cluster's loop did not end in time: the journal hangs");
            abort.abort();
        }
    }
}
