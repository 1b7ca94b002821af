//! What a test needs and a machine may lack: the test says so and passes. Where everything must be, it fails instead.

use std::{env, error::Error, fmt};

/// Why something is not there, to be read after "skipped, because".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(String);

impl Missing {
    /// A reason: `there is no …`.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Missing {}

/// Whether this is a machine where nothing may be missing: `CI` is set, to anything but nothing or `false`.
pub fn everything_must_be_here() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Says that a test could not be run here. Where everything must be, that is a failure.
#[track_caller]
pub fn skip(test: &str, missing: &Missing) {
    assert!(!everything_must_be_here(), "{test} cannot be skipped here: {missing}");
    println!("skipped, because {missing}");
}

/// What is there; where it is not, the test is skipped.
#[track_caller]
pub fn or_skip<T>(test: &str, found: Result<T, Missing>) -> Option<T> {
    found.inspect_err(|missing| skip(test, missing)).ok()
}
