//! What goes wrong, as the socket tells it: a kind for programs, a text for people, and the status code of each kind.

use std::fmt;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use longshore_config::{ConfigError, Fault};
use longshore_providers::{CreateError, ShelfError};
use longshore_runtime::{ApplyError, CommandError, PluginError, SwapError};
use serde::{Deserialize, Serialize};

/// What went wrong, for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// There is no such route: 404.
    NoSuchRoute,
    /// The route does not know this method: 405.
    WrongMethod,
    /// The query or the body is not what the route takes: 400.
    BadRequest,
    /// The body is larger than the route takes: 413.
    TooLarge,
    /// There is no cluster of that name: 404.
    NoSuchCluster,
    /// There is no provider of that name: 404.
    NoSuchProvider,
    /// The command cannot be carried out on the cluster as it is: 409.
    Denied,
    /// The configuration is wrong: 422.
    BadConfig,
    /// A provider's own configuration is not what its plugin takes: 422.
    ProviderConfig,
    /// A plugin was not found: 422.
    PluginNotFound,
    /// A plugin's library cannot be loaded: 422.
    PluginRefused,
    /// A plugin could not make its provider: 422.
    PluginFailed,
    /// The plugins that the host keeps cannot be read or written: 500.
    Shelf,
    /// A provider did not do, or did not answer, what the request needs of it: 502.
    ProviderFailed,
    /// The host is shutting down: 503.
    ShuttingDown,
    /// As much of this is under way as may be at once: 503.
    Busy,
    /// It took longer than it may: 504.
    Timeout,
    /// The journal cannot be written or read: 500.
    Journal,
    /// The host failed in a way that it should not: 500.
    Internal,
    /// A kind that a newer host knows of.
    #[serde(other)]
    Unknown,
}

impl ProblemKind {
    /// The status code that it is told under.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NoSuchRoute | Self::NoSuchCluster | Self::NoSuchProvider => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Denied => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadConfig
            | Self::ProviderConfig
            | Self::PluginNotFound
            | Self::PluginRefused
            | Self::PluginFailed => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ProviderFailed => StatusCode::BAD_GATEWAY,
            Self::ShuttingDown | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Journal | Self::Shelf | Self::Internal | Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What, for a program.
    pub kind: ProblemKind,
    /// What, where and what to do, for a person.
    pub message: String,
    /// The full story, where the message is a summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where a configuration is wrong, fault by fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl Problem {
    /// A problem without more to it.
    pub fn new(kind: ProblemKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), detail: None, faults: Vec::new() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// The document that tells of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: Problem,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.kind.status(), Json(ErrorBody { error: self })).into_response()
    }
}

/// An error with all that caused it, in one text.
pub fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let kind = match &error {
            CommandError::NoSuchCluster { .. } => ProblemKind::NoSuchCluster,
            CommandError::Denied { .. }
            | CommandError::TakenAway { .. }
            | CommandError::NoCleanUp { .. }
            | CommandError::NoServer { .. }
            | CommandError::NotQuarantined { .. }
            | CommandError::SeveralQuarantined { .. } => ProblemKind::Denied,
            CommandError::CleanUp { .. } => ProblemKind::ProviderFailed,
            CommandError::Journal(_) => ProblemKind::Journal,
            CommandError::ShuttingDown => ProblemKind::ShuttingDown,
            _ => ProblemKind::Internal,
        };
        Self::new(kind, full(&error))
    }
}

impl From<PluginError> for Problem {
    fn from(error: PluginError) -> Self {
        let (kind, detail) = match &error {
            PluginError::Shelf(ShelfError::Refused(why)) => (ProblemKind::PluginRefused, why.detail()),
            PluginError::NotOnShelf(_) => (ProblemKind::PluginNotFound, None),
            PluginError::NoShelf
            | PluginError::InUse { .. }
            | PluginError::Shelf(ShelfError::Full { .. }) => (ProblemKind::Denied, None),
            PluginError::Shelf(_) => (ProblemKind::Shelf, None),
            PluginError::ShuttingDown => (ProblemKind::ShuttingDown, None),
            _ => (ProblemKind::Internal, None),
        };
        let detail = detail.map(str::to_owned);
        Self { detail, ..Self::new(kind, full(&error)) }
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Self { faults: error.faults().to_vec(), ..Self::new(ProblemKind::BadConfig, full(&error)) }
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        let kind = match &error {
            ApplyError::NotFound { .. } => ProblemKind::PluginNotFound,
            ApplyError::Load { .. } | ApplyError::Quarantined { .. } => ProblemKind::PluginRefused,
            ApplyError::Create { why, .. } => match &**why {
                CreateError::Config(_) => ProblemKind::ProviderConfig,
                CreateError::Load(_) => ProblemKind::PluginRefused,
                _ => ProblemKind::PluginFailed,
            },
            ApplyError::ProviderNotThere { .. } | ApplyError::StillBeingMade { .. } => {
                ProblemKind::PluginFailed
            }
            ApplyError::CannotLook { .. } => ProblemKind::ProviderFailed,
            ApplyError::Swap(why) => of_swap(why),
            ApplyError::ProviderInUse { .. }
            | ApplyError::PasswordUnknown { .. }
            | ApplyError::NothingRuns { .. } => ProblemKind::Denied,
            ApplyError::NoSuchProvider { .. }
            | ApplyError::NotConfigured { .. }
            | ApplyError::NoRunner { .. } => ProblemKind::BadConfig,
            ApplyError::Config(_) | ApplyError::Command(_) => {
                return match error {
                    ApplyError::Config(error) => error.into(),
                    ApplyError::Command(error) => error.into(),
                    other => Self::new(ProblemKind::Internal, other),
                };
            }
            _ => ProblemKind::Internal,
        };
        let detail = error.detail().map(str::to_owned);
        Self { detail, ..Self::new(kind, full(&error)) }
    }
}

fn of_swap(why: &SwapError) -> ProblemKind {
    match why {
        SwapError::NoSuchProvider { .. } => ProblemKind::NoSuchProvider,
        SwapError::NoCanary { .. }
        | SwapError::OnTrial { .. }
        | SwapError::TooManyGenerations { .. }
        | SwapError::AnotherKind { .. }
        | SwapError::NotNewer { .. }
        | SwapError::NothingBefore { .. } => ProblemKind::Denied,
        SwapError::NoSuchVersion { .. } => ProblemKind::PluginNotFound,
        SwapError::Differs { .. } => ProblemKind::ProviderFailed,
        _ => ProblemKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_a_newer_host_is_understood_as_unknown() {
        let text = r#"{"error":{"kind":"on_fire","message":"it burns","colour":"red"}}"#;
        let body: ErrorBody = serde_json::from_str(text).expect("it is an error nevertheless");
        assert_eq!(body.error, Problem::new(ProblemKind::Unknown, "it burns"));
    }

    #[test]
    fn a_short_problem_is_told_shortly() {
        let body = ErrorBody { error: Problem::new(ProblemKind::NoSuchCluster, "there is no cluster `x`") };
        let text = serde_json::to_string(&body).expect("it can be written");
        assert_eq!(text, r#"{"error":{"kind":"no_such_cluster","message":"there is no cluster `x`"}}"#);
    }

    #[test]
    fn a_command_in_a_configuration_keeps_its_kind() {
        let gone = CommandError::NoSuchCluster { name: "wbe".into(), nearest: Some("web".into()) };
        let problem = Problem::from(ApplyError::from(gone));
        assert_eq!(problem.kind, ProblemKind::NoSuchCluster);
        assert_eq!(problem.message, "there is no cluster `wbe`; did you mean `web`?");
    }
}
