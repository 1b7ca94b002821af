//! What a worker sees of its request, told by the worker itself.

use std::{collections::BTreeMap, fs, path::Path};

use longshore_plugin_api::{Clause, Container, ErrorKind, RunRequest};
use longshore_providers::CallError;

use super::evidence::{Containers, reports, unheard};
use crate::{
    bench::Bench,
    subject::Subject,
    verdict::{Breach, Must as _, OrFault as _, Stop, Verdict, breach, demand, skip},
    witness::{Hello, Temper, Witness, Witnesses},
};

/// Texts that a shell, a template, a line-wise protocol or a careless encoding would change. None is too long for a
/// command line.
const ODD: &[&str] = &[
    "plain",
    "",
    " ",
    "two words",
    "  blanks around  ",
    "tab\there",
    "line\nbreak",
    "windows\r\nline",
    "\n",
    "it's",
    "\"quoted\"",
    "'single'",
    "back\\slash",
    "\\n",
    "ends with \\",
    "$HOME",
    "${HOME}",
    "$(id)",
    "`id`",
    "$$",
    "%PATH%",
    "%s %d %%",
    "{{ .Name }}",
    "{a,b}",
    "*",
    "~",
    "?[a-z]",
    "a;b",
    "a|b",
    "a&b",
    "a>b<c",
    "#no-comment",
    "!history",
    "--",
    "-x",
    "--flag=a b",
    "@file",
    "key=value",
    "a,b:c",
    "<b>&amp;</b>",
    "null",
    "007",
    "Zürich",
    "日本語",
    "مرحبا",
    "e\u{301}",
    "\u{1f6a2}",
    "\u{feff}mark",
    "\u{a0}",
    "\u{1b}[31m",
    "\u{7f}",
];
/// The length of a text that is longer than a line.
const LONG: usize = 5_000;

/// One worker of a container that runs a witness, and what it says.
struct Heard {
    request: RunRequest,
    containers: Containers,
    /// One a container. While they are held, the workers live.
    witnesses: Vec<Witness>,
}

/// Launches witnesses, and hears one from each container.
fn hear(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    workers: u32,
    container: impl FnOnce(&Witnesses) -> Verdict<Container>,
) -> Verdict<Heard> {
    // A name of their own for each launch, so that nobody left from another is heard.
    let witnesses = bench.witnesses()?;
    let request = bench.request_of(container(&witnesses)?, workers);
    let containers = subject.whole(cluster, &request)?;
    let heard = witnesses.expect(containers.len())?;
    demand(heard.len() == containers.len(), Clause::RunEnvironment, reports(bench.quirks().start), || {
        unheard(heard.len(), containers.len())
    })?;
    Ok(Heard { request, containers, witnesses: heard })
}

/// One witness, alone, with arguments and variables.
fn hear_one(bench: &Bench, args: &[&str], env: &[(&str, &str)]) -> Verdict<Hello> {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    // First one without anything odd: if that does not report, the fault lies elsewhere.
    hear(bench, &subject, &cluster, 1, |witnesses| witnesses.container(Temper::Meek, &[], &[]))?;
    let odd = |witnesses: &Witnesses| witnesses.container(Temper::Meek, args, env);
    let mut heard = hear(bench, &subject, &cluster, 1, odd).map_err(|stop| match stop {
        Stop::Breach(found) if found.clause == Clause::RunEnvironment => {
            let seen = "one whose arguments and variables are plain reports; with odd ones it does not";
            Stop::Breach(Breach { seen: seen.to_owned(), ..found })
        }
        other => other,
    })?;
    match heard.witnesses.pop() {
        Some(witness) => Ok(witness.hello),
        None => breach(Clause::RunCount, "a run of one worker launches a container", "it launched none"),
    }
}

pub(crate) fn run_arguments(bench: &Bench) -> Verdict {
    let args = odd_arguments();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let hello = hear_one(bench, &args, &[])?;
    same_arguments(&args, &hello, Clause::RunEnvironment)
}

/// Arguments that must arrive as they are.
pub(crate) fn odd_arguments() -> Vec<String> {
    let odd = ODD.iter().map(|text| (*text).to_owned());
    odd.chain(["long ".repeat(LONG / 5), "last".to_owned()]).collect()
}

/// Demands that a witness has its arguments.
pub(crate) fn same_arguments(args: &[&str], hello: &Hello, clause: Clause) -> Verdict {
    let expected = "the program has the arguments of its request, byte for byte";
    for (place, (arg, seen)) in args.iter().zip(&hello.args).enumerate() {
        demand(arg == seen, clause, expected, || {
            format!("the argument at {place} is {}, and arrived as {}", shown(arg), shown(seen))
        })?;
    }
    demand(args.len() == hello.args.len(), clause, expected, || {
        format!("of {} arguments {} arrived", args.len(), hello.args.len())
    })
}

/// A text for a report, cut where it is long.
fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

pub(crate) fn run_environment(bench: &Bench) -> Verdict {
    let env = odd_variables();
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let hello = hear_one(bench, &[], &env)?;
    same_variables(&env, &hello, Clause::RunEnvironment)
}

/// Variables that must arrive as they are.
pub(crate) fn odd_variables() -> Vec<(String, String)> {
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let numbered =
        ODD.iter().zip(0..).map(|(text, number)| (format!("CONFORMANCE_{number}"), (*text).to_owned()));
    let mut env: Vec<_> = numbered.collect();
    // Names of every allowed shape, and one that the worker would have anyhow.
    env.push(("CONFORMANCE_LONG".to_owned(), "long ".repeat(LONG / 5)));
    env.extend([("conformance_lower", "1"), ("_9", "2"), ("x", "3")].map(own));
    env.push(own(("HOME", "/the/home of the request")));
    env
}

/// Demands that a witness has its variables.
pub(crate) fn same_variables(env: &[(&str, &str)], hello: &Hello, clause: Clause) -> Verdict {
    for (name, value) in env {
        demand(
            hello.variable(name) == Some(*value),
            clause,
            "the program has the variables of its request, byte for byte",
            || match hello.variable(name) {
                Some(seen) => format!("{name} is {}, and arrived as {}", shown(value), shown(seen)),
                None => format!("{name}, which is {}, is not there", shown(value)),
            },
        )?;
    }
    Ok(())
}

pub(crate) fn run_variables_of_longshore(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let workers = bench.modest(6);
    // What a container brings along under these names must not be seen.
    let wrong = [("LONGSHORE_CLUSTER", "wrong"), ("LONGSHORE_TOKEN", "wrong"), ("LONGSHORE_WORKERS", "77")];
    let launch = |env: &[(&str, &str)]| {
        hear(bench, &subject, &cluster, workers, |witnesses| {
            Ok(Container { max_workers: Some(4), ..witnesses.container(Temper::Meek, &[], env)? })
        })
    };
    let first = launch(&[])?;
    let knows_handle = check_variables(&cluster, &first)?;
    drop(first.witnesses);
    let handles: Vec<_> = first.containers.into_iter().map(|(handle, _)| handle).collect();
    subject.down(&cluster, &handles)?;
    let mut env = wrong.to_vec();
    if knows_handle {
        env.push(("LONGSHORE_HANDLE", "wrong"));
    }
    check_variables(&cluster, &launch(&env)?).map(drop)
}

/// Holds the variables of all witnesses of a launch to the launch. Whether they have their handles.
fn check_variables(cluster: &str, heard: &Heard) -> Verdict<bool> {
    let token = heard.request.token.as_str();
    let mut counts = Vec::new();
    let mut handles = BTreeMap::new();
    for Witness { hello, .. } in &heard.witnesses {
        for (name, value) in [("LONGSHORE_CLUSTER", cluster), ("LONGSHORE_TOKEN", token)] {
            let seen = hello.variable(name);
            demand(
                seen == Some(value),
                Clause::RunEnvironment,
                format!("the worker has {name}={value}"),
                || seen.map_or_else(|| "it is not there".to_owned(), |seen| format!("{name}={seen}")),
            )?;
        }
        let count = hello.variable("LONGSHORE_WORKERS");
        let Some(number) = count.and_then(|text| text.parse::<u32>().ok()) else {
            let expected = "the worker has LONGSHORE_WORKERS, the number of workers in its container";
            return breach(Clause::RunEnvironment, expected, format_args!("it is {count:?}"));
        };
        counts.push(number);
        if let Some(handle) = hello.variable("LONGSHORE_HANDLE") {
            handles.insert(handle, number);
        }
    }
    let mut reported: Vec<u32> = heard.containers.iter().map(|(_, workers)| *workers).collect();
    counts.sort_unstable();
    reported.sort_unstable();
    let expected = "LONGSHORE_WORKERS is the number of workers in the container";
    demand(counts == reported, Clause::RunEnvironment, expected, || {
        format!("run answered with containers of {reported:?} workers, and they have {counts:?}")
    })?;
    if handles.is_empty() {
        return Ok(false);
    }
    for (handle, workers) in &handles {
        let known = heard.containers.iter().find(|(known, _)| &**known == *handle);
        let expected = "LONGSHORE_HANDLE, where it is there, is the container's own handle";
        demand(known.is_some_and(|(_, count)| count == workers), Clause::RunEnvironment, expected, || {
            match known {
                Some((_, count)) => {
                    format!("a container of {workers} workers has {handle}, the handle of one of {count}")
                }
                None => format!("it is {handle}, which run did not answer with"),
            }
        })?;
    }
    let expected = "no two containers have the same LONGSHORE_HANDLE";
    let having = heard.witnesses.iter().filter(|it| it.hello.variable("LONGSHORE_HANDLE").is_some()).count();
    demand(handles.len() == having, Clause::RunEnvironment, expected, || {
        format!("{having} containers share {} handles", handles.len())
    })?;
    Ok(true)
}

pub(crate) fn run_folder(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let odd = bench.scratch().join("it's a folder, $HOME");
    fs::create_dir_all(&odd).or_fault("a folder for a worker could not be made")?;
    let odd = odd.to_string_lossy().into_owned();
    let own = bench.quirks().witness.as_ref().and_then(|quirks| quirks.container.working_dir.clone());
    let mut tried = 0;
    let mut why = None;
    // Two that every system has, so that whoever passes over the request is wrong in one of them; and one of the check's own,
    // which workers on another machine do not have.
    for (folder, is_elsewhere) in
        [(Some("/".to_owned()), false), (Some("/tmp".to_owned()), false), (Some(odd), true), (own, false)]
    {
        let Some(folder) = folder else { continue };
        let witnesses = bench.witnesses()?;
        let container = witnesses.container(Temper::Meek, &[], &[])?;
        let container = Container { working_dir: Some(folder.clone()), ..container };
        let expected = format!("the worker starts in {folder}, the folder of its request");
        let launched = match subject.run(&cluster, &bench.request_of(container, 1))? {
            // A folder that is not there is such an error.
            Err(CallError::Failed(error)) if error.kind() == ErrorKind::Permanent => {
                why = Some(error.to_string());
                continue;
            }
            answer => answer.must(Clause::RunEnvironment, &expected)?,
        };
        let heard = witnesses.expect(launched.handles.len())?;
        match heard.first() {
            Some(witness) => {
                let seen = Path::new(&witness.hello.folder);
                // A link is another name for the same folder.
                let same =
                    seen == Path::new(&folder) || fs::canonicalize(&folder).is_ok_and(|real| real == seen);
                demand(same, Clause::RunEnvironment, expected, || {
                    format!("it starts in {}", seen.display())
                })?;
                tried += 1;
            }
            None if is_elsewhere => {}
            None => return breach(Clause::RunEnvironment, expected, unheard(0, 1)),
        }
    }
    match why {
        Some(why) if tried == 0 => skip(format_args!("the provider refuses a folder for good: {why}")),
        _ => Ok(()),
    }
}
