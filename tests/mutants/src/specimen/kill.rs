//! Ends containers, all of a call together: records at once; processes with SIGTERM first, and with SIGKILL at the end of the
//! grace, which begins when the first of all who want a container's end has asked for it.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use longshore_plugin_api::{Context, Error, Killed};
use nix::sys::signal::Signal;

use super::{
    Specimen, folder,
    process::{Identity, Process},
    record::{Line, Made, Moment, Record},
    run::random_number,
};
use crate::mutation::Mutation;

/// How long to wait between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a process may take to vanish after SIGKILL.
const VANISH_LIMIT: Duration = Duration::from_secs(10);
/// How many looks in a row must find nobody: one may miss a process that is made while it is taken.
const LOOKS: u8 = 2;

/// What handles belong to: no server is killed as a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Launches,
    Servers,
}

/// A container with processes that is to end.
struct Case {
    /// Where its answer belongs to.
    handle: String,
    name: String,
    index: u32,
    leader: Identity,
    /// Whether it is ours to ask it to end: nobody else has.
    is_first: bool,
    asked: Moment,
    looks: u8,
    answer: Option<Killed>,
}

impl Specimen {
    /// Kills the containers of all handles, and answers for each, in order.
    pub(crate) fn end(
        &self,
        ctx: &Context<'_>,
        place: Place,
        handles: &[&str],
    ) -> Result<Vec<Killed>, Error> {
        let cluster = ctx.cluster();
        let mut answers: HashMap<&str, Killed> = HashMap::with_capacity(handles.len());
        let mut wanted: BTreeMap<&str, Vec<(u32, &str)>> = BTreeMap::new();
        for handle in handles {
            if let Some((name, index)) = folder::parse_handle(handle)
                && answers.insert(handle, Killed::Yes).is_none()
            {
                wanted.entry(name).or_default().push((index, handle));
            }
        }
        let mut cases = Vec::new();
        for (name, indices) in wanted {
            // What cannot be read is told of the handles that it is about, and keeps nobody else alive.
            if let Err(error) = self.begin_to_end((cluster, place), name, &indices, &mut cases) {
                for (_, handle) in indices {
                    answers.insert(handle, Killed::No(error.to_string()));
                }
            }
        }
        self.end_processes(ctx, place, &mut cases)?;
        let ended: HashMap<String, Option<Killed>> =
            cases.into_iter().map(|case| (case.handle, case.answer)).collect();
        let answer = |handle: &&str| {
            let of_processes = ended.get(*handle).cloned().flatten();
            of_processes.or_else(|| answers.get(handle).cloned()).unwrap_or(Killed::Yes)
        };
        Ok(handles.iter().map(answer).collect())
    }

    /// Ends the records of a launch, and makes cases of its processes.
    fn begin_to_end(
        &self,
        place: (&str, Place),
        name: &str,
        indices: &[(u32, &str)],
        cases: &mut Vec<Case>,
    ) -> Result<(), Error> {
        let Some(record) = self.find(place, name)? else { return Ok(()) };
        let failed = |error: &std::io::Error| folder::unreachable(&record.path, error);
        let (mut over, mut processes) = (Vec::new(), Vec::new());
        for (index, handle) in indices {
            let Some(container) = record.containers.get(*index as usize) else { continue };
            if (container.over.is_some() && !self.notes_every_kill()) || record.intent.boot != self.boot {
                continue;
            }
            match container.made {
                Some(Made::Record(_)) => over.push(*index),
                Some(Made::Process(leader)) => processes.push((*index, *handle, leader)),
                None => {}
            }
        }
        if !over.is_empty() {
            record
                .append(&Line::Over { indices: over, at: Moment::now() })
                .map_err(|error| failed(&error))?;
        }
        if processes.is_empty() {
            return Ok(());
        }
        let by = random_number()?;
        let indices = processes.iter().map(|(index, ..)| *index).collect();
        record
            .append(&Line::Asked { indices, by: by.clone(), at: Moment::now() })
            .map_err(|error| failed(&error))?;
        // Who was the first to ask is what the file says: the others neither ask again nor wait anew.
        let record = self.find(place, name)?.unwrap_or(record);
        for (index, handle, leader) in processes {
            let asked = record.containers.get(index as usize).and_then(|container| container.asked.clone());
            let (first, asked) = asked.unwrap_or_else(|| (by.clone(), Moment::now()));
            cases.push(Case {
                handle: handle.to_owned(),
                name: name.to_owned(),
                index,
                leader,
                is_first: first == by,
                asked,
                looks: 0,
                answer: None,
            });
        }
        Ok(())
    }

    fn end_processes(&self, ctx: &Context<'_>, place: Place, cases: &mut [Case]) -> Result<(), Error> {
        let began = Instant::now();
        while cases.iter().any(|case| case.answer.is_none()) {
            let all = Process::all().map_err(|error| Error::unreachable(format_args!("/proc: {error}")))?;
            for case in cases.iter_mut().filter(|case| case.answer.is_none()) {
                self.advance((ctx.cluster(), place), &all, case, began);
            }
            if ctx.sleep(PAUSE).is_err() {
                break;
            }
        }
        for case in cases.iter_mut().filter(|case| case.answer.is_none()) {
            let left = self.settings.grace.saturating_sub(case.asked.elapsed());
            case.answer = Some(Killed::No(format!(
                "it was asked to end and has {} ms of its grace left; the call was over before: kill it again",
                left.as_millis()
            )));
        }
        Ok(())
    }

    /// Does what is due for one container, by one look at all processes.
    fn advance(&self, place: (&str, Place), all: &[Process], case: &mut Case, began: Instant) {
        let ours: Vec<_> = all.iter().filter(|process| self.is_of(place.1, process, case)).collect();
        if ours.is_empty() {
            case.looks += 1;
            if case.looks >= LOOKS {
                case.answer = Some(self.note_over(place, &case.name, case.index));
            }
            return;
        }
        case.looks = 0;
        let send = |signal| ours.iter().map(|process| process.identity.signal(signal)).find_map(Result::err);
        let only_asks = match place.1 {
            Place::Launches => self.bend == Some(Mutation::KillOnlyAsks),
            Place::Servers => self.bend == Some(Mutation::StopServerOnlyAsks),
        };
        let trouble = if case.asked.elapsed() >= self.settings.grace && !only_asks {
            send(Signal::SIGKILL)
        } else if std::mem::take(&mut case.is_first) {
            // One that is halted hears of it only when it goes on.
            send(Signal::SIGTERM).or_else(|| send(Signal::SIGCONT))
        } else {
            None
        };
        if only_asks && case.asked.elapsed() >= self.settings.grace {
            case.answer = Some(Killed::Yes);
        } else if began.elapsed() >= self.settings.grace + VANISH_LIMIT {
            let why = trouble
                .map_or_else(|| "it was killed and is still there".to_owned(), |error| error.to_string());
            case.answer = Some(Killed::No(format!("process {} does not end: {why}", case.leader.pid)));
        }
    }

    fn is_of(&self, place: Place, process: &Process, case: &Case) -> bool {
        let spares_children = match place {
            Place::Launches => self.bend == Some(Mutation::KillSparesChildren),
            Place::Servers => self.bend == Some(Mutation::StopServerSparesChildren),
        };
        if spares_children {
            return process.identity == case.leader;
        }
        process.belongs_to(case.leader, &case.handle)
    }

    /// Notes that nothing is left of a container.
    fn note_over(&self, place: (&str, Place), name: &str, index: u32) -> Killed {
        let noted = self.find(place, name).and_then(|record| match record {
            Some(record) => record
                .append(&Line::Over { indices: vec![index], at: Moment::now() })
                .map_err(|error| folder::unreachable(&record.path, &error)),
            None => Ok(()),
        });
        match noted {
            Ok(()) => Killed::Yes,
            Err(error) => Killed::No(error.to_string()),
        }
    }

    fn find(&self, (cluster, place): (&str, Place), name: &str) -> Result<Option<Record>, Error> {
        match place {
            Place::Launches => self.folder.launch(cluster, name),
            Place::Servers => Ok(self.folder.server(cluster)?.filter(|record| record.intent.name == name)),
        }
    }
}
