//! A plugin whose table of the worker functions has other fields than the contract says.

#[path = "shared/bare.rs"]
mod bare;
#[path = "shared/spoilt.rs"]
mod spoilt;

use longshore_plugin_abi::{
    Instance, Interface, InterfaceTable,
    abi_stable::{
        StableAbi,
        std_types::{ROption, RStr, RString},
    },
    ids,
};

/// What nobody expects under the id.
#[repr(C)]
#[derive(StableAbi)]
struct WorkersV1 {
    status: extern "C" fn(&Instance) -> u8,
}

impl InterfaceTable for WorkersV1 {
    const ID: &'static str = ids::WORKERS;
}

static WORKERS: WorkersV1 = WorkersV1 { status };

extern "C" fn status(_this: &Instance) -> u8 {
    0
}

extern "C" fn metadata() -> RString {
    spoilt::metadata(|_| ())
}

extern "C" fn query(id: RStr<'_>) -> ROption<Interface> {
    if id == ids::WORKERS { ROption::RSome(Interface::of(&WORKERS)) } else { ROption::RNone }
}
