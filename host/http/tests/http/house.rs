//! A host that serves, and ways to talk to it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use longshore_config::Config;
use longshore_http::{Client, Socket, serve};
use longshore_providers::{SearchPath, Shelf};
use longshore_runtime::{Host, Leaving, Plugins};
use longshore_store::SqliteJournal;
use longshore_support::{PATIENCE, library};
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

/// A host behind its socket.
pub(crate) struct House {
    /// Holds the socket and the shelf.
    temp: TempDir,
    pub(crate) host: Arc<Host>,
    pub(crate) client: Client,
    http: reqwest::Client,
    close: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

/// An answer, not looked into any further.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) json: Value,
}

impl House {
    /// A host without clusters.
    pub(crate) async fn empty() -> Self {
        Self::on(Arc::new(SqliteJournal::in_memory())).await
    }

    /// A host with what a journal has.
    pub(crate) async fn on(journal: Arc<SqliteJournal>) -> Self {
        let temp = TempDir::with_prefix("longshore-").expect("a temporary folder");
        let folder = library("longshore-memory").parent().expect("it is in a folder").to_owned();
        let shelf = Some(Arc::new(Shelf::new(temp.path().join("shelf"))));
        let plugins = Plugins { shelf, ..SearchPath::of([folder]).into() };
        let host = Host::open(plugins, journal).await.expect("the journal is sound");
        let host = Arc::new(host);
        let path = temp.path().join("host.sock");
        let socket = Socket::bind(&path).await.expect("a free place");
        let client = Client::new(&path).expect("a good path");
        let http = reqwest::Client::builder().unix_socket(&*path).build().expect("a client");
        let (close, closed) = oneshot::channel::<()>();
        let closed = async {
            let _ = closed.await;
        };
        let server = Some(tokio::spawn(serve(Arc::clone(&host), socket, Instant::now(), closed)));
        Self { temp, host, client, http, close: Some(close), server }
    }

    /// A host with the cluster `web` of three workers, ten at most.
    pub(crate) async fn with_web() -> Self {
        let house = Self::empty().await;
        house.client.apply(&web(3)).await.expect("a good configuration");
        house
    }

    /// Sends whatever it is given. The answer must be JSON.
    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.request(method, format!("http://host{path}")).body(body);
        let response = timeout(PATIENCE, request.send()).await.expect("in time").expect("an answer");
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).cloned();
        assert_eq!(kind.as_ref().map(HeaderValue::as_bytes), Some(&b"application/json"[..]), "{path}");
        Answer { status, json: response.json().await.expect("JSON") }
    }

    /// Asks for something that is not JSON.
    pub(crate) async fn get(&self, path: &str, accept: &'static str) -> reqwest::Response {
        let request = self.http.get(format!("http://host{path}")).header(ACCEPT, accept);
        timeout(PATIENCE, request.send()).await.expect("in time").expect("an answer")
    }

    /// The folder of the plugins that the host keeps.
    pub(crate) fn shelf(&self) -> PathBuf {
        self.temp.path().join("shelf")
    }

    pub(crate) fn socket(&self) -> &Path {
        self.client.socket()
    }

    /// Tells the server to close, without waiting for it.
    pub(crate) fn close(&mut self) {
        drop(self.close.take());
    }

    /// Waits until the server has closed.
    pub(crate) async fn closed(&mut self) {
        let server = self.server.take().expect("it is waited for once");
        timeout(PATIENCE, server).await.expect("in time").expect("it does not panic");
    }

    /// Waits until a cluster is as asked.
    pub(crate) async fn until_converged(&self, name: &str) {
        let mut version = self.host.version();
        let converged = async {
            while !self.host.status(name).await.expect("the cluster").converged {
                version.changed().await.expect("the host lives");
            }
        };
        timeout(PATIENCE, converged).await.expect("in time");
    }

    /// Ends everything.
    pub(crate) async fn end(mut self) {
        self.close();
        self.closed().await;
        self.host.shut_down(Leaving::Workers).await;
    }
}

/// The cluster `web` with so many workers, ten at most.
pub(crate) fn web(workers: u32) -> Config {
    let text = format!(
        "[[provider]]\nname = \"memory\"\n[[cluster]]\nname = \"web\"\nprovider = \"memory\"\nworkers = {workers}\nmax = 10\n"
    );
    Config::parse(&text, Path::new("web.toml")).expect("a good configuration")
}
