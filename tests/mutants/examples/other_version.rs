//! A plugin whose root module is laid out as it should be, but says that it is of the contract's version 99.
#![expect(unsafe_code, clippy::expl_impl_clone_on_copy, reason = "it stands in the place of the ABI crate")]

use abi_stable::{
    StableAbi,
    library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
    prefix_type::PrefixTypeTrait as _,
    sabi_types::VersionStrings,
    std_types::{ROption, RResult, RStr, RString},
};
use longshore_plugin_abi::{Failure, Instance, Interface, Logger};

/// The root module, with the same fields.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootModuleRef, prefix_fields = RootModulePrefix)))]
#[sabi(missing_field(panic))]
pub struct RootModule {
    /// As it should be.
    pub metadata: extern "C" fn() -> RString,
    /// As it should be.
    pub create: extern "C" fn(log: Logger, config: RStr<'_>) -> RResult<Instance, Failure>,
    /// As it should be.
    #[sabi(last_prefix_field)]
    pub query: extern "C" fn(id: RStr<'_>) -> ROption<Interface>,
}

impl abi_stable::library::RootModule for RootModuleRef {
    abi_stable::declare_root_module_statics! {RootModuleRef}
    const BASE_NAME: &'static str = "longshore_plugin";
    const NAME: &'static str = "longshore_plugin";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("99.0.0");
}

extern "C" fn metadata() -> RString {
    RString::from("{}")
}

extern "C" fn create(_log: Logger, _config: RStr<'_>) -> RResult<Instance, Failure> {
    RResult::RErr(Failure { kind: 0, message: "a host must not come this far".into(), field: RString::new() })
}

extern "C" fn query(_id: RStr<'_>) -> ROption<Interface> {
    ROption::RNone
}

fn root_module() -> RootModuleRef {
    RootModule { metadata, create, query }.leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(root_module)
}

/// What a host finds the root module by.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static PLUGIN: LibHeader =
    // SAFETY: `load` answers with this file's `RootModuleRef`, and its layout goes along.
    unsafe { LibHeader::from_constructor::<RootModuleRef>(load, CheckTypeLayout::Yes) };
