//! A cluster's server: one container of a fixed name, so that there is never more than one.

use std::sync::{Arc, atomic::AtomicBool};

use longshore_plugin_api::{Context, Error, ErrorKind, ServerAddress, ServerRequest, WorkerStatus};
use serde::Deserialize;

use crate::{
    ending::{self, Stage},
    labels::{self, Place, Role},
    maker::{self, Order, Outcome},
    network, pull,
    request::{self, Wish},
    settings::Network,
    shared::{Shared, over, unless_over},
    state::{Found, Phase},
};

/// The container of the cluster's server.
async fn find(shared: &Shared, place: &Place) -> Result<Option<Found>, Error> {
    let found = shared.engine.containers(place, Some(Role::Server)).await;
    let found = found.map_err(|fault| {
        fault.during(format_args!("look for the server of the cluster {}", place.cluster))
    })?;
    Ok(found.into_iter().find(|one| one.is_called(&place.server())))
}

/// What starts and stops of the server take turns by, and what shows that a start is on its way.
fn turn_of(place: &Place) -> String {
    format!("{}/.server", place.cluster)
}

fn start_of(place: &Place) -> String {
    format!("{}/.start", place.cluster)
}

/// Starts the server, unless it runs already.
pub(crate) fn run(shared: &Arc<Shared>, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
    if let Some(why) = labels::fault(ctx.cluster(), None) {
        return Err(Error::permanent(why));
    }
    if shared.settings.network == Network::Nowhere {
        let why = "a server in the network \"none\" cannot be reached: name another as `network`";
        return Err(Error::permanent(why));
    }
    if shared.settings.publish.is_some() && request.port.is_none() {
        let why = "the server's port is to be published (`publish`), and is not known: name it as `port` of the server";
        return Err(Error::permanent(why));
    }
    let image = request::check(&request.container, &request.hardware)?;
    ctx.check()?;
    let place = shared.place(ctx.cluster());
    let name = place.server();
    shared.block_on(async {
        let turn = shared.turn(ctx, turn_of(&place)).await?;
        let found = unless_over(ctx, find(shared, &place)).await?;
        let begun = match found {
            Some(found) if found.phase() == Phase::Made => Some(found),
            Some(found) if found.phase() != Phase::Ended => return Ok(()),
            Some(found) => {
                remove(shared, ctx, &found).await?;
                // It holds the name, and would be taken for the one that is to be made.
                if unless_over(ctx, find(shared, &place)).await?.is_some() {
                    return Err(Error::retryable(format_args!(
                        "the container {name} of the server before has ended, and the engine has not removed it yet"
                    )));
                }
                None
            }
            None => None,
        };
        pull::ready(shared, ctx, &image).await?;
        unless_over(ctx, network::ready(shared, &place)).await?;
        let mut labels = place.labels(Role::Server);
        labels.extend(request.port.map(|port| (labels::PORT.to_owned(), port.to_string())));
        let wish = Wish {
            place: &place,
            image: &image,
            container: &request.container,
            hardware: &request.hardware,
            workers: 1,
            labels,
            variables: vec![("LONGSHORE_CLUSTER", place.cluster.clone())],
            port: request.port.filter(|_| shared.settings.publish.is_some()),
        };
        let body = request::body(&shared.settings, wish);
        let start = shared.turn(ctx, start_of(&place)).await?;
        let task = Arc::clone(shared);
        // On its own, so that it does not stop half-way when the call is over.
        let making = tokio::spawn(async move {
            let _held = (start, turn);
            match begun {
                Some(found) => maker::go_on(&task, &name, &found).await,
                None => maker::make(&task, Order { name, body }, &AtomicBool::new(false)).await,
            }
        });
        tokio::select! {
            outcome = making => match outcome {
                Ok(Outcome::Made) => Ok(()),
                Ok(Outcome::Absent(error)) => Err(error),
                Ok(Outcome::Doubtful(error)) if error.kind() == ErrorKind::Unknown => Err(error),
                Ok(Outcome::Doubtful(error)) => Err(Error::unknown(error)),
                Err(error) => Err(Error::unknown(error)),
            },
            error = over(ctx) => Err(Error::unknown(format_args!("{}; the server is still being started", error.message()))),
        }
    })
}

/// Stops the server, where there is one.
pub(crate) fn stop(shared: &Arc<Shared>, ctx: &Context<'_>) -> Result<(), Error> {
    let place = shared.place(ctx.cluster());
    ctx.check()?;
    // A start goes on when its call is over: what comes of it is stopped as well.
    let _turn = shared.block_on(shared.turn(ctx, turn_of(&place)))?;
    let found = shared.read(ctx, find(shared, &place))?;
    let Some(found) = found else { return Ok(()) };
    shared.block_on(remove(shared, ctx, &found))
}

async fn remove(shared: &Arc<Shared>, ctx: &Context<'_>, found: &Found) -> Result<(), Error> {
    let mut stage = ending::end(shared, found);
    tokio::select! {
        _ = ending::ended(&mut stage) => {}
        _ = over(ctx) => {}
    }
    let stage = stage.borrow();
    match &*stage {
        Stage::Stopped | Stage::Over => Ok(()),
        Stage::Failed(why) => Err(Error::other(why)),
        Stage::Ending => Err(Error::retryable(format_args!(
            "the server was asked to end, and may take {:?} (`stop_grace`); the call was over before",
            shared.settings.stop_grace
        ))),
    }
}

/// How the server is.
pub(crate) fn status(shared: &Shared, ctx: &Context<'_>) -> Result<WorkerStatus, Error> {
    let place = shared.place(ctx.cluster());
    // Before the engine is asked: what a start that has ended by now came to shows there.
    let is_starting = shared.is_busy(&start_of(&place));
    let found = shared.read(ctx, find(shared, &place))?;
    Ok(match found.map_or(WorkerStatus::Stopped, |found| found.phase().status()) {
        WorkerStatus::Stopped if is_starting => WorkerStatus::Initializing,
        status => status,
    })
}

/// A container, as the engine shows it alone, so far as its address goes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Shown {
    state: State,
    network_settings: Networks,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Networks {
    networks: Option<std::collections::BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
}

/// Where the server is reached, once it runs.
pub(crate) fn address(shared: &Shared, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error> {
    let (settings, place) = (&shared.settings, shared.place(ctx.cluster()));
    let Some(found) = shared.read(ctx, find(shared, &place))? else { return Ok(None) };
    if !matches!(found.phase(), Phase::Starting | Phase::Running) {
        return Ok(None);
    }
    let port = found.label(labels::PORT).and_then(|port| port.parse().ok());
    let said =
        settings.plain.server_host.clone().or_else(|| settings.publish.map(|address| address.to_string()));
    let host = match (said, &settings.network) {
        (Some(host), _) => host,
        (None, Network::Host) => "127.0.0.1".to_owned(),
        (None, _) => {
            let path = format!("/containers/{}/json", found.id);
            let shown = shared.read(ctx, async {
                let shown = shared.engine.get::<Shown>(&path, &[]).await;
                // It may have gone this moment.
                match shown {
                    Err(fault) if fault.is_missing() => Ok(None),
                    shown => shown.map(Some).map_err(|fault| fault.during("ask for the server's address")),
                }
            })?;
            let Some(shown) = shown.filter(|shown| shown.state.running) else { return Ok(None) };
            own_address(shown, request::mode(settings, &place).as_deref()).ok_or_else(|| {
                Error::permanent(format_args!(
                    "the container {} has no address of its own (does the engine run without root?): set `publish` and \
                     `server_host`",
                    place.server()
                ))
            })?
        }
    };
    Ok(Some(ServerAddress { host, port }))
}

/// The container's address in its network, or in any where the engine calls that otherwise.
fn own_address(shown: Shown, network: Option<&str>) -> Option<String> {
    let networks = shown.network_settings.networks.unwrap_or_default();
    let own = network.and_then(|name| networks.get(name)).and_then(Option::as_ref);
    let address = |one: &Endpoint| {
        [&one.ip_address, &one.global_ipv6_address].into_iter().find(|text| !text.is_empty()).cloned()
    };
    own.into_iter().chain(networks.values().flatten()).find_map(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(networks: &serde_json::Value, network: Option<&str>) -> Option<String> {
        let shown = json!({"Id": "1", "NetworkSettings": {"Networks": networks}});
        own_address(serde_json::from_value(shown).expect("it is read"), network)
    }

    #[test]
    fn a_container_has_the_address_of_its_network() {
        let both = json!({"a": {"IPAddress": "10.0.0.1"}, "b": {"IPAddress": "10.0.0.2"}});
        assert_eq!(of(&both, Some("b")).as_deref(), Some("10.0.0.2"));
        assert_eq!(of(&both, None).as_deref(), Some("10.0.0.1"));
        let six = json!({"a": {"IPAddress": "", "GlobalIPv6Address": "fd00::1"}});
        assert_eq!(of(&six, None).as_deref(), Some("fd00::1"));
        for none in [json!(null), json!({}), json!({"a": null}), json!({"a": {"IPAddress": ""}})] {
            assert_eq!(of(&none, Some("a")), None);
        }
    }
}
