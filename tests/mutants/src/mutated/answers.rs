//! Answers that are other than the truth.

use longshore_plugin_api::{Context, Error, LaunchToken, ListedHandle, Provider as _, WorkerStatus};

use super::Mutated;
use crate::mutation::Mutation;

/// How many handles are answered or listed where an answer is cut short.
const STATUS_CUT: usize = 1_000;
const LIST_CUT: usize = 50;

/// Whether a handle has something in it that a plain one has not.
pub(crate) fn is_odd(handle: &str) -> bool {
    handle.is_empty() || !handle.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
}

impl Mutated {
    /// What `status` begins from.
    pub(super) fn true_status(
        &self,
        ctx: &Context<'_>,
        handles: &[&str],
    ) -> Result<Vec<WorkerStatus>, Error> {
        if self.is(Mutation::OutageIsStopped) && self.honest.settings.outage {
            return Ok(vec![WorkerStatus::Stopped; handles.len()]);
        }
        let mut statuses = self.honest.status(ctx, handles)?;
        if self.is(Mutation::NearMissIsKnown) {
            for (status, handle) in statuses.iter_mut().zip(handles) {
                if *status == WorkerStatus::Stopped
                    && let Some(near) = self.honest.near(ctx.cluster(), handle)?
                {
                    *status = self.honest.status_of(ctx.cluster(), &near)?;
                }
            }
        }
        if self.is(Mutation::UnknownIsRunning) {
            for (status, handle) in statuses.iter_mut().zip(handles) {
                if *status == WorkerStatus::Stopped && !self.honest.knows(ctx.cluster(), handle)? {
                    *status = WorkerStatus::Running;
                }
            }
        }
        Ok(statuses)
    }

    pub(super) fn bend_status(
        &self,
        ctx: &Context<'_>,
        handles: &[&str],
        mut statuses: Vec<WorkerStatus>,
    ) -> Result<Vec<WorkerStatus>, Error> {
        match self.bend {
            Some(Mutation::StatusIsReversed) => statuses.reverse(),
            Some(Mutation::StatusLeavesOneOut) => drop(statuses.pop()),
            Some(Mutation::StatusForNone) if handles.is_empty() => statuses.push(WorkerStatus::Stopped),
            Some(Mutation::StatusIsCutShort) => statuses.truncate(STATUS_CUT),
            Some(Mutation::UnknownIsAnError) => {
                for handle in handles {
                    if !self.honest.knows(ctx.cluster(), handle)? {
                        return Err(Error::other(format_args!("there is no worker {handle}")));
                    }
                }
            }
            Some(Mutation::OddTextPanics) => {
                let odd = handles.iter().find(|handle| is_odd(handle));
                assert!(odd.is_none(), "a handle that no worker can have: {odd:?}");
            }
            _ => {}
        }
        Ok(statuses)
    }

    /// What the predicates begin from; nothing where none of them is to say yes.
    pub(super) fn predicate_statuses(
        &self,
        ctx: &Context<'_>,
        handles: &[&str],
    ) -> Result<Vec<Option<WorkerStatus>>, Error> {
        if self.is(Mutation::OutagePredicatesSayStopped) && self.honest.settings.outage {
            return Ok(vec![Some(WorkerStatus::Stopped); handles.len()]);
        }
        let mut statuses: Vec<_> = self.true_status(ctx, handles)?.into_iter().map(Some).collect();
        for (status, handle) in statuses.iter_mut().zip(handles) {
            match self.bend {
                Some(Mutation::PredicatesSkipInitializing) if *status == Some(WorkerStatus::Initializing) => {
                    *status = Some(WorkerStatus::Running);
                }
                Some(Mutation::PredicatesKnowNoUnknown) if !self.honest.knows(ctx.cluster(), handle)? => {
                    *status = None;
                }
                Some(Mutation::PredicatesRemember) => {
                    let seen = status.unwrap_or(WorkerStatus::Stopped);
                    *status = Some(*self.state().predicates.entry((*handle).to_owned()).or_insert(seen));
                }
                _ => {}
            }
        }
        Ok(statuses)
    }

    pub(super) fn bend_predicate(&self, wanted: WorkerStatus, mut answers: Vec<bool>) -> Vec<bool> {
        match (self.bend, wanted) {
            (Some(Mutation::PredicateLeavesOneOut), WorkerStatus::Stopped) => drop(answers.pop()),
            (Some(Mutation::PredicateIsReversed), WorkerStatus::Running) => answers.reverse(),
            (Some(Mutation::PredicateForNone), WorkerStatus::Initializing) if answers.is_empty() => {
                answers.push(false);
            }
            _ => {}
        }
        answers
    }

    pub(super) fn bend_list(
        &self,
        ctx: &Context<'_>,
        mut listed: Vec<ListedHandle>,
    ) -> Result<Vec<ListedHandle>, Error> {
        let (honest, cluster) = (&self.honest, ctx.cluster());
        match self.bend {
            Some(Mutation::ListLeavesOneOut) => drop(listed.pop()),
            Some(Mutation::ListHasOneTwice) => listed.extend(listed.first().cloned()),
            Some(Mutation::ListHasAWrongToken) => {
                for entry in &mut listed {
                    entry.token = LaunchToken::new("a-token-of-nobody-s");
                }
            }
            Some(Mutation::ListMiscounts) => listed.iter_mut().for_each(|entry| entry.workers = 1),
            Some(Mutation::ListHidesInitializing) => {
                let mut shown = Vec::new();
                for entry in listed {
                    if honest.status_of(cluster, &entry.handle)? != WorkerStatus::Initializing {
                        shown.push(entry);
                    }
                }
                return Ok(shown);
            }
            Some(Mutation::ListHidesLaunchesUnderWay) => {
                let mut shown = Vec::new();
                for entry in listed {
                    let record = honest.folder.launch(cluster, launch_of(&entry.handle))?;
                    if record.is_some_and(|record| record.settled.is_some()) {
                        shown.push(entry);
                    }
                }
                return Ok(shown);
            }
            Some(Mutation::ListIsCutShort) => listed.truncate(LIST_CUT),
            Some(Mutation::ListHasOtherClusters) => {
                listed.extend(honest.listed_of(|other| other != cluster)?);
            }
            Some(Mutation::ListHasSimilarClusters) => {
                listed.extend(honest.listed_of(|other| other != cluster && other.starts_with(cluster))?);
            }
            Some(Mutation::ListHasTheStopped) => listed.extend(honest.stopped_of(cluster)?),
            Some(Mutation::ListForgetsAfterDrop) => {
                listed.retain(|entry| honest.is_own(launch_of(&entry.handle)));
            }
            _ => {}
        }
        Ok(listed)
    }
}

/// The launch's name in a handle.
pub(super) fn launch_of(handle: &str) -> &str {
    handle.rsplit_once('.').map_or(handle, |(name, _)| name)
}

impl crate::specimen::Specimen {
    /// What `list` would say for all clusters that are wanted.
    fn listed_of(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<ListedHandle>, Error> {
        let mut listed = Vec::new();
        for record in self.folder.all()?.iter().filter(|record| wanted(&record.intent.cluster)) {
            listed.extend(self.entries(record, |status| status != WorkerStatus::Stopped)?);
        }
        Ok(listed)
    }

    /// The handles of a cluster that have stopped.
    fn stopped_of(&self, cluster: &str) -> Result<Vec<ListedHandle>, Error> {
        let mut listed = Vec::new();
        for record in self.folder.of_cluster(cluster)? {
            listed.extend(self.entries(&record, |status| status == WorkerStatus::Stopped)?);
        }
        Ok(listed)
    }
}
