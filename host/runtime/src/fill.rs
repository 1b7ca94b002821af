//! From a cluster's definition to the containers that a provider is given: what its variables stand for at this moment.

use longshore_config::{ClusterConfig, ServerSource, ServerValues, Values, Variable, fill, uses};
use longshore_plugin_api::Container;
use longshore_scaling::{State, Trouble};

/// The container of a launch of so many workers.
///
/// # Errors
///
/// A variable has no value: the server's port is not known, say.
pub(crate) fn worker_container(
    config: &ClusterConfig,
    state: &State,
    workers: u32,
) -> Result<Container, Trouble> {
    let mut container = config.container.clone();
    let mut each = container.max_workers().min(workers).max(1);
    if uses(&container, Variable::WorkerCount) && !workers.is_multiple_of(each) {
        // A launch that was cut for another size of container and is asked for again: all of its containers still hold
        // the number that they are told.
        each = (1..=each).rev().find(|each| workers.is_multiple_of(*each)).unwrap_or(1);
        container.max_workers = Some(each);
    }
    let address = state.server().and_then(|server| server.address.as_ref());
    let server = config.server.as_ref().map(|server| ServerValues {
        host: address.map(|address| address.host.as_str()),
        port: address.and_then(|address| address.port),
        password: server.password.as_ref(),
    });
    filled(&container, &Values { cluster: &config.name, worker_count: Some(each), server })
}

/// The container of a cluster's server.
///
/// # Errors
///
/// A variable has no value.
pub(crate) fn server_container(config: &ClusterConfig, container: &Container) -> Result<Container, Trouble> {
    let server = config.server.as_ref().map(|server| ServerValues {
        host: None,
        port: match server.source {
            ServerSource::Managed { port, .. } => port,
            ServerSource::External { port, .. } => Some(port),
        },
        password: server.password.as_ref(),
    });
    filled(container, &Values { cluster: &config.name, worker_count: None, server })
}

fn filled(container: &Container, values: &Values<'_>) -> Result<Container, Trouble> {
    fill(container, values)
        .map_err(|error| Trouble::new(format!("the container cannot be filled in: {error}")))
}
