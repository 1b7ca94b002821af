//! A provider for Longshore whose workers are entries in the files of a folder. It runs nothing,
//! and is honest in all else: change it step by step, and let `cargo test` say after each step what
//! it still owes.
//!
//! This file is the host's side: what is asked for, and what the contract demands of the answer.
//! `backend.rs` is the other side: where the workers are. Replace that first. The clauses (`RUN-6`)
//! are in Longshore's `plugin-api/CONTRACT.md`.

mod backend;

use std::{fs, path::PathBuf, time::Duration};

use longshore_plugin_api::{
    Cleanup, Context, Error, Killed, Launch, List, ListedHandle, Log, Provider, RunRequest,
    WorkerStatus, export_provider, schemars::JsonSchema, serde::Deserialize, tracing,
};

use crate::backend::{Backend, Record};

// Name here what the provider can do beyond the necessary: Initialize, List, Server, Cleanup. Each
// is a trait.
export_provider!(Entries, capabilities = [List, Cleanup]);

/// The settings, as they stand under `[provider.config]`. What is written here for a field is what
/// `longshore plugin inspect` tells of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "longshore_plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "longshore_plugin_api::schemars")]
struct Settings {
    /// The folder that the workers are kept in, an absolute path. It is made where it is not there.
    folder: PathBuf,
    /// The most workers that may be alive at a time; as many as are asked for, where it is not
    /// given.
    #[serde(default)]
    capacity: Option<u32>,
    /// How long it takes to make a container, in milliseconds.
    #[serde(default)]
    delay_ms: u64,
}

/// The provider. Every function may be called from many threads at once (CONC-1).
struct Entries {
    backend: Backend,
    capacity: Option<u32>,
    delay: Duration,
}

impl Provider for Entries {
    // The crate's name is the plugin's: lower-case letters, digits and `-`.
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    // A token that comes again is answered with what it launched (RUN-6). Where your backend cannot
    // be asked for a token, say `false`, and fail with `Error::permanent` when one comes again.
    const IDEMPOTENT_RUN: bool = true;
    type Config = Settings;

    // Threads, connections and files begin here at the earliest (LOAD-7), and end when `self` is
    // dropped (LOAD-9). What the schema cannot say about a setting is checked here, and the error
    // names the field (LOAD-6).
    fn create(settings: Settings, _log: Log) -> Result<Self, Error> {
        let Settings {
            folder,
            capacity,
            delay_ms,
        } = settings;
        if !folder.is_absolute() {
            return Err(Error::config("folder", "must be an absolute path"));
        }
        if capacity == Some(0) {
            return Err(Error::config("capacity", "must be at least 1"));
        }
        fs::create_dir_all(&folder).map_err(|error| {
            Error::config("folder", format_args!("cannot be made or used: {error}"))
        })?;
        let delay = Duration::from_millis(delay_ms);
        Ok(Self {
            backend: Backend::new(folder),
            capacity,
            delay,
        })
    }

    // Exactly as many entries as workers, or fewer and why (RUN-1); none beyond that, not even
    // behind the answer (RUN-2).
    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        if request.workers == 0 {
            return Ok(Launch::default());
        }
        // Say no to what cannot be honoured, rather than leave it out (RUN-8).
        if let Some(image) = &request.container.image {
            let what = format_args!("there are no images here, and {image:?} is asked for");
            return Err(Error::permanent(what));
        }
        let token = request.token.as_str();
        if let Some(record) = self.backend.read(token)? {
            return Ok(answer(token, &record, request.workers));
        }
        // Long work stands here. It notices a cancellation and the deadline (CONC-2); until the
        // entry is made, both leave nothing behind (RUN-9). A backend that makes containers one by
        // one removes those that it has made, or tells of them with `Launch::partial`.
        let containers: Vec<u32> = request.containers().collect();
        for _ in &containers {
            ctx.sleep(self.delay)?;
        }
        tracing::debug!(workers = request.workers, token, "making workers");
        let record = self.backend.make(ctx, token, &containers, self.capacity)?;
        Ok(answer(token, &record, request.workers))
    }

    // One value a handle, in order (STATUS-1); "stopped" for whatever is not known (STATUS-3), and
    // an error where the backend cannot be asked, for "stopped" would have everything launched a
    // second time (STATUS-6).
    fn status(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        let alive = self.backend.alive(handles)?.into_iter();
        let status = |alive| {
            if alive {
                WorkerStatus::Running
            } else {
                WorkerStatus::Stopped
            }
        };
        Ok(alive.map(status).collect())
    }

    // One answer a handle, in order (KILL-1). Yes where it is stopped, or was never known (KILL-2),
    // no with a reason where one could not be killed, while the others are (KILL-8).
    fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        self.backend.kill(ctx, handles)
    }
}

// With a list, a host finds out by itself what became of a launch whose answer was lost. It comes
// from the backend, never from the provider's memory (LIST-3), and is an error where it may be
// incomplete (LIST-4).
impl List for Entries {
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error> {
        let mut listed = Vec::new();
        for (token, record) in self.backend.records()? {
            if record.cluster == ctx.cluster() {
                listed.extend(record.live(&token));
            }
        }
        Ok(listed)
    }
}

// What stopped workers have left behind goes, what a live one uses stays (CLEANUP-1). `deep` would
// remove what other clusters share as well, were there anything of that kind.
impl Cleanup for Entries {
    fn cleanup(&self, ctx: &Context<'_>, _deep: bool) -> Result<(), Error> {
        self.backend.forget_stopped(ctx)
    }
}

/// What was launched, as a host wants it: a handle stands once for each worker in its container.
fn answer(token: &str, record: &Record, asked: u32) -> Launch {
    let handles: Vec<String> = record.handles(token).collect();
    if handles.len() < asked as usize {
        let reason = format!("there is room for {} of {asked} workers", handles.len());
        return Launch::partial(handles, reason, true);
    }
    Launch::complete(handles)
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::{Container, Hardware, LaunchToken, testing};

    use super::*;

    fn request(token: &str, workers: u32) -> RunRequest {
        let container = Container {
            max_workers: Some(2),
            ..Container::default()
        };
        let token = LaunchToken::new(token);
        RunRequest {
            container,
            hardware: Hardware::default(),
            workers,
            token,
        }
    }

    fn call<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
        testing::call("web", Duration::from_secs(60), work)
    }

    #[test]
    fn workers_outlive_their_provider() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let make = || Entries {
            backend: Backend::new(folder.path().to_owned()),
            capacity: Some(4),
            delay: Duration::ZERO,
        };
        let first = call(|ctx| make().run(ctx, &request("a", 3))).expect("there is room");
        assert_eq!(first.handles, ["a.0", "a.0", "a.1"]);
        let again = call(|ctx| make().run(ctx, &request("a", 3))).expect("it launches nothing");
        assert_eq!(again, first);
        let second = call(|ctx| make().run(ctx, &request("b", 3))).expect("there is some room");
        assert_eq!(
            (second.handles.len(), second.shortfall.is_some()),
            (1, true)
        );
        assert_eq!(
            call(|ctx| make().kill(ctx, &["a.0", "odd"])),
            Ok(vec![Killed::Yes; 2])
        );
        let statuses = call(|ctx| make().status(ctx, &["a.1", "a.0", "odd"])).expect("it is there");
        let stopped = WorkerStatus::Stopped;
        assert_eq!(statuses, [WorkerStatus::Running, stopped, stopped]);
        assert_eq!(call(|ctx| make().list(ctx)).expect("it is there").len(), 2);
    }
}
