//! A provider that is built outside this workspace, with nothing but `plugin-api`, dropped into the folder of a host that
//! runs already.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use longshore_e2e::House;

const SOURCE: &str = r#"
use std::{collections::HashSet, sync::{Mutex, PoisonError}};
use longshore_plugin_api::{schemars::JsonSchema, serde::Deserialize};
use longshore_plugin_api::{
    Context, Error, Killed, Launch, Log, Provider, RunRequest, WorkerStatus, export_provider,
};

/// Workers that are lines in a file of the author's own.
struct Stranger {
    greeting: String,
    workers: Mutex<HashSet<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "longshore_plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "longshore_plugin_api::schemars")]
struct Settings {
    greeting: String,
}

impl Provider for Stranger {
    const NAME: &'static str = "stranger";
    type Config = Settings;

    fn create(settings: Settings, _log: Log) -> Result<Self, Error> {
        Ok(Self { greeting: settings.greeting, workers: Mutex::default() })
    }

    fn run(&self, _ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let handles: Vec<_> =
            (0..request.workers).map(|i| format!("{}-{}-{i}", self.greeting, request.token)).collect();
        workers.extend(handles.iter().cloned());
        Ok(Launch::complete(handles))
    }

    fn status(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |it: &&str| if workers.contains(*it) { WorkerStatus::Running } else { WorkerStatus::Stopped };
        Ok(handles.iter().map(status).collect())
    }

    fn kill(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(handles.iter().map(|it| { workers.remove(*it); Killed::Yes }).collect())
    }
}

export_provider!(Stranger);
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// Builds the provider in a folder of its own. What it builds with is kept beside the workspace's own build.
fn build(folder: &Path) -> PathBuf {
    let manifest = format!(
        r#"
[package]
name = "stranger"
description = "A provider from elsewhere"
version = "3.1.4"
edition = "2024"
[lib]
crate-type = ["cdylib"]
[dependencies]
longshore-plugin-api = {{ path = "{}" }}
[workspace]
"#,
        root().join("plugin-api").display()
    );
    fs::create_dir_all(folder.join("src")).expect("a new folder");
    fs::write(folder.join("Cargo.toml"), manifest).expect("a new file");
    fs::write(folder.join("src/lib.rs"), SOURCE).expect("a new file");
    // The versions that this workspace was tested with.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("the workspace has a lock file");
    let target = longshore_support::library("longshore-memory")
        .parent()
        .and_then(Path::parent)
        .expect("a target folder")
        .join("outside");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let name = format!("{}stranger{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    target.join("debug").join(name)
}

#[test]
fn a_plugin_from_elsewhere_drops_in() {
    let house = House::serving(&["longshore-memory"]);
    let config = r#"
[[provider]]
name = "guest"
plugin = "stranger"
[provider.config]
greeting = "ahoy"
[[cluster]]
name = "crew"
provider = "guest"
workers = 6
"#;
    let file = house.write("crew.toml", config).display().to_string();
    let said = house.run(&["apply", &file]);
    assert_eq!(said.code, Some(8), "it is not there yet: {said:?}");

    house.drop_in(&build(&house.path("stranger")));
    let _ = house.run(&["apply", &file]).ok();
    let handles = house.handles("crew");
    assert_eq!(handles.len(), 6);
    assert!(handles.iter().all(|handle| handle.starts_with("ahoy-")), "{handles:?}");
    let listed = house.run(&["plugin", "list", "--json"]).ok();
    assert!(listed.out.contains("stranger"), "{}", listed.out);
    let inspected = house.run(&["plugin", "inspect", "stranger"]).ok();
    assert!(inspected.out.contains("3.1.4") && inspected.out.contains("greeting"), "{}", inspected.out);
}
