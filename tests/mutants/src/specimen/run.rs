//! Carries out a launch: the intent first, then one container after the other. What fails in the midst of it is undone.

use std::{
    collections::HashMap,
    fs::File,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use longshore_plugin_api::{
    Container, Context, Error, ErrorKind, Launch, MAX_WORKERS_ON_A_HANDLE, RunRequest, WorkerStatus,
};

use super::{
    Specimen,
    folder::Folder,
    process::{self, TAG},
    record::{Intent, Line, Made, Moment, Record, append_to},
    spawn::spawn,
};
use crate::mutation::Mutation;

/// The most workers of one run.
const MOST_WORKERS: u32 = 1_000_000;
/// In how many pieces a launch is made, with a rest after each where it is to take its time.
const PIECES: u32 = 4;
/// How long what is undone may take to vanish.
const UNDO_LIMIT: Duration = Duration::from_secs(10);

impl Specimen {
    pub(crate) fn launch(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
        let (cluster, token) = (ctx.cluster(), request.token.as_str());
        check(request)?;
        if request.workers == 0 {
            return Ok(Launch::complete(Vec::new()));
        }
        // Until it is known whether the token was launched before, an error must not say that nothing is there.
        if let Some(answer) = self.answered(cluster, request).map_err(unknown)? {
            return answer;
        }
        let _turn = match self.bend {
            Some(Mutation::TokenLaunchesTwiceAtOnce) => {
                // So that those at once are.
                ctx.sleep(Duration::from_millis(100))?;
                None
            }
            _ => Some(self.folder.turn(ctx, &["launch", cluster, token]).map_err(unknown)?),
        };
        if let Some(answer) = self.answered(cluster, request).map_err(unknown)? {
            return answer;
        }
        let begun = self.of_token(cluster, token).map_err(unknown)?;
        let record =
            match begun.into_iter().find(|record| record.settled.is_none() && !self.may_launch_again(record))
            {
                // Its host died in the midst of it.
                Some(record) => record,
                None => match self.begin(ctx, request)? {
                    Some(record) => record,
                    None => return Ok(Launch::partial(Vec::new(), "the folder is full", true)),
                },
            };
        self.note_own(&record.intent.name);
        self.carry_out(ctx, &request.container, &record)
            .and_then(|()| {
                record.append(&Line::Settled { containers: record.intent.containers() }).map_err(Error::other)
            })
            .map_err(|error| self.undo(&record, error))?;
        if self.bend == Some(Mutation::LateRunLeavesAll) {
            ctx.check()?;
        }
        Ok(Self::answer(&record.intent))
    }

    /// The answer that a token was given before.
    fn answered(&self, cluster: &str, request: &RunRequest) -> Result<Option<Result<Launch, Error>>, Error> {
        let token = request.token.as_str();
        let settled = |record: &Record| record.settled.is_some() && !self.may_launch_again(record);
        let record = self.of_token(cluster, token)?.into_iter().find(settled);
        let intent = match record {
            Some(record) => record.intent,
            None => match self.folder.find_ended(cluster, token)? {
                Some(intent) if self.bend != Some(Mutation::TokenLaunchesAgainAfterKill) => intent,
                _ => return Ok(None),
            },
        };
        if (intent.asked, intent.each) != (request.workers, self.each(request)) {
            return Ok(Some(Err(Error::permanent(format_args!(
                "the token {token} was used for {} workers, {} a container: it cannot name another launch",
                intent.asked, intent.each
            )))));
        }
        if self.bend == Some(Mutation::TokenIsRefused) {
            return Ok(Some(Err(Error::permanent(format_args!("the token {token} was used before")))));
        }
        Ok(Some(Ok(self.answer_again(cluster, &intent)?)))
    }

    /// Whether a mutant launches a token again that has this launch.
    fn may_launch_again(&self, record: &Record) -> bool {
        match self.bend {
            Some(Mutation::TokenLaunchesAgain | Mutation::TokenLaunchesTwiceAtOnce) => {
                // The second one at once does not see what the first is about to settle.
                self.bend == Some(Mutation::TokenLaunchesAgain) || record.settled.is_none()
            }
            Some(Mutation::TokenLaunchesAgainAfterDrop) => !self.is_own(&record.intent.name),
            Some(Mutation::TokenLaunchesAgainAfterKill) => !self.any_lives(record).unwrap_or(true),
            Some(Mutation::TokenLaunchesAgainAfterACrash) => record.settled.is_none(),
            _ => false,
        }
    }

    fn answer_again(&self, cluster: &str, intent: &Intent) -> Result<Launch, Error> {
        let mut launch = Self::answer(intent);
        if self.bend == Some(Mutation::TokenAnswersTheLiving) {
            let mut living = Vec::new();
            for handle in &launch.handles {
                if self.status_of(cluster, handle)? != WorkerStatus::Stopped {
                    living.push(handle.clone());
                }
            }
            if living.len() < launch.handles.len() {
                launch = Launch::partial(living, "the others have stopped", false);
            }
        }
        Ok(launch)
    }

    /// The answer to a run: every handle, once for each of its workers.
    fn answer(intent: &Intent) -> Launch {
        let mut handles = Vec::with_capacity(intent.workers as usize);
        for index in 0..intent.containers() {
            handles.resize(handles.len() + intent.workers_of(index) as usize, intent.handle(index));
        }
        match intent.asked.saturating_sub(intent.workers) {
            0 => Launch::complete(handles),
            more => Launch::partial(handles, format!("there is no room for {more} more"), true),
        }
    }

    /// How many workers a container may have.
    fn each(&self, request: &RunRequest) -> u32 {
        let each = request.container.max_workers();
        if self.bend == Some(Mutation::ContainersAreOverfull) { each + 1 } else { each }
    }

    /// Notes what is to be launched; nothing where there is no room for a single worker.
    fn begin(&self, ctx: &Context<'_>, request: &RunRequest) -> Result<Option<Record>, Error> {
        ctx.check()?;
        let _turn = match self.settings.capacity {
            Some(_) => Some(self.folder.turn(ctx, &["capacity"])?),
            None => None,
        };
        let workers = match self.settings.capacity {
            Some(capacity) => {
                let room = capacity.saturating_sub(self.living()?);
                request.workers.min(u32::try_from(room).unwrap_or(u32::MAX))
            }
            None => request.workers,
        };
        if workers == 0 {
            return Ok(None);
        }
        let intent = Intent {
            cluster: ctx.cluster().to_owned(),
            token: request.token.to_string(),
            name: self.name(ctx, request.token.as_str())?,
            asked: request.workers,
            workers,
            each: self.each(request),
            start: self.settings.start,
            port: None,
            at: Moment::now(),
            boot: self.boot.clone(),
        };
        self.folder.begin(&intent).map(Some)
    }

    /// What the handles of a launch begin with: never the same twice, as it has a number from a source that does not repeat.
    fn name(&self, ctx: &Context<'_>, token: &str) -> Result<String, Error> {
        if let Some(name) = self.bent_name(ctx)? {
            return Ok(name);
        }
        Ok(format!("{token}.{}", random_number()?))
    }

    /// How many workers live, or are about to.
    fn living(&self) -> Result<u64, Error> {
        let mut living = 0;
        for record in self.folder.all()? {
            if record.settled.is_none() {
                living += u64::from(record.intent.workers);
                continue;
            }
            for index in 0..record.intent.containers() {
                if self.status_in(&record, index)? != WorkerStatus::Stopped {
                    living += u64::from(record.intent.workers_of(index));
                }
            }
        }
        Ok(living)
    }

    /// Makes the containers that are not there yet.
    fn carry_out(&self, ctx: &Context<'_>, container: &Container, record: &Record) -> Result<(), Error> {
        let intent = &record.intent;
        let mut file = record.open().map_err(Error::other)?;
        let total = intent.containers();
        let piece = total.div_ceil(PIECES);
        let mut from = record.made();
        let rest = self.settings.latency / total.saturating_sub(from).div_ceil(piece).max(1);
        while from < total {
            let to = total.min(from + piece);
            if container.command.is_some() {
                for index in from..to {
                    self.check(ctx)?;
                    self.start(container, intent, &file, index)?;
                }
            } else {
                append_to(&mut file, &Line::Made { from, to, at: Moment::now() }).map_err(Error::other)?;
            }
            from = to;
            self.rest(ctx, rest)?;
        }
        Ok(())
    }

    fn check(&self, ctx: &Context<'_>) -> Result<(), Error> {
        if self.is_bold() { Ok(()) } else { ctx.check() }
    }

    fn rest(&self, ctx: &Context<'_>, rest: Duration) -> Result<(), Error> {
        if self.bend == Some(Mutation::CancellationIsIgnored) {
            std::thread::sleep(rest);
            return Ok(());
        }
        let woken = ctx.sleep(rest);
        if self.is_bold() { Ok(()) } else { woken }
    }

    /// Whether a mutant goes on though it was cancelled or is late.
    fn is_bold(&self) -> bool {
        matches!(self.bend, Some(Mutation::CancellationIsIgnored | Mutation::LateRunLeavesAll))
    }

    fn start(&self, container: &Container, intent: &Intent, file: &File, index: u32) -> Result<(), Error> {
        let handle = intent.handle(index);
        let variables = [
            ("LONGSHORE_CLUSTER", intent.cluster.clone()),
            ("LONGSHORE_TOKEN", intent.token.clone()),
            ("LONGSHORE_WORKERS", intent.workers_of(index).to_string()),
            ("LONGSHORE_HANDLE", handle.clone()),
            (TAG, handle),
        ];
        let (container, variables) = self.bent_order(container, &variables);
        spawn(&container, &variables, file, index, None)
    }

    /// Undoes a launch that failed. The error, which says what is certain now.
    fn undo(&self, record: &Record, error: Error) -> Error {
        match self.try_undo(record, error.kind()) {
            Ok(()) => error,
            Err(why) => {
                Error::unknown(format_args!("{error}; and what was launched until then may be alive: {why}"))
            }
        }
    }

    fn try_undo(&self, record: &Record, kind: ErrorKind) -> Result<(), Error> {
        let intent = &record.intent;
        let now = Record::read(record.path.clone()).map_err(Error::other)?;
        match self.bend {
            Some(Mutation::CancelledRunLeavesSome) if kind == ErrorKind::Cancelled => {
                let containers = now.map_or(0, |now| now.made());
                return record.append(&Line::Settled { containers }).map_err(Error::other);
            }
            Some(Mutation::FailedRunLeavesOne) if kind == ErrorKind::Permanent => {
                let made = record.append(&Line::Made { from: 0, to: 1, at: Moment::now() });
                return made
                    .and_then(|()| record.append(&Line::Settled { containers: 1 }))
                    .map_err(Error::other);
            }
            _ => {}
        }
        let containers = now.iter().flat_map(|record| &record.containers).zip(0..);
        let processes: Vec<_> = containers
            .filter_map(|(container, index)| match container.made {
                Some(Made::Process(leader)) => Some((leader, intent.handle(index))),
                _ => None,
            })
            .collect();
        if !processes.is_empty() && !process::end_at_once(&processes, UNDO_LIMIT).map_err(Error::other)? {
            return Err(Error::other("its processes do not end"));
        }
        Folder::remove(&record.path)?;
        self.folder.tidy(&intent.cluster);
        Ok(())
    }
}

/// What can be seen to be wrong before anything is touched.
fn check(request: &RunRequest) -> Result<(), Error> {
    let token = request.token.as_str();
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if token.is_empty() || token.len() > 64 || !token.chars().all(fine) {
        return Err(Error::permanent(format_args!(
            "the token {token:?} is not 1 to 64 letters, digits and `-`"
        )));
    }
    if request.workers > MOST_WORKERS {
        return Err(Error::permanent(format_args!(
            "{} workers are more than {MOST_WORKERS}",
            request.workers
        )));
    }
    if request.container.max_workers() > MAX_WORKERS_ON_A_HANDLE {
        return Err(Error::permanent(format_args!(
            "container.max_workers is more than {MAX_WORKERS_ON_A_HANDLE}"
        )));
    }
    check_container(&request.container)
}

/// What of a container can be seen to be wrong.
pub(crate) fn check_container(container: &Container) -> Result<(), Error> {
    let zero = |text: &String| text.contains('\0');
    if let Some(name) = container.env.keys().find(|name| name.is_empty() || name.contains('=') || zero(name))
    {
        return Err(Error::permanent(format_args!("container.env: {name:?} cannot be a variable's name")));
    }
    let texts = container.args.iter().chain(container.env.values()).chain(&container.command);
    if texts.chain(&container.working_dir).any(zero) {
        return Err(Error::permanent("container: there is a zero byte in a text that a process is to have"));
    }
    Ok(())
}

/// A number that does not come twice.
pub(crate) fn random_number() -> Result<String, Error> {
    let number =
        getrandom::u64().map_err(|error| Error::retryable(format_args!("no random number: {error}")))?;
    Ok(format!("{number:016x}"))
}

/// Where it cannot be seen what a token has launched, nobody knows.
fn unknown(error: Error) -> Error {
    Error::unknown(error)
}

/// What an instance launched itself, or saw first, and when: for mutants alone.
#[derive(Debug, Default)]
pub(crate) struct Own(Mutex<HashMap<String, Moment>>);

impl Own {
    pub(crate) fn insert(&self, name: &str) {
        self.seen_since(name);
    }

    /// Since when the name is there: since now, if it was not.
    pub(crate) fn seen_since(&self, name: &str) -> Moment {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *names.entry(name.to_owned()).or_insert_with(Moment::now)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }
}
