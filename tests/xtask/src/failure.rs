//! Why a command failed, in words. Nothing here is recovered from, so that there is one kind.

use std::{error::Error, fmt};

/// A failure with all its causes. It is no `Error` itself, so that every error becomes one.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_its_causes() {
        let cause = std::io::Error::other("the disk is full");
        let error = cargo_metadata::Error::Io(cause);
        let alone = error.to_string();
        let failure = Failure::from(error).to_string();
        assert!(failure.starts_with(&alone) && failure.contains("the disk is full"), "{failure}");
        assert_eq!(Failure::new("x").to_string(), "x");
    }
}
