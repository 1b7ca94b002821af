//! Where a provider's instance is: in this process, or in a runner's. Either takes calls on their way, says how busy it is,
//! and shuts down.

use std::{sync::Arc, time::Duration};

use tracing::Span;

use crate::{
    ask::{Ask, Raw},
    call::Answer,
    control::Control,
    error::NotSent,
    in_process::InProcess,
    pool::ProviderLoad,
    provider::Handles,
    runner::Runner,
};

/// A call on its way to a plugin.
pub(crate) struct Errand {
    pub(crate) control: Arc<Control>,
    pub(crate) budget: Duration,
    pub(crate) cluster: Arc<str>,
    pub(crate) verbose: u8,
    pub(crate) span: Span,
    pub(crate) ask: Ask<Handles, String>,
    /// Is told what came of it, once.
    pub(crate) end: End,
}

/// Takes what came of a call, and how long it was inside the plugin, where that is known.
pub(crate) type End = Box<dyn FnOnce(Answer<Raw>, Option<Duration>) + Send>;

/// Where an instance is.
pub(crate) enum Seat {
    InProcess(InProcess),
    Runner(Runner),
}

impl Seat {
    /// Takes a call.
    pub(crate) fn submit(&self, errand: Errand) {
        match self {
            Self::InProcess(seat) => seat.submit(errand),
            Self::Runner(seat) => seat.submit(errand),
        }
    }

    pub(crate) fn load(&self) -> ProviderLoad {
        match self {
            Self::InProcess(seat) => seat.load(),
            Self::Runner(seat) => seat.load(),
        }
    }

    /// Turns down what waits and what comes from now on, and lets the instance end once it is left.
    pub(crate) fn close(&self) {
        match self {
            Self::InProcess(seat) => seat.close(),
            Self::Runner(seat) => seat.close(),
        }
    }

    /// Why calls do not get to the instance now, where they do not.
    pub(crate) fn shut(&self) -> Option<NotSent> {
        match self {
            Self::InProcess(seat) => seat.shut(),
            Self::Runner(seat) => seat.shut(),
        }
    }

    /// Waits until the instance is destroyed.
    pub(crate) async fn gone(&self) {
        match self {
            Self::InProcess(seat) => seat.gone().await,
            Self::Runner(seat) => seat.gone().await,
        }
    }

    /// Ends, after it was closed, what can be ended: a process of its own.
    pub(crate) fn end(&self) {
        match self {
            // A thread cannot be ended.
            Self::InProcess(_) => {}
            Self::Runner(seat) => seat.end(),
        }
    }

    pub(crate) fn runner(&self) -> Option<&Runner> {
        match self {
            Self::InProcess(_) => None,
            Self::Runner(seat) => Some(seat),
        }
    }
}
