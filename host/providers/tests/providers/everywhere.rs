//! What a plugin may do wrong in any function wherever it runs, in the host's own process as well: it panics where the export
//! macro contains that, hangs, answers what no contract knows, or prints. It costs the call, and nobody else.

use std::{fs, time::Duration};

use longshore_plugin_api::{Clause, ErrorKind};
use longshore_providers::{CallError, CallLimits};
use longshore_support::{example, until};
use serde_json::json;

use super::{
    LONG, Way, block_on,
    each::{another, call, in_each_function},
    open, scope,
};

/// Long enough for a call to reach the plugin on a busy machine.
const SHORT: Duration = Duration::from_secs(2);

/// A specimen that does something wrong in a function, once, is called there; what it told is given to `look`. Afterwards it is
/// the same as ever, and so is its process.
fn every_function_does_wrong(how: &str, look: impl Fn(&str, Result<(), CallError>) + Sync) {
    let (folder, library) =
        (tempfile::tempdir().expect("a temporary folder"), open(&example("longshore-mutants", "specimen")));
    for (place, way) in [("here", Way::here()), ("there", Way::runner())] {
        in_each_function(|function| {
            let root = folder.path().join(place).join(function);
            let (root, once) = (root.join("root"), root.join("once"));
            fs::create_dir_all(&root).expect("a folder");
            block_on(async {
                let crash = json!({ "function": function, "how": how, "once": once });
                let config = json!({ "root": root, "crash": crash });
                let provider = way.create(&library, config, CallLimits::default()).await;
                // There is an address to be wrong about once there is a server.
                if function == "server_address" {
                    assert_eq!(call(&provider, "run_server", LONG, || ()).await.first, Ok(()));
                }
                let told = call(&provider, function, LONG, || ()).await;
                assert!(once.exists(), "{function}: it does wrong there");
                look(function, told.first);
                assert_eq!(another(&provider, function).await, Ok(()), "{function}: others do not mind");
                assert_eq!(call(&provider, function, LONG, || ()).await.first, Ok(()), "{function}: nor it");
                assert_eq!((provider.restarts(), provider.deaths()), (0, 0), "{function}");
                assert!(provider.shut_down(LONG).await, "{function}");
            });
        });
    }
}

#[test]
fn a_panic_in_any_function_is_an_error_of_its_call_alone() {
    every_function_does_wrong("contained", |function, told| match told {
        Err(CallError::Failed(error)) if error.kind() == ErrorKind::Panic => {
            assert!(error.message().contains("panicked at"), "{function}: {error}");
        }
        other => panic!("{function}: no panic: {other:?}"),
    });
}

#[test]
fn nonsense_of_any_function_is_refused_with_its_clause() {
    every_function_does_wrong("senseless", |function, told| {
        let clause = match function {
            "run" | "list" => Clause::RunHandle,
            "status" => Clause::StatusCount,
            "kill" => Clause::KillCount,
            "is_initializing" | "is_running" | "is_stopped" => Clause::PredicateCount,
            "server_status" => Clause::ServerStatus,
            "server_address" => Clause::ServerAddress,
            // Where there is nothing to answer: a failure of a kind that is none counts as any other.
            _ => {
                let kind = match told {
                    Err(CallError::Failed(error)) => error.kind(),
                    other => panic!("{function}: no failure: {other:?}"),
                };
                return assert_eq!(kind, ErrorKind::Other, "{function}");
            }
        };
        match told {
            Err(CallError::Violation(violation)) => assert_eq!(violation.clause, clause, "{function}"),
            other => panic!("{function}: no violation: {other:?}"),
        }
    });
}

#[test]
fn what_any_function_prints_harms_nothing() {
    every_function_does_wrong("print", |function, told| assert_eq!(told, Ok(()), "{function}"));
}

#[test]
fn a_hang_in_any_function_costs_its_call_and_a_thread_and_its_answer_is_had_in_the_end() {
    let (folder, library) =
        (tempfile::tempdir().expect("a temporary folder"), open(&example("longshore-mutants", "specimen")));
    // A runner has its own way to end it: `runner/faults.rs`.
    for (place, way) in [("here", Way::here()), ("there", Way::runner())] {
        in_each_function(|function| {
            let root = folder.path().join(place).join(function);
            let (once, release) = (root.join("once"), root.join("release"));
            fs::create_dir_all(&root).expect("a folder");
            block_on(async {
                let crash = json!({ "function": function, "how": "hang", "once": once, "release": release });
                let config = json!({ "root": root.join("root"), "crash": crash });
                let provider = way.create(&library, config, CallLimits::default()).await;
                let mut meanwhile = None;
                let told = call(&provider, function, SHORT, || {
                    until("the call is stuck", || (provider.load().busy, provider.load().stuck) == (1, 1));
                    meanwhile = Some(provider.list(&scope(LONG)));
                    fs::write(&release, "").expect("a file");
                })
                .await;
                assert!(matches!(told.first, Err(CallError::Deadline { .. })), "{function}: {told:?}");
                let mut list = meanwhile.expect("it was late");
                assert_eq!(list.reply().await.map(drop), Ok(()), "{function}: others do not mind");
                // It goes on where it hung, in the context of a call that is over: what was not done by then may be refused.
                let is_cancelled = |error: &CallError| matches!(error, CallError::Failed(error) if error.kind() == ErrorKind::Cancelled);
                assert!(told.last.as_ref().err().is_none_or(is_cancelled), "{function}: {told:?}");
                until("nothing is stuck", || provider.load().stuck == 0);
                assert_eq!(call(&provider, function, LONG, || ()).await.first, Ok(()), "{function}: nor it");
                assert_eq!((provider.restarts(), provider.deaths()), (0, 0), "{function}");
            });
        });
    }
}
