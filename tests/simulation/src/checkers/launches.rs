//! What is held against launches: never too many, never twice, never before the journal says so.

use longshore_scaling::{Change, LaunchId, Record, Side};

use super::{Checker, Checkers};
use crate::{
    backend::{Backend, Origin},
    queue::HostId,
};

impl Checkers {
    /// A launch's intent becomes durable. Counted against the maximum: all of the cluster's workers that really live, known
    /// strays too, and all that launches under way may still bring. Against what is wanted: the same without those that are
    /// known and whose end was decided, and without strays. What nobody can know of (a stray before a list has named it) counts
    /// in neither.
    pub(super) fn check_launch(&mut self, host: HostId, record: &Record, backend: &Backend) {
        let (launch, workers) = match &record.change {
            Change::LaunchStarted { launch, workers, .. } => (*launch, *workers),
            Change::LaunchRepeated { launch } => {
                if self.ledger.wants_server() {
                    self.check_served(host, *launch);
                }
                let workers = self.ledger.launches.get(launch).map_or(0, |(workers, _)| *workers);
                let side = self.ledger.launch_sides.get(launch).copied().unwrap_or(self.ledger.side);
                self.pending.insert(self.ledger.token(*launch), (workers, host, side));
                return;
            }
            _ => return,
        };
        let side = self.ledger.side;
        let coming = self.potential(backend) + u64::from(workers);
        let coming_here = self.potential_on(side, backend) + u64::from(workers);
        let (mut alive, mut live) = (0, 0);
        for (name, container) in backend.ours() {
            if container.origin == Origin::Rogue && !self.knows(name) {
                continue;
            }
            let known = self.ledger.names.get(name).and_then(|id| self.ledger.handles.get(id));
            let workers = u64::from(container.workers);
            alive += workers;
            let is_dying = known.is_some_and(|known| known.killed);
            let is_stray = known.is_none() && self.ledger.strays.contains_key(name);
            live += if is_dying || is_stray || name.side != side { 0 } else { workers };
        }
        let open = self.open_launches(backend);
        let (max, target) = (u64::from(self.ledger.policy.max), u64::from(self.ledger.target()));
        let token = self.ledger.token(launch);
        self.check_served(host, launch);
        let each = self.ledger.per_container;
        if workers > each && !workers.is_multiple_of(each) {
            let saw =
                format!("launch {token} of {workers} cannot be cut into equal containers of up to {each}");
            self.fail(Checker::WholeContainers, saw);
        }
        if alive + coming > max {
            let saw = format!(
                "launch {token} of {workers} begins while {alive} are alive and {} more may come of other launches{open}: \
                 {} could be alive, and {max} may be",
                coming - u64::from(workers),
                alive + coming
            );
            self.fail(Checker::NeverAboveMax, saw);
        }
        self.check_ceiling(&token, alive + coming);
        if live + coming_here > target {
            let saw = format!(
                "launch {token} of {workers} begins while {live} live on and {} more may come of other launches{open}: \
                 that makes {}, and {target} are wanted",
                coming_here - u64::from(workers),
                live + coming_here
            );
            self.fail(Checker::NeverAboveExpected, saw);
        }
        self.pending.insert(token, (workers, host, side));
    }

    /// The launches that may still bring workers, for a person.
    fn open_launches(&self, backend: &Backend) -> String {
        let open = backend.tokens.iter().filter(|(_, launch)| launch.potential() > 0).map(|(token, _)| token);
        let open: Vec<_> = open.chain(self.pending.keys()).map(String::as_str).collect();
        if open.is_empty() { String::new() } else { format!(" ({})", open.join(", ")) }
    }

    /// The provider is called to run, by the host that is in charge.
    pub(crate) fn runs_prepared(&mut self, host: HostId, side: Side, token: &str) {
        if self.ledger.traits_of(side).initialize && !self.prepared.contains(&(host, side)) {
            let saw = format!("launch {token} is asked for, and the provider was not prepared");
            self.fail(Checker::PreparedFirst, saw);
        }
    }

    /// The provider is called to run.
    pub(crate) fn run_called(&mut self, launch: LaunchId, side: Side, workers: u32, token: &str) {
        let again = self.runs.get(token).copied().unwrap_or(0);
        if again > 0 && !self.ledger.traits_of(side).idempotent_run {
            let saw = format!(
                "launch {token} is asked for {} times of a provider that is not idempotent",
                again + 1
            );
            self.fail(Checker::NoTokenTwice, saw);
        }
        if self.ledger.launch_sides.get(&launch).is_some_and(|of| *of != side) {
            let saw = format!("launch {token} is asked of provider no. {}, and was to be of another", side.0);
            self.fail(Checker::IntentBeforeEffect, saw);
        }
        if token != self.ledger.token(launch) || !self.ledger.is_own(token) {
            self.fail(Checker::ForeignersUntouched, format!("launch {token} is not one of this cluster's"));
        }
        match self.ledger.launches.get(&launch).copied() {
            Some((intended, times)) if intended == workers && again < times => {}
            intent => {
                let saw = format!(
                    "launch {token} of {workers} is asked for the {}. time; the journal has (workers, times): {intent:?}",
                    again + 1
                );
                self.fail(Checker::IntentBeforeEffect, saw);
            }
        }
        self.runs.insert(token.to_owned(), again + 1);
        self.pending.remove(token);
    }
}
