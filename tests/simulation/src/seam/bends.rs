//! What the bent rules are made of: commands, states and lists of records that are not quite what they were.

use longshore_scaling::{Action, Change, Command, Policy, Record, State};

use crate::mutation::Mutation;

pub(super) fn is_intent(change: &Change) -> bool {
    matches!(
        change,
        Change::LaunchStarted { .. }
            | Change::LaunchRepeated { .. }
            | Change::KillStarted { .. }
            | Change::ServerStarted
            | Change::ServerStopStarted { .. }
    )
}

/// The actions that intents are for.
pub(super) fn actions(records: &[Record], state: &State) -> Vec<Action> {
    let action = |record: &Record| match &record.change {
        Change::LaunchStarted { launch, workers, .. } => {
            Some(Action::Launch { side: state.side(), launch: *launch, workers: *workers, again: false })
        }
        Change::KillStarted { handles, why, .. } => {
            let side = handles.first().and_then(|id| state.handle(*id)).map(|handle| handle.side)?;
            Some(Action::Kill { side, handles: handles.clone(), why: *why })
        }
        _ => None,
    };
    records.iter().filter_map(action).collect()
}

/// A command as a bent rule has it.
pub(super) fn bent(command: &Command, mutation: Option<Mutation>) -> Command {
    let mut command = command.clone();
    if let Command::Create { policy, expected, .. } | Command::Update { policy, expected, .. } = &mut command
    {
        match mutation {
            Some(Mutation::LooserMaximum) => {
                policy.max += 1;
                *expected += 1;
            }
            Some(Mutation::LooserSurge) => policy.surge = policy.surge.map(|surge| surge + 1),
            Some(Mutation::MissesOneMore) => policy.missing += 1,
            Some(Mutation::WantsOneMore) if *expected < policy.max => *expected += 1,
            _ => {}
        }
    }
    if let (Command::Create { per_container, .. }, Some(Mutation::CutsAnyhow)) = (&mut command, mutation) {
        *per_container = 1;
    }
    command
}

/// What the journal is told of a policy that was bent.
pub(super) fn unbend(records: &mut [Record], straighten: impl Fn(&mut Policy)) {
    for record in records {
        if let Change::Updated { policy, .. } = &mut record.change {
            straighten(policy);
        }
    }
}

/// A state that is not quite the one that was kept.
pub(super) fn edited(state: &State, edit: impl Fn(&mut serde_json::Value)) -> State {
    let mut snapshot = serde_json::to_value(state.snapshot()).expect("a snapshot is data");
    edit(&mut snapshot["head"]);
    let snapshot = serde_json::from_value(snapshot).expect("it is still a snapshot");
    State::restore(snapshot).expect("it still agrees with itself")
}

pub(super) fn lose_a_command(head: &mut serde_json::Value) {
    let generation = head["generation"].as_u64().unwrap_or(0);
    head["generation"] = generation.saturating_sub(1).into();
}

pub(super) fn number_anew(head: &mut serde_json::Value) {
    (head["next_launch"], head["launches"]) = (0.into(), serde_json::json!([]));
}

pub(super) fn forget_launches(head: &mut serde_json::Value) {
    head["launches"] = serde_json::json!([]);
}
