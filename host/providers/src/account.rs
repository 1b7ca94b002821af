//! The account of one call: what it came to is told to the figures and to the circuit breaker of its provider, once each,
//! whether it is answered, given up, or forgotten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    breaker::{Breaker, BreakerLimits, Fault, News, Pass},
    call::Answer,
    control::Control,
    error::{CallError, Function},
    figures::{Tally, Took, Unsent},
};

/// What is kept of a provider's calls.
#[derive(Debug)]
pub(crate) struct Books {
    /// The provider.
    name: &'static str,
    pub(crate) tally: Tally,
    pub(crate) breaker: Breaker,
}

impl Books {
    pub(crate) fn new(name: &'static str, breaker: Option<BreakerLimits>) -> Self {
        Self { name, tally: Tally::default(), breaker: Breaker::new(breaker) }
    }
}

/// What is kept of a call that is under way.
#[derive(Debug)]
pub(crate) struct Account {
    books: Arc<Books>,
    function: Function,
    budget: Duration,
    control: Arc<Control>,
    pass: Pass,
    /// Whether the breaker knows what it came to: it hears of a call that hangs before that ends.
    is_told: AtomicBool,
}

impl Account {
    /// A call begins.
    pub(crate) fn new(
        books: &Arc<Books>,
        function: Function,
        budget: Duration,
        control: &Arc<Control>,
        pass: Pass,
    ) -> Self {
        books.tally.begun(function);
        let (books, control) = (Arc::clone(books), Arc::clone(control));
        Self { books, function, budget, control, pass, is_told: AtomicBool::new(false) }
    }

    /// Its deadline has passed, and the plugin still has it. The figures count it when it ends; until then it is stuck.
    pub(crate) fn overran(&self) {
        self.tell(News::Fault(Fault::Deadline));
    }

    fn ended<T>(&self, answer: &Answer<T>, inside: Option<Duration>) {
        let (now, deadline) = (Instant::now(), self.control.deadline());
        let late = now >= deadline;
        let took = Took { whole: (now + self.budget).saturating_duration_since(deadline), inside };
        self.books.tally.ended(self.function, answer, late, took);
        self.tell(News::of(answer, late));
    }

    fn was_forgotten(&self) {
        if !self.control.is_abandoned() {
            // Whoever had it is gone: one of our own threads died, or the runtime ends.
            return self.ended::<()>(&Err(CallError::Gone), None);
        }
        let late = self.control.remaining().is_zero();
        let (why, news) = if late {
            (Unsent::OutOfTime, News::FaultOfTry(Fault::NoThread))
        } else {
            (Unsent::GivenUp, News::Nothing)
        };
        self.books.tally.not_sent(self.function, why);
        self.tell(news);
    }

    fn tell(&self, news: News) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            self.books.breaker.told(self.books.name, self.pass, self.function, news);
        }
    }
}

/// The duty to say what a call came to. Dropped, it says that nobody does.
#[derive(Debug)]
pub(crate) struct Settlement(Option<Arc<Account>>);

impl Settlement {
    pub(crate) const fn of(account: Arc<Account>) -> Self {
        Self(Some(account))
    }

    /// The call ended so, and was inside the plugin for so long, where that is known.
    pub(crate) fn ended<T>(mut self, answer: &Answer<T>, inside: Option<Duration>) {
        if let Some(account) = self.0.take() {
            account.ended(answer, inside);
        }
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if let Some(account) = self.0.take() {
            account.was_forgotten();
        }
    }
}
