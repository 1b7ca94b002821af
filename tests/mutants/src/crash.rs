//! Ways to end the whole process, never to end, or to take from everybody what all need.
#![expect(unsafe_code, clippy::unsafe_derive_deserialize, reason = "a crash is what no safe code does")]

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{greed, settings::Function};

/// An address in the first page, which no process has.
const NOWHERE: usize = 64;

/// The function that crashes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// The function.
    pub function: Function,
    /// What it does.
    pub how: How,
    /// A file that mends it by being there: whoever finds it does not crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<PathBuf>,
}

impl Crash {
    /// Crashes in that function, if this is the one, and nothing has mended it.
    pub(crate) fn strike(&self, function: Function) {
        if self.function == function && !self.unless.as_ref().is_some_and(|file| file.exists()) {
            self.how.strike();
        }
    }
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
    /// It takes more and more memory, and aborts when there is no more.
    Memory,
    /// It opens files until it may open no more, and never returns.
    Descriptors,
    /// It writes what means nothing to every socket that the process has, and goes on.
    Garbage,
    /// It writes to the output, the errors and the log, and never returns.
    Flood,
    /// It leaves children behind that have all that the process had open and never end, and aborts.
    Children,
}

impl How {
    /// Every way.
    pub const ALL: [Self; 10] = [
        Self::Segfault,
        Self::Abort,
        Self::Exit,
        Self::Hang,
        Self::Panic,
        Self::Memory,
        Self::Descriptors,
        Self::Garbage,
        Self::Flood,
        Self::Children,
    ];

    /// Those that harm nobody but their process, so that they can be let loose anywhere. The others belong where somebody sets
    /// them limits: in a runner.
    pub const PLAIN: [Self; 5] = [Self::Segfault, Self::Abort, Self::Exit, Self::Hang, Self::Panic];

    /// Its name, as a configuration has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segfault => "segfault",
            Self::Abort => "abort",
            Self::Exit => "exit",
            Self::Hang => "hang",
            Self::Panic => "panic",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Garbage => "garbage",
            Self::Flood => "flood",
            Self::Children => "children",
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
            Self::Memory => greed::memory(),
            Self::Descriptors => greed::descriptors(),
            Self::Garbage => greed::garbage(),
            Self::Flood => greed::flood(),
            Self::Children => greed::children(),
        }
    }
}
