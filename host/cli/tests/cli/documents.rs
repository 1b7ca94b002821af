//! `--json`: one document a command, whose shape programs can rely on.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::house::{House, web};

#[test]
fn applied_and_scaled() {
    let house = House::serving();
    let file = house.file("web.toml", &web("workers = 3"));
    let applied = house.run(&["apply", &file, "--json"]).ok().json();
    assert_eq!(applied["providers"], json!([{"name": "memory", "effect": "created"}]));
    assert_eq!(applied["clusters"], json!([{"name": "web", "effect": "created", "generation": 1}]));
    assert_eq!((&applied["converged"], &applied["status"][0]["running"]), (&json!(true), &json!(3)));
    let again = house.run(&["apply", &file, "--json", "--no-wait"]).ok().json();
    assert_eq!(again["clusters"][0]["effect"], "unchanged");
    assert_eq!((&again["converged"], &again["status"]), (&Value::Null, &Value::Null));

    let scaled = house.run(&["scale", "web", "5", "--json"]).ok().json();
    assert_eq!((&scaled["cluster"], &scaled["generation"]), (&json!("web"), &json!(2)));
    assert_eq!((&scaled["converged"], &scaled["status"]["running"]), (&json!(true), &json!(5)));
    let stopped = house.run(&["--json", "stop", "web"]).ok().json();
    assert_eq!(stopped["status"]["running"], 0);
    let started = house.run(&["start", "web", "--json"]).ok().json();
    assert_eq!(started["status"]["running"], 5);
    let updated = house.run(&["update", "web", "--json"]).ok().json();
    assert_eq!(updated["status"]["running"], 5);
    let deleted = house.run(&["delete", "web", "--json"]).ok().json();
    assert_eq!((&deleted["converged"], &deleted["status"]), (&json!(true), &Value::Null));
    assert_eq!(house.run(&["status", "--json"]).ok().json()["clusters"], json!([]));
}

#[test]
fn shown_and_explained() {
    let house = House::with_web();
    let status = house.run(&["status", "--json"]).ok().json();
    assert!(status["version"].is_u64());
    let one = house.status("web");
    assert_eq!(status["clusters"][0]["name"], one["name"]);
    for field in ["provider", "desired", "expected", "min", "max", "initializing", "running", "terminating"] {
        assert!(!one[field].is_null(), "{field}: {one}");
    }
    let explained = house.run(&["explain", "web", "--json"]).ok().json();
    assert_eq!((&explained["cluster"], &explained["converged"]), (&json!("web"), &json!(true)));
    assert_eq!(explained["reasons"][0]["reason"], "at_target");
    assert!(explained["reasons"][0]["text"].is_string());

    let workers = house.run(&["workers", "web", "--json"]).ok().json();
    assert_eq!((&workers["total"], workers["workers"].as_array().map(Vec::len)), (&json!(3), Some(3)));
    let worker = &workers["workers"][0];
    assert_eq!((&worker["phase"], &worker["workers"]), (&json!("running"), &json!(1)));
    assert!(worker["handle"].is_string() && worker["age_ms"].is_u64() && worker["token"].is_string());
    let two = house.run(&["workers", "web", "--json", "--limit", "2"]).ok().json();
    assert_eq!((&two["total"], two["workers"].as_array().map(Vec::len)), (&json!(3), Some(2)));
}

#[test]
fn planned_by_a_host_or_without_one() {
    let house = House::with_web();
    let file = house.file("web.toml", &web("workers = 5"));
    let planned = house.run(&["plan", &file, "--json"]).ok().json();
    assert_eq!(planned["planned_by"], "host");
    let web = &planned["clusters"][0];
    assert_eq!(
        (&web["effect"], &web["target_before"], &web["target"]),
        (&json!("updated"), &json!(3), &json!(5))
    );
    assert_eq!((&web["live"], &web["launch"], &web["kill"]), (&json!(3), &json!(2), &json!(0)));
    assert_eq!(house.status("web")["expected"], 3, "nothing was done");

    let alone = House::without_host();
    let planned = alone.run(&["plan", &file, "--json"]).ok().json();
    assert_eq!(planned["planned_by"], "here");
    assert_eq!(
        (&planned["clusters"][0]["effect"], &planned["clusters"][0]["launch"]),
        (&json!("created"), &json!(5))
    );
    assert!(!alone.path("run").exists(), "no host was left");
}

#[test]
fn plugins_with_a_host_or_without_one() {
    let house = House::with_web();
    let memory = |listed: &Value| {
        let plugins = listed["plugins"].as_array().expect("a list").iter();
        plugins.clone().find(|plugin| plugin["name"] == "memory").expect("it is in the folder").clone()
    };
    let listed = house.run(&["plugin", "list", "--json"]).ok().json();
    assert_eq!((&listed["found_by"], &memory(&listed)["providers"]), (&json!("host"), &json!(["memory"])));

    let alone = House::without_host();
    let listed = alone.run(&["plugin", "list", "--json"]).ok().json();
    assert_eq!((&listed["found_by"], &memory(&listed)["providers"]), (&json!("here"), &json!([])));
    let path = memory(&listed)["path"].as_str().expect("a path").to_owned();
    for lib in ["memory", path.as_str()] {
        let inspected = alone.run(&["plugin", "inspect", lib, "--json"]).ok().json();
        assert_eq!((&inspected["name"], &inspected["path"]), (&json!("memory"), &json!(path)));
        assert_eq!(inspected["hash"].as_str().map(str::len), Some(64));
        assert!(inspected["config_schema"]["properties"]["capacity"].is_object());
        assert_eq!(inspected["interfaces"][0], "longshore.workers/1");
    }
}

#[test]
fn a_provider_with_what_its_calls_came_to() {
    let house = House::with_web();
    let shown = house.run(&["plugin", "show", "memory", "--json"]).ok().json();
    let of = (&shown["name"], &shown["clusters"], &shown["trouble"]);
    assert_eq!(of, (&json!("memory"), &json!(["web"]), &Value::Null));
    assert_eq!((&shown["breaker"]["phase"], &shown["breaker"]["openings"]), (&json!("closed"), &json!(0)));
    let pid = shown["runner"]["pid"].as_u64().expect("it runs in a process of its own");
    assert_eq!((&shown["runner"]["restarts"], &shown["runner"]["deaths"]), (&json!(0), &json!(0)));
    let functions = shown["functions"].as_array().expect("a list");
    let run = functions.iter().find(|figures| figures["function"] == "run").expect("it was called");
    assert_eq!((&run["answered"], &run["late"], &run["failed"]), (&run["calls"], &json!(0), &Value::Null));
    assert_eq!((&run["latency"]["count"], &run["inside"]["count"]), (&run["calls"], &run["calls"]));
    let held = |times: &Value| {
        let buckets = times["buckets"].as_array().expect("a list").iter();
        buckets.map(|bucket| bucket["count"].as_u64().expect("a number")).sum::<u64>()
    };
    assert_eq!(json!([held(&run["latency"]), held(&run["inside"])]), json!([run["calls"], run["calls"]]));
    assert!(
        shown["runner"]["resources"]["resident_bytes"].as_u64().is_some_and(|bytes| bytes > 0),
        "{shown}"
    );
    assert!(shown["runner"]["calls"]["inside"].is_u64(), "it says where its calls are: {shown}");

    let told = house.run(&["plugin", "show", "memory"]).ok().out;
    let runs = format!("process {pid}; died never, restarted never\n");
    for words in [
        "memory: plugin memory ",
        runs.as_str(),
        " of memory (",
        " of processor time, ",
        "  breaker    closed\n",
        "CALLS THAT TOOK NO LONGER\n",
        "in the plugin   ",
    ] {
        assert!(told.contains(words), "{words:?} is not in\n{told}");
    }
    let row = told.lines().find(|line| line.starts_with("run ")).expect("it was called");
    assert!(row.ends_with(" -"), "nothing went wrong: {row}");
    let unknown = house.run(&["plugin", "show", "memori", "--json"]).ended(5);
    unknown.tells(&["there is no provider `memori`; the host has: memory"]);
    assert_eq!(unknown.json()["error"]["kind"], "no_such_provider");
}

#[test]
fn errors() {
    let house = House::with_web();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["scale", "web", "11"], 6, "denied"),
        (&["status", "wbe"], 5, "no_such_cluster"),
        (&["plugin", "inspect", "memori"], 8, "plugin_not_found"),
        (&["serve"], 9, "socket"),
    ];
    for (arguments, code, kind) in cases {
        let said = house.run(&[arguments, &["--json"]].concat()).ended(code);
        let error = said.json();
        assert_eq!((&error["error"]["kind"], &error["exit_code"]), (&json!(kind), &json!(code)), "{error}");
        let message = error["error"]["message"].as_str().expect("a message");
        assert_eq!(said.err, format!("error: {message}\n"), "a person reads the same");
    }
    let file = house.file("slip.toml", &web("wrokers = 3"));
    let error = house.run(&["apply", &file, "--json"]).ended(3).json();
    assert_eq!(
        (&error["error"]["kind"], &error["error"]["faults"][0]["line"]),
        (&json!("bad_config"), &json!(7))
    );
    let error = House::without_host().run(&["status", "--json"]).ended(4).json();
    assert_eq!(error["error"]["kind"], "no_host");
}

#[test]
fn a_watch_is_a_document_a_line() {
    let house = House::with_web();
    let mut watch = house
        .command(&["status", "web", "--watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let lines = BufReader::new(watch.stdout.take().expect("it is piped")).lines();
    let mut documents =
        lines.map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("a document"));
    assert_eq!(documents.next().expect("how it is at first")["running"], 3);
    house.run(&["scale", "web", "6"]).ok();
    assert!(documents.any(|document| document["running"] == 6), "it is told of the change");
    // The reader goes away; the next change makes it notice, and that is no error.
    drop(documents);
    house.run(&["scale", "web", "2"]).ok();
    let status = watch.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
}
