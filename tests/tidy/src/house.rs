//! What the rules look at: the files that are, or are about to be, in the repository, and what cargo says of its crates.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};
use ignore::WalkBuilder;

/// A file of the repository that is text.
#[derive(Clone, Debug)]
pub struct TextFile {
    /// From the repository's root on, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

impl TextFile {
    /// A file that exists in a test alone.
    pub fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether it is source code in Rust.
    pub fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    /// Whether it is a page in Markdown.
    pub fn is_markdown(&self) -> bool {
        self.has_extension("md")
    }

    fn has_extension(&self, wanted: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == wanted)
    }
}

/// The repository as it lies on the disk.
#[derive(Debug)]
pub struct House {
    /// Its root.
    pub root: PathBuf,
    /// All files that are not ignored, from the root on, with `/`, sorted.
    pub paths: Vec<String>,
    /// Those of them that are text.
    pub texts: Vec<TextFile>,
    /// What cargo says.
    pub metadata: Metadata,
}

impl House {
    /// Looks at the repository that this crate was built in.
    ///
    /// # Panics
    ///
    /// It cannot be looked at.
    pub fn look() -> Self {
        // Crates for other systems need not have been downloaded here: a system looks at its own.
        let own_system = ["--filter-platform", "host-tuple"].map(str::to_owned);
        let metadata = MetadataCommand::new()
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .features(CargoOpt::AllFeatures)
            .other_options(own_system)
            .exec()
            .expect("cargo describes the workspace");
        let root = metadata.workspace_root.clone().into_std_path_buf();
        let paths = paths(&root);
        let texts = paths.iter().filter_map(|path| text(&root, path)).collect();
        Self { root, paths, texts, metadata }
    }

    /// The source files.
    pub fn rust(&self) -> impl Iterator<Item = &TextFile> {
        self.texts.iter().filter(|file| file.is_rust())
    }
}

/// Files that `.gitignore` does not name; this works in an unpacked archive as well, where there is no git.
fn paths(root: &Path) -> Vec<String> {
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .git_global(false)
        .parents(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let mut paths: Vec<String> = walk
        .map(|entry| entry.expect("the repository can be read"))
        .filter(|entry| entry.file_type().is_some_and(|kind| !kind.is_dir()))
        .map(|entry| {
            let path = entry.path().strip_prefix(root).expect("it is below the root");
            let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
            parts.join("/")
        })
        .collect();
    paths.sort();
    paths
}

fn text(root: &Path, path: &str) -> Option<TextFile> {
    let bytes = match fs::read(root.join(path)) {
        Ok(bytes) => bytes,
        // Gone since it was listed: a test of another crate cleans up after itself.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{path} cannot be read: {error}"),
    };
    Some(TextFile { path: path.to_owned(), text: String::from_utf8(bytes).ok()? })
}
