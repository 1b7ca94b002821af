//! What is wrong with a configuration: every fault of it, each with its place and what to write instead.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// The most faults that one error tells of; the others are counted.
pub const FAULTS_LIMIT: usize = 20;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The key's path, such as `cluster.web.scaling.backoff`; empty where the fault is the document's as a whole.
    pub key: String,
    /// The line in the file, from 1; `None` for a document that has no lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// A sentence for a person; it names the key and the line as well.
    pub message: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {file}")]
    Unreadable {
        /// The file, as it was named.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What it says is wrong.
    #[error("{0}")]
    Wrong(Faults),
}

impl ConfigError {
    /// What is wrong with the text; nothing where there is no text.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Wrong(faults) => &faults.list,
        }
    }
}

/// All that is wrong with one document, in the order of its lines: 1 to [`FAULTS_LIMIT`] faults and a count of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// The file, or another name of the document.
    pub origin: String,
    /// The first ones.
    pub list: Vec<Fault>,
    /// How many more there are.
    #[serde(default)]
    pub more: usize,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([fault], 0) = (self.list.as_slice(), self.more) {
            return write!(f, "{}: {}", self.origin, fault.message);
        }
        write!(f, "{}: {} errors", self.origin, self.list.len() + self.more)?;
        for fault in &self.list {
            write!(f, "\n  {}", fault.message)?;
        }
        if self.more > 0 {
            write!(f, "\n  ... and {} more", self.more)?;
        }
        Ok(())
    }
}
