//! The core, deliberately broken: each mutation bends one rule in the seam between the core and the simulated world, and the
//! tests hold that the checker of that rule sees it. The core itself is not touched.

use std::collections::VecDeque;

use longshore_scaling::{
    Action, Change, Command, Cycle, Denied, HandleId, KillReason, LaunchId, LaunchOutcome, LaunchPhase,
    Listing, Observation, Phase, PlanReport, Record, Seen, Snapshot, State, Step, Time, Trouble, admit,
};

use crate::{checkers::Checker, names::kinds};

kinds! {
    /// A rule that is bent.
    Mutation {
        LooserMaximum = "looser-maximum", "one worker more than the maximum is allowed, and wanted";
        WantsOneMore = "wants-one-more", "one worker more than was asked for is wanted";
        UnknownIsFailed = "unknown-is-failed", "a launch of unknown fate is taken for one that failed";
        BelievesOneList = "believes-one-list", "a launch that one list does not have is taken for one that failed";
        ForgetsStarted = "forgets-started", "after a restart, launches that had begun are forgotten";
        BelievesMassDeath = "believes-mass-death", "of a mass death each one is believed by itself";
        AdoptsNothing = "adopts-nothing", "what a list has and nobody knew is left out";
        RunsTwice = "runs-twice", "each launch is asked for twice";
        ActsBeforeWrite = "acts-before-write", "what is decided is done before it is durable";
        LosesIntents = "loses-intents", "what is about to be killed or launched never reaches the journal";
        RelaunchesAnew = "relaunches-anew", "a launch that is repeated gets a token of its own";
        Unprepared = "unprepared", "a provider is taken for prepared that was not asked to be";
        SnapshotsForget = "snapshots-forget", "a snapshot leaves out why launching failed";
        DropsARecord = "drops-a-record", "what statuses say does not reach the journal";
        WritesBackwards = "writes-backwards", "the records of a batch reach the journal in the wrong order";
        ForgetsTheTerm = "forgets-the-term", "every host has the same term";
        NumbersAnew = "numbers-anew", "after a restart, launches are numbered from the first";
        LosesAGeneration = "loses-a-generation", "a restart forgets the last command";
        AcknowledgesEarly = "acknowledges-early", "an operator is told that it is done before it is durable";
        NeverRecovers = "never-recovers", "a restart goes on as if nothing had been cut off";
        Oversleeps = "oversleeps", "nobody wakes up when time is up";
        DeafToKills = "deaf-to-kills", "answers of kills are lost on the host";
        Fidgets = "fidgets", "a host at rest wants fresh statuses again and again";
        KillsOneMore = "kills-one-more", "one worker more than the surplus is killed";
        KillsAtOnce = "kills-at-once", "a worker that is initializing is killed for being late at once";
        LateUnseen = "late-unseen", "who was left out of a look counts as still initializing";
        TakesNeighbours = "takes-neighbours", "a list has other clusters' containers too";
        TroublesPileUp = "troubles-pile-up", "each trouble tells of all troubles before it";
        SaysNothing = "says-nothing", "the report is empty";
        ForgetsWhatItSaw = "forgets-what-it-saw", "what was seen and written counts as not written";
        AdmitsWhileWriting = "admits-while-writing", "a command is admitted while something is being written";
    }
}

impl Mutation {
    /// Who must see it.
    pub const fn caught_by(self) -> Checker {
        match self {
            Self::LooserMaximum => Checker::NeverAboveMax,
            Self::WantsOneMore
            | Self::UnknownIsFailed
            | Self::BelievesOneList
            | Self::BelievesMassDeath
            | Self::ForgetsStarted => Checker::NeverAboveExpected,
            Self::AdoptsNothing => Checker::NothingLeaked,
            Self::RunsTwice => Checker::NoTokenTwice,
            Self::ActsBeforeWrite | Self::LosesIntents | Self::RelaunchesAnew => Checker::IntentBeforeEffect,
            Self::Unprepared => Checker::PreparedFirst,
            Self::DropsARecord | Self::WritesBackwards | Self::SnapshotsForget => Checker::ReplayEqualsLive,
            Self::ForgetsTheTerm | Self::NumbersAnew => Checker::NumbersOnlyGrow,
            Self::LosesAGeneration | Self::AcknowledgesEarly => Checker::AcknowledgedIsKept,
            Self::NeverRecovers | Self::Oversleeps | Self::DeafToKills => Checker::Converges,
            Self::Fidgets => Checker::QuietAtRest,
            Self::KillsOneMore | Self::KillsAtOnce | Self::LateUnseen => Checker::KillsHaveReason,
            Self::TakesNeighbours => Checker::ForeignersUntouched,
            Self::TroublesPileUp => Checker::BoundedMemory,
            Self::SaysNothing => Checker::ExplainsItself,
            Self::ForgetsWhatItSaw => Checker::ComesToRest,
            Self::AdmitsWhileWriting => Checker::NeverPanics,
        }
    }
}

/// Troubles pile up so high, in bytes.
const MOST_PILED: usize = 16 * 1024;
/// How often a fidgeting host fidgets, by its own clock.
const FIDGET_MILLIS: u64 = 2_000;

/// The seam: the core's cycle, as it is or with one rule bent.
#[derive(Debug)]
pub(crate) struct Core {
    cycle: Cycle,
    mutation: Option<Mutation>,
    /// Steps that a mutation puts before the core's own.
    extra: VecDeque<Step>,
    /// Whether what is being written was done already.
    done_early: bool,
    /// A handle that is killed beside the surplus.
    victim: Option<HandleId>,
    pile: String,
    fidgeted: Time,
    saw: bool,
}

impl Core {
    fn of(cycle: Cycle, mutation: Option<Mutation>) -> Self {
        let (extra, pile) = (VecDeque::new(), String::new());
        let (done_early, victim, fidgeted, saw) = (false, None, Time::default(), false);
        Self { cycle, mutation, extra, done_early, victim, pile, fidgeted, saw }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// A cluster that is made: its first records, for the journal, and how it goes on once that has them.
    pub(crate) fn create(
        now: Time,
        command: &Command,
        mutation: Option<Mutation>,
    ) -> Result<(Vec<Record>, Self), Denied> {
        let records = admit(&State::default(), now, command)?;
        let bent = bent(command, mutation);
        let bent = if bent == *command { records.clone() } else { admit(&State::default(), now, &bent)? };
        Ok((records, Self::of(Cycle::new(State::replay(&bent)), mutation)))
    }

    /// A cluster that a host takes up.
    pub(crate) fn recover(state: State, now: Time, term: u64, mutation: Option<Mutation>) -> Self {
        let cycle = match mutation {
            Some(Mutation::NeverRecovers) => Cycle::new(state),
            Some(Mutation::ForgetsTheTerm) => Cycle::recover(state, now, 1),
            Some(Mutation::LosesAGeneration) => Cycle::recover(edited(&state, lose_a_command), now, term),
            Some(Mutation::NumbersAnew) => Cycle::new(edited(&state, number_anew)),
            Some(Mutation::ForgetsStarted) => Cycle::recover(edited(&state, forget_launches), now, term),
            _ => Cycle::recover(state, now, term),
        };
        Self::of(cycle, mutation)
    }

    pub(crate) fn state(&self) -> &State {
        self.cycle.state()
    }

    pub(crate) fn see(&mut self, mut observation: Observation) {
        match (&mut observation, self.mutation) {
            (Observation::Launch { outcome, .. }, Some(Mutation::UnknownIsFailed)) => {
                if let LaunchOutcome::Unknown { trouble, .. } = outcome {
                    *outcome = LaunchOutcome::Failed { trouble: trouble.clone(), retryable: true };
                }
            }
            (Observation::Listed(Ok(entries)), Some(Mutation::AdoptsNothing)) => {
                let known =
                    |name: &str| self.cycle.state().handles().any(|(_, handle)| *handle.name == *name);
                entries.retain(|entry| known(&entry.name));
            }
            (Observation::Listed(Ok(entries)), Some(Mutation::BelievesOneList)) => {
                for launch in self.unlisted(entries) {
                    let trouble = Trouble::new("a list does not have it");
                    let outcome = LaunchOutcome::Failed { trouble, retryable: true };
                    self.cycle.see(Observation::Launch { launch, outcome });
                }
            }
            (Observation::Statuses { asked_at, seen }, Some(Mutation::BelievesMassDeath)) => {
                for one in seen.drain(..) {
                    self.cycle.see(Observation::Statuses { asked_at: *asked_at, seen: vec![one] });
                }
            }
            (Observation::Statuses { seen, .. }, Some(Mutation::LateUnseen)) => {
                let is_missing = |id: &HandleId| seen.iter().all(|(seen, _)| seen != id);
                let starting = self
                    .cycle
                    .state()
                    .handles()
                    .filter(|(_, handle)| matches!(handle.phase, Phase::Initializing { .. }));
                let missing: Vec<_> = starting.map(|(id, _)| id).filter(is_missing).collect();
                seen.extend(missing.into_iter().map(|id| (id, Seen::Initializing)));
            }
            (Observation::Killed { .. }, Some(Mutation::DeafToKills)) => return,
            (observation, Some(Mutation::TroublesPileUp)) => self.pile_up(observation),
            _ => {}
        }
        self.saw = true;
        self.cycle.see(observation);
    }

    /// Launches of unknown fate of which a list has nothing.
    fn unlisted(&self, entries: &[Listing]) -> Vec<LaunchId> {
        let state = self.cycle.state();
        let is_unlisted = |launch: &LaunchId| entries.iter().all(|entry| entry.token != state.token(*launch));
        let unknown = state.launches().filter(|(_, launch)| {
            matches!(launch.phase, LaunchPhase::Unknown { returned: true, repeats: 0, .. })
        });
        unknown.map(|(launch, _)| launch).filter(is_unlisted).collect()
    }

    fn pile_up(&mut self, observation: &mut Observation) {
        let mut add = |trouble: &mut Trouble| {
            if self.pile.len() < MOST_PILED {
                self.pile = format!("{} after {} after {}", trouble.text, self.pile, self.pile);
            }
            trouble.text.clone_from(&self.pile);
        };
        match observation {
            Observation::Launch { outcome: LaunchOutcome::Failed { trouble, .. }, .. }
            | Observation::Launch { outcome: LaunchOutcome::Unknown { trouble, .. }, .. } => add(trouble),
            Observation::Killed { answers } => {
                answers.iter_mut().filter_map(|(_, answer)| answer.as_mut().err()).for_each(add);
            }
            _ => {}
        }
    }

    /// What stands for all records so far.
    pub(crate) fn snapshot(&self) -> Snapshot {
        if self.is(Mutation::SnapshotsForget) {
            return edited(self.state(), |head| head["launch_trouble"] = serde_json::Value::Null).snapshot();
        }
        self.state().snapshot()
    }

    /// What must be durable before a command is decided on.
    pub(crate) fn catch_up(&mut self, now: Time) -> Option<Vec<Record>> {
        let records = self.cycle.catch_up(now)?;
        Some(self.for_the_journal(records))
    }

    pub(crate) fn admit(&mut self, now: Time, command: &Command) -> Result<Vec<Record>, Denied> {
        let records = self.cycle.admit(now, &bent(command, self.mutation))?;
        Ok(self.for_the_journal(records))
    }

    pub(crate) fn next(&mut self, now: Time) -> Step {
        if let Some(step) = self.extra.pop_front() {
            return step;
        }
        match self.cycle.next(now) {
            Step::Write(records) => {
                if self.is(Mutation::AdmitsWhileWriting) {
                    // It panics, as it says.
                    _ = self.cycle.admit(now, &Command::Refresh);
                }
                if self.is(Mutation::ActsBeforeWrite) && !self.done_early {
                    let actions = actions(&records);
                    if !actions.is_empty() {
                        self.done_early = true;
                        return Step::Act(actions);
                    }
                }
                Step::Write(self.for_the_journal(records))
            }
            Step::Act(mut actions) => {
                if self.is(Mutation::Unprepared) && actions.contains(&Action::Initialize) {
                    actions.retain(|action| *action != Action::Initialize);
                    self.cycle.see(Observation::Initialized(Ok(())));
                }
                Step::Act(self.bent_actions(actions))
            }
            Step::Rest { wake_at, report } => {
                if self.is(Mutation::Fidgets)
                    && now >= self.fidgeted + std::time::Duration::from_millis(FIDGET_MILLIS)
                {
                    self.fidgeted = now;
                    if let Ok(records) = self.cycle.admit(now, &Command::Refresh) {
                        return Step::Write(records);
                    }
                }
                let wake_at = if self.is(Mutation::Oversleeps) { None } else { wake_at };
                let report = if self.is(Mutation::SaysNothing) { PlanReport::default() } else { report };
                Step::Rest { wake_at, report }
            }
        }
    }

    pub(crate) fn written(&mut self) {
        if self.is(Mutation::ForgetsWhatItSaw) && std::mem::take(&mut self.saw) {
            self.saw = true;
            self.cycle.refused();
            return;
        }
        self.cycle.written();
    }

    pub(crate) fn refused(&mut self) {
        (self.victim, self.done_early) = (None, false);
        self.cycle.refused();
    }

    fn bent_actions(&mut self, mut actions: Vec<Action>) -> Vec<Action> {
        match self.mutation {
            Some(Mutation::RunsTwice) => {
                let launches = actions.iter().filter(|action| matches!(action, Action::Launch { .. }));
                let again: Vec<_> = launches.cloned().collect();
                actions.extend(again);
            }
            Some(Mutation::ActsBeforeWrite) if std::mem::take(&mut self.done_early) => {
                actions.retain(|action| !matches!(action, Action::Launch { .. } | Action::Kill { .. }));
            }
            Some(Mutation::KillsOneMore) => {
                for action in &mut actions {
                    if let Action::Kill { handles, why: KillReason::Surplus } = action {
                        handles.extend(self.victim.take());
                    }
                }
            }
            Some(Mutation::RelaunchesAnew) => {
                for action in &mut actions {
                    if let Action::Launch { launch, again: true, .. } = action {
                        *launch = LaunchId(launch.0 + 1_000);
                    }
                }
            }
            _ => {}
        }
        actions
    }

    fn for_the_journal(&mut self, mut records: Vec<Record>) -> Vec<Record> {
        match self.mutation {
            Some(Mutation::LosesIntents) => records.retain(|record| !is_intent(&record.change)),
            Some(Mutation::DropsARecord) => {
                records.retain(|record| !matches!(record.change, Change::PhaseSeen { .. }));
            }
            Some(Mutation::WritesBackwards) => records.reverse(),
            Some(Mutation::LooserMaximum) => {
                for record in &mut records {
                    if let Change::Updated { policy, expected, .. } = &mut record.change {
                        policy.max -= 1;
                        *expected -= 1;
                    }
                }
            }
            Some(Mutation::KillsOneMore) => self.kill_one_more(&mut records),
            Some(Mutation::KillsAtOnce) => {
                for record in &mut records {
                    if let Change::KillStarted { why, .. } = &mut record.change {
                        *why = KillReason::LaunchTimeout;
                    }
                }
            }
            _ => {}
        }
        records
    }

    fn kill_one_more(&mut self, records: &mut [Record]) {
        for record in records {
            let Change::KillStarted { handles, why: KillReason::Surplus, .. } = &mut record.change else {
                continue;
            };
            let spared = self.cycle.state().handles().find(|(id, handle)| {
                !matches!(handle.phase, Phase::Terminating { .. }) && !handles.contains(id)
            });
            self.victim = spared.map(|(id, _)| id);
            handles.extend(self.victim);
        }
    }
}

fn is_intent(change: &Change) -> bool {
    matches!(
        change,
        Change::LaunchStarted { .. } | Change::LaunchRepeated { .. } | Change::KillStarted { .. }
    )
}

/// The actions that intents are for.
fn actions(records: &[Record]) -> Vec<Action> {
    let action = |record: &Record| match &record.change {
        Change::LaunchStarted { launch, workers, .. } => {
            Some(Action::Launch { launch: *launch, workers: *workers, again: false })
        }
        Change::KillStarted { handles, why, .. } => {
            Some(Action::Kill { handles: handles.clone(), why: *why })
        }
        _ => None,
    };
    records.iter().filter_map(action).collect()
}

/// A command as a bent rule has it.
fn bent(command: &Command, mutation: Option<Mutation>) -> Command {
    let mut command = command.clone();
    if let Command::Create { policy, expected, .. } | Command::Update { policy, expected, .. } = &mut command
    {
        match mutation {
            Some(Mutation::LooserMaximum) => {
                policy.max += 1;
                *expected += 1;
            }
            Some(Mutation::WantsOneMore) if *expected < policy.max => *expected += 1,
            _ => {}
        }
    }
    command
}

/// A state that is not quite the one that was kept.
fn edited(state: &State, edit: impl Fn(&mut serde_json::Value)) -> State {
    let mut snapshot = serde_json::to_value(state.snapshot()).expect("a snapshot is data");
    edit(&mut snapshot["head"]);
    let snapshot = serde_json::from_value(snapshot).expect("it is still a snapshot");
    State::restore(snapshot).expect("it still agrees with itself")
}

fn lose_a_command(head: &mut serde_json::Value) {
    let generation = head["generation"].as_u64().unwrap_or(0);
    head["generation"] = generation.saturating_sub(1).into();
}

fn number_anew(head: &mut serde_json::Value) {
    (head["next_launch"], head["launches"]) = (0.into(), serde_json::json!([]));
}

fn forget_launches(head: &mut serde_json::Value) {
    head["launches"] = serde_json::json!([]);
}
