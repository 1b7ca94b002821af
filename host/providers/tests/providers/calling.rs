//! Every function of a sound provider, and the replies that are refused with the clause that they break.

use std::sync::Arc;

use longshore_plugin_api::{Clause, ErrorKind, Killed, ServerRequest, WorkerStatus};
use longshore_providers::{CallError, CallLimits, Function, Provider, Violation};
use longshore_support::example;
use serde_json::json;

use super::{LONG, either_way, handles, memory, open, request, scope};

async fn launch(provider: &Provider, workers: u32, max_workers: u32) -> Vec<Arc<str>> {
    let launched = provider.run(&scope(LONG), request("t-1", workers, max_workers)).reply().await;
    launched.expect("it launches").handles.into_iter().map(|(handle, _)| handle).collect()
}

#[test]
fn a_sound_provider_does_all_that_it_can() {
    either_way(&async |way| {
        let provider = way.create(&memory(), json!({}), CallLimits::default()).await;
        let scope = scope(LONG);
        assert!(provider.has_initialize() && provider.has_list() && provider.has_server());
        assert!(provider.has_cleanup() && provider.idempotent_run());
        provider.initialize(&scope).reply().await.expect("it initializes");
        let launched = provider.run(&scope, request("t-1", 5, 2)).reply().await.expect("it launches");
        let shares: Vec<_> = launched.handles.iter().map(|(_, workers)| *workers).collect();
        assert_eq!((shares, &launched.shortfall), (vec![2, 2, 1], &None));
        let known: Vec<_> = launched.handles.iter().map(|(handle, _)| Arc::clone(handle)).collect();
        let listed = provider.list(&scope).reply().await.expect("it lists");
        assert_eq!(listed.iter().map(|entry| entry.workers).sum::<u32>(), 5);
        assert!(listed.iter().all(|entry| entry.token.as_str() == "t-1"));

        let asked: Vec<_> = known.iter().cloned().chain(handles(&["nobody"])).collect();
        let statuses = provider.status(&scope, asked.clone()).reply().await.expect("it answers");
        assert_eq!(statuses.len(), 4);
        assert_eq!(statuses[3], WorkerStatus::Stopped);
        for (wanted, call) in [
            (WorkerStatus::Initializing, provider.is_initializing(&scope, asked.clone())),
            (WorkerStatus::Running, provider.is_running(&scope, asked.clone())),
            (WorkerStatus::Stopped, provider.is_stopped(&scope, asked.clone())),
        ] {
            let mut call = call;
            let expected: Vec<_> = statuses.iter().map(|status| *status == wanted).collect();
            assert_eq!(call.reply().await.expect("it answers"), expected, "{wanted}");
        }
        let killed = provider.kill(&scope, asked).reply().await.expect("it answers");
        assert_eq!(killed, vec![Killed::Yes; 4]);
        assert_eq!(provider.status(&scope, Vec::new()).reply().await, Ok(Vec::new()));
        provider.cleanup(&scope, true).reply().await.expect("it cleans up");
    });
}

#[test]
fn a_sound_provider_runs_a_server() {
    either_way(&async |way| {
        let provider = way.create(&memory(), json!({}), CallLimits::default()).await;
        let scope = scope(LONG);
        assert_eq!(provider.server_status(&scope).reply().await, Ok(WorkerStatus::Stopped));
        let server = ServerRequest::default();
        provider.run_server(&scope, server).reply().await.expect("it starts");
        assert_ne!(provider.server_status(&scope).reply().await, Ok(WorkerStatus::Stopped));
        let address = provider.server_address(&scope).reply().await.expect("it answers");
        assert!(address.is_some_and(|address| !address.host.is_empty()));
        provider.stop_server(&scope).reply().await.expect("it stops");
        assert_eq!(provider.server_status(&scope).reply().await, Ok(WorkerStatus::Stopped));
    });
}

#[test]
fn what_a_plugin_does_not_have_is_never_sent() {
    either_way(&async |way| {
        let library = open(&example("longshore-mutants", "bare"));
        let provider = way.create(&library, json!({}), CallLimits::default()).await;
        assert!(!provider.has_list() && !provider.idempotent_run());
        let error = provider.list(&scope(LONG)).reply().await.expect_err("it has no list");
        assert_eq!(error.to_string(), "not sent: the plugin does not have list");
        let error = provider.cleanup(&scope(LONG), false).reply().await.expect_err("it has no cleanup");
        assert!(error.is_not_sent(), "{error}");
    });
}

#[test]
fn a_provider_that_falls_short_says_why() {
    either_way(&async |way| {
        let provider = way.create(&memory(), json!({ "capacity": 3 }), CallLimits::default()).await;
        let launched = provider.run(&scope(LONG), request("t", 5, 1)).reply().await.expect("it launches");
        assert_eq!(launched.workers(), 3);
        assert!(!launched.shortfall.expect("it is short").reason.is_empty());
    });
}

#[track_caller]
fn violation<T: std::fmt::Debug>(answer: Result<T, CallError>) -> Violation {
    match answer {
        Err(CallError::Violation(violation)) => violation,
        other => panic!("no violation: {other:?}"),
    }
}

#[test]
fn an_unsound_run_is_refused_with_its_clause_and_its_handles_are_told() {
    either_way(&async |way| {
        for (fault, clause, claimed) in [
            ("fewer", Clause::RunCount, 2),
            ("more", Clause::RunNeverMore, 4),
            ("false_shortfall", Clause::RunCount, 3),
            ("empty_handle", Clause::RunHandle, 2),
            ("control_handle", Clause::RunHandle, 2),
            ("long_handle", Clause::RunHandle, 2),
        ] {
            let provider = way.mutant(json!({ "faults": { "run": fault } })).await;
            let answer = provider.run(&scope(LONG), request("t", 3, 1)).reply().await;
            let violation = violation(answer);
            assert_eq!((violation.clause, violation.function), (clause, Function::Run), "{fault}");
            assert_eq!(violation.claimed.len(), claimed, "{fault}: {violation}");
            assert!(violation.to_string().contains(clause.id()), "{violation}");
        }
    });
}

#[test]
fn an_unsound_answer_about_handles_is_refused_with_its_clause() {
    either_way(&async |way| {
        for (function, fault, clause) in [
            ("status", "fewer", Clause::StatusCount),
            ("status", "more", Clause::StatusCount),
            ("status", "bad_value", Clause::StatusValue),
            ("kill", "fewer", Clause::KillCount),
            ("kill", "more", Clause::KillCount),
            ("kill", "bad_value", Clause::KillCount),
            ("is_running", "fewer", Clause::PredicateCount),
            ("is_running", "bad_value", Clause::PredicateCount),
            ("list", "duplicate", Clause::ListComplete),
            ("list", "no_workers", Clause::ListComplete),
        ] {
            let provider = way.mutant(json!({ "faults": { function: fault } })).await;
            let known = launch(&provider, 3, 1).await;
            let refused = match function {
                "status" => violation(provider.status(&scope(LONG), known).reply().await),
                "kill" => violation(provider.kill(&scope(LONG), known).reply().await),
                "is_running" => violation(provider.is_running(&scope(LONG), known).reply().await),
                _ => violation(provider.list(&scope(LONG)).reply().await),
            };
            assert_eq!(refused.clause, clause, "{function} {fault}: {refused}");
        }
    });
}

#[test]
fn an_unsound_server_is_refused_with_its_clause() {
    either_way(&async |way| {
        let faults = json!({ "server_status": "bad_value", "server_address": "bad_document" });
        let provider = way.mutant(json!({ "faults": faults })).await;
        let server = ServerRequest::default();
        provider.run_server(&scope(LONG), server).reply().await.expect("it starts");
        let refused = violation(provider.server_status(&scope(LONG)).reply().await);
        assert_eq!(refused.clause, Clause::ServerStatus);
        let refused = violation(provider.server_address(&scope(LONG)).reply().await);
        assert_eq!(refused.clause, Clause::ServerAddress);
    });
}

#[test]
fn a_panic_becomes_an_error_of_its_call_alone() {
    either_way(&async |way| {
        let provider = way.mutant(json!({ "faults": { "status": "panic" }, "times": 1 })).await;
        let known = launch(&provider, 1, 1).await;
        let error = provider.status(&scope(LONG), known.clone()).reply().await.expect_err("it panics");
        let CallError::Failed(error) = error else { panic!("not a failure: {error}") };
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.message().contains("the mutant panics in Status"), "{error}");
        let statuses = provider.status(&scope(LONG), known).reply().await;
        assert_eq!(statuses, Ok(vec![WorkerStatus::Running]));
    });
}

#[test]
fn a_failure_keeps_its_kind() {
    either_way(&async |way| {
        for (fault, kind) in [
            ("retryable", ErrorKind::Retryable),
            ("permanent", ErrorKind::Permanent),
            ("unreachable", ErrorKind::Unreachable),
            ("unknown", ErrorKind::Unknown),
            ("unheard_of", ErrorKind::Other),
        ] {
            let provider = way.mutant(json!({ "faults": { "run": fault } })).await;
            let error = provider.run(&scope(LONG), request("t", 1, 1)).reply().await.expect_err("it fails");
            let CallError::Failed(error) = error else { panic!("not a failure: {error}") };
            assert_eq!(error.kind(), kind, "{fault}");
        }
    });
}

#[test]
fn many_calls_at_once_are_all_answered() {
    either_way(&async |way| {
        let provider = way.create(&memory(), json!({}), CallLimits::default()).await;
        let known = launch(&provider, 10, 1).await;
        let mut calls: Vec<_> = (0..60).map(|_| provider.is_stopped(&scope(LONG), known.clone())).collect();
        for call in &mut calls {
            assert_eq!(call.reply().await, Ok(vec![false; 10]));
        }
        let load = provider.load();
        assert!(load.threads <= 8 && load.stuck == 0 && load.queued == 0, "{load:?}");
    });
}
