//! Where a provider's instance is: in this process, or in a runner's. Either takes calls on their way, says how busy it is,
//! and shuts down.

use std::{sync::Arc, time::Duration};

use tracing::Span;

use crate::{
    ask::{Ask, Raw},
    call::Answer,
    control::Control,
    in_process::InProcess,
    pool::ProviderLoad,
    provider::Handles,
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

/// Takes what came of a call.
pub(crate) type End = Box<dyn FnOnce(Answer<Raw>) + Send>;

/// Where an instance is.
pub(crate) enum Seat {
    InProcess(InProcess),
}

impl Seat {
    /// Takes a call.
    pub(crate) fn submit(&self, errand: Errand) {
        match self {
            Self::InProcess(seat) => seat.submit(errand),
        }
    }

    pub(crate) fn load(&self) -> ProviderLoad {
        match self {
            Self::InProcess(seat) => seat.load(),
        }
    }

    /// Turns down what waits and what comes from now on, and lets the instance end once it is left.
    pub(crate) fn close(&self) {
        match self {
            Self::InProcess(seat) => seat.close(),
        }
    }

    /// Waits until the instance is destroyed.
    pub(crate) async fn gone(&self) {
        match self {
            Self::InProcess(seat) => seat.gone().await,
        }
    }
}
