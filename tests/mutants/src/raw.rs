//! The boundary around a provider of this crate: its tables hand each call on, and spoil it in ways that no trait could. What
//! is spoilt is a [`Spoiler`]'s to say.
#![expect(unsafe_code, reason = "it stands on the boundary, in the place of the export macro")]

use std::{marker::PhantomData, process::abort, sync::OnceLock};

use longshore_plugin_abi::{
    CallContext, CleanupV1, Failure, InitializeV1, Instance, Interface, InterfaceTable, KillReply, ListReply,
    ListV1, Listed, Logger, RootModule, RootModuleRef, RunReply, ServerV1, WorkersV1,
    abi_stable::{
        library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
        prefix_type::PrefixTypeTrait as _,
        std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    },
};
use longshore_plugin_api::{
    __private::{self as api, Capability, Export, Package},
    Cleanup, Initialize, List, Server,
};

use crate::{greed, settings::Function};

/// The value that is no status, and the one that is neither yes nor no.
pub(crate) const BAD_STATUS: u8 = 0;
pub(crate) const BAD_ANSWER: u8 = 7;
/// The kind of a failure that means nothing.
const UNHEARD_OF: u8 = 250;

/// A failure of a kind that no contract knows.
pub(crate) fn unheard_of() -> Failure {
    Failure { kind: UNHEARD_OF, message: "a failure of a kind that is none".into(), field: RString::new() }
}

/// What is wrong below the trait, for one instance.
pub(crate) trait Spoiler: Send + Sync + Sized + 'static {
    /// The provider behind the boundary.
    type Provider: Initialize + List + Server + Cleanup;

    /// Where its root module is kept.
    fn inner() -> &'static OnceLock<RootModuleRef>;

    /// The metadata that is told.
    fn metadata(honest: RString) -> RString {
        honest
    }

    /// The table that is told for an id; `workers` is one that there is.
    fn query(id: RStr<'_>, honest: ROption<Interface>, workers: fn() -> Interface) -> ROption<Interface> {
        let (_, _) = (id, workers);
        honest
    }

    /// Before anything is made. What it fails with is the answer of `create`.
    fn before_create(config: &str) -> Result<(), Failure> {
        let _ = config;
        Ok(())
    }

    /// For an instance that was just made of this configuration.
    fn new(config: &str) -> Result<Self, Failure>;

    /// Before a call is handed on. What it fails with is the answer instead.
    fn before(&self, function: Function, handles: &[RStr<'_>]) -> Result<(), Failure> {
        let (_, _) = (function, handles);
        Ok(())
    }

    /// After a call was answered.
    fn after(&self, function: Function, reply: Reply<'_>) {
        let (_, _) = (function, reply);
    }
}

/// What a call was answered, to be spoilt.
pub(crate) enum Reply<'a> {
    /// The numbers of `status` and of the predicates.
    Numbers(&'a mut RVec<u8>),
    /// The answer of `kill`.
    Kill(&'a mut KillReply),
    /// The server's status.
    ServerStatus(&'a mut u8),
    /// The server's address.
    ServerAddress(&'a mut ROption<RString>),
    /// The answer of `run`.
    Run(&'a mut RunReply),
    /// The answer of `list`.
    List(&'a mut ListReply),
    /// There is none but that it was done.
    Nothing,
}

impl Reply<'_> {
    /// Makes an answer that no contract knows, where there is an answer.
    pub(crate) fn make_senseless(self) {
        match self {
            Self::Numbers(numbers) => numbers.push(u8::MAX),
            Self::Kill(reply) => reply.answers.push(u8::MAX),
            Self::ServerStatus(status) => *status = u8::MAX,
            Self::ServerAddress(address) => *address = ROption::RSome(RString::from("\u{1}{")),
            Self::Run(reply) => match reply.handles.first_mut() {
                // What the first handle is can be found out by other ways alone.
                Some(first) => *first = "\u{1}\n".into(),
                None => reply.handles.push(RString::new()),
            },
            Self::List(reply) => {
                reply.entries.push(Listed { handle: RString::new(), token: RString::new(), workers: 0 });
            }
            Self::Nothing => {}
        }
    }
}

/// A provider as the export macro would have exported it.
struct Inner<S>(PhantomData<fn() -> S>);

impl<S: Spoiler> Export for Inner<S> {
    type Provider = S::Provider;
    const PACKAGE: Package = Package {
        version: env!("CARGO_PKG_VERSION"),
        description: env!("CARGO_PKG_DESCRIPTION"),
        unwinds: cfg!(panic = "unwind"),
    };
    const CAPABILITIES: &'static [Capability] = &[
        (InitializeV1::ID, api::capability::Initialize::<S::Provider>),
        (ListV1::ID, api::capability::List::<S::Provider>),
        (ServerV1::ID, api::capability::Server::<S::Provider>),
        (CleanupV1::ID, api::capability::Cleanup::<S::Provider>),
    ];
}

/// The root module of the honest provider.
fn inner<S: Spoiler>() -> RootModuleRef {
    *S::inner().get_or_init(api::root_module::<Inner<S>>)
}

/// The tables of the honest provider.
struct Honest {
    workers: &'static WorkersV1,
    initialize: &'static InitializeV1,
    list: &'static ListV1,
    server: &'static ServerV1,
    cleanup: &'static CleanupV1,
}

impl Honest {
    fn of<S: Spoiler>() -> Self {
        fn table<T: InterfaceTable>(root: RootModuleRef) -> &'static T {
            let found = root.query()(T::ID.into()).into_option().and_then(|interface| interface.table().ok());
            // Both were compiled together.
            found.unwrap_or_else(|| abort())
        }
        let root = inner::<S>();
        Self {
            workers: table(root),
            initialize: table(root),
            list: table(root),
            server: table(root),
            cleanup: table(root),
        }
    }
}

/// What our instances point to. `inner` is the honest provider's, for its tables alone.
struct Made<S> {
    inner: Instance,
    honest: Honest,
    spoiler: S,
}

/// What `this` points to.
///
/// # Safety
///
/// `create::<S>` of this module must have made `this`, which is the promise of its tables.
unsafe fn made<S>(this: &Instance) -> &Made<S> {
    // SAFETY: the caller's promise; `create` makes instances of a box of `Made`.
    unsafe { &*this.data().cast::<Made<S>>() }
}

extern "C" fn create<S: Spoiler>(log: Logger, config: RStr<'_>) -> RResult<Instance, Failure> {
    match try_create::<S>(log, config) {
        Ok(instance) => RResult::ROk(instance),
        Err(failure) => RResult::RErr(failure),
    }
}

fn try_create<S: Spoiler>(log: Logger, config: RStr<'_>) -> Result<Instance, Failure> {
    greed::remember(log);
    S::before_create(config.as_str())?;
    let inner = inner::<S>().create()(log, config).into_result()?;
    let spoiler = S::new(config.as_str())?;
    let data = Box::into_raw(Box::new(Made { inner, honest: Honest::of::<S>(), spoiler }));
    // SAFETY: `Made` is `Send` and `Sync`, and `destroy` takes back this very box.
    Ok(unsafe { Instance::new(data.cast_const().cast(), destroy::<S>) })
}

unsafe extern "C" fn destroy<S: Spoiler>(data: *const ()) {
    // SAFETY: `create` made it of a box, and an `Instance` calls this once.
    drop(unsafe { Box::from_raw(data.cast_mut().cast::<Made<S>>()) });
}

/// Hands a call on, between what its spoiler does before and after.
fn spoilt<S: Spoiler, T>(
    spoiler: &S,
    function: Function,
    handles: &[RStr<'_>],
    call: impl FnOnce() -> RResult<T, Failure>,
    reply: impl FnOnce(&mut T) -> Reply<'_>,
) -> RResult<T, Failure> {
    if let Err(failure) = spoiler.before(function, handles) {
        return RResult::RErr(failure);
    }
    let mut answer = call();
    if let RResult::ROk(value) = &mut answer {
        spoiler.after(function, reply(value));
    }
    answer
}

/// For a function that answers nothing.
fn nothing((): &mut ()) -> Reply<'_> {
    Reply::Nothing
}

type Handles<'a> = RSlice<'a, RStr<'a>>;

/// The functions of a table: each hands its call on.
macro_rules! functions {
    ($($table:ident.$name:ident($($argument:ident: $type:ty)?) -> $answer:ty, $function:ident, $handles:expr, $reply:expr;)*) => {$(
        unsafe extern "C" fn $name<S: Spoiler>(
            this: &Instance,
            ctx: &CallContext<'_>
            $(, $argument: $type)?
        ) -> RResult<$answer, Failure> {
            // SAFETY: the caller keeps the promise of the table.
            let made = unsafe { made::<S>(this) };
            let asked: &[RStr<'_>] = $handles;
            let call = || {
                // SAFETY: instance and table are both the honest provider's, and the context is that of our own call.
                unsafe { (made.honest.$table.$name)(&made.inner, ctx $(, $argument)?) }
            };
            spoilt(&made.spoiler, Function::$function, asked, call, $reply)
        }
    )*};
}

functions! {
    workers.run(request: RStr<'_>) -> RunReply, Run, &[], |reply| Reply::Run(reply);
    workers.status(handles: Handles<'_>) -> RVec<u8>, Status, handles.as_slice(), |numbers| Reply::Numbers(numbers);
    workers.kill(handles: Handles<'_>) -> KillReply, Kill, handles.as_slice(), |reply| Reply::Kill(reply);
    workers.is_initializing(handles: Handles<'_>) -> RVec<u8>, IsInitializing, handles.as_slice(), |numbers| Reply::Numbers(numbers);
    workers.is_running(handles: Handles<'_>) -> RVec<u8>, IsRunning, handles.as_slice(), |numbers| Reply::Numbers(numbers);
    workers.is_stopped(handles: Handles<'_>) -> RVec<u8>, IsStopped, handles.as_slice(), |numbers| Reply::Numbers(numbers);
    initialize.initialize() -> (), Initialize, &[], nothing;
    list.list() -> ListReply, List, &[], |reply| Reply::List(reply);
    server.run_server(request: RStr<'_>) -> (), RunServer, &[], nothing;
    server.stop_server() -> (), StopServer, &[], nothing;
    server.server_status() -> u8, ServerStatus, &[], |status| Reply::ServerStatus(status);
    server.server_address() -> ROption<RString>, ServerAddress, &[], |address| Reply::ServerAddress(address);
    cleanup.cleanup(deep: bool) -> (), Cleanup, &[], nothing;
}

/// Our own tables, which hand each call on.
struct Spoilt<S>(PhantomData<fn() -> S>);

impl<S: Spoiler> Spoilt<S> {
    const WORKERS: &'static WorkersV1 = &WorkersV1 {
        run: run::<S>,
        status: status::<S>,
        kill: kill::<S>,
        is_initializing: is_initializing::<S>,
        is_running: is_running::<S>,
        is_stopped: is_stopped::<S>,
    };
    const INITIALIZE: &'static InitializeV1 = &InitializeV1 { initialize: initialize::<S> };
    const LIST: &'static ListV1 = &ListV1 { list: list::<S> };
    const SERVER: &'static ServerV1 = &ServerV1 {
        run_server: run_server::<S>,
        stop_server: stop_server::<S>,
        server_status: server_status::<S>,
        server_address: server_address::<S>,
    };
    const CLEANUP: &'static CleanupV1 = &CleanupV1 { cleanup: cleanup::<S> };
}

fn workers<S: Spoiler>() -> Interface {
    Interface::of(Spoilt::<S>::WORKERS)
}

extern "C" fn metadata<S: Spoiler>() -> RString {
    S::metadata(inner::<S>().metadata()())
}

extern "C" fn query<S: Spoiler>(id: RStr<'_>) -> ROption<Interface> {
    let honest = match id.as_str() {
        WorkersV1::ID => Some(workers::<S>()),
        InitializeV1::ID => Some(Interface::of(Spoilt::<S>::INITIALIZE)),
        ListV1::ID => Some(Interface::of(Spoilt::<S>::LIST)),
        ServerV1::ID => Some(Interface::of(Spoilt::<S>::SERVER)),
        CleanupV1::ID => Some(Interface::of(Spoilt::<S>::CLEANUP)),
        _ => None,
    };
    S::query(id, honest.into(), workers::<S>)
}

/// The root module of the library.
pub(crate) fn root_module<S: Spoiler>() -> RootModuleRef {
    RootModule { metadata: metadata::<S>, create: create::<S>, query: query::<S> }.leak_into_prefix()
}

extern "C" fn load<S: Spoiler>() -> RootModuleResult {
    __call_root_module_loader(root_module::<S>)
}

/// What a library of this spoiler exports.
pub(crate) const fn header<S: Spoiler>() -> LibHeader {
    // SAFETY: `load` answers with a `RootModuleRef`.
    unsafe { LibHeader::from_constructor::<RootModuleRef>(load::<S>, CheckTypeLayout::Yes) }
}

/// Exports the root module of one of this crate's providers from a library; it cannot be in this crate, since libraries of
/// several providers link it.
#[macro_export]
macro_rules! export {
    ($header:expr) => {
        /// What a host finds the root module by.
        #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
        pub static PLUGIN: $crate::LibHeader = $header;
    };
}
