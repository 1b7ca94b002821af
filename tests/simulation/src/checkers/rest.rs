//! What must hold whenever a host rests: that it says why nothing moves, and that it will wake up.

use longshore_scaling::{LaunchPhase, PlanReport, Reason, Remedy, State, Time};

use super::{Checker, Checkers};

impl Checkers {
    /// A host has nothing to do for now.
    pub(crate) fn rests(&mut self, state: &State, report: &PlanReport, now: Time, wake_at: Option<Time>) {
        self.check_generation(state);
        if let Err(saw) = self.explains(state, report) {
            self.fail(Checker::ExplainsItself, format!("{saw}; the report: {}", one_line(report)));
        }
        if wake_at.is_some_and(|at| at <= now) {
            let saw = format!("it rests until {wake_at:?}, and it is {now:?}: {}", one_line(report));
            self.fail(Checker::ComesToRest, saw);
        }
    }

    /// A host has taken so many steps within one moment.
    pub(crate) fn steps(&mut self, steps: u32, last: &str) {
        const MOST: u32 = 2_000;
        if steps > MOST {
            self.fail(Checker::ComesToRest, format!("{steps} steps within one moment; the last: {last}"));
        }
    }

    fn explains(&self, state: &State, report: &PlanReport) -> Result<(), String> {
        for (id, launch) in state.launches() {
            let token = self.ledger.token(id);
            let LaunchPhase::Unknown { returned, .. } = &launch.phase else { continue };
            let held = report.reasons.iter().map(unwrapped).find_map(|reason| match reason {
                Reason::HeldForUnknown { token: named, workers, remedy, .. } if *named == token => {
                    Some((*workers, *remedy))
                }
                _ => None,
            });
            let side = self.ledger.launch_sides.get(&id).copied().unwrap_or(self.ledger.side);
            let traits = self.ledger.traits_of(side);
            let remedy = match (returned, traits.list, traits.idempotent_run) {
                (false, ..) => Remedy::WaitForReturn,
                (true, true, _) => Remedy::List,
                (true, false, true) => Remedy::Repeat,
                (true, false, false) => Remedy::Operator,
            };
            let found: u32 = launch.found.values().sum();
            let wanted = (launch.workers.saturating_sub(found), remedy);
            if held != Some(wanted) {
                return Err(format!("launch {token} is unknown; held: {held:?}, to be held: {wanted:?}"));
            }
        }
        let at_target = report.reasons.iter().any(|reason| matches!(reason, Reason::AtTarget { .. }));
        let (live, target) = (self.ledger.live(), u64::from(self.ledger.target()));
        if at_target && (live != target || report.reasons.len() > 1) {
            return Err(format!("{live} live, {target} are wanted, and all is said to be as asked"));
        }
        if at_target && self.ledger.wants_server() && !self.ledger.is_served() {
            return Err("the server is not up, and all is said to be as asked".to_owned());
        }
        let moving = report.reasons.iter().any(|reason| matches!(reason, Reason::Moving { .. }));
        if moving && self.ledger.left.is_none() || !moving && at_target && self.ledger.left.is_some() {
            return Err(format!("{:?} is left, and that is not what is said", self.ledger.left));
        }
        if live != target && report.reasons.is_empty() {
            return Err(format!("{live} live, {target} are wanted, and nothing is said about it"));
        }
        Ok(())
    }
}

/// What is said of the side that is left is said all the same.
pub(crate) fn unwrapped(reason: &Reason) -> &Reason {
    if let Reason::Left { because, .. } = reason { because } else { reason }
}

fn one_line(report: &PlanReport) -> String {
    report.to_string().replace('\n', "; ")
}
