//! The calls that remove what stopped workers and servers left behind in a provider's backend.

use std::time::Duration;

use longshore_config::ClusterConfig;
use longshore_providers::{CallScope, Function, Provider};
use longshore_scaling::Side;
use tokio::sync::oneshot;

use super::{Caller, OneSide, called, teller::Teller, trouble};
use crate::{error::CommandError, registry::Made};

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
        let (provider, teller) = (self.here.at_hand.made.clone(), self.teller(config, self.here.side));
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
        let scope = self.scope(config, config.deadlines.cleanup.min(FAREWELL_LIMIT));
        for one in std::iter::once(&self.here).chain(&self.left) {
            farewell(&one.at_hand.made, &scope, &self.teller(config, one.side)).await;
        }
    }

    /// Lets go of the provider that the cluster has left, which removes what is left behind there, where it can. Nobody waits for
    /// that.
    pub(super) fn let_go_of_left(&mut self, side: Side, config: &ClusterConfig) {
        let Some(left) = self.left.take_if(|left| left.side == side) else { return };
        let scope = self.scope(config, config.deadlines.cleanup.min(FAREWELL_LIMIT));
        let teller = self.teller(config, left.side);
        let OneSide { at_hand, veiled, .. } = left;
        self.tasks.spawn(async move {
            farewell(&at_hand.made, &scope, &teller).await;
            // What it logs stays veiled until it is done.
            drop(veiled);
        });
    }
}

async fn farewell(made: &Made, scope: &CallScope, teller: &Teller) {
    let Some(provider) = made.as_ref().ok().filter(|provider| provider.has_cleanup()) else { return };
    let cluster = &*scope.cluster;
    if let Err(error) = clean_up(provider, scope, true, teller, cluster.to_owned()).await {
        tracing::warn!(cluster, "what the cluster leaves in the backend that it is gone from stays: {error}");
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
