//! Carries out a launch: the intent first, then one process after the other, then the answer, so that the same token
//! asked for again gets the same answer and never a second process. A server is started by the same steps: see `server`.

use std::time::SystemTime;

use longshore_plugin_api::{Container, Context, Error, ErrorKind, Launch, RunRequest, Shortfall};

use crate::{
    config::{Settings, is_variable_name},
    folder::{Ended, Folder, Intent, Outcome, tag},
    locked::Locked,
    names::{self, Handle, Kind, NAME_RULE, Unit},
    spawn::Order,
    store::Store,
};

/// The variable that marks every process of a container.
pub(crate) const TAG_VARIABLE: &str = "LONGSHORE_TAG";
/// Variables of workers alone. A host that is a worker itself has them, and a server does not inherit them.
const WORKER_VARIABLES: [&str; 3] = ["LONGSHORE_TOKEN", "LONGSHORE_HANDLE", "LONGSHORE_WORKERS"];
/// The most containers of one launch. Linux numbers at most four million processes.
const CONTAINERS_LIMIT: u32 = 100_000;

/// Launches what is asked for, or answers again what the token was answered before.
pub(crate) fn run(
    store: &Store,
    settings: &Settings,
    ctx: &Context<'_>,
    request: &RunRequest,
) -> Result<Launch, Error> {
    let (cluster, token) = (ctx.cluster(), request.token.as_str());
    check_name("cluster", cluster)?;
    check_name("token", token)?;
    let program = check(request)?;
    let unit = Unit::launch(cluster, token);
    if request.workers == 0 {
        return Ok(Launch::complete(Vec::new()));
    }
    // Until it is known whether the token was launched before, an error must not say that nothing is there.
    let locked = store.lock(ctx, unit).map_err(unknown)?;
    if let Some(answer) = store.ended(cluster, token).map_err(unknown)? {
        discard(store, cluster, &locked);
        return Ok(answer);
    }
    let earlier = locked.folder.intent().map_err(unknown)?;
    let is_new = earlier.is_none();
    let intent = if let Some(intent) = earlier {
        intent
    } else {
        let asked = (request.workers, request.container.max_workers());
        let intent = intent(unit, asked, &request.container, program)?;
        intend(store, &locked, unit, &intent)?;
        intent
    };
    if (intent.workers, intent.max_workers) != (request.workers, request.container.max_workers()) {
        return Err(Error::permanent(format_args!(
            "token {token} was used for a launch of {} workers, {} a container: it cannot name another one",
            intent.workers, intent.max_workers
        )));
    }
    if let Some(outcome) = locked.folder.outcome().map_err(unknown)? {
        return Ok(Ended::new(&intent, outcome).answer(token));
    }
    let work = Work { store, settings, ctx, unit, container: &request.container, program, intent: &intent };
    work.carry_out(&locked, is_new)
}

/// Demands that a name can become a path.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    if names::is_valid(name) {
        return Ok(());
    }
    Err(Error::permanent(format_args!("the {what}'s name {name:?} cannot be used: it must be {NAME_RULE}")))
}

/// What can be seen to be wrong before anything is touched. Gives the program.
fn check(request: &RunRequest) -> Result<&str, Error> {
    let containers = request.workers.div_ceil(request.container.max_workers());
    if containers > CONTAINERS_LIMIT {
        return Err(Error::permanent(format_args!(
            "{containers} containers are more than one launch may have, which is {CONTAINERS_LIMIT}; \
             launch fewer at once, or raise container.max_workers"
        )));
    }
    check_container(&request.container)
}

/// What can be seen to be wrong with a container. Gives the program.
pub(crate) fn check_container(container: &Container) -> Result<&str, Error> {
    if let Some(name) = container.env.keys().find(|name| !is_variable_name(name)) {
        return Err(Error::permanent(format_args!(
            "container.env: {name:?} cannot be a variable's name: it is empty, or has '=' or a zero byte"
        )));
    }
    container.command.as_deref().filter(|command| !command.is_empty()).ok_or_else(|| {
        Error::permanent("container.command is missing: a local process needs a program, whatever the image")
    })
}

/// What is going to be started: so many workers, and so many of them in a container at the most.
pub(crate) fn intent(
    unit: Unit<'_>,
    (workers, max_workers): (u32, u32),
    container: &Container,
    program: &str,
) -> Result<Intent, Error> {
    Ok(Intent {
        cluster: unit.cluster.to_owned(),
        token: unit.token.to_owned(),
        workers,
        max_workers,
        tag: fresh_name()?,
        command: program.to_owned(),
        args: container.args.clone(),
        working_dir: container.working_dir.clone(),
        port: None,
        at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
    })
}

/// A name like nothing else on earth.
pub(crate) fn fresh_name() -> Result<String, Error> {
    procfs::sys::kernel::random::uuid()
        .map_err(|error| Error::retryable(format_args!("cannot read /proc/sys/kernel/random/uuid: {error}")))
}

/// Writes an intent down, durably; on an error nothing is left of it.
pub(crate) fn intend(store: &Store, locked: &Locked, unit: Unit<'_>, intent: &Intent) -> Result<(), Error> {
    let written = locked.folder.intend(intent).and_then(|()| store.sync(unit));
    written.inspect_err(|_| discard(store, unit.cluster, locked))
}

/// Removes the folder of a unit that never began. Should that fail, it is an intent without a process, which `list` and
/// `status` pass over and the upkeep removes.
fn discard(store: &Store, cluster: &str, locked: &Locked) {
    if let Err(error) = store.remove(cluster, locked) {
        tracing::warn!("{error}");
    }
}

/// A launch, or a server's start, with what is needed to carry it out.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Store,
    pub(crate) settings: &'a Settings,
    pub(crate) ctx: &'a Context<'a>,
    pub(crate) unit: Unit<'a>,
    pub(crate) container: &'a Container,
    pub(crate) program: &'a str,
    pub(crate) intent: &'a Intent,
}

impl Work<'_> {
    /// Starts the containers that were never started, and settles the unit. The lock says that no child of an earlier
    /// attempt is on its way, so that an empty slot is a process that never became a worker.
    pub(crate) fn carry_out(&self, locked: &Locked, is_new: bool) -> Result<Launch, Error> {
        let total = self.intent.containers();
        // Where the system was started anew, an empty slot may be one whose content was lost.
        let may_start = locked.folder.is_here().map_err(unknown)?;
        let signed = locked.folder.sign(self.store.itself);
        let mut used = 0;
        let mut trouble = None;
        while used < total && trouble.is_none() {
            let outcome = if !is_new && locked.folder.is_used(used).map_err(unknown)? {
                Ok(())
            } else if may_start {
                signed.clone().and_then(|()| self.ctx.check()).and_then(|()| self.start(&locked.folder, used))
            } else {
                Err(Error::retryable("the system was started anew in the midst of the launch"))
            };
            match outcome {
                Ok(()) => used += 1,
                Err(error) => trouble = Some(error),
            }
        }
        if let Some(error) = trouble.take_if(|_| used == 0) {
            discard(self.store, self.unit.cluster, locked);
            return Err(error);
        }
        let shortfall = trouble.map(|error| Shortfall {
            reason: format!("{used} of {total} containers were started: {error}"),
            retryable: error.kind() != ErrorKind::Permanent,
        });
        let outcome = Outcome { containers: used, shortfall };
        if let Err(error) = locked.folder.settle(&outcome) {
            // The workers are there all the same. The token, asked for again, would find them by their identities.
            tracing::warn!("{error}");
        }
        Ok(Ended::new(self.intent, outcome).answer(&self.intent.token))
    }

    fn start(&self, folder: &Folder, index: u32) -> Result<(), Error> {
        let Unit { cluster, kind, token } = self.unit;
        let mut variables =
            vec![("LONGSHORE_CLUSTER", cluster.to_owned()), (TAG_VARIABLE, tag(self.intent, index))];
        let mut withheld: &[&str] = &[];
        match kind {
            Kind::Launch => variables.extend([
                ("LONGSHORE_TOKEN", token.to_owned()),
                ("LONGSHORE_HANDLE", Handle { token, index }.text()),
                ("LONGSHORE_WORKERS", self.intent.workers_of(index).to_string()),
            ]),
            Kind::Server => withheld = &WORKER_VARIABLES,
        }
        let order = Order {
            program: self.program,
            container: self.container,
            inherit: &self.settings.inherit_env,
            withheld,
            variables: &variables,
            folder: folder.path(),
            index,
            logs: self.settings.log_limit > 0,
            identity: folder.slot(index),
        };
        order.carry_out().inspect_err(|_| {
            // The child may have left its identity before it failed to become its program.
            if let Err(error) = folder.mark_over(index) {
                tracing::warn!("{error}");
            }
        })
    }
}

/// Where the records of an earlier attempt cannot be read, nobody knows what it did.
fn unknown(error: Error) -> Error {
    if error.kind() == ErrorKind::Unknown { error } else { Error::unknown(error) }
}
