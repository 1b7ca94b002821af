//! Takes over a cluster that runs without this host's knowledge: the journal of the host before it is lost, or it ran
//! elsewhere. Its provider alone says which workers there are, and as many are expected from then on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use longshore_config::{ClusterConfig, Config};
use longshore_providers::{CallScope, check_command};
use longshore_scaling::{Command, Denied};

use crate::{
    apply::{Prepared, finish, provider_of, there},
    error::{ApplyError, CommandError, nearest},
    host::Host,
    house::House,
    passwords::{Secured, check_that_made_counts},
};

impl Host {
    /// Takes over what runs of a cluster. One that the host has adopts whatever its provider lists, and expects as many
    /// workers as it finds; `config` is not looked at. One that it does not have is made as `config` says, but for the number
    /// of workers, for which it goes by what runs. Returns how many were found at once, for one that was made.
    ///
    /// Nothing is launched or killed before two lists in a row had nothing new.
    ///
    /// # Errors
    ///
    /// There is no such cluster and no configuration of it; its provider cannot list, or lists nothing; more run than the
    /// configuration allows. Nothing has changed then.
    pub async fn reconnect(&self, cluster: &str, config: Option<Config>) -> Result<Option<u32>, ApplyError> {
        match self.command(cluster, Command::Reconnect).await {
            Ok(_) => return Ok(None),
            Err(error @ CommandError::NoSuchCluster { .. }) if config.is_none() => return Err(error.into()),
            Err(CommandError::NoSuchCluster { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let mut config = config.unwrap_or_default();
        config.check()?;
        let names: Vec<_> = config.clusters.iter().map(|it| it.name.clone()).collect();
        config.clusters.retain(|it| it.name == cluster);
        if config.clusters.is_empty() {
            let nearest = nearest(cluster, names.iter().map(String::as_str));
            return Err(ApplyError::NotConfigured { cluster: cluster.to_owned(), nearest });
        }

        let turn = self.house.turn_for(&config).await?;
        // Somebody else may have made it while this waited.
        if self.house.is_known(cluster) {
            self.command(cluster, Command::Reconnect).await?;
            return Ok(None);
        }
        let Secured { mut config, made } = self.house.with_passwords(config).await?;
        let [wanted] = &*config.clusters else {
            return Err(CommandError::NoSuchCluster { name: cluster.to_owned(), nearest: None }.into());
        };
        let wanted = wanted.clone();
        config.providers.retain(|it| it.name == wanted.provider);
        let looking = self.house.look_for(&wanted, &config, &made);
        let (running, providers) = self.house.unless_closed(looking).await?;
        let house = Arc::clone(&self.house);
        finish(async move {
            let _turn = turn;
            let provider = there(&wanted, &provider_of(&wanted, &providers))?;
            if let Some(Prepared::New { definition, provider, rolled_back, .. }) =
                providers.get(&wanted.provider)
            {
                house.install(definition, provider, rolled_back.clone()).await?;
                house.watch_folders();
            }
            house.make(wanted, provider, Some(running)).await?;
            Ok(Some(running))
        })
        .await
    }
}

impl House {
    /// How many workers of a cluster run that the host does not know, and on which provider. Nothing changes.
    async fn look_for(
        &self,
        wanted: &ClusterConfig,
        config: &Config,
        made: &BTreeSet<String>,
    ) -> Result<(u32, BTreeMap<String, Prepared>), ApplyError> {
        let cluster = wanted.name.as_str();
        let providers = self.prepare(config).await?;
        let provider = there(wanted, &provider_of(wanted, &providers))?;
        if !provider.has_list() {
            let denied = Denied::CannotList;
            return Err(CommandError::Denied { cluster: cluster.to_owned(), denied }.into());
        }
        check_that_made_counts(wanted, made, &provider).await?;
        let scope =
            CallScope { cluster: cluster.into(), budget: wanted.deadlines.list, verbose: wanted.verbose };
        let listed = provider.list(&scope).reply().await.map_err(|why| ApplyError::CannotLook {
            cluster: cluster.to_owned(),
            provider: wanted.provider.clone(),
            check: why.clause().map(|clause| check_command(provider.library().path(), clause.id())),
            why: Box::new(why),
        })?;
        let running = listed.iter().fold(0_u32, |sum, entry| sum.saturating_add(entry.workers));
        if running == 0 {
            let (cluster, provider) = (cluster.to_owned(), wanted.provider.clone());
            return Err(ApplyError::NothingRuns { cluster, provider });
        }
        let found = ClusterConfig { workers: running, ..wanted.clone() };
        self.look_ahead(&found, &Ok(provider)).await?;
        Ok((running, providers))
    }
}
