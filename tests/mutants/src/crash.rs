//! Ways to end the whole process, or never to end.
#![expect(unsafe_code, clippy::unsafe_derive_deserialize, reason = "a crash is what no safe code does")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::Function;

/// An address in the first page, which no process has.
const NOWHERE: usize = 64;

/// The function that crashes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// The function.
    pub function: Function,
    /// What it does.
    pub how: How,
}

/// What a crash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It writes to an address that is none.
    Segfault,
    /// It aborts.
    Abort,
    /// It ends the process as if all was well.
    Exit,
    /// It never returns.
    Hang,
    /// It panics where nobody contains that.
    Panic,
}

impl How {
    /// Every way.
    pub const ALL: [Self; 5] = [Self::Segfault, Self::Abort, Self::Exit, Self::Hang, Self::Panic];

    /// Its name, as a configuration has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segfault => "segfault",
            Self::Abort => "abort",
            Self::Exit => "exit",
            Self::Hang => "hang",
            Self::Panic => "panic",
        }
    }

    /// Does it.
    #[expect(
        clippy::disallowed_methods,
        reason = "a process that ends as if all was well is the worst crash"
    )]
    pub(crate) fn strike(self) {
        match self {
            Self::Segfault => {
                let nowhere = std::ptr::without_provenance_mut::<u8>(std::hint::black_box(NOWHERE));
                // SAFETY: there is none: the process ends here, which is what this is for.
                unsafe { nowhere.write_volatile(1) };
            }
            Self::Abort => std::process::abort(),
            Self::Exit => std::process::exit(0),
            Self::Hang => loop {
                std::thread::sleep(std::time::Duration::from_mins(1));
            },
            Self::Panic => panic!("the mutant panics where nobody contains it"),
        }
    }
}
