//! Commands that show clusters and their workers.

use std::{
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anstyle::Style;
use longshore_http::{
    Client,
    wire::{ClusterStatus, Clusters, Explanation, ProviderStatus, ServingStatus, WorkerPage, WorkerPhase},
};
use longshore_scaling::{Desired, Reason, Remedy, Time};
use serde::Serialize;
use tokio::signal::ctrl_c;

use crate::{
    args::{Status, Workers},
    exit::Failure,
    feed::{Feed, Source},
    output::{GOOD, Output, PENDING},
    render::{self, Checks, clean, span},
    table::table,
};

/// Why a cluster is as it is, for `--json`.
#[derive(Serialize)]
struct Explained<'a> {
    cluster: &'a str,
    converged: bool,
    reasons: &'a [Explanation],
    provider: &'a str,
    /// What its calls go to; null where that is not there.
    serving: Option<&'a ServingStatus>,
}

pub(super) async fn status(client: &Client, status: &Status, output: &Output) -> Result<(), Failure> {
    if status.watch {
        return tokio::select! {
            ended = watch(client, status.cluster.clone(), output) => ended,
            _ = ctrl_c() => Ok(()),
        };
    }
    if let Some(name) = &status.cluster {
        let cluster = client.cluster(name).await?;
        return output.either(&cluster, || one(&cluster, output.width()));
    }
    let clusters = Feed::new(Source::There(client.clone(), None)).next().await?;
    if output.is_json() {
        return output.document(&clusters);
    }
    let providers = client.providers().await?.providers;
    let mut text = all(&clusters.clusters, output.width());
    for trouble in troubles(&providers) {
        text.push('\n');
        text.push_str(&trouble);
    }
    output.text(&text)
}

/// A line for each provider that is not there, or whose process is not.
pub(super) fn troubles(providers: &[ProviderStatus]) -> impl Iterator<Item = String> {
    providers.iter().filter_map(|provider| {
        let runner = provider.runner.as_ref();
        let why = provider.trouble.as_ref().map(ToString::to_string);
        let why = why.or_else(|| Some(format!("its process: {}", runner?.why.as_ref()?)))?;
        Some(format!("provider {} is not there: {}", provider.name, clean(&why)))
    })
}

async fn watch(client: &Client, name: Option<String>, output: &Output) -> Result<(), Failure> {
    let mut feed = Feed::new(Source::There(client.clone(), name.clone()));
    let mut shown: Option<Clusters> = None;
    loop {
        let news = feed.next().await?;
        if shown.as_ref().is_some_and(|shown| shown.clusters == news.clusters) {
            continue;
        }
        let one_of = news.clusters.first().filter(|_| name.is_some());
        if output.is_json() {
            match one_of {
                Some(cluster) => output.document(cluster)?,
                None => output.document(&news)?,
            }
        } else {
            if output.is_terminal() {
                // Home, and away with all below.
                let mut out = std::io::stdout().lock();
                write!(out, "\u{1b}[H\u{1b}[2J")?;
            } else if shown.is_some() {
                output.text("")?;
            }
            let width = output.width();
            output.text(&one_of.map_or_else(|| all(&news.clusters, width), |cluster| one(cluster, width)))?;
        }
        shown = Some(news);
    }
}

fn style(cluster: &ClusterStatus) -> Style {
    match (cluster.converged, cluster.desired) {
        (true, Desired::Running) => GOOD,
        (true, _) => Style::new(),
        (false, _) => PENDING,
    }
}

/// Which columns there are beside the usual ones: those that any cluster has something for.
#[derive(Clone, Copy)]
struct Columns {
    servers: bool,
    strays: bool,
}

impl Columns {
    fn of(clusters: &[ClusterStatus]) -> Self {
        Self {
            servers: clusters.iter().any(|cluster| cluster.server.is_some()),
            strays: clusters.iter().any(|cluster| cluster.strays > 0),
        }
    }
}

/// The counts of a cluster.
fn counts(cluster: &ClusterStatus, columns: Columns) -> Vec<String> {
    let mut counts = vec![cluster.name.clone(), render::provider(cluster), render::desired(cluster)];
    if columns.servers {
        counts.push(
            cluster.server.as_ref().map_or("-", |server| render::server_phase(server.phase)).to_owned(),
        );
    }
    counts.extend([
        format!("{}/{}", cluster.running, cluster.target()),
        (cluster.initializing + cluster.launching).to_string(),
        cluster.terminating.to_string(),
        cluster.unknown.to_string(),
    ]);
    if columns.strays {
        counts.push(cluster.strays.to_string());
    }
    counts
}

fn header(columns: Columns) -> Vec<&'static str> {
    let mut header = vec!["NAME", "PROVIDER", "DESIRED"];
    if columns.servers {
        header.push("SERVER");
    }
    header.extend(["WORKERS", "INITIALIZING", "STOPPING", "UNKNOWN"]);
    if columns.strays {
        header.push("STRAYS");
    }
    header
}

/// All clusters, each in a row, with the first reason of those that are not as asked.
fn all(clusters: &[ClusterStatus], width: Option<u16>) -> String {
    if clusters.is_empty() {
        return "no clusters; `longshore apply FILE` makes some".to_owned();
    }
    let columns = Columns::of(clusters);
    let rows = clusters.iter().map(|cluster| {
        let why = render::why(cluster).filter(|_| !cluster.converged).unwrap_or_default();
        let mut cells = counts(cluster, columns);
        cells.push(why);
        (cells, style(cluster))
    });
    let mut header = header(columns);
    header.push("WHY");
    table(&header, rows, width)
}

/// One cluster, with all reasons.
fn one(cluster: &ClusterStatus, width: Option<u16>) -> String {
    let columns = Columns::of(std::slice::from_ref(cluster));
    let row = (counts(cluster, columns), style(cluster));
    let mut text = table(&header(columns), [row], width);
    if let Some(server) = &cluster.server {
        text.push_str("\n  the server's address: ");
        text.push_str(&render::server_address(server));
    }
    for reason in &cluster.reasons {
        text.push_str("\n  ");
        text.push_str(&clean(&reason.text));
    }
    text
}

pub(super) async fn explain(client: &Client, name: &str, output: &Output) -> Result<(), Failure> {
    let ClusterStatus { name, converged, reasons, provider, serving, .. } = client.cluster(name).await?;
    let serving = serving.as_ref();
    let document = Explained { cluster: &name, converged, reasons: &reasons, provider: &provider, serving };
    output.either(&document, || {
        let mut checks = Checks::default();
        let told = |reason: &Explanation| {
            clean(&reason.text) + &remedy(&name, &reason.reason) + &checks.of(reason.check.as_deref())
        };
        let mut lines: Vec<_> = reasons.iter().map(told).collect();
        if lines.is_empty() {
            lines.push("nothing is under way".to_owned());
        }
        lines.extend(serving.map(|serving| render::serving(&provider, serving, now())));
        lines.join("\n")
    })
}

/// The time of day, as the host tells times.
fn now() -> Time {
    Time::default() + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The commands that an operator has, where nobody else can find something out.
fn remedy(cluster: &str, reason: &Reason) -> String {
    let Reason::HeldForUnknown { token, remedy: Remedy::Operator, .. } = reason else {
        return String::new();
    };
    let resolve = format!("longshore resolve {cluster} {token}");
    format!(
        "\n  where nothing of it is there:  {resolve} --none\n  otherwise, with all that is:    {resolve} --handle \
         NAME[=WORKERS] ..."
    )
}

pub(super) async fn workers(client: &Client, workers: &Workers, output: &Output) -> Result<(), Failure> {
    let most = workers.limit.map_or(usize::MAX, |limit| limit as usize);
    let page = client.all_workers(&workers.cluster, most).await?;
    output.either(&page, || rows(&page, output.width()))
}

fn rows(page: &WorkerPage, width: Option<u16>) -> String {
    if page.total == 0 {
        return "no workers".to_owned();
    }
    let rows = page.workers.iter().map(|worker| {
        let (phase, style) = match worker.phase {
            WorkerPhase::Initializing => ("initializing", PENDING),
            WorkerPhase::Running => ("running", GOOD),
            WorkerPhase::Terminating => ("stopping", PENDING),
        };
        let cells = vec![
            clean(&worker.handle),
            worker.workers.to_string(),
            phase.to_owned(),
            span(Duration::from_millis(worker.age_ms)),
            worker.token.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        (cells, style)
    });
    let text = table(&["HANDLE", "WORKERS", "PHASE", "AGE", "LAUNCH"], rows, width);
    match page.total.saturating_sub(page.workers.len()) {
        0 => text,
        more => format!("{text}\n... and {more} more"),
    }
}
