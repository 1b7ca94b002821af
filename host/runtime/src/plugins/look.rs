//! Looks at all plugins that there are, a few at a time. Who looks into them runs their code where it does no harm; without
//! anybody who does, their bytes alone are looked at.

use std::{path::PathBuf, sync::Arc, time::Duration};

use longshore_config::Trust;
use longshore_providers::{Examine, LoadError, Located, Named, RefusedFile};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{Plugin, PluginPlace, Plugins, RefusedPlugin, blocking};
use crate::{view::ProviderStatus, workshop::Sources};

/// How many plugins are looked at at once.
const LOOKS_AT_ONCE: usize = 4;
/// How long looking at all of them may take: shorter than a request may.
const LOOK_LIMIT: Duration = Duration::from_secs(40);

/// The plugins of some sources, each looked at anew, and who of the providers uses them.
pub async fn look_at_plugins(sources: &Sources, providers: &[ProviderStatus]) -> Plugins {
    let found = {
        let sources = sources.clone();
        blocking(move || Found::new(&sources)).await
    };
    let mut plugins = Plugins {
        folders: sources.search.folders().iter().map(|folder| folder.display().to_string()).collect(),
        shelf: sources.shelf.as_ref().map(|shelf| shelf.folder().display().to_string()),
        ..Plugins::default()
    };
    for (one, outcome) in look_at_all(found.files, sources.examiner.as_ref(), LOOK_LIMIT).await {
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
                plugins.plugins.push(Plugin { name, version, hash: Some(hash), place, path, providers });
            }
            Err(why) => {
                let providers = names(&providers.iter().filter(of_path).collect::<Vec<_>>());
                plugins.refused.push(RefusedPlugin { path, place, why, providers });
            }
        }
    }
    for RefusedFile { path, why } in found.refused {
        let (path, place) = (path.display().to_string(), PluginPlace::Shelf);
        plugins.refused.push(RefusedPlugin { path, place, why, providers: Vec::new() });
    }
    plugins
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

    /// What it is, if it is not refused. What is on the shelf was looked into when it was put there. Blocks.
    fn look(&self, examiner: Option<&dyn Examine>) -> Result<Seen, LoadError> {
        let path = self.located.path();
        let verified = self.located.verify(&Trust::default())?;
        if let Located::Shelved(shelved) = &self.located {
            return Ok(Seen { version: Some(shelved.version.to_string()), hash: verified.hash });
        }
        verified.check_image(path)?;
        let named = examiner.map(|examiner| examiner.examine(path, &verified)).transpose()?;
        Ok(Seen { version: named.map(|Named { version, .. }| version), hash: verified.hash })
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
    fn new(sources: &Sources) -> Self {
        let in_folders = sources.search.candidates().into_iter();
        let mut files: Vec<_> = in_folders.map(|it| File::in_folder(it.name, it.path)).collect();
        let Some(shelf) = &sources.shelf else { return Self { files, refused: Vec::new() } };
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
    examiner: Option<&Arc<dyn Examine>>,
    limit: Duration,
) -> Vec<(Arc<File>, Result<Seen, String>)> {
    let end = Instant::now() + limit;
    let places = Arc::new(Semaphore::new(LOOKS_AT_ONCE));
    let mut looking = JoinSet::new();
    for (number, file) in files.iter().enumerate() {
        let (places, file, examiner) = (Arc::clone(&places), Arc::clone(file), examiner.cloned());
        looking.spawn(async move {
            // It is never closed. Whoever has a place has a thread, which ends by itself.
            let place = places.acquire_owned().await;
            let look = move || {
                let _place = place;
                file.look(examiner.as_deref())
            };
            (number, blocking(look).await)
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
        || Err(format!("it was not looked at within {} s: it or those before it hang", limit.as_secs()));
    files.into_iter().zip(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(late))).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{Condvar, Mutex, PoisonError},
    };

    use longshore_providers::{SearchPath, Verified};

    use super::*;

    /// Looks at plugins, each for as long as it is told to.
    #[derive(Debug, Default)]
    struct Examiner {
        at_once: Mutex<(usize, usize)>,
        may_end: Mutex<bool>,
        told: Condvar,
    }

    impl Examiner {
        fn let_go(&self) {
            *self.may_end.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.told.notify_all();
        }
    }

    impl Examine for Examiner {
        fn examine(&self, _: &Path, _: &Verified) -> Result<Named, LoadError> {
            {
                let mut at_once = self.at_once.lock().unwrap_or_else(PoisonError::into_inner);
                at_once.0 += 1;
                at_once.1 = at_once.1.max(at_once.0);
            }
            let mut may_end = self.may_end.lock().unwrap_or_else(PoisonError::into_inner);
            while !*may_end {
                may_end = self.told.wait(may_end).unwrap_or_else(PoisonError::into_inner);
            }
            drop(may_end);
            self.at_once.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
            Ok(Named { name: "any".to_owned(), version: "3.2.1".to_owned() })
        }
    }

    /// So many files, each a sound library.
    fn files(count: usize) -> Vec<Arc<File>> {
        let path = longshore_support::library("longshore-memory");
        (0..count).map(|number| File::in_folder(format!("file-{number}"), path.clone())).collect()
    }

    #[tokio::test]
    async fn a_few_are_looked_at_at_once() {
        let examiner = Arc::new(Examiner::default());
        examiner.let_go();
        let looked: Arc<dyn Examine> = Arc::<Examiner>::clone(&examiner);
        let seen = look_at_all(files(3 * LOOKS_AT_ONCE), Some(&looked), longshore_support::PATIENCE).await;
        assert!(
            seen.iter().all(|(_, seen)| seen.as_ref().is_ok_and(|it| it.version.as_deref() == Some("3.2.1")))
        );
        let (left, most) = *examiner.at_once.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(left == 0 && (1..=LOOKS_AT_ONCE).contains(&most), "{left} {most}");
    }

    #[tokio::test]
    async fn those_that_hang_hold_nobody_up_for_longer_than_the_limit() {
        let examiner = Arc::new(Examiner::default());
        let looked: Arc<dyn Examine> = Arc::<Examiner>::clone(&examiner);
        let seen = look_at_all(files(2 * LOOKS_AT_ONCE), Some(&looked), Duration::ZERO).await;
        assert_eq!(seen.len(), 2 * LOOKS_AT_ONCE);
        for (_, seen) in seen {
            assert!(seen.expect_err("it hangs").contains("not looked at within 0 s"));
        }
        // A thread that waits would keep the test from ending.
        examiner.let_go();
    }

    #[tokio::test]
    async fn without_anybody_who_looks_into_them_none_of_their_code_is_run() {
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
