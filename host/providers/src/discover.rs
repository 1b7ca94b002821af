//! Finds plugins by name: in the folders that the command line names, then those of `LONGSHORE_PLUGIN_PATH`, then the
//! user's, then the system's. Reads names of files only; runs nothing.

use std::{
    collections::BTreeSet,
    env::{self, consts},
    fmt, fs,
    path::{MAIN_SEPARATOR, Path, PathBuf},
};

use etcetera::BaseStrategy as _;

use crate::shelf::versioned;

/// The variable that names further folders, separated as in `PATH`.
pub const PATH_VARIABLE: &str = "LONGSHORE_PLUGIN_PATH";

/// The most names that are looked at in one folder.
const MAX_ENTRIES: usize = 10_000;

/// The folders that plugins are looked for in, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPath {
    folders: Vec<PathBuf>,
}

/// A file that may be a plugin, by its name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What a configuration file would call it.
    pub name: String,
    /// Where it is: what [`SearchPath::find`] gives for the name.
    pub path: PathBuf,
}

impl SearchPath {
    /// These folders and no others.
    pub fn of(folders: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let mut path = Self::default();
        for folder in folders {
            path.add(folder.into());
        }
        path
    }

    /// The folders of the command line, then those of the environment, of the user and of the system.
    pub fn new(command_line: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let mut path = Self::of(command_line);
        if let Some(folders) = env::var_os(PATH_VARIABLE) {
            env::split_paths(&folders).for_each(|folder| path.add(folder));
        }
        if let Ok(user) = etcetera::choose_base_strategy() {
            path.add(user.data_dir().join("longshore").join("plugins"));
        }
        if cfg!(unix) {
            path.add(PathBuf::from("/usr/lib/longshore/plugins"));
        }
        path
    }

    /// An empty entry of a list is no folder, and a folder that stands twice is searched once.
    fn add(&mut self, folder: PathBuf) {
        if !folder.as_os_str().is_empty() && !self.folders.contains(&folder) {
            self.folders.push(folder);
        }
    }

    /// The folders, in order.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The file of a plugin. What has a separator in it or ends like a library is a path and is taken as it stands; any
    /// other is a name, looked for folder by folder.
    ///
    /// # Errors
    ///
    /// [`NotFound`] tells where it was looked for, and the nearest name that is there.
    pub fn find(&self, plugin: &str) -> Result<PathBuf, NotFound> {
        if is_path(plugin) {
            let path = PathBuf::from(plugin);
            return if path.exists() { Ok(path) } else { Err(NotFound::of_path(plugin)) };
        }
        self.locate(plugin).ok_or_else(|| NotFound::of_name(plugin, self))
    }

    /// The file of a plugin's name, in the first folder that has one.
    fn locate(&self, name: &str) -> Option<PathBuf> {
        let files = file_names(name);
        self.folders
            .iter()
            .find_map(|folder| files.iter().map(|file| folder.join(file)).find(|path| path.is_file()))
    }

    /// Every file that [`find`](Self::find) would give for some name, sorted by name. No code is run: some may turn out
    /// to be something else.
    pub fn candidates(&self) -> Vec<Candidate> {
        let mut names = BTreeSet::new();
        for folder in &self.folders {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES);
            for entry in entries {
                if let Some(name) = entry.file_name().to_str().and_then(plugin_name) {
                    names.insert(name);
                }
            }
        }
        let found = |name: String| self.locate(&name).map(|path| Candidate { name, path });
        names.into_iter().filter_map(found).collect()
    }
}

/// Whether what names a plugin is the path of its file, rather than a name that is looked for.
pub fn is_path(plugin: &str) -> bool {
    plugin.contains('/') || plugin.contains(MAIN_SEPARATOR) || plugin.ends_with(consts::DLL_SUFFIX)
}

/// The names of files that a plugin's name stands for, the most particular first.
fn file_names(plugin: &str) -> Vec<String> {
    let (prefix, suffix) = (consts::DLL_PREFIX, consts::DLL_SUFFIX);
    let underscored = plugin.replace('-', "_");
    let mut names = vec![format!("{prefix}longshore_{underscored}{suffix}")];
    for stem in [&underscored, plugin] {
        for prefix in ["", prefix] {
            let name = format!("{prefix}{stem}{suffix}");
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The name of the plugin that a file of that name may be.
fn plugin_name(file: &str) -> Option<String> {
    let stem = file.strip_suffix(consts::DLL_SUFFIX)?;
    let stem = stem.strip_prefix(consts::DLL_PREFIX).unwrap_or(stem);
    let stem = stem.strip_prefix("longshore_").unwrap_or(stem);
    (!stem.is_empty()).then(|| stem.replace('_', "-"))
}

/// The name of the plugin that a configuration means: what it says, without a version, or what the file of a path is called.
pub fn named_plugin(plugin: &str) -> Option<String> {
    if is_path(plugin) {
        Path::new(plugin).file_name().and_then(|file| file.to_str()).and_then(plugin_name)
    } else {
        Some(versioned(plugin).map_or(plugin, |(name, _)| name).to_owned())
    }
}

/// The state of a place that was searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder that exists.
    Folder,
    /// Nothing is there.
    Missing,
    /// Something else is there, or it may not be read.
    Unreadable,
    /// The host's shelf.
    Shelf,
}

/// No plugin of that name, or no file of that path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// What was asked for.
    pub plugin: String,
    /// The folders that were searched, in order; empty when a path was asked for.
    pub searched: Vec<(PathBuf, Place)>,
    /// The nearest name that is there.
    pub nearest: Option<String>,
    /// What the shelf said of a name with a version, which is looked for there alone; or why it could not be read.
    pub shelf: Option<String>,
}

impl NotFound {
    fn of_path(plugin: &str) -> Self {
        Self { plugin: plugin.to_owned(), searched: Vec::new(), nearest: None, shelf: None }
    }

    fn of_name(plugin: &str, path: &SearchPath) -> Self {
        let searched = path.folders.iter().map(|folder| (folder.clone(), place(folder))).collect();
        let names = path.candidates().into_iter().map(|candidate| candidate.name);
        Self { plugin: plugin.to_owned(), searched, nearest: nearest(plugin, names), shelf: None }
    }
}

fn place(folder: &Path) -> Place {
    match fs::read_dir(folder) {
        Ok(_) => Place::Folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Place::Missing,
        Err(_) => Place::Unreadable,
    }
}

/// The name that was probably meant, if there is one.
pub(crate) fn nearest(given: &str, names: impl Iterator<Item = String>) -> Option<String> {
    /// Below this likeness a suggestion confuses more than it helps.
    const LIKE: f64 = 0.7;
    names
        .map(|name| (strsim::jaro_winkler(given, &name), name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, searched, nearest, shelf } = self;
        if is_path(plugin) {
            return write!(f, "there is no plugin file {plugin}: check the path");
        }
        if versioned(plugin).is_some() {
            let nobody = "versions are on a host's shelf alone, and it was not asked\n  to do: name a file";
            return write!(f, "there is no plugin `{plugin}`: {}", shelf.as_deref().unwrap_or(nobody));
        }
        write!(f, "there is no plugin named `{plugin}`")?;
        if let Some(nearest) = nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        write!(f, "\n  looked for {} in:", file_names(plugin)[0])?;
        for (folder, place) in searched {
            let note = match place {
                Place::Folder => "",
                Place::Missing => " (does not exist)",
                Place::Unreadable => " (not a folder that can be read)",
                Place::Shelf => " (the shelf)",
            };
            write!(f, "\n    {}{note}", folder.display())?;
        }
        if let Some(why) = shelf {
            write!(f, "\n    {why}")?;
        }
        write!(f, "\n  to do: put the library into one of these folders, or name its own with --plugin-path")
    }
}

impl std::error::Error for NotFound {}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(folder: &Path, stem: &str) -> PathBuf {
        let path = folder.join(format!("{stem}{}", consts::DLL_SUFFIX));
        fs::write(&path, "").expect("the folder can be written");
        path
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    fn ours(name: &str) -> String {
        format!("{}longshore_{name}", consts::DLL_PREFIX)
    }

    #[test]
    fn the_first_folder_wins_and_the_particular_name_within_it() {
        let (first, second) = (folder(), folder());
        let search = SearchPath::of([first.path(), second.path()]);
        let far = library(second.path(), &ours("docker_swarm"));
        assert_eq!(search.find("docker-swarm"), Ok(far));
        let plain = library(first.path(), "docker-swarm");
        assert_eq!(search.find("docker-swarm"), Ok(plain));
        let particular = library(first.path(), &ours("docker_swarm"));
        assert_eq!(search.find("docker-swarm"), Ok(particular));
    }

    #[test]
    fn every_candidate_is_found_by_its_name() {
        let (first, second) = (folder(), folder());
        library(first.path(), &ours("memory"));
        library(first.path(), "my-own");
        library(first.path(), &format!("{}other_kind", consts::DLL_PREFIX));
        library(second.path(), &ours("memory"));
        library(second.path(), &ours("process"));
        fs::write(second.path().join("README.md"), "").expect("the folder can be written");
        fs::create_dir(second.path().join(format!("folder{}", consts::DLL_SUFFIX))).expect("it can be made");
        let search = SearchPath::of([first.path(), second.path()]);
        let candidates = search.candidates();
        let names: Vec<_> = candidates.iter().map(|candidate| candidate.name.as_str()).collect();
        assert_eq!(names, ["memory", "my-own", "other-kind", "process"]);
        for Candidate { name, path } in candidates {
            assert_eq!(search.find(&name), Ok(path));
        }
    }

    #[test]
    fn a_path_is_taken_as_it_stands() {
        let folder = folder();
        let path = library(folder.path(), "any");
        let text = path.to_str().expect("the temporary folder's name is text");
        assert_eq!(SearchPath::default().find(text), Ok(path.clone()));
        let missing = text.replace("any", "none");
        let error = SearchPath::default().find(&missing).expect_err("it does not exist");
        assert!(error.to_string().contains(&missing), "{error}");
    }

    #[test]
    fn a_name_that_is_not_there_tells_where_it_was_looked_for_and_suggests() {
        let folder = folder();
        library(folder.path(), &ours("process"));
        let missing = folder.path().join("nowhere");
        let search = SearchPath::of([folder.path(), &missing]);
        let error = search.find("proces").expect_err("it is misspelt");
        assert_eq!(error.nearest.as_deref(), Some("process"));
        assert_eq!(error.searched[0], (folder.path().to_owned(), Place::Folder));
        assert_eq!(error.searched[1], (missing, Place::Missing));
        let text = error.to_string();
        assert!(text.contains("did you mean `process`?") && text.contains("(does not exist)"), "{text}");
        assert_eq!(search.find("zebra").expect_err("nothing is like it").nearest, None);
    }

    #[test]
    fn empty_entries_and_repetitions_are_passed_over() {
        assert_eq!(SearchPath::of(["a", "", "b", "a"]), SearchPath::of(["a", "b"]));
    }
}
