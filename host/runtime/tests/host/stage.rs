//! A cluster on the provider of `fixtures/stage.rs`, whose backend is a folder: a test sees what was done, ends the server
//! and the workers, and says how the server is.

use std::{fs, path::Path};

use longshore_config::Config;
use longshore_runtime::Host;
use longshore_support::fixture;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

/// What a worker is told of its server, and of itself.
pub(crate) const TOLD: &str =
    "args = [\"${server.host}:${server.port}\", \"${server.password}\", \"${worker.count}\"]";
/// A server that its provider alone tells of.
pub(crate) const BY_STATUS: &str = "probe = \"status\"\nport = 7000";

/// The folder, and the configurations that lead to it.
pub(crate) struct Stage {
    folder: TempDir,
    flags: &'static [&'static str],
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::with_prefix("longshore-stage-").expect("a temporary folder"), flags: &[] }
    }

    /// One whose provider has neither a server nor a cleanup.
    pub(crate) fn serverless() -> Self {
        Self { flags: &["--cfg=serverless"], ..Self::new() }
    }

    /// The cluster `web`, looked after without rest. `server` is what `[cluster.server]` says, where there is one, and
    /// `container` what `[cluster.container]` does.
    pub(crate) fn web(&self, workers: u32, server: Option<&str>, container: &str) -> Config {
        self.cluster("web", workers, server, container)
    }

    pub(crate) fn cluster(&self, name: &str, workers: u32, server: Option<&str>, container: &str) -> Config {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stage.rs");
        let (plugin, folder) = (fixture(&source, self.flags), self.folder.path());
        let server = server.map(|server| format!("[cluster.server]\n{server}\n")).unwrap_or_default();
        let text = format!(
            "[[provider]]\nname = \"{name}-stage\"\nplugin = '{}'\nconfig = {{ folder = '{}' }}\n\
             [[cluster]]\nname = \"{name}\"\nprovider = \"{name}-stage\"\nworkers = {workers}\n\
             [cluster.scaling]\npoll_interval = \"20ms\"\nbusy_poll_interval = \"10ms\"\nlist_interval = \"100ms\"\n\
             backoff = \"10ms\"\nbackoff_max = \"50ms\"\n\
             {server}[cluster.container]\n{container}\n",
            plugin.display(),
            folder.display(),
        );
        Config::parse(&text, Path::new("web.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// What was done so far, a line each.
    pub(crate) fn said(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often something was done.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.said().iter().filter(|line| line.split([' ', ':']).next() == Some(what)).count()
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file in a folder of our own");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    /// The handles of the containers that live.
    pub(crate) fn workers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("workers")).expect("the provider has made it");
        let names = entries.map(|entry| entry.expect("it can be read").file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().expect("a handle is text")).collect();
        names.sort();
        names
    }
}

/// The handles of a cluster, as the host knows them.
pub(crate) async fn handles(host: &Host) -> Vec<String> {
    let page = host.workers("web", 0, 1_000).await.expect("the cluster is there");
    let mut handles: Vec<_> = page.workers.into_iter().map(|worker| worker.handle).collect();
    handles.sort();
    handles
}

/// Something that listens, and takes every connection, until it is dropped.
pub(crate) struct Listening {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Listening {
    pub(crate) async fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let take_all = async move {
            loop {
                // Who connects is let go at once.
                drop(listener.accept().await);
            }
        };
        Self { port, task: tokio::spawn(take_all) }
    }

    /// Listens no more; the port is free when this returns.
    pub(crate) async fn end(mut self) -> u16 {
        self.task.abort();
        // It was told to end.
        let _ = (&mut self.task).await;
        self.port
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
