//! As JSON, and its schema.

use std::{fs, path::Path};

use longshore_conformance::{Format, Report, schema};
use serde_json::{Value, json};

use crate::made_up::{report, told};

fn document() -> Value {
    let text = told(Format::Json, &report(), false);
    assert_eq!(text.lines().count(), 1, "one document on one line");
    serde_json::from_str(&text).expect("it is JSON")
}

fn kept() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("report.schema.json");
    if std::env::var_os("LONGSHORE_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&schema()).expect("a schema is JSON");
        fs::write(&path, text + "\n").expect("the schema can be written");
    }
    let text = fs::read_to_string(path).expect("the schema is there");
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn the_schema_is_the_code_s() {
    assert_eq!(
        kept(),
        schema(),
        "report.schema.json is not what the code writes; `LONGSHORE_BLESS=1 cargo test -p longshore-conformance --test formats` \
         writes it again, but fields may only be added to it"
    );
}

#[test]
fn a_report_keeps_to_the_schema_and_a_broken_one_does_not() {
    let schema = jsonschema::validator_for(&kept()).expect("it is a schema");
    let document = document();
    schema.validate(&document).expect("a report keeps to it");
    for (pointer, wrong) in [
        ("/format", json!("1")),
        ("/counts/passed", json!(-1)),
        ("/findings/0/outcome", json!("succeeded")),
        ("/findings/2/clause", Value::Null),
        ("/findings/2/clauses", json!("RUN-1")),
        ("/findings/7/limit_ms", json!("long")),
        ("/findings/4/left_behind/0/cluster", json!(1)),
        ("/findings", json!({})),
    ] {
        let mut broken = document.clone();
        *broken.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there")) = wrong;
        assert!(!schema.is_valid(&broken), "{pointer}");
    }
}

#[test]
fn what_was_written_is_read_again() {
    let read: Report = serde_json::from_value(document()).expect("it is a report");
    assert_eq!(read.findings, report().findings);
    assert_eq!((read.counts, read.seed, read.took_ms), (report().counts, 42, 121_402));
}
