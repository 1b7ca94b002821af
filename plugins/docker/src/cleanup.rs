//! What is left of stopped containers, and its removal: by `cleanup`, or by the upkeep.

use std::{collections::HashSet, sync::Arc, time::Duration};

use longshore_plugin_api::{Context, Error};

use crate::{
    ending::{self, Stage},
    engine::Volume,
    labels::{self, Place, Role},
    network, receipt,
    shared::{Shared, unless_over},
    state::{Found, Phase},
};

/// How old a receipt must be that a plain cleanup removes: a host may not have heard the answer yet.
const RECEIPT_AGE: Duration = Duration::from_mins(10);

/// Removes what the stopped containers of a cluster left; `deep` also its network, and what remembers its launches.
pub(crate) fn cleanup(shared: &Arc<Shared>, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
    if labels::fault(ctx.cluster(), None).is_some() {
        // Nothing was ever made for a cluster of such a name.
        return Ok(());
    }
    let place = shared.place(ctx.cluster());
    ctx.check()?;
    shared.block_on(unless_over(ctx, clean(shared, &place, deep)))
}

async fn clean(shared: &Arc<Shared>, place: &Place, deep: bool) -> Result<(), Error> {
    let cluster = &place.cluster;
    let found = shared.engine.containers(place, None).await;
    let found =
        found.map_err(|fault| fault.during(format_args!("list the containers of the cluster {cluster}")))?;
    let (ended, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| one.phase() == Phase::Ended);
    remove(shared, &ended).await?;
    let live: HashSet<&str> = others.iter().filter_map(|one| one.label(labels::TOKEN)).collect();
    let receipts = shared.engine.volumes_labelled(place.filter(Some(Role::Receipt))).await;
    let receipts =
        receipts.map_err(|fault| fault.during(format_args!("list the receipts of the cluster {cluster}")))?;
    let least = if deep { Duration::ZERO } else { RECEIPT_AGE };
    forget(shared, &receipts, &live, least).await?;
    // A launch that is under way needs the network before the engine shows that it uses it.
    if deep && others.is_empty() && !shared.is_busy(&format!("{cluster}/")) {
        network::remove(shared, place).await?;
    }
    Ok(())
}

/// Removes containers that have stopped.
pub(crate) async fn remove(shared: &Arc<Shared>, ended: &[Found]) -> Result<(), Error> {
    let mut stages: Vec<_> = ended.iter().map(|one| ending::end(shared, one)).collect();
    for stage in &mut stages {
        if let Stage::Failed(why) = ending::ended(stage).await {
            return Err(Error::other(why));
        }
    }
    Ok(())
}

/// Removes the receipts of launches of which no container is there, and which are as old as this.
pub(crate) async fn forget(
    shared: &Shared,
    receipts: &[Volume],
    live: &HashSet<&str>,
    least: Duration,
) -> Result<(), Error> {
    let label =
        |volume: &Volume, name: &str| volume.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
    for volume in receipts {
        let token = label(volume, labels::TOKEN).unwrap_or_default();
        let is_old = receipt::age(volume).is_some_and(|age| age >= least);
        if !is_old || live.contains(token.as_str()) {
            continue;
        }
        let removed = shared.engine.remove_volume(&volume.name).await;
        removed.map_err(|fault| fault.during(format_args!("remove the volume {}", volume.name)))?;
    }
    Ok(())
}
