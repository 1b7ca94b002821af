//! What a check works with: the library, providers made of it, names that nobody else has, and a ledger that remembers what
//! was made. Calls go the way of the host's own, so that an answer is held to the same clauses.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::Write as _,
    process::{Child, ExitStatus},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use longshore_plugin_api::{Clause, Container, LaunchToken, RunRequest};
use longshore_providers::{CallLimits, CreateError, Library, Provider};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use crate::{
    child,
    ledger::Ledger,
    order::{self, Brought, Errand, Order, Reported, Task},
    quirks::{Costly, Quirks},
    subject::Subject,
    verdict::{Must as _, OrFault as _, Verdict, breach, fault, skip},
    witness::Witnesses,
};

/// What a provider's calls may use in a check: more at once than a host's, and threads that end soon, since threads are counted.
const LIMITS: CallLimits = CallLimits {
    threads: 24,
    reserved: 8,
    queue: 4096,
    idle: Duration::from_millis(100),
    create: Duration::from_secs(30),
    hang_grace: longshore_providers::HANG_GRACE,
    // A check wants to see each failure for itself.
    breaker: None,
};

/// The pause between two looks at a process that is to be ended.
const LOOK: Duration = Duration::from_millis(1);

/// The bench of one check.
#[derive(Debug)]
pub(crate) struct Bench {
    order: Order,
    runtime: Runtime,
    ledger: Ledger,
    progress: Mutex<File>,
    library: OnceLock<Arc<Library>>,
    /// Clusters that have been initialized, or need not be.
    prepared: Mutex<HashSet<String>>,
    notes: Mutex<Vec<String>>,
    /// Numbers for names.
    next: AtomicU64,
}

impl Bench {
    pub(crate) fn new(order: Order) -> Verdict<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_time().build().or_fault("no runtime could be made")?;
        let progress = OpenOptions::new().create(true).append(true).open(order.progress());
        Ok(Self {
            runtime,
            ledger: Ledger::open(&order.ledger)?,
            progress: Mutex::new(progress.or_fault("the file of calls could not be opened")?),
            library: OnceLock::new(),
            prepared: Mutex::default(),
            notes: Mutex::default(),
            next: AtomicU64::new(0),
            order,
        })
    }

    /// How the provider is to be tried.
    pub(crate) fn quirks(&self) -> &Quirks {
        &self.order.quirks
    }

    /// Whether the check may take its time and the provider's.
    pub(crate) fn is_long(&self) -> bool {
        self.order.long
    }

    /// What a check that throws dice begins with.
    pub(crate) fn seed(&self) -> u64 {
        self.order.seed
    }

    /// The library's file.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.order.library
    }

    /// A fresh folder of the check, which is removed at its end.
    pub(crate) fn scratch(&self) -> std::path::PathBuf {
        self.order.scratch()
    }

    /// The file that standard output and error of this process go to.
    pub(crate) fn output(&self) -> std::path::PathBuf {
        self.order.output()
    }

    /// Says something that stands beside the outcome.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Puts down that something is about to be called, for whoever has to say where it crashed.
    pub(crate) fn progress(&self, what: &str) {
        let mut file = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        // It is no more than a help.
        drop(file.write_all(format!("{what}\n").as_bytes()));
    }

    /// The library, loaded when it is first asked for.
    pub(crate) fn library(&self) -> Verdict<&Arc<Library>> {
        if let Some(library) = self.library.get() {
            return Ok(library);
        }
        self.progress("load");
        match Library::open(&self.order.library) {
            Ok(library) => {
                self.progress("-");
                Ok(self.library.get_or_init(|| library))
            }
            Err(error) => match error.clause() {
                Some(clause) => breach(clause, clause.text(), error),
                None => fault(error),
            },
        }
    }

    /// The provider's configuration.
    pub(crate) fn config(&self) -> &Map<String, Value> {
        &self.order.config
    }

    /// The configuration with another one laid over it.
    pub(crate) fn overlaid(&self, over: &Map<String, Value>) -> Map<String, Value> {
        order::overlay(&self.order.config, over)
    }

    /// Makes a provider with a configuration; what the plugin says of it is the inner result.
    pub(crate) fn create(&self, config: &Map<String, Value>) -> Verdict<Result<Subject<'_>, CreateError>> {
        let library = self.library()?;
        let name = format!("conformance-{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.progress("create");
        let made =
            self.runtime.block_on(Provider::create(library, &name, Value::Object(config.clone()), LIMITS));
        self.progress("-");
        // Out of reach it is the same backend, and its workers are killed where it is in reach.
        let is_cut_off =
            self.quirks().outage.as_ref().is_some_and(|outage| *config == self.overlaid(&outage.config));
        let own = (*config != self.order.config && !is_cut_off).then(|| config.clone());
        Ok(made.map(|provider| Subject::new(self, provider, own)))
    }

    /// Makes a provider with the configuration as it is given.
    pub(crate) fn provider(&self) -> Verdict<Subject<'_>> {
        self.provider_of(&self.order.config)
    }

    /// Makes a provider with something laid over the configuration.
    pub(crate) fn provider_with(&self, over: &Map<String, Value>) -> Verdict<Subject<'_>> {
        self.provider_of(&self.overlaid(over))
    }

    /// Makes a provider with another configuration.
    pub(crate) fn provider_of(&self, config: &Map<String, Value>) -> Verdict<Subject<'_>> {
        let expected = "a provider can be made of the configuration that the harness was given (`--config`, or `[config]` of \
                        the quirks file)";
        self.create(config)?.must(Clause::LoadConfigError, expected)
    }

    /// A cluster's name that nobody else has.
    pub(crate) fn cluster(&self) -> String {
        format!("{}-{}", self.order.unique, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A launch's token that nobody else has.
    pub(crate) fn token(&self) -> LaunchToken {
        LaunchToken::new(format!("{}-t{}", self.order.unique, self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// A request for workers of the plain container, under a fresh token.
    pub(crate) fn request(&self, workers: u32) -> RunRequest {
        self.request_of(self.quirks().container.clone(), workers)
    }

    /// A request for workers of a container, under a fresh token.
    pub(crate) fn request_of(&self, container: Container, workers: u32) -> RunRequest {
        RunRequest { container, hardware: self.quirks().hardware.clone(), workers, token: self.token() }
    }

    /// So many workers, where that many may be had and cost nothing to speak of; otherwise a reason to skip.
    pub(crate) fn afford(&self, workers: u32) -> Verdict<u32> {
        let most = self.quirks().most_workers;
        if workers > most {
            return skip(format_args!("the quirks file allows {most} workers at most"));
        }
        if workers > 4 {
            self.cheap(Costly::Launches)?;
        }
        Ok(workers)
    }

    /// As many workers as `wanted`, or as few as can be had without much cost, but at least one.
    pub(crate) fn modest(&self, wanted: u32) -> u32 {
        let costly = self.quirks().is_costly(Costly::Launches) && !self.is_long();
        wanted.min(self.quirks().most_workers).min(if costly { 4 } else { u32::MAX }).max(1)
    }

    /// A reason to skip where something is costly, unless the check may take its time.
    pub(crate) fn cheap(&self, what: Costly) -> Verdict {
        let word = match what {
            Costly::Launches => "launches",
            Costly::Calls => "calls",
            Costly::Servers => "servers",
        };
        if self.quirks().is_costly(what) && !self.is_long() {
            return skip(format_args!(
                "the quirks file says that {word} are costly; `--long` tries it all the same"
            ));
        }
        Ok(())
    }

    /// A reason to skip where workers do not outlive as much.
    pub(crate) fn outlives(&self, what: crate::quirks::Outlives) -> Verdict {
        use crate::quirks::Outlives;
        if self.quirks().outlives >= what {
            return Ok(());
        }
        skip(match self.quirks().outlives {
            Outlives::Nothing => "the quirks file says that workers end with the instance that made them",
            _ => "the quirks file says that workers end with the process that made them",
        })
    }

    /// Where the check hears witnesses; a reason to skip where workers cannot run one.
    pub(crate) fn witnesses(&self) -> Verdict<Witnesses> {
        let Some(quirks) = &self.quirks().witness else {
            return skip("the quirks file has no `[witness]`: what a worker sees cannot be seen");
        };
        let nonce = format!("{}-w{}", self.order.unique, self.next.fetch_add(1, Ordering::Relaxed));
        Witnesses::listen(quirks, &nonce, self.quirks().start)
    }

    /// The order of an errand.
    fn errand(&self, errand: Errand) -> Order {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.order.folder.join(format!("errand-{number}"));
        Order { task: Task::Errand(errand), folder, ..self.order.clone() }
    }

    /// Has another process begin a run of such containers, and ends it with SIGKILL when it is time. Whether it was still at it.
    pub(crate) fn cut_off_elsewhere(
        &self,
        run: Errand,
        container: Container,
        config: &Map<String, Value>,
        mut is_time: impl FnMut() -> Verdict<bool>,
    ) -> Verdict<bool> {
        let mut order = Order { config: config.clone(), ..self.errand(run) };
        order.quirks.container = container;
        let mut child = send(&order)?;
        let has_begun = || {
            let calls = std::fs::read_to_string(order.progress()).unwrap_or_default();
            calls.lines().any(|call| call == "run")
        };
        let mut ended = None;
        while ended.is_none() && !(has_begun() && is_time()?) {
            std::thread::sleep(LOOK);
            ended = child.try_wait().or_fault("a process for an errand could not be watched")?;
        }
        // Where it has ended by itself, there is nothing to end.
        drop(child.kill());
        let status = child.wait().or_fault("a process for an errand could not be waited for")?;
        match (ended, order.report().exists()) {
            _ if child::is_fault(status) => fault(child::FAULTY),
            (Some(_), false) => lost(status),
            (_, is_done) => Ok(!is_done),
        }
    }

    /// Does an errand in another process, with a provider that is made anew there.
    pub(crate) fn elsewhere(&self, errand: Errand) -> Verdict<Brought> {
        let order = self.errand(errand);
        let status = send(&order)?.wait().or_fault("a process for an errand could not be waited for")?;
        match order::read(&order.report()) {
            Ok(Reported::Brought(brought)) => Ok(brought),
            Ok(Reported::Fault(what)) => fault(what),
            Ok(_) => fault("an errand came back with something else"),
            Err(_) if child::is_fault(status) => fault(child::FAULTY),
            Err(_) => lost(status),
        }
    }

    /// Asks again and again until there is something, for at most so long.
    pub(crate) fn poll<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut() -> Verdict<Option<T>>,
    ) -> Verdict<Option<T>> {
        let end = Instant::now() + limit;
        loop {
            // The last look comes after the limit, so that a slow machine is not the provider's fault.
            let is_last = Instant::now() >= end;
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            if is_last {
                return Ok(None);
            }
            std::thread::sleep(self.quirks().poll);
        }
    }

    /// Notes that a cluster has been prepared; false where it was before.
    pub(crate) fn prepare(&self, cluster: &str) -> bool {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(cluster.to_owned())
    }
}

/// Sends another process on an errand, with a provider that is made anew there.
fn send(order: &Order) -> Verdict<Child> {
    std::fs::create_dir(&order.folder).or_fault("a folder could not be made")?;
    let file = order.folder.join("order.json");
    order::write(&file, order)?;
    let program = std::env::current_exe().or_fault("the harness does not know its own program")?;
    // In the process group of this process, so that it ends with it.
    let child = child::command(&program, &file).spawn();
    child.or_fault("a process for an errand could not be started")
}

/// A plugin has ended the process of an errand.
fn lost<T>(status: ExitStatus) -> Verdict<T> {
    let expected = "a call in another process comes back";
    breach(Clause::HygienePanic, expected, format_args!("the process ended with {status}"))
}
