//! The provider: it reads the documents as the first release writes them, with all of their fields.

use std::{
    collections::BTreeMap,
    iter::repeat_n,
    sync::{Mutex, MutexGuard, PoisonError},
};

use longshore_plugin_abi::{
    CallContext, Failure, Instance, KillReply, ListReply, ListV1, Listed, Logger, RunReply, WorkersV1,
    abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    kind, level, status,
};
use serde::Deserialize;

type Handles<'a> = RSlice<'a, RStr<'a>>;

/// The table of `longshore.workers/1`.
pub(crate) static WORKERS: WorkersV1 =
    WorkersV1 { run, status: status_of, kill, is_initializing, is_running, is_stopped };

/// The table of `longshore.list/1`.
pub(crate) static LIST: ListV1 = ListV1 { list };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "default_prefix")]
    prefix: String,
}

fn default_prefix() -> String {
    "w".to_owned()
}

/// As the first release writes it. A later one may add to it, and takes nothing away.
#[derive(Deserialize)]
struct Request {
    container: Container,
    #[serde(rename = "hardware")]
    _hardware: Hardware,
    workers: u32,
    token: String,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    command: Option<String>,
    #[serde(default, rename = "args")]
    _args: Vec<String>,
    #[serde(default, rename = "env")]
    _env: BTreeMap<String, String>,
    #[serde(default)]
    max_workers: Option<u32>,
}

#[derive(Deserialize)]
struct Hardware {
    #[serde(default, rename = "cpu")]
    _cpu: Option<f64>,
    #[serde(default, rename = "memory")]
    _memory: Option<u64>,
}

struct Worker {
    cluster: String,
    token: String,
    workers: u32,
    alive: bool,
}

struct Provider {
    prefix: String,
    log: Logger,
    containers: Mutex<BTreeMap<String, Worker>>,
}

impl Provider {
    fn containers(&self) -> MutexGuard<'_, BTreeMap<String, Worker>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many containers are alive.
pub(crate) fn alive(this: &Instance) -> usize {
    provider(this).containers().values().filter(|worker| worker.alive).count()
}

fn failure(kind: u8, message: impl ToString, field: &str) -> Failure {
    Failure { kind, message: message.to_string().into(), field: field.into() }
}

pub(crate) extern "C" fn create(log: Logger, config: RStr<'_>) -> RResult<Instance, Failure> {
    let settings: Settings = match serde_json::from_str(config.as_str()) {
        Ok(settings) => settings,
        Err(error) => return RResult::RErr(failure(kind::CONFIG, error, "")),
    };
    if settings.prefix.is_empty() {
        return RResult::RErr(failure(kind::CONFIG, "must not be empty", "prefix"));
    }
    let provider = Provider { prefix: settings.prefix, log, containers: Mutex::default() };
    let data = Box::into_raw(Box::new(provider));
    // SAFETY: `Provider` is `Send` and `Sync`, and `destroy` takes back this very box.
    RResult::ROk(unsafe { Instance::new(data.cast_const().cast(), destroy) })
}

unsafe extern "C" fn destroy(data: *const ()) {
    // SAFETY: `create` made it from a box of a `Provider`, and an `Instance` calls this once.
    drop(unsafe { Box::from_raw(data.cast_mut().cast::<Provider>()) });
}

fn provider(this: &Instance) -> &Provider {
    // SAFETY: the tables are called with an instance of `create`, as they demand.
    unsafe { &*this.data().cast::<Provider>() }
}

unsafe extern "C" fn run(
    this: &Instance,
    ctx: &CallContext<'_>,
    request: RStr<'_>,
) -> RResult<RunReply, Failure> {
    let provider = provider(this);
    let request: Request = match serde_json::from_str(request.as_str()) {
        Ok(request) => request,
        Err(error) => return RResult::RErr(failure(kind::PERMANENT, error, "")),
    };
    if ctx.control.is_cancelled() {
        return RResult::RErr(failure(kind::CANCELLED, "the host cancelled the call", ""));
    }
    let line = format!("{:?} runs beside {} containers", request.container.command, alive(this));
    provider.log.log(level::INFO, "first", &line);
    let mut containers = provider.containers();
    let each = request.container.max_workers.unwrap_or(1).max(1);
    let mut handles = RVec::new();
    for index in 0..request.workers.div_ceil(each) {
        let workers = each.min(request.workers - index * each);
        let handle = format!("{}-{}-{index}", provider.prefix, request.token);
        let (cluster, token) = (ctx.cluster.as_str().to_owned(), request.token.clone());
        containers.entry(handle.clone()).or_insert(Worker { cluster, token, workers, alive: true });
        handles.extend(repeat_n(RString::from(handle), workers as usize));
    }
    RResult::ROk(RunReply { handles, shortfall: ROption::RNone })
}

fn number(worker: Option<&Worker>) -> u8 {
    if worker.is_some_and(|worker| worker.alive) { status::RUNNING } else { status::STOPPED }
}

fn each(this: &Instance, handles: Handles<'_>, answer: impl Fn(u8) -> u8) -> RResult<RVec<u8>, Failure> {
    let containers = provider(this).containers();
    RResult::ROk(handles.iter().map(|handle| answer(number(containers.get(handle.as_str())))).collect())
}

unsafe extern "C" fn status_of(
    this: &Instance,
    _ctx: &CallContext<'_>,
    handles: Handles<'_>,
) -> RResult<RVec<u8>, Failure> {
    each(this, handles, |status| status)
}

unsafe extern "C" fn is_initializing(
    this: &Instance,
    _ctx: &CallContext<'_>,
    handles: Handles<'_>,
) -> RResult<RVec<u8>, Failure> {
    each(this, handles, |status| u8::from(status == status::INITIALIZING))
}

unsafe extern "C" fn is_running(
    this: &Instance,
    _ctx: &CallContext<'_>,
    handles: Handles<'_>,
) -> RResult<RVec<u8>, Failure> {
    each(this, handles, |status| u8::from(status == status::RUNNING))
}

unsafe extern "C" fn is_stopped(
    this: &Instance,
    _ctx: &CallContext<'_>,
    handles: Handles<'_>,
) -> RResult<RVec<u8>, Failure> {
    each(this, handles, |status| u8::from(status == status::STOPPED))
}

unsafe extern "C" fn kill(
    this: &Instance,
    _ctx: &CallContext<'_>,
    handles: Handles<'_>,
) -> RResult<KillReply, Failure> {
    let mut containers = provider(this).containers();
    for handle in handles.iter() {
        if let Some(worker) = containers.get_mut(handle.as_str()) {
            worker.alive = false;
        }
    }
    RResult::ROk(KillReply { answers: handles.iter().map(|_| 1).collect(), reasons: RVec::new() })
}

unsafe extern "C" fn list(this: &Instance, ctx: &CallContext<'_>) -> RResult<ListReply, Failure> {
    let containers = provider(this).containers();
    let ours = containers.iter().filter(|(_, worker)| worker.alive && worker.cluster == ctx.cluster.as_str());
    let entry = |(handle, worker): (&String, &Worker)| Listed {
        handle: handle.as_str().into(),
        token: worker.token.as_str().into(),
        workers: worker.workers,
    };
    RResult::ROk(ListReply { entries: ours.map(entry).collect() })
}
