//! What a container may not have: variables that are not known, that can have no value there, or that are too many.

use longshore_plugin_api::Container;

use super::{
    NO_HOST, NO_PASSWORD, NO_PORT, NO_SERVER, NO_WORKERS, VARIABLES_LIMIT, Variable,
    text::{Piece, Place, pieces, texts},
};
use crate::{
    keys::nearest,
    server::{ServerConfig, ServerSource},
    spot::short,
};

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
    pub(super) fn lacks(self, variable: Variable) -> Option<&'static str> {
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
