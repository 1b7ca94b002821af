//! What a provider may do beyond the necessary. Each is a trait, named in the `export_provider!` line.

use crate::{
    context::Context,
    error::Error,
    model::{ListedHandle, ServerAddress, ServerRequest, WorkerStatus},
    provider::Provider,
};

/// Prepares the backend for a cluster: networks, folders, credentials.
pub trait Initialize: Provider {
    /// Called once a cluster and host, before the cluster's first `run`; calling it again changes nothing.
    ///
    /// # Errors
    ///
    /// The host launches nothing until it succeeds.
    fn initialize(&self, ctx: &Context<'_>) -> Result<(), Error>;
}

/// Finds a cluster's workers from the backend alone.
pub trait List: Provider {
    /// Every handle of the context's cluster that is not stopped, and none of another cluster's; also after the provider
    /// was created anew.
    ///
    /// # Errors
    ///
    /// An incomplete answer is an error.
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error>;
}

/// The life cycle of a cluster's server: the program that its workers report to. One a cluster.
pub trait Server: Provider {
    /// Starts the server. Where it runs already, nothing changes, whatever the request is; where several ask at once, one is
    /// started.
    ///
    /// # Errors
    ///
    /// An error says that nothing was left behind, but for [`Error::unknown`]: the host looks for a while then whether the
    /// server comes all the same.
    fn run_server(&self, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error>;

    /// Stops the server, with all that it has started. Where there is none, that is success.
    ///
    /// # Errors
    ///
    /// It may still be there.
    fn stop_server(&self, ctx: &Context<'_>) -> Result<(), Error>;

    /// How the server is; [`WorkerStatus::Stopped`] where there is none, or where it has ended by itself.
    ///
    /// # Errors
    ///
    /// The backend cannot be asked.
    fn server_status(&self, ctx: &Context<'_>) -> Result<WorkerStatus, Error>;

    /// Where workers reach the server, once it has an address: with the port of its request, unless the provider assigned one.
    ///
    /// # Errors
    ///
    /// The backend cannot be asked.
    fn server_address(&self, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error>;
}

/// Removes what a cluster left behind in the backend.
pub trait Cleanup: Provider {
    /// Removes what stopped workers left; `deep` also removes what further clusters may want again (images, networks,
    /// shared folders).
    ///
    /// # Errors
    ///
    /// Something is still there.
    fn cleanup(&self, ctx: &Context<'_>, deep: bool) -> Result<(), Error>;
}
