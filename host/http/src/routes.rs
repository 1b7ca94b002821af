//! The routes: from a request to a call of the host, and from what it says to an answer.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{Method, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete as delete_route, get, post},
};
use longshore_config::Config;
use longshore_runtime::{ApplyError, Host};
use longshore_scaling::Command;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    backend::{clean_up, server},
    extract::{Document, Name, Params, Text},
    metrics::metrics,
    plugins::{add_plugin, plugins, release, remove_plugin},
    problem::{Problem, ProblemKind},
    recovery::{history, reconnect, resolve},
    swap::{rollback, swap},
    wire::{
        Admitted, Applied, AppliedCluster, AppliedProvider, ClusterStatus, Clusters, ClustersQuery,
        DeleteQuery, HostInfo, Planned, Providers, ProvidersQuery, Scale, WAIT_LIMIT, WORKERS_PAGE,
        WORKERS_PAGE_LIMIT, WorkerPage, WorkersQuery,
    },
};

/// The largest body, in bytes, of all routes that take no configuration.
const BODY_LIMIT: usize = 64 << 10;
/// The largest body, in bytes, that says what a launch created.
const RESOLVE_LIMIT: usize = 4 << 20;
/// The largest configuration, in bytes.
pub(crate) const CONFIG_LIMIT: usize = 64 << 20;
/// The most configurations that are read, planned or applied at once; who comes later is told to come again.
const CONFIGS_AT_ONCE: usize = 8;
/// How long a request may take: longer than the longest wait for news.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);
/// How long an update waits until the provider has told fresh statuses.
const LOOK_LIMIT: Duration = Duration::from_secs(30);
/// How long a request waits until a configuration is applied. Making providers may take long.
pub(crate) const APPLY_LIMIT: Duration = Duration::from_mins(15);

/// What every handler may use.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) host: Arc<Host>,
    /// Since when the host has been listening, wherever it does.
    pub(crate) since: Instant,
    configs: Arc<Semaphore>,
    /// Cancelled when the server closes: nobody waits for news any longer.
    closing: CancellationToken,
}

impl Desk {
    pub(crate) fn new(host: Arc<Host>, since: Instant, closing: CancellationToken) -> Self {
        Self { host, since, configs: Arc::new(Semaphore::new(CONFIGS_AT_ONCE)), closing }
    }
}

pub(crate) type Answer<T> = Result<Json<T>, Problem>;

/// All routes.
pub(crate) fn router(desk: Desk) -> Router {
    let quick = Router::new()
        .route("/v1/host", get(host_info))
        .route("/v1/clusters", get(clusters))
        .route("/v1/clusters/{name}", get(cluster).delete(delete))
        .route("/v1/clusters/{name}/workers", get(workers))
        .route("/v1/clusters/{name}/scale", post(scale))
        .route("/v1/clusters/{name}/start", post(start))
        .route("/v1/clusters/{name}/stop", post(stop))
        .route("/v1/clusters/{name}/update", post(update))
        .route("/v1/clusters/{name}/history", get(history))
        .route("/v1/clusters/{name}/resolve", post(resolve).layer(DefaultBodyLimit::max(RESOLVE_LIMIT)))
        .route("/v1/clusters/{name}/server", get(server))
        .route("/v1/providers", get(providers))
        .route("/v1/plugins", get(plugins).post(add_plugin))
        .route("/v1/plugins/release", post(release))
        .route("/v1/plugins/{plugin}", delete_route(remove_plugin))
        .route("/v1/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(|request: Request, next: Next| within(REQUEST_LIMIT, request, next)));
    let slow = Router::new()
        .route("/v1/apply", post(apply))
        .route("/v1/plan", post(plan))
        .route("/v1/clusters/{name}/reconnect", post(reconnect))
        .route("/v1/clusters/{name}/cleanup", post(clean_up))
        .route("/v1/providers/{name}/swap", post(swap))
        .route("/v1/providers/{name}/rollback", post(rollback))
        .layer(DefaultBodyLimit::max(CONFIG_LIMIT))
        .layer(middleware::from_fn(|request: Request, next: Next| within(APPLY_LIMIT, request, next)));
    with_fallbacks(Router::new().merge(quick).merge(slow), desk)
}

/// The figures alone, which change nothing, for those who may see no more; also where Prometheus looks unless it is told otherwise.
pub(crate) fn metrics_router(desk: Desk) -> Router {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/metrics", get(metrics))
        .layer(middleware::from_fn(|request: Request, next: Next| within(REQUEST_LIMIT, request, next)));
    with_fallbacks(routes, desk)
}

fn with_fallbacks(routes: Router<Desk>, desk: Desk) -> Router {
    routes
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(desk)
}

async fn within(limit: Duration, request: Request, next: Next) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let text = format!(
            "{what} took longer than {} s; what it began goes on: ask for the status",
            limit.as_secs()
        );
        Problem::new(ProblemKind::Timeout, text).into_response()
    })
}

async fn no_such_route(uri: Uri) -> Problem {
    let text = format_args!("there is no route {}; the routes begin with /v1/", uri.path()).to_string();
    Problem::new(ProblemKind::NoSuchRoute, text)
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(ProblemKind::WrongMethod, format!("{} does not take {method}", uri.path()))
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over like this")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no more is known");
    tracing::error!("a request's handler panicked: {text}");
    Problem::new(ProblemKind::Internal, "the host failed in the middle of this request; its log says more")
        .into_response()
}

async fn host_info(State(desk): State<Desk>) -> Json<HostInfo> {
    Json(HostInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: u64::try_from(desk.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        plugin_folders: folders(&desk.host),
    })
}

fn folders(host: &Host) -> Vec<String> {
    host.search_path().folders().iter().map(|folder| folder.display().to_string()).collect()
}

async fn apply(State(desk): State<Desk>, text: Text) -> Answer<Applied> {
    with_config(&desk, text, apply_config).await
}

/// Applies a configuration as the socket's route does: the answer also says which generations to wait for.
///
/// # Errors
///
/// As [`Host::apply`].
pub async fn apply_config(host: Arc<Host>, config: Config) -> Result<Applied, ApplyError> {
    let done = host.apply(config).await?;
    let providers = done.providers.into_iter().map(|(name, effect)| AppliedProvider { name, effect });
    let mut applied = Applied { providers: providers.collect(), clusters: Vec::new() };
    for (name, effect) in done.clusters {
        // Of a cluster that was deleted meanwhile nothing is left to come about.
        let generation = host.status(&name).await.map_or(0, |status| status.generation);
        applied.clusters.push(AppliedCluster { name, effect, generation });
    }
    Ok(applied)
}

async fn plan(State(desk): State<Desk>, text: Text) -> Answer<Planned> {
    with_config(&desk, text, planned).await
}

async fn planned(host: Arc<Host>, config: Config) -> Result<Planned, ApplyError> {
    Ok(Planned { clusters: host.plan(config).await? })
}

/// Reads a configuration and works on it, in a task of its own: whoever asked may go away, and nothing is left half done.
async fn with_config<T: Send + 'static, W>(
    desk: &Desk,
    Text(text): Text,
    work: impl FnOnce(Arc<Host>, Config) -> W + Send + 'static,
) -> Answer<T>
where
    W: Future<Output = Result<T, ApplyError>> + Send + 'static,
{
    let permit = permit(desk)?;
    let config = Config::from_json(&text)?;
    to_its_end(work(Arc::clone(&desk.host), config), permit).await
}

/// The right to work on a configuration.
pub(crate) fn permit(desk: &Desk) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&desk.configs).try_acquire_owned().map_err(|_| {
        let text = format!("{CONFIGS_AT_ONCE} configurations are being worked on already; try again later");
        Problem::new(ProblemKind::Busy, text)
    })
}

/// Does work in a task of its own, with the right to do it.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApplyError>> + Send + 'static,
    permit: OwnedSemaphorePermit,
) -> Answer<T> {
    let task = tokio::spawn(async move {
        let outcome = work.await;
        drop(permit);
        outcome
    });
    match task.await {
        Ok(outcome) => Ok(Json(outcome?)),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Problem::new(ProblemKind::ShuttingDown, "the host is shutting down")),
    }
}

async fn clusters(State(desk): State<Desk>, Params(query): Params<ClustersQuery>) -> Answer<Clusters> {
    let mut versions = desk.host.version();
    if let Some(after) = query.after {
        let wait = Duration::from_millis(query.wait_ms.unwrap_or(0)).min(WAIT_LIMIT);
        tokio::select! {
            // A version that is another already is news, too: the host may have begun anew.
            _ = versions.wait_for(|version| *version != after) => {}
            () = sleep(wait) => {}
            () = desk.closing.cancelled() => {}
        }
    }
    // The version first: what changes in between is told once more rather than never.
    let version = *versions.borrow();
    let mut clusters = desk.host.clusters();
    if let Some(name) = &query.name {
        clusters.retain(|cluster| cluster.name == *name);
        if clusters.is_empty() {
            // The error knows the nearest name.
            desk.host.status(name).await?;
        }
    }
    Ok(Json(Clusters { version, clusters }))
}

async fn cluster(State(desk): State<Desk>, Name(name): Name) -> Answer<ClusterStatus> {
    Ok(Json(desk.host.status(&name).await?))
}

async fn workers(
    State(desk): State<Desk>,
    Name(name): Name,
    Params(query): Params<WorkersQuery>,
) -> Answer<WorkerPage> {
    let limit = query.limit.unwrap_or(WORKERS_PAGE);
    if !(1..=WORKERS_PAGE_LIMIT).contains(&limit) {
        let text = format!("`limit` must be from 1 to {WORKERS_PAGE_LIMIT}, not {limit}");
        return Err(Problem::new(ProblemKind::BadRequest, text));
    }
    Ok(Json(desk.host.workers(&name, query.offset.unwrap_or(0), limit).await?))
}

pub(crate) async fn command(desk: &Desk, cluster: String, command: Command) -> Answer<Admitted> {
    let generation = desk.host.command(&cluster, command).await?;
    Ok(Json(Admitted { cluster, generation }))
}

async fn scale(
    State(desk): State<Desk>,
    Name(name): Name,
    Document(scale): Document<Scale>,
) -> Answer<Admitted> {
    command(&desk, name, Command::Scale { expected: scale.workers }).await
}

async fn start(State(desk): State<Desk>, Name(name): Name) -> Answer<Admitted> {
    command(&desk, name, Command::Start).await
}

async fn stop(State(desk): State<Desk>, Name(name): Name) -> Answer<Admitted> {
    command(&desk, name, Command::Stop).await
}

async fn update(State(desk): State<Desk>, Name(name): Name) -> Answer<Admitted> {
    let admitted = command(&desk, name.clone(), Command::Refresh).await?;
    // Whether the look succeeds or is over by then, the status tells.
    let _ = timeout(LOOK_LIMIT, desk.host.fresh_status(&name)).await;
    Ok(admitted)
}

async fn delete(
    State(desk): State<Desk>,
    Name(name): Name,
    Params(query): Params<DeleteQuery>,
) -> Answer<Admitted> {
    command(&desk, name, Command::Delete { force: query.force }).await
}

async fn providers(
    State(desk): State<Desk>,
    Params(ProvidersQuery { runners }): Params<ProvidersQuery>,
) -> Json<Providers> {
    let host = &desk.host;
    let providers = if runners { host.providers_with_runners().await } else { host.providers() };
    Json(Providers { providers })
}
