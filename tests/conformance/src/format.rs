//! How a run is told: for people, as JSON, as the XML of `JUnit`, or as TAP. A sink takes what happens and, at the end, the report; it
//! decides nothing. What a plugin said is shown without what a terminal would obey.

mod human;
mod json;
mod junit;
mod tap;

use std::{
    io::{self, Write},
    path::Path,
};

use longshore_plugin_api::Clause;

pub use self::{human::block, json::schema};
use crate::{
    check::Check,
    report::{Overall, Report},
    runner::{Event, Trial},
    verdict::{Finding, Leftover, Outcome},
};

/// The most workers that one finding lists as left behind; the rest is counted.
const LEFTOVERS: usize = 10;

/// A form in which a run is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line a check as it ends, and what is wrong at the end.
    Human,
    /// The [`Report`] as one document on one line; `report.schema.json` in this crate describes it.
    Json,
    /// The XML of `JUnit` as Jenkins reads it: a suite a family of checks.
    Junit,
    /// The Test Anything Protocol, version 14.
    Tap,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = &[Self::Human, Self::Json, Self::Junit, Self::Tap];

    /// Its name, such as `junit`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Tap => "tap",
        }
    }

    /// The format of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.name() == name)
    }

    /// The format that a file's name asks for by what it ends in: `.json`, `.xml` or `.tap`.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "xml" => Some(Self::Junit),
            "tap" => Some(Self::Tap),
            _ => None,
        }
    }

    /// What writes it.
    pub fn sink<'a>(self, out: impl Write + Send + 'a, context: Context) -> Box<dyn Sink + 'a> {
        match self {
            Self::Human => Box::new(human::Human::new(out, context)),
            Self::Json => Box::new(json::Json::new(out)),
            Self::Junit => Box::new(junit::Junit::new(out, context)),
            Self::Tap => Box::new(tap::Tap::new(out, context)),
        }
    }
}

/// Takes what happens during a run, and writes it down.
pub trait Sink: Send {
    /// Something has happened.
    ///
    /// # Errors
    ///
    /// It could not be written.
    fn event(&mut self, event: Event<'_>) -> io::Result<()>;

    /// The run has ended.
    ///
    /// # Errors
    ///
    /// It could not be written.
    fn end(&mut self, report: &Report) -> io::Result<()>;
}

/// What a format says beside the report.
#[derive(Clone, Debug)]
pub struct Context {
    /// The library, as the user named it.
    pub library: String,
    /// How many checks run side by side.
    pub jobs: usize,
    /// What random checks begin with.
    pub seed: u64,
    /// How to run a check again.
    pub again: Again,
    /// Whether to write colours.
    pub coloured: bool,
}

impl Context {
    /// The context of a trial, without colours.
    pub fn of(trial: &Trial, again: Again) -> Self {
        let library = trial.library.display().to_string();
        let jobs = trial.jobs.min(trial.quirks.most_jobs.unwrap_or(usize::MAX)).max(1);
        Self { library, jobs, seed: trial.seed, again, coloured: false }
    }
}

/// The command that runs one check again, but for the check's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// The words before the name.
    pub before: Vec<String>,
    /// The words after it.
    pub after: Vec<String>,
}

impl Again {
    /// The command for a check, as a shell takes it.
    pub fn command(&self, check: &str) -> String {
        let check = check.to_owned();
        let words = self.before.iter().chain([&check]).chain(&self.after);
        words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Whether a terminal, or a reader of text, would take a character for something else than what it looks like.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A foreign text of several lines, without what is not to be seen: odd characters become spaces.
pub(crate) fn clean_lines(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) && c != '\n' { ' ' } else { c }).collect()
}

/// The same, on one line.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) { ' ' } else { c }).collect()
}

/// The library's name and version as its metadata say, or its file.
fn title(report: &Report) -> String {
    let plugin = report.plugin.as_ref().map(|plugin| format!("{} {}", plugin.name, plugin.version));
    clean(&plugin.unwrap_or_else(|| report.library.clone()))
}

/// Whether the run is worse for it: a failure, something left behind, or a fault of the harness.
pub fn is_bad(finding: &Finding) -> bool {
    let is_fault = matches!(finding.outcome, Outcome::HarnessFault { .. });
    finding.outcome.is_failure() || !finding.left_behind.is_empty() || is_fault
}

/// The family of a finding's check.
fn family(finding: &Finding) -> &'static str {
    Check::named(&finding.check).map_or("other", Check::family)
}

/// Something to be said of a finding: what it is about, and the words.
type Detail = (&'static str, String);

/// All that is to be said of a finding, in the order in which a person wants to know it. Nothing of it is cleaned yet.
pub(crate) fn details(finding: &Finding, again: &Again) -> Vec<Detail> {
    let mut details = Vec::new();
    if let Some(check) = Check::named(&finding.check) {
        details.push(("check", check.text().to_owned()));
    }
    let clause = |clause: &Clause| ("clause", format!("{}: {}", clause.id(), clause.text()));
    let during =
        |during: &Option<String>| during.as_ref().map(|call| format!(", during {call}")).unwrap_or_default();
    match &finding.outcome {
        Outcome::Failed(breach) | Outcome::Warning(breach) => {
            details.push(clause(&breach.clause));
            details.push(("expected", breach.expected.clone()));
            details.push(("seen", breach.seen.clone()));
        }
        Outcome::Crashed { how, during: call } => {
            details.extend(finding.clauses.iter().map(clause));
            details.push(("seen", format!("the process of the check ended with {how}{}", during(call))));
        }
        Outcome::TimedOut { limit_ms, during: call } => {
            details.extend(finding.clauses.iter().map(clause));
            let limit = seconds(*limit_ms);
            details.push(("seen", format!(
                "the check did not end within {limit} s{} (`check` of the quirks file says how long it may take)",
                during(call)
            )));
        }
        Outcome::HarnessFault { what } => {
            details.push(("fault", format!("{what} (of the harness: it says nothing of the provider)")));
        }
        Outcome::Skipped { because } => details.push(("because", because.clone())),
        Outcome::Passed => {}
    }
    details.extend(finding.left_behind.iter().take(LEFTOVERS).map(|it| ("left", left(it))));
    if let Some(more) = finding.left_behind.len().checked_sub(LEFTOVERS).filter(|more| *more > 0) {
        details.push(("left", format!("and {more} more")));
    }
    details.extend(finding.notes.iter().map(|note| ("note", note.clone())));
    if !finding.log.trim().is_empty() {
        details.push(("log", finding.log.trim_end().to_owned()));
    }
    details.push(("again", again.command(&finding.check)));
    details
}

fn left(it: &Leftover) -> String {
    let what =
        it.handle.as_ref().map_or_else(|| "its server".to_owned(), |handle| format!("worker {handle}"));
    format!("{what}, of cluster {}: {}", it.cluster, it.what)
}

/// What is wrong, in a line.
fn headline(finding: &Finding) -> String {
    match &finding.outcome {
        Outcome::Failed(breach) | Outcome::Warning(breach) => {
            format!("{}: {}", breach.clause.id(), breach.seen)
        }
        Outcome::Crashed { how, during: Some(call) } => format!("crashed with {how} during {call}"),
        Outcome::Crashed { how, during: None } => format!("crashed with {how}"),
        Outcome::TimedOut { limit_ms, during: Some(call) } => {
            format!("did not end within {} s, during {call}", seconds(*limit_ms))
        }
        Outcome::TimedOut { limit_ms, during: None } => {
            format!("did not end within {} s", seconds(*limit_ms))
        }
        Outcome::HarnessFault { what } => format!("the harness failed: {what}"),
        Outcome::Skipped { because } => format!("skipped, because {because}"),
        Outcome::Passed => match finding.left_behind.len() {
            0 => "passed".to_owned(),
            left => format!("left {left} behind that cannot be stopped"),
        },
    }
}

/// The clauses that a run found broken: where a check crashed, did not end, or left something behind, the one that it is for.
fn broken(report: &Report) -> Vec<Clause> {
    let mut broken: Vec<Clause> = Vec::new();
    for finding in &report.findings {
        let clause = match &finding.outcome {
            Outcome::Failed(breach) => Some(breach.clause),
            Outcome::Crashed { .. } | Outcome::TimedOut { .. } => finding.clauses.first().copied(),
            _ => None,
        };
        broken.extend(clause);
    }
    Clause::ALL.iter().copied().filter(|clause| broken.contains(clause)).collect()
}

/// The sentence that a run comes down to.
pub fn sentence(report: &Report) -> String {
    let title = title(report);
    let tried = report.findings.len() - report.counts.skipped;
    let left = match report.counts.left_behind {
        0 => None,
        1 => Some("leaves a worker behind".to_owned()),
        left => Some(format!("leaves {left} workers behind")),
    };
    match report.overall() {
        Overall::Conforms if tried == 0 => format!("{title}: nothing was tried, and nothing can be said"),
        Overall::Conforms if tried < Check::ALL.len() => {
            format!("{title} keeps the contract, as far as {tried} of {} checks tell", Check::ALL.len())
        }
        Overall::Conforms => format!("{title} keeps the contract"),
        Overall::Breaks => {
            let broken: Vec<_> = broken(report).into_iter().map(Clause::id).collect();
            let breaks = (!broken.is_empty()).then(|| format!("breaks {}", broken.join(", ")));
            let parts: Vec<_> = breaks.into_iter().chain(left).collect();
            format!("{title} {}", parts.join(", and "))
        }
        Overall::Unknown => format!("{title}: the harness failed, and nothing can be said"),
    }
}

/// Milliseconds in seconds.
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_what_a_shell_takes() {
        let again = |before: &[&str]| Again {
            before: before.iter().map(|word| (*word).to_owned()).collect(),
            after: vec!["--seed".to_owned(), "7".to_owned()],
        };
        assert_eq!(again(&["a/b.so", "--x=1"]).command("run-few"), "a/b.so --x=1 run-few --seed 7");
        assert_eq!(again(&["it's $HOME", ""]).command("x"), r"'it'\''s $HOME' '' x --seed 7");
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a [2Jb c d");
        assert_eq!(clean_lines("a\r\nb\u{9b}c\u{2028}"), "a \nb c ");
    }

    #[test]
    fn formats_have_names_and_files() {
        for format in Format::ALL {
            assert_eq!(Format::named(format.name()), Some(*format));
        }
        assert_eq!(Format::named("xml"), None);
        for (file, format) in [("a.json", Some(Format::Json)), ("b/c.xml", Some(Format::Junit)), ("d", None)]
        {
            assert_eq!(Format::of_file(Path::new(file)), format, "{file}");
        }
    }
}
