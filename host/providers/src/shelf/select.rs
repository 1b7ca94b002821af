//! Which plugin of a shelf is meant: by name, the newest; by `NAME@VERSION`, or by its hash.

use semver::Version;
use thiserror::Error;

use super::{Contents, Shelved};
use crate::discover::nearest;

/// The fewest digits of a hash that tell a plugin.
const HASH_DIGITS: usize = 8;

/// Why no plugin of the shelf is meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotOnShelf {
    /// Nothing there is called so.
    #[error("the shelf has nothing called `{asked}`{}", suggestion(nearest.as_deref()))]
    Unknown {
        /// What was asked for.
        asked: String,
        /// The nearest name that is there.
        nearest: Option<String>,
    },
    /// Not in this version.
    #[error("the shelf has no `{name}` of version {version}, but {}", versions.join(", "))]
    Version {
        /// The plugin.
        name: String,
        /// The version that was asked for.
        version: String,
        /// The versions that are there, the newest first.
        versions: Vec<String>,
    },
    /// Several are called so.
    #[error("`{asked}` can be each of these: {}; name one of them", choices.join(", "))]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// What would be clear.
        choices: Vec<String>,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    let hint = "; `longshore plugin list` shows what there is";
    nearest.map_or_else(|| hint.to_owned(), |nearest| format!("; did you mean `{nearest}`?"))
}

/// A name and a version, of `NAME@VERSION`.
pub fn versioned(plugin: &str) -> Option<(&str, &str)> {
    plugin.split_once('@').filter(|(name, version)| !name.is_empty() && !version.is_empty())
}

impl Contents {
    /// The plugin that a configuration means: of `NAME@VERSION` that version, of `NAME` the newest, where pre-releases count
    /// only if there is nothing else. Where a version is there more than once, the one that was put there last.
    ///
    /// # Errors
    ///
    /// [`NotOnShelf`] says what is there instead.
    pub fn find(&self, plugin: &str) -> Result<&Shelved, NotOnShelf> {
        let (name, version) =
            versioned(plugin).map_or((plugin, None), |(name, version)| (name, Some(version)));
        let mut of_name = self.of(name).peekable();
        if of_name.peek().is_none() {
            return Err(self.unknown(plugin));
        }
        let Some(version) = version else {
            return Ok(of_name.max_by_key(|it| rank(it)).expect("there is one"));
        };
        // What is no version is none that is there.
        let wanted = Version::parse(version).ok();
        let of_version = of_name.filter(|it| Some(&it.version) == wanted.as_ref());
        of_version.max_by_key(|it| it.added_at).ok_or_else(|| NotOnShelf::Version {
            name: name.to_owned(),
            version: version.to_owned(),
            versions: self.of(name).map(|it| it.version.to_string()).collect(),
        })
    }

    /// The one plugin that an operator means, by name, `NAME@VERSION`, or the beginning of its hash.
    ///
    /// # Errors
    ///
    /// [`NotOnShelf`]: there is none, or more than one.
    pub fn only(&self, asked: &str) -> Result<&Shelved, NotOnShelf> {
        let (name, version) = versioned(asked).map_or((asked, None), |(name, version)| (name, Some(version)));
        let wanted = version.map(Version::parse).transpose().ok();
        let is_version = |it: &&Shelved| match &wanted {
            Some(wanted) => wanted.as_ref().is_none_or(|wanted| it.version == *wanted),
            None => false,
        };
        let mut meant: Vec<_> = self.of(name).filter(is_version).collect();
        if meant.is_empty() && version.is_none() && is_hash(asked) {
            meant = self.shelved.iter().filter(|it| it.hash.starts_with(asked)).collect();
        }
        match meant[..] {
            [one] => Ok(one),
            [] if version.is_some() => Err(self.find(asked).err().unwrap_or_else(|| self.unknown(asked))),
            [] => Err(self.unknown(asked)),
            [first, ..] => {
                let same = meant.iter().all(|it| (&it.name, &it.version) == (&first.name, &first.version));
                let choice = |it: &&Shelved| {
                    if same { it.hash.clone() } else { format!("{}@{}", it.name, it.version) }
                };
                Err(NotOnShelf::Ambiguous {
                    asked: asked.to_owned(),
                    choices: meant.iter().map(choice).collect(),
                })
            }
        }
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &Shelved> {
        self.shelved.iter().filter(move |it| it.name == name)
    }

    fn unknown(&self, asked: &str) -> NotOnShelf {
        let names = self.shelved.iter().map(|it| it.name.clone());
        let name = versioned(asked).map_or(asked, |(name, _)| name);
        NotOnShelf::Unknown { asked: asked.to_owned(), nearest: nearest(name, names) }
    }
}

/// The greater, the sooner it is taken.
fn rank(shelved: &Shelved) -> (bool, &Version, u64) {
    (shelved.version.pre.is_empty(), &shelved.version, shelved.added_at)
}

fn is_hash(text: &str) -> bool {
    text.len() >= HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
