//! What calls do to the backend, and when: in time, late, after their host has ended, or never.

use std::sync::Arc;

use longshore_scaling::{Seen, Side};

use super::{Call, Fate, Kind, server::StartFate};
use crate::{
    backend::{Name, Origin},
    coverage::Event as Counted,
    fault::Fault,
    queue::{CallId, Event, HostId},
    trace::{Who, say},
    world::World,
};

impl World {
    /// A call takes effect.
    pub(crate) fn effect(&mut self, id: CallId) {
        let now = self.now;
        let reachable = self.is_reachable;
        let Some(call) = self.calls.open.get_mut(&id) else { return };
        if call.effect != Some(now) {
            return;
        }
        (call.effect, call.lost_touch, call.arrived) = (None, !reachable, true);
        let (kind, orphan, uid, side) = (call.kind.clone(), call.orphan, call.uid, call.side);
        if orphan {
            self.count(Counted::LateEffect);
        }
        match kind {
            Kind::Run { token, workers, fate, .. } => {
                let made = if reachable { self.create(side, &token, workers, fate) } else { Vec::new() };
                if orphan {
                    say!(self, Who::Backend, "a call of a host that has ended takes effect");
                }
                if let Some(launch) = self.backend.tokens.get_mut(&token) {
                    launch.open = launch.open.saturating_sub(1);
                }
                if let Some(Call { kind: Kind::Run { made: of_call, .. }, .. }) = self.calls.open.get_mut(&id)
                {
                    *of_call = made;
                }
            }
            Kind::Kill { handles, hit, .. } if reachable => {
                for (_, name) in handles.iter().zip(&hit).filter(|(_, hit)| **hit).map(|(handle, _)| handle) {
                    let stops = now + self.provider_dice.magnitude(0, self.shape.stop);
                    self.queue
                        .push(stops, Event::Becomes { name: Name::new(side, name), status: Seen::Stopped });
                }
            }
            Kind::RunServer { fate } => self.start_server(uid, fate, orphan, reachable),
            Kind::StopServer { fate } if reachable => self.stop_server(fate),
            Kind::LookAtServer { kind, .. } => {
                let saw = self.see_server(kind, reachable);
                if let Some(Call { kind: Kind::LookAtServer { seen, .. }, .. }) = self.calls.open.get_mut(&id)
                {
                    *seen = Some(saw);
                }
            }
            _ => {}
        }
        if orphan {
            self.calls.close(id);
        }
    }

    /// Makes the containers of a launch, or finds those that an earlier attempt has made.
    fn create(&mut self, side: Side, token: &str, workers: u32, fate: Fate) -> Vec<(Arc<str>, u32)> {
        let is_idempotent = self.traits_of(side).idempotent_run;
        let is_own = self.checkers.ledger.is_own(token);
        let known = self.backend.tokens.get(token).cloned().unwrap_or_default();
        let mut made = if is_idempotent { self.backend.of_token(token) } else { Vec::new() };
        let was_tried = is_idempotent && (!made.is_empty() || known.sealed);
        let missing = if is_idempotent { workers - known.created.min(workers) } else { workers };
        let mut left = match fate {
            _ if was_tried && (known.sealed || !self.shape.repeats_complete) => 0,
            Fate::Permanent | Fate::Retryable | Fate::Throttled | Fate::RequestLost => 0,
            Fate::Partial if missing > 0 => self.provider_dice.below(missing.into()) as u32,
            _ => missing,
        };
        let total = left;
        while left > 0 {
            let workers = self.provider_dice.count(1, self.shape.share).min(left);
            left -= workers;
            let origin = if is_own { Origin::Launched } else { Origin::Rogue };
            let name = self.backend.create(side, token, workers, origin, self.now);
            self.born(&name);
            made.push((name.text, workers));
        }
        let settles = matches!(fate, Fate::Well | Fate::Partial | Fate::Permanent | Fate::Late | Fate::Hangs);
        if let Some(launch) = self.backend.tokens.get_mut(token) {
            launch.created += total;
            // An idempotent backend that has said what came of it says the same ever after.
            launch.sealed |= is_idempotent && settles;
        }
        if total > 0 {
            let names: Vec<_> = made.iter().map(|(name, workers)| format!("{name}×{workers}")).collect();
            say!(self, Who::Backend, "made {} of launch {token}", names.join(", "));
        }
        made
    }

    /// A container's future, as far as it is set at its birth.
    fn born(&mut self, name: &Name) {
        if self.strikes(Fault::Unlisted) {
            let until = self.now + self.chaos.dice().between(0, self.shape.lag);
            self.backend.hide_from_lists(name, until);
        }
        let mut starts = self.now + self.provider_dice.magnitude(0, self.shape.start);
        if self.strikes(Fault::SlowStart) {
            starts += self.chaos.dice().magnitude(1, 180_000);
        }
        if self.strikes(Fault::DiesEarly) {
            let dies = starts + self.chaos.dice().magnitude(0, 10_000);
            self.queue.push(dies, Event::Becomes { name: name.clone(), status: Seen::Stopped });
        }
        if !self.strikes(Fault::NeverStarts) {
            self.queue.push(starts, Event::Becomes { name: name.clone(), status: Seen::Running });
        }
    }

    /// The calls of a host that is no more: nobody hears their answers, and some take effect all the same, for a while.
    pub(crate) fn cut_off_calls(&mut self, host: HostId) {
        let until = self.calls.fences.remove(&host).unwrap_or(self.now + self.shape.linger);
        let of_host: Vec<_> =
            self.calls.open.iter().filter(|(_, call)| call.host == host).map(|(id, _)| *id).collect();
        for id in of_host {
            let Some(call) = self.calls.open.get(&id) else { continue };
            let hangs = call.effect.is_none() && call.unanswered && self.has_no_effect_yet(id);
            let changes = call.changes_something();
            let pending = call.effect.is_some() || hangs;
            if pending && changes && self.strikes(Fault::CallsOutlive) {
                let latest =
                    self.calls.open.get(&id).and_then(|call| call.effect).unwrap_or(u64::MAX).min(until);
                let at = self.chaos.dice().between(self.now, latest.max(self.now));
                if let Some(call) = self.calls.open.get_mut(&id) {
                    (call.effect, call.orphan) = (Some(at), true);
                }
                self.queue.push(at, Event::Effect { call: id });
                continue;
            }
            match self.calls.close(id).map(|call| (call.kind, call.uid)) {
                Some((Kind::Run { token, .. }, _)) if pending => {
                    if let Some(launch) = self.backend.tokens.get_mut(&token) {
                        launch.open = launch.open.saturating_sub(1);
                    }
                }
                Some((Kind::RunServer { .. }, uid)) if pending => self.server_run_is_over(uid),
                _ => {}
            }
        }
    }

    /// Whether a call hangs, and nothing has come of it so far.
    fn has_no_effect_yet(&self, id: CallId) -> bool {
        let Some(call) = self.calls.open.get(&id) else { return false };
        let hangs = match &call.kind {
            Kind::Run { fate, made, .. } => *fate == Fate::Hangs && made.is_empty(),
            Kind::RunServer { fate } => *fate == StartFate::Hangs && !call.arrived,
            _ => false,
        };
        hangs && !call.lost_touch
    }

    /// Once faults have stopped, what hung comes back.
    pub(crate) fn release_calls(&mut self) {
        let ids: Vec<_> = self.calls.open.keys().copied().collect();
        for id in ids {
            let Some(call) = self.calls.open.get(&id) else { continue };
            let (has_effect, no_effect) = (call.effect.is_some(), self.has_no_effect_yet(id));
            let hangs = matches!(
                call.kind,
                Kind::Run { fate: Fate::Hangs, .. } | Kind::RunServer { fate: StartFate::Hangs }
            );
            if !hangs || call.orphan {
                continue;
            }
            let (effect, answer) = (self.now + self.latency(), self.now + self.shape.latency * 2);
            if (has_effect || no_effect)
                && let Some(call) = self.calls.open.get_mut(&id)
            {
                call.effect = Some(effect);
                self.queue.push(effect, Event::Effect { call: id });
            }
            self.queue.push(answer, Event::Answer { call: id });
        }
    }
}
