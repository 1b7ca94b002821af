//! A library that exports the root module's name, and needs a function that nothing has.
#![expect(unsafe_code, reason = "a function of nobody's is declared as if it were somebody's")]

unsafe extern "C" {
    fn longshore_symbol_of_nobody() -> u32;
}

/// Not what it says: it is never looked at, as the library cannot be loaded.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub extern "C" fn root_module() -> u32 {
    // SAFETY: never called.
    unsafe { longshore_symbol_of_nobody() }
}
