//! Commands for when something was lost: what happened, what a launch of unknown fate created, and what runs without the
//! host's knowledge.

use std::time::{Duration, UNIX_EPOCH};

use longshore_config::Config;
use longshore_http::{
    Client, ProblemKind,
    wire::{self, ClusterStatus, HISTORY_PAGE_LIMIT, HistoryEntry, HistoryPage, HistoryQuery, Reconnecting},
};
use serde::Serialize;
use tokio::signal::ctrl_c;

use super::change::finish;
use crate::{
    args::{History, Reconnect, Resolve},
    exit::{Failure, Kind},
    feed::{Feed, Source},
    output::Output,
    render::{Checks, clean, summary},
    wait::{Goal, wait},
};

/// The width of a time, where there is none.
const TIME_WIDTH: usize = "2026-01-02T03:04:05.678Z".len();

/// What became of a taking over, for `--json`.
#[derive(Serialize)]
struct ReconnectedDocument {
    #[serde(flatten)]
    reconnecting: Reconnecting,
    /// Whether all is as asked; null when it was not waited for.
    converged: Option<bool>,
    /// How many workers were taken over; null when that is not known yet.
    taken_over: Option<u32>,
    /// How the cluster was last; null when it was not waited for.
    status: Option<ClusterStatus>,
}

pub(super) async fn resolve(client: &Client, resolve: &Resolve, output: &Output) -> Result<(), Failure> {
    let Resolve { cluster, token, handles, waiting, .. } = resolve;
    let said = wire::Resolve { token: token.clone(), handles: handles.clone() };
    let asked = client.resolve(cluster, &said).await;
    finish(client, asked, *waiting, false, output).await
}

pub(super) async fn reconnect(client: &Client, asked: &Reconnect, output: &Output) -> Result<(), Failure> {
    let config = asked.config.as_deref().map(Config::read).transpose()?;
    let without = config.is_none();
    let reconnecting = client.reconnect(&asked.cluster, config).await.map_err(|error| {
        let mut failure = Failure::from(error);
        if without && failure.kind == Kind::Host(ProblemKind::NoSuchCluster) {
            failure.message.push_str(
                "; to take over one that this host does not have, say what it is with --config FILE",
            );
        }
        failure
    })?;
    let cluster = reconnecting.cluster.clone();
    if asked.waiting.no_wait {
        let document = ReconnectedDocument { reconnecting, converged: None, taken_over: None, status: None };
        return output.either(&document, || {
            format!("{cluster}: being taken over; `longshore status` shows how it goes")
        });
    }
    let goal = Goal { cluster: cluster.clone(), generation: reconnecting.generation, gone: false };
    let mut feed = Feed::new(Source::There(client.clone(), Some(cluster.clone())));
    let waited = wait(&mut feed, &[goal], asked.waiting.timeout).await?;
    let status = waited.clusters.into_iter().next();
    let reached = status.as_ref().filter(|status| status.generation >= reconnecting.generation);
    let taken_over = reached.map(|status| status.expected);
    let text = match (&status, taken_over) {
        (Some(status), Some(workers)) => {
            let workers = if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
            format!("{cluster}: {workers} taken over\n{}", summary(status))
        }
        _ => format!("{cluster}: not taken over yet"),
    };
    let converged = Some(waited.given_up.is_none());
    if waited.given_up.is_none() || output.is_json() {
        let document = ReconnectedDocument { reconnecting, converged, taken_over, status };
        output.either(&document, || text)?;
    }
    waited.given_up.map_or(Ok(()), Err)
}

pub(super) async fn history(client: &Client, history: &History, output: &Output) -> Result<(), Failure> {
    let History { cluster, limit, before, follow } = history;
    let page = client.all_history(cluster, *before, *limit as usize).await?;
    output.either(&page, || {
        let earlier = page.entries.first().filter(|_| page.entries.len() == *limit as usize);
        let earlier = earlier.map(|first| first.entry.number).filter(|number| *number > 1).map(|number| {
            format!("... `longshore history {cluster} --before {number}` shows what came before\n")
        });
        if page.entries.is_empty() {
            return "no entries".to_owned();
        }
        earlier.unwrap_or_default() + &lines(&page.entries)
    })?;
    if !follow {
        return Ok(());
    }
    let last = page.entries.last().map_or(0, |entry| entry.entry.number);
    tokio::select! {
        ended = follow_on(client, cluster, last, output) => ended,
        _ = ctrl_c() => Ok(()),
    }
}

/// Shows what is added, until the cluster or the host is gone.
async fn follow_on(client: &Client, cluster: &str, mut last: u64, output: &Output) -> Result<(), Failure> {
    let mut feed = Feed::new(Source::There(client.clone(), Some(cluster.to_owned())));
    loop {
        feed.next().await?;
        let page = HistoryPage { entries: after(client, cluster, last).await? };
        if let Some(newest) = page.entries.last() {
            last = newest.entry.number;
            output.either(&page, || lines(&page.entries))?;
        }
    }
}

/// All entries after a number that are still kept, oldest first.
async fn after(client: &Client, cluster: &str, last: u64) -> Result<Vec<HistoryEntry>, Failure> {
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let query = HistoryQuery { before, limit: Some(HISTORY_PAGE_LIMIT) };
        let mut page = client.history(cluster, query).await?.entries;
        before = page.first().map(|first| first.entry.number);
        page.retain(|entry| entry.entry.number > last);
        let is_last = before.is_none_or(|first| first <= last + 1);
        pages.push(page);
        if is_last {
            return Ok(pages.into_iter().rev().flatten().collect());
        }
    }
}

/// A line an entry: when, its number, what.
fn lines(entries: &[HistoryEntry]) -> String {
    let width = entries.last().map_or(0, |entry| entry.entry.number.to_string().len());
    let mut checks = Checks::default();
    let line = |entry: &HistoryEntry| {
        let at = entry.at.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_millis(at.as_millis())));
        let at = at.map(|at| humantime::format_rfc3339_millis(at).to_string()).unwrap_or_default();
        let check = checks.of(entry.check.as_deref());
        format!("{at:TIME_WIDTH$}  {:>width$}  {}{check}", entry.entry.number, clean(&entry.text))
    };
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}
