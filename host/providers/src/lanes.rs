//! Which call is next. Calls wait in two lanes, slow functions in one and quick ones in the other, each of a bounded length;
//! they leave in the order of their arrival, as far as there is room among those that run.
//!
//! Slow functions (`run`, `cleanup`, …) may not take all room where there is room for more than one: some is kept for `status`
//! and `kill`.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    control::Control,
    error::NotSent,
    pool::{CallLimits, ProviderLoad},
};

/// A call to be made, and what is needed to make it.
pub(crate) struct Job<W> {
    pub(crate) control: Arc<Control>,
    pub(crate) slow: bool,
    pub(crate) budget: Duration,
    pub(crate) work: W,
}

/// The jobs of one kind, in the order of their arrival.
struct Lane<W> {
    waiting: VecDeque<(u64, Job<W>)>,
    running: usize,
}

impl<W> Default for Lane<W> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), running: 0 }
    }
}

/// The calls of one provider that wait, and those that run.
pub(crate) struct Lanes<W> {
    limits: CallLimits,
    quick: Lane<W>,
    slow: Lane<W>,
    running: Vec<Arc<Control>>,
    arrivals: u64,
}

impl<W> Lanes<W> {
    pub(crate) fn new(limits: CallLimits) -> Self {
        let limits = CallLimits { threads: limits.threads.max(1), ..limits };
        Self { limits, quick: Lane::default(), slow: Lane::default(), running: Vec::new(), arrivals: 0 }
    }

    pub(crate) fn limits(&self) -> &CallLimits {
        &self.limits
    }

    /// Puts a job in the queue, or gives it back where that is full.
    pub(crate) fn offer(&mut self, job: Job<W>) -> Result<(), (Job<W>, NotSent)> {
        let (threads, queue) = (self.room(job.slow), self.limits.queue);
        let lane = self.lane(job.slow);
        let most = queue + threads.saturating_sub(lane.running);
        if lane.waiting.len() >= most {
            lane.waiting.retain(|(_, waiting)| !waiting.control.is_abandoned());
        }
        let queued = lane.waiting.len();
        if queued >= most {
            return Err((job, NotSent::QueueFull { threads, queued }));
        }
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.lane(job.slow).waiting.push_back((arrival, job));
        Ok(())
    }

    /// The job that has waited longest, of those that may run now. It runs until it is told to have ended.
    pub(crate) fn take(&mut self) -> Option<Job<W>> {
        if self.running.len() >= self.limits.threads {
            return None;
        }
        let arrival = |lane: &Lane<W>| lane.waiting.front().map(|(arrival, _)| *arrival);
        let slow = arrival(&self.slow).filter(|_| self.slow.running < self.room(true));
        let quick = arrival(&self.quick);
        let slow_first = match (slow, quick) {
            (Some(slow), Some(quick)) => slow < quick,
            (slow, _) => slow.is_some(),
        };
        let lane = self.lane(slow_first);
        let (_, job) = lane.waiting.pop_front()?;
        lane.running += 1;
        self.running.push(Arc::clone(&job.control));
        Some(job)
    }

    /// A job that was taken runs no longer.
    pub(crate) fn ended(&mut self, control: &Arc<Control>, slow: bool) {
        self.lane(slow).running -= 1;
        if let Some(place) = self.running.iter().position(|running| Arc::ptr_eq(running, control)) {
            self.running.swap_remove(place);
        }
    }

    /// Empties the queue.
    pub(crate) fn take_waiting(&mut self) -> Vec<Job<W>> {
        let Self { quick, slow, .. } = self;
        quick.waiting.drain(..).chain(slow.waiting.drain(..)).map(|(_, job)| job).collect()
    }

    /// How many wait, those included that are given up.
    pub(crate) fn waiting(&self) -> usize {
        self.quick.waiting.len() + self.slow.waiting.len()
    }

    pub(crate) fn running(&self) -> &[Arc<Control>] {
        &self.running
    }

    /// How busy it is, with so many threads.
    pub(crate) fn load(&self, threads: usize) -> ProviderLoad {
        let now = Instant::now();
        let waiting = self.quick.waiting.iter().chain(&self.slow.waiting);
        ProviderLoad {
            threads,
            busy: self.running.len(),
            stuck: self.running.iter().filter(|control| control.deadline() < now).count(),
            queued: waiting.filter(|(_, job)| !job.control.is_abandoned()).count(),
        }
    }

    fn lane(&mut self, slow: bool) -> &mut Lane<W> {
        if slow { &mut self.slow } else { &mut self.quick }
    }

    /// How many jobs of this kind may run at once.
    fn room(&self, slow: bool) -> usize {
        let CallLimits { threads, reserved, .. } = self.limits;
        if slow { threads.saturating_sub(reserved).max(1) } else { threads }
    }
}
