//! Mutants that end the process, or do not come back: the run lives on, and tells what happened and in which call.

use std::time::Duration;

use longshore_conformance::{Check, Outcome};
use longshore_mutants::catalogue::{Crasher, End};
use nix::sys::signal::Signal;

use crate::row;

/// Short limits, for what does not come back.
const CALL: Duration = Duration::from_millis(500);
const CHECK: Duration = Duration::from_secs(4);

/// Whether a run with this mutant tells how the process ended, and in which call.
pub(crate) fn is_told(crasher: &Crasher) -> Result<(), String> {
    let mut trial = row::trial(&crasher.library, &crasher.config, &crasher.env)?;
    if crasher.end == End::Never {
        trial.quirks.call = CALL;
        trial.quirks.check = CHECK;
    }
    trial.checks = Check::named(crasher.check).into_iter().collect();
    let report = row::run(&trial)?;
    let [finding] = &report.findings[..] else { return Err(format!("there is no check {}", crasher.check)) };
    let told = match (crasher.end, &finding.outcome) {
        (End::Signal(number), Outcome::Crashed { how, during }) => {
            let signal = Signal::try_from(number).map_err(|error| error.to_string())?;
            how == signal.as_str() && is_in(during.as_deref(), crasher.function)
        }
        (End::Exit(code), Outcome::Crashed { how, during }) => {
            *how == format!("exit code {code}") && is_in(during.as_deref(), crasher.function)
        }
        (End::Never, Outcome::TimedOut { during, .. }) => is_in(during.as_deref(), crasher.function),
        (End::Never, Outcome::Failed(breach)) => breach.seen.contains("did not"),
        _ => false,
    };
    if told {
        return Ok(());
    }
    Err(format!(
        "it should be told that {} ended with {:?}:\n{}",
        crasher.name,
        crasher.end,
        row::tell([finding])
    ))
}

/// Whether the call that was under way is the one that the function is reached by.
fn is_in(during: Option<&str>, function: &str) -> bool {
    match function {
        "constructor" | "metadata" | "query" => during == Some("load"),
        _ => during == Some(function),
    }
}
