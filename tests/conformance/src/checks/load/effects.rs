//! LOAD-7: what loading a library does beside loading it, which is nothing. Each check runs in a process of its own, in which
//! the library has not been loaded before; the metadata are read and every interface is asked for, as a host does.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_plugin_api::Clause;
use longshore_providers::{Library, LoadError, LoadErrorKind};

use super::library::open;
use crate::{
    bench::Bench,
    census, child,
    order::{self, Order, Task},
    verdict::{OrFault as _, Verdict, breach, demand, fault},
};

const CLAUSE: Clause = Clause::LoadNoSideEffects;

/// How long loading may take: it must "end within seconds".
const QUICK: Duration = Duration::from_secs(5);

/// An interface of nobody's.
const NOBODYS: &str = "longshore.conformance-no-such-interface/1";

/// The beginning of the private copy's name, which the host keeps open for good.
const COPY: &str = "/memfd:longshore-";

/// How much of what was printed is shown, in characters.
const SHOWN: usize = 300;

/// Loads the library, reads its metadata and asks for its interfaces, all on this thread, so that what is done to a thread can
/// be seen afterwards.
fn load(bench: &Bench) -> Verdict {
    bench.progress("load");
    let loaded = Library::open_here(bench.path());
    bench.progress("-");
    ask(loaded)
}

/// Asks for the interfaces. A library that is refused, for a clause that other checks are for, has been loaded all the same.
fn ask(loaded: Result<Arc<Library>, LoadError>) -> Verdict {
    match loaded {
        Ok(library) => {
            for id in library.metadata().interfaces.iter().map(String::as_str).chain([NOBODYS]) {
                let _ = library.answers(id);
            }
            Ok(())
        }
        Err(error) if error.kind() == LoadErrorKind::Stuck => breach(CLAUSE, CLAUSE.text(), error),
        Err(error) if error.clause().is_none() => fault(error),
        Err(_) => Ok(()),
    }
}

pub(crate) fn load_starts_no_thread(bench: &Bench) -> Verdict {
    let expected = "after loading the library, reading its metadata and asking for its interfaces the process has the \
                    threads, child processes and descriptors that it had before";
    let (threads, children, descriptors) = (census::threads()?, census::children()?, census::descriptors()?);
    let (loaded, came) = census::threads_during(|| load(bench))?;
    loaded?;
    demand(came.is_empty(), CLAUSE, expected, || {
        let left = census::threads().map(|now| now.beyond(&threads)).unwrap_or_default();
        let word = if left.is_empty() { "ended again" } else { "is there still" };
        format!("{came} came up during the loading, and {word}")
    })?;
    let left = census::settle(|| Ok(census::children()?.beyond(&children)))?;
    demand(left.is_empty(), CLAUSE, expected, || format!("left over: {left}"))?;
    let left = census::settle(|| {
        Ok(census::descriptors()?.more_than(&descriptors).filtered(|what| !what.starts_with(COPY)))
    })?;
    demand(left.is_empty(), CLAUSE, expected, || format!("left open: {left}"))
}

pub(crate) fn load_changes_no_signal(bench: &Bench) -> Verdict {
    let before = census::Signals::now()?;
    load(bench)?;
    let changes = before.changes(&census::Signals::now()?);
    demand(changes.is_empty(), CLAUSE, "loading changes no signal's disposition and no thread's mask", || {
        changes.join(", ")
    })
}

/// What a process has once, for all its threads.
#[derive(PartialEq, Eq)]
struct Surroundings {
    variables: BTreeMap<OsString, OsString>,
    folder: PathBuf,
    umask: Option<u32>,
    limits: Vec<String>,
}

impl Surroundings {
    fn now() -> Verdict<Self> {
        Ok(Self {
            variables: env::vars_os().collect(),
            folder: env::current_dir().or_fault("the working folder could not be read")?,
            umask: census::umask()?,
            limits: census::limits()?,
        })
    }

    /// The first difference, in words.
    fn change(&self, now: &Self) -> Option<String> {
        let name = |name: &OsString| name.to_string_lossy().into_owned();
        let variable = now.variables.iter().find(|(key, value)| self.variables.get(*key) != Some(*value));
        if let Some((key, _)) = variable {
            let word = if self.variables.contains_key(key) { "has another value" } else { "is new" };
            return Some(format!("the variable {} {word}", name(key)));
        }
        if let Some(key) = self.variables.keys().find(|key| !now.variables.contains_key(*key)) {
            return Some(format!("the variable {} is gone", name(key)));
        }
        if self.folder != now.folder {
            return Some(format!(
                "the working folder was {}, and is {}",
                self.folder.display(),
                now.folder.display()
            ));
        }
        if let (Some(before), Some(now)) = (self.umask, now.umask)
            && before != now
        {
            return Some(format!("the umask was {before:03o}, and is {now:03o}"));
        }
        self.limits
            .iter()
            .zip(&now.limits)
            .find(|(before, now)| before != now)
            .map(|(before, now)| format!("the limit \"{}\" is now \"{}\"", squeezed(before), squeezed(now)))
    }
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn load_changes_no_environment(bench: &Bench) -> Verdict {
    let expected = "loading changes no environment variable, nor the working folder, the umask or the limits of the process";
    let before = Surroundings::now()?;
    load(bench)?;
    let change = before.change(&Surroundings::now()?);
    demand(change.is_none(), CLAUSE, expected, || change.unwrap_or_default())
}

/// In a process that does nothing but load the library and end: so that what is printed late, by a buffer that is written out
/// at the end, is seen as well.
pub(crate) fn load_prints_nothing(bench: &Bench) -> Verdict {
    let folder = bench.order().folder.join("printing");
    fs::create_dir(&folder).or_fault("a folder could not be made")?;
    let order = Order { task: Task::Inspect, folder, ..bench.order().clone() };
    let file = order.folder.join("order.json");
    order::write(&file, &order)?;
    let program = env::current_exe().or_fault("the harness does not know its own program")?;
    let ended = child::command(&program, &file)
        .output()
        .or_fault("a process that loads the library could not be started")?;
    let expected = "loading the library and reading its metadata writes nothing to standard output or error";
    for (stream, bytes) in [("standard output", &ended.stdout), ("standard error", &ended.stderr)] {
        if !bytes.is_empty() {
            let text: String = String::from_utf8_lossy(bytes).chars().take(SHOWN).collect();
            return breach(CLAUSE, expected, format_args!("{} bytes on {stream}: {text:?}", bytes.len()));
        }
    }
    demand(order.report().exists(), CLAUSE, "a process that loads the library goes on", || {
        format!("it ended with {}", ended.status)
    })
}

pub(crate) fn load_is_quick(bench: &Bench) -> Verdict {
    // As a host does it, which gives it up after a while.
    let begin = Instant::now();
    ask(open(bench))?;
    let took = begin.elapsed();
    demand(took <= QUICK, CLAUSE, format_args!("loading ends within {QUICK:?}"), || {
        format!("it took {took:?}")
    })
}
