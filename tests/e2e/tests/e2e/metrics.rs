//! The figures of a real host with a real provider, as Prometheus would read them: over the socket and over TCP, in both forms, by
//! the parsers of its own client library.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
};

use longshore_e2e::House;
use longshore_support::{Venv, or_skip, until};
use serde_json::Value;

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

/// An answer: its first line, its headers and its body.
struct Answer {
    head: String,
    body: String,
}

/// Asks for a path, and hears the answer.
fn get(mut stream: impl Read + Write, path: &str, accept: &str) -> Answer {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: host\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    Answer { head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Has the figures read, which fails where they are not what their form says.
fn read(venv: &Venv, form: &str, text: &str) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/metrics/read.py");
    let mut python = Command::new(venv.python())
        .arg(script)
        .arg(form)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be run");
    python.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "it is not in the form {form}:\n{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The value of the one line with this name and these labels.
#[track_caller]
fn value(families: &[Value], name: &str, labels: &[(&str, &str)]) -> f64 {
    let lines = families.iter().flat_map(|family| family["lines"].as_array().expect("a list"));
    let found: Vec<_> = lines
        .filter(|line| {
            line["name"] == name && labels.iter().all(|(label, value)| line["labels"][*label] == *value)
        })
        .collect();
    assert_eq!(found.len(), 1, "{name} with {labels:?}: {found:?}");
    found[0]["value"].as_f64().expect("a number")
}

/// The same, of what is counted.
#[track_caller]
fn count(families: &[Value], name: &str, labels: &[(&str, &str)]) -> u64 {
    value(families, name, labels) as u64
}

const TEST: &str = "the_figures_of_a_host_are_what_prometheus_reads";

#[test]
fn the_figures_of_a_host_are_what_prometheus_reads() {
    let Some(venv) = or_skip(TEST, Venv::prometheus()) else { return };
    let mut house = House::with(&["longshore-process"]);
    house.start(&["serve", "--metrics", "127.0.0.1:0", "--json"]);
    assert_eq!(house.begins(), Ok(()), "{}", house.log());
    house.apply(&house.sleepers("web", 3));
    // Looks go on by themselves.
    let figures = || {
        let socket = UnixStream::connect(house.socket()).expect("it listens");
        let answer = get(socket, "/v1/metrics", "text/plain;version=0.0.4");
        assert!(answer.head.starts_with("http/1.1 200") && answer.head.contains("text/plain; version=0.0.4"));
        read(&venv, "text", &answer.body)
    };
    let status = [("provider", "local"), ("function", "status"), ("generation", "1")];
    let answered = [&status[..], &[("outcome", "answered")]].concat();
    let calls = |families: &[Value]| count(families, "longshore_plugin_calls_total", &answered);
    until("it was looked at the workers", || {
        let known = figures();
        let name = |line: &Value| line["labels"]["function"] == "status";
        known.iter().any(|family| family["lines"].as_array().is_some_and(|lines| lines.iter().any(name)))
    });
    let first = calls(&figures());
    until("it is looked again", || calls(&figures()) > first);

    let of_status =
        |families: &[Value], name: &str| value(families, &format!("longshore_plugin_call_{name}"), &status);
    let mut families = vec![];
    // A runner that has no processor for a moment does not say how many calls are inside; and a call that ends while the figures
    // are read is in one of two that are told one after the other.
    until("the runner answers, and no call ends meanwhile", || {
        families = figures();
        let counts =
            ["duration_seconds_count", "inside_seconds_count"].map(|name| of_status(&families, name) as u64);
        counts[0] == counts[1]
            && count(&families, "longshore_runner_responding", &[("provider", "local")]) == 1
    });
    for (name, labels, wanted) in [
        ("longshore_cluster_workers", &[("cluster", "web"), ("state", "running")][..], 3),
        ("longshore_cluster_workers_desired", &[("cluster", "web")], 3),
        ("longshore_cluster_workers_missing", &[("cluster", "web")], 0),
        ("longshore_cluster_handles", &[("cluster", "web")], 3),
        ("longshore_provider_up", &[("provider", "local")], 1),
        ("longshore_provider_generations", &[("provider", "local"), ("state", "serving")], 1),
        ("longshore_provider_breaker_state", &[("provider", "local"), ("state", "closed")], 1),
        ("longshore_runner_state", &[("provider", "local"), ("state", "running")], 1),
        ("longshore_runner_restarts_total", &[("provider", "local")], 0),
        ("longshore_plugin_calls_stuck", &[("provider", "local")], 0),
    ] {
        assert_eq!(count(&families, name, labels), wanted, "{name}");
    }
    assert!(value(&families, "longshore_runner_resident_memory_bytes", &[("provider", "local")]) > 1e6);
    assert!(of_status(&families, "inside_seconds_sum") > 0.0);
    for (name, kind) in
        [("longshore_plugin_calls", "counter"), ("longshore_plugin_call_duration_seconds", "histogram")]
    {
        let family = families.iter().find(|family| family["name"] == name).expect("it is told");
        assert_eq!(family["kind"], kind, "{name}");
        assert!(family["help"].as_str().is_some_and(|help| !help.is_empty()), "{name}");
    }
    let text = families.iter().map(Value::to_string).collect::<String>();
    for handle in house.handles("web") {
        assert!(!text.contains(&handle), "a worker's handle is nobody's label");
    }
    over_tcp(&house, &venv);
}

/// Over TCP there are the figures, and nothing else.
fn over_tcp(house: &House, venv: &Venv) {
    let log = house.log();
    let announced =
        log.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).expect("a document");
    let url = announced["metrics"].as_str().expect("it says where").to_owned();
    let address =
        url.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics")).expect("an address");
    let connect = || TcpStream::connect(address).expect("it listens");
    let answer = get(connect(), "/metrics", OPEN_METRICS);
    assert!(answer.head.contains("application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    let families = read(venv, "openmetrics", &answer.body);
    assert_eq!(count(&families, "longshore_cluster_workers_desired", &[("cluster", "web")]), 3);
    let cpu =
        families.iter().find(|family| family["name"] == "longshore_runner_cpu_seconds").expect("it is told");
    assert_eq!((&cpu["kind"], &cpu["unit"]), (&"counter".into(), &"seconds".into()));
    for path in ["/v1/clusters", "/v1/host", "/"] {
        assert!(get(connect(), path, "*/*").head.starts_with("http/1.1 404"), "{path}");
    }
}
