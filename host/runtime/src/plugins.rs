//! Plugins as operators see them: what is in the folders and on the shelf, and what of it is refused and why; putting a plugin
//! on the shelf, and taking one off that nobody uses.

mod look;

use std::{path::PathBuf, sync::Arc};

use longshore_config::Trust;
use longshore_providers::{Contents, Named, NotOnShelf, RefusedFile, Shelf, ShelfError, Shelved, Signer};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::task::spawn_blocking;

pub use look::look_at_plugins;

use crate::{
    error::ApplyError, host::Host, house::House, quarantine::QuarantinedLibrary, registry::Installed,
};

/// The plugins that can be named in a configuration, and the files that would be and are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginList {
    /// The folders that were looked in, in order.
    pub folders: Vec<String>,
    /// The folder of the shelf, where there is one.
    #[serde(default)]
    pub shelf: Option<String>,
    /// What was found: in the folders by name, then on the shelf by name, the newest first.
    pub plugins: Vec<Plugin>,
    /// What is refused.
    #[serde(default)]
    pub refused: Vec<RefusedPlugin>,
    /// The libraries that the host does not run any more, since what ran them died too often.
    #[serde(default)]
    pub quarantined: Vec<QuarantinedLibrary>,
}

/// A file that is a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// What a configuration calls it: of the shelf, `NAME@VERSION` means this very one.
    pub name: String,
    /// Its version; null where it was not looked into.
    #[serde(default)]
    pub version: Option<String>,
    /// The SHA-256 of its bytes, in hexadecimal.
    #[serde(default)]
    pub hash: Option<String>,
    /// Where it was found.
    #[serde(default)]
    pub place: PluginPlace,
    /// Its file.
    pub path: String,
    /// The providers that were made from it, by name.
    pub providers: Vec<String>,
}

/// Where a plugin was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginPlace {
    /// In one of the folders.
    #[default]
    Folder,
    /// On the shelf.
    Shelf,
}

/// A file that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedPlugin {
    /// Its file.
    pub path: String,
    /// Where it was found.
    pub place: PluginPlace,
    /// Why, and what to do.
    pub why: String,
    /// The providers that were made of what was there before, by name.
    pub providers: Vec<String>,
}

/// A plugin that was put on the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPlugin {
    /// What it calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
    /// Its file on the shelf.
    pub path: String,
    /// When it was put there first, in milliseconds since 1970.
    pub added_at: u64,
    /// Whose signature it bears, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
}

/// A plugin that was taken off the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedPlugin {
    /// What it called itself; null where that could not be told.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
}

/// Why a plugin is not put on the shelf, or not taken off it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The host has none.
    #[error(
        "this host has no shelf to keep plugins on, since it keeps no state (--no-state): put the file into one of its plugin \
         folders, or start the host with a state folder"
    )]
    NoShelf,
    /// The shelf does not take it, or cannot be used.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// No plugin of the shelf is meant, or more than one.
    #[error(transparent)]
    NotOnShelf(#[from] NotOnShelf),
    /// Providers are made of it, or go back to it.
    #[error("the plugin {plugin} stays on the shelf, as it is in use: {}", users.join(", "))]
    InUse {
        /// The plugin.
        plugin: String,
        /// By whom, and what for.
        users: Vec<String>,
    },
    /// The host is shutting down.
    #[error("the host is shutting down")]
    ShuttingDown,
}

impl From<ApplyError> for PluginError {
    /// Of waiting for one's turn, which only the host's end cuts short.
    fn from(_: ApplyError) -> Self {
        Self::ShuttingDown
    }
}

impl Host {
    /// The plugins that are there, each looked at anew: that takes as long as they do, within limits.
    pub async fn plugins(&self) -> PluginList {
        let list = look_at_plugins(&self.house.workshop.plugins, &self.providers()).await;
        PluginList { quarantined: self.quarantined(), ..list }
    }

    /// Puts a plugin on the shelf, if it is what is demanded of it. Its code is run for that, where possible in a process that is
    /// thrown away.
    ///
    /// # Errors
    ///
    /// [`PluginError`]; nothing has changed then.
    pub async fn add_plugin(&self, file: PathBuf, trust: Trust) -> Result<AddedPlugin, PluginError> {
        let shelf = self.house.shelf()?;
        let plugins = self.house.workshop.plugins.clone();
        let added = blocking(move || {
            shelf.add(&file, &trust, |path, verified| {
                let library = plugins.examine(path, verified)?;
                let metadata = library.metadata();
                Ok(Named { name: metadata.name.clone(), version: metadata.version.clone() })
            })
        });
        let Shelved { name, version, hash, added_at, signer, path, .. } = added.await?;
        let (version, path) = (version.to_string(), path.display().to_string());
        Ok(AddedPlugin { name, version, hash, path, added_at, signer })
    }

    /// Takes a plugin off the shelf: by its name where there is but one of it, by `NAME@VERSION`, or by its hash.
    ///
    /// # Errors
    ///
    /// [`PluginError`]: it is in use, for instance; nothing has changed then.
    pub async fn remove_plugin(&self, plugin: &str) -> Result<RemovedPlugin, PluginError> {
        let shelf = self.house.shelf()?;
        // Nobody begins to use it meanwhile.
        let turn = self.house.unless_closed(async { Ok(self.house.every_turn().await) });
        let _turn = turn.await?;
        let reading = Arc::clone(&shelf);
        let contents = blocking(move || reading.contents()).await?;
        let removed = chosen(&contents, plugin)?;
        let users = self.house.in_use(&contents, &removed.hash);
        if !users.is_empty() {
            let plugin = contents.shelved.iter().find(|it| it.hash == removed.hash);
            let plugin = plugin.map_or(removed.hash, |it| format!("{}@{}", it.name, it.version));
            return Err(PluginError::InUse { plugin, users });
        }
        let hash = removed.hash.clone();
        blocking(move || shelf.remove(&hash)).await?;
        Ok(removed)
    }
}

impl House {
    fn shelf(&self) -> Result<Arc<Shelf>, PluginError> {
        self.workshop.plugins.shelf.clone().ok_or(PluginError::NoShelf)
    }

    /// Who needs a plugin of the shelf, and what for: the providers that run on it, and those that are not there and are to be
    /// made of it.
    pub(crate) fn in_use(&self, shelf: &Contents, hash: &str) -> Vec<String> {
        let registry = self.shared.registry();
        let swapped = |name: &String| registry.generations.get(name).and_then(|it| it.swapped.as_ref());
        let needs = |name: &String, Installed { config, made }: &Installed| match made {
            Ok(provider) => provider.library().hash() == hash,
            Err(_) => {
                swapped(name).is_some_and(|it| it.serving.hash == hash)
                    || shelf.find(&config.plugin).is_ok_and(|shelved| shelved.hash == hash)
            }
        };
        let users = registry.providers.iter().filter(|(name, installed)| needs(name, installed));
        let users = users.map(|(name, _)| format!("provider `{name}` uses it"));
        let kept = registry.generations.iter().filter(|(_, generations)| generations.may_need(hash));
        users.chain(kept.map(|(name, _)| format!("provider `{name}` may go over to it, or back"))).collect()
    }
}

/// What of the shelf is meant; something that is damaged by its whole hash alone.
fn chosen(contents: &Contents, plugin: &str) -> Result<RemovedPlugin, NotOnShelf> {
    let is_damaged = |refused: &RefusedFile| {
        let stem = refused.path.file_stem().and_then(|stem| stem.to_str());
        plugin.len() == 64 && stem == Some(plugin)
    };
    if contents.refused.iter().any(is_damaged) {
        return Ok(RemovedPlugin { name: None, version: None, hash: plugin.to_owned() });
    }
    let shelved = contents.only(plugin)?;
    Ok(RemovedPlugin {
        name: Some(shelved.name.clone()),
        version: Some(shelved.version.to_string()),
        hash: shelved.hash.clone(),
    })
}

/// Does what blocks on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
