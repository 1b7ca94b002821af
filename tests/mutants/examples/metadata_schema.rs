//! A plugin whose configuration schema is none.

#[path = "shared/bare.rs"]
mod bare;
#[path = "shared/spoilt.rs"]
mod spoilt;

use longshore_plugin_abi::{
    Interface,
    abi_stable::std_types::{ROption, RStr, RString},
};

extern "C" fn metadata() -> RString {
    spoilt::metadata(|document| document["config_schema"] = serde_json::json!({ "type": "no such type" }))
}

extern "C" fn query(id: RStr<'_>) -> ROption<Interface> {
    spoilt::honest().query()(id)
}
