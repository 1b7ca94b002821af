//! The names and labels of what this provider makes: all that is ever known of it lies in the engine.
//!
//! A container is called `<namespace>.<cluster>.<token>.<index>`, which is also its handle. A namespace and a token have no dots,
//! so that no two launches share a name, however their clusters are called; and a token is never used twice, so that no name is.
//! That the handle is the name, and not the engine's id, lets a token that is sent again be answered from the token alone.

use std::collections::HashMap;

/// What the provider's own labels begin with.
pub(crate) const PREFIX: &str = "io.longshore.";
/// Whose it is: the namespace.
pub(crate) const OWNER: &str = "io.longshore.owner";
/// The cluster.
pub(crate) const CLUSTER: &str = "io.longshore.cluster";
/// What it is: see [`Role`].
pub(crate) const ROLE: &str = "io.longshore.role";
/// The launch's token.
pub(crate) const TOKEN: &str = "io.longshore.token";
/// The container's place in its launch, from 0.
pub(crate) const INDEX: &str = "io.longshore.index";
/// The workers in the container.
pub(crate) const WORKERS: &str = "io.longshore.workers";
/// The launch's size: all workers, and the most in a container, as `10/4`.
pub(crate) const LAUNCH: &str = "io.longshore.launch";
/// The handle.
pub(crate) const HANDLE: &str = "io.longshore.handle";
/// The port that the server listens on.
pub(crate) const PORT: &str = "io.longshore.port";
/// Of a receipt: which containers were made, as `0-3,5`.
pub(crate) const MADE: &str = "io.longshore.made";
/// Of a receipt: why not all were.
pub(crate) const WHY: &str = "io.longshore.why";
/// Of a receipt: whether asking again may help.
pub(crate) const RETRYABLE: &str = "io.longshore.retryable";
/// Of a receipt: when it was written, in seconds since 1970.
pub(crate) const AT: &str = "io.longshore.at";

/// The longest name of a cluster, in bytes.
const CLUSTER_LIMIT: usize = 128;
/// The longest token, in bytes.
const TOKEN_LIMIT: usize = 64;

/// What something of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A container with workers.
    Worker,
    /// A cluster's server.
    Server,
    /// A cluster's network.
    Network,
    /// What remembers a launch.
    Receipt,
}

impl Role {
    /// The label's text.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Server => "server",
            Self::Network => "network",
            Self::Receipt => "receipt",
        }
    }
}

/// A cluster in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) owner: String,
    pub(crate) cluster: String,
}

impl Place {
    pub(crate) fn new(owner: &str, cluster: &str) -> Self {
        Self { owner: owner.to_owned(), cluster: cluster.to_owned() }
    }

    /// The name of the cluster's server.
    pub(crate) fn server(&self) -> String {
        format!("{}.{}.server", self.owner, self.cluster)
    }

    /// The name of the cluster's network.
    pub(crate) fn network(&self) -> String {
        format!("{}.{}.network", self.owner, self.cluster)
    }

    /// The handle, and the name, of a container.
    pub(crate) fn handle(&self, token: &str, index: u32) -> String {
        format!("{}.{}.{token}.{index}", self.owner, self.cluster)
    }

    /// The name of the volume that remembers a launch.
    pub(crate) fn receipt(&self, token: &str) -> String {
        format!("{}.{}.{token}.receipt", self.owner, self.cluster)
    }

    /// The labels that everything of a role has.
    pub(crate) fn labels(&self, role: Role) -> HashMap<String, String> {
        [(OWNER, self.owner.as_str()), (CLUSTER, &self.cluster), (ROLE, role.text())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// What the engine's lists are asked for to show things of this place.
    pub(crate) fn filter(&self, role: Option<Role>) -> Vec<String> {
        let role = role.map(|role| format!("{ROLE}={}", role.text()));
        [format!("{OWNER}={}", self.owner), format!("{CLUSTER}={}", self.cluster)]
            .into_iter()
            .chain(role)
            .collect()
    }
}

/// What is wrong with the name of a cluster or with a token; nothing where the engine takes it for a part of a name.
pub(crate) fn fault(cluster: &str, token: Option<&str>) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=CLUSTER_LIMIT).contains(&cluster.len()) || !cluster.bytes().all(plain) {
        return Some(format!(
            "the cluster's name {cluster:?} cannot be part of a container's: it must be 1 to {CLUSTER_LIMIT} letters, digits, \
             '-', '_' and '.'"
        ));
    }
    let token = token.filter(|token| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !(1..=TOKEN_LIMIT).contains(&token.len()) || !token.bytes().all(plain)
    })?;
    Some(format!(
        "the token {token:?} cannot be part of a container's name: it must be 1 to {TOKEN_LIMIT} letters, digits and '-'"
    ))
}

/// Numbers in order, as text: `0-3,5`.
pub(crate) fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let one = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}

/// The numbers of a text that [`ranges`] made, all below `limit`; nothing for any other text.
pub(crate) fn numbers(text: &str, limit: u32) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        let follows = numbers.last().is_none_or(|before| *before < first);
        if first > last || last >= limit || !follows {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_launches_share_a_name() {
        let handle =
            |cluster: &str, token: &str, index| Place::new("longshore", cluster).handle(token, index);
        assert_eq!(handle("c", "t", 0), "longshore.c.t.0");
        assert_ne!(handle("a-b", "c", 0), handle("a", "b-c", 0));
        assert_ne!(handle("a", "b", 0), Place::new("longshore", "a").receipt("b"));
        assert!(handle(&"c".repeat(CLUSTER_LIMIT), &"t".repeat(TOKEN_LIMIT), u32::MAX).len() <= 256);
    }

    #[test]
    fn names_that_the_engine_does_not_take_are_told() {
        for (cluster, token) in
            [("", "t"), ("a/b", "t"), ("ä", "t"), ("c", ""), ("c", "a.b"), ("c", "a b"), ("c d", "t")]
        {
            assert!(fault(cluster, Some(token)).is_some(), "{cluster:?} {token:?}");
        }
        for (cluster, token) in [("c", "t"), ("-a..b_", "--t--"), (&*"c".repeat(128), &*"t".repeat(64))] {
            assert_eq!(fault(cluster, Some(token)), None);
        }
    }

    #[test]
    fn numbers_come_back_as_they_were_written() {
        for list in [vec![], vec![0], vec![0, 1, 2, 3, 5], vec![7, 9, 10]] {
            assert_eq!(numbers(&ranges(&list), 11), Some(list));
        }
        assert_eq!(ranges(&[0, 1, 2, 3, 5]), "0-3,5");
        for text in ["x", "3-1", "0-4000000000", "1,1", "2,1", "-"] {
            assert_eq!(numbers(text, 11), None, "{text}");
        }
    }
}
