//! Why a provider's function failed, in the few kinds that a host treats differently.

use std::fmt;

use longshore_plugin_abi::{Failure, kind};

/// A result of a provider's function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a host makes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing more is known; nothing was created. The host tries again with backoff.
    Other,
    /// The backend is busy, throttling or short of capacity. The host tries again with backoff.
    Retryable,
    /// The request can never succeed as it stands. The host waits for its longest backoff.
    Permanent,
    /// The backend could not be reached. The host takes nothing for dead.
    Unreachable,
    /// The call was cancelled or ran out of time, and left nothing behind.
    Cancelled,
    /// The provider does not know whether the request took effect. The host finds out before it launches again.
    Unknown,
    /// The configuration is wrong.
    Config,
    /// The provider panicked; what it created meanwhile is unknown.
    Panic,
}

/// A failure, with words for a person.
///
/// A `run` that fails must have left nothing behind, but for [`ErrorKind::Unknown`]. Where some workers were created and
/// some were not, answer with [`Launch::partial`](crate::Launch::partial) instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    field: String,
}

impl Error {
    fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), field: String::new() }
    }

    /// A failure of no special kind.
    pub fn other(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Other, message)
    }

    /// The backend is busy, throttling or short of capacity.
    pub fn retryable(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Retryable, message)
    }

    /// The request can never succeed as it stands.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Permanent, message)
    }

    /// The backend could not be reached.
    pub fn unreachable(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    /// The call was cancelled or ran out of time, and left nothing behind.
    pub fn cancelled(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Cancelled, message)
    }

    /// Whether the request took effect is not known.
    pub fn unknown(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unknown, message)
    }

    /// A field of the configuration is wrong; `field` is its path, such as `limits.memory`.
    pub fn config(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { field: field.into(), ..Self::new(ErrorKind::Config, message) }
    }

    pub(crate) fn panic(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Panic, message)
    }

    /// What a host makes of it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The words for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// For [`ErrorKind::Config`]: the path of the field.
    pub fn field(&self) -> Option<&str> {
        (!self.field.is_empty()).then_some(self.field.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field() {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::other(error)
    }
}

/// The kinds and their numbers at the boundary, in one place for both directions.
const KINDS: [(ErrorKind, u8); 8] = [
    (ErrorKind::Other, kind::OTHER),
    (ErrorKind::Retryable, kind::RETRYABLE),
    (ErrorKind::Permanent, kind::PERMANENT),
    (ErrorKind::Unreachable, kind::UNREACHABLE),
    (ErrorKind::Cancelled, kind::CANCELLED),
    (ErrorKind::Unknown, kind::UNKNOWN),
    (ErrorKind::Config, kind::CONFIG),
    (ErrorKind::Panic, kind::PANIC),
];

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind =
            KINDS.iter().find(|(known, _)| *known == error.kind).map_or(kind::OTHER, |(_, number)| *number);
        Self { kind, message: error.message.into(), field: error.field.into() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = KINDS
            .iter()
            .find(|(_, number)| *number == failure.kind)
            .map_or(ErrorKind::Other, |(kind, _)| *kind);
        Self { kind, message: failure.message.into(), field: failure.field.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_boundary() {
        for (kind, _) in KINDS {
            let error = Error { kind, message: "m".into(), field: "f".into() };
            assert_eq!(Error::from(Failure::from(error.clone())), error);
        }
    }

    #[test]
    fn a_kind_of_a_newer_plugin_is_taken_for_other() {
        let failure = Failure { kind: 250, message: "new".into(), field: "".into() };
        assert_eq!(Error::from(failure).kind(), ErrorKind::Other);
    }
}
