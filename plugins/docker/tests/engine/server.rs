//! A cluster's server.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use longshore_plugin_api::{ErrorKind, Server as _, ServerAddress, ServerRequest, WorkerStatus};
use longshore_support::{Engine, find_program, or_skip, until};
use serde_json::json;

use crate::support::{CLUSTER, House, MEEK, call};

/// An engine, and a shell with `nc` for it.
fn engine_for(test: &str) -> Option<Engine> {
    or_skip(test, find_program("busybox"))?;
    Engine::or_skip(test)
}

/// A request for a server that sends back what it is sent.
fn echo(house: &House<'_>, port: u16) -> ServerRequest {
    let run = house.request("unused", 1, &format!("trap 'exit 0' TERM; nc -ll -p {port} -e cat & wait"));
    ServerRequest { container: run.container, port: Some(port), ..ServerRequest::default() }
}

fn answers(address: &ServerAddress) -> bool {
    let Some(port) = address.port else { return false };
    let connect = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((address.host.as_str(), port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"hello")?;
        let mut back = [0; 5];
        stream.read_exact(&mut back)?;
        Ok(&back == b"hello")
    };
    connect().unwrap_or(false)
}

/// A port that is free now; on the machine's own network two tests must not have the same.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("some port is free");
    listener.local_addr().expect("it is bound").port()
}

fn status(house: &House<'_>) -> WorkerStatus {
    call(|ctx| house.provider().server_status(ctx)).expect("it is known")
}

fn address(house: &House<'_>) -> Option<ServerAddress> {
    call(|ctx| house.provider().server_address(ctx)).expect("it is known")
}

#[test]
fn a_server_is_reached_found_again_and_replaced() {
    let Some(engine) = engine_for("a_server_is_reached_found_again_and_replaced") else { return };
    let house = House::new(&engine);
    let request = echo(&house, free_port());
    assert_eq!((status(&house), address(&house)), (WorkerStatus::Stopped, None));
    call(|ctx| house.provider().run_server(ctx, &request)).expect("it starts");
    until("it runs", || status(&house) == WorkerStatus::Running);
    let found = address(&house).expect("it has one");
    assert_eq!(found.port, request.port);
    until("it answers", || answers(&found));
    // Another provider knows all of it, and starts no second one.
    let other = house.another();
    call(|ctx| other.run_server(ctx, &request)).expect("it runs already");
    assert_eq!(call(|ctx| other.server_address(ctx)).expect("it is known"), Some(found));
    let [server] = &*house.containers() else { panic!("there is one") };
    assert_eq!(server.name, format!("{}.{CLUSTER}.server", house.namespace));
    assert_eq!(house.list(), [], "a server is no worker");
    // One that has died is replaced.
    engine.wait(engine.docker().kill_container(&server.id, None)).expect("it is alive");
    until("it is seen", || status(&house) == WorkerStatus::Stopped);
    assert_eq!(address(&house), None);
    call(|ctx| house.provider().run_server(ctx, &request)).expect("it starts again");
    until("it runs again", || status(&house) == WorkerStatus::Running);
    call(|ctx| house.provider().stop_server(ctx)).expect("it stops");
    assert_eq!((status(&house), house.containers()), (WorkerStatus::Stopped, vec![]));
    call(|ctx| house.provider().stop_server(ctx)).expect("there is none, which is as good");
}

#[test]
fn workers_reach_the_server_at_its_address() {
    let Some(engine) = engine_for("workers_reach_the_server_at_its_address") else { return };
    let house = House::new(&engine);
    let request = echo(&house, free_port());
    call(|ctx| house.provider().run_server(ctx, &request)).expect("it starts");
    until("it has an address", || address(&house).is_some());
    let ServerAddress { host, port } = address(&house).expect("it has one");
    let port = port.expect("it has one");
    let script = format!("until echo from a worker | nc -w 2 {host} {port}; do sleep 0.1; done; {MEEK}");
    let handles = house.run("t-1", 1, &script);
    until("it has the answer", || engine.output(&handles[0]).contains("from a worker"));
}

#[test]
fn a_port_is_published_where_the_configuration_says_so() {
    let Some(engine) = engine_for("a_port_is_published_where_the_configuration_says_so") else { return };
    if engine.network() != "bridge" {
        println!("skipped, because the engine has no bridge");
        return;
    }
    let house = House::with(&engine, json!({"publish": "127.0.0.1"}));
    let request = echo(&house, free_port());
    call(|ctx| house.provider().run_server(ctx, &request)).expect("it starts");
    until("it has an address", || address(&house).is_some());
    let found = address(&house).expect("it has one");
    assert_eq!(found, ServerAddress { host: "127.0.0.1".to_owned(), port: request.port });
    until("it answers", || answers(&found));
    let nameless = ServerRequest { port: None, ..request };
    let error = call(|ctx| house.another().run_server(ctx, &nameless)).expect_err("which port?");
    assert_eq!(error.kind(), ErrorKind::Permanent);
}

#[test]
fn a_server_without_a_network_is_refused() {
    let Some(engine) = engine_for("a_server_without_a_network_is_refused") else { return };
    let house = House::with(&engine, json!({"network": "none"}));
    let error =
        call(|ctx| house.provider().run_server(ctx, &echo(&house, 1))).expect_err("nobody reaches it");
    assert_eq!((error.kind(), house.containers()), (ErrorKind::Permanent, vec![]));
}
