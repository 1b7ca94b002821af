//! What is done without being asked for, every minute: containers that stopped by themselves are kept for a look at their logs,
//! and the oldest go; receipts of launches that nobody can ask for again go as well. Containers that were made, and whose maker was
//! cut off before it started them, are started: they are listed as initializing, and nobody else would ever see to that.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use longshore_plugin_api::Error;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    cleanup,
    labels::{self, Role},
    maker::{self, Outcome},
    shared::Shared,
    state::{Found, Phase},
};

/// How often to look.
const PERIOD: Duration = Duration::from_mins(1);
/// When to look first for what an earlier host was cut off in: it may wait for that.
const SOON: Duration = Duration::from_secs(1);
/// How long a launch is remembered of which no container is there.
const RECEIPT_AGE: Duration = Duration::from_hours(24);

/// Begins the upkeep; it ends with the runtime.
pub(crate) fn begin(shared: &Arc<Shared>) {
    let task = Arc::clone(shared);
    shared.spawn(async move {
        tokio::time::sleep(SOON).await;
        // An engine that cannot be asked now is asked again in a minute.
        let _ = complete(&task).await;
        let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_fine = true;
        loop {
            ticks.tick().await;
            let done = match complete(&task).await {
                Ok(()) => once(&task).await,
                failed => failed,
            };
            // An engine that is down for hours is told of once: the calls tell of it as well.
            if let Err(error) = &done
                && was_fine
            {
                task.say(|| tracing::warn!("what has stopped cannot be tidied up: {error}"));
            }
            was_fine = done.is_ok();
        }
    });
}

/// Starts the containers that were made and that nobody of this provider is about to start. Another host's that is about to does no
/// harm, nor do we to it: a container starts once.
async fn complete(shared: &Arc<Shared>) -> Result<(), Error> {
    let owner = format!("{}={}", labels::OWNER, shared.settings.namespace());
    let all = shared.engine.containers_labelled(vec![owner]).await;
    let all = all.map_err(|fault| fault.during("list the containers"))?;
    for one in all.iter().filter(|one| one.phase() == Phase::Made) {
        let (name, cluster) = (one.name(), one.label(labels::CLUSTER).unwrap_or_default());
        if shared.is_busy(&format!("{cluster}/{}", one.label(labels::TOKEN).unwrap_or(".server"))) {
            continue;
        }
        let outcome = maker::go_on(shared, name, one).await;
        shared.say(|| match outcome {
            Outcome::Made => tracing::info!("the container {name} was made and not started; it is now"),
            Outcome::Absent(error) | Outcome::Doubtful(error) => {
                tracing::warn!("the container {name} was made and not started: {error}");
            }
        });
    }
    Ok(())
}

/// Looks once.
pub(crate) async fn once(shared: &Arc<Shared>) -> Result<(), Error> {
    let owner = format!("{}={}", labels::OWNER, shared.settings.namespace());
    let role = |role: Role| format!("{}={}", labels::ROLE, role.text());
    let all = shared.engine.containers_labelled(vec![owner.clone(), role(Role::Worker)]).await;
    let all = all.map_err(|fault| fault.during("list the containers"))?;
    cleanup::remove(shared, &surplus(&all, shared.settings.plain.keep_stopped as usize)).await?;
    let receipts = shared.engine.volumes_labelled(vec![owner, role(Role::Receipt)]).await;
    let receipts = receipts.map_err(|fault| fault.during("list the receipts"))?;
    // Tokens are no two hosts' nor clusters'; where they are, one keeps the receipt of the other.
    let known: HashSet<&str> = all.iter().filter_map(|one| one.label(labels::TOKEN)).collect();
    cleanup::forget(shared, &receipts, &known, RECEIPT_AGE).await
}

/// Those that have stopped, but for the newest `keep` of each cluster.
fn surplus(all: &[Found], keep: usize) -> Vec<Found> {
    let mut clusters: HashMap<&str, Vec<&Found>> = HashMap::new();
    for one in all.iter().filter(|one| one.phase() == Phase::Ended) {
        clusters.entry(one.label(labels::CLUSTER).unwrap_or_default()).or_default().push(one);
    }
    let mut surplus = Vec::new();
    for mut ended in clusters.into_values() {
        ended.sort_unstable_by_key(|one| std::cmp::Reverse(one.created));
        surplus.extend(ended.into_iter().skip(keep).cloned());
    }
    surplus
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_of_each_cluster_are_kept() {
        let one = |id: &str, cluster: &str, state: &str, created: u64| -> Found {
            let labels = json!({"io.longshore.cluster": cluster});
            serde_json::from_value(json!({"Id": id, "State": state, "Created": created, "Labels": labels}))
                .expect("read")
        };
        let all = [
            one("a", "x", "exited", 1),
            one("b", "x", "exited", 3),
            one("c", "x", "exited", 2),
            one("d", "x", "running", 0),
            one("e", "y", "exited", 0),
        ];
        let ids = |keep| {
            let mut ids: Vec<_> = surplus(&all, keep).into_iter().map(|one| one.id).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(2), ["a"]);
        assert_eq!(ids(1), ["a", "c"]);
        assert_eq!(ids(0), ["a", "b", "c", "e"]);
    }
}
