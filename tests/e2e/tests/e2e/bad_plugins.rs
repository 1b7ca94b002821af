//! Plugins that end their process, never return, or take from everybody what all need: while they are loaded, while they make
//! a provider, and in its functions. The host lives, other clusters are served meanwhile, no worker is lost or doubled, and what
//! dies again and again is quarantined until it is released.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use longshore_e2e::{House, Said};
use longshore_support::{example, until};
use serde_json::Value;

/// Whoever dies quickly: how, in which function, and what is told of it.
const DEADLY: [(&str, &str, &str); 7] = [
    ("segfault", "status", "was ended by signal 11 (SIGSEGV)"),
    ("abort", "list", "was ended by signal 6 (SIGABRT)"),
    ("exit", "status", "exited with code 0"),
    ("panic", "run", "was ended by signal 6 (SIGABRT)"),
    ("memory", "status", "was ended by signal 6 (SIGABRT)"),
    ("garbage", "list", "makes no sense: a frame of 4294967295 bytes"),
    ("children", "run", "was ended by signal 6 (SIGABRT)"),
];

/// Whoever does not come back: its process is ended by the host after a long while.
const ENDLESS: [&str; 3] = ["hang", "descriptors", "flood"];

/// How many workers a cluster with a bad plugin has at first, and how many it is to have later.
const BEFORE: u64 = 2;
const AFTER: u64 = 3;

/// A host with a good cluster, `calm`, of local processes.
fn calm_house() -> House {
    let house = House::serving(&["longshore-process"]);
    house.apply(&house.sleepers("calm", 2));
    house
}

/// The good cluster is scaled up and down at once, and there are as many processes as that. Others have so many meanwhile.
#[track_caller]
fn nobody_else_notices(house: &House, others: u64) {
    for workers in [5, 1, 2] {
        let _ = house.run(&["scale", "calm", &workers.to_string()]).ok();
        assert_eq!(house.status("calm")["running"], workers);
        assert_eq!(house.alive().len() as u64, workers + others, "none is lost, and none is doubled");
    }
}

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
create_timeout = "10s"
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
fn cluster(how: &str, timeouts: &str) -> String {
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
{timeouts}
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

/// All clusters have what they had: as many handles, and as many processes.
#[track_caller]
fn nothing_is_forgotten(house: &House) {
    for (how, ..) in DEADLY {
        assert_eq!(house.status(how)["handles"], BEFORE, "{how}");
    }
    nobody_else_notices(house, BEFORE * DEADLY.len() as u64);
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
    config.extend(DEADLY.map(|(how, ..)| cluster(how, "")));
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
    nobody_else_notices(&house, BEFORE * DEADLY.len() as u64);
    until("all are quarantined", || quarantined(&house).len() == DEADLY.len());
    for library in quarantined(&house) {
        let (how, why) = (library["providers"][0].as_str().expect("a name"), library["why"].as_str());
        let (_, _, words) = DEADLY.iter().find(|(name, ..)| *name == how).expect("it is one of them");
        assert!(why.is_some_and(|why| why.contains(words)), "{how}: {why:?}");
        explains(&house, how, &["is quarantined", "longshore plugin release", words]);
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
    nobody_else_notices(&house, AFTER * DEADLY.len() as u64);
    // The host, a runner of each provider, and nobody whom the dead have left behind.
    until("nobody is left of the dead", || {
        house.marked().iter().filter(|(_, name)| name != "sleep").count() == 2 + DEADLY.len()
    });
}

#[test]
fn whoever_does_not_come_back_holds_nobody_else_up() {
    let house = calm_house();
    let mut config = String::new();
    for how in ENDLESS {
        fs::write(mended(&house, how), "").expect("a file in the house");
        config += &provider(&house, how, "status");
    }
    let clusters = |timeouts: &str| ENDLESS.map(|how| cluster(how, timeouts)).concat();
    house.apply(&(config.clone() + &clusters("")));
    let others = BEFORE * ENDLESS.len() as u64;
    nobody_else_notices(&house, others);
    house.apply(&(config + &clusters("status = \"300ms\"")));
    for how in ENDLESS {
        fs::remove_file(mended(&house, how)).expect("it is there");
    }
    for how in ENDLESS {
        explains(&house, how, &["did not answer within 0.3 s"]);
        assert_eq!(house.status(how)["handles"], BEFORE, "{how}");
    }
    nobody_else_notices(&house, others);
}

#[test]
fn what_dies_or_hangs_before_a_provider_is_made_is_a_message() {
    let house = calm_house();
    // It is the command that looks, in a process that is thrown away; there is time for what does not come back meanwhile.
    let spoilt = example("longshore-mutants", "spoilt_load");
    let looking: Vec<_> = DEADLY
        .iter()
        .map(|(how, _, words)| (*how, *words))
        .chain(ENDLESS.map(|how| (how, "it has not ended to load within 30 s")))
        .map(|(how, words)| (how, words, load(&house, &spoilt, how)))
        .map(|(how, words, mut command)| thread::spawn(move || (how, words, command.output())))
        .collect();
    for (how, words) in
        DEADLY.map(|(how, _, words)| (how, words)).into_iter().chain(ENDLESS.map(|how| (how, "within 1 s")))
    {
        let text = provider(&house, how, "create").replace("\"10s\"", "\"1s\"");
        // Those who die have the time that they need.
        let text = if ENDLESS.contains(&how) { text } else { text.replace("\"1s\"", "\"30s\"") };
        let file = house.write(&format!("{how}.toml"), &text).display().to_string();
        let said = house.run(&["apply", &file]);
        assert_eq!(said.code, Some(8), "{how}: {said:?}");
        assert!(said.err.contains(words), "{how}: {said:?}");
    }
    nobody_else_notices(&house, 0);
    for thread in looking {
        let (how, words, output) = thread.join().expect("no panic");
        let said = Said::from(output.expect("the command runs"));
        assert_eq!(said.code, Some(8), "{how}: {said:?}");
        assert!(said.err.contains(words), "{how}: {said:?}");
    }
    until("nobody is left of the dead", || {
        house.marked().iter().filter(|(_, name)| name != "sleep").count() == 2
    });
}

/// A look at a library that misbehaves when it is opened.
fn load(house: &House, library: &Path, how: &str) -> Command {
    let mut command = house.command(&["plugin", "inspect", &library.display().to_string()]);
    command.env("LONGSHORE_MUTANT_LOAD", format!("constructor:{how}"));
    command
}

#[test]
fn in_the_hosts_own_process_a_panic_a_hang_and_a_bad_answer_cost_nobody_else() {
    let house = calm_house();
    house.drop_in(&example("longshore-mutants", "mutant"));
    let faults =
        [("panic", "panicked at"), ("hang", "did not answer within 0.3 s"), ("bad_value", "STATUS-2")];
    let provider = |fault: &str| {
        format!(
            r#"
[[provider]]
name = "{fault}"
plugin = "mutant"
isolation = "in-process"
[provider.config]
release = "{release}"
hang_ms = 600000
faults = {{ status = "{fault}" }}
"#,
            release = house.path("release").display(),
        )
    };
    let mut config = faults.map(|(fault, _)| provider(fault)).concat();
    config.extend(faults.map(|(fault, _)| cluster(fault, "status = \"300ms\"")));
    let file = house.write("bad.toml", &config).display().to_string();
    let _ = house.run(&["apply", "--no-wait", &file]).ok();
    for (fault, words) in faults {
        explains(&house, fault, &[words]);
        assert_eq!(house.status(fault)["handles"], BEFORE, "{fault}: a bad answer takes no worker away");
    }
    nobody_else_notices(&house, 0);
    house.write("release", "");
}
