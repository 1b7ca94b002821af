//! Folders that providers' configurations have watched: a newer version of its plugin that is put there, whole, is what the
//! provider is swapped to, as if an operator had asked for it. What is no newer, or another plugin, is left alone.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use longshore_config::{ProviderConfig, Trust};
use longshore_providers::{News, Watcher};
use tokio::{sync::mpsc, time::sleep};

use super::{SwapError, SwapRequest, swap_in};
use crate::{error::ApplyError, generations::Keeper, house::House};

/// How many news may wait for their turn.
const NEWS: usize = 16;
/// How long to wait before a version is tried again that cannot be had yet: another one is still watched, for instance.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// How often that is done at most: for as long as a usual watch takes several times over.
const TRIES: u32 = 60;

/// A folder that is watched for one provider, for as long as this is there.
pub(crate) struct Watched {
    folder: PathBuf,
    trust: Trust,
    _task: Keeper,
}

impl Watched {
    fn is_of(&self, config: &ProviderConfig) -> bool {
        config.watch.as_ref() == Some(&self.folder) && config.trust == self.trust
    }
}

impl House {
    /// Watches the folders that the configurations of the providers name by now, and no others.
    pub(crate) fn watch_folders(self: &Arc<Self>) {
        let registry = &mut *self.shared.registry();
        registry.watched.retain(|name, watched| {
            registry.providers.get(name).is_some_and(|installed| watched.is_of(&installed.config))
        });
        if registry.closed {
            return;
        }
        for (name, installed) in &registry.providers {
            let Some(folder) = &installed.config.watch else { continue };
            if registry.watched.contains_key(name) {
                continue;
            }
            // A pin is of one version, and another one is waited for; who may have signed it counts for all.
            let trust = Trust { sha256: None, ..installed.config.trust.clone() };
            let known = installed.made.as_ref().ok().map(|provider| provider.library().hash().to_owned());
            // What was gone back from stays so, for the next host as well.
            let swapped = registry.generations.get(name).and_then(|it| it.swapped.as_ref());
            let given_up = swapped.map(|it| it.given_up.clone()).unwrap_or_default();
            let known = known.into_iter().chain(given_up.into_hashes());
            let watcher = Watcher::new(folder.clone(), trust, known);
            let arrivals = Arrivals { house: Arc::downgrade(self), provider: name.clone() };
            let mut closing = self.shared.closing();
            let task = tokio::spawn(async move {
                let (sender, news) = mpsc::channel(NEWS);
                tokio::select! {
                    _ = closing.wait_for(|closing| *closing) => {}
                    ((), ()) = async { tokio::join!(watcher.run(sender), arrivals.take(news)) } => {}
                }
            });
            let (folder, trust) = (folder.clone(), installed.config.trust.clone());
            registry.watched.insert(name.clone(), Watched { folder, trust, _task: Keeper::new(task) });
        }
    }
}

/// What comes for one provider.
struct Arrivals {
    house: Weak<House>,
    provider: String,
}

impl Arrivals {
    async fn take(self, mut news: mpsc::Receiver<News>) {
        let provider = &self.provider;
        while let Some(news) = news.recv().await {
            match news {
                News::Complete { path, hash } => self.go_over(path, hash).await,
                News::Refused(why) => {
                    tracing::warn!(provider, "a file of the watched folder is refused: {why}");
                }
                News::Unreadable { folder, why } => {
                    let folder = folder.display();
                    tracing::warn!(provider, "the watched folder {folder} cannot be looked at: {why}");
                }
                News::Gone(_) => {}
            }
        }
    }

    /// Swaps the provider to what was found, where it is newer.
    async fn go_over(&self, path: PathBuf, hash: String) {
        let provider = &self.provider;
        let request = SwapRequest {
            provider: provider.clone(),
            to: Some(path.to_string_lossy().into_owned()),
            // What was looked at, and no other that was put in its place since.
            sha256: Some(hash),
            only_newer: true,
            ..SwapRequest::default()
        };
        let file = path.display();
        for _ in 0..TRIES {
            let Some(house) = self.house.upgrade() else { return };
            match swap_in(house, request.clone()).await {
                Ok(_) => return,
                Err(ApplyError::Swap(why)) if matches!(*why, SwapError::NotNewer { .. }) => {
                    tracing::info!(provider, "{file} is left alone: {why}");
                    return;
                }
                Err(ApplyError::Swap(why)) if why.may_pass() => {
                    tracing::info!(provider, "{file} waits: {why}");
                }
                Err(why) => {
                    tracing::error!(provider, "{file} does not become the provider's version: {why}");
                    return;
                }
            }
            sleep(TRY_AGAIN).await;
        }
        tracing::error!(provider, "{file} does not become the provider's version: it has waited too long");
    }
}
