//! Real plugins through the guard: found, loaded, called, and contained when they misbehave.

mod breaking;
mod calling;
mod creating;
mod hanging;
mod loading;
mod logging;

use std::{path::Path, sync::Arc, time::Duration};

use longshore_plugin_api::{Container, Hardware, LaunchToken, RunRequest};
use longshore_providers::{CallLimits, CallScope, Library, Provider};
use serde_json::Value;

/// Longer than anything takes that is meant to succeed.
const LONG: Duration = Duration::from_mins(1);

/// A runtime for one test.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime can be made").block_on(work)
}

fn scope(budget: Duration) -> CallScope {
    CallScope { cluster: "c".into(), budget, verbose: 1 }
}

fn request(token: &str, workers: u32, max_workers: u32) -> RunRequest {
    let container = Container { max_workers: Some(max_workers), ..Container::default() };
    RunRequest { container, hardware: Hardware::default(), workers, token: LaunchToken::new(token) }
}

fn handles(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

fn memory() -> Arc<Library> {
    open(&longshore_support::library("longshore-memory"))
}

fn mutants() -> Arc<Library> {
    open(&longshore_support::example("longshore-mutants", "mutant"))
}

fn open(path: &Path) -> Arc<Library> {
    Library::open(path).expect("an honest library is loaded")
}

async fn create(library: &Arc<Library>, config: Value, limits: CallLimits) -> Arc<Provider> {
    Provider::create(library, "test", config, limits).await.expect("an honest configuration is taken")
}

/// A mutant with the configuration, and with usual limits.
async fn mutant(config: Value) -> Arc<Provider> {
    create(&mutants(), config, CallLimits::default()).await
}
