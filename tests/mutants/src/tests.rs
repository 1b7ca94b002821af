//! Every fault, seen through the tables as a host sees it.
#![expect(unsafe_code, reason = "it makes contexts and calls tables as a host does")]

use std::time::{Duration, Instant};

use longshore_plugin_abi::{
    CallContext, CallControl, CleanupV1, Failure, InitializeV1, Instance, InterfaceTable, ListV1, Logger,
    ServerV1, WorkersV1,
    abi_stable::std_types::{ROption, RResult, RStr, RString},
    kind, status,
};
use serde_json::json;

use super::*;

extern "C" fn discard(_data: *const (), _level: u8, _target: RStr<'_>, _message: RStr<'_>) {}

/// Every call of these tests is cancelled from the start, since no mutant cares.
extern "C" fn yes(_data: *const ()) -> bool {
    true
}

extern "C" fn yes_at_once(_data: *const (), _nanos: u64) -> bool {
    true
}

fn logger() -> Logger {
    // SAFETY: `discard` never looks at its data.
    unsafe { Logger::new(std::ptr::null(), discard, 0) }
}

fn context(cluster: &str) -> CallContext<'_> {
    // SAFETY: neither function looks at its data.
    let control = unsafe { CallControl::new(std::ptr::null(), yes, yes_at_once) };
    CallContext { cluster: cluster.into(), budget_nanos: 1, verbose: 0, control, log: logger() }
}

fn try_mutant(settings: &serde_json::Value) -> Result<Instance, Failure> {
    raw::root_module::<faulty::Faulty>().create()(logger(), RStr::from_str(&settings.to_string()))
        .into_result()
}

fn mutant(function: &str, fault: &str) -> Instance {
    try_mutant(&json!({ "faults": { function: fault } })).expect("the mutant is made")
}

fn table<T: InterfaceTable>() -> &'static T {
    let interface = raw::root_module::<faulty::Faulty>().query()(T::ID.into())
        .into_option()
        .expect("the mutant has them all");
    interface.table().expect("it was compiled with it")
}

/// Calls a mutant's function of a table.
macro_rules! call {
    ($mutant:ident, $table:ident.$function:ident, $ctx:expr $(, $argument:tt)?) => {{
        let (table, ctx): (_, &CallContext<'_>) = (table::<$table>(), $ctx);
        // SAFETY: all mutants and tables of these tests are of one root module's kind, and a context's functions look at nothing.
        unsafe { (table.$function)($mutant, ctx $(, $argument)?) }
    }};
}

/// What a call answers, or the kind of its failure.
type Outcome<T> = Result<T, u8>;

fn outcome_of<T>(reply: RResult<T, Failure>) -> Outcome<T> {
    reply.into_result().map_err(|failure| failure.kind)
}

fn run(mutant: &Instance, token: &str, workers: u32) -> Outcome<(Vec<String>, bool)> {
    let request = json!({ "container": {}, "hardware": {}, "workers": workers, "token": token }).to_string();
    let request = RStr::from_str(&request);
    let reply = outcome_of(call!(mutant, WorkersV1.run, &context("c"), request))?;
    Ok((reply.handles.into_iter().map(String::from).collect(), reply.shortfall.is_some()))
}

fn answers(mutant: &Instance, function: &str, handles: &[&str]) -> Outcome<Vec<u8>> {
    let handles: Vec<RStr<'_>> = handles.iter().map(|handle| RStr::from_str(handle)).collect();
    let (ctx, handles) = (context("c"), handles.as_slice().into());
    let answers = match function {
        "status" => call!(mutant, WorkersV1.status, &ctx, handles),
        "kill" => call!(mutant, WorkersV1.kill, &ctx, handles).map(|reply| reply.answers),
        "is_initializing" => call!(mutant, WorkersV1.is_initializing, &ctx, handles),
        "is_running" => call!(mutant, WorkersV1.is_running, &ctx, handles),
        "is_stopped" => call!(mutant, WorkersV1.is_stopped, &ctx, handles),
        other => unreachable!("{other} is no function of handles"),
    };
    outcome_of(answers).map(Into::into)
}

fn list(mutant: &Instance, cluster: &str) -> Vec<(String, String, u32)> {
    let reply = call!(mutant, ListV1.list, &context(cluster)).into_result().expect("it lists");
    reply.entries.into_iter().map(|entry| (entry.handle.into(), entry.token.into(), entry.workers)).collect()
}

#[test]
fn without_a_fault_it_is_honest() {
    let mutant = try_mutant(&json!({})).expect("the mutant is made");
    assert_eq!(run(&mutant, "t", 2), Ok((vec!["t.0".into(), "t.1".into()], false)));
    assert_eq!(run(&mutant, "t", 2), Ok((vec!["t.0".into(), "t.1".into()], false)));
    assert_eq!(answers(&mutant, "status", &["t.0", "u"]), Ok(vec![status::RUNNING, status::STOPPED]));
    assert_eq!(answers(&mutant, "is_running", &["t.0", "u"]), Ok(vec![1, 0]));
    assert_eq!(answers(&mutant, "kill", &["t.0", "u"]), Ok(vec![1, 1]));
    assert_eq!(list(&mutant, "c"), [("t.1".to_owned(), "t".to_owned(), 1)]);
    assert_eq!(list(&mutant, "d"), []);
}

#[test]
fn run_answers_wrongly() {
    let handles = |fault: &str| run(&mutant("run", fault), "t", 2).expect("it runs");
    assert_eq!(handles("fewer"), (vec!["t.0".to_owned()], false));
    assert_eq!(handles("more").0.len(), 3);
    assert_eq!(handles("empty_handle").0, ["", "t.1"]);
    assert_eq!(handles("control_handle").0, ["two\nlines", "t.1"]);
    assert_eq!(handles("long_handle").0[0].len(), 257);
    assert_eq!(handles("same_handle").0, ["same", "t.1"]);
    assert_eq!(handles("false_shortfall"), (vec!["t.0".to_owned(), "t.1".to_owned()], true));
    let few = mutant("run", "fewer");
    run(&few, "t", 2).expect("it runs");
    assert_eq!(list(&few, "c").len(), 2, "the one that it does not tell of is there");
}

#[test]
fn answers_are_of_the_wrong_number_or_value() {
    for function in ["status", "kill", "is_initializing", "is_running", "is_stopped"] {
        let of = |fault: &str| answers(&mutant(function, fault), function, &["a", "b"]).expect("it answers");
        assert_eq!((of("fewer").len(), of("more").len()), (1, 3), "{function}");
        let bad = of("bad_value");
        assert_eq!(bad.len(), 2, "{function}");
        assert!(if function == "status" { bad[0] == 0 } else { bad[0] > 1 }, "{function}: {bad:?}");
    }
    let (spoilt, handles) = (&mutant("kill", "bad_reason"), [RStr::from_str("a")]);
    let handles = handles.as_slice().into();
    let reply = call!(spoilt, WorkersV1.kill, &context("c"), handles);
    let reply = reply.into_result().expect("it answers");
    assert_eq!((reply.answers.len(), reply.reasons[0].index), (1, 1));
}

#[test]
fn it_lies() {
    let dead = mutant("status", "lie");
    run(&dead, "t", 1).expect("it runs");
    assert_eq!(answers(&dead, "status", &["t.0"]), Ok(vec![status::STOPPED]));
    assert_eq!(answers(&dead, "is_running", &["t.0"]), Ok(vec![1]));
    let undead = mutant("kill", "lie");
    run(&undead, "t", 1).expect("it runs");
    assert_eq!(answers(&undead, "kill", &["t.0"]), Ok(vec![1]));
    assert_eq!(answers(&undead, "status", &["t.0"]), Ok(vec![status::RUNNING]));
}

#[test]
fn list_is_wrong() {
    let listed = |fault: &str| {
        let mutant = mutant("list", fault);
        run(&mutant, "t", 2).expect("it runs");
        list(&mutant, "c")
    };
    let names = |fault: &str| listed(fault).into_iter().map(|(handle, ..)| handle).collect::<Vec<_>>();
    assert_eq!(names("lie"), [""; 0]);
    assert_eq!(names("omit"), ["t.1"]);
    assert_eq!(names("duplicate"), ["t.0", "t.1", "t.0"]);
    assert_eq!(names("stopped"), ["t.0", "t.1", "stranger"]);
    assert_eq!(listed("no_workers")[0].2, 0);
    assert_ne!(listed("wrong_token")[0].1, "t");
    let foreign = mutant("list", "foreign");
    run(&foreign, "t", 1).expect("it runs");
    assert_eq!(list(&foreign, "another").len(), 1);
}

/// Calls a function by its name and tells only how it went.
fn outcome(mutant: &Instance, function: &str) -> Outcome<()> {
    let ctx = context("c");
    let request = RStr::from_str(r#"{"container":{},"hardware":{}}"#);
    match function {
        "run" => run(mutant, "t", 1).map(drop),
        "list" => outcome_of(call!(mutant, ListV1.list, &ctx)).map(drop),
        "initialize" => outcome_of(call!(mutant, InitializeV1.initialize, &ctx)),
        "cleanup" => outcome_of(call!(mutant, CleanupV1.cleanup, &ctx, false)),
        "run_server" => outcome_of(call!(mutant, ServerV1.run_server, &ctx, request)),
        "stop_server" => outcome_of(call!(mutant, ServerV1.stop_server, &ctx)),
        "server_status" => outcome_of(call!(mutant, ServerV1.server_status, &ctx)).map(drop),
        "server_address" => outcome_of(call!(mutant, ServerV1.server_address, &ctx)).map(drop),
        other => answers(mutant, other, &["t.0"]).map(drop),
    }
}

const FUNCTIONS: [&str; 13] = [
    "run",
    "status",
    "kill",
    "is_initializing",
    "is_running",
    "is_stopped",
    "initialize",
    "list",
    "run_server",
    "stop_server",
    "server_status",
    "server_address",
    "cleanup",
];

#[test]
fn every_function_fails_with_every_kind() {
    let kinds = [
        ("other", kind::OTHER),
        ("retryable", kind::RETRYABLE),
        ("permanent", kind::PERMANENT),
        ("unreachable", kind::UNREACHABLE),
        ("cancelled", kind::CANCELLED),
        ("unknown", kind::UNKNOWN),
        ("config", kind::CONFIG),
        ("panic", kind::PANIC),
        ("unheard_of", 250),
    ];
    for (fault, kind) in kinds {
        for function in FUNCTIONS {
            assert_eq!(outcome(&mutant(function, fault), function), Err(kind), "{function} {fault}");
        }
        let failure = try_mutant(&json!({ "faults": { "create": fault } })).expect_err("it fails");
        assert_eq!(failure.kind, kind, "create {fault}");
    }
    drop(mutant("drop", "panic"));
}

#[test]
fn every_function_hangs_until_it_is_released() {
    let folder = tempfile::tempdir().expect("a folder");
    for function in FUNCTIONS {
        let release = folder.path().join(function);
        let entered = folder.path().join(format!("{function}-entered"));
        let settings = json!({
            "faults": { function: "hang" }, "entered": entered, "release": release, "hang_ms": 600_000
        });
        let mutant = try_mutant(&settings).expect("the mutant is made");
        std::thread::scope(|scope| {
            let call = scope.spawn(|| outcome(&mutant, function).map(|()| release.exists()));
            while !entered.exists() {
                std::thread::yield_now();
            }
            std::fs::write(&release, "").expect("a file");
            // Had it not hung, the file would be missing by its end; had it heeded the cancellation, it would have failed.
            assert_eq!(call.join().expect("no panic"), Ok(true), "{function}");
        });
    }
    let began = Instant::now();
    drop(try_mutant(&json!({ "faults": { "create": "hang", "drop": "hang" }, "hang_ms": 20 })));
    assert!(began.elapsed() >= Duration::from_millis(40), "both hang, and for no longer than they may");
}

#[test]
fn a_fault_begins_and_ends_when_it_is_to() {
    let settings = json!({ "faults": { "run": "retryable", "status": "bad_value" }, "after": 1, "times": 2 });
    let mutant = try_mutant(&settings).expect("the mutant is made");
    let failed: Vec<_> = (0..5).map(|i| run(&mutant, &format!("t{i}"), 1).is_err()).collect();
    assert_eq!(failed, [false, true, true, false, false]);
    let values = (0..4).flat_map(|_| answers(&mutant, "status", &["u"]).expect("it answers"));
    assert_eq!(values.collect::<Vec<_>>(), [status::STOPPED, 0, 0, status::STOPPED]);
}

#[test]
fn the_server_answers_wrongly() {
    let spoilt = &mutant("server_status", "bad_value");
    assert_eq!(outcome_of(call!(spoilt, ServerV1.server_status, &context("c"))), Ok(0));
    let spoilt = &mutant("server_address", "bad_document");
    let address = call!(spoilt, ServerV1.server_address, &context("c")).into_result().expect("it answers");
    let ROption::RSome(address) = address else { panic!("it has an address: {address:?}") };
    let text: RString = address;
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
}

#[test]
fn a_fault_that_a_function_cannot_have_is_a_wrong_configuration() {
    let failure = try_mutant(&json!({ "faults": { "list": "long_handle" } })).expect_err("it is refused");
    assert_eq!((failure.kind, failure.field.as_str()), (kind::CONFIG, "faults"));
    let failure = try_mutant(&json!({ "faults": { "list": "no such fault" } })).expect_err("it is refused");
    assert_eq!((failure.kind, failure.field.as_str()), (kind::CONFIG, "faults"));
}
