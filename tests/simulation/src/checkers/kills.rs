//! What is held against kills: nobody is killed without a reason that the records bear out, before the journal says so, or
//! of another cluster.

use longshore_scaling::{Change, HandleId, KillReason, NewHandle, Record, Strays, Time};

use super::{Checker, Checkers, at};
use crate::backend::{Backend, Name, Origin};

impl Checkers {
    /// A kill's intent becomes durable, or strays are condemned.
    pub(super) fn check_kill(&mut self, record: &Record, backend: &Backend) {
        match &record.change {
            Change::KillStarted { handles, why, .. } => {
                if *why == KillReason::Moved {
                    self.check_floor(handles);
                }
                if let Err(why_not) = self.has_reason(record.at, handles, *why) {
                    self.fail(Checker::KillsHaveReason, why_not);
                }
            }
            Change::StraysCondemned { handles } => self.check_condemned(record.at, handles, backend),
            Change::Adopted { handles } => {
                let name = |new: &NewHandle| Name::new(new.side, &new.name);
                let foreign = handles.iter().find(|new| is_foreign(backend, &name(new)));
                if let Some(new) = foreign {
                    let saw = format!("{} of another cluster is taken in", new.name);
                    self.fail(Checker::ForeignersUntouched, saw);
                }
            }
            _ => {}
        }
    }

    fn has_reason(&self, now: Time, handles: &[HandleId], why: KillReason) -> Result<(), String> {
        let (ledger, policy) = (&self.ledger, &self.ledger.policy);
        let mut workers = 0;
        for id in handles {
            let known =
                ledger.handles.get(id).ok_or(format!("handle number {} is killed, and not known", id.0))?;
            let name = &known.name;
            workers += u64::from(known.workers);
            match why {
                KillReason::Surplus | KillReason::Moved if known.killed => {
                    return Err(format!("{name} is killed as one too many, and was killed before"));
                }
                KillReason::LaunchTimeout => {
                    let patient =
                        known.initializing.is_some_and(|since| now >= since + policy.launch_timeout);
                    let looked = known.initializing.is_some_and(|since| {
                        let look = self.initializing.get(id);
                        look.is_some_and(|asked_at| *asked_at >= since + ledger.shortest_timeout)
                    });
                    if known.killed || !patient || !looked {
                        return Err(format!(
                            "{name} is killed at {} for starting late{}; it is initializing since {:?}, with {:?} to do so",
                            at(now),
                            if looked { "" } else { ", and no look has shown it" },
                            known.initializing,
                            policy.launch_timeout
                        ));
                    }
                }
                KillReason::StillThere => {
                    let patient = known.answered.is_some_and(|answered| now >= answered + policy.kill_retry);
                    if !known.killed || !patient {
                        return Err(format!(
                            "{name} is killed again at {}; its last kill was answered {:?}, with {:?} of patience",
                            at(now),
                            known.answered,
                            policy.kill_retry
                        ));
                    }
                }
                KillReason::Outstanding if !known.outstanding => {
                    return Err(format!(
                        "{name} is killed as was decided before, and nothing had been decided"
                    ));
                }
                KillReason::OtherServer => {
                    let is_stale = known.launch.is_some_and(|launch| launch.0 < ledger.stale_before);
                    if known.killed || !is_stale {
                        return Err(format!(
                            "{name} of launch {:?} is killed for its server; those before {:?} know another one",
                            known.launch, ledger.stale_before
                        ));
                    }
                }
                KillReason::Surplus | KillReason::Outstanding | KillReason::Moved => {}
            }
        }
        if why == KillReason::Moved {
            return self.may_move(handles);
        }
        // While it moves, there may be more than are wanted: too many are only those of the side that it goes to.
        let live = if ledger.left.is_some() && ledger.target() > 0 {
            ledger.live_on(ledger.side).0
        } else {
            ledger.live()
        };
        let surplus = live.saturating_sub(ledger.target().into());
        if why == KillReason::Surplus && workers > surplus {
            let target = ledger.target();
            return Err(format!("{workers} are killed as surplus; {live} live and {target} are wanted"));
        }
        Ok(())
    }

    fn check_condemned(&mut self, now: Time, handles: &[NewHandle], backend: &Backend) {
        for new in handles {
            let patience = self.ledger.policy.stray_grace;
            let name = Name::new(new.side, &new.name);
            let since = self.ledger.strays.get(&name).map(|(_, since)| *since);
            let waited = since.is_some_and(|since| now >= since + patience);
            if self.ledger.policy.strays != Strays::Kill || !waited {
                let saw = format!(
                    "{} is condemned as a stray at {}; it is one since {since:?}, with {patience:?} of grace",
                    new.name,
                    at(now)
                );
                self.fail(Checker::KillsHaveReason, saw);
            }
            let ours = backend.get(&name).is_some_and(|container| self.ledger.is_own(&container.token));
            if ours {
                let saw =
                    format!("{} is condemned as a stray, and a launch of this cluster brought it", new.name);
                self.fail(Checker::KillsHaveReason, saw);
            }
        }
    }

    /// The provider is called to kill a handle.
    pub(crate) fn kill_called(&mut self, id: HandleId, name: &Name, backend: &Backend) {
        let times = self.kills.entry(id).or_default();
        *times += 1;
        let (times, intended) = (*times, self.ledger.kills.get(&id).copied().unwrap_or(0));
        if times > intended {
            let saw = format!("{name} is killed the {times}. time; the journal has {intended}");
            self.fail(Checker::IntentBeforeEffect, saw);
        }
        if backend.get(name).is_none() || is_foreign(backend, name) {
            self.fail(Checker::ForeignersUntouched, format!("{name} is killed, and is not of this cluster"));
        }
    }
}

fn is_foreign(backend: &Backend, name: &Name) -> bool {
    backend.get(name).is_some_and(|container| container.origin == Origin::Neighbour)
}
