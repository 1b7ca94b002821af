//! A cluster's server: a record like a launch's, of one container, with a port of this machine.

use std::{borrow::Cow, io, net::TcpListener, os::fd::AsRawFd as _, time::Duration};

use longshore_plugin_api::{Context, Error, Killed, Server, ServerAddress, ServerRequest, WorkerStatus};

use super::{
    Specimen,
    folder::Folder,
    kill::Place,
    process::TAG,
    record::{Intent, Line, Moment, append_to},
    run::{check_container, random_number},
    spawn::spawn,
};
use crate::mutation::Mutation;

/// What a server's name begins with.
pub(crate) const NAME: &str = "server";
/// The address that a server is reached at.
const HOST: &str = "127.0.0.1";

impl Server for Specimen {
    /// Beside `LONGSHORE_CLUSTER` a server sees its port in `LONGSHORE_PORT`, the descriptor of a socket that listens there
    /// already in `LONGSHORE_LISTENER`, and `LONGSHORE_SPECIMEN`, by which its processes are found. So nobody else can take
    /// the port, and connections wait until the server accepts them.
    fn run_server(&self, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
        self.reach()?;
        check_container(&request.container)?;
        let cluster = ctx.cluster();
        let starts_at_once = self.bend == Some(Mutation::ServersStartAtOnce);
        let _turn = if starts_at_once { None } else { Some(self.folder.turn(ctx, &[NAME, cluster])?) };
        if self.server_status(ctx)? != WorkerStatus::Stopped {
            return Ok(());
        }
        if starts_at_once {
            // So that those at once are.
            ctx.sleep(Duration::from_millis(100))?;
        }
        self.begin_server(ctx, request)
    }

    fn stop_server(&self, ctx: &Context<'_>) -> Result<(), Error> {
        self.reach()?;
        let cluster = ctx.cluster();
        let _turn = self.folder.turn(ctx, &[NAME, cluster])?;
        let Some(record) = self.folder.server(cluster)? else { return Ok(()) };
        for killed in self.end(ctx, Place::Servers, &[&record.intent.handle(0)])? {
            if let Killed::No(why) = killed {
                return Err(Error::other(format_args!("the server does not end: {why}")));
            }
        }
        Folder::remove(&record.path)
    }

    fn server_status(&self, ctx: &Context<'_>) -> Result<WorkerStatus, Error> {
        self.reach()?;
        match self.folder.server(ctx.cluster())? {
            Some(record) => self.plain_status_in(&record, 0),
            None => Ok(WorkerStatus::Stopped),
        }
    }

    fn server_address(&self, ctx: &Context<'_>) -> Result<Option<ServerAddress>, Error> {
        if self.server_status(ctx)? == WorkerStatus::Stopped {
            return Ok(None);
        }
        let port = self.folder.server(ctx.cluster())?.and_then(|record| record.intent.port);
        Ok(port.map(|port| ServerAddress { host: HOST.to_owned(), port: Some(port) }))
    }
}

impl Specimen {
    /// Starts the server in the place of one that has stopped.
    pub(crate) fn begin_server(&self, ctx: &Context<'_>, request: &ServerRequest) -> Result<(), Error> {
        let cluster = ctx.cluster();
        Folder::remove(&self.folder.server_path(cluster))?;
        let no_port = |error: &io::Error| Error::retryable(format_args!("no port is free: {error}"));
        let listener = TcpListener::bind((HOST, 0)).map_err(|error| no_port(&error))?;
        let port = listener.local_addr().map_err(|error| no_port(&error))?.port();
        let intent = Intent {
            cluster: cluster.to_owned(),
            token: NAME.to_owned(),
            name: format!("{NAME}-{}", random_number()?),
            asked: 1,
            workers: 1,
            each: 1,
            start: self.settings.start,
            port: Some(port),
            at: Moment::now(),
            boot: self.boot.clone(),
        };
        let record = self.folder.begin_server(&intent)?;
        let started = record.open().map_err(Error::other).and_then(|mut file| {
            if request.container.command.is_none() {
                return append_to(&mut file, &Line::Made { from: 0, to: 1, at: Moment::now() })
                    .map_err(Error::other);
            }
            let mut variables = vec![
                ("LONGSHORE_CLUSTER", intent.cluster.clone()),
                ("LONGSHORE_PORT", port.to_string()),
                ("LONGSHORE_LISTENER", listener.as_raw_fd().to_string()),
                (TAG, intent.handle(0)),
            ];
            let mut container = Cow::Borrowed(&request.container);
            match self.bend {
                Some(Mutation::ServerSeesNoCluster) => drop(variables.remove(0)),
                Some(Mutation::ServerEnvironmentIsLost) => container.to_mut().env.clear(),
                Some(Mutation::ServerContainerOverridesLongshore) => {
                    variables.retain(|(name, _)| !container.env.contains_key(*name));
                }
                Some(Mutation::ServerArgumentsAreLost) => {
                    container.to_mut().args.retain(|text| !text.is_empty());
                }
                _ => {}
            }
            spawn(&container, &variables, &file, 0, Some(listener.as_raw_fd()))
        });
        started.map_err(|error| match Folder::remove(&record.path) {
            Ok(()) => error,
            Err(why) => Error::unknown(format_args!("{error}; {why}")),
        })
    }
}
