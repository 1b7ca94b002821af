//! The passwords of servers that the host runs: where a configuration gives none, the cluster keeps the one that it has, and
//! a new one gets one made from random bits.

use std::fmt::Write as _;

use longshore_config::{Config, Secret, ServerSource};

use crate::{error::ApplyError, house::House, message::Message};

/// How many random bytes a password is made of. (128 bits are more than anybody can try out: NIST SP 800-131A.)
const PASSWORD_BYTES: usize = 16;

impl House {
    /// The configuration with a password for each server that the host is to run.
    pub(crate) async fn with_passwords(&self, mut config: Config) -> Result<Config, ApplyError> {
        for cluster in &mut config.clusters {
            let Some(server) = &mut cluster.server else { continue };
            if server.password.is_some() || matches!(server.source, ServerSource::External { .. }) {
                continue;
            }
            let known = self.known_password(&cluster.name).await;
            server.password = Some(known.map_or_else(made, Ok)?);
        }
        Ok(config)
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
