//! The ledger of a check: what it is about to make and what it made, on disk before anything else, so that whoever comes
//! after a crash can kill it.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::verdict::{Leftover, OrFault as _, Verdict};

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A run is about to be asked for.
    Launching { place: Place, token: String },
    /// A run named these handles, sound or not.
    Made { place: Place, handles: Vec<String> },
    /// What a run made is known: it has answered, or failed with nothing left behind.
    Settled { token: String },
    /// A server is about to be asked for.
    Server { place: Place },
    /// The backend is about to be put out of reach by a command, or is back.
    Outage { is_begun: bool },
    /// The kill of a handle is about to be made to fail by a command, or succeeds again.
    BadKill { handle: String, is_begun: bool },
}

impl Entry {
    /// Whether it is about this place.
    pub(crate) fn is_at(&self, at: &Place) -> bool {
        matches!(self, Self::Launching { place, .. } | Self::Made { place, .. } | Self::Server { place } if place == at)
    }
}

/// Where something was made: who wants to kill it has to make the same provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) cluster: String,
    /// The provider's configuration, where it is not that of the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<Map<String, Value>>,
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

/// All lines of a ledger. A last line that was cut off, in the middle of a character perhaps, is passed over. There is one
/// from the check's beginning: where it is gone, nobody knows what was made.
pub(crate) fn entries(path: &Path) -> Verdict<Vec<Entry>> {
    let text = fs::read(path).or_fault("the ledger, of what the check made, could not be read")?;
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The handles that were made somewhere, each once, the earliest first.
pub(crate) fn made(entries: &[Entry], at: &Place) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = entries.iter().filter_map(|entry| match entry {
        Entry::Made { place, handles } if place == at => Some(handles),
        _ => None,
    });
    all.flatten().filter(|handle| seen.insert(handle.as_str())).cloned().collect()
}

/// Where something was made or may have been, the latest first.
pub(crate) fn places(entries: &[Entry]) -> Vec<Place> {
    let mut seen: Vec<&Place> = Vec::new();
    for entry in entries.iter().rev() {
        if let Entry::Launching { place, .. } | Entry::Made { place, .. } | Entry::Server { place } = entry
            && !seen.contains(&place)
        {
            seen.push(place);
        }
    }
    seen.into_iter().cloned().collect()
}

/// The tokens of the launches of a place of which nobody knows what they made.
pub(crate) fn unsettled<'a>(entries: &'a [Entry], at: &Place) -> Vec<&'a str> {
    let settled = entries.iter().filter_map(|entry| match entry {
        Entry::Settled { token } => Some(token.as_str()),
        _ => None,
    });
    let settled: BTreeSet<&str> = settled.collect();
    let begun = entries.iter().filter_map(|entry| match entry {
        Entry::Launching { place, token } if place == at => Some(token.as_str()),
        _ => None,
    });
    begun.filter(|token| !settled.contains(token)).collect()
}

/// Whether a server was asked for.
pub(crate) fn has_server(entries: &[Entry], at: &Place) -> bool {
    entries.iter().any(|entry| matches!(entry, Entry::Server { place } if place == at))
}

/// Everything that was made, as left behind: nobody could be had to kill it.
pub(crate) fn left(entries: &[Entry], what: &str) -> Vec<Leftover> {
    let mut left = Vec::new();
    for place in places(entries) {
        let leftover = |handle| Leftover { cluster: place.cluster.clone(), handle, what: what.to_owned() };
        left.extend(made(entries, &place).into_iter().rev().map(|handle| leftover(Some(handle))));
        left.extend(has_server(entries, &place).then(|| leftover(None)));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_hides_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        entries(&path).expect_err("it was removed: nobody knows what was made");
        let ledger = Ledger::open(&path).expect("it is opened");
        let place = || Place { cluster: "c".to_owned(), config: None };
        let all = [
            Entry::Launching { place: place(), token: "t".to_owned() },
            Entry::Made { place: place(), handles: vec!["ä".to_owned(), "two\nlines".to_owned()] },
        ];
        for entry in &all {
            ledger.note(entry).expect("it is written");
        }
        let mut text = fs::read(&path).expect("it is read");
        let cut_off = "{\"Server\":{\"ä".as_bytes();
        text.extend(&cut_off[..cut_off.len() - 1]);
        fs::write(&path, text).expect("it is written");
        assert_eq!(entries(&path).expect("it is read"), all);
    }

    #[test]
    fn what_was_made_is_told_by_its_place_the_latest_first() {
        let place = |cluster: &str, root: Option<&str>| Place {
            cluster: cluster.to_owned(),
            config: root.map(|root| Map::from_iter([("root".to_owned(), Value::from(root))])),
        };
        let made = |place: &Place, handles: &[&str]| Entry::Made {
            place: place.clone(),
            handles: handles.iter().map(|handle| (*handle).to_owned()).collect(),
        };
        let launching =
            |place: &Place, token: &str| Entry::Launching { place: place.clone(), token: token.to_owned() };
        let (own, apart) = (place("c", None), place("c", Some("/elsewhere")));
        let all = [
            launching(&own, "1"),
            made(&own, &["a", "b"]),
            Entry::Settled { token: "1".to_owned() },
            launching(&apart, "2"),
            made(&apart, &["x"]),
            made(&own, &["b", "c"]),
            launching(&own, "3"),
            Entry::Server { place: own.clone() },
        ];
        assert_eq!(places(&all), [own.clone(), apart.clone()]);
        assert_eq!(super::made(&all, &own), ["a", "b", "c"]);
        assert_eq!(super::made(&all, &apart), ["x"], "another provider's, in a cluster of the same name");
        assert_eq!((unsettled(&all, &own), unsettled(&all, &apart)), (vec!["3"], vec!["2"]));
        let left = left(&all, "why");
        let handles: Vec<_> = left.iter().map(|it| it.handle.as_deref().unwrap_or("server")).collect();
        assert_eq!(handles, ["c", "b", "a", "server", "x"]);
    }
}
