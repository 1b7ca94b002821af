//! A cluster of real processes whose server others run: workers wait for it, are told where it is, and it is left alone.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
};

use longshore_e2e::House;
use longshore_support::until;

const PASSWORD: &str = "correct \"horse\"";

/// Sleepers that write down what they were told, one line each.
fn config(house: &House, port: u16) -> String {
    let script = format!(
        "echo \"at ${{server.host}} ${{server.port}}, $PASSWORD\" >> '{}'; exec sleep 100000",
        house.path("told").display()
    );
    let sleepers = house.sleepers("web", 2);
    let plain = "command = \"sleep\"\nargs = [\"100000\"]\n";
    assert!(sleepers.contains(plain), "{sleepers}");
    let told = format!(
        "command = \"/bin/sh\"\nargs = [\"-c\", '''{script}''']\nenv = {{ PASSWORD = \"${{server.password}}\" }}\n"
    );
    let server = format!("[cluster.server]\nexternal = \"127.0.0.1:{port}\"\npassword = '{PASSWORD}'\n");
    sleepers.replace(plain, &told) + &server
}

#[test]
fn workers_join_a_server_that_others_run() {
    let house = House::serving(&["longshore-process"]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);

    let file = house.write("web.toml", &config(&house, address.port())).display().to_string();
    let _ = house.run(&["apply", "--no-wait", &file]).ok();
    until("it says what it waits for", || {
        house.run(&["explain", "web"]).ok().out.contains(&format!("{address} cannot be reached"))
    });
    let status = house.status("web");
    assert_eq!((&status["server"]["phase"], &status["expected"]), (&"down".into(), &2.into()));
    assert_eq!(house.alive(), [], "nobody is launched without it");

    let listener = TcpListener::bind(address).expect("nobody else took the port");
    until("both run", || house.status("web")["running"] == 2);
    let line = format!("at 127.0.0.1 {}, {PASSWORD}\n", address.port());
    until("both have said what they were told", || {
        fs::read_to_string(house.path("told")).is_ok_and(|told| told == line.repeat(2))
    });

    // Those that are there live on without it; what is asked for meanwhile waits.
    drop(listener);
    until("it is missed", || house.status("web")["server"]["phase"] == "lost");
    let before = house.handles("web");
    let _ = house.run(&["scale", "web", "3", "--no-wait"]).ok();
    let said = house.run(&["scale", "web", "3", "--timeout", "1s"]);
    assert_eq!((said.code, house.handles("web"), house.alive().len()), (Some(7), before.clone(), 2));
    let listener = TcpListener::bind(address).expect("nobody else took the port");
    until("the third has come", || house.status("web")["running"] == 3);
    assert!(before.iter().all(|handle| house.handles("web").contains(handle)), "the others are untouched");

    for shown in
        [&["status", "web", "--json"][..], &["explain", "web"], &["history", "web"], &["server", "web"]]
    {
        let said = house.run(shown).ok().out;
        assert!(!said.contains("horse"), "{shown:?}: {said}");
    }
    let _ = house.run(&["delete", "web"]).ok();
    assert_eq!(house.alive(), []);
    TcpStream::connect(address).expect("the server is none of ours, and still there");
    drop(listener);
    assert!(!house.log().contains("horse"), "{}", house.log());
}
