//! What must hold in the end: once faults have stopped, the cluster is as wanted, nothing is leaked, nothing more is
//! decided; once it is deleted, nothing is left.

use longshore_scaling::{PlanReport, State};

use super::{Checker, Checkers, some};
use crate::backend::{Backend, Origin};

/// What a state without handles may cost in JSON, its policy and last troubles included.
const EMPTY_BYTES: usize = 8 * 1024;

impl Checkers {
    /// Whether the truth is as wanted: as many live as are wanted, or, where containers are shared, so few more that no
    /// container could go; all of them at work, and all of them known. If not, why.
    pub(crate) fn as_wanted(&self, state: &State, backend: &Backend) -> Result<(), String> {
        self.nothing_unknown(state, backend)?;
        let target = u64::from(self.ledger.target());
        let of_us: Vec<_> =
            backend.ours().filter(|(name, _)| self.ledger.names.contains_key(*name)).collect();
        let alive: u64 = of_us.iter().map(|(_, container)| u64::from(container.workers)).sum();
        let smallest = of_us.iter().map(|(_, container)| u64::from(container.workers)).min().unwrap_or(1);
        if alive < target || alive - target >= smallest {
            return Err(format!(
                "{alive} live, {target} are wanted (the smallest container holds {smallest})"
            ));
        }
        if state.tally().running != alive {
            return Err(format!("{alive} live, and the state has {:?}", state.tally()));
        }
        if state.leaving().is_some() {
            return Err(format!("it is still moving, and {} workers are left", state.left_behind()));
        }
        if state.launches().next().is_some() || state.strays().next().is_some() {
            return Err("launches or strays are still open".to_owned());
        }
        Ok(())
    }

    /// Whether every worker of the cluster is known, as far as anybody can know of it. If not, which one is not.
    fn nothing_unknown(&self, state: &State, backend: &Backend) -> Result<(), String> {
        if self.potential(backend) > 0 {
            return Err("a launch may still bring workers".to_owned());
        }
        for (name, container) in backend.ours() {
            let side = name.side;
            let is_told_of = self.ledger.sides().any(|one| one == side) && self.ledger.traits_of(side).list;
            if container.origin == Origin::Rogue && !is_told_of {
                continue;
            }
            let known = state.handles().any(|(_, handle)| {
                handle.side == side && handle.name == name.text && handle.workers == container.workers
            });
            if !known {
                return Err(format!(
                    "{name} of launch {} lives with {} workers, and the state does not know it",
                    container.token, container.workers
                ));
            }
        }
        Ok(())
    }

    /// The time for the cluster to become as wanted is over.
    pub(crate) fn is_late(
        &mut self,
        state: Option<&State>,
        backend: &Backend,
        server: Result<(), String>,
        report: &PlanReport,
        after: u64,
    ) {
        let report = report.to_string().replace('\n', "; ");
        let Some(state) = state else {
            self.fail(Checker::Converges, format!("{after} ms after the last fault there is no host"));
            return;
        };
        self.none_is_stale(backend);
        match (self.nothing_unknown(state, backend), self.as_wanted(state, backend).and(server)) {
            (Err(saw), _) => {
                self.fail(
                    Checker::NothingLeaked,
                    format!("{after} ms after the last fault: {saw}; {report}"),
                );
            }
            (_, Err(saw)) => {
                self.fail(Checker::Converges, format!("{after} ms after the last fault: {saw}; {report}"));
            }
            (Ok(()), Ok(())) => {
                let last = self.ledger.history.last();
                let saw = format!(
                    "all is as wanted, and after {after} ms it has not come to rest; the report: {report}; the last record: {last:?}"
                );
                self.fail(Checker::QuietAtRest, saw);
            }
        }
    }

    /// Something is decided that nothing called for.
    pub(crate) fn stirs(&mut self, what: &str) {
        self.fail(Checker::QuietAtRest, format!("all is as wanted and quiet, and then: {what}"));
    }

    /// The host says that a deleted cluster is gone.
    pub(crate) fn finished(&mut self, state: &State, backend: &Backend) {
        if self.ledger.forgotten {
            // An operator gave up whatever is left.
            return;
        }
        let left: Vec<_> =
            backend.ours().filter(|(_, container)| container.origin == Origin::Launched).collect();
        if !left.is_empty() || self.potential(backend) > 0 {
            let saw = format!(
                "the cluster is said to be gone, and {} live, {} more may come",
                some(left.iter().map(|(name, _)| *name)),
                self.potential(backend)
            );
            self.fail(Checker::NothingLeaked, saw);
        }
        self.left(backend);
        let bytes = serde_json::to_string(&state.snapshot()).map_or(0, |text| text.len());
        if bytes > EMPTY_BYTES || state.handle_count() > 0 || state.launches().next().is_some() {
            let saw =
                format!("all is gone, and the state still takes {bytes} bytes, of {EMPTY_BYTES} at most");
            self.fail(Checker::BoundedMemory, saw);
        }
    }
}
