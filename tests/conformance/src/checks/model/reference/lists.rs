//! What a list must name, and what it means where it names others.

use std::collections::BTreeSet;

use longshore_plugin_api::{Clause, LaunchToken, ListedHandle, WorkerStatus};

use crate::{
    subject::Handle,
    verdict::{Verdict, breach, demand},
};

use super::Reference;

impl Reference {
    /// A list was answered. The handles that it lacks: of those who are alive after it, it had to name each.
    pub(in super::super) fn listed(&self, cluster: usize, entries: &[ListedHandle]) -> Verdict<Vec<Handle>> {
        for entry in entries {
            self.listed_one(cluster, entry)?;
        }
        let listed: BTreeSet<&str> = entries.iter().map(|entry| entry.handle.as_str()).collect();
        let missing = self.not_stopped(cluster).into_iter().filter(|handle| !listed.contains(&**handle));
        Ok(missing.collect())
    }

    /// An instance did not list a handle that is alive.
    pub(in super::super) fn unlisted(
        &self,
        instance: usize,
        handle: &Handle,
        status: WorkerStatus,
    ) -> Verdict {
        let Some(worker) = self.workers.get(handle) else { return Ok(()) };
        let was_renewed = self.launches[worker.launch].lives[instance] < self.lives[instance];
        let clause = if was_renewed { Clause::ListSurvives } else { Clause::ListComplete };
        let seen = format!("{} was not listed, and its status afterwards is {status}", self.name(handle));
        breach(clause, clause.text(), seen)
    }

    fn listed_one(&self, cluster: usize, entry: &ListedHandle) -> Verdict {
        let ListedHandle { handle, token, workers } = entry;
        let handle = Handle::from(handle.as_str());
        let name = self.name(&handle);
        let Some(worker) = self.workers.get(&handle) else {
            let (clause, why) = self.stranger(cluster, token);
            let seen =
                format!("`{handle}` is listed, with {workers} workers and the token {token}, and {why}");
            return breach(clause, clause.text(), seen);
        };
        demand(worker.cluster == cluster, Clause::ListOnlyOurs, Clause::ListOnlyOurs.text(), || {
            format!("{name} is listed for c{}", cluster + 1)
        })?;
        demand(!worker.is_stopped(), Clause::ListOnlyOurs, Clause::ListOnlyOurs.text(), || {
            format!("{name} had stopped, and is listed")
        })?;
        let of = &self.launches[worker.launch].request.token;
        demand(
            of == token && worker.workers == *workers,
            Clause::ListComplete,
            Clause::ListComplete.text(),
            || {
                format!(
                    "{name} holds {} workers of {of}, and is listed with {workers} workers of {token}",
                    worker.workers
                )
            },
        )
    }

    /// What it means that a handle is listed that no run answered with.
    fn stranger(&self, cluster: usize, token: &LaunchToken) -> (Clause, String) {
        let Some(launch) = self.launches.iter().find(|launch| launch.request.token == *token) else {
            return (
                Clause::RunNeverMore,
                "nobody sent that token, so that it is more than was asked for".to_owned(),
            );
        };
        if launch.cluster != cluster {
            return (Clause::ListOnlyOurs, format!("that token is one of c{}", launch.cluster + 1));
        }
        match launch.request.workers {
            _ if launch.again => (
                Clause::RunOnce,
                "the first run under that token, which was sent again, did not name it".to_owned(),
            ),
            0 => (Clause::RunZero, "the run under that token asked for no workers".to_owned()),
            asked => (
                Clause::RunNeverMore,
                format!("the run under that token asked for {asked} workers and did not name it"),
            ),
        }
    }
}
