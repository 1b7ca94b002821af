//! Providers in processes of their own: what a plugin does to its process costs nobody else, and nothing that is certain is
//! told where it is not.

mod bombs;
mod ending;
mod faults;
mod figures;
mod greed;
mod handing;
mod life;

use std::{env, process::Command, sync::Arc, time::Duration};

use longshore_providers::{CallError, Library, Provider, RunnerState};
use longshore_support::{example, fixture};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{LONG, open, scope};

/// Runs a test in a process where no other runs, whoever runs the tests: what it does to its process, and what it measures of it,
/// is its own.
fn alone(test: &str, work: impl FnOnce()) {
    const ALONE: &str = "LONGSHORE_TEST_ALONE";
    if env::var_os(ALONE).is_some_and(|which| which == test) {
        return work();
    }
    let output = Command::new(env::current_exe().expect("the test's own path"))
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, test)
        .output()
        .expect("it can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Waits until a provider's runner is as it is wanted, however it comes to be.
async fn until_it(provider: &Provider, wanted: impl FnMut(&RunnerState) -> bool) -> RunnerState {
    let mut state = provider.runner().expect("it has a runner");
    let found = timeout(LONG, state.wait_for(wanted)).await;
    found.expect("it comes to be so").expect("it is looked after").clone()
}

/// Waits until the runner was started again so often, and is there.
async fn until_back(provider: &Provider, restarts: u64) {
    until_it(provider, |state| {
        matches!(state, RunnerState::Running { .. }) && provider.restarts() >= restarts
    })
    .await;
}

/// The number of the runner's process.
fn pid(provider: &Provider) -> u32 {
    match &*provider.runner().expect("it has a runner").borrow() {
        RunnerState::Running { pid, .. } => *pid,
        other => panic!("it is not there: {other:?}"),
    }
}

/// Whether a process is there, and has not ended.
fn is_alive(pid: u32) -> bool {
    // What has ended, and is waited for by somebody, is a zombie.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("\nState:\tZ")
}

fn specimen() -> Arc<Library> {
    open(&example("longshore-mutants", "specimen"))
}

/// A specimen that ends its process in a function.
fn crashing(root: &std::path::Path, function: &str, how: &str) -> Value {
    json!({ "root": root, "crash": { "function": function, "how": how } })
}

fn wild() -> Arc<Library> {
    open(&fixture(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wild.rs"), &[]))
}

/// Has a wild provider do something to its process.
async fn does(provider: &Provider, what: &str) -> Result<String, CallError> {
    let mut request = super::request("t", 1, 1);
    request.container.image = Some(what.to_owned());
    let launched = provider.run(&scope(LONG), request).reply().await?;
    Ok(launched.handles[0].0.to_string())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// How a call was lost.
#[track_caller]
fn death<T: std::fmt::Debug>(answer: Result<T, CallError>) -> String {
    match answer {
        Err(CallError::Died { how }) => how,
        other => panic!("it is not lost with its process: {other:?}"),
    }
}

/// Short enough for a test to wait for.
const SHORT: Duration = Duration::from_millis(200);
