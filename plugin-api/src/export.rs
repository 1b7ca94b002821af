//! From a [`Provider`] to the functions of the boundary: converts, contains panics, and exports the library's symbol.
#![expect(unsafe_code, reason = "this is the plugin's side of the boundary")]

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

pub use longshore_plugin_abi::abi_stable::library::LibHeader;
use longshore_plugin_abi::{
    CONTRACT_VERSION, CallContext, CleanupV1, Failure, InitializeV1, Instance, Interface,
    InterfaceTable as _, KillReply, ListReply, ListV1, Listed, Logger, Reason, RootModule, RootModuleRef,
    RunReply, ServerV1, WorkersV1,
    abi_stable::{
        library::{__call_root_module_loader, CheckTypeLayout, RootModuleResult},
        prefix_type::PrefixTypeTrait as _,
        std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    },
    ids, status,
};
use serde::Serialize;

use crate::{
    capabilities::{Cleanup, Initialize, List, Server},
    context::Context,
    error::Error,
    log::Log,
    metadata::{Metadata, PanicStrategy},
    model::{Killed, WorkerStatus},
    provider::Provider,
};

/// Exports a provider as this library's plugin: one line, once a library.
///
/// ```ignore
/// export_provider!(Process, capabilities = [List, Cleanup]);
/// ```
///
/// Capabilities are of [`Initialize`], [`List`], [`Server`] and [`Cleanup`]; each one named must be implemented.
#[macro_export]
macro_rules! export_provider {
    ($provider:ty $(,)?) => {
        $crate::export_provider!($provider, capabilities = []);
    };
    ($provider:ty, capabilities = [$($capability:ident),* $(,)?] $(,)?) => {
        const _: () = {
            use $crate::__private as private;

            const PACKAGE: private::Package = private::Package {
                version: env!("CARGO_PKG_VERSION"),
                description: env!("CARGO_PKG_DESCRIPTION"),
                unwinds: cfg!(panic = "unwind"),
                capabilities: &[$($crate::__capability_id!($capability)),*],
            };

            extern "C" fn metadata() -> private::RString {
                private::metadata::<$provider>(&PACKAGE)
            }

            extern "C" fn create(
                log: private::Logger,
                config: private::RStr<'_>,
            ) -> private::RResult<private::Instance, private::Failure> {
                private::create::<$provider>(log, config)
            }

            extern "C" fn query(id: private::RStr<'_>) -> private::ROption<private::Interface> {
                private::query::<$provider>(
                    id,
                    &[$(($crate::__capability_id!($capability), private::capability::$capability::<$provider>)),*],
                )
            }

            fn root_module() -> private::RootModuleRef {
                private::root_module(metadata, create, query)
            }

            extern "C" fn erased() -> private::RootModuleResult {
                private::header::load(root_module)
            }

            // The name is abi_stable's `ROOT_MODULE_LOADER_NAME`; a test of this crate compares the two.
            #[unsafe(export_name = "_as_lib_header_root_bmodule_bloader")]
            pub static LONGSHORE_PLUGIN: private::LibHeader = private::header::of(erased);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __capability_id {
    (Initialize) => {
        $crate::__private::ids::INITIALIZE
    };
    (List) => {
        $crate::__private::ids::LIST
    };
    (Server) => {
        $crate::__private::ids::SERVER
    };
    (Cleanup) => {
        $crate::__private::ids::CLEANUP
    };
}

/// What the macro knows and this crate does not.
#[derive(Debug)]
pub struct Package {
    /// The plugin's version.
    pub version: &'static str,
    /// The plugin's description.
    pub description: &'static str,
    /// Whether the plugin was built with `panic = "unwind"`.
    pub unwinds: bool,
    /// The ids of its capabilities.
    pub capabilities: &'static [&'static str],
}

/// A capability's interface id, and the function that finds its table.
pub type Capability = (&'static str, fn() -> Interface);

/// The library's header, which carries the layout of the root module.
pub mod header {
    use super::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleRef, RootModuleResult};

    /// The header of a library whose root module `load` makes.
    pub const fn of(load: extern "C" fn() -> RootModuleResult) -> LibHeader {
        // SAFETY: `load` is made by `export_provider!`, which passes a `RootModuleRef` to `load` below.
        unsafe { LibHeader::from_constructor::<RootModuleRef>(load, CheckTypeLayout::Yes) }
    }

    /// Calls the function that makes the root module, with panics contained by `abi_stable`.
    pub fn load(root_module: fn() -> RootModuleRef) -> RootModuleResult {
        __call_root_module_loader(root_module)
    }
}

/// Puts the three functions into a root module.
pub fn root_module(
    metadata: extern "C" fn() -> RString,
    create: extern "C" fn(Logger, RStr<'_>) -> RResult<Instance, Failure>,
    query: extern "C" fn(RStr<'_>) -> ROption<Interface>,
) -> RootModuleRef {
    RootModule { metadata, create, query }.leak_into_prefix()
}

/// The plugin's metadata document.
pub fn metadata<P: Provider>(package: &Package) -> RString {
    let document = catch_unwind(|| Metadata {
        name: P::NAME.to_owned(),
        version: package.version.to_owned(),
        description: package.description.to_owned(),
        contract: CONTRACT_VERSION,
        api_version: env!("CARGO_PKG_VERSION").to_owned(),
        panic: if package.unwinds { PanicStrategy::Unwind } else { PanicStrategy::Abort },
        interfaces: std::iter::once(&ids::WORKERS)
            .chain(package.capabilities)
            .map(ToString::to_string)
            .collect(),
        idempotent_run: P::IDEMPOTENT_RUN,
        config_schema: schemars::schema_for!(P::Config).to_value(),
    });
    // An empty document is one that the host refuses, with the clause that it breaks.
    document.ok().and_then(|metadata| serde_json::to_string(&metadata).ok()).unwrap_or_default().into()
}

/// What an [`Instance`] points to.
struct Made<P> {
    provider: P,
    log: Log,
}

/// Makes a provider from a JSON configuration.
pub fn create<P: Provider>(logger: Logger, config: RStr<'_>) -> RResult<Instance, Failure> {
    let log = Log::new(logger, None);
    let make = || -> Result<Instance, Error> {
        let config = serde_json::from_str(config.as_str()).map_err(|e| Error::config("", e))?;
        let made = Made { provider: P::create(config, log.clone())?, log: log.clone() };
        let data = Box::into_raw(Box::new(made));
        // SAFETY: `Made` is `Send + Sync` as its provider is, and `destroy` takes back this very box.
        Ok(unsafe { Instance::new(data.cast_const().cast(), destroy::<P>) })
    };
    log.scope(|| contain(make)).map_err(Failure::from).into()
}

extern "C" fn destroy<P: Provider>(data: *const ()) {
    // SAFETY: `create` made it from a box of `Made<P>`, and the host's `Instance` calls this once, when it is dropped.
    let made = unsafe { Box::from_raw(data.cast_mut().cast::<Made<P>>()) };
    let Made { provider, log } = *made;
    log.scope(|| {
        let shut_down = contain(|| {
            drop(provider);
            Ok(())
        });
        if let Err(error) = shut_down {
            tracing::error!("the provider failed to shut down: {error}");
        }
    });
}

/// Finds the table behind an id.
pub fn query<P: Provider>(id: RStr<'_>, capabilities: &[Capability]) -> ROption<Interface> {
    let id = id.as_str();
    if id == WorkersV1::ID {
        return ROption::RSome(Interface::of(Table::<P>::WORKERS));
    }
    capabilities.iter().find(|(known, _)| *known == id).map(|(_, table)| table()).into()
}

/// The tables of the capabilities, under the names of their traits.
#[expect(non_snake_case, reason = "export_provider! finds them by the names of the traits")]
pub mod capability {
    use super::{Cleanup, Initialize, Interface, List, Server, Table};

    /// The table of [`Initialize`].
    pub fn Initialize<P: Initialize>() -> Interface {
        Interface::of(Table::<P>::INITIALIZE)
    }

    /// The table of [`List`].
    pub fn List<P: List>() -> Interface {
        Interface::of(Table::<P>::LIST)
    }

    /// The table of [`Server`].
    pub fn Server<P: Server>() -> Interface {
        Interface::of(Table::<P>::SERVER)
    }

    /// The table of [`Cleanup`].
    pub fn Cleanup<P: Cleanup>() -> Interface {
        Interface::of(Table::<P>::CLEANUP)
    }
}

struct Table<P>(std::marker::PhantomData<P>);

impl<P: Provider> Table<P> {
    const WORKERS: &'static WorkersV1 = &WorkersV1 {
        run: run::<P>,
        status: status_of::<P>,
        kill: kill::<P>,
        is_initializing: is_initializing::<P>,
        is_running: is_running::<P>,
        is_stopped: is_stopped::<P>,
    };
}

impl<P: Initialize> Table<P> {
    const INITIALIZE: &'static InitializeV1 = &InitializeV1 { initialize: initialize::<P> };
}

impl<P: List> Table<P> {
    const LIST: &'static ListV1 = &ListV1 { list: list::<P> };
}

impl<P: Server> Table<P> {
    const SERVER: &'static ServerV1 = &ServerV1 {
        run_server: run_server::<P>,
        stop_server: stop_server::<P>,
        server_status: server_status::<P>,
        server_address: server_address::<P>,
    };
}

impl<P: Cleanup> Table<P> {
    const CLEANUP: &'static CleanupV1 = &CleanupV1 { cleanup: cleanup::<P> };
}

extern "C" fn run<P: Provider>(
    this: &Instance,
    ctx: &CallContext<'_>,
    request: RStr<'_>,
) -> RResult<RunReply, Failure> {
    call::<P, _>(this, ctx, |provider, ctx| {
        let launch = provider.run(ctx, &document(request)?)?;
        let shortfall = launch.shortfall.map(|short| longshore_plugin_abi::Shortfall {
            reason: short.reason.into(),
            retryable: short.retryable,
        });
        Ok(RunReply {
            handles: launch.handles.into_iter().map(RString::from).collect(),
            shortfall: shortfall.into(),
        })
    })
}

extern "C" fn status_of<P: Provider>(
    this: &Instance,
    ctx: &CallContext<'_>,
    handles: RSlice<'_, RStr<'_>>,
) -> RResult<RVec<u8>, Failure> {
    call::<P, _>(this, ctx, |provider, ctx| {
        Ok(provider.status(ctx, &texts(handles))?.into_iter().map(status_number).collect())
    })
}

extern "C" fn kill<P: Provider>(
    this: &Instance,
    ctx: &CallContext<'_>,
    handles: RSlice<'_, RStr<'_>>,
) -> RResult<KillReply, Failure> {
    call::<P, _>(this, ctx, |provider, ctx| {
        let mut reply = KillReply { answers: RVec::new(), reasons: RVec::new() };
        for (index, killed) in provider.kill(ctx, &texts(handles))?.into_iter().enumerate() {
            reply.answers.push(u8::from(killed == Killed::Yes));
            if let Killed::No(text) = killed {
                reply.reasons.push(Reason { index: index as u64, text: text.into() });
            }
        }
        Ok(reply)
    })
}

/// The three predicates differ only in the function of the trait that they call.
macro_rules! predicate {
    ($($name:ident),*) => {$(
        extern "C" fn $name<P: Provider>(
            this: &Instance,
            ctx: &CallContext<'_>,
            handles: RSlice<'_, RStr<'_>>,
        ) -> RResult<RVec<u8>, Failure> {
            call::<P, _>(this, ctx, |provider, ctx| {
                Ok(provider.$name(ctx, &texts(handles))?.into_iter().map(u8::from).collect())
            })
        }
    )*};
}
predicate!(is_initializing, is_running, is_stopped);

extern "C" fn initialize<P: Initialize>(this: &Instance, ctx: &CallContext<'_>) -> RResult<(), Failure> {
    call::<P, _>(this, ctx, P::initialize)
}

extern "C" fn list<P: List>(this: &Instance, ctx: &CallContext<'_>) -> RResult<ListReply, Failure> {
    call::<P, _>(this, ctx, |provider, ctx| {
        let entries = provider.list(ctx)?.into_iter().map(|entry| Listed {
            handle: entry.handle.into(),
            token: entry.token.as_str().into(),
            workers: entry.workers,
        });
        Ok(ListReply { entries: entries.collect() })
    })
}

extern "C" fn run_server<P: Server>(
    this: &Instance,
    ctx: &CallContext<'_>,
    request: RStr<'_>,
) -> RResult<(), Failure> {
    call::<P, _>(this, ctx, |provider, ctx| provider.run_server(ctx, &document(request)?))
}

extern "C" fn stop_server<P: Server>(this: &Instance, ctx: &CallContext<'_>) -> RResult<(), Failure> {
    call::<P, _>(this, ctx, P::stop_server)
}

extern "C" fn server_status<P: Server>(this: &Instance, ctx: &CallContext<'_>) -> RResult<u8, Failure> {
    call::<P, _>(this, ctx, |provider, ctx| provider.server_status(ctx).map(status_number))
}

extern "C" fn server_address<P: Server>(
    this: &Instance,
    ctx: &CallContext<'_>,
) -> RResult<ROption<RString>, Failure> {
    call::<P, _>(this, ctx, |provider, ctx| {
        let address = provider.server_address(ctx)?;
        Ok(address.map(|address| to_document(&address)).transpose()?.into())
    })
}

extern "C" fn cleanup<P: Cleanup>(
    this: &Instance,
    ctx: &CallContext<'_>,
    deep: bool,
) -> RResult<(), Failure> {
    call::<P, _>(this, ctx, |provider, ctx| provider.cleanup(ctx, deep))
}

/// Runs one call of a provider: with its log in place, and with a panic turned into an error.
fn call<P: Provider, T>(
    this: &Instance,
    ctx: &CallContext<'_>,
    work: impl FnOnce(&P, &Context<'_>) -> Result<T, Error>,
) -> RResult<T, Failure> {
    // SAFETY: the tables of `P` are only ever called with the instance that `create::<P>` made: one library exports one
    // provider type, and the host passes an instance to the library that it came from.
    let Made { provider, .. } = unsafe { &*this.data().cast::<Made<P>>() };
    let ctx = Context::new(ctx);
    ctx.log().scope(|| contain(|| work(provider, &ctx))).map_err(Failure::from).into()
}

thread_local! {
    /// Where the panic that this thread is unwinding from began. A hook is the only one to be told.
    static PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whether this thread is inside `contain`, so that the hook leaves other panics to the hook before it.
    static CONTAINED: Cell<u32> = const { Cell::new(0) };
}

/// Turns a panic into an error that names the place.
fn contain<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        // The hook belongs to the plugin's own copy of std: the host's is not touched.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CONTAINED.get() > 0 {
                PANIC_PLACE.set(info.location().map(ToString::to_string));
            } else {
                before(info);
            }
        }));
    });
    CONTAINED.set(CONTAINED.get() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(CONTAINED.get() - 1);
    outcome.unwrap_or_else(|payload| {
        let place = PANIC_PLACE.take().unwrap_or_else(|| "an unknown place".to_owned());
        Err(Error::panic(format_args!("panicked at {place}: {}", panic_text(&*payload))))
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(not a text)")
}

fn texts<'a>(handles: RSlice<'a, RStr<'a>>) -> Vec<&'a str> {
    handles.as_slice().iter().map(RStr::as_str).collect()
}

fn status_number(status: WorkerStatus) -> u8 {
    match status {
        WorkerStatus::Initializing => status::INITIALIZING,
        WorkerStatus::Running => status::RUNNING,
        WorkerStatus::Stopped => status::STOPPED,
    }
}

fn document<T: serde::de::DeserializeOwned>(text: RStr<'_>) -> Result<T, Error> {
    serde_json::from_str(text.as_str())
        .map_err(|e| Error::permanent(format_args!("a request that cannot be read: {e}")))
}

fn to_document(value: &impl Serialize) -> Result<RString, Error> {
    serde_json::to_string(value).map(RString::from).map_err(Error::other)
}
