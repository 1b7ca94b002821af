//! What went wrong, as the core passes it on: words for a person, and the clause that was broken, if one was.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why something failed, in words, with the clause of the contract where one was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// For a person.
    pub text: String,
    /// The number of the clause that the provider broke, such as `STATUS-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clause: Option<String>,
}

impl Trouble {
    /// A trouble that breaks no clause.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), clause: None }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.clause {
            Some(clause) => write!(f, "{} (clause {clause})", self.text),
            None => f.write_str(&self.text),
        }
    }
}
