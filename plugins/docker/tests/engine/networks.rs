//! Networks: one for each cluster, and one that is full.

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use longshore_plugin_api::{Cleanup as _, ErrorKind, Initialize as _, WorkerStatus};
use longshore_support::Engine;
use serde_json::json;

use crate::support::{CLUSTER, House, MEEK, call};

/// An engine that can make networks.
fn bridged(test: &str) -> Option<Engine> {
    let engine = Engine::or_skip(test)?;
    if engine.network() == "bridge" {
        return Some(engine);
    }
    println!("skipped, because the engine has no bridge");
    None
}

#[test]
fn a_cluster_has_a_network_of_its_own_until_a_deep_cleanup() {
    let test = "a_cluster_has_a_network_of_its_own_until_a_deep_cleanup";
    let Some(engine) = bridged(test) else { return };
    let house = House::with(&engine, json!({"network": "cluster"}));
    for _ in 0..2 {
        call(|ctx| house.provider().initialize(ctx)).expect("it is made once");
    }
    let name = format!("{}.{CLUSTER}.network", house.namespace);
    assert_eq!(house.networks(), std::slice::from_ref(&name));
    let handles = house.run("t-1", 2, MEEK);
    let networks =
        house.inspect(&handles[0]).network_settings.and_then(|it| it.networks).expect("it has some");
    assert!(networks.contains_key(&name), "{networks:?}");
    call(|ctx| house.provider().cleanup(ctx, true)).expect("what is in use is no failure");
    assert_eq!(house.networks().len(), 1, "somebody uses it");
    house.wait(&handles, WorkerStatus::Running);
    house.kill(&handles);
    call(|ctx| house.provider().cleanup(ctx, false)).expect("it succeeds");
    assert_eq!(house.networks().len(), 1, "a plain cleanup keeps it");
    for _ in 0..2 {
        call(|ctx| house.provider().cleanup(ctx, true)).expect("it succeeds");
    }
    assert_eq!((house.networks(), house.volumes()), (vec![], vec![]));
    // A launch after it makes it anew.
    house.run("t-2", 1, MEEK);
    assert_eq!(house.networks().len(), 1);
}

#[test]
fn a_network_that_is_not_there_is_told_before_anything_is_launched() {
    let test = "a_network_that_is_not_there_is_told_before_anything_is_launched";
    let Some(engine) = Engine::or_skip(test) else { return };
    let house = House::with(&engine, json!({"network": "longshore-of-nobody"}));
    let error = call(|ctx| house.provider().initialize(ctx)).expect_err("there is none");
    assert!(
        error.kind() == ErrorKind::Permanent && error.message().contains("longshore-of-nobody"),
        "{error}"
    );
    let error = house.try_run(&house.request("t-1", 2, MEEK)).expect_err("there is none");
    assert_eq!((error.kind(), house.containers()), (ErrorKind::Permanent, vec![]), "{error}");
}

#[test]
fn a_network_that_is_full_is_a_shortfall_and_leaves_nothing_half_made() {
    let test = "a_network_that_is_full_is_a_shortfall_and_leaves_nothing_half_made";
    let Some(engine) = bridged(test) else { return };
    let house = House::new(&engine);
    // Eight addresses: one for the network, one for its end, one for the way out, and five.
    let name = format!("{}-narrow", house.namespace);
    let request = |third: u8| NetworkCreateRequest {
        name: name.clone(),
        labels: Some([("io.longshore.owner".to_owned(), house.namespace.clone())].into()),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(format!("10.213.{third}.0/29")),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    };
    let made = (0..=255).any(|third| engine.wait(engine.docker().create_network(request(third))).is_ok());
    assert!(made, "some addresses are free");
    let narrow = House::with(&engine, json!({"network": name}));
    let launch = narrow.try_run(&narrow.request("t-1", 12, MEEK)).expect("some of them are there");
    let shortfall = launch.shortfall.expect("it cannot hold all");
    assert!(shortfall.retryable && shortfall.reason.contains("of 12 containers"), "{shortfall:?}");
    assert!((1..=5).contains(&launch.handles.len()), "{launch:?}", launch = launch.handles);
    let mut listed: Vec<String> = narrow.list().into_iter().map(|one| one.handle).collect();
    let mut told = launch.handles.clone();
    listed.sort();
    told.sort();
    assert_eq!(listed, told, "nothing is there that was not told");
    assert_eq!(narrow.containers().len(), told.len());
    // The same token gets the same answer, also when there is room again.
    narrow.kill(&told[..1]);
    let again = narrow.try_run(&narrow.request("t-1", 12, MEEK)).expect("it is known");
    assert_eq!(again.handles, launch.handles);
    assert_eq!(again.shortfall.map(|it| it.retryable), Some(true));
}
