//! What the fake provider answers, and when it answers nothing.

use std::sync::Arc;

use longshore_scaling::{HandleId, LaunchId, LaunchOutcome, Listing, Observation, Seen, Side, Trouble};

use super::{Call, Fate, KillFate, Kind};
use crate::{
    backend::{Container, Name, Origin},
    coverage::Event as Counted,
    fault::Fault,
    host::Message,
    mutation::Mutation,
    queue::{CallId, HostId},
    trace::{Who, say},
    world::World,
};

/// By how much a status may lag at most: it is bounded by nothing but patience, for an old status misleads nobody for good.
const STATUS_LAG: u64 = 10_000;

impl World {
    /// A launch's deadline passes: the host waits no longer, and the call goes on.
    pub(crate) fn deadline(&mut self, id: CallId) {
        let Some(Call { host, uid, side, kind, .. }) = self.calls.get(id) else { return };
        let (host, uid, side) = (*host, *uid, *side);
        let launch = match kind {
            _ if !self.has_cluster(host, uid) => return,
            Kind::Run { launch, .. } => *launch,
            Kind::RunServer { .. } => return self.server_deadline(host),
            _ => return,
        };
        let trouble = Trouble::new("run has not returned within its budget");
        self.launch_seen(
            host,
            side,
            launch,
            LaunchOutcome::Unknown { trouble, claimed: Vec::new(), returned: false },
        );
    }

    /// A call is answered.
    pub(crate) fn answer(&mut self, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        if call.orphan {
            return;
        }
        if matches!(call.kind, Kind::RunServer { .. }) && call.effect.is_some() {
            return self.lost_server_run(id);
        }
        let Some(call) = self.calls.close(id) else { return };
        let (host, side, out_of_reach) = (call.host, call.side, call.lost_touch);
        if !self.has_cluster(host, call.uid) {
            return;
        }
        match call.kind {
            Kind::Run { launch, workers, fate, made, .. } => {
                if self.now > call.began + self.shape.deadline {
                    self.count(Counted::LateAnswer);
                }
                let outcome = self.outcome(side, fate, workers, made, out_of_reach);
                self.launch_seen(host, side, launch, outcome);
            }
            Kind::Kill { handles, hit, fate } => {
                let answer = |hit: bool| match fate {
                    _ if out_of_reach => Err(Trouble::new("the backend is out of reach")),
                    KillFate::Well | KillFate::Claims => Ok(()),
                    KillFate::Partly if hit => Ok(()),
                    KillFate::Partly => Err(Trouble::new("this one would not go")),
                    KillFate::Fails | KillFate::ReplyLost => Err(Trouble::new("kill failed")),
                };
                let answers = handles.iter().zip(hit).map(|((id, _), hit)| (*id, answer(hit))).collect();
                self.tell(host, Message::Seen(side, Observation::Killed { answers }));
            }
            Kind::Status { live, terminating } => {
                let (seen, trouble) = self.statuses(host, side, &live, &terminating, out_of_reach);
                let asked_at = call.asked_at;
                self.checkers.looked(asked_at, &seen);
                // One message after the other: a host may end between them.
                self.tell(host, Message::Seen(side, Observation::Statuses { asked_at, seen }));
                if self.has_cluster(host, call.uid) {
                    self.tell(host, Message::Seen(side, Observation::StatusEnded { trouble }));
                }
            }
            Kind::List => {
                let entries = self.listed(side, call.began, out_of_reach);
                self.tell(host, Message::Seen(side, Observation::Listed(entries)));
            }
            Kind::Initialize => {
                let fails = out_of_reach || self.strikes(Fault::InitializeFails);
                let outcome = if fails { Err(Trouble::new("initialize failed")) } else { Ok(()) };
                if outcome.is_ok() {
                    self.checkers.prepared(host, side);
                }
                self.tell(host, Message::Seen(side, Observation::Initialized(outcome)));
            }
            Kind::RunServer { fate } => {
                if self.now > call.began + self.shape.deadline {
                    self.count(Counted::LateAnswer);
                }
                self.server_ran(host, fate, out_of_reach);
            }
            Kind::StopServer { fate } => self.server_stop_answered(host, fate, out_of_reach),
            Kind::LookAtServer { kind, seen } => self.server_looked(host, call.began, kind, seen),
        }
    }

    /// Whether a host still has the cluster that a call was for.
    pub(super) fn has_cluster(&self, host: HostId, uid: u64) -> bool {
        let core = self.hosts.get(&host).and_then(|host| host.core.as_ref());
        core.is_some_and(|core| core.state().uid() == uid)
    }

    fn launch_seen(&mut self, host: HostId, side: Side, launch: LaunchId, outcome: LaunchOutcome) {
        say!(self, Who::Provider, "launch {:x}: {}", launch.0, in_words(&outcome));
        self.tell(host, Message::Seen(side, Observation::Launch { launch, outcome }));
    }

    fn outcome(
        &mut self,
        side: Side,
        fate: Fate,
        workers: u32,
        made: Vec<(Arc<str>, u32)>,
        out_of_reach: bool,
    ) -> LaunchOutcome {
        if out_of_reach {
            return failed("the backend is out of reach", true);
        }
        let count: u32 = made.iter().map(|(_, workers)| workers).sum();
        match fate {
            // An idempotent provider that made them before says so, whatever happens to this attempt.
            Fate::Permanent if made.is_empty() => failed("no such image", false),
            Fate::Retryable => failed("short of capacity", true),
            Fate::Throttled => failed("too many launches", true),
            Fate::RequestLost | Fate::ReplyLost => unknown("the connection was reset", None, Vec::new()),
            Fate::Refused => {
                let claimed = made.into_iter().filter(|_| self.provider_dice.coin()).collect();
                unknown("the answer was refused: too few entries", Some("RUN-1"), claimed)
            }
            Fate::Duplicate => self.duplicate(side, made),
            Fate::Well | Fate::Permanent | Fate::Partial | Fate::Late | Fate::Hangs => {
                let shortfall = (count < workers).then(|| Trouble::new("no more capacity"));
                LaunchOutcome::Succeeded {
                    handles: made,
                    shortfall,
                    retryable: self.provider_dice.chance(9_000),
                }
            }
        }
    }

    /// The last handle is another launch's. One that the host does not know it could not tell from a new one; then the reply
    /// is lost instead.
    fn duplicate(&mut self, side: Side, mut handles: Vec<(Arc<str>, u32)>) -> LaunchOutcome {
        let names = &self.checkers.ledger.names;
        let others = self
            .backend
            .ours()
            .filter(|(name, _)| name.side == side && names.contains_key(*name))
            .filter(|(name, _)| handles.iter().all(|(own, _)| *own != name.text));
        let others: Vec<_> = others.map(|(name, it)| (Arc::clone(&name.text), it.workers)).collect();
        let Some(other) = self.chaos.dice().pick(&others).cloned() else {
            return unknown("the connection was reset", None, Vec::new());
        };
        handles.pop();
        handles.push(other);
        LaunchOutcome::Succeeded { handles, shortfall: None, retryable: true }
    }

    fn statuses(
        &mut self,
        host: HostId,
        side: Side,
        live: &[(HandleId, Arc<str>)],
        terminating: &[(HandleId, Arc<str>)],
        out_of_reach: bool,
    ) -> (Vec<(HandleId, Seen)>, Option<Trouble>) {
        if out_of_reach || self.strikes(Fault::StatusFails) {
            return (Vec::new(), Some(Trouble::new("status failed")));
        }
        let lag =
            if self.strikes(Fault::StatusLags) { self.chaos.dice().magnitude(1, STATUS_LAG) } else { 0 };
        let view = self.now.saturating_sub(lag);
        let lies = self.may_lie(host, side, live) && self.strikes(Fault::FalseMassDeath);
        let partly = self.strikes(Fault::StatusPartly);
        let mut seen = Vec::new();
        for (id, name) in live {
            let container = self.backend.get(&Name::new(side, name));
            let status = container.map_or(Seen::Stopped, |container| container.status_at(view));
            seen.push((*id, if lies { Seen::Stopped } else { status }));
        }
        if partly && !lies {
            let dice = &mut self.provider_dice;
            seen.retain(|_| dice.coin());
        }
        for (id, name) in terminating {
            // Whether somebody has stopped is all that is asked.
            let container = self.backend.get(&Name::new(side, name));
            let status = container.map_or(Seen::Stopped, |container| container.status_at(view));
            let answer = if status == Seen::Stopped { Seen::Stopped } else { Seen::Running };
            if !partly || self.provider_dice.coin() {
                seen.push((*id, answer));
            }
        }
        (seen, partly.then(|| Trouble::new("some statuses failed")))
    }

    /// A backend may say once that all are gone who are not: so many that the core looks a second time before it believes it.
    /// What is bounded is that the second look tells the truth, and that no single worker is ever lied about.
    fn may_lie(&self, host: HostId, side: Side, live: &[(HandleId, Arc<str>)]) -> bool {
        let ledger = &self.checkers.ledger;
        let known: Vec<_> = live.iter().map(|(id, _)| ledger.handles.get(id)).collect();
        let all_live = known.iter().all(|known| known.is_some_and(|known| !known.killed));
        let workers: u32 = known.iter().flatten().map(|known| known.workers).sum();
        all_live
            && !ledger.suspected.contains(&side)
            && workers >= ledger.policy.mass_death_workers
            && self.hosts.get(&host).is_some_and(|host| host.is_idle() && !host.is_zombie)
    }

    fn listed(&mut self, side: Side, began: u64, out_of_reach: bool) -> Result<Vec<Listing>, Trouble> {
        if out_of_reach || self.strikes(Fault::ListFails) {
            return Err(Trouble::new("list failed"));
        }
        let looked = self.provider_dice.between(began, self.now);
        let lag =
            if self.strikes(Fault::ListLags) { self.chaos.dice().between(0, self.shape.lag) } else { 0 };
        let view = looked.saturating_sub(lag);
        let takes_all = self.mutation == Some(Mutation::TakesNeighbours);
        let there = self.backend.all(side).filter(|(_, it)| {
            let is_there = it.born <= view && it.status_at(view) != Seen::Stopped && it.listed_from <= looked;
            is_there && (takes_all || it.origin != Origin::Neighbour)
        });
        let listing = |(name, it): (&Name, &Container)| Listing {
            name: Arc::clone(&name.text),
            workers: it.workers,
            token: it.token.clone(),
        };
        let entries: Vec<_> = there.map(listing).collect();
        if self.trace.is_on() {
            let names: Vec<_> = entries.iter().map(|entry| &*entry.name).collect();
            let names = names.join(" ");
            if self.last_list != names {
                say!(self, Who::Provider, "no. {} lists, as of {} ms ago: {names}", side.0, self.now - view);
                self.last_list = names;
            }
        }
        Ok(entries)
    }
}

fn failed(why: &str, retryable: bool) -> LaunchOutcome {
    LaunchOutcome::Failed { trouble: Trouble::new(why), retryable }
}

fn unknown(why: &str, clause: Option<&str>, claimed: Vec<(Arc<str>, u32)>) -> LaunchOutcome {
    let trouble = Trouble { text: why.to_owned(), clause: clause.map(str::to_owned) };
    LaunchOutcome::Unknown { trouble, claimed, returned: true }
}

fn in_words(outcome: &LaunchOutcome) -> String {
    let names = |handles: &[(Arc<str>, u32)]| {
        let names: Vec<_> = handles.iter().map(|(name, workers)| format!("{name}×{workers}")).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    match outcome {
        LaunchOutcome::Succeeded { handles, shortfall, .. } => {
            let short = shortfall.as_ref().map_or(String::new(), |short| format!(", short: {short}"));
            format!("answers {}{short}", names(handles))
        }
        LaunchOutcome::Failed { trouble, retryable } => {
            format!("fails {}: {trouble}", if *retryable { "for now" } else { "for good" })
        }
        LaunchOutcome::Unknown { trouble, claimed, returned } => {
            let still = if *returned { "" } else { "; the call goes on" };
            format!("unknown: {trouble}; claims {}{still}", names(claimed))
        }
    }
}
