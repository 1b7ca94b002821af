//! Looks at all plugins that there are, a few at a time, in processes that are thrown away; where there is no program for that,
//! at their bytes alone.

use std::{path::PathBuf, sync::Arc, time::Duration};

use longshore_config::Trust;
use longshore_providers::{LoadError, Located, RefusedFile};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{Plugin, PluginList, PluginPlace, RefusedPlugin, blocking};
use crate::{view::ProviderStatus, workshop::Plugins};

/// How many plugins are looked at at once.
const LOOKS_AT_ONCE: usize = 4;
/// How long looking at all of them may take: shorter than a request may.
const LOOK_LIMIT: Duration = Duration::from_secs(40);

/// The plugins of some sources, each looked at anew, and who of the providers uses them.
pub async fn look_at_plugins(plugins: &Plugins, providers: &[ProviderStatus]) -> PluginList {
    let found = {
        let plugins = plugins.clone();
        blocking(move || Found::new(&plugins)).await
    };
    let mut list = PluginList {
        folders: plugins.search.folders().iter().map(|folder| folder.display().to_string()).collect(),
        shelf: plugins.shelf.as_ref().map(|shelf| shelf.folder().display().to_string()),
        ..PluginList::default()
    };
    let look = {
        let plugins = plugins.clone();
        move |file: &File| file.look(&plugins)
    };
    for (one, outcome) in look_at_all(found.files, look, LOOK_LIMIT).await {
        let (name, path, place) = (one.name.clone(), one.located.path().display().to_string(), one.place());
        let of_path = |it: &&ProviderStatus| it.path == path;
        let names = |users: &[&ProviderStatus]| users.iter().map(|it| it.name.clone()).collect();
        match outcome {
            Ok(Seen { version, hash }) => {
                let users: Vec<_> = providers.iter().filter(|it| of_path(it) || it.hash == hash).collect();
                // Who runs it knows.
                let known = || users.iter().find(|it| it.hash == hash).map(|it| it.version.clone());
                let version = version.or_else(known);
                let providers = names(&users);
                list.plugins.push(Plugin { name, version, hash: Some(hash), place, path, providers });
            }
            Err(why) => {
                let providers = names(&providers.iter().filter(of_path).collect::<Vec<_>>());
                list.refused.push(RefusedPlugin { path, place, why, providers });
            }
        }
    }
    for RefusedFile { path, why } in found.refused {
        let (path, place) = (path.display().to_string(), PluginPlace::Shelf);
        list.refused.push(RefusedPlugin { path, place, why, providers: Vec::new() });
    }
    list
}

/// A file that may be a plugin.
#[derive(Debug)]
struct File {
    name: String,
    located: Located,
}

impl File {
    fn in_folder(name: String, path: PathBuf) -> Arc<Self> {
        Arc::new(Self { name, located: Located::File(path) })
    }

    fn place(&self) -> PluginPlace {
        match self.located {
            Located::File(_) => PluginPlace::Folder,
            Located::Shelved(_) => PluginPlace::Shelf,
        }
    }

    /// What it is, if it is not refused. What is on the shelf was looked into when it was put there, and without a process to
    /// throw away no code is run just to look. Blocks.
    fn look(&self, plugins: &Plugins) -> Result<Seen, LoadError> {
        let path = self.located.path();
        let verified = self.located.verify(&Trust::default())?;
        let version = match &self.located {
            Located::Shelved(shelved) => Some(shelved.version.to_string()),
            Located::File(_) if plugins.runner.is_some() => {
                Some(plugins.examine(path, &verified)?.metadata().version.clone())
            }
            Located::File(_) => {
                verified.check_image(path)?;
                None
            }
        };
        Ok(Seen { version, hash: verified.hash })
    }
}

/// What was seen of a plugin.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    hash: String,
}

/// What there is to look at.
struct Found {
    files: Vec<Arc<File>>,
    refused: Vec<RefusedFile>,
}

impl Found {
    fn new(plugins: &Plugins) -> Self {
        let in_folders = plugins.search.candidates().into_iter();
        let mut files: Vec<_> = in_folders.map(|it| File::in_folder(it.name, it.path)).collect();
        let Some(shelf) = &plugins.shelf else { return Self { files, refused: Vec::new() } };
        match shelf.contents() {
            Ok(contents) => {
                files.extend(contents.shelved.into_iter().map(|it| {
                    let name = it.name.clone();
                    Arc::new(File { name, located: Located::Shelved(it) })
                }));
                Self { files, refused: contents.refused }
            }
            Err(error) => {
                let unreadable = RefusedFile { path: shelf.folder().to_owned(), why: error.to_string() };
                Self { files, refused: vec![unreadable] }
            }
        }
    }
}

/// Looks at files, a few at a time, and gives up those that are not done in time.
async fn look_at_all(
    files: Vec<Arc<File>>,
    look: impl Fn(&File) -> Result<Seen, LoadError> + Send + Sync + 'static,
    limit: Duration,
) -> Vec<(Arc<File>, Result<Seen, String>)> {
    let end = Instant::now() + limit;
    let (places, look) = (Arc::new(Semaphore::new(LOOKS_AT_ONCE)), Arc::new(look));
    let mut looking = JoinSet::new();
    for (number, file) in files.iter().enumerate() {
        let (places, file, look) = (Arc::clone(&places), Arc::clone(file), Arc::clone(&look));
        looking.spawn(async move {
            // It is never closed. Whoever has a place has a thread, which ends by itself.
            let place = places.acquire_owned().await;
            let seen = blocking(move || {
                let _place = place;
                look(&file)
            });
            (number, seen.await)
        });
    }
    let mut outcomes: Vec<_> = files.iter().map(|_| None).collect();
    while let Ok(Some(joined)) = timeout_at(end, looking.join_next()).await {
        // A panic in there is one of the host's own making.
        let (number, seen) = joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        outcomes[number] = Some(seen.map_err(|why| why.to_string()));
    }
    // Those that have no thread yet get none any more.
    looking.shutdown().await;
    let late =
        || Err(format!("it was not looked at within {} s: it or those before it hang", limit.as_secs_f64()));
    files.into_iter().zip(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(late))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex, PoisonError};

    use longshore_providers::SearchPath;

    use super::*;

    /// Looks at plugins, each for as long as it is told to.
    #[derive(Debug, Default)]
    struct Looks {
        /// How many are under way, and the most that were.
        at_once: Mutex<(usize, usize)>,
        may_end: Mutex<bool>,
        told: Condvar,
    }

    impl Looks {
        fn let_go(&self) {
            *self.may_end.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.told.notify_all();
        }

        fn look(&self, file: &File) -> Seen {
            {
                let mut at_once = self.at_once.lock().unwrap_or_else(PoisonError::into_inner);
                at_once.0 += 1;
                at_once.1 = at_once.1.max(at_once.0);
            }
            let may_end = self.may_end.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.told.wait_while(may_end, |may_end| !*may_end).unwrap_or_else(PoisonError::into_inner));
            self.at_once.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
            Seen { version: None, hash: file.name.clone() }
        }
    }

    fn files(count: usize) -> Vec<Arc<File>> {
        (0..count).map(|number| File::in_folder(format!("file-{number}"), PathBuf::new())).collect()
    }

    #[tokio::test]
    async fn a_few_are_looked_at_at_once() {
        let looks = Arc::new(Looks::default());
        looks.let_go();
        let looking = Arc::clone(&looks);
        let look = move |file: &File| Ok(looking.look(file));
        let seen = look_at_all(files(3 * LOOKS_AT_ONCE), look, longshore_support::PATIENCE).await;
        assert_eq!(seen.len(), 3 * LOOKS_AT_ONCE);
        assert!(seen.iter().all(|(file, seen)| seen.as_ref().is_ok_and(|it| it.hash == file.name)));
        let (left, most) = *looks.at_once.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(left == 0 && (1..=LOOKS_AT_ONCE).contains(&most), "{left} {most}");
    }

    #[tokio::test]
    async fn those_that_hang_hold_nobody_up_for_longer_than_the_limit() {
        let looks = Arc::new(Looks::default());
        let looking = Arc::clone(&looks);
        let look = move |file: &File| Ok(looking.look(file));
        let seen = look_at_all(files(2 * LOOKS_AT_ONCE), look, Duration::from_millis(1)).await;
        assert_eq!(seen.len(), 2 * LOOKS_AT_ONCE);
        for (_, seen) in seen {
            assert!(seen.expect_err("it hangs").contains("not looked at within"));
        }
        // A thread that waits would keep the test from ending.
        looks.let_go();
    }

    #[tokio::test]
    async fn without_a_process_to_throw_away_none_of_their_code_is_run() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let crashing = longshore_support::example("longshore-mutants", "no_symbol");
        let place = |name: &str| temp.path().join(format!("{name}{}", std::env::consts::DLL_SUFFIX));
        std::fs::copy(crashing, place("bad")).expect("the folder can be written");
        std::fs::copy(longshore_support::library("longshore-memory"), place("good")).expect("the same");
        let plugins = look_at_plugins(&SearchPath::of([temp.path()]).into(), &[]).await;
        let good = &plugins.plugins[..];
        assert!(matches!(good, [one] if one.name == "good" && one.version.is_none()), "{good:?}");
        assert_eq!(good[0].hash.as_ref().map(String::len), Some(64));
        assert_eq!(plugins.refused.len(), 1);
        assert!(plugins.refused[0].why.contains("no Longshore plugin"), "{:?}", plugins.refused);
    }
}
