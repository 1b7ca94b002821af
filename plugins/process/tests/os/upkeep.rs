//! What the provider does while nobody calls, and what cleaning up removes.

use std::{fs, path::Path};

use longshore_plugin_api::{Cleanup as _, WorkerStatus};
use serde_json::json;

use crate::support::{CLUSTER, House, call, is_alive, number_in, wait_until, zombies};

#[test]
fn a_worker_that_ends_does_not_stay_a_zombie() {
    let house = House::new();
    let pid = house.file("pid");
    house.run("t", 1, &format!("echo $$ > {}", pid.display()));
    let pid = number_in(&pid);
    wait_until("it is not even a zombie", || !zombies().contains(&pid) && !is_alive(pid));
}

#[test]
fn what_a_worker_leaves_behind_is_ended() {
    let house = House::with(json!({"grace": 0.2}));
    let pid = house.file("pid");
    let stubborn = format!("trap '' TERM; echo $$ > {0}; while :; do sleep 1; done", pid.display());
    house.run(
        "t",
        1,
        &format!("sh -c \"{}\" & while [ ! -s {} ]; do :; done", stubborn.replace('$', "\\$"), pid.display()),
    );
    let left = number_in(&pid);
    wait_until("what it left is dead", || !is_alive(left) && house.alive().is_empty());
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[test]
fn logs_are_kept_within_their_limit() {
    let limit = 64 << 10;
    let house = House::with(json!({"log_limit": limit}));
    let handles = house.run("t", 1, "while :; do echo 'a line of the log'; echo 'an error' >&2; done");
    let folder = house.launch_folder("t");
    let [out, err] = ["0.out", "0.err"].map(|name| folder.join(name));
    let [old_out, old_err] = ["0.out.1", "0.err.1"].map(|name| folder.join(name));
    wait_until("both were trimmed", || old_out.exists() && old_err.exists());
    house.kill(&handles);
    wait_until("both are within the limit", || {
        length(&out) + length(&old_out) <= limit && length(&err) + length(&old_err) <= limit
    });
    let text = fs::read_to_string(&old_out).expect("text without holes");
    assert!(text.lines().skip(1).all(|line| "a line of the log".starts_with(line)), "{text}");
}

#[test]
fn no_logs_where_none_are_wanted() {
    let house = House::with(json!({"log_limit": 0}));
    let sign = house.file("sign");
    house.run("t", 1, &format!("echo lost; echo lost >&2; echo 1 > {}; exec sleep 600", sign.display()));
    number_in(&sign);
    let mut names: Vec<_> = fs::read_dir(house.launch_folder("t"))
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("text"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["identities", "intent.json", "outcome.json"]);
}

#[test]
fn only_so_many_stopped_launches_are_kept() {
    let house = House::with(json!({"keep_stopped": 2}));
    house.run("alive", 1, "exec sleep 600");
    for launch in 0..6 {
        house.run(&format!("t{launch}"), 2, "exit");
    }
    let launches = house.launch_folder("t0").parent().expect("a folder").to_owned();
    wait_until("the oldest are gone", || fs::read_dir(&launches).is_ok_and(|entries| entries.count() == 3));
    assert!(house.launch_folder("alive").exists());
    assert_eq!(house.run("t0", 2, "exec sleep 600"), ["t0-0", "t0-1"], "their tokens are still known");
    assert_eq!(house.alive().len(), 1);
    assert_eq!(house.list().len(), 1);
}

#[test]
fn a_folder_without_an_intent_is_removed() {
    let house = House::new();
    house.run("alive", 1, "exec sleep 600");
    let (empty, begun) = (house.launch_folder("empty"), house.launch_folder("begun"));
    fs::create_dir(&empty).expect("made");
    fs::create_dir(&begun).expect("made");
    fs::write(begun.join("identities"), "").expect("written");
    wait_until("they are gone", || !empty.exists() && !begun.exists());
    assert_eq!(house.list().len(), 1);
}

#[test]
fn cleaning_up_spares_the_living() {
    let house = House::new();
    let done = house.run("done", 2, "echo out; exit");
    let mixed = house.run("mixed", 2, "echo out; exec sleep 600");
    house.kill(&mixed[..1]);
    wait_until("they have ended", || house.status(&done) == [WorkerStatus::Stopped; 2]);
    call(|ctx| house.provider().cleanup(ctx, false)).expect("cleaned");
    assert!(!house.launch_folder("done").exists());
    assert!(!house.launch_folder("mixed").join("0.out").exists());
    assert!(house.launch_folder("mixed").join("1.out").exists());
    assert_eq!(house.status(&mixed), [WorkerStatus::Stopped, WorkerStatus::Running]);

    call(|ctx| house.provider().cleanup(ctx, true)).expect("cleaned");
    assert_eq!(house.status(&mixed), [WorkerStatus::Stopped, WorkerStatus::Running]);
    assert_eq!(house.list().len(), 1);
    house.kill(&mixed);
    call(|ctx| house.provider().cleanup(ctx, true)).expect("cleaned");
    assert!(!house.root().join("clusters").join(CLUSTER).exists(), "nothing of the cluster is left");
    call(|ctx| house.provider().cleanup(ctx, true)).expect("nothing to clean is fine");
}

#[test]
fn cleaning_up_ends_what_the_dead_left_behind() {
    let house = House::with(json!({"grace": 0.1}));
    let pid = house.file("pid");
    let handles = house.run("t", 1, &format!("sleep 600 & echo $! > {}", pid.display()));
    let left = number_in(&pid);
    wait_until("the worker has ended", || house.status(&handles) == [WorkerStatus::Stopped]);
    call(|ctx| house.provider().cleanup(ctx, true)).expect("cleaned");
    assert!(!is_alive(left));
    assert!(!house.launch_folder("t").exists());
}
