//! The boundary around the mutant: its tables hand each call on, and spoil the replies in ways that no trait could.
#![expect(unsafe_code, reason = "it stands on the boundary, in the place of the export macro")]

use longshore_plugin_abi::{
    CallContext, CleanupV1, Failure, InitializeV1, Instance, Interface, InterfaceTable, KillReply, ListReply,
    ListV1, Logger, Reason, RootModule, RootModuleRef, RunReply, ServerV1, WorkersV1,
    abi_stable::{
        library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
        prefix_type::PrefixTypeTrait as _,
        std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    },
};
use longshore_plugin_api::__private::{self as api, Capability, Export, Package};

use crate::{
    mutant::Mutant,
    settings::{Fault, Function, Plan},
};

/// The kind and the values that mean nothing.
const UNHEARD_OF: u8 = 250;
const BAD_STATUS: u8 = 0;
const BAD_ANSWER: u8 = 7;

/// The mutant as the export macro would have exported it.
struct Inner;

impl Export for Inner {
    type Provider = Mutant;
    const PACKAGE: Package = Package {
        version: env!("CARGO_PKG_VERSION"),
        description: env!("CARGO_PKG_DESCRIPTION"),
        unwinds: cfg!(panic = "unwind"),
    };
    const CAPABILITIES: &'static [Capability] = &[
        (InitializeV1::ID, api::capability::Initialize::<Mutant>),
        (ListV1::ID, api::capability::List::<Mutant>),
        (ServerV1::ID, api::capability::Server::<Mutant>),
        (CleanupV1::ID, api::capability::Cleanup::<Mutant>),
    ];
}

fn inner() -> RootModuleRef {
    static INNER: std::sync::OnceLock<RootModuleRef> = std::sync::OnceLock::new();
    *INNER.get_or_init(api::root_module::<Inner>)
}

/// A table of the inner mutant.
fn table<T: InterfaceTable>() -> &'static T {
    let found = inner().query()(T::ID.into()).into_option().and_then(|interface| interface.table().ok());
    found.unwrap_or_else(|| std::process::abort())
}

/// What our instances point to.
struct Made {
    inner: Instance,
    plan: Plan,
}

/// What `this` points to.
fn made(this: &Instance) -> &Made {
    // SAFETY: the tables of this library are only called with the instances that its `create` made, of a box of `Made`.
    unsafe { &*this.data().cast::<Made>() }
}

extern "C" fn create(log: Logger, config: RStr<'_>) -> RResult<Instance, Failure> {
    let inner = match inner().create()(log, config) {
        RResult::ROk(inner) => inner,
        RResult::RErr(failure) => return RResult::RErr(failure),
    };
    // The inner one has read and checked the same text.
    let Some(plan) = serde_json::from_str(config.as_str()).ok().and_then(|settings| Plan::new(settings).ok())
    else {
        std::process::abort();
    };
    if plan.due(Function::Create, true).is_some() {
        return RResult::RErr(unheard_of());
    }
    let data = Box::into_raw(Box::new(Made { inner, plan }));
    // SAFETY: `Made` is `Send` and `Sync`, and `destroy` takes back this very box.
    RResult::ROk(unsafe { Instance::new(data.cast_const().cast(), destroy) })
}

extern "C" fn destroy(data: *const ()) {
    // SAFETY: `create` made it of a box, and an `Instance` calls this once.
    drop(unsafe { Box::from_raw(data.cast_mut().cast::<Made>()) });
}

fn unheard_of() -> Failure {
    Failure { kind: UNHEARD_OF, message: "a failure of a kind that is none".into(), field: RString::new() }
}

/// Hands a call on, and then spoils the reply with the raw fault of its function, where one is due.
fn spoilt<T>(
    this: &Instance,
    function: Function,
    call: impl FnOnce(&Instance) -> RResult<T, Failure>,
    spoil: impl FnOnce(&mut T),
) -> RResult<T, Failure> {
    let made = made(this);
    let fault = made.plan.due(function, true);
    if fault == Some(Fault::UnheardOf) {
        return RResult::RErr(unheard_of());
    }
    let mut reply = call(&made.inner);
    if let (Some(_), RResult::ROk(value)) = (fault, &mut reply) {
        spoil(value);
    }
    reply
}

fn bad_first(answers: &mut RVec<u8>, bad: u8) {
    if let Some(first) = answers.first_mut() {
        *first = bad;
    }
}

type Handles<'a> = RSlice<'a, RStr<'a>>;
type Answers = RResult<RVec<u8>, Failure>;

static WORKERS: WorkersV1 = WorkersV1 { run, status, kill, is_initializing, is_running, is_stopped };

extern "C" fn run(this: &Instance, ctx: &CallContext<'_>, request: RStr<'_>) -> RResult<RunReply, Failure> {
    spoilt(this, Function::Run, |inner| (table::<WorkersV1>().run)(inner, ctx, request), |_| ())
}

extern "C" fn kill(
    this: &Instance,
    ctx: &CallContext<'_>,
    handles: Handles<'_>,
) -> RResult<KillReply, Failure> {
    let bad_reason = made(this).plan.has(Function::Kill, Fault::BadReason);
    let call = |inner: &Instance| (table::<WorkersV1>().kill)(inner, ctx, handles);
    spoilt(this, Function::Kill, call, |reply| {
        if bad_reason {
            let index = reply.answers.len() as u64;
            reply.reasons.push(Reason { index, text: "of a handle that nobody asked for".into() });
        } else {
            bad_first(&mut reply.answers, BAD_ANSWER);
        }
    })
}

/// The functions that answer with one number a handle.
macro_rules! answers {
    ($($name:ident $function:ident $bad:ident),*) => {$(
        extern "C" fn $name(this: &Instance, ctx: &CallContext<'_>, handles: Handles<'_>) -> Answers {
            let call = |inner: &Instance| (table::<WorkersV1>().$name)(inner, ctx, handles);
            spoilt(this, Function::$function, call, |answers| bad_first(answers, $bad))
        }
    )*};
}
answers!(status Status BAD_STATUS, is_initializing IsInitializing BAD_ANSWER, is_running IsRunning BAD_ANSWER,
    is_stopped IsStopped BAD_ANSWER);

static INITIALIZE: InitializeV1 = InitializeV1 { initialize };

extern "C" fn initialize(this: &Instance, ctx: &CallContext<'_>) -> RResult<(), Failure> {
    spoilt(this, Function::Initialize, |inner| (table::<InitializeV1>().initialize)(inner, ctx), |()| ())
}

static LIST: ListV1 = ListV1 { list };

extern "C" fn list(this: &Instance, ctx: &CallContext<'_>) -> RResult<ListReply, Failure> {
    spoilt(this, Function::List, |inner| (table::<ListV1>().list)(inner, ctx), |_| ())
}

static SERVER: ServerV1 = ServerV1 { run_server, stop_server, server_status, server_address };

extern "C" fn run_server(this: &Instance, ctx: &CallContext<'_>, request: RStr<'_>) -> RResult<(), Failure> {
    let call = |inner: &Instance| (table::<ServerV1>().run_server)(inner, ctx, request);
    spoilt(this, Function::RunServer, call, |()| ())
}

extern "C" fn stop_server(this: &Instance, ctx: &CallContext<'_>) -> RResult<(), Failure> {
    spoilt(this, Function::StopServer, |inner| (table::<ServerV1>().stop_server)(inner, ctx), |()| ())
}

extern "C" fn server_status(this: &Instance, ctx: &CallContext<'_>) -> RResult<u8, Failure> {
    let call = |inner: &Instance| (table::<ServerV1>().server_status)(inner, ctx);
    spoilt(this, Function::ServerStatus, call, |status| *status = BAD_STATUS)
}

extern "C" fn server_address(this: &Instance, ctx: &CallContext<'_>) -> RResult<ROption<RString>, Failure> {
    let call = |inner: &Instance| (table::<ServerV1>().server_address)(inner, ctx);
    spoilt(this, Function::ServerAddress, call, |address| *address = ROption::RSome("{\"host\":".into()))
}

static CLEANUP: CleanupV1 = CleanupV1 { cleanup };

extern "C" fn cleanup(this: &Instance, ctx: &CallContext<'_>, deep: bool) -> RResult<(), Failure> {
    spoilt(this, Function::Cleanup, |inner| (table::<CleanupV1>().cleanup)(inner, ctx, deep), |()| ())
}

extern "C" fn query(id: RStr<'_>) -> ROption<Interface> {
    match id.as_str() {
        WorkersV1::ID => ROption::RSome(Interface::of(&WORKERS)),
        InitializeV1::ID => ROption::RSome(Interface::of(&INITIALIZE)),
        ListV1::ID => ROption::RSome(Interface::of(&LIST)),
        ServerV1::ID => ROption::RSome(Interface::of(&SERVER)),
        CleanupV1::ID => ROption::RSome(Interface::of(&CLEANUP)),
        _ => ROption::RNone,
    }
}

/// The root module of the library.
pub(crate) fn root_module() -> RootModuleRef {
    RootModule { metadata: inner().metadata(), create, query }.leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(root_module)
}

/// What a host finds the root module by.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub(crate) static PLUGIN: LibHeader =
    // SAFETY: `load` answers with a `RootModuleRef`.
    unsafe { LibHeader::from_constructor::<RootModuleRef>(load, CheckTypeLayout::Yes) };
