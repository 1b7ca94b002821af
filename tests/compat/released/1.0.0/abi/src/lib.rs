//! The frozen contract between the host and a plugin: every type that crosses the boundary, and nothing else.
//!
//! A plugin exports one tiny root module ([`RootModule`]): its metadata, `create`, and `query` by interface id. All else
//! is an *interface*: a table of functions with an id that ends in its version, such as `longshore.workers/1`. An
//! interface, once released, never changes; what is new comes under a new id, so that an old plugin loads in a new host
//! and a new plugin in an old one. Layouts are checked field by field when the host asks for an interface.
//!
//! What is called often (handles, statuses, answers) is typed. What is a document (configuration, container, hardware,
//! metadata) crosses as JSON, so that a field may be added without touching a layout.
//!
//! Authors of providers do not use this crate: `longshore-plugin-api` wraps it.
#![expect(
    unsafe_code,
    clippy::expl_impl_clone_on_copy,
    reason = "this crate is the boundary, and abi_stable's derive writes its own Clone"
)]

mod call;
mod interface;
mod replies;
mod tables;

use abi_stable::{
    StableAbi,
    library::RootModule as _,
    package_version_strings,
    sabi_types::VersionStrings,
    std_types::{ROption, RResult, RStr, RString},
};

pub use abi_stable;
pub use call::{CallContext, CallControl, IsCancelledFn, LogFn, Logger, WaitCancelledFn, level};
pub use interface::{Interface, InterfaceTable, LayoutMismatch, ids};
pub use replies::{Failure, KillReply, ListReply, Listed, Reason, RunReply, Shortfall, kind, status};
pub use tables::{CleanupV1, InitializeV1, Instance, ListV1, ServerV1, WorkersV1};

/// The version of this contract, and the major version of this crate. A host refuses a plugin whose metadata names another
/// one.
pub const CONTRACT_VERSION: u32 = 1;

/// What a plugin exports: frozen. Anything optional is reached through [`RootModule::query`].
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootModuleRef, prefix_fields = RootModulePrefix)))]
#[sabi(missing_field(panic))]
pub struct RootModule {
    /// The plugin's metadata, a JSON document that can be read before anything is created.
    pub metadata: extern "C" fn() -> RString,
    /// Makes a provider from its configuration, a JSON document that the host has checked against the plugin's schema.
    pub create: extern "C" fn(log: Logger, config: RStr<'_>) -> RResult<Instance, Failure>,
    /// The table behind an interface id, or nothing where the plugin does not have it.
    #[sabi(last_prefix_field)]
    pub query: extern "C" fn(id: RStr<'_>) -> ROption<Interface>,
}

impl abi_stable::library::RootModule for RootModuleRef {
    abi_stable::declare_root_module_statics! {RootModuleRef}
    const BASE_NAME: &'static str = "longshore_plugin";
    const NAME: &'static str = "longshore_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

impl RootModuleRef {
    /// The version of this crate. A plugin's root module agrees with the host's if both are of the same major version.
    pub fn expected_version() -> &'static str {
        Self::VERSION_STRINGS.version.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_the_crate_is_the_contract_s() {
        assert_eq!(env!("CARGO_PKG_VERSION_MAJOR"), CONTRACT_VERSION.to_string());
    }

    /// What was released never changes: a type that grows or shrinks is a new one, under a new id.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_types_of_version_1_keep_their_sizes() {
        let pointer = size_of::<usize>();
        assert_eq!(CONTRACT_VERSION, 1);
        assert_eq!(size_of::<RootModule>(), 3 * pointer);
        assert_eq!(size_of::<WorkersV1>(), 6 * pointer);
        assert_eq!(size_of::<InitializeV1>(), pointer);
        assert_eq!(size_of::<ListV1>(), pointer);
        assert_eq!(size_of::<ServerV1>(), 4 * pointer);
        assert_eq!(size_of::<CleanupV1>(), pointer);
        assert_eq!(size_of::<Instance>(), 2 * pointer);
        assert_eq!(size_of::<Interface>(), 2 * pointer);
        assert_eq!(size_of::<Logger>(), 3 * pointer);
        assert_eq!(size_of::<CallControl<'_>>(), 3 * pointer);
        assert_eq!(size_of::<CallContext<'_>>(), 10 * pointer);
        assert_eq!(size_of::<Failure>(), 9 * pointer);
        assert_eq!(size_of::<Listed>(), 9 * pointer);
    }
}
