//! What the runner tells the process of a check, as a file: which library, which check, where to write what it finds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longshore_plugin_api::{LaunchToken, ListedHandle, Metadata, WorkerStatus};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    quirks::Quirks,
    verdict::{Leftover, OrFault as _, Outcome, Verdict},
};

/// What the process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Load the library and tell of it.
    Inspect,
    /// Run the check of this name.
    Check(String),
    /// Kill what the ledger names.
    Sweep,
    /// Do something for a check in a process other than its own.
    Errand(Errand),
}

/// A call in another process, with a provider that is made anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Errand {
    /// `list` of a cluster.
    List {
        /// The cluster.
        cluster: String,
    },
    /// `status` of handles.
    Status {
        /// The cluster.
        cluster: String,
        /// The handles.
        handles: Vec<String>,
    },
    /// `run` under a token, of so many workers of the plain container.
    Run {
        /// The cluster.
        cluster: String,
        /// The token.
        token: LaunchToken,
        /// How many.
        workers: u32,
    },
    /// `kill` of handles.
    Kill {
        /// The cluster.
        cluster: String,
        /// The handles.
        handles: Vec<String>,
    },
}

/// What an errand came to; an error is the call's, for a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Brought {
    /// Of `list`.
    List(Vec<ListedHandle>),
    /// Of `status`.
    Status(Vec<WorkerStatus>),
    /// Of `run`: each handle with its workers.
    Run(Vec<(String, u32)>),
    /// Of `kill`: whether each was.
    Kill(Vec<bool>),
    /// The call failed.
    Failed(String),
    /// A `run` failed with the kind `permanent`.
    Permanent(String),
}

/// What the process of a check is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) task: Task,
    pub(crate) library: PathBuf,
    /// The provider's configuration, its placeholders filled in.
    pub(crate) config: Map<String, Value>,
    /// The quirks, their placeholders filled in.
    pub(crate) quirks: Quirks,
    /// The check's own folder: the files below, and `scratch` for the provider.
    pub(crate) folder: PathBuf,
    /// What was made, for whoever has to sweep. An errand writes to that of its check.
    pub(crate) ledger: PathBuf,
    /// A name that no other check has: lower-case letters, digits and `-`.
    pub(crate) unique: String,
    pub(crate) long: bool,
    pub(crate) seed: u64,
}

/// What the process of a check reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Reported {
    /// Of `Inspect`.
    Library(Box<Metadata>),
    /// Of `Inspect`: the configuration that the harness was given does not fit the schema.
    Misconfigured(String),
    /// Of `Inspect`: it cannot be loaded. The kind of refusal in a word, and the text.
    Refused { is_a_plugin: bool, text: String },
    /// Of `Check`, before what it made is swept, and after a sweep that failed for this reason.
    Unswept { outcome: Outcome, notes: Vec<String>, because: Option<String> },
    /// Of `Check`, at its very end.
    Check { outcome: Outcome, left_behind: Vec<Leftover>, notes: Vec<String> },
    /// Of `Sweep`.
    Swept { left_behind: Vec<Leftover>, notes: Vec<String> },
    /// Of `Errand`.
    Brought(Brought),
    /// Of any of them: the harness failed.
    Fault(String),
}

/// The files of a check's folder.
impl Order {
    pub(crate) fn report(&self) -> PathBuf {
        self.folder.join("report.json")
    }

    /// The calls that were begun, one a line.
    pub(crate) fn progress(&self) -> PathBuf {
        self.folder.join("progress")
    }

    /// What the process writes to its standard output and error.
    pub(crate) fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// What the provider tells the host's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The provider's own folder, `${scratch}`.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.join("scratch")
    }
}

/// Writes a document so that it is there whole or not at all.
pub(crate) fn write(path: &Path, document: &impl Serialize) -> Verdict {
    let text = serde_json::to_vec(document).or_fault("a document could not be written as JSON")?;
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text)
        .and_then(|()| fs::rename(&unfinished, path))
        .or_fault(format_args!("{} could not be written", path.display()))
}

/// Reads a document.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Verdict<T> {
    let text = fs::read(path).or_fault(format_args!("{} could not be read", path.display()))?;
    serde_json::from_slice(&text).or_fault(format_args!("{} could not be understood", path.display()))
}

/// What stands for itself in the texts of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Placeholders<'a> {
    pub(crate) scratch: &'a str,
    pub(crate) check: &'a str,
    pub(crate) program: &'a str,
}

impl Placeholders<'_> {
    /// Fills in the placeholders of every text in a value.
    pub(crate) fn fill(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.fill(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&self, text: &str) -> String {
        text.replace("${scratch}", self.scratch)
            .replace("${check}", self.check)
            .replace("${program}", self.program)
    }
}

/// One configuration laid over another, field by field.
pub(crate) fn overlay(base: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut laid = base.clone();
    for (key, value) in over {
        match (laid.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => *below = overlay(below, above),
            _ => drop(laid.insert(key.clone(), value.clone())),
        }
    }
    laid
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(fields) => fields,
            other => panic!("{other} has no fields"),
        }
    }

    #[test]
    fn placeholders_are_filled_in_wherever_a_text_is() {
        let mut value = json!({
            "root": "${scratch}/a", "list": ["${check}-${check}", 3], "deep": { "of": "${program}" }, "$x": "${other}"
        });
        Placeholders { scratch: "/s", check: "c", program: "/p" }.fill(&mut value);
        let wanted = json!({ "root": "/s/a", "list": ["c-c", 3], "deep": { "of": "/p" }, "$x": "${other}" });
        assert_eq!(value, wanted);
    }

    #[test]
    fn what_is_laid_over_wins_field_by_field() {
        let base = fields(json!({ "a": { "x": 1, "y": 2 }, "b": [1], "c": 1 }));
        let over = fields(json!({ "a": { "y": 3, "z": 4 }, "b": [2], "d": { "e": 5 } }));
        let wanted = json!({ "a": { "x": 1, "y": 3, "z": 4 }, "b": [2], "c": 1, "d": { "e": 5 } });
        assert_eq!(Value::Object(overlay(&base, &over)), wanted);
    }

    #[test]
    fn a_document_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        write(&path, &Reported::Fault("x".to_owned())).expect("it is written");
        assert!(matches!(read(&path), Ok(Reported::Fault(what)) if what == "x"));
        fs::write(&path, "{\"Fault\":").expect("it is written");
        assert!(matches!(read::<Reported>(&path), Err(crate::verdict::Stop::Fault(_))));
    }
}
