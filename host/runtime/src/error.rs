//! Why the host refuses something: what, where and, where the host knows it, what to do.

use longshore_config::ConfigError;
use longshore_providers::{CreateError, LoadError, NotFound};
use longshore_scaling::Denied;
use longshore_store::JournalError;
use thiserror::Error;

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
    /// A provider that clusters use would change.
    #[error(
        "provider `{provider}` has another {what} than the one that runs, and cluster `{cluster}` uses it; give the new \
         one another name, or delete the cluster first"
    )]
    ProviderInUse {
        /// The provider.
        provider: String,
        /// `plugin` or `configuration`.
        what: &'static str,
        /// A cluster that uses it.
        cluster: String,
    },
    /// A cluster would move to another provider.
    #[error(
        "cluster `{cluster}` runs on provider `{from}` and cannot move to `{to}`; delete it first, or name the new one \
         differently"
    )]
    OtherProvider {
        /// The cluster.
        cluster: String,
        /// Its provider.
        from: String,
        /// The one asked for.
        to: String,
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
    /// The system has no random numbers, which make a cluster's launch tokens unique.
    #[error("the system gave no random number for the cluster's tokens: {reason}")]
    NoRandomness {
        /// What the system said.
        reason: String,
    },
    /// A command that it comes down to was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
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
