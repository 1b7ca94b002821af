//! As the XML of `JUnit`. What Jenkins' plugins take is told here as rules of our own: their schemas say the same in their
//! words. Where one of those is at hand, the last test holds the report to it as well.

use std::{collections::BTreeMap, env, fs, process::Command};

use junit_parser::TestStatus;
use longshore_conformance::{Format, Outcome};
use quick_xml::{
    Reader,
    escape::unescape,
    events::{BytesStart, Event},
};

use crate::{
    golden,
    made_up::{report, told},
};

/// An element: its attributes that must be there, those that may, and what may be within it.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// The part of the format that the readers of it agree upon.
const RULES: &[Rule] = &[
    ("testsuites", &[], &["name", "tests", "failures", "errors", "time"], &["testsuite"]),
    (
        "testsuite",
        &["name", "tests", "failures", "errors"],
        &["skipped", "time", "timestamp", "hostname", "id", "package"],
        &["properties", "testcase", "system-out", "system-err"],
    ),
    ("properties", &[], &[], &["property"]),
    ("property", &["name", "value"], &[], &[]),
    (
        "testcase",
        &["name", "classname"],
        &["time"],
        &["skipped", "error", "failure", "system-out", "system-err"],
    ),
    ("skipped", &[], &["message"], &["text"]),
    ("failure", &[], &["message", "type"], &["text"]),
    ("error", &[], &["message", "type"], &["text"]),
    ("system-out", &[], &[], &["text"]),
];

#[track_caller]
fn rule(element: &str) -> Rule {
    *RULES.iter().find(|(name, ..)| *name == element).unwrap_or_else(|| panic!("nobody knows <{element}>"))
}

fn attributes(element: &BytesStart<'_>) -> BTreeMap<String, String> {
    let pair = |attribute: quick_xml::events::attributes::Attribute<'_>| {
        let name = String::from_utf8(attribute.key.as_ref().to_vec()).expect("a name of text");
        let value = String::from_utf8(attribute.value.to_vec()).expect("a value of text");
        (name, value)
    };
    element.attributes().map(|attribute| pair(attribute.expect("attributes are well-formed"))).collect()
}

/// Holds an element to its rule, within another.
fn hold(element: &BytesStart<'_>, within: Option<&str>) -> String {
    let name = String::from_utf8(element.name().as_ref().to_vec()).expect("a name of text");
    let (_, must, may, _) = rule(&name);
    let attributes = attributes(element);
    for attribute in must {
        assert!(attributes.contains_key(*attribute), "<{name}> has no {attribute}");
    }
    for (attribute, value) in &attributes {
        assert!(
            must.contains(&attribute.as_str()) || may.contains(&attribute.as_str()),
            "<{name} {attribute}>"
        );
        let is_number = |value: &str| !value.is_empty() && value.chars().all(|c| c.is_ascii_digit());
        match attribute.as_str() {
            "tests" | "failures" | "errors" | "skipped" => assert!(is_number(value), "{attribute}={value}"),
            // Seconds, with a point.
            "time" => {
                let (whole, part) = value.split_once('.').expect("seconds with their parts");
                assert!(is_number(whole) && is_number(part), "{attribute}={value}");
            }
            _ => {}
        }
    }
    match within {
        None => assert_eq!(name, "testsuites"),
        Some(within) => assert!(rule(within).3.contains(&name.as_str()), "<{name}> in <{within}>"),
    }
    name
}

#[test]
fn a_run_reads_as_it_did() {
    golden("junit.xml", &told(Format::Junit, &report(), false));
}

#[test]
fn every_element_is_where_its_readers_expect_it() {
    let text = told(Format::Junit, &report(), false);
    // XML has no way to write these, escaped or not.
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n' || "\u{fffe}\u{ffff}".contains(c)),
        "{text:?}"
    );
    let mut reader = Reader::from_str(&text);
    let mut open: Vec<String> = Vec::new();
    let mut seen = 0;
    loop {
        match reader.read_event().expect("it is well-formed") {
            Event::Start(element) => {
                let name = hold(&element, open.last().map(String::as_str));
                open.push(name);
                seen += 1;
            }
            Event::Empty(element) => {
                hold(&element, open.last().map(String::as_str));
                seen += 1;
            }
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => {
                let blank = text.iter().all(u8::is_ascii_whitespace);
                let within = open.last().map(String::as_str);
                assert!(
                    blank || within.is_some_and(|within| rule(within).3.contains(&"text")),
                    "text in {within:?}"
                );
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty() && seen > 30, "{seen} elements were looked at");
}

/// An element as a reader has it: unescaped, with all the text in it.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
    within: Vec<Element>,
}

impl Element {
    fn read(text: &str) -> Self {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        let begun = |element: &BytesStart<'_>| {
            let value = |value: &String| unescape(value).expect("values are well-formed").into_owned();
            let attributes = attributes(element);
            Self {
                name: String::from_utf8(element.name().as_ref().to_vec()).expect("a name of text"),
                attributes: attributes.iter().map(|(name, it)| (name.clone(), value(it))).collect(),
                ..Self::default()
            }
        };
        loop {
            let last = open.len() - 1;
            match reader.read_event().expect("it is well-formed") {
                Event::Start(element) => open.push(begun(&element)),
                Event::Empty(element) => open[last].within.push(begun(&element)),
                Event::End(_) => {
                    let ended = open.remove(last);
                    open[last - 1].within.push(ended);
                }
                Event::Text(text) => open[last].text.push_str(&text.decode().expect("it is UTF-8")),
                Event::GeneralRef(entity) => {
                    let entity = entity.decode().expect("it is UTF-8");
                    open[last]
                        .text
                        .push_str(&unescape(&format!("&{entity};")).expect("an entity of XML's own"));
                }
                Event::Eof => return open.remove(0).within.remove(0),
                _ => {}
            }
        }
    }

    #[track_caller]
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("<{}> has no {name}", self.name))
    }

    fn number(&self, name: &str) -> usize {
        self.attribute(name).parse().expect("a number")
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.within.iter().filter(move |element| element.name == name)
    }

    fn first(&self, name: &str) -> Option<&Self> {
        self.within.iter().find(|element| element.name == name)
    }
}

#[test]
fn a_reader_finds_what_was_told() {
    let whole = Element::read(&told(Format::Junit, &report(), false));
    let counts = |element: &Element| ["tests", "failures", "errors"].map(|name| element.number(name));
    assert_eq!((counts(&whole), whole.attribute("time")), ([12, 2, 4], "121.402"));
    let suites: Vec<_> = whole.all("testsuite").map(|it| (it.attribute("name"), counts(it))).collect();
    assert_eq!(
        suites,
        [
            ("load", [2, 0, 0]),
            ("run", [3, 2, 0]),
            ("status", [2, 0, 2]),
            ("kill", [1, 0, 1]),
            ("server", [3, 0, 0]),
            ("model", [1, 0, 1])
        ]
    );
    for suite in whole.all("testsuite") {
        let ends = ["testcase", "failure", "error", "skipped"].map(|end| {
            suite.all("testcase").filter(|case| end == "testcase" || case.first(end).is_some()).count()
        });
        assert_eq!(
            ends,
            ["tests", "failures", "errors", "skipped"].map(|name| suite.number(name)),
            "its counts are true"
        );
    }
    let cases = whole.all("testsuite").flat_map(|suite| suite.all("testcase"));
    let cases: BTreeMap<_, _> = cases.map(|case| (case.attribute("name"), case)).collect();
    for (name, end, kind, words) in [
        ("run-few", "failure", "RUN-1", "expected: what the contract says\nseen: a ]]> b\n...\n---\nnot ok"),
        (
            "run-few",
            "failure",
            "RUN-1",
            "again: longshore conformance 'plugins/lib it'\\''s.so' --filter run-few",
        ),
        ("run-none", "failure", "left-behind", "worker w-1, of cluster ls-1: status says running"),
        ("status-order", "error", "crashed", "SIGSEGV, during status"),
        ("kill-stops", "error", "timed-out", "within 120 s, during kill"),
        ("model", "error", "harness-fault", "no port could be had"),
    ] {
        let end = cases[name].first(end).unwrap_or_else(|| panic!("{name} has no {end}: {:?}", cases[name]));
        assert_eq!(end.attribute("type"), kind, "{name}");
        assert!(end.text.contains(words), "{name}: {}", end.text);
    }
    let said = |name: &str| &cases[name].first("system-out").expect("something was said").text;
    assert!(said("run-few").contains("<c/> & \"d\" 'e' \\"), "the log: {}", said("run-few"));
    let warning = said("load-schema-describes");
    assert!(warning.starts_with("warning\n") && warning.contains("`root` has no description"), "{warning}");
    assert!(cases["load-symbols"].within.is_empty());
    let skipped = cases["server-once"].first("skipped").expect("it was skipped");
    assert_eq!(
        skipped.attribute("message"),
        "skipped, because the provider does not have longshore.server/1"
    );
    let properties =
        whole.all("testsuite").nth(1).and_then(|run| run.first("properties")).expect("they are there");
    let clauses = properties.all("property").find(|it| it.attribute("name") == "clauses.run-few");
    assert_eq!(clauses.map(|it| it.attribute("value")), Some("RUN-1"));
}

/// `LONGSHORE_JUNIT_XSD=junit-10.xsd cargo test -p longshore-conformance --test formats -- --ignored`, with the schema of
/// Jenkins' xUnit plugin, or with another.
#[test]
#[ignore = "it needs xmllint, and a schema of others that LONGSHORE_JUNIT_XSD names"]
fn the_schema_of_a_consumer_is_kept() {
    let schema = env::var_os("LONGSHORE_JUNIT_XSD").expect("LONGSHORE_JUNIT_XSD names a schema");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("junit.xml");
    fs::write(&file, told(Format::Junit, &report(), false)).expect("a file in a folder of our own");
    let mut xmllint = Command::new("xmllint");
    let output = xmllint.args(["--noout", "--nonet", "--schema"]).arg(schema).arg(&file).output();
    let output = output.expect("xmllint can be run: Debian has it in libxml2-utils");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a reader that others use, `junit-parser`, makes of it: every check once, in its suite, as it ended.
#[test]
fn a_reader_of_others_reads_what_happened() {
    let report = report();
    let text = told(Format::Junit, &report, false);
    let read = junit_parser::from_reader(text.as_bytes()).expect("it is JUnit");
    let total = |of: fn(&junit_parser::TestSuite) -> u64| read.suites.iter().map(of).sum::<u64>();
    let cases = read.suites.iter().flat_map(|suite| &suite.cases);
    let ended: BTreeMap<&str, &TestStatus> =
        cases.map(|case| (case.original_name.as_str(), &case.status)).collect();
    assert_eq!(ended.len(), report.findings.len());
    assert_eq!((read.tests, total(|suite| suite.tests)), (ended.len() as u64, ended.len() as u64));
    let count = |is: fn(&TestStatus) -> bool| ended.values().filter(|status| is(status)).count() as u64;
    assert_eq!(
        (read.failures, total(|suite| suite.failures)),
        (count(TestStatus::is_failure), read.failures)
    );
    assert_eq!((read.errors, total(|suite| suite.errors)), (count(TestStatus::is_error), read.errors));
    assert_eq!(total(|suite| suite.skipped), count(TestStatus::is_skipped));
    for finding in &report.findings {
        let status = ended.get(finding.check.as_str()).expect("it is there under its name");
        let is_bad = status.is_failure() || status.is_error();
        // What is left behind fails a check that passed.
        let bad = !finding.left_behind.is_empty()
            || finding.outcome.is_failure()
            || matches!(finding.outcome, Outcome::HarnessFault { .. });
        assert_eq!(is_bad, bad, "{}: {status:?}", finding.check);
        assert_eq!(
            status.is_skipped() && !bad,
            matches!(finding.outcome, Outcome::Skipped { .. }) && !bad,
            "{}",
            finding.check
        );
    }
}
