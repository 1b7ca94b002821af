//! Makes one container: creates it and starts it, and leaves nothing where that fails. Whatever happens is told apart: it is
//! there, it is not there, or nobody knows.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bollard::models::ContainerCreateBody;
use longshore_plugin_api::Error;

use crate::{
    fault::Fault,
    labels,
    shared::Shared,
    state::{Found, Phase},
};

/// How often to look for a container of which the engine did not say whether it was made, and how long to wait between.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// A container that is to be made.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) name: String,
    pub(crate) body: ContainerCreateBody,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was started; it may have ended since.
    Made,
    /// It is not there.
    Absent(Error),
    /// It may be there.
    Doubtful(Error),
}

/// Makes a container, unless it is told to stop before it starts. One of the same name and labels is taken for the one that was
/// to be made: another call, or one that was cut off, was faster.
pub(crate) async fn make(shared: &Shared, order: Order, stop: &AtomicBool) -> Outcome {
    let Order { name, body } = order;
    // The engine may have a good deal to do at once; those that wait may be told to stop.
    let Ok(_maker) = shared.makers.acquire().await else { return Outcome::Absent(stopped()) };
    if stop.load(Ordering::Relaxed) {
        return Outcome::Absent(stopped());
    }
    let labels = body.labels.clone().unwrap_or_default();
    let is_ours = |found: &Found| {
        let same = |label: &&str| found.label(label) == labels.get(*label).map(String::as_str);
        [labels::OWNER, labels::CLUSTER, labels::ROLE, labels::TOKEN, labels::INDEX].iter().all(same)
    };
    let what = || format!("create the container {name}");
    for _ in 0..LOOKS {
        let fault = match shared.engine.create(&name, body.clone()).await {
            Ok(id) if stop.load(Ordering::Relaxed) => return unmake(shared, &name, &id, stopped()).await,
            Ok(id) => return start(shared, &name, &id).await,
            Err(fault) => fault,
        };
        if fault.is_doubtful() {
            return match look_for(shared, &name).await {
                Some(found) if is_ours(&found) => go_on(shared, &name, &found).await,
                _ => Outcome::Doubtful(fault.during(what())),
            };
        }
        if !fault.is_conflict() {
            return Outcome::Absent(fault.of_launch(what()));
        }
        match shared.engine.container(&name).await {
            Ok(Some(found)) if is_ours(&found) => return go_on(shared, &name, &found).await,
            Ok(Some(_)) => {
                return Outcome::Absent(Error::permanent(format_args!(
                    "the name clashes: there is a container {name} that this launch did not make; remove it, or choose \
                     another `namespace`"
                )));
            }
            // An engine gives the name away before it has made the container: for a call of ours perhaps whose host has died
            // since. Or it is removing one.
            Ok(None) if !stop.load(Ordering::Relaxed) => tokio::time::sleep(PAUSE).await,
            Ok(None) => break,
            Err(fault) => return Outcome::Doubtful(fault.during(what())),
        }
    }
    Outcome::Doubtful(Error::unknown(format_args!(
        "cannot {}: the engine has given its name away, and does not have the container yet",
        what()
    )))
}

/// Starts a container that was made before, by a call that was cut off; one that was started already is as good.
pub(crate) async fn go_on(shared: &Shared, name: &str, found: &Found) -> Outcome {
    if found.phase() == Phase::Made { start(shared, name, &found.id).await } else { Outcome::Made }
}

async fn start(shared: &Shared, name: &str, id: &str) -> Outcome {
    let what = || format!("start the container {name}");
    match shared.engine.start(id).await {
        Ok(()) => Outcome::Made,
        // Somebody killed it before it began.
        Err(fault) if fault.is_no_container() => Outcome::Made,
        Err(fault) if fault.is_doubtful() => match look_for(shared, name).await {
            Some(found) if found.phase() != Phase::Made => Outcome::Made,
            _ => unmake(shared, name, id, fault.during(what())).await,
        },
        Err(fault) => unmake(shared, name, id, fault.of_launch(what())).await,
    }
}

/// Removes what was made in vain.
async fn unmake(shared: &Shared, name: &str, id: &str, error: Error) -> Outcome {
    match shared.engine.remove(id).await {
        Ok(()) => Outcome::Absent(error),
        Err(fault) => {
            let why = removal(name, &fault);
            Outcome::Doubtful(Error::unknown(format_args!("{error}; and {why}")))
        }
    }
}

fn removal(name: &str, fault: &Fault) -> String {
    format!("the container {name} cannot be removed: {fault}")
}

fn stopped() -> Error {
    Error::cancelled("the call was over before")
}

/// Looks whether a container is there after all.
async fn look_for(shared: &Shared, name: &str) -> Option<Found> {
    for _ in 0..LOOKS {
        tokio::time::sleep(PAUSE).await;
        if let Ok(found) = shared.engine.container(name).await {
            return found;
        }
    }
    None
}
