//! Clusters, workers and durations in words. What a plugin said is shown without what a terminal would obey.

use std::{collections::BTreeSet, time::Duration};

use longshore_http::wire::{ClusterStatus, ServerLife, ServerStatus, ServingStatus, TriedStatus};
use longshore_scaling::{Desired, Reason, Standing, Time};

/// How much of a hash tells it from others.
const SHOWN_OF_HASH: usize = 12;

/// A foreign text for one line: control characters become spaces.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A foreign text of several lines.
pub(crate) fn clean_lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// An age or a length, in its two largest units: `3m 12s`.
pub(crate) fn span(duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_secs());
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// The commands that show a breach of the contract again: each is told once, on a line of its own.
#[derive(Debug, Default)]
pub(crate) struct Checks(BTreeSet<String>);

impl Checks {
    /// What follows a text that tells of a breach.
    pub(crate) fn of(&mut self, check: Option<&str>) -> String {
        match check.filter(|check| self.0.insert((*check).to_owned())) {
            Some(check) => format!("\n  to see it again:  {}", clean(check)),
            None => String::new(),
        }
    }
}

/// Where a cluster's workers are launched, and where they come from while it moves.
pub(crate) fn provider(cluster: &ClusterStatus) -> String {
    match &cluster.leaving {
        Some(left) => format!("{} <- {}", cluster.provider, left.provider),
        None => cluster.provider.clone(),
    }
}

/// What a cluster's calls go to, and whether that is on trial, in a line.
pub(crate) fn serving(provider: &str, serving: &ServingStatus, now: Time) -> String {
    let ServingStatus { generation, version: number, hash, standing, watched_until, tried } = serving;
    let version = |version: &str, hash: &str| format!("{} ({})", clean(version), short(hash));
    let mut parts = vec![format!("provider {provider}: generation {generation}, {}", version(number, hash))];
    if *standing == Standing::Tried {
        parts.push("this cluster alone tries it".to_owned());
    }
    parts.extend(watched_until.map(|until| format!("watched for another {}", span(until.since(now)))));
    if let Some(TriedStatus { cluster, generation, version: number, hash }) = tried {
        parts.push(format!("cluster {cluster} tries generation {generation}, {}", version(number, hash)));
    }
    parts.join("; ")
}

/// As much of a hash as tells it from others.
pub(crate) fn short(hash: &str) -> &str {
    hash.get(..SHOWN_OF_HASH).unwrap_or(hash)
}

/// What a cluster shall be.
pub(crate) fn desired(cluster: &ClusterStatus) -> String {
    match cluster.desired {
        Desired::Running if cluster.resting => "resting".to_owned(),
        Desired::Running => cluster.target().to_string(),
        Desired::Stopped => "stopped".to_owned(),
        Desired::Deleted => "deleted".to_owned(),
    }
}

/// How a cluster is, in a line.
pub(crate) fn summary(cluster: &ClusterStatus) -> String {
    let (name, target) = (&cluster.name, cluster.target());
    if cluster.converged {
        return match cluster.desired {
            Desired::Running if cluster.resting => format!("{name}: resting until the next host"),
            Desired::Running if target == 1 => format!("{name}: 1 worker running"),
            Desired::Running => format!("{name}: {target} workers running"),
            Desired::Stopped => format!("{name}: stopped"),
            Desired::Deleted => format!("{name}: all workers stopped"),
        };
    }
    let mut parts = Vec::new();
    if target > 0 || cluster.running > 0 {
        parts.push(format!("{}/{target} running", cluster.running));
    }
    let counts = [
        (cluster.launching, "launching"),
        (cluster.initializing, "initializing"),
        (cluster.terminating, "stopping"),
        (cluster.unknown, "unknown"),
        (cluster.strays, "of nobody's launch"),
    ];
    parts
        .extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    let why = cluster.reasons.iter().find(|reason| !is_count(&reason.reason));
    let why = why.map(|why| clean(&why.text));
    match (parts.is_empty(), why) {
        (true, Some(why)) => format!("{name}: {why}"),
        (false, Some(why)) => format!("{name}: {} ({why})", parts.join(", ")),
        (_, None) => format!("{name}: {}", parts.join(", ")),
    }
}

/// Whether a reason says no more than the counts do.
fn is_count(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Launching { .. }
            | Reason::LaunchesInFlight { .. }
            | Reason::Starting { .. }
            | Reason::Stopping { .. }
            | Reason::Killing { .. }
            | Reason::Stopped { .. }
            | Reason::Resting { .. }
            | Reason::Deleting
    )
}

/// How a server is, in a word.
pub(crate) fn server_phase(phase: ServerLife) -> &'static str {
    match phase {
        ServerLife::Down => "down",
        ServerLife::Starting => "starting",
        ServerLife::Up => "up",
        ServerLife::Lost => "lost",
        ServerLife::Stopping => "stopping",
    }
}

/// Where a server is reached, where that is known.
pub(crate) fn server_address(server: &ServerStatus) -> String {
    let Some(address) = server.address.as_deref().map(clean) else { return "not known yet".to_owned() };
    if server.is_up() { address } else { format!("{address}, where it was last") }
}

/// The first reason.
pub(crate) fn why(cluster: &ClusterStatus) -> Option<String> {
    cluster.reasons.first().map(|reason| clean(&reason.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (192, "3m 12s"), (7_322, "2h 2m"), (90_061, "1day 1h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_millis(1_999)), "1s");
    }

    #[test]
    fn what_serves_a_cluster_is_a_line() {
        let (now, hash) = (Time::from_millis(1_000), "ab".repeat(32));
        let settled = ServingStatus {
            generation: 1,
            version: "1.0.0".to_owned(),
            hash: hash.clone(),
            standing: Standing::Settled,
            watched_until: None,
            tried: None,
        };
        assert_eq!(serving("depot", &settled, now), "provider depot: generation 1, 1.0.0 (abababababab)");
        let until = Some(Time::from_millis(43_000));
        let watched = ServingStatus { standing: Standing::Watched, watched_until: until, ..settled.clone() };
        assert!(serving("depot", &watched, now).ends_with(" (abababababab); watched for another 42s"));
        let canary = ServingStatus { standing: Standing::Tried, ..watched };
        let told = serving("depot", &canary, now);
        assert!(told.ends_with("; this cluster alone tries it; watched for another 42s"), "{told}");
        let tried =
            TriedStatus { cluster: "db".to_owned(), generation: 2, version: "2.0.0".to_owned(), hash };
        let told = serving("depot", &ServingStatus { tried: Some(tried), ..settled }, now);
        assert!(told.ends_with("; cluster db tries generation 2, 2.0.0 (abababababab)"), "{told}");
    }

    #[test]
    fn a_check_is_told_once() {
        let mut checks = Checks::default();
        assert_eq!(checks.of(Some("look")), "\n  to see it again:  look");
        assert_eq!((checks.of(Some("look")), checks.of(None)), (String::new(), String::new()));
        assert_eq!(checks.of(Some("look\u{1b}")), "\n  to see it again:  look ");
    }

    #[test]
    fn a_terminal_obeys_nobody_but_us() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a [2Jb c");
        assert_eq!(clean_lines("a\u{1b}[2Jb\nc\r"), "a [2Jb\nc ");
    }
}
