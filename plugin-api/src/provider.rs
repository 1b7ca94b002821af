//! The trait that an author writes.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    context::Context,
    error::Error,
    log::Log,
    model::{Killed, Launch, RunRequest, WorkerStatus},
};

/// A backend that runs workers.
///
/// Functions are called from many threads at once and may block; each has a deadline, which
/// [`Context::remaining`] tells. A panic becomes an error of the call. The numbered clauses are in `CONTRACT.md`.
pub trait Provider: Send + Sync + Sized + 'static {
    /// The provider's short name: lower-case letters, digits and `-`. It is what a configuration file calls the plugin.
    const NAME: &'static str;

    /// Whether [`run`](Self::run) with a token that it has seen returns the first launch's handles and launches nothing
    /// more, even after the provider was created anew. It lets a host ask again when a reply was lost.
    const IDEMPOTENT_RUN: bool = false;

    /// The configuration. Its JSON Schema is derived; the host checks a configuration against it before `create`. Deny
    /// unknown fields, so that a misspelt one is an error.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes a provider. Threads, connections and files begin here at the earliest, and end when it is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::config`] names the field when a value cannot be used.
    fn create(config: Self::Config, log: Log) -> Result<Self, Error>;

    /// Launches workers and returns one handle for each; workers that share a container share the handle.
    ///
    /// # Errors
    ///
    /// An error says that nothing was created, but for [`Error::unknown`]. Where some were, answer [`Launch::partial`].
    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error>;

    /// One status a handle, in order. A handle that is not known is [`WorkerStatus::Stopped`].
    ///
    /// # Errors
    ///
    /// A backend that cannot be asked is an error, never "stopped".
    fn status(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error>;

    /// Kills every worker on each handle, and answers for each handle, in order. One that is not known, or is stopped
    /// already, is [`Killed::Yes`].
    ///
    /// # Errors
    ///
    /// Only when nothing can be said of any handle.
    fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error>;

    /// Whether each handle is initializing. Write it where there is a faster way than `status`.
    ///
    /// # Errors
    ///
    /// As `status`.
    fn is_initializing(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        Ok(self.status(ctx, handles)?.iter().map(|status| *status == WorkerStatus::Initializing).collect())
    }

    /// Whether each handle is running. Write it where there is a faster way than `status`.
    ///
    /// # Errors
    ///
    /// As `status`.
    fn is_running(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        Ok(self.status(ctx, handles)?.iter().map(|status| *status == WorkerStatus::Running).collect())
    }

    /// Whether each handle is stopped. Write it where there is a faster way than `status`.
    ///
    /// # Errors
    ///
    /// As `status`.
    fn is_stopped(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<bool>, Error> {
        Ok(self.status(ctx, handles)?.iter().map(|status| *status == WorkerStatus::Stopped).collect())
    }
}
