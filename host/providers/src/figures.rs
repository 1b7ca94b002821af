//! What a provider's calls came to, counted where each of them ends: how many there were, and how many went wrong, by kind.
//! It judges nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use longshore_plugin_api::ErrorKind;

use crate::{
    call::Answer,
    error::{CallError, NotSent},
};

/// What a provider's calls came to since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls that have ended, however they did.
    pub calls: u64,
    /// Calls that have not ended: they wait for a thread, or are inside the plugin.
    pub under_way: u64,
    /// Of those that ended: the provider said that it failed.
    pub failed: u64,
    /// It panicked.
    pub panicked: u64,
    /// Its answer came after the deadline, whatever it was.
    pub late: u64,
    /// Its answer broke the contract.
    pub violations: u64,
    /// It never reached the plugin, though the plugin has the function.
    pub not_sent: u64,
    /// Its answer is lost, as those are that a plugin's process had when it died.
    pub lost: u64,
}

impl Figures {
    /// Calls that went wrong, in whatever way.
    pub const fn errors(&self) -> u64 {
        self.failed + self.panicked + self.late + self.violations + self.not_sent + self.lost
    }
}

/// Counts the calls of one provider.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    late: AtomicU64,
    violations: AtomicU64,
    not_sent: AtomicU64,
    lost: AtomicU64,
}

impl Tally {
    /// Counts a call that begins. It ends when what this gives says so, or is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Counted {
        add(&self.begun);
        Counted { tally: Arc::clone(self), is_ended: false }
    }

    pub(crate) fn figures(&self) -> Figures {
        // The ended first, so that there are never fewer begun.
        let calls = read(&self.ended);
        Figures {
            calls,
            under_way: read(&self.begun).saturating_sub(calls),
            failed: read(&self.failed),
            panicked: read(&self.panicked),
            late: read(&self.late),
            violations: read(&self.violations),
            not_sent: read(&self.not_sent),
            lost: read(&self.lost),
        }
    }

    fn count<T>(&self, answer: &Answer<T>, late: bool) {
        let kind = match answer {
            // A call that was turned down because its provider leaves is nobody's fault.
            Err(CallError::NotSent { reason: NotSent::ShutDown }) => None,
            Err(CallError::NotSent { .. }) => Some(&self.not_sent),
            Err(CallError::Violation(_)) => Some(&self.violations),
            Err(CallError::Failed(error)) if error.kind() == ErrorKind::Panic => Some(&self.panicked),
            Err(CallError::Deadline { .. }) => Some(&self.late),
            Ok(_) | Err(CallError::Failed(_)) if late => Some(&self.late),
            Err(CallError::Failed(_)) => Some(&self.failed),
            Err(CallError::Died { .. } | CallError::Gone) => Some(&self.lost),
            Ok(_) => None,
        };
        if let Some(kind) = kind {
            add(kind);
        }
        add(&self.ended);
    }
}

/// A call that is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    tally: Arc<Tally>,
    is_ended: bool,
}

impl Counted {
    /// The call ended so; `late` where that was after its deadline.
    pub(crate) fn ended<T>(mut self, answer: &Answer<T>, late: bool) {
        self.is_ended = true;
        self.tally.count(answer, late);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.is_ended {
            return;
        }
        // Given up while it waited for a thread; or, where its thread died under it, nobody knows.
        add(if std::thread::panicking() { &self.tally.lost } else { &self.tally.not_sent });
        add(&self.tally.ended);
    }
}

fn add(counter: &AtomicU64) {
    // Released, so that who sees a call as ended sees how.
    counter.fetch_add(1, Ordering::Release);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Acquire)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longshore_plugin_api::{Clause, Error};

    use super::*;
    use crate::error::{Function, Violation};

    fn counted(answer: &Answer<()>, late: bool) -> Figures {
        let tally = Arc::new(Tally::default());
        tally.begin().ended(answer, late);
        tally.figures()
    }

    #[test]
    fn each_end_is_counted_once_and_as_what_it_was() {
        let violation = Violation {
            clause: Clause::StatusCount,
            function: Function::Status,
            detail: String::new(),
            claimed: Vec::new(),
        };
        let one = Figures { calls: 1, ..Figures::default() };
        for (answer, late, wanted) in [
            (Ok(()), false, one),
            (Ok(()), true, Figures { late: 1, ..one }),
            (Err(CallError::Failed(Error::retryable("busy"))), false, Figures { failed: 1, ..one }),
            (Err(CallError::Failed(Error::retryable("busy"))), true, Figures { late: 1, ..one }),
            (Err(CallError::Violation(violation)), true, Figures { violations: 1, ..one }),
            (Err(CallError::Gone), false, Figures { lost: 1, ..one }),
            (Err(CallError::Died { how: "exited".into() }), true, Figures { lost: 1, ..one }),
            (Err(CallError::NotSent { reason: NotSent::ShutDown }), false, one),
            (
                Err(CallError::NotSent { reason: NotSent::OutOfTime { waited: Duration::ZERO } }),
                true,
                Figures { not_sent: 1, ..one },
            ),
        ] {
            let figures = counted(&answer, late);
            assert_eq!(figures, wanted, "{answer:?}");
            assert_eq!(figures.errors(), u64::from(wanted != one), "{answer:?}");
        }
    }

    #[test]
    fn a_call_is_under_way_until_it_ends_or_is_given_up() {
        let tally = Arc::new(Tally::default());
        let (first, second) = (tally.begin(), tally.begin());
        assert_eq!(tally.figures(), Figures { under_way: 2, ..Figures::default() });
        drop(first);
        second.ended(&Ok(()), false);
        assert_eq!(tally.figures(), Figures { calls: 2, not_sent: 1, ..Figures::default() });
    }
}
