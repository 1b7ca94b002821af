//! The routes about what a cluster has in its provider's backend beside workers: its server, and what was left behind.

use axum::{Json, extract::State};

use crate::{
    extract::{Name, Params},
    routes::{Answer, Desk},
    wire::{CleanUpQuery, CleanedUp, ServerDetails, ServerQuery},
};

pub(crate) async fn server(
    State(desk): State<Desk>,
    Name(name): Name,
    Params(query): Params<ServerQuery>,
) -> Answer<ServerDetails> {
    let (server, password) = desk.host.server(&name).await?;
    // Whoever does not ask for it does not get it, so that it does not end in a log by chance.
    let password = password.filter(|_| query.password).map(|password| password.reveal().to_owned());
    Ok(Json(ServerDetails { cluster: name, server, password }))
}

pub(crate) async fn clean_up(
    State(desk): State<Desk>,
    Name(name): Name,
    Params(query): Params<CleanUpQuery>,
) -> Answer<CleanedUp> {
    desk.host.clean_up(&name, query.deep).await?;
    Ok(Json(CleanedUp { cluster: name, deep: query.deep }))
}
