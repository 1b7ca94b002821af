//! What a host is made of, apart from its end: shared with the work that goes on when nobody waits for it any more.

use std::sync::Arc;

use longshore_config::{ClusterConfig, Config};
use longshore_scaling::{Command, Cycle};
use longshore_store::{Journal, Lease};
use tokio::sync::{mpsc, oneshot};

use crate::{
    calls::{Caller, OneSide},
    clock::Clock,
    error::{ApplyError, CommandError, nearest},
    message::{INBOX, Message, Obeyed, Previewed},
    reconciler::{Birth, Reconciler},
    registry::{Cluster, Shared},
    turns::{HeldTurn, Turns},
    workshop::Workshop,
};

/// A host but for its end.
pub(crate) struct House {
    pub(crate) workshop: Workshop,
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Clock,
    /// Who may change the providers.
    pub(crate) turns: Turns,
}

impl House {
    /// Waits until nobody else changes a provider.
    pub(crate) async fn turn_of(&self, provider: &str) -> Result<HeldTurn, ApplyError> {
        self.unless_closed(async { Ok(self.turns.of(provider).await) }).await
    }

    /// Waits until nobody else brings a configuration about, or changes a provider that this one concerns: those that it names, those
    /// of its clusters, and those that its clusters have by now.
    pub(crate) async fn turn_for(&self, config: &Config) -> Result<HeldTurn, ApplyError> {
        let concerned = || {
            let registry = self.shared.registry();
            let named = config.providers.iter().map(|provider| provider.name.clone());
            let wanted = config.clusters.iter().map(|cluster| cluster.provider.clone());
            let had = config.clusters.iter().filter_map(|cluster| registry.clusters.get(&cluster.name));
            named.chain(wanted).chain(had.flat_map(Cluster::providers)).collect()
        };
        self.unless_closed(async { Ok(self.turns.configuring(concerned).await) }).await
    }

    /// Waits until nobody else changes any provider.
    pub(crate) async fn every_turn(&self) -> HeldTurn {
        self.turns.configuring(|| self.shared.registry().providers.keys().cloned().collect()).await
    }

    /// Does what may take long, unless the host ends meanwhile.
    pub(crate) async fn unless_closed<T>(
        &self,
        work: impl Future<Output = Result<T, ApplyError>>,
    ) -> Result<T, ApplyError> {
        tokio::select! {
            biased;
            () = self.shared.closed() => Err(CommandError::ShuttingDown.into()),
            outcome = work => outcome,
        }
    }

    pub(crate) async fn update(
        &self,
        config: ClusterConfig,
        command: Command,
    ) -> Result<Obeyed, CommandError> {
        let name = config.name.clone();
        let config = Some(Box::new(config));
        self.ask(&name, |reply| Message::Command { command, config, reply }).await?
    }

    pub(crate) async fn preview(
        &self,
        config: &ClusterConfig,
        command: Command,
    ) -> Result<Previewed, CommandError> {
        let name = &config.name;
        let config = Box::new(config.clone());
        self.ask(name, |reply| Message::Preview { command, config, reply }).await?
    }

    pub(crate) async fn ask<T>(
        &self,
        cluster: &str,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, CommandError> {
        let inbox = self.inbox(cluster)?;
        let (reply, answer) = oneshot::channel();
        inbox.send(message(reply)).await.map_err(|_| self.gone(cluster))?;
        answer.await.map_err(|_| self.gone(cluster))
    }

    /// Why a cluster that was there does not answer: it was deleted meanwhile, or its loop is broken.
    fn gone(&self, cluster: &str) -> CommandError {
        if self.shared.registry().clusters.contains_key(cluster) {
            return CommandError::Broken { cluster: cluster.to_owned() };
        }
        self.no_such_cluster(cluster)
    }

    pub(crate) fn inbox(&self, cluster: &str) -> Result<mpsc::Sender<Message>, CommandError> {
        let found = self.shared.registry().clusters.get(cluster).map(|cluster| cluster.inbox.clone());
        found.ok_or_else(|| self.no_such_cluster(cluster))
    }

    fn no_such_cluster(&self, name: &str) -> CommandError {
        let registry = self.shared.registry();
        if registry.closed {
            return CommandError::ShuttingDown;
        }
        let nearest = nearest(name, registry.clusters.keys().map(String::as_str));
        CommandError::NoSuchCluster { name: name.to_owned(), nearest }
    }

    /// Starts the reconciler of a cluster that the journal has already.
    ///
    /// # Errors
    ///
    /// The host is shutting down: the next one takes the cluster up.
    pub(crate) fn start(
        &self,
        config: ClusterConfig,
        cycle: Cycle,
        lease: Lease,
    ) -> Result<(), CommandError> {
        let (inbox, receiver) = mpsc::channel(INBOX);
        let name = config.name.clone();
        let state = cycle.state();
        let at_hand = |provider: &str| self.shared.at_hand(provider, &name);
        let left = state.leaving().map(|left| OneSide::new(left.side(), at_hand(left.provider())));
        let here = OneSide::new(state.side(), at_hand(&config.provider));
        let caller = Caller::new(name.as_str().into(), here, left, inbox.clone());
        let (reconciler, status) = Reconciler::new(Birth {
            config,
            cycle,
            caller,
            lease,
            journal: Arc::clone(&self.journal),
            clock: self.clock,
            shared: Arc::clone(&self.shared),
        });
        {
            let mut registry = self.shared.registry();
            if registry.closed {
                return Err(CommandError::ShuttingDown);
            }
            let task = tokio::spawn(reconciler.run(receiver));
            registry.clusters.insert(name, Cluster::new(inbox, status, task));
        }
        self.shared.note_change();
        Ok(())
    }
}
