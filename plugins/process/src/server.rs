//! A cluster's server: a unit of one container, started, found and ended as a launch is. Starting and stopping take turns, by
//! a lock in the state folder, so that there is never more than one, whoever asks, in whichever process.

use longshore_plugin_api::{Context, Error, Killed, ServerAddress, ServerRequest, WorkerStatus};

use crate::{
    cleanup::Shared,
    folder::{Folder, State},
    launch::{self, Work},
    names::{Kind, Unit},
};

/// Starts the server, unless one runs.
pub(crate) fn run(shared: &Shared, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
    let cluster = ctx.cluster();
    launch::check_name("cluster", cluster)?;
    launch::check_container(&request.container)?;
    let turn = shared.store.turn(ctx, cluster)?;
    let started = match make_room(shared, ctx)? {
        Room::Taken => Ok(()),
        Room::Free => start(shared, ctx, request),
    };
    drop(turn);
    started.inspect_err(|_| shared.store.remove_if_empty(cluster))
}

/// Whether a server can be started.
enum Room {
    /// One runs, and stays.
    Taken,
    Free,
}

/// Looks who is there. The turn is held: no server is on its way, so that one that has not started never does.
fn make_room(shared: &Shared, ctx: &Context<'_>) -> Result<Room, Error> {
    let mut leaving = Vec::new();
    let tokens = shared.store.tokens(ctx.cluster(), Kind::Server)?;
    for token in &tokens {
        let unit = Unit::server(ctx.cluster(), token);
        let Some(folder) = shared.store.find(unit)? else { continue };
        match folder.state(0)? {
            State::Live(_) if !folder.is_stopping()? => return Ok(Room::Taken),
            // A stop of it was cut off, or it left children behind, which may hold its port.
            State::Live(_) | State::Ended(_) => leaving.push(unit.container(0)),
            State::Waiting | State::Over => {}
        }
    }
    for answer in shared.killer().end(ctx, &leaving)? {
        if let Killed::No(why) = answer {
            let message = format!("the server before is not gone yet: {why}");
            return Err(Error::retryable(message));
        }
    }
    Ok(Room::Free)
}

fn start(shared: &Shared, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
    let Shared { store, settings, .. } = shared;
    let container = &request.container;
    let program = launch::check_container(container)?;
    let token = launch::fresh_name()?;
    let unit = Unit::server(ctx.cluster(), &token);
    let mut intent = launch::intent(unit, (1, 1), container, program)?;
    intent.port = request.port;
    let locked = store.lock(ctx, unit)?;
    launch::intend(store, &locked, unit, &intent)?;
    let work = Work { store, settings, ctx, unit, container, program, intent: &intent };
    // One container is started, or there is an error: a shortfall needs two.
    work.carry_out(&locked, true).map(drop)
}

/// Stops the server, with all that it started, where there is one.
pub(crate) fn stop(shared: &Shared, ctx: &Context<'_>) -> Result<(), Error> {
    let (store, cluster) = (&shared.store, ctx.cluster());
    // `turn` would make a folder for a cluster that never had a server.
    if store.tokens(cluster, Kind::Server)?.is_empty() && !store.has_servers(cluster) {
        return Ok(());
    }
    let _turn = store.turn(ctx, cluster)?;
    let tokens = store.tokens(cluster, Kind::Server)?;
    let mut leaving = Vec::new();
    for token in &tokens {
        let unit = Unit::server(cluster, token);
        let Some(folder) = store.find(unit)? else { continue };
        if let State::Live(_) = folder.state(0)? {
            folder.mark_stopping()?;
        }
        leaving.push(unit.container(0));
    }
    for answer in shared.killer().end(ctx, &leaving)? {
        if let Killed::No(why) = answer {
            return Err(Error::other(format_args!("the server of cluster {cluster} does not end: {why}")));
        }
    }
    Ok(())
}

/// How the server is.
pub(crate) fn status(shared: &Shared, ctx: &Context<'_>) -> Result<WorkerStatus, Error> {
    let mut status = WorkerStatus::Stopped;
    for token in shared.store.tokens(ctx.cluster(), Kind::Server)? {
        let Some(folder) = shared.store.find(Unit::server(ctx.cluster(), &token))? else { continue };
        match state(&folder)? {
            State::Live(_) => return Ok(WorkerStatus::Running),
            State::Waiting => status = WorkerStatus::Initializing,
            State::Ended(_) | State::Over => {}
        }
    }
    Ok(status)
}

/// Where the server is reached, while it runs.
pub(crate) fn address(shared: &Shared, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error> {
    for token in shared.store.tokens(ctx.cluster(), Kind::Server)? {
        let Some(folder) = shared.store.find(Unit::server(ctx.cluster(), &token))? else { continue };
        if let State::Live(_) = folder.state(0)? {
            let port = folder.intent()?.and_then(|intent| intent.port);
            return Ok(Some(ServerAddress { host: shared.settings.server_host.clone(), port }));
        }
    }
    Ok(None)
}

/// How a server is. One that waits while nobody works on it never starts: its start was cut off, and nobody asks for its token
/// again.
fn state(folder: &Folder) -> Result<State, Error> {
    match folder.state(0)? {
        // Its child may have started just before its lock was free.
        State::Waiting if folder.is_quiet()? => match folder.state(0)? {
            State::Waiting => Ok(State::Over),
            state => Ok(state),
        },
        state => Ok(state),
    }
}
