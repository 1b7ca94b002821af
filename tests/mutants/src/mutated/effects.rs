//! What is done beside, or instead of, what was asked for.

use std::{
    fs::File,
    io::Write as _,
    os::fd::IntoRawFd as _,
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, atomic::Ordering},
    time::Duration,
};

use longshore_plugin_api::{
    Container, Context, Error, Hardware, Killed, Launch, LaunchToken, Provider as _, RunRequest, Server as _,
    Shortfall, WorkerStatus,
};

use super::{Mutated, ONE, answers::launch_of};
use crate::{
    mutation::Mutation,
    specimen::{Config, Folder, Record, Specimen, random_number},
};

/// How much memory is lost.
const LOST: usize = 1 << 20;
/// How many times a handle may be asked for before a mutant does something about it.
const PATIENCE: u32 = 10;
/// The longest names together that do not make a handle too long, where that is the mutation.
const NAMES: usize = 80;

impl Mutated {
    pub(super) fn before_create(config: &mut Config) -> Result<(), Error> {
        match config.mutation {
            Some(Mutation::OneRootForAll) => {
                static ROOT: OnceLock<PathBuf> = OnceLock::new();
                config.root.clone_from(ROOT.get_or_init(|| config.root.clone()));
            }
            Some(Mutation::OneInstanceAtATime) if ONE.swap(true, Ordering::SeqCst) => {
                return Err(Error::retryable("there is an instance already"));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn after_create(self) -> Result<Self, Error> {
        match self.bend {
            Some(Mutation::DropLeavesAThread) => {
                std::thread::Builder::new()
                    .spawn(|| {
                        loop {
                            std::thread::park();
                        }
                    })
                    .map(drop)?;
            }
            Some(Mutation::DropLeavesADescriptor) => leave_open()?,
            Some(Mutation::InstancesLeakMemory) => lose_memory(),
            _ => {}
        }
        Ok(self)
    }

    pub(super) fn bent_run(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        self.honest.reach()?;
        self.leak()?;
        let at_once = self.memory.runs.fetch_add(1, Ordering::SeqCst) > 0;
        let outcome = self.launch_bent(ctx, request, at_once);
        self.memory.runs.fetch_sub(1, Ordering::SeqCst);
        let mut launch = outcome?;
        self.bend_handles(ctx, request, &mut launch);
        Ok(launch)
    }

    fn launch_bent(&self, ctx: &Context<'_>, request: &RunRequest, at_once: bool) -> Result<Launch, Error> {
        let with = |workers: u32| RunRequest { workers, ..request.clone() };
        let asked = request.workers;
        match self.bend {
            Some(Mutation::FewerWithoutAShortfall) if asked > 0 => {
                let mut launch = self.honest.run(ctx, &with(asked - 1))?;
                launch.shortfall = None;
                Ok(launch)
            }
            Some(Mutation::ShortfallWithAll) if asked > 0 => {
                let mut launch = self.honest.run(ctx, request)?;
                let reason = "there is none".to_owned();
                launch.shortfall.get_or_insert(Shortfall { reason, retryable: true });
                Ok(launch)
            }
            Some(Mutation::DottedClustersAreRefused) if ctx.cluster().contains('.') => {
                Err(Error::permanent("a cluster's name must have no dot"))
            }
            Some(Mutation::LargeRunsLaunchNothing) if asked > u32::from(u16::MAX) => {
                Ok(Launch::complete(Vec::new()))
            }
            Some(Mutation::LaunchesShareAContainer) if asked > 0 => {
                let there = self.honest.live(|cluster| cluster == ctx.cluster(), 1)?;
                let mut launch = self.honest.run(ctx, &with(asked - u32::from(!there.is_empty())))?;
                launch.handles.extend(there.iter().map(|(record, index)| record.intent.handle(*index)));
                Ok(launch)
            }
            Some(Mutation::OneMoreInTheAnswer) if asked > 0 => self.honest.run(ctx, &with(asked + 1)),
            Some(Mutation::OneMoreBehind) if asked > 0 => {
                let launch = self.honest.run(ctx, request)?;
                self.launch_unasked(ctx, request.container.clone())?;
                Ok(launch)
            }
            Some(Mutation::NoneAnswersOne) if asked == 0 => self.honest.run(ctx, &with(1)),
            Some(Mutation::NoneLeavesOne) if asked == 0 => {
                self.launch_unasked(ctx, request.container.clone())?;
                self.honest.run(ctx, request)
            }
            Some(Mutation::ListFailsBesideRun) => {
                let launch = self.honest.run(ctx, request);
                std::thread::sleep(Duration::from_millis(20));
                launch
            }
            Some(Mutation::LaunchesAtOnceAreLost) => {
                let launch = self.honest.run(ctx, request)?;
                // So that those at once are.
                std::thread::sleep(Duration::from_millis(20));
                for handle in launch.handles.iter().filter(|_| at_once) {
                    if let Some(record) = self.honest.folder.launch(ctx.cluster(), launch_of(handle))? {
                        for index in 0..record.intent.containers() {
                            Specimen::stop(&record, index)?;
                        }
                        Folder::remove(&record.path)?;
                    }
                }
                Ok(launch)
            }
            _ => self.honest.run(ctx, request),
        }
    }

    /// Launches a worker that nobody asked for, of a token that nobody gave.
    fn launch_unasked(&self, ctx: &Context<'_>, container: Container) -> Result<(), Error> {
        let token = LaunchToken::new(format!("unasked-{}", random_number()?));
        let request = RunRequest { container, hardware: Hardware::default(), workers: 1, token };
        self.honest.run(ctx, &request).map(drop)
    }

    fn bend_handles(&self, ctx: &Context<'_>, request: &RunRequest, launch: &mut Launch) {
        let names = ctx.cluster().len() + request.token.as_str().len();
        match (self.bend, launch.handles.first_mut()) {
            (Some(Mutation::HandleIsEmpty), Some(first)) => first.clear(),
            (Some(Mutation::HandleHasALineBreak), Some(first)) => first.push('\n'),
            (Some(Mutation::LongNamesMakeLongHandles), Some(first)) if names > NAMES => {
                *first = format!("{first:x<257}");
            }
            (Some(Mutation::FullIsNotTold), Some(_)) if launch.shortfall.is_some() => {
                launch.shortfall = None;
            }
            _ => {}
        }
    }

    /// What a run leaves behind in the process, or in the folder.
    fn leak(&self) -> Result<(), Error> {
        match self.bend {
            Some(Mutation::CyclesLeakThreads) => {
                let stop = Arc::clone(&self.memory.stop);
                let thread = std::thread::Builder::new().spawn(move || {
                    let mut stopped = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
                    while !*stopped {
                        stopped = stop.1.wait(stopped).unwrap_or_else(PoisonError::into_inner);
                    }
                })?;
                self.state().threads.push(thread);
            }
            Some(Mutation::CyclesLeakDescriptors) => leave_open()?,
            Some(Mutation::CyclesLeakMemory) => lose_memory(),
            Some(Mutation::CyclesLeakFiles) => {
                std::fs::write(self.honest.folder.litter(&random_number()?), "")?;
            }
            Some(Mutation::CyclesLeakChildren) => {
                // It ends at once, and nobody takes notice.
                let child = std::process::Command::new("true").spawn()?;
                drop(child);
            }
            Some(Mutation::PrintsToOutput) => {
                let _ = writeln!(std::io::stdout(), "the specimen launches workers");
            }
            Some(Mutation::PrintsToErrors) => {
                let _ = writeln!(std::io::stderr(), "the specimen launches workers");
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn before_status(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<(), Error> {
        if !matches!(self.bend, Some(Mutation::AskingStops | Mutation::AskingLaunches)) {
            return Ok(());
        }
        for handle in handles {
            let times = {
                let mut state = self.state();
                let times = state.asked.entry((*handle).to_owned()).or_default();
                *times += 1;
                *times
            };
            if times == PATIENCE
                && self.is(Mutation::AskingStops)
                && let Some(record) = self.honest.folder.launch(ctx.cluster(), launch_of(handle))?
            {
                let index = handle.rsplit_once('.').and_then(|(_, index)| index.parse().ok());
                Specimen::stop(&record, index.unwrap_or_default())?;
            }
            if times == PATIENCE && self.is(Mutation::AskingLaunches) {
                self.launch_unasked(ctx, Container::default())?;
            }
        }
        Ok(())
    }

    /// A kill in which a handle may fail, as it is told by mutants that tell it wrongly.
    fn kill_with_failures(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        if self.is(Mutation::FailedKillSparesTheOthers) {
            let mut killed = Vec::new();
            for handle in handles {
                let failed = killed.iter().any(|killed| matches!(killed, Killed::No(_)));
                killed.extend(if failed {
                    vec![Killed::No("one before it cannot be killed".to_owned())]
                } else {
                    self.honest.kill(ctx, &[handle])?
                });
            }
            return Ok(killed);
        }
        let mut killed = self.honest.kill(ctx, handles)?;
        let failure = killed.iter().find_map(|killed| match killed {
            Killed::No(why) => Some(why.clone()),
            Killed::Yes => None,
        });
        match (self.bend, failure) {
            (Some(Mutation::FailedKillSaysYes), _) => killed.fill(Killed::Yes),
            (Some(Mutation::FailedKillFailsAll), Some(why)) => return Err(Error::other(why)),
            (Some(Mutation::FailedKillIsToldOfAnother), Some(_)) => killed.rotate_right(1),
            _ => {}
        }
        Ok(killed)
    }

    pub(super) fn bent_kill(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
        if self.is(Mutation::OutageKillSaysYes) && self.honest.settings.outage {
            return Ok(vec![Killed::Yes; handles.len()]);
        }
        self.honest.reach()?;
        let (honest, cluster) = (&self.honest, ctx.cluster());
        if self.bend.is_some_and(is_about_failure) {
            return self.kill_with_failures(ctx, handles);
        }
        if !self.bend.is_some_and(|mutation| mutation.clause().id().starts_with("KILL-")) {
            return honest.kill(ctx, handles);
        }
        let no = |why: &str| Killed::No(why.to_owned());
        // Those that are not killed, and what is answered for them.
        let mut spared: Vec<Option<Killed>> = vec![None; handles.len()];
        for (place, handle) in handles.iter().enumerate() {
            let status = honest.status_of(cluster, handle)?;
            let is_known = || honest.knows(cluster, handle);
            spared[place] = match self.bend {
                Some(Mutation::KillDoesNothing) => Some(Killed::Yes),
                Some(Mutation::KillSparesOthersLaunches) if !honest.is_own(launch_of(handle)) => {
                    Some(Killed::Yes)
                }
                Some(Mutation::InitializingSurvivesKill) if status == WorkerStatus::Initializing => {
                    Some(Killed::Yes)
                }
                Some(Mutation::UnknownKillIsNo) if !is_known()? => Some(no("there is no such worker")),
                Some(Mutation::UnknownKillIsAnError) if !is_known()? => {
                    return Err(Error::permanent(format_args!("there is no worker {handle}")));
                }
                Some(Mutation::StoppedKillIsNo) if status == WorkerStatus::Stopped && is_known()? => {
                    Some(no("it has stopped already"))
                }
                Some(Mutation::KillTakesOneOfSeveral) if self.survives(ctx, handle)? => Some(Killed::Yes),
                Some(Mutation::OddHandleSparesTheOthers)
                    if status != WorkerStatus::Stopped
                        && unknown_before(honest, cluster, &handles[..place])? =>
                {
                    Some(no("a handle before it is not known"))
                }
                Some(Mutation::KillsAtOnceAreTurnedAway)
                    if !self.state().being_killed.insert((*handle).to_owned()) =>
                {
                    Some(no("it is being killed"))
                }
                _ => None,
            };
        }
        let wanted: Vec<&str> = handles
            .iter()
            .zip(&spared)
            .filter(|(_, spared)| spared.is_none())
            .map(|(handle, _)| *handle)
            .collect();
        let also = self.killed_too(ctx, &wanted)?;
        if self.is(Mutation::KillsAtOnceAreTurnedAway) {
            // So that those at once are.
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut killed = honest.kill(ctx, &wanted);
        if self.is(Mutation::KillsAtOnceAreTurnedAway) {
            let mut state = self.state();
            state.being_killed.retain(|handle| !wanted.contains(&handle.as_str()));
        }
        if let Ok(killed) = &mut killed {
            also.iter().try_for_each(|(record, index)| Specimen::stop(record, *index))?;
            killed.reverse();
        }
        let mut killed = killed?;
        let mut answers: Vec<_> =
            spared.into_iter().map(|spared| spared.or_else(|| killed.pop()).unwrap_or(Killed::Yes)).collect();
        match self.bend {
            Some(Mutation::KillLeavesOneOut) => drop(answers.pop()),
            Some(Mutation::KillForNone) if handles.is_empty() => answers.push(Killed::Yes),
            _ => {}
        }
        Ok(answers)
    }

    /// Whether a container of several workers has some left after this kill.
    fn survives(&self, ctx: &Context<'_>, handle: &str) -> Result<bool, Error> {
        let Some(record) = self.honest.folder.launch(ctx.cluster(), launch_of(handle))? else {
            return Ok(false);
        };
        let index = handle.rsplit_once('.').and_then(|(_, index)| index.parse().ok()).unwrap_or_default();
        let mut state = self.state();
        let times = state.killed.entry(handle.to_owned()).or_default();
        *times += 1;
        Ok(*times < record.intent.workers_of(index))
    }

    /// The containers that a mutant stops beside those that it should.
    fn killed_too(&self, ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<(Record, u32)>, Error> {
        let (honest, cluster) = (&self.honest, ctx.cluster());
        let mut also = Vec::new();
        for handle in handles {
            let record = honest.folder.launch(cluster, launch_of(handle))?;
            let index = handle.rsplit_once('.').and_then(|(_, index)| index.parse::<u32>().ok());
            match self.bend {
                Some(Mutation::KillHitsANeighbour) => {
                    let next = index.map(|index| index + 1);
                    also.extend(record.zip(next).filter(|(record, next)| *next < record.intent.containers()));
                }
                Some(Mutation::KillHitsAnotherCluster) if record.is_some() => {
                    also.extend(honest.live(|other| other != cluster, 1)?);
                }
                Some(Mutation::NearMissIsKilled) if record.is_none() || !honest.knows(cluster, handle)? => {
                    if let Some(near) = honest.near(cluster, handle)?
                        && let Some(record) = honest.folder.launch(cluster, launch_of(&near))?
                    {
                        let index = near.rsplit_once('.').and_then(|(_, index)| index.parse().ok());
                        also.extend(index.map(|index| (record, index)));
                    }
                }
                _ => {}
            }
        }
        Ok(also)
    }

    pub(super) fn before_cleanup(&self, ctx: &Context<'_>, deep: bool) -> Result<(), Error> {
        self.honest.reach()?;
        let cluster = ctx.cluster();
        match self.bend {
            Some(Mutation::CleanupStopsWorkers) if !deep => self.stop_workers(|of| of == cluster, 1),
            Some(Mutation::DeepCleanupStopsWorkers) if deep => {
                self.stop_workers(|of| of == cluster, usize::MAX)
            }
            Some(Mutation::DeepCleanupStopsOthers) if deep => {
                self.stop_workers(|of| of != cluster, usize::MAX)
            }
            Some(Mutation::CleanupStopsTheServer) => self.honest.stop_server(ctx),
            Some(Mutation::CleanupOfNothingFails) if self.honest.folder.of_cluster(cluster)?.is_empty() => {
                Err(Error::other("there is nothing to remove"))
            }
            Some(Mutation::CleanupFailsBesideWorkers)
                if !self.honest.live(|of| of == cluster, 1)?.is_empty() =>
            {
                Err(Error::other("there are live workers"))
            }
            _ => Ok(()),
        }
    }

    /// Stops live workers of clusters, so many at most.
    pub(super) fn stop_workers(&self, of: impl Fn(&str) -> bool, most: usize) -> Result<(), Error> {
        self.honest.live(of, most)?.iter().try_for_each(|(record, index)| Specimen::stop(record, *index))
    }

    /// Stops all servers that this instance has started.
    pub(super) fn stop_servers(&self) -> Result<(), Error> {
        let clusters = std::mem::take(&mut self.state().servers);
        for cluster in clusters {
            if let Some(record) = self.honest.folder.server(&cluster)? {
                Specimen::stop(&record, 0)?;
            }
        }
        Ok(())
    }

    /// Stops all workers that this instance has launched.
    pub(super) fn stop_own(&self) {
        let live = self.honest.live(|_| true, usize::MAX).unwrap_or_default();
        for (record, index) in live.iter().filter(|(record, _)| self.honest.is_own(&record.intent.name)) {
            // There is nobody to tell.
            let _ = Specimen::stop(record, *index);
        }
    }
}

/// Whether a handle among these is not known.
fn unknown_before(honest: &Specimen, cluster: &str, handles: &[&str]) -> Result<bool, Error> {
    for handle in handles {
        if !honest.knows(cluster, handle)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Leaves a file open.
fn leave_open() -> Result<(), Error> {
    let _never_closed = File::open("/dev/null")?.into_raw_fd();
    Ok(())
}

/// Loses memory that was written to, so that the system had to give it.
fn lose_memory() {
    std::hint::black_box(vec![1_u8; LOST].leak());
}

/// Whether a mutation is about kills that fail.
const fn is_about_failure(mutation: Mutation) -> bool {
    matches!(
        mutation,
        Mutation::FailedKillSaysYes
            | Mutation::FailedKillFailsAll
            | Mutation::FailedKillIsToldOfAnother
            | Mutation::FailedKillSparesTheOthers
    )
}
