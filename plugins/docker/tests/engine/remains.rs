//! What is kept, and what removes it.

use longshore_plugin_api::{
    Cleanup as _, ListedHandle, Provider as _, Server as _, ServerRequest, WorkerStatus, testing,
};
use longshore_support::Engine;

use crate::support::{CLUSTER, House, MEEK, call, texts};

#[test]
fn what_ended_by_itself_is_kept_until_a_cleanup() {
    let Some(engine) = Engine::or_skip("what_ended_by_itself_is_kept_until_a_cleanup") else { return };
    let house = House::new(&engine);
    let ended = house.run("t-1", 2, "echo last words");
    house.wait(&ended, WorkerStatus::Stopped);
    let alive = house.run("t-2", 1, MEEK);
    assert!(engine.output(&ended[0]).contains("last words"), "its log can be read");
    call(|ctx| house.provider().cleanup(ctx, false)).expect("it succeeds");
    let left: Vec<String> = house.containers().into_iter().map(|one| one.name).collect();
    assert_eq!(left, alive);
    // Neither brings them back.
    assert_eq!(house.run("t-1", 2, "echo last words"), ended);
    assert_eq!(house.status(&ended), [WorkerStatus::Stopped; 2]);
    assert_eq!(house.volumes().len(), 2, "a host may not have heard the answers yet");
    call(|ctx| house.provider().cleanup(ctx, true)).expect("it succeeds");
    assert_eq!(house.volumes().len(), 1, "that of the live launch");
    assert_eq!(house.status(&alive), [WorkerStatus::Running]);
}

#[test]
fn a_cleanup_touches_no_other_cluster_and_no_server_that_runs() {
    let test = "a_cleanup_touches_no_other_cluster_and_no_server_that_runs";
    let Some(engine) = Engine::or_skip(test) else { return };
    let house = House::new(&engine);
    let ended = house.run("t-1", 1, "true");
    house.wait(&ended, WorkerStatus::Stopped);
    let server =
        ServerRequest { container: house.request("u", 1, MEEK).container, ..ServerRequest::default() };
    call(|ctx| house.provider().run_server(ctx, &server)).expect("it starts");
    let other = format!("{CLUSTER}-1");
    let answer =
        testing::call(&other, std::time::Duration::from_mins(1), |ctx| house.provider().cleanup(ctx, true));
    answer.expect("it has nothing to do");
    assert_eq!(house.containers().len(), 2);
    call(|ctx| house.provider().cleanup(ctx, true)).expect("it succeeds");
    let left: Vec<String> = house.containers().into_iter().map(|one| one.name).collect();
    assert_eq!(left, [format!("{}.{CLUSTER}.server", house.namespace)]);
}

#[test]
fn namespaces_keep_hosts_on_one_engine_apart() {
    let Some(engine) = Engine::or_skip("namespaces_keep_hosts_on_one_engine_apart") else { return };
    let (one, other) = (House::new(&engine), House::new(&engine));
    let (here, there) = (one.run("t-1", 1, MEEK), other.run("t-1", 1, MEEK));
    assert_ne!(here, there);
    let handles = |list: Vec<ListedHandle>| list.into_iter().map(|one| one.handle).collect::<Vec<_>>();
    assert_eq!((handles(one.list()), handles(other.list())), (here.clone(), there.clone()));
    assert_eq!(one.status(&there), [WorkerStatus::Stopped]);
    one.kill(&there);
    assert_eq!(other.status(&there), [WorkerStatus::Running], "it is none of ours to kill");
    let gone = call(|ctx| one.provider().kill(ctx, &texts(&here)));
    assert!(gone.is_ok());
}
