//! A report in which everything has happened, and how it reads in a format.

use std::sync::{Arc, Mutex, PoisonError};

use longshore_conformance::{
    Again, Breach, Check, Context, Counts, Event, FORMAT, Finding, Format, Leftover, Outcome, PluginInfo,
    Report,
};
use longshore_plugin_api::{Clause, Level};

/// Text that ends a CDATA section, a YAML document, a line, a directive and a tag, and tells a terminal to do things.
pub(crate) const HOSTILE: &str = "a ]]> b\n...\n---\nnot ok 99 # TODO <c/> & \"d\" 'e' \\ \u{1b}[31mred\u{7} \u{0}\u{85}\u{2028}\u{202e}\u{ffff} é 𝄞";

fn breach(clause: Clause, seen: &str) -> Breach {
    Breach { clause, expected: "what the contract says".to_owned(), seen: seen.to_owned() }
}

fn finding(check: &str, took_ms: u64, outcome: Outcome) -> Finding {
    let known = Check::named(check).expect("there is such a check");
    Finding {
        check: check.to_owned(),
        must: known.level() == Level::Must,
        clauses: known.clauses().to_vec(),
        outcome,
        took_ms,
        left_behind: Vec::new(),
        log: String::new(),
        notes: Vec::new(),
    }
}

pub(crate) fn leftover(number: usize) -> Leftover {
    let handle = (number != 0).then(|| format!("w-{number}"));
    Leftover { cluster: "ls-1".to_owned(), handle, what: "status says running".to_owned() }
}

/// A check a kind of end, in the order of the table.
pub(crate) fn findings() -> Vec<Finding> {
    let skipped = |because: &str| Outcome::Skipped { because: because.to_owned() };
    let no_server = skipped("the provider does not have longshore.server/1");
    vec![
        finding("load-symbols", 12, Outcome::Passed),
        Finding {
            notes: vec!["the schema describes 3 of 4 fields".to_owned()],
            ..finding(
                "load-schema-describes",
                7,
                Outcome::Warning(breach(Clause::LoadSchema, "`root` has no description")),
            )
        },
        Finding {
            log: HOSTILE.to_owned(),
            notes: vec!["seed 42".to_owned(), HOSTILE.to_owned()],
            ..finding("run-few", 1_234, Outcome::Failed(breach(Clause::RunCount, HOSTILE)))
        },
        finding("run-hundred-thousand", 0, skipped("it is run with `--long` only")),
        Finding { left_behind: vec![leftover(1)], ..finding("run-none", 31, Outcome::Passed) },
        finding(
            "status-order",
            90,
            Outcome::Crashed { how: "SIGSEGV".to_owned(), during: Some("status".to_owned()) },
        ),
        finding("status-of-none", 5, Outcome::Crashed { how: "exit code 0".to_owned(), during: None }),
        Finding {
            left_behind: (0..12).map(leftover).collect(),
            ..finding(
                "kill-stops",
                120_000,
                Outcome::TimedOut { limit_ms: 120_000, during: Some("kill".to_owned()) },
            )
        },
        finding("server-once", 0, no_server.clone()),
        finding("server-stops", 0, no_server),
        finding("server-address", 0, skipped(HOSTILE)),
        finding("model", 3, Outcome::HarnessFault { what: "no port could be had".to_owned() }),
    ]
}

pub(crate) fn report() -> Report {
    Report {
        format: FORMAT,
        library: "plugins/lib it's.so".to_owned(),
        plugin: Some(PluginInfo {
            name: "made-up".to_owned(),
            version: "1.2.3".to_owned(),
            interfaces: vec!["longshore.workers/1".to_owned()],
        }),
        long: false,
        seed: 42,
        took_ms: 121_402,
        counts: Counts {
            passed: 2,
            failed: 1,
            warnings: 1,
            crashed: 2,
            timed_out: 1,
            skipped: 4,
            harness_faults: 1,
            left_behind: 13,
        },
        findings: findings(),
    }
}

/// A report of these findings alone, with the counts that a test is not about left at nothing.
pub(crate) fn report_of(findings: Vec<Finding>, counts: Counts) -> Report {
    Report { findings, counts, ..report() }
}

pub(crate) fn context(coloured: bool) -> Context {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Context {
        library: "plugins/lib it's.so".to_owned(),
        jobs: 2,
        seed: 42,
        again: Again {
            before: words(&["longshore", "conformance", "plugins/lib it's.so", "--filter"]),
            after: words(&["--seed", "42"]),
        },
        coloured,
    }
}

/// What a sink writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A whole run, as a format tells of it.
pub(crate) fn told(format: Format, report: &Report, coloured: bool) -> String {
    let written = Written::default();
    let mut sink = format.sink(written.clone(), context(coloured));
    sink.event(Event::Begun { plugin: None, checks: report.findings.len() }).expect("it is written");
    for finding in &report.findings {
        sink.event(Event::Started(Check::named(&finding.check).expect("it is there")))
            .expect("it is written");
        sink.event(Event::Ended(finding)).expect("it is written");
    }
    sink.end(report).expect("it is written");
    drop(sink);
    let bytes = std::mem::take(&mut *written.0.lock().unwrap_or_else(PoisonError::into_inner));
    String::from_utf8(bytes).expect("it is UTF-8")
}
