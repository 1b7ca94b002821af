//! Every exit code, and the words that come with it.

use std::fs;

use longshore_support::until;

use crate::house::{House, slow, web};

#[test]
fn code_2_a_wrong_command_line() {
    let house = House::without_host();
    let whole = "workers must be a whole number from 0 to 1000000";
    let cases: [(&[&str], &str); 17] = [
        (&["serve", "--metrics", "9464"], "--metrics"),
        (&["scale", "web", "-3"], whole),
        (&["scale", "web", "3.5"], whole),
        (&["scale", "web", "many"], whole),
        (&["scale", "web", "1000001"], whole),
        (&["scale", "web"], "<WORKERS>"),
        (&["frobnicate"], "frobnicate"),
        (&["stop", "web", "--timeout", "soon"], "5m"),
        (&["stop", "web", "--no-wait", "--timeout", "5s"], "cannot be used with"),
        (&["workers", "web", "--limit", "0"], "--limit"),
        (&["history", "web", "--limit", "0"], "--limit"),
        (&["history", "web", "--follow", "--before", "3"], "cannot be used with"),
        (&["resolve", "web", "a-1"], "--none"),
        (&["resolve", "web", "a-1", "--none", "--handle", "x"], "cannot be used with"),
        (&["resolve", "web", "a-1", "--handle", ""], "empty"),
        (&["resolve", "web", "a-1", "--handle", "x=10001"], "1 to 10000 workers"),
        (&["state"], "import"),
    ];
    for (arguments, words) in cases {
        house.run(arguments).ended(2).tells(&[words]);
    }
    let said: crate::house::Said =
        house.command(&["status"]).env("LONGSHORE_LOG", "loud=please").output().expect("it runs").into();
    said.ended(2).tells(&["LONGSHORE_LOG", "loud=please"]);
}

#[test]
fn code_3_a_wrong_configuration() {
    let house = House::serving();
    let slip = house.file("slip.toml", &web("wrokers = 3"));
    for command in ["apply", "plan"] {
        house.run(&[command, &slip]).ended(3).tells(&["slip.toml", "line 7", "did you mean `workers`"]);
    }
    house.run(&["apply", "nowhere.toml"]).ended(3).tells(&["nowhere.toml", "No such file"]);
    let outside = house.file("outside.toml", &web("workers = 11"));
    house.run(&["apply", &outside]).ended(3).tells(&["11", "10"]);
    let good = house.file("good.toml", &web("workers = 3"));
    house.run(&["reconnect", "wbe", "--config", &good]).ended(3).tells(&["wbe", "did you mean `web`"]);
    let told = "workers = 3\n[cluster.container]\ncommand = \"worker\"\nargs = [\"${worker.cuont}\"]";
    let told = house.file("told.toml", &web(told));
    for command in ["apply", "plan"] {
        house.run(&[command, &told]).ended(3).tells(&[
            "told.toml",
            "line 10",
            "`args`",
            "did you mean `${worker.count}`",
        ]);
    }
    let served =
        house.file("served.toml", &web("workers = 3\n[cluster.container]\nargs = [\"${server.host}\"]"));
    house.run(&["apply", &served]).ended(3).tells(&[
        "served.toml",
        "line 9",
        "`args`",
        "add [cluster.server]",
    ]);
    // It is found before a host is asked, or begun.
    let alone = House::without_host();
    for command in ["apply", "up", "plan"] {
        alone.run(&[command, &slip]).ended(3).tells(&["slip.toml"]);
    }
    assert!(!alone.path("run").exists(), "nothing was begun");
}

#[test]
fn code_4_no_host() {
    let house = House::without_host();
    let file = house.file("web.toml", &web("workers = 3"));
    let socket = house.socket().display().to_string();
    let commands: [&[&str]; 15] = [
        &["history", "web"],
        &["reconnect", "web", "--config", &file],
        &["resolve", "web", "a-1", "--none"],
        &["status"],
        &["status", "web"],
        &["status", "--watch"],
        &["apply", &file],
        &["scale", "web", "3"],
        &["workers", "web"],
        &["explain", "web"],
        &["stop", "web"],
        &["update", "web"],
        &["server", "web"],
        &["cleanup", "web"],
        &["delete", "web"],
    ];
    for arguments in commands {
        house.run(arguments).ended(4).tells(&["no host listens", &socket, "longshore serve"]);
    }
}

#[test]
fn code_5_no_such_cluster() {
    let house = House::with_web();
    let commands: [&[&str]; 16] = [
        &["history", "wbe"],
        &["history", "wbe", "--follow"],
        &["reconnect", "wbe"],
        &["resolve", "wbe", "a-1", "--none"],
        &["scale", "wbe", "3"],
        &["status", "wbe"],
        &["status", "wbe", "--watch"],
        &["workers", "wbe"],
        &["explain", "wbe"],
        &["start", "wbe"],
        &["stop", "wbe"],
        &["update", "wbe"],
        &["server", "wbe", "--show-password"],
        &["cleanup", "wbe", "--deep"],
        &["delete", "wbe"],
        &["delete", "wbe", "--force"],
    ];
    for arguments in commands {
        house.run(arguments).ended(5).tells(&["no cluster `wbe`", "did you mean `web`"]);
    }
    house.run(&["reconnect", "wbe"]).ended(5).tells(&["--config FILE"]);
    house.run(&["scale", "../plan", "3"]).ended(5).tells(&["../plan"]);
}

#[test]
fn code_6_denied() {
    let house = House::with_web();
    house.run(&["scale", "web", "11"]).ended(6).tells(&["web", "0 to 10"]);
    let other = web("workers = 3").replace("[[cluster]]", "[provider.config]\ncapacity = 5\n[[cluster]]");
    let other = house.file("other.toml", &other);
    house.run(&["apply", &other]).ended(6).tells(&["memory", "web", "another name"]);
    house.run(&["resolve", "web", "a-1", "--none"]).ended(6).tells(&["no launch a-1", "longshore explain"]);
    let other = house.file("db.toml", &web("workers = 3").replace("\"web\"", "\"db\""));
    house.run(&["reconnect", "db", "--config", &other]).ended(6).tells(&["nothing to take over"]);
    house.run(&["server", "web"]).ended(6).tells(&["web", "no server", "[cluster.server]"]);
    house.run(&["plugin", "release", "nobody"]).ended(6).tells(&["nobody", "longshore plugin list"]);
    assert_eq!(house.status("web")["generation"], 1, "nothing has changed");

    let served = |port: u16| {
        let server = format!("workers = 1\n[cluster.server]\nprobe = \"status\"\nport = {port}");
        house.file("served.toml", &web(&server).replace("\"web\"", "\"served\""))
    };
    house.run(&["apply", &served(7_000)]).ok();
    house.run(&["apply", &served(7_001)]).ended(6).tells(&[
        "served",
        "its server is there",
        "longshore stop",
    ]);
    house.run(&["stop", "served"]).ok();
    house.run(&["apply", &served(7_001)]).ok();
}

#[test]
fn code_7_gave_up_waiting() {
    let house = House::serving();
    let file = house.file("slow.toml", &slow("slow"));
    let said = house.run(&["apply", &file, "--timeout", "300ms"]).ended(7);
    said.tells(&["slow", "300ms", "2 initializing", "longshore explain slow"]);
    let said = house.run(&["scale", "slow", "3", "--timeout", "200ms", "--json"]).ended(7);
    assert_eq!(said.json()["converged"], false);
    assert_eq!(house.status("slow")["expected"], 3, "the host goes on");
    house.run(&["scale", "slow", "1", "--no-wait"]).ok();
}

#[test]
fn code_8_a_plugin_that_cannot_be_used() {
    let house = House::serving();
    let notes = house.file("notes.so", "these are notes");
    let config = |plugin: &str, config: &str| {
        house.file(
            "plugin.toml",
            &format!("[[provider]]\nname = \"new\"\nplugin = {plugin:?}\nconfig = {config}\n"),
        )
    };
    house.run(&["apply", &config("memori", "{}")]).ended(8).tells(&["memori", "did you mean `memory`"]);
    house.run(&["plan", &config(&notes, "{}")]).ended(8).tells(&["notes.so", "not a shared library"]);
    house.run(&["apply", &config("memory", "{ capasity = 3 }")]).ended(8).tells(&["new", "capasity"]);
    house.run(&["plugin", "inspect", &notes]).ended(8).tells(&["notes.so"]);
    let away = house.file(
        "away.toml",
        "[[provider]]\nname = \"memory\"\nconfig = { fail = { cleanup = { every = 1, message = \"the disk is away\" } } }\n\
         [[cluster]]\nname = \"web\"\nprovider = \"memory\"\nworkers = 1\n",
    );
    house.run(&["apply", &away]).ok();
    house.run(&["cleanup", "web"]).ended(8).tells(&["web", "the disk is away"]);
    house.run(&["plugin", "inspect", "memori"]).ended(8).tells(&["memori", "did you mean `memory`"]);
    let file = config("memori", "{}");
    let alone = House::without_host();
    alone.run(&["up", &file]).ended(8).tells(&["memori"]);
    assert!(!alone.socket().exists(), "the socket is removed");
}

#[test]
fn code_9_a_socket_that_cannot_be_used() {
    let house = House::serving();
    let socket = house.socket().display().to_string();
    house.run(&["serve"]).ended(9).tells(&[&socket, "process", "--socket"]);
    let file = house.file("web.toml", &web("workers = 3"));
    house.run(&["up", &file]).ended(9).tells(&[&socket]);
    house.run(&["status"]).ok();

    let precious = house.file("precious", "gold");
    house.run(&["serve", "--socket", &precious]).ended(9).tells(&["precious", "left alone"]);
    assert_eq!(fs::read_to_string(&precious).expect("it is still there"), "gold");
    let long = format!("{}/{}", house.path("x").display(), "x".repeat(120));
    house.run(&["serve", "--socket", &long]).ended(9).tells(&["107"]);
    house.run(&["status", "--socket", &long]).ended(9).tells(&["107"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one").to_string();
    let said = House::without_host().run(&["serve", "--metrics", &address]);
    said.ended(9).tells(&[&format!("the figures cannot be served at {address}"), "--metrics"]);
}

#[test]
fn what_a_dead_host_left_is_replaced() {
    let mut house = House::serving();
    house.signal(rustix::process::Signal::KILL);
    assert_eq!(house.ended(), None, "a signal has no exit code");
    assert!(house.socket().exists(), "nobody removed it");
    house.run(&["status"]).ended(4).tells(&["no host listens"]);
    house.start(&["serve"]);
    until("another host listens", || house.run(&["status"]).code == Some(0));
}

#[test]
fn the_codes_are_in_the_help() {
    let house = House::without_host();
    let said = house.run(&["--help"]).ok();
    for code in 0..=11 {
        assert!(
            said.out.lines().any(|line| line.trim().starts_with(&format!("{code} "))),
            "{code}: {}",
            said.out
        );
    }
}
