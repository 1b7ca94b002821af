//! A Docker engine of a test's own: the machine's `dockerd`, in a room (`room.rs`), on a socket of its own. It uses nothing of
//! an engine that the machine may have, and leaves nothing on the machine: no rule of a packet filter, no setting of the kernel.

use std::{ffi::OsString, fs, path::Path};

use serde_json::{Map, Value, json};

use crate::{Missing, cgroups, network::Network, programs, service::Service, socket};

/// How images and containers are stored: the first that works is taken. Overlays do not work on every file system.
const STORAGE: [&str; 2] = ["overlay2", "vfs"];

/// The bridge that every engine has unless it is told otherwise.
const USUAL_BRIDGE: &str = "/sys/class/net/docker0";

/// The setting that has the addresses for networks that are made later.
const POOLS: &str = "default-address-pools";

/// How long containers may take to end when the engine is told to: in seconds.
const SHUTDOWN_SECONDS: u32 = 5;

/// A Docker engine. Dropping it ends it, its containers and all that is theirs.
#[derive(Debug)]
pub struct Dockerd {
    service: Service,
    storage: &'static str,
    no_bridge: Option<Missing>,
}

impl Dockerd {
    /// Starts an engine.
    pub fn start() -> Result<Self, Missing> {
        Self::start_with(&Map::new())
    }

    /// Starts an engine with more settings, as they are in `daemon.json`, or others in the place of these.
    pub fn start_with(settings: &Map<String, Value>) -> Result<Self, Missing> {
        for needed in ["dockerd", "containerd", "runc", "iptables"] {
            programs::find(needed)?;
        }
        // Without a bridge, containers can still be on the machine's own network.
        let (network, no_bridge) = match Network::make() {
            Ok(network) => (Some(network), None),
            // An engine without a bridge removes the usual one when it starts, whoever has made that.
            Err(why) if Path::new(USUAL_BRIDGE).exists() => return Err(why),
            Err(why) => (None, Some(why)),
        };
        cgroups::prepare()?;
        let mut service = Service::new("dockerd", network.as_ref())?;
        let mut why = None;
        for storage in STORAGE {
            let config = config(&service, network.as_ref(), storage, settings);
            let file = service.folder().join("daemon.json");
            fs::write(&file, Value::Object(config).to_string())
                .map_err(|error| Missing::new(format!("{} cannot be written: {error}", file.display())))?;
            match service.start(&arguments(&file), &[]) {
                Ok(()) => return Ok(Self { service, storage, no_bridge }),
                Err(missing) => why = why.or(Some(missing)),
            }
        }
        Err(why.expect("each was tried"))
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        self.service.socket()
    }

    /// Where it listens, as `DOCKER_HOST` has it.
    pub fn url(&self) -> String {
        socket::url(self.socket())
    }

    /// What a person should know of it: how it stores, and why its containers have no network of their own if they have none.
    pub fn notes(&self) -> Vec<String> {
        let storage =
            (self.storage != STORAGE[0]).then(|| format!("it stores with {}, which is slow", self.storage));
        let bridge =
            self.no_bridge.as_ref().map(|why| format!("its containers are on the machine's network: {why}"));
        storage.into_iter().chain(bridge).collect()
    }

    /// Tells it to end, as an operator would, and waits until it has. It stops its containers.
    pub fn stop(&mut self) {
        self.service.stop();
    }

    /// Kills it, with no time for a last word; its containers run on.
    pub fn kill(&mut self) {
        self.service.kill();
    }

    /// Starts it again, on the same socket and the same data. Networks that are made from now on have addresses of its own choice,
    /// and whoever makes them removes them: an engine that finds its data and is told of addresses removes the usual bridge,
    /// also another engine's.
    pub fn start_again(&mut self) {
        let file = self.service.folder().join("daemon.json");
        let config = fs::read_to_string(&file).expect("it was written before");
        let mut config: Map<String, Value> = serde_json::from_str(&config).expect("we have written it");
        config.remove(POOLS);
        fs::write(&file, Value::Object(config).to_string()).expect("it can be written again");
        if let Err(why) = self.service.start(&arguments(&file), &[]) {
            panic!("{why}");
        }
    }

    /// Holds it up: whoever calls it waits.
    pub fn pause(&mut self) {
        self.service.pause();
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.service.resume();
    }

    /// Whether its process is there.
    pub fn is_running(&mut self) -> bool {
        self.service.is_running()
    }

    /// All that it has written.
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Ends it and everything of it, and says what could not be removed.
    pub fn end(self) -> Result<(), String> {
        self.service.end()
    }
}

fn arguments(config: &Path) -> [OsString; 2] {
    ["--config-file".into(), config.into()]
}

fn config(
    service: &Service,
    network: Option<&Network>,
    storage: &str,
    more: &Map<String, Value>,
) -> Map<String, Value> {
    let in_folder = |name: &str| service.folder().join(name).display().to_string();
    let mut config = Map::new();
    let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
    set("hosts", json!([socket::url(service.socket())]));
    set("data-root", in_folder("data").into());
    set("exec-root", in_folder("exec").into());
    set("pidfile", in_folder("docker.pid").into());
    set("storage-driver", storage.into());
    // By its files, as it works with and without systemd.
    set("exec-opts", json!(["native.cgroupdriver=cgroupfs"]));
    set("cgroup-parent", format!("/{}", service.cgroup()).into());
    set("shutdown-timeout", SHUTDOWN_SECONDS.into());
    // What tests do stays on this machine: it needs no rules, and should change none.
    for setting in ["iptables", "ip6tables", "ip-forward", "ip-masq"] {
        set(setting, false.into());
    }
    match network {
        Some(network) => {
            set("bridge", network.bridge().into());
            set(POOLS, json!([{ "base": network.pool(), "size": 26 }]));
        }
        None => drop(set("bridge", "none".into())),
    }
    config.extend(more.clone());
    config
}
