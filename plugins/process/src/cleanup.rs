//! What is left of launches and servers, and its removal once nobody is: by `cleanup`, or by the upkeep.

use std::time::Duration;

use longshore_plugin_api::{Context, Error, Killed};

use crate::{
    config::Settings,
    folder::{Folder, Intent, State, Target, tag},
    kill::{Asked, Killer},
    logs,
    names::{Kind, Unit},
    store::Store,
};

/// What all calls of a provider and its upkeep share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) asked: Asked,
}

impl Shared {
    pub(crate) fn killer(&self) -> Killer<'_> {
        Killer { store: &self.store, grace: self.settings.grace, asked: &self.asked }
    }
}

/// What a look at one unit found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Some container is alive.
    pub(crate) is_live: bool,
    /// Some container may start yet: the unit is being started, or that was cut off.
    pub(crate) is_waiting: bool,
    /// Containers whose first process has ended, or that were asked to end: something may be left of each.
    pub(crate) cases: Vec<(u32, Target)>,
    /// Containers of which nothing is left.
    pub(crate) over: Vec<u32>,
}

impl Survey {
    pub(crate) fn of(folder: &Folder, intent: &Intent, asked: &Asked) -> Result<Self, Error> {
        let mut survey = Self::default();
        for index in 0..intent.containers() {
            let target = |leader| Target { leader, tag: tag(intent, index) };
            match folder.state(index)? {
                State::Waiting => survey.is_waiting = true,
                State::Live(leader) => {
                    survey.is_live = true;
                    let target = Some(target(leader)).filter(|target| asked.contains(&target.tag));
                    survey.cases.extend(target.map(|target| (index, target)));
                }
                State::Ended(leader) => survey.cases.push((index, target(leader))),
                State::Over => survey.over.push(index),
            }
        }
        Ok(survey)
    }

    /// Whether no process is left.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_live && self.cases.is_empty()
    }
}

/// Clears a unit away if nothing of it is left, and nobody is at work on it.
pub(crate) fn clear_if_over(shared: &Shared, unit: Unit<'_>) -> Result<(), Error> {
    let Some(locked) = shared.store.try_lock(unit)? else { return Ok(()) };
    // Under the lock, a container that waits is one whose start was cut off: it never starts once the folder is gone.
    let is_over = match locked.folder.intent()? {
        Some(intent) => Survey::of(&locked.folder, &intent, &shared.asked)?.is_over(),
        None => true,
    };
    if is_over { shared.store.clear(unit, &locked) } else { Ok(()) }
}

/// Removes what the stopped containers of a cluster left, its servers' too; `deep` also forgets its tokens.
pub(crate) fn cleanup(shared: &Shared, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
    let (store, cluster) = (&shared.store, ctx.cluster());
    for kind in Kind::ALL {
        for token in store.tokens(cluster, kind)? {
            ctx.check()?;
            clean_unit(shared, ctx, Unit { cluster, kind, token: &token })?;
        }
    }
    if deep { store.forget(cluster, Duration::ZERO) } else { Ok(()) }
}

fn clean_unit(shared: &Shared, ctx: &Context<'_>, unit: Unit<'_>) -> Result<(), Error> {
    let Some(folder) = shared.store.find(unit)? else { return Ok(()) };
    if let Some(intent) = folder.intent()? {
        let found = Survey::of(&folder, &intent, &shared.asked)?;
        let spots: Vec<_> = found.cases.iter().map(|(index, _)| unit.container(*index)).collect();
        for (spot, answer) in spots.iter().zip(shared.killer().end(ctx, &spots)?) {
            if let Killed::No(why) = answer {
                return Err(Error::other(format_args!("something is left of {spot}: {why}")));
            }
        }
        for index in found.over.into_iter().chain(found.cases.iter().map(|(index, _)| *index)) {
            logs::remove(folder.path(), index);
        }
    }
    clear_if_over(shared, unit)
}
