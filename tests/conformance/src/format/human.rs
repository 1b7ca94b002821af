//! For people, in the manner of nextest: a line a check as it ends, and at the end what is wrong, what was skipped and why, and
//! one sentence that says what it all comes to.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};

use super::{Again, Context, Sink, clean, clean_lines, details, is_bad, seconds, sentence};
use crate::{
    report::{Counts, Overall, Report},
    runner::Event,
    verdict::{Finding, Outcome},
};

/// How far the words of a check's end, and the labels beneath it, stand from the left.
const MARGIN: usize = 12;

/// Between the parts of the end.
const RULE: &str = "────────────";

/// The colours, or none.
#[derive(Clone, Copy, Default)]
struct Palette {
    good: Style,
    bad: Style,
    warning: Style,
    strong: Style,
    faint: Style,
}

impl Palette {
    fn new(coloured: bool) -> Self {
        if !coloured {
            return Self::default();
        }
        Self {
            good: AnsiColor::Green.on_default().bold(),
            bad: AnsiColor::Red.on_default().bold(),
            warning: AnsiColor::Yellow.on_default().bold(),
            strong: Style::new().bold(),
            faint: Style::new().dimmed(),
        }
    }

    /// The word for an end, and its colour.
    fn word(&self, finding: &Finding) -> (&'static str, Style) {
        match &finding.outcome {
            Outcome::Failed(_) => ("FAIL", self.bad),
            Outcome::Crashed { .. } => ("CRASH", self.bad),
            Outcome::TimedOut { .. } => ("TIMEOUT", self.bad),
            Outcome::HarnessFault { .. } => ("FAULT", self.bad),
            _ if !finding.left_behind.is_empty() => ("LEFT", self.bad),
            Outcome::Passed => ("PASS", self.good),
            Outcome::Warning(_) => ("WARN", self.warning),
            Outcome::Skipped { .. } => ("SKIP", self.warning),
        }
    }
}

/// Writes lines as things happen.
pub(super) struct Human<W> {
    out: W,
    context: Context,
    palette: Palette,
}

impl<W: Write> Human<W> {
    pub(super) fn new(out: W, context: Context) -> Self {
        let palette = Palette::new(context.coloured);
        Self { out, context, palette }
    }

    fn begin(&mut self, title: &str, checks: usize) -> io::Result<()> {
        let Palette { good, strong, faint, .. } = self.palette;
        let Context { library, jobs, seed, .. } = &self.context;
        let library = clean(library);
        writeln!(
            self.out,
            "{good}{:>MARGIN$}{good:#} {strong}{title}{strong:#} {faint}{library}{faint:#}",
            "Checking"
        )?;
        let checks = counted(checks, "check");
        writeln!(self.out, "{good}{:>MARGIN$}{good:#} {checks}, {jobs} at a time, seed {seed}", "Starting")
    }

    /// The line of a check that has ended.
    fn ended(&mut self, finding: &Finding) -> io::Result<()> {
        let (word, style) = self.palette.word(finding);
        let faint = self.palette.faint;
        write!(self.out, "{style}{word:>MARGIN$}{style:#} {} ", took(finding.took_ms))?;
        let check = clean(&finding.check);
        match &finding.outcome {
            Outcome::Skipped { .. } => writeln!(self.out, "{faint}{check}{faint:#}"),
            _ => writeln!(self.out, "{check}"),
        }
    }

    fn blocks<'a>(&mut self, findings: impl Iterator<Item = &'a Finding>) -> io::Result<()> {
        for finding in findings {
            writeln!(self.out, "{}", Block { finding, again: &self.context.again, palette: self.palette })?;
        }
        Ok(())
    }

    /// Why what was skipped was skipped, the most frequent reason first.
    fn skipped(&mut self, report: &Report) -> io::Result<()> {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for finding in &report.findings {
            if let Outcome::Skipped { because } = &finding.outcome {
                *reasons.entry(because).or_default() += 1;
            }
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let style = self.palette.warning;
        for (because, count) in reasons {
            writeln!(self.out, "{style}{:>MARGIN$}{style:#} {count}, because {}", "Skipped", clean(because))?;
        }
        Ok(())
    }

    fn sum_up(&mut self, report: &Report) -> io::Result<()> {
        let palette = self.palette;
        let style = match report.overall() {
            Overall::Conforms => palette.good,
            _ => palette.bad,
        };
        let checks = counted(report.findings.len(), "check");
        write!(self.out, "{style}{:>MARGIN$}{style:#} {} {checks}: ", "Summary", took(report.took_ms))?;
        writeln!(self.out, "{}", Tally { counts: &report.counts, palette })?;
        writeln!(self.out, "{:>MARGIN$} {style}{}{style:#}", "", sentence(report))
    }
}

impl<W: Write + Send> Sink for Human<W> {
    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        match event {
            Event::Begun { plugin, checks } => {
                let title = plugin.map(|plugin| format!("{} {}", plugin.name, plugin.version));
                let title = title.unwrap_or_else(|| "a library that cannot be loaded:".to_owned());
                self.begin(&clean(&title), checks)?;
            }
            Event::Started(_) => return Ok(()),
            Event::Ended(finding) => self.ended(finding)?,
        }
        self.out.flush()
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        writeln!(self.out, "{RULE}")?;
        let is_warning =
            |finding: &&Finding| matches!(finding.outcome, Outcome::Warning(_)) && !is_bad(finding);
        // What is worst comes last, next to the summary, where a person looks first.
        self.blocks(report.findings.iter().filter(is_warning))?;
        self.blocks(report.findings.iter().filter(|finding| is_bad(finding)))?;
        self.skipped(report)?;
        self.sum_up(report)?;
        self.out.flush()
    }
}

/// What is to be said of a finding, as the failure of one test.
pub fn block(finding: &Finding, again: &Again, coloured: bool) -> String {
    Block { finding, again, palette: Palette::new(coloured) }.to_string()
}

/// A finding in full: a line as at its end, and its details beneath.
struct Block<'a> {
    finding: &'a Finding,
    again: &'a Again,
    palette: Palette,
}

impl fmt::Display for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, style) = self.palette.word(self.finding);
        let (strong, faint) = (self.palette.strong, self.palette.faint);
        let check = clean(&self.finding.check);
        writeln!(
            f,
            "{style}{word:>MARGIN$}{style:#} {} {strong}{check}{strong:#}",
            took(self.finding.took_ms)
        )?;
        for (label, text) in details(self.finding, self.again) {
            let label = if label == "left" { "left behind" } else { label };
            for (place, line) in clean_lines(&text).lines().enumerate() {
                // Of a text of several lines, the first alone is labelled.
                let label = if place == 0 { label } else { "" };
                writeln!(f, "{faint}{label:>MARGIN$}{faint:#} {line}")?;
            }
        }
        Ok(())
    }
}

/// How many checks ended in which way; what did not happen is not told.
struct Tally<'a> {
    counts: &'a Counts,
    palette: Palette,
}

impl fmt::Display for Tally<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { passed, failed, warnings, crashed, timed_out, skipped, harness_faults, left_behind } =
            *self.counts;
        let Palette { good, bad, warning, .. } = self.palette;
        write!(f, "{good}{passed} passed{good:#}")?;
        let warned = if warnings == 1 { "warning" } else { "warnings" };
        let faults = if harness_faults == 1 { "fault of the harness" } else { "faults of the harness" };
        for (count, what, style) in [
            (failed, "failed", bad),
            (crashed, "crashed", bad),
            (timed_out, "timed out", bad),
            (harness_faults, faults, bad),
            (left_behind, "left behind", bad),
            (warnings, warned, warning),
            (skipped, "skipped", warning),
        ] {
            if count > 0 {
                write!(f, ", {style}{count} {what}{style:#}")?;
            }
        }
        Ok(())
    }
}

/// A number and its noun.
fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A time as nextest writes it.
fn took(ms: u64) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = write!(text, "[{:>8.3}s]", seconds(ms));
    text
}
