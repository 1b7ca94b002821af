//! What a list must say: the launches of a cluster, as their runs answered, less what was killed since.

use std::collections::BTreeMap;

use longshore_plugin_api::{Clause, LaunchToken, ListedHandle, RunRequest};

use crate::{
    bench::Bench,
    subject::{Handle, Subject},
    verdict::{Verdict, breach, demand},
};

/// What the contract has a list say.
pub(crate) const COMPLETE: &str =
    "list names every live handle of the cluster once, with its launch's token and the handle's worker count";
pub(crate) const ONLY_OURS: &str = "list names no other cluster's handles, and none that is stopped";

/// The live containers of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live(BTreeMap<Handle, (LaunchToken, u32)>);

impl Live {
    /// Launches, and counts what was launched in.
    pub(crate) fn launch(
        &mut self,
        subject: &Subject<'_>,
        cluster: &str,
        request: &RunRequest,
    ) -> Verdict<Vec<Handle>> {
        let made = subject.whole(cluster, request)?;
        let handles = made.iter().map(|(handle, _)| Handle::clone(handle)).collect();
        self.0.extend(made.into_iter().map(|(handle, workers)| (handle, (request.token.clone(), workers))));
        Ok(handles)
    }

    /// No longer counts on handles that were killed.
    pub(crate) fn forget(&mut self, handles: &[Handle]) {
        for handle in handles {
            self.0.remove(handle);
        }
    }

    /// Counts on what somebody else launched as well.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.0.keys().cloned().collect()
    }

    /// Asks for the list and demands that it says this and nothing else. `clause` is broken by what is missing or wrong.
    pub(crate) fn demand(&self, subject: &Subject<'_>, cluster: &str, clause: Clause) -> Verdict {
        self.compare(&subject.listed(cluster, clause)?, clause)
    }

    /// Demands that a list says this and nothing else.
    pub(crate) fn compare(&self, listed: &[ListedHandle], clause: Clause) -> Verdict {
        let by_handle: BTreeMap<&str, &ListedHandle> =
            listed.iter().map(|entry| (entry.handle.as_str(), entry)).collect();
        let mut missing = self.0.keys().filter(|handle| !by_handle.contains_key(&***handle));
        if let Some(first) = missing.next() {
            let count = missing.count() + 1;
            let (token, _) = &self.0[first];
            let seen = format!(
                "{count} of {} live handles are not listed, {first} of the launch {token} among them; listed are {}",
                self.0.len(),
                listed.len()
            );
            return breach(clause, COMPLETE, seen);
        }
        for entry in listed {
            let Some((token, workers)) = self.0.get(entry.handle.as_str()) else {
                return self.stranger(entry);
            };
            demand(entry.token == *token, clause, COMPLETE, || {
                format!("{} of the launch {token} is listed with the token {}", entry.handle, entry.token)
            })?;
            demand(entry.workers == *workers, clause, COMPLETE, || {
                let (handle, listed) = (&entry.handle, entry.workers);
                format!("run answered with {handle} for {workers} workers; it is listed with {listed}")
            })?;
        }
        Ok(())
    }

    /// What is listed, and was neither reported by a run nor left alive.
    fn stranger(&self, entry: &ListedHandle) -> Verdict {
        let ListedHandle { handle, token, workers } = entry;
        let seen = format!(
            "{handle} is listed, with {workers} workers and the token {token}, and is none of the {} live handles",
            self.0.len()
        );
        breach(Clause::ListOnlyOurs, ONLY_OURS, seen)
    }
}

/// A request for so many workers, at most so many of them in a container.
pub(crate) fn shared(bench: &Bench, workers: u32, max_workers: u32) -> RunRequest {
    let mut request = bench.request(workers);
    request.container.max_workers = Some(max_workers);
    request
}
