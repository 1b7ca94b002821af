//! A plugin that promises the interface of every plugin, and does not have it.

#[path = "shared/bare.rs"]
mod bare;
#[path = "shared/spoilt.rs"]
mod spoilt;

use longshore_plugin_abi::{
    Interface,
    abi_stable::std_types::{ROption, RStr, RString},
    ids,
};

extern "C" fn metadata() -> RString {
    spoilt::metadata(|_| ())
}

extern "C" fn query(id: RStr<'_>) -> ROption<Interface> {
    spoilt::honest().query()(id).into_option().filter(|_| id != ids::WORKERS).into()
}
