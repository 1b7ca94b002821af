//! Plugins and hosts of other releases, built from source: a plugin and a host that were written against the first frozen
//! ABI, and ones of a release that is yet to come. The tests of this crate put each plugin into each host.
//!
//! | where | what | may it be changed |
//! |---|---|---|
//! | `released/1.0.0` | the ABI crate as it was released, a plugin and a small host that use nothing of today's, a lock file | never: plugins out there were built from it, and [`RELEASED`] has its hash |
//! | `later` | what makes a later release of today's ABI crate: one interface more, `longshore.metrics/1`, a plugin that has it and a host that asks for it | yes |
//!
//! **When the ABI crate gets a new version**, its minor number grows. Copy `released/<the last one>` to `released/<the new one>`,
//! replace its `abi/src` by `plugin-api/abi/src`, change the versions, let the plugin and the host use what is new, build it
//! once, and add a line to [`RELEASED`]. The old folders stay.
//!
//! Each release is a workspace of its own: its packages have the names and versions that plugins carry in their layouts, and
//! its dependencies are those of its day. They are built below cargo's target folder, as `compat`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cargo_metadata::{CrateType, Message, MetadataCommand};
use sha2::{Digest as _, Sha256};

/// The releases of the ABI crate, and the SHA-256 of what is kept of each (see [`hash`]).
pub const RELEASED: &[(&str, &str)] =
    &[("1.0.0", "839c013f7faf6181be5afb400c6dac8a876f51f43c633a8bb46c6f7d750c4455")];

/// What one release has.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its plugin, a shared library.
    pub plugin: PathBuf,
    /// Its host, a program: `host LIB` does everything with a plugin that a host does.
    pub host: PathBuf,
}

/// The repository's root.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).expect("this crate lies two folders below").to_owned()
}

/// The folder of a release.
pub fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("released").join(version)
}

/// Builds a release, from its own lock file.
pub fn released(version: &str) -> Release {
    build(&folder(version), &["--locked"])
}

/// Builds what comes after today: today's ABI crate with an interface more, and with the next minor version. It is put
/// together below the target folder.
///
/// # Panics
///
/// It cannot be built; as a test wants it, so does everything here.
pub fn later() -> Release {
    let (first, _) = RELEASED[0];
    let (first, later) = (folder(first), Path::new(env!("CARGO_MANIFEST_DIR")).join("later"));
    let folder = target().join("later");
    let text =
        |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let mut files: Vec<(String, String)> = Vec::new();
    // The frame is the first release's: the manifests, the lock file, the workers, most of the host.
    for (path, _) in sources(&first) {
        if !path.starts_with("abi/src/") {
            let its = text(first.join(&path));
            let is_manifest = path.ends_with("Cargo.toml") || path == "Cargo.lock";
            files.push((path, if is_manifest { its.replace("\"first-", "\"later-") } else { its }));
        }
    }
    // The ABI crate is today's, with the next minor version.
    let today = root().join("plugin-api/abi");
    for (path, _) in sources(&today.join("src")) {
        files.push((format!("abi/src/{path}"), text(today.join("src").join(path))));
    }
    files.push(("abi/src/metrics.rs".to_owned(), text(later.join("metrics.rs"))));
    let replaced = [("plugin/src/lib.rs", "plugin.rs"), ("host/src/main.rs", "host.rs")];
    for (path, text) in &mut files {
        if let Some((_, by)) = replaced.iter().find(|(old, _)| old == path) {
            *text = fs::read_to_string(later.join(by)).expect("it is kept beside the released ones");
        }
        match path.as_str() {
            "abi/Cargo.toml" => {
                *text = text.replace("version = \"1.0.0\"", &format!("version = \"{}\"", after_today()));
            }
            "abi/src/lib.rs" => text.push_str("\nmod metrics;\npub use metrics::MetricsV1;\n"),
            // It names the ABI crate's version as well.
            "Cargo.lock" => {
                *text = text.replace(
                    "name = \"longshore-plugin-abi\"\nversion = \"1.0.0\"",
                    &format!("name = \"longshore-plugin-abi\"\nversion = \"{}\"", after_today()),
                );
            }
            _ => {}
        }
    }
    for (path, text) in files {
        put(&folder.join(path), &text);
    }
    build(&folder, &["--locked"])
}

/// The version of today's ABI crate.
pub fn today() -> String {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo describes it");
    let abi = metadata.packages.iter().find(|package| package.name.as_str() == "longshore-plugin-abi");
    abi.expect("it is a member").version.to_string()
}

/// The version of the release that [`later`] makes.
pub fn after_today() -> String {
    let today = today();
    let mut parts = today.split('.').map(|part| part.parse::<u32>().expect("a version has numbers"));
    let (major, minor) = (parts.next().expect("a major one"), parts.next().expect("a minor one"));
    format!("{major}.{}.0", minor + 1)
}

/// The SHA-256 of a folder, in hexadecimal: of the paths and contents of its files, in order.
pub fn hash(folder: &Path) -> String {
    let mut hasher = Sha256::new();
    for (path, bytes) in sources(folder) {
        hasher.update(format!("{path}\n{}\n", bytes.len()));
        hasher.update(bytes);
    }
    hasher.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The files below a folder, by their paths with `/`, and what is in them.
pub fn sources(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(folder.join(&at)).expect("the folder can be read") {
            let path = at.join(entry.expect("its entries can be read").file_name());
            if folder.join(&path).is_dir() {
                open.push(path);
            } else {
                let bytes = fs::read(folder.join(&path)).expect("a source can be read");
                let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
                files.push((parts.join("/"), bytes));
            }
        }
    }
    files.sort();
    files
}

/// Where the releases are built, below cargo's target folder.
fn target() -> PathBuf {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo describes it");
    metadata.target_directory.join("compat").into_std_path_buf()
}

/// Writes a file, unless it says the same already: cargo goes by the times of files. Several tests may be at it.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    let write = || -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        let unfinished = path.with_extension(std::process::id().to_string());
        fs::write(&unfinished, text)?;
        fs::rename(&unfinished, path)
    };
    write().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
}

fn build(workspace: &Path, arguments: &[&str]) -> Release {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]).args(arguments);
    command.arg("--target-dir").arg(target()).current_dir(workspace);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("cargo can be run");
    assert!(output.status.success(), "cargo could not build {}", workspace.display());
    let artifacts: Vec<_> = Message::parse_stream(output.stdout.as_slice())
        .filter_map(|message| match message.expect("cargo speaks JSON") {
            Message::CompilerArtifact(artifact) => Some(artifact),
            _ => None,
        })
        .collect();
    let find = |kind: &CrateType, suffix: &str| {
        let of_kind = artifacts.iter().filter(|artifact| artifact.target.crate_types.contains(kind));
        let mut files = of_kind.flat_map(|artifact| &artifact.filenames);
        let file = files.find(|file| file.as_str().ends_with(suffix));
        file.unwrap_or_else(|| panic!("{} has none of {suffix:?}", workspace.display())).clone()
    };
    Release {
        plugin: find(&CrateType::CDyLib, env::consts::DLL_SUFFIX).into(),
        // Build scripts are programs as well, and are none of a target's.
        host: artifacts
            .iter()
            .find(|artifact| artifact.target.kind.iter().any(|kind| kind.to_string() == "bin"))
            .and_then(|artifact| artifact.executable.clone())
            .expect("it has a host")
            .into(),
    }
}
