//! Podman's service, which speaks as a Docker engine does, in most things.

use longshore_plugin_api::{Cleanup as _, ErrorKind, WorkerStatus};
use longshore_support::Engine;
use serde_json::json;

use crate::support::{House, MEEK, STUBBORN, call};

#[test]
fn a_cluster_lives_under_podman() {
    let Some(engine) = Engine::podman_or_skip("a_cluster_lives_under_podman") else { return };
    let house = House::new(&engine);
    let mut request = house.request("t-1", 3, &format!("env; {MEEK}"));
    request.container.max_workers = Some(2);
    let handles = house.try_run(&request).expect("it is launched").handles;
    assert_eq!(handles.len(), 3);
    let containers = [handles[0].clone(), handles[2].clone()];
    house.wait(&containers, WorkerStatus::Running);
    assert_eq!(house.list().iter().map(|one| one.workers).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(house.try_run(&request).expect("it is known").handles, handles);
    let stubborn = house.run("t-2", 1, STUBBORN);
    house.kill(&stubborn);
    house.kill(&containers[..1]);
    assert_eq!(house.status(&containers), [WorkerStatus::Stopped, WorkerStatus::Running]);
    assert_eq!(house.try_run(&request).expect("it is known").handles, handles, "dead or alive");
    let ended = house.run("t-3", 1, "true");
    house.wait(&ended, WorkerStatus::Stopped);
    call(|ctx| house.provider().cleanup(ctx, true)).expect("it succeeds");
    let left: Vec<String> = house.containers().into_iter().map(|one| one.name).collect();
    assert_eq!(left, containers[1..]);
    house.kill(&containers);
    call(|ctx| house.provider().cleanup(ctx, true)).expect("it succeeds");
    assert_eq!((house.containers(), house.volumes()), (vec![], vec![]));
}

#[test]
fn what_cannot_be_started_under_podman_leaves_nothing() {
    let test = "what_cannot_be_started_under_podman_leaves_nothing";
    let Some(engine) = Engine::podman_or_skip(test) else { return };
    let house = House::with(&engine, json!({"parallel": 2}));
    let mut no_program = house.request("t-1", 3, MEEK);
    no_program.container.command = Some("/no/such/program".to_owned());
    let mut no_image = house.request("t-2", 3, MEEK);
    no_image.container.image = Some("localhost/longshore-test/of-nobody:1".to_owned());
    for request in [no_program, no_image] {
        let error = house.try_run(&request).expect_err("it cannot be");
        assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
    }
    assert_eq!((house.containers(), house.volumes()), (vec![], vec![]));
}
