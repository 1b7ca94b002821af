//! The Test Anything Protocol, version 14: a line a check in the order of the table, and YAML beneath those that are not simply
//! passed. A warning is a failure that is still to do, which TAP's readers do not count.

use std::io::{self, Write};

use super::{Context, Sink, clean, details, headline, is_bad, is_odd, seconds, sentence};
use crate::{
    report::Report,
    runner::Event,
    verdict::{Finding, Outcome},
};

/// Writes everything when the run has ended: the order of the lines is the table's, not that of the clock.
pub(super) struct Tap<W> {
    out: W,
    context: Context,
}

impl<W: Write> Tap<W> {
    pub(super) fn new(out: W, context: Context) -> Self {
        Self { out, context }
    }

    fn line(&mut self, number: usize, finding: &Finding) -> io::Result<()> {
        let is_warning = matches!(finding.outcome, Outcome::Warning(_));
        let ok = if is_bad(finding) || is_warning { "not ok" } else { "ok" };
        write!(self.out, "{ok} {number} - {}", escaped(&finding.check))?;
        match &finding.outcome {
            Outcome::Skipped { because } if !is_bad(finding) => {
                write!(self.out, " # SKIP {}", escaped(because))?;
            }
            // What was left behind is no matter of taste.
            Outcome::Warning(breach) if !is_bad(finding) => {
                write!(self.out, " # TODO a provider should pass it, and need not ({})", breach.clause.id())?;
            }
            _ => {}
        }
        writeln!(self.out)?;
        writeln!(self.out, "  ---")?;
        writeln!(self.out, "  outcome: {}", finding.outcome.word())?;
        writeln!(self.out, "  level: {}", if finding.must { "must" } else { "should" })?;
        let clauses: Vec<_> = finding.clauses.iter().map(|clause| clause.id()).collect();
        writeln!(self.out, "  clauses: [{}]", clauses.join(", "))?;
        writeln!(self.out, "  duration_ms: {}", finding.took_ms)?;
        if is_bad(finding) || is_warning {
            writeln!(self.out, "  message: {}", scalar(&headline(finding)))?;
            self.details(finding)?;
        }
        writeln!(self.out, "  ...")
    }

    /// The details by their names; of what there is more than one, one a line. Lists would be read wrongly by older readers.
    fn details(&mut self, finding: &Finding) -> io::Result<()> {
        let details = details(finding, &self.context.again);
        for alike in details.chunk_by(|(one, _), (other, _)| one == other) {
            let texts: Vec<&str> = alike.iter().map(|(_, text)| text.as_str()).collect();
            writeln!(self.out, "  {}: {}", alike[0].0, scalar(&texts.join("\n")))?;
        }
        Ok(())
    }
}

impl<W: Write + Send> Sink for Tap<W> {
    fn event(&mut self, _: Event<'_>) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        writeln!(self.out, "TAP version 14\n1..{}", report.findings.len())?;
        writeln!(self.out, "# {}", clean(&report.library))?;
        writeln!(self.out, "# seed {}{}", report.seed, if report.long { ", long" } else { "" })?;
        for (place, finding) in report.findings.iter().enumerate() {
            self.line(place + 1, finding)?;
        }
        writeln!(self.out, "# {} in {:.3} s", sentence(report), seconds(report.took_ms))?;
        self.out.flush()
    }
}

/// A text in a description or a reason, where `#` would begin a directive.
fn escaped(text: &str) -> String {
    clean(text).replace('\\', r"\\").replace('#', r"\#")
}

/// A text as a scalar of YAML, in quotes. JSON's are YAML's, but for what YAML wants escaped beyond them.
fn scalar(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    // Every odd character is in the basic plane.
    let escaped = |c: char| if is_odd(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_where_it_is() {
        assert_eq!(escaped("a # TODO \\ b\nnot ok"), r"a \# TODO \\ b not ok");
        assert_eq!(scalar("a\"b\n...\u{85}\u{2028}"), r#""a\"b\n...\u0085\u2028""#);
    }
}
