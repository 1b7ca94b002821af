//! The providers and clusters of a host by name, as the host and its reconcilers share them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use longshore_config::ProviderConfig;
use longshore_providers::Provider;
use longshore_scaling::Trouble;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    clock::Clock,
    definition::Definition,
    generations::{Generations, RolledBack},
    message::Message,
    quarantine::Quarantines,
    serving::AtHand,
    swap::Watched,
    view::ClusterStatus,
};

/// A cluster, from outside.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) inbox: mpsc::Sender<Message>,
    pub(crate) status: watch::Receiver<ClusterStatus>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Cluster {
    pub(crate) fn new(
        inbox: mpsc::Sender<Message>,
        status: watch::Receiver<ClusterStatus>,
        task: JoinHandle<()>,
    ) -> Self {
        Self { inbox, status, task: Arc::new(Mutex::new(Some(task))) }
    }

    /// The name of its provider.
    pub(crate) fn provider(&self) -> String {
        self.status.borrow().provider.clone()
    }

    /// The names of its providers: of the one that it launches on, and of the one that it leaves, where it does.
    pub(crate) fn providers(&self) -> Vec<String> {
        let status = self.status.borrow();
        let left = status.leaving.as_ref().map(|left| left.provider.clone());
        [Some(status.provider.clone()), left].into_iter().flatten().collect()
    }

    /// Whether it has workers on a provider, or may have: it launches there, or has not left it yet.
    pub(crate) fn uses(&self, provider: &str) -> bool {
        let status = self.status.borrow();
        status.provider == provider || status.leaving.as_ref().is_some_and(|left| left.provider == provider)
    }

    /// Whether anything of it may run, as far as is known.
    pub(crate) fn may_have_workers(&self) -> bool {
        self.status.borrow().may_have_workers()
    }

    /// Its loop, to be awaited or ended; once.
    pub(crate) fn take_task(&self) -> Option<JoinHandle<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A provider, or why there is none.
pub(crate) type Made = Result<Arc<Provider>, Trouble>;

/// A provider and what it was made from, or is to be made from.
#[derive(Clone)]
pub(crate) struct Installed {
    pub(crate) config: ProviderConfig,
    pub(crate) made: Made,
}

/// Who is in the house.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) providers: BTreeMap<String, Installed>,
    pub(crate) clusters: BTreeMap<String, Cluster>,
    /// By the provider's name: each one that is in `providers` has some.
    pub(crate) generations: BTreeMap<String, Generations>,
    /// The folders that are watched, by the provider's name.
    pub(crate) watched: BTreeMap<String, Watched>,
    /// How often it was looked at for what a cluster has of a provider.
    pub(crate) looks: u64,
    pub(crate) closed: bool,
}

impl Registry {
    /// Puts a provider, or why there is none, in its place, as the first of its generations. `rolled_back` is what it was to be
    /// made of, where the host has given that up.
    pub(crate) fn place(&mut self, definition: Definition, made: Made, rolled_back: Option<RolledBack>) {
        let Definition { config, swapped } = definition;
        let name = config.name.clone();
        let mut generations = Generations::first(self.generations.get(&name), swapped, rolled_back);
        if made.is_ok() {
            // Before anybody is told of it: nobody is to take it for settled.
            generations.resume_trial();
        }
        self.generations.insert(name.clone(), generations);
        self.providers.insert(name, Installed { config, made });
    }

    /// The provider of that name, or why there is none.
    pub(crate) fn made(&self, provider: &str) -> Made {
        let found = self.providers.get(provider).map(|installed| installed.made.clone());
        found.unwrap_or_else(|| {
            Err(Trouble::new(format!(
                "provider `{provider}` is not in the journal: apply its configuration again"
            )))
        })
    }

    /// The names of the clusters that a provider serves: those that leave it are among them.
    pub(crate) fn served_names(&self, provider: &str) -> impl Iterator<Item = String> {
        let clusters = self.clusters.iter().filter(move |(_, cluster)| cluster.uses(provider));
        clusters.map(|(name, _)| name.clone())
    }

    /// The clusters that a provider serves, and the ways to them.
    fn served_inboxes(&self, provider: &str) -> Vec<(String, mpsc::Sender<Message>)> {
        let served = self.clusters.iter().filter(|(_, cluster)| cluster.uses(provider));
        served.map(|(name, cluster)| (name.clone(), cluster.inbox.clone())).collect()
    }
}

/// What the host and its reconcilers share.
pub(crate) struct Shared {
    registry: Mutex<Registry>,
    version: watch::Sender<u64>,
    /// Whether the clusters are looked after already.
    begun: watch::Sender<bool>,
    /// Whether the host ends; as [`Registry::closed`], for those who wait for it.
    closing: watch::Sender<bool>,
    pub(crate) quarantines: Arc<Quarantines>,
    pub(crate) clock: Clock,
}

impl Shared {
    pub(crate) fn new(quarantines: Quarantines, clock: Clock) -> Self {
        Self {
            clock,
            quarantines: Arc::new(quarantines),
            registry: Mutex::default(),
            version: watch::Sender::new(0),
            begun: watch::Sender::new(false),
            closing: watch::Sender::new(false),
        }
    }

    /// From now on nothing new is made: the host ends.
    pub(crate) fn close(&self) {
        self.registry().closed = true;
        self.closing.send_replace(true);
    }

    /// Becomes true once the host ends.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Waits until the host ends.
    pub(crate) async fn closed(&self) {
        // The sender is in `self`.
        let _ = self.closing().wait_for(|closing| *closing).await;
    }

    /// Lets the clusters be looked after from now on.
    pub(crate) fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Becomes true once the clusters are looked after.
    pub(crate) fn begun(&self) -> watch::Receiver<bool> {
        self.begun.subscribe()
    }

    /// Grows whenever a cluster's status changes, a cluster comes or goes.
    pub(crate) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        // The maps are changed by single inserts and removals: a panic in between leaves them sound.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a provider in its place, and lets the clusters that it serves know.
    pub(crate) async fn install(
        self: &Arc<Self>,
        definition: Definition,
        provider: &Arc<Provider>,
        rolled_back: Option<RolledBack>,
    ) {
        let name = definition.config.name.clone();
        self.registry().place(definition, Ok(Arc::clone(provider)), rolled_back);
        self.is_there(&name, provider);
        self.tell(&name).await;
    }

    /// Lets another generation of a provider serve from now on, and its clusters know. `change` is told which one did.
    pub(crate) async fn change_over(
        self: &Arc<Self>,
        name: &str,
        provider: &Arc<Provider>,
        change: impl FnOnce(&mut Generations, Option<Arc<Provider>>),
    ) {
        {
            let registry = &mut *self.registry();
            let Some(installed) = registry.providers.get_mut(name) else { return };
            let before = std::mem::replace(&mut installed.made, Ok(Arc::clone(provider)));
            if let Some(generations) = registry.generations.get_mut(name) {
                change(generations, before.ok());
            }
        }
        self.is_there(name, provider);
        self.tell(name).await;
    }

    /// Nothing is waited for any more, and what dies too often from now on is taken away.
    fn is_there(self: &Arc<Self>, name: &str, provider: &Arc<Provider>) {
        self.quarantines.is_there(name);
        self.guard(provider);
    }

    /// Lets each of the clusters that a provider serves know what it has of it by now: that it is another one, that it is trusted
    /// more or less than before, or that it is not there.
    pub(crate) async fn tell(&self, name: &str) {
        let served: Vec<_> = self.registry().served_inboxes(name);
        for (cluster, inbox) in served {
            let at_hand: Box<AtHand> = Box::new(self.at_hand(name, &cluster));
            // One that is gone meanwhile needs no provider.
            let _ = inbox.send(Message::Provider(at_hand)).await;
        }
        self.note_change();
    }

    pub(crate) fn note_change(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    pub(crate) fn remove_cluster(&self, name: &str) {
        self.registry().clusters.remove(name);
        self.note_change();
    }
}
