//! Every format, on a report in which everything has happened, with text that tries to break out of its place.

mod human;
mod json;
mod junit;
mod made_up;
mod tap;

use std::{env, fs, path::Path};

use longshore_conformance::Check;
use quick_xml::escape::escape;
use serde_json::Value;

/// Compares with what is kept, but for what the checks demand: that may be sharpened at any time. `LONGSHORE_BLESS=1` keeps what is there now: look at the difference before it is committed.
#[track_caller]
fn golden(name: &str, text: &str) {
    let mut text = text.to_owned();
    for check in Check::ALL {
        let json = Value::from(check.text()).to_string();
        for written in [check.text(), json.trim_matches('"'), &escape(check.text())] {
            text = text.replace(written, "(what it demands)");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/golden").join(name);
    if env::var_os("LONGSHORE_BLESS").is_some() {
        fs::write(&path, &text).expect("the kept text can be written");
    }
    let kept = fs::read_to_string(&path).expect("the kept text is there");
    assert_eq!(
        text, kept,
        "{name} reads differently; where that is meant, run this test with LONGSHORE_BLESS=1"
    );
}
