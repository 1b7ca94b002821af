//! One provider: an instance that a plugin made, and the calls on it. Whatever a call does — answer, fail, panic, hang,
//! lie — the host gets a sound answer or an error that says what is certain.

use std::{fmt, sync::Arc, time::Duration};

use longshore_plugin_api::{Killed, ListedHandle, RunRequest, ServerAddress, ServerRequest, WorkerStatus};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::timeout,
};

use crate::{
    account::Books,
    ask::{Ask, Raw},
    breaker::BreakerState,
    call::{Answer, Call, CallScope},
    check::{self, Launched},
    error::{CallError, CreateError, Function, NotSent, Violation},
    figures::{Figures, FunctionFigures},
    in_process::InProcess,
    library::Library,
    log,
    pool::{CallLimits, ProviderLoad},
    runner::{Resources, Runner, RunnerLoad, RunnerSetup, RunnerState},
    seat::{Errand, Seat},
};

/// Handles of one call, shared rather than copied.
pub type Handles = Arc<[Arc<str>]>;

/// Where a provider's instance is made, and then called.
#[derive(Clone, Debug)]
pub enum Housing {
    /// In this process.
    InProcess,
    /// In a process of its own.
    Runner(RunnerSetup),
}

/// An instance of a plugin with a configuration of its own.
///
/// Dropping it shuts it down: calls that wait are turned down, those under way are told to stop, and the instance is
/// destroyed once the last of them has returned, on the thread of that call or on one of its own. While one hangs, the instance stays as it is.
pub struct Provider {
    name: Arc<str>,
    library: Arc<Library>,
    log: &'static log::Source,
    seat: Seat,
    /// Half of the queue for the functions that may take long, half for the others.
    slow_places: Semaphore,
    places: Semaphore,
    books: Arc<Books>,
}

impl Provider {
    /// Makes a provider in this process: checks the configuration against the plugin's schema, then lets the plugin make the
    /// instance, on a thread of its own and for at most [`CallLimits::create`].
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
        Self::create_in(&Housing::InProcess, library, name, config, limits, ()).await
    }

    /// As [`create`](Self::create), wherever the instance is to be. What is held is dropped when whoever makes the instance
    /// has left the plugin, however late: until then a caller who was told of a deadline knows that one more thread would
    /// hang.
    ///
    /// A runner needs the runtime's network as well.
    ///
    /// # Errors
    ///
    /// As `create`.
    pub async fn create_in(
        housing: &Housing,
        library: &Arc<Library>,
        name: &str,
        config: Value,
        limits: CallLimits,
        held: impl Send + 'static,
    ) -> Result<Arc<Self>, CreateError> {
        library.validate_config(&config).map_err(CreateError::Config)?;
        let log = log::source(name);
        let seat = match housing {
            Housing::InProcess => {
                Seat::InProcess(InProcess::create(library, log, config, limits, held).await?)
            }
            Housing::Runner(setup) => {
                let runner = setup.create(library, log, config.to_string(), limits).await;
                // What was late has been ended.
                drop(held);
                Seat::Runner(runner?)
            }
        };
        Ok(Arc::new(Self {
            slow_places: Semaphore::new((limits.queue / 2).max(1)),
            places: Semaphore::new((limits.queue / 2).max(1)),
            name: name.into(),
            library: Arc::clone(library),
            log,
            seat,
            books: Arc::new(Books::new(log.provider(), limits.breaker)),
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
        place.ok_or_else(|| {
            let reason = NotSent::OutOfTime { waited: limit };
            self.books.tally.turned_down(function, &reason);
            CallError::NotSent { reason }
        })
    }

    /// How its runner is, where it has one, and how it comes to be.
    pub fn runner(&self) -> Option<watch::Receiver<RunnerState>> {
        self.seat.runner().map(Runner::state)
    }

    /// How often its runner was started again.
    pub fn restarts(&self) -> u64 {
        self.seat.runner().map_or(0, Runner::restarts)
    }

    /// How often its runner ended though nobody had asked for it.
    pub fn deaths(&self) -> u64 {
        self.seat.runner().map_or(0, Runner::deaths)
    }

    /// Where the calls are that its runner has, as that says; it is waited for for half a second at most. Nothing where it does
    /// not answer, or where there is none.
    pub async fn runner_load(&self) -> Option<RunnerLoad> {
        self.seat.runner()?.count().await
    }

    /// What its runner's process takes of this machine, where there is one and the system says so. Blocks for as long as the
    /// system takes, which is some ten microseconds as a rule, and some milliseconds for very many descriptors and an old kernel.
    pub fn runner_resources(&self) -> Option<Resources> {
        self.seat.runner()?.resources()
    }

    /// How busy its threads are.
    pub fn load(&self) -> ProviderLoad {
        self.seat.load()
    }

    /// What its calls came to so far.
    pub fn figures(&self) -> Figures {
        self.books.tally.figures()
    }

    /// The same, function by function and in detail.
    pub fn figures_by_function(&self) -> Vec<FunctionFigures> {
        self.books.tally.by_function()
    }

    /// How its circuit breaker is.
    pub fn breaker(&self) -> BreakerState {
        self.books.breaker.state()
    }

    /// Launches workers.
    #[expect(clippy::needless_pass_by_value, reason = "a call keeps what it is handed, like any other")]
    pub fn run(&self, scope: &CallScope, request: RunRequest) -> Call<Launched> {
        let (asked, max_workers) = (request.workers, request.container.max_workers());
        self.start_with(scope, &request, Ask::Run, move |raw| {
            sound(check::run(asked, max_workers, raw.run()?))
        })
    }

    /// One status a handle, in order.
    pub fn status(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<WorkerStatus>> {
        let handles = handles.into();
        let asked = handles.len();
        self.start(scope, Ask::Status(handles), move |raw| sound(check::status(asked, &raw.values()?)))
    }

    /// Kills every worker on each handle, and answers for each, in order.
    pub fn kill(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<Killed>> {
        let handles = handles.into();
        let asked = handles.len();
        self.start(scope, Ask::Kill(handles), move |raw| sound(check::kill(asked, raw.kill()?)))
    }

    /// Whether each handle is initializing.
    pub fn is_initializing(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<bool>> {
        self.tell(scope, handles.into(), Ask::IsInitializing)
    }

    /// Whether each handle is running.
    pub fn is_running(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<bool>> {
        self.tell(scope, handles.into(), Ask::IsRunning)
    }

    /// Whether each handle is stopped.
    pub fn is_stopped(&self, scope: &CallScope, handles: impl Into<Handles>) -> Call<Vec<bool>> {
        self.tell(scope, handles.into(), Ask::IsStopped)
    }

    /// Prepares the backend for the cluster.
    pub fn initialize(&self, scope: &CallScope) -> Call<()> {
        self.start(scope, Ask::Initialize, Raw::nothing)
    }

    /// The live handles of the cluster.
    pub fn list(&self, scope: &CallScope) -> Call<Vec<ListedHandle>> {
        self.start(scope, Ask::List, |raw| sound(check::list(raw.list()?)))
    }

    /// Starts the cluster's server.
    #[expect(clippy::needless_pass_by_value, reason = "a call keeps what it is handed, like any other")]
    pub fn run_server(&self, scope: &CallScope, request: ServerRequest) -> Call<()> {
        self.start_with(scope, &request, Ask::RunServer, Raw::nothing)
    }

    /// Stops the cluster's server.
    pub fn stop_server(&self, scope: &CallScope) -> Call<()> {
        self.start(scope, Ask::StopServer, Raw::nothing)
    }

    /// How the cluster's server is.
    pub fn server_status(&self, scope: &CallScope) -> Call<WorkerStatus> {
        self.start(scope, Ask::ServerStatus, |raw| sound(check::server_status(raw.status()?)))
    }

    /// Where workers reach the cluster's server, once it has an address.
    pub fn server_address(&self, scope: &CallScope) -> Call<Option<ServerAddress>> {
        self.start(scope, Ask::ServerAddress, |raw| {
            sound(raw.document()?.map(|text| check::server_address(&text)).transpose())
        })
    }

    /// Removes what the cluster's stopped workers left behind; `deep` removes more.
    pub fn cleanup(&self, scope: &CallScope, deep: bool) -> Call<()> {
        self.start(scope, Ask::Cleanup { deep }, Raw::nothing)
    }

    /// Shuts the provider down and waits until the plugin has destroyed the instance, for at most `limit`. False when it
    /// had not by then: a call hangs, and keeps its thread and the instance, where that is not in a runner, which is ended
    /// then. Later calls are turned down.
    pub async fn shut_down(&self, limit: Duration) -> bool {
        self.seat.close();
        let is_gone = timeout(limit, self.seat.gone()).await.is_ok();
        if !is_gone {
            self.seat.end();
        }
        is_gone
    }

    /// One of the three predicates.
    fn tell(
        &self,
        scope: &CallScope,
        handles: Handles,
        ask: fn(Handles) -> Ask<Handles, String>,
    ) -> Call<Vec<bool>> {
        let asked = handles.len();
        let ask = ask(handles);
        let function = ask.function();
        self.start(scope, ask, move |raw| sound(check::predicate(function, asked, &raw.values()?)))
    }

    /// A call that is handed a document.
    fn start_with<T: Send + 'static>(
        &self,
        scope: &CallScope,
        request: &impl Serialize,
        ask: fn(String) -> Ask<Handles, String>,
        check: impl FnOnce(Raw) -> Answer<T> + Send + 'static,
    ) -> Call<T> {
        match serde_json::to_string(request) {
            Ok(document) => self.start(scope, ask(document), check),
            Err(error) => {
                let function = ask(String::new()).function();
                self.turned_down(function, NotSent::Unwritable(error.to_string()))
            }
        }
    }

    /// A call that is not even begun.
    fn turned_down<T>(&self, function: Function, reason: NotSent) -> Call<T> {
        self.books.tally.turned_down(function, &reason);
        Call::not_sent(function, reason)
    }

    /// Hands a call to the instance, unless the plugin does not have the function, and holds the answer against the
    /// contract.
    fn start<T: Send + 'static>(
        &self,
        scope: &CallScope,
        ask: Ask<Handles, String>,
        check: impl FnOnce(Raw) -> Answer<T> + Send + 'static,
    ) -> Call<T> {
        let function = ask.function();
        if !self.library.has(function) {
            return Call::not_sent(function, NotSent::Missing(function));
        }
        let (mut call, answer) = Call::new(function, scope.budget);
        let pass = match self.books.breaker.admit(function, call.budget()) {
            Ok(pass) => pass,
            // What keeps calls from the plugin without the breaker says more of what is to be done.
            Err(open) => {
                return self.turned_down(function, self.seat.shut().unwrap_or(NotSent::BreakerOpen(open)));
            }
        };
        let account = call.open_account(&self.books, pass);
        let end = move |outcome: Answer<Raw>, inside: Option<Duration>| {
            let outcome = outcome.and_then(check);
            account.ended(&outcome, inside);
            // Nobody listens any more when the `Call` was dropped.
            drop(answer.send(outcome));
        };
        self.seat.submit(Errand {
            control: Arc::clone(call.control()),
            budget: call.budget(),
            cluster: Arc::clone(&scope.cluster),
            verbose: scope.verbose,
            span: tracing::Span::current(),
            ask,
            end: Box::new(end),
        });
        call
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.seat.close();
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

fn sound<T>(checked: Result<T, Violation>) -> Answer<T> {
    checked.map_err(CallError::Violation)
}
