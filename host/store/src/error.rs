//! Why something cannot be kept or read: what of the journal, and what to do about it.

use std::fmt;

/// What of a journal an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A cluster's entries.
    Cluster(String),
    /// A provider's definition.
    Provider(String),
    /// What is known of a library, by its hash.
    Library(String),
    /// All of it.
    Whole,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "the journal of cluster {name}"),
            Self::Provider(name) => write!(f, "the definition of provider {name}"),
            Self::Library(hash) => write!(f, "what is known of the library {hash}"),
            Self::Whole => f.write_str("the journal"),
        }
    }
}

/// What kind of thing went wrong: what whoever meets it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalErrorKind {
    /// The lease is over: somebody else claimed the cluster, or it was removed; or another host has written the folder, which
    /// ends all leases of this one. This host must leave the cluster alone.
    Fenced,
    /// There is no room on the disk. It works again once there is.
    NoRoom,
    /// The state folder, or a file of it, was removed or replaced under this host, so that what it wrote would be nowhere. It
    /// works again where the very same files are put back.
    Gone,
    /// What was to be written is larger than a journal takes, or one more than it takes.
    TooLarge,
    /// What is there is damaged.
    Damaged,
    /// The disk or the system refused. Trying again may help.
    Failed,
    /// The journal is closed.
    Closed,
}

/// A journal could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject} cannot be {action}: {reason}")]
pub struct JournalError {
    /// What it is about.
    pub subject: Subject,
    /// `written`, `read`, `claimed`, `compacted` or `removed`.
    pub action: &'static str,
    /// Which kind of trouble it is.
    pub kind: JournalErrorKind,
    /// Why, and what to do.
    pub reason: String,
}

impl JournalError {
    /// An error of a cluster's journal.
    pub fn of_cluster(
        cluster: impl Into<String>,
        action: &'static str,
        kind: JournalErrorKind,
        reason: impl Into<String>,
    ) -> Self {
        Self { subject: Subject::Cluster(cluster.into()), action, kind, reason: reason.into() }
    }

    /// Whether the lease is over, so that nothing of the cluster can be written under it any more.
    pub fn is_fenced(&self) -> bool {
        self.kind == JournalErrorKind::Fenced
    }
}
