//! The routes about plugins: which there are, putting one on the shelf, taking one off it, and releasing one from its quarantine.

use axum::{Json, extract::State};
use longshore_config::Trust;

use crate::{
    extract::{Document, Name},
    problem::{Problem, ProblemKind},
    routes::{Answer, Desk},
    wire::{AddPlugin, AddedPlugin, PluginList, Release, Released, RemovedPlugin},
};

pub(crate) async fn plugins(State(desk): State<Desk>) -> Json<PluginList> {
    Json(desk.host.plugins().await)
}

pub(crate) async fn add_plugin(
    State(desk): State<Desk>,
    Document(AddPlugin { path, sha256, signed_by }): Document<AddPlugin>,
) -> Answer<AddedPlugin> {
    if !path.is_absolute() {
        let text = format!("`path` must be absolute, not {}", path.display());
        return Err(Problem::new(ProblemKind::BadRequest, text));
    }
    Ok(Json(desk.host.add_plugin(path, Trust { sha256, signed_by }).await?))
}

pub(crate) async fn remove_plugin(State(desk): State<Desk>, Name(plugin): Name) -> Answer<RemovedPlugin> {
    Ok(Json(desk.host.remove_plugin(&plugin).await?))
}

pub(crate) async fn release(
    State(desk): State<Desk>,
    Document(release): Document<Release>,
) -> Answer<Released> {
    Ok(Json(desk.host.release(&release.library).await?))
}
