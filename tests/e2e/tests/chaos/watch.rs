//! Looks at the processes again and again while everything happens at once, for what no moment in between may show: more live
//! workers than a cluster may have, and a container that comes to life a second time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::census::{Census, Identity};

/// Between two looks. It leaves the processors to those that are looked at.
const PAUSE: Duration = Duration::from_millis(8);
/// So many breaches are told; the others are like them.
const BREACHES: usize = 20;

/// What was seen so far, and what may be seen.
#[derive(Debug, Default)]
struct Seen {
    stop: bool,
    /// The most live workers that each cluster may have.
    ceilings: BTreeMap<String, u32>,
    /// The most that each has had at one moment.
    peaks: BTreeMap<String, u32>,
    /// Each container's one process, and the container's cluster and launch.
    lives: BTreeMap<String, Life>,
    looks: u64,
    breaches: Vec<String>,
}

/// The one life of a container.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    identity: Identity,
    pub(crate) cluster: String,
    pub(crate) token: String,
}

/// What the looks came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighted {
    pub(crate) looks: u64,
    /// Containers that ever lived.
    pub(crate) lives: usize,
    pub(crate) peaks: BTreeMap<String, u32>,
}

/// The thread that looks. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(mark: String) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            let mut before = Look::default();
            while !locked(&shared).stop {
                let ceilings = locked(&shared).ceilings.clone();
                let look = Look { ceilings, census: Census::take(&mark) };
                locked(&shared).take_in(&before, &look);
                before = look;
                thread::sleep(PAUSE);
            }
        });
        Self { seen, thread: Some(thread) }
    }

    /// From now on a cluster may have so many live workers.
    pub(crate) fn allow(&self, cluster: &str, ceiling: u32) {
        locked(&self.seen).ceilings.insert(cluster.to_owned(), ceiling);
    }

    /// A cluster may have so many live workers as well, as long as nothing else is allowed.
    pub(crate) fn also_allow(&self, cluster: &str, ceiling: u32) {
        let mut seen = locked(&self.seen);
        let allowed = seen.ceilings.entry(cluster.to_owned()).or_default();
        *allowed = ceiling.max(*allowed);
    }

    pub(crate) fn breaches(&self) -> Vec<String> {
        locked(&self.seen).breaches.clone()
    }

    /// Every container that ever lived.
    pub(crate) fn lives(&self) -> Vec<Life> {
        locked(&self.seen).lives.values().cloned().collect()
    }

    pub(crate) fn sighted(&self) -> Sighted {
        let seen = locked(&self.seen);
        Sighted { looks: seen.looks, lives: seen.lives.len(), peaks: seen.peaks.clone() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        locked(&self.seen).stop = true;
        if let Some(thread) = self.thread.take() {
            // A look that panicked has told so itself.
            let _ = thread.join();
        }
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One look, and what was allowed when it began.
#[derive(Debug, Default)]
struct Look {
    ceilings: BTreeMap<String, u32>,
    census: Census,
}

impl Seen {
    /// A look takes its time, so that one alone may show two processes of which the one ended before the other began. Who is
    /// seen by two looks in a row was there at the moment between them, with all others of whom that is true.
    fn take_in(&mut self, before: &Look, look: &Look) {
        self.looks += 1;
        let lasting: BTreeSet<_> = before.census.workers.iter().map(|worker| worker.identity).collect();
        let mut live: BTreeMap<&str, u32> = BTreeMap::new();
        for worker in look.census.workers.iter().filter(|worker| lasting.contains(&worker.identity)) {
            *live.entry(&worker.cluster).or_default() += worker.workers;
        }
        for (cluster, live) in live {
            let peak = self.peaks.entry(cluster.to_owned()).or_default();
            *peak = live.max(*peak);
            // What was allowed at any time from the first look's beginning on.
            let allowed = [&before.ceilings, &look.ceilings, &self.ceilings];
            let ceiling = allowed.iter().filter_map(|ceilings| ceilings.get(cluster)).max().copied();
            if ceiling.is_some_and(|ceiling| live > ceiling) {
                let ceiling = ceiling.unwrap_or_default();
                let who: Vec<_> = look.census.of(cluster).map(ToString::to_string).collect();
                self.breach(format!(
                    "{live} workers of {cluster} were alive at once, of at most {ceiling}: {}",
                    who.join("; ")
                ));
            }
        }
        for worker in &look.census.workers {
            let life = self.lives.entry(worker.handle.clone()).or_insert_with(|| Life {
                identity: worker.identity,
                cluster: worker.cluster.clone(),
                token: worker.token.clone(),
            });
            let pid = life.identity.pid;
            if life.identity != worker.identity {
                self.breach(format!("{worker}, was launched before, as process {pid}"));
            }
        }
    }

    fn breach(&mut self, what: String) {
        if self.breaches.len() < BREACHES && !self.breaches.contains(&what) {
            self.breaches.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::{census, worker};

    fn seen(looks: &[(u32, Census)]) -> Vec<String> {
        let mut seen = Seen::default();
        let mut before = Look::default();
        for (ceiling, census) in looks {
            seen.ceilings.insert("one".to_owned(), *ceiling);
            let look = Look { ceilings: seen.ceilings.clone(), census: census.clone() };
            seen.take_in(&before, &look);
            before = look;
        }
        seen.breaches
    }

    #[test]
    fn too_many_at_once_are_seen() {
        let three = census(&[worker(1, "t-0", 1), worker(2, "t-1", 2)]);
        assert_eq!(seen(&[(3, three.clone()), (3, three.clone())]), [""; 0]);
        assert_eq!(seen(&[(2, three.clone()), (2, three.clone())]).len(), 1);
        assert_eq!(seen(&[(3, three.clone()), (2, three.clone())]), [""; 0], "it was allowed when it began");
        assert_eq!(seen(&[(3, three.clone()), (2, three.clone()), (2, three)]).len(), 1);
    }

    #[test]
    fn one_that_goes_while_another_comes_is_not_counted_with_it() {
        let first = census(&[worker(1, "t-0", 1)]);
        let both = census(&[worker(1, "t-0", 1), worker(2, "t-1", 1)]);
        let second = census(&[worker(2, "t-1", 1)]);
        assert_eq!(seen(&[(1, first), (1, both), (1, second)]), [""; 0]);
    }

    #[test]
    fn a_second_life_is_seen() {
        let breaches = seen(&[(9, census(&[worker(1, "t-0", 1)])), (9, census(&[worker(2, "t-0", 1)]))]);
        assert_eq!(breaches.len(), 1, "{breaches:?}");
        assert!(breaches[0].contains("was launched before, as process 1"), "{breaches:?}");
    }
}
