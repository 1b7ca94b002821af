//! `longshore conformance`: holds a plugin to the contract and shows what was found. What is found, and how it reads, is the
//! harness's; here is what it is asked, where its words go, and how it ends.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use longshore_conformance::{
    Again, Check, Context, Event, Format, Outcome, Overall, Quirks, Refusal, Report, Sink, Trial, is_bad,
    sentence,
};
use longshore_http::{Problem, ProblemKind};
use longshore_plugin_api::Level;
use serde::Serialize;
use serde_json::{Map, Value};

use super::search_path;
use crate::{
    args::{Conformance, Global},
    exit::{Exit, Failure},
    output::Output,
    place::Place,
    progress::{self, Progress},
    signals::Signals,
    table::table,
};

/// The checks, for `--json`.
#[derive(Serialize)]
struct Listed {
    checks: Vec<ListedCheck>,
}

/// A check.
#[derive(Serialize)]
struct ListedCheck {
    name: &'static str,
    family: &'static str,
    /// `must` or `should`.
    level: &'static str,
    clauses: Vec<&'static str>,
    /// What it demands.
    text: &'static str,
}

pub(super) async fn run(global: &Global, asked: &Conformance, output: &Output) -> Result<(), Failure> {
    let checks = checks(&asked.filter)?;
    let Some(lib) = asked.lib.as_deref().filter(|_| !asked.list) else { return list(&checks, output) };
    let forms = Forms::of(asked, output.is_json())?;
    let library = search_path(global).find(lib)?;
    let trial = trial(asked, library, checks)?;
    let context = Context { coloured: false, ..Context::of(&trial, again(global, asked, lib, trial.seed)) };
    let told = Arc::new(Told::new(&forms, &context, asked.fail_fast, &trial.stop)?);
    let outcome = attend(trial, Arc::clone(&told)).await?;
    let (report, interrupted) = (outcome.report?, outcome.interrupted);
    output.tell_elsewhere();
    told.end(&report, &forms)?;
    if interrupted {
        let skipped = report.counts.skipped;
        return Err(Failure::gave_up(format_args!(
            "interrupted: {skipped} checks were not run to their end"
        )));
    }
    // Where the chosen checks are not about loading, they were all skipped, which must not pass for a good end.
    if report.plugin.is_none() && report.overall() == Overall::Conforms {
        return Err(Problem::new(ProblemKind::PluginRefused, untried(&report)).into());
    }
    // For people it stands at the end of what was just shown.
    let is_told = forms.shown == Format::Human;
    match report.overall() {
        Overall::Conforms => Ok(()),
        Overall::Breaks if is_told => Err(Failure::silent(Exit::Conformance)),
        Overall::Unknown if is_told => Err(Failure::silent(Exit::Internal)),
        Overall::Breaks => Err(Failure::new(Exit::Conformance, "does_not_conform", sentence(&report))),
        Overall::Unknown => Err(Failure::internal(sentence(&report))),
    }
}

/// Why nothing can be said of a library that cannot be loaded.
fn untried(report: &Report) -> String {
    let because = report.findings.iter().find_map(|finding| match &finding.outcome {
        Outcome::Skipped { because } => Some(because.as_str()),
        _ => None,
    });
    because.map_or_else(
        || format!("the plugin {} cannot be loaded", report.library),
        |because| format!("nothing was tried: {because}; `--filter 'load-*'` tells more"),
    )
}

/// The checks that the filters mean, in the order of the contract; all where there is none.
fn checks(filters: &[String]) -> Result<Vec<Check>, Failure> {
    let mut meant = Vec::new();
    for filter in filters {
        meant.extend(Check::matching(filter).map_err(Failure::usage)?);
    }
    let is_meant = |check: &Check| filters.is_empty() || meant.contains(check);
    Ok(Check::ALL.iter().copied().filter(is_meant).collect())
}

fn list(checks: &[Check], output: &Output) -> Result<(), Failure> {
    let describe = |check: &Check| ListedCheck {
        name: check.name(),
        family: check.family(),
        level: match check.level() {
            Level::Must => "must",
            Level::Should => "should",
        },
        clauses: check.clauses().iter().map(|clause| clause.id()).collect(),
        text: check.text(),
    };
    let listed = Listed { checks: checks.iter().map(describe).collect() };
    output.either(&listed, || {
        let rows = listed.checks.iter().map(|check| {
            let cells = [
                check.name.to_owned(),
                check.level.to_uppercase(),
                check.clauses.join(" "),
                check.text.to_owned(),
            ];
            (cells.into(), Style::new())
        });
        table(&["CHECK", "LEVEL", "CLAUSES", "WHAT IT DEMANDS"], rows, output.width())
    })
}

/// In which forms a run is told, and where.
struct Forms {
    /// On standard output.
    shown: Format,
    /// In a file.
    file: Option<(Format, PathBuf)>,
}

impl Forms {
    fn of(asked: &Conformance, json: bool) -> Result<Self, Failure> {
        let shown = if json { Some(Format::Json) } else { None };
        let Some(path) = &asked.output else {
            return match (shown, asked.format) {
                (Some(shown), Some(format)) if shown != format => Err(Failure::usage(format_args!(
                    "--json and --format {} ask for two forms of one report: leave one of them, or send the other to a file \
                     with --output",
                    format.name()
                ))),
                (shown, format) => Ok(Self { shown: shown.or(format).unwrap_or(Format::Human), file: None }),
            };
        };
        let format = asked.format.or_else(|| Format::of_file(path)).or(shown).unwrap_or(Format::Human);
        Ok(Self { shown: shown.unwrap_or(Format::Human), file: Some((format, path.clone())) })
    }
}

fn trial(asked: &Conformance, library: PathBuf, checks: Vec<Check>) -> Result<Trial, Failure> {
    let wrong = |what| Failure::new(Exit::Config, "quirks", what);
    let quirks = asked.quirks.as_deref().map_or_else(|| Quirks::beside(&library), Quirks::read);
    let program = env::current_exe()
        .map_err(|error| Failure::internal(format_args!("cannot find this program itself: {error}")))?;
    let mut trial = Trial::new(library, quirks.map_err(wrong)?, program);
    trial.config = asked.config.as_deref().map(config).transpose()?;
    trial.checks = checks;
    trial.jobs = asked.jobs.map_or(trial.jobs, usize::from);
    trial.long = asked.long;
    trial.seed = match asked.seed {
        Some(seed) => seed,
        // Few digits, as somebody may have to type them.
        None => u64::from(
            getrandom::u32()
                .map_err(|error| Failure::internal(format_args!("no random number could be had: {error}")))?,
        ),
    };
    Ok(trial)
}

/// The provider's configuration: what `[provider.config]` would have.
fn config(path: &Path) -> Result<Map<String, Value>, Failure> {
    let wrong = |what: String| {
        Failure::new(Exit::Config, "config", format_args!("the configuration {}: {what}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let is_json = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("json"));
    let value: Value = if is_json {
        serde_json::from_str(&text).map_err(|error| wrong(format!("it is no JSON: {error}")))?
    } else {
        toml::from_str(&text)
            .map_err(|error| wrong(format!("it is no TOML: {}", error.to_string().trim_end())))?
    };
    let Value::Object(config) = value else {
        return Err(wrong("it must be an object, of the keys that `[provider.config]` has".to_owned()));
    };
    if config.get("provider").is_some_and(Value::is_array) {
        return Err(wrong(
            "it is a host's, with `[[provider]]`: name a file with one provider's own keys, those of `[provider.config]`"
                .to_owned(),
        ));
    }
    Ok(config)
}

/// How one check is run again: this command line, but for its filters and where its words went.
fn again(global: &Global, asked: &Conformance, lib: &str, seed: u64) -> Again {
    let shown = |path: &PathBuf| path.display().to_string();
    let mut before = vec![
        env::args().next().unwrap_or_else(|| "longshore".to_owned()),
        "conformance".to_owned(),
        lib.to_owned(),
    ];
    for folder in &global.plugin_path {
        before.extend(["--plugin-path".to_owned(), shown(folder)]);
    }
    for (option, path) in [("--config", &asked.config), ("--quirks", &asked.quirks)] {
        before.extend(path.iter().flat_map(|path| [option.to_owned(), shown(path)]));
    }
    before.push("--filter".to_owned());
    let mut after = vec!["--seed".to_owned(), seed.to_string()];
    after.extend(asked.long.then(|| "--long".to_owned()));
    Again { before, after }
}

/// The permissions of a report, before the umask: as any file that a program makes, which others may read.
const REPORT_MODE: u32 = 0o666;

/// Where a run is told of, while it goes on and at its end.
struct Told {
    to: Mutex<To>,
    fail_fast: bool,
    stop: Arc<AtomicBool>,
}

struct To {
    shown: Box<dyn Sink>,
    /// Whether whoever read standard output has had enough of it.
    is_closed: bool,
    file: Option<ToFile>,
    live: Option<Live>,
    /// What could not be written; the run has been stopped then.
    broken: Option<Failure>,
}

/// A report that goes to a file: kept in memory until the end, since it is written whole.
struct ToFile {
    sink: Box<dyn Sink>,
    kept: Arc<Mutex<Vec<u8>>>,
    place: Place,
}

/// The bytes of a file that is written at the end.
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Told {
    fn new(
        forms: &Forms,
        context: &Context,
        fail_fast: bool,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let file = match &forms.file {
            None => None,
            Some((format, path)) => {
                // Where it cannot be written, that is told before anything is tried.
                let place = Place::of(path, REPORT_MODE).map_err(|error| {
                    Failure::usage(format_args!("--output {} cannot be written: {error}", path.display()))
                })?;
                let kept = Arc::default();
                let sink = format.sink(Kept(Arc::clone(&kept)), context.clone());
                Some(ToFile { sink, kept, place })
            }
        };
        let coloured = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        let shown = forms.shown.sink(io::stdout(), Context { coloured, ..context.clone() });
        let live = Progress::at_terminal().map(Live::new);
        let to = Mutex::new(To { shown, is_closed: false, file, live, broken: None });
        Ok(Self { to, fail_fast, stop: Arc::clone(stop) })
    }

    fn event(&self, event: Event<'_>) {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let to = &mut *to;
        let written = to.show(|shown| shown.event(event));
        let written = written.and_then(|()| to.file.as_mut().map_or(Ok(()), |file| file.sink.event(event)));
        if let Err(error) = written {
            to.broken.get_or_insert(error.into());
            self.stop.store(true, Ordering::Relaxed);
        }
        if let Some(live) = &mut to.live {
            live.event(event);
        }
        if let Event::Ended(finding) = event
            && self.fail_fast
            && is_bad(finding)
        {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn end(&self, report: &Report, forms: &Forms) -> Result<(), Failure> {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        to.live = None;
        if let Some(broken) = to.broken.take() {
            return Err(broken);
        }
        // The file first: a reader of standard output may have had enough.
        if let (Some(ToFile { mut sink, kept, place }), Some((_, path))) = (to.file.take(), &forms.file) {
            let kept = sink
                .end(report)
                .map(|()| std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)));
            kept.and_then(|bytes| place.write(|error| error, |out| out.write_all(&bytes))).map_err(
                |error| {
                    Failure::internal(format_args!("cannot write the report to {}: {error}", path.display()))
                },
            )?;
        }
        match to.show(|shown| shown.end(report)) {
            // Nothing is cut short any more: the exit code is the verdict all the same.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            shown => Ok(shown?),
        }
    }
}

impl To {
    /// Writes to standard output. Who closes it has had enough of that, but not of the file that was asked for.
    fn show(&mut self, write: impl FnOnce(&mut dyn Sink) -> io::Result<()>) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let written = progress::aside(|| write(&mut *self.shown));
        self.is_closed = matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
        if self.is_closed && self.file.is_some() { Ok(()) } else { written }
    }
}

/// The line of what runs now.
struct Live {
    line: Progress,
    running: Vec<Check>,
    ended: usize,
    bad: usize,
    checks: usize,
}

impl Live {
    fn new(line: Progress) -> Self {
        Self { line, running: Vec::new(), ended: 0, bad: 0, checks: 0 }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Begun { checks, .. } => self.checks = checks,
            Event::Started(check) => self.running.push(check),
            Event::Ended(finding) => {
                self.running.retain(|check| check.name() != finding.check);
                self.ended += 1;
                self.bad += usize::from(is_bad(finding));
            }
        }
        let bad = if self.bad > 0 { format!(", {} bad", self.bad) } else { String::new() };
        let running: Vec<_> = self.running.iter().map(|check| check.name()).collect();
        self.line.show(&format!("{} of {} checks{bad}: {}", self.ended, self.checks, running.join(", ")));
    }
}

/// How a run ended.
struct Attended {
    report: Result<Report, Failure>,
    interrupted: bool,
}

/// Runs a trial to its end. The first signal ends what is under way, which is swept, and skips the rest; the second leaves.
async fn attend(trial: Trial, told: Arc<Told>) -> Result<Attended, Failure> {
    let mut signals = Signals::listen()?;
    let stop = Arc::clone(&trial.stop);
    let mut run = tokio::task::spawn_blocking(move || trial.run(&|event| told.event(event)));
    let mut interrupted = false;
    let ended = loop {
        tokio::select! {
            ended = &mut run => break ended,
            () = signals.next() => {
                if interrupted {
                    return Err(Failure::gave_up(
                        "left at once: what the checks under way have made may still be there",
                    ));
                }
                interrupted = true;
                stop.store(true, Ordering::Relaxed);
                // Whoever closed standard error does not want to know.
                let _ = progress::above(
                    b"interrupted: ending the checks under way and what they made; once more leaves at once\n",
                );
            }
        }
    };
    let report = ended.map_err(|error| Failure::internal(format_args!("the run failed: {error}")))?;
    let report = report.map_err(|refusal| match refusal {
        Refusal::NotAPlugin(what) => Problem::new(ProblemKind::PluginRefused, what).into(),
        Refusal::Config(what) => Failure::config(what),
        Refusal::Fault(what) => Failure::internal(format_args!("the harness failed: {what}")),
    });
    Ok(Attended { report, interrupted })
}
