//! A container engine for tests: finding one, images from files of this machine, containers by their labels. What a test needs
//! beyond that it asks of the client itself. An engine that does not do what it is asked fails the test.

mod closure;
mod recipe;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    path::{Path, PathBuf},
};

use bollard::{
    API_DEFAULT_VERSION, Docker, body_full,
    errors::Error,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        ImportImageOptions, ListContainersOptions, LogsOptions, RemoveContainerOptions, RemoveImageOptions,
        WaitContainerOptions,
    },
};
use futures_util::TryStreamExt as _;
use tokio::runtime::Runtime;

pub use recipe::{IMAGES, Recipe};

use crate::{Dockerd, Missing, Podman, or_skip, socket};

/// How long an engine may take for one answer: in seconds.
const ANSWER_SECONDS: u64 = 120;

/// A connection to a container engine that answers.
#[derive(Debug)]
pub struct Engine {
    socket: PathBuf,
    docker: Docker,
    runtime: Runtime,
    has_bridge: bool,
}

/// A container that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The engine's name for it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What the engine says of it: `created`, `running`, `exited`.
    pub state: String,
    /// Its labels, those of its image included.
    pub labels: BTreeMap<String, String>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: i64,
    /// All that it has written.
    pub output: String,
}

impl Engine {
    /// The engine of this machine, or of `cargo xtask test`.
    pub fn get() -> Result<Self, Missing> {
        Self::at(&socket::engine()?)
    }

    /// The engine of this machine; without one, the test of that name is skipped.
    #[track_caller]
    pub fn or_skip(test: &str) -> Option<Self> {
        or_skip(test, Self::get())
    }

    /// Podman's service of `cargo xtask test`; without one, the test of that name is skipped.
    #[track_caller]
    pub fn podman_or_skip(test: &str) -> Option<Self> {
        or_skip(test, socket::podman().and_then(|socket| Self::at(&socket)))
    }

    /// The engine that listens there.
    pub fn at(socket: &Path) -> Result<Self, Missing> {
        let url = socket::url(socket);
        let missing = |error: &dyn std::error::Error| {
            Missing::new(format!("no engine can be talked to at {url}: {error}"))
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| missing(&error))?;
        let docker = runtime.block_on(async {
            Docker::connect_with_unix(&url, ANSWER_SECONDS, API_DEFAULT_VERSION)?.negotiate_version().await
        });
        let docker = docker.map_err(|error| missing(&error))?;
        let networks = runtime.block_on(docker.list_networks(None)).map_err(|error| missing(&error))?;
        let has_bridge = networks.iter().any(|network| network.driver.as_deref() == Some("bridge"));
        Ok(Self { socket: socket.to_owned(), docker, runtime, has_bridge })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where it listens, as `DOCKER_HOST` has it.
    pub fn url(&self) -> String {
        socket::url(&self.socket)
    }

    /// The network for containers that are to be reached: `bridge`, or `host` where the engine could make no bridge.
    pub fn network(&self) -> &'static str {
        if self.has_bridge { "bridge" } else { "host" }
    }

    /// The client, for whatever else a test needs.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Waits for what the client was asked.
    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// The name of an image with a shell and the usual small programs.
    pub fn shell_image(&self) -> Result<String, Missing> {
        Ok(self.image(&Recipe::new("shell").shell()?))
    }

    /// The name of an image with this machine's `redis-server` and `redis-cli`, and a shell.
    pub fn redis_image(&self) -> Result<String, Missing> {
        let recipe = Recipe::new("redis").shell()?.program("redis-server")?.program("redis-cli")?;
        Ok(self.image(&recipe))
    }

    /// The name of an image that is made like this; it is made once, and kept.
    pub fn image(&self, recipe: &Recipe) -> String {
        let (tag, archive) = recipe.archive();
        match self.wait(self.docker.inspect_image(&tag)) {
            Ok(_) => return tag,
            Err(error) if is_unknown(&error) => {}
            Err(error) => panic!("{} cannot look for {tag}: {error}", self.url()),
        }
        let options = ImportImageOptions { quiet: true, ..Default::default() };
        let load = self.docker.import_image(options, body_full(archive.into()), None);
        let said: Vec<_> = self
            .wait(load.try_collect())
            .unwrap_or_else(|error| panic!("{} cannot make {tag}: {error}", self.url()));
        let found = self.wait(self.docker.inspect_image(&tag));
        found.unwrap_or_else(|error| panic!("{} has made no {tag}: {error}; it said {said:?}", self.url()));
        tag
    }

    /// Removes an image that a test made and nobody else needs.
    pub fn remove_image(&self, name: &str) {
        let removed = self.wait(self.docker.remove_image(name, None::<RemoveImageOptions>, None));
        removed.unwrap_or_else(|error| panic!("{name} cannot be removed: {error}"));
    }

    /// Runs a command in a container to its end, with these labels, and removes the container.
    pub fn run(&self, image: &str, command: &[&str], labels: &[(&str, &str)]) -> Ended {
        let id = self.start(image, command, labels);
        let end: Result<Vec<_>, _> =
            self.wait(self.docker.wait_container(&id, None::<WaitContainerOptions>).try_collect());
        let code = match end {
            Ok(ends) => ends.first().map_or(0, |end| end.status_code),
            Err(Error::DockerContainerWaitError { code, .. }) => code,
            Err(error) => panic!("{} cannot wait for {image}: {error}", self.url()),
        };
        let output = self.output(&id);
        self.remove(&id);
        Ended { code, output }
    }

    /// Starts a command in a container with these labels, and returns its id. It is on the network of [`Engine::network`].
    pub fn start(&self, image: &str, command: &[&str], labels: &[(&str, &str)]) -> String {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
            labels: Some(labels.collect()),
            host_config: Some(HostConfig {
                network_mode: Some(self.network().to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let started = self.wait(async {
            let id = self.docker.create_container(None, body).await?.id;
            if let Err(error) = self.docker.start_container(&id, None).await {
                // Nobody would find it.
                let _ = self.docker.remove_container(&id, None).await;
                return Err(error);
            }
            Ok(id)
        });
        started.unwrap_or_else(|error| panic!("{} cannot run {command:?} in {image}: {error}", self.url()))
    }

    /// All that a container has written.
    pub fn output(&self, id: &str) -> String {
        let options = LogsOptions { stdout: true, stderr: true, ..Default::default() };
        let lines: Result<Vec<_>, _> = self.wait(self.docker.logs(id, Some(options)).try_collect());
        let lines =
            lines.unwrap_or_else(|error| panic!("{} cannot show what {id} wrote: {error}", self.url()));
        lines.iter().map(ToString::to_string).collect()
    }

    /// A container's address on the engine's networks; none where it is on the machine's own, or is not running.
    pub fn address(&self, id: &str) -> Option<String> {
        let found = self.wait(self.docker.inspect_container(id, None));
        let found = found.unwrap_or_else(|error| panic!("{} knows no {id}: {error}", self.url()));
        let networks = found.network_settings?.networks?;
        networks.into_values().filter_map(|network| network.ip_address).find(|address| !address.is_empty())
    }

    /// The containers that have a label, `name` or `name=value`, those that have ended too, sorted by name.
    pub fn containers(&self, label: &str) -> Vec<Container> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let found = self.wait(self.docker.list_containers(Some(options)));
        let found = found.unwrap_or_else(|error| panic!("{} lists no containers: {error}", self.url()));
        let mut found: Vec<_> = found
            .into_iter()
            .map(|container| Container {
                id: container.id.unwrap_or_default(),
                name: container
                    .names
                    .into_iter()
                    .flatten()
                    .next()
                    .unwrap_or_default()
                    .trim_start_matches('/')
                    .to_owned(),
                state: container.state.map(|state| state.to_string()).unwrap_or_default(),
                labels: container.labels.unwrap_or_default().into_iter().collect(),
            })
            .collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    /// Removes a container, as it is; one that there is not needs no removing.
    pub fn remove(&self, id: &str) {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match self.wait(self.docker.remove_container(id, Some(options))) {
            Ok(()) => {}
            Err(error) if is_unknown(&error) || is_being_removed(&error) => {}
            Err(error) => panic!("{} cannot remove {id}: {error}", self.url()),
        }
    }

    /// Removes all containers with a label when it is dropped, also when the test panics.
    pub fn sweep<'a>(&'a self, label: &str) -> Sweep<'a> {
        Sweep { engine: self, label: label.to_owned() }
    }
}

fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Another has begun to remove it.
fn is_being_removed(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 409, message } if message.contains("already in progress"))
}

/// Removes containers at its end.
#[derive(Debug)]
#[must_use = "it removes containers when it is dropped"]
pub struct Sweep<'a> {
    engine: &'a Engine,
    label: String,
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        // An engine that the test has ended keeps no containers; a panic in a panic would hide the first.
        if socket::answers(&self.engine.socket).is_err() {
            return;
        }
        for container in self.engine.containers(&self.label) {
            self.engine.remove(&container.id);
        }
    }
}

impl Dockerd {
    /// A connection to this engine.
    pub fn engine(&self) -> Engine {
        Engine::at(self.socket()).unwrap_or_else(|why| panic!("{why}"))
    }
}

impl Podman {
    /// A connection to this service.
    pub fn engine(&self) -> Engine {
        Engine::at(self.socket()).unwrap_or_else(|why| panic!("{why}"))
    }
}
