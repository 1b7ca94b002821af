//! The specimen's configuration: as a person writes it, and checked.

use std::{path::PathBuf, time::Duration};

use longshore_plugin_api::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{crash::Crash, mutation::Mutation};

/// The longest that any of the times may be.
const LONGEST: Duration = Duration::from_mins(10);
/// What `limit` may be. The schema does not say so: `create` does.
const LIMITS: std::ops::RangeInclusive<i64> = 1..=100;

/// The configuration of the specimen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder that holds all that the provider knows: an absolute path. It is made where it is missing; instances with
    /// the same one see the same workers.
    pub root: PathBuf,
    /// How long a worker without a command, which is a record alone, is initializing, in milliseconds.
    #[serde(default)]
    pub start_ms: u64,
    /// How long a worker may take to end after SIGTERM, before SIGKILL, in milliseconds.
    #[serde(default = "default_grace")]
    pub grace_ms: u64,
    /// How long a run takes, in milliseconds.
    #[serde(default)]
    pub latency_ms: u64,
    /// The most workers that may live under the root at a time; without it, as many as one likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// Whether the backend is out of reach: every function fails.
    #[serde(default)]
    pub outage: bool,
    /// A number from 1 to 100 that is good for nothing: to see what becomes of a wrong one.
    #[serde(default = "default_limit")]
    pub limit: i64,
    /// The one thing that the provider does wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<Mutation>,
    /// The function in which the provider ends its process, or never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// More functions that do so, each in its own way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crashes: Vec<Crash>,
}

impl Config {
    /// All crashes.
    pub(crate) fn all_crashes(&self) -> Vec<Crash> {
        self.crash.iter().chain(&self.crashes).cloned().collect()
    }
}

const fn default_grace() -> u64 {
    200
}

const fn default_limit() -> i64 {
    50
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) root: PathBuf,
    pub(crate) start: Duration,
    pub(crate) grace: Duration,
    pub(crate) latency: Duration,
    pub(crate) capacity: Option<u64>,
    pub(crate) outage: bool,
    pub(crate) limit: i64,
    pub(crate) mutation: Option<Mutation>,
}

impl TryFrom<Config> for Settings {
    type Error = Error;

    fn try_from(config: Config) -> Result<Self, Error> {
        if !config.root.is_absolute() {
            return Err(Error::config("root", "the path is not absolute; write it from / on"));
        }
        if config.mutation == Some(Mutation::GoodConfigIsRefused) {
            return Err(Error::other("the configuration is not liked"));
        }
        if !LIMITS.contains(&config.limit) {
            let (least, most) = LIMITS.into_inner();
            let text = format!("{} is not from {least} to {most}", config.limit);
            match config.mutation {
                Some(Mutation::BadLimitIsTaken) => {}
                Some(Mutation::BadLimitHasNoField) => return Err(Error::other(text)),
                _ => return Err(Error::config("limit", text)),
            }
        }
        Ok(Self {
            root: config.root,
            start: time("start_ms", config.start_ms)?,
            grace: time("grace_ms", config.grace_ms)?,
            latency: time("latency_ms", config.latency_ms)?,
            capacity: config.capacity,
            outage: config.outage,
            limit: config.limit,
            mutation: config.mutation,
        })
    }
}

impl Settings {
    /// A limit that a mutant took, and cannot use.
    pub(crate) fn check_limit(&self) -> Result<(), Error> {
        if LIMITS.contains(&self.limit) {
            return Ok(());
        }
        Err(Error::permanent(format_args!("the limit {} cannot be used", self.limit)))
    }
}

fn time(field: &str, milliseconds: u64) -> Result<Duration, Error> {
    let time = Duration::from_millis(milliseconds);
    if time <= LONGEST {
        return Ok(time);
    }
    Err(Error::config(field, format_args!("it is longer than {} ms", LONGEST.as_millis())))
}
