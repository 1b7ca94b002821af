//! A plugin of a later release: the first one's workers, an interface more, and metadata that say more.
#![expect(unsafe_code, reason = "a plugin's side of the boundary is unsafe")]

mod workers;

use longshore_plugin_abi::{
    CallContext, Failure, Instance, Interface, InterfaceTable as _, ListV1, MetricsV1, RootModule,
    RootModuleRef, WorkersV1,
    abi_stable::{
        library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
        prefix_type::PrefixTypeTrait as _,
        std_types::{ROption, RResult, RStr, RString},
    },
};

const METADATA: &str = r#"{
  "name": "later",
  "version": "1.1.0",
  "description": "A plugin of a later release",
  "contract": 1,
  "api_version": "0.9.0",
  "panic": "unwind",
  "interfaces": ["longshore.workers/1", "longshore.list/1", "longshore.metrics/1"],
  "idempotent_run": true,
  "homepage": "https://example.org/later",
  "resources": { "threads": 0 },
  "config_schema": {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": { "prefix": { "description": "What every handle begins with", "type": "string", "default": "w" } },
    "additionalProperties": false
  }
}"#;

static METRICS: MetricsV1 = MetricsV1 { alive };

unsafe extern "C" fn alive(this: &Instance, _ctx: &CallContext<'_>) -> RResult<u64, Failure> {
    RResult::ROk(workers::alive(this) as u64)
}

extern "C" fn metadata() -> RString {
    METADATA.into()
}

extern "C" fn query(id: RStr<'_>) -> ROption<Interface> {
    match id.as_str() {
        WorkersV1::ID => ROption::RSome(Interface::of(&workers::WORKERS)),
        ListV1::ID => ROption::RSome(Interface::of(&workers::LIST)),
        MetricsV1::ID => ROption::RSome(Interface::of(&METRICS)),
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
