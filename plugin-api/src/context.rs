//! The context of one call: whom it is for, how long it may take, whether it is still wanted.

use std::{
    fmt,
    time::{Duration, Instant},
};

use longshore_plugin_abi::CallContext;

use crate::{error::Error, log::Log};

/// What the host hands to every call.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    raw: &'a CallContext<'a>,
    deadline: Instant,
    /// The log of the instance that is called, where there is one.
    instance: Option<&'a Log>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(raw: &'a CallContext<'a>) -> Self {
        // A budget beyond what the clock can hold is as good as a day.
        let now = Instant::now();
        let deadline =
            now.checked_add(Duration::from_nanos(raw.budget_nanos)).unwrap_or(now + Duration::from_hours(24));
        Self { raw, deadline, instance: None }
    }

    pub(crate) fn of_instance(raw: &'a CallContext<'a>, log: &'a Log) -> Self {
        Self { instance: Some(log), ..Self::new(raw) }
    }

    /// The name of the cluster that the call is for. Tag what you create with it.
    pub fn cluster(&self) -> &'a str {
        self.raw.cluster.as_str()
    }

    /// When the host stops waiting for the answer.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the call may still take; zero once the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether the host has given up on this call.
    pub fn is_cancelled(&self) -> bool {
        self.raw.control.is_cancelled()
    }

    /// An error once the call is cancelled or out of time: for use between the steps of a long call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            return Err(Error::cancelled("the host cancelled the call"));
        }
        if self.remaining().is_zero() {
            return Err(Error::cancelled("the call ran out of time"));
        }
        Ok(())
    }

    /// Sleeps, but not past a cancellation or the deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) when it woke early.
    pub fn sleep(&self, duration: Duration) -> Result<(), Error> {
        let wait = duration.min(self.remaining());
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        if self.raw.control.wait_cancelled(nanos) || wait < duration {
            return Err(Error::cancelled("the call was cancelled or ran out of time"));
        }
        Ok(())
    }

    /// How much the operator wants to hear: 0 quiet, 1 normal, 2 and up ever more.
    pub fn verbose(&self) -> u8 {
        self.raw.verbose
    }

    /// The host's log, under the name of the call's cluster.
    pub fn log(&self) -> Log {
        match self.instance {
            Some(log) => log.for_call(self.raw.log, self.cluster()),
            None => Log::new(self.raw.log).for_call(self.raw.log, self.cluster()),
        }
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("cluster", &self.cluster())
            .field("remaining", &self.remaining())
            .field("verbose", &self.verbose())
            .finish_non_exhaustive()
    }
}
