//! A plugin whose root module has the contract's name and version, but other fields: `create` takes no logger, and there
//! is one function more.
#![expect(unsafe_code, clippy::expl_impl_clone_on_copy, reason = "it stands in the place of the ABI crate")]

use abi_stable::{
    StableAbi,
    library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
    prefix_type::PrefixTypeTrait as _,
    sabi_types::VersionStrings,
    std_types::{RStr, RString},
};

/// The root module as nobody expects it.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootModuleRef, prefix_fields = RootModulePrefix)))]
#[sabi(missing_field(panic))]
pub struct RootModule {
    /// As it should be.
    pub metadata: extern "C" fn() -> RString,
    /// Not as it should be.
    pub create: extern "C" fn(config: RStr<'_>) -> RString,
    /// As it should be, but for its result.
    pub query: extern "C" fn(id: RStr<'_>) -> bool,
    /// One too many.
    #[sabi(last_prefix_field)]
    pub more: extern "C" fn() -> u64,
}

impl abi_stable::library::RootModule for RootModuleRef {
    abi_stable::declare_root_module_statics! {RootModuleRef}
    const BASE_NAME: &'static str = "longshore_plugin";
    const NAME: &'static str = "longshore_plugin";
    const VERSION_STRINGS: VersionStrings =
        <longshore_plugin_abi::RootModuleRef as abi_stable::library::RootModule>::VERSION_STRINGS;
}

extern "C" fn metadata() -> RString {
    RString::from("{}")
}

extern "C" fn create(config: RStr<'_>) -> RString {
    config.into()
}

extern "C" fn query(_id: RStr<'_>) -> bool {
    false
}

extern "C" fn more() -> u64 {
    1
}

fn root_module() -> RootModuleRef {
    RootModule { metadata, create, query, more }.leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(root_module)
}

/// What a host finds the root module by.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static PLUGIN: LibHeader =
    // SAFETY: `load` answers with this file's `RootModuleRef`, and its layout goes along.
    unsafe { LibHeader::from_constructor::<RootModuleRef>(load, CheckTypeLayout::Yes) };
