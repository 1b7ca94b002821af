//! The calls about a cluster's server. As everything here, it decides nothing.

use std::sync::Arc;

use longshore_config::{ClusterConfig, ServerConfig, ServerSource};
use longshore_plugin_api::{ErrorKind, ServerRequest, WorkerStatus};
use longshore_providers::{CallError, CallScope, Function, NotSent, Provider};
use longshore_scaling::{Address, Observation, ServerSeen, Trouble};

use super::{Caller, called, probe::Prober, trouble};
use crate::fill::server_container;

impl Caller {
    pub(super) fn run_server(&mut self, provider: Arc<Provider>, config: &ClusterConfig) {
        let request = match request(config) {
            Ok(request) => request,
            Err(trouble) => {
                let trouble = Some(trouble);
                let ran =
                    Observation::ServerRan { trouble, retryable: false, returned: true, doubtful: false };
                return self.answer(config, self.here.side, async { ran });
            }
        };
        let scope = self.scope(config, config.deadlines.server);
        let teller = self.teller(config, self.here.side);
        self.tasks.spawn(async move {
            let place = match provider.place(Function::RunServer, scope.budget).await {
                Ok(place) => place,
                Err(error) => return teller.tell(ran_with(Err(error))).await,
            };
            let mut call = provider.run_server(&scope, request);
            let answer = call.reply().await;
            drop(place);
            let hangs = matches!(answer, Err(CallError::Deadline { .. }));
            teller.tell(ran_with(answer)).await;
            if hangs {
                // The server may come into being yet, and nothing else is done about it before.
                let answer = call.late().await;
                teller.tell(ran_with(answer)).await;
            }
        });
    }

    pub(super) fn stop_server(&mut self, provider: Arc<Provider>, config: &ClusterConfig) {
        let scope = self.scope(config, config.deadlines.server);
        self.answer(config, self.here.side, async move {
            let answer = called(&provider, Function::StopServer, &scope, Provider::stop_server).await;
            Observation::ServerStopAnswered(answer.map_err(|error| trouble(&error)))
        });
    }

    /// Looks at the server. One that others run needs no provider.
    pub(super) fn look_at_server(&mut self, config: &ClusterConfig) {
        let Some(server) = config.server.clone() else {
            // A state that has a server which its definition does not have: the next definition mends it.
            let trouble = Trouble::new("the cluster's definition has no server");
            return self.answer(config, self.here.side, async { Observation::ServerLooked(Err(trouble)) });
        };
        let (provider, prober) = (self.here.at_hand.made.clone(), self.prober.clone());
        let scope = self.scope(config, config.deadlines.status);
        self.answer(config, self.here.side, async move {
            let seen = match (&server.source, provider) {
                (ServerSource::External { host, port }, _) => {
                    let address = Address { host: host.clone(), port: Some(*port) };
                    Ok(prober.probe(address, server.probe).await)
                }
                (ServerSource::Managed { .. }, Ok(provider)) => {
                    look(&provider, &scope, &server, &prober).await
                }
                (ServerSource::Managed { .. }, Err(trouble)) => Err(trouble),
            };
            Observation::ServerLooked(seen)
        });
    }
}

fn request(config: &ClusterConfig) -> Result<ServerRequest, Trouble> {
    let Some(ServerConfig { source: ServerSource::Managed { container, hardware, port }, .. }) =
        &config.server
    else {
        return Err(Trouble::new("the cluster's definition has no server that could be started"));
    };
    let container = server_container(config, container)?;
    Ok(ServerRequest { container, hardware: hardware.clone(), port: *port })
}

async fn look(
    provider: &Provider,
    scope: &CallScope,
    server: &ServerConfig,
    prober: &Prober,
) -> Result<ServerSeen, Trouble> {
    let status = called(provider, Function::ServerStatus, scope, Provider::server_status).await;
    match status.map_err(|error| trouble(&error))? {
        WorkerStatus::Stopped => Ok(ServerSeen::Stopped),
        WorkerStatus::Initializing => Ok(ServerSeen::Initializing),
        WorkerStatus::Running => {
            let address = called(provider, Function::ServerAddress, scope, Provider::server_address).await;
            let Some(address) = address.map_err(|error| trouble(&error))? else {
                return Ok(ServerSeen::Initializing);
            };
            let configured = match server.source {
                ServerSource::Managed { port, .. } => port,
                ServerSource::External { .. } => None,
            };
            let address = Address { host: address.host, port: address.port.or(configured) };
            Ok(prober.probe(address, server.probe).await)
        }
    }
}

/// What came of starting the server.
fn ran_with(answer: Result<(), CallError>) -> Observation {
    let Err(error) = answer else {
        return Observation::ServerRan { trouble: None, retryable: true, returned: true, doubtful: false };
    };
    let retryable = match &error {
        CallError::Failed(error) => !matches!(error.kind(), ErrorKind::Permanent | ErrorKind::Config),
        CallError::NotSent { reason: NotSent::Missing(_) | NotSent::Unwritable(_) | NotSent::TooLarge } => {
            false
        }
        _ => true,
    };
    let returned = !matches!(error, CallError::Deadline { .. });
    let doubtful = match &error {
        CallError::Failed(error) => matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Panic),
        CallError::NotSent { .. } => false,
        _ => true,
    };
    Observation::ServerRan { trouble: Some(trouble(&error)), retryable, returned, doubtful }
}
