//! The loop of one cluster. It is woken by a command, a reply or a timer, and then plans from the state alone. Every
//! record that must outlive the host is in the journal before it counts, and every intent before it is carried out.

use std::{sync::Arc, time::Duration};

use longshore_config::{ClusterConfig, ServerConfig, ServerSource};
use longshore_providers::check_command;
use longshore_scaling::{
    Action, Change, Command, Cycle, Denied, Handle, HandleId, Launch, LaunchPhase, Leaving, Phase,
    PlanReport, Reason, Record, Route, Side, Step, Time, Trouble, admit, plan,
};
use longshore_store::{Entry, Journal, JournalError, JournalErrorKind, Lease, Subject};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep_until,
};

use crate::{
    calls::Caller,
    clock::Clock,
    error::CommandError,
    message::{INBOX, Live, Message, Obeyed, Previewed},
    registry::Shared,
    serving::AtHand,
    view::{ClusterStatus, Explanation, Libraries, WorkerPage, WorkerView},
};

/// How many messages are taken in before the cluster is planned anew.
const TURN_MESSAGES: usize = 64;
/// How many steps are taken before messages are taken in again.
const TURN_STEPS: usize = 64;
/// How long to wait before a journal that failed is tried again.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);
/// How long to wait before a snapshot that failed is tried again; until then the journal grows.
const SNAPSHOT_RETRY: Duration = Duration::from_mins(1);

/// What is told of a cluster that is another host's now.
const TAKEN_AWAY: &str = "another host has taken the cluster; this one leaves it alone";

/// One cluster's loop, and all that it owns.
pub(crate) struct Reconciler {
    name: Arc<str>,
    config: ClusterConfig,
    cycle: Cycle,
    caller: Caller,
    /// The right to write the cluster's journal.
    lease: Lease,
    journal: Arc<dyn Journal>,
    clock: Clock,
    shared: Arc<Shared>,
    status: watch::Sender<ClusterStatus>,
    /// Whether the cluster is another host's now: it is left alone.
    is_fenced: bool,
    /// No snapshot is taken before.
    no_snapshot_before: Time,
    /// Why the journal does not take what it must before anything is done.
    journal_trouble: Option<Trouble>,
    /// What the log was last told of a journal that fails.
    told_trouble: Option<String>,
    /// The sides of which the core knows what the provider at hand can do and is made of.
    attached: Vec<Side>,
    /// Whether the provider was asked to remove what the cluster, which is deleted, has left behind.
    is_tidied: bool,
    /// A deleted cluster is not removed from the journal before: the last attempt failed.
    no_removal_before: Time,
    /// Who waits until no look at the workers is wanted or under way: [`INBOX`] at most.
    awaiting_look: Vec<oneshot::Sender<ClusterStatus>>,
}

/// What a reconciler begins with.
pub(crate) struct Birth {
    pub(crate) config: ClusterConfig,
    pub(crate) cycle: Cycle,
    pub(crate) caller: Caller,
    pub(crate) lease: Lease,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
}

impl Reconciler {
    pub(crate) fn new(birth: Birth) -> (Self, watch::Receiver<ClusterStatus>) {
        let Birth { config, cycle, caller, lease, journal, clock, shared } = birth;
        let report = plan(cycle.state(), clock.now()).1;
        let libraries = caller.libraries();
        let mut status = ClusterStatus::of(&config.name, &config.provider, libraries, cycle.state(), report);
        status.serving = caller.serving().cloned();
        let (status, receiver) = watch::channel(status);
        let reconciler = Self {
            name: config.name.as_str().into(),
            config,
            cycle,
            caller,
            lease,
            journal,
            clock,
            shared,
            status,
            is_fenced: false,
            no_snapshot_before: Time::default(),
            journal_trouble: None,
            told_trouble: None,
            attached: Vec::new(),
            is_tidied: false,
            no_removal_before: Time::default(),
            awaiting_look: Vec::new(),
        };
        (reconciler, receiver)
    }

    /// Runs until the cluster is deleted, or is left.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut begin = self.shared.begun();
        let mut begun = *begin.borrow();
        // Before the host begins, commands are taken in and nothing is done about them.
        let mut wake_at = if begun { self.turn().await } else { None };
        loop {
            if self.is_fenced {
                self.leave_alone();
                wake_at = None;
            } else if self.cycle.state().is_finished() {
                if self.forget().await {
                    return;
                }
                wake_at = Some(self.no_removal_before);
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
                // The sender is in what this loop shares.
                _ = begin.changed(), if !begun => begun = *begin.borrow_and_update(),
            }
            // Who only asked has changed nothing, and what was planned stands.
            if moved && begun && !self.is_over() {
                wake_at = self.turn().await;
            }
        }
    }

    /// Whether there is nothing to do for the cluster any more but to answer who asks.
    fn is_over(&self) -> bool {
        self.is_fenced || self.cycle.state().is_finished()
    }

    /// Does nothing more for a cluster that is another host's.
    fn leave_alone(&mut self) {
        self.caller.let_go();
        self.publish(PlanReport::default());
    }

    /// Goes on until there is nothing to do; says when to look again.
    async fn turn(&mut self) -> Option<Time> {
        if self.attach().await.is_err() {
            return Some(self.put_off());
        }
        for _ in 0..TURN_STEPS {
            match self.cycle.next(self.clock.now()) {
                Step::Write(records) => {
                    if self.write(records).await.is_err() {
                        return Some(self.put_off());
                    }
                }
                Step::Act(actions) => {
                    let now = self.clock.now();
                    for action in &actions {
                        self.announce(action);
                        self.caller.carry_out(action, self.cycle.state(), &self.config, now);
                    }
                }
                Step::Rest { wake_at, report } => {
                    self.journal_trouble = None;
                    self.tell_news();
                    self.publish(report);
                    return wake_at;
                }
            }
        }
        Some(self.clock.now())
    }

    /// Tells that the journal failed in the middle of a turn, and when to try again.
    fn put_off(&mut self) -> Time {
        let now = self.clock.now();
        // Some of the turn counts already.
        self.tell_news();
        self.publish(plan(self.cycle.state(), now).1);
        now + JOURNAL_RETRY
    }

    /// Answers those who wait for a look at the workers, when it is over.
    fn tell_of_look(&mut self) {
        if self.awaiting_look.is_empty() || (self.cycle.state().is_looking() && !self.is_fenced) {
            return;
        }
        let view = self.view(plan(self.cycle.state(), self.clock.now()).1);
        for reply in self.awaiting_look.drain(..) {
            // Who asked may have gone away.
            let _ = reply.send(view.clone());
        }
    }

    /// Takes one message in; false when it is the last.
    async fn take(&mut self, message: Message) -> bool {
        let now = self.clock.now();
        match message {
            // What is another host's changes no more here.
            Message::Seen(..) | Message::Provider(_) if self.is_fenced => {}
            Message::Seen(side, observation) => self.cycle.see(side, observation),
            Message::Provider(at_hand) => self.turn_to(*at_hand).await,
            Message::Command { command, config, reply } => {
                let outcome = self.obey(&command, config.as_deref()).await;
                if outcome.is_ok() {
                    // What is told of all clusters is no older than the answer.
                    self.publish(plan(self.cycle.state(), self.clock.now()).1);
                }
                // Who asked may have gone away.
                let _ = reply.send(outcome);
            }
            Message::Preview { command, config, reply } => {
                let _ = reply.send(self.preview(&command, &config, now));
            }
            Message::Status(reply) => {
                let report = plan(self.cycle.state(), now).1;
                let _ = reply.send(self.view(report));
            }
            Message::FreshStatus(reply) => {
                self.awaiting_look.retain(|waiting| !waiting.is_closed());
                if self.awaiting_look.len() < INBOX {
                    self.awaiting_look.push(reply);
                } else {
                    // What is known is better than no answer.
                    let _ = reply.send(self.view(plan(self.cycle.state(), now).1));
                }
            }
            Message::Workers { offset, limit, reply } => {
                let state = self.cycle.state();
                let page = state.handles().skip(offset).take(limit);
                let workers = page.map(|(_, handle)| WorkerView::of(state, handle, now)).collect();
                let _ = reply.send(WorkerPage { workers, total: state.handle_count() });
            }
            Message::Live { provider, reply } => {
                // Without an answer there is nothing to compare.
                if let Some(side) = self.side_of_provider(&provider) {
                    let _ = reply.send(self.live(side));
                }
            }
            Message::Definition(reply) => _ = reply.send(Box::new(self.config.clone())),
            // What another host looks after is not this one's to clean up.
            Message::CleanUp { reply, .. } if self.is_fenced => _ = reply.send(Err(self.taken_away())),
            Message::CleanUp { deep, reply } => self.caller.clean_up(&self.config, deep, reply),
            Message::Uid(reply) => _ = reply.send(self.cycle.state().uid()),
            Message::Names { handles, reply } => {
                let state = self.cycle.state();
                let name = |id: HandleId| Some((id, Arc::clone(&state.handle(id)?.name)));
                let _ = reply.send(handles.into_iter().filter_map(name).collect());
            }
            Message::Leave => return false,
        }
        true
    }

    /// The side whose provider has that name, where the cluster uses it: it may have let go of it since it was written to.
    fn side_of_provider(&self, provider: &str) -> Option<Side> {
        let state = self.cycle.state();
        let left = state.leaving().filter(|left| **left.provider() == *provider).map(Leaving::side);
        left.or_else(|| (self.config.provider == provider).then(|| state.side()))
    }

    /// What the generations of a side's provider have to agree on; nothing of what is another host's.
    fn live(&self, side: Side) -> Live {
        let state = self.cycle.state();
        let is_told = |handle: &Handle| matches!(handle.phase, Phase::Terminating { .. });
        let handles = state.handles().filter(|(_, handle)| handle.side == side && !self.is_fenced);
        let is_unknown = |launch: &Launch| {
            launch.side == side && matches!(launch.phase, LaunchPhase::Unknown { .. }) && launch.held() > 0
        };
        let is_managed = |server: &ServerConfig| matches!(server.source, ServerSource::Managed { .. });
        Live {
            config: Box::new(self.config.clone()),
            handles: handles.map(|(_, handle)| (Arc::clone(&handle.name), is_told(handle))).collect(),
            has_unknown: !self.is_fenced && state.launches().any(|(_, launch)| is_unknown(launch)),
            // None stays behind when the cluster moves.
            has_server: side == state.side() && self.config.server.as_ref().is_some_and(is_managed),
        }
    }

    async fn obey(
        &mut self,
        command: &Command,
        config: Option<&ClusterConfig>,
    ) -> Result<Obeyed, CommandError> {
        if self.is_fenced {
            return Err(self.taken_away());
        }
        if self.cycle.state().is_finished() {
            // Only the journal has it still.
            return match command {
                Command::Delete { .. } => {
                    Ok(Obeyed { generation: self.cycle.state().generation(), changed: false })
                }
                _ => Err(self.denied(Denied::BeingDeleted)),
            };
        }
        let obeyed = self.admit(command, config).await;
        if self.is_fenced { Err(self.taken_away()) } else { obeyed }
    }

    async fn admit(
        &mut self,
        command: &Command,
        config: Option<&ClusterConfig>,
    ) -> Result<Obeyed, CommandError> {
        // What was seen before the command was given counts before it, as does what the provider can do.
        self.catch_up().await?;
        self.attach().await?;
        let command = &self.compared(command, config);
        let config = config.filter(|config| **config != self.config);
        let definition = config.map(definition).transpose()?;
        let records = self.cycle.admit(self.clock.now(), command).map_err(|denied| self.denied(denied))?;
        let changed = !records.is_empty() || config.is_some();
        let entries = definition.into_iter().chain(records.into_iter().map(Entry::Happened)).collect();
        self.append(entries).await.inspect_err(|error| {
            if !error.is_fenced() {
                // Whoever asked is told; nothing of it waits to be done.
                self.journal_trouble = None;
            }
        })?;
        if let Some(config) = config {
            self.config = config.clone();
        }
        let (shared, provider) = (&self.shared, &self.config.provider);
        self.caller.follow(self.cycle.state(), || shared.at_hand(provider, &self.name));
        let generation = self.cycle.state().generation();
        tracing::info!(cluster = &*self.name, generation, changed, "admitted: {command:?}");
        Ok(Obeyed { generation, changed })
    }

    /// The command with what only the definition of before can tell.
    fn compared(&self, command: &Command, config: Option<&ClusterConfig>) -> Command {
        let mut command = command.clone();
        if let (Command::Update { other_server, route, .. }, Some(config)) = (&mut command, config) {
            *other_server = is_other_server(self.config.server.as_ref(), config.server.as_ref());
            let (from, to) = (self.config.provider.as_str(), config.provider.as_str());
            *route = (from != to).then(|| Route { from: from.into(), to: to.into() });
        }
        let provider = config.map_or(&self.config.provider, |config| &config.provider);
        let at_hand = self.side_of_provider(provider).and_then(|side| self.caller.traits_of(side));
        if let (Command::Update { traits, .. }, Some(at_hand)) = (&mut command, at_hand) {
            // Another generation of the provider may have come since whoever gives the command looked.
            *traits = at_hand;
        }
        command
    }

    fn denied(&self, denied: Denied) -> CommandError {
        CommandError::Denied { cluster: self.name.to_string(), denied }
    }

    fn taken_away(&self) -> CommandError {
        CommandError::TakenAway { cluster: self.name.to_string() }
    }

    async fn catch_up(&mut self) -> Result<(), JournalError> {
        while let Some(records) = self.cycle.catch_up(self.clock.now()) {
            self.write(records).await?;
        }
        Ok(())
    }

    /// Lets the core know what the providers at hand can do and are made of, before anything is decided that relies on it.
    async fn attach(&mut self) -> Result<(), JournalError> {
        let sides = self.caller.called_sides();
        self.attached.retain(|attached| sides.contains(&Some(*attached)));
        for side in sides.into_iter().flatten() {
            if self.attached.contains(&side) {
                continue;
            }
            for command in self.caller.introductions(side) {
                self.catch_up().await?;
                // It is never denied.
                let admitted = self.cycle.admit(self.clock.now(), &command);
                self.write(admitted.unwrap_or_default()).await?;
            }
            self.attached.push(side);
        }
        Ok(())
    }

    /// Goes on with what there is of a provider by now, and tries at once what failed before where it is another one.
    async fn turn_to(&mut self, at_hand: AtHand) {
        let Some(side) = self.side_of_provider(&at_hand.provider) else { return };
        let is_other = self.caller.turn_to(side, at_hand);
        self.attached.retain(|attached| *attached != side);
        if self.is_over() {
            return;
        }
        // What it can do is taken in before anything else is done.
        if !is_other {
            // At once, for what comes next may wait already, and would be all that is told. Where that fails, it is tried again.
            if let Err(error) = self.attach().await {
                tracing::debug!(cluster = &*self.name, "not told at once: {error}");
            }
            return;
        }
        match self.obey(&Command::Refresh, None).await {
            Ok(_) | Err(CommandError::Denied { .. }) => {}
            // It waits for its backoff then, which is bounded.
            Err(error) => tracing::debug!(cluster = &*self.name, "not tried again at once: {error}"),
        }
    }

    async fn write(&mut self, records: Vec<Record>) -> Result<(), JournalError> {
        self.append(records.into_iter().map(Entry::Happened).collect()).await
    }

    /// Makes entries durable, and then lets what the cycle waits for count.
    async fn append(&mut self, entries: Vec<Entry>) -> Result<(), JournalError> {
        if entries.is_empty() {
            return Ok(());
        }
        match self.journal.append(&self.lease, entries).await {
            Ok(appended) => {
                self.cycle.written();
                if self.told_trouble.take().is_some() {
                    tracing::info!(cluster = &*self.name, "the journal works again");
                }
                if appended.compaction_due && self.clock.now() >= self.no_snapshot_before {
                    self.compact().await;
                }
                Ok(())
            }
            Err(error) => {
                self.cycle.refused();
                self.is_fenced = error.is_fenced();
                self.note_trouble(&error);
                Err(error)
            }
        }
    }

    /// Keeps why the journal fails, and tells the log where it is news: it is tried again and again.
    fn note_trouble(&mut self, error: &JournalError) {
        let text = error.to_string();
        if self.told_trouble.as_ref() != Some(&text) {
            let cluster = &*self.name;
            if self.is_fenced {
                tracing::error!(cluster, "{TAKEN_AWAY}: {text}");
            } else {
                tracing::error!(cluster, "nothing is done until the journal works again: {text}");
            }
            self.told_trouble = Some(text.clone());
        }
        self.journal_trouble = Some(Trouble::new(text));
    }

    /// Lets a snapshot stand for the records so far. Taking one of 1,000,000 handles holds its thread up for some 60 ms, as
    /// copying the state for another thread would; it is encoded elsewhere, and comes once in many thousand entries.
    async fn compact(&mut self) {
        if let Err(error) = self.journal.compact(&self.lease, self.cycle.state().snapshot()).await {
            tracing::warn!(cluster = &*self.name, "the journal grows, for a snapshot failed: {error}");
            self.no_snapshot_before = self.clock.now() + SNAPSHOT_RETRY;
        }
    }

    fn tell_news(&mut self) {
        for record in self.cycle.news() {
            self.tell_of(&record.change);
        }
    }

    /// Tells an operator who reads the log what went wrong, and which workers died.
    fn tell_of(&self, change: &Change) {
        let cluster = &*self.name;
        let check = change.trouble().and_then(|trouble| trouble.clause.as_deref());
        let check = check
            .zip(self.caller.library(self.side_of(change)))
            .map(|(clause, library)| check_command(library, clause));
        // Without a breach there is no such field.
        let check = check.as_deref();
        match change {
            Change::LaunchSettled { launch, trouble: Some(trouble), .. } => {
                let token = self.cycle.state().token(*launch);
                tracing::warn!(cluster, token, "the launch fell short: {trouble}");
            }
            Change::LaunchUnknown { launch, trouble, claimed, .. } => {
                let (token, claimed) = (self.cycle.state().token(*launch), claimed.len());
                tracing::warn!(
                    cluster,
                    token,
                    claimed,
                    check,
                    "what the launch created is not known: {trouble}"
                );
            }
            Change::KillFailed { handles, trouble } => {
                tracing::warn!(cluster, containers = handles.len(), check, "a kill failed: {trouble}");
            }
            Change::StatusEnded { trouble: Some(trouble), .. } => {
                tracing::warn!(cluster, check, "statuses cannot be had: {trouble}");
            }
            Change::ListEnded { trouble: Some(trouble), .. } => {
                tracing::warn!(cluster, check, "the workers cannot be listed: {trouble}");
            }
            Change::InitializeEnded { trouble: Some(trouble), .. } => {
                tracing::warn!(cluster, check, "the provider cannot prepare itself: {trouble}");
            }
            Change::ServerRunEnded { trouble: Some(trouble), .. } => {
                tracing::warn!(cluster, check, "the server could not be started: {trouble}");
            }
            Change::ServerStopEnded { trouble: Some(trouble) } => {
                tracing::warn!(cluster, check, "the server could not be stopped: {trouble}");
            }
            Change::ServerLookEnded { trouble: Some(trouble), .. } => {
                tracing::warn!(cluster, check, "how the server is cannot be had: {trouble}");
            }
            Change::ServerUp { address, replaces } => {
                tracing::info!(cluster, address = %address, replaces, "the server is up");
            }
            Change::ServerLost { trouble } => {
                tracing::warn!(cluster, check, "the server cannot be reached any more: {trouble}");
            }
            Change::ServerGone { died } => tracing::info!(cluster, died, "the server is gone"),
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
            Change::StraysSeen { strays, .. } => {
                tracing::warn!(
                    cluster,
                    containers = strays.len(),
                    "containers of nobody's launch were found"
                );
            }
            Change::StraysCondemned { handles } => {
                tracing::warn!(
                    cluster,
                    containers = handles.len(),
                    "containers of nobody's launch are killed"
                );
            }
            Change::MoveStarted { from, to, .. } => {
                tracing::info!(cluster, from = &**from, to = &**to, "moving to another provider");
            }
            Change::Recovered { term } => tracing::info!(cluster, term, "taken up from the journal"),
            Change::Reconnected { expected, .. } => tracing::info!(cluster, expected, "taken over"),
            _ => {}
        }
    }

    /// The side whose provider a change tells of.
    fn side_of(&self, change: &Change) -> Side {
        let state = self.cycle.state();
        let of_handle = |id: &HandleId| state.handle(*id).map(|handle| handle.side);
        let side = match change {
            Change::StatusEnded { side, .. }
            | Change::ListEnded { side, .. }
            | Change::InitializeEnded { side, .. } => Some(*side),
            Change::LaunchUnknown { launch, .. } => {
                state.launches().find(|(id, _)| id == launch).map(|(_, open)| open.side)
            }
            Change::KillFailed { handles, .. } => handles.iter().find_map(of_handle),
            _ => None,
        };
        side.unwrap_or(state.side())
    }

    fn preview(
        &self,
        command: &Command,
        config: &ClusterConfig,
        now: Time,
    ) -> Result<Previewed, CommandError> {
        if self.is_fenced {
            return Err(self.taken_away());
        }
        let mut state = self.cycle.state().clone();
        let (before, live) = (state.target(), state.tally().live());
        let command = self.compared(command, Some(config));
        let records = admit(&state, now, &command).map_err(|denied| self.denied(denied))?;
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
            Action::Launch { launch, workers, again, .. } => {
                let token = self.cycle.state().token(*launch);
                tracing::info!(cluster, workers, token, again, "launching workers");
            }
            Action::Kill { handles, why, .. } => {
                tracing::info!(cluster, handles = handles.len(), ?why, "killing containers");
            }
            Action::Initialize { .. } => tracing::debug!(cluster, "initializing the provider"),
            Action::List { .. } => tracing::debug!(cluster, "listing the provider's workers"),
            Action::LetGo { from, .. } => {
                tracing::info!(cluster, from = &**from, "moved: nothing is left on the provider of before");
            }
            Action::RunServer => tracing::info!(cluster, "starting the server"),
            Action::StopServer { why } => tracing::info!(cluster, ?why, "stopping the server"),
            Action::LookAtServer => tracing::trace!(cluster, "looking at the server"),
            Action::Status { live, terminating, .. } => {
                tracing::trace!(
                    cluster,
                    live = live.len(),
                    terminating = terminating.len(),
                    "asking for statuses"
                );
            }
        }
    }

    fn view(&self, report: PlanReport) -> ClusterStatus {
        let (libraries, state) = (self.caller.libraries(), self.cycle.state());
        let mut status = ClusterStatus::of(&self.name, &self.config.provider, libraries, state, report);
        status.serving = self.caller.serving().cloned();
        let Some(trouble) = self.journal_trouble.clone() else { return status };
        status.converged = false;
        if self.is_fenced {
            // Whatever could be planned, it is not for this host to do.
            let reason = Reason::JournalFailing { trouble };
            status.reasons = vec![Explanation { text: TAKEN_AWAY.to_owned(), check: None, reason }];
        } else {
            status
                .reasons
                .insert(0, Explanation::of(Reason::JournalFailing { trouble }, Libraries::default()));
        }
        status
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

    /// Removes a deleted cluster from the journal, and then from the host: its name is not free before. False where it is
    /// to be tried again.
    async fn forget(&mut self) -> bool {
        let now = self.clock.now();
        if now < self.no_removal_before {
            return false;
        }
        // Once its name is free, nobody can ask for it any more. What an operator gave up may be there still, and in use.
        if !self.is_tidied && !self.cycle.state().is_forgotten() {
            self.is_tidied = true;
            self.caller.tidy_up(&self.config).await;
        }
        match self.journal.remove(&self.lease).await {
            Ok(()) => tracing::info!(cluster = &*self.name, "the cluster is gone"),
            // An attempt before had its effect, or another host has the name now.
            Err(error) if error.is_fenced() => {
                tracing::info!(
                    cluster = &*self.name,
                    "the cluster is gone from the journal already: {error}"
                );
            }
            Err(error) => {
                self.note_trouble(&error);
                self.no_removal_before = now + JOURNAL_RETRY;
                self.tell_news();
                self.publish(plan(self.cycle.state(), now).1);
                return false;
            }
        }
        self.shared.remove_cluster(&self.name);
        true
    }
}

/// Whether a server is another one in what it runs, where, or under which password.
fn is_other_server(before: Option<&ServerConfig>, after: Option<&ServerConfig>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => before.source != after.source || before.password != after.password,
        // Whether there is one at all, and who runs it, the core sees for itself.
        _ => false,
    }
}

/// A cluster's definition as the journal keeps it.
pub(crate) fn definition(config: &ClusterConfig) -> Result<Entry, JournalError> {
    let subject = || Subject::Cluster(config.name.clone());
    serde_json::to_value(config).map(Entry::Defined).map_err(|error| unwritable(subject(), &error))
}

fn unwritable(subject: Subject, error: &serde_json::Error) -> JournalError {
    JournalError { subject, action: "written", kind: JournalErrorKind::Failed, reason: error.to_string() }
}
