//! As TAP.

use longshore_conformance::Format;

use crate::{
    golden,
    made_up::{report, told},
};

#[test]
fn a_run_reads_as_it_did() {
    golden("report.tap", &told(Format::Tap, &report(), false));
}

/// Reads the lines as the specification of version 14 has them: nothing but these may be there.
#[test]
fn every_line_is_one_of_the_protocol() {
    let text = told(Format::Tap, &report(), false);
    assert!(text.is_ascii() || !text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("TAP version 14"));
    assert_eq!(lines.next(), Some("1..12"));
    let (mut points, mut in_yaml) = (Vec::new(), false);
    for line in lines {
        match line {
            "  ---" if !in_yaml => in_yaml = true,
            "  ..." if in_yaml => in_yaml = false,
            line if in_yaml => assert!(is_yaml(line), "{line}"),
            line if line.starts_with("# ") => {}
            line => points.push(line),
        }
    }
    assert!(!in_yaml, "each block ends");
    let read: Vec<_> = points.iter().enumerate().map(|(place, line)| point(line, place + 1)).collect();
    assert_eq!(
        read,
        [
            ("load-symbols", true, None),
            ("load-schema-describes", false, Some("TODO")),
            ("run-few", false, None),
            ("run-hundred-thousand", true, Some("SKIP")),
            ("run-none", false, None),
            ("status-order", false, None),
            ("status-of-none", false, None),
            ("kill-stops", false, None),
            ("server-once", true, Some("SKIP")),
            ("server-stops", true, Some("SKIP")),
            ("server-address", true, Some("SKIP")),
            ("model", false, None),
        ]
    );
}

/// A test point: its description, whether it is well, and its directive.
#[track_caller]
fn point(line: &str, number: usize) -> (&str, bool, Option<&str>) {
    let (ok, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ").unwrap_or_else(|| panic!("{line}"))),
    };
    let rest = rest.strip_prefix(&format!("{number} - ")).unwrap_or_else(|| panic!("{line} is out of order"));
    match rest.split_once(" # ") {
        Some((name, directive)) => {
            let (word, reason) = directive.split_once(' ').expect("a directive has a reason");
            let unescaped = reason.replace(r"\\", "").replace(r"\#", "");
            assert!(!unescaped.contains(['#', '\\']), "{line}");
            (name, ok, Some(word))
        }
        None => (rest, ok, None),
    }
}

/// `key: value`, where a value is a plain word or number, a list of clauses, or a text in quotes.
fn is_yaml(line: &str) -> bool {
    let Some((key, value)) = line.strip_prefix("  ").and_then(|line| line.split_once(": ")) else {
        return false;
    };
    let is_key = |c: char| c.is_ascii_lowercase() || c == '_';
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-, []".contains(c);
    key.chars().all(is_key) && (serde_json::from_str::<String>(value).is_ok() || value.chars().all(is_plain))
}
