//! What follows a swap: the new generation is watched, is given up by itself where it fails, or is taken for good; and the one
//! before it goes once nobody would want it back at once.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use longshore_providers::Provider;
use longshore_scaling::Turn;
use tokio::time::{Instant, sleep, timeout};

use super::{ProviderVersion, SwapError, SwapOutcome, installed};
use crate::{
    definition::{Definition, GivenUp, Origin, Swapped},
    error::ApplyError,
    generations::{Generations, KEPT_FOR, Keeper, RolledBack},
    host::RECONCILER_SHUTDOWN,
    house::House,
    registry::Installed,
    watch::{Conduct, watch},
};

/// How long to wait before what the journal, or the plugin before, refused is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Looks after the newest generation of one provider, for as long as its host is there.
struct Trial {
    house: Weak<House>,
    provider: String,
    watch: Duration,
    /// What its own calls, and those of the one before, had come to when it began.
    begun: Conduct,
    old: Conduct,
}

impl House {
    /// Sees to it that the newest generation is watched for so long, and that the one before goes at last. `conduct` is what
    /// the calls of the two came to so far.
    pub(super) fn look_after(self: &Arc<Self>, name: &str, watch: Duration, conduct: (Conduct, Conduct)) {
        let trial = Trial {
            house: Arc::downgrade(self),
            provider: name.to_owned(),
            watch,
            begun: conduct.0,
            old: conduct.1,
        };
        let mut closing = self.shared.closing();
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => {}
                () = trial.run() => {}
            }
        });
        if let Some(generations) = self.shared.registry().generations.get_mut(name) {
            generations.keeper = Some(Keeper::new(task));
        }
    }

    /// Goes back to what served before; whoever calls has the turn. `fault` is why, where nobody asked for it.
    pub(super) async fn go_back(&self, name: &str, fault: Option<String>) -> Result<SwapOutcome, ApplyError> {
        let back = self.way_back(name).await?;
        let Back { current, provider, swapped, served, canary, is_on_trial } = back;
        let to = ProviderVersion::from(&swapped.serving);
        let definition = Definition { config: current.config, swapped: Some(swapped) };
        // During a trial the journal says already that the one before is the safe one.
        if !is_on_trial {
            self.define(&definition).await?;
        }
        let given_up = canary.as_ref().map(|(_, given_up)| given_up).or(current.made.as_ref().ok());
        // One that died too often is not there any more.
        let given_up = given_up
            .map(|given_up| ProviderVersion::of(given_up))
            .or_else(|| served.as_ref().map(ProviderVersion::from));
        let rolled_back = fault.clone().zip(given_up.as_ref()).map(|(reason, given_up)| RolledBack {
            at: self.clock.now(),
            version: given_up.version.clone(),
            hash: given_up.hash.clone(),
            reason,
        });
        let change = |generations: &mut Generations, new: Option<Arc<Provider>>| {
            generations.go_back(new.as_ref(), fault.as_deref());
            generations.swapped.clone_from(&definition.swapped);
            if rolled_back.is_some() {
                generations.rolled_back = rolled_back;
            }
        };
        if let Some(provider) = provider {
            self.shared.change_over(name, &provider, change).await;
        } else {
            if let Some(generations) = self.shared.registry().generations.get_mut(name) {
                change(generations, None);
            }
            self.shared.tell(name).await;
        }
        if is_on_trial && let Err(error) = self.define(&definition).await {
            tracing::warn!(
                provider = name,
                "the journal does not have yet that the swap was given up: {error}"
            );
        }
        tracing::info!(provider = name, version = to.version, "the provider is rolled back");
        let generation = self.shared.registry().generations.get(name).map_or(0, Generations::number);
        Ok(SwapOutcome {
            provider: name.to_owned(),
            changed: true,
            generation,
            from: given_up,
            to,
            compared: None,
            canary: None,
            watch_ms: 0,
        })
    }

    /// What a provider can go back to, made anew where it is not kept.
    async fn way_back(&self, name: &str) -> Result<Back, ApplyError> {
        let nothing = || SwapError::NothingBefore { provider: name.to_owned() };
        let (current, canary, before, swapped, is_on_trial) = {
            let registry = self.shared.registry();
            let current = installed(&registry, name)?;
            let generations = registry.generations.get(name).ok_or_else(nothing)?;
            let canary = generations.canary.as_ref();
            let canary = canary.map(|canary| (canary.cluster.clone(), Arc::clone(&canary.provider)));
            let before = generations.before.as_ref();
            let before = before.map(|it| (it.origin.clone(), it.library.clone(), it.provider.clone()));
            (current, canary, before, generations.swapped.clone(), generations.is_on_trial())
        };
        let (served, served_before, given_up) = match swapped {
            Some(Swapped { serving, before, given_up, .. }) => (Some(serving), before, given_up),
            None => (None, None, GivenUp::default()),
        };
        if canary.is_some() {
            // What all others have serves on; where that is not there, it is what they wait for.
            let serving = current.made.as_ref().ok().map(|provider| Origin::of(provider.library()));
            let serving = serving.or(served_before).ok_or_else(nothing)?;
            let before = before.map(|(origin, ..)| origin);
            let given_up = canary.iter().fold(given_up, |all, (_, it)| all.and(it.library().hash()));
            let swapped = Swapped { serving, before, trial: None, given_up };
            return Ok(Back { current, provider: None, swapped, served, canary, is_on_trial });
        }
        let config = &current.config;
        let provider = match before.ok_or_else(nothing)? {
            (_, _, Some(provider)) => provider,
            (origin, library, None) => {
                self.shared.quarantines.admit(name, &origin.hash)?;
                let library = match library {
                    Some(library) => library,
                    None => self.workshop.open_exactly(config, &origin).await?,
                };
                self.workshop.make(config, &library).await?
            }
        };
        let given_up = served.iter().fold(given_up, |all, it| all.and(&it.hash));
        let swapped =
            Swapped { serving: Origin::of(provider.library()), before: None, trial: None, given_up };
        Ok(Back { current, provider: Some(provider), swapped, served, canary, is_on_trial })
    }

    /// Keeps, when the host ends in order, that a trial is to go on under the next one.
    pub(crate) async fn put_trials_off(&self) {
        let on_trial: Vec<_> = {
            let registry = self.shared.registry();
            let running = registry.generations.iter().filter(|(_, it)| it.watched_until.is_some());
            // What only one cluster tried, the next host leaves.
            let running = running.filter(|(_, it)| it.canary.is_none());
            running.filter_map(|(name, it)| put_off(registry.providers.get(name)?, it, true)).collect()
        };
        for definition in on_trial {
            let kept = timeout(RECONCILER_SHUTDOWN, self.define(&definition)).await;
            if !matches!(kept, Ok(Ok(()))) {
                let provider = definition.config.name;
                tracing::warn!(provider, "the next host begins with the version before: the journal failed");
            }
        }
    }

    /// Watches what an earlier host was watching of a provider when it ended in order, where the provider is there by now; whoever
    /// calls has its turn.
    pub(crate) async fn go_on_with_trial(self: &Arc<Self>, name: &str) {
        let found = {
            let registry = self.shared.registry();
            let found = registry.generations.get(name).zip(registry.providers.get(name));
            found.and_then(|(generations, current)| {
                let trial = generations.swapped.as_ref()?.trial.filter(|trial| trial.is_put_off)?;
                let provider = current.made.clone().ok()?;
                Some((provider, trial.watch_ms, put_off(current, generations, false)?))
            })
        };
        let Some((provider, watch_ms, definition)) = found else { return };
        if let Err(error) = self.define(&definition).await {
            tracing::warn!(provider = name, "its trial goes on, and the journal does not say so: {error}");
        }
        if let Some(generations) = self.shared.registry().generations.get_mut(name) {
            generations.swapped = definition.swapped;
        }
        let watch = Duration::from_millis(watch_ms);
        self.look_after(name, watch, (Conduct::of(&provider), Conduct::default()));
    }
}

/// The definition of a provider whose trial ends with its host in order, or goes on.
fn put_off(current: &Installed, generations: &Generations, is_put_off: bool) -> Option<Definition> {
    let mut swapped = generations.swapped.clone()?;
    swapped.trial.as_mut()?.is_put_off = is_put_off;
    Some(Definition { config: current.config.clone(), swapped: Some(swapped) })
}

/// The way back of a provider.
struct Back {
    current: Installed,
    /// What serves all from now on; none where that is only taken from a single cluster which it tried.
    provider: Option<Arc<Provider>>,
    swapped: Swapped,
    /// What the journal has as serving.
    served: Option<Origin>,
    /// The cluster alone that has to go back, and what it tried.
    canary: Option<(String, Arc<Provider>)>,
    is_on_trial: bool,
}

impl Trial {
    async fn run(self) {
        while !self.watch.is_zero() {
            let Some((provider, is_canary)) = self.newest() else { return };
            match watch(&provider, self.begun, self.old, self.watch).await {
                Err(fault) => {
                    self.give_up(fault).await;
                    break;
                }
                Ok(()) if is_canary => {
                    self.let_all().await;
                    // Where what the others had was lost meanwhile, there is nothing to go back to, or to be watched for.
                    if self.newest().is_some() && !self.has_before() {
                        self.settle().await;
                        break;
                    }
                }
                Ok(()) => {
                    self.settle().await;
                    break;
                }
            }
        }
        sleep(KEPT_FOR).await;
        let Some(house) = self.house.upgrade() else { return };
        let _turn = house.turns.of(&self.provider).await;
        if let Some(generations) = house.shared.registry().generations.get_mut(&self.provider) {
            generations.retire_before();
        }
        house.shared.note_change();
    }

    /// The one on trial, and whether a single cluster tries it; none where it is over.
    fn newest(&self) -> Option<(Arc<Provider>, bool)> {
        let house = self.house.upgrade()?;
        let registry = house.shared.registry();
        let generations = registry.generations.get(&self.provider).filter(|it| it.is_on_trial())?;
        if let Some(canary) = &generations.canary {
            return Some((Arc::clone(&canary.provider), true));
        }
        Some((registry.providers.get(&self.provider)?.made.clone().ok()?, false))
    }

    fn has_before(&self) -> bool {
        let Some(house) = self.house.upgrade() else { return false };
        let registry = house.shared.registry();
        registry.generations.get(&self.provider).is_some_and(|generations| generations.before.is_some())
    }

    /// The canary is well: now all change over, and are watched as long.
    async fn let_all(&self) {
        let Some(house) = self.house.upgrade() else { return };
        let _turn = house.turns.of(&self.provider).await;
        let Some((provider, true)) = self.newest() else { return };
        let watched_until = Some(Instant::now() + self.watch);
        let change = |generations: &mut Generations, old| {
            generations.advance(old);
            generations.watched_until = watched_until;
        };
        house.shared.change_over(&self.provider, &provider, change).await;
        tracing::info!(provider = self.provider, "the canary is well: all clusters have the new version");
    }

    /// It has proved itself.
    async fn settle(&self) {
        loop {
            let Some(house) = self.house.upgrade() else { return };
            let turn = house.turns.of(&self.provider).await;
            let definition = {
                let registry = &mut *house.shared.registry();
                let found = registry.providers.get(&self.provider);
                let Some(generations) = registry.generations.get_mut(&self.provider) else { return };
                generations.watched_until = None;
                generations.turn = Turn::Proved;
                let Some((current, swapped)) = found.zip(generations.swapped.as_mut()) else { return };
                swapped.trial = None;
                Definition { config: current.config.clone(), swapped: Some(swapped.clone()) }
            };
            house.shared.note_change();
            match house.define(&definition).await {
                Ok(()) => {
                    tracing::info!(provider = self.provider, "the new version has proved itself");
                    house.shared.tell(&self.provider).await;
                    return;
                }
                Err(error) => {
                    tracing::warn!(
                        provider = self.provider,
                        "the swap is not settled in the journal yet: {error}"
                    );
                }
            }
            // Nobody is kept waiting meanwhile, nor is the host.
            drop((turn, house));
            sleep(RETRY).await;
        }
    }

    /// It has failed: what served before serves again, with nobody's help.
    async fn give_up(&self, fault: String) {
        loop {
            let Some(house) = self.house.upgrade() else { return };
            let turn = house.turns.of(&self.provider).await;
            let is_on_trial = {
                let registry = house.shared.registry();
                registry.generations.get(&self.provider).is_some_and(Generations::is_on_trial)
            };
            if !is_on_trial {
                return;
            }
            let provider = &self.provider;
            tracing::error!(provider, "the new version is given up: {fault}");
            match house.go_back(provider, Some(fault.clone())).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(
                        provider,
                        "the version before cannot be had, and is tried again: {error}"
                    );
                }
            }
            drop((turn, house));
            sleep(RETRY).await;
        }
    }
}
