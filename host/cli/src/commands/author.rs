//! `longshore plugin new`: a provider's crate to begin with, from the files of `template/`. All of it is written, or nothing.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    args::NewPlugin,
    exit::{Exit, Failure},
    output::Output,
};

/// Where this program was built from.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What a new crate has: each file, and what is in it but for what is told of the crate.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("../../template/Cargo.toml.template")),
    ("src/lib.rs", include_str!("../../template/src/lib.rs")),
    ("src/backend.rs", include_str!("../../template/src/backend.rs")),
    ("tests/conformance.rs", include_str!("../../template/tests/conformance.rs")),
    ("quirks.toml", include_str!("../../template/quirks.toml")),
    ("README.md", include_str!("../../template/README.md")),
    (".gitignore", include_str!("../../template/gitignore")),
];

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;

/// Names that cargo or the compiler knows otherwise, or that the crate itself depends on.
const TAKEN: &[&str] = &[
    // Crates of the compiler, and folders of a build.
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "std",
    "test",
    // What the crate depends on.
    "longshore-conformance",
    "longshore-plugin-api",
    "serde-json",
    "tempfile",
    // Words of the language.
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// A crate that was made, for `--json`.
#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    /// Its folder.
    folder: String,
    /// The checkout of Longshore that it depends on.
    longshore: String,
    /// Its files, from its folder on.
    files: Vec<&'static str>,
}

/// A name that a plugin, and its crate, may have.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let whole = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is_fit);
    if !whole || text.ends_with('-') || text.len() > LONGEST_NAME {
        return Err(format!(
            "a plugin's name begins with a lower-case letter, goes on with such letters, digits and `-`, does not end \
             with `-`, and has at most {LONGEST_NAME} characters"
        ));
    }
    if TAKEN.contains(&text) {
        return Err(
            "the name means something else to cargo, to the compiler or to the crate itself".to_owned()
        );
    }
    Ok(text.to_owned())
}

pub(super) fn new(asked: &NewPlugin, output: &Output) -> Result<(), Failure> {
    let name = asked.name.as_str();
    let longshore = checkout(asked.longshore.as_deref())?;
    let parent = env::current_dir().map_err(|error| unwritable(Path::new("."), &error))?;
    let folder = parent.join(name);
    make(&folder, name, &longshore)?;
    let document = Made {
        name,
        folder: folder.display().to_string(),
        longshore: longshore.display().to_string(),
        files: FILES.iter().map(|(file, _)| *file).collect(),
    };
    output.either(&document, || {
        format!(
            "{name}/ is a provider that passes all checks of the contract: make it yours\n\n  cd {name}\n  cargo test{:11}one \
             test a check\n  src/backend.rs       what to replace first\n  README.md            where to go on\n\nthe guide: {}",
            "",
            longshore.join("plugin-api/README.md").display()
        )
    })
}

/// The checkout of Longshore that the crate is to depend on: by its absolute path, since the crate may be moved.
fn checkout(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let (folder, why) = match named {
        Some(folder) => (folder, format!("{} is none", folder.display())),
        None => (
            Path::new(BUILT_FROM),
            "the one that this program was built from is not there any more".to_owned(),
        ),
    };
    let whole = |folder: PathBuf| {
        let parts = ["plugin-api/Cargo.toml", "tests/conformance/Cargo.toml"];
        parts.iter().all(|part| folder.join(part).is_file()).then_some(folder)
    };
    folder.canonicalize().ok().and_then(whole).ok_or_else(|| {
        let message = "a provider's crate depends on longshore-plugin-api and longshore-conformance by their path in a \
                       checkout of Longshore";
        Failure::usage(format_args!("{message}, and {why}: name one with --longshore DIR"))
    })
}

/// Makes the crate beside its place, and then moves it there as a whole.
fn make(folder: &Path, name: &str, longshore: &Path) -> Result<(), Failure> {
    if folder.symlink_metadata().is_ok() {
        let message =
            format_args!("{} is there already: choose another name, or move it away", folder.display());
        return Err(Failure::usage(message));
    }
    let parent = folder.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        // Of the usual mode, as a temporary folder itself is not.
        let unfinished = tempfile::Builder::new().prefix(&format!(".{name}-")).tempdir_in(parent)?;
        let whole = unfinished.path().join(name);
        for (file, text) in FILES {
            let path = whole.join(file);
            fs::create_dir_all(path.parent().unwrap_or(&whole))?;
            fs::write(path, filled(text, name, longshore))?;
        }
        // With the versions that Longshore was tried with; cargo drops what the crate does not need.
        let locked = longshore.join("Cargo.lock");
        if locked.is_file() {
            fs::write(whole.join("Cargo.lock"), fs::read(locked)?)?;
        }
        fs::rename(whole, folder)
    };
    write().map_err(|error| unwritable(folder, &error))
}

/// A file of the template with what is told of the crate.
fn filled(text: &str, name: &str, longshore: &Path) -> String {
    // A text of JSON is one of TOML.
    let path = |part: &str| serde_json::Value::from(longshore.join(part).to_string_lossy()).to_string();
    text.replace("{{name}}", name)
        .replace("{{rust_version}}", env!("CARGO_PKG_RUST_VERSION"))
        .replace("{{plugin_api}}", &path("plugin-api"))
        .replace("{{conformance}}", &path("tests/conformance"))
}

fn unwritable(folder: &Path, error: &io::Error) -> Failure {
    let message = format_args!("{} cannot be made: {error}; nothing was written", folder.display());
    Failure::new(Exit::Internal, "unwritable", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_fit_for_a_plugin_and_for_a_crate() {
        for fit in ["s", "shelf", "aws-ecs", "k8s", &"x".repeat(LONGEST_NAME)] {
            assert_eq!(name(fit).as_deref(), Ok(fit));
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        for unfit in ["", "-a", "a-", "9lives", "Shelf", "a_b", "a/b", "..", "a b", "ä", &long] {
            assert!(name(unfit).is_err_and(|why| why.contains("lower-case letter")), "{unfit:?}");
        }
        for taken in TAKEN {
            assert!(name(taken).is_err_and(|why| why.contains("something else")), "{taken}");
        }
    }

    #[test]
    fn a_crate_is_made_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let longshore = checkout(None).expect("this test was built from a checkout");
        let shelf = folder.path().join("shelf");
        make(&shelf, "shelf", &longshore).expect("there is room");
        for (file, _) in FILES {
            let text = fs::read_to_string(shelf.join(file)).expect("it was written");
            assert!(!text.contains("{{") && !text.is_empty(), "{file}: {text}");
        }
        let manifest = fs::read_to_string(shelf.join("Cargo.toml")).expect("it was written");
        let api = format!("longshore-plugin-api = {{ path = \"{}/plugin-api\" }}", longshore.display());
        assert!(manifest.contains("name = \"shelf\"\n") && manifest.contains(&api), "{manifest}");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1, "nothing else is left");

        fs::write(shelf.join("src/lib.rs"), "precious").expect("it is ours");
        let again = make(&shelf, "shelf", &longshore).expect_err("it is there already");
        assert!(again.exit == Exit::Usage && again.message.contains("is there already"), "{again:?}");
        assert_eq!(fs::read_to_string(shelf.join("src/lib.rs")).expect("it is there"), "precious");

        let nowhere = make(&folder.path().join("nowhere/shelf"), "shelf", &longshore);
        assert_eq!(nowhere.expect_err("there is no such folder").exit, Exit::Internal);
    }

    #[test]
    fn a_checkout_is_told_from_any_other_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = checkout(Some(folder.path())).expect_err("it is empty");
        assert!(refused.message.contains("--longshore DIR") && refused.exit == Exit::Usage, "{refused:?}");
    }

    #[test]
    fn a_path_is_written_as_toml_has_it() {
        let filled = filled("{{plugin_api}} {{conformance}}", "x", Path::new("/a \"b\"\\c"));
        assert_eq!(filled, r#""/a \"b\"\\c/plugin-api" "/a \"b\"\\c/tests/conformance""#);
    }
}
