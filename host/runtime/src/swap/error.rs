//! Why a provider is not swapped, or not rolled back. Nothing has changed then.

use std::path::PathBuf;

use thiserror::Error;

/// Why a provider is not swapped, or not rolled back.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum SwapError {
    /// There is no provider of that name.
    #[error("there is no provider `{provider}`{}", match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; `longshore plugin list` shows which there are".to_owned(),
    })]
    NoSuchProvider {
        /// The name asked for.
        provider: String,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
    /// The version that it was swapped to last still has to prove itself.
    #[error(
        "provider `{provider}` was swapped to {version} a moment ago and is still watched: wait until that is over, or go back with \
         `longshore rollback {provider}`"
    )]
    OnTrial {
        /// The provider.
        provider: String,
        /// The version that is watched.
        version: String,
    },
    /// Calls hang in the generations before.
    #[error(
        "provider `{provider}` has {count} earlier generations whose calls have not returned: a swap waits until some have, and \
         `longshore plugin list` shows them"
    )]
    TooManyGenerations {
        /// The provider.
        provider: String,
        /// How many there are.
        count: usize,
    },
    /// There is no such version.
    #[error(
        "provider `{provider}`: {version} is not to be found: it is not the one that served before, and neither the shelf nor the plugin \
         folders have it under the names {}{}; put it there with `longshore plugin add FILE`, or name its file with --to",
        places.join(", "),
        if found.is_empty() { String::new() } else { format!(" ({})", found.join("; ")) }
    )]
    NoSuchVersion {
        /// The provider.
        provider: String,
        /// The plugin and its version.
        version: String,
        /// The names of plugins that were looked for.
        places: Vec<String>,
        /// What was found under them instead.
        found: Vec<String>,
    },
    /// It is another kind of provider.
    #[error(
        "provider `{provider}` is of the kind `{kind}`, and {} of the kind `{other}`, which knows none of its workers: a swap is for \
         another version of the same plugin; give `{other}` a [[provider]] of its own, and move the clusters to it",
        path.display()
    )]
    AnotherKind {
        /// The provider.
        provider: String,
        /// Its plugin's name.
        kind: String,
        /// The other plugin's.
        other: String,
        /// The file.
        path: PathBuf,
    },
    /// A cluster that shall try the new version is not one of the provider's.
    #[error(
        "provider `{provider}` does not serve a cluster `{cluster}` that could try the new version; it serves {}",
        if clusters.is_empty() { "none".to_owned() } else { clusters.join(", ") }
    )]
    NoCanary {
        /// The provider.
        provider: String,
        /// The cluster.
        cluster: String,
        /// Those that it serves.
        clusters: Vec<String>,
    },
    /// The new version does not tell what the one that serves tells.
    #[error(
        "provider `{provider}` stays as it is, for {version} does not agree with the version that serves on cluster `{cluster}`: {what}{}",
        check.as_deref().map(|check| format!("; to see it again: {check}")).unwrap_or_default()
    )]
    Differs {
        /// The provider.
        provider: String,
        /// The version that was to serve.
        version: String,
        /// The cluster.
        cluster: String,
        /// What differs.
        what: String,
        /// The command that shows it again, where the new version broke a clause of the contract.
        check: Option<String>,
    },
    /// There is nothing to go back to.
    #[error(
        "provider `{provider}` has nothing to go back to: it was not swapped, or it was rolled back already; `longshore swap \
         {provider} --to FILE` goes over to any version"
    )]
    NothingBefore {
        /// The provider.
        provider: String,
    },
    /// It does not come after the version that serves.
    #[error("provider `{provider}` keeps version {serving}, as {version} is not known to be newer")]
    NotNewer {
        /// The provider.
        provider: String,
        /// The version that was to serve.
        version: String,
        /// The one that does.
        serving: String,
    },
}

impl SwapError {
    pub(super) fn not_newer(provider: &str, [version, serving]: [&str; 2]) -> Self {
        let (version, serving) = (version.to_owned(), serving.to_owned());
        Self::NotNewer { provider: provider.to_owned(), version, serving }
    }

    /// Whether the same may succeed in a while.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::OnTrial { .. } | Self::TooManyGenerations { .. })
    }
}
