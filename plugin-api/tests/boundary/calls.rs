//! Deadlines and cancellations.

use std::{sync::mpsc, time::Duration};

use longshore_plugin_abi::level;
use longshore_plugin_api::{Error, ErrorKind};

use crate::host::{Call, Control, probe};

const LONG: Duration = Duration::from_hours(10);

fn outcome(cluster: &str, budget: Duration, control: &Control) -> Result<(), Error> {
    let probe = probe();
    let call = Call { cluster, budget, control, lines: probe.lines, max_level: level::INFO };
    probe.by_name("stop_server", &call.context())
}

fn kind(outcome: &Result<(), Error>) -> Option<ErrorKind> {
    outcome.as_ref().err().map(Error::kind)
}

#[test]
fn a_call_in_time_is_left_alone() {
    for cluster in ["check", "nap"] {
        assert_eq!(outcome(cluster, LONG, &Control::default()), Ok(()), "{cluster}");
    }
}

#[test]
fn a_deadline_ends_a_sleep_and_fails_a_check() {
    for cluster in ["sleep", "check until it fails"] {
        let ended = outcome(cluster, Duration::from_millis(5), &Control::default());
        assert_eq!(kind(&ended), Some(ErrorKind::Cancelled), "{cluster}");
    }
    for cluster in ["sleep", "nap", "check"] {
        let ended = outcome(cluster, Duration::ZERO, &Control::default());
        assert_eq!(kind(&ended), Some(ErrorKind::Cancelled), "{cluster}");
    }
}

#[test]
fn a_cancellation_ends_a_sleep_and_fails_a_check() {
    for cluster in ["sleep", "check until it fails"] {
        let control = Control::default();
        let (ended, end) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| ended.send(outcome(cluster, LONG, &control)));
            control.cancel();
            let ended =
                end.recv_timeout(Duration::from_mins(1)).expect("it ends long before its hour is over");
            assert_eq!(kind(&ended), Some(ErrorKind::Cancelled), "{cluster}");
        });
    }
}

#[test]
fn a_call_that_is_cancelled_already_does_not_begin_to_sleep() {
    let control = Control::default();
    control.cancel();
    for cluster in ["sleep", "nap", "check"] {
        assert_eq!(kind(&outcome(cluster, LONG, &control)), Some(ErrorKind::Cancelled), "{cluster}");
    }
}
