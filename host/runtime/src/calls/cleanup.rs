//! The calls that remove what stopped workers and servers left behind in a provider's backend.

use std::time::Duration;

use longshore_config::ClusterConfig;
use longshore_providers::{CallScope, Function, Provider};
use tokio::sync::oneshot;

use super::{Caller, called, teller::Teller, trouble};
use crate::error::CommandError;

/// How long the end of a deleted cluster waits for its provider to tidy up, for the call's turn and for its answer each.
const FAREWELL_LIMIT: Duration = Duration::from_secs(30);

impl Caller {
    /// Lets the provider remove what the cluster's stopped workers left, and tells whoever asked.
    pub(crate) fn clean_up(
        &mut self,
        config: &ClusterConfig,
        deep: bool,
        reply: oneshot::Sender<Result<(), CommandError>>,
    ) {
        self.forget_ended();
        let cluster = config.name.clone();
        let scope = self.scope(config, config.deadlines.cleanup);
        let (provider, teller) = (self.provider.clone(), self.teller(config));
        self.tasks.spawn(async move {
            let outcome = match provider {
                Ok(provider) => clean_up(&provider, &scope, deep, &teller, cluster).await,
                Err(trouble) => Err(CommandError::CleanUp { cluster, trouble }),
            };
            // Who asked may have gone away; what could be removed is removed.
            let _ = reply.send(outcome);
        });
    }

    /// Lets the provider remove all that a deleted cluster has left behind, where it can. That it fails keeps nobody from
    /// going: an operator who reads the log knows where to look.
    pub(crate) async fn tidy_up(&self, config: &ClusterConfig) {
        let Some(provider) = self.provider.as_ref().ok().filter(|provider| provider.has_cleanup()) else {
            return;
        };
        let cluster = config.name.clone();
        let scope = self.scope(config, config.deadlines.cleanup.min(FAREWELL_LIMIT));
        if let Err(error) = clean_up(provider, &scope, true, &self.teller(config), cluster).await {
            tracing::warn!(
                cluster = config.name,
                "what the deleted cluster leaves in the backend stays: {error}"
            );
        }
    }
}

async fn clean_up(
    provider: &Provider,
    scope: &CallScope,
    deep: bool,
    teller: &Teller,
    cluster: String,
) -> Result<(), CommandError> {
    if !provider.has_cleanup() {
        return Err(CommandError::NoCleanUp { cluster });
    }
    let clean = |provider: &Provider, scope: &CallScope| provider.cleanup(scope, deep);
    let answer = called(provider, Function::Cleanup, scope, clean).await;
    answer.map_err(|error| {
        let trouble = teller.fit_for_telling(trouble(&error));
        CommandError::CleanUp { cluster, trouble }
    })
}
