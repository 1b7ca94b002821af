//! Why the host refuses something: what, where and, where the host knows it, what to do.

use std::time::Duration;

use longshore_config::ConfigError;
use longshore_providers::{CallError, CreateError, LoadError, NotFound};
use longshore_scaling::{Denied, SnapshotError, Trouble};
use longshore_store::JournalError;
use thiserror::Error;

use crate::{quarantine::Quarantined, swap::SwapError};

/// Why a command to a cluster was refused.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no cluster of that name.
    #[error("there is no cluster `{name}`{}", nearest.as_deref().map_or_else(
        || "; `longshore status` shows which there are".to_owned(),
        |nearest| suggestion(Some(nearest)),
    ))]
    NoSuchCluster {
        /// The name asked for.
        name: String,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
    /// The core denied it.
    #[error("cluster `{cluster}`: {denied}")]
    Denied {
        /// The cluster.
        cluster: String,
        /// Why.
        denied: Denied,
    },
    /// The cluster's loop ended by a fault of the host's own.
    #[error(
        "cluster `{cluster}` is not looked after any more: its loop failed, and the host's log says where; its workers \
         are untouched, and a new host finds them"
    )]
    Broken {
        /// The cluster.
        cluster: String,
    },
    /// Another host has claimed the cluster in the journal.
    #[error(
        "another host has taken cluster `{cluster}`, and this one leaves it alone: ask that host, or start this one \
         anew to take the cluster back"
    )]
    TakenAway {
        /// The cluster.
        cluster: String,
    },
    /// The provider can remove nothing.
    #[error(
        "cluster `{cluster}`: its provider has no cleanup; what its workers leave behind, if anything, is removed by hand"
    )]
    NoCleanUp {
        /// The cluster.
        cluster: String,
    },
    /// The provider failed to remove what is left of a cluster's stopped workers.
    #[error("cluster `{cluster}`: not all that was left behind could be removed: {trouble}")]
    CleanUp {
        /// The cluster.
        cluster: String,
        /// Why.
        trouble: Trouble,
    },
    /// A cluster has no server.
    #[error("cluster `{cluster}` has no server: its configuration has no [cluster.server]")]
    NoServer {
        /// The cluster.
        cluster: String,
    },
    /// No library that is quarantined is called so.
    #[error(
        "`{what}` names no library that is quarantined{}; name one by at least 12 digits of its hash, or by a provider that it is \
         quarantined for: `longshore plugin list` shows them",
        if hashes.is_empty() { ": there is none".to_owned() } else { format!(" ({} are)", hashes.join(", ")) }
    )]
    NotQuarantined {
        /// The name asked for.
        what: String,
        /// The hashes of those that are quarantined.
        hashes: Vec<String>,
    },
    /// Several libraries that are quarantined are called so.
    #[error("`{what}` names several libraries that are quarantined: name one by its hash: {}", hashes.join(", "))]
    SeveralQuarantined {
        /// The name asked for.
        what: String,
        /// Their hashes.
        hashes: Vec<String>,
    },
    /// It could not be made durable.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The host is shutting down.
    #[error("the host is shutting down")]
    ShuttingDown,
}

/// Why a configuration was refused. Nothing of it has taken effect, unless the error came up while its clusters were
/// brought about.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A provider's plugin was not found.
    #[error("provider `{provider}`: {why}")]
    NotFound {
        /// The provider.
        provider: String,
        /// What was looked for, and where.
        why: Box<NotFound>,
    },
    /// A provider's plugin cannot be loaded.
    #[error("provider `{provider}`: {why}")]
    Load {
        /// The provider.
        provider: String,
        /// Why.
        why: Box<LoadError>,
    },
    /// A provider cannot be made.
    #[error("provider `{provider}`: {why}")]
    Create {
        /// The provider.
        provider: String,
        /// Why.
        why: Box<CreateError>,
    },
    /// A provider's library is quarantined.
    #[error("provider `{provider}`: {why}")]
    Quarantined {
        /// The provider.
        provider: String,
        /// Which library, and why.
        why: Box<Quarantined>,
    },
    /// A provider is to run in a process of its own, and this host cannot start any.
    #[error(
        "provider `{provider}` is to run in a process of its own (`isolation = \"subprocess\"`), and this host is embedded in a program \
         that cannot be started as one: give it `isolation = \"in-process\"`, or run it with the `longshore` command"
    )]
    NoRunner {
        /// The provider.
        provider: String,
    },
    /// An earlier attempt to make a provider is still inside its plugin.
    #[error(
        "provider `{provider}` cannot be made: an earlier attempt is still inside its plugin after another {} s; it is \
         waited for, and only an end of the host gives it up",
        waited.as_secs_f64()
    )]
    StillBeingMade {
        /// The provider.
        provider: String,
        /// For how long this attempt waited.
        waited: Duration,
    },
    /// A server runs already, and its password is not known.
    #[error(
        "cluster `{cluster}`: a server of it runs already that this host does not know, and so does not know the password of: give \
         it as `password` in [cluster.server], or end that server first"
    )]
    PasswordUnknown {
        /// The cluster.
        cluster: String,
    },
    /// A provider that clusters use would change.
    #[error(
        "provider `{provider}` has another {what} than the one that runs or is waited for, and cluster `{cluster}` uses it; {}",
        remedy(provider, what)
    )]
    ProviderInUse {
        /// The provider.
        provider: String,
        /// `plugin` or `configuration`.
        what: &'static str,
        /// A cluster that uses it.
        cluster: String,
    },
    /// A cluster's provider is neither in the configuration nor in the host.
    #[error("cluster `{cluster}`: there is no provider `{provider}`{}", suggestion(nearest.as_deref()))]
    NoSuchProvider {
        /// The cluster.
        cluster: String,
        /// The provider.
        provider: String,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
    /// A cluster's provider is known and not there.
    #[error("cluster `{cluster}`: {trouble}")]
    ProviderNotThere {
        /// The cluster.
        cluster: String,
        /// The provider.
        provider: String,
        /// Why.
        trouble: Trouble,
    },
    /// A cluster that is to be taken over is not in the configuration.
    #[error("the configuration has no cluster `{cluster}`{}", suggestion(nearest.as_deref()))]
    NotConfigured {
        /// The cluster.
        cluster: String,
        /// The nearest name that it has.
        nearest: Option<String>,
    },
    /// A cluster that is to be taken over is not there.
    #[error(
        "provider `{provider}` knows no workers of a cluster `{cluster}`: there is nothing to take over; `longshore \
         apply` makes it anew"
    )]
    NothingRuns {
        /// The cluster.
        cluster: String,
        /// The provider.
        provider: String,
    },
    /// A cluster that is to be taken over cannot be looked at.
    #[error(
        "provider `{provider}` cannot tell which workers of cluster `{cluster}` run: {why}{}",
        check.as_deref().map(|check| format!("; to see it again: {check}")).unwrap_or_default()
    )]
    CannotLook {
        /// The cluster.
        cluster: String,
        /// The provider.
        provider: String,
        /// Why.
        why: Box<CallError>,
        /// The command that shows it again, where the provider broke a clause of the contract.
        check: Option<String>,
    },
    /// The system has no random numbers, which make a cluster's launch tokens unique.
    #[error("the system gave no random number for the cluster's tokens: {reason}")]
    NoRandomness {
        /// What the system said.
        reason: String,
    },
    /// A provider is not swapped, or not rolled back.
    #[error(transparent)]
    Swap(#[from] Box<SwapError>),
    /// A command that it comes down to was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl From<SwapError> for ApplyError {
    fn from(error: SwapError) -> Self {
        Self::Swap(Box::new(error))
    }
}

/// What there is to do about a provider that is in use and would be another.
fn remedy(provider: &str, what: &str) -> String {
    let apart = "give the new one another name, or delete the cluster first";
    if what == "plugin" {
        return format!(
            "`longshore swap {provider} --to FILE` goes over to another version of its plugin while its workers run; of another kind of \
             provider, {apart}"
        );
    }
    apart.to_owned()
}

/// Why a host cannot begin: its journal cannot be read, or holds what this host cannot make sense of. Nothing has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A definition in it cannot be understood.
    #[error(
        "the journal's definition of {what} `{name}` cannot be understood: {reason}; was it written by a newer host?"
    )]
    Definition {
        /// `cluster`, `provider` or `library`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A cluster in it has no definition.
    #[error(
        "the journal has no definition of cluster `{cluster}`, and without one nothing can be done for it; `longshore \
         state check` says more"
    )]
    NoDefinition {
        /// The cluster.
        cluster: String,
    },
    /// A definition in it is of something else.
    #[error(
        "the journal's definition of {what} `{name}` is that of `{defined}`; `longshore state check` says more"
    )]
    OtherName {
        /// `cluster` or `provider`.
        what: &'static str,
        /// The name in the journal.
        name: String,
        /// The name in the definition.
        defined: String,
    },
    /// A snapshot in it contradicts itself.
    #[error(
        "the journal's snapshot of cluster `{cluster}` cannot be used: {why}; `longshore state check` says more"
    )]
    Snapshot {
        /// The cluster.
        cluster: String,
        /// What is wrong.
        why: SnapshotError,
    },
}

impl ApplyError {
    /// The full story, for `--verbose`, where the error's own text is a summary.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Load { why, .. } => why.detail(),
            _ => None,
        }
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// The name of a list that a person may have meant.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let (best, edits) = names.map(|known| (known, distance(known))).min_by_key(|(_, edits)| *edits)?;
    (edits <= name.len().max(best.len()) / 2).then(|| best.to_owned())
}
