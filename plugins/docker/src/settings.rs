//! The configuration once it was checked: what a wrong value comes to is an error that names its field.

use std::{env, fmt, net::IpAddr, time::Duration};

use bytesize::ByteSize;
use longshore_plugin_api::Error;

use crate::{
    config::{Config, Gpus, Mount, Pull, Size, Time, Ulimit},
    endpoint::{Endpoint, Variables},
    labels,
};

/// The longest time to connect, to pull, and to stop.
const CONNECT_LIMIT: Duration = Duration::from_mins(5);
const PULL_LIMIT: Duration = Duration::from_hours(24);
const GRACE_LIMIT: Duration = Duration::from_hours(1);
/// The most containers that are made at once.
const PARALLEL_LIMIT: u32 = 64;
/// The longest namespace, in bytes.
const NAMESPACE_LIMIT: usize = 32;

/// The network of the containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// The engine's default.
    Default,
    /// The engine's own: nothing is between.
    Host,
    /// None.
    Nowhere,
    /// One of this name.
    Named(String),
    /// One that is made for each cluster.
    Cluster,
}

/// A configuration that was checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) connect_timeout: Duration,
    pub(crate) pull_timeout: Duration,
    /// In full seconds.
    pub(crate) stop_grace: Duration,
    pub(crate) parallel: usize,
    pub(crate) network: Network,
    /// Bytes.
    pub(crate) shm_size: Option<i64>,
    pub(crate) swap: Option<i64>,
    /// The sizes of the mounts, in their order: those of memory alone have one.
    pub(crate) mount_sizes: Vec<Option<i64>>,
    pub(crate) publish: Option<IpAddr>,
    /// Everything that needs no more than to be passed on.
    pub(crate) plain: Config,
}

impl Settings {
    /// What names begin with.
    pub(crate) fn namespace(&self) -> &str {
        &self.plain.namespace
    }

    /// When images are pulled.
    pub(crate) fn pull(&self) -> Pull {
        self.plain.pull
    }

    /// Those of a configuration, in surroundings of such variables.
    fn of(config: Config, variables: Variables<'_>) -> Result<Self, Error> {
        namespace(&config.namespace)?;
        if !(1..=PARALLEL_LIMIT).contains(&config.parallel) {
            return Err(Error::config("parallel", format_args!("it must be 1 to {PARALLEL_LIMIT}")));
        }
        let connect_timeout = time("connect_timeout", &config.connect_timeout, CONNECT_LIMIT)?;
        let pull_timeout = time("pull_timeout", &config.pull_timeout, PULL_LIMIT)?;
        for (field, time) in [("connect_timeout", connect_timeout), ("pull_timeout", pull_timeout)] {
            if time.is_zero() {
                return Err(Error::config(field, "it must be longer than nothing"));
            }
        }
        let stop_grace = time("stop_grace", &config.stop_grace, GRACE_LIMIT)?;
        let network = network(config.network.as_deref())?;
        let publish = publish(&config, &network)?;
        lists(&config)?;
        Ok(Self {
            endpoint: Endpoint::of(&config, variables)?,
            connect_timeout,
            pull_timeout,
            stop_grace: Duration::from_secs(stop_grace.as_millis().div_ceil(1000) as u64),
            parallel: config.parallel as usize,
            network,
            shm_size: config.shm_size.as_ref().map(|it| size("shm_size", it)).transpose()?,
            swap: config.swap.as_ref().map(|it| size("swap", it)).transpose()?,
            mount_sizes: mounts(&config.mounts)?,
            publish,
            plain: config,
        })
    }
}

impl TryFrom<Config> for Settings {
    type Error = Error;

    fn try_from(config: Config) -> Result<Self, Error> {
        Self::of(config, &|name| env::var_os(name))
    }
}

fn namespace(text: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && text.len() <= NAMESPACE_LIMIT && text.bytes().all(plain) {
        return Ok(());
    }
    let rule = "it must be 1 to 32 letters, digits, '-' and '_', beginning with a letter or a digit";
    Err(Error::config("namespace", rule))
}

fn time(field: &str, time: &Time, limit: Duration) -> Result<Duration, Error> {
    let wrong = |why: &dyn fmt::Display| {
        let limit = humantime::format_duration(limit);
        let text = format!("{why}; write seconds, or a text such as \"10s\", up to {limit}");
        Error::config(field, text)
    };
    let time = match time {
        Time::Seconds(seconds) => Duration::try_from_secs_f64(*seconds).map_err(|e| wrong(&e))?,
        Time::Text(text) => humantime::parse_duration(text).map_err(|e| wrong(&e))?,
    };
    if time > limit { Err(wrong(&"it is too long")) } else { Ok(time) }
}

/// Bytes, as the engine counts them.
fn size(field: &str, size: &Size) -> Result<i64, Error> {
    let wrong = |why: &dyn fmt::Display| {
        Error::config(field, format_args!("{why}; write bytes, or a text such as \"10 MiB\""))
    };
    let bytes = match size {
        Size::Bytes(bytes) => *bytes,
        Size::Text(text) => text.parse::<ByteSize>().map_err(|e| wrong(&e))?.as_u64(),
    };
    i64::try_from(bytes).map_err(|_| wrong(&"it is more than any machine has"))
}

fn network(name: Option<&str>) -> Result<Network, Error> {
    Ok(match name {
        None => Network::Default,
        Some("host") => Network::Host,
        Some("none") => Network::Nowhere,
        Some("cluster") => Network::Cluster,
        Some(name) if name.is_empty() || name.contains(char::is_whitespace) => {
            let rule =
                "a network's name is not empty and has no blanks; leave it out for the engine's default";
            return Err(Error::config("network", rule));
        }
        Some(name) => Network::Named(name.to_owned()),
    })
}

fn publish(config: &Config, network: &Network) -> Result<Option<IpAddr>, Error> {
    if let Some(host) = &config.server_host
        && (host.is_empty() || host.contains(|it: char| it.is_whitespace() || it == '/'))
    {
        let rule = "it is no address and no host name; write one alone, without a port";
        return Err(Error::config("server_host", rule));
    }
    let Some(text) = &config.publish else { return Ok(None) };
    let address: IpAddr = text.parse().map_err(|_| {
        Error::config("publish", "it is no address; write one of the engine's machine, such as \"0.0.0.0\"")
    })?;
    if matches!(network, Network::Host | Network::Nowhere) {
        let why = "nothing can be published in the networks \"host\" and \"none\"; leave one of the two out";
        return Err(Error::config("publish", why));
    }
    if address.is_unspecified() && config.server_host.is_none() {
        let why = "it is missing, and the server's port is published on all addresses; name the one to use";
        return Err(Error::config("server_host", why));
    }
    Ok(Some(address))
}

fn mounts(mounts: &[Mount]) -> Result<Vec<Option<i64>>, Error> {
    let one = |(place, mount): (usize, &Mount)| {
        let at = |field: &str| format!("mounts[{place}].{field}");
        let absolute = |field: &str, path: &str| {
            if path.starts_with('/') {
                return Ok(());
            }
            Err(Error::config(at(field), "the path is not absolute; write it from / on"))
        };
        match mount {
            Mount::Bind { source, target, .. } => {
                absolute("source", source)?;
                absolute("target", target).map(|()| None)
            }
            Mount::Volume { source, target, .. } => {
                if source.is_empty() || source.contains('/') {
                    return Err(Error::config(
                        at("source"),
                        "it is no volume's name; a path is a mount of the type bind",
                    ));
                }
                absolute("target", target).map(|()| None)
            }
            Mount::Tmpfs { target, size: bytes } => {
                absolute("target", target)?;
                bytes.as_ref().map(|bytes| size(&at("size"), bytes)).transpose()
            }
        }
    };
    mounts.iter().enumerate().map(one).collect()
}

/// What is a list or a table of texts.
fn lists(config: &Config) -> Result<(), Error> {
    if let Some(name) = config.labels.keys().find(|name| name.is_empty() || name.starts_with(labels::PREFIX))
    {
        let why = format!("the label {name:?} is empty, or one of the provider's own; call it otherwise");
        return Err(Error::config("labels", why));
    }
    let wrong = |host: &String| {
        host.split_once(':').is_none_or(|(name, address)| name.is_empty() || address.is_empty())
    };
    if let Some(place) = config.extra_hosts.iter().position(wrong) {
        return Err(Error::config(format!("extra_hosts[{place}]"), "write it as \"name:address\""));
    }
    for (name, limit) in &config.ulimits {
        let Ulimit::Each(limit) = limit else { continue };
        if limit.hard >= 0 && !(0..=limit.hard).contains(&limit.soft) {
            let why = "the soft limit is above the hard one";
            return Err(Error::config(format!("ulimits.{name}"), why));
        }
    }
    match &config.gpus {
        Some(Gpus::Count(0)) => Err(Error::config("gpus", "it must be 1 or more; leave it out for none")),
        Some(Gpus::Ids(ids)) if ids.is_empty() => {
            Err(Error::config("gpus", "the list is empty; leave it out for no GPUs"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::ErrorKind;
    use serde_json::{Value, json};

    use super::*;

    fn read(config: Value) -> Result<Settings, Error> {
        let config = serde_json::from_value(config).expect("it has the shape of the schema");
        // Whatever engine the surroundings name is none of the test's.
        Settings::of(config, &|_| None)
    }

    #[test]
    fn everything_may_be_left_out() {
        let settings = read(json!({})).expect("the defaults are valid");
        assert_eq!((settings.namespace(), settings.parallel), ("longshore", 8));
        assert_eq!((settings.stop_grace, settings.pull()), (Duration::from_secs(10), Pull::Missing));
        assert_eq!(settings.network, Network::Default);
    }

    #[test]
    fn values_are_taken_as_they_are_meant() {
        let settings = read(json!({
            "host": "unix:///x", "stop_grace": 0.2, "network": "cluster", "swap": "1 GiB", "gpus": "all",
            "mounts": [{"type": "tmpfs", "target": "/t", "size": 4096}, {"type": "bind", "source": "/a", "target": "/b"}],
            "publish": "0.0.0.0", "server_host": "node-1", "ulimits": {"nofile": {"soft": 1, "hard": 2}, "core": 0},
        }));
        let settings = settings.expect("it is right");
        assert_eq!((settings.stop_grace, settings.network), (Duration::from_secs(1), Network::Cluster));
        assert_eq!((settings.swap, settings.mount_sizes), (Some(1 << 30), vec![Some(4096), None]));
    }

    #[test]
    fn a_wrong_value_names_its_field() {
        for (config, field) in [
            (json!({"host": "ssh://x"}), "host"),
            (json!({"host": "unix://relative"}), "host"),
            (json!({"host": "tcp://"}), "host"),
            (json!({"host": "/var/run/docker.sock"}), "host"),
            (json!({"namespace": "a.b"}), "namespace"),
            (json!({"namespace": ""}), "namespace"),
            (json!({"parallel": 0}), "parallel"),
            (json!({"parallel": 65}), "parallel"),
            (json!({"connect_timeout": 0}), "connect_timeout"),
            (json!({"connect_timeout": "1h"}), "connect_timeout"),
            (json!({"pull_timeout": "soon"}), "pull_timeout"),
            (json!({"stop_grace": -1}), "stop_grace"),
            (json!({"stop_grace": 1e300}), "stop_grace"),
            (json!({"network": ""}), "network"),
            (json!({"publish": "here"}), "publish"),
            (json!({"publish": "127.0.0.1", "network": "host"}), "publish"),
            (json!({"publish": "0.0.0.0"}), "server_host"),
            (json!({"server_host": "a/b"}), "server_host"),
            (json!({"shm_size": "much"}), "shm_size"),
            (json!({"swap": u64::MAX}), "swap"),
            (json!({"labels": {"io.longshore.token": "x"}}), "labels"),
            (json!({"extra_hosts": ["a:1.2.3.4", "b"]}), "extra_hosts[1]"),
            (json!({"ulimits": {"nofile": {"soft": 3, "hard": 2}}}), "ulimits.nofile"),
            (json!({"gpus": 0}), "gpus"),
            (json!({"gpus": []}), "gpus"),
            (json!({"mounts": [{"type": "bind", "source": "a", "target": "/b"}]}), "mounts[0].source"),
            (json!({"mounts": [{"type": "volume", "source": "/a", "target": "/b"}]}), "mounts[0].source"),
            (json!({"mounts": [{"type": "tmpfs", "target": "b"}]}), "mounts[0].target"),
            (json!({"host": "tcp://x:1", "tls": {"ca": "/no/such/file"}}), "tls.ca"),
            (json!({"host": "tcp://x:1", "tls": {"cert": "/no/such/file"}}), "tls.key"),
            (json!({"host": "unix:///x", "tls": {}}), "tls"),
        ] {
            let error = read(config.clone()).expect_err(&config.to_string());
            assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some(field)), "{config}: {error}");
        }
    }

    #[test]
    fn a_wrong_shape_is_no_configuration() {
        for config in [
            json!({"hots": "unix:///x"}),
            json!({"pull": "sometimes"}),
            json!({"gpus": "some"}),
            json!({"mounts": [{"type": "bind", "source": "/a", "target": "/b", "ro": true}]}),
        ] {
            assert!(serde_json::from_value::<Config>(config.clone()).is_err(), "{config}");
        }
    }
}
