//! Which function breaks the contract, how, and when.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use longshore_plugin_api::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A provider that is honest, but for the faults that are named.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The fault of each function that has one.
    pub faults: BTreeMap<Function, Fault>,
    /// How many calls of a faulty function are honest before the fault begins.
    pub after: u64,
    /// How many calls the fault lasts; without it, for ever.
    pub times: Option<u64>,
    /// A file that ends every hang as soon as it exists.
    pub release: Option<PathBuf>,
    /// A file that is made when a hang begins, so that a test knows.
    pub entered: Option<PathBuf>,
    /// The longest hang in milliseconds, so that a test ends in any case; 60,000 where nothing is said.
    pub hang_ms: Option<u64>,
}

/// A function of the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the functions")]
pub enum Function {
    Create,
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
    Drop,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 15] = [
        Self::Create,
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
        Self::Drop,
    ];

    /// Its name, as a configuration has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
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
            Self::Drop => "drop",
        }
    }

    /// Whether there is something in its answer that could be other than a contract has it.
    pub(crate) const fn answers(self) -> bool {
        match self {
            Self::Run
            | Self::Status
            | Self::Kill
            | Self::IsInitializing
            | Self::IsRunning
            | Self::IsStopped
            | Self::List
            | Self::ServerStatus
            | Self::ServerAddress => true,
            Self::Create
            | Self::Initialize
            | Self::RunServer
            | Self::StopServer
            | Self::Cleanup
            | Self::Drop => false,
        }
    }
}

/// What a function does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It panics, with nothing done.
    Panic,
    /// It ignores deadline and cancellation until it is released; then it does its work.
    Hang,
    /// It fails with this kind, and nothing is done.
    Other,
    /// As `other`.
    Retryable,
    /// As `other`.
    Permanent,
    /// As `other`.
    Unreachable,
    /// As `other`.
    Cancelled,
    /// It does its work, and then fails with this kind.
    Unknown,
    /// It fails with a kind of the configuration, at the field `faults`.
    Config,
    /// It fails with a kind that no contract knows.
    UnheardOf,
    /// One answer is missing. A `run` has launched that worker all the same.
    Fewer,
    /// There is one answer too many. A `run` has launched that worker, too.
    More,
    /// `run`: the first handle is empty.
    EmptyHandle,
    /// `run`: the first handle has a line break in it.
    ControlHandle,
    /// `run`: the first handle is 257 bytes long.
    LongHandle,
    /// `run`: the first handle is always the same.
    SameHandle,
    /// `run`: everything was launched, but there is a shortfall.
    FalseShortfall,
    /// An answer that is no number of the contract: 0 for a status, 7 for yes or no.
    BadValue,
    /// `kill`: a reason for a handle that was not asked for.
    BadReason,
    /// `status`: all are stopped. `kill`: yes, with nothing done. `list`: there is nothing.
    Lie,
    /// `list`: the first handle is missing.
    Omit,
    /// `list`: the first handle stands twice.
    Duplicate,
    /// `list`: a handle of another cluster.
    Foreign,
    /// `list`: a handle of a worker that is stopped.
    Stopped,
    /// `list`: the first handle holds no worker.
    NoWorkers,
    /// `list`: the first handle has another launch's token.
    WrongToken,
    /// `server_address`: a document that cannot be read.
    BadDocument,
}

impl Fault {
    /// Whether the fault is one that only the boundary's own types can express.
    pub fn is_raw(self) -> bool {
        matches!(self, Self::UnheardOf | Self::BadValue | Self::BadReason | Self::BadDocument)
    }

    fn suits(self, function: Function) -> bool {
        use Function as F;
        let per_handle =
            matches!(function, F::Status | F::Kill | F::IsInitializing | F::IsRunning | F::IsStopped);
        match self {
            Self::Panic | Self::Hang => true,
            Self::Other
            | Self::Retryable
            | Self::Permanent
            | Self::Unreachable
            | Self::Cancelled
            | Self::Unknown
            | Self::Config
            | Self::UnheardOf => function != F::Drop,
            Self::Fewer | Self::More => per_handle || function == F::Run,
            Self::EmptyHandle
            | Self::ControlHandle
            | Self::LongHandle
            | Self::SameHandle
            | Self::FalseShortfall => function == F::Run,
            Self::BadValue => per_handle || function == F::ServerStatus,
            Self::BadReason => function == F::Kill,
            Self::Lie => matches!(function, F::Status | F::Kill | F::List),
            Self::Omit
            | Self::Duplicate
            | Self::Foreign
            | Self::Stopped
            | Self::NoWorkers
            | Self::WrongToken => function == F::List,
            Self::BadDocument => function == F::ServerAddress,
        }
    }
}

/// The faults, and how often each function was called.
#[derive(Debug)]
pub struct Plan {
    settings: Settings,
    calls: [AtomicU64; Function::Drop as usize + 1],
}

impl Plan {
    /// # Errors
    ///
    /// A fault that its function cannot have; the field is named.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        if let Some((function, fault)) =
            settings.faults.iter().find(|(function, fault)| !fault.suits(**function))
        {
            let text = format!("{function:?} has no fault {fault:?}");
            return Err(Error::config("faults", text));
        }
        Ok(Self { settings, calls: Default::default() })
    }

    /// Whether a function has this fault at all.
    pub fn has(&self, function: Function, fault: Fault) -> bool {
        self.settings.faults.get(&function) == Some(&fault)
    }

    /// The fault of this call, of the raw ones or of the others.
    pub fn due(&self, function: Function, raw: bool) -> Option<Fault> {
        let fault = *self.settings.faults.get(&function).filter(|fault| fault.is_raw() == raw)?;
        let call = self.calls[function as usize].fetch_add(1, Ordering::Relaxed);
        let last = self.settings.times.map_or(u64::MAX, |times| self.settings.after.saturating_add(times));
        (self.settings.after..last).contains(&call).then_some(fault)
    }

    /// Waits, whatever the host wants, until the hang is released or has been long enough.
    pub fn hang(&self) {
        let began = std::time::Instant::now();
        if let Some(file) = &self.settings.entered {
            std::fs::write(file, "")
                .unwrap_or_else(|error| panic!("{} cannot be made: {error}", file.display()));
        }
        let longest = std::time::Duration::from_millis(self.settings.hang_ms.unwrap_or(60_000));
        while began.elapsed() < longest && !self.settings.release.as_ref().is_some_and(|file| file.exists()) {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}
