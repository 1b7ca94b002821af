//! The one function that changes a state: every legal transition is here.

mod moving;
mod server;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    handles::{Handle, Handles, Phase},
    ids::{HandleId, LaunchId, Side},
    policy::{Desired, Policy, ProviderTraits},
    record::{Change, KillReason, NewHandle, Record},
    server::ServerPhase,
    serving::{Serving, Standing},
    state::{Call, Calls, Launch, LaunchPhase, State, Stray, Suspicion},
    time::Time,
    trouble::Trouble,
};

/// So many early deaths in a row are replaced at once; only then does a crash loop slow down.
const FREE_CRASHES: u32 = 1;
/// Launches that one host's term has numbers for; at a thousand a second they last for seven weeks, and then the numbers of
/// the next term begin, which nobody has used.
const LAUNCHES_IN_A_TERM: u64 = 1 << 32;

impl State {
    /// The state that records add up to.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut state = Self::default();
        for record in records {
            state.apply(record);
        }
        state
    }

    /// Takes one record in.
    #[expect(clippy::too_many_lines, reason = "one arm a change, and the compiler sees that none is missing")]
    pub fn apply(&mut self, record: &Record) {
        let (now, before) = (record.at, self.latest);
        if record.change.is_durable() {
            self.latest = self.latest.max(now);
        }
        let seed = self.uid;
        match &record.change {
            Change::Created { uid, policy, traits, expected, desired, server, per_container } => {
                // Nothing of a cluster that had the name before is left.
                *self = Self { uid: *uid, desired: *desired, latest: self.latest, ..Self::default() };
                self.configure(policy, *traits, *expected);
                self.configure_server(*server, *per_container);
            }
            Change::Recovered { term } => {
                self.doubt_server(before, now);
                self.recover(*term, now);
            }
            Change::Scaled { expected } | Change::Reconnected { expected, .. } => {
                self.generation += 1;
                self.expected = *expected;
                // Whoever names a number has it: nothing more is guessed from what runs.
                self.reconnect = None;
            }
            Change::Updated { policy, traits, expected, server, per_container } => {
                self.configure(policy, *traits, *expected);
                self.configure_server(*server, *per_container);
                self.reconnect = None;
            }
            Change::DesiredSet { desired } => {
                self.generation += 1;
                self.desired = *desired;
                if *desired == Desired::Running {
                    // An operator who starts a cluster wants it tried now.
                    self.launch_backoff.succeed();
                    self.crash_backoff.succeed();
                    self.try_server_now();
                }
            }
            Change::Attached { side, traits } => self.attach(*side, *traits),
            Change::Served { side, serving, .. } => *self.on(*side).serving = Some(serving.clone()),
            Change::Unserved { side, build, .. } => {
                let lost = Serving { build: build.clone(), standing: Standing::Lost };
                *self.on(*side).serving = Some(lost);
            }
            Change::MoveStarted { from, side, .. } => self.set_out(from, *side, now),
            Change::MoveEnded { .. } => self.arrive(),
            Change::Rested => self.resting = true,
            Change::ReconnectStarted => {
                self.reconnect = Some(0);
                self.calls.here.list.hurry();
            }
            Change::ReconnectLooked { quiet } => self.reconnect = Some(*quiet),
            Change::Forgotten => {
                self.forgotten = true;
                let next = self.handles.next_id();
                self.handles = Handles::default();
                // Numbers are never used again.
                self.handles.go_on_at(next);
                self.launches = BTreeMap::new();
                self.strays = BTreeMap::new();
                self.suspicion = None;
                self.leaving = None;
                self.has_stale = false;
                self.set_server_phase(ServerPhase::Down);
            }
            Change::Refreshed => {
                // What an operator asks for does not wait for an earlier failure to be forgiven.
                self.hurry_sides();
                self.crash_backoff.hurry();
                self.calls.server.hurry();
                if let Some(server) = &mut self.server {
                    server.crashes.hurry();
                }
                // Nor do kills that did not help.
                let stubborn: Vec<_> = self.handles.stubborn_and_answered().collect();
                for id in stubborn {
                    self.handles.set_phase(id, outstanding(0));
                }
            }
            Change::LaunchStarted { launch, workers, .. } => {
                let (side, found, phase) = (self.side, BTreeMap::new(), LaunchPhase::InFlight);
                self.launches
                    .insert(*launch, Launch { workers: *workers, side, found, started_at: now, phase });
                self.next_launch = self.next_launch.max(launch.0.saturating_add(1));
            }
            Change::LaunchRepeated { launch } => self.repeat_launch(*launch, now),
            Change::LaunchSettled { launch, handles, trouble, retryable } => {
                self.add(handles, now);
                let side = self.launches.remove(launch).map_or(self.side, |launch| launch.side);
                self.settle(side, trouble.as_ref(), *retryable, handles.is_empty(), now);
            }
            Change::LaunchUnknown { launch, trouble, claimed, returned } => {
                self.add(claimed, now);
                self.doubt_launch(*launch, trouble, *returned, now);
            }
            Change::LaunchNotListed { launch } => {
                if let Some(Launch { phase: LaunchPhase::Unknown { unlisted, .. }, .. }) =
                    self.launches.get_mut(launch)
                {
                    *unlisted += 1;
                }
            }
            Change::LaunchResolved { launch, handles } => {
                self.add(handles, now);
                let side = self.launches.remove(launch).map_or(self.side, |launch| launch.side);
                self.on(side).launch_backoff.succeed();
            }
            Change::Adopted { handles } => self.add(handles, now),
            Change::StraysSeen { side, strays } => {
                for (name, workers) in strays {
                    let stray = Stray { workers: *workers, since: now, side: *side };
                    self.strays.insert((*side, Arc::clone(name)), stray);
                }
            }
            Change::StraysGone { side, strays } => {
                for name in strays {
                    self.strays.remove(&(*side, Arc::clone(name)));
                }
            }
            Change::StraysCondemned { handles } => self.condemn(handles, now),
            Change::KillStarted { handles, why, .. } => {
                self.start_kill(handles, now);
                match why {
                    // How the workers of a provider that is left start says nothing of those to come.
                    KillReason::LaunchTimeout if self.side_of(handles) == self.side => self.crash(now),
                    // It named all that there were.
                    KillReason::OtherServer => self.has_stale = false,
                    _ => {}
                }
            }
            Change::KillAnswered { handles } => {
                self.answer_kill(handles, now);
                self.on(self.side_of(handles)).calls.status.wanted = true;
                if self.kill_trouble.as_ref().is_some_and(|(id, _)| handles.contains(id)) {
                    self.kill_trouble = None;
                }
            }
            Change::KillFailed { handles, trouble } => {
                self.answer_kill(handles, now);
                self.kill_trouble = handles.first().map(|id| (*id, trouble.clone()));
            }
            Change::LateSeen { handles } => self.calls.late.extend(handles),
            Change::PhaseSeen { initializing, running } => {
                for id in initializing.iter().chain(running) {
                    self.calls.late.remove(id);
                }
                for id in initializing {
                    self.handles.set_phase(*id, Phase::Initializing { since: now });
                }
                for id in running {
                    self.handles.set_phase(*id, Phase::Running);
                }
            }
            Change::Gone { killed, died } => self.bury(killed, died, now),
            Change::Suspected { handles } => {
                let workers =
                    handles.iter().filter_map(|id| self.handles.get(*id)).map(|h| u64::from(h.workers));
                let workers = workers.sum();
                let on = self.on(self.side_of(handles));
                *on.suspicion = Some(Suspicion { since: now, workers });
                on.calls.status.wanted = true;
            }
            Change::SuspicionEnded { side } => *self.on(*side).suspicion = None,
            Change::Stable => self.crash_backoff.succeed(),
            Change::StatusStarted { side } => self.on(*side).calls.status.start(now),
            Change::StatusEnded { side, trouble } => {
                let on = self.on(*side);
                on.calls.status.end(trouble.as_ref(), on.policy, seed, now);
            }
            Change::ListStarted { side } => {
                let calls = self.on(*side).calls;
                calls.list.start(now);
                calls.buried_meanwhile.clear();
            }
            Change::ListEnded { side, trouble } => {
                let on = self.on(*side);
                on.calls.list.end(trouble.as_ref(), on.policy, seed, now);
                on.calls.buried_meanwhile.clear();
            }
            Change::InitializeStarted { side } => self.on(*side).calls.initialize.start(now),
            Change::InitializeEnded { side, trouble } => {
                let on = self.on(*side);
                on.calls.initialize.end(trouble.as_ref(), on.policy, seed, now);
            }
            Change::ServerStarted => {
                self.set_server_phase(ServerPhase::Starting { since: now });
                self.calls.server.run.start(now);
                (self.calls.server.run_hangs, self.calls.server.not_up) = (false, None);
            }
            Change::ServerUp { address, replaces } => self.server_up(address, *replaces, now),
            Change::ServerLost { .. } => self.set_server_phase(ServerPhase::Lost { since: now }),
            Change::ServerStopStarted { why } => self.stop_server(*why, now),
            Change::ServerGone { died } => self.server_gone(*died, now),
            Change::ServerRunEnded { trouble, retryable, returned, doubtful } => {
                let run = &mut self.calls.server.run;
                let until = now + self.policy.backoff_max;
                run.end_in(trouble.as_ref(), self.policy.backoff, &self.policy, seed, now);
                if !*retryable {
                    run.backoff.extend(until);
                }
                // Nothing else is asked about the server while the provider may still be at it.
                run.in_flight = !*returned;
                self.calls.server.run_hangs = !*returned;
                if let Some(server) = &mut self.server
                    && *returned
                    && *doubtful
                {
                    server.in_doubt_since = Some(now);
                }
                self.calls.server.look.wanted = true;
            }
            Change::ServerStopEnded { trouble } => {
                let patience = self.policy.kill_retry;
                self.calls.server.stop.end_in(trouble.as_ref(), patience, &self.policy, seed, now);
                self.calls.server.look.wanted = true;
            }
            Change::ServerLookStarted => {
                self.calls.server.look.start(now);
                self.calls.server.look_is_old = false;
            }
            Change::ServerLookEnded { trouble, not_up } => {
                let calls = &mut self.calls.server;
                calls.look.end(trouble.as_ref(), &self.policy, seed, now);
                if trouble.is_none() {
                    calls.not_up.clone_from(not_up);
                }
                if calls.look_is_old {
                    calls.look.succeeded_at = None;
                }
            }
        }
    }

    /// Cuts off what was under way: the calls of a host that is gone will not be answered.
    fn recover(&mut self, term: u64, now: Time) {
        self.term = term;
        self.resting = false;
        self.calls = Calls::default();
        // Each term has numbers of its own: a token that was given out is never given out again, even where the journal
        // has lost its end.
        self.next_launch = self.next_launch.max(term.saturating_mul(LAUNCHES_IN_A_TERM));
        for launch in self.launches.values_mut() {
            match &mut launch.phase {
                // Evidence is gathered anew: by how much the clock was moved while there was no host, nobody knows.
                LaunchPhase::Unknown { since, returned, unlisted, .. } => {
                    (*since, *returned, *unlisted) = (now, true, 0);
                }
                phase @ LaunchPhase::InFlight => {
                    let trouble = Trouble::new("the host ended before the provider answered");
                    *phase =
                        LaunchPhase::Unknown { since: now, trouble, returned: true, unlisted: 0, repeats: 0 };
                }
            }
        }
        self.launches.retain(|_, launch| launch.held() > 0);
        let cut_off: Vec<_> = self.handles.being_killed().collect();
        for (id, attempts) in cut_off {
            // Whether it reached the provider is not known, so that it does not count.
            self.handles.set_phase(id, outstanding(attempts.saturating_sub(1)));
        }
    }

    fn condemn(&mut self, handles: &[NewHandle], now: Time) {
        for new in handles {
            self.strays.remove(&(new.side, Arc::clone(&new.name)));
            self.insert(new, outstanding(0), now);
        }
    }

    fn attach(&mut self, side: Side, traits: ProviderTraits) {
        if side == self.side && traits.server != self.traits.server {
            self.look_at_server_anew();
        }
        *self.on(side).traits = traits;
        if !traits.list {
            // Nobody will see them again, or see that they are gone.
            self.strays.retain(|(of, _), _| *of != side);
        }
    }

    fn configure(&mut self, policy: &Policy, traits: ProviderTraits, expected: u32) {
        self.generation += 1;
        self.policy = policy.clone();
        self.expected = expected;
        self.attach(self.side, traits);
        // What failed under the old configuration is tried under the new one at once.
        self.launch_backoff.succeed();
        self.crash_backoff.succeed();
    }

    fn add(&mut self, handles: &[NewHandle], now: Time) {
        for new in handles {
            if let Some(launch) = new.launch.and_then(|launch| self.launches.get_mut(&launch)) {
                launch.found.insert(Arc::clone(&new.name), new.workers);
            }
            self.strays.remove(&(new.side, Arc::clone(&new.name)));
            self.insert(new, Phase::Initializing { since: now }, now);
            let stale_before = self.server.as_ref().map(|server| server.stale_before);
            self.has_stale |= new.launch.zip(stale_before).is_some_and(|(launch, before)| launch < before);
        }
        for side in handles.iter().map(|new| new.side) {
            self.on(side).calls.status.wanted = true;
        }
    }

    fn insert(&mut self, new: &NewHandle, phase: Phase, now: Time) {
        let NewHandle { id, name, workers, side, launch } = new.clone();
        self.handles.insert(id, Handle { name, workers, side, launch, launched_at: now, phase });
    }

    fn repeat_launch(&mut self, launch: LaunchId, now: Time) {
        let Some(launch) = self.launches.get_mut(&launch) else { return };
        launch.started_at = now;
        if let LaunchPhase::Unknown { returned, repeats, .. } = &mut launch.phase {
            *returned = false;
            *repeats += 1;
        }
    }

    fn doubt_launch(&mut self, id: LaunchId, trouble: &Trouble, returned: bool, now: Time) {
        let Some(launch) = self.launches.get_mut(&id) else { return };
        let side = launch.side;
        let (since, repeats) = match launch.phase {
            LaunchPhase::Unknown { since, repeats, returned: before, .. } if before == returned => {
                (since, repeats)
            }
            // Evidence counts from the moment on at which nothing more could come of the call.
            LaunchPhase::Unknown { repeats, .. } => (now, repeats),
            LaunchPhase::InFlight => (now, 0),
        };
        launch.phase =
            LaunchPhase::Unknown { since, trouble: trouble.clone(), returned, unlisted: 0, repeats };
        if returned && launch.held() == 0 {
            // All that it was asked for is known, and more cannot come.
            self.launches.remove(&id);
        }
        *self.on(side).launch_trouble = Some(trouble.clone());
        self.fail_launch(side, now);
    }

    fn settle(&mut self, side: Side, trouble: Option<&Trouble>, retryable: bool, empty: bool, now: Time) {
        *self.on(side).launch_trouble = trouble.cloned();
        match trouble {
            None => self.on(side).launch_backoff.succeed(),
            Some(_) if retryable => {
                if !empty {
                    // Some capacity came: the wait begins anew from its shortest.
                    self.on(side).launch_backoff.succeed();
                }
                self.fail_launch(side, now);
            }
            Some(_) => {
                self.fail_launch(side, now);
                let until = now + self.policy.backoff_max;
                self.on(side).launch_backoff.extend(until);
            }
        }
    }

    fn fail_launch(&mut self, side: Side, now: Time) {
        let (first, longest, seed) = (self.policy.backoff, self.policy.backoff_max, self.uid);
        self.on(side).launch_backoff.fail(now, first, longest, 0, seed);
    }

    fn crash(&mut self, now: Time) {
        self.crash_backoff.fail(now, self.policy.backoff, self.policy.backoff_max, FREE_CRASHES, self.uid);
    }

    fn start_kill(&mut self, handles: &[HandleId], now: Time) {
        for id in handles {
            self.calls.late.remove(id);
            let attempts = match self.handles.get(*id).map(|handle| handle.phase) {
                Some(Phase::Terminating { attempts, .. }) => attempts,
                _ => 0,
            };
            let phase = Phase::Terminating { attempts: attempts + 1, asked_at: now, in_flight: true };
            self.handles.set_phase(*id, phase);
        }
    }

    fn answer_kill(&mut self, handles: &[HandleId], now: Time) {
        for id in handles {
            if let Some(Phase::Terminating { attempts, .. }) =
                self.handles.get(*id).map(|handle| handle.phase)
            {
                // Patience begins with the answer: the call itself may have taken long, or waited for its turn.
                self.handles.set_phase(*id, Phase::Terminating { attempts, asked_at: now, in_flight: false });
            }
        }
    }

    fn bury(&mut self, killed: &[HandleId], died: &[HandleId], now: Time) {
        let mut early = false;
        for id in killed.iter().chain(died) {
            self.calls.late.remove(id);
        }
        for id in died {
            if let Some(handle) = self.handles.remove(*id) {
                early |= handle.side == self.side && now.since(handle.launched_at) < self.policy.stable_after;
                self.note_buried(&handle);
            }
        }
        for id in killed {
            if let Some(handle) = self.handles.remove(*id) {
                self.note_buried(&handle);
            }
            if self.kill_trouble.as_ref().is_some_and(|(troubled, _)| troubled == id) {
                self.kill_trouble = None;
            }
        }
        self.last_gone = now;
        self.has_stale = self.has_stale && self.any_is_stale();
        self.suspect_nobody_of_none();
        if early {
            self.crash(now);
        }
    }

    /// A list that is under way may still name it, and must not bring it back.
    fn note_buried(&mut self, handle: &Handle) {
        let calls = self.on(handle.side).calls;
        if calls.list.in_flight {
            calls.buried_meanwhile.insert(handle.name.clone());
        }
    }
}

/// Told to stop so often, and to be told again at once.
fn outstanding(attempts: u32) -> Phase {
    Phase::Terminating { attempts, asked_at: Time::default(), in_flight: false }
}

impl Call {
    fn hurry(&mut self) {
        self.wanted = true;
        self.backoff.hurry();
    }

    fn start(&mut self, now: Time) {
        self.in_flight = true;
        self.started_at = Some(now);
        self.wanted = false;
    }

    fn end(&mut self, trouble: Option<&Trouble>, policy: &Policy, seed: u64, now: Time) {
        self.end_in(trouble, policy.busy_poll_interval, policy, seed, now);
    }

    /// Ends it; where it failed, the first wait is the one given.
    fn end_in(&mut self, trouble: Option<&Trouble>, first: Duration, policy: &Policy, seed: u64, now: Time) {
        self.in_flight = false;
        self.trouble = trouble.cloned();
        match trouble {
            None => {
                self.succeeded_at = self.started_at;
                self.backoff.succeed();
            }
            Some(_) => self.backoff.fail(now, first, policy.backoff_max.max(first), 0, seed),
        }
    }
}
