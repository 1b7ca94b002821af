//! Kills workers: each handle's container is ended, and each is told apart.

use std::{collections::HashMap, sync::Arc};

use longshore_plugin_api::{Context, Error, Killed};

use crate::{
    ending::{self, Stage},
    labels::Role,
    shared::{Shared, over},
    state::Found,
};

/// Kills the containers of all handles, and answers for each, in order.
pub(crate) fn kill(shared: &Arc<Shared>, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
    if handles.is_empty() {
        return Ok(Vec::new());
    }
    let place = shared.place(ctx.cluster());
    let found = shared.read(ctx, async {
        let found = shared.engine.containers(&place, Some(Role::Worker)).await;
        found.map_err(|fault| {
            fault.during(format_args!("list the containers of the cluster {}", place.cluster))
        })
    })?;
    let known: HashMap<&str, &Found> = found.iter().filter_map(|one| Some((one.handle()?, one))).collect();
    shared.block_on(async {
        // All of them begin before any is waited for.
        let mut ends: HashMap<&str, _> = HashMap::new();
        for handle in handles {
            if let Some(container) = known.get(handle) {
                ends.entry(handle).or_insert_with(|| ending::end(shared, container));
            }
        }
        let all = async {
            for stage in ends.values_mut() {
                ending::ended(stage).await;
            }
        };
        tokio::select! {
            () = all => {}
            _ = over(ctx) => {}
        }
        let answer =
            |handle: &&str| ends.get(handle).map_or(Killed::Yes, |stage| told(&stage.borrow(), shared));
        Ok(handles.iter().map(answer).collect())
    })
}

fn told(stage: &Stage, shared: &Shared) -> Killed {
    match stage {
        Stage::Stopped | Stage::Over => Killed::Yes,
        Stage::Failed(why) => Killed::No(why.clone()),
        Stage::Ending => Killed::No(format!(
            "it was asked to end, and may take {:?} (`stop_grace`); the call was over before; kill it again",
            shared.settings.stop_grace
        )),
    }
}
