//! What the R package `ManagedCloudProvider` promises about scaling, one test a sentence. The sentences are cited in short.

use crate::world::{World, launch};
use longshore_scaling::{Action, Command, Desired, Observation, Reason, Seen, Trouble};

/// "can automatically scale the number of workers up or down according to the user's request", which "takes over the control
/// of the worker container by defining the method for setDockerWorkerNumber"
#[test]
fn scales_up_and_down_on_request() {
    let mut world = World::plain(3);
    world.settle();
    assert_eq!(world.alive(), 3);
    world.command(&Command::Scale { expected: 8 }).expect("within limits");
    world.settle();
    assert_eq!(world.alive(), 8);
    world.command(&Command::Scale { expected: 2 }).expect("within limits");
    world.settle();
    assert_eq!((world.alive(), world.state.handle_count()), (2, 2));
}

/// "The provider ... does not need to manage the workers itself", and "only needs to define functions to run and stop the
/// worker": what died is dropped and replaced without being asked.
#[test]
fn the_dead_are_dropped_and_the_shortfall_is_run() {
    let mut world = World::plain(4);
    world.settle();
    let victim = world.names()[1].clone();
    world.set(&victim, Seen::Stopped);
    world.run_for(std::time::Duration::from_secs(6));
    assert_eq!(world.alive(), 4);
    assert!(!world.names().contains(&victim));
}

/// "a character vector of length workerNumber with each element corresponding to a handle of a worker"
#[test]
fn every_worker_is_accounted_to_a_handle() {
    let mut world = World::plain(5);
    world.settle();
    let workers: u32 = world.state.handles().map(|(_, handle)| handle.workers).sum();
    assert_eq!((world.state.handle_count(), workers), (5, 5));
}

/// "It is possible to return the same handle for multiple workers if they share the same lifecycle"
#[test]
fn workers_may_share_a_handle() {
    let mut world = World::plain(10);
    world.share = 4;
    world.settle();
    let mut workers: Vec<_> = world.state.handles().map(|(_, handle)| handle.workers).collect();
    workers.sort_unstable();
    assert_eq!(workers, [2, 4, 4]);
    assert_eq!(world.state.tally().running, 10);
}

/// "If a handle is shared by multiple workers, all workers with the same handle should be killed": so a handle is only
/// chosen where all its workers are too many, and the rest of the surplus is told.
#[test]
fn a_shared_handle_is_killed_whole_or_not_at_all() {
    let mut world = World::plain(8);
    world.share = 4;
    world.settle();
    world.command(&Command::Scale { expected: 5 }).expect("within limits");
    world.settle();
    assert_eq!(world.alive(), 8, "killing one container would leave 4, which is fewer than 5");
    assert!(world.report().reasons.contains(&Reason::SharedHandles { surplus: 3, smallest: 4 }));
    world.command(&Command::Scale { expected: 4 }).expect("within limits");
    world.settle();
    assert_eq!(world.alive(), 4);
}

/// "a worker can have three possible status, namely initializing, running and stopped"; the numbers of the first two are
/// told apart, as by "getDockerWorkerNumbers".
#[test]
fn initializing_and_running_are_counted_apart() {
    let mut world = World::plain(3);
    world.step();
    assert_eq!(world.state.tally().initializing, 3, "nothing was asked yet");
    let first = world.names()[0].clone();
    for name in world.names() {
        world.set(&name, Seen::Initializing);
    }
    world.set(&first, Seen::Running);
    world.settle();
    let tally = world.state.tally();
    assert_eq!((tally.initializing, tally.running), (2, 1));
}

/// "the elements of workerHandles are unique": a shared handle is asked for once.
#[test]
fn statuses_are_asked_once_a_handle() {
    let mut world = World::plain(8);
    world.share = 4;
    world.step();
    let actions = world.turn();
    let [Action::Status { live, terminating, .. }] = &*actions else {
        panic!("not one status call: {actions:?}")
    };
    assert_eq!((live.len(), terminating.len()), (2, 0));
}

/// "if the worker has already been killed or the handle does not exist ... the killing action should be denoted as
/// successful": a handle that vanished between the plan and the kill is simply gone.
#[test]
fn killing_what_is_gone_succeeds() {
    let mut world = World::plain(2);
    world.settle();
    world.backend.clear();
    world.command(&Command::Scale { expected: 0 }).expect("within limits");
    let kill = world.turn();
    let [Action::Kill { handles, .. }] = &*kill else { panic!("not one kill: {kill:?}") };
    let answers = handles.iter().map(|id| (*id, Ok(()))).collect();
    world.see(&Observation::Killed { answers });
    world.settle();
    assert_eq!(world.state.handle_count(), 0);
}

/// "The handle should be used to manage the lifecycle of the workers": what is asked and killed is what run returned.
#[test]
fn handles_are_all_that_is_managed() {
    let mut world = World::plain(3);
    let (id, workers) = launch(&world.turn());
    let handles = world.create(id, workers);
    let returned: Vec<_> = handles.iter().map(|(name, _)| name.to_string()).collect();
    world.answer_launch(id, handles);
    world.settle();
    assert_eq!(world.names(), returned);
    world.command(&Command::Stop).expect("a cluster may be stopped");
    let kill = world.turn();
    let [Action::Kill { handles, .. }] = &*kill else { panic!("not one kill: {kill:?}") };
    let killed = handles.iter().map(|id| world.state.handle(*id).expect("it is there").name.to_string());
    let mut killed: Vec<_> = killed.collect();
    killed.sort_unstable();
    assert_eq!(killed, returned);
}

/// "The return value is a logical vector indicating whether the killing process is successful": handle by handle, and one
/// that was not killed is not forgotten.
#[test]
fn a_kill_is_answered_handle_by_handle() {
    let mut world = World::plain(2);
    world.settle();
    world.command(&Command::Stop).expect("a cluster may be stopped");
    let kill = world.turn();
    let [Action::Kill { handles, .. }] = &*kill else { panic!("not one kill: {kill:?}") };
    world.stop(handles[0]);
    let answers = vec![(handles[0], Ok(())), (handles[1], Err(Trouble::new("refused")))];
    world.see(&Observation::Killed { answers });
    world.settle();
    assert_eq!((world.state.handle_count(), world.terminating()), (1, 1));
    world.run_for(std::time::Duration::from_secs(31));
    assert_eq!(world.state.handle_count(), 0);
}

/// No workers are deployed while the cluster is down; the expected number is remembered.
#[test]
fn a_stopped_cluster_remembers_what_is_expected() {
    let mut world = World::plain(3);
    world.command(&Command::Stop).expect("a cluster may be stopped");
    world.settle();
    assert_eq!(world.alive(), 0);
    world.command(&Command::Scale { expected: 5 }).expect("within limits");
    world.settle();
    assert_eq!((world.alive(), world.state.desired()), (0, Desired::Stopped));
    assert!(world.why().contains("starting it brings 5 workers"), "{}", world.why());
    world.command(&Command::Start).expect("a cluster may be started");
    world.settle();
    assert_eq!(world.alive(), 5);
}

/// Handles that exist already may be put under management: here, whatever the provider lists.
#[test]
fn workers_that_run_already_are_taken_over() {
    let mut before = World::listing(3);
    before.settle();
    let mut after = World::listing(4);
    after.backend = before.backend;
    for container in after.backend.values_mut() {
        container.token = format!("another-host-{}", container.token);
    }
    after.settle();
    assert_eq!((after.alive(), after.state.handle_count()), (4, 4), "three were found, one was launched");
}
