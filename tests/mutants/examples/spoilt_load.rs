//! The honest specimen in a library that is wrong before anything is made, as a variable of the environment says.
#![expect(unsafe_code, reason = "a place in the library that the system's loader looks at")]

longshore_mutants::export!(longshore_mutants::spoilt_load());

/// What the system's loader calls when the library is opened.
#[used]
#[unsafe(link_section = ".init_array")]
pub static CONSTRUCTOR: extern "C" fn() = longshore_mutants::constructor;
