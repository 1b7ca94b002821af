//! Requests and replies that cross the boundary arrive as they were sent.

use longshore_plugin_abi::{
    CallContext, CleanupV1, ListV1, ServerV1, WorkersV1,
    abi_stable::std_types::{RResult, RStr},
    status,
};
use longshore_plugin_api::{
    Container, Error, ErrorKind, Hardware, LaunchToken, RunRequest, ServerAddress, ServerRequest,
};
use serde_json::json;

use crate::{
    exported::root_module,
    host::{FUNCTIONS, Lines, Made, call, probe, try_make},
};

fn container() -> Container {
    Container {
        image: Some("registry.example/worker:1".to_owned()),
        command: Some("/bin/work".to_owned()),
        args: vec!["--greet".to_owned(), "Grüße \"an\"\nalle\0".to_owned(), String::new()],
        env: [("A".to_owned(), "1".to_owned()), ("EMPTY".to_owned(), String::new())].into(),
        working_dir: Some("/srv".to_owned()),
        max_workers: Some(u32::MAX),
    }
}

fn hardware() -> Hardware {
    Hardware { cpu: Some(0.1), memory: Some(u64::MAX), id: Some("large".to_owned()) }
}

/// The handles, and the shortfall with whether to try again.
type Answer = (Vec<String>, Option<(String, bool)>);

fn run(probe: &Made, request: &str) -> Result<Answer, Error> {
    let request = RStr::from_str(request);
    let reply = probe.call("c", |ctx| call!(probe, WorkersV1.run, ctx, request))?;
    let shortfall = reply.shortfall.into_option().map(|short| (short.reason.into(), short.retryable));
    Ok((reply.handles.into_iter().map(String::from).collect(), shortfall))
}

#[test]
fn a_run_request_arrives_whole() {
    for (container, hardware) in [(container(), hardware()), (Container::default(), Hardware::default())] {
        let request = RunRequest { container, hardware, workers: 1, token: LaunchToken::new("t-1") };
        let text = serde_json::to_string(&request).expect("it can be written");
        let (handles, shortfall) = run(&probe(), &text).expect("it runs");
        assert_eq!(serde_json::from_str::<RunRequest>(&handles[0]).expect("the probe wrote it"), request);
        assert_eq!(shortfall, None);
    }
}

#[test]
fn a_request_of_a_newer_host_is_read_and_a_broken_one_is_an_error() {
    let request =
        json!({ "container": { "novel": 1 }, "hardware": {}, "workers": 1, "token": "t", "more": [] });
    assert!(run(&probe(), &request.to_string()).is_ok());
    for broken in ["", "{}", "[", r#"{"container":{},"hardware":{},"workers":-1,"token":"t"}"#] {
        let error = run(&probe(), broken).expect_err("it cannot be read");
        assert_eq!(error.kind(), ErrorKind::Permanent, "{broken}");
        assert!(error.message().contains("cannot be read"), "{error}");
    }
}

#[test]
fn a_shortfall_arrives_with_its_reason() {
    let request = |workers| json!({ "container": {}, "hardware": {}, "workers": workers, "token": "t" });
    let shortfall = |workers| run(&probe(), &request(workers).to_string()).expect("it runs").1;
    assert_eq!(shortfall(2), Some(("one is enough".to_owned(), false)));
    assert_eq!(shortfall(3), Some(("one is enough".to_owned(), true)));
}

#[test]
fn answers_come_one_a_handle_and_in_order() {
    let (probe, handles) = (probe(), ["running", "", "initializing", "no: busy", "running"]);
    let handles: Vec<RStr<'_>> = handles.iter().map(|handle| RStr::from_str(handle)).collect();
    let ask = |function: &str, handles: &[RStr<'_>]| {
        let handles = handles.into();
        let answers = probe.call("c", |ctx| match function {
            "status" => call!(probe, WorkersV1.status, ctx, handles),
            "is_initializing" => call!(probe, WorkersV1.is_initializing, ctx, handles),
            "is_running" => call!(probe, WorkersV1.is_running, ctx, handles),
            _ => call!(probe, WorkersV1.is_stopped, ctx, handles),
        });
        Vec::from(answers.expect("the probe answers"))
    };
    let (i, r, s) = (status::INITIALIZING, status::RUNNING, status::STOPPED);
    assert_eq!(ask("status", &handles), [r, s, i, s, r]);
    assert_eq!(ask("is_initializing", &handles), [0, 0, 1, 0, 0]);
    assert_eq!(ask("is_running", &handles), [1, 0, 0, 0, 1]);
    assert_eq!(ask("is_stopped", &handles), [0, 1, 0, 1, 0]);
    assert_eq!(ask("status", &[]), [0_u8; 0]);
    let handles = handles.as_slice().into();
    let reply = probe.call("c", |ctx| call!(probe, WorkersV1.kill, ctx, handles));
    let reply = reply.expect("the probe answers");
    assert_eq!(reply.answers.as_slice(), [1, 1, 1, 0, 1]);
    let reasons: Vec<_> = reply.reasons.iter().map(|reason| (reason.index, reason.text.as_str())).collect();
    assert_eq!(reasons, [(3, "busy")]);
}

#[test]
fn many_handles_cross_at_once() {
    let (probe, texts) = (probe(), vec!["running"; 100_000]);
    let handles: Vec<RStr<'_>> = texts.into_iter().map(RStr::from_str).collect();
    let handles = handles.as_slice().into();
    let answers = probe.call("c", |ctx| call!(probe, WorkersV1.status, ctx, handles));
    assert_eq!(answers.expect("the probe answers").as_slice(), vec![status::RUNNING; 100_000]);
}

#[test]
fn a_list_arrives_whole() {
    let probe = probe();
    let reply = probe.call("c", |ctx| call!(probe, ListV1.list, ctx)).expect("it lists");
    let entries: Vec<_> = reply
        .entries
        .iter()
        .map(|entry| (entry.handle.as_str(), entry.token.as_str(), entry.workers))
        .collect();
    assert_eq!(entries, [("c-1", "t1", 1), ("c-2", "t2", 2), ("c-3", "t3", 3)]);
}

#[test]
fn the_server_s_documents_arrive_whole() {
    let probe = probe();
    let request = ServerRequest { container: container(), hardware: hardware(), port: Some(6379) };
    let text = serde_json::to_string(&request).expect("it can be written");
    let text = RStr::from_str(&text);
    let seen = probe.call("c", |ctx| call!(probe, ServerV1.run_server, ctx, text));
    let seen = seen.expect_err("the probe answers with an error");
    assert_eq!(serde_json::from_str::<ServerRequest>(seen.message()).expect("the probe wrote it"), request);

    let status = probe.call("c", |ctx| call!(probe, ServerV1.server_status, ctx));
    assert_eq!(status, Ok(status::INITIALIZING));
    let address = |cluster: &str| {
        let document =
            probe.call(cluster, |ctx| call!(probe, ServerV1.server_address, ctx)).expect("it answers");
        document
            .into_option()
            .map(|text| serde_json::from_str::<ServerAddress>(&text).expect("it is a document"))
    };
    assert_eq!(address("without"), None);
    assert_eq!(address("c"), Some(ServerAddress { host: "2001:db8::1".to_owned(), port: Some(65_535) }));
}

#[test]
fn cleanup_is_told_how_deep() {
    let probe = probe();
    let cleanup = |deep| probe.call("c", |ctx| call!(probe, CleanupV1.cleanup, ctx, deep));
    assert_eq!(cleanup(false), Ok(()));
    assert_eq!(cleanup(true), Err(Error::permanent("deep")));
}

#[test]
fn every_kind_of_error_arrives_from_every_function() {
    let probe = probe();
    let told = [
        Error::other("other, as it was told"),
        Error::retryable("retryable, as it was told"),
        Error::permanent("permanent, as it was told"),
        Error::unreachable("unreachable, as it was told"),
        Error::cancelled("cancelled, as it was told"),
        Error::unknown("unknown, as it was told"),
        Error::config("a.b", "config, as it was told"),
    ];
    for error in told {
        let cluster = error.message().split(',').next().expect("a text has a first part");
        for function in FUNCTIONS {
            assert_eq!(probe.outcome(function, cluster), Err(error.clone()), "{function}");
        }
    }
}

#[test]
fn a_wrong_configuration_names_the_field() {
    let wrong = [
        (r#"{"limits":{"ports":[1,70000]}}"#, "limits.ports[1]", "70000"),
        (r#"{"limits":{"prots":[]}}"#, "limits.prots", "unknown field `prots`"),
        (r#"{"panic_in_drop":"no"}"#, "panic_in_drop", "expected a boolean"),
        (r#"{"typo":1}"#, "typo", "unknown field `typo`"),
        ("3", "", "expected struct Settings"),
        ("{", "", "EOF"),
    ];
    for (config, field, text) in wrong {
        let Err(error) = try_make(root_module(), config, Lines::new()) else { panic!("{config} is wrong") };
        assert_eq!(
            (error.kind(), error.field().unwrap_or("")),
            (ErrorKind::Config, field),
            "{config}: {error}"
        );
        assert!(error.message().contains(text), "{config}: {error}");
    }
}

#[test]
fn a_call_that_does_nothing_succeeds() {
    let probe = probe();
    for function in FUNCTIONS.into_iter().filter(|function| *function != "run_server") {
        assert_eq!(probe.outcome(function, "c"), Ok(()), "{function}");
    }
    assert_eq!(probe.call::<()>("c", |_| RResult::ROk(())), Ok(()));
}
