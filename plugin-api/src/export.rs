//! From a [`Provider`] to the functions of the boundary: converts, and exports the library's symbol. No panic and no
//! reference leaves a function of this module.
#![expect(unsafe_code, reason = "this is the plugin's side of the boundary")]

use std::fmt::Write as _;

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
use serde_path_to_error::{Path, Segment};

use crate::{
    capabilities::{Cleanup, Initialize, List, Server},
    contain::contain,
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
///
/// The symbol that it exports has a fixed name: a program cannot link two plugins as ordinary Rust crates.
#[macro_export]
macro_rules! export_provider {
    ($provider:ty $(,)?) => {
        $crate::export_provider!($provider, capabilities = []);
    };
    ($provider:ty, capabilities = [$($capability:ident),* $(,)?] $(,)?) => {
        const _: () = {
            use $crate::__private as private;

            struct Exported;

            impl private::Export for Exported {
                type Provider = $provider;
                const PACKAGE: private::Package = private::Package {
                    version: env!("CARGO_PKG_VERSION"),
                    description: env!("CARGO_PKG_DESCRIPTION"),
                    unwinds: cfg!(panic = "unwind"),
                };
                const CAPABILITIES: &'static [private::Capability] = &[
                    $(($crate::__capability_id!($capability), private::capability::$capability::<$provider>)),*
                ];
            }

            // The name is abi_stable's `ROOT_MODULE_LOADER_NAME`; a test of this crate compares the two.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static LONGSHORE_PLUGIN: private::LibHeader = private::header::<Exported>();
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
}

/// A capability's interface id, and the function that finds its table.
pub type Capability = (&'static str, fn() -> Interface);

/// One plugin: what `export_provider!` implements.
pub trait Export: 'static {
    /// The provider that it makes.
    type Provider: Provider;
    /// The crate that it was built from.
    const PACKAGE: Package;
    /// What its provider can do beyond the necessary.
    const CAPABILITIES: &'static [Capability];
}

/// The library's header, which carries the layout of the root module.
pub const fn header<E: Export>() -> LibHeader {
    // SAFETY: `load` answers with the `RootModuleRef` of `root_module`.
    unsafe { LibHeader::from_constructor::<RootModuleRef>(load::<E>, CheckTypeLayout::Yes) }
}

extern "C" fn load<E: Export>() -> RootModuleResult {
    // It contains panics itself.
    __call_root_module_loader(root_module::<E>)
}

/// The root module of a plugin. A host asks for it once.
pub fn root_module<E: Export>() -> RootModuleRef {
    RootModule { metadata: metadata::<E>, create: create::<E::Provider>, query: query::<E> }
        .leak_into_prefix()
}

extern "C" fn metadata<E: Export>() -> RString {
    let document = contain(|| {
        let metadata = Metadata {
            name: E::Provider::NAME.to_owned(),
            version: E::PACKAGE.version.to_owned(),
            description: E::PACKAGE.description.to_owned(),
            contract: CONTRACT_VERSION,
            api_version: env!("CARGO_PKG_VERSION").to_owned(),
            panic: if E::PACKAGE.unwinds { PanicStrategy::Unwind } else { PanicStrategy::Abort },
            interfaces: std::iter::once(ids::WORKERS)
                .chain(E::CAPABILITIES.iter().map(|(id, _)| *id))
                .map(str::to_owned)
                .collect(),
            idempotent_run: E::Provider::IDEMPOTENT_RUN,
            config_schema: schemars::schema_for!(<E::Provider as Provider>::Config).to_value(),
        };
        to_document(&metadata)
    });
    // A schema may be written by hand and panic. A document without a name is one that the host refuses; it shows it.
    document.unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string().into())
}

/// What an [`Instance`] points to.
struct Made<P> {
    provider: P,
    log: Log,
}

extern "C" fn create<P: Provider>(logger: Logger, config: RStr<'_>) -> RResult<Instance, Failure> {
    let log = Log::new(logger);
    let make = || -> Result<Instance, Error> {
        let made = Made { provider: P::create(configuration(config)?, log.clone())?, log: log.clone() };
        let data = Box::into_raw(Box::new(made));
        // SAFETY: `Made` is `Send + Sync` as its provider is, and `destroy` takes back this very box.
        Ok(unsafe { Instance::new(data.cast_const().cast(), destroy::<P>) })
    };
    log.scope(|| contain(make)).map_err(Failure::from).into()
}

/// Reads a configuration; an error names the field, by its path.
fn configuration<T: serde::de::DeserializeOwned>(text: RStr<'_>) -> Result<T, Error> {
    // By way of a value, so that a message does not speak of lines and columns that nobody wrote.
    let value: serde_json::Value =
        serde_json::from_str(text.as_str()).map_err(|error| Error::config("", error))?;
    serde_path_to_error::deserialize(value).map_err(|error| Error::config(field(error.path()), error.inner()))
}

/// A path as a person writes it: `limits.ports[2]`. It ends where serde lost track, as in the key of a map.
fn field(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            // Writing to a String cannot fail.
            Segment::Seq { index } => drop(write!(text, "[{index}]")),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Segment::Unknown => break,
        }
    }
    text
}

unsafe extern "C" fn destroy<P: Provider>(data: *const ()) {
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

extern "C" fn query<E: Export>(id: RStr<'_>) -> ROption<Interface> {
    let id = id.as_str();
    if id == WorkersV1::ID {
        return ROption::RSome(Interface::of(Table::<E::Provider>::WORKERS));
    }
    E::CAPABILITIES.iter().find(|(known, _)| *known == id).map(|(_, table)| table()).into()
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

unsafe extern "C" fn run<P: Provider>(
    this: &Instance,
    ctx: &CallContext<'_>,
    request: RStr<'_>,
) -> RResult<RunReply, Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, |provider, ctx| {
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

unsafe extern "C" fn status_of<P: Provider>(
    this: &Instance,
    ctx: &CallContext<'_>,
    handles: RSlice<'_, RStr<'_>>,
) -> RResult<RVec<u8>, Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, |provider, ctx| {
        Ok(provider.status(ctx, &texts(handles))?.into_iter().map(status_number).collect())
    })
}

unsafe extern "C" fn kill<P: Provider>(
    this: &Instance,
    ctx: &CallContext<'_>,
    handles: RSlice<'_, RStr<'_>>,
) -> RResult<KillReply, Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, |provider, ctx| {
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
        unsafe extern "C" fn $name<P: Provider>(
            this: &Instance,
            ctx: &CallContext<'_>,
            handles: RSlice<'_, RStr<'_>>,
        ) -> RResult<RVec<u8>, Failure> {
            // SAFETY: the caller keeps the promise of the table.
            let made = unsafe { made::<P>(this) };
            call(made, ctx, |provider, ctx| {
                Ok(provider.$name(ctx, &texts(handles))?.into_iter().map(u8::from).collect())
            })
        }
    )*};
}
predicate!(is_initializing, is_running, is_stopped);

unsafe extern "C" fn initialize<P: Initialize>(
    this: &Instance,
    ctx: &CallContext<'_>,
) -> RResult<(), Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, P::initialize)
}

unsafe extern "C" fn list<P: List>(this: &Instance, ctx: &CallContext<'_>) -> RResult<ListReply, Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, |provider, ctx| {
        let entries = provider.list(ctx)?.into_iter().map(|entry| Listed {
            handle: entry.handle.into(),
            token: entry.token.as_str().into(),
            workers: entry.workers,
        });
        Ok(ListReply { entries: entries.collect() })
    })
}

unsafe extern "C" fn run_server<P: Server>(
    this: &Instance,
    ctx: &CallContext<'_>,
    request: RStr<'_>,
) -> RResult<(), Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, |provider, ctx| provider.run_server(ctx, &document(request)?))
}

unsafe extern "C" fn stop_server<P: Server>(this: &Instance, ctx: &CallContext<'_>) -> RResult<(), Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, P::stop_server)
}

unsafe extern "C" fn server_status<P: Server>(
    this: &Instance,
    ctx: &CallContext<'_>,
) -> RResult<u8, Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, |provider, ctx| provider.server_status(ctx).map(status_number))
}

unsafe extern "C" fn server_address<P: Server>(
    this: &Instance,
    ctx: &CallContext<'_>,
) -> RResult<ROption<RString>, Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, |provider, ctx| {
        let address = provider.server_address(ctx)?;
        Ok(address.map(|address| to_document(&address)).transpose()?.into())
    })
}

unsafe extern "C" fn cleanup<P: Cleanup>(
    this: &Instance,
    ctx: &CallContext<'_>,
    deep: bool,
) -> RResult<(), Failure> {
    // SAFETY: the caller keeps the promise of the table.
    let made = unsafe { made::<P>(this) };
    call(made, ctx, |provider, ctx| provider.cleanup(ctx, deep))
}

/// What `create::<P>` put into an instance.
///
/// # Safety
///
/// `create::<P>` must have made `this`. The promise of the tables comes to the same, as a root module has one provider.
unsafe fn made<P>(this: &Instance) -> &Made<P> {
    // SAFETY: the caller's promise; the box lives until the instance is dropped.
    unsafe { &*this.data().cast::<Made<P>>() }
}

/// Runs one call of a provider: with its log in place, and with a panic turned into an error.
fn call<P: Provider, T>(
    made: &Made<P>,
    ctx: &CallContext<'_>,
    work: impl FnOnce(&P, &Context<'_>) -> Result<T, Error>,
) -> RResult<T, Failure> {
    let Made { provider, log } = made;
    let ctx = Context::of_instance(ctx, log);
    ctx.log().scope(|| contain(|| work(provider, &ctx))).map_err(Failure::from).into()
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
