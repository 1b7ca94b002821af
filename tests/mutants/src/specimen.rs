//! The specimen: a provider that keeps every clause of the contract, in files of one folder, and breaks exactly one when its
//! configuration names a mutation.
//!
//! A container without a command is a record alone. One with a command is a process of this machine, which outlives the host;
//! the image and the hardware are not used. Its variables are those of the host, the container's and Longshore's, the later
//! ones winning, and `LONGSHORE_SPECIMEN`, by which everything that the process has started is found. What a stopped
//! worker leaves behind goes with `cleanup`; that its token was used is remembered until a deep one.
//!
//! All that an instance knows is in the folder, so that other instances and other processes know it as well. Nothing is kept in
//! memory, and there is no thread.

mod bent;
mod folder;
mod kill;
mod lock;
mod process;
mod record;
mod run;
mod server;
mod settings;
mod spawn;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use longshore_plugin_api::{
    Cleanup, Context, Error, Initialize, Killed, Launch, LaunchToken, List, ListedHandle, Log, Provider,
    RunRequest, WorkerStatus,
};

pub use self::settings::Config;
pub(crate) use self::{folder::Folder, record::Record, run::random_number};
use self::{kill::Place, run::Own, settings::Settings};
use crate::mutation::Mutation;

/// The provider.
#[derive(Debug)]
pub(crate) struct Specimen {
    pub(crate) settings: Settings,
    pub(crate) folder: Folder,
    /// The present run of the system.
    boot: String,
    /// What it does wrong in the depth; nothing if it is honest, or does wrong what shows at the surface alone.
    bend: Option<Mutation>,
    own: Own,
}

impl Specimen {
    /// Fails where the backend is out of reach.
    pub(crate) fn reach(&self) -> Result<(), Error> {
        self.settings.check_limit()?;
        if self.settings.outage {
            Err(Error::unreachable("the configuration says that there is an outage"))
        } else {
            Ok(())
        }
    }

    /// The status of a handle.
    pub(crate) fn status_of(&self, cluster: &str, handle: &str) -> Result<WorkerStatus, Error> {
        let Some((name, index)) = folder::parse_handle(handle) else { return Ok(WorkerStatus::Stopped) };
        match self.folder.launch(cluster, name)? {
            Some(record) => self.status_in(&record, index),
            None => Ok(WorkerStatus::Stopped),
        }
    }

    /// The status of a container of a launch, without any bending.
    pub(crate) fn plain_status_in(&self, record: &Record, index: u32) -> Result<WorkerStatus, Error> {
        record.status(index, &self.boot).map_err(|error| folder::unreachable(&record.path, &error))
    }

    /// The containers of a launch whose status is wanted, as `list` tells them.
    pub(crate) fn entries(
        &self,
        record: &Record,
        wanted: impl Fn(WorkerStatus) -> bool,
    ) -> Result<Vec<ListedHandle>, Error> {
        let mut entries = Vec::new();
        for index in 0..record.intent.containers() {
            if wanted(self.listed_status(record, index)?) {
                entries.push(ListedHandle {
                    handle: record.intent.handle(index),
                    token: LaunchToken::new(&record.intent.token),
                    workers: record.intent.workers_of(index),
                });
            }
        }
        Ok(entries)
    }

    /// Whether any container of a launch is not stopped.
    pub(crate) fn any_lives(&self, record: &Record) -> Result<bool, Error> {
        for index in 0..record.intent.containers() {
            if self.status_in(record, index)? != WorkerStatus::Stopped {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Provider for Specimen {
    const NAME: &'static str = "specimen";
    const IDEMPOTENT_RUN: bool = true;
    type Config = Config;

    fn create(config: Config, _log: Log) -> Result<Self, Error> {
        let settings = Settings::try_from(config)?;
        let folder = Folder::open(settings.root.clone())?;
        let path = "/proc/sys/kernel/random/boot_id";
        let boot = std::fs::read_to_string(path).map_err(|error| {
            Error::other(format_args!("{path}: {error}; the specimen needs Linux with /proc"))
        })?;
        let bend = settings.mutation;
        Ok(Self { settings, folder, boot: boot.trim().to_owned(), bend, own: Own::default() })
    }

    fn run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        self.reach()?;
        self.launch(ctx, request)
    }

    fn status(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        self.reach()?;
        let mut launches: HashMap<&str, Option<Record>> = HashMap::new();
        let mut statuses = Vec::with_capacity(handles.len());
        for handle in handles {
            let Some((name, index)) = folder::parse_handle(handle) else {
                statuses.push(WorkerStatus::Stopped);
                continue;
            };
            if !launches.contains_key(name) {
                launches.insert(name, self.folder.launch(ctx.cluster(), name)?);
            }
            statuses.push(match launches.get(name) {
                Some(Some(record)) => self.status_in(record, index)?,
                _ => WorkerStatus::Stopped,
            });
        }
        Ok(statuses)
    }

    fn kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        self.reach()?;
        self.end(ctx, Place::Launches, handles)
    }
}

impl Initialize for Specimen {
    fn initialize(&self, ctx: &Context<'_>) -> Result<(), Error> {
        self.reach()?;
        self.folder.prepare(ctx.cluster())
    }
}

impl List for Specimen {
    fn list(&self, ctx: &Context<'_>) -> Result<Vec<ListedHandle>, Error> {
        self.reach()?;
        let mut listed = Vec::new();
        for record in self.folder.of_cluster(ctx.cluster())? {
            listed.extend(self.entries(&record, |status| status != WorkerStatus::Stopped)?);
        }
        Ok(listed)
    }
}

impl Cleanup for Specimen {
    fn cleanup(&self, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
        self.reach()?;
        let cluster = ctx.cluster();
        for record in self.folder.of_cluster(cluster)? {
            self.clean(ctx, &record)?;
        }
        self.folder.tidy(cluster);
        if let Some(_turn) = self.folder.try_turn(&[server::NAME, cluster])?
            && let Some(record) = self.folder.server(cluster)?
            && self.plain_status_in(&record, 0)? == WorkerStatus::Stopped
        {
            Self::sweep(&record)?;
            Folder::remove(&record.path)?;
        }
        if deep && self.folder.of_cluster(cluster)?.is_empty() {
            self.folder.unprepare(cluster)?;
            self.folder.forget_ended(ctx, cluster)?;
        }
        Ok(())
    }
}

impl Specimen {
    /// Removes what is left of a launch, if nothing of it lives and nobody is about it.
    fn clean(&self, ctx: &Context<'_>, record: &Record) -> Result<(), Error> {
        let intent = &record.intent;
        let Some(_turn) = self.folder.try_turn(&["launch", &intent.cluster, &intent.token])? else {
            return Ok(());
        };
        let Some(record) = self.folder.launch(&intent.cluster, &intent.name)? else { return Ok(()) };
        if self.any_lives(&record)? {
            return Ok(());
        }
        Self::sweep(&record)?;
        self.folder.note_ended(ctx, &record.intent)?;
        Folder::remove(&record.path)
    }

    /// Ends what the first processes of stopped containers have left running.
    fn sweep(record: &Record) -> Result<(), Error> {
        let left: Vec<_> = (0..)
            .zip(&record.containers)
            .filter_map(|(index, container)| match (container.made, container.over) {
                (Some(record::Made::Process(leader)), None) => Some((leader, record.intent.handle(index))),
                _ => None,
            })
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        match process::end_at_once(&left, std::time::Duration::from_secs(10)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::other("processes of stopped workers do not end")),
            Err(error) => Err(Error::other(error)),
        }
    }
}
