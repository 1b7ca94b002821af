//! The routes for when something was lost: what happened to a cluster, what a launch of unknown fate created, and what runs
//! without the host's knowledge.

use std::sync::Arc;

use axum::{Json, extract::State};
use longshore_config::Config;
use longshore_runtime::{ApplyError, Host};
use longshore_scaling::Command;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    extract::{Document, Name, Params},
    problem::{Problem, ProblemKind},
    routes::{Answer, Desk, command, permit, to_its_end},
    wire::{Admitted, HISTORY_PAGE, HISTORY_PAGE_LIMIT, HistoryPage, HistoryQuery, Reconnecting, Resolve},
};

pub(crate) async fn history(
    State(desk): State<Desk>,
    Name(name): Name,
    Params(query): Params<HistoryQuery>,
) -> Answer<HistoryPage> {
    let limit = query.limit.unwrap_or(HISTORY_PAGE);
    if !(1..=HISTORY_PAGE_LIMIT).contains(&limit) {
        let text = format!("`limit` must be from 1 to {HISTORY_PAGE_LIMIT}, not {limit}");
        return Err(Problem::new(ProblemKind::BadRequest, text));
    }
    Ok(Json(desk.host.history(&name, query.before, limit).await?))
}

pub(crate) async fn resolve(
    State(desk): State<Desk>,
    Name(name): Name,
    Document(resolve): Document<Resolve>,
) -> Answer<Admitted> {
    let Resolve { token, handles } = resolve;
    for handle in &handles {
        handle.check().map_err(|what| Problem::new(ProblemKind::BadRequest, what))?;
    }
    let handles = handles.into_iter().map(|it| (it.handle.into(), it.workers)).collect();
    command(&desk, name, Command::Resolve { token, handles }).await
}

/// As [`Reconnect`](crate::wire::Reconnect), with a configuration that has not been looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawReconnect {
    #[serde(default)]
    config: Option<Value>,
}

pub(crate) async fn reconnect(
    State(desk): State<Desk>,
    Name(name): Name,
    Document(RawReconnect { config }): Document<RawReconnect>,
) -> Answer<Reconnecting> {
    let permit = permit(&desk)?;
    // Read as the other routes read it, so that it is refused in the same words.
    let config = config.map(|config| Config::from_json(&config.to_string())).transpose()?;
    to_its_end(reconnected(Arc::clone(&desk.host), name, config), permit).await
}

async fn reconnected(
    host: Arc<Host>,
    cluster: String,
    config: Option<Config>,
) -> Result<Reconnecting, ApplyError> {
    // The end of the taking over is one generation more; of a cluster that is made for it, the making is the first.
    let before = host.status(&cluster).await.map_or(1, |status| status.generation);
    let found = host.reconnect(&cluster, config).await?;
    Ok(Reconnecting { cluster, generation: before + 1, found })
}
