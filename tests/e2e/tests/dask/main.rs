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
    let before = watch.names();
    let victim = farm.workers()[1];
    kill(victim, Signal::SIGKILL).expect("a worker of ours");
    until("the scheduler has others in place of two", || {
        let names = watch.names();
        names.len() == 6 && names.intersection(&before).count() == 4
    });
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

/// What the history says of workers that are killed because they know the server of before.
const OTHER_SERVER: &str = "they know a server that was started again since";

/// What becomes of the workers when their scheduler was started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The host leaves them alone, since the address is the same, as the example has it. Those of Dask end by themselves when
    /// their scheduler has gone.
    LeftAlone,
    /// The host kills them, as it is told to. They are held up meanwhile, so that they do not end by themselves.
    Replaced,
}

#[test]
fn a_killed_scheduler_is_followed_by_one_at_the_same_address_and_its_workers_by_others() {
    let test = "a_killed_scheduler_is_followed_by_one_at_the_same_address_and_its_workers_by_others";
    let Some(mut farm) = Farm::or_skip(test) else { return };
    farm.up();
    let watch = Client::watch(&farm);
    for fate in [Fate::LeftAlone, Fate::Replaced] {
        watch.until_workers(2);
        let work = Client::count(&farm);
        work.until_rounds(1, 2);
        texts::assert_right(&work.ends(), &farm.texts);
        let history = |from: usize| {
            let told = farm.house.run(&["history", "dask"]).ok().out;
            told.lines().skip(from).collect::<Vec<_>>().join("\n")
        };
        let told = history(0).lines().count();
        let (before, containers) = (farm.house.status("dask"), farm.house.handles("dask"));
        let (seen, scheduler) = (watch.scheduler(), farm.scheduler().expect("it runs"));
        if fate == Fate::Replaced {
            farm.signal_workers(Signal::SIGSTOP);
        }
        kill(scheduler, Signal::SIGKILL).expect("the scheduler is ours");
        if fate == Fate::Replaced {
            until("the host kills the workers", || history(told).contains(OTHER_SERVER));
            farm.signal_workers(Signal::SIGCONT);
        }
        until("another one is up, with workers of its own", || {
            let status = farm.house.status("dask");
            let is_up =
                status["server"]["phase"] == "up" && status["server"]["starts"] != before["server"]["starts"];
            is_up && status["converged"] == true && farm.house.handles("dask") != containers
        });
        assert_eq!(farm.house.status("dask")["server"]["address"], before["server"]["address"]);
        assert_ne!(farm.scheduler().expect("it runs"), scheduler);
        watch.until("the new scheduler has two workers", |lines| {
            lines.last().is_some_and(|line| line["scheduler"] != seen.as_str() && line["workers"] == 2)
        });
        let story = history(told);
        let of_workers = if fate == Fate::Replaced { OTHER_SERVER } else { "died: " };
        farm::assert_in_turn(&story, &["the server died", "the server is up at", "launching 2 workers"]);
        assert!(story.contains(of_workers), "{of_workers:?} is not in:\n{story}");
        assert_eq!(story.contains(OTHER_SERVER), fate == Fate::Replaced, "{story}");

        let work = Client::count(&farm);
        work.until_rounds(2, 2);
        texts::assert_right(&work.ends(), &farm.texts);
        farm.replaces();
    }
    let _ = watch.ends();
    farm.stops();
    farm.leaves_nothing();
}
