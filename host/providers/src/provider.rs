//! One provider: an instance that a plugin made, and the calls on it. Whatever a call does — answer, fail, panic, hang,
//! lie — the host gets a sound answer or an error that says what is certain.

#![expect(unsafe_code, reason = "an instance is destroyed on a thread of our choice")]

use std::{
    fmt,
    mem::ManuallyDrop,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use longshore_plugin_abi::{
    CallContext, Logger,
    abi_stable::std_types::{RSlice, RStr, RVec},
};
use longshore_plugin_api::{
    Error, Killed, ListedHandle, RunRequest, ServerAddress, ServerRequest, WorkerStatus,
};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot, watch},
    time::timeout,
};

use crate::{
    call::{Answer, Call, CallScope},
    check::{self, Launched},
    error::{CallError, CreateError, Function, NotSent, Violation},
    instance::{Paired, Texts},
    library::Library,
    log,
    pool::{self, CallLimits, Job, Pool, ProviderLoad},
};

/// Handles of one call, shared rather than copied.
pub type Handles = Arc<[Arc<str>]>;

/// What keeps a plugin's instance alive: the provider, and every call that is inside the plugin.
struct Made {
    instance: ManuallyDrop<Paired>,
    log: &'static log::Source,
    /// Never sends: its end is the news that the instance is destroyed.
    gone: watch::Sender<()>,
}

impl Drop for Made {
    /// Destroys the instance, which may take its time or hang, on one of our own threads: a call's, where the last one
    /// that was inside the plugin lets go, or a new one.
    fn drop(&mut self) {
        // SAFETY: it is taken here alone, and `self` is not used again.
        let instance = unsafe { ManuallyDrop::take(&mut self.instance) };
        if pool::is_call_thread() {
            return drop(instance);
        }
        // Where no thread can be had, the closure comes back and is dropped here, which must not destroy it: then the
        // instance stays as it is until the process ends.
        let (instance, gone) = (ManuallyDrop::new(instance), self.gone.clone());
        let destroy = move || {
            drop(ManuallyDrop::into_inner(instance));
            drop(gone);
        };
        if let Err(error) = thread::Builder::new().name("ls-close".to_owned()).spawn(destroy) {
            tracing::warn!(
                provider = self.log.provider(),
                "the provider stays until the host ends, as no thread could be started to shut it down: {error}"
            );
        }
    }
}

/// An instance of a plugin with a configuration of its own.
///
/// Dropping it shuts it down: calls that wait are turned down, those under way are told to stop, and the instance is
/// destroyed once the last of them has returned, on the thread of that call or on one of its own. While one hangs, the instance stays as it is.
pub struct Provider {
    name: Arc<str>,
    library: Arc<Library>,
    log: &'static log::Source,
    pool: Pool,
    /// Half of the queue for the functions that may take long, half for the others.
    slow_places: Semaphore,
    places: Semaphore,
    made: Mutex<Option<Arc<Made>>>,
    gone: watch::Receiver<()>,
}

impl Provider {
    /// Makes a provider: checks the configuration against the plugin's schema, then lets the plugin make the instance, on
    /// a thread of its own and for at most [`CallLimits::create`].
    ///
    /// Needs a tokio runtime with its timer.
    ///
    /// # Errors
    ///
    /// [`CreateError`]: nothing was made, or what is made too late is shut down at once.
    pub async fn create(
        library: &Arc<Library>,
        name: &str,
        config: Value,
        limits: CallLimits,
    ) -> Result<Arc<Self>, CreateError> {
        Self::create_holding(library, name, config, limits, ()).await
    }

    /// As [`create`](Self::create), with something that is dropped when the thread that makes the instance has left the
    /// plugin, however late: until then a caller who was told of a deadline knows that one more thread would hang.
    ///
    /// # Errors
    ///
    /// As `create`.
    pub async fn create_holding(
        library: &Arc<Library>,
        name: &str,
        config: Value,
        limits: CallLimits,
        held: impl Send + 'static,
    ) -> Result<Arc<Self>, CreateError> {
        library.validate_config(&config).map_err(CreateError::Config)?;
        let log = log::source(name);
        let (sender, receiver) = oneshot::channel();
        let making = {
            let library = Arc::clone(library);
            // An instance that nobody waits for any more is dropped, and so destroyed, on this thread.
            move || {
                drop(sender.send(make(&library, log.logger(), &config)));
                drop(held);
            }
        };
        thread::Builder::new()
            .name(format!("{}-create", pool::thread_name(name)))
            .spawn(making)
            .map_err(|error| CreateError::Thread { reason: error.to_string() })?;
        let instance = timeout(limits.create, receiver)
            .await
            .map_err(|_| CreateError::Deadline { after: limits.create })?
            .map_err(|_| CreateError::Thread { reason: "the thread died".to_owned() })??;
        let (sender, gone) = watch::channel(());
        let made = Made { instance: ManuallyDrop::new(instance), log, gone: sender };
        Ok(Arc::new(Self {
            slow_places: Semaphore::new((limits.queue / 2).max(1)),
            places: Semaphore::new((limits.queue / 2).max(1)),
            pool: Pool::new(name, limits),
            name: name.into(),
            library: Arc::clone(library),
            log,
            made: Mutex::new(Some(Arc::new(made))),
            gone,
        }))
    }

    /// The name that the host gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The library that it comes from.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Lets `veil` take out of each line that the plugin logs what must not be in a log, until the answer is dropped. It
    /// counts for all providers of this name.
    pub fn veil_log(&self, veil: log::Veil) -> log::Veiled {
        self.log.veil(veil)
    }

    /// Whether `run` with the same token again launches nothing more.
    pub fn idempotent_run(&self) -> bool {
        self.library.metadata().idempotent_run
    }

    /// Whether it has [`initialize`](Self::initialize).
    pub fn has_initialize(&self) -> bool {
        self.library.has(Function::Initialize)
    }

    /// Whether it has [`list`](Self::list).
    pub fn has_list(&self) -> bool {
        self.library.has(Function::List)
    }

    /// Whether it has the functions of a server.
    pub fn has_server(&self) -> bool {
        self.library.has(Function::RunServer)
    }

    /// Whether it has [`cleanup`](Self::cleanup).
    pub fn has_cleanup(&self) -> bool {
        self.library.has(Function::Cleanup)
    }

    /// Waits, in turn and for at most so long, until one more call of that function is welcome. Who calls without a place
    /// may find the queue full; who holds one while it calls does not.
    ///
    /// # Errors
    ///
    /// [`NotSent::OutOfTime`]: the calls before it took too long.
    pub async fn place(&self, function: Function, limit: Duration) -> Result<SemaphorePermit<'_>, CallError> {
        let places = if function.is_slow() { &self.slow_places } else { &self.places };
        let place = timeout(limit, places.acquire()).await.map(Result::ok);
        // The semaphores are never closed.
        let place = place.ok().flatten();
        place.ok_or(CallError::NotSent { reason: NotSent::OutOfTime { waited: limit } })
    }

    /// How busy its threads are.
    pub fn load(&self) -> ProviderLoad {
        self.pool.load()
    }

    /// Launches workers.
    pub fn run(&self, scope: &CallScope, request: RunRequest) -> Call<Launched> {
        self.start(Function::Run, scope, move |instance, ctx| {
            let reply = instance.run(ctx, RStr::from_str(&document(&request)?))?;
            sound(check::run(request.workers, request.container.max_workers(), reply))
        })
    }

    /// One status a handle, in order.
    pub fn status(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<WorkerStatus>> {
        let handles = handles.into();
        self.start(Function::Status, scope, move |instance, ctx| {
            let texts = texts(&handles);
            let values = instance.status(ctx, RSlice::from_slice(&texts))?;
            sound(check::status(texts.len(), &values))
        })
    }

    /// Kills every worker on each handle, and answers for each, in order.
    pub fn kill(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<Killed>> {
        let handles = handles.into();
        self.start(Function::Kill, scope, move |instance, ctx| {
            let texts = texts(&handles);
            let reply = instance.kill(ctx, RSlice::from_slice(&texts))?;
            sound(check::kill(texts.len(), reply))
        })
    }

    /// Whether each handle is initializing.
    pub fn is_initializing(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<bool>> {
        self.ask(Function::IsInitializing, scope, handles.into(), Paired::is_initializing)
    }

    /// Whether each handle is running.
    pub fn is_running(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<bool>> {
        self.ask(Function::IsRunning, scope, handles.into(), Paired::is_running)
    }

    /// Whether each handle is stopped.
    pub fn is_stopped(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<bool>> {
        self.ask(Function::IsStopped, scope, handles.into(), Paired::is_stopped)
    }

    /// Prepares the backend for the cluster.
    pub fn initialize(&self, scope: &CallScope) -> Call<()> {
        self.start(Function::Initialize, scope, Paired::initialize)
    }

    /// The live handles of the cluster.
    pub fn list(&self, scope: &CallScope) -> Call<Vec<ListedHandle>> {
        self.start(Function::List, scope, |instance, ctx| sound(check::list(instance.list(ctx)?)))
    }

    /// Starts the cluster's server.
    pub fn run_server(&self, scope: &CallScope, request: ServerRequest) -> Call<()> {
        self.start(Function::RunServer, scope, move |instance, ctx| {
            instance.run_server(ctx, RStr::from_str(&document(&request)?))
        })
    }

    /// Stops the cluster's server.
    pub fn stop_server(&self, scope: &CallScope) -> Call<()> {
        self.start(Function::StopServer, scope, Paired::stop_server)
    }

    /// How the cluster's server is.
    pub fn server_status(&self, scope: &CallScope) -> Call<WorkerStatus> {
        self.start(Function::ServerStatus, scope, |instance, ctx| {
            sound(check::server_status(instance.server_status(ctx)?))
        })
    }

    /// Where workers reach the cluster's server, once it has an address.
    pub fn server_address(&self, scope: &CallScope) -> Call<Option<ServerAddress>> {
        self.start(Function::ServerAddress, scope, |instance, ctx| {
            let document = instance.server_address(ctx)?.into_option();
            sound(document.map(|text| check::server_address(&text)).transpose())
        })
    }

    /// Removes what the cluster's stopped workers left behind; `deep` removes more.
    pub fn cleanup(&self, scope: &CallScope, deep: bool) -> Call<()> {
        self.start(Function::Cleanup, scope, move |instance, ctx| instance.cleanup(ctx, deep))
    }

    /// Shuts the provider down and waits until the plugin has destroyed the instance, for at most `limit`. False when it
    /// had not by then: a call hangs, and keeps its thread and the instance. Later calls are turned down.
    pub async fn shut_down(&self, limit: Duration) -> bool {
        self.begin_shutdown();
        let mut gone = self.gone.clone();
        // The sender never sends: `changed` ends when it is dropped, after the instance.
        timeout(limit, gone.changed()).await.is_ok()
    }

    fn begin_shutdown(&self) {
        self.pool.close();
        // What is under way holds on to it, too.
        drop(self.made.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn ask(
        &self,
        function: Function,
        scope: &CallScope,
        handles: Handles,
        predicate: Predicate,
    ) -> Call<Vec<bool>> {
        self.start(function, scope, move |instance, ctx| {
            let texts = texts(&handles);
            let values = predicate(instance, ctx, RSlice::from_slice(&texts))?;
            sound(check::predicate(function, texts.len(), &values))
        })
    }

    /// Hands a call to the provider's threads, unless the plugin does not have the function.
    fn start<T: Send + 'static>(
        &self,
        function: Function,
        scope: &CallScope,
        work: impl FnOnce(&Paired, &CallContext<'_>) -> Answer<T> + Send + 'static,
    ) -> Call<T> {
        if !self.library.has(function) {
            return Call::not_sent(function, NotSent::Missing(function));
        }
        let Some(made) = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return Call::not_sent(function, NotSent::ShutDown);
        };
        let (call, answer) = Call::new(function, scope.budget);
        let control = Arc::clone(call.control());
        let (cluster, verbose) = (Arc::clone(&scope.cluster), scope.verbose);
        let span = tracing::Span::current();
        let work = move |begin: Result<(), NotSent>| {
            let outcome = match begin {
                Err(reason) => Err(CallError::NotSent { reason }),
                Ok(()) => span.in_scope(|| {
                    control.inside(&cluster, verbose, made.log.logger(), |ctx| work(&made.instance, ctx))
                }),
            };
            // Nobody listens any more when the `Call` was dropped.
            let _ = answer.send(outcome);
            // The last holder destroys the instance, which may hang: only now that the answer is out.
            drop(made);
        };
        self.pool.submit(Job {
            control: Arc::clone(call.control()),
            slow: function.is_slow(),
            budget: call.budget(),
            work: Box::new(work),
        });
        call
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.begin_shutdown();
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("library", &self.library.path())
            .field("load", &self.load())
            .finish_non_exhaustive()
    }
}

/// One of the three predicates.
type Predicate = fn(&Paired, &CallContext<'_>, Texts<'_>) -> Answer<RVec<u8>>;

/// Lets the plugin make an instance.
fn make(library: &Library, log: Logger, config: &Value) -> Result<Paired, CreateError> {
    let code = library.code().map_err(|why| CreateError::Load(Box::new(why)))?;
    Paired::make(code, log, &config.to_string()).map_err(|failure| CreateError::from(Error::from(failure)))
}

fn sound<T>(checked: Result<T, Violation>) -> Answer<T> {
    checked.map_err(CallError::Violation)
}

fn document(request: &impl Serialize) -> Answer<String> {
    serde_json::to_string(request)
        .map_err(|error| CallError::NotSent { reason: NotSent::Unwritable(error.to_string()) })
}

fn texts(handles: &[Arc<str>]) -> Vec<RStr<'_>> {
    handles.iter().map(|handle| RStr::from_str(handle)).collect()
}
