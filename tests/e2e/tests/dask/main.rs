//! A real framework on top: a Dask cluster, run as `host/examples/process-dask.toml` says. A client computes while the host scales
//! the cluster, a worker is killed, the scheduler is killed. What comes out is right, the scheduler sees as many workers as the
//! host does, and nothing is left over.

mod client;
mod farm;
mod texts;

use longshore_support::until;
use nix::sys::signal::{Signal, kill};

use crate::{client::Client, farm::Farm};

#[test]
fn a_computation_is_right_while_its_cluster_is_scaled_and_a_worker_is_killed() {
    let test = "a_computation_is_right_while_its_cluster_is_scaled_and_a_worker_is_killed";
    let Some(mut farm) = Farm::or_skip(test) else { return };
    farm.up();
    let watch = Client::watch(&farm);
    watch.until_workers(2);
    let work = Client::count(&farm);
    work.until_rounds(1, 2);

    let _ = farm.house.run(&["scale", "dask", "6"]).ok();
    watch.until_workers(6);
    work.until_rounds(1, 6);

    // A container of two workers: the scheduler loses both, and gets two others.
    let containers = farm.house.handles("dask");
    assert_eq!(containers.len(), 3, "{containers:?}");
    let looks = watch.lines();
    let victim = farm.workers()[1];
    kill(victim, Signal::SIGKILL).expect("a worker of ours");
    watch.until("the scheduler has lost workers", |lines| {
        lines[looks..].iter().any(|line| line["workers"].as_u64() < Some(6))
    });
    watch.until_workers(6);
    until("the host has replaced them", || {
        farm.house.status("dask")["converged"] == true && farm.house.handles("dask") != containers
    });
    let after = farm.house.handles("dask");
    let kept = containers.iter().filter(|container| after.contains(container)).count();
    assert_eq!((kept, after.len()), (2, 3), "{containers:?}, then {after:?}");
    assert!(!farm.workers().contains(&victim));
    work.until_rounds(1, 6);

    let _ = farm.house.run(&["scale", "dask", "2"]).ok();
    watch.until_workers(2);
    assert_eq!(farm.workers().len(), 1, "one container of two workers");
    work.until_rounds(2, 2);
    let told = farm.house.run(&["history", "dask"]).ok().out;
    let story = ["the server is up at", "scaled: 6", "died: ", "scaled: 2", "stopped, as asked: "];
    farm::assert_in_turn(&told, &story);

    texts::assert_right(&work.ends(), &farm.texts);
    let _ = watch.ends();
    farm.stops();
    farm.leaves_nothing();
}

#[test]
fn a_killed_scheduler_is_followed_by_one_at_the_same_address_and_its_workers_by_others() {
    let test = "a_killed_scheduler_is_followed_by_one_at_the_same_address_and_its_workers_by_others";
    let Some(mut farm) = Farm::or_skip(test) else { return };
    farm.up();
    let watch = Client::watch(&farm);
    // As the example has it, workers live on where the server's address is the same; those of Dask end by themselves when
    // their scheduler has gone. Where it is wanted, they are replaced whatever they do.
    for (starts, why) in [(1, "died: "), (2, "they know a server that was started again since")] {
        watch.until_workers(2);
        let work = Client::count(&farm);
        work.until_rounds(1, 2);
        texts::assert_right(&work.ends(), &farm.texts);
        let told = farm.house.run(&["history", "dask"]).ok().out.len();
        let (before, containers) = (farm.house.status("dask"), farm.house.handles("dask"));
        assert_eq!(before["server"]["starts"], starts);

        let first = watch.scheduler();
        let scheduler = farm.scheduler().expect("it runs");
        kill(scheduler, Signal::SIGKILL).expect("the scheduler is ours");
        until("another one is up, with workers of its own", || {
            let status = farm.house.status("dask");
            let is_up = status["server"]["phase"] == "up" && status["server"]["starts"] == starts + 1;
            is_up && status["converged"] == true && farm.house.handles("dask") != containers
        });
        assert_eq!(farm.house.status("dask")["server"]["address"], before["server"]["address"]);
        assert_ne!(farm.scheduler().expect("it runs"), scheduler);
        watch.until("the new scheduler has two workers", |lines| {
            lines.last().is_some_and(|line| line["scheduler"] != first.as_str() && line["workers"] == 2)
        });
        let story = farm.house.run(&["history", "dask"]).ok().out.split_off(told);
        assert!(story.contains("the server died") && story.contains(why), "{why:?} is not in:\n{story}");

        let work = Client::count(&farm);
        work.until_rounds(2, 2);
        texts::assert_right(&work.ends(), &farm.texts);
        farm.replaces();
    }
    let _ = watch.ends();
    farm.stops();
    farm.leaves_nothing();
}
