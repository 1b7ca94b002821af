//! What happened in runs, counted, so that one sees that nothing is vacuous: a fault that never strikes finds nothing.

use std::{collections::BTreeMap, fmt};

use longshore_scaling::{Action, Change, Command, Denied, KillReason, Reason, Remedy, StopReason};

use crate::{
    fault::Fault,
    names::{kinds, names},
};

names! {
    /// The name of a change.
    change, CHANGES, Change {
        Change::Created { .. } => "created",
        Change::Recovered { .. } => "recovered",
        Change::Attached { .. } => "attached",
        Change::Served { .. } => "served",
        Change::Unserved { .. } => "unserved",
        Change::MoveStarted { .. } => "move-started",
        Change::MoveEnded { .. } => "move-ended",
        Change::Rested => "rested",
        Change::ReconnectStarted => "reconnect-started",
        Change::ReconnectLooked { .. } => "reconnect-looked",
        Change::Reconnected { .. } => "reconnected",
        Change::Scaled { .. } => "scaled",
        Change::Updated { .. } => "updated",
        Change::DesiredSet { .. } => "desired-set",
        Change::Forgotten => "forgotten",
        Change::Refreshed => "refreshed",
        Change::LaunchStarted { .. } => "launch-started",
        Change::LaunchRepeated { .. } => "launch-repeated",
        Change::LaunchSettled { .. } => "launch-settled",
        Change::LaunchUnknown { .. } => "launch-unknown",
        Change::LaunchNotListed { .. } => "launch-not-listed",
        Change::LaunchResolved { .. } => "launch-resolved",
        Change::StraysSeen { .. } => "strays-seen",
        Change::StraysGone { .. } => "strays-gone",
        Change::StraysCondemned { .. } => "strays-condemned",
        Change::Adopted { .. } => "adopted",
        Change::KillStarted { .. } => "kill-started",
        Change::KillAnswered { .. } => "kill-answered",
        Change::KillFailed { .. } => "kill-failed",
        Change::PhaseSeen { .. } => "phase-seen",
        Change::LateSeen { .. } => "late-seen",
        Change::Gone { .. } => "gone",
        Change::Suspected { .. } => "suspected",
        Change::SuspicionEnded { .. } => "suspicion-ended",
        Change::Stable => "stable",
        Change::StatusStarted { .. } => "status-started",
        Change::StatusEnded { .. } => "status-ended",
        Change::ListStarted { .. } => "list-started",
        Change::ListEnded { .. } => "list-ended",
        Change::InitializeStarted { .. } => "initialize-started",
        Change::InitializeEnded { .. } => "initialize-ended",
        Change::ServerStarted => "server-started",
        Change::ServerUp { replaces: false, .. } => "server-up",
        Change::ServerUp { replaces: true, .. } => "server-up-and-replaces",
        Change::ServerLost { .. } => "server-lost",
        Change::ServerStopStarted { .. } => "server-stop-started",
        Change::ServerGone { died: false } => "server-gone",
        Change::ServerGone { died: true } => "server-died",
        Change::ServerRunEnded { .. } => "server-run-ended",
        Change::ServerStopEnded { .. } => "server-stop-ended",
        Change::ServerLookStarted => "server-look-started",
        Change::ServerLookEnded { .. } => "server-look-ended",
    }
}

names! {
    /// The name of an action.
    action, ACTIONS, Action {
        Action::Initialize { .. } => "initialize",
        Action::List { .. } => "list",
        Action::Launch { again: false, .. } => "launch",
        Action::Launch { again: true, .. } => "launch-again",
        Action::Kill { why: KillReason::Surplus, .. } => "kill-surplus",
        Action::Kill { why: KillReason::LaunchTimeout, .. } => "kill-late-starters",
        Action::Kill { why: KillReason::StillThere, .. } => "kill-still-there",
        Action::Kill { why: KillReason::Outstanding, .. } => "kill-outstanding",
        Action::Kill { why: KillReason::OtherServer, .. } => "kill-other-server",
        Action::Kill { why: KillReason::Moved, .. } => "kill-moved",
        Action::Status { .. } => "status",
        Action::LetGo { .. } => "let-go",
        Action::RunServer => "run-server",
        Action::StopServer { why: StopReason::Unwanted } => "stop-server",
        Action::StopServer { why: StopReason::StartTimeout } => "stop-late-server",
        Action::LookAtServer => "look-at-server",
    }
}

names! {
    /// The name of a reason of a report.
    reason, REASONS, Reason {
        Reason::AtTarget { .. } => "at-target",
        Reason::Stopped { .. } => "stopped",
        Reason::Resting { .. } => "resting",
        Reason::Reconnecting { .. } => "reconnecting",
        Reason::Strays { .. } => "strays",
        Reason::Deleting => "deleting",
        Reason::JournalFailing { .. } => "journal-failing",
        Reason::FindingWorkers { .. } => "finding-workers",
        Reason::Moving { .. } => "moving",
        Reason::MoveBlocked { .. } => "move-blocked",
        Reason::Left { .. } => "left",
        Reason::Initializing { .. } => "initializing",
        Reason::Launching { .. } => "launching",
        Reason::Killing { .. } => "killing",
        Reason::LaunchesInFlight { .. } => "launches-in-flight",
        Reason::LaunchLimit { .. } => "launch-limit",
        Reason::Starting { .. } => "starting",
        Reason::Stopping { .. } => "stopping",
        Reason::BackingOff { .. } => "backing-off",
        Reason::CrashLoop { .. } => "crash-loop",
        Reason::HeldForUnknown { remedy: Remedy::WaitForReturn, .. } => "held-until-it-returns",
        Reason::HeldForUnknown { remedy: Remedy::List, .. } => "held-for-a-list",
        Reason::HeldForUnknown { remedy: Remedy::Repeat, .. } => "held-for-a-repeat",
        Reason::HeldForUnknown { remedy: Remedy::Operator, .. } => "held-for-an-operator",
        Reason::SharedHandles { .. } => "shared-handles",
        Reason::AtMaximum { .. } => "at-maximum",
        Reason::MassDeath { .. } => "mass-death",
        Reason::StatusFailing { .. } => "status-failing",
        Reason::ListFailing { .. } => "list-failing",
        Reason::KillFailing { .. } => "kill-failing",
        Reason::ServerStarting { .. } => "server-starting",
        Reason::ServerUnseen => "server-unseen",
        Reason::ServerLost { .. } => "server-lost",
        Reason::ServerBackingOff { .. } => "server-backing-off",
        Reason::ServerHangs => "server-hangs",
        Reason::ServerStatusFailing { .. } => "server-status-failing",
        Reason::ServerOutlivesWorkers => "server-outlives-workers",
        Reason::ServerStopping { .. } => "server-stopping",
        Reason::ServerUnsupported => "server-unsupported",
    }
}

names! {
    /// The name of a command.
    command, COMMANDS, Command {
        Command::Create { .. } => "create",
        Command::Scale { .. } => "scale",
        Command::Update { route: None, .. } => "update",
        Command::Update { route: Some(_), .. } => "move",
        Command::Attach { .. } => "attach",
        Command::Serve { .. } => "serve",
        Command::Lose { .. } => "lose",
        Command::Start => "start",
        Command::Stop => "stop",
        Command::Delete { force: false } => "delete",
        Command::Delete { force: true } => "delete-by-force",
        Command::Rest => "rest",
        Command::Reconnect => "reconnect",
        Command::Resolve { .. } => "resolve",
        Command::Refresh => "refresh",
    }
}

names! {
    /// The name of a denial.
    denied, DENIALS, Denied {
        Denied::OutOfLimits { .. } => "out-of-limits",
        Denied::Policy(_) => "policy",
        Denied::CannotList => "cannot-list",
        Denied::NoSuchLaunch { .. } => "no-such-launch",
        Denied::InFlight { .. } => "in-flight",
        Denied::TooMany { .. } => "too-many",
        Denied::BadHandle { .. } => "bad-handle",
        Denied::BeingDeleted => "being-deleted",
        Denied::IsStopped => "is-stopped",
        Denied::CannotServe => "cannot-serve",
        Denied::ServerStaysBehind { .. } => "server-stays-behind",
        Denied::IsMoving { .. } => "is-moving",
        Denied::ServerIsThere => "server-is-there",
    }
}

kinds! {
    /// Something else worth counting.
    Event {
        HostStarted = "host-started", "a host began";
        Replayed = "replayed", "a journal was compared with the state that lives";
        Compacted = "compacted", "a snapshot took the place of records";
        FromSnapshot = "from-snapshot", "a host began from a snapshot";
        TornKept = "torn-kept", "an append that was cut off was there";
        TornLost = "torn-lost", "an append that was cut off was not there";
        LimboFound = "limbo-found", "an append that had been refused was found after a crash";
        Fenced = "fenced", "a host that was taken for dead tried to write";
        LateEffect = "late-effect", "a call took effect after its host had ended";
        LateAnswer = "late-answer", "a launch was answered after its deadline";
        LateServer = "late-server", "a call started a server after its host had ended";
        ServerOfAnotherKind = "server-of-another-kind", "a cluster got a server of another kind, or lost it";
        ServedQuiet = "served-quiet", "faults had stopped, and all was as wanted and quiet, with a server that was up";
        TurnedBack = "turned-back", "a cluster turned back to the provider that it was leaving";
        Finished = "finished", "a deleted cluster was gone";
        Recreated = "recreated", "a cluster was made anew under the old name";
        HostLeft = "host-left", "a host left with all its workers";
        ClusterTakenOver = "cluster-taken-over", "a cluster was taken over with the workers that ran already";
        Quiet = "quiet", "faults had stopped, and all was as wanted and quiet";
    }
}

/// Counts, by kind.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<(&'static str, &'static str), u64>,
    /// Seeds that were run.
    pub seeds: u64,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
}

/// What never reaches whoever counts: the real shell's own reason; reasons of plans that act, for only a host at rest tells
/// its report; and changes that no journal holds, whose actions are counted.
const OUT_OF_REACH: &[(&str, &str)] = &[
    ("reason", "journal-failing"),
    ("reason", "launching"),
    ("reason", "killing"),
    ("change", "late-seen"),
    ("change", "status-started"),
    ("change", "status-ended"),
    ("change", "list-started"),
    ("change", "list-ended"),
    ("change", "initialize-started"),
    ("change", "initialize-ended"),
    ("change", "server-stop-ended"),
    ("change", "server-look-started"),
    ("change", "server-look-ended"),
];

impl Coverage {
    pub(crate) fn count(&mut self, kind: &'static str, name: &'static str) {
        *self.counts.entry((kind, name)).or_default() += 1;
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.count("event", event.name());
    }

    /// How often something happened that is neither a fault nor the core's own.
    pub fn of_event(&self, event: Event) -> u64 {
        self.of("event", event.name())
    }

    /// How often something happened.
    pub fn of(&self, kind: &str, name: &str) -> u64 {
        self.counts.iter().find(|((k, n), _)| *k == kind && *n == name).map_or(0, |(_, count)| *count)
    }

    /// Takes another run's counts in.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
        self.seeds += other.seeds;
        self.virtual_ms += other.virtual_ms;
    }

    /// Everything that could happen, by kind and name.
    pub fn everything() -> Vec<(&'static str, &'static str)> {
        let kinds =
            |kind: &'static str, names: Vec<&'static str>| names.into_iter().map(move |name| (kind, name));
        let faults = Fault::ALL.iter().map(|fault| fault.name()).collect();
        let events = Event::ALL.iter().map(|event| event.name()).collect();
        kinds("fault", faults)
            .chain(kinds("event", events))
            .chain(kinds("change", CHANGES.to_vec()))
            .chain(kinds("action", ACTIONS.to_vec()))
            .chain(kinds("reason", REASONS.to_vec()))
            .chain(kinds("command", COMMANDS.to_vec()))
            .chain(kinds("denied", DENIALS.to_vec()))
            .filter(|thing| !OUT_OF_REACH.contains(thing))
            .collect()
    }

    /// What never happened, though it could.
    pub fn missing(&self) -> Vec<String> {
        let missing = Self::everything().into_iter().filter(|(kind, name)| self.of(kind, name) == 0);
        missing.map(|(kind, name)| format!("{kind} {name}")).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const COLUMNS: usize = 3;
        let mut last = "";
        let mut column = 0;
        for (kind, name) in Self::everything() {
            if kind != last {
                if !last.is_empty() {
                    writeln!(f)?;
                }
                let plural = if kind == "denied" { "denials".to_owned() } else { format!("{kind}s") };
                write!(f, "{plural}:")?;
                (last, column) = (kind, 0);
            }
            if column % COLUMNS == 0 {
                write!(f, "\n ")?;
            }
            column += 1;
            write!(f, " {:>10} {name:<24}", self.of(kind, name))?;
        }
        Ok(())
    }
}
