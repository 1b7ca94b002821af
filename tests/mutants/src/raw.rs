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

/// What our instances point to. `inner` is the inner mutant's, for its tables alone.
struct Made {
    inner: Instance,
    plan: Plan,
}

/// What `this` points to.
///
/// # Safety
///
/// `create` of this module must have made `this`, which is the promise of its tables.
unsafe fn made(this: &Instance) -> &Made {
    // SAFETY: the caller's promise; `create` makes instances of a box of `Made`.
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

unsafe extern "C" fn destroy(data: *const ()) {
    // SAFETY: `create` made it of a box, and an `Instance` calls this once.
    drop(unsafe { Box::from_raw(data.cast_mut().cast::<Made>()) });
}

fn unheard_of() -> Failure {
    Failure { kind: UNHEARD_OF, message: "a failure of a kind that is none".into(), field: RString::new() }
}

/// Hands a call on, and then spoils the reply with the raw fault of its function, where one is due.
fn spoilt<T>(
    made: &Made,
    function: Function,
    call: impl FnOnce() -> RResult<T, Failure>,
    spoil: impl FnOnce(&mut T),
) -> RResult<T, Failure> {
    let fault = made.plan.due(function, true);
    if fault == Some(Fault::UnheardOf) {
        return RResult::RErr(unheard_of());
    }
    let mut reply = call();
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

/// The functions of a table: each hands its call on, and has a way to spoil the reply.
macro_rules! functions {
    ($($table:ident.$name:ident($($argument:ident: $type:ty)?) -> $reply:ty, $function:ident, $spoil:expr;)*) => {$(
        unsafe extern "C" fn $name(
            this: &Instance,
            ctx: &CallContext<'_>
            $(, $argument: $type)?
        ) -> RResult<$reply, Failure> {
            // SAFETY: the caller keeps the promise of the table.
            let made = unsafe { made(this) };
            let spoil: fn(&Made, &mut $reply) = $spoil;
            let call = || {
                let table = table::<$table>();
                // SAFETY: instance and table are both the inner mutant's, and the context is that of our own call.
                unsafe { (table.$name)(&made.inner, ctx $(, $argument)?) }
            };
            spoilt(made, Function::$function, call, |reply| spoil(made, reply))
        }
    )*};
}

functions! {
    WorkersV1.run(request: RStr<'_>) -> RunReply, Run, |_, _| ();
    WorkersV1.status(handles: Handles<'_>) -> RVec<u8>, Status, |_, values| bad_first(values, BAD_STATUS);
    WorkersV1.kill(handles: Handles<'_>) -> KillReply, Kill, |made, reply| {
        if made.plan.has(Function::Kill, Fault::BadReason) {
            let index = reply.answers.len() as u64;
            reply.reasons.push(Reason { index, text: "of a handle that nobody asked for".into() });
        } else {
            bad_first(&mut reply.answers, BAD_ANSWER);
        }
    };
    WorkersV1.is_initializing(handles: Handles<'_>) -> RVec<u8>, IsInitializing,
        |_, answers| bad_first(answers, BAD_ANSWER);
    WorkersV1.is_running(handles: Handles<'_>) -> RVec<u8>, IsRunning,
        |_, answers| bad_first(answers, BAD_ANSWER);
    WorkersV1.is_stopped(handles: Handles<'_>) -> RVec<u8>, IsStopped,
        |_, answers| bad_first(answers, BAD_ANSWER);
    InitializeV1.initialize() -> (), Initialize, |_, ()| ();
    ListV1.list() -> ListReply, List, |_, _| ();
    ServerV1.run_server(request: RStr<'_>) -> (), RunServer, |_, ()| ();
    ServerV1.stop_server() -> (), StopServer, |_, ()| ();
    ServerV1.server_status() -> u8, ServerStatus, |_, status| *status = BAD_STATUS;
    ServerV1.server_address() -> ROption<RString>, ServerAddress,
        |_, address| *address = ROption::RSome("{\"host\":".into());
    CleanupV1.cleanup(deep: bool) -> (), Cleanup, |_, ()| ();
}

static WORKERS: WorkersV1 = WorkersV1 { run, status, kill, is_initializing, is_running, is_stopped };
static INITIALIZE: InitializeV1 = InitializeV1 { initialize };
static LIST: ListV1 = ListV1 { list };
static SERVER: ServerV1 = ServerV1 { run_server, stop_server, server_status, server_address };
static CLEANUP: CleanupV1 = CleanupV1 { cleanup };

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
