//! The ledger of a check: what it is about to make and what it made, on disk before anything else, so that whoever comes
//! after a crash can kill it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::verdict::{OrFault as _, Verdict};

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A run is about to be asked for.
    Launching { cluster: String, token: String },
    /// A run named these handles, sound or not.
    Made { cluster: String, handles: Vec<String> },
    /// A server is about to be asked for.
    Server { cluster: String },
}

/// The ledger of a check that is under way.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: Mutex<File>,
}

impl Ledger {
    pub(crate) fn open(path: &Path) -> Verdict<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: Mutex::new(file.or_fault("the ledger could not be opened")?) })
    }

    /// Writes a line. One write a line, so that other processes may append to the same ledger.
    pub(crate) fn note(&self, entry: &Entry) -> Verdict {
        let mut line = serde_json::to_vec(entry).or_fault("a line of the ledger could not be made")?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line).or_fault("the ledger could not be written")
    }
}

/// All lines of a ledger; none where there is no ledger. A last line that was cut off is passed over.
pub(crate) fn entries(path: &Path) -> Verdict<Vec<Entry>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).or_fault("the ledger could not be read")?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_hides_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        assert_eq!(entries(&path).expect("none is fine"), []);
        let ledger = Ledger::open(&path).expect("it is opened");
        let all = [
            Entry::Launching { cluster: "c".to_owned(), token: "t".to_owned() },
            Entry::Made { cluster: "c".to_owned(), handles: vec!["a".to_owned(), "two\nlines".to_owned()] },
        ];
        for entry in &all {
            ledger.note(entry).expect("it is written");
        }
        let mut text = fs::read_to_string(&path).expect("it is read");
        text.push_str("{\"Server\":{\"clu");
        fs::write(&path, text).expect("it is written");
        assert_eq!(entries(&path).expect("it is read"), all);
    }
}
