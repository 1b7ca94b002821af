//! The life of a runner beside its faults: many calls at once, quarantine, and how it is told of.

use std::{os::fd::AsRawFd as _, sync::Arc};

use longshore_config::Confinement;
use longshore_plugin_api::ErrorKind;
use longshore_providers::{
    CallError, CallLimits, CreateError, DEATHS_LIMIT, Housing, NotSent, Provider, RunnerSetup, RunnerState,
};
use serde_json::json;

use super::{crashing, death, folder, pid, specimen, until_back, until_it};
use crate::{LONG, Way, block_on, handles, memory, program, request, scope};

#[test]
fn many_calls_at_once_are_answered_each_with_its_own_though_others_are_cancelled() {
    block_on(async {
        let limits = CallLimits { threads: 16, queue: 512, ..CallLimits::default() };
        let config = json!({ "latency_ms": { "list": 60_000, "status": 1 } });
        let provider = Way::runner().create(&memory(), config, limits).await;
        let launched = provider.run(&scope(LONG), request("t", 40, 1)).reply().await.expect("it launches");
        let known: Vec<_> = launched.handles.into_iter().map(|(handle, _)| handle).collect();
        let mut calls: Vec<_> = (0..400)
            .map(|number| {
                let asked: Vec<Arc<str>> = known.iter().take(number % 41).cloned().collect();
                (asked.len(), provider.status(&scope(LONG), asked))
            })
            .collect();
        let slow: Vec<_> = (0..8).map(|_| provider.list(&scope(LONG))).collect();
        for (number, (_, call)) in calls.iter().enumerate() {
            if number % 3 == 0 {
                call.cancel();
            }
        }
        // These would last for a minute each, and take the places of others.
        slow.iter().for_each(longshore_providers::Call::cancel);
        for (number, (asked, call)) in calls.iter_mut().enumerate() {
            match call.reply().await {
                Ok(statuses) => assert_eq!(statuses.len(), *asked, "{number}"),
                Err(CallError::Failed(error)) if number % 3 == 0 => {
                    assert_eq!(error.kind(), ErrorKind::Cancelled, "{number}");
                }
                Err(other) => panic!("{number}: {other}"),
            }
        }
        for mut call in slow {
            let error = call.reply().await.expect_err("it was cancelled");
            assert!(matches!(&error, CallError::Failed(it) if it.kind() == ErrorKind::Cancelled), "{error}");
        }
        let load = provider.load();
        assert_eq!((load.busy, load.stuck, load.queued), (0, 0, 0), "nothing is left over");
        assert_eq!(provider.restarts(), 0);
    });
}

#[test]
fn a_hundred_thousand_handles_go_there_and_back() {
    block_on(async {
        let provider = Way::runner().create(&memory(), json!({}), CallLimits::default()).await;
        let names: Vec<Arc<str>> = (0..100_000).map(|number| format!("nobody-{number}").into()).collect();
        let stopped = provider.is_stopped(&scope(LONG), names).reply().await.expect("it answers");
        assert!(stopped.len() == 100_000 && stopped.into_iter().all(|stopped| stopped));
        let launched = provider.run(&scope(LONG), request("t", 20_000, 1)).reply().await;
        assert_eq!(launched.expect("it launches").workers(), 20_000);
        let listed = provider.list(&scope(LONG)).reply().await.expect("it lists");
        assert_eq!(listed.len(), 20_000);
    });
}

#[test]
fn a_runner_has_nothing_open_that_its_host_was_left_with() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    // As a shell leaves a descriptor to what it starts, and so to all that is started by that.
    let left_open = rustix::io::dup(file.as_file()).expect("there is one more");
    let open = |process: u32| {
        let entries =
            std::fs::read_dir(format!("/proc/{process}/fd")).expect("this system has /proc").flatten();
        let mut paths = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        paths.any(|path| path == file.path())
    };
    let path = format!("/proc/self/fd/{}", left_open.as_raw_fd());
    assert_eq!(std::fs::read_link(path).expect("it is open"), file.path());
    let child = std::process::Command::new("sh")
        .args(["-c", "ls -l /proc/self/fd"])
        .output()
        .expect("every system has a shell");
    let inherited = String::from_utf8_lossy(&child.stdout).contains(&*file.path().to_string_lossy());
    assert!(inherited, "any other process that is started has it");
    block_on(async {
        let provider = Way::runner().create(&memory(), json!({}), CallLimits::default()).await;
        assert!(!open(pid(&provider)));
        assert!(provider.shut_down(LONG).await);
    });
    drop(left_open);
}

#[test]
fn repeated_deaths_end_in_quarantine_and_who_is_made_anew_begins_afresh() {
    let folder = folder();
    block_on(async {
        let made = async || {
            let config = crashing(folder.path(), "status", "segfault");
            Way::runner().create(&specimen(), config, CallLimits::default()).await
        };
        let provider = made().await;
        for number in 0..DEATHS_LIMIT {
            until_back(&provider, number as u64).await;
            death(provider.status(&scope(LONG), handles(&["x"])).reply().await);
        }
        let state = until_it(&provider, |state| matches!(state, RunnerState::Quarantined { .. })).await;
        let RunnerState::Quarantined { why } = state else { unreachable!("it was waited for") };
        assert!(why.contains("5 of its processes died") && why.contains("SIGSEGV"), "{why}");
        let error = provider.list(&scope(LONG)).reply().await.expect_err("it is quarantined");
        assert_eq!(error, CallError::NotSent { reason: NotSent::Quarantined { why: why.to_string() } });
        assert_eq!(provider.restarts(), DEATHS_LIMIT as u64 - 1);
        // Nothing of it is there, and another one's deaths are its own.
        let another = made().await;
        assert_eq!(another.list(&scope(LONG)).reply().await, Ok(Vec::new()), "it is served again");
        death(another.status(&scope(LONG), handles(&["x"])).reply().await);
        until_back(&another, 1).await;
        assert!(provider.shut_down(LONG).await, "nor does the one that was given up hold anything up");
    });
}

#[test]
fn a_provider_in_this_process_has_no_runner() {
    block_on(async {
        let provider = Way::here().create(&memory(), json!({}), CallLimits::default()).await;
        assert!(provider.runner().is_none() && provider.restarts() == 0);
        assert_eq!(provider.list(&scope(LONG)).reply().await, Ok(Vec::new()));
    });
}

#[test]
fn a_provider_is_confined_before_any_of_its_code_runs() {
    let folder = folder();
    block_on(async {
        let (allowed, forbidden) = (folder.path().join("allowed"), folder.path().join("forbidden"));
        std::fs::create_dir(&allowed).expect("it can be made");
        let confine = Confinement {
            descriptors: Some(64),
            read: Some(vec![allowed.clone()]),
            write: Some(vec![allowed.clone()]),
            ..Confinement::default()
        };
        let setup = RunnerSetup { program: program(), confine: Some(confine) };
        let (way, limits) = (Housing::Runner(setup), CallLimits::default());
        let made = async |root: &std::path::Path| {
            Provider::create_in(&way, &specimen(), "bound", json!({ "root": root }), limits, ()).await
        };
        let provider = made(&allowed).await.expect("it may use its folder");
        assert_eq!(provider.list(&scope(LONG)).reply().await, Ok(Vec::new()));
        let limits =
            std::fs::read_to_string(format!("/proc/{}/limits", pid(&provider))).expect("it is there");
        let descriptors = limits.lines().find(|line| line.starts_with("Max open files")).expect("it is told");
        assert_eq!(descriptors.split_whitespace().nth(3), Some("64"), "{limits}");
        let RunnerState::Running { lacking, .. } = provider.runner().expect("it has one").borrow().clone()
        else {
            panic!("it is there")
        };
        // Without Landlock that is told, and the other folder is as open as ever.
        let refused = made(&forbidden).await;
        assert_eq!(refused.is_err(), lacking.is_empty(), "{lacking:?}: {refused:?}");
    });
}

#[test]
fn a_provider_that_cannot_be_confined_as_it_must_be_is_not_made() {
    block_on(async {
        let confine = Confinement { user: Some("nobody-of-that-name".into()), ..Confinement::default() };
        let setup = RunnerSetup { program: program(), confine: Some(confine) };
        let (way, limits) = (Housing::Runner(setup), CallLimits::default());
        let error = Provider::create_in(&way, &memory(), "unbound", json!({}), limits, ()).await;
        let error = error.expect_err("there is no such user");
        assert!(matches!(error, CreateError::Unconfined { .. }), "{error}");
        assert!(error.to_string().contains("nobody-of-that-name"), "{error}");
    });
}
