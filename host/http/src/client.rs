//! A typed client of a host: one function a route. Its errors tell a host that is not there from one that refuses, one that
//! cannot be understood and one that does not answer.

use std::{
    error::Error as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use longshore_config::{Config, is_name};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{
    problem::{Problem, ProblemKind, full},
    routes::APPLY_LIMIT,
    socket::{self, SocketError},
    wire::{
        AddPlugin, AddedPlugin, Admitted, Applied, CleanUpQuery, CleanedUp, ClusterStatus, Clusters,
        ClustersQuery, DeleteQuery, ErrorBody, HISTORY_PAGE_LIMIT, HistoryPage, HistoryQuery, HostInfo,
        Planned, PluginList, Providers, ProvidersQuery, Reconnect, Reconnecting, Release, Released,
        RemovedPlugin, Resolve, Scale, ServerDetails, ServerQuery, Swap, SwapOutcome, WAIT_LIMIT,
        WORKERS_PAGE_LIMIT, WorkerPage, WorkerView, WorkersQuery,
    },
};

/// How long a host may take to answer, beyond what the request itself lets it wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(75);
/// What a request lets the host wait that asks for something at once.
const NO_WAIT: Duration = Duration::ZERO;
/// How long the system may take to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request; shorter than a host keeps it.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const ANSWER_SIZE: usize = 256 << 20;
/// How much of an answer that is not understood is shown, in characters.
const EXCERPT: usize = 200;

/// Why a request has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The socket's path cannot be used.
    #[error(transparent)]
    Path(#[from] SocketError),
    /// Nobody listens there.
    #[error(
        "no host listens at {}: start one with `longshore serve` or `longshore up FILE`, or name its socket with --socket",
        socket.display()
    )]
    NoHost {
        /// Where.
        socket: PathBuf,
    },
    /// The socket cannot be used.
    #[error("cannot connect to the host at {}", socket.display())]
    Unreachable {
        /// Where.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host refused.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// The connection broke, as when the host ends in the middle of a request.
    #[error("the host at {} went away before it answered: {reason}", socket.display())]
    Lost {
        /// Where.
        socket: PathBuf,
        /// Why.
        reason: String,
    },
    /// What came is not an answer of a host of this version.
    #[error("what listens at {} gave an answer that is not understood: {reason}; is it a Longshore host of another version?", socket.display())]
    Broken {
        /// Where.
        socket: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It took too long.
    #[error(
        "the host at {} did not answer within {} s; what it was asked for may still come about",
        socket.display(), after.as_secs()
    )]
    TimedOut {
        /// Where.
        socket: PathBuf,
        /// How long it was given.
        after: Duration,
    },
}

/// A client of the host at one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    http: reqwest::Client,
    patience: Duration,
}

impl Client {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The path cannot be that of a socket, or the socket's folder is another user's.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        socket::check(socket)?;
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(IDLE_LIMIT)
            .build()
            .map_err(|error| ClientError::Unreachable {
                socket: socket.to_owned(),
                source: io::Error::other(full(&error)),
            })?;
        Ok(Self { socket: socket.to_owned(), http, patience: ANSWER_LIMIT })
    }

    /// The same, with another limit on how long a host may take to answer beyond what the request lets it wait; 75 seconds
    /// unless it is set.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The host's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks the host about itself.
    ///
    /// # Errors
    ///
    /// [`ClientError`], as all functions of the client.
    pub async fn host(&self) -> Result<HostInfo, ClientError> {
        self.send(self.request(Method::GET, "/v1/host"), NO_WAIT).await
    }

    /// Makes providers and clusters as a configuration says.
    pub async fn apply(&self, config: &Config) -> Result<Applied, ClientError> {
        self.send(self.request(Method::POST, "/v1/apply").json(config), APPLY_LIMIT).await
    }

    /// Asks what a configuration would do.
    pub async fn plan(&self, config: &Config) -> Result<Planned, ClientError> {
        self.send(self.request(Method::POST, "/v1/plan").json(config), APPLY_LIMIT).await
    }

    /// Asks how clusters are, or waits for news of them.
    pub async fn clusters(&self, query: &ClustersQuery) -> Result<Clusters, ClientError> {
        if let Some(name) = &query.name {
            check_name(name)?;
        }
        self.send(self.request(Method::GET, "/v1/clusters").query(query), WAIT_LIMIT).await
    }

    /// Asks how one cluster is right now.
    pub async fn cluster(&self, name: &str) -> Result<ClusterStatus, ClientError> {
        self.send(self.of_cluster(Method::GET, name, "")?, NO_WAIT).await
    }

    /// Asks for a page of a cluster's containers.
    pub async fn workers(&self, name: &str, query: WorkersQuery) -> Result<WorkerPage, ClientError> {
        self.send(self.of_cluster(Method::GET, name, "/workers")?.query(&query), NO_WAIT).await
    }

    /// Asks for a cluster's containers, page by page, up to `most` of them.
    pub async fn all_workers(&self, name: &str, most: usize) -> Result<WorkerPage, ClientError> {
        let mut all: Vec<WorkerView> = Vec::new();
        loop {
            let limit = WORKERS_PAGE_LIMIT.min(most - all.len()).max(1);
            let query = WorkersQuery { offset: Some(all.len()), limit: Some(limit) };
            let page = self.workers(name, query).await?;
            let last = page.workers.is_empty();
            all.extend(page.workers);
            if last || all.len() >= most || all.len() >= page.total {
                all.truncate(most);
                return Ok(WorkerPage { workers: all, total: page.total });
            }
        }
    }

    /// Asks for a page of a cluster's history.
    pub async fn history(&self, name: &str, query: HistoryQuery) -> Result<HistoryPage, ClientError> {
        self.send(self.of_cluster(Method::GET, name, "/history")?.query(&query), NO_WAIT).await
    }

    /// Asks for the latest entries of a cluster's history before a number, page by page, up to `most` of them; oldest first.
    pub async fn all_history(
        &self,
        name: &str,
        mut before: Option<u64>,
        most: usize,
    ) -> Result<HistoryPage, ClientError> {
        let mut pages = Vec::new();
        let mut missing = most;
        while missing > 0 {
            let limit = HISTORY_PAGE_LIMIT.min(missing);
            let page = self.history(name, HistoryQuery { before, limit: Some(limit) }).await?.entries;
            let Some(first) = page.first() else { break };
            before = Some(first.entry.number);
            missing = missing.saturating_sub(page.len());
            pages.push(page);
        }
        Ok(HistoryPage { entries: pages.into_iter().rev().flatten().collect() })
    }

    /// Says what a launch of unknown fate created.
    pub async fn resolve(&self, name: &str, resolve: &Resolve) -> Result<Admitted, ClientError> {
        self.send(self.of_cluster(Method::POST, name, "/resolve")?.json(resolve), NO_WAIT).await
    }

    /// Asks for a cluster to be taken over as it runs; with its configuration, where the host does not have it.
    pub async fn reconnect(&self, name: &str, config: Option<Config>) -> Result<Reconnecting, ClientError> {
        let request = self.of_cluster(Method::POST, name, "/reconnect")?.json(&Reconnect { config });
        self.send(request, APPLY_LIMIT).await
    }

    /// Asks for another number of workers.
    pub async fn scale(&self, name: &str, workers: u32) -> Result<Admitted, ClientError> {
        self.send(self.of_cluster(Method::POST, name, "/scale")?.json(&Scale { workers }), NO_WAIT).await
    }

    /// Asks for the expected number of workers to run.
    pub async fn start(&self, name: &str) -> Result<Admitted, ClientError> {
        self.send(self.of_cluster(Method::POST, name, "/start")?, NO_WAIT).await
    }

    /// Asks for all workers to be stopped, and the expected number to be remembered.
    pub async fn stop(&self, name: &str) -> Result<Admitted, ClientError> {
        self.send(self.of_cluster(Method::POST, name, "/stop")?, NO_WAIT).await
    }

    /// Asks for fresh statuses.
    pub async fn update(&self, name: &str) -> Result<Admitted, ClientError> {
        self.send(self.of_cluster(Method::POST, name, "/update")?, NO_WAIT).await
    }

    /// Asks for a cluster's server; with `password`, for its password as well.
    pub async fn server(&self, name: &str, password: bool) -> Result<ServerDetails, ClientError> {
        self.send(self.of_cluster(Method::GET, name, "/server")?.query(&ServerQuery { password }), NO_WAIT)
            .await
    }

    /// Asks for what a cluster's stopped workers left behind to be removed; with `deep`, more of it.
    pub async fn clean_up(&self, name: &str, deep: bool) -> Result<CleanedUp, ClientError> {
        let request = self.of_cluster(Method::POST, name, "/cleanup")?.query(&CleanUpQuery { deep });
        self.send(request, APPLY_LIMIT).await
    }

    /// Asks for a cluster to go; with `force`, at once and with workers that may still be alive.
    pub async fn delete(&self, name: &str, force: bool) -> Result<Admitted, ClientError> {
        let request = self.of_cluster(Method::DELETE, name, "")?.query(&DeleteQuery { force });
        self.send(request, NO_WAIT).await
    }

    /// Asks how providers are.
    pub async fn providers(&self) -> Result<Providers, ClientError> {
        self.send(self.request(Method::GET, "/v1/providers"), NO_WAIT).await
    }

    /// Asks how providers are, what their processes say of their calls, and what these take of the machine.
    pub async fn providers_with_runners(&self) -> Result<Providers, ClientError> {
        let query = ProvidersQuery { runners: true };
        self.send(self.request(Method::GET, "/v1/providers").query(&query), NO_WAIT).await
    }

    /// Asks for the host's figures, in the text format of Prometheus.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let body = self.ask(self.request(Method::GET, "/v1/metrics"), NO_WAIT).await?;
        String::from_utf8(body).map_err(|error| self.broken(&error, error.as_bytes()))
    }

    /// Asks for a provider to be swapped to another version of its plugin.
    pub async fn swap(&self, provider: &str, swap: &Swap) -> Result<SwapOutcome, ClientError> {
        self.send(self.of_provider(provider, "/swap")?.json(swap), APPLY_LIMIT).await
    }

    /// Asks for a provider to go back to the version before.
    pub async fn rollback(&self, provider: &str) -> Result<SwapOutcome, ClientError> {
        self.send(self.of_provider(provider, "/rollback")?, APPLY_LIMIT).await
    }

    /// Asks which plugins the host finds.
    pub async fn plugins(&self) -> Result<PluginList, ClientError> {
        self.send(self.request(Method::GET, "/v1/plugins"), NO_WAIT).await
    }

    /// Asks for a plugin to be put on the shelf.
    pub async fn add_plugin(&self, plugin: &AddPlugin) -> Result<AddedPlugin, ClientError> {
        self.send(self.request(Method::POST, "/v1/plugins").json(plugin), NO_WAIT).await
    }

    /// Asks for a plugin to be taken off the shelf: by its name, `NAME@VERSION`, or its hash.
    pub async fn remove_plugin(&self, plugin: &str) -> Result<RemovedPlugin, ClientError> {
        // What cannot be one of these is no part of a path either.
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "@-.+_".contains(c);
        if plugin.is_empty() || plugin.starts_with('.') || !plugin.chars().all(is_fit) {
            let text = format!(
                "the shelf has nothing called {plugin:?}: name a plugin as NAME, NAME@VERSION, or by its hash"
            );
            return Err(ClientError::Refused(Box::new(Problem::new(ProblemKind::PluginNotFound, text))));
        }
        self.send(self.request(Method::DELETE, &format!("/v1/plugins/{plugin}")), NO_WAIT).await
    }

    /// Asks for a library to be run again that is quarantined.
    pub async fn release(&self, library: &str) -> Result<Released, ClientError> {
        let release = Release { library: library.to_owned() };
        self.send(self.request(Method::POST, "/v1/plugins/release").json(&release), NO_WAIT).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // The socket decides who is asked; the name is there because HTTP wants one.
        self.http.request(method, format!("http://longshore{path}"))
    }

    fn of_cluster(&self, method: Method, name: &str, rest: &str) -> Result<RequestBuilder, ClientError> {
        check_name(name)?;
        Ok(self.request(method, &format!("/v1/clusters/{name}{rest}")))
    }

    fn of_provider(&self, name: &str, rest: &str) -> Result<RequestBuilder, ClientError> {
        if !is_name(name) {
            let problem =
                Problem::new(ProblemKind::NoSuchProvider, format_args!("there is no provider `{name}`"));
            return Err(ClientError::Refused(Box::new(problem)));
        }
        Ok(self.request(Method::POST, &format!("/v1/providers/{name}{rest}")))
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        waits: Duration,
    ) -> Result<T, ClientError> {
        let body = self.ask(request, waits).await?;
        serde_json::from_slice(&body).map_err(|error| self.broken(&error, &body))
    }

    /// The body of an answer, whatever it is.
    async fn ask(&self, request: RequestBuilder, waits: Duration) -> Result<Vec<u8>, ClientError> {
        let limit = waits + self.patience;
        let failed = |error: reqwest::Error| self.failed(&error, limit);
        let response = request.timeout(limit).send().await.map_err(failed)?;
        let status = response.status();
        let body = self.body(response, limit).await?;
        if status.is_success() {
            return Ok(body);
        }
        let problem = serde_json::from_slice::<ErrorBody>(&body);
        let problem = problem.map_err(|_| self.broken(&format_args!("status {status}"), &body))?;
        Err(ClientError::Refused(Box::new(problem.error)))
    }

    async fn body(&self, mut response: Response, limit: Duration) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error, limit))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_SIZE {
                return Err(self.broken(&"it is too large", &body[..0]));
            }
        }
        Ok(body)
    }

    fn broken(&self, reason: &dyn std::fmt::Display, body: &[u8]) -> ClientError {
        let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]);
        let excerpt: String = text.chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
        let excerpt = if excerpt.is_empty() { excerpt } else { format!(" in `{excerpt}`") };
        ClientError::Broken { socket: self.socket.clone(), reason: format!("{reason}{excerpt}") }
    }

    fn failed(&self, error: &reqwest::Error, limit: Duration) -> ClientError {
        let socket = self.socket.clone();
        if error.is_connect() {
            let source = io_error(error);
            return match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoHost { socket },
                _ => ClientError::Unreachable { socket, source },
            };
        }
        if error.is_timeout() {
            return ClientError::TimedOut { socket, after: limit };
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        ClientError::Lost { socket, reason: cause.to_string() }
    }
}

/// What the system said, somewhere below.
fn io_error(error: &reqwest::Error) -> io::Error {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<io::Error>() {
            let code = found.raw_os_error();
            return code.map_or_else(
                || io::Error::new(found.kind(), found.to_string()),
                io::Error::from_raw_os_error,
            );
        }
        source = cause.source();
    }
    io::Error::other(full(error))
}

/// What cannot be a name is no part of a path either.
fn check_name(name: &str) -> Result<(), ClientError> {
    if is_name(name) {
        return Ok(());
    }
    let text = format!(
        "there is no cluster {name:?}: names have 1 to 63 letters, digits, `-`, `_` or `.`, the first a letter or digit"
    );
    Err(ClientError::Refused(Box::new(Problem::new(ProblemKind::NoSuchCluster, text))))
}
