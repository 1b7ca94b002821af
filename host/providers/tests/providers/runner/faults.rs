//! Plugins that crash, exit, hang, make no sense or say too much.

use std::time::Duration;

use longshore_providers::{
    CallError, CallLimits, CreateError, Function, Housing, NotSent, Provider, RunnerSetup,
};
use longshore_support::example;
use serde_json::json;

use super::{SHORT, crashing, death, does, folder, is_alive, pid, specimen, until_back, wild};
use crate::{
    LONG, Way, block_on,
    each::{another, call, in_each_function},
    handles,
    logging::{lines_of, listen},
    looking::spoiling,
    memory, mutants, open, request, scope,
};

/// Calls a function, and tells how it was lost: at once, or after it had been late.
async fn lost(provider: &Provider, function: &str, budget: Duration) -> String {
    death(call(provider, function, budget, || ()).await.last)
}

/// A function crashes in the given way; the call, which has so much time, is lost, another provider is served meanwhile, and the
/// runner is back. Tells how the call was lost, and the number of the process that it was lost with.
pub(super) async fn crashes(
    way: &Way,
    provider: &Provider,
    function: &str,
    budget: Duration,
) -> (String, u32) {
    let other = way.create(&memory(), json!({}), CallLimits::default()).await;
    let (first, mut served) = (pid(provider), other.list(&scope(LONG)));
    let (told, answered) = tokio::join!(lost(provider, function, budget), served.reply());
    assert_eq!(answered, Ok(Vec::new()), "{function}: another provider does not mind");
    until_back(provider, 1).await;
    assert!(pid(provider) != first && !is_alive(first), "{function}");
    assert_eq!(another(provider, function).await, Ok(()), "{function}: it is served again");
    assert_eq!(other.restarts(), 0);
    (told, first)
}

fn every_function_crashes(how: &str, words: &str) {
    let (folder, library) = (folder(), specimen());
    in_each_function(|function| {
        block_on(async {
            let config = crashing(&folder.path().join(function), function, how);
            let provider = Way::runner().create(&library, config, CallLimits::default()).await;
            let (told, _) = crashes(&Way::runner(), &provider, function, LONG).await;
            // A core may have been dumped as well.
            assert!(told.starts_with(words), "{function}: {told}");
        });
    });
}

#[test]
fn a_fault_of_memory_in_any_function_costs_the_call_and_nobody_else() {
    every_function_crashes("segfault", "was ended by signal 11 (SIGSEGV)");
}

#[test]
fn an_abort_in_any_function_costs_the_call_and_nobody_else() {
    every_function_crashes("abort", "was ended by signal 6 (SIGABRT)");
}

#[test]
fn an_exit_in_any_function_costs_the_call_and_nobody_else() {
    every_function_crashes("exit", "exited with code 0");
}

#[test]
fn a_panic_that_nobody_contains_in_any_function_costs_the_call_and_nobody_else() {
    every_function_crashes("panic", "was ended by signal 6 (SIGABRT)");
}

#[test]
fn a_hang_in_any_function_ends_its_process_when_its_time_is_over() {
    let (folder, library) = (folder(), specimen());
    in_each_function(|function| {
        block_on(async {
            let config = crashing(&folder.path().join(function), function, "hang");
            let limits = CallLimits { hang_grace: SHORT, ..CallLimits::default() };
            let provider = Way::runner().create(&library, config, limits).await;
            // Long enough for it to be inside the plugin on a busy machine.
            let (told, _) = crashes(&Way::runner(), &provider, function, SHORT * 15).await;
            let words =
                format!("was ended by the host, for {function} had not come back 0.2 s after its deadline");
            assert_eq!(told, words);
        });
    });
}

#[test]
fn a_crash_while_the_provider_is_made_is_an_error_that_tells_how() {
    let folder = folder();
    block_on(async {
        for (how, words) in [
            ("segfault", "signal 11 (SIGSEGV)"),
            ("abort", "signal 6 (SIGABRT)"),
            ("exit", "exited with code 0"),
            ("panic", "signal 6 (SIGABRT)"),
        ] {
            let (way, config) = (Way::runner(), crashing(folder.path(), "create", how));
            let error = Provider::create_in(&way.0, &specimen(), "test", config, CallLimits::default(), ())
                .await
                .expect_err("it ends its process");
            let text = error.to_string();
            assert!(matches!(error, CreateError::Died { .. }) && text.contains(words), "{text}");
        }
    });
}

/// A library that was sound when it was looked at, and is not when its runner loads it.
#[test]
fn a_library_that_turns_bad_when_its_runner_loads_it_is_an_error_that_tells_how() {
    let folder = folder();
    let library = open(&example("longshore-mutants", "spoilt_load"));
    for place in ["constructor", "metadata", "query"] {
        for (how, words) in [
            ("segfault", "signal 11 (SIGSEGV)"),
            ("abort", "signal 6 (SIGABRT)"),
            ("exit", "exited with code 0"),
            ("panic", "signal 6 (SIGABRT)"),
            ("hang", "did not make the provider within 2 s"),
        ] {
            let program = spoiling(folder.path(), &format!("{place}:{how}"));
            let housing = Housing::Runner(RunnerSetup { program, confine: None });
            // Who does not come back is waited for; the others have all the time that they need.
            let create = if how == "hang" { SHORT * 10 } else { LONG };
            let limits = CallLimits { create, ..CallLimits::default() };
            let config = json!({ "root": folder.path() });
            let made = block_on(Provider::create_in(&housing, &library, "test", config, limits, ()));
            let text = made.expect_err("it cannot be loaded").to_string();
            assert!(text.contains(words), "{place} {how}: {text}");
        }
    }
}

#[test]
fn a_provider_that_is_never_made_is_ended_at_its_time() {
    let folder = folder();
    let entered = folder.path().join("entered");
    block_on(async {
        let config = json!({ "faults": { "create": "hang" }, "entered": entered });
        // Long enough for it to begin.
        let limits = CallLimits { create: Duration::from_secs(2), ..CallLimits::default() };
        let (held, mut free) = tokio::sync::mpsc::channel::<()>(1);
        let made = Provider::create_in(&Way::runner().0, &mutants(), "test", config, limits, held).await;
        let error = made.expect_err("it hangs");
        assert!(matches!(error, CreateError::Deadline { .. }), "{error}");
        assert_eq!(
            free.try_recv(),
            Err(tokio::sync::mpsc::error::TryRecvError::Disconnected),
            "it is let go"
        );
    });
}

#[test]
fn a_call_that_does_not_come_back_ends_its_process() {
    block_on(async {
        let config = json!({ "faults": { "run": "hang" } });
        let limits = CallLimits { hang_grace: SHORT, ..CallLimits::default() };
        let provider = Way::runner().create(&mutants(), config, limits).await;
        // Long enough for it to be inside the plugin on a busy machine.
        let budget = SHORT * 15;
        let mut hangs = provider.run(&scope(budget), request("t", 1, 1));
        let error = hangs.reply().await.expect_err("it hangs");
        assert_eq!(error, CallError::Deadline { function: Function::Run, after: budget });
        let how = death(hangs.late().await);
        assert_eq!(how, "was ended by the host, for run had not come back 0.2 s after its deadline");
        until_back(&provider, 1).await;
        let statuses = provider.status(&scope(LONG), handles(&["x"])).reply().await;
        assert_eq!(statuses.map(|all| all.len()), Ok(1), "it is served again");
    });
}

#[test]
fn what_waits_for_a_place_when_the_process_dies_has_not_happened() {
    let folder = folder();
    block_on(async {
        let limits = CallLimits { threads: 1, ..CallLimits::default() };
        let provider =
            Way::runner().create(&specimen(), crashing(folder.path(), "status", "hang"), limits).await;
        let mut first = provider.status(&scope(LONG), handles(&["x"]));
        let mut second = provider.list(&scope(LONG));
        assert_eq!((provider.load().busy, provider.load().queued), (1, 1));
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid(&provider).cast_signed()).expect("it is a number"),
            rustix::process::Signal::KILL,
        )
        .expect("it is there");
        assert_eq!(death(first.reply().await), "was ended by signal 9 (SIGKILL)");
        let error = second.reply().await.expect_err("its provider is gone");
        assert!(matches!(error, CallError::NotSent { reason: NotSent::RunnerDown { .. } }), "{error}");
        // While it is not there, nothing is sent.
        let error = provider.list(&scope(LONG)).reply().await.expect_err("it is not back yet");
        assert!(error.is_not_sent() && error.to_string().contains("SIGKILL"), "{error}");
        until_back(&provider, 1).await;
        assert_eq!(provider.list(&scope(LONG)).reply().await, Ok(Vec::new()));
    });
}

#[test]
fn a_process_that_makes_no_sense_is_ended() {
    block_on(async {
        let provider = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
        for (number, (what, words)) in [
            ("garbage", "what it says makes no sense"),
            ("announce", "a frame of 4294967295 bytes is announced"),
            ("answer", "what it says makes no sense"),
        ]
        .into_iter()
        .enumerate()
        {
            let how = death(does(&provider, what).await);
            assert!(how.starts_with("was ended by the host") && how.contains(words), "{what}: {how}");
            until_back(&provider, number as u64 + 1).await;
        }
        let how = death(does(&provider, "close").await);
        assert_eq!(how, "was ended by signal 9 (SIGKILL)", "it has closed its line");
    });
}

#[test]
fn what_a_plugin_prints_is_logged_and_harms_nothing() {
    listen();
    block_on(async {
        let provider = Way::runner().create_as("prints", &wild(), json!({}), CallLimits::default()).await;
        does(&provider, "print hello there").await.expect("it may print");
        does(&provider, "complain of something").await.expect("it may complain");
        assert!(provider.shut_down(LONG).await);
        let told: Vec<_> = lines_of("prints")
            .iter()
            .map(|line| (line.field("plugin_target").to_owned(), line.field("message").to_owned()))
            .collect();
        for (stream, text) in [("stdout", "hello there"), ("stderr", "of something")] {
            assert!(told.contains(&(stream.to_owned(), text.to_owned())), "{text}: {told:?}");
        }
    });
}

#[test]
fn a_plugin_that_says_too_much_is_cut_short_and_lives() {
    listen();
    block_on(async {
        let provider = Way::runner().create_as("shouts", &wild(), json!({}), CallLimits::default()).await;
        does(&provider, "say 20000").await.expect("it comes to its end");
        does(&provider, "print-lines 20000").await.expect("it comes to its end");
        assert_eq!(provider.restarts(), 0);
        assert!(provider.shut_down(LONG).await);
        let lines = lines_of("shouts").len();
        assert!((100..20_000).contains(&lines), "{lines} lines were told");
    });
}
