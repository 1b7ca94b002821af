//! What a launch is on disk: a file of lines, each a JSON document that was appended in one go. What the lines say is added
//! up when the file is read; a line that its writer did not finish was never acknowledged, and is passed over.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use longshore_plugin_api::WorkerStatus;
use serde::{Deserialize, Serialize};

use super::process::Identity;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// What was asked for: the first line.
    Intent(Intent),
    /// Containers that are records alone, from one up to before another.
    Made { from: u32, to: u32, at: Moment },
    /// A container's first process, written by itself before it becomes its program.
    Started { index: u32, pid: i32, start: u64 },
    /// Somebody asked the processes of containers to end.
    Asked { indices: Vec<u32>, by: String, at: Moment },
    /// Nothing is left of containers.
    Over { indices: Vec<u32>, at: Moment },
    /// The launch has come to its end, with so many containers.
    Settled { containers: u32 },
}

/// What a launch is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) cluster: String,
    pub(crate) token: String,
    /// What all handles of the launch begin with.
    pub(crate) name: String,
    /// How many workers were asked for, and how many there was room for.
    pub(crate) asked: u32,
    pub(crate) workers: u32,
    /// How many workers a container holds at most.
    pub(crate) each: u32,
    /// How long workers that are records alone are initializing.
    pub(crate) start: Duration,
    /// A server's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// When it was begun.
    pub(crate) at: Moment,
    /// The run of the system in which it was launched. Nothing outlives that.
    pub(crate) boot: String,
}

impl Intent {
    pub(crate) fn containers(&self) -> u32 {
        self.workers.div_ceil(self.each)
    }

    pub(crate) fn workers_of(&self, index: u32) -> u32 {
        self.each.min(self.workers.saturating_sub(index.saturating_mul(self.each)))
    }

    pub(crate) fn handle(&self, index: u32) -> String {
        format!("{}.{index}", self.name)
    }
}

/// A moment of this run of the system, in milliseconds since it began: it does not go back, and is the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Self {
        let since = nix::time::ClockId::CLOCK_BOOTTIME.now().map(Duration::from);
        // The clock is there since Linux 2.6.39.
        Self(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_millis(Self::now().0.saturating_sub(self.0))
    }
}

/// A container, by what the lines say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Container {
    pub(crate) made: Option<Made>,
    /// Who asked it to end first, and when.
    pub(crate) asked: Option<(String, Moment)>,
    pub(crate) over: Option<Moment>,
    /// When that was noted a second time: an honest specimen does not.
    pub(crate) over_again: Option<Moment>,
}

impl Container {
    /// Whether its process is not there any more, though nobody killed it.
    pub(crate) fn has_ended_by_itself(&self) -> bool {
        matches!(self.made, Some(Made::Process(_))) && self.over.is_none() && self.asked.is_none()
    }
}

/// What a container is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Made {
    Record(Moment),
    Process(Identity),
}

/// A launch, or a server, as its file had it at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) path: PathBuf,
    pub(crate) intent: Intent,
    pub(crate) containers: Vec<Container>,
    pub(crate) settled: Option<u32>,
}

impl Record {
    /// Reads a file; nothing where there is none, or one whose first line was never finished.
    pub(crate) fn read(path: PathBuf) -> io::Result<Option<Self>> {
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut lines = lines.filter_map(|line| serde_json::from_slice(line).ok());
        let Some(Line::Intent(intent)) = lines.next() else { return Ok(None) };
        let containers = vec![Container::default(); intent.containers() as usize];
        let mut record = Self { path, intent, containers, settled: None };
        lines.for_each(|line| record.add(line));
        Ok(Some(record))
    }

    fn add(&mut self, line: Line) {
        let mut each = |indices: &[u32], change: &dyn Fn(&mut Container)| {
            for index in indices {
                if let Some(container) = self.containers.get_mut(*index as usize) {
                    change(container);
                }
            }
        };
        match line {
            Line::Intent(_) => {}
            Line::Made { from, to, at } => {
                let to = (to as usize).min(self.containers.len());
                for container in self.containers.get_mut(from as usize..to).into_iter().flatten() {
                    container.made = Some(Made::Record(at));
                }
            }
            Line::Started { index, pid, start } => each(&[index], &|container| {
                container.made = Some(Made::Process(Identity { pid, start }));
            }),
            Line::Asked { indices, by, at } => each(&indices, &|container| {
                container.asked.get_or_insert_with(|| (by.clone(), at));
            }),
            Line::Over { indices, at } => each(&indices, &|container| {
                if container.over.is_none() {
                    container.over = Some(at);
                } else {
                    container.over_again = Some(at);
                }
            }),
            Line::Settled { containers } => self.settled = Some(containers),
        }
    }

    /// Makes the file, with its first line.
    pub(crate) fn create(path: &Path, intent: &Intent) -> io::Result<File> {
        let mut file = OpenOptions::new().append(true).create_new(true).open(path)?;
        append_to(&mut file, &Line::Intent(intent.clone()))?;
        Ok(file)
    }

    /// The file, to be appended to.
    pub(crate) fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).open(&self.path)
    }

    pub(crate) fn append(&self, line: &Line) -> io::Result<()> {
        append_to(&mut self.open()?, line)
    }

    /// How a container is; `boot` is the present run of the system.
    pub(crate) fn status(&self, index: u32, boot: &str) -> io::Result<WorkerStatus> {
        let Some(container) = self.containers.get(index as usize) else { return Ok(WorkerStatus::Stopped) };
        if container.over.is_some() || self.intent.boot != boot {
            return Ok(WorkerStatus::Stopped);
        }
        Ok(match container.made {
            Some(Made::Record(at)) if at.elapsed() < self.intent.start => WorkerStatus::Initializing,
            Some(Made::Record(_)) => WorkerStatus::Running,
            Some(Made::Process(identity)) if identity.is_alive()? => WorkerStatus::Running,
            Some(Made::Process(_)) | None => WorkerStatus::Stopped,
        })
    }

    /// How many containers have been made so far.
    pub(crate) fn made(&self) -> u32 {
        let made = self.containers.iter().take_while(|container| container.made.is_some());
        u32::try_from(made.count()).unwrap_or(u32::MAX)
    }
}

/// Appends a line in one go: nobody ever sees half of it, but for one whose writer dies in the midst of it. What follows such
/// a half begins on a line of its own.
pub(crate) fn append_to(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = b"\n".to_vec();
    serde_json::to_writer(&mut text, line)?;
    text.push(b'\n');
    file.write_all(&text)
}
