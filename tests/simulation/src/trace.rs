//! What happened, line by line, for a person: virtual time, who, what.

use std::{collections::VecDeque, fmt};

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Host(u32),
    Journal,
    Provider,
    Backend,
    Operator,
    Fault,
    World,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(n) => f.pad(&format!("host {n}")),
            Self::Journal => f.pad("journal"),
            Self::Provider => f.pad("provider"),
            Self::Backend => f.pad("backend"),
            Self::Operator => f.pad("operator"),
            Self::Fault => f.pad("FAULT"),
            Self::World => f.pad("world"),
        }
    }
}

/// The last lines of what happened, or nothing where nobody reads them.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    kept: usize,
    dropped: u64,
}

impl Trace {
    /// Keeps so many lines; with 0, nothing is written at all.
    pub(crate) fn new(kept: usize) -> Self {
        Self { lines: VecDeque::new(), kept, dropped: 0 }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.kept > 0
    }

    pub(crate) fn say(&mut self, now: u64, who: Who, what: &str) {
        let line = format!("{:>5}.{:03}s  {who:<9} {what}", now / 1_000, now % 1_000);
        if self.lines.len() == self.kept {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    pub(crate) fn finish(self) -> Vec<String> {
        let earlier = (self.dropped > 0).then(|| format!("        ...  {} lines before", self.dropped));
        earlier.into_iter().chain(self.lines).collect()
    }
}

/// Says what happens, where somebody listens.
macro_rules! say {
    ($world:expr, $who:expr, $($what:tt)+) => {
        if $world.trace.is_on() {
            let what = format!($($what)+);
            $world.trace.say($world.now, $who, &what);
        }
    };
}

pub(crate) use say;
