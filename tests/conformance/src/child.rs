//! The process of a check: reads its order, does it, sweeps up after itself, and writes a report. Whatever the plugin does
//! here, the runner lives on.

use std::{
    any::Any,
    env,
    fs::OpenOptions,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{self, Command, ExitCode, ExitStatus, Stdio},
    sync::Mutex,
};

use longshore_plugin_api::{ErrorKind, Killed, Level, RunRequest};
use longshore_providers::{CallError, Library};
use serde_json::Value;

use crate::{
    bench::Bench,
    check::Check,
    listener,
    order::{self, Brought, Errand, Order, Reported, Task},
    subject::handles,
    sweep,
    verdict::{Outcome, Stop, Verdict, fault},
    witness,
};

/// The first argument of the process of a check; the path of its order follows.
const FLAG: &str = "--longshore-conformance-child";

/// The exit code of the process of a check that could not do its own work: one that no plugin is likely to choose.
const FAULT: u8 = 121;

/// What such an end means, for a person.
pub(crate) const FAULTY: &str = "a check's process could not read its order or write its report: the disk of the temporary \
                                 folder is full, or the provider removed the check's folder, for instance";

/// Whether a process ended since the harness failed in it.
pub(crate) fn is_fault(status: ExitStatus) -> bool {
    status.code() == Some(i32::from(FAULT))
}

/// The command that starts the process of a check.
pub(crate) fn command(program: &Path, order: &Path) -> Command {
    let mut command = Command::new(program);
    // It is told who starts it, to know when that process is gone.
    command.arg(FLAG).arg(order).arg(process::id().to_string()).stdin(Stdio::null());
    command
}

/// What every program that runs checks calls first in its `main`: where it was started to be the process of a check, a
/// worker that tells the check of itself, or a server that listens, it does that, and the program ends with the code that is returned.
pub fn intercept() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let first = arguments.next()?;
    for (flag, program) in
        [(witness::FLAG, witness::main as fn(&[String]) -> ExitCode), (listener::FLAG, listener::main)]
    {
        if first == flag {
            let rest: Option<Vec<String>> = arguments.map(|argument| argument.into_string().ok()).collect();
            return Some(rest.map_or(ExitCode::from(2), |rest| program(&rest)));
        }
    }
    if first == FLAG {
        let path = arguments.next()?;
        let parent = arguments.next().and_then(|parent| parent.to_str()?.parse().ok());
        return Some(main(Path::new(&path), parent));
    }
    None
}

fn main(path: &Path, parent: Option<u32>) -> ExitCode {
    // The runner may be killed: then nobody waits for this process any more.
    #[cfg(target_os = "linux")]
    if nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).is_err() {
        return ExitCode::from(FAULT);
    }
    // It may have been killed before that.
    if parent != Some(std::os::unix::process::parent_id()) {
        return ExitCode::from(FAULT);
    }
    let Ok(order) = order::read::<Order>(path) else { return ExitCode::from(FAULT) };
    let report = order.report();
    let reported = catch_unwind(AssertUnwindSafe(|| obey(order)));
    let reported = match reported {
        Ok(Ok(reported)) => reported,
        Ok(Err(stop)) => Reported::Fault(words(stop)),
        Err(panic) => Reported::Fault(format!("it panicked: {}", panic_text(panic.as_ref()))),
    };
    if order::write(&report, &reported).is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAULT) }
}

fn words(stop: Stop) -> String {
    match stop {
        Stop::Breach(breach) => format!("{}: {}", breach.clause, breach.seen),
        Stop::Skip(text) | Stop::Fault(text) => text,
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with something that is no text")
}

fn obey(order: Order) -> Verdict<Reported> {
    log_to(&order.log());
    match &order.task {
        Task::Inspect => Ok(inspect(&order)),
        Task::Check(name) => {
            let Some(check) = Check::named(name) else {
                return fault(format_args!("there is no check {name}"));
            };
            run(check, order)
        }
        Task::Sweep => {
            let bench = Bench::new(order)?;
            let left_behind = sweep::sweep(&bench)?;
            Ok(Reported::Swept { left_behind, notes: bench.notes() })
        }
        Task::Errand(errand) => {
            let errand = errand.clone();
            do_errand(&Bench::new(order)?, &errand).map(Reported::Brought)
        }
    }
}

/// The provider's log lines go to a file, whose end is shown where a check fails.
fn log_to(path: &Path) {
    let Ok(file) = OpenOptions::new().create(true).append(true).open(path) else { return };
    let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(Mutex::new(file));
    // Nobody else sets one in this process.
    drop(subscriber.try_init());
}

fn inspect(order: &Order) -> Reported {
    match Library::open(&order.library) {
        Ok(library) => match library.validate_config(&Value::Object(order.config.clone())) {
            Ok(()) => Reported::Library(Box::new(library.metadata().clone())),
            Err(error) => Reported::Misconfigured(error.to_string()),
        },
        Err(error) => {
            // What is no library of this machine at all is the user's mistake, and no breach.
            let is_a_plugin = error.clause().is_some();
            Reported::Refused { is_a_plugin, text: error.to_string() }
        }
    }
}

/// Runs a check, then sweeps. The outcome is written before the sweep, lest it be lost with it; as one that is not the last
/// word, lest a process that a plugin ends in the sweep look like one that came to its end.
fn run(check: Check, order: Order) -> Verdict<Reported> {
    let bench = Bench::new(order)?;
    let verdict = catch_unwind(AssertUnwindSafe(|| check.run(&bench)));
    let outcome = match verdict {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(Stop::Breach(breach))) if check.level() == Level::Should => Outcome::Warning(breach),
        Ok(Err(Stop::Breach(breach))) => Outcome::Failed(breach),
        Ok(Err(Stop::Skip(because))) => Outcome::Skipped { because },
        Ok(Err(Stop::Fault(what))) => Outcome::HarnessFault { what },
        Err(panic) => {
            Outcome::HarnessFault { what: format!("the check panicked: {}", panic_text(panic.as_ref())) }
        }
    };
    let unswept = |because| Reported::Unswept { outcome: outcome.clone(), notes: bench.notes(), because };
    order::write(&bench.order().report(), &unswept(None))?;
    bench.progress("sweep");
    Ok(match catch_unwind(AssertUnwindSafe(|| sweep::sweep(&bench))) {
        Ok(Ok(left_behind)) => Reported::Check { outcome, left_behind, notes: bench.notes() },
        Ok(Err(stop)) => unswept(Some(words(stop))),
        Err(panic) => unswept(Some(format!("it panicked: {}", panic_text(panic.as_ref())))),
    })
}

fn do_errand(bench: &Bench, errand: &Errand) -> Verdict<Brought> {
    let subject = bench.provider()?;
    let brought = match errand {
        Errand::List { cluster } => subject.list(cluster).map(Brought::List),
        Errand::Status { cluster, handles: texts } => {
            subject.status(cluster, &handles(texts)).map(Brought::Status)
        }
        Errand::Run { cluster, token, workers } => {
            let request = RunRequest { token: token.clone(), ..bench.request(*workers) };
            let launched = subject.run(cluster, &request)?;
            match launched {
                Err(CallError::Failed(error)) if error.kind() == ErrorKind::Permanent => {
                    Ok(Brought::Permanent(error.to_string()))
                }
                launched => launched.map(|launched| {
                    let handles = launched.handles.iter();
                    Brought::Run(handles.map(|(handle, workers)| (handle.to_string(), *workers)).collect())
                }),
            }
        }
        Errand::Kill { cluster, handles: texts } => {
            let killed = subject.kill(cluster, &handles(texts));
            killed.map(|all| Brought::Kill(all.into_iter().map(|it| it == Killed::Yes).collect()))
        }
    };
    Ok(brought.unwrap_or_else(|error| Brought::Failed(error.to_string())))
}
