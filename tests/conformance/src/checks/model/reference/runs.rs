//! What a run may answer, for the first time and when its token is sent again.

use std::collections::BTreeSet;

use longshore_plugin_api::{Clause, ErrorKind, RunRequest};
use longshore_providers::{CallError, Launched};

use crate::{
    subject::Handle,
    verdict::{Must as _, Verdict, breach, demand},
};

use super::{Launch, Reference, Worker};

impl Reference {
    /// A run of a fresh token was answered.
    pub(in super::super) fn launched(
        &mut self,
        cluster: usize,
        request: &RunRequest,
        answer: Result<Launched, CallError>,
    ) -> Verdict {
        let expected = format!("a run of {} workers launches them", request.workers);
        let launched = answer.must(Clause::RunCount, &expected)?;
        let number = self.launches.len();
        let mut reused = None;
        for (handle, workers) in &launched.handles {
            if self.workers.contains_key(handle) || self.past.contains(handle) {
                reused.get_or_insert_with(|| Handle::clone(handle));
                continue;
            }
            let worker = Worker {
                cluster,
                launch: number,
                workers: *workers,
                seen: None,
                seen_by: BTreeSet::new(),
                killed: None,
                refused: false,
            };
            self.workers.insert(Handle::clone(handle), worker);
            self.order[cluster].push(Handle::clone(handle));
        }
        self.launches.push(Launch {
            cluster,
            request: request.clone(),
            handles: launched.handles,
            again: false,
            lives: self.lives.clone(),
        });
        if let Some(handle) = reused {
            let seen =
                format!("run answered with {}, which an earlier run had answered with", self.name(&handle));
            return breach(Clause::RunFresh, Clause::RunFresh.text(), seen);
        }
        if let Some(shortfall) = launched.shortfall {
            let seen = format!(
                "it fell short: {}; where fewer may be had, say `most_workers` in the quirks file",
                shortfall.reason
            );
            return breach(Clause::RunCount, expected, seen);
        }
        Ok(())
    }

    /// A run was answered whose token had been sent before.
    pub(in super::super) fn again(&mut self, launch: usize, answer: Result<Launched, CallError>) -> Verdict {
        self.launches[launch].again = true;
        let Launch { request, handles, .. } = &self.launches[launch];
        let token = &request.token;
        let expected = if self.facts.idempotent {
            "a token that is sent again is answered with the first launch's handles, as the metadata say `idempotent_run`"
        } else {
            "a token that is sent again is refused with the kind `permanent`, as the metadata do not say `idempotent_run`"
        };
        match answer {
            Ok(launched) if self.facts.idempotent => {
                let mut first = handles.clone();
                let mut second = launched.handles;
                first.sort_unstable();
                second.sort_unstable();
                demand(first == second, Clause::RunOnce, expected, || {
                    format!(
                        "the first answer for {token} was {}, the second {}",
                        words(&first),
                        words(&second)
                    )
                })
            }
            Ok(launched) => {
                let seen = format!("it was answered with {}", words(&launched.handles));
                breach(Clause::RunOnce, expected, seen)
            }
            Err(CallError::Failed(error)) if error.kind() == ErrorKind::Permanent => {
                let alive = handles.iter().find(|(handle, _)| !self.workers[handle].may_stop());
                demand(!self.facts.idempotent || alive.is_none(), Clause::RunOnce, expected, || {
                    let name = alive.map_or_else(String::new, |(handle, _)| self.name(handle));
                    format!(
                        "it was refused for good, which says that nothing of {token} is alive, and {name} is"
                    )
                })
            }
            Err(other) => Err(other).must(Clause::RunOnce, expected),
        }
    }
}

/// Handles and their workers, in a few words.
fn words(handles: &[(Handle, u32)]) -> String {
    if handles.is_empty() {
        return "nothing".to_owned();
    }
    let all: Vec<String> = handles
        .iter()
        .map(
            |(handle, workers)| {
                if *workers == 1 { handle.to_string() } else { format!("{handle} ×{workers}") }
            },
        )
        .collect();
    all.join(", ")
}
