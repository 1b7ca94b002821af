//! Which files of a folder have come to rest: plain values, made of one look after the other and the time of each.

use std::{
    collections::BTreeMap,
    fs::Metadata,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// How a file looks from outside. Whoever writes it, or puts another in its place, changes that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
    /// The file's number, which another file of its name has not.
    pub(super) number: u64,
    /// When anything of it changed, be it who may write it.
    pub(super) changed: (i64, i64),
    /// The size and the time of the signature beside it.
    pub(super) signature: Option<(u64, Option<SystemTime>)>,
}

impl Look {
    pub(super) fn of(metadata: &Metadata, signature: Option<&Metadata>) -> Self {
        #[cfg(unix)]
        let (number, changed) = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (number, changed) = (0, (0, 0));
        let signature = signature.map(|it| (it.len(), it.modified().ok()));
        Self { size: metadata.len(), modified: metadata.modified().ok(), number, changed, signature }
    }
}

/// How the files of a folder look.
pub(super) type Listing = BTreeMap<PathBuf, Look>;

/// A file that is there.
#[derive(Debug)]
struct Seen {
    look: Look,
    /// When it was first seen so.
    since: Instant,
    /// Whether it was read as it looks.
    is_done: bool,
}

/// The files of a folder, and since when they look as they do.
#[derive(Debug, Default)]
pub(super) struct Settling {
    files: BTreeMap<PathBuf, Seen>,
}

impl Settling {
    /// Compares what is there now with what was there before; gives what is gone.
    pub(super) fn compare(&mut self, listing: &Listing, now: Instant) -> Vec<PathBuf> {
        let gone: Vec<_> = self.files.keys().filter(|path| !listing.contains_key(*path)).cloned().collect();
        for path in &gone {
            self.files.remove(path);
        }
        for (path, look) in listing {
            let is_same = self.files.get(path).is_some_and(|seen| seen.look == *look);
            if !is_same {
                self.files.insert(path.clone(), Seen { look: *look, since: now, is_done: false });
            }
        }
        gone
    }

    /// Files, at most so many, that have looked the same for a time, and have not been read since.
    pub(super) fn settled(&self, now: Instant, settle: Duration, most: usize) -> Vec<PathBuf> {
        let is_settled = |seen: &Seen| !seen.is_done && now.saturating_duration_since(seen.since) >= settle;
        let settled = self.files.iter().filter(|(_, seen)| is_settled(seen));
        settled.map(|(path, _)| path.clone()).take(most).collect()
    }

    /// A file was read as it looks.
    pub(super) fn done(&mut self, path: &Path) {
        if let Some(seen) = self.files.get_mut(path) {
            seen.is_done = true;
        }
    }

    /// A file has changed, however it looks.
    pub(super) fn unsettle(&mut self, path: &Path, now: Instant) {
        if let Some(seen) = self.files.get_mut(path) {
            seen.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(2);

    fn listing(files: &[(&str, u64, u64)]) -> Listing {
        let look = |size, number| Look { size, modified: None, number, changed: (0, 0), signature: None };
        files.iter().map(|(name, size, number)| (PathBuf::from(name), look(*size, *number))).collect()
    }

    /// Looks at files one after the other, each at its time; what has come to rest is read.
    struct Folder {
        settling: Settling,
        begin: Instant,
    }

    impl Folder {
        fn new() -> Self {
            Self { settling: Settling::default(), begin: Instant::now() }
        }

        fn look(&mut self, seconds: u64, files: &[(&str, u64, u64)]) -> (Vec<String>, Vec<String>) {
            let now = self.begin + Duration::from_secs(seconds);
            let gone = self.settling.compare(&listing(files), now);
            let settled = self.settling.settled(now, SETTLE, 10);
            for path in &settled {
                self.settling.done(path);
            }
            let names = |paths: Vec<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect();
            (names(settled), names(gone))
        }
    }

    fn nothing() -> (Vec<String>, Vec<String>) {
        (vec![], vec![])
    }

    fn settled(name: &str) -> (Vec<String>, Vec<String>) {
        (vec![name.to_owned()], vec![])
    }

    #[test]
    fn a_file_comes_to_rest_once() {
        let mut folder = Folder::new();
        assert_eq!(folder.look(0, &[("a", 5, 1)]), nothing());
        assert_eq!(folder.look(1, &[("a", 5, 1)]), nothing(), "too early");
        assert_eq!(folder.look(2, &[("a", 5, 1)]), settled("a"));
        assert_eq!(folder.look(9, &[("a", 5, 1)]), nothing(), "it was read");
    }

    #[test]
    fn a_file_that_grows_is_waited_for() {
        let mut folder = Folder::new();
        for second in 0..10 {
            assert_eq!(folder.look(second, &[("a", second, 1)]), nothing());
        }
        assert_eq!(folder.look(10, &[("a", 9, 1)]), nothing());
        assert_eq!(folder.look(11, &[("a", 9, 1)]), settled("a"));
    }

    #[test]
    fn a_file_that_is_overwritten_or_replaced_comes_to_rest_again() {
        let mut folder = Folder::new();
        folder.look(0, &[("a", 5, 1)]);
        assert_eq!(folder.look(2, &[("a", 5, 1)]), settled("a"));
        // In place.
        assert_eq!(folder.look(3, &[("a", 6, 1)]), nothing());
        assert_eq!(folder.look(5, &[("a", 6, 1)]), settled("a"));
        // By a rename of another file of its size.
        assert_eq!(folder.look(6, &[("a", 6, 2)]), nothing());
        assert_eq!(folder.look(8, &[("a", 6, 2)]), settled("a"));
    }

    #[test]
    fn a_file_that_goes_is_told_of_once_and_is_new_when_it_comes_back() {
        let mut folder = Folder::new();
        folder.look(0, &[("a", 5, 1), ("b", 5, 2)]);
        assert_eq!(folder.look(2, &[("b", 5, 2)]), (vec!["b".to_owned()], vec!["a".to_owned()]));
        assert_eq!(folder.look(3, &[("b", 5, 2)]), nothing());
        assert_eq!(folder.look(4, &[("a", 5, 1), ("b", 5, 2)]), nothing());
        assert_eq!(folder.look(6, &[("a", 5, 1), ("b", 5, 2)]), settled("a"));
    }

    #[test]
    fn a_file_that_changed_as_it_was_read_rests_anew() {
        let (mut settling, begin) = (Settling::default(), Instant::now());
        settling.compare(&listing(&[("a", 5, 1)]), begin);
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(settling.settled(at(2), SETTLE, 10), [PathBuf::from("a")]);
        settling.unsettle(Path::new("a"), at(2));
        assert!(settling.settled(at(3), SETTLE, 10).is_empty());
        assert_eq!(settling.settled(at(4), SETTLE, 10), [PathBuf::from("a")]);
    }

    #[test]
    fn a_clock_that_stands_still_settles_nothing() {
        let mut folder = Folder::new();
        folder.look(5, &[("a", 5, 1)]);
        assert_eq!(folder.look(5, &[("a", 5, 1)]), nothing());
        assert_eq!(folder.look(4, &[("a", 5, 1)]), nothing(), "nor one that goes back");
    }
}
