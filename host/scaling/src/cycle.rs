//! The turn of one cluster: observe, plan, make durable, act. It says what comes next and does nothing itself, so that the
//! host's shell and the simulator go the very same way, and so that a host can be cut off between any two steps.

use std::collections::VecDeque;

use crate::{
    Observation, PlanReport, Record, Side, State, Time,
    command::{Command, Denied, admit},
    observe::observe,
    plan::{Action, plan},
    record::Change,
};

/// What comes next for a cluster.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Step {
    /// Make these durable, all or none of them, and then say [`Cycle::written`] or [`Cycle::refused`].
    Write(Vec<Record>),
    /// Carry these out: what must be durable of them is. The answers come back through [`Cycle::see`].
    Act(Vec<Action>),
    /// Nothing, until something is seen or asked, or until then.
    Rest {
        /// When time alone makes another step.
        wake_at: Option<Time>,
        /// Why nothing moves, or what does.
        report: PlanReport,
    },
}

/// One cluster under way. It holds at most one thing that is on its way to the journal.
#[derive(Clone, Debug)]
pub struct Cycle {
    state: State,
    /// What was seen and does not count yet, oldest first. The shell bounds it: it has so many calls out at most.
    seen: VecDeque<(Side, Observation)>,
    /// What counts once the journal has it.
    writing: Option<Writing>,
    /// What is to be carried out now that the journal has it.
    acting: Vec<Action>,
    /// What was taken in since the shell last asked, for its log.
    news: Vec<Record>,
}

/// What counts once the journal has it.
#[derive(Clone, Debug)]
struct Writing {
    records: Vec<Record>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// The oldest observation.
    Seen,
    /// A plan with these actions.
    Planned(Vec<Action>),
    /// A command, or the host's own beginning.
    Told,
}

impl Cycle {
    /// A cluster that this host made: its records so far are in the journal.
    pub fn new(state: State) -> Self {
        Self { state, seen: VecDeque::new(), writing: None, acting: Vec::new(), news: Vec::new() }
    }

    /// A cluster that a host takes up from its journal, under a term of its own. Its first step makes that durable, and what
    /// was under way is cut off: launches become unknown, kills are done again.
    pub fn recover(state: State, now: Time, term: u64) -> Self {
        let mut cycle = Self::new(state);
        let now = now.max(cycle.state.latest());
        cycle.write(vec![Change::Recovered { term }.at(now)], What::Told);
        cycle
    }

    /// What is known of the cluster.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes in what was seen on a side. It counts when the journal has what it means.
    pub fn see(&mut self, side: Side, observation: Observation) {
        self.seen.push_back((side, observation));
    }

    /// Whether something was seen that does not count yet: what is known lags behind.
    pub fn is_behind(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Decides on a command. What it gives must be made durable, and then [`Cycle::written`] or [`Cycle::refused`] said; where
    /// it gives nothing, all is as asked already.
    ///
    /// # Errors
    ///
    /// [`Denied`], with the reason; nothing has changed then.
    ///
    /// # Panics
    ///
    /// Something else is on its way to the journal.
    pub fn admit(&mut self, now: Time, command: &Command) -> Result<Vec<Record>, Denied> {
        assert!(self.writing.is_none(), "one thing at a time goes to the journal");
        let records = admit(&self.state, now, command)?;
        if !records.is_empty() {
            self.write(records.clone(), What::Told);
        }
        Ok(records)
    }

    /// What comes next. The same is said again until it is done.
    pub fn next(&mut self, now: Time) -> Step {
        loop {
            if let Some(records) = self.catch_up(now) {
                return Step::Write(records);
            }
            if !self.acting.is_empty() {
                return Step::Act(std::mem::take(&mut self.acting));
            }
            let (next, report) = plan(&self.state, now);
            if next.is_empty() {
                return Step::Rest { wake_at: next.wake_at, report };
            }
            self.write(next.records(now), What::Planned(next.actions));
        }
    }

    /// What must be durable before what is known is up to date, if anything; as a [`Step::Write`].
    pub fn catch_up(&mut self, now: Time) -> Option<Vec<Record>> {
        loop {
            if let Some(writing) = &self.writing {
                return Some(durable(&writing.records));
            }
            let (side, observation) = self.seen.front()?;
            let records = observe(&self.state, now, *side, observation);
            self.write(records, What::Seen);
        }
    }

    /// What the journal need not have counts at once.
    fn write(&mut self, records: Vec<Record>, what: What) {
        let nothing_durable = !records.iter().any(|record| record.change.is_durable());
        self.writing = Some(Writing { records, what });
        if nothing_durable {
            self.written();
        }
    }

    /// The journal has what was to be written: it counts.
    pub fn written(&mut self) {
        let Some(Writing { records, what }) = self.writing.take() else { return };
        for record in &records {
            self.state.apply(record);
        }
        match what {
            What::Seen => {
                self.seen.pop_front();
                self.news.extend(records);
            }
            What::Planned(actions) => self.acting = actions,
            What::Told => self.news.extend(records),
        }
    }

    /// The journal does not have it. It is as if nothing had been decided, and the next step decides anew; a command is
    /// forgotten, and whoever gave it must be told.
    pub fn refused(&mut self) {
        // The host's own beginning must come first, however often it takes.
        if let Some(writing) = self.writing.take()
            && let [Record { change: Change::Recovered { .. }, .. }] = writing.records[..]
        {
            self.writing = Some(writing);
        }
    }

    /// What was taken in since this was last asked, for the log.
    pub fn news(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.news)
    }
}

fn durable(records: &[Record]) -> Vec<Record> {
    records.iter().filter(|record| record.change.is_durable()).cloned().collect()
}
