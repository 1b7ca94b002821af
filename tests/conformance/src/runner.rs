//! The runner: one process a check, a few of them side by side, a report at the end. It never loads the library itself.

mod traces;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use longshore_plugin_api::Metadata;
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::{
    check::Check,
    child, ledger,
    order::{self, Order, Placeholders, Reported, Task},
    process::{self, End, Program},
    quirks::Quirks,
    report::{Counts, FORMAT, PluginInfo, Report},
    verdict::{Finding, INTERRUPTED, Leftover, OrFault as _, Outcome, Stop, Verdict, fault, millis},
};

/// How much longer a check may take with `--long`.
const LONG: u32 = 10;

/// How many checks run side by side for each processor, as most of their time is waiting.
pub const JOBS: usize = 2;

/// A run of checks over a library.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The library's file.
    pub library: PathBuf,
    /// The provider's configuration; that of the quirks where there is none.
    pub config: Option<Map<String, Value>>,
    /// How the provider is to be tried.
    pub quirks: Quirks,
    /// The checks.
    pub checks: Vec<Check>,
    /// How many may run side by side, at least 1; the quirks may allow fewer.
    pub jobs: usize,
    /// Whether checks may take their time and the provider's.
    pub long: bool,
    /// What random checks begin with.
    pub seed: u64,
    /// The program that is started for each check: one whose `main` begins with [`intercept`](crate::intercept).
    pub program: PathBuf,
    /// Variables for the environment of these processes, beside those of this one.
    pub env: Vec<(String, String)>,
    /// Set it to end the run early: what is under way is ended and swept, and the rest is skipped.
    pub stop: Arc<AtomicBool>,
}

/// What happens during a run.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It begins. The metadata are there where the library could be loaded.
    Begun {
        /// What the plugin says of itself.
        plugin: Option<&'a Metadata>,
        /// How many checks there are.
        checks: usize,
    },
    /// A check has begun.
    Started(Check),
    /// A check has ended.
    Ended(&'a Finding),
}

/// Why there is no run at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The file is none that could be a plugin: what, where and what to do.
    NotAPlugin(String),
    /// The configuration that the provider was to be made with does not fit the plugin's schema.
    Config(String),
    /// The harness failed.
    Fault(String),
}

/// What a library said of itself, or why it did not.
enum Inspected {
    Loaded(Box<Metadata>),
    /// Only the checks of loading are of use.
    Broken {
        because: String,
    },
}

impl Trial {
    /// A trial of a library with every check, in the usual way: [`JOBS`] a processor side by side.
    pub fn new(library: PathBuf, quirks: Quirks, program: PathBuf) -> Self {
        Self {
            library,
            config: None,
            quirks,
            checks: Check::ALL.to_vec(),
            jobs: JOBS * thread::available_parallelism().map_or(1, usize::from),
            long: false,
            seed: 0,
            program,
            env: Vec::new(),
            stop: Arc::default(),
        }
    }

    /// Runs the checks and tells of each.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: nothing was tried.
    pub fn run(&self, tell: &(dyn Fn(Event<'_>) + Sync)) -> Result<Report, Refusal> {
        let begin = Instant::now();
        let refuse = |stop| Refusal::Fault(words(stop));
        let root = tempfile::Builder::new().prefix("longshore-conformance-").tempdir();
        let root = root.or_fault("no temporary folder could be made").map_err(refuse)?;
        let library = fs::canonicalize(&self.library).map_err(|error| {
            Refusal::NotAPlugin(format!("the library {} cannot be read: {error}", self.library.display()))
        })?;
        let inspected = self.inspect(&root, &library)?;
        let plugin = match &inspected {
            Inspected::Loaded(metadata) => Some(&**metadata),
            Inspected::Broken { .. } => None,
        };
        tell(Event::Begun { plugin, checks: self.checks.len() });
        let findings = Mutex::new(Vec::new());
        let waiting = Mutex::new(self.checks.iter().copied().enumerate());
        let jobs =
            self.jobs.min(self.quirks.most_jobs.unwrap_or(usize::MAX)).clamp(1, self.checks.len().max(1));
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    loop {
                        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((place, check)) = next else { break };
                        let finding = self.finding(&root, &library, &inspected, place, check, tell);
                        tell(Event::Ended(&finding));
                        findings.lock().unwrap_or_else(PoisonError::into_inner).push((place, finding));
                    }
                });
            }
        });
        let mut findings = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        findings.sort_by_key(|(place, _)| *place);
        let findings: Vec<Finding> = findings.into_iter().map(|(_, finding)| finding).collect();
        Ok(Report {
            format: FORMAT,
            library: library.display().to_string(),
            plugin: plugin.map(PluginInfo::from),
            long: self.long,
            seed: self.seed,
            took_ms: millis(begin.elapsed()),
            counts: Counts::of(&findings),
            findings,
        })
    }

    /// Loads the library in a process of its own.
    fn inspect(&self, root: &TempDir, library: &Path) -> Result<Inspected, Refusal> {
        let inspect = || -> Verdict<(End, Verdict<Reported>)> {
            let order = self.order(root, library, "inspect", Task::Inspect)?;
            let end = process::run(self.program(), &order, self.limit(), &self.stop)?;
            Ok((end, order::read(&order.report())))
        };
        let broken = |because| Ok(Inspected::Broken { because });
        match inspect() {
            Ok((_, Ok(Reported::Library(metadata)))) => Ok(Inspected::Loaded(metadata)),
            Ok((_, Ok(Reported::Misconfigured(what)))) => {
                let from = if self.config.is_some() { "given" } else { "of the quirks, its `[config]`," };
                Err(Refusal::Config(format!(
                    "the configuration {from} does not fit the plugin's schema: {what}; `longshore plugin inspect {}` \
                     shows its keys",
                    library.display()
                )))
            }
            Ok((_, Ok(Reported::Refused { is_a_plugin: true, text }))) => {
                let first = text.lines().next().unwrap_or_default();
                broken(first.to_owned())
            }
            Ok((_, Ok(Reported::Refused { text, .. }))) => Err(Refusal::NotAPlugin(text)),
            Ok((_, Ok(Reported::Fault(what)))) | Err(Stop::Fault(what)) => Err(Refusal::Fault(what)),
            Ok((End::Own(status), _)) if child::is_fault(status) => {
                Err(Refusal::Fault(child::FAULTY.to_owned()))
            }
            Ok((End::Own(status), _)) => {
                broken(format!("the process that loaded the library ended with {}", process::how(status)))
            }
            Ok((End::Limit, _)) => broken("loading the library did not end".to_owned()),
            Ok((End::Flooded, _)) => {
                broken(format!("the process that loaded the library ended with {}", process::flooded()))
            }
            Ok((End::Interrupted, _)) => broken(INTERRUPTED.to_owned()),
            Err(_) => Err(Refusal::Fault("the library could not be inspected".to_owned())),
        }
    }

    /// Runs one check, unless there is a reason not to.
    fn finding(
        &self,
        root: &TempDir,
        library: &Path,
        inspected: &Inspected,
        place: usize,
        check: Check,
        tell: &(dyn Fn(Event<'_>) + Sync),
    ) -> Finding {
        let missing = match inspected {
            _ if self.stop.load(Ordering::Relaxed) => Some(INTERRUPTED.to_owned()),
            Inspected::Loaded(metadata) => check.missing(metadata, self.long),
            Inspected::Broken { .. } if is_about_loading(check) => None,
            Inspected::Broken { because } => Some(because.clone()),
        };
        if let Some(because) = missing {
            return Finding::new(check, Outcome::Skipped { because });
        }
        tell(Event::Started(check));
        let begin = Instant::now();
        let name = format!("{place:03}-{}", check.name());
        let finding =
            self.order(root, library, &name, Task::Check(check.name().to_owned())).and_then(|order| {
                let finding = self.try_check(check, &order);
                // A folder that cannot be removed goes with the root.
                drop(fs::remove_dir_all(&order.folder));
                finding
            });
        let mut finding =
            finding.unwrap_or_else(|stop| Finding::new(check, Outcome::HarnessFault { what: words(stop) }));
        finding.took_ms = millis(begin.elapsed());
        finding
    }

    fn try_check(&self, check: Check, order: &Order) -> Verdict<Finding> {
        let end = process::run(self.program(), order, self.limit(), &self.stop)?;
        let told = traces::told(order);
        let (log, during) = (traces::log(order), traces::during(order));
        // A process that ends well before its last word was ended by the plugin.
        let is_whole = end.is_good() && told.as_ref().is_some_and(|told| told.is_last);
        let (outcome, left_behind, mut notes) = match told {
            Some(told) if is_whole || told.outcome.is_failure() => {
                (told.outcome, told.left_behind.filter(|_| is_whole), told.notes)
            }
            told => (self.ended(end, during), None, told.map(|told| told.notes).unwrap_or_default()),
        };
        let mut finding = Finding { log, ..Finding::new(check, outcome) };
        if let Some(left_behind) = left_behind {
            return Ok(Finding { left_behind, notes, ..finding });
        }
        let swept = self.sweep(order);
        finding.left_behind = swept.left_behind;
        notes.extend(swept.notes);
        match swept.fault {
            // What the provider did wrong is not forgotten for it.
            Some(what) if finding.outcome.is_failure() => notes.push(what),
            Some(what) => finding.outcome = Outcome::HarnessFault { what },
            None => {}
        }
        Ok(Finding { notes, ..finding })
    }

    /// The outcome of a check whose process did not come to its end.
    fn ended(&self, end: End, during: Option<String>) -> Outcome {
        match end {
            End::Own(status) if child::is_fault(status) => {
                Outcome::HarnessFault { what: child::FAULTY.to_owned() }
            }
            End::Own(status) => Outcome::Crashed { how: process::how(status), during },
            End::Flooded => Outcome::Crashed { how: process::flooded(), during },
            End::Limit => Outcome::TimedOut { limit_ms: millis(self.limit()), during },
            End::Interrupted => Outcome::Skipped { because: INTERRUPTED.to_owned() },
        }
    }

    /// Has another process kill what a check's process did not come to kill. Where that fails, everything that was made
    /// counts as left behind.
    fn sweep(&self, order: &Order) -> Swept {
        let entries = match ledger::entries(&order.ledger) {
            Ok(entries) => entries,
            Err(stop) => return Swept { fault: Some(words(stop)), ..Swept::default() },
        };
        if entries.is_empty() {
            return Swept::default();
        }
        let order = Order { task: Task::Sweep, ..order.clone() };
        let swept = || {
            match fs::remove_file(order.report()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return fault(error),
                _ => {}
            }
            // An interruption does not hold it up: it is what is done then.
            // It may take longer than a short check: what is killed may take the grace.
            let limit = self.limit() + 2 * self.quirks.grace;
            let end = process::run(self.program(), &order, limit, &AtomicBool::new(false))?;
            Ok((end, order::read(&order.report())))
        };
        let (what, fault) = match swept() {
            Ok((_, Ok(Reported::Swept { left_behind, notes }))) => {
                return Swept { left_behind, notes, fault: None };
            }
            Ok((_, Ok(Reported::Fault(what)))) => (what.clone(), Some(what)),
            Ok((End::Own(status), _)) if child::is_fault(status) => {
                (child::FAULTY.to_owned(), Some(child::FAULTY.to_owned()))
            }
            Ok((End::Own(status), _)) => {
                (format!("killing it ended the process with {}", process::how(status)), None)
            }
            Ok((End::Flooded, _)) => {
                (format!("killing it ended the process with {}", process::flooded()), None)
            }
            Ok((End::Limit | End::Interrupted, _)) => ("killing it did not end".to_owned(), None),
            Err(stop) => {
                let what = words(stop);
                (what.clone(), Some(what))
            }
        };
        let fault = fault.map(|what| format!("what the check made could not be killed: {what}"));
        Swept { left_behind: ledger::left(&entries, &what), notes: Vec::new(), fault }
    }

    fn program(&self) -> Program<'_> {
        Program { path: &self.program, env: &self.env }
    }

    fn limit(&self) -> Duration {
        self.quirks.check * if self.long { LONG } else { 1 }
    }

    /// An order with a folder of its own, and the placeholders filled in.
    fn order(&self, root: &TempDir, library: &Path, name: &str, task: Task) -> Verdict<Order> {
        let folder = root.path().join(name);
        let scratch = folder.join("scratch");
        fs::create_dir_all(&scratch).or_fault("a check's folder could not be made")?;
        // The root's name is random; what comes before the last `-` is ours.
        let random =
            root.path().file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit('-').next());
        let number: String = name.chars().take_while(char::is_ascii_digit).collect();
        let unique = format!("ls-{}-{number}", random.unwrap_or_default().to_ascii_lowercase());
        let program = self.program.to_string_lossy();
        let scratch = scratch.to_string_lossy();
        let placeholders = Placeholders { scratch: &scratch, check: &unique, program: &program };
        let mut quirks = serde_json::to_value(&self.quirks).or_fault("the quirks could not be written")?;
        placeholders.fill(&mut quirks);
        let quirks: Quirks = serde_json::from_value(quirks).or_fault("the quirks could not be read again")?;
        let config = self.config.as_ref().map(|config| {
            let mut config = Value::Object(config.clone());
            placeholders.fill(&mut config);
            config
        });
        let config = match config {
            Some(Value::Object(config)) => config,
            _ => quirks.config.clone(),
        };
        let (long, seed) = (self.long, self.seed);
        // It is there before anything can be made, so that one that is gone later says something.
        let ledger = folder.join("ledger.jsonl");
        File::create(&ledger).or_fault("a check's ledger could not be made")?;
        Ok(Order { task, library: library.to_owned(), config, quirks, folder, ledger, unique, long, seed })
    }
}

/// Whether a check is of use for a library that the host refuses.
fn is_about_loading(check: Check) -> bool {
    check.name().starts_with("load-") && !check.name().starts_with("load-config")
}

/// What a sweep came to.
#[derive(Default)]
struct Swept {
    left_behind: Vec<Leftover>,
    notes: Vec<String>,
    /// Why the harness could not do it.
    fault: Option<String>,
}

/// Why the harness could not go on.
fn words(stop: Stop) -> String {
    match stop {
        Stop::Fault(what) | Stop::Skip(what) => what,
        Stop::Breach(breach) => breach.seen,
    }
}

#[cfg(test)]
mod tests;
