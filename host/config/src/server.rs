//! The server of a cluster, in its normalised form: who runs it, how it is seen to be up, and its password.

use std::{net::Ipv6Addr, time::Duration};

use longshore_plugin_api::{Container, Hardware};
use longshore_scaling::{OnRestart, ServerKind, ServerPolicy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::{ClusterConfig, Config},
    secret::{HIDDEN, Secret},
    spot::short,
};

/// The longest password, in bytes.
pub const PASSWORD_LIMIT: usize = 1024;
/// The most characters in the name of a host: DNS has no longer ones.
const HOST_LIMIT: usize = 253;

/// The server that a cluster's workers report to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerConfig {
    /// Who runs it, and what or where it is.
    pub source: ServerSource,
    /// Its password. `None` is none for a server that others run; for one that the host runs, the host makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// How it is seen to be up.
    #[serde(default)]
    pub probe: Probe,
    /// How long it may take to be up before it is stopped and started anew: 2 minutes unless said otherwise.
    #[serde(default = "usual_start_timeout")]
    pub start_timeout: Duration,
    /// What becomes of the workers when a server that had died was started again.
    #[serde(default)]
    pub on_restart: OnRestart,
}

/// Who runs a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerSource {
    /// The cluster's provider, as the host asks it to.
    Managed {
        /// What it runs; it holds no workers, so that there is no `max_workers`.
        #[serde(default)]
        container: Container,
        /// What it needs of the machine below it.
        #[serde(default)]
        hardware: Hardware,
        /// The port that it listens on, from 1; `None` where the provider assigns one, or it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// Others.
    External {
        /// Its host's name or address; an IPv6 address has no brackets here.
        host: String,
        /// Its port, from 1.
        port: u16,
    },
}

/// How a server is seen to be up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A TCP connection to its address succeeds.
    #[default]
    Tcp,
    /// Its provider says that it runs.
    Status,
}

impl ServerConfig {
    /// What the core may know of it.
    pub fn policy(&self) -> ServerPolicy {
        let kind = match self.source {
            ServerSource::Managed { .. } => ServerKind::Managed,
            ServerSource::External { .. } => ServerKind::External,
        };
        ServerPolicy { kind, start_timeout: self.start_timeout, on_restart: self.on_restart }
    }

    /// A copy that is fit for showing: `***` is where its password was.
    #[must_use]
    pub fn redacted(&self) -> Self {
        Self { password: self.password.as_ref().map(|_| Secret::hidden()), ..self.clone() }
    }
}

impl ClusterConfig {
    /// A copy that is fit for showing: `***` is where its server's password was. What an operator wrote into the container's
    /// environment is there still.
    #[must_use]
    pub fn redacted(&self) -> Self {
        Self { server: self.server.as_ref().map(ServerConfig::redacted), ..self.clone() }
    }
}

impl Config {
    /// A copy that is fit for showing: `***` is where the passwords of its servers were. What an operator wrote into a
    /// provider's configuration or a container's environment is there still.
    #[must_use]
    pub fn redacted(&self) -> Self {
        Self {
            providers: self.providers.clone(),
            clusters: self.clusters.iter().map(ClusterConfig::redacted).collect(),
        }
    }
}

/// Puts `***` in the place of the secrets in a cluster's definition as the journal has it, whichever version wrote it, and
/// leaves all else as it stands.
pub fn redact_definition(definition: &mut Value) {
    if let Some(password) = definition.pointer_mut("/server/password")
        && !password.is_null()
    {
        *password = Value::String(HIDDEN.to_owned());
    }
}

fn usual_start_timeout() -> Duration {
    ServerPolicy::default().start_timeout
}

/// Whether a text can be the name or the address of a host.
pub(crate) fn is_host(host: &str) -> bool {
    let (address, zone) = host.split_once('%').map_or((host, None), |(address, zone)| (address, Some(zone)));
    if address.parse::<Ipv6Addr>().is_ok() {
        return zone.is_none_or(|zone| !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
    (1..=HOST_LIMIT).contains(&host.len())
        && host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Reads `host:port`. Otherwise what is wrong with it, to follow on the name of its key.
pub(crate) fn host_and_port(text: &str) -> Result<(String, u16), String> {
    const WANTED: &str = "must be \"host:port\", such as \"queue.example.org:6379\"";
    if text.contains('@') {
        // What stands before it may be a password, and is not repeated.
        return Err(format!("{WANTED}, without a user or a password; a password has a key of its own"));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("{WANTED}, without `{}://`", short(scheme)));
    }
    let wrong = || format!("{WANTED}, not \"{}\"", short(text));
    if text.parse::<Ipv6Addr>().is_ok() || text.starts_with('[') && text.ends_with(']') {
        return Err(format!("{}; an IPv6 address with its port is written \"[::1]:6379\"", wrong()));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) if address.contains(':') => address,
        Some(_) => return Err(wrong()),
        None if host.contains(':') => {
            return Err(format!("{}; an IPv6 address is written in brackets: \"[::1]:6379\"", wrong()));
        }
        None => host,
    };
    if !is_host(host) {
        return Err(wrong());
    }
    // `u16` would take a `+`.
    let port = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    match port.and_then(|port| port.parse().ok()) {
        Some(port) if port > 0 => Ok((host.to_owned(), port)),
        _ => Err(format!("must have a port from 1 to 65535 after its last colon, not \"{}\"", short(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_its_port() {
        for (text, host, port) in [
            ("queue.example.org:6379", "queue.example.org", 6379),
            ("redis_1:1", "redis_1", 1),
            ("10.0.0.1:65535", "10.0.0.1", 65535),
            ("[::1]:80", "::1", 80),
            ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ] {
            assert_eq!(host_and_port(text), Ok((host.to_owned(), port)), "{text}");
            assert!(is_host(host), "{host}");
        }
        for text in [
            "",
            ":",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "a:+1",
            "a: 1",
            "a b:1",
            "[a]:1",
            "[]:1",
            "[::1]",
            "::1",
            "::1:80",
            "[::1]80",
            "a:1:2",
            "http://a:1",
            "u:p@a:1",
            "ä:1",
            "a/b:1",
            "[::1%]:1",
            "\n:1",
            "-a:1",
        ] {
            let what = host_and_port(text).expect_err(text);
            assert!(what.starts_with("must "), "{what}");
        }
        assert!(!host_and_port("redis://:hunter2@a:1").expect_err("a URL").contains("hunter2"));
        assert!(!is_host(&"a".repeat(254)) && is_host(&"a".repeat(253)));
    }
}
