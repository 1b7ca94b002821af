//! Waits until clusters are as asked, and shows how far they are and why they are not. The host goes on, whatever becomes of
//! the waiting.

use std::time::Duration;

use longshore_http::{
    ProblemKind,
    wire::{ClusterStatus, Clusters},
};
use tokio::{
    signal::ctrl_c,
    time::{Instant, sleep_until},
};

use crate::{
    exit::{Exit, Failure, Kind},
    feed::Feed,
    progress::Progress,
    render::{clean, summary},
};

/// The most clusters named in one line of progress.
const NAMED: usize = 3;

/// What is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) cluster: String,
    /// From this generation on a status speaks of what was asked.
    pub(crate) generation: u64,
    /// Whether the cluster shall be gone, rather than as asked.
    pub(crate) gone: bool,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Waited {
    /// How the clusters were last, without those that are gone.
    pub(crate) clusters: Vec<ClusterStatus>,
    /// Why it was given up; nothing when all is as asked.
    pub(crate) given_up: Option<Failure>,
}

/// Waits until every goal is reached, for at most so long.
pub(crate) async fn wait(feed: &mut Feed, goals: &[Goal], limit: Duration) -> Result<Waited, Failure> {
    let mut progress = Progress::new();
    let mut clusters = None;
    // What is too far away for the clock is for ever.
    let end = Instant::now().checked_add(limit);
    let mut timer = std::pin::pin!(async {
        match end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    });
    let mut interrupt = std::pin::pin!(ctrl_c());
    loop {
        let why = tokio::select! {
            news = feed.next() => {
                let news = clusters.insert(ours(news_of(news, goals)?, goals));
                let missed = missed(news, goals)?;
                if missed.is_empty() {
                    return Ok(Waited { clusters: clusters.unwrap_or_default(), given_up: None });
                }
                progress.show(&line(&missed, goals.len()));
                continue;
            }
            () = progress.catch_up() => continue,
            () = &mut timer => format!("after {}", humantime::format_duration(limit)),
            _ = &mut interrupt => "yet, and waiting was interrupted".to_owned(),
        };
        let failure = match &clusters {
            Some(clusters) => gave_up(&missed(clusters, goals)?, &why),
            None => Failure::gave_up(format_args!("the host did not say how its clusters are {why}")),
        };
        return Ok(Waited { clusters: clusters.unwrap_or_default(), given_up: Some(failure) });
    }
}

/// A cluster that shall go and is asked for by name is gone when there is none of that name.
fn news_of(news: Result<Clusters, Failure>, goals: &[Goal]) -> Result<Vec<ClusterStatus>, Failure> {
    match news {
        Ok(news) => Ok(news.clusters),
        Err(failure) => match goals {
            [Goal { gone: true, .. }] if failure.kind == Kind::Host(ProblemKind::NoSuchCluster) => {
                Ok(Vec::new())
            }
            _ => Err(failure),
        },
    }
}

fn ours(mut clusters: Vec<ClusterStatus>, goals: &[Goal]) -> Vec<ClusterStatus> {
    clusters.retain(|cluster| goals.iter().any(|goal| goal.cluster == cluster.name));
    clusters
}

/// The clusters that are not there yet.
fn missed<'a>(clusters: &'a [ClusterStatus], goals: &[Goal]) -> Result<Vec<&'a ClusterStatus>, Failure> {
    let mut missed = Vec::new();
    for goal in goals {
        let found = clusters.binary_search_by(|cluster| cluster.name.as_str().cmp(&goal.cluster));
        match (found.map(|at| &clusters[at]), goal.gone) {
            (Ok(cluster), false) if cluster.converged && cluster.generation >= goal.generation => {}
            (Ok(cluster), _) => missed.push(cluster),
            (Err(_), true) => {}
            (Err(_), false) => {
                let text = format!("cluster `{}` was deleted while it was waited for", goal.cluster);
                return Err(Failure { exit: Exit::NoCluster, ..Failure::gave_up(text) });
            }
        }
    }
    Ok(missed)
}

/// The line of progress.
pub(crate) fn line(missed: &[&ClusterStatus], of: usize) -> String {
    let mut parts: Vec<_> = missed.iter().take(NAMED).map(|cluster| summary(cluster)).collect();
    if missed.len() > NAMED {
        parts.push(format!("and {} more", missed.len() - NAMED));
    }
    let text = parts.join("; ");
    if of > 1 { format!("{}/{of} clusters are as asked; {text}", of - missed.len()) } else { text }
}

fn gave_up(missed: &[&ClusterStatus], why: &str) -> Failure {
    let Some(first) = missed.first() else {
        return Failure::gave_up(format_args!("waiting ended {why}"));
    };
    let mut lines = vec![format!("cluster `{}` is not as asked {why}: {}", first.name, summary(first))];
    lines.extend(first.reasons.iter().map(|reason| clean(&reason.text)));
    if missed.len() > 1 {
        lines.push(format!("and {} more are not", missed.len() - 1));
    }
    lines.push(format!("the host goes on; `longshore explain {}` says how far it is", first.name));
    Failure::gave_up(lines.join("\n  "))
}
