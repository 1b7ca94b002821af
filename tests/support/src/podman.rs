//! Podman's service of a test's own, which speaks as a Docker engine does: in a room (`room.rs`), with all its files in a folder
//! of its own.

use std::{ffi::OsString, fs, path::Path};

use nix::sys::resource::{Resource, getrlimit};
use serde_json::json;

use crate::{Missing, cgroups, network::Network, programs, service::Service, socket};

/// Where Debian has the programs that connect containers.
const PLUGINS: &str = "/usr/lib/cni";
/// The most that a container is given of a limit that this process has no end of.
const MOST: u64 = 1 << 16;

/// Podman's service. Dropping it ends it, its containers and all that is theirs.
#[derive(Debug)]
pub struct Podman {
    service: Service,
    no_bridge: Option<Missing>,
}

impl Podman {
    /// Starts the service.
    pub fn start() -> Result<Self, Missing> {
        for needed in ["podman", "conmon"] {
            programs::find(needed)?;
        }
        let plugins = Path::new(PLUGINS).join("bridge");
        let network = if plugins.is_file() {
            Network::make()
        } else {
            Err(Missing::new(format!("{} is not installed", plugins.display())))
        };
        let (network, no_bridge) = match network {
            Ok(network) => (Some(network), None),
            Err(why) => (None, Some(why)),
        };
        cgroups::prepare()?;
        let mut service = Service::new("podman", network.as_ref())?;
        let failed = |error| Missing::new(format!("podman cannot be set up: {error}"));
        let config = service.folder().join("containers.conf");
        fs::write(&config, configuration(&service, network.as_ref())).map_err(failed)?;
        if let Some(network) = &network {
            let networks = service.folder().join("networks");
            fs::create_dir_all(&networks).map_err(failed)?;
            fs::write(networks.join("podman.conflist"), connection(&service, network)).map_err(failed)?;
        }
        let in_folder = |name: &str| OsString::from(service.folder().join(name));
        let arguments = [
            "--root".into(),
            in_folder("data"),
            "--runroot".into(),
            in_folder("run"),
            "system".into(),
            "service".into(),
            "--time=0".into(),
            socket::url(service.socket()).into(),
        ];
        service.start(&arguments, &[("CONTAINERS_CONF", config.into())])?;
        Ok(Self { service, no_bridge })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        self.service.socket()
    }

    /// Where it listens, as `DOCKER_HOST` has it.
    pub fn url(&self) -> String {
        socket::url(self.socket())
    }

    /// What a person should know of it.
    pub fn notes(&self) -> Vec<String> {
        let bridge =
            self.no_bridge.as_ref().map(|why| format!("its containers are on the machine's network: {why}"));
        bridge.into_iter().collect()
    }

    /// Ends it and everything of it, and says what could not be removed.
    pub fn end(self) -> Result<(), String> {
        self.service.end()
    }
}

/// Podman's settings. It gives containers more open files and processes than it may where root has limits of its own; and it takes
/// the two numbers of a limit for each other, so that they are the same here.
fn configuration(service: &Service, network: Option<&Network>) -> String {
    let limit = |resource| getrlimit(resource).map_or(MOST, |(_, hard)| hard.min(MOST));
    let (files, processes) = (limit(Resource::RLIMIT_NOFILE), limit(Resource::RLIMIT_NPROC));
    let quoted = |name: &str| json!(service.folder().join(name)).to_string();
    let networks = match network {
        Some(_) => format!(
            "[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [\"{PLUGINS}\"]\nnetwork_config_dir = {}\n",
            quoted("networks")
        ),
        None => String::new(),
    };
    let netns = if network.is_some() { "" } else { "netns = \"host\"\n" };
    format!(
        "[containers]\n\
         default_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
         {netns}\
         [engine]\n\
         cgroup_manager = \"cgroupfs\"\n\
         events_logger = \"file\"\n\
         tmp_dir = {}\n\
         volume_path = {}\n\
         {networks}",
        quoted("tmp"),
        quoted("volumes"),
    )
}

/// How its containers are connected: on a bridge of its own, with no rules of a packet filter.
fn connection(service: &Service, network: &Network) -> String {
    let (subnet, gateway) = network.subnet();
    let addresses = json!({
        "type": "host-local",
        "dataDir": service.folder().join("addresses"),
        "routes": [{ "dst": "0.0.0.0/0" }],
        "ranges": [[{ "subnet": subnet, "gateway": gateway }]],
    });
    let bridge = json!({
        "type": "bridge", "bridge": network.bridge(), "isGateway": true, "ipMasq": false, "ipam": addresses,
    });
    json!({ "cniVersion": "0.4.0", "name": "podman", "plugins": [bridge] }).to_string()
}
