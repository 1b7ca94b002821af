//! Where variables stand: the texts of a container that are filled in, and the pieces of such a text.

use longshore_plugin_api::Container;

use super::{Variable, judge::Problem};
use crate::spot::short;

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
    pub(super) fn within(self) -> String {
        match self {
            Self::Command => String::new(),
            Self::Arg(at) => format!(" in number {}", at + 1),
            Self::Env(name) => format!(" in `{}`", short(name)),
        }
    }
}

/// The texts of a container that are filled in.
pub(super) fn texts(container: &Container) -> impl Iterator<Item = (Place<'_>, &str)> {
    let command = container.command.iter().map(|text| (Place::Command, text.as_str()));
    let args = container.args.iter().enumerate().map(|(at, text)| (Place::Arg(at), text.as_str()));
    let env = container.env.iter().map(|(name, text)| (Place::Env(name), text.as_str()));
    command.chain(args).chain(env)
}

/// The first variable in a text in which none is filled in.
pub(crate) fn first_in(text: &str) -> Option<Variable> {
    pieces(text).find_map(|piece| match piece {
        Piece::Variable(Ok(variable)) => Some(variable),
        _ => None,
    })
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// As it shall stand.
    Plain(&'a str),
    /// `${...}`.
    Variable(Result<Variable, Problem<'a>>),
}

pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
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
