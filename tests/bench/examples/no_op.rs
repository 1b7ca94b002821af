//! A plugin that does as little as a plugin can: each worker that it is asked for runs. What a call of it takes is what it takes
//! to call a plugin.

use longshore_plugin_api::{
    Context, Error, Killed, Launch, Log, Provider, RunRequest, WorkerStatus, export_provider,
    schemars::JsonSchema, serde::Deserialize,
};

struct NoOp;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "longshore_plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "longshore_plugin_api::schemars")]
struct Settings {}

impl Provider for NoOp {
    const NAME: &'static str = "no-op";
    type Config = Settings;

    fn create(_settings: Settings, _log: Log) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&self, _ctx: &Context<'_>, _request: &RunRequest) -> Result<Launch, Error> {
        Err(Error::permanent("it launches nothing"))
    }

    fn status(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        Ok(vec![WorkerStatus::Running; handles.len()])
    }

    fn kill(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        Ok(vec![Killed::Yes; handles.len()])
    }
}

export_provider!(NoOp);
