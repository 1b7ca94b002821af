//! Running: how many, once a token, nothing left of a failure.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use longshore_plugin_api::{Cleanup as _, ErrorKind, LaunchToken, Provider as _, WorkerStatus, testing};

use crate::support::{CLUSTER, House, call, list, wait_until};

/// How many launches are looked at while they fail.
const LOOKED_AT: u32 = 2;

#[test]
fn workers_run_until_they_are_killed() {
    let house = House::new();
    let handles = house.run("t", 3, "exec sleep 600");
    assert_eq!(handles, ["t-0", "t-1", "t-2"]);
    assert_eq!(house.status(&handles), [WorkerStatus::Running; 3]);
    assert_eq!(house.alive().len(), 3);
    house.kill(&handles[..1]);
    let (stopped, running) = (WorkerStatus::Stopped, WorkerStatus::Running);
    assert_eq!(house.status(&handles), [stopped, running, running]);
    assert_eq!(house.alive().len(), 2);
    house.kill(&handles);
    assert_eq!(house.status(&handles), [stopped; 3]);
    assert_eq!(house.status(&["t-3", "t-00", "nobody", "../x-1", ""]), [stopped; 5]);
    house.kill(&["t-3", "nobody", "../x-1", "", "t-0", "t-0"]);
}

#[test]
fn a_worker_that_ends_by_itself_is_stopped() {
    let house = House::new();
    let handles = house.run("t", 1, "exit 3");
    wait_until("it is stopped", || house.status(&handles) == [WorkerStatus::Stopped]);
    assert_eq!(house.list(), []);
}

#[test]
fn ten_workers_in_containers_of_four_are_three_processes() {
    let house = House::new();
    let signs = house.file("told");
    let script = format!("echo $LONGSHORE_WORKERS >> {}; exec sleep 600", signs.display());
    let mut request = house.request("t", 10, &script);
    request.container.max_workers = Some(4);
    let handles = house.try_run(&request).expect("it is launched").handles;
    let expected = ["t-0", "t-0", "t-0", "t-0", "t-1", "t-1", "t-1", "t-1", "t-2", "t-2"];
    assert_eq!(handles, expected);
    wait_until("each was told", || fs::read_to_string(&signs).is_ok_and(|text| text.lines().count() == 3));
    let mut told: Vec<_> = fs::read_to_string(&signs).expect("there").lines().map(str::to_owned).collect();
    told.sort_unstable();
    assert_eq!(told, ["2", "4", "4"]);
    let listed: Vec<_> = house.list().into_iter().map(|listed| (listed.handle, listed.workers)).collect();
    assert_eq!(listed, [("t-0".into(), 4), ("t-1".into(), 4), ("t-2".into(), 2)]);
    assert_eq!(house.status(&handles), [WorkerStatus::Running; 10]);
}

#[test]
fn no_workers_are_no_processes_and_no_record() {
    let house = House::new();
    assert_eq!(house.run("t", 0, "exec sleep 600"), [""; 0]);
    assert!(!house.launch_folder("t").exists());
}

#[test]
fn the_same_token_launches_once() {
    let mut house = House::new();
    let first = house.run("t", 4, "exec sleep 600");
    let alive = house.alive();
    assert_eq!(house.run("t", 4, "exec sleep 600"), first);
    house.create_anew();
    assert_eq!(house.run("t", 4, "exec sleep 600"), first);
    assert_eq!(house.alive(), alive);

    house.kill(&first);
    assert_eq!(house.run("t", 4, "exec sleep 600"), first, "the answer is the same when they have stopped");
    call(|ctx| house.provider().cleanup(ctx, false)).expect("cleaned");
    assert!(!house.launch_folder("t").exists());
    assert_eq!(house.run("t", 4, "exec sleep 600"), first, "and when they were cleaned away");
    assert_eq!(house.alive(), [0_i32; 0]);
    assert!(!house.launch_folder("t").exists());

    let error = house
        .try_run(&house.request("u", 2, "exec sleep 600"))
        .and_then(|_| house.try_run(&house.request("u", 3, "exec sleep 600")));
    assert_eq!(error.expect_err("another launch").kind(), ErrorKind::Permanent);
    assert_eq!(house.alive().len(), 2);
}

#[test]
fn the_same_token_from_many_hosts_at_once_launches_once() {
    let house = House::new();
    let request = house.request("t", 6, "exec sleep 600");
    let providers: Vec<_> = (0..8).map(|_| house.another()).collect();
    thread::scope(|scope| {
        let calls: Vec<_> =
            providers.iter().map(|p| scope.spawn(|| call(|ctx| p.run(ctx, &request)))).collect();
        for outcome in calls {
            let launch = outcome.join().expect("no panic").expect("it is launched");
            assert_eq!(launch.handles, ["t-0", "t-1", "t-2", "t-3", "t-4", "t-5"]);
            assert_eq!(launch.shortfall, None);
        }
    });
    assert_eq!(house.alive().len(), 6);
}

#[test]
fn a_program_that_is_not_there_leaves_nothing() {
    let house = House::new();
    let mut request = house.request("t", 3, "");
    request.container.command = Some("no-such-program".to_owned());
    request.container.working_dir = Some("/tmp".to_owned());
    let error = house.try_run(&request).expect_err("there is no such program");
    assert_eq!(error.kind(), ErrorKind::Permanent);
    assert!(error.message().contains("no-such-program") && error.message().contains("/tmp"), "{error}");
    assert!(!house.root().join("clusters").join(CLUSTER).exists());
    assert_eq!((house.list(), house.alive()), (vec![], vec![]));

    request.container.working_dir = Some("/no/such/folder".to_owned());
    let error = house.try_run(&request).expect_err("there is no such folder");
    assert_eq!(error.kind(), ErrorKind::Permanent);
    assert!(error.message().contains("/no/such/folder"), "{error}");

    // Nothing was launched, so the token is still free.
    let handles = house.run("t", 3, "exec sleep 600");
    assert_eq!(house.status(&handles), [WorkerStatus::Running; 3]);
}

#[test]
fn a_file_that_is_no_program_is_a_permanent_error() {
    let house = House::new();
    let mut request = house.request("t", 1, "");
    for program in ["/etc/passwd", "/etc"] {
        request.container.command = Some(program.to_owned());
        let error = house.try_run(&request).expect_err("it cannot be run");
        assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
        assert!(error.message().contains(program), "{error}");
    }
    assert!(!house.root().join("clusters").join(CLUSTER).exists());
}

#[test]
fn a_failure_in_the_midst_is_a_shortfall() {
    let house = House::new();
    // Nobody tidies up meanwhile.
    let lock =
        fs::File::options().create(true).append(true).open(house.root().join("upkeep")).expect("there");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    // A folder where the third container's log should be.
    fs::create_dir_all(house.launch_folder("t").join("2.out")).expect("made");
    let mut request = house.request("t", 9, "exec sleep 600");
    request.container.max_workers = Some(2);
    let launch = house.try_run(&request).expect("some are launched");
    assert_eq!(launch.handles, ["t-0", "t-0", "t-1", "t-1"]);
    let shortfall = launch.shortfall.clone().expect("five are missing");
    assert!(
        shortfall.reason.contains("2 of 5 containers") && shortfall.reason.contains("2.out"),
        "{shortfall:?}"
    );
    assert_eq!(house.alive().len(), 2);

    fs::remove_dir(house.launch_folder("t").join("2.out")).expect("removed");
    assert_eq!(house.try_run(&request).expect("the same answer"), launch, "an answer once given stays");
    assert_eq!(house.alive().len(), 2);
    assert_eq!(house.status(&["t-2", "t-3"]), [WorkerStatus::Stopped; 2]);
}

#[test]
fn requests_that_cannot_be_are_refused_before_anything_is_touched() {
    let house = House::new();
    let good = house.request("t", 1, "exec sleep 600");
    let change = |change: &dyn Fn(&mut longshore_plugin_api::RunRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    for (request, word) in [
        (change(&|r| r.container.command = None), "container.command"),
        (change(&|r| r.container.command = Some(String::new())), "container.command"),
        (change(&|r| r.token = LaunchToken::new("../up")), "../up"),
        (change(&|r| r.token = LaunchToken::new("")), "token"),
        (change(&|r| r.workers = u32::MAX), "max_workers"),
        (change(&|r| drop(r.container.env.insert("A=B".into(), "c".into()))), "A=B"),
    ] {
        let error = house.try_run(&request).expect_err("it cannot be");
        assert_eq!(error.kind(), ErrorKind::Permanent);
        assert!(error.message().contains(word), "{error}");
    }
    let error =
        testing::call("a/b", std::time::Duration::from_secs(9), |ctx| house.provider().run(ctx, &good));
    assert_eq!(error.expect_err("no name for a folder").kind(), ErrorKind::Permanent);
    assert_eq!(fs::read_dir(house.root().join("clusters")).expect("readable").count(), 0);
}

#[test]
fn a_call_that_is_cancelled_leaves_nothing() {
    let house = House::new();
    let cancel = testing::Cancel::new();
    cancel.cancel();
    let request = house.request("t", 5, "exec sleep 600");
    let error =
        testing::Call::new(CLUSTER).cancelled_by(&cancel).run(|ctx| house.provider().run(ctx, &request));
    assert_eq!(error.expect_err("it is cancelled").kind(), ErrorKind::Cancelled);
    assert!(!house.launch_folder("t").exists());
}

#[test]
fn clusters_and_folders_do_not_see_each_other() {
    let (one, two) = (House::new(), House::new());
    let handles = one.run("t", 2, "exec sleep 600");
    two.run("t", 2, "exec sleep 600");
    testing::call("c2", std::time::Duration::from_secs(9), |ctx| {
        let request = one.request("t", 1, "exec sleep 600");
        assert_eq!(one.provider().run(ctx, &request).expect("launched").handles, ["t-0"]);
        assert_eq!(one.provider().kill(ctx, &["t-1"]), Ok(vec![longshore_plugin_api::Killed::Yes]));
    });
    assert_eq!(one.status(&handles), [WorkerStatus::Running; 2], "another cluster's handle of the same name");
    assert_eq!(one.list().len(), 2);
    testing::call("c2", std::time::Duration::from_secs(9), |ctx| {
        one.provider().kill(ctx, &["t-0"]).expect("killed")
    });
    one.kill(&handles);
    assert_eq!((two.alive().len(), list(two.provider()).len()), (2, 2));
}

#[test]
fn a_state_folder_that_is_gone_is_an_error_and_not_an_answer() {
    let house = House::new();
    let handles = house.run("t", 1, "exec sleep 600");
    let (root, away) = (house.root(), house.file("away"));
    fs::rename(&root, &away).expect("moved");
    let outcomes = call(|ctx| {
        (house.provider().status(ctx, &["t-0"]), house.provider().run(ctx, &house.request("u", 1, "exit")))
    });
    assert_eq!(outcomes.0.expect_err("nobody knows").kind(), ErrorKind::Unreachable);
    // Whether the token was launched before is written in the folder that is gone.
    assert_eq!(outcomes.1.expect_err("nobody knows").kind(), ErrorKind::Unknown);
    fs::rename(&away, &root).expect("moved back");
    assert_eq!(house.status(&handles), [WorkerStatus::Running]);
}

#[test]
fn a_folder_of_another_machine_is_refused() {
    let mut house = House::new();
    house.close();
    if !house.root().join("machine").exists() {
        eprintln!("this machine has no /etc/machine-id: nothing to check");
        return;
    }
    fs::write(house.root().join("machine"), "somebody-elses\n").expect("written");
    let error = crate::support::provider(&house.root(), &serde_json::json!({})).expect_err("not ours");
    assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("root")));
    assert!(error.message().contains("somebody-elses"), "{error}");
}

#[test]
fn looking_at_a_launch_that_fails_does_not_get_in_its_way() {
    let house = House::new();
    let provider = house.provider();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Whoever looks takes notice of children that have ended, and these end before they are programs.
            while !is_done.load(Ordering::Relaxed) {
                for launch in 0..LOOKED_AT {
                    let handle = format!("t{launch}-0");
                    call(|ctx| provider.status(ctx, &[&handle])).expect("known");
                }
            }
        });
        let launches = scope.spawn(|| {
            for round in 0..50 {
                let token = format!("t{}", round % LOOKED_AT);
                let mut request = house.request(&token, 1, "");
                request.container.command = Some("/longshore/no/such/program".to_owned());
                let error = house.try_run(&request).expect_err("there is no program");
                assert_eq!(error.kind(), ErrorKind::Permanent);
            }
        });
        let outcome = launches.join();
        is_done.store(true, Ordering::Relaxed);
        outcome.expect("no panic");
    });
}
