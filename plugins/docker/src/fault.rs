//! What can go wrong between this provider and the engine, and what a host is told of it.

use std::{error::Error as _, fmt};

use bollard::errors::Error as ClientError;
use longshore_plugin_api::Error;

/// A request that came to nothing, or that nobody knows of what it came to.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    text: String,
}

/// What the matter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The engine was not reached: the request did nothing.
    Unreached,
    /// The connection broke, or the answer did not come in time: the request may have taken effect.
    Lost,
    /// The engine refused, with this code of HTTP.
    Refused(u16),
    /// The answer is not understood.
    Garbled,
}

impl Fault {
    pub(crate) fn new(kind: Kind, text: impl fmt::Display) -> Self {
        Self { kind, text: text.to_string() }
    }

    /// Whether the engine says that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        self.kind == Kind::Refused(404)
    }

    /// Whether it says that there is no such container, and not that something is missing which the container needs.
    pub(crate) fn is_no_container(&self) -> bool {
        self.is_missing() && self.says(&["no such container", "no container with"])
    }

    /// Whether it says that a name is taken, or that somebody else is at it.
    pub(crate) fn is_conflict(&self) -> bool {
        // Podman answers with 500 where a name is taken.
        self.kind == Kind::Refused(409) || self.says(&["is already in use"])
    }

    /// Whether the request may have taken effect all the same.
    pub(crate) fn is_doubtful(&self) -> bool {
        matches!(self.kind, Kind::Lost | Kind::Garbled)
    }

    /// Whether the engine's words have one of these in them.
    pub(crate) fn says(&self, words: &[&str]) -> bool {
        let text = self.text.to_lowercase();
        words.iter().any(|word| text.contains(word))
    }

    /// The error of a call that wanted to do something.
    pub(crate) fn during(&self, what: impl fmt::Display) -> Error {
        let text = format!("cannot {what}: {self}");
        match self.kind {
            Kind::Unreached | Kind::Lost => Error::unreachable(text),
            Kind::Refused(429 | 503) => Error::retryable(text),
            Kind::Refused(401 | 403) => Error::permanent(text),
            Kind::Refused(_) | Kind::Garbled => Error::other(text),
        }
    }

    /// The error of a launch, of which nothing is left: whether asking again may help.
    pub(crate) fn of_launch(&self, what: impl fmt::Display) -> Error {
        /// Of a machine that is full or busy now.
        const PASSING: [&str; 7] = [
            "no space left",
            "no available ip",
            "cannot allocate memory",
            "port is already allocated",
            "address already in use",
            "resource temporarily unavailable",
            "too many open files",
        ];
        /// Of a container that cannot be as it is asked for.
        const LASTING: [&str; 11] = [
            "executable file",
            "no such file or directory",
            "permission denied",
            "could not select device driver",
            "invalid",
            "no such image",
            "image not known",
            "could not attach to network",
            "network not found",
            "not found in $path",
            "unable to find user",
        ];
        let text = || format!("cannot {what}: {self}");
        match self.kind {
            Kind::Refused(_) if self.says(&PASSING) => Error::retryable(text()),
            Kind::Unreached | Kind::Lost | Kind::Garbled | Kind::Refused(401 | 403 | 429 | 503) => {
                self.during(what)
            }
            Kind::Refused(400 | 404 | 409) => Error::permanent(text()),
            Kind::Refused(_) if self.says(&LASTING) => Error::permanent(text()),
            Kind::Refused(_) => Error::other(text()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.trim_end();
        match self.kind {
            Kind::Unreached => write!(f, "the engine is not reached: {text}"),
            Kind::Lost => write!(f, "the engine did not answer: {text}"),
            Kind::Refused(code) if text.is_empty() => write!(f, "the engine refused, with the code {code}"),
            Kind::Refused(_) => write!(f, "the engine says: {text}"),
            Kind::Garbled => write!(f, "the engine's answer is not understood: {text}"),
        }
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            ClientError::DockerResponseServerError { status_code, message } => {
                return Self::new(Kind::Refused(*status_code), message);
            }
            ClientError::DockerStreamError { error } => return Self::new(Kind::Refused(500), error),
            ClientError::HyperLegacyError { err } if err.is_connect() => Kind::Unreached,
            ClientError::JsonDataError { .. } | ClientError::JsonSerdeError { .. } => Kind::Garbled,
            // Before anything was sent.
            ClientError::URLParseError { .. } | ClientError::InvalidURIError { .. } => Kind::Refused(400),
            _ => Kind::Lost,
        };
        // The words of the causes: those of the outermost say too little.
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let words = next.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = next.source();
        }
        Self::new(kind, text)
    }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::ErrorKind;

    use super::*;

    fn refused(status_code: u16, message: &str) -> Fault {
        Fault::from(ClientError::DockerResponseServerError { status_code, message: message.to_owned() })
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for (fault, kind) in [
            (refused(500, "write /x: No space left on device"), ErrorKind::Retryable),
            (refused(500, "driver failed: port is already allocated"), ErrorKind::Retryable),
            (refused(404, "No such image: x:latest"), ErrorKind::Permanent),
            (refused(400, "exec: \"x\": executable file not found in $PATH: unknown"), ErrorKind::Permanent),
            (
                refused(500, "could not select device driver \"\" with capabilities: [[gpu]]"),
                ErrorKind::Permanent,
            ),
            (
                refused(500, "Could not attach to network x: rpc error: network x not found"),
                ErrorKind::Permanent,
            ),
            (
                refused(403, "no available IPv4 addresses on this network's address pools"),
                ErrorKind::Retryable,
            ),
            (refused(503, "busy"), ErrorKind::Retryable),
            (refused(500, "something else"), ErrorKind::Other),
            (Fault::new(Kind::Unreached, "refused"), ErrorKind::Unreachable),
        ] {
            let error = fault.of_launch("start it");
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn a_missing_network_is_no_missing_container() {
        assert!(refused(404, "No such container: x").is_no_container());
        assert!(!refused(404, "network x not found").is_no_container());
        assert!(refused(500, "the container name \"x\" is already in use").is_conflict());
    }
}
