//! A plugin of the first release: workers that are entries in a map, on the ABI alone. Its metadata are a text, so that no
//! later code has a hand in them.
#![expect(unsafe_code, reason = "a plugin's side of the boundary is unsafe")]

mod workers;

use longshore_plugin_abi::{
    Interface, InterfaceTable as _, ListV1, RootModule, RootModuleRef, WorkersV1,
    abi_stable::{
        library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
        prefix_type::PrefixTypeTrait as _,
        std_types::{ROption, RStr, RString},
    },
};

const METADATA: &str = r#"{
  "name": "first",
  "version": "1.0.0",
  "description": "A plugin of the first release",
  "contract": 1,
  "api_version": "0.1.0",
  "panic": "unwind",
  "interfaces": ["longshore.workers/1", "longshore.list/1"],
  "idempotent_run": true,
  "config_schema": {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings",
    "type": "object",
    "properties": { "prefix": { "description": "What every handle begins with", "type": "string", "default": "w" } },
    "additionalProperties": false
  }
}"#;

extern "C" fn metadata() -> RString {
    METADATA.into()
}

extern "C" fn query(id: RStr<'_>) -> ROption<Interface> {
    match id.as_str() {
        WorkersV1::ID => ROption::RSome(Interface::of(&workers::WORKERS)),
        ListV1::ID => ROption::RSome(Interface::of(&workers::LIST)),
        _ => ROption::RNone,
    }
}

fn root_module() -> RootModuleRef {
    RootModule { metadata, create: workers::create, query }.leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(root_module)
}

/// What a host finds the root module by.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static PLUGIN: LibHeader =
    // SAFETY: `load` answers with a `RootModuleRef`.
    unsafe { LibHeader::from_constructor::<RootModuleRef>(load, CheckTypeLayout::Yes) };
