//! Real plugins through the guard: found, loaded, called, and contained when they misbehave.

mod breaking;
mod calling;
mod creating;
mod each;
mod everywhere;
mod hanging;
mod loading;
mod logging;
mod looking;
mod runner;

use std::{path::Path, sync::Arc, time::Duration};

use longshore_plugin_api::{Container, Hardware, LaunchToken, RunRequest};
use longshore_providers::{CallLimits, CallScope, Housing, Library, Provider, RunnerProgram, RunnerSetup};
use serde_json::Value;

/// Longer than anything takes that is meant to succeed.
const LONG: Duration = Duration::from_mins(1);

/// A runtime for one test.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(work)
}

/// The command itself, which can be a runner.
fn program() -> RunnerProgram {
    RunnerProgram::at(longshore_support::program("longshore-cli", "longshore"))
}

/// Where a test's providers are.
struct Way(Housing);

impl Way {
    fn here() -> Self {
        Self(Housing::InProcess)
    }

    fn runner() -> Self {
        Self(Housing::Runner(RunnerSetup { program: program(), confine: None }))
    }

    async fn create(&self, library: &Arc<Library>, config: Value, limits: CallLimits) -> Arc<Provider> {
        self.create_as("test", library, config, limits).await
    }

    async fn create_as(
        &self,
        name: &str,
        library: &Arc<Library>,
        config: Value,
        limits: CallLimits,
    ) -> Arc<Provider> {
        let made = Provider::create_in(&self.0, library, name, config, limits, ()).await;
        made.expect("an honest configuration is taken")
    }

    /// A mutant with the configuration, and with usual limits.
    async fn mutant(&self, config: Value) -> Arc<Provider> {
        self.create(&mutants(), config, CallLimits::default()).await
    }
}

/// A test that must hold wherever its providers are.
fn either_way(test: &impl AsyncFn(&Way)) {
    for way in [Way::here(), Way::runner()] {
        block_on(test(&way));
    }
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
