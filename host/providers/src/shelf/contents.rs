//! What is on a shelf: the plugins by their cards, and everything that is there and is none, with the reason.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{SHELF_PLUGINS, Shelf, ShelfError, Shelved, UNFINISHED, unusable};

/// How the name of a card ends.
pub(super) const CARD_SUFFIX: &str = ".json";
/// The most files with names of the shelf's that are looked at: a plugin has three at most, and some may be damaged.
const FILES_LIMIT: usize = 16 * SHELF_PLUGINS;
/// The most strange files that are told of.
const STRANGE_LIMIT: usize = 100;
/// The largest card that is read.
const CARD_BYTES: u64 = 64 << 10;

/// A file that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// What is on a shelf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The plugins: by name, the newest first. That their content is still what it was is seen when they are
    /// [verified](Shelved::verify).
    pub shelved: Vec<Shelved>,
    /// What is not one of them, and is never loaded.
    pub refused: Vec<RefusedFile>,
}

impl Shelf {
    /// What is there. Cards are read, contents are not.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn contents(&self) -> Result<Contents, ShelfError> {
        let mut contents = Contents::default();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(contents),
            Err(error) => return Err(unusable(&self.folder, "cannot be read", error)),
        };
        let (mut hashes, mut strange) = (BTreeSet::new(), BTreeSet::new());
        let mut is_too_much = false;
        for entry in entries {
            let entry = entry.map_err(|error| unusable(&self.folder, "cannot be read", error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match hash_of(&name) {
                Some(hash) if hashes.len() < FILES_LIMIT => _ = hashes.insert(hash.to_owned()),
                None if name.starts_with(UNFINISHED) => {}
                None if strange.len() < STRANGE_LIMIT => _ = strange.insert(name),
                _ => is_too_much = true,
            }
        }
        for hash in hashes {
            match self.shelved(&hash) {
                Ok(shelved) => contents.shelved.push(shelved),
                Err(why) => contents.refused.push(RefusedFile { path: self.content(&hash), why }),
            }
        }
        let mut refuse =
            |path: PathBuf, why: &str| contents.refused.push(RefusedFile { path, why: why.to_owned() });
        for name in strange {
            let why = "it is not of the shelf, and is never loaded: `longshore plugin add FILE` puts a plugin there";
            refuse(self.folder.join(name), why);
        }
        if is_too_much {
            refuse(
                self.folder.clone(),
                "it has more files that are not of the shelf, which are not all told of",
            );
        }
        contents.shelved.sort_by(|a, b| {
            a.name.cmp(&b.name).then_with(|| (&b.version, b.added_at).cmp(&(&a.version, a.added_at)))
        });
        Ok(contents)
    }

    /// The plugin of that hash, by its card.
    fn shelved(&self, hash: &str) -> Result<Shelved, String> {
        const AGAIN: &str = "`longshore plugin remove` it by its hash, or `longshore plugin add` it again";
        let card = self.card(hash);
        let text = read_card(&card).map_err(|error| format!("its card cannot be read ({error}): {AGAIN}"))?;
        let mut shelved: Shelved =
            serde_json::from_str(&text).map_err(|error| format!("its card is damaged ({error}): {AGAIN}"))?;
        if shelved.hash != hash {
            return Err(format!("its card is that of {}: {AGAIN}", shelved.hash));
        }
        shelved.path = self.content(hash);
        let content = fs::symlink_metadata(&shelved.path);
        let content = content.map_err(|error| format!("its content cannot be read ({error}): {AGAIN}"))?;
        if !content.is_file() || content.len() != shelved.bytes {
            return Err(format!("its content is not what was put on the shelf: {AGAIN}"));
        }
        Ok(shelved)
    }
}

fn read_card(path: &Path) -> io::Result<String> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.len() > CARD_BYTES {
        return Err(io::Error::other("it is no card"));
    }
    fs::read_to_string(path)
}

/// The hash in the name of a card, a content or a signature.
fn hash_of(name: &str) -> Option<&str> {
    let (hash, rest) = name.split_at_checked(64)?;
    let is_hash = hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let suffix = std::env::consts::DLL_SUFFIX;
    let is_ours =
        rest == CARD_SUFFIX || rest.strip_prefix(suffix).is_some_and(|rest| matches!(rest, "" | ".minisig"));
    (is_hash && is_ours).then_some(hash)
}
