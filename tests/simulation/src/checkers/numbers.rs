//! Numbers only grow: times, terms, generations; and no number of a launch or handle is used twice.

use longshore_scaling::{Change, NewHandle, Record, State};

use super::{Checker, Checkers, at};
use crate::backend::Name;

impl Checkers {
    pub(super) fn check_numbers(&mut self, record: &Record) {
        if record.at < self.ledger.latest {
            let saw = format!("a record of {} after one of {}", at(record.at), at(self.ledger.latest));
            self.fail(Checker::NumbersOnlyGrow, saw);
        }
        match &record.change {
            Change::Recovered { term } => {
                if *term <= self.term {
                    let saw = format!("term {term} begins after term {}", self.term);
                    self.fail(Checker::NumbersOnlyGrow, saw);
                }
                self.term = *term;
            }
            Change::LaunchStarted { launch, .. } => {
                let token = self.ledger.token(*launch);
                if !self.tokens.insert(token.clone()) {
                    self.fail(Checker::NumbersOnlyGrow, format!("launch {token} begins a second time"));
                }
            }
            Change::LaunchSettled { handles, .. }
            | Change::LaunchResolved { handles, .. }
            | Change::LaunchUnknown { claimed: handles, .. }
            | Change::StraysCondemned { handles }
            | Change::Adopted { handles } => self.check_handles(handles),
            _ => {}
        }
    }

    fn check_handles(&mut self, handles: &[NewHandle]) {
        let mut next = self.ledger.next_handle;
        for new in handles {
            if new.id.0 < next {
                let saw = format!(
                    "the handle {} gets number {}, and the next free one is {next}",
                    new.name, new.id.0
                );
                self.fail(Checker::NumbersOnlyGrow, saw);
            }
            next = next.max(new.id.0 + 1);
            if let Some(before) = self.ledger.names.get(&Name::new(new.side, &new.name)) {
                let saw = format!("the handle {} is known as number {} already", new.name, before.0);
                self.fail(Checker::NumbersOnlyGrow, saw);
            }
        }
    }

    /// A host looks at its state.
    pub(super) fn check_generation(&mut self, state: &State) {
        if state.generation() < self.generation || state.term() > self.term {
            let saw = format!(
                "generation {} after {}; the state has term {}, and {} is the latest that was recorded",
                state.generation(),
                self.generation,
                state.term(),
                self.term
            );
            self.fail(Checker::NumbersOnlyGrow, saw);
        }
        self.generation = self.generation.max(state.generation());
    }
}
