//! Where a mutation changes what the specimen does in its depth: names, statuses, the order of a process. An honest specimen
//! takes none of these ways.

use std::{borrow::Cow, time::Duration};

use longshore_plugin_api::{self as api, Context, Error, WorkerStatus};

use super::{
    Folder, Specimen, folder,
    process::{self, TAG},
    record::{Container, Line, Made, Moment, Record},
};
use crate::mutation::Mutation;

/// How long after its launch a worker is said not to be known, where that is the mutation.
const UNKNOWN_FOR: Duration = Duration::from_millis(500);
const UNKNOWN_ELSEWHERE_FOR: Duration = Duration::from_secs(1);
/// When after its launch a worker is said to be initializing once more.
const BACK: std::ops::Range<Duration> = Duration::from_millis(200)..Duration::from_millis(900);
/// How long after its end a worker is there again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long a killed worker goes on, at first and when it was killed twice.
const PUT_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

impl Specimen {
    /// The status of a container of a launch.
    pub(crate) fn status_in(&self, record: &Record, index: u32) -> Result<WorkerStatus, Error> {
        let status = self.plain_status_in(record, index)?;
        let age = record.intent.at.elapsed();
        let container = record.containers.get(index as usize);
        Ok(match self.bend {
            Some(Mutation::NewHandleIsUnknown) if age < UNKNOWN_FOR => WorkerStatus::Stopped,
            Some(Mutation::NewHandleIsUnknownElsewhere)
                if age < UNKNOWN_ELSEWHERE_FOR && !self.is_own(&record.intent.name) =>
            {
                WorkerStatus::Stopped
            }
            Some(Mutation::StatusGoesBack) if BACK.contains(&age) && status == WorkerStatus::Running => {
                WorkerStatus::Initializing
            }
            Some(Mutation::StatusNeverRuns) if status == WorkerStatus::Running => WorkerStatus::Initializing,
            Some(Mutation::StoppedRunsAgain)
                if container.is_some_and(|it| it.over.is_some_and(|at| at.elapsed() >= AGAIN_AFTER)) =>
            {
                WorkerStatus::Running
            }
            Some(Mutation::SecondKillPutsItOff) => {
                match container.and_then(|it| it.over.map(|at| (it, at))) {
                    Some((it, _)) if it.over_again.is_some_and(|at| at.elapsed() < PUT_OFF.1) => {
                        WorkerStatus::Running
                    }
                    Some((it, at)) if it.over_again.is_none() && at.elapsed() < PUT_OFF.0 => {
                        WorkerStatus::Running
                    }
                    _ => status,
                }
            }
            Some(Mutation::EndedRunsAgain)
                if status == WorkerStatus::Stopped
                    && container.is_some_and(Container::has_ended_by_itself) =>
            {
                self.ended_again(&record.intent.handle(index))
            }
            _ => status,
        })
    }

    /// The status that decides whether a handle is listed: what a mutant says wrongly of new handles it lists all the same.
    pub(crate) fn listed_status(&self, record: &Record, index: u32) -> Result<WorkerStatus, Error> {
        match self.bend {
            Some(Mutation::NewHandleIsUnknown | Mutation::NewHandleIsUnknownElsewhere) => {
                self.plain_status_in(record, index)
            }
            _ => self.status_in(record, index),
        }
    }

    /// The status of a worker that has ended by itself: stopped when that is seen first, and running a while later.
    fn ended_again(&self, handle: &str) -> WorkerStatus {
        if self.own.seen_since(handle).elapsed() < AGAIN_AFTER {
            WorkerStatus::Stopped
        } else {
            WorkerStatus::Running
        }
    }

    /// Whether a second kill of a worker is written down.
    pub(crate) fn notes_every_kill(&self) -> bool {
        self.bend == Some(Mutation::SecondKillPutsItOff)
    }

    /// The live handle of the cluster that a text differs from by one character.
    pub(crate) fn near(&self, cluster: &str, text: &str) -> Result<Option<String>, Error> {
        for record in self.folder.of_cluster(cluster)? {
            for index in 0..record.intent.containers() {
                let handle = record.intent.handle(index);
                if differs_by_one(&handle, text)
                    && self.plain_status_in(&record, index)? != WorkerStatus::Stopped
                {
                    return Ok(Some(handle));
                }
            }
        }
        Ok(None)
    }

    /// Whether a handle was ever given out, as far as its launch is still there.
    pub(crate) fn knows(&self, cluster: &str, handle: &str) -> Result<bool, Error> {
        let Some((name, index)) = folder::parse_handle(handle) else { return Ok(false) };
        Ok(self.folder.launch(cluster, name)?.is_some_and(|record| index < record.made()))
    }

    /// Live containers of clusters, so many at most.
    pub(crate) fn live(&self, of: impl Fn(&str) -> bool, most: usize) -> Result<Vec<(Record, u32)>, Error> {
        let mut live = Vec::new();
        for record in self.folder.all()?.into_iter().filter(|record| of(&record.intent.cluster)) {
            for index in 0..record.intent.containers() {
                if live.len() < most && self.status_in(&record, index)? != WorkerStatus::Stopped {
                    live.push((record.clone(), index));
                }
            }
        }
        Ok(live)
    }

    /// Notes what the instance launched itself, which an honest one does not care for.
    pub(crate) fn note_own(&self, name: &str) {
        if self.bend.is_some() {
            self.own.insert(name);
        }
    }

    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.own.contains(name)
    }

    /// The launches of a token.
    pub(super) fn of_token(&self, cluster: &str, token: &str) -> Result<Vec<Record>, Error> {
        if !self.has_bent_names() {
            return self.folder.of_token(cluster, token);
        }
        let mut records = self.folder.of_cluster(cluster)?;
        records.retain(|record| record.intent.token == token);
        Ok(records)
    }

    fn has_bent_names(&self) -> bool {
        matches!(
            self.bend,
            Some(
                Mutation::HandleAgainAfterKill
                    | Mutation::HandleAgainAfterDrop
                    | Mutation::HandleOfTwoClusters
            )
        )
    }

    /// The name of a mutant's launch, where handles are used again.
    pub(super) fn bent_name(&self, ctx: &Context<'_>) -> Result<Option<String>, Error> {
        if !self.has_bent_names() {
            return Ok(None);
        }
        let cluster = ctx.cluster();
        let records = self.folder.of_cluster(cluster)?;
        let used = |name: &str| records.iter().find(|record| record.intent.name == name);
        for number in 0_u32.. {
            let name = format!("again.{number}");
            let is_free = match (self.bend, used(&name)) {
                (Some(Mutation::HandleAgainAfterKill), Some(record)) => !self.any_lives(record)?,
                (Some(Mutation::HandleAgainAfterDrop), Some(record)) => {
                    !self.is_own(&key(cluster, &name)) && !self.any_lives(record)?
                }
                (Some(Mutation::HandleAgainAfterKill), None) => true,
                (_, Some(_)) => false,
                (_, None) => !self.is_own(&key(cluster, &name)),
            };
            if !is_free {
                continue;
            }
            if let Some(record) = used(&name) {
                self.folder.note_ended(ctx, &record.intent)?;
                Folder::remove(&record.path)?;
            }
            self.note_own(&key(cluster, &name));
            return Ok(Some(name));
        }
        Err(Error::permanent("all names are in use"))
    }

    /// What a worker's process is to be, where that is not what was asked for.
    pub(super) fn bent_order<'a>(
        &self,
        container: &'a api::Container,
        variables: &[(&'static str, String)],
    ) -> (Cow<'a, api::Container>, Vec<(&'static str, String)>) {
        let (mut container, mut variables) = (Cow::Borrowed(container), variables.to_vec());
        match self.bend {
            Some(Mutation::ArgumentsThroughAShell) => {
                let program = container.command.clone().unwrap_or_default();
                let words: Vec<_> = std::iter::once(program).chain(container.args.iter().cloned()).collect();
                let bent = container.to_mut();
                bent.command = Some("/bin/sh".to_owned());
                bent.args = vec!["-c".to_owned(), format!("exec {}", words.join(" "))];
            }
            Some(Mutation::EmptyArgumentsAreLost) => container.to_mut().args.retain(|text| !text.is_empty()),
            Some(Mutation::EnvironmentIsLost) => container.to_mut().env.clear(),
            Some(Mutation::FolderIsIgnored) => container.to_mut().working_dir = None,
            Some(Mutation::LongshoreVariablesAreLost) => variables.retain(|(name, _)| *name == TAG),
            Some(Mutation::ContainerOverridesLongshore) => {
                variables.retain(|(name, _)| !container.env.contains_key(*name));
            }
            Some(Mutation::WorkersAreMiscounted) => {
                for (_, value) in variables.iter_mut().filter(|(name, _)| *name == "LONGSHORE_WORKERS") {
                    let workers: u32 = value.parse().unwrap_or_default();
                    *value = (workers + 1).to_string();
                }
            }
            _ => {}
        }
        (container, variables)
    }

    /// Stops a container without being asked to: what several mutants do to workers that they should leave alone.
    pub(crate) fn stop(record: &Record, index: u32) -> Result<(), Error> {
        let failed = |error: &std::io::Error| folder::unreachable(&record.path, error);
        if let Some(Made::Process(leader)) = record.containers.get(index as usize).and_then(|it| it.made) {
            process::end_at_once(&[(leader, record.intent.handle(index))], Duration::from_secs(10))
                .map_err(|error| failed(&error))?;
        }
        record.append(&Line::Over { indices: vec![index], at: Moment::now() }).map_err(|error| failed(&error))
    }
}

fn key(cluster: &str, name: &str) -> String {
    format!("{cluster}/{name}")
}

/// Whether one character was changed, added or left out.
fn differs_by_one(one: &str, other: &str) -> bool {
    let (one, other): (Vec<_>, Vec<_>) = (one.chars().collect(), other.chars().collect());
    let before = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[before..], &other[before..]);
    let after = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    one.len().max(other.len()) - after == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_character_is_told_from_none_and_two() {
        for (one, other, near) in [
            ("abc", "abd", true),
            ("abc", "abcd", true),
            ("abc", "bc", true),
            ("aab", "ab", true),
            ("abc", "abc", false),
            ("abc", "acb", false),
            ("abc", "", false),
        ] {
            assert_eq!(differs_by_one(one, other), near, "{one} {other}");
            assert_eq!(differs_by_one(other, one), near, "{other} {one}");
        }
    }
}
