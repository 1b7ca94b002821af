//! Carries out what the core decided: from an action to a provider's function, and from its answer, or the lack of one, to
//! an observation. It decides nothing.

mod cleanup;
mod probe;
mod server;
mod sides;
mod teller;

use std::{sync::Arc, time::Duration};

use longshore_config::ClusterConfig;
use longshore_plugin_api::{ErrorKind, Killed, LaunchToken, ListedHandle, RunRequest, WorkerStatus};
use longshore_providers::{Call, CallError, CallScope, Function, Launched, NotSent, Provider};
use longshore_scaling::{
    Action, HandleId, LaunchId, LaunchOutcome, Listing, Observation, ProviderTraits, Seen, Side, State, Time,
    Trouble,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use probe::Prober;
pub(crate) use sides::OneSide;
use teller::Teller;

use crate::{fill::worker_container, message::Message};

/// The most handles in one `kill`, so that one slow call does not hold up the rest.
const KILL_BATCH: usize = 1_000;
/// The most `kill` calls of one cluster at once.
const KILLS_AT_ONCE: usize = 4;
/// The most handles in one `status` call.
pub(crate) const STATUS_BATCH: usize = 10_000;

/// What the core may know of a provider's abilities.
pub(crate) fn traits(provider: &Provider) -> ProviderTraits {
    ProviderTraits {
        initialize: provider.has_initialize(),
        list: provider.has_list(),
        idempotent_run: provider.idempotent_run(),
        server: provider.has_server(),
    }
}

/// Handles by number and name, as a call needs them.
type Named = Vec<(HandleId, Arc<str>)>;

/// Starts the calls of one cluster. They end by themselves, or with the caller.
pub(crate) struct Caller {
    cluster: Arc<str>,
    /// The provider that workers are launched on.
    here: OneSide,
    /// The one that the cluster leaves, while it moves.
    left: Option<OneSide>,
    inbox: mpsc::Sender<Message>,
    kills: Arc<Semaphore>,
    prober: Prober,
    tasks: JoinSet<()>,
}

impl Caller {
    pub(crate) fn new(
        cluster: Arc<str>,
        here: OneSide,
        left: Option<OneSide>,
        inbox: mpsc::Sender<Message>,
    ) -> Self {
        let kills = Arc::new(Semaphore::new(KILLS_AT_ONCE));
        let (prober, tasks) = (Prober::new(), JoinSet::new());
        Self { cluster, here, left, inbox, kills, prober, tasks }
    }

    /// Waits for no answer any more.
    pub(crate) fn let_go(&mut self) {
        self.tasks = JoinSet::new();
    }

    /// Starts one action. Its observations come through the inbox.
    pub(crate) fn carry_out(&mut self, action: &Action, state: &State, config: &ClusterConfig, now: Time) {
        self.forget_ended();
        self.veil(config);
        let deadlines = &config.deadlines;
        let side = action.side().unwrap_or(self.here.side);
        match action {
            Action::LookAtServer => return self.look_at_server(config),
            Action::LetGo { side, .. } => return self.let_go_of_left(*side, config),
            _ => {}
        }
        let provider = match self.made(side) {
            Ok(provider) => Arc::clone(provider),
            Err(trouble) => {
                let Some(observation) = unsent(action, trouble) else { return };
                return self.answer(config, side, async { observation });
            }
        };
        match action {
            Action::Initialize { .. } => {
                let scope = self.scope(config, deadlines.initialize);
                self.answer(config, side, async move {
                    let answer = called(&provider, Function::Initialize, &scope, Provider::initialize).await;
                    Observation::Initialized(answer.map_err(|error| trouble(&error)))
                });
            }
            Action::List { .. } => {
                let scope = self.scope(config, deadlines.list);
                self.answer(config, side, async move {
                    listed(called(&provider, Function::List, &scope, Provider::list).await)
                });
            }
            Action::Launch { launch, workers, .. } => {
                self.launch(provider, side, (*launch, *workers), state, config);
            }
            Action::Kill { handles, .. } => {
                for batch in named(state, handles).chunks(KILL_BATCH) {
                    self.kill(Arc::clone(&provider), side, batch.to_vec(), config);
                }
            }
            Action::Status { live, terminating, .. } => {
                let (live, terminating) = (named(state, live), named(state, terminating));
                self.ask_statuses(provider, side, (live, terminating), config, now);
            }
            Action::RunServer => self.run_server(provider, config),
            Action::StopServer { .. } => self.stop_server(provider, config),
            // A server that others run needs no provider, nor does a farewell: both are above.
            Action::LookAtServer | Action::LetGo { .. } => {}
        }
    }

    fn scope(&self, config: &ClusterConfig, budget: Duration) -> CallScope {
        CallScope { cluster: Arc::clone(&self.cluster), budget, verbose: config.verbose }
    }

    /// What has ended is forgotten, so that the set stays as small as what is under way.
    fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    fn teller(&self, config: &ClusterConfig, side: Side) -> Teller {
        Teller::new(self.inbox.clone(), config, side)
    }

    fn answer(
        &mut self,
        config: &ClusterConfig,
        side: Side,
        observation: impl Future<Output = Observation> + Send + 'static,
    ) {
        let teller = self.teller(config, side);
        self.tasks.spawn(async move { teller.tell(observation.await).await });
    }

    fn launch(
        &mut self,
        provider: Arc<Provider>,
        side: Side,
        (launch, workers): (LaunchId, u32),
        state: &State,
        config: &ClusterConfig,
    ) {
        let container = match worker_container(config, state, workers) {
            Ok(container) => container,
            Err(trouble) => {
                let outcome = LaunchOutcome::Failed { trouble, retryable: true };
                return self.answer(config, side, async move { Observation::Launch { launch, outcome } });
            }
        };
        let request = RunRequest {
            container,
            hardware: config.hardware.clone(),
            workers,
            token: LaunchToken::new(state.token(launch)),
        };
        let scope = self.scope(config, config.deadlines.run);
        let teller = self.teller(config, side);
        self.tasks.spawn(async move {
            let seen = |answer| Observation::Launch { launch, outcome: outcome(answer) };
            let place = match provider.place(Function::Run, scope.budget).await {
                Ok(place) => place,
                Err(error) => return teller.tell(seen(Err(error))).await,
            };
            let mut call = provider.run(&scope, request);
            let answer = call.reply().await;
            drop(place);
            let hangs = matches!(answer, Err(CallError::Deadline { .. }));
            teller.tell(seen(answer)).await;
            if hangs {
                // Its workers may come into being yet: however late, the answer is wanted.
                let answer = call.late().await;
                teller.tell(seen(answer)).await;
            }
        });
    }

    fn kill(&mut self, provider: Arc<Provider>, side: Side, batch: Named, config: &ClusterConfig) {
        let (kills, scope) = (Arc::clone(&self.kills), self.scope(config, config.deadlines.kill));
        self.answer(config, side, async move {
            // The semaphore is never closed.
            let _permit = kills.acquire().await;
            let kill = |provider: &Provider, scope: &CallScope| provider.kill(scope, names(&batch));
            let answer = called(&provider, Function::Kill, &scope, kill).await;
            let answers = match answer {
                Ok(killed) => ids(&batch).zip(killed.into_iter().map(was_killed)).collect(),
                Err(error) => ids(&batch).map(|id| (id, Err(trouble(&error)))).collect(),
            };
            Observation::Killed { answers }
        });
    }

    fn ask_statuses(
        &mut self,
        provider: Arc<Provider>,
        side: Side,
        (live, terminating): (Named, Named),
        config: &ClusterConfig,
        asked_at: Time,
    ) {
        let (teller, scope) = (self.teller(config, side), self.scope(config, config.deadlines.status));
        self.answer(config, side, async move {
            let mut failed = None;
            // One look is one observation, however many calls it takes: only as a whole does it tell a mass death.
            let mut all = Vec::with_capacity(live.len() + terminating.len());
            for batch in live.chunks(STATUS_BATCH) {
                let status = |provider: &Provider, scope: &CallScope| provider.status(scope, names(batch));
                match called(&provider, Function::Status, &scope, status).await {
                    Ok(statuses) => all.extend(ids(batch).zip(statuses.into_iter().map(seen))),
                    Err(error) => failed = Some(trouble(&error)),
                }
            }
            // Of those that were killed one thing only matters, and a provider may have a faster way to tell it.
            for batch in terminating.chunks(STATUS_BATCH) {
                let stopped =
                    |provider: &Provider, scope: &CallScope| provider.is_stopped(scope, names(batch));
                match called(&provider, Function::IsStopped, &scope, stopped).await {
                    Ok(stopped) => {
                        let seen = |yes| if yes { Seen::Stopped } else { Seen::Running };
                        all.extend(ids(batch).zip(stopped.into_iter().map(seen)));
                    }
                    Err(error) => failed = Some(trouble(&error)),
                }
            }
            teller.tell(Observation::Statuses { asked_at, seen: all }).await;
            Observation::StatusEnded { trouble: failed }
        });
    }
}

/// Calls the provider once there is a place for the call: who waits is not refused, and waits in turn.
pub(crate) async fn called<T>(
    provider: &Provider,
    function: Function,
    scope: &CallScope,
    call: impl FnOnce(&Provider, &CallScope) -> Call<T>,
) -> Result<T, CallError> {
    let _place = provider.place(function, scope.budget).await?;
    call(provider, scope).reply().await
}

/// What comes of an action without a provider: nothing, for certain.
fn unsent(action: &Action, trouble: &Trouble) -> Option<Observation> {
    let trouble = trouble.clone();
    Some(match action {
        Action::Initialize { .. } => Observation::Initialized(Err(trouble)),
        Action::List { .. } => Observation::Listed(Err(trouble)),
        Action::Launch { launch, .. } => Observation::Launch {
            launch: *launch,
            outcome: LaunchOutcome::Failed { trouble, retryable: true },
        },
        Action::Kill { handles, .. } => {
            Observation::Killed { answers: handles.iter().map(|id| (*id, Err(trouble.clone()))).collect() }
        }
        Action::Status { .. } => Observation::StatusEnded { trouble: Some(trouble) },
        Action::RunServer => Observation::ServerRan {
            trouble: Some(trouble),
            retryable: true,
            returned: true,
            doubtful: false,
        },
        Action::StopServer { .. } => Observation::ServerStopAnswered(Err(trouble)),
        Action::LookAtServer => Observation::ServerLooked(Err(trouble)),
        // Nobody is asked.
        Action::LetGo { .. } => return None,
    })
}

fn named(state: &State, ids: &[HandleId]) -> Named {
    ids.iter().filter_map(|id| Some((*id, Arc::clone(&state.handle(*id)?.name)))).collect()
}

fn ids(batch: &[(HandleId, Arc<str>)]) -> impl Iterator<Item = HandleId> {
    batch.iter().map(|(id, _)| *id)
}

fn names(batch: &[(HandleId, Arc<str>)]) -> Vec<Arc<str>> {
    batch.iter().map(|(_, name)| Arc::clone(name)).collect()
}

fn seen(status: WorkerStatus) -> Seen {
    match status {
        WorkerStatus::Initializing => Seen::Initializing,
        WorkerStatus::Running => Seen::Running,
        WorkerStatus::Stopped => Seen::Stopped,
    }
}

fn was_killed(killed: Killed) -> Result<(), Trouble> {
    match killed {
        Killed::Yes => Ok(()),
        Killed::No(reason) => Err(Trouble::new(reason)),
    }
}

/// What a provider listed, in the core's terms.
pub(crate) fn listed(answer: Result<Vec<ListedHandle>, CallError>) -> Observation {
    let listing = |entry: ListedHandle| Listing {
        name: entry.handle.into(),
        workers: entry.workers,
        token: entry.token.as_str().to_owned(),
    };
    let entries = answer.map(|entries| entries.into_iter().map(listing).collect());
    Observation::Listed(entries.map_err(|error| trouble(&error)))
}

/// A call's error in the core's terms.
fn trouble(error: &CallError) -> Trouble {
    let clause = error.clause().map(|clause| clause.id().to_owned());
    let text = match error {
        CallError::Violation(violation) => {
            format!("the answer of {} was refused: {}", violation.function, violation.detail)
        }
        other => other.to_string(),
    };
    Trouble { text, clause }
}

/// What is certain about a launch after its call has ended, or was given up.
fn outcome(answer: Result<Launched, CallError>) -> LaunchOutcome {
    let error = match answer {
        Ok(Launched { handles, shortfall }) => {
            let retryable = shortfall.as_ref().is_none_or(|short| short.retryable);
            let shortfall = shortfall.map(|short| Trouble::new(short.reason));
            return LaunchOutcome::Succeeded { handles, shortfall, retryable };
        }
        Err(error) => error,
    };
    let trouble = trouble(&error);
    let unknown = |claimed, returned| LaunchOutcome::Unknown { trouble: trouble.clone(), claimed, returned };
    match error {
        CallError::Failed(error) => match error.kind() {
            ErrorKind::Unknown | ErrorKind::Panic => unknown(Vec::new(), true),
            ErrorKind::Permanent | ErrorKind::Config => LaunchOutcome::Failed { trouble, retryable: false },
            _ => LaunchOutcome::Failed { trouble, retryable: true },
        },
        CallError::NotSent { reason: NotSent::Missing(_) | NotSent::Unwritable(_) | NotSent::TooLarge } => {
            LaunchOutcome::Failed { trouble, retryable: false }
        }
        CallError::NotSent { .. } => LaunchOutcome::Failed { trouble, retryable: true },
        CallError::Deadline { .. } => unknown(Vec::new(), false),
        CallError::Violation(violation) => unknown(violation.claimed, true),
        CallError::Died { .. } | CallError::Gone => unknown(Vec::new(), true),
    }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::{Clause, Error};
    use longshore_providers::Violation;

    use super::*;

    fn returned(error: CallError) -> Option<bool> {
        match outcome(Err(error)) {
            LaunchOutcome::Unknown { returned, .. } => Some(returned),
            LaunchOutcome::Failed { .. } | LaunchOutcome::Succeeded { .. } => None,
        }
    }

    #[test]
    fn only_what_is_certain_counts_as_failed() {
        assert_eq!(returned(CallError::Failed(Error::retryable("busy"))), None);
        assert_eq!(returned(CallError::Failed(Error::permanent("no image"))), None);
        assert_eq!(returned(CallError::NotSent { reason: NotSent::ShutDown }), None);
        assert_eq!(returned(CallError::Failed(Error::unknown("connection reset"))), Some(true));
        assert_eq!(returned(CallError::Gone), Some(true));
        assert_eq!(returned(CallError::Died { how: "exited with code 3".into() }), Some(true));
        for away in [NotSent::RunnerDown { why: "gone".into() }, NotSent::Quarantined { why: "bad".into() }] {
            assert_eq!(returned(CallError::NotSent { reason: away }), None, "nothing has happened");
        }
        let deadline = CallError::Deadline { function: Function::Run, after: Duration::from_secs(1) };
        assert_eq!(returned(deadline), Some(false), "the call is still in the plugin");
    }

    #[test]
    fn a_breach_names_its_clause_and_keeps_what_was_claimed() {
        let violation = Violation {
            clause: Clause::RunCount,
            function: Function::Run,
            detail: "4 entries for 5 workers".into(),
            claimed: vec![("a".into(), 4)],
        };
        let LaunchOutcome::Unknown { trouble, claimed, returned } =
            outcome(Err(CallError::Violation(violation)))
        else {
            panic!("a breach settles nothing")
        };
        assert_eq!(trouble.clause.as_deref(), Some("RUN-1"));
        assert_eq!((claimed.len(), returned), (1, true));
    }
}
