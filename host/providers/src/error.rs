//! Every way in which a plugin can disappoint the host, as values: loading, configuring, creating, calling. A call's
//! error also says how much is certain: [`CallError::NotSent`] alone promises that the plugin never saw the request.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use longshore_plugin_abi::{Failure, abi_stable::std_types::RString};
use longshore_plugin_api::{Clause, ErrorKind};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::breaker::BreakerOpen;

/// Why a library is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// The file cannot be read.
    Unreadable,
    /// It is larger than [`MAX_LIBRARY_BYTES`](crate::MAX_LIBRARY_BYTES).
    TooLarge,
    /// It is not a shared library of any platform.
    NotALibrary,
    /// It is a library that was cut off or damaged.
    Damaged,
    /// It is a library for another system or processor.
    OtherPlatform,
    /// It does not export Longshore's root module.
    NoSymbol,
    /// The system's loader refuses it, for instance because of a symbol or a library that it needs.
    Open,
    /// Types at the boundary are laid out differently.
    Layout,
    /// It was built to end the process when it panics.
    Aborts,
    /// Its metadata is missing, incomplete or contradicts what it exports.
    Metadata,
    /// It was built for a version of the contract that this host does not know.
    Contract,
    /// The schema of its configuration is not a valid JSON Schema.
    Schema,
    /// It ended the process that looked at it.
    Crashed,
    /// No process could be had to look at it.
    NoProcess,
    /// Loading did not end in [`LOAD_LIMIT`](crate::LOAD_LIMIT).
    Stuck,
    /// This process has loaded [`MAX_LIBRARIES`](crate::MAX_LIBRARIES) different libraries already.
    TooMany,
    /// Others than root and the host's user can write it, or put another one in its place.
    Writable,
    /// It changed while it was looked at.
    Changed,
    /// It is not the content that was pinned.
    Pin,
    /// It is not signed by anybody who was named.
    Signature,
    /// It is on the [shelf](crate::Shelf), and not any more what was put there.
    Spoiled,
}

impl LoadErrorKind {
    /// The clause of the contract that the library breaks, where it is a matter of the contract.
    pub const fn clause(self) -> Option<Clause> {
        match self {
            Self::NoSymbol | Self::Open => Some(Clause::LoadSymbol),
            Self::Layout => Some(Clause::LoadLayout),
            Self::Aborts => Some(Clause::LoadUnwind),
            Self::Metadata | Self::Contract => Some(Clause::LoadMetadata),
            Self::Schema => Some(Clause::LoadSchema),
            Self::Stuck | Self::Crashed => Some(Clause::LoadNoSideEffects),
            _ => None,
        }
    }

    /// What a person can do about it.
    const fn advice(self) -> &'static str {
        match self {
            Self::Unreadable => "check the path and its permissions",
            Self::TooLarge => "name the plugin's own library, built in release mode",
            Self::NotALibrary => "name the shared library itself, not a script, a package or a source file",
            Self::Damaged => "copy or build it again; put it in place with a rename, not by writing into it",
            Self::OtherPlatform => "get the plugin built for this system",
            Self::NoSymbol => "build a cdylib with one `export_provider!` line from longshore-plugin-api",
            Self::Open => "install the libraries that it needs, or get a plugin built for this system",
            Self::Layout => "rebuild the plugin with the longshore-plugin-api of this host",
            Self::Aborts => "rebuild it without `panic = \"abort\"` in its Cargo profile",
            Self::Metadata => "build it with `export_provider!` and fill in what is missing",
            Self::Contract => "use a plugin and a host of the same contract version",
            Self::Schema => "correct the `JsonSchema` of its `Config` type",
            Self::NoProcess => "see that the host may start processes, and that its own program is whole",
            Self::Stuck | Self::Crashed => "a library must not work while it is loaded; ask its author",
            Self::TooMany => "restart the host: libraries stay loaded for as long as it lives",
            Self::Writable => {
                "let nobody but root and the host's user own or write it (`chmod go-w`), or put the plugin where that is so"
            }
            Self::Changed => "put it in place with a rename when it is complete, and try again",
            Self::Pin => "get the file that was meant, or correct its `sha256`",
            Self::Signature => "get it from whoever you trust with its FILE.minisig, or correct `signed_by`",
            Self::Spoiled => {
                "`longshore plugin remove` it, and `longshore plugin add` the file that was meant again"
            }
        }
    }
}

/// The command that looks at a library for breaches of one clause of the contract: whoever was told of one sees it again.
pub fn check_command(library: &Path, clause: &str) -> String {
    format!("longshore conformance {} --filter {clause}", word(&library.to_string_lossy()))
}

/// A text as one word of a shell's command line.
fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=\\".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

/// A library that was not accepted. Its text is at most five lines: what, where, the clause, how to see it again, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    path: PathBuf,
    kind: LoadErrorKind,
    message: String,
    detail: Option<Arc<str>>,
}

impl LoadError {
    pub(crate) fn new(path: impl Into<PathBuf>, kind: LoadErrorKind, message: impl fmt::Display) -> Self {
        Self { path: path.into(), kind, message: one_line(&message.to_string()), detail: None }
    }

    pub(crate) fn with_detail(self, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref();
        let detail = &detail[..detail.floor_char_boundary(LONGEST_DETAIL)];
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same refusal, found under another path with the same content.
    pub(crate) fn at(self, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// The file that was asked for.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong, for a program.
    pub fn kind(&self) -> LoadErrorKind {
        self.kind
    }

    /// The clause of the contract that the library breaks, where it is a matter of the contract.
    pub fn clause(&self) -> Option<Clause> {
        self.kind.clause()
    }

    /// What is wrong, for a person, without the file and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The full story where there is one, such as a comparison of layouts: hundreds of lines, for `--verbose`.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin {} cannot be loaded: {}", self.path.display(), self.message)?;
        if let Some(clause) = self.clause() {
            write!(f, "\n  it breaks {clause}: {}", clause.text())?;
            write!(f, "\n  to see it again: {}", check_command(&self.path, clause.id()))?;
        }
        write!(f, "\n  to do: {}", self.kind.advice())
    }
}

impl std::error::Error for LoadError {}

/// The longest message that is shown of a foreign text, in characters.
const LONGEST_MESSAGE: usize = 300;
/// The longest full story that is kept of a refusal, in bytes.
const LONGEST_DETAIL: usize = 1 << 20;
/// The longest text for a person that is taken over from a plugin, in bytes: why it failed, could not kill, or launched fewer. The
/// rest is cut off. Such texts are kept in journals and told again and again.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// A foreign text made fit for one line. However long it is, no more of it is looked at than is shown.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    let mut shown = words.flat_map(str::chars);
    let line: String = shown.by_ref().take(LONGEST_MESSAGE).collect();
    if shown.next().is_some() { line + "…" } else { line }
}

/// A foreign text for a person, as far as it is taken over. What was cut is not cut again, and says where it was: a part of a
/// password may be there.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    longshore_config::cut(text, MAX_TEXT_BYTES)
}

/// What a plugin failed with, as far as it is taken over.
pub(crate) fn failed(failure: Failure) -> longshore_plugin_api::Error {
    let short = |text: RString| match cut(&text) {
        Cow::Owned(short) => short.into(),
        Cow::Borrowed(_) => text,
    };
    Failure { kind: failure.kind, message: short(failure.message), field: short(failure.field) }.into()
}

/// A provider's configuration that its plugin cannot use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field's path, such as `limits.memory` or `mounts[2].source`; empty for the configuration as a whole.
    pub field: String,
    /// What is wrong with it; never contains the value, which may be secret.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "the configuration {}", self.message)
        } else {
            write!(f, "`{}` {}", self.field, self.message)
        }
    }
}

impl std::error::Error for ConfigError {}

/// Why a provider could not be created.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The configuration breaks the plugin's schema, or the plugin itself finds fault with a field (LOAD-6).
    #[error(transparent)]
    Config(ConfigError),
    /// The plugin's code cannot be loaded into this process.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// The plugin failed.
    #[error("the plugin could not make the provider: {0}")]
    Failed(longshore_plugin_api::Error),
    /// The plugin did not answer in time. What it makes later is shut down at once.
    #[error("the plugin did not make the provider within {}: check that its backend can be reached", seconds(*.after))]
    Deadline {
        /// How long it was given.
        after: Duration,
    },
    /// The process of its own that the plugin was to make it in ended.
    #[error("the plugin's process {how} while it made the provider")]
    Died {
        /// How, in words that follow "its process".
        how: String,
    },
    /// No process of its own could be had for it.
    #[error("no process could be had for the provider: {reason}")]
    NoRunner {
        /// What the system said.
        reason: String,
    },
    /// Its process cannot be confined as its configuration demands.
    #[error("the provider's process cannot be confined: {why}")]
    Unconfined {
        /// What is lacking.
        why: String,
    },
    /// No thread could be started for it, or the thread died.
    #[error("no thread could be had to make the provider: {reason}")]
    Thread {
        /// What the system said.
        reason: String,
    },
}

impl From<longshore_plugin_api::Error> for CreateError {
    /// What a plugin's `create` answered.
    fn from(error: longshore_plugin_api::Error) -> Self {
        match error.kind() {
            ErrorKind::Config => Self::Config(ConfigError {
                field: error.field().unwrap_or_default().to_owned(),
                message: format!("is refused by the plugin: {}", error.message()),
            }),
            _ => Self::Failed(error),
        }
    }
}

/// A function of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named as the function that it stands for")]
pub enum Function {
    Run,
    Status,
    Kill,
    IsInitializing,
    IsRunning,
    IsStopped,
    Initialize,
    List,
    RunServer,
    StopServer,
    ServerStatus,
    ServerAddress,
    Cleanup,
}

impl Function {
    /// Each of them once, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Run,
        Self::Status,
        Self::Kill,
        Self::IsInitializing,
        Self::IsRunning,
        Self::IsStopped,
        Self::Initialize,
        Self::List,
        Self::RunServer,
        Self::StopServer,
        Self::ServerStatus,
        Self::ServerAddress,
        Self::Cleanup,
    ];

    /// The function's name, as an author knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Status => "status",
            Self::Kill => "kill",
            Self::IsInitializing => "is_initializing",
            Self::IsRunning => "is_running",
            Self::IsStopped => "is_stopped",
            Self::Initialize => "initialize",
            Self::List => "list",
            Self::RunServer => "run_server",
            Self::StopServer => "stop_server",
            Self::ServerStatus => "server_status",
            Self::ServerAddress => "server_address",
            Self::Cleanup => "cleanup",
        }
    }

    /// Whether the function ends or removes what costs something.
    pub(crate) const fn is_ending(self) -> bool {
        matches!(self, Self::Kill | Self::StopServer | Self::Cleanup)
    }

    /// Whether the function makes or prepares things, and may therefore take long.
    pub(crate) const fn is_slow(self) -> bool {
        matches!(self, Self::Run | Self::Initialize | Self::RunServer | Self::Cleanup)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A reply that breaks the contract, and was refused whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The clause that it breaks.
    pub clause: Clause,
    /// The function that gave it.
    pub function: Function,
    /// What was wrong with it, for a person.
    pub detail: String,
    /// For `run`: the valid handles that it did name, with the workers on each. They may be alive.
    pub claimed: Vec<(Arc<str>, u32)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clause, function, detail, claimed } = self;
        write!(
            f,
            "the answer of {function} was refused, as it breaks {clause} ({}): {detail}",
            clause.text()
        )?;
        if !claimed.is_empty() {
            let workers: u64 = claimed.iter().map(|(_, workers)| u64::from(*workers)).sum();
            write!(f, "; it named {workers} workers on {} valid handles", claimed.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

/// Why a call never reached the plugin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotSent {
    /// All threads are busy and the queue is full.
    #[error(
        "all {threads} call threads of the provider are busy and {queued} calls wait already: its backend is slow \
         or hangs"
    )]
    QueueFull {
        /// The threads that calls of this kind may have.
        threads: usize,
        /// The calls that wait.
        queued: usize,
    },
    /// Its budget was used up while it waited for a thread.
    #[error("no call thread of the provider came free within {}: its backend is slow or hangs", seconds(*.waited))]
    OutOfTime {
        /// The call's budget.
        waited: Duration,
    },
    /// The provider is shutting down.
    #[error("the provider is shut down")]
    ShutDown,
    /// The plugin does not have this function.
    #[error("the plugin does not have {0}")]
    Missing(Function),
    /// No call thread could be started.
    #[error("no call thread could be started: {0}")]
    NoThread(String),
    /// The provider's process is not there.
    #[error("the provider's process is not there: {why}")]
    RunnerDown {
        /// What became of it.
        why: String,
    },
    /// The provider is quarantined.
    #[error("the provider is quarantined: {why}")]
    Quarantined {
        /// Why.
        why: String,
    },
    /// Its calls have failed again and again, and are held back for a while.
    #[error(transparent)]
    BreakerOpen(BreakerOpen),
    /// The request is larger than a call of another process may be.
    #[error("the request is too large for the provider's process: ask for fewer handles at once")]
    TooLarge,
    /// The provider's process did not understand the request.
    #[error("the provider's process turned the call down: {why}")]
    TurnedDown {
        /// What it said.
        why: String,
    },
    /// The request could not be written as JSON.
    #[error("the request cannot be written as JSON: {0}")]
    Unwritable(String),
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The provider said so, or panicked ([`ErrorKind::Panic`]).
    #[error(transparent)]
    Failed(longshore_plugin_api::Error),
    /// It did not answer in time and was told to stop. It may still take effect; see [`Call::late`](crate::Call::late).
    #[error("{function} did not answer within {}; whether it took effect is not known", seconds(*.after))]
    Deadline {
        /// What was called.
        function: Function,
        /// The call's budget.
        after: Duration,
    },
    /// The answer breaks the contract.
    #[error(transparent)]
    Violation(Violation),
    /// The plugin never saw the call: nothing happened, for certain.
    #[error("not sent: {reason}")]
    NotSent {
        /// Why.
        reason: NotSent,
    },
    /// The plugin's process ended while it had the call.
    #[error("the plugin's process {how}; whether the call took effect is not known")]
    Died {
        /// How, in words that follow "its process".
        how: String,
    },
    /// The call's thread died, or its answer was taken before: whether it took effect is not known.
    #[error("the answer is lost; whether the call took effect is not known")]
    Gone,
}

impl CallError {
    /// The clause that the answer breaks, where it breaks one.
    pub fn clause(&self) -> Option<Clause> {
        match self {
            Self::Violation(violation) => Some(violation.clause),
            _ => None,
        }
    }

    /// Whether the plugin never saw the call.
    pub fn is_not_sent(&self) -> bool {
        matches!(self, Self::NotSent { .. })
    }
}

/// A duration as a person writes it: `5 s`, `0.25 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_error_is_at_most_five_lines_whatever_the_loader_said() {
        let long = "line\n".repeat(500);
        let error = LoadError::new("/plugins/x.so", LoadErrorKind::Layout, &long).with_detail(long.clone());
        let text = error.to_string();
        assert!(text.lines().count() <= 5, "{text}");
        assert!(text.contains("/plugins/x.so") && text.contains("LOAD-2"), "{text}");
        assert_eq!(error.detail(), Some(long.as_str()));
    }

    #[test]
    fn a_foreign_text_is_taken_over_as_far_as_it_is_for_a_person() {
        let long = "é".repeat(MAX_TEXT_BYTES);
        let short = cut(&long);
        assert!(short.len() <= MAX_TEXT_BYTES && short.ends_with("bytes cut off)"), "{}", short.len());
        assert!(long.starts_with(&short[..MAX_TEXT_BYTES - 100]), "between characters");
        assert_eq!(cut(&short), short, "it is not cut again");
        assert!(matches!(cut(&long[..MAX_TEXT_BYTES]), Cow::Borrowed(_)), "this much is taken over as it is");
        for at in MAX_TEXT_BYTES - 100..MAX_TEXT_BYTES {
            let repeats = format!("{}hunter2{long}", "x".repeat(at));
            let hidden = longshore_config::Secret::new("hunter2").hidden_in(&cut(&repeats)).into_owned();
            assert!(!hidden.contains("xh"), "no part of a password is left, {at}");
        }
        let failure = Failure { kind: 2, message: long.as_str().into(), field: long.as_str().into() };
        let error = failed(failure);
        assert_eq!(
            (error.kind(), error.message(), error.field()),
            (ErrorKind::Permanent, &*short, Some(&*short))
        );
    }

    #[test]
    fn one_line_is_made_of_the_beginning_of_a_text() {
        assert_eq!(one_line(" two\n\twords "), "two words");
        let most = "x".repeat(LONGEST_MESSAGE);
        assert_eq!(one_line(&most), most);
        assert_eq!(one_line(&format!("{most} y")), format!("{most}…"));
        assert_eq!(one_line(" \n"), "");
        let error = LoadError::new("/x.so", LoadErrorKind::Layout, "it is odd")
            .with_detail("é".repeat(LONGEST_DETAIL));
        assert_eq!(error.detail().map(str::len), Some(LONGEST_DETAIL));
    }

    #[test]
    fn a_breach_can_be_seen_again() {
        let at = |path: &str| check_command(Path::new(path), "RUN-1");
        assert_eq!(at("/plugins/libx.so"), "longshore conformance /plugins/libx.so --filter RUN-1");
        assert_eq!(at("/my plugins/x.so"), "longshore conformance '/my plugins/x.so' --filter RUN-1");
        assert_eq!(at("/it's/$x.so"), r"longshore conformance '/it'\''s/$x.so' --filter RUN-1");
        let error = LoadError::new("/plugins/x.so", LoadErrorKind::Layout, "it is odd");
        let told = "\n  to see it again: longshore conformance /plugins/x.so --filter LOAD-2\n";
        assert_eq!(error.to_string().matches(told).count(), 1, "{error}");
        let error = LoadError::new("/plugins/x.so", LoadErrorKind::TooLarge, "it is large");
        assert!(!error.to_string().contains("conformance"), "no clause says how large it may be");
    }

    #[test]
    fn a_deadline_says_what_and_how_long() {
        let error = CallError::Deadline { function: Function::Run, after: Duration::from_millis(2500) };
        assert_eq!(error.to_string(), "run did not answer within 2.5 s; whether it took effect is not known");
    }
}
