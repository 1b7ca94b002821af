//! What must hold, whatever happens. The checkers see the truth of the backend, the records that the journal holds, and
//! what anybody may ask of a state; they share no code with what they check. What is wanted and known they reckon for
//! themselves, from the records ([`ledger`]).

mod endings;
mod kills;
mod launches;
mod ledger;
mod moves;
mod numbers;
mod rest;
mod servers;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use longshore_scaling::{HandleId, Leaving, Record, Seen, Side, State, Time};

use crate::{
    backend::{Backend, Name},
    names::kinds,
    queue::HostId,
};

pub(crate) use {ledger::Ledger, rest::unwrapped};

kinds! {
    /// A rule, and who holds the core to it.
    Checker {
        NeverAboveMax = "never-above-max", "no launch begins that could bring more workers alive than the maximum";
        NeverAboveExpected = "never-above-expected", "no launch begins that could bring more workers than are wanted";
        NeverAboveCeiling = "never-above-ceiling", "while the cluster moves, no launch begins that could bring more workers than the surge allows";
        NeverBelowFloor = "never-below-floor", "while the cluster moves, nobody goes without another one at work, but those that may be missing";
        NobodyLeftBehind = "nobody-left-behind", "a provider is let go only when no worker of the cluster is there, nor may yet come";
        SidesApart = "sides-apart", "what one provider has is never taken for something of the other's";
        NothingLeaked = "nothing-leaked", "once replies are settled, no worker lives that the state does not know";
        NoTokenTwice = "no-token-twice", "no token is launched twice, but where the provider is idempotent";
        IntentBeforeEffect = "intent-before-effect", "nothing is launched or killed before the journal says so";
        PreparedFirst = "prepared-first", "nothing is launched before the provider is prepared, where it must be";
        ServerFirst = "server-first", "nobody is launched but for a server that this host has seen up, as it has seen it last";
        ServerLast = "server-last", "a server is stopped after the last worker, or because it was not up in time";
        NoServerLeft = "no-server-left", "no server is left behind that nobody thinks of any more";
        StaleReplaced = "stale-replaced", "nobody stays for good who knows a server that moved, where the policy is to replace";
        WholeContainers = "whole-containers", "all containers of a launch can hold the same number of workers";
        ReplayEqualsLive = "replay-equals-live", "what the journal holds adds up to the state that lives";
        NumbersOnlyGrow = "numbers-only-grow", "generations, terms and times never go back, and no number is used twice";
        Converges = "converges", "once faults stop, the cluster is as wanted within a bounded time";
        QuietAtRest = "quiet-at-rest", "once all is as wanted, nothing more is decided";
        KillsHaveReason = "kills-have-reason", "nobody is killed but surplus, late starters, strays and the killed";
        ForeignersUntouched = "foreigners-untouched", "nothing of another cluster is launched, killed or taken";
        BoundedMemory = "bounded-memory", "once all is gone, next to nothing is remembered";
        AcknowledgedIsKept = "acknowledged-is-kept", "what an operator was told is done outlives the host";
        ExplainsItself = "explains-itself", "the report says why nothing moves, and what is held for whom";
        ComesToRest = "comes-to-rest", "a host does not go on for ever within one moment";
        NeverPanics = "never-panics", "the core does not panic";
    }
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub checker: Checker,
    /// When, in milliseconds of the run.
    pub at: u64,
    /// What was seen.
    pub saw: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.checker, self.checker.about(), self.saw)
    }
}

/// All checkers of one run, and what they remember.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    /// What the journal's records say, of the cluster's present life.
    pub(crate) ledger: Ledger,
    /// The first rule that was broken.
    pub(crate) violation: Option<Violation>,
    now: u64,
    /// Calls to run, by token.
    runs: BTreeMap<String, u32>,
    /// Calls to kill, by handle.
    kills: BTreeMap<HandleId, u32>,
    /// Durable intents to launch that were not carried out yet, by token: how many workers, and by which host.
    pending: BTreeMap<String, (u32, HostId, Side)>,
    /// Hosts, and the sides whose provider is prepared for the cluster.
    prepared: BTreeSet<(HostId, Side)>,
    servers: servers::Servers,
    /// When the latest look was asked for that was told of each handle as initializing.
    initializing: BTreeMap<HandleId, Time>,
    /// All tokens of all lives.
    tokens: BTreeSet<String>,
    term: u64,
    generation: u64,
    /// How often states and journals were compared.
    pub(crate) comparisons: u64,
}

impl Checkers {
    pub(crate) fn tick(&mut self, now: u64) {
        self.now = now;
    }

    /// The first violation is the one that counts: what follows may follow from it.
    pub(crate) fn fail(&mut self, checker: Checker, saw: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation { checker, at: self.now, saw: saw.into() });
        }
    }

    /// A cluster of the same name begins anew.
    pub(crate) fn new_life(&mut self) {
        self.ledger = Ledger::default();
        self.kills.clear();
        self.prepared.clear();
        self.servers = servers::Servers::default();
        self.initializing.clear();
        self.generation = 0;
    }

    /// A host's batch of records is in the journal.
    pub(crate) fn durable(&mut self, host: HostId, batch: &[Record], backend: &Backend) {
        for record in batch {
            self.check_numbers(record);
            self.check_launch(host, record, backend);
            self.check_kill(record, backend);
            self.check_move(record, backend);
            self.check_server(host, record, backend);
            self.ledger.take(record);
        }
    }

    /// A host is told how handles were seen.
    pub(crate) fn looked(&mut self, asked_at: Time, seen: &[(HandleId, Seen)]) {
        for (id, _) in seen.iter().filter(|(_, seen)| *seen == Seen::Initializing) {
            let latest = self.initializing.entry(*id).or_default();
            *latest = asked_at.max(*latest);
        }
    }

    /// A host is told that its provider is prepared.
    pub(crate) fn prepared(&mut self, host: HostId, side: Side) {
        self.prepared.insert((host, side));
    }

    /// A host is no more: what it meant to do and did not begin, it never will.
    pub(crate) fn host_ended(&mut self, host: HostId) {
        self.pending.retain(|_, (_, of, _)| *of != host);
    }

    /// An operator is told that a command is done.
    pub(crate) fn acknowledged(&mut self, records: &[Record]) {
        for record in records {
            if !self.ledger.history.iter().rev().any(|kept| kept == record) {
                let saw = format!("{:?} was acknowledged and is not in the journal", record.change);
                self.fail(Checker::AcknowledgedIsKept, saw);
            }
        }
    }

    /// A host has taken the cluster up from the journal.
    pub(crate) fn recovered(&mut self, state: &State) {
        let ledger = &self.ledger;
        let wanted = (ledger.expected, ledger.desired, ledger.target(), ledger.generation);
        let wanted = (wanted, ledger.side, ledger.left_side());
        let found = (state.expected(), state.desired(), state.target(), state.generation());
        let found = (found, state.side(), state.leaving().map(Leaving::side));
        if wanted != found || *state.policy() != ledger.policy {
            let saw = format!(
                "expected, desired, target, generation and sides are {found:?} after a restart, and {wanted:?} were durable"
            );
            self.fail(Checker::AcknowledgedIsKept, saw);
        }
    }

    /// What the journal's records add up to is what lives.
    pub(crate) fn compare(&mut self, live: &State, stored: Result<Option<State>, String>) {
        self.comparisons += 1;
        let live = live.durable();
        let replayed = State::replay(&self.ledger.history).durable();
        match stored {
            Err(why) => self.fail(Checker::ReplayEqualsLive, why),
            Ok(stored) => {
                let stored = stored.map(|state| state.durable());
                if stored.as_ref() != Some(&replayed) {
                    let saw = match &stored {
                        Some(stored) => differences("snapshot and tail", stored, "all records", &replayed),
                        None => "the journal is empty".to_owned(),
                    };
                    self.fail(Checker::ReplayEqualsLive, saw);
                } else if live != replayed {
                    let saw = differences("the live state", &live, "the journal's", &replayed);
                    self.fail(Checker::ReplayEqualsLive, saw);
                }
            }
        }
        // A snapshot, through text and back, is the same state.
        let text = serde_json::to_string(&live.snapshot()).map_err(|error| error.to_string());
        let back = text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        match back.and_then(|snapshot| State::restore(snapshot).map_err(|error| error.to_string())) {
            Err(why) => self.fail(Checker::ReplayEqualsLive, format!("a snapshot does not come back: {why}")),
            Ok(back) if back != live => {
                let saw = differences("a snapshot read back", &back, "its state", &live);
                self.fail(Checker::ReplayEqualsLive, saw);
            }
            Ok(_) => {}
        }
    }

    /// Whether a container is known, as the journal has it: by its name, not yet gone.
    fn knows(&self, name: &Name) -> bool {
        self.ledger.names.contains_key(name) || self.ledger.strays.contains_key(name)
    }

    /// Workers that a launch may still bring to be.
    fn potential(&self, backend: &Backend) -> u64 {
        self.potential_of(backend, |_| true)
    }

    /// The same of one side.
    fn potential_on(&self, side: Side, backend: &Backend) -> u64 {
        self.potential_of(backend, |of| of == side)
    }

    fn potential_of(&self, backend: &Backend, is_meant: impl Fn(Side) -> bool) -> u64 {
        let open = backend.tokens.iter().filter(|(token, _)| !self.pending.contains_key(*token));
        let open = open.filter(|(_, launch)| is_meant(launch.side));
        let open: u64 = open.map(|(_, launch)| u64::from(launch.potential())).sum();
        let pending = self.pending.iter().filter(|(_, (_, _, side))| is_meant(*side));
        let pending = pending.map(|(token, (workers, ..))| {
            let created = backend.tokens.get(token).map_or(0, |launch| launch.created);
            u64::from(workers.saturating_sub(created))
        });
        open + pending.sum::<u64>()
    }
}

/// Where two states differ, line by line of their debug output.
fn differences(one: &str, a: &State, other: &str, b: &State) -> String {
    const SHOWN: usize = 6;
    let (a, b) = (format!("{a:#?}"), format!("{b:#?}"));
    let (a, b): (Vec<_>, Vec<_>) = (a.lines().collect(), b.lines().collect());
    let mut lines = vec![format!("{one} and {other} differ:")];
    for n in 0..a.len().max(b.len()) {
        let (left, right) = (a.get(n).unwrap_or(&""), b.get(n).unwrap_or(&""));
        if left != right && lines.len() <= SHOWN {
            lines.push(format!("    {} | {}", left.trim(), right.trim()));
        }
    }
    lines.join("\n")
}

/// Names of containers, as a sentence may hold them.
fn some<'a>(names: impl IntoIterator<Item = &'a Name>) -> String {
    let names: Vec<_> = names.into_iter().map(ToString::to_string).take(5).collect();
    names.join(", ")
}

/// A moment of the host's, for a person.
fn at(time: Time) -> String {
    format!("{} ms by the host's clock", time.as_millis())
}
