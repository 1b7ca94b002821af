//! The passwords of servers that the host runs: where a configuration gives none, the cluster keeps the one that it has, and
//! a new one gets one made from random bits.

use std::{collections::BTreeSet, fmt::Write as _};

use longshore_config::{ClusterConfig, Config, Secret, ServerSource, Variable, uses};
use longshore_plugin_api::WorkerStatus;
use longshore_providers::{CallScope, Function, Provider};

use crate::{calls::called, error::ApplyError, house::House, message::Message};

/// How many random bytes a password is made of. (128 bits are more than anybody can try out: NIST SP 800-131A.)
const PASSWORD_BYTES: usize = 16;

/// A configuration with a password for each server that the host is to run.
pub(crate) struct Secured {
    pub(crate) config: Config,
    /// The clusters whose passwords were made just now.
    pub(crate) made: BTreeSet<String>,
}

impl House {
    pub(crate) async fn with_passwords(&self, mut config: Config) -> Result<Secured, ApplyError> {
        let mut newly_made = BTreeSet::new();
        for cluster in &mut config.clusters {
            let Some(server) = &mut cluster.server else { continue };
            if server.password.is_some() || matches!(server.source, ServerSource::External { .. }) {
                continue;
            }
            let known = self.known_password(&cluster.name).await;
            if known.is_none() {
                newly_made.insert(cluster.name.clone());
            }
            server.password = Some(known.map_or_else(made, Ok)?);
        }
        Ok(Secured { config, made: newly_made })
    }

    /// The password of the server that the host runs for a cluster. One of a server that others run is theirs.
    async fn known_password(&self, cluster: &str) -> Option<Secret> {
        if !self.is_known(cluster) {
            return None;
        }
        // One that is deleted meanwhile has none any more.
        let known = self.ask(cluster, Message::Definition).await.ok()?.server?;
        known.password.filter(|_| matches!(known.source, ServerSource::Managed { .. }))
    }
}

/// Refuses a cluster whose server runs already, as that of a host whose state is lost does: asked for again it goes on under the
/// password that it has, and its workers would be told the one that was made.
pub(crate) async fn check_that_made_counts(
    cluster: &ClusterConfig,
    made: &BTreeSet<String>,
    provider: &Provider,
) -> Result<(), ApplyError> {
    if !made.contains(&cluster.name) || !tells_password(cluster) || !provider.has_server() {
        return Ok(());
    }
    let scope = CallScope {
        cluster: cluster.name.as_str().into(),
        budget: cluster.deadlines.status,
        verbose: cluster.verbose,
    };
    match called(provider, Function::ServerStatus, &scope, Provider::server_status).await {
        Ok(WorkerStatus::Stopped) => Ok(()),
        Ok(_) => Err(ApplyError::PasswordUnknown { cluster: cluster.name.clone() }),
        Err(error) => {
            // A backend that is out of reach keeps nobody from describing a cluster.
            let cluster = &*cluster.name;
            tracing::warn!(cluster, "whether a server of it runs already cannot be found out: {error}");
            Ok(())
        }
    }
}

/// Whether a container of the cluster is told the server's password.
fn tells_password(cluster: &ClusterConfig) -> bool {
    let tells = |container| uses(container, Variable::ServerPassword);
    let source = cluster.server.as_ref().map(|server| &server.source);
    let of_server = matches!(source, Some(ServerSource::Managed { container, .. }) if tells(container));
    of_server || tells(&cluster.container)
}

/// A password that nobody can guess, of letters and digits alone: it can stand in any command or URL as it is.
fn made() -> Result<Secret, ApplyError> {
    let mut bytes = [0; PASSWORD_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| ApplyError::NoRandomness { reason: error.to_string() })?;
    let mut text = String::with_capacity(2 * PASSWORD_BYTES);
    for byte in bytes {
        // A text has room for more.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Secret::new(text))
}
