//! What is held against a move to another provider: never too many nor too few on the way, nobody left behind, and nothing of
//! the one side taken for the other's.

use longshore_scaling::{Change, HandleId, Record};

use super::{Checker, Checkers, some};
use crate::backend::{Backend, Name, Origin};

impl Checkers {
    /// Handles come to be known, a move ends.
    pub(super) fn check_move(&mut self, record: &Record, backend: &Backend) {
        match &record.change {
            Change::LaunchSettled { handles, .. }
            | Change::LaunchResolved { handles, .. }
            | Change::LaunchUnknown { claimed: handles, .. }
            | Change::StraysCondemned { handles }
            | Change::Adopted { handles } => {
                let names = handles.iter().map(|new| Name::new(new.side, &new.name));
                if let Some(name) = names.into_iter().find(|name| backend.get(name).is_none()) {
                    self.fail(Checker::SidesApart, format!("there never was a {name}, which is taken in"));
                }
            }
            Change::MoveEnded { .. } => self.check_end(backend),
            _ => {}
        }
    }

    fn check_end(&mut self, backend: &Backend) {
        let Some(side) = self.ledger.left_side() else {
            return self.fail(Checker::NobodyLeftBehind, "a provider is let go, and none was being left");
        };
        let left = backend.ours().filter(|(name, it)| {
            name.side == side && (it.origin == Origin::Launched || self.ledger.names.contains_key(*name))
        });
        let left: Vec<_> = left.map(|(name, _)| name).collect();
        let coming = self.potential_on(side, backend);
        let known = self.ledger.handles.values().filter(|known| known.name.side == side).count();
        if !left.is_empty() || coming > 0 || known > 0 {
            let saw = format!(
                "a provider is let go where {} live, {coming} more may come and {known} are known",
                some(left)
            );
            self.fail(Checker::NobodyLeftBehind, saw);
        }
    }

    /// A launch begins, after which so many could be there.
    pub(super) fn check_ceiling(&mut self, token: &str, all: u64) {
        let ceiling = u64::from(self.ledger.ceiling());
        if self.ledger.left.is_some() && all > ceiling {
            let saw = format!(
                "launch {token} begins while the cluster moves: {all} could be there, {ceiling} may be for {} wanted",
                self.ledger.target()
            );
            self.fail(Checker::NeverAboveCeiling, saw);
        }
    }

    /// Whether these may go for the sake of a move. If not, why.
    pub(super) fn check_floor(&mut self, handles: &[HandleId]) {
        let ledger = &self.ledger;
        let Some(left) = ledger.left_side() else { return };
        let going =
            handles.iter().filter_map(|id| ledger.handles.get(id)).map(|known| u64::from(known.workers));
        let (there, _) = ledger.live_on(left);
        let (_, here) = ledger.live_on(ledger.side);
        let staying = (there + here).saturating_sub(going.sum());
        let floor = u64::from(ledger.target().saturating_sub(ledger.policy.missing));
        if staying < floor {
            let saw = format!(
                "{there} live on the side that is left and {here} run on the other: {staying} of them stay, and {floor} must"
            );
            self.fail(Checker::NeverBelowFloor, saw);
        }
    }

    /// Whether these can go for the sake of a move at all. If not, why.
    pub(super) fn may_move(&self, handles: &[HandleId]) -> Result<(), String> {
        let left = self.ledger.left_side();
        let elsewhere = handles
            .iter()
            .filter_map(|id| self.ledger.handles.get(id))
            .find(|known| Some(known.name.side) != left);
        match elsewhere {
            Some(known) => {
                Err(format!("{} is killed for a move, and is not on a side that is left", known.name))
            }
            None if self.ledger.target() == 0 => Err("nobody is wanted, and workers are replaced".to_owned()),
            None => Ok(()),
        }
    }
}
