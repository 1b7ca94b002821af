//! Builds packages of the workspace with the cargo that runs the tests, and tells where what it built is.

use std::{
    collections::BTreeMap,
    env,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use cargo_metadata::{Artifact, CrateType, Message};

/// How a package is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

impl Profile {
    /// The profile that the caller itself was built with.
    pub const fn own() -> Self {
        if cfg!(debug_assertions) { Self::Dev } else { Self::Release }
    }
}

/// What of a package is built.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Library,
    Example(String),
    Program(String),
}

/// The shared library of a package, such as `longshore-memory`, built like the test itself; built once a process.
pub fn library(package: &str) -> PathBuf {
    library_of(package, Profile::own())
}

/// The shared library of a package.
pub fn library_of(package: &str, profile: Profile) -> PathBuf {
    find(package, profile, Target::Library)
}

/// The shared library that is an example of a package, built like the test itself.
pub fn example(package: &str, name: &str) -> PathBuf {
    find(package, Profile::own(), Target::Example(name.to_owned()))
}

/// The program of that name in a package, built like the test itself.
pub fn program(package: &str, name: &str) -> PathBuf {
    find(package, Profile::own(), Target::Program(name.to_owned()))
}

fn find(package: &str, profile: Profile, target: Target) -> PathBuf {
    let (kind, suffix) = match target {
        Target::Library | Target::Example(_) => (CrateType::CDyLib, env::consts::DLL_SUFFIX),
        Target::Program(_) => (CrateType::Bin, env::consts::EXE_SUFFIX),
    };
    // The package itself comes last, after all that it needs.
    build(package, profile, target)
        .into_iter()
        .rev()
        .filter(|artifact| artifact.target.crate_types.contains(&kind))
        .flat_map(|artifact| artifact.filenames)
        .find(|file| file.as_str().ends_with(suffix))
        .unwrap_or_else(|| panic!("{package} has no such target"))
        .into_std_path_buf()
}

/// Every artifact of a build. One at a time, each once a process.
fn build(package: &str, profile: Profile, target: Target) -> Vec<Artifact> {
    type Key = (String, Profile, Target);
    static BUILT: Mutex<BTreeMap<Key, Vec<Artifact>>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (package.to_owned(), profile, target);
    if let Some(artifacts) = built.get(&key) {
        return artifacts.clone();
    }
    let artifacts = run_cargo(package, profile, &key.2);
    built.insert(key, artifacts.clone());
    artifacts
}

/// Builds, and tells of every artifact; one that is fresh is told of, too.
pub(crate) fn run_cargo(package: &str, profile: Profile, target: &Target) -> Vec<Artifact> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics", "--package", package]);
    match target {
        Target::Library => command.arg("--lib"),
        Target::Example(name) => command.args(["--example", name]),
        Target::Program(name) => command.args(["--bin", name]),
    };
    if profile == Profile::Release {
        command.arg("--release");
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().expect("cargo can be run");
    assert!(output.status.success(), "cargo could not build {package}");
    let messages = Message::parse_stream(output.stdout.as_slice());
    messages
        .filter_map(|message| match message.expect("cargo speaks JSON") {
            Message::CompilerArtifact(artifact) => Some(artifact),
            _ => None,
        })
        .collect()
}
