//! HYG-3: a library that keeps quiet. What it has to say goes to the host's log.

use std::fs;

use longshore_plugin_api::Clause;

use crate::{
    bench::Bench,
    order::Errand,
    quirks::Outlives,
    subject::handles,
    verdict::{OrFault as _, Verdict, demand},
};

/// How much of what was printed is shown, in characters.
const SHOWN: usize = 300;

/// What went to standard output or error of this process so far.
fn output(bench: &Bench) -> Verdict<Vec<u8>> {
    fs::read(bench.output()).or_fault("the output of this process could not be read")
}

pub(crate) fn output_stays_empty(bench: &Bench) -> Verdict {
    let expected = "a whole life of workers writes nothing to standard output or error";
    let before = output(bench)?.len();
    let quiet = |after: &str| -> Verdict {
        let now = output(bench)?;
        let printed = now.get(before..).unwrap_or_default();
        demand(printed.is_empty(), Clause::HygieneQuiet, expected, || {
            let text: String = String::from_utf8_lossy(printed).chars().take(SHOWN).collect();
            format!("{} bytes after {after}: {text:?}", printed.len())
        })
    };
    let cluster = bench.cluster();
    let subject = bench.provider()?;
    quiet("create")?;
    let workers = subject.up(&cluster, bench.modest(3))?;
    quiet("run")?;
    subject.wait_running(&cluster, &workers, Clause::StatusValue)?;
    // Whether they succeed is the business of other checks.
    drop(subject.status(&cluster, &handles(&["longshore-no-such-handle"])));
    drop(subject.is_running(&cluster, &workers));
    quiet("status")?;
    drop(subject.list(&cluster));
    quiet("list")?;
    drop(subject.kill(&cluster, &handles(&["longshore-no-such-handle"])));
    subject.down(&cluster, &workers)?;
    quiet("kill")?;
    drop(subject.cleanup(&cluster, false));
    drop(subject.server_status(&cluster));
    drop(subject.server_address(&cluster));
    drop(subject.stop_server(&cluster));
    quiet("cleanup and the functions of a server that is not there")?;
    // A failure is what people like to print.
    if let Some(bad) = &bench.quirks().bad_run {
        let subject = bench.provider_with(&bad.config)?;
        let container = bad.container.clone().unwrap_or_else(|| bench.quirks().container.clone());
        drop(subject.run(&cluster, &bench.request_of(container, 1))?);
        subject.shut_down();
        quiet("a run that failed")?;
    }
    for bad in &bench.quirks().bad_config {
        drop(bench.create(&bench.overlaid(&bad.config))?);
        quiet("a create that failed")?;
    }
    subject.shut_down();
    quiet("the drop")?;
    // What is kept in a buffer is written out when a process ends.
    let errand = if bench.quirks().outlives == Outlives::Process {
        Errand::Run { cluster, token: bench.token(), workers: 1 }
    } else {
        Errand::Status { cluster, handles: Vec::new() }
    };
    bench.elsewhere(errand)?;
    quiet("the end of another process that called the library")
}
