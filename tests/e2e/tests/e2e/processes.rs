//! The main job: the host keeps as many real processes as were asked for.

use std::collections::BTreeSet;

use longshore_e2e::House;
use longshore_support::until;
use nix::sys::signal::{Signal, kill};

#[test]
fn real_processes_are_scaled_replaced_and_removed() {
    let house = House::serving(&["longshore-process"]);
    house.apply(&house.sleepers("web", 2));
    assert_eq!(house.alive().len(), 2);

    let _ = house.run(&["scale", "web", "8"]).ok();
    assert_eq!((house.alive().len(), house.handles("web").len()), (8, 8));

    let before = house.handles("web");
    let victim = house.alive()[3];
    kill(victim, Signal::SIGKILL).expect("a worker of ours");
    until("the worker is replaced", || {
        let alive = house.alive();
        alive.len() == 8 && !alive.contains(&victim) && house.status("web")["running"] == 8
    });
    let after = house.handles("web");
    assert_eq!(before.iter().filter(|handle| after.contains(handle)).count(), 7, "the others are untouched");

    let _ = house.run(&["scale", "web", "3"]).ok();
    assert_eq!((house.alive().len(), house.handles("web").len()), (3, 3));
    let said = house.run(&["explain", "web"]).ok();
    assert!(said.out.contains("all is as asked: 3 workers running"), "{}", said.out);

    let _ = house.run(&["stop", "web"]).ok();
    assert_eq!(house.alive().len(), 0);
    let _ = house.run(&["start", "web"]).ok();
    assert_eq!(house.alive().len(), 3);
    let _ = house.run(&["delete", "web"]).ok();
    assert_eq!(house.alive().len(), 0);
    assert_eq!(house.run(&["status", "--json"]).ok().json()["clusters"], serde_json::json!([]));
}

#[test]
fn workers_outlive_a_killed_host_and_are_found_again() {
    let mut house = House::serving(&["longshore-process"]);
    house.apply(&house.sleepers("web", 5));
    let processes: BTreeSet<_> = house.alive().into_iter().collect();
    let handles: BTreeSet<_> = house.handles("web").into_iter().collect();

    house.kill_host();
    assert_eq!(house.alive().len(), 5, "the workers live on");
    assert_eq!(house.run(&["status"]).code, Some(4), "nobody listens");

    // The socket that the dead host left behind is taken over.
    house.serve();
    house.apply(&house.sleepers("web", 5));
    assert_eq!(house.alive().into_iter().collect::<BTreeSet<_>>(), processes);
    assert_eq!(house.handles("web").into_iter().collect::<BTreeSet<_>>(), handles);

    let _ = house.run(&["scale", "web", "2"]).ok();
    assert_eq!(house.alive().len(), 2, "what was found is under management");
}

#[test]
fn a_container_may_hold_several_workers() {
    let house = House::serving(&["longshore-process"]);
    let config =
        house.sleepers("web", 10).replace("command = \"sleep\"", "max_workers = 4\ncommand = \"sleep\"");
    house.apply(&config);
    assert_eq!((house.alive().len(), &house.status("web")["running"]), (3, &serde_json::json!(10)));
    let said = house.run(&["scale", "web", "9", "--timeout", "3s"]);
    assert_eq!(said.code, Some(7), "one too many is fewer than the smallest container holds");
    assert!(said.err.contains("can only be killed whole"), "{}", said.err);
    let _ = house.run(&["scale", "web", "8"]).ok();
    assert_eq!(house.alive().len(), 2);
}

#[test]
fn two_kinds_of_plugin_and_a_second_instance_serve_three_clusters() {
    let house = House::serving(&["longshore-process", "longshore-memory"]);
    let others = r#"
[[provider]]
name = "memory-one"
plugin = "memory"
[[provider]]
name = "memory-two"
plugin = "memory"
[provider.config]
start_after = { observations = 2 }
[[cluster]]
name = "one"
provider = "memory-one"
workers = 40
[[cluster]]
name = "two"
provider = "memory-two"
workers = 7
"#;
    house.apply(&(house.sleepers("web", 3) + others));
    for (cluster, workers) in [("web", 3), ("one", 40), ("two", 7)] {
        assert_eq!(house.status(cluster)["running"], workers, "{cluster}");
    }
    assert_eq!(house.alive().len(), 3);
    let said = house.run(&["status"]).ok();
    assert!(["web", "one", "two"].iter().all(|cluster| said.out.contains(cluster)), "{}", said.out);
}
