//! Plugins that take from everybody what all need: memory, descriptors, the line to the host, its log, processes. Each does so in
//! each function; what it costs is the call and the runner, and nobody else.

use std::fs;

use longshore_config::Confinement;
use longshore_providers::{CallLimits, Housing, Provider, RunnerSetup};
use longshore_support::until;

use super::{SHORT, crashing, faults::crashes, folder, specimen};
use crate::{LONG, Way, block_on, each::in_each_function, program};

/// What a plugin may take here.
const MEMORY: u64 = 4 << 30;
const DESCRIPTORS: u32 = 128;

/// Runners that are held to limits.
fn confined() -> Way {
    let confine =
        Confinement { memory: Some(MEMORY), descriptors: Some(DESCRIPTORS), ..Confinement::default() };
    Way(Housing::Runner(RunnerSetup { program: program(), confine: Some(confine) }))
}

/// Each function is greedy in the given way, and what became of it is looked at.
fn every_function_is_greedy(how: &str, look: impl Fn(&str, u32) + Sync) {
    let (folder, library, way) = (folder(), specimen(), confined());
    // What does not come back is late soon, and ended soon after that.
    let limits = CallLimits { hang_grace: SHORT, ..CallLimits::default() };
    // Long enough for it to be inside the plugin on a busy machine.
    let budget = if ["descriptors", "flood"].contains(&how) { SHORT * 15 } else { LONG };
    in_each_function(|function| {
        block_on(async {
            let config = crashing(&folder.path().join(function), function, how);
            let provider = way.create(&library, config, limits).await;
            let (told, first) = crashes(&way, &provider, function, budget).await;
            look(&told, first);
            assert!(provider.shut_down(LONG).await, "{function}");
        });
    });
}

#[test]
fn whoever_takes_all_memory_has_its_own_limit() {
    every_function_is_greedy("memory", |told, _| {
        // A core may have been dumped as well.
        assert!(told.starts_with("was ended by signal 6 (SIGABRT)"), "{told}");
    });
}

#[test]
fn whoever_takes_all_descriptors_is_ended_when_its_time_is_over() {
    every_function_is_greedy("descriptors", |told, _| {
        assert!(told.ends_with("had not come back 0.2 s after its deadline"), "{told}");
    });
}

#[test]
fn whoever_writes_garbage_on_its_line_is_ended() {
    every_function_is_greedy("garbage", |told, _| {
        assert!(
            told.starts_with("was ended by the host") && told.contains("a frame of 4294967295 bytes"),
            "{told}"
        );
    });
}

#[test]
fn whoever_floods_is_ended_when_its_time_is_over() {
    every_function_is_greedy("flood", |told, _| {
        assert!(told.ends_with("had not come back 0.2 s after its deadline"), "{told}");
    });
}

#[test]
fn whoever_leaves_children_behind_takes_them_with_it() {
    every_function_is_greedy("children", |told, first| {
        assert!(told.starts_with("was ended by signal 6 (SIGABRT)"), "{told}");
        until("they, who had its line and were of its group, have ended", || group(first).is_empty());
    });
}

#[test]
fn whoever_is_greedy_while_it_is_made_is_never_made() {
    let (folder, library, way) = (folder(), specimen(), confined());
    block_on(async {
        for (how, words) in [
            ("memory", "was ended by signal 6 (SIGABRT)"),
            ("descriptors", "did not make the provider within 2 s"),
            ("garbage", "a frame of 4294967295 bytes"),
            ("flood", "did not make the provider within 2 s"),
            ("children", "was ended by signal 6 (SIGABRT)"),
        ] {
            // Who does not come back is waited for; the others have all the time that they need.
            let create = if words.starts_with("did not") { SHORT * 10 } else { LONG };
            let limits = CallLimits { create, ..CallLimits::default() };
            let config = crashing(folder.path(), "create", how);
            let made = Provider::create_in(&way.0, &library, "test", config, limits, ()).await;
            let error = made.expect_err("it is greedy").to_string();
            assert!(error.contains(words), "{how}: {error}");
        }
    });
}

/// The processes of a group that have not ended.
fn group(number: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("this system has /proc").flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_of_it = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state, the parent and the group follow the name, which may have anything in it.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        matches!(fields[..], [state, _, of, ..] if state != "Z" && of.parse() == Ok(number))
    };
    numbers.filter(is_of_it).collect()
}
