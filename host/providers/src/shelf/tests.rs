//! What is put on the shelf, found there and taken off it; what was damaged, or does not belong there.

use std::{fs, thread};

use super::*;

/// A shelf in a folder of its own, and a folder for what is put there.
struct Place {
    temp: tempfile::TempDir,
    shelf: Shelf,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let shelf = Shelf::new(temp.path().join("plugins"));
        Self { temp, shelf }
    }

    fn file(&self, content: &str) -> PathBuf {
        let path = self.temp.path().join("given.so");
        fs::write(&path, content).expect("the folder can be written");
        path
    }

    /// Puts a file of that content there.
    fn add(&self, content: &str, name: &str, version: &str) -> Shelved {
        let added = self.shelf.add(&self.file(content), &Trust::default(), named(name, version));
        added.expect("there is room")
    }

    fn contents(&self) -> Contents {
        self.shelf.contents().expect("it can be read")
    }

    /// The names of the files in the folder.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.shelf.folder()).expect("it is there");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Takes everything for a plugin of that name and version.
fn named(name: &str, version: &str) -> impl FnOnce(&Path, &Verified) -> Result<Named, LoadError> {
    let named = Named { name: name.to_owned(), version: version.to_owned() };
    |_, _| Ok(named)
}

#[test]
fn a_plugin_that_is_put_there_is_found_with_all_that_is_known_of_it() {
    let place = Place::new();
    assert_eq!(place.contents(), Contents::default(), "there is no folder yet");
    let shelved = place.add("abc", "memory", "1.2.3");
    assert_eq!(
        (&*shelved.name, shelved.version.to_string(), shelved.bytes),
        ("memory", "1.2.3".to_owned(), 3)
    );
    assert_eq!(fs::read_to_string(&shelved.path).expect("it is there"), "abc");
    assert_eq!(place.contents(), Contents { shelved: vec![shelved.clone()], refused: vec![] });
    let verified = shelved.verify(&Trust::default()).expect("it is as it was");
    assert_eq!((&*verified.bytes, &verified.hash), (&b"abc"[..], &shelved.hash));
    // As a later host finds it.
    let later = Shelf::new(place.shelf.folder());
    assert_eq!(later.contents().expect("it can be read").shelved, [shelved]);
}

#[test]
fn the_same_content_is_there_once() {
    let place = Place::new();
    let first = place.add("abc", "memory", "1.0.0");
    assert_eq!(place.add("abc", "memory", "1.0.0"), first);
    assert_eq!(place.files().len(), 2, "its content and its card: {:?}", place.files());
    let file = place.file("abc");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                place.shelf.add(&file, &Trust::default(), named("memory", "1.0.0")).expect("there is room")
            });
        }
    });
    assert_eq!(place.contents().shelved, [first]);
    assert_eq!(place.files().len(), 2, "{:?}", place.files());
}

#[test]
fn what_is_refused_leaves_nothing() {
    let place = Place::new();
    let file = place.file("abc");
    let pin = Trust { sha256: Some("0".repeat(64)), ..Trust::default() };
    let why = place.shelf.add(&file, &pin, |_, _| panic!("nothing of it is run")).expect_err("it is another");
    assert!(matches!(&why, ShelfError::Refused(why) if why.kind() == LoadErrorKind::Pin), "{why}");
    let bad = |path: &Path, _: &Verified| Err(LoadError::new(path, LoadErrorKind::NoSymbol, "it is bad"));
    let why = place.shelf.add(&file, &Trust::default(), bad).expect_err("it is no plugin");
    assert!(matches!(&why, ShelfError::Refused(why) if why.kind() == LoadErrorKind::NoSymbol), "{why}");
    let why = place.shelf.add(&file, &Trust::default(), named("memory", "newest")).expect_err("no version");
    assert!(why.to_string().contains("its version \"newest\""), "{why}");
    assert!(!place.shelf.folder().exists());
}

#[test]
fn what_was_looked_at_is_put_there_whatever_becomes_of_the_file() {
    let place = Place::new();
    let file = place.file("the good one");
    let replaced = |path: &Path, verified: &Verified| {
        assert_eq!(verified.bytes, b"the good one");
        let new = path.with_extension("new");
        fs::write(&new, "the bad one").expect("the folder can be written");
        fs::rename(new, path).expect("it can be replaced");
        Ok(Named { name: "memory".to_owned(), version: "1.0.0".to_owned() })
    };
    let shelved = place.shelf.add(&file, &Trust::default(), replaced).expect("there is room");
    assert_eq!(fs::read_to_string(file).expect("it is there"), "the bad one");
    assert_eq!(fs::read_to_string(&shelved.path).expect("it is there"), "the good one");
    shelved.verify(&Trust::default()).expect("it is what was looked at");
}

#[test]
fn a_signature_goes_along() {
    let place = Place::new();
    let key = longshore_support::Key::new();
    let trust = Trust { signed_by: vec![key.public()], ..Trust::default() };
    let unsigned = place.add("abc", "memory", "1.0.0");
    assert_eq!(unsigned.signer, None);
    let why = unsigned.verify(&trust).expect_err("it is not signed");
    assert_eq!(why.kind(), LoadErrorKind::Signature, "{why}");

    let file = place.file("abc");
    key.sign(&file, "of a test");
    let signed = place.shelf.add(&file, &trust, named("memory", "1.0.0")).expect("it is signed");
    let signer = signed.signer.clone().expect("somebody has signed it");
    assert_eq!((signer.key, &*signer.comment), (key.public(), "of a test"));
    assert_eq!(place.contents(), Contents { shelved: vec![signed.clone()], refused: vec![] });
    signed.verify(&trust).expect("its signature is with it");
    // One that nobody has looked at does not take its place.
    let stranger = longshore_support::Key::new();
    stranger.sign(&file, "of somebody");
    place.shelf.add(&file, &Trust::default(), named("memory", "1.0.0")).expect("it is there");
    signed.verify(&trust).expect("its signature is with it");
    let other = Trust { signed_by: vec![stranger.public()], ..Trust::default() };
    assert_eq!(signed.verify(&other).expect_err("another has").kind(), LoadErrorKind::Signature);
    assert!(place.shelf.remove(&signed.hash).expect("it can be removed"));
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[test]
fn what_is_removed_is_gone_and_what_is_not_there_is_said_not_to_be() {
    let place = Place::new();
    assert!(!place.shelf.remove(&"0".repeat(64)).expect("there is no folder"));
    let (one, other) = (place.add("abc", "memory", "1.0.0"), place.add("def", "memory", "1.0.1"));
    assert!(place.shelf.remove(&one.hash).expect("it can be removed"));
    assert!(!place.shelf.remove(&one.hash).expect("it is gone"));
    assert_eq!(place.contents().shelved, [other]);
}

#[test]
fn a_content_that_was_damaged_is_not_taken_for_what_was_put_there() {
    let place = Place::new();
    let shelved = place.add("abc", "memory", "1.0.0");
    fs::write(&shelved.path, "abd").expect("it can be written");
    let why = shelved.verify(&Trust::default()).expect_err("it is another");
    assert_eq!(why.kind(), LoadErrorKind::Spoiled, "{why}");
    assert!(why.to_string().contains("longshore plugin add"), "{why}");
    // A pin of what is there now does not make it right.
    let pin = Trust { sha256: Some(crate::verify::hash(b"abd")), ..Trust::default() };
    assert_eq!(shelved.verify(&pin).expect_err("it is another").kind(), LoadErrorKind::Spoiled);
    let pin = Trust { sha256: Some(crate::verify::hash(b"xyz")), ..Trust::default() };
    place.add("abc", "memory", "1.0.0").verify(&Trust::default()).expect("it was put there again");
    assert_eq!(shelved.verify(&pin).expect_err("another is asked for").kind(), LoadErrorKind::Pin);
}

#[test]
fn damaged_and_strange_files_are_told_of_and_are_no_plugins() {
    let place = Place::new();
    let good = place.add("good", "memory", "1.0.0");
    let card = |shelved: &Shelved| shelved.path.with_extension("json");
    let short = place.add("too long", "short", "1.0.0");
    fs::write(&short.path, "too").expect("it can be written");
    let cardless = place.add("cardless", "cardless", "1.0.0");
    fs::remove_file(card(&cardless)).expect("it is there");
    let garbled = place.add("garbled", "garbled", "1.0.0");
    fs::write(card(&garbled), "{\"name\":").expect("it can be written");
    let swapped = place.add("swapped", "swapped", "1.0.0");
    fs::copy(card(&good), card(&swapped)).expect("it can be written");
    let lost = place.add("lost", "lost", "1.0.0");
    fs::remove_file(&lost.path).expect("it is there");
    let strange = place.shelf.folder().join("libmemory.so");
    fs::write(&strange, "strange").expect("it can be written");
    #[cfg(unix)]
    {
        let linked = place.add("linked", "linked", "1.0.0");
        fs::remove_file(&linked.path).expect("it is there");
        std::os::unix::fs::symlink(place.file("linked"), &linked.path).expect("it can be made");
    }
    let contents = place.contents();
    assert_eq!(contents.shelved, [good]);
    let refused = |path: &Path| {
        let found = contents.refused.iter().find(|refused| refused.path == path);
        found.unwrap_or_else(|| panic!("{} is told of: {contents:?}", path.display())).why.clone()
    };
    for (path, words) in [
        (&short.path, "content is not what was put"),
        (&cardless.path, "card cannot be read"),
        (&garbled.path, "card is damaged"),
        (&swapped.path, "card is that of"),
        (&lost.path, "content cannot be read"),
        (&strange, "not of the shelf"),
    ] {
        assert!(refused(path).contains(words), "{}", refused(path));
    }
    assert_eq!(contents.refused.len(), if cfg!(unix) { 7 } else { 6 }, "{:?}", contents.refused);
    // Each can be taken away by its hash, or put there again.
    for damaged in [&short, &cardless, &garbled, &swapped] {
        assert!(place.shelf.remove(&damaged.hash).expect("it can be removed"));
    }
    let again = place.add("lost", "lost", "1.0.0");
    assert!(place.contents().shelved.contains(&again));
}

#[test]
fn what_an_earlier_host_did_not_finish_is_not_seen_and_goes() {
    let place = Place::new();
    place.add("abc", "memory", "1.0.0");
    let unfinished = place.shelf.folder().join(format!("{UNFINISHED}x1y2"));
    fs::write(&unfinished, "half of").expect("it can be written");
    assert_eq!(place.contents().refused, []);
    place.add("def", "memory", "1.0.1");
    assert!(!unfinished.exists());
}

#[test]
fn the_shelf_has_an_end() {
    let place = Place::new();
    for number in 0..SHELF_PLUGINS {
        place.add(&format!("content {number}"), "memory", &format!("1.0.{number}"));
    }
    let file = place.file("one more");
    let why = place.shelf.add(&file, &Trust::default(), named("memory", "2.0.0")).expect_err("it is full");
    assert!(why.to_string().contains(&format!("has {SHELF_PLUGINS} plugins")), "{why}");
    place.add("content 0", "memory", "1.0.0");
    let contents = place.contents();
    assert_eq!((contents.shelved.len(), contents.refused.len()), (SHELF_PLUGINS, 0));
    assert_eq!(place.files().len(), 2 * SHELF_PLUGINS, "nothing of it was left");

    let large =
        |bytes| Contents { shelved: vec![Shelved { bytes, ..contents.shelved[0].clone() }], refused: vec![] };
    place.shelf.check_room(&large(SHELF_BYTES - 10), 10).expect("there is just room");
    place.shelf.check_room(&large(SHELF_BYTES - 10), 11).expect_err("there is none");
}

#[test]
fn strange_files_without_end_are_not_all_told_of_and_hide_no_plugin() {
    let place = Place::new();
    let shelved = place.add("abc", "memory", "1.0.0");
    for number in 0..1_000 {
        fs::write(place.shelf.folder().join(format!("strange-{number}")), "").expect("it can be written");
    }
    let contents = place.contents();
    assert_eq!((contents.shelved, contents.refused.len()), (vec![shelved], 101));
    assert!(contents.refused.iter().any(|refused| refused.why.contains("not all told of")));
}

#[cfg(unix)]
#[test]
fn nobody_else_sees_or_writes_what_is_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let shelved = place.add("abc", "memory", "1.0.0");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(place.shelf.folder()), 0o700);
    assert_eq!(mode(&shelved.path), 0o600);
    assert_eq!(mode(&shelved.path.with_extension("json")), 0o600);
}

#[test]
fn the_newest_is_taken_and_the_last_of_the_same_version() {
    let place = Place::new();
    for (content, name, version) in [
        ("a", "memory", "1.9.0"),
        ("b", "memory", "1.10.0"),
        ("c", "memory", "2.0.0-rc.1"),
        ("d", "rc", "0.1.0-rc.1"),
    ] {
        place.add(content, name, version);
    }
    let mut contents = place.contents();
    let of = |contents: &Contents, plugin: &str| contents.find(plugin).map(|it| it.version.to_string());
    assert_eq!(of(&contents, "memory"), Ok("1.10.0".to_owned()), "by number, and releases first");
    assert_eq!(of(&contents, "memory@1.9.0"), Ok("1.9.0".to_owned()));
    assert_eq!(of(&contents, "memory@2.0.0-rc.1"), Ok("2.0.0-rc.1".to_owned()));
    assert_eq!(of(&contents, "rc"), Ok("0.1.0-rc.1".to_owned()), "there is nothing else");
    let versions: Vec<_> = contents.shelved.iter().map(|it| it.version.to_string()).collect();
    assert_eq!(versions, ["2.0.0-rc.1", "1.10.0", "1.9.0", "0.1.0-rc.1"]);

    let newest = contents.find("memory").expect("it is there").clone();
    let rebuilt = Shelved { hash: "f".repeat(64), added_at: newest.added_at + 1, ..newest };
    contents.shelved.push(rebuilt.clone());
    assert_eq!(contents.find("memory"), Ok(&rebuilt));
    assert_eq!(contents.find("memory@1.10.0"), Ok(&rebuilt));
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let place = Place::new();
    place.add("a", "memory", "1.0.0");
    place.add("b", "memory", "1.1.0");
    let contents = place.contents();
    let told = |plugin: &str| contents.find(plugin).expect_err("it is not there").to_string();
    assert_eq!(told("memori"), "the shelf has nothing called `memori`; did you mean `memory`?");
    assert_eq!(told("memori@1.0.0"), "the shelf has nothing called `memori@1.0.0`; did you mean `memory`?");
    for version in ["1.2.0", "new"] {
        let wanted = format!("the shelf has no `memory` of version {version}, but 1.1.0, 1.0.0");
        assert_eq!(told(&format!("memory@{version}")), wanted);
        let why = contents.only(&format!("memory@{version}")).expect_err("it is not there");
        assert_eq!(why.to_string(), wanted);
    }
}

#[test]
fn one_is_meant_by_name_version_or_hash_where_that_is_clear() {
    let place = Place::new();
    let old = place.add("a", "memory", "1.0.0");
    assert_eq!(place.contents().only("memory"), Ok(&old));
    let new = place.add("b", "memory", "1.1.0");
    let contents = place.contents();
    assert_eq!(contents.only("memory@1.0.0"), Ok(&old));
    assert_eq!(contents.only(&new.hash), Ok(&new));
    assert_eq!(contents.only(&new.hash[..12]), Ok(&new));
    assert!(contents.only(&new.hash[..4]).is_err(), "that may be anything");
    let why = contents.only("memory").expect_err("there are two").to_string();
    assert_eq!(why, "`memory` can be each of these: memory@1.1.0, memory@1.0.0; name one of them");
    let rebuilt = place.add("c", "memory", "1.1.0");
    let why = place.contents().only("memory@1.1.0").expect_err("there are two").to_string();
    assert!(why.contains(&new.hash) && why.contains(&rebuilt.hash), "{why}");
}
