//! HYG-1: whatever comes in, what goes out is an answer or an error; and a call that failed harms no other.

use std::time::{Duration, Instant};

use longshore_plugin_api::{Clause, Container, ErrorKind, ServerRequest, WorkerStatus};
use longshore_providers::CallError;

use crate::{
    bench::Bench,
    quirks::Costly,
    subject::{Handle, Subject},
    texts,
    verdict::{Must as _, Verdict, breach, demand},
};

const CLAUSE: Clause = Clause::HygienePanic;

const EXPECTED: &str =
    "odd text ends in an answer or an error, and in neither a panic nor the end of the process";

/// The part of a check's time that odd handles may take.
const PART_FOR_HANDLES: u32 = 4;

/// How many odd handles are asked for alone however long that takes.
const FEWEST_ALONE: usize = 3;

/// The longest text of a variable or an argument that is tried, in bytes.
const LONG_TEXT: usize = 16 << 10;

/// The longest name of a cluster.
const LONGEST_NAME: usize = 63;

/// The odd texts that are tried in each field of a container, where launches cost something.
const FEW: usize = 1;

/// The answer of a call that was given an odd text, or nothing where it failed in the way of a call.
fn sane<T>(answer: Result<T, CallError>, place: &str, text: &str) -> Verdict<Option<T>> {
    let text: String = text.chars().take(60).collect();
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CallError::Failed(error)) if error.kind() == ErrorKind::Panic => breach(
            CLAUSE,
            EXPECTED,
            format_args!("given {text:?} as {place}, it panicked: {}", error.message()),
        ),
        // The plugin may refuse what it does not like, and need not have every function.
        Err(CallError::Failed(_) | CallError::NotSent { .. }) => Ok(None),
        Err(error @ CallError::Violation(_)) => Err(error).must(CLAUSE, EXPECTED),
        Err(error) => breach(CLAUSE, EXPECTED, format_args!("given {text:?} as {place}: {error}")),
    }
}

/// Demands that an instance works as on its first day.
fn works(bench: &Bench, subject: &Subject<'_>, cluster: &str, after: &str) -> Verdict {
    let expected = format!("after {after} the instance works as before");
    let request = bench.request(bench.modest(2));
    let launched = subject.run(cluster, &request)?.must(CLAUSE, &expected)?;
    let handles: Vec<Handle> = launched.handles.into_iter().map(|(handle, _)| handle).collect();
    demand(launched.shortfall.is_none(), CLAUSE, &expected, || "a run fell short")?;
    subject.wait_running(cluster, &handles, CLAUSE)?;
    if subject.provider().has_list() {
        let listed = subject.list(cluster).must(CLAUSE, &expected)?;
        let lost = handles.iter().find(|handle| listed.iter().all(|entry| *entry.handle != ***handle));
        demand(lost.is_none(), CLAUSE, &expected, || {
            format!("{} is not listed", lost.map_or("", AsRef::as_ref))
        })?;
    }
    subject.kill_all(cluster, &handles, CLAUSE)?;
    subject.wait_stopped(cluster, &handles, CLAUSE)
}

pub(crate) fn odd_text_does_no_harm(bench: &Bench) -> Verdict {
    let cluster = bench.cluster();
    let subject = bench.provider()?;
    odd_handles(bench, &subject, &cluster)?;
    odd_clusters(bench, &subject)?;
    odd_containers(bench, &subject, &cluster)?;
    odd_servers(bench, &subject)?;
    works(bench, &subject, &cluster, "odd text")
}

/// All odd handles in one call, and each in a call of its own, so that none hides behind the failure of another; but where calls
/// take long, as a kill may that answers when it has gone all of its way, no more of these than there is time for.
fn odd_handles(bench: &Bench, subject: &Subject<'_>, cluster: &str) -> Verdict {
    let odd = texts::odd();
    let begin = Instant::now();
    let time = bench.quirks().check / PART_FOR_HANDLES;
    let alone = odd.iter().map(std::slice::from_ref);
    for (asked, some) in [odd.as_slice()].into_iter().chain(alone).enumerate() {
        if asked > FEWEST_ALONE && begin.elapsed() > time {
            bench.note(format!(
                "calls take so long that {} of {} odd handles were not asked for alone: a longer `check` in the quirks file \
                 leaves time for them",
                odd.len() + 1 - asked,
                odd.len()
            ));
            break;
        }
        let text = if let [one] = some { one.as_ref() } else { "all odd texts" };
        sane(subject.status(cluster, some), "a handle of status", text)?;
        sane(subject.kill(cluster, some), "a handle of kill", text)?;
        sane(subject.is_initializing(cluster, some), "a handle of is_initializing", text)?;
        sane(subject.is_running(cluster, some), "a handle of is_running", text)?;
        sane(subject.is_stopped(cluster, some), "a handle of is_stopped", text)?;
    }
    Ok(())
}

/// Names of clusters that are allowed, of clusters that are not there.
fn odd_clusters(bench: &Bench, subject: &Subject<'_>) -> Verdict {
    let name = bench.cluster();
    let padded =
        |with: &str| format!("{name}{}", with.repeat(LONGEST_NAME.saturating_sub(name.len()) / with.len()));
    let names = [
        format!("{name}..").to_owned(),
        format!("{name}.lock"),
        format!("{name}.json"),
        format!("{name}.tmp"),
        format!("{name}--"),
        format!("{name}_"),
        name.to_uppercase(),
        padded("."),
        padded("-"),
        padded("a"),
    ];
    for name in names.iter().filter(|name| name.len() <= LONGEST_NAME) {
        let handle: Handle = format!("longshore-no-such-handle-of-{name}").into();
        sane(subject.prepare(name), "the cluster of initialize", name)?;
        sane(subject.status(name, &[Handle::clone(&handle)]), "the cluster of status", name)?;
        sane(subject.kill(name, &[handle]), "the cluster of kill", name)?;
        sane(subject.list(name), "the cluster of list", name)?;
        sane(subject.cleanup(name, false), "the cluster of cleanup", name)?;
        sane(subject.server_status(name), "the cluster of server_status", name)?;
        sane(subject.server_address(name), "the cluster of server_address", name)?;
        sane(subject.stop_server(name), "the cluster of stop_server", name)?;
    }
    Ok(())
}

/// Containers with odd text in one of their fields, such as an operator's file may have. None of them does anything, should
/// somebody run it.
fn containers(plain: &Container, few: bool) -> Vec<(&'static str, String, Container)> {
    let long = "longshore ".repeat(LONG_TEXT / 10);
    let texts = ["'", "$(true) `true` ; true", "a\nb\r\n\t", "\u{202e}é👩‍👩‍👧", "-", "", &long];
    let texts = &texts[..if few { FEW } else { texts.len() }];
    let mut all = Vec::new();
    let mut put = |place, text: &str, change: &dyn Fn(&mut Container, String)| {
        let mut container = plain.clone();
        change(&mut container, text.to_owned());
        all.push((place, text.to_owned(), container));
    };
    for text in texts {
        put("an argument", text, &|it, text| it.args.push(text));
        put("the value of a variable", text, &|it, text| drop(it.env.insert("LS_ODD".to_owned(), text)));
        if !text.is_empty() {
            put("the name of a variable", text, &|it, text| drop(it.env.insert(text, "odd".to_owned())));
            put("the command", text, &|it, text| {
                it.command = Some(format!("/longshore-no-such-program{text}"));
            });
            put("the folder", text, &|it, text| {
                it.working_dir = Some(format!("/longshore-no-such-folder{text}"));
            });
            put("the image", text, &|it, text| it.image = Some(format!("longshore-no-such-image{text}")));
        }
    }
    all
}

fn odd_containers(bench: &Bench, subject: &Subject<'_>, cluster: &str) -> Verdict {
    let few = bench.cheap(Costly::Launches).is_err();
    let mut launched = Vec::new();
    for (place, text, container) in containers(&bench.quirks().container, few) {
        let answer = subject.run(cluster, &bench.request_of(container, 1))?;
        let handles = sane(answer, place, &text)?.map(|launched| launched.handles).unwrap_or_default();
        let handles: Vec<Handle> = handles.into_iter().map(|(handle, _)| handle).collect();
        sane(subject.status(cluster, &handles), place, &text)?;
        sane(subject.kill(cluster, &handles), place, &text)?;
        launched.extend(handles);
    }
    let mut request = bench.request(1);
    request.hardware.id = Some("longshore no such machine '$(true)'\n\u{202e}".to_owned());
    let answer = subject.run(cluster, &request)?;
    let handles = sane(answer, "the hardware's id", "longshore no such machine")?;
    launched.extend(handles.into_iter().flat_map(|launched| launched.handles).map(|(handle, _)| handle));
    sane(subject.kill(cluster, &launched), "workers", "odd containers").map(drop)
}

fn odd_servers(bench: &Bench, subject: &Subject<'_>) -> Verdict {
    let Some(server) = &bench.quirks().server else { return Ok(()) };
    if !subject.provider().has_server() || bench.cheap(Costly::Servers).is_err() {
        return Ok(());
    }
    for (place, text, container) in containers(&server.container, true) {
        let cluster = bench.cluster();
        let request = ServerRequest { container, hardware: server.hardware.clone(), port: None };
        sane(subject.run_server(&cluster, &request)?, place, &text)?;
        sane(subject.server_status(&cluster), place, &text)?;
        sane(subject.server_address(&cluster), place, &text)?;
        sane(subject.stop_server(&cluster), place, &text)?;
    }
    Ok(())
}

pub(crate) fn instance_survives_failures(bench: &Bench) -> Verdict {
    let cluster = bench.cluster();
    let subject = bench.provider()?;
    let survivors = subject.up(&cluster, bench.modest(2))?;
    subject.wait_running(&cluster, &survivors, CLAUSE)?;
    let live = |subject: &Subject<'_>, after: &str| -> Verdict {
        let expected = format!("after {after} the instance works as before");
        let statuses = subject.status(&cluster, &survivors).must(CLAUSE, &expected)?;
        let lost = statuses.iter().position(|status| *status != WorkerStatus::Running);
        demand(lost.is_none(), CLAUSE, &expected, || {
            let place = lost.unwrap_or_default();
            format!("the worker {}, which was running, is {}", survivors[place], statuses[place])
        })
    };

    // Runs of what cannot be started: that of the quirks, and what no system has.
    let bad = bench.quirks().bad_run.as_ref();
    let mut bad: Vec<Container> =
        bad.into_iter().filter(|bad| bad.config.is_empty()).filter_map(|bad| bad.container.clone()).collect();
    let plain = &bench.quirks().container;
    bad.push(Container { command: Some("/longshore/no/such/program".to_owned()), ..plain.clone() });
    bad.push(Container { working_dir: Some("/longshore/no/such/folder".to_owned()), ..plain.clone() });
    for container in bad {
        let answer = subject.run(&cluster, &bench.request_of(container, 1))?;
        settle(&subject, &cluster, answer.map(|launched| launched.handles))?;
    }
    let is_cheap = bench.cheap(Costly::Launches).is_ok();
    live(&subject, "runs that failed")?;
    if is_cheap {
        works(bench, &subject, &cluster, "runs that failed")?;
    }

    // Runs that are given up: before they begin, in the middle, at a deadline.
    for budget in [Duration::from_millis(1), Duration::from_millis(20), bench.quirks().call] {
        let expected = "a run that is given up has an answer in the end";
        let running = subject.begin_run(&cluster, &bench.request(1), budget)?.must(CLAUSE, expected)?;
        running.cancel();
        settle(&subject, &cluster, running.answer()?.map(|launched| launched.handles))?;
    }
    live(&subject, "runs that were cancelled")?;
    if is_cheap {
        works(bench, &subject, &cluster, "runs that were cancelled")?;
    }

    // Another instance, which cannot be made, or which fails at each run.
    for bad in &bench.quirks().bad_config {
        drop(bench.create(&bench.overlaid(&bad.config))?);
    }
    if let Some(bad) = bench.quirks().bad_run.as_ref().filter(|bad| !bad.config.is_empty()) {
        let failing = bench.provider_with(&bad.config)?;
        let container = bad.container.clone().unwrap_or_else(|| plain.clone());
        for _ in 0..3 {
            let answer = failing.run(&cluster, &bench.request_of(container.clone(), 1))?;
            settle(&failing, &cluster, answer.map(|launched| launched.handles))?;
        }
        let expected = "after runs that failed the instance answers for other workers as before";
        failing.status(&cluster, &survivors).must(CLAUSE, expected)?;
        failing.kill(&cluster, &texts::nobodys(bench.token().as_str(), 1)).must(CLAUSE, expected)?;
    }
    live(&subject, "failures of other instances")?;
    works(bench, &subject, &cluster, "failures of its own and of other instances")?;
    subject.kill_all(&cluster, &survivors, CLAUSE)?;
    subject.wait_stopped(&cluster, &survivors, CLAUSE)
}

/// Kills what a run that was to fail has made all the same, and lets nothing but a panic count.
fn settle(subject: &Subject<'_>, cluster: &str, answer: Result<Vec<(Handle, u32)>, CallError>) -> Verdict {
    let handles = sane(answer, "what cannot be run", "")?.unwrap_or_default();
    let handles: Vec<Handle> = handles.into_iter().map(|(handle, _)| handle).collect();
    sane(subject.kill(cluster, &handles), "what cannot be run", "").map(drop)
}
