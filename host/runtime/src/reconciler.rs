//! The loop of one cluster. It is woken by a command, a reply or a timer, and then plans from the state alone. Every
//! record that must outlive the host is in the journal before it counts, and every intent before it is carried out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use longshore_config::ClusterConfig;
use longshore_scaling::{
    Action, Change, Command, Observation, PlanReport, Reason, Record, State, Time, Trouble, admit, observe,
    plan,
};
use longshore_store::{Entry, Journal, JournalError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep_until,
};

use crate::{
    calls::Caller,
    clock::Clock,
    error::CommandError,
    message::{INBOX, Message, Obeyed, Previewed},
    registry::Shared,
    view::{ClusterStatus, WorkerPage, WorkerView},
};

/// How many messages are taken in before the cluster is planned anew.
const TURN_MESSAGES: usize = 64;
/// How long to wait before a journal that failed is tried again.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

/// One cluster's loop, and all that it owns.
pub(crate) struct Reconciler {
    name: Arc<str>,
    config: ClusterConfig,
    state: State,
    caller: Caller,
    journal: Arc<dyn Journal>,
    clock: Clock,
    shared: Arc<Shared>,
    status: watch::Sender<ClusterStatus>,
    /// Observations that the journal has not taken yet. It holds at most what the provider's calls in flight can answer.
    untaken: VecDeque<Observation>,
    /// Why the journal does not take what it must before anything is done.
    journal_trouble: Option<Trouble>,
    /// Who waits until no look at the workers is wanted or under way: [`INBOX`] at most.
    awaiting_look: Vec<oneshot::Sender<ClusterStatus>>,
}

/// What a reconciler begins with.
pub(crate) struct Birth {
    pub(crate) config: ClusterConfig,
    pub(crate) state: State,
    pub(crate) caller: Caller,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
}

impl Reconciler {
    pub(crate) fn new(birth: Birth) -> (Self, watch::Receiver<ClusterStatus>) {
        let Birth { config, state, caller, journal, clock, shared } = birth;
        let report = plan(&state, clock.now()).1;
        let (status, receiver) =
            watch::channel(ClusterStatus::of(&config.name, &config.provider, &state, report));
        let reconciler = Self {
            name: config.name.as_str().into(),
            config,
            state,
            caller,
            journal,
            clock,
            shared,
            status,
            untaken: VecDeque::new(),
            journal_trouble: None,
            awaiting_look: Vec::new(),
        };
        (reconciler, receiver)
    }

    /// Runs until the cluster is deleted, or is left.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut wake_at = self.turn().await;
        loop {
            if self.state.is_finished() {
                self.forget().await;
                return;
            }
            self.tell_of_look();
            let timer = async {
                match wake_at {
                    Some(time) => sleep_until(self.clock.instant(time)).await,
                    None => std::future::pending().await,
                }
            };
            let mut moved = true;
            tokio::select! {
                message = inbox.recv() => {
                    moved = false;
                    let mut next = message;
                    let mut taken = 0;
                    while let Some(message) = next {
                        moved |= message.moves();
                        if !self.take(message).await {
                            return;
                        }
                        taken += 1;
                        next = if taken < TURN_MESSAGES { inbox.try_recv().ok() } else { None };
                    }
                }
                () = timer => {}
            }
            // Who only asked has changed nothing, and what was planned stands.
            if moved {
                wake_at = self.turn().await;
            }
        }
    }

    /// Plans, makes the intent durable, carries it out; says when to look again.
    async fn turn(&mut self) -> Option<Time> {
        self.take_observations().await;
        let now = self.clock.now();
        let (next, report) = plan(&self.state, now);
        // Nothing is decided on a state that lags behind what was seen.
        let is_behind = !self.untaken.is_empty();
        let saved = !is_behind && self.save(&next.records(now), None).await.is_ok();
        if saved {
            self.journal_trouble = None;
            for action in &next.actions {
                self.announce(action);
                self.caller.carry_out(action, &self.state, &self.config, now);
            }
        }
        self.publish(report);
        if saved { next.wake_at } else { Some(now + JOURNAL_RETRY) }
    }

    /// Answers those who wait for a look at the workers, when it is over.
    fn tell_of_look(&mut self) {
        if self.awaiting_look.is_empty() || self.state.is_looking() {
            return;
        }
        let view = self.view(plan(&self.state, self.clock.now()).1);
        for reply in self.awaiting_look.drain(..) {
            // Who asked may have gone away.
            let _ = reply.send(view.clone());
        }
    }

    /// Takes one message in; false when it is the last.
    async fn take(&mut self, message: Message) -> bool {
        let now = self.clock.now();
        match message {
            Message::Seen(observation) => {
                self.untaken.push_back(observation);
                self.take_observations().await;
            }
            Message::Command { command, config, reply } => {
                let outcome = self.obey(&command, config.as_deref()).await;
                // Who asked may have gone away.
                let _ = reply.send(outcome);
            }
            Message::Preview { command, config, reply } => {
                let _ = reply.send(self.preview(&command, &config, now));
            }
            Message::Status(reply) => {
                let report = plan(&self.state, now).1;
                let _ = reply.send(self.view(report));
            }
            Message::FreshStatus(reply) => {
                self.awaiting_look.retain(|waiting| !waiting.is_closed());
                if self.awaiting_look.len() < INBOX {
                    self.awaiting_look.push(reply);
                } else {
                    // What is known is better than no answer.
                    let _ = reply.send(self.view(plan(&self.state, now).1));
                }
            }
            Message::Workers { offset, limit, reply } => {
                let page = self.state.handles().skip(offset).take(limit);
                let workers = page.map(|(_, handle)| WorkerView::of(&self.state, handle, now)).collect();
                let _ = reply.send(WorkerPage { workers, total: self.state.handle_count() });
            }
            Message::Leave => return false,
        }
        true
    }

    async fn obey(
        &mut self,
        command: &Command,
        config: Option<&ClusterConfig>,
    ) -> Result<Obeyed, CommandError> {
        let records = admit(&self.state, self.clock.now(), command).map_err(|denied| self.denied(denied))?;
        let config = config.filter(|config| **config != self.config);
        let changed = !records.is_empty() || config.is_some();
        self.save(&records, config).await.inspect_err(|_| {
            // Whoever asked is told; nothing of it waits to be done.
            self.journal_trouble = None;
        })?;
        if let Some(config) = config {
            self.config = config.clone();
        }
        let generation = self.state.generation();
        tracing::info!(cluster = &*self.name, generation, changed, "admitted: {command:?}");
        Ok(Obeyed { generation, changed })
    }

    fn denied(&self, denied: longshore_scaling::Denied) -> CommandError {
        CommandError::Denied { cluster: self.name.to_string(), denied }
    }

    /// Takes in what was seen, in order, as far as the journal does.
    async fn take_observations(&mut self) {
        while let Some(observation) = self.untaken.pop_front() {
            let records = observe(&self.state, self.clock.now(), &observation);
            if self.save(&records, None).await.is_err() {
                self.untaken.push_front(observation);
                return;
            }
            for record in &records {
                self.tell_of(&record.change);
            }
        }
    }

    /// Makes records durable, and then lets them count.
    async fn save(&mut self, records: &[Record], config: Option<&ClusterConfig>) -> Result<(), JournalError> {
        let mut entries = Vec::new();
        if let Some(config) = config {
            entries.push(definition(config)?);
        }
        let durable = records.iter().filter(|record| record.change.is_durable());
        entries.extend(durable.cloned().map(Entry::Happened));
        if !entries.is_empty() {
            let outcome = self.journal.append(&self.name, entries).await;
            if let Err(error) = &outcome {
                self.journal_trouble = Some(Trouble::new(error.to_string()));
                tracing::error!(
                    cluster = &*self.name,
                    "nothing is done until the journal works again: {error}"
                );
            }
            outcome?;
        }
        for record in records {
            self.state.apply(record);
        }
        Ok(())
    }

    /// Tells an operator who reads the log what went wrong, and which workers died.
    fn tell_of(&self, change: &Change) {
        let cluster = &*self.name;
        match change {
            Change::LaunchSettled { launch, trouble: Some(trouble), .. } => {
                let token = self.state.token(*launch);
                tracing::warn!(cluster, token, "the launch fell short: {trouble}");
            }
            Change::LaunchUnknown { launch, trouble, claimed, .. } => {
                let (token, claimed) = (self.state.token(*launch), claimed.len());
                tracing::warn!(cluster, token, claimed, "what the launch created is not known: {trouble}");
            }
            Change::KillFailed { handles, trouble } => {
                tracing::warn!(cluster, containers = handles.len(), "a kill failed: {trouble}");
            }
            Change::StatusEnded { trouble: Some(trouble) } => {
                tracing::warn!(cluster, "statuses cannot be had: {trouble}");
            }
            Change::ListEnded { trouble: Some(trouble) } => {
                tracing::warn!(cluster, "the workers cannot be listed: {trouble}");
            }
            Change::InitializeEnded { trouble: Some(trouble) } => {
                tracing::warn!(cluster, "the provider cannot prepare itself: {trouble}");
            }
            Change::Suspected { handles } => {
                tracing::warn!(
                    cluster,
                    containers = handles.len(),
                    "many died at once; looking a second time"
                );
            }
            Change::Gone { died, .. } if !died.is_empty() => {
                tracing::info!(cluster, containers = died.len(), "containers died");
            }
            Change::Adopted { handles } => {
                tracing::info!(cluster, containers = handles.len(), "containers were found running");
            }
            _ => {}
        }
    }

    fn preview(
        &self,
        command: &Command,
        config: &ClusterConfig,
        now: Time,
    ) -> Result<Previewed, CommandError> {
        let mut state = self.state.clone();
        let (before, live) = (state.target(), state.tally().live());
        let records = admit(&state, now, command).map_err(|denied| self.denied(denied))?;
        for record in &records {
            state.apply(record);
        }
        let (next, report) = plan(&state, now);
        let changes = !records.is_empty() || *config != self.config;
        let after = state.target();
        Ok(Previewed { changes, before, after, live, actions: next.actions, report })
    }

    fn announce(&self, action: &Action) {
        let cluster = &*self.name;
        match action {
            Action::Launch { launch, workers, again } => {
                let token = self.state.token(*launch);
                tracing::info!(cluster, workers, token, again, "launching workers");
            }
            Action::Kill { handles, why } => {
                tracing::info!(cluster, handles = handles.len(), ?why, "killing containers");
            }
            Action::Initialize => tracing::debug!(cluster, "initializing the provider"),
            Action::List => tracing::debug!(cluster, "listing the provider's workers"),
            Action::Status { live, terminating } => {
                tracing::trace!(
                    cluster,
                    live = live.len(),
                    terminating = terminating.len(),
                    "asking for statuses"
                );
            }
        }
    }

    fn view(&self, mut report: PlanReport) -> ClusterStatus {
        let trouble = self.journal_trouble.clone();
        let failing = trouble.is_some();
        report.reasons.splice(..0, trouble.map(|trouble| Reason::JournalFailing { trouble }));
        let status = ClusterStatus::of(&self.name, self.caller.provider().name(), &self.state, report);
        ClusterStatus { converged: status.converged && !failing, ..status }
    }

    fn publish(&self, report: PlanReport) {
        let view = self.view(report);
        let changed = self.status.send_if_modified(|before| {
            let changed = *before != view;
            *before = view;
            changed
        });
        if changed {
            self.shared.note_change();
        }
    }

    async fn forget(self) {
        tracing::info!(cluster = &*self.name, "the cluster is gone");
        if let Err(error) = self.journal.remove(&self.name).await {
            tracing::error!(cluster = &*self.name, "a deleted cluster is still in the journal: {error}");
        }
        self.shared.remove_cluster(&self.name);
    }
}

/// A cluster's definition as the journal keeps it.
pub(crate) fn definition(config: &ClusterConfig) -> Result<Entry, JournalError> {
    serde_json::to_value(config).map(Entry::Defined).map_err(|error| JournalError {
        cluster: config.name.clone(),
        action: "written",
        reason: error.to_string(),
    })
}
