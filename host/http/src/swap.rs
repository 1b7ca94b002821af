//! The routes that change a provider over to another version of its plugin, and back.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use longshore_providers::is_path;
use longshore_runtime::{Canary, SwapOutcome, SwapRequest};

use crate::{
    extract::{Document, Name},
    problem::{Problem, ProblemKind},
    routes::{Answer, Desk, permit, to_its_end},
    wire::Swap,
};

pub(crate) async fn swap(
    State(desk): State<Desk>,
    Name(provider): Name,
    Document(Swap { to, sha256, watch_ms, canary, cluster }): Document<Swap>,
) -> Answer<SwapOutcome> {
    if let Some(file) = to.as_deref().filter(|to| is_path(to) && !Path::new(to).is_absolute()) {
        let text = format_args!(
            "`to` is the file {file}: give its absolute path, for the host has a folder of its own"
        );
        return Err(Problem::new(ProblemKind::BadRequest, text));
    }
    let canary = match cluster {
        Some(cluster) if canary => Some(Canary::Cluster(cluster)),
        Some(_) => {
            return Err(Problem::new(
                ProblemKind::BadRequest,
                "`cluster` is for a canary: say `canary` as well",
            ));
        }
        None => canary.then_some(Canary::Smallest),
    };
    let watch = watch_ms.map(Duration::from_millis);
    let request = SwapRequest { provider, to, sha256, watch, canary, only_newer: false };
    let (permit, host) = (permit(&desk)?, Arc::clone(&desk.host));
    // Whoever asked may go away: the change is made, or found impossible, to the end.
    to_its_end(async move { host.swap(request).await }, permit).await
}

pub(crate) async fn rollback(State(desk): State<Desk>, Name(provider): Name) -> Answer<SwapOutcome> {
    // It is not kept waiting by those who read configurations.
    Ok(Json(desk.host.rollback(&provider).await?))
}
