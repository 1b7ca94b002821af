//! Clients in Python that run beside the test, and what they say.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use longshore_support::until;
use serde_json::Value;

use crate::farm::Farm;

/// How many lines of a client are read at most: far more than any test waits for.
const LINES: usize = 10_000;

/// A client that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Client {
    child: Child,
    /// Its end tells the client to end.
    input: Option<ChildStdin>,
    said: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
    complaints: PathBuf,
}

impl Client {
    /// One that tells how many workers the scheduler has.
    pub(crate) fn watch(farm: &Farm) -> Self {
        Self::start(farm, "watch", None)
    }

    /// One that counts the farm's texts, over and over.
    pub(crate) fn count(farm: &Farm) -> Self {
        Self::start(farm, "count", Some(&farm.folder_of_texts()))
    }

    fn start(farm: &Farm, job: &str, folder: Option<&Path>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dask/client.py");
        let complaints = farm.house.path(&format!("{job}.log"));
        let log = File::create(&complaints).expect("a file in the house");
        let mut child = farm
            .python()
            .arg(script)
            .arg(farm.address())
            .arg(job)
            .args(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("Python runs");
        let said = Arc::<Mutex<Vec<Value>>>::default();
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let kept = Arc::clone(&said);
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok).take(LINES) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { input: child.stdin.take(), child, said, reader: Some(reader), complaints }
    }

    fn said(&self) -> Vec<Value> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines it has said.
    pub(crate) fn lines(&self) -> usize {
        self.said().len()
    }

    /// Waits until what it has said is so. It must not end meanwhile.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut(&[Value]) -> bool) {
        until(what, || {
            let is_so = is_so(&self.said());
            let is_over = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(is_so || !is_over, "a client ended before {what}:\n{}", self.complaints());
            is_so
        });
    }

    /// Waits until the scheduler has as many workers.
    #[track_caller]
    pub(crate) fn until_workers(&self, workers: u64) {
        self.until(&format!("the scheduler has {workers} workers"), |lines| {
            lines.last().is_some_and(|line| line["workers"] == workers)
        });
    }

    /// Waits until so many more rounds were counted, by just so many workers each.
    #[track_caller]
    pub(crate) fn until_rounds(&self, rounds: usize, workers: usize) {
        let before = self.lines();
        self.until(&format!("{rounds} rounds by {workers} workers"), |lines| {
            let by = |line: &&Value| line["workers"].as_array().is_some_and(|by| by.len() == workers);
            lines[before..].iter().filter(by).count() >= rounds
        });
    }

    /// The workers that the scheduler had when it was seen last.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let names = self.said().pop().map(|mut last| last["names"].take());
        serde_json::from_value(names.unwrap_or_default()).expect("a list of names")
    }

    /// The scheduler that was seen last.
    pub(crate) fn scheduler(&self) -> String {
        let last = self.said().pop().expect("a scheduler was seen");
        last["scheduler"].as_str().expect("it has a name").to_owned()
    }

    /// Tells it to end, and returns all that it has said.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Vec<Value> {
        drop(self.input.take());
        let mut status: Option<ExitStatus> = None;
        until("a client ends when it is told to", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        let reader = self.reader.take().expect("nobody else ends it");
        reader.join().expect("it does not panic");
        assert!(status.is_some_and(|status| status.success()), "{status:?}:\n{}", self.complaints());
        self.said()
    }

    fn complaints(&self) -> String {
        fs::read_to_string(&self.complaints).unwrap_or_default()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.input.is_some() {
            // Where it has ended already, there is nothing to do.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            let lines = self.lines();
            eprintln!("a client said {lines} lines, and complained of:\n{}", self.complaints());
        }
    }
}
