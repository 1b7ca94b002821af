//! What `export_provider!` makes: the symbol, the metadata, the interfaces.

use longshore_plugin_abi::{
    CONTRACT_VERSION, CleanupV1, InitializeV1, InterfaceTable, ListV1, RootModuleRef, ServerV1, WorkersV1,
    abi_stable::library::{LibHeader, ROOT_MODULE_LOADER_NAME},
    ids,
};
use longshore_plugin_api::{
    __private::{Capability, Export, Package, root_module as make_root},
    Context, Error, Killed, Launch, Log, Metadata, PanicStrategy, Provider, RunRequest, WorkerStatus,
};

use crate::host::probe;

/// One text as the name that the linker looks for, and as the name that is compared.
macro_rules! symbol {
    ($name:literal) => {
        const SYMBOL: &str = $name;
        #[expect(improper_ctypes, reason = "it is a static of Rust, found by its name alone")]
        unsafe extern "C" {
            #[link_name = $name]
            static HEADER: LibHeader;
        }
    };
}
symbol!("_1as_0lib_1header_0root_bmodule_bloader");

/// The root module, by way of the exported symbol.
pub(crate) fn root_module() -> RootModuleRef {
    static ROOT: std::sync::OnceLock<RootModuleRef> = std::sync::OnceLock::new();
    // SAFETY: it is the static that `export_provider!` put into this very program.
    *ROOT.get_or_init(|| unsafe { &HEADER }.init_root_module().expect("it is ours"))
}

pub(crate) fn metadata(root: RootModuleRef) -> serde_json::Result<Metadata> {
    serde_json::from_str(&root.metadata()())
}

#[test]
fn the_symbol_has_the_name_that_abi_stable_looks_for() {
    assert_eq!(SYMBOL, ROOT_MODULE_LOADER_NAME);
    root_module();
}

#[test]
fn the_metadata_says_what_there_is() {
    let metadata = metadata(root_module()).expect("the metadata is in order");
    let interfaces = [ids::WORKERS, ids::INITIALIZE, ids::LIST, ids::SERVER, ids::CLEANUP];
    assert_eq!(metadata.interfaces, interfaces);
    assert!(metadata.has(ids::LIST) && !metadata.has("longshore.workers/2"));
    assert_eq!((metadata.name.as_str(), metadata.contract), ("probe", CONTRACT_VERSION));
    assert_eq!(metadata.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(metadata.api_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(metadata.description, env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(metadata.panic, PanicStrategy::Unwind);
    assert!(metadata.idempotent_run);
    let schema = &metadata.config_schema;
    assert_eq!(schema["properties"]["panic_in_drop"]["description"], "Whether dropping the provider panics.");
    assert_eq!(schema["additionalProperties"], false);
}

fn has<T: InterfaceTable>(root: RootModuleRef) -> Option<bool> {
    let interface = root.query()(T::ID.into()).into_option()?;
    Some(interface.table::<T>().is_ok())
}

#[test]
fn every_interface_is_found_by_its_id() {
    let root = root_module();
    assert_eq!(has::<WorkersV1>(root), Some(true));
    assert_eq!(has::<InitializeV1>(root), Some(true));
    assert_eq!(has::<ListV1>(root), Some(true));
    assert_eq!(has::<ServerV1>(root), Some(true));
    assert_eq!(has::<CleanupV1>(root), Some(true));
    for unknown in ["", "longshore.workers", "longshore.workers/2", "longshore.list/1 "] {
        assert!(root.query()(unknown.into()).into_option().is_none(), "{unknown}");
    }
}

#[test]
fn a_table_is_not_taken_for_another() {
    let interface = root_module().query()(ids::LIST.into()).into_option().expect("the probe has it");
    let mismatch = interface.table::<ServerV1>().map(drop).expect_err("it is another table");
    assert_eq!(mismatch.id, ids::SERVER);
    assert!(!mismatch.detail.is_empty());
    assert!(mismatch.to_string().contains(ids::SERVER) && mismatch.to_string().lines().count() == 1);
}

/// A provider of the necessary only.
struct Plain;

impl Provider for Plain {
    const NAME: &'static str = "plain";
    type Config = ();

    fn create((): (), _log: Log) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&self, _ctx: &Context<'_>, _request: &RunRequest) -> Result<Launch, Error> {
        Ok(Launch::default())
    }

    fn status(&self, _ctx: &Context<'_>, _handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        Ok(Vec::new())
    }

    fn kill(&self, _ctx: &Context<'_>, _handles: &[&str]) -> Result<Vec<Killed>, Error> {
        Ok(Vec::new())
    }
}

struct PlainPlugin;

impl Export for PlainPlugin {
    type Provider = Plain;
    const PACKAGE: Package = Package { version: "1.2.3", description: "", unwinds: false };
    const CAPABILITIES: &'static [Capability] = &[];
}

#[test]
fn what_is_not_named_is_not_there() {
    let root = make_root::<PlainPlugin>();
    let metadata = metadata(root).expect("the metadata is in order");
    assert_eq!(metadata.interfaces, [ids::WORKERS]);
    assert_eq!((metadata.version.as_str(), metadata.panic), ("1.2.3", PanicStrategy::Abort));
    assert!(!metadata.idempotent_run);
    assert_eq!(has::<WorkersV1>(root), Some(true));
    assert_eq!(has::<InitializeV1>(root), None);
    assert_eq!(has::<ListV1>(root), None);
    assert_eq!(has::<ServerV1>(root), None);
    assert_eq!(has::<CleanupV1>(root), None);
}

#[test]
fn instances_of_a_plugin_are_apart() {
    let (one, other) = (probe(), probe());
    assert_ne!(one.instance().data(), other.instance().data());
    drop(one);
    assert_eq!(other.outcome("status", "c"), Ok(()));
}
