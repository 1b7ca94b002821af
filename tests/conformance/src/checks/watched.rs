//! Workers that are looked at from several sides while something is done that must not touch them: their status, the list,
//! and, where workers can run one, their own witness.

use std::time::{Duration, Instant};

use longshore_plugin_api::{Clause, WorkerStatus};

use crate::{
    bench::Bench,
    checks::list::expected::Live,
    subject::{Handle, Subject},
    verdict::{Must as _, Verdict, breach, demand},
    witness::{Temper, Witness},
};

/// How long a check watches that something does not happen.
pub(crate) const WATCH: Duration = Duration::from_millis(300);

/// Running workers of a cluster.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) cluster: String,
    pub(crate) live: Live,
    witnesses: Vec<Witness>,
}

impl Watched {
    /// Launches workers and waits until they run.
    pub(crate) fn launch(bench: &Bench, subject: &Subject<'_>, workers: u32) -> Verdict<Self> {
        let cluster = bench.cluster();
        let mut live = Live::default();
        let mut witnesses = Vec::new();
        if bench.quirks().witness.is_some() {
            let ears = bench.witnesses()?;
            let request = bench.request_of(ears.container(Temper::Meek, &[], &[])?, workers);
            live.launch(subject, &cluster, &request)?;
            // That all of them report is the business of other checks.
            witnesses = ears.expect(workers as usize)?;
        } else {
            live.launch(subject, &cluster, &bench.request(workers))?;
        }
        subject.wait_running(&cluster, &live.handles(), Clause::StatusValue)?;
        if subject.provider().has_list() {
            // What it leaves out by itself is not taken for anything else's doing.
            live.demand(subject, &cluster, Clause::ListComplete)?;
        }
        Ok(Self { cluster, live, witnesses })
    }

    /// Demands that every one of them runs, is listed, and has gone on running, and watches for a while that it stays so.
    /// `after` says what was done: "after a cleanup".
    pub(crate) fn unharmed(
        &self,
        bench: &Bench,
        subject: &Subject<'_>,
        clause: Clause,
        after: &str,
    ) -> Verdict {
        let end = Instant::now() + WATCH;
        loop {
            let is_last = Instant::now() >= end;
            self.run(subject, clause, after)?;
            if is_last {
                break;
            }
            std::thread::sleep(bench.quirks().poll);
        }
        if subject.provider().has_list() {
            self.live.compare(&subject.listed(&self.cluster, clause)?, clause)?;
        }
        Ok(())
    }

    fn run(&self, subject: &Subject<'_>, clause: Clause, after: &str) -> Verdict {
        let expected = format!("every worker that ran goes on running {after}");
        let handles = self.live.handles();
        let statuses = subject.status(&self.cluster, &handles).must(clause, &expected)?;
        let changed = handles.iter().zip(statuses).find(|(_, status)| *status != WorkerStatus::Running);
        if let Some((handle, status)) = changed {
            let seen =
                format!("the worker {handle} of the cluster {} was running and is {status}", self.cluster);
            return breach(clause, expected, seen);
        }
        let dead = self.witnesses.iter().find(|witness| !witness.is_alive());
        demand(dead.is_none(), clause, &expected, || {
            let pid = dead.map_or(0, |witness| witness.hello.pid);
            format!(
                "status says that all are running; the process {pid} of a worker of the cluster {} has ended all the same",
                self.cluster
            )
        })
    }

    /// Kills them, and demands that this is still possible: that they stop, and really end.
    pub(crate) fn end(&self, bench: &Bench, subject: &Subject<'_>, clause: Clause, after: &str) -> Verdict {
        let handles: Vec<Handle> = self.live.handles();
        subject.kill_all(&self.cluster, &handles, clause)?;
        subject.wait_stopped(&self.cluster, &handles, clause)?;
        let grace = bench.quirks().grace;
        let alive = self.witnesses.iter().find(|witness| !witness.ends_within(grace));
        demand(alive.is_none(), clause, format_args!("a worker can be killed as before {after}"), || {
            let pid = alive.map_or(0, |witness| witness.hello.pid);
            format!("status says that it has stopped; its process {pid} is alive {grace:?} after the kill")
        })
    }
}
