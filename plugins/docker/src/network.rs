//! The network of a cluster, where the configuration wants one for each.

use longshore_plugin_api::Error;

use crate::{
    labels::{self, Place, Role},
    settings::Network,
    shared::Shared,
};

/// Sees to it that the network of a cluster's containers is there: makes it, where it is the cluster's own.
pub(crate) async fn ready(shared: &Shared, place: &Place) -> Result<(), Error> {
    if shared.settings.network != Network::Cluster {
        return Ok(());
    }
    let name = place.network();
    let what = |verb: &str| format!("{verb} the network {name}");
    let found = shared.engine.network(&name).await.map_err(|fault| fault.during(what("look for")))?;
    if let Some(net) = found {
        return if is_ours(&net, place) { Ok(()) } else { Err(clash(&name)) };
    }
    match shared.engine.create_network(&name, place.labels(Role::Network)).await {
        Ok(()) => Ok(()),
        // Somebody else was faster.
        Err(fault) if fault.is_conflict() || fault.says(&["already exists", "already used"]) => Ok(()),
        Err(fault) if fault.says(&["address pool"]) => Err(Error::retryable(format_args!(
            "cannot {}: {fault}; an engine has room for some 30 networks: remove some, or have clusters share one",
            what("make")
        ))),
        Err(fault) => Err(fault.during(what("make"))),
    }
}

/// Looks whether the network that the configuration names is there, or makes the cluster's own.
pub(crate) async fn initialize(shared: &Shared, place: &Place) -> Result<(), Error> {
    let Network::Named(name) = &shared.settings.network else { return ready(shared, place).await };
    match shared.engine.network(name).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Error::permanent(format_args!(
            "there is no network {name:?} in the engine at {}: make it, or name another as `network`",
            shared.settings.endpoint
        ))),
        Err(fault) => Err(fault.during(format_args!("look for the network {name}"))),
    }
}

/// Removes the cluster's own network, unless somebody uses it.
pub(crate) async fn remove(shared: &Shared, place: &Place) -> Result<(), Error> {
    let name = place.network();
    let what = || format!("remove the network {name}");
    let found = shared.engine.network(&name).await.map_err(|fault| fault.during(what()))?;
    let Some(net) = found.filter(|net| is_ours(net, place)) else { return Ok(()) };
    match shared.engine.remove_network(&net.id).await {
        Err(fault) if !fault.says(&["active endpoints", "in use", "being used"]) => Err(fault.during(what())),
        _ => Ok(()),
    }
}

fn is_ours(net: &crate::engine::Net, place: &Place) -> bool {
    let label = |name: &str| net.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
    label(labels::OWNER) == Some(&place.owner) && label(labels::CLUSTER) == Some(&place.cluster)
}

fn clash(name: &str) -> Error {
    Error::permanent(format_args!(
        "the name clashes: there is a network {name} that this provider did not make; remove it, or choose another `namespace`"
    ))
}
