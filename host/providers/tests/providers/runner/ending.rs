//! How runners end: with their provider, with their host, and with all that is in their group.

use std::{
    env, fs,
    process::{Command, Stdio},
    thread,
};

use longshore_plugin_api::ErrorKind;
use longshore_providers::{CallError, CallLimits, NotSent, RunnerState};
use longshore_support::until;
use serde_json::json;

use super::{SHORT, crashing, death, does, folder, is_alive, pid, specimen, until_it, wild};
use crate::{LONG, Way, block_on, handles, memory, scope};

/// The variable that tells this program to be a host, and where it says which processes it has.
const HOST: &str = "LONGSHORE_TEST_HOST";

#[test]
fn a_provider_that_is_shut_down_has_no_process_any_more() {
    block_on(async {
        let provider = Way::runner().create(&memory(), json!({}), CallLimits::default()).await;
        let runner = pid(&provider);
        assert!(is_alive(runner));
        assert!(provider.shut_down(LONG).await, "nothing keeps it");
        assert!(!is_alive(runner));
        let error = provider.status(&scope(LONG), handles(&["x"])).reply().await.expect_err("it is gone");
        assert_eq!(error.to_string(), "not sent: the provider is shut down");
        assert!(provider.shut_down(LONG).await, "a second time changes nothing");
        until_it(&provider, |state| *state == RunnerState::ShutDown).await;
    });
}

#[test]
fn a_provider_that_is_dropped_lets_its_process_end() {
    block_on(async {
        let provider = Way::runner().create(&memory(), json!({}), CallLimits::default()).await;
        let (runner, mut state) = (pid(&provider), provider.runner().expect("it has one"));
        drop(provider);
        let ended = state.wait_for(|state| *state == RunnerState::ShutDown).await;
        assert!(ended.is_ok() && !is_alive(runner));
    });
}

#[test]
fn a_provider_whose_instance_does_not_end_is_ended() {
    let folder = folder();
    block_on(async {
        let config = crashing(folder.path(), "drop", "hang");
        let provider = Way::runner().create(&specimen(), config, CallLimits::default()).await;
        let runner = pid(&provider);
        assert!(!provider.shut_down(SHORT).await, "it hangs");
        until_it(&provider, |state| *state == RunnerState::ShutDown).await;
        assert!(!is_alive(runner));
    });
}

#[test]
fn a_call_that_hangs_is_lost_with_a_provider_that_is_shut_down() {
    let folder = folder();
    let entered = folder.path().join("entered");
    block_on(async {
        let config = json!({ "faults": { "status": "hang" }, "entered": entered });
        let provider = Way::runner().mutant(config).await;
        let mut hangs = provider.status(&scope(LONG), handles(&["x"]));
        until("the call is inside the plugin", || entered.exists());
        assert!(!provider.shut_down(SHORT).await, "it hangs");
        let how = death(hangs.reply().await);
        assert_eq!(how, "was ended by the host, for it was not to be waited for any longer");
    });
}

#[test]
fn a_call_comes_back_when_the_provider_is_shut_down() {
    block_on(async {
        let config = json!({ "latency_ms": { "list": 60_000 } });
        let provider = Way::runner().create(&memory(), config, CallLimits::default()).await;
        let mut call = provider.list(&scope(LONG));
        assert!(provider.shut_down(LONG).await);
        // Whether it had reached the plugin or not.
        match call.reply().await.expect_err("it is not wanted any more") {
            CallError::Failed(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
            error => assert_eq!(error, CallError::NotSent { reason: NotSent::ShutDown }),
        }
    });
}

#[test]
fn helpers_in_the_group_of_a_process_end_with_it() {
    block_on(async {
        let provider = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
        let helper = does(&provider, "helper").await.expect("it starts one");
        let helper: u32 = helper.parse().expect("it is a number");
        assert!(is_alive(helper));
        death(does(&provider, "garbage").await);
        until("the helper has ended", || !is_alive(helper));
    });
}

#[test]
fn a_host_that_is_killed_leaves_no_process_behind() {
    let folder = folder();
    let said = folder.path().join("processes");
    let own = env::current_exe().expect("it is known");
    let mut host = Command::new(own)
        .args(["--exact", "runner::ending::a_host_in_a_process_of_its_own"])
        .env(HOST, &said)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("it can be started");
    until("the host has its processes", || said.exists());
    let processes = fs::read_to_string(&said).expect("it can be read");
    let processes: Vec<u32> = processes.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(processes.len() == 3 && processes.iter().all(|pid| is_alive(*pid)), "{processes:?}");
    host.kill().expect("it is there");
    host.wait().expect("it ends");
    for pid in processes {
        until("a process has ended with the host", || !is_alive(pid));
    }
}

/// A host for the test above; by itself it does nothing.
#[test]
fn a_host_in_a_process_of_its_own() {
    let Some(said) = env::var_os(HOST) else { return };
    let root = folder();
    block_on(async {
        let wild = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
        let helper = does(&wild, "helper").await.expect("it starts one");
        // One that does not listen.
        let config = crashing(root.path(), "status", "hang");
        let deaf = Way::runner().create(&specimen(), config, CallLimits::default()).await;
        let _hangs = deaf.status(&scope(LONG), handles(&["x"]));
        let unfinished = std::path::Path::new(&said).with_extension("unfinished");
        fs::write(&unfinished, format!("{}\n{helper}\n{}\n", pid(&wild), pid(&deaf)))
            .expect("it can be written");
        fs::rename(unfinished, &said).expect("it can be renamed");
        loop {
            thread::park();
        }
    });
}
