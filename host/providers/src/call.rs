//! One call that is under way: its answer, or the deadline, or — after the deadline — the answer that came too late.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::timeout_at,
};

use crate::{
    account::{Account, Books, Settlement},
    breaker::Pass,
    control::Control,
    error::{CallError, Function, NotSent},
};

/// For whom a call is, and how long it may take from now on, its time in the queue included.
#[derive(Clone, Debug)]
pub struct CallScope {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The time until the deadline.
    pub budget: Duration,
    /// How much the operator wants to hear: 0 quiet, 1 normal, 2 and up ever more.
    pub verbose: u8,
}

/// The longest budget of a call: a year.
const LONGEST_BUDGET: Duration = Duration::from_hours(365 * 24);

pub(crate) type Answer<T> = Result<T, CallError>;

/// A call under way. Dropping it does not stop it; a call that nobody waits for is still cancelled at its deadline, and is
/// not made when that comes first.
#[derive(Debug)]
#[must_use = "a call's answer may name workers"]
pub struct Call<T> {
    function: Function,
    budget: Duration,
    control: Arc<Control>,
    /// Where it is heard of that nobody waits any longer.
    account: Option<Arc<Account>>,
    answer: oneshot::Receiver<Answer<T>>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Given up before it reached the plugin.
    Abandoned,
    /// The answer was taken.
    Taken,
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        // Where it has started, or has ended, this changes nothing.
        self.control.abandon();
    }
}

impl<T> Call<T> {
    /// A call, and where its answer goes. The clock starts now.
    pub(crate) fn new(function: Function, budget: Duration) -> (Self, oneshot::Sender<Answer<T>>) {
        let budget = budget.min(LONGEST_BUDGET);
        let control = Arc::new(Control::new(Instant::now() + budget));
        let (sender, answer) = oneshot::channel();
        (Self { function, budget, control, account: None, answer, state: State::Open }, sender)
    }

    /// A call that was never sent.
    pub(crate) fn not_sent(function: Function, reason: NotSent) -> Self {
        let (call, sender) = Self::new(function, Duration::ZERO);
        // The receiver is in `call`, so that this cannot fail.
        let _ = sender.send(Err(CallError::NotSent { reason }));
        call
    }

    /// Has account kept of it. The answer is to be told of its end.
    pub(crate) fn open_account(&mut self, books: &Arc<Books>, pass: Pass) -> Settlement {
        let account = Arc::new(Account::new(books, self.function, self.budget, &self.control, pass));
        self.account = Some(Arc::clone(&account));
        Settlement::of(account)
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    pub(crate) fn budget(&self) -> Duration {
        self.budget
    }

    /// What is being called.
    pub fn function(&self) -> Function {
        self.function
    }

    /// Tells the plugin that the answer is no longer wanted. A plugin that listens returns soon.
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// The answer, once it is there, or [`CallError::Deadline`] at the deadline: the plugin is then told to stop, and its
    /// answer, should it still come, is had from [`late`](Self::late). A call that was still waiting for a thread at its
    /// deadline is given up: [`CallError::NotSent`].
    ///
    /// May be dropped and called again. Needs a tokio runtime with its timer.
    pub async fn reply(&mut self) -> Answer<T> {
        if self.state != State::Open {
            return self.closed();
        }
        if let Ok(answer) = timeout_at(self.control.deadline().into(), &mut self.answer).await {
            self.state = State::Taken;
            return answer.unwrap_or(Err(CallError::Gone));
        }
        if self.control.abandon() {
            self.state = State::Abandoned;
            return self.closed();
        }
        self.control.cancel();
        match self.answer.try_recv() {
            Ok(answer) => {
                self.state = State::Taken;
                answer
            }
            Err(TryRecvError::Empty) => {
                if let Some(account) = &self.account {
                    account.overran();
                }
                Err(CallError::Deadline { function: self.function, after: self.budget })
            }
            Err(TryRecvError::Closed) => {
                self.state = State::Taken;
                Err(CallError::Gone)
            }
        }
    }

    /// The answer, however late: for after [`CallError::Deadline`]. Waits for as long as the plugin hangs.
    ///
    /// The answer of a `run` names workers: keep this future until it ends, or find them with `list`.
    pub async fn late(mut self) -> Answer<T> {
        if self.state != State::Open {
            return self.closed();
        }
        (&mut self.answer).await.unwrap_or(Err(CallError::Gone))
    }

    fn closed(&self) -> Answer<T> {
        Err(match self.state {
            State::Abandoned => CallError::NotSent { reason: NotSent::OutOfTime { waited: self.budget } },
            _ => CallError::Gone,
        })
    }
}
