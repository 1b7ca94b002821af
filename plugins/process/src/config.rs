//! The provider's configuration: as an operator writes it, and as the provider uses it once it was checked.

use std::{
    env,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use longshore_plugin_api::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest grace: an hour.
const GRACE_LIMIT: Duration = Duration::from_hours(1);
/// The smallest log limit other than 0: what one page of text takes.
const LOG_LIMIT_LEAST: u64 = 4096;
/// The longest host name, in bytes, as resolvers have it.
const HOST_LIMIT: usize = 253;

/// The configuration of the process provider. Every field may be left out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder that holds the records and logs of the workers: an absolute path on a local file system, for this
    /// machine and one host alone. Left out: `$XDG_STATE_HOME/longshore/process`, or `~/.local/state/longshore/process`.
    pub root: Option<PathBuf>,
    /// How long a worker may take to end after SIGTERM, before SIGKILL: a number of seconds, or a text such as `"1m 30s"`.
    /// 0 to 1 hour; 10 seconds unless said otherwise.
    pub grace: Time,
    /// How much of each of a container's two log files (output and errors) is kept: a number of bytes, or a text such as
    /// `"10 MiB"`. At least 4096; 0 keeps no logs at all. 10 MiB unless said otherwise.
    pub log_limit: Size,
    /// What workers inherit of the host's environment: `true` all of it, `false` nothing, or the names of the variables.
    pub inherit_env: InheritEnv,
    /// How many launches whose workers have all stopped keep their logs, in each cluster. The oldest go first. Of servers
    /// that have stopped, it is this number or 3, whichever is smaller.
    pub keep_stopped: u32,
    /// Where workers reach a cluster's server: an address or a host name of this machine, without a port. `127.0.0.1` unless
    /// said otherwise.
    pub server_host: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: None,
            grace: Time::Text("10s".to_owned()),
            log_limit: Size::Text("10 MiB".to_owned()),
            inherit_env: InheritEnv::All(true),
            keep_stopped: 100,
            server_host: "127.0.0.1".to_owned(),
        }
    }
}

/// A span of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of seconds, or a text such as \"10s\"")]
pub enum Time {
    /// Seconds; fractions count.
    Seconds(#[schemars(range(min = 0, max = 3600))] f64),
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

/// What a worker inherits of the host's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false, or a list of names of variables")]
pub enum InheritEnv {
    /// All of it, or nothing.
    All(bool),
    /// The variables of these names, where the host has them.
    Names(Vec<String>),
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) root: PathBuf,
    pub(crate) grace: Duration,
    /// Bytes for each log; 0 for none.
    pub(crate) log_limit: u64,
    pub(crate) inherit_env: InheritEnv,
    pub(crate) keep_stopped: usize,
    pub(crate) server_host: String,
}

impl TryFrom<Config> for Settings {
    type Error = Error;

    fn try_from(config: Config) -> Result<Self, Error> {
        Ok(Self {
            root: root(config.root)?,
            grace: grace(&config.grace)?,
            log_limit: log_limit(&config.log_limit)?,
            inherit_env: inherit_env(config.inherit_env)?,
            keep_stopped: usize::try_from(config.keep_stopped).unwrap_or(usize::MAX),
            server_host: server_host(config.server_host)?,
        })
    }
}

fn root(root: Option<PathBuf>) -> Result<PathBuf, Error> {
    let absolute = |path: &Path| path.is_absolute();
    if let Some(root) = root {
        // A path that depends on where the host was started would lose the workers of a host started elsewhere.
        return Some(root).filter(|root| absolute(root)).ok_or_else(|| {
            Error::config(
                "root",
                "the path is not absolute; write it from / on (a leading ~ is not expanded)",
            )
        });
    }
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| absolute(path));
    folder("XDG_STATE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("longshore/process"))
        .ok_or_else(|| {
            Error::config("root", "it is missing, and neither XDG_STATE_HOME nor HOME is set; name a folder")
        })
}

fn grace(time: &Time) -> Result<Duration, Error> {
    let wrong = |why: &dyn std::fmt::Display| {
        Error::config(
            "grace",
            format_args!("{why}; write seconds, or a text such as \"10s\", up to one hour"),
        )
    };
    let grace = match time {
        Time::Seconds(seconds) => Duration::try_from_secs_f64(*seconds).map_err(|e| wrong(&e))?,
        Time::Text(text) => humantime::parse_duration(text).map_err(|e| wrong(&e))?,
    };
    if grace > GRACE_LIMIT { Err(wrong(&"it is longer than one hour")) } else { Ok(grace) }
}

fn log_limit(size: &Size) -> Result<u64, Error> {
    let bytes = match size {
        Size::Bytes(bytes) => *bytes,
        Size::Text(text) => text
            .parse::<ByteSize>()
            .map_err(|e| {
                Error::config("log_limit", format_args!("{e}; write bytes, or a text such as \"10 MiB\""))
            })?
            .as_u64(),
    };
    if bytes == 0 || bytes >= LOG_LIMIT_LEAST {
        return Ok(bytes);
    }
    Err(Error::config(
        "log_limit",
        format_args!("{bytes} bytes are too few; write {LOG_LIMIT_LEAST} or more, or 0 to keep no logs"),
    ))
}

fn inherit_env(inherit: InheritEnv) -> Result<InheritEnv, Error> {
    if let InheritEnv::Names(names) = &inherit
        && let Some(wrong) = names.iter().position(|name| !is_variable_name(name))
    {
        let field = format!("inherit_env[{wrong}]");
        return Err(Error::config(
            field,
            "a variable's name is not empty and has neither '=' nor a zero byte",
        ));
    }
    Ok(inherit)
}

fn server_host(host: String) -> Result<String, Error> {
    // A name as resolvers take it, with `_` as some networks have it; whether it leads anywhere, only its users can tell.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_name = (1..=HOST_LIMIT).contains(&host.len()) && host.bytes().all(is_plain);
    if is_name || host.parse::<IpAddr>().is_ok() {
        return Ok(host);
    }
    let wrong = "it is no address and no host name; write one alone, such as \"127.0.0.1\", \"::1\" or \"node-1.lan\": the \
                 port is the cluster's";
    Err(Error::config("server_host", wrong))
}

/// Whether the system takes a text for a variable's name.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::ErrorKind;
    use serde_json::json;

    use super::*;

    fn read(mut config: serde_json::Value) -> Result<Settings, Error> {
        if config.get("root").is_none() {
            config["root"] = "/r".into();
        }
        serde_json::from_value::<Config>(config).expect("it has the shape of the schema").try_into()
    }

    #[test]
    fn everything_may_be_left_out() {
        let settings = read(json!({})).expect("the defaults are valid");
        assert_eq!(settings.grace, Duration::from_secs(10));
        assert_eq!(settings.log_limit, 10 << 20);
        assert_eq!(settings.inherit_env, InheritEnv::All(true));
        assert_eq!(settings.server_host, "127.0.0.1");
    }

    #[test]
    fn a_server_s_host_is_an_address_or_a_name() {
        for host in ["10.0.0.7", "::1", "fe80::1", "node-1", "node_1.lan", &"x".repeat(253)] {
            let settings = read(json!({"server_host": host})).expect("it can be reached so");
            assert_eq!(settings.server_host, host);
        }
        for host in ["", "a b", "node:6379", "[::1]", "tcp://node", "ä.de", "a\0", &"x".repeat(254)] {
            let error = read(json!({"server_host": host})).expect_err("nobody reaches it so");
            assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("server_host")), "{host:?}");
        }
    }

    #[test]
    fn times_and_sizes_are_numbers_or_texts() {
        let settings = read(json!({"grace": 0.25, "log_limit": 8192})).expect("numbers");
        assert_eq!((settings.grace, settings.log_limit), (Duration::from_millis(250), 8192));
        let settings = read(json!({"grace": "1m 30s", "log_limit": "2 MB"})).expect("texts");
        assert_eq!((settings.grace, settings.log_limit), (Duration::from_secs(90), 2_000_000));
    }

    #[test]
    fn a_wrong_value_names_its_field() {
        for (config, field) in [
            (json!({"root": "state"}), "root"),
            (json!({"grace": -1}), "grace"),
            (json!({"grace": "soon"}), "grace"),
            (json!({"grace": 1e300}), "grace"),
            (json!({"grace": "2h"}), "grace"),
            (json!({"log_limit": "much"}), "log_limit"),
            (json!({"log_limit": 100}), "log_limit"),
            (json!({"inherit_env": ["PATH", "A=B"]}), "inherit_env[1]"),
        ] {
            let error = read(config.clone()).expect_err("it is wrong");
            assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some(field)), "{config}");
        }
    }

    #[test]
    fn a_wrong_shape_is_an_error_that_says_what_was_expected() {
        // The field's name is put in front of these by whoever reads the whole document.
        for (config, words) in [
            (json!({"grace": true}), "a number of seconds"),
            (json!({"log_limit": -5}), "a number of bytes"),
            (json!({"inherit_env": 3}), "a list of names"),
            (json!({"graze": 3}), "graze"),
        ] {
            let error =
                serde_json::from_value::<Config>(config.clone()).expect_err("it is wrong").to_string();
            assert!(error.contains(words), "{config}: {error}");
        }
    }

    #[test]
    fn the_schema_has_every_field_and_no_other() {
        let schema = schemars::schema_for!(Config).to_value();
        let fields = schema["properties"].as_object().expect("an object").keys();
        let mut fields: Vec<_> = fields.map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["grace", "inherit_env", "keep_stopped", "log_limit", "root", "server_host"]);
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
