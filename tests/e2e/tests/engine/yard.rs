//! A house beside an engine, with a namespace of its own in it: configurations, what is really in the engine, and that nothing
//! of it is left over.

use std::{
    collections::{BTreeSet, HashMap},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use bollard::{
    errors::Error,
    models::NetworkConnectRequest,
    query_parameters::{
        ListNetworksOptions, ListVolumesOptions, RemoveVolumeOptions, RenameContainerOptions,
    },
};
use longshore_e2e::House;
use longshore_support::{Container, Engine, PATIENCE, socket};

/// The label that says whose something in the engine is.
const OWNER: &str = "io.longshore.owner";
/// The label that says what it is.
const ROLE: &str = "io.longshore.role";
/// The label of containers that the provider has not made.
const FOREIGN: &str = "longshore.test.foreign";

/// A house, and what it has in an engine. Dropping it removes all of that.
pub(crate) struct Yard {
    // It goes first: a host would put back what is removed.
    pub(crate) house: House,
    ground: Ground,
}

/// A namespace in an engine.
struct Ground {
    engine: Engine,
    namespace: String,
}

impl Yard {
    /// A yard with a host that listens.
    pub(crate) fn on(engine: Engine) -> Self {
        let mut yard = Self::without_a_host(engine);
        yard.house.serve();
        yard
    }

    /// A yard without a host.
    pub(crate) fn without_a_host(engine: Engine) -> Self {
        static YARDS: AtomicU32 = AtomicU32::new(0);
        // A namespace has 32 letters at most.
        let number = YARDS.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("e2e-{}-{number}", process::id());
        Self { house: House::with(&["longshore-docker"]), ground: Ground { engine, namespace } }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.ground.engine
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.ground.namespace
    }

    /// The name of a volume of the test's own. It goes with the yard.
    pub(crate) fn volume(&self) -> String {
        self.ground.volume()
    }

    /// The provider, with more keys.
    pub(crate) fn provider(&self, keys: &str) -> String {
        let (url, namespace) = (self.engine().url(), self.namespace());
        // Where there is no bridge, containers reach each other on the machine's own network alone.
        let network = match self.engine().network() {
            "host" if !keys.contains("network = ") => "network = \"host\"\n",
            _ => "",
        };
        format!(
            "[[provider]]\nname = \"docker\"\n[provider.config]\nhost = \"{url}\"\nnamespace = \"{namespace}\"\n\
             stop_grace = \"5s\"\n{network}{keys}\n"
        )
    }

    /// A cluster of sleepers, which end at once when they are told to.
    pub(crate) fn sleepers(cluster: &str, workers: u32, image: &str) -> String {
        Self::cluster(cluster, workers, image, "trap exit TERM; sleep 100000 & wait")
    }

    /// A cluster whose workers are a script of the shell's. More keys may follow: those of its scaling.
    pub(crate) fn cluster(cluster: &str, workers: u32, image: &str, script: &str) -> String {
        assert!(!script.contains("'''"), "it could not be quoted");
        format!(
            "[[cluster]]\nname = \"{cluster}\"\nprovider = \"docker\"\nworkers = {workers}\n\
             [cluster.container]\nimage = \"{image}\"\ncommand = \"/bin/sh\"\nargs = [\"-c\", '''{script}''']\n\
             [cluster.scaling]\npoll_interval = \"300ms\"\nbusy_poll_interval = \"100ms\"\nbackoff = \"200ms\"\n\
             backoff_max = \"2s\"\n"
        )
    }

    /// Applies a configuration, and does not wait for what comes of it.
    #[track_caller]
    pub(crate) fn begin(&self, text: &str) {
        let file = self.house.write("begun.toml", text).display().to_string();
        let _ = self.house.run(&["apply", "--no-wait", &file]).ok();
    }

    /// All containers of the namespace, also those that have ended.
    pub(crate) fn containers(&self) -> Vec<Container> {
        self.engine().containers(&format!("{OWNER}={}", self.namespace()))
    }

    /// The containers of the namespace with workers, also those that have ended.
    pub(crate) fn workers(&self) -> Vec<Container> {
        self.of_role("worker")
    }

    /// The container of a server, also where it has ended.
    pub(crate) fn server(&self) -> Option<Container> {
        self.of_role("server").pop()
    }

    fn of_role(&self, role: &str) -> Vec<Container> {
        let is_so = |one: &Container| one.labels.get(ROLE).is_some_and(|it| it == role);
        self.containers().into_iter().filter(is_so).collect()
    }

    /// The names of the containers that run and have workers.
    pub(crate) fn running(&self) -> BTreeSet<String> {
        self.workers().into_iter().filter(|one| one.state == "running").map(|one| one.name).collect()
    }

    /// The handles that the host has.
    pub(crate) fn handles(&self, cluster: &str) -> BTreeSet<String> {
        self.house.handles(cluster).into_iter().collect()
    }

    /// Waits until a cluster has so many workers and all is as asked; the host's handles are the containers that run.
    #[track_caller]
    pub(crate) fn until_all_run(&self, cluster: &str, workers: u64) {
        self.until_said(cluster, &format!("there are {workers} workers"), |_| {
            let status = self.house.status(cluster);
            status["converged"] == true && status["running"] == workers
        });
        assert_eq!(self.handles(cluster), self.running());
    }

    /// How many workers of a cluster run.
    pub(crate) fn count(&self, cluster: &str) -> u64 {
        self.house.status(cluster)["running"].as_u64().expect("a number")
    }

    /// What a cluster's server is: its phase, its address, how often it came up.
    pub(crate) fn server_of(&self, cluster: &str) -> (String, String, u64) {
        let server = &self.house.status(cluster)["server"];
        let text = |key: &str| server[key].as_str().unwrap_or_default().to_owned();
        (text("phase"), text("address"), server["starts"].as_u64().unwrap_or_default())
    }

    /// Waits until a cluster's server is up for that time, counted from 1; gives its address.
    #[track_caller]
    pub(crate) fn until_server(&self, cluster: &str, starts: u64) -> String {
        self.until_said(cluster, &format!("the server has come up {starts} times"), |_| {
            let (phase, _, seen) = self.server_of(cluster);
            phase == "up" && seen == starts
        });
        self.server_of(cluster).1
    }

    /// Waits until `explain` says all of these words, and gives all that it says.
    #[track_caller]
    pub(crate) fn until_explained(&self, cluster: &str, words: &[&str]) -> String {
        self.until_said(cluster, &format!("it is explained with {words:?}"), |said| {
            words.iter().all(|words| said.contains(words))
        })
    }

    /// Waits until a condition holds that may look at what `explain` says; gives that.
    #[track_caller]
    pub(crate) fn until_said(&self, cluster: &str, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.house.run(&["explain", cluster]).ok().out;
            if holds(&said) {
                return said;
            }
            assert!(
                Instant::now() < end,
                "{cluster}: {what}, but not within {PATIENCE:?}; explained: {said}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fails unless these words come in this order in a cluster's history.
    #[track_caller]
    pub(crate) fn history_says(&self, cluster: &str, words: &[&str]) {
        let told = self.house.run(&["history", cluster, "--limit", "1000"]).ok().out;
        let mut rest = told.as_str();
        for words in words {
            let at = rest.find(words).unwrap_or_else(|| panic!("{words:?} does not come next in:\n{told}"));
            rest = &rest[at + words.len()..];
        }
    }

    /// Stops a cluster and deletes it; nothing of the namespace is left in the engine then.
    #[track_caller]
    pub(crate) fn ends(&self, cluster: &str) {
        let _ = self.house.run(&["stop", cluster]).ok();
        let live = self.containers().into_iter().filter(|one| one.state == "running");
        assert_eq!(live.collect::<Vec<_>>(), [], "a stopped cluster has none");
        let _ = self.house.run(&["delete", cluster]).ok();
        assert_eq!(self.ground.left(), [""; 0]);
    }

    /// A container that is none of the provider's. It goes with the yard.
    pub(crate) fn foreigner(&self, image: &str) -> String {
        self.engine().start(image, &["sleep", "100000"], &[(FOREIGN, self.namespace())])
    }

    /// The same, under a name that others may want.
    pub(crate) fn foreigner_called(&self, image: &str, name: &str) -> String {
        let id = self.foreigner(image);
        let options = RenameContainerOptions { name: name.to_owned() };
        let renamed = self.engine().wait(self.engine().docker().rename_container(&id, options));
        renamed.expect("the name is free");
        id
    }

    /// The same, with an address on a network.
    pub(crate) fn foreigner_on(&self, image: &str, network: &str) -> String {
        let id = self.foreigner(image);
        let request = NetworkConnectRequest { container: id.clone(), ..NetworkConnectRequest::default() };
        let joined = self.engine().wait(self.engine().docker().connect_network(network, request));
        joined.expect("the network is there");
        id
    }

    /// How often the host has begun to launch, and how often to kill, as its history has it.
    pub(crate) fn decided(&self, cluster: &str, what: &str) -> usize {
        let told = self.house.run(&["history", cluster, "--limit", "1000"]).ok().out;
        told.matches(what).count()
    }

    /// Whether a reason of that kind is among the cluster's, with a number that is at least so much.
    pub(crate) fn has_reason(&self, cluster: &str, kind: &str, key: &str, least: u64) -> bool {
        let status = self.house.status(cluster);
        let reasons = status["reasons"].as_array().expect("a list");
        reasons.iter().any(|it| it["reason"] == kind && it[key].as_u64().is_some_and(|seen| seen >= least))
    }

    /// Whether a container is there and runs.
    pub(crate) fn is_running(&self, id: &str) -> bool {
        let found = self.engine().wait(self.engine().docker().inspect_container(id, None));
        found.is_ok_and(|found| found.state.and_then(|state| state.running) == Some(true))
    }

    /// A cluster's password.
    pub(crate) fn password(&self, cluster: &str) -> String {
        let said = self.house.run(&["server", cluster, "--show-password", "--json"]).ok().json();
        said["password"].as_str().expect("it has a password").to_owned()
    }

    /// Everything that is shown to whoever may look at the host.
    pub(crate) fn all_that_is_said(&self, cluster: &str) -> String {
        let commands: [&[&str]; 7] = [
            &["status"],
            &["status", cluster],
            &["status", cluster, "--json"],
            &["explain", cluster, "--json"],
            &["history", cluster, "--json"],
            &["workers", cluster, "--json"],
            &["server", cluster, "--json"],
        ];
        let said = commands.map(|command| self.house.run(command).ok().out);
        said.concat() + &self.house.log()
    }
}

impl Ground {
    fn volume(&self) -> String {
        format!("{}-data", self.namespace)
    }

    /// What the engine has of the namespace.
    fn left(&self) -> Vec<String> {
        let own = format!("{OWNER}={}", self.namespace);
        let filters = Some(HashMap::from([("label".to_owned(), vec![own.clone()])]));
        let docker = self.engine.docker();
        let networks = docker.list_networks(Some(ListNetworksOptions { filters: filters.clone() }));
        let networks = self.engine.wait(networks).expect("an engine lists its networks");
        let volumes = docker.list_volumes(Some(ListVolumesOptions { filters }));
        let volumes = self.engine.wait(volumes).expect("an engine lists its volumes").volumes;
        let containers = self.engine.containers(&own);
        let containers = containers.into_iter().map(|one| format!("container {}", one.name));
        let networks = networks.into_iter().filter_map(|one| one.name).map(|one| format!("network {one}"));
        let volumes = volumes.into_iter().flatten().map(|one| format!("volume {}", one.name));
        containers.chain(networks).chain(volumes).collect()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // An engine that the test has ended has nothing any more; a panic in a panic would hide the first.
        if socket::answers(self.engine.socket()).is_err() {
            return;
        }
        drop(self.engine.sweep(&format!("{OWNER}={}", self.namespace)));
        drop(self.engine.sweep(&format!("{FOREIGN}={}", self.namespace)));
        let docker = self.engine.docker();
        // Those of a test's own have no labels.
        let own = [format!("volume {}", self.volume()), format!("network {}.web.network", self.namespace)];
        for left in self.left().into_iter().chain(own) {
            let removed = match left.split_once(' ') {
                Some(("network", name)) => self.engine.wait(docker.remove_network(name)),
                Some(("volume", name)) => {
                    self.engine.wait(docker.remove_volume(name, None::<RemoveVolumeOptions>))
                }
                _ => Ok(()),
            };
            if let Err(error) = removed
                && !matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
            {
                eprintln!("{left} cannot be removed: {error}");
            }
        }
    }
}
