//! Workers that are watched from outside the provider's answers, through the witnesses that they run where they can run one.

use std::time::{Duration, Instant};

use longshore_plugin_api::{Clause, RunRequest, WorkerStatus};

use crate::{
    bench::Bench,
    subject::{Handle, Subject},
    texts::shown,
    verdict::{Must as _, Verdict, breach, demand},
    witness::{Temper, Witness, Witnesses},
};

/// For how long a check watches that something does not happen.
pub(crate) const WATCH: Duration = Duration::from_millis(300);

/// How long after its worker was seen to have stopped a witness's connection may still stand: the news has a way to go.
pub(crate) const NEWS: Duration = Duration::from_secs(2);

/// What a check sees of workers beyond the provider's answers: all that witnesses tell, or nothing where workers run none.
#[derive(Debug)]
pub(crate) struct Eyes<'b> {
    bench: &'b Bench,
    witnesses: Option<Witnesses>,
}

/// The workers of one launch, a container each, and the witnesses that they run.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) cluster: String,
    pub(crate) handles: Vec<Handle>,
    /// As many as handles, in no order; none where workers run no witness.
    pub(crate) witnesses: Vec<Witness>,
}

/// A request for workers of the plain container, each in a container of its own.
pub(crate) fn apart(bench: &Bench, workers: u32) -> RunRequest {
    let mut request = bench.request(workers);
    request.container.max_workers = None;
    request
}

impl<'b> Eyes<'b> {
    /// Eyes that see where anything is to be seen.
    pub(crate) fn open(bench: &'b Bench) -> Verdict<Self> {
        let witnesses = if bench.quirks().witness.is_some() { Some(bench.witnesses()?) } else { None };
        Ok(Self { bench, witnesses })
    }

    /// Eyes that see; a reason to skip where workers can run no witness.
    pub(crate) fn seeing(bench: &'b Bench) -> Verdict<Self> {
        Ok(Self { bench, witnesses: Some(bench.witnesses()?) })
    }

    /// Launches workers, a container each, and waits until their witnesses have reported.
    pub(crate) fn launch(
        &self,
        subject: &Subject<'b>,
        cluster: &str,
        workers: u32,
        temper: Temper,
    ) -> Verdict<Crew> {
        let mut request = apart(self.bench, workers);
        if let Some(witnesses) = &self.witnesses {
            request.container = witnesses.container(temper, &[], &[])?;
            request.container.max_workers = None;
        }
        let handles = subject.up_of(cluster, &request)?;
        Ok(Crew { cluster: cluster.to_owned(), witnesses: self.report(handles.len())?, handles })
    }

    /// So many witnesses of workers that have been launched; none where workers run no witness.
    pub(crate) fn report(&self, count: usize) -> Verdict<Vec<Witness>> {
        let Some(witnesses) = &self.witnesses else { return Ok(Vec::new()) };
        let heard = witnesses.expect(count)?;
        let expected = "a worker runs the command of its container, with its arguments";
        demand(heard.len() == count, Clause::RunEnvironment, expected, || {
            format!(
                "of {count} workers {} ran the witness program and reached the check within {:?} (`start` of the quirks \
                 file; `[witness]` says how a worker runs and reaches it)",
                heard.len(),
                self.bench.quirks().start
            )
        })?;
        Ok(heard)
    }

    /// As many witnesses as report in the time that a worker may take to start, and so many at most.
    pub(crate) fn hear(&self, count: usize) -> Verdict<Vec<Witness>> {
        self.witnesses.as_ref().map_or_else(|| Ok(Vec::new()), |witnesses| witnesses.expect(count))
    }

    /// Demands that nobody else reports for so long: no worker is started again.
    pub(crate) fn nobody_comes(&self, limit: Duration, clause: Clause, expected: &str) -> Verdict {
        let Some(witnesses) = &self.witnesses else { return Ok(()) };
        match witnesses.hear(1, limit)?.first() {
            None => Ok(()),
            Some(witness) => {
                let handle =
                    witness.hello.variable("LONGSHORE_HANDLE").unwrap_or("a handle that it was not told");
                let seen = format!(
                    "the program of a worker was started once more: process {}, of {handle}",
                    witness.hello.pid
                );
                breach(clause, expected, seen)
            }
        }
    }
}

impl Crew {
    /// Demands that every worker is alive: by status, and by its witness.
    pub(crate) fn is_well(&self, subject: &Subject<'_>, clause: Clause, expected: &str) -> Verdict {
        let statuses = subject.status(&self.cluster, &self.handles).must(clause, expected)?;
        if let Some(place) = statuses.iter().position(|status| *status == WorkerStatus::Stopped) {
            let seen =
                format!("the worker {} of the cluster {} has stopped", self.handles[place], self.cluster);
            return breach(clause, expected, seen);
        }
        self.is_seen(clause, expected)
    }

    /// Demands that every witness is alive.
    pub(crate) fn is_seen(&self, clause: Clause, expected: &str) -> Verdict {
        let alive = self.alive();
        demand(alive == self.witnesses.len(), clause, expected, || {
            format!(
                "of the programs of {} workers {alive} are alive, though status does not say that any has stopped: {}",
                self.witnesses.len(),
                some(&self.handles)
            )
        })
    }

    /// How many of the witnesses are alive.
    pub(crate) fn alive(&self) -> usize {
        self.witnesses.iter().filter(|witness| witness.is_alive()).count()
    }

    /// Demands that all workers have stopped by `end`, by status and by their witnesses.
    pub(crate) fn is_gone(&self, subject: &Subject<'_>, clause: Clause, end: Instant) -> Verdict {
        subject.wait_stopped(&self.cluster, &self.handles, clause)?;
        all_end(&self.witnesses, &self.handles, clause, end)
    }
}

/// Demands that witnesses have ended by `end`, or soon after now where that is later: status has said so already.
pub(crate) fn all_end(witnesses: &[Witness], of: &[Handle], clause: Clause, end: Instant) -> Verdict {
    let end = end.max(Instant::now() + NEWS);
    for witness in witnesses {
        let limit = end.saturating_duration_since(Instant::now());
        let expected = "the programs of a worker that was killed have ended within the grace";
        demand(witness.ends_within(limit), clause, expected, || {
            format!("status says stopped, and process {} is alive: of {}", witness.hello.pid, some(of))
        })?;
    }
    Ok(())
}

/// Looks again and again for as long as [`WATCH`].
pub(crate) fn watch(bench: &Bench, mut look: impl FnMut() -> Verdict) -> Verdict {
    watch_for(bench, WATCH, &mut look)
}

/// Looks again and again for so long.
pub(crate) fn watch_for(bench: &Bench, limit: Duration, mut look: impl FnMut() -> Verdict) -> Verdict {
    bench.poll(limit, || look().map(|()| None::<()>)).map(drop)
}

/// A few of many handles, for a person.
pub(crate) fn some(handles: &[Handle]) -> String {
    const FEW: usize = 4;
    let few: Vec<String> = handles.iter().take(FEW).map(|handle| shown(handle)).collect();
    let more = handles.len().saturating_sub(FEW);
    if more == 0 { few.join(", ") } else { format!("{} and {more} more", few.join(", ")) }
}
