//! The fake provider: calls arrive late, fail, work in part, are answered wrongly, or never. What it truthfully promises is
//! what the contract says; everything else may go wrong.

mod answers;
mod effects;
mod server;

use std::{collections::BTreeMap, sync::Arc};

use longshore_scaling::{
    Action, Build, Command, HandleId, LaunchId, ServerKind, ServerSeen, Serving, Side, Standing, Time,
    Trouble, Turn,
};

use self::server::{StartFate, StopFate};
use crate::{
    backend::Name,
    fault::Fault,
    queue::{CallId, Event, HostId},
    trace::{Who, say},
    world::{Stage, World},
};

/// The window in which the backend counts launches before it throttles, in milliseconds.
const THROTTLE_WINDOW: u64 = 10_000;

/// What becomes of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Well,
    Permanent,
    Retryable,
    Throttled,
    RequestLost,
    ReplyLost,
    Refused,
    Duplicate,
    Partial,
    Late,
    Hangs,
}

/// What becomes of a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillFate {
    Well,
    Fails,
    Partly,
    Claims,
    ReplyLost,
}

/// What a side's provider is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plugin {
    /// Its version: how often it was exchanged.
    version: u32,
    /// Whether the one before was lost meanwhile, which nobody was told of yet.
    pub(crate) is_lost: bool,
}

/// A call's part that its kind alone has.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Run {
        launch: LaunchId,
        token: String,
        workers: u32,
        fate: Fate,
        made: Vec<(Arc<str>, u32)>,
    },
    /// The handles, and which of them are really killed.
    Kill {
        handles: Vec<(HandleId, Arc<str>)>,
        hit: Vec<bool>,
        fate: KillFate,
    },
    Status {
        live: Vec<(HandleId, Arc<str>)>,
        terminating: Vec<(HandleId, Arc<str>)>,
    },
    List,
    Initialize,
    RunServer {
        fate: StartFate,
    },
    StopServer {
        fate: StopFate,
    },
    /// What it saw when it arrived.
    LookAtServer {
        kind: ServerKind,
        seen: Option<Result<ServerSeen, Trouble>>,
    },
}

/// A call that is under way.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what became of a call and what did not, each by itself")]
pub(crate) struct Call {
    pub(crate) host: HostId,
    /// The cluster that it is for: another one of the same name hears nothing of it.
    pub(crate) uid: u64,
    /// The side whose provider is called.
    pub(crate) side: Side,
    pub(crate) kind: Kind,
    /// When it was made, by the host's clock, and by the world's.
    pub(crate) asked_at: Time,
    pub(crate) began: u64,
    /// When it takes effect, where it still will.
    effect: Option<u64>,
    /// Whether its host has ended, so that nobody waits for its answer.
    orphan: bool,
    /// Whether its answer is to come.
    unanswered: bool,
    /// Whether the backend could not be reached when it arrived.
    pub(crate) lost_touch: bool,
    /// Whether it has arrived.
    arrived: bool,
}

/// All calls that are under way.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: BTreeMap<CallId, Call>,
    made: u64,
    /// When launches came lately.
    launches: Vec<u64>,
    /// Until when the calls of a host that was taken for dead may take effect.
    fences: BTreeMap<HostId, u64>,
}

impl Calls {
    /// From `until` on, nothing comes of the calls of a host any more.
    pub(crate) fn fence(&mut self, host: HostId, until: u64) {
        self.fences.insert(host, until);
    }

    pub(crate) fn get(&self, id: CallId) -> Option<&Call> {
        self.open.get(&id)
    }

    fn close(&mut self, id: CallId) -> Option<Call> {
        self.open.remove(&id)
    }
}

impl World {
    /// What a host tells the core of a side's provider.
    pub(crate) fn introductions(&self, side: Side) -> Vec<Command> {
        let traits = self.traits_of(side);
        let plugin = self.plugins.get(&side).copied().unwrap_or_default();
        let build = |version: u32| Build {
            version: version.to_string().into(),
            hash: format!("{version:064x}").into(),
        };
        let provider: Arc<str> = format!("provider-{}", side.0).into();
        let mut told = vec![Command::Attach { side, traits }];
        if plugin.is_lost {
            let (provider, build) = (Arc::clone(&provider), build(plugin.version.saturating_sub(1)));
            told.push(Command::Lose { side, provider, build, trouble: Trouble::new("it died too often") });
        }
        let serving = Serving { build: build(plugin.version), standing: Standing::Settled };
        told.push(Command::Serve { side, provider, serving, turn: Turn::Swapped });
        told
    }

    /// How long something takes on its way.
    fn latency(&mut self) -> u64 {
        self.provider_dice.magnitude(1, self.shape.latency)
    }

    /// A host calls the provider.
    pub(crate) fn carry_out(&mut self, host: HostId, action: &Action, asked_at: Time) {
        let Some(it) = self.hosts.get(&host) else { return };
        let (Some(core), is_zombie) = (&it.core, it.is_zombie) else { return };
        let state = core.state();
        let uid = state.uid();
        let side = action.side().unwrap_or(state.side());
        let named = |ids: &[HandleId]| -> Vec<(HandleId, Arc<str>)> {
            ids.iter().filter_map(|id| Some((*id, Arc::clone(&state.handle(*id)?.name)))).collect()
        };
        let kind = match action {
            Action::Initialize { .. } => Kind::Initialize,
            Action::List { .. } => Kind::List,
            Action::Status { live, terminating, .. } => {
                Kind::Status { live: named(live), terminating: named(terminating) }
            }
            Action::Kill { handles, .. } => {
                let handles = named(handles);
                for (id, name) in &handles {
                    self.checkers.kill_called(*id, &Name::new(side, name), &self.backend);
                }
                let (fate, hit) = self.kill_fate(handles.len());
                Kind::Kill { handles, hit, fate }
            }
            Action::Launch { launch, workers, .. } => {
                let token = state.token(*launch);
                if !is_zombie {
                    self.checkers.runs_prepared(host, side, &token);
                }
                self.checkers.run_called(*launch, side, *workers, &token);
                let entry = self.backend.tokens.entry(token.clone()).or_default();
                (entry.asked, entry.side) = (*workers, side);
                entry.open += 1;
                let fate = self.run_fate();
                Kind::Run { launch: *launch, token, workers: *workers, fate, made: Vec::new() }
            }
            Action::RunServer => {
                if !is_zombie {
                    self.checkers.server_prepared(host, side);
                }
                self.checkers.server_called(true);
                self.backend.server_runs_open += 1;
                Kind::RunServer { fate: self.start_fate() }
            }
            Action::StopServer { .. } => {
                self.checkers.server_called(false);
                Kind::StopServer { fate: self.stop_fate() }
            }
            Action::LookAtServer => {
                let kind = state.server().map_or(ServerKind::Managed, |server| server.policy.kind);
                Kind::LookAtServer { kind, seen: None }
            }
            // That it is let go, the provider does not notice.
            Action::LetGo { .. } => return,
        };
        self.begin(host, uid, side, kind, asked_at);
    }

    fn begin(&mut self, host: HostId, uid: u64, side: Side, kind: Kind, asked_at: Time) {
        self.calls.made += 1;
        let id = CallId(self.calls.made);
        if let Kind::Run { token, workers, fate, .. } = &kind {
            say!(self, Who::Provider, "no. {} is asked for {workers} under {token} ({fate:?})", side.0);
        } else if let Kind::Kill { handles, fate, .. } = &kind {
            let names: Vec<_> = handles.iter().map(|(_, name)| &**name).collect();
            say!(self, Who::Provider, "no. {} is asked to kill {} ({fate:?})", side.0, names.join(", "));
        } else if let Kind::RunServer { fate } = &kind {
            say!(self, Who::Provider, "is asked for the server ({fate:?})");
        } else if let Kind::StopServer { fate } = &kind {
            say!(self, Who::Provider, "is told to stop the server ({fate:?})");
        }
        let (there, back) = (self.latency(), self.latency());
        let (mut effect, mut answer) = (Some(self.now + there), Some(self.now + there + back));
        let deadline = self.now + self.shape.deadline;
        match &kind {
            Kind::Run { fate: Fate::Late, .. } | Kind::RunServer { fate: StartFate::Late } => {
                let late = deadline + self.provider_dice.magnitude(1, self.shape.deadline * 2);
                effect = Some(self.provider_dice.between(self.now, late - 1));
                answer = Some(late);
            }
            Kind::Run { fate: Fate::Hangs, .. } | Kind::RunServer { fate: StartFate::Hangs } => {
                let somewhen = self.now + self.provider_dice.below(self.shape.deadline * 3);
                effect = self.provider_dice.coin().then_some(somewhen);
                answer = None;
            }
            Kind::RunServer { fate: StartFate::ReplyLost } if self.provider_dice.coin() => {
                // No longer than a call may outlive its host: nobody is there to tell of it either.
                effect = Some(self.now + there + back + self.provider_dice.between(0, self.shape.linger));
            }
            Kind::Kill { .. } if self.strikes(Fault::KillSlow) => {
                answer = Some(self.now + there + back + self.provider_dice.magnitude(1, 60_000));
            }
            Kind::StopServer { .. } if self.strikes(Fault::ServerStopSlow) => {
                answer = Some(self.now + there + back + self.provider_dice.magnitude(1, 60_000));
            }
            _ => {}
        }
        let has_deadline = matches!(kind, Kind::Run { .. } | Kind::RunServer { .. });
        if has_deadline && answer.is_none_or(|answer| answer > deadline) {
            self.queue.push(deadline, Event::Deadline { call: id });
        }
        if let Some(effect) = effect {
            self.queue.push(effect, Event::Effect { call: id });
        }
        if let Some(answer) = answer {
            self.queue.push(answer, Event::Answer { call: id });
        }
        let began = self.now;
        let call = Call {
            host,
            uid,
            side,
            kind,
            asked_at,
            began,
            effect,
            orphan: false,
            unanswered: true,
            lost_touch: false,
            arrived: false,
        };
        self.calls.open.insert(id, call);
    }

    fn run_fate(&mut self) -> Fate {
        let since = self.now.saturating_sub(THROTTLE_WINDOW);
        self.calls.launches.retain(|at| *at >= since);
        self.calls.launches.push(self.now);
        let is_many = self.calls.launches.len() as u32 > self.shape.throttle;
        if is_many && self.strikes(Fault::RunThrottled) {
            return Fate::Throttled;
        }
        let fates = [
            (Fault::RunPermanent, Fate::Permanent),
            (Fault::RunRetryable, Fate::Retryable),
            (Fault::RequestLost, Fate::RequestLost),
            (Fault::ReplyLost, Fate::ReplyLost),
            (Fault::ReplyRefused, Fate::Refused),
            (Fault::ReplyDuplicate, Fate::Duplicate),
            (Fault::RunPartial, Fate::Partial),
            (Fault::ReplyLate, Fate::Late),
            (Fault::RunHangs, Fate::Hangs),
        ];
        fates.into_iter().find(|(fault, _)| self.strikes(*fault)).map_or(Fate::Well, |(_, fate)| fate)
    }

    fn kill_fate(&mut self, handles: usize) -> (KillFate, Vec<bool>) {
        let fates = [
            (Fault::KillFails, KillFate::Fails),
            (Fault::KillPartly, KillFate::Partly),
            (Fault::KillClaims, KillFate::Claims),
            (Fault::KillReplyLost, KillFate::ReplyLost),
        ];
        let fate = fates
            .into_iter()
            .find(|(fault, _)| self.strikes(*fault))
            .map_or(KillFate::Well, |(_, fate)| fate);
        let mut hit = || match fate {
            KillFate::Well | KillFate::ReplyLost => true,
            KillFate::Fails => false,
            KillFate::Partly | KillFate::Claims => self.provider_dice.coin(),
        };
        let hit = (0..handles).map(|_| hit()).collect();
        (fate, hit)
    }

    /// Whether anything that calls may bring is still on its way.
    pub(crate) fn is_calm(&self) -> bool {
        !matches!(self.stage, Stage::Faults) && self.calls.open.values().all(|call| !call.changes_something())
    }
}

impl Call {
    /// Whether it is more than a question.
    fn changes_something(&self) -> bool {
        match self.kind {
            Kind::Run { .. } | Kind::Kill { .. } | Kind::RunServer { .. } | Kind::StopServer { .. } => true,
            Kind::Status { .. } | Kind::List | Kind::Initialize | Kind::LookAtServer { .. } => false,
        }
    }
}
