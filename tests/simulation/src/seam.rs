//! The seam between the simulated world and the core: the core's cycle as it is, or with one rule bent.

mod bends;

use std::collections::BTreeSet;

use longshore_scaling::{
    Action, Change, Command, Cycle, Denied, Desired, HandleId, KillReason, LaunchId, LaunchOutcome,
    LaunchPhase, Listing, Observation, Phase, PlanReport, Record, Seen, Server, ServerKind, ServerSeen, Side,
    Snapshot, State, Step, StopReason, Time, Trouble, admit,
};

use self::bends::{actions, bent, edited, forget_launches, is_intent, lose_a_command, number_anew, unbend};
use crate::mutation::Mutation;

/// Troubles pile up so high, in bytes.
const MOST_PILED: usize = 16 * 1024;
/// How often a fidgeting host fidgets, by its own clock.
const FIDGET_MILLIS: u64 = 2_000;

/// The seam: the core's cycle, as it is or with one rule bent.
#[derive(Debug)]
pub(crate) struct Core {
    cycle: Cycle,
    mutation: Option<Mutation>,
    /// Whether what is being written was done already.
    done_early: bool,
    /// A handle that is killed beside the surplus.
    victim: Option<HandleId>,
    /// Handles that are not killed.
    spared: BTreeSet<HandleId>,
    pile: String,
    fidgeted: Time,
    saw: bool,
}

impl Core {
    fn of(cycle: Cycle, mutation: Option<Mutation>) -> Self {
        let (done_early, saw) = (false, false);
        Self {
            cycle,
            mutation,
            done_early,
            victim: None,
            spared: BTreeSet::new(),
            pile: String::new(),
            fidgeted: Time::default(),
            saw,
        }
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

    pub(crate) fn see(&mut self, mut side: Side, mut observation: Observation) {
        let here = self.state().side();
        match (&mut observation, self.mutation) {
            (Observation::Launch { outcome, .. }, Some(Mutation::UnknownIsFailed)) => {
                if let LaunchOutcome::Unknown { trouble, .. } = outcome {
                    *outcome = LaunchOutcome::Failed { trouble: trouble.clone(), retryable: true };
                }
            }
            (Observation::Listed(Ok(entries)), Some(Mutation::AdoptsNothing)) => {
                let known = |name: &str| {
                    let mut handles = self.cycle.state().handles();
                    handles.any(|(_, handle)| handle.side == side && *handle.name == *name)
                };
                entries.retain(|entry| known(&entry.name));
            }
            (Observation::Listed(Ok(entries)), Some(Mutation::BelievesOneList)) => {
                for launch in self.unlisted(side, entries) {
                    let trouble = Trouble::new("a list does not have it");
                    let outcome = LaunchOutcome::Failed { trouble, retryable: true };
                    self.cycle.see(side, Observation::Launch { launch, outcome });
                }
            }
            (Observation::Statuses { asked_at, seen }, Some(Mutation::BelievesMassDeath)) => {
                for one in seen.drain(..) {
                    self.cycle.see(side, Observation::Statuses { asked_at: *asked_at, seen: vec![one] });
                }
            }
            (Observation::Statuses { seen, .. }, Some(Mutation::LateUnseen)) => {
                let is_missing = |id: &HandleId| seen.iter().all(|(seen, _)| seen != id);
                let starting = self.cycle.state().handles().filter(|(_, handle)| {
                    handle.side == side && matches!(handle.phase, Phase::Initializing { .. })
                });
                let missing: Vec<_> = starting.map(|(id, _)| id).filter(is_missing).collect();
                seen.extend(missing.into_iter().map(|id| (id, Seen::Initializing)));
            }
            (Observation::Statuses { seen, .. }, Some(Mutation::LetsGoEarly)) if side != here => {
                for (_, seen) in seen.iter_mut() {
                    *seen = Seen::Stopped;
                }
            }
            (Observation::Listed(Ok(_)), Some(Mutation::MixesSides)) => side = here,
            (Observation::Killed { .. }, Some(Mutation::DeafToKills)) => return,
            (Observation::ServerLooked(Ok(seen)), Some(Mutation::TakesItForUp)) => {
                if let ServerSeen::Unreachable { address, .. } = seen {
                    *seen = ServerSeen::Up { address: address.clone() };
                }
            }
            (observation, Some(Mutation::TroublesPileUp)) => self.pile_up(observation),
            _ => {}
        }
        self.saw = true;
        let believes = self.is(Mutation::BelievesTheStop)
            && matches!(observation, Observation::ServerStopAnswered(Ok(())));
        self.cycle.see(side, observation);
        if believes {
            self.cycle.see(side, Observation::ServerLooked(Ok(ServerSeen::Stopped)));
        }
    }

    /// Launches of unknown fate of which a list has nothing.
    fn unlisted(&self, side: Side, entries: &[Listing]) -> Vec<LaunchId> {
        let state = self.cycle.state();
        let is_unlisted = |launch: &LaunchId| entries.iter().all(|entry| entry.token != state.token(*launch));
        let unknown = state.launches().filter(|(_, launch)| {
            launch.side == side
                && matches!(launch.phase, LaunchPhase::Unknown { returned: true, repeats: 0, .. })
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
        match self.cycle.next(now) {
            Step::Write(records) => {
                if self.is(Mutation::AdmitsWhileWriting) {
                    // It panics, as it says.
                    _ = self.cycle.admit(now, &Command::Refresh);
                }
                if self.is(Mutation::ActsBeforeWrite) && !self.done_early {
                    let actions = actions(&records, self.state());
                    if !actions.is_empty() {
                        self.done_early = true;
                        return Step::Act(actions);
                    }
                }
                Step::Write(self.for_the_journal(records))
            }
            Step::Act(mut actions) => {
                if self.is(Mutation::Unprepared) {
                    self.take_for_prepared(&mut actions);
                }
                if self.is(Mutation::TrustsTheHostBefore) {
                    self.trust(&mut actions);
                }
                if self.is(Mutation::SparesTheStale) {
                    self.spare(&mut actions);
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

    /// Nobody is asked to prepare himself, and all are said to have done so.
    fn take_for_prepared(&mut self, actions: &mut Vec<Action>) {
        for action in &*actions {
            if let Action::Initialize { side } = action {
                self.cycle.see(*side, Observation::Initialized(Ok(())));
            }
        }
        actions.retain(|action| !matches!(action, Action::Initialize { .. }));
    }

    /// The server was up for the host before, and so it is.
    fn trust(&mut self, actions: &mut Vec<Action>) {
        let up = self.state().server().filter(|server| server.is_up()).and_then(|it| it.address.clone());
        let Some(address) = up.filter(|_| actions.contains(&Action::LookAtServer)) else { return };
        actions.retain(|action| *action != Action::LookAtServer);
        let side = self.state().side();
        self.cycle.see(side, Observation::ServerLooked(Ok(ServerSeen::Up { address })));
    }

    /// Who is to go for the server's sake stays, and it is said that all went.
    fn spare(&mut self, actions: &mut Vec<Action>) {
        let spared = &mut self.spared;
        for action in &mut *actions {
            let Action::Kill { side, handles, why } = action else { continue };
            if *why == KillReason::OtherServer {
                spared.extend(handles.iter());
            }
            let answers: Vec<_> =
                handles.iter().filter(|id| spared.contains(id)).map(|id| (*id, Ok(()))).collect();
            handles.retain(|id| !spared.contains(id));
            if !answers.is_empty() {
                self.cycle.see(*side, Observation::Killed { answers });
            }
        }
        actions.retain(|action| !matches!(action, Action::Kill { handles, .. } if handles.is_empty()));
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
                    if let Action::Kill { handles, why: KillReason::Surplus, .. } = action {
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
            Some(Mutation::LooserSurge) => unbend(&mut records, |policy| {
                policy.surge = policy.surge.map(|surge| surge - 1);
            }),
            Some(Mutation::MissesOneMore) => unbend(&mut records, |policy| policy.missing -= 1),
            Some(Mutation::KillsOneMore) => self.kill_one_more(&mut records),
            Some(Mutation::StopsTheServerFirst) => {
                let state = self.cycle.state();
                let kills = records.iter().find(|it| matches!(it.change, Change::KillStarted { .. }));
                if let Some(at) = kills.map(|record| record.at)
                    && state.desired() != Desired::Running
                    && state.server().is_some_and(|it| it.policy.kind == ServerKind::Managed)
                    && state.server().is_some_and(Server::is_up)
                {
                    records.push(Change::ServerStopStarted { why: StopReason::Unwanted }.at(at));
                }
            }
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
            let side = self.cycle.state().side();
            let spared = self.cycle.state().handles().find(|(id, handle)| {
                handle.side == side
                    && !matches!(handle.phase, Phase::Terminating { .. })
                    && !handles.contains(id)
            });
            self.victim = spared.map(|(id, _)| id);
            handles.extend(self.victim);
        }
    }
}
