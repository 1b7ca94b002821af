//! The configurations that are shown as examples: all are valid, and what they say of themselves is so.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use longshore_config::{
    Config, Guard, Probe, Secret, ServerConfig, ServerSource, ServerValues, Values, fill, keys,
};
use longshore_scaling::{Policy, ServerPolicy};
use serde_json::json;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

#[test]
fn the_examples_are_valid() {
    let folder = example("").read_dir().expect("it is there");
    let files =
        folder.map(|file| file.expect("it can be listed").file_name().into_string().expect("a plain name"));
    let files: BTreeSet<_> = files.collect();
    let wanted = [
        "docker-redis.toml",
        "docker.toml",
        "memory.toml",
        "process-dask.toml",
        "process-redis.toml",
        "process.toml",
    ];
    assert!(files.iter().eq(wanted.iter()), "{files:?}");
    for file in wanted {
        let config = Config::read(&example(file)).expect("it is valid");
        let text = std::fs::read_to_string(example(file)).expect("it is there");
        assert!(
            text.contains(&format!("#   longshore up host/examples/{file}\n")),
            "{file} says how it is used"
        );
        // A file is named after its provider's plugin, and one with a server after that as well.
        let plugin = file.split(['-', '.']).next().expect("it begins with a word");
        assert!(config.providers.iter().all(|provider| provider.plugin == plugin), "{file}");
        let servers = config.clusters.iter().filter(|cluster| cluster.server.is_some()).count();
        assert_eq!(servers, usize::from(file.contains('-')), "{file}");
        // No password is written down in one.
        assert_eq!(config.redacted(), config, "{file}");
    }
    let config = Config::read(&example("process.toml")).expect("it is valid");
    assert_eq!(config.clusters[0].container.command.as_deref(), Some("/bin/sh"));
    let config = Config::read(&example("memory.toml")).expect("it is valid");
    let names: Vec<_> = config.clusters.iter().map(|c| (c.name.as_str(), c.provider.as_str())).collect();
    assert_eq!(names, [("web", "memory"), ("batch", "memory"), ("spare", "slow")]);
    assert_eq!(config.providers[1].plugin, "memory");
}

/// The examples with a server tell its workers where it is, and what they may be told is filled in.
#[test]
fn the_examples_with_a_server_are_filled_in() {
    let password = Secret::new("hunter2");
    for file in ["docker-redis.toml", "process-dask.toml", "process-redis.toml"] {
        let cluster = Config::read(&example(file)).expect("it is valid").clusters.remove(0);
        let Some(ServerConfig { source: ServerSource::Managed { container, port, .. }, .. }) = cluster.server
        else {
            panic!("{file} has a server of its own");
        };
        let own = ServerValues { host: None, port, password: Some(&password) };
        let values = Values { cluster: &cluster.name, worker_count: None, server: Some(own) };
        let own_text = json!(fill(&container, &values).expect("all have a value")).to_string();
        assert!(own_text.contains(&port.expect("it has a port").to_string()), "{own_text}");

        let server = ServerValues { host: Some("10.9.8.7"), ..own };
        let values = Values { worker_count: Some(17), server: Some(server), ..values };
        let text = json!(fill(&cluster.container, &values).expect("all have a value")).to_string();
        assert!(text.contains("10.9.8.7"), "{text}");
        assert_eq!(text.contains("17"), cluster.container.max_workers.is_some(), "{text}");
        let has_password = file.ends_with("redis.toml");
        assert_eq!([&own_text, &text].map(|text| text.contains("hunter2")), [has_password; 2], "{file}");
        // Environments are for the program alone; arguments are for all to see.
        for args in [&container.args, &cluster.container.args] {
            assert!(!args.concat().contains("server.password"), "{file}");
        }
    }
}

/// The same text with every key that is commented out, but for those that cannot stand beside the rest.
fn uncommented(text: &str) -> String {
    let uncommented = |line| match str::strip_prefix(line, "#") {
        Some(key) if key.starts_with(|first: char| first.is_ascii_lowercase() || "[] ".contains(first)) => {
            // What goes on over several lines is indented; prose is so by one blank alone.
            if key.starts_with(' ') && !key.starts_with("    ") { line } else { key }
        }
        _ => line,
    };
    text.lines().map(uncommented).collect::<Vec<_>>().join("\n")
}

/// With every key uncommented, the example is valid still: it names all of them, and shows their defaults.
#[test]
fn the_example_shows_every_key_and_its_default() {
    let commented = std::fs::read_to_string(example("process.toml")).expect("it is there");
    let text = uncommented(&commented);
    let sections = [keys::PROVIDER_SECTIONS, keys::CLUSTER_SECTIONS].concat();
    let of_sections = sections.iter().flat_map(|(_, keys)| *keys);
    for key in [keys::PROVIDER, keys::CLUSTER].concat().iter().chain(of_sections) {
        // What cannot stand beside the rest is behind two signs.
        let is_there = text
            .lines()
            .map(|line| line.strip_prefix("##").unwrap_or(line))
            .any(|line| line.starts_with(&format!("{key} = ")) || line.ends_with(&format!(".{key}]")));
        assert!(is_there, "`{key}` is not in the example");
    }
    let all = Config::parse(&text, &example("process.toml")).expect("it is valid");
    let some = Config::parse(&commented, &example("process.toml")).expect("it is valid");
    let confinement = all.providers[0].confine.as_ref().expect("it is uncommented");
    assert_eq!(confinement.required, Guard::ALL.into(), "it shows all there is");
    let (all, some) = (&all.clusters[0], &some.clusters[0]);
    assert_eq!((&all.policy, &all.deadlines), (&some.policy, &some.deadlines), "they are the defaults");
    assert_eq!((all.verbose, all.stopped), (some.verbose, some.stopped));
    assert_eq!(all.policy, Policy { max: 20, ..Policy::default() });
    let server = all.server.as_ref().expect("it is uncommented");
    assert_eq!((server.probe, server.policy()), (Probe::Tcp, ServerPolicy::default()));
}

#[test]
fn what_is_commented_out_is_valid() {
    for file in ["docker.toml", "process.toml"] {
        let text = std::fs::read_to_string(example(file)).expect("it is there");
        let config = Config::parse(&uncommented(&text), &example(file)).expect("it is valid");
        let of = |config: &Config| config.providers[0].config.as_object().expect("a table").len();
        assert!(of(&config) > of(&Config::read(&example(file)).expect("it is valid")), "{file}");
    }
}
