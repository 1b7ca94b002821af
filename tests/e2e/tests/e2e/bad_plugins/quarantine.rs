//! Who dies or hangs again and again is started again after ever longer waits, and quarantined after the fifth time, over a
//! restart of the host as well, until an operator releases it. Nothing of its clusters is forgotten meanwhile.

use std::{collections::BTreeSet, fs, path::PathBuf};

use longshore_e2e::House;
use longshore_support::{example, until};
use serde_json::Value;

use super::{calm_house, nobody_else_notices};

/// Whoever costs its process: how, in which function, and what is told of it.
const DEADLY: [(&str, &str, &str); 10] = [
    ("segfault", "status", "was ended by signal 11 (SIGSEGV)"),
    ("abort", "list", "was ended by signal 6 (SIGABRT)"),
    ("exit", "status", "exited with code 0"),
    ("panic", "run", "was ended by signal 6 (SIGABRT)"),
    ("memory", "status", "was ended by signal 6 (SIGABRT)"),
    ("garbage", "list", "makes no sense: a frame of 4294967295 bytes"),
    ("children", "run", "was ended by signal 6 (SIGABRT)"),
    ("hang", "status", "status had not come back 0.5 s after its deadline"),
    ("descriptors", "list", "list had not come back 0.5 s after its deadline"),
    ("flood", "run", "run had not come back 0.5 s after its deadline"),
];

/// Whoever does not come back, and is ended for it.
const ENDLESS: [&str; 3] = ["hang", "descriptors", "flood"];

/// The waits before each start but the first.
const WAITS: [&str; 4] = ["0.1 s", "0.2 s", "0.4 s", "0.8 s"];

/// How many workers a cluster with a bad plugin has at first, and how many it is to have later.
const BEFORE: u64 = 2;
const AFTER: u64 = 3;

/// A library of its own for each: the specimen, and some bytes more, which nobody reads.
fn library(house: &House, name: &str) -> PathBuf {
    let mut bytes = fs::read(example("longshore-mutants", "specimen")).expect("it was built");
    bytes.extend_from_slice(name.as_bytes());
    let path = house.plugins().join(format!("lib{name}.so"));
    fs::write(&path, bytes).expect("a file in the house");
    path
}

/// The file that mends a plugin by being there.
fn mended(house: &House, how: &str) -> PathBuf {
    house.path(&format!("mended-{how}"))
}

/// A provider that crashes in a function unless it is mended, in a process of its own with limits.
fn provider(house: &House, how: &str, function: &str) -> String {
    format!(
        r#"
[[provider]]
name = "{how}"
plugin = "{plugin}"
create_timeout = "30s"
hang_grace = "500ms"
[provider.config]
root = "{root}"
crash = {{ function = "{function}", how = "{how}", unless = "{mended}" }}
[provider.confine]
memory = "4GiB"
descriptors = 256
"#,
        plugin = library(house, how).display(),
        root = house.path(&format!("root-{how}")).display(),
        mended = mended(house, how).display(),
    )
}

/// A cluster on the provider of the same name.
fn cluster(how: &str) -> String {
    format!(
        r#"
[[cluster]]
name = "{how}"
provider = "{how}"
workers = {BEFORE}
[cluster.container]
command = "sleep"
args = ["100000"]
[cluster.timeouts]
run = "1s"
status = "1s"
list = "1s"
[cluster.scaling]
poll_interval = "100ms"
busy_poll_interval = "100ms"
list_interval = "200ms"
backoff = "50ms"
backoff_max = "200ms"
"#
    )
}

/// What is quarantined, as `plugin list` tells it.
fn quarantined(house: &House) -> Vec<Value> {
    let listed = house.run(&["plugin", "list", "--json"]).ok().json();
    listed["quarantined"].as_array().expect("a list").clone()
}

#[track_caller]
fn explains(house: &House, cluster: &str, what: &[&str]) {
    until(&format!("{cluster} explains {what:?}"), || {
        let said = house.run(&["explain", cluster]).ok();
        what.iter().all(|what| said.out.contains(what))
    });
}

/// Each cluster has so many processes.
#[track_caller]
fn nobody_is_lost_or_doubled(house: &House, workers: u64) {
    let census = house.census();
    for (how, ..) in DEADLY {
        assert_eq!(census[how].workers, workers, "{how}: {census:?}");
    }
}

/// All clusters have what they had: as many handles, and as many processes.
#[track_caller]
fn nothing_is_forgotten(house: &House) {
    for (how, ..) in DEADLY {
        assert_eq!(house.status(how)["handles"], BEFORE, "{how}");
    }
    nobody_else_notices(house);
    nobody_is_lost_or_doubled(house, BEFORE);
}

#[test]
fn whoever_dies_again_and_again_is_quarantined_until_it_is_released() {
    let mut house = calm_house();
    let mut config = String::new();
    for (how, function, _) in DEADLY {
        fs::write(mended(&house, how), "").expect("a file in the house");
        config += &provider(&house, how, function);
    }
    // A provider's table ends where the first cluster begins.
    config.extend(DEADLY.map(|(how, ..)| cluster(how)));
    house.apply(&config);
    nothing_is_forgotten(&house);

    // From now on each dies in its function, as often as it is started and called.
    let grow = |how: &str| house.run(&["scale", how, &AFTER.to_string(), "--no-wait"]).ok();
    for (how, function, _) in DEADLY {
        fs::remove_file(mended(&house, how)).expect("it is there");
        if function == "run" {
            let _ = grow(how);
        }
    }
    // Before those that hang are ended for it, that is what is told.
    for how in ENDLESS {
        let of_it = |line: &str| {
            line.contains(&format!("cluster=\"{how}\"")) && line.contains("did not answer within 1 s")
        };
        until(&format!("{how} is late"), || house.log().lines().any(of_it));
    }
    nobody_else_notices(&house);
    nobody_is_lost_or_doubled(&house, BEFORE);
    until("all are quarantined", || quarantined(&house).len() == DEADLY.len());
    for library in quarantined(&house) {
        let (how, why) = (library["providers"][0].as_str().expect("a name"), library["why"].as_str());
        let (_, _, words) = DEADLY.iter().find(|(name, ..)| *name == how).expect("it is one of them");
        assert!(why.is_some_and(|why| why.contains(words)), "{how}: {why:?}");
        explains(&house, how, &["is quarantined", "longshore plugin release", words]);
    }
    let log = house.log();
    for (how, ..) in DEADLY {
        let named = format!("provider=\"{how}\"");
        let of_it = |line: &&str| line.contains(&named) && line.contains("it is started again in");
        let deaths: Vec<_> = log.lines().filter(of_it).collect();
        assert_eq!(deaths.len(), WAITS.len(), "{how}: {deaths:#?}");
        for (line, wait) in deaths.iter().zip(WAITS) {
            assert!(line.contains(&format!("it is started again in {wait}")), "{how}, {wait}: {line}");
        }
    }
    let listed = house.run(&["plugin", "list"]).ok().out;
    assert_eq!(
        listed.matches("to run it again:  longshore plugin release").count(),
        DEADLY.len(),
        "{listed}"
    );
    for (how, ..) in DEADLY {
        let _ = grow(how);
    }
    nothing_is_forgotten(&house);

    // The next host knows it as well, and what was asked for meanwhile.
    house.kill_host();
    house.serve();
    assert_eq!(quarantined(&house).len(), DEADLY.len());
    nothing_is_forgotten(&house);
    let anew = house.write("anew.toml", &provider(&house, "exit", "status").replace("\"exit\"", "\"anew\""));
    let refused = house.run(&["apply", &anew.display().to_string()]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    assert!(refused.err.contains("quarantined") && refused.err.contains("plugin release"), "{refused:?}");

    for (number, library) in quarantined(&house).iter().enumerate() {
        let how = library["providers"][0].as_str().expect("a name");
        fs::write(mended(&house, how), "").expect("a file in the house");
        let hash = &library["hash"].as_str().expect("a hash")[..12];
        let said = house.run(&["plugin", "release", if number % 2 == 0 { how } else { hash }]).ok();
        assert!(said.out.contains(&format!("provider {how} is made again")), "{}", said.out);
    }
    assert_eq!(quarantined(&house), [Value::Null; 0]);
    for (how, ..) in DEADLY {
        house.until_status(how, "running", AFTER);
        let handles: BTreeSet<_> = house.handles(how).into_iter().collect();
        assert_eq!(handles.len() as u64, AFTER, "{how}: {handles:?}");
    }
    nobody_else_notices(&house);
    nobody_is_lost_or_doubled(&house, AFTER);
    // The host, a runner of each provider, and nobody whom the dead have left behind.
    until("nobody is left of the dead", || {
        house.marked().iter().filter(|(_, name)| name != "sleep").count() == 2 + DEADLY.len()
    });
}
