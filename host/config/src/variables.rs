//! The variables of a container: `${server.host}` and the like in its `command`, its `args` and the values of its `env`.
//! They are judged where a configuration is checked, and filled in for each launch. A value is put in as it is: what looks
//! like a variable in it is none.
//!
//! `$${` stands for `${`; every other `$` is left alone. So a text without `${` is what it was before there were variables.
//!
//! ```
//! use longshore_config::{Secret, ServerValues, Values, fill};
//! use longshore_plugin_api::Container;
//!
//! let server = ServerValues { host: Some("10.0.0.7"), port: Some(6379), ..ServerValues::default() };
//! let values = Values { cluster: "web", worker_count: Some(4), server: Some(server) };
//! let args = ["--join", "${server.host}:${server.port}", "-c", "echo $${HOME} $$"];
//! let container = Container { args: args.map(str::to_owned).into(), ..Container::default() };
//!
//! let filled = fill(&container, &values).expect("all have a value");
//! assert_eq!(filled.args, ["--join", "10.0.0.7:6379", "-c", "echo ${HOME} $$"]);
//! ```

mod judge;
mod text;

use std::borrow::Cow;

use longshore_plugin_api::Container;

use self::text::{Piece, pieces, texts};
pub(crate) use self::{
    judge::{Owner, Problem, judge},
    text::{Place, first_in},
};
use crate::secret::Secret;

/// The most variables that one container may have, so that what they become is bounded as well.
pub const VARIABLES_LIMIT: usize = 1000;

/// What a container can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variable {
    /// `${cluster.name}`: the cluster's name.
    ClusterName,
    /// `${server.host}`: the name or the address of the server's host.
    ServerHost,
    /// `${server.port}`: the server's port.
    ServerPort,
    /// `${server.password}`: the server's password.
    ServerPassword,
    /// `${worker.count}`: how many workers this container holds.
    WorkerCount,
}

impl Variable {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ServerHost, Self::ServerPort, Self::ServerPassword, Self::ClusterName, Self::WorkerCount];

    /// What stands between the braces.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterName => "cluster.name",
            Self::ServerHost => "server.host",
            Self::ServerPort => "server.port",
            Self::ServerPassword => "server.password",
            Self::WorkerCount => "worker.count",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variable| variable.name() == name)
    }

    /// Whether it is about the server.
    pub(crate) fn is_of_server(self) -> bool {
        matches!(self, Self::ServerHost | Self::ServerPort | Self::ServerPassword)
    }
}

/// What the variables of one container stand for.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// How many workers the container holds; `None` for the server's own.
    pub worker_count: Option<u32>,
    /// The cluster's server; `None` where it has none.
    pub server: Option<ServerValues<'a>>,
}

/// What is known of a cluster's server.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerValues<'a> {
    /// The name or the address of its host; `None` for the server's own container, which is not there yet.
    pub host: Option<&'a str>,
    /// Its port, where it has one that is known.
    pub port: Option<u16>,
    /// Its password, where it has one.
    pub password: Option<&'a Secret>,
}

/// Why a container cannot be filled in. No value is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {what}")]
pub struct FillError {
    /// `command`, `args` or `env`.
    pub key: &'static str,
    /// What is wrong in it and what to do, to follow on the key's name.
    pub what: String,
}

/// The same container with a value for each variable in its `command`, its `args` and the values of its `env`.
///
/// # Errors
///
/// A variable is not known, is not complete or has no value; or there are more than [`VARIABLES_LIMIT`].
pub fn fill(container: &Container, values: &Values<'_>) -> Result<Container, FillError> {
    let mut filler = Filler { values, left: VARIABLES_LIMIT };
    let command = container.command.as_deref().map(|text| filler.fill(text, Place::Command)).transpose()?;
    let arg = |(at, text): (usize, &String)| filler.fill(text, Place::Arg(at));
    let args = container.args.iter().enumerate().map(arg).collect::<Result<_, _>>()?;
    let variable =
        |(name, text): (&String, &String)| Ok((name.clone(), filler.fill(text, Place::Env(name))?));
    let env = container.env.iter().map(variable).collect::<Result<_, _>>()?;
    Ok(Container { command, args, env, ..container.clone() })
}

/// Whether a container has a variable.
pub fn uses(container: &Container, variable: Variable) -> bool {
    texts(container).any(|(_, text)| {
        pieces(text).any(|piece| matches!(piece, Piece::Variable(Ok(found)) if found == variable))
    })
}

struct Filler<'a> {
    values: &'a Values<'a>,
    /// How many more variables there may be.
    left: usize,
}

impl Filler<'_> {
    fn fill(&mut self, text: &str, place: Place<'_>) -> Result<String, FillError> {
        let in_place = |problem: Problem<'_>| FillError { key: place.key(), what: problem.what(place) };
        let mut filled = String::with_capacity(text.len());
        for piece in pieces(text) {
            let variable = match piece {
                Piece::Plain(plain) => {
                    filled.push_str(plain);
                    continue;
                }
                Piece::Variable(variable) => variable.map_err(in_place)?,
            };
            self.left = self.left.checked_sub(1).ok_or_else(|| in_place(Problem::TooMany))?;
            let value = self.values.of(variable);
            filled.push_str(&value.map_err(|why| in_place(Problem::NoValue(variable, why)))?);
        }
        Ok(filled)
    }
}

const NO_SERVER: &str = "the cluster has no server; add [cluster.server]";
const NO_HOST: &str = "the address of a server is known only once it runs";
const NO_PORT: &str = "no port is known; set `port` in [cluster.server]";
const NO_PASSWORD: &str = "the server has none; set `password` in [cluster.server]";
const NO_WORKERS: &str = "the container of a server holds no workers";

impl Values<'_> {
    fn of(&self, variable: Variable) -> Result<Cow<'_, str>, &'static str> {
        let server = || self.server.ok_or(NO_SERVER);
        match variable {
            Variable::ClusterName => Ok(self.cluster.into()),
            Variable::WorkerCount => {
                self.worker_count.map(|count| count.to_string().into()).ok_or(NO_WORKERS)
            }
            Variable::ServerHost => server()?.host.map(Cow::Borrowed).ok_or(NO_HOST),
            Variable::ServerPort => server()?.port.map(|port| port.to_string().into()).ok_or(NO_PORT),
            Variable::ServerPassword => {
                server()?.password.map(|password| password.reveal().into()).ok_or(NO_PASSWORD)
            }
        }
    }
}

#[cfg(test)]
mod tests;
