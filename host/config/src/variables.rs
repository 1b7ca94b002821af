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

use std::borrow::Cow;

use longshore_plugin_api::Container;

use crate::{
    keys::nearest,
    secret::Secret,
    server::{ServerConfig, ServerSource},
    spot::short,
};

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

/// Whose container it is: what its variables can stand for when it is launched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    /// The workers', of a cluster with this server.
    Workers(Option<&'a ServerConfig>),
    /// This server's own.
    Server(&'a ServerConfig),
}

impl Owner<'_> {
    /// Why a variable can have no value here.
    fn lacks(self, variable: Variable) -> Option<&'static str> {
        let (server, is_own) = match self {
            Self::Workers(server) => (server, false),
            Self::Server(server) => (Some(server), true),
        };
        match variable {
            Variable::ClusterName => return None,
            Variable::WorkerCount => return is_own.then_some(NO_WORKERS),
            _ => {}
        }
        let Some(server) = server else { return Some(NO_SERVER) };
        match (variable, &server.source) {
            (Variable::ServerHost, _) if is_own => Some(NO_HOST),
            // The provider may assign one, of which a worker can be told.
            (Variable::ServerPort, ServerSource::Managed { port: None, .. }) if is_own => Some(NO_PORT),
            (Variable::ServerPassword, ServerSource::External { .. }) if server.password.is_none() => {
                Some(NO_PASSWORD)
            }
            _ => None,
        }
    }
}

/// What is wrong with a variable in a container.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) problem: Problem<'a>,
}

/// Finds what is wrong with the variables of a container, in their order. Of too many, the first too many is the last that
/// is looked at.
pub(crate) fn judge<'a>(container: &'a Container, owner: Owner<'a>) -> impl Iterator<Item = Found<'a>> {
    let variables = texts(container).flat_map(|(place, text)| {
        pieces(text).filter_map(move |piece| match piece {
            Piece::Plain(_) => None,
            Piece::Variable(variable) => Some((place, variable)),
        })
    });
    variables.take(VARIABLES_LIMIT + 1).enumerate().filter_map(move |(count, (place, variable))| {
        let problem = match variable {
            _ if count == VARIABLES_LIMIT => Problem::TooMany,
            Ok(variable) => Problem::NoValue(variable, owner.lacks(variable)?),
            Err(problem) => problem,
        };
        Some(Found { place, problem })
    })
}

/// The first variable in a text in which none is filled in.
pub(crate) fn first_in(text: &str) -> Option<Variable> {
    pieces(text).find_map(|piece| match piece {
        Piece::Variable(Ok(variable)) => Some(variable),
        _ => None,
    })
}

/// The texts of a container that are filled in.
fn texts(container: &Container) -> impl Iterator<Item = (Place<'_>, &str)> {
    let command = container.command.iter().map(|text| (Place::Command, text.as_str()));
    let args = container.args.iter().enumerate().map(|(at, text)| (Place::Arg(at), text.as_str()));
    let env = container.env.iter().map(|(name, text)| (Place::Env(name), text.as_str()));
    command.chain(args).chain(env)
}

/// Which text of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Command,
    /// From 0.
    Arg(usize),
    /// The name of an environment's variable.
    Env(&'a str),
}

impl Place<'_> {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Arg(_) => "args",
            Self::Env(_) => "env",
        }
    }

    /// Which of several, in words that follow on a noun.
    fn within(self) -> String {
        match self {
            Self::Command => String::new(),
            Self::Arg(at) => format!(" in number {}", at + 1),
            Self::Env(name) => format!(" in `{}`", short(name)),
        }
    }
}

/// What can be wrong with a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem<'a> {
    /// No variable has this name.
    Unknown(&'a str),
    /// Its brace is not closed.
    Open,
    /// It can have no value there, and why.
    NoValue(Variable, &'static str),
    /// It is one too many.
    TooMany,
}

impl Problem<'_> {
    /// What is wrong, to follow on the name of the key.
    pub(crate) fn what(self, place: Place<'_>) -> String {
        let within = place.within();
        match self {
            Self::Unknown(name) => {
                let (advice, name) = (advice(name), short(name));
                format!("has `${{{name}}}`{within}, which is no variable; {advice}")
            }
            Self::Open => format!("has a `${{`{within} without its `}}`; for a plain `${{`, write `$${{`"),
            Self::NoValue(variable, why) => {
                format!("has `${{{}}}`{within}, which has no value there: {why}", variable.name())
            }
            Self::TooMany => format!("has more than {VARIABLES_LIMIT} variables, those before it counted"),
        }
    }
}

/// What to write instead of a variable that is not known.
fn advice(name: &str) -> String {
    if let Some(meant) = nearest(name.trim(), Variable::ALL.map(Variable::name)) {
        let plain = if is_shells(name) {
            format!(", or `$${{{}}}` for the shell's", short(name))
        } else {
            String::new()
        };
        return format!("did you mean `${{{meant}}}`{plain}?");
    }
    if is_shells(name) {
        return format!("for the shell's, write `$${{{}}}`", short(name));
    }
    let all = Variable::ALL.map(|variable| format!("`${{{}}}`", variable.name()));
    format!("there are {}; for a plain `${{`, write `$${{`", all.join(", "))
}

/// Whether a shell may have been meant to read it: `${HOME}`, `${1}`, `${name:-nobody}`.
fn is_shells(name: &str) -> bool {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let head = &name[..name.len() - rest.len()];
    let is_constant = !head.is_empty() && !head.contains(|c: char| c.is_ascii_lowercase());
    (rest.is_empty() && is_constant)
        || (!head.is_empty() && rest.starts_with([':', '-', '+', '=', '?', '#', '%', '/']))
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// As it shall stand.
    Plain(&'a str),
    /// `${...}`.
    Variable(Result<Variable, Problem<'a>>),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(after) = rest.strip_prefix("$${") {
            rest = after;
            return Some(Piece::Plain("${"));
        }
        if let Some(after) = rest.strip_prefix("${") {
            let (name, after) = match after.split_once('}') {
                Some((name, after)) => (Ok(name), after),
                None => (Err(Problem::Open), ""),
            };
            rest = after;
            let named = |name| Variable::named(name).ok_or(Problem::Unknown(name));
            return Some(Piece::Variable(name.and_then(named)));
        }
        let end = match rest.find("${") {
            // The two before a brace belong together, wherever the dollars began.
            Some(at) if rest[..at].ends_with('$') => at - 1,
            Some(at) => at,
            None => rest.len(),
        };
        let plain;
        (plain, rest) = rest.split_at(end);
        Some(Piece::Plain(plain))
    })
}

#[cfg(test)]
mod tests;
