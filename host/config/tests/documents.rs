//! Whole documents: what a file says becomes, and the form on the wire.

use std::{collections::BTreeMap, path::Path, time::Duration};

use longshore_config::{
    ClusterConfig, Config, Confinement, Deadlines, Guard, Isolation, Probe, ProviderConfig, Secret,
    ServerConfig, ServerSource, Trust, Variable, keys,
};
use longshore_plugin_api::{Container, Hardware};
use longshore_scaling::{OnRestart, Policy, Prefer, Strays};
use serde_json::json;

const FULL: &str = r#"
[[provider]]
name = "local"
plugin = "process"
threads = 4
create_timeout = 2.5
[provider.config]
grace = "5s"
rate = 0.5
when = 2026-01-02
list = [1, true, { deep = 0x10 }]

[[provider]]
name = "own"
plugin = "plugins/libown.so"
hang_grace = "3s"
isolation = "subprocess"
sha256 = "9F86D081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
signed_by = ["RWQKIWS0ufLPqHSqFqEFQwguNBSrKIIc6MluxDsQJs8jwudrBOaZ+y+5"]
watch = "incoming"
[provider.confine]
user = "nobody"
memory = "1GiB"
descriptors = 64
cpu_time = "1h"
read = ["/opt/own", "data"]
write = []
seccomp = true
required = ["user", "paths"]

[[cluster]]
name = "web"
provider = "local"
workers = 3
min = 1
max = 9
prefer = "oldest"
stopped = true
stop_on_exit = false
verbose = 2
container = { image = "i", command = "c", args = ["a", "b"], env = { K = "v" }, working_dir = "w", max_workers = 2 }
hardware = { cpu = 2, memory = "512MiB", id = "small" }
[cluster.timeouts]
run = "1m 1s"
status = 2
kill = 0.25
list = "4s"
initialize = "5s"
cleanup = "6s"
server = "9s"
launch = "7s"
kill_retry = "8s"
[cluster.scaling]
poll_interval = "11s"
busy_poll_interval = "120ms"
list_interval = "13s"
strays = "kill"
stray_grace = "21s"
launch_batch = 14
launches_in_flight = 15
backoff = "16s"
backoff_max = "17s"
stable_after = "18s"
mass_death_workers = 19
mass_death_percent = 20
surge = 21
missing = 22
[cluster.server]
port = 6379
password = "hunter2"
probe = "status"
start_timeout = "22s"
on_restart = "keep"
container = { image = "is", command = "cs", args = ["${server.port}"], env = { S = "v" }, working_dir = "ws" }
hardware = { cpu = 1, memory = "1KiB", id = "server" }
"#;

fn full() -> Config {
    let secs = Duration::from_secs;
    let local = ProviderConfig {
        name: "local".into(),
        plugin: "process".into(),
        config: json!({"grace": "5s", "rate": 0.5, "when": "2026-01-02", "list": [1, true, {"deep": 16}]}),
        threads: Some(4),
        create_timeout: Some(Duration::from_millis(2500)),
        hang_grace: None,
        isolation: None,
        trust: Trust::default(),
        confine: None,
        watch: None,
    };
    let own = ProviderConfig {
        name: "own".into(),
        plugin: "/etc/longshore/plugins/libown.so".into(),
        config: json!({}),
        threads: None,
        create_timeout: None,
        hang_grace: Some(secs(3)),
        isolation: Some(Isolation::Subprocess),
        trust: Trust {
            sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
            signed_by: vec!["RWQKIWS0ufLPqHSqFqEFQwguNBSrKIIc6MluxDsQJs8jwudrBOaZ+y+5".into()],
        },
        confine: Some(Confinement {
            user: Some("nobody".into()),
            memory: Some(1 << 30),
            descriptors: Some(64),
            cpu_time: Some(Duration::from_hours(1)),
            read: Some(vec!["/opt/own".into(), "/etc/longshore/data".into()]),
            write: Some(vec![]),
            seccomp: true,
            required: [Guard::User, Guard::Paths].into(),
        }),
        watch: Some("/etc/longshore/incoming".into()),
    };
    let cluster = ClusterConfig {
        name: "web".into(),
        provider: "local".into(),
        workers: 3,
        policy: Policy {
            min: 1,
            max: 9,
            prefer: Prefer::Oldest,
            launch_batch: 14,
            launches_in_flight: 15,
            launch_timeout: secs(7),
            kill_retry: secs(8),
            poll_interval: secs(11),
            busy_poll_interval: Duration::from_millis(120),
            list_interval: secs(13),
            strays: Strays::Kill,
            stray_grace: secs(21),
            backoff: secs(16),
            backoff_max: secs(17),
            stable_after: secs(18),
            mass_death_workers: 19,
            mass_death_percent: 20,
            surge: Some(21),
            missing: 22,
        },
        container: Container {
            image: Some("i".into()),
            command: Some("c".into()),
            args: vec!["a".into(), "b".into()],
            env: BTreeMap::from([("K".into(), "v".into())]),
            working_dir: Some("w".into()),
            max_workers: Some(2),
        },
        hardware: Hardware { cpu: Some(2.0), memory: Some(512 << 20), id: Some("small".into()) },
        server: Some(server()),
        deadlines: Deadlines {
            run: secs(61),
            status: secs(2),
            kill: Duration::from_millis(250),
            list: secs(4),
            initialize: secs(5),
            cleanup: secs(6),
            server: secs(9),
        },
        verbose: 2,
        stopped: true,
        stop_on_exit: Some(false),
    };
    Config { providers: vec![local, own], clusters: vec![cluster] }
}

fn server() -> ServerConfig {
    let container = Container {
        image: Some("is".into()),
        command: Some("cs".into()),
        args: vec!["${server.port}".into()],
        env: BTreeMap::from([("S".into(), "v".into())]),
        working_dir: Some("ws".into()),
        max_workers: None,
    };
    let hardware = Hardware { cpu: Some(1.0), memory: Some(1024), id: Some("server".into()) };
    ServerConfig {
        source: ServerSource::Managed { container, hardware, port: Some(6379) },
        password: Some(Secret::new("hunter2")),
        probe: Probe::Status,
        start_timeout: Duration::from_secs(22),
        on_restart: OnRestart::Keep,
    }
}

#[cfg(unix)]
#[test]
fn every_key_arrives_in_its_field() {
    let config = Config::parse(FULL, Path::new("/etc/longshore/c.toml")).expect("it is valid");
    assert_eq!(config, full());
}

#[test]
fn what_is_left_out_has_its_default() {
    let text =
        "[[provider]]\nname = \"memory\"\n[[cluster]]\nname = \"c\"\nprovider = \"memory\"\nworkers = 1";
    let config = Config::parse(text, Path::new("c.toml")).expect("it is valid");
    assert_eq!(config.providers[0].plugin, "memory");
    assert_eq!(config.providers[0].config, json!({}));
    assert_eq!((config.providers[0].isolation, &config.providers[0].trust), (None, &Trust::default()));
    assert_eq!((&config.providers[0].confine, &config.providers[0].watch), (&None, &None));
    let cluster = &config.clusters[0];
    assert_eq!(cluster.policy, Policy::default());
    assert_eq!(cluster.deadlines, Deadlines::default());
    assert_eq!((cluster.verbose, cluster.stopped), (1, false));
    assert_eq!((&cluster.container, &cluster.hardware), (&Container::default(), &Hardware::default()));
    assert_eq!(cluster.server, None);
    assert_eq!(Config::parse("", Path::new("c.toml")).expect("an empty file is valid"), Config::default());
}

#[cfg(unix)]
#[test]
fn paths_of_plugins_are_seen_from_the_file() {
    let plugin = |plugin: &str, file: &str| {
        let text = format!("[[provider]]\nname = \"p\"\nplugin = \"{plugin}\"");
        Config::parse(&text, Path::new(file)).expect("it is valid").providers[0].plugin.clone()
    };
    let here = std::env::current_dir().expect("a current folder");
    let here = here.to_str().expect("the folder of the tests is text");
    assert_eq!(plugin("process", "/etc/c.toml"), "process");
    assert_eq!(plugin("./process", "/etc/c.toml"), "/etc/process");
    assert_eq!(plugin("libp.so", "/etc/c.toml"), "/etc/libp.so");
    assert_eq!(plugin("/opt/p", "/etc/c.toml"), "/opt/p");
    assert_eq!(plugin("a/p.so", "c.toml"), format!("{here}/a/p.so"));
}

/// What is confined is so in a runner, and everything that is asked for can be required in one word.
#[test]
fn a_confinement_fills_in_what_follows_from_it() {
    let confined = |lines: &str| {
        let text = format!("[[provider]]\nname = \"p\"\n[provider.confine]\n{lines}");
        let mut config = Config::parse(&text, Path::new("c.toml")).expect("it is valid");
        assert_eq!(config.providers[0].isolation, Some(Isolation::Subprocess));
        config.providers.remove(0).confine.expect("it is there")
    };
    assert_eq!(confined(""), Confinement::default());
    assert_eq!(confined("").guards(), [Guard::NoNewPrivileges].into());
    assert_eq!(confined("required = true").required, [Guard::NoNewPrivileges].into());
    assert_eq!(confined("required = false\nseccomp = true").required, [].into());
    let limited = confined("required = true\ncpu_time = 1.5\nread = []");
    assert_eq!(limited.required, [Guard::Limits, Guard::NoNewPrivileges, Guard::Paths].into());
    assert_eq!(limited.cpu_time, Some(Duration::from_millis(1500)));
    assert_eq!(
        confined("user = \"1000\"\nwrite = []\nseccomp = true\nmemory = 67108864").guards(),
        Guard::ALL.into()
    );
}

#[test]
fn the_wire_keeps_everything_and_the_reader_is_strict() {
    let text = serde_json::to_string(&full()).expect("it is plain data");
    assert_eq!(Config::from_json(&text).expect("it is valid"), full());

    let mut document = serde_json::to_value(full()).expect("it is plain data");
    document["clusters"][0]["wrokers"] = json!(1);
    document["providers"][0]["config"]["any"] = json!(1);
    let error = Config::from_json(&document.to_string()).expect_err("a key that is not known");
    assert_eq!(error.to_string(), "the configuration: unknown key `clusters.0.wrokers`");
    let lenient: Config = serde_json::from_value(document).expect("what an older host wrote down is read");
    assert_eq!(lenient.clusters, full().clusters);

    let mut document = serde_json::to_value(full()).expect("it is plain data");
    document["clusters"][0]["workers"] = json!(-1);
    let error = Config::from_json(&document.to_string()).expect_err("too few").to_string();
    assert!(
        error.starts_with("the configuration: `clusters[0].workers`: invalid value: integer `-1`"),
        "{error}"
    );
    assert!(Config::from_json("{} {}").is_err() && Config::from_json("{").is_err());
}

#[test]
fn the_wire_is_checked_like_a_file() {
    let mut config = full();
    config.clusters[0].workers = 10;
    config.clusters[0].provider = "loca".into();
    config.clusters.push(ClusterConfig { name: "we b".into(), ..full().clusters[0].clone() });
    config.providers[1].config = json!([]);
    config.providers[1].isolation = None;
    config.providers[1].trust.sha256 = Some("9F".repeat(32));
    config.providers[1].watch = Some("incoming".into());
    let error = config.check().expect_err("much is wrong");
    assert_eq!(
        Config::from_json(&json!(config).to_string()).expect_err("the same").to_string(),
        error.to_string()
    );
    assert_eq!(
        error.to_string(),
        "the configuration: 7 errors\n  \
         `name` in [[cluster]] \"we b\" must be 1 to 63 letters, digits, `-`, `_` or `.`, and begin with a letter or \
         digit, not \"we b\"\n  \
         `config` in [[provider]] \"own\" must be an object\n  \
         `isolation` in [[provider]] \"own\" must be \"subprocess\" where there is a [provider.confine]: what runs in the \
         host's own process cannot be confined\n  \
         `sha256` in [[provider]] \"own\" must be 64 hexadecimal digits, as `sha256sum` prints them, not \"9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F9F\"\n  \
         `watch` in [[provider]] \"own\" must be absolute, not \"incoming\"\n  \
         `provider` in [[cluster]] \"web\" names no provider: there is no \"loca\"; did you mean \"local\"?\n  \
         `workers` in [[cluster]] \"web\" must be between min (1) and max (9), not 10"
    );
    full().check().expect("it was valid before");
}

/// The table of keys in the documentation is what the reader knows.
#[test]
fn every_key_is_documented() {
    let source = include_str!("../src/keys.rs");
    let documented: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'))
        .map(|(key, _)| key)
        .collect();
    let (documented, variables): (Vec<&str>, Vec<&str>) =
        documented.into_iter().partition(|key| !key.starts_with('$'));
    assert_eq!(variables, Variable::ALL.map(|variable| format!("${{{}}}", variable.name())));
    let mut known = vec![];
    for (keys, sections) in
        [(keys::PROVIDER, keys::PROVIDER_SECTIONS), (keys::CLUSTER, keys::CLUSTER_SECTIONS)]
    {
        known.extend(keys.iter().filter(|key| sections.iter().all(|(section, _)| section != *key)));
        // The sections within a section have the keys of others, and say so.
        let sections = sections.iter().filter(|(section, _)| !section.contains('.'));
        known.extend(sections.flat_map(|(_, keys)| *keys));
    }
    known.retain(|key| !["container", "hardware"].contains(key));
    assert_eq!(documented, known);
}

#[test]
fn ten_thousand_clusters_are_read() {
    let mut tables = vec![];
    for i in 0..10_000 {
        tables.push(format!("[[provider]]\nname = \"p{i}\""));
        tables.push(format!("[[cluster]]\nname = \"c{i}\"\nprovider = \"p{i}\"\nworkers = 1"));
    }
    let config = Config::parse(&tables.join("\n"), Path::new("c.toml")).expect("it is valid");
    assert_eq!((config.providers.len(), config.clusters.len()), (10_000, 10_000));
    tables[0] = "[[provider]]\nname = \"other\"".to_owned();
    let error = Config::parse(&tables.join("\n"), Path::new("c.toml"));
    assert_eq!(error.expect_err("one is not there").faults().len(), 1);
}
