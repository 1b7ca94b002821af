//! Names that become paths and handles, and what they name. Nothing that comes from outside reaches a path without passing
//! here.

use std::fmt;

/// The longest name of a cluster or token, in bytes.
pub(crate) const NAME_LIMIT: usize = 128;

/// What a name may be, for error messages.
pub(crate) const NAME_RULE: &str = "1 to 128 letters, digits, '-', '_' and '.', not beginning with '.'";

/// Whether a name may stand in a path: see [`NAME_RULE`]. So it is neither `..` nor hidden, and holds no `/`.
pub(crate) fn is_valid(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // A token may begin with '-', which harms nobody in the midst of a path.
    (1..=NAME_LIMIT).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// What a unit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Workers.
    Launch,
    /// A cluster's server: a unit of one container, under a token of our own.
    Server,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Launch, Self::Server];
}

/// What is started as one, and has a folder of its own: a launch, or a server. A server that is started anew is another
/// unit, so that nothing that is known of the one before is ever taken for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unit<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) kind: Kind,
    pub(crate) token: &'a str,
}

impl<'a> Unit<'a> {
    pub(crate) fn launch(cluster: &'a str, token: &'a str) -> Self {
        Self { cluster, kind: Kind::Launch, token }
    }

    pub(crate) fn server(cluster: &'a str, token: &'a str) -> Self {
        Self { cluster, kind: Kind::Server, token }
    }

    /// Its container of an index.
    pub(crate) fn container(self, index: u32) -> Spot<'a> {
        Spot { unit: self, index }
    }
}

impl fmt::Display for Unit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Launch => write!(f, "launch {}", self.token),
            Kind::Server => write!(f, "the server of cluster {}", self.cluster),
        }
    }
}

/// One container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spot<'a> {
    pub(crate) unit: Unit<'a>,
    pub(crate) index: u32,
}

impl<'a> Spot<'a> {
    /// The container of a handle in a cluster; nothing where no handle of ours reads so. A server has no handle.
    pub(crate) fn of_handle(cluster: &'a str, text: &'a str) -> Option<Self> {
        let Handle { token, index } = Handle::parse(text)?;
        Some(Unit::launch(cluster, token).container(index))
    }
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit.kind {
            Kind::Launch => {
                write!(f, "handle {}", Handle { token: self.unit.token, index: self.index }.text())
            }
            Kind::Server => self.unit.fmt(f),
        }
    }
}

/// A handle taken apart: the container of one index in the launch of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handle<'a> {
    pub(crate) token: &'a str,
    pub(crate) index: u32,
}

impl<'a> Handle<'a> {
    /// Takes apart what [`text`](Self::text) made; nothing for any other text.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (token, index) = text.rsplit_once('-')?;
        let handle = Self { token, index: index.parse().ok()? };
        // "t-01" and "t-+1" are numbers too, but no handles of ours.
        (is_valid(token) && handle.text() == text).then_some(handle)
    }

    /// The handle's text: `<token>-<index>`.
    pub(crate) fn text(self) -> String {
        format!("{}-{}", self.token, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "a\0", "ä", &"x".repeat(129)] {
            assert!(!is_valid(name), "{name:?}");
        }
        for name in ["a", "c-1", "_x", "-x", "--", "1.2", "A_b-C.d", &"x".repeat(128)] {
            assert!(is_valid(name), "{name:?}");
        }
    }

    #[test]
    fn only_our_own_handles_are_taken_apart() {
        assert_eq!(Handle::parse("t-1-20"), Some(Handle { token: "t-1", index: 20 }));
        assert_eq!(Handle::parse("--t--1"), Some(Handle { token: "--t-", index: 1 }));
        for text in ["", "t", "t-", "-1", "t-01", "t-+1", "t--1x", "../t-1", "t-4294967296", "a/b-1"] {
            assert_eq!(Handle::parse(text), None, "{text:?}");
        }
    }
}
