//! Before a new generation of a provider takes the calls, it is asked what the one that serves is asked at the same time: the
//! status of every container that each of its clusters is not known to have seen stopped, the list where both have one,
//! and the server where the cluster has one of theirs. Nothing is changed by it.
//!
//! The two agree when, in one of [`ROUNDS`] rounds, no difference is left. What differed is asked again, and only that, for
//! the backend moves meanwhile: launches and kills are under way, and workers come to be at work. So a difference counts only
//! when it is there in every round:
//!
//! - *a status*: any other than the old one's. Of a container that was told to stop it counts only that the new one says it
//!   has, where the old one does not. A container that the cluster is rid of meanwhile counts no more;
//! - *a list*: a handle that one of them has and the other has not, or with another launch or number of workers;
//! - *the server*: another state, or another address;
//! - *an error of the new one*. An answer of it that breaks the contract counts at once.
//!
//! Where the old one is not there, or cannot tell in any round, the new one is held to what the host knows: it may not break
//! the contract or fail, nor say that so many of a cluster's containers have stopped as the cluster's policy takes for a mass
//! death (`mass_death_percent`). A broken provider can be mended that way, and its workers are not taken for dead.

use std::{collections::HashMap, sync::Arc, time::Duration};

use longshore_plugin_api::{Clause, ListedHandle, ServerAddress, WorkerStatus};
use longshore_providers::{CallError, CallScope, Function, Provider};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::sleep,
};

use crate::{
    calls::{STATUS_BATCH, called},
    house::House,
    message::{Live, Message},
};

/// How often the two are asked at most.
const ROUNDS: u32 = 6;
/// How long to wait before what differed is asked again: at first. It doubles from round to round.
const PAUSE: Duration = Duration::from_millis(50);
/// How many clusters are compared at once.
const CLUSTERS_AT_ONCE: usize = 4;
/// How many of those that differ are named.
const NAMED: usize = 3;

/// What was compared, and found to be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Clusters.
    pub clusters: usize,
    /// Containers whose status was asked for.
    pub handles: usize,
    /// Handles that were listed.
    pub listed: usize,
    /// Rounds that the cluster which needed the most of them took.
    pub rounds: u32,
}

/// What is different, for a person: of which cluster, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) cluster: String,
    pub(crate) what: String,
    /// The clause that the new one broke.
    pub(crate) clause: Option<&'static str>,
}

impl House {
    /// Compares two generations over all clusters that they serve; `old` is none where there is none that can be asked.
    pub(crate) async fn compare(
        &self,
        clusters: Vec<String>,
        old: Option<&Arc<Provider>>,
        new: &Arc<Provider>,
    ) -> Result<Compared, Difference> {
        let at_once = Arc::new(Semaphore::new(CLUSTERS_AT_ONCE));
        let mut comparing = JoinSet::new();
        for cluster in clusters {
            // One that is deleted, or goes away, meanwhile has nothing to compare.
            let Ok(inbox) = self.inbox(&cluster) else { continue };
            let pair = Pair { old: old.cloned(), new: Arc::clone(new), cluster, inbox };
            let at_once = Arc::clone(&at_once);
            comparing.spawn(async move {
                // The semaphore is never closed.
                let _permit = at_once.acquire_owned().await;
                match pair.live().await {
                    Some(live) => pair.compare(live).await,
                    None => Ok(Compared::default()),
                }
            });
        }
        let mut all = Compared::default();
        while let Some(joined) = comparing.join_next().await {
            // A panic in there is one of the host's own making. Those that go on are let go with the set.
            let compared = joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            all.clusters += compared.clusters;
            all.handles += compared.handles;
            all.listed += compared.listed;
            all.rounds = all.rounds.max(compared.rounds);
        }
        Ok(all)
    }
}

/// Two generations, and the cluster that they are compared over.
struct Pair {
    old: Option<Arc<Provider>>,
    new: Arc<Provider>,
    cluster: String,
    inbox: mpsc::Sender<Message>,
}

/// What is still to be agreed upon.
struct Open {
    handles: Vec<(Arc<str>, bool)>,
    /// None before the first round: whatever differs then.
    listed: Option<HashMap<String, String>>,
    server: bool,
}

/// What differs after a round, in words.
#[derive(Default)]
struct Round {
    statuses: Vec<(Arc<str>, bool, String)>,
    listed: HashMap<String, String>,
    server: Option<String>,
    listed_by_new: usize,
    /// Why the new one did not tell.
    new_fails: Option<CallError>,
    /// Whether the old one did not tell.
    old_fails: bool,
    /// Whether that was because it hangs: then it is asked no more.
    old_hangs: bool,
}

impl Pair {
    /// What the cluster has of the provider's by now; nothing where it is gone, or has left the provider.
    async fn live(&self) -> Option<Live> {
        let (reply, answer) = oneshot::channel();
        let provider = self.new.name().into();
        self.inbox.send(Message::Live { provider, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Compares until nothing differs, for [`ROUNDS`] at most.
    async fn compare(mut self, live: Live) -> Result<Compared, Difference> {
        self.check_abilities(&live)?;
        let handles = live.handles.len();
        let mut open = Open { handles: live.handles.clone(), listed: None, server: live.has_server };
        let mut listed = 0;
        let mut last = Round::default();
        let mut old_answered = false;
        let mut pause = PAUSE;
        for rounds in 1..=ROUNDS {
            last = self.ask_both(&live, &open).await;
            if let Some(error) = &last.new_fails
                && let Some(clause) = error.clause()
            {
                return Err(self.difference(format!("the new one: {error}"), Some(clause.id())));
            }
            if last.new_fails.is_none() && !last.old_fails {
                old_answered = true;
                listed = listed.max(last.listed_by_new);
                if last.statuses.is_empty() && last.listed.is_empty() && last.server.is_none() {
                    return Ok(Compared { clusters: 1, handles, listed, rounds });
                }
                let Some(now) = self.live().await else { return Ok(Compared::default()) };
                open.narrow(&last, &now);
            }
            if last.old_hangs {
                self.old = None;
            }
            if self.old.is_none() && last.new_fails.is_none() {
                break;
            }
            if rounds < ROUNDS {
                sleep(pause).await;
                pause *= 2;
            }
        }
        if let Some(error) = last.new_fails {
            return Err(self.difference(format!("the new one cannot tell: {error}"), None));
        }
        if !old_answered {
            self.old = None;
            let now = self.live().await.unwrap_or(live);
            return self.hold_to_what_is_known(&now).await;
        }
        // What was settled before the last round is not in it.
        if open.handles.is_empty() && open.listed.as_ref().is_some_and(HashMap::is_empty) && !open.server {
            return Ok(Compared { clusters: 1, handles, listed, rounds: ROUNDS });
        }
        let told = last.told();
        let told = if told.is_empty() {
            "the one that serves failed while it was compared".to_owned()
        } else {
            told
        };
        Err(self.difference(told, None))
    }

    /// What the old one can do and the cluster has use for, the new one must be able to do.
    fn check_abilities(&self, live: &Live) -> Result<(), Difference> {
        let Some(old) = &self.old else { return Ok(()) };
        let new = &self.new;
        for (in_use, lacks, what) in [
            (old.has_list(), !new.has_list(), "it has no `list`, by which workers are found again"),
            (live.has_server, !new.has_server(), "it has no server, and the cluster has"),
            (
                live.has_unknown && old.idempotent_run(),
                !new.idempotent_run(),
                "it launches again under the same token, and the fate of a launch is not known",
            ),
        ] {
            if in_use && lacks {
                return Err(self.difference(format!("the new one lacks what is in use: {what}"), None));
            }
        }
        Ok(())
    }

    async fn ask_both(&self, live: &Live, open: &Open) -> Round {
        let scope = |budget| self.scope(live, budget);
        let deadlines = &live.config.deadlines;
        let names: Vec<_> = open.handles.iter().map(|(name, _)| Arc::clone(name)).collect();
        let mut round = Round::default();

        let status = scope(deadlines.status);
        let (theirs, ours) = tokio::join!(
            self.of_old(|old| statuses(old, &status, &names)),
            statuses(&self.new, &status, &names)
        );
        if let Some((theirs, ours)) = round.both(theirs, ours) {
            for (((name, told), old), new) in open.handles.iter().zip(theirs).zip(ours) {
                let differs = if *told {
                    new == WorkerStatus::Stopped && old != WorkerStatus::Stopped
                } else {
                    new != old
                };
                if differs {
                    let what = format!("`{name}` is {old}, and {new} for the new one");
                    round.statuses.push((Arc::clone(name), *told, what));
                }
            }
        }
        let wants_list = open.listed.as_ref().is_none_or(|listed| !listed.is_empty());
        if wants_list && self.new.has_list() && self.old.as_ref().is_none_or(|old| old.has_list()) {
            let scope = scope(deadlines.list);
            let (theirs, ours) = tokio::join!(self.of_old(|old| list(old, &scope)), list(&self.new, &scope));
            if let Some((theirs, ours)) = round.both(theirs, ours) {
                round.listed_by_new = ours.len();
                round.listed = differences(theirs, ours);
                if let Some(before) = &open.listed {
                    round.listed.retain(|handle, _| before.contains_key(handle));
                }
            }
        }
        if open.server {
            let (theirs, ours) =
                tokio::join!(self.of_old(|old| server(old, &status)), server(&self.new, &status));
            if let Some((theirs, ours)) = round.both(theirs, ours)
                && theirs != ours
            {
                round.server =
                    Some(format!("the server is {}, and {} for the new one", told(&theirs), told(&ours)));
            }
        }
        round
    }

    /// Asks the old one, where there is one.
    async fn of_old<'a, T, F: Future<Output = Result<T, CallError>> + 'a>(
        &'a self,
        ask: impl FnOnce(&'a Provider) -> F,
    ) -> Option<Result<T, CallError>> {
        match &self.old {
            Some(old) => Some(ask(old).await),
            None => None,
        }
    }

    /// The new one answered soundly, and nobody else can tell whether it is right but the host.
    async fn hold_to_what_is_known(&self, live: &Live) -> Result<Compared, Difference> {
        let alive: Vec<_> =
            live.handles.iter().filter(|(_, told)| !told).map(|(name, _)| Arc::clone(name)).collect();
        let answer = statuses(&self.new, &self.scope(live, live.config.deadlines.status), &alive).await;
        let answer = answer.map_err(|error| {
            self.difference(format!("the new one cannot tell: {error}"), error.clause().map(Clause::id))
        })?;
        let stopped = answer.iter().filter(|status| **status == WorkerStatus::Stopped).count();
        let percent = live.config.policy.mass_death_percent as usize;
        if stopped > 0 && stopped * 100 >= alive.len() * percent {
            let what = format!(
                "the one that serves cannot tell, and the new one says that {stopped} of {} containers have stopped",
                alive.len()
            );
            return Err(self.difference(what, None));
        }
        Ok(Compared { clusters: 1, handles: alive.len(), listed: 0, rounds: 1 })
    }

    fn scope(&self, live: &Live, budget: Duration) -> CallScope {
        CallScope { cluster: self.cluster.as_str().into(), budget, verbose: live.config.verbose }
    }

    fn difference(&self, what: String, clause: Option<&'static str>) -> Difference {
        Difference { cluster: self.cluster.clone(), what, clause }
    }
}

impl Open {
    /// Only what differed, and is still there, is asked again.
    fn narrow(&mut self, round: &Round, now: &Live) {
        let there: HashMap<_, _> = now.handles.iter().map(|(name, told)| (name, *told)).collect();
        // Who was told to stop meanwhile is held to less.
        let still = |(name, _, _): &(Arc<str>, bool, String)| Some((Arc::clone(name), *there.get(name)?));
        self.handles = round.statuses.iter().filter_map(still).collect();
        self.listed = Some(round.listed.clone());
        self.server = round.server.is_some();
    }
}

impl Round {
    /// Both answers, where both are there. What is not is noted; of an old one that there is not, nothing.
    fn both<T>(
        &mut self,
        theirs: Option<Result<T, CallError>>,
        ours: Result<T, CallError>,
    ) -> Option<(T, T)> {
        let ours = ours.map_err(|error| _ = self.new_fails.get_or_insert(error)).ok();
        self.old_hangs |= matches!(theirs, Some(Err(CallError::Deadline { .. })));
        let theirs = theirs.and_then(Result::ok);
        self.old_fails |= theirs.is_none();
        theirs.zip(ours)
    }

    fn told(&self) -> String {
        let mut told = Vec::new();
        let mut tell = |what: &str, mut all: Vec<&str>| {
            let count = all.len();
            all.truncate(NAMED);
            match count {
                0 => {}
                count if count > NAMED => {
                    told.push(format!("{what}: {} and {} more", all.join("; "), count - NAMED));
                }
                _ => told.push(format!("{what}: {}", all.join("; "))),
            }
        };
        tell("statuses differ", self.statuses.iter().map(|(_, _, what)| &**what).collect());
        tell("lists differ", self.listed.values().map(|what| &**what).collect());
        tell("servers differ", self.server.iter().map(|what| &**what).collect());
        told.join("; ")
    }
}

async fn statuses(
    provider: &Provider,
    scope: &CallScope,
    names: &[Arc<str>],
) -> Result<Vec<WorkerStatus>, CallError> {
    let mut all = Vec::with_capacity(names.len());
    for batch in names.chunks(STATUS_BATCH) {
        let status = |provider: &Provider, scope: &CallScope| provider.status(scope, batch);
        all.extend(called(provider, Function::Status, scope, status).await?);
    }
    Ok(all)
}

async fn list(provider: &Provider, scope: &CallScope) -> Result<Vec<ListedHandle>, CallError> {
    called(provider, Function::List, scope, Provider::list).await
}

type ServerSeen = (WorkerStatus, Option<ServerAddress>);

async fn server(provider: &Provider, scope: &CallScope) -> Result<ServerSeen, CallError> {
    let status = called(provider, Function::ServerStatus, scope, Provider::server_status).await?;
    let address = called(provider, Function::ServerAddress, scope, Provider::server_address).await?;
    Ok((status, address))
}

fn told((status, address): &ServerSeen) -> String {
    match address {
        Some(ServerAddress { host, port: Some(port) }) => format!("{status} at {host}:{port}"),
        Some(ServerAddress { host, port: None }) => format!("{status} at {host}"),
        None => status.to_string(),
    }
}

/// What is in one list and not in the other, or otherwise, by handle.
fn differences(old: Vec<ListedHandle>, new: Vec<ListedHandle>) -> HashMap<String, String> {
    let mut old: HashMap<_, _> = old.into_iter().map(|entry| (entry.handle.clone(), entry)).collect();
    let mut differ = HashMap::new();
    for entry in new {
        match old.remove(&entry.handle) {
            Some(theirs) if theirs == entry => {}
            Some(theirs) => {
                let what = format!(
                    "`{}` has {} workers of launch {}, and {} of {} for the new one",
                    entry.handle, theirs.workers, theirs.token, entry.workers, entry.token
                );
                differ.insert(entry.handle, what);
            }
            None => {
                let what = format!("`{}` is listed by the new one alone", entry.handle);
                differ.insert(entry.handle, what);
            }
        }
    }
    let lost = old.into_keys().map(|handle| {
        let what = format!("`{handle}` is not listed by the new one");
        (handle, what)
    });
    differ.extend(lost);
    differ
}
