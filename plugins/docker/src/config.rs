//! The provider's configuration, as an operator writes it. What the schema cannot say is checked in `settings`.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of the Docker provider. Every field may be left out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the engine listens: `"unix:///path/of/the.sock"`, `"tcp://host:port"`, `"http://host:port"` or
    /// `"https://host:port"`. Left out: what the variable `DOCKER_HOST` says, or else `"unix:///var/run/docker.sock"`.
    pub host: Option<String>,
    /// The certificates for an engine that is reached by TCP with TLS. Left out: where the variable `DOCKER_TLS_VERIFY` is set,
    /// the files `ca.pem`, `cert.pem` and `key.pem` in the folder of `DOCKER_CERT_PATH`, or in `~/.docker`.
    pub tls: Option<Tls>,
    /// How long connecting to the engine may take: a number of seconds, or a text such as `"10s"`. Above 0, to 5 minutes; 10
    /// seconds unless said otherwise.
    pub connect_timeout: Time,
    /// What this provider's containers, networks and volumes belong to: their names begin with it, and their label
    /// `io.longshore.owner` holds it. Hosts that share an engine are kept apart by different ones. 1 to 32 letters, digits, `-`
    /// and `_`, the first a letter or a digit; `"longshore"` unless said otherwise.
    pub namespace: String,
    /// How many containers are created and started at once, and how many are removed at once, by all calls together.
    #[schemars(range(min = 1, max = 64))]
    pub parallel: u32,
    /// When an image is pulled.
    pub pull: Pull,
    /// How long pulling an image may take: as `connect_timeout`, to 1 day; 30 minutes unless said otherwise. A pull goes on when
    /// the launch that wanted it is out of time, for the next one.
    pub pull_timeout: Time,
    /// The folder of Docker's own configuration, whose `config.json` has the credentials for registries, or names the programs
    /// that have them. Left out: what the variable `DOCKER_CONFIG` says, or else `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// The network of all containers: the name of one that is there, `"host"`, `"none"`, or `"cluster"` for one that is made for
    /// each cluster. Left out: the engine's default.
    pub network: Option<String>,
    /// What is mounted in each container.
    pub mounts: Vec<Mount>,
    /// The user, and the group, that the programs run as: `"1000"`, `"1000:1000"` or names of the image. Left out: the image's.
    pub user: Option<String>,
    /// Whether the root file system can only be read.
    pub read_only: bool,
    /// Capabilities beyond the engine's usual ones, such as `"SYS_PTRACE"`.
    pub cap_add: Vec<String>,
    /// Capabilities of the engine's usual ones to do without; `"ALL"` for all.
    pub cap_drop: Vec<String>,
    /// Security options, such as `"no-new-privileges"` or `"seccomp=unconfined"`.
    pub security_opt: Vec<String>,
    /// The GPUs of each container: a number, `"all"`, or a list of ids.
    pub gpus: Option<Gpus>,
    /// Further labels of each container; names that begin with `io.longshore.` are the provider's own.
    pub labels: BTreeMap<String, String>,
    /// Further names in `/etc/hosts`, as `"name:address"`; the address may be `"host-gateway"`.
    pub extra_hosts: Vec<String>,
    /// Limits of the programs, such as `nofile = 65536` or `nofile = { soft = 1024, hard = 65536 }`; -1 is no limit.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// The size of `/dev/shm`: a number of bytes, or a text such as `"1 GiB"`. Left out: the engine's, which is 64 MiB.
    pub shm_size: Option<Size>,
    /// How much a container may swap, beside the memory of its workers: as `shm_size`. Left out: the engine's choice.
    pub swap: Option<Size>,
    /// Where the output of the programs goes. Left out: the engine's default.
    pub log: Option<LogTarget>,
    /// Whether the engine's own first process runs in each container, which passes signals on and reaps children. A program that
    /// does not handle SIGTERM does not hear of it as the first process of a container, and stops after `stop_grace` only.
    pub init: bool,
    /// The signal that asks a program to end, such as `"SIGINT"`. Left out: the image's, or SIGTERM.
    pub stop_signal: Option<String>,
    /// How long a program may take to end after that, before it is killed: as `connect_timeout`, 0 to 1 hour, in full seconds
    /// (rounded up); 0 kills at once. 10 seconds unless said otherwise.
    pub stop_grace: Time,
    /// How many containers that stopped by themselves are kept for a look at their logs, in each cluster. The oldest go first.
    pub keep_stopped: u32,
    /// The address of the engine's machine on which the server's port is published, such as `"0.0.0.0"`: where workers or the host
    /// cannot reach containers directly. Left out: it is not published.
    pub publish: Option<String>,
    /// The address or the name under which workers and the host reach the server. Left out: the container's own address in its
    /// network; `"127.0.0.1"` in the engine's own; the address of `publish` where it names one interface.
    pub server_host: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: None,
            tls: None,
            connect_timeout: Time::Text("10s".to_owned()),
            namespace: "longshore".to_owned(),
            parallel: 8,
            pull: Pull::default(),
            pull_timeout: Time::Text("30m".to_owned()),
            docker_config: None,
            network: None,
            mounts: Vec::new(),
            user: None,
            read_only: false,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            security_opt: Vec::new(),
            gpus: None,
            labels: BTreeMap::new(),
            extra_hosts: Vec::new(),
            ulimits: BTreeMap::new(),
            shm_size: None,
            swap: None,
            log: None,
            init: false,
            stop_signal: None,
            stop_grace: Time::Text("10s".to_owned()),
            keep_stopped: 10,
            publish: None,
            server_host: None,
        }
    }
}

/// Certificates, as files in PEM.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The authorities that may have signed the engine's certificate. Left out: the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to the engine; `key` belongs to it.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`.
    pub key: Option<PathBuf>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// Before every launch.
    Always,
    /// Where the engine does not have it.
    #[default]
    Missing,
    /// Never: a launch fails where the engine does not have it.
    Never,
}

/// Something that is mounted in each container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mount {
    /// A file or folder of the engine's machine.
    Bind {
        /// Its path there; it must exist.
        source: String,
        /// Its path in the container.
        target: String,
        /// Whether it can only be read.
        #[serde(default)]
        read_only: bool,
    },
    /// A volume of the engine.
    Volume {
        /// Its name; it is made where there is none.
        source: String,
        /// Its path in the container.
        target: String,
        /// Whether it can only be read.
        #[serde(default)]
        read_only: bool,
    },
    /// Memory that looks like a folder.
    Tmpfs {
        /// Its path in the container.
        target: String,
        /// How much fits in: a number of bytes, or a text such as `"64 MiB"`. Left out: half of the machine's memory.
        #[serde(default)]
        size: Option<Size>,
    },
}

/// Which GPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of GPUs, \"all\", or a list of ids")]
pub enum Gpus {
    /// So many.
    Count(#[schemars(range(min = 1))] u32),
    /// These.
    Ids(Vec<String>),
    /// All of them.
    All(All),
}

/// The word for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// All.
    All,
}

/// A limit of the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, or a table of `soft` and `hard`")]
pub enum Ulimit {
    /// The soft and the hard limit.
    Both(i64),
    /// One each.
    Each(SoftAndHard),
}

/// A soft and a hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoftAndHard {
    /// What holds at first.
    pub soft: i64,
    /// As far as a program may raise it.
    pub hard: i64,
}

/// A driver for logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogTarget {
    /// Its name, such as `"json-file"`, `"local"` or `"none"`.
    pub driver: String,
    /// Its options, such as `max-size = "10m"`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// A span of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of seconds, or a text such as \"10s\"")]
pub enum Time {
    /// Seconds; fractions count.
    Seconds(#[schemars(range(min = 0))] f64),
    /// Such as `10s`, `500ms` or `1m 30s`.
    Text(String),
}

/// An amount of data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of bytes, or a text such as \"10 MiB\"")]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Such as `10 MiB` (powers of 1024) or `10 MB` (powers of 1000).
    Text(String),
}
