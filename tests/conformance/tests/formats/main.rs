//! Every format, on a report in which everything has happened, with text that tries to break out of its place.

mod human;
mod json;
mod junit;
mod made_up;
mod tap;

use std::{env, fs, path::Path};

/// Compares with what is kept. `LONGSHORE_BLESS=1` keeps what is there now: look at the difference before it is committed.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/golden").join(name);
    if env::var_os("LONGSHORE_BLESS").is_some() {
        fs::write(&path, text).expect("the kept text can be written");
    }
    let kept = fs::read_to_string(&path).expect("the kept text is there");
    assert_eq!(
        text, kept,
        "{name} reads differently; where that is meant, run this test with LONGSHORE_BLESS=1"
    );
}
