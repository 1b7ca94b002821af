//! Commands that change a cluster, and by default wait until it is as asked.

use longshore_http::{
    Client, ClientError,
    wire::{Admitted, ClusterStatus},
};
use serde::Serialize;

use crate::{
    args::{Change, Delete, Scale, Waiting},
    exit::Failure,
    feed::{Feed, Source},
    output::Output,
    render::summary,
    wait::{Goal, wait},
};

/// What became of a command, for `--json`.
#[derive(Serialize)]
struct Document {
    /// The generation that the command led to.
    #[serde(flatten)]
    admitted: Admitted,
    /// Whether all is as asked; null when it was not waited for.
    converged: Option<bool>,
    /// How the cluster was last; null when it was not waited for, or when it is gone.
    status: Option<ClusterStatus>,
}

pub(super) async fn scale(client: &Client, scale: &Scale, output: &Output) -> Result<(), Failure> {
    let asked = client.scale(&scale.cluster, scale.workers).await;
    finish(client, asked, scale.waiting, false, output).await
}

pub(super) async fn start(client: &Client, change: &Change, output: &Output) -> Result<(), Failure> {
    let asked = client.start(&change.cluster).await;
    finish(client, asked, change.waiting, false, output).await
}

pub(super) async fn stop(client: &Client, change: &Change, output: &Output) -> Result<(), Failure> {
    let asked = client.stop(&change.cluster).await;
    finish(client, asked, change.waiting, false, output).await
}

pub(super) async fn delete(client: &Client, delete: &Delete, output: &Output) -> Result<(), Failure> {
    let asked = client.delete(&delete.cluster, delete.force).await;
    finish(client, asked, delete.waiting, true, output).await
}

/// Waits, if that is wanted, and says what came of it.
pub(super) async fn finish(
    client: &Client,
    asked: Result<Admitted, ClientError>,
    waiting: Waiting,
    gone: bool,
    output: &Output,
) -> Result<(), Failure> {
    let admitted = asked?;
    let cluster = admitted.cluster.clone();
    if waiting.no_wait {
        let document = Document { admitted, converged: None, status: None };
        return output
            .either(&document, || format!("{cluster}: asked for; `longshore status` shows how it goes"));
    }
    let goal = Goal { cluster: cluster.clone(), generation: admitted.generation, gone };
    let mut feed = Feed::new(Source::There(client.clone(), Some(cluster.clone())));
    let waited = wait(&mut feed, &[goal], waiting.timeout).await?;
    let status = waited.clusters.into_iter().next();
    let text = match &status {
        Some(status) => summary(status),
        None => format!("{cluster}: deleted"),
    };
    let document = Document { admitted, converged: Some(waited.given_up.is_none()), status };
    if waited.given_up.is_none() || output.is_json() {
        output.either(&document, || text)?;
    }
    waited.given_up.map_or(Ok(()), Err)
}

pub(super) async fn update(client: &Client, cluster: &str, output: &Output) -> Result<(), Failure> {
    let admitted = client.update(cluster).await?;
    let status = client.cluster(cluster).await?;
    let text = summary(&status);
    let document = Document { admitted, converged: Some(status.converged), status: Some(status) };
    output.either(&document, || text)
}
