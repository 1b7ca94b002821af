//! The XML of `JUnit`, as Jenkins' plugins and what reads their format take it: a suite a family of checks, a case a check. It keeps to
//! what their schemas share: no properties of cases, no `disabled`; a case's clauses are properties of its suite.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesStart, BytesText, Event as Xml},
};

use super::{Context, Sink, clean, clean_lines, details, family, headline, is_bad, seconds, title};
use crate::{
    report::Report,
    runner::Event,
    verdict::{Finding, Outcome},
};

/// Writes everything when the run has ended, since each suite begins with its counts.
pub(super) struct Junit<W> {
    out: W,
    context: Context,
}

/// How a case ends.
enum Case {
    Good,
    Skipped,
    /// The provider broke a clause, or left something behind.
    Failure,
    /// The check did not come to its end.
    Error,
}

impl Case {
    fn of(finding: &Finding) -> Self {
        match &finding.outcome {
            Outcome::Crashed { .. } | Outcome::TimedOut { .. } | Outcome::HarnessFault { .. } => Self::Error,
            _ if is_bad(finding) => Self::Failure,
            Outcome::Skipped { .. } => Self::Skipped,
            _ => Self::Good,
        }
    }
}

/// The cases of a suite, or of all of them, counted.
struct Counted {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    took_ms: u64,
}

impl Counted {
    fn of(findings: &[&Finding]) -> Self {
        let count = |fits: fn(&Case) -> bool| findings.iter().filter(|it| fits(&Case::of(it))).count();
        Self {
            tests: findings.len(),
            failures: count(|case| matches!(case, Case::Failure)),
            errors: count(|case| matches!(case, Case::Error)),
            skipped: count(|case| matches!(case, Case::Skipped)),
            took_ms: findings.iter().map(|finding| finding.took_ms).sum(),
        }
    }

    fn attributes(&self) -> [(&'static str, String); 4] {
        [
            ("tests", self.tests.to_string()),
            ("failures", self.failures.to_string()),
            ("errors", self.errors.to_string()),
            ("time", time(self.took_ms)),
        ]
    }
}

fn time(ms: u64) -> String {
    format!("{:.3}", seconds(ms))
}

fn element(name: &str, attributes: impl IntoIterator<Item = (&'static str, String)>) -> BytesStart<'_> {
    let mut element = BytesStart::new(name);
    for (name, value) in attributes {
        element.push_attribute((name, clean(&value).as_str()));
    }
    element
}

impl<W: Write> Junit<W> {
    pub(super) fn new(out: W, context: Context) -> Self {
        Self { out, context }
    }

    fn suite(
        &self,
        xml: &mut Writer<Vec<u8>>,
        report: &Report,
        family: &str,
        findings: &[&Finding],
    ) -> io::Result<()> {
        let counted = Counted::of(findings);
        let name = [("name", family.to_owned())];
        let skipped = [("skipped", counted.skipped.to_string())];
        let suite = element("testsuite", name.into_iter().chain(counted.attributes()).chain(skipped));
        xml.write_event(Xml::Start(suite.borrow()))?;
        xml.write_event(Xml::Start(BytesStart::new("properties")))?;
        let property =
            |name: String, value: String| Xml::Empty(element("property", [("name", name), ("value", value)]));
        xml.write_event(property("library".to_owned(), report.library.clone()))?;
        xml.write_event(property("seed".to_owned(), report.seed.to_string()))?;
        xml.write_event(property("long".to_owned(), report.long.to_string()))?;
        for finding in findings {
            let clauses: Vec<_> = finding.clauses.iter().map(|clause| clause.id()).collect();
            xml.write_event(property(format!("clauses.{}", finding.check), clauses.join(" ")))?;
        }
        xml.write_event(Xml::End(BytesStart::new("properties").to_end()))?;
        for finding in findings {
            self.case(xml, family, finding)?;
        }
        xml.write_event(Xml::End(suite.to_end()))
    }

    fn case(&self, xml: &mut Writer<Vec<u8>>, family: &str, finding: &Finding) -> io::Result<()> {
        let case = element(
            "testcase",
            [
                ("name", finding.check.clone()),
                ("classname", format!("conformance.{family}")),
                ("time", time(finding.took_ms)),
            ],
        );
        let how = Case::of(finding);
        let is_warning = matches!(finding.outcome, Outcome::Warning(_));
        if matches!(how, Case::Good) && !is_warning {
            return xml.write_event(Xml::Empty(case));
        }
        xml.write_event(Xml::Start(case.borrow()))?;
        let message = ("message", headline(finding));
        let verdict = match how {
            Case::Good => None,
            Case::Skipped => Some(element("skipped", [message])),
            Case::Failure => Some(element("failure", [message, ("type", kind(finding))])),
            Case::Error => Some(element("error", [message, ("type", kind(finding))])),
        };
        if let Some(verdict) = verdict {
            if matches!(how, Case::Skipped) {
                xml.write_event(Xml::Empty(verdict))?;
            } else {
                xml.write_event(Xml::Start(verdict.borrow()))?;
                xml.write_event(Xml::Text(BytesText::new(&self.words(finding))))?;
                xml.write_event(Xml::End(verdict.to_end()))?;
            }
        }
        // A warning is no failure, and JUnit has nothing between the two.
        let said = if is_warning { self.words(finding) } else { clean_lines(&finding.log) };
        if !said.trim().is_empty() {
            let out = BytesStart::new("system-out");
            xml.write_event(Xml::Start(out.borrow()))?;
            xml.write_event(Xml::Text(BytesText::new(&said)))?;
            xml.write_event(Xml::End(out.to_end()))?;
        }
        xml.write_event(Xml::End(case.to_end()))
    }

    /// All that is to be said of a finding; its log has a place of its own, unless it is a warning.
    fn words(&self, finding: &Finding) -> String {
        let is_warning = matches!(finding.outcome, Outcome::Warning(_));
        let mut words = if is_warning { "warning\n".to_owned() } else { String::new() };
        for (label, text) in details(finding, &self.context.again) {
            if is_warning || label != "log" {
                // Writing to a text does not fail.
                let _ = writeln!(words, "{label}: {}", clean_lines(&text));
            }
        }
        words
    }
}

/// What kind of failure, in a word: the clause, or how the check ended.
fn kind(finding: &Finding) -> String {
    match &finding.outcome {
        Outcome::Failed(breach) => breach.clause.id().to_owned(),
        Outcome::Crashed { .. } | Outcome::TimedOut { .. } | Outcome::HarnessFault { .. } => {
            finding.outcome.word().to_owned()
        }
        _ => "left-behind".to_owned(),
    }
}

impl<W: Write + Send> Sink for Junit<W> {
    fn event(&mut self, _: Event<'_>) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
        xml.write_event(Xml::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let findings: Vec<&Finding> = report.findings.iter().collect();
        let mut whole = Counted::of(&findings);
        // Checks run side by side: the run is shorter than their sum.
        whole.took_ms = report.took_ms;
        let name = [("name", format!("longshore conformance: {}", title(report)))];
        let suites = element("testsuites", name.into_iter().chain(whole.attributes()));
        xml.write_event(Xml::Start(suites.borrow()))?;
        let mut families: Vec<&str> = Vec::new();
        for finding in &findings {
            if !families.contains(&family(finding)) {
                families.push(family(finding));
            }
        }
        for name in families {
            let of_it: Vec<_> = findings.iter().copied().filter(|finding| family(finding) == name).collect();
            self.suite(&mut xml, report, name, &of_it)?;
        }
        xml.write_event(Xml::End(suites.to_end()))?;
        self.out.write_all(&xml.into_inner())?;
        writeln!(self.out)?;
        self.out.flush()
    }
}
