//! Holds what the host says against the processes that really run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    census::{Census, Other},
    model::Wanted,
};

/// What the host says of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) name: String,
    pub(crate) wanted: Wanted,
    pub(crate) status: Value,
    /// The list of its containers.
    pub(crate) workers: Vec<Value>,
}

/// Why a cluster's status is not that of one at rest, if so.
pub(crate) fn unrest(status: &Value, wanted: Wanted) -> Option<String> {
    // A surplus that no container is small enough for stays, and is no rest to the host; `differences` judges it.
    let nothing_moves = ["initializing", "terminating", "launching", "unknown", "strays"];
    let moves = nothing_moves.iter().find(|field| status[**field] != 0);
    let running = status["running"].as_u64().unwrap_or_default();
    let enough = running >= u64::from(wanted.target());
    (moves.is_some() || !enough || !(status["converged"] == true || is_blocked(status)))
        .then(|| format!("{} is not at rest: {status}", status["name"]))
}

fn is_blocked(status: &Value) -> bool {
    let reasons = status["reasons"].as_array();
    reasons.is_some_and(|reasons| reasons.iter().any(|reason| reason["reason"] == "shared_handles"))
}

/// Everything in which the host's words and the processes differ.
pub(crate) fn differences(census: &Census, clusters: &[Said], host: i32) -> Vec<String> {
    let mut found = Vec::new();
    for said in clusters {
        found.extend(of_cluster(census, said));
    }
    let known = |cluster: &str| clusters.iter().any(|said| said.name == cluster);
    let strangers = census.workers.iter().filter(|worker| !known(&worker.cluster));
    found.extend(strangers.map(|worker| format!("leaked: {worker}, whose cluster is gone")));
    // A child of a live worker is the worker's own affair.
    let leads = |session: i32| census.workers.iter().any(|worker| worker.identity.pid == session);
    // So are the processes that the host runs its plugins in the host's, but not those that outlived an earlier one.
    let is_host = |other: &&Other| other.pid == host || other.parent == host;
    let helpers = census.others.iter().filter(|other| !is_host(other) && !leads(other.session));
    found.extend(helpers.map(|other| {
        format!("left over: process {} ({}), of session {}", other.pid, other.name, other.session)
    }));
    found
}

fn of_cluster(census: &Census, said: &Said) -> Vec<String> {
    let Said { name, wanted, status, workers } = said;
    let mut found = Vec::new();
    let mut live: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for worker in census.of(name) {
        live.entry(&worker.handle).or_default().push(worker);
    }
    for (handle, processes) in live.iter().filter(|(_, processes)| processes.len() > 1) {
        let pids: Vec<_> = processes.iter().map(|worker| worker.identity.pid).collect();
        found.push(format!("doubled: {handle} of {name} is processes {pids:?}"));
    }
    for claim in workers {
        let handle = claim["handle"].as_str().unwrap_or_default();
        let Some(processes) = live.remove(handle) else {
            found.push(format!("claimed: {name} has no process for {claim}"));
            continue;
        };
        let worker = processes[0];
        let is_so = claim["workers"] == worker.workers
            && claim["token"] == worker.token.as_str()
            && claim["phase"] == "running";
        if !is_so {
            found.push(format!("told wrongly: {worker} of launch {}, as {claim}", worker.token));
        }
    }
    found.extend(live.into_values().flatten().map(|worker| format!("leaked: {worker}")));

    let (running, target) = (census.live(name), wanted.target());
    if status["running"] != running {
        found.push(format!("miscounted: {running} workers of {name} run, and the host says {status}"));
    }
    // Containers are killed whole: what is too many stays where every container holds more than that.
    let surplus = running.saturating_sub(target);
    let blocked = census.of(name).all(|worker| worker.workers > surplus);
    if running < target || (surplus > 0 && !blocked) {
        found.push(format!("{running} workers of {name} run, and {target} are wanted"));
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::census::{Identity, Worker};

    pub(crate) fn worker(pid: i32, handle: &str, workers: u32) -> Worker {
        let token = handle.split('-').next().unwrap_or_default().to_owned();
        let identity = Identity::sample(pid);
        Worker { identity, cluster: "one".to_owned(), handle: handle.to_owned(), token, workers }
    }

    pub(crate) fn census(workers: &[Worker]) -> Census {
        let host = Other { pid: 99, parent: 50, name: "longshore".to_owned(), session: 7 };
        let runner = Other { pid: 100, parent: 99, ..host.clone() };
        Census { workers: workers.to_vec(), others: vec![host, runner] }
    }

    fn said(target: u32, handles: &[(&str, u32)]) -> Said {
        let workers = handles.iter().map(|(handle, workers)| {
            let token = handle.split('-').next();
            json!({"handle": handle, "workers": workers, "token": token, "phase": "running"})
        });
        let running: u32 = handles.iter().map(|(_, workers)| workers).sum();
        Said {
            name: "one".to_owned(),
            wanted: Wanted { expected: target, max: 50, stopped: false },
            status: json!({"running": running}),
            workers: workers.collect(),
        }
    }

    #[track_caller]
    fn differ(census: &Census, said: Said, wanted: &[&str]) {
        let found = differences(census, &[said], 99);
        assert_eq!(found.len(), wanted.len(), "{found:#?}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(found.contains(wanted), "{found}");
        }
    }

    #[test]
    fn the_same_is_no_difference() {
        let both = census(&[worker(1, "t-0", 1), worker(2, "t-1", 2)]);
        differ(&both, said(3, &[("t-0", 1), ("t-1", 2)]), &[]);
    }

    #[test]
    fn each_kind_of_difference_is_seen() {
        let both = census(&[worker(1, "t-0", 1), worker(2, "t-1", 1)]);
        let (one, two) = ([("t-0", 1)], [("t-0", 1), ("t-1", 1)]);
        let leaked = ["leaked: process 2", "miscounted", "2 workers of one run, and 1 are"];
        differ(&both, said(1, &one), &leaked);
        let claimed = ["claimed: one has no process for", "miscounted", "1 workers of one run, and 2"];
        differ(&census(&[worker(1, "t-0", 1)]), said(2, &two), &claimed);
        let doubled = census(&[worker(1, "t-0", 1), worker(2, "t-0", 1)]);
        differ(
            &doubled,
            said(1, &one),
            &["doubled: t-0 of one is processes [1, 2]", "miscounted", "2 workers"],
        );
        differ(&both, said(3, &two), &["2 workers of one run, and 3 are wanted"]);
        differ(&both, said(1, &two), &["2 workers of one run, and 1 are wanted"]);
        differ(&both, said(2, &[("t-0", 2), ("t-1", 1)]), &["told wrongly: process 1", "miscounted"]);
        let stranger = census(&[Worker { cluster: "gone".to_owned(), ..worker(1, "t-0", 1) }]);
        differ(&stranger, said(0, &[]), &["leaked: process 1"]);
    }

    #[test]
    fn a_surplus_that_no_container_is_small_enough_for_may_stay() {
        let shared = census(&[worker(1, "t-0", 3), worker(2, "t-1", 3)]);
        differ(&shared, said(4, &[("t-0", 3), ("t-1", 3)]), &[]);
        differ(&shared, said(3, &[("t-0", 3), ("t-1", 3)]), &["6 workers of one run, and 3 are wanted"]);
    }

    #[test]
    fn a_helper_is_seen_and_a_childs_parent_is_known() {
        let mut some = census(&[worker(1, "t-0", 1)]);
        some.others.push(Other { pid: 5, parent: 1, name: "sleep".to_owned(), session: 1 });
        differ(&some, said(1, &[("t-0", 1)]), &[]);
        some.others.push(Other { pid: 6, parent: 0, name: "longshore".to_owned(), session: 6 });
        differ(&some, said(1, &[("t-0", 1)]), &["left over: process 6 (longshore)"]);
        let mut orphaned = census(&[worker(1, "t-0", 1)]);
        orphaned.others.push(Other { pid: 8, parent: 1, name: "exe".to_owned(), session: 7 });
        differ(&orphaned, said(1, &[("t-0", 1)]), &["left over: process 8 (exe)"]);
    }
}
