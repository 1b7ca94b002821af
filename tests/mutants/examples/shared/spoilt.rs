//! The bare provider as a plugin with other metadata or another query: the example's own `metadata` and `query`.
#![expect(unsafe_code, reason = "it stands on the boundary, in the place of the export macro")]

use std::sync::OnceLock;

use longshore_plugin_abi::{
    RootModule, RootModuleRef,
    abi_stable::{
        library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
        prefix_type::PrefixTypeTrait as _,
        std_types::RString,
    },
};
use longshore_plugin_api::__private::{Capability, Export, Package, root_module};

use crate::bare::Bare;

struct Honest;

impl Export for Honest {
    type Provider = Bare;
    const PACKAGE: Package = Package {
        version: env!("CARGO_PKG_VERSION"),
        description: env!("CARGO_PKG_DESCRIPTION"),
        unwinds: cfg!(panic = "unwind"),
    };
    const CAPABILITIES: &'static [Capability] = &[];
}

/// The plugin as it would be if nothing was wrong.
pub(crate) fn honest() -> RootModuleRef {
    static HONEST: OnceLock<RootModuleRef> = OnceLock::new();
    *HONEST.get_or_init(root_module::<Honest>)
}

/// The honest metadata, as changed by `spoil`.
pub(crate) fn metadata(spoil: impl FnOnce(&mut serde_json::Value)) -> RString {
    let mut document = serde_json::from_str(honest().metadata()().as_str()).unwrap_or_default();
    spoil(&mut document);
    document.to_string().into()
}

fn spoilt() -> RootModuleRef {
    RootModule { metadata: crate::metadata, create: honest().create(), query: crate::query }
        .leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(spoilt)
}

/// What a host finds the root module by.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub(crate) static PLUGIN: LibHeader =
    // SAFETY: `load` answers with a `RootModuleRef`.
    unsafe { LibHeader::from_constructor::<RootModuleRef>(load, CheckTypeLayout::Yes) };
