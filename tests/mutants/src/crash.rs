//! Ways to end the whole process, never to end, to take from everybody what all need, or to answer nonsense.
#![expect(unsafe_code, clippy::unsafe_derive_deserialize, reason = "a crash is what no safe code does")]

use std::{fs::File, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{greed, settings::Function};

/// An address in the first page, which no process has.
const NOWHERE: usize = 64;

/// How often a hang looks whether it may end.
const RELEASE_LOOK: Duration = Duration::from_millis(5);

/// The function that crashes, how, and when.
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
    /// A file that is made by whoever crashes, and mends all others: so it crashes but once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<PathBuf>,
    /// Whether it does its work first, so that the answer alone is lost. (`contained` never does.)
    #[serde(default)]
    pub late: bool,
    /// A file that ends a hang by being there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<PathBuf>,
}

impl Crash {
    /// Crashes, if this is the function, nothing has mended it, and it is not one that other places crash in.
    pub(crate) fn strike(&self, function: Function) {
        match self.how {
            How::Contained | How::Senseless => {}
            How::Hang if self.is_due(function) => self.hang(),
            how if self.is_due(function) => how.strike(),
            _ => {}
        }
    }

    /// Whether it is this function's turn to crash now. One that crashes once has had it then.
    pub(crate) fn is_due(&self, function: Function) -> bool {
        self.function == function
            && !self.unless.as_ref().is_some_and(|file| file.exists())
            && self.once.as_ref().is_none_or(|file| File::create_new(file).is_ok())
    }

    fn hang(&self) {
        while !self.release.as_ref().is_some_and(|file| file.exists()) {
            std::thread::sleep(RELEASE_LOOK);
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
    /// It panics where the export macro contains it: the call fails.
    Contained,
    /// It answers what no contract knows: a number that means nothing, a handle that is none, a document that cannot be read;
    /// and where nothing is to be answered, an error of a kind that is none.
    Senseless,
    /// It writes what means nothing to the output and to the errors, and goes on.
    Print,
}

impl How {
    /// Every way.
    pub const ALL: [Self; 13] = [
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
        Self::Contained,
        Self::Senseless,
        Self::Print,
    ];

    /// Those that end or hold their process and harm nobody else, so that they can be let loose anywhere. Of the others, some
    /// take from everybody, and belong where somebody sets them limits, in a runner; and some cost no more than the call.
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
            Self::Contained => "contained",
            Self::Senseless => "senseless",
            Self::Print => "print",
        }
    }

    /// Does it. A panic is contained or not by whoever calls this, and whoever answers nonsense answers it there.
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
                std::thread::sleep(Duration::from_mins(1));
            },
            Self::Panic => panic!("the mutant panics where nobody contains it"),
            Self::Contained => panic!("the mutant panics where that is contained"),
            Self::Senseless => {}
            Self::Print => greed::print(),
            Self::Memory => greed::memory(),
            Self::Descriptors => greed::descriptors(),
            Self::Garbage => greed::garbage(),
            Self::Flood => greed::flood(),
            Self::Children => greed::children(),
        }
    }
}
