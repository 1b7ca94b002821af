//! A library that is no plugin: it exports a function, but not the root module.
#![expect(unsafe_code, reason = "exporting a symbol counts as unsafe")]

/// Something else entirely.
#[unsafe(no_mangle)]
pub extern "C" fn longshore_no_plugin() -> u32 {
    7
}
