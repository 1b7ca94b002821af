//! The calls about a cluster's server, and the look whether it can be reached. As everything here, it decides nothing.

use std::{sync::Arc, time::Duration};

use longshore_config::{ClusterConfig, Probe, Secret, ServerConfig, ServerSource};
use longshore_plugin_api::{ErrorKind, ServerRequest, WorkerStatus};
use longshore_providers::{CallError, CallScope, Function, NotSent, Provider};
use longshore_scaling::{Address, LaunchOutcome, Observation, ServerSeen, Trouble};
use tokio::{net::TcpStream, sync::oneshot, time::timeout};

use super::{Caller, called, tell, trouble};
use crate::{error::CommandError, fill::server_container};

/// How long a connection to a server may take before the server counts as out of reach.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

impl Caller {
    pub(super) fn run_server(&mut self, provider: Arc<Provider>, config: &ClusterConfig) {
        let request = match request(config) {
            Ok(request) => request,
            Err(trouble) => return self.answer(async { ran(Some(trouble), false, true) }),
        };
        let scope = self.scope(config, config.deadlines.server);
        let (inbox, password) = (self.inbox.clone(), password(config));
        self.tasks.spawn(async move {
            let ran_with = |answer| hiding(password.as_ref(), ran_with(answer));
            let place = match provider.place(Function::RunServer, scope.budget).await {
                Ok(place) => place,
                Err(error) => return tell(&inbox, ran_with(Err(error))).await,
            };
            let mut call = provider.run_server(&scope, request);
            let answer = call.reply().await;
            drop(place);
            let hangs = matches!(answer, Err(CallError::Deadline { .. }));
            tell(&inbox, ran_with(answer)).await;
            if hangs {
                // The server may come into being yet, and nothing else is done about it before.
                let answer = call.late().await;
                tell(&inbox, ran_with(answer)).await;
            }
        });
    }

    pub(super) fn stop_server(&mut self, provider: Arc<Provider>, config: &ClusterConfig) {
        let scope = self.scope(config, config.deadlines.server);
        self.answer(async move {
            let answer = called(&provider, Function::StopServer, &scope, Provider::stop_server).await;
            Observation::ServerStopAnswered(answer.map_err(|error| trouble(&error)))
        });
    }

    /// Looks at the server. One that others run needs no provider.
    pub(super) fn look_at_server(&mut self, config: &ClusterConfig) {
        let Some(server) = config.server.clone() else {
            // A state that has a server which its definition does not have: the next definition mends it.
            let trouble = Trouble::new("the cluster's definition has no server");
            return self.answer(async { Observation::ServerLooked(Err(trouble)) });
        };
        let provider = self.provider.clone();
        let scope = self.scope(config, config.deadlines.status);
        self.answer(async move {
            let seen = match (&server.source, provider) {
                (ServerSource::External { host, port }, _) => {
                    let address = Address { host: host.clone(), port: Some(*port) };
                    Ok(probed(address, server.probe).await)
                }
                (ServerSource::Managed { .. }, Ok(provider)) => look(&provider, &scope, &server).await,
                (ServerSource::Managed { .. }, Err(trouble)) => Err(trouble),
            };
            Observation::ServerLooked(seen)
        });
    }
}

impl Caller {
    /// Lets the provider remove what the cluster's stopped workers left, and tells whoever asked.
    pub(crate) fn clean_up(
        &mut self,
        config: &ClusterConfig,
        deep: bool,
        reply: oneshot::Sender<Result<(), CommandError>>,
    ) {
        let cluster = config.name.clone();
        let scope = self.scope(config, config.deadlines.cleanup);
        let provider = self.provider.clone();
        self.tasks.spawn(async move {
            let outcome = match provider {
                Ok(provider) if !provider.has_cleanup() => Err(CommandError::NoCleanUp { cluster }),
                Ok(provider) => {
                    let clean = |provider: &Provider, scope: &CallScope| provider.cleanup(scope, deep);
                    let answer = called(&provider, Function::Cleanup, &scope, clean).await;
                    answer.map_err(|error| CommandError::CleanUp { cluster, trouble: trouble(&error) })
                }
                Err(trouble) => Err(CommandError::CleanUp { cluster, trouble }),
            };
            // Who asked may have gone away; what could be removed is removed.
            let _ = reply.send(outcome);
        });
    }
}

/// The password that a cluster's containers may be told.
pub(super) fn password(config: &ClusterConfig) -> Option<Secret> {
    config.server.as_ref().and_then(|server| server.password.clone())
}

/// What was observed, without the password wherever the provider repeats what it was given: it is told to operators, and
/// kept.
pub(super) fn hiding(password: Option<&Secret>, mut observation: Observation) -> Observation {
    let Some(password) = password else { return observation };
    let trouble = match &mut observation {
        Observation::Launch { outcome, .. } => match outcome {
            LaunchOutcome::Succeeded { shortfall, .. } => shortfall.as_mut(),
            LaunchOutcome::Failed { trouble, .. } | LaunchOutcome::Unknown { trouble, .. } => Some(trouble),
        },
        Observation::ServerRan { trouble, .. } => trouble.as_mut(),
        _ => None,
    };
    if let Some(trouble) = trouble {
        trouble.text = password.hidden_in(&trouble.text).into_owned();
    }
    observation
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

async fn look(provider: &Provider, scope: &CallScope, server: &ServerConfig) -> Result<ServerSeen, Trouble> {
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
            Ok(probed(address, server.probe).await)
        }
    }
}

/// Whether a server that should be there can be reached, where that is asked for.
async fn probed(address: Address, probe: Probe) -> ServerSeen {
    let port = match probe {
        Probe::Status => return ServerSeen::Up { address },
        Probe::Tcp => address.port,
    };
    let Some(port) = port else {
        let text = "neither the provider nor the configuration says its port; give the server a `port`, or set `probe = \
                    \"status\"`";
        return ServerSeen::Unreachable { address, trouble: Trouble::new(text) };
    };
    let failed = match timeout(PROBE_LIMIT, TcpStream::connect((address.host.as_str(), port))).await {
        Ok(Ok(_)) => return ServerSeen::Up { address },
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no connection within {} s", PROBE_LIMIT.as_secs()),
    };
    ServerSeen::Unreachable { address, trouble: Trouble::new(failed) }
}

fn ran(trouble: Option<Trouble>, retryable: bool, returned: bool) -> Observation {
    Observation::ServerRan { trouble, retryable, returned }
}

fn ran_with(answer: Result<(), CallError>) -> Observation {
    let Err(error) = answer else { return ran(None, true, true) };
    let retryable = match &error {
        CallError::Failed(error) => !matches!(error.kind(), ErrorKind::Permanent | ErrorKind::Config),
        CallError::NotSent { reason: NotSent::Missing(_) | NotSent::Unwritable(_) } => false,
        _ => true,
    };
    let returned = !matches!(error, CallError::Deadline { .. });
    ran(Some(trouble(&error)), retryable, returned)
}
