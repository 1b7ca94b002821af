//! Makes a plugin of one source file, with the compiler alone: for the odd ones that no package is worth.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use crate::library::{Profile, Target, run_cargo};

/// What a fixture may use.
const CRATES: [&str; 5] = ["longshore_plugin_api", "longshore_plugin_abi", "abi_stable", "serde", "schemars"];

/// How often a compilation is tried: while a test runs, another cargo may be replacing the libraries that it needs.
const ATTEMPTS: u32 = 3;

/// The shared library of a source file, which may use the crates of a plugin. `flags` go to the compiler:
/// `-Cpanic=abort`, `--cfg=wrong`. It is compiled anew only when the crates, or a file in its folder, have changed.
pub fn fixture(source: &Path, flags: &[&str]) -> PathBuf {
    fixture_of_version(source, flags, "0.0.0")
}

/// The same, as a version of its own.
pub fn fixture_of_version(source: &Path, flags: &[&str], version: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    (0..ATTEMPTS)
        .find_map(|_| compile(source, flags, version, &crates()))
        .unwrap_or_else(|| panic!("rustc could not compile {}", source.display()))
}

fn compile(source: &Path, flags: &[&str], version: &str, crates: &[(&str, PathBuf)]) -> Option<PathBuf> {
    let name = source.file_stem().and_then(|stem| stem.to_str()).expect("the source file has a name");
    let deps = crates[0].1.parent().expect("it lies in a folder");
    let folder = deps.join("fixtures");
    let library = folder.join(format!(
        "{}{name}-{:016x}{}",
        env::consts::DLL_PREFIX,
        fingerprint(source, flags, version, crates),
        env::consts::DLL_SUFFIX
    ));
    if library.exists() {
        return Some(library);
    }
    fs::create_dir_all(&folder).expect("the folder for fixtures can be made");
    // Another test process may be at it, too: each writes a file of its own, and the last one to rename it wins.
    let unfinished = library.with_extension(std::process::id().to_string());
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command
        .args(["--edition=2024", "--crate-type=cdylib", "-Cdebuginfo=0", "--cap-lints=warn", "--crate-name"])
        .arg(name.replace('-', "_"))
        .args(flags)
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("-o")
        .arg(&unfinished)
        .arg(source)
        // `export_provider!` asks for them, as cargo would set them.
        .env("CARGO_PKG_VERSION", version)
        .env("CARGO_PKG_DESCRIPTION", "A plugin for one test");
    for (extern_name, path) in crates {
        command.arg("--extern").arg(format!("{extern_name}={}", path.display()));
    }
    if !command.status().expect("rustc can be run").success() {
        return None;
    }
    fs::rename(&unfinished, &library).expect("the library can be renamed");
    Some(library)
}

/// The crates that a fixture may use, and where their libraries are: in the folder `deps`, with all that they need.
fn crates() -> Vec<(&'static str, PathBuf)> {
    let artifacts = run_cargo("longshore-plugin-api", Profile::own(), &Target::Library);
    CRATES
        .iter()
        .map(|name| {
            let metadata = artifacts
                .iter()
                .filter(|artifact| artifact.target.name == *name)
                .flat_map(|artifact| &artifact.filenames)
                // Of a package of the workspace, cargo tells where it copied the library to; this stays in place.
                .find(|file| file.extension() == Some("rmeta"))
                .unwrap_or_else(|| panic!("cargo told of no library of {name}"));
            (*name, metadata.with_extension("rlib").into_std_path_buf())
        })
        .collect()
}

fn fingerprint(source: &Path, flags: &[&str], version: &str, crates: &[(&str, PathBuf)]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_folder(source.parent().expect("it lies in a folder"), &mut hasher);
    source.file_name().hash(&mut hasher);
    (flags, version).hash(&mut hasher);
    for (_, path) in crates {
        path.hash(&mut hasher);
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH).hash(&mut hasher);
    }
    hasher.finish()
}

/// Everything beside a source file, as it may be part of it.
fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) {
    let entries = fs::read_dir(folder).expect("the source's folder can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            hash_folder(&path, hasher);
        } else {
            path.file_name().hash(hasher);
            fs::read(&path).expect("a source file can be read").hash(hasher);
        }
    }
}
