//! Ends containers: asks them, has the engine force them after the grace, and removes them. Each is a task of its own, so that
//! the grace of one keeps no other waiting, and whoever asks again joins the task that is there: the grace begins once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Semaphore, watch};

use crate::{
    shared::Shared,
    state::{Found, Phase},
};

/// The most containers that are being stopped at once, each of which keeps a connection to the engine for its grace at most.
const STOPS_AT_ONCE: usize = 256;

/// How far the end of a container has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It may be alive.
    Ending,
    /// It has stopped, and is being removed.
    Stopped,
    /// It has stopped; it is removed, or will be with the next cleanup.
    Over,
    /// It could not be stopped, and why.
    Failed(String),
}

/// The ends that are under way, by the ids of the containers.
#[derive(Debug)]
pub(crate) struct Endings {
    under_way: Mutex<HashMap<String, watch::Receiver<Stage>>>,
    stops: Semaphore,
    removals: Semaphore,
}

impl Endings {
    /// `parallel` is the most containers that are removed at once.
    pub(crate) fn new(parallel: usize) -> Self {
        Self {
            under_way: Mutex::default(),
            stops: Semaphore::new(STOPS_AT_ONCE),
            removals: Semaphore::new(parallel),
        }
    }
}

/// Ends a container, or joins whoever does so already.
pub(crate) fn end(shared: &Arc<Shared>, found: &Found) -> watch::Receiver<Stage> {
    let mut under_way = shared.endings.under_way.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stage) = under_way.get(&found.id) {
        return stage.clone();
    }
    let (tell, stage) = watch::channel(Stage::Ending);
    under_way.insert(found.id.clone(), stage.clone());
    let (task, id, name) = (Arc::clone(shared), found.id.clone(), found.name().to_owned());
    let phase = found.phase();
    shared.spawn(async move {
        let last = carry_out(&task, &id, &name, phase, &tell).await;
        task.endings.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        tell.send_replace(last);
    });
    stage
}

/// Waits until a container is over, or could not be stopped; what it came to before `tell` was dropped otherwise.
pub(crate) async fn ended(stage: &mut watch::Receiver<Stage>) -> Stage {
    let last = stage
        .wait_for(|stage| matches!(stage, Stage::Over | Stage::Failed(_)))
        .await
        .map(|stage| stage.clone());
    last.unwrap_or_else(|_| stage.borrow().clone())
}

async fn carry_out(
    shared: &Shared,
    id: &str,
    name: &str,
    phase: Phase,
    tell: &watch::Sender<Stage>,
) -> Stage {
    let (endings, grace) = (&shared.endings, shared.settings.stop_grace);
    let is_asked = matches!(phase, Phase::Starting | Phase::Running) && !grace.is_zero();
    if is_asked {
        // Nobody closes it.
        let _stop = endings.stops.acquire().await;
        match shared.engine.stop(id, grace).await {
            Ok(()) => drop(tell.send_replace(Stage::Stopped)),
            Err(fault) if fault.is_missing() => return Stage::Over,
            // Then by force.
            Err(fault) => shared
                .say(|| tracing::warn!("the container {name} did not stop when it was asked to: {fault}")),
        }
    } else if phase == Phase::Ended {
        tell.send_replace(Stage::Stopped);
    }
    let _removal = endings.removals.acquire().await;
    match shared.engine.remove(id).await {
        Ok(()) => Stage::Over,
        Err(fault) if *tell.borrow() == Stage::Stopped => {
            shared.say(|| {
                tracing::warn!("the container {name} has stopped, and cannot be removed now: {fault}");
            });
            Stage::Over
        }
        Err(fault) => Stage::Failed(format!("the container {name} cannot be stopped: {fault}")),
    }
}
