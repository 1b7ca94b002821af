//! Commands that take a configuration: to make it so, or to see what it would do.

use std::{path::Path, sync::Arc};

use anstyle::Style;
use longshore_config::Config;
use longshore_http::{
    Client, ClientError,
    wire::{Applied, ClusterStatus, Effect, Preview},
};
use longshore_runtime::{Host, Leaving};
use longshore_store::SqliteJournal;
use serde::Serialize;

use super::{client, plugins};
use crate::{
    args::{Apply, Global},
    exit::Failure,
    feed::{Feed, Source},
    output::{Output, PENDING},
    render::{clean, summary},
    table::table,
    wait::{Goal, wait},
};

/// What became of a configuration, for `--json`.
#[derive(Serialize)]
struct AppliedDocument {
    /// What it did to each provider and cluster.
    #[serde(flatten)]
    applied: Applied,
    /// Whether all its clusters are as asked; null when it was not waited for.
    converged: Option<bool>,
    /// How its clusters were last; null when it was not waited for.
    status: Option<Vec<ClusterStatus>>,
}

/// What would become of one, for `--json`.
#[derive(Serialize)]
struct PlannedDocument {
    /// `host`, or `here` where none listens.
    planned_by: &'static str,
    clusters: Vec<Preview>,
}

pub(super) async fn apply(client: &Client, apply: &Apply, output: &Output) -> Result<(), Failure> {
    let config = Config::read(&apply.config.file)?;
    let applied = client.apply(&config).await?;
    if !output.is_json() {
        let text = effects(&applied);
        if !text.is_empty() {
            output.text(&text)?;
        }
    }
    if apply.waiting.no_wait {
        let document = AppliedDocument { applied, converged: None, status: None };
        return if output.is_json() { output.document(&document) } else { Ok(()) };
    }
    let goals: Vec<_> = goals(&applied);
    let mut feed = Feed::new(Source::There(client.clone(), None));
    let waited = wait(&mut feed, &goals, apply.waiting.timeout).await?;
    if output.is_json() {
        let converged = Some(waited.given_up.is_none());
        output.document(&AppliedDocument { applied, converged, status: Some(waited.clusters) })?;
    } else if waited.given_up.is_none() {
        for cluster in &waited.clusters {
            output.text(&summary(cluster))?;
        }
    }
    waited.given_up.map_or(Ok(()), Err)
}

/// What must be so before a configuration has come about.
fn goals(applied: &Applied) -> Vec<Goal> {
    let goal = |name: &String, generation| Goal { cluster: name.clone(), generation, gone: false };
    applied.clusters.iter().map(|cluster| goal(&cluster.name, cluster.generation)).collect()
}

/// A line for each provider and cluster.
pub(super) fn effects(applied: &Applied) -> String {
    let providers = applied.providers.iter().map(|it| ("provider", &it.name, it.effect));
    let clusters = applied.clusters.iter().map(|it| ("cluster", &it.name, it.effect));
    let lines =
        providers.chain(clusters).map(|(what, name, effect)| format!("{what} {name}: {}", word(effect)));
    lines.collect::<Vec<_>>().join("\n")
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Created => "created",
        Effect::Updated => "updated",
        Effect::Unchanged => "unchanged",
    }
}

pub(super) async fn plan(global: &Global, file: &Path, output: &Output) -> Result<(), Failure> {
    let config = Config::read(file)?;
    let (planned_by, clusters) = match client(global)?.plan(&config).await {
        Ok(planned) => ("host", planned.clusters),
        Err(ClientError::NoHost { .. }) => ("here", plan_here(global, config).await?),
        Err(error) => return Err(error.into()),
    };
    let document = PlannedDocument { planned_by, clusters };
    output.either(&document, || {
        let by = if planned_by == "host" {
            "as the host sees it"
        } else {
            "as no host listens, as seen from here, without the state folder"
        };
        format!("{by}; nothing has been done\n{}", previews(&document.clusters, output.width()))
    })
}

/// With a host that lives no longer than the question, and that has no state: what another one keeps is not looked at.
async fn plan_here(global: &Global, config: Config) -> Result<Vec<Preview>, Failure> {
    let journal = Arc::new(SqliteJournal::in_memory());
    let host = Host::open(plugins(global, None), journal).await.map_err(|error| Failure::state(&error))?;
    let planned = host.plan(config).await;
    host.shut_down(Leaving::Workers).await;
    Ok(planned?)
}

fn previews(previews: &[Preview], width: Option<u16>) -> String {
    if previews.is_empty() {
        return "the configuration has no clusters".to_owned();
    }
    let rows = previews.iter().map(|preview| {
        let style = if preview.launch > 0 || preview.kill > 0 { PENDING } else { Style::new() };
        let why: Vec<_> = preview.reasons.iter().map(|reason| clean(&reason.text)).collect();
        let cells = vec![
            preview.cluster.clone(),
            word(preview.effect).to_owned(),
            format!("{} -> {}", preview.target_before, preview.target),
            preview.live.to_string(),
            preview.launch.to_string(),
            preview.kill.to_string(),
            why.join("; "),
        ];
        (cells, style)
    });
    table(&["CLUSTER", "EFFECT", "WORKERS", "LIVE", "LAUNCH", "KILL", "WHY"], rows, width)
}
