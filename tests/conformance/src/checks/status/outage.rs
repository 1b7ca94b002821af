//! That `status` fails while the backend cannot be asked: a host that reads "stopped" launches everything a second time.

use longshore_plugin_api::{Clause, ErrorKind, WorkerStatus};
use longshore_providers::CallError;

use crate::{
    bench::Bench,
    subject::is_panic,
    verdict::{Must as _, Verdict, breach, demand},
    watch,
};

pub(crate) fn status_in_an_outage(bench: &Bench) -> Verdict {
    let clause = Clause::StatusUnreachable;
    let expected = "status fails while the backend cannot be asked";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let handles = subject.up_of(&cluster, &watch::apart(bench, bench.modest(2).min(2)))?;
    subject.wait_running(&cluster, &handles, clause)?;

    bench.out_of_reach(&subject, |cut_off| {
        // Once for all and once for each, as hosts ask; and once more, lest the first error end with a guess.
        let mut questions = vec![handles.clone()];
        questions.extend(handles.iter().map(|handle| vec![handle.clone()]));
        questions.push(handles.clone());
        for asked in questions {
            match cut_off.status(&cluster, &asked) {
                Err(CallError::Failed(error)) if error.kind() == ErrorKind::Unreachable => {}
                Err(error @ CallError::Failed(_)) if !is_panic(&error) => {
                    let note = "the error of status in an outage is not of the kind `unreachable`, which tells a host more";
                    if !bench.notes().iter().any(|known| known.starts_with(note)) {
                        bench.note(format!("{note}: {error}"));
                    }
                }
                // It was late. A host takes that for an error, too.
                Err(CallError::Deadline { .. }) => {}
                Err(error) => return Err::<(), _>(error).must(clause, expected),
                Ok(statuses) => {
                    let seen = format!("it answered {} for {:?}, which is running", statuses[0], asked[0]);
                    return breach(clause, expected, seen);
                }
            }
        }
        Ok(())
    })?;

    let expected = "after an outage the workers are as they were";
    let mut last = None;
    let back = bench.poll(bench.quirks().start, || match subject.status(&cluster, &handles) {
        Ok(statuses) => Ok(Some(statuses)),
        Err(error @ (CallError::Failed(_) | CallError::Deadline { .. })) => {
            last = Some(error);
            Ok(None)
        }
        Err(error) => Err::<Vec<WorkerStatus>, _>(error).must(clause, expected).map(Some),
    })?;
    match (back, last) {
        (Some(statuses), _) => {
            let place = statuses.iter().position(|status| *status != WorkerStatus::Running);
            demand(place.is_none(), clause, expected, || {
                let place = place.unwrap_or_default();
                format!("{:?} was running before it, and is {} after it", handles[place], statuses[place])
            })
        }
        (None, Some(error)) => breach(clause, expected, format_args!("status went on failing: {error}")),
        (None, None) => breach(clause, expected, "status was never answered"),
    }
}
