//! `tracing` events of a provider reach the host's log.

use std::time::Duration;

use longshore_plugin_abi::level;

use crate::{
    exported::root_module,
    host::{Call, Control, Lines, alone, probe, try_make},
    probe::shared_event,
};

const TARGET: &str = "boundary::probe";

#[test]
fn a_line_has_its_level_target_text_fields_and_cluster() {
    let probe = probe();
    probe.lines.take();
    probe.outcome("initialize", "log").expect("it logs");
    let line = |level: u8, target: &str, text: &str| (level, target.to_owned(), text.to_owned());
    assert_eq!(
        probe.lines.take(),
        [
            line(level::ERROR, TARGET, "plain cluster=log"),
            line(level::WARN, TARGET, "with fields count=3 name=\"n\" error=why cluster=log"),
            line(level::INFO, "elsewhere", " yes=true cluster=log"),
            line(level::INFO, TARGET, "in a span cluster=log"),
        ]
    );
}

#[test]
fn each_call_has_its_own_level_and_log() {
    let probe = probe();
    for (max_level, lines) in
        [(0, 0), (level::ERROR, 1), (level::DEBUG, 5), (level::ERROR, 1), (level::TRACE, 5)]
    {
        let (control, heard) = (Control::default(), Lines::new());
        let budget = Duration::from_hours(1);
        let call = Call { cluster: "log", budget, control: &control, lines: heard, max_level };
        probe.by_name("initialize", &call.context()).expect("it logs");
        assert_eq!(heard.take().len(), lines, "{max_level}");
    }
}

#[test]
fn create_and_drop_log_without_a_cluster() {
    let lines = Lines::new();
    let made = try_make(root_module(), r#"{"limits":{"ports":[80]}}"#, lines).expect("it is in order");
    drop(made);
    assert_eq!(lines.texts(), ["created ports=[80]", "dropped"]);
}

#[test]
fn a_thread_of_the_provider_s_own_logs_by_a_log_that_it_was_given() {
    let probe = probe();
    probe.lines.take();
    probe.outcome("initialize", "own thread").expect("it logs");
    let mut texts = probe.lines.texts();
    texts.sort();
    let call = "by the call's log cluster=own thread";
    assert_eq!(texts, ["by dispatch", call, "by the instance's log"]);
}

#[test]
fn scopes_may_be_nested() {
    let probe = probe();
    probe.lines.take();
    probe.outcome("initialize", "nested").expect("it logs");
    assert_eq!(probe.lines.texts(), ["inside", "outside cluster=nested"]);
}

#[test]
fn a_very_long_line_is_cut_between_two_characters() {
    let probe = probe();
    probe.lines.take();
    probe.outcome("initialize", "long line").expect("it logs");
    let text = probe.lines.texts().remove(0);
    let (kept, note) = text.split_once(" (").expect("it says that it was cut");
    assert_eq!((kept.len(), note), (16 * 1024, "and 183634 more bytes)"));
}

#[test]
fn an_event_that_was_first_met_outside_of_a_call_is_heard_in_one() {
    alone("logging::first_outside_then_inside");
}

/// Alone in its process, as `tracing` treats the first event and the only subscriber in a way of its own.
#[test]
#[ignore = "run by the test above"]
fn first_outside_then_inside() {
    let probe = probe();
    probe.lines.take();
    shared_event();
    assert_eq!(probe.lines.take(), []);
    probe.outcome("initialize", "shared event").expect("it logs");
    assert_eq!(probe.lines.texts(), ["shared cluster=shared event"]);
}
