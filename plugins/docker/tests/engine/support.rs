//! A provider on an engine, and what the tests look at that engine with. Everything that a test makes is in a namespace of its
//! own, and is removed when the test ends.

use std::{
    collections::HashMap,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bollard::{
    models::ContainerInspectResponse,
    query_parameters::{ListNetworksOptions, ListVolumesOptions, RemoveVolumeOptions},
};
use longshore_docker::{Config, DockerContainers};
use longshore_plugin_api::{
    Container, Context, Error, Hardware, Killed, Launch, LaunchToken, List as _, ListedHandle, Log,
    Provider as _, RunRequest, WorkerStatus, testing,
};
use longshore_support::{Engine, until};
use serde_json::{Value, json};

/// The cluster of every test.
pub(crate) const CLUSTER: &str = "c1";
/// A worker that ends when it is asked to.
pub(crate) const MEEK: &str = "trap 'exit 0' TERM; sleep 3600 & wait";
/// A worker that does not.
pub(crate) const STUBBORN: &str = "trap '' TERM; while :; do sleep 1; done";

/// A provider in a namespace of its own.
pub(crate) struct House<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) namespace: String,
    pub(crate) image: String,
    settings: Value,
    provider: Option<DockerContainers>,
}

impl<'e> House<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Self {
        Self::with(engine, json!({}))
    }

    /// With settings beside the engine, the namespace and the network.
    pub(crate) fn with(engine: &'e Engine, settings: Value) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let image = engine.shell_image().expect("a shell is on every machine");
        let mut house = Self { engine, namespace, image, settings, provider: None };
        house.provider = Some(house.another());
        house
    }

    /// A second provider of the same settings.
    pub(crate) fn another(&self) -> DockerContainers {
        let usual = json!({
            "host": self.engine.url(), "namespace": self.namespace, "network": self.engine.network(), "pull": "never",
            "stop_grace": "1s",
        });
        let (Value::Object(mut config), Value::Object(more)) = (usual, self.settings.clone()) else {
            panic!("both are tables");
        };
        config.extend(more);
        provider(config.into()).expect("the settings are valid")
    }

    pub(crate) fn provider(&self) -> &DockerContainers {
        self.provider.as_ref().expect("it is open")
    }

    pub(crate) fn request(&self, token: &str, workers: u32, script: &str) -> RunRequest {
        let args = vec!["-c".to_owned(), script.to_owned()];
        let container = Container {
            image: Some(self.image.clone()),
            command: Some("sh".to_owned()),
            args,
            ..Container::default()
        };
        RunRequest { container, hardware: Hardware::default(), workers, token: LaunchToken::new(token) }
    }

    #[track_caller]
    pub(crate) fn run(&self, token: &str, workers: u32, script: &str) -> Vec<String> {
        let launch = self.try_run(&self.request(token, workers, script)).expect("it is launched");
        assert_eq!(launch.shortfall, None);
        launch.handles
    }

    pub(crate) fn try_run(&self, request: &RunRequest) -> Result<Launch, Error> {
        call(|ctx| self.provider().run(ctx, request))
    }

    #[track_caller]
    pub(crate) fn status(&self, handles: &[String]) -> Vec<WorkerStatus> {
        call(|ctx| self.provider().status(ctx, &texts(handles))).expect("the status is known")
    }

    /// Waits until all handles have one status.
    #[track_caller]
    pub(crate) fn wait(&self, handles: &[String], status: WorkerStatus) {
        until(&format!("{handles:?} are {status}"), || self.status(handles).iter().all(|one| *one == status));
    }

    #[track_caller]
    pub(crate) fn list(&self) -> Vec<ListedHandle> {
        let mut list = call(|ctx| self.provider().list(ctx)).expect("they are listed");
        list.sort_by(|one, other| one.handle.cmp(&other.handle));
        list
    }

    #[track_caller]
    pub(crate) fn kill(&self, handles: &[String]) {
        let answers = call(|ctx| self.provider().kill(ctx, &texts(handles))).expect("they are killed");
        assert_eq!(answers, vec![Killed::Yes; handles.len()]);
    }

    /// All containers of the namespace, with their states.
    pub(crate) fn containers(&self) -> Vec<longshore_support::Container> {
        self.engine.containers(&self.label())
    }

    /// The names of the volumes of the namespace.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let filters = HashMap::from([("label".to_owned(), vec![self.label()])]);
        let list = self.engine.docker().list_volumes(Some(ListVolumesOptions { filters: Some(filters) }));
        let found = self.engine.wait(list).expect("they are listed").volumes.unwrap_or_default();
        found.into_iter().map(|volume| volume.name).collect()
    }

    /// The names of the networks of the namespace.
    pub(crate) fn networks(&self) -> Vec<String> {
        let filters = HashMap::from([("label".to_owned(), vec![self.label()])]);
        let list = self.engine.docker().list_networks(Some(ListNetworksOptions { filters: Some(filters) }));
        self.engine
            .wait(list)
            .expect("they are listed")
            .into_iter()
            .filter_map(|network| network.name)
            .collect()
    }

    pub(crate) fn remove_volume(&self, name: &str) {
        let removed = self.engine.docker().remove_volume(name, None::<RemoveVolumeOptions>);
        self.engine.wait(removed).expect("nobody uses it");
    }

    pub(crate) fn inspect(&self, name: &str) -> ContainerInspectResponse {
        self.engine.wait(self.engine.docker().inspect_container(name, None)).expect("it is there")
    }

    fn label(&self) -> String {
        format!("io.longshore.owner={}", self.namespace)
    }
}

impl Drop for House<'_> {
    fn drop(&mut self) {
        self.provider = None;
        // An engine that the test has ended keeps nothing.
        if longshore_support::socket::answers(self.engine.socket()).is_err() {
            return;
        }
        for container in self.containers() {
            self.engine.remove(&container.id);
        }
        for volume in self.volumes() {
            self.remove_volume(&volume);
        }
        for network in self.networks() {
            drop(self.engine.wait(self.engine.docker().remove_network(&network)));
        }
    }
}

/// A provider of a configuration.
pub(crate) fn provider(config: Value) -> Result<DockerContainers, Error> {
    let config: Config = serde_json::from_value(config).expect("it has the shape of the schema");
    DockerContainers::create(config, Log::silent())
}

/// A provider of an engine that listens there, or does not.
pub(crate) fn provider_at(socket: &Path) -> DockerContainers {
    provider(json!({"host": format!("unix://{}", socket.display())})).expect("it is right, there or not")
}

pub(crate) fn call<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
    within(Duration::from_mins(1), work)
}

pub(crate) fn within<T>(budget: Duration, work: impl FnOnce(&Context<'_>) -> T) -> T {
    testing::call(CLUSTER, budget, work)
}

pub(crate) fn texts(handles: &[String]) -> Vec<&str> {
    handles.iter().map(String::as_str).collect()
}
