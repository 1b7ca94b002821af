//! The provider under test: the name of a call's cluster says what the call is to do.

use std::time::Duration;

use longshore_plugin_api::{
    Cleanup, Context, Error, Initialize, Killed, Launch, LaunchToken, List, ListedHandle, Log, Provider,
    RunRequest, Server, ServerAddress, ServerRequest, WorkerStatus, schemars::JsonSchema, serde::Deserialize,
    tracing,
};

/// The settings of the probe.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "longshore_plugin_api::serde", deny_unknown_fields, default)]
#[schemars(crate = "longshore_plugin_api::schemars")]
pub(crate) struct Settings {
    /// Whether `create` panics.
    pub(crate) panic_in_create: bool,
    /// Whether dropping the provider panics.
    pub(crate) panic_in_drop: bool,
    /// Some limits.
    pub(crate) limits: Limits,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "longshore_plugin_api::serde", deny_unknown_fields, default)]
#[schemars(crate = "longshore_plugin_api::schemars")]
pub(crate) struct Limits {
    /// Some ports.
    pub(crate) ports: Vec<u16>,
}

#[derive(Debug)]
pub(crate) struct Probe {
    settings: Settings,
    log: Log,
}

/// Does what the cluster's name says.
fn obey(ctx: &Context<'_>) -> Result<(), Error> {
    match ctx.cluster() {
        "panic" => panic!("the probe panics, as it was told"),
        "other" => Err(Error::other("other, as it was told")),
        "retryable" => Err(Error::retryable("retryable, as it was told")),
        "permanent" => Err(Error::permanent("permanent, as it was told")),
        "unreachable" => Err(Error::unreachable("unreachable, as it was told")),
        "cancelled" => Err(Error::cancelled("cancelled, as it was told")),
        "unknown" => Err(Error::unknown("unknown, as it was told")),
        "config" => Err(Error::config("a.b", "config, as it was told")),
        "sleep" => ctx.sleep(Duration::from_hours(1)),
        "nap" => ctx.sleep(Duration::from_millis(1)),
        "check" => ctx.check(),
        "check until it fails" => loop {
            ctx.check()?;
            std::thread::yield_now();
        },
        _ => Ok(()),
    }
}

impl Provider for Probe {
    const NAME: &'static str = "probe";
    const IDEMPOTENT_RUN: bool = true;
    type Config = Settings;

    fn create(settings: Settings, log: Log) -> Result<Self, Error> {
        assert!(!settings.panic_in_create, "the probe panics in create");
        tracing::info!(ports = ?settings.limits.ports, "created");
        Ok(Self { settings, log })
    }

    /// Answers with the request, so that a test can compare.
    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        obey(ctx)?;
        let seen = serde_json::to_string(request).map_err(Error::other)?;
        match request.workers {
            1 => Ok(Launch::complete(vec![seen])),
            _ => Ok(Launch::partial(vec![seen], "one is enough", request.workers > 2)),
        }
    }

    fn status(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        obey(ctx)?;
        let status = |handle: &&str| match *handle {
            "initializing" => WorkerStatus::Initializing,
            "running" => WorkerStatus::Running,
            _ => WorkerStatus::Stopped,
        };
        Ok(handles.iter().map(status).collect())
    }

    fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        obey(ctx)?;
        let kill = |handle: &&str| match handle.strip_prefix("no: ") {
            Some(reason) => Killed::No(reason.to_owned()),
            None => Killed::Yes,
        };
        Ok(handles.iter().map(kill).collect())
    }
}

impl Initialize for Probe {
    /// Logs, each in its own way.
    fn initialize(&self, ctx: &Context<'_>) -> Result<(), Error> {
        obey(ctx)?;
        match ctx.cluster() {
            "log" => {
                tracing::error!("plain");
                tracing::warn!(count = 3, name = "n", error = %Error::other("why"), "with {}", "fields");
                tracing::info!(target: "elsewhere", yes = true);
                tracing::debug!("too talkative");
                let _span = tracing::info_span!("a span").entered();
                tracing::info!("in a span");
            }
            "long line" => tracing::info!("{}", "ä".repeat(100_000)),
            "own thread" => std::thread::scope(|scope| {
                scope.spawn(|| tracing::info!("unheard"));
                scope.spawn(|| self.log.scope(|| tracing::info!("by the instance's log")));
                let log = ctx.log();
                scope.spawn(move || log.scope(|| tracing::info!("by the call's log")));
                let current = tracing::dispatcher::get_default(Clone::clone);
                scope.spawn(move || {
                    tracing::dispatcher::with_default(&current, || tracing::info!("by dispatch"));
                });
            }),
            "nested" => {
                self.log.scope(|| tracing::info!("inside"));
                Log::silent().scope(|| tracing::info!("unheard"));
                tracing::info!("outside");
            }
            "shared event" => shared_event(),
            _ => (),
        }
        Ok(())
    }
}

pub(crate) fn shared_event() {
    tracing::info!("shared");
}

impl List for Probe {
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error> {
        obey(ctx)?;
        let entry = |index: u32| ListedHandle {
            handle: format!("{}-{index}", ctx.cluster()),
            token: LaunchToken::new(format!("t{index}")),
            workers: index,
        };
        Ok((1..=3).map(entry).collect())
    }
}

impl Server for Probe {
    fn run_server(&self, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
        obey(ctx)?;
        // The only way for the request to come back.
        Err(Error::permanent(serde_json::to_string(request).map_err(Error::other)?))
    }

    fn stop_server(&self, ctx: &Context<'_>) -> Result<(), Error> {
        obey(ctx)
    }

    fn server_status(&self, ctx: &Context<'_>) -> Result<WorkerStatus, Error> {
        obey(ctx)?;
        Ok(WorkerStatus::Initializing)
    }

    fn server_address(&self, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error> {
        obey(ctx)?;
        let address = ServerAddress { host: "2001:db8::1".to_owned(), port: Some(65_535) };
        Ok((ctx.cluster() != "without").then_some(address))
    }
}

impl Cleanup for Probe {
    fn cleanup(&self, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
        obey(ctx)?;
        if deep { Err(Error::permanent("deep")) } else { Ok(()) }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        tracing::info!("dropped");
        assert!(!self.settings.panic_in_drop, "the probe panics in drop");
    }
}
