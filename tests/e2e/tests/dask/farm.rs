//! A house with a Dask cluster: the example, with a port that is free and folders of the test's own.

use std::{
    collections::BTreeSet,
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use longshore_e2e::House;
use longshore_support::{Venv, or_skip, until};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::json;

use crate::texts::Texts;

/// What is run.
const EXAMPLE: &str = include_str!("../../../../host/examples/process-dask.toml");
/// Below the ports that systems choose from by themselves: nobody else gets a scheduler's port while it is started again.
const PORTS: std::ops::Range<u16> = 12_000..30_000;
/// How often a port is tried.
const TRIES: usize = 100;
/// Files of Dask's own that stay in its folder for temporary files, the last ones until another worker comes there.
const LOCKS: [&str; 3] = ["global.lock", "purge.lock", ".dirlock"];

/// A house, its cluster and its texts.
#[derive(Debug)]
pub(crate) struct Farm {
    pub(crate) house: House,
    pub(crate) texts: Texts,
    venv: Venv,
    port: u16,
}

impl Farm {
    /// A house in which the example can be run. Where there is no Dask, the test is skipped.
    pub(crate) fn or_skip(test: &str) -> Option<Self> {
        let venv = or_skip(test, Venv::dask())?;
        let mut house = House::with(&["longshore-process"]);
        let programs = venv.program("dask").parent().expect("a folder of programs").to_owned();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([programs].into_iter().chain(env::split_paths(&path)));
        house.set("PATH", path.expect("no folder has a colon in its name"));
        for (variable, folder) in [("HOME", "home"), ("TMPDIR", "tmp")] {
            fs::create_dir(house.path(folder)).expect("a new folder");
            house.set(variable, house.path(folder));
        }
        fs::create_dir(house.path("scratch")).expect("a new folder");
        let texts = Texts::write(&house.path("texts"));
        Some(Self { house, texts, venv, port: free_port() })
    }

    /// The example, filled in.
    fn config(&self) -> String {
        let scratch = format!("\"{}\"", self.house.path("scratch").display());
        let mut config = EXAMPLE.to_owned();
        for (there, times, here) in [
            ("port = 8790", 1, format!("port = {}", self.port)),
            ("workers = 4", 1, "workers = 2".to_owned()),
            ("\"/tmp\"", 2, scratch),
        ] {
            assert_eq!(config.matches(there).count(), times, "how often {there} is in the example");
            config = config.replace(there, &here);
        }
        config
    }

    /// `longshore up`, and two workers.
    pub(crate) fn up(&mut self) {
        let file = self.house.write("dask.toml", &self.config()).display().to_string();
        self.house.start(&["up", &file]);
        assert_eq!(self.house.begins(), Ok(()), "{}", self.house.log());
        until("the cluster is as asked", || {
            let said = self.house.run(&["status", "dask", "--json"]);
            said.code == Some(0) && said.json()["converged"] == true
        });
        let status = self.house.status("dask");
        assert_eq!((&status["running"], &status["server"]["phase"]), (&json!(2), &json!("up")));
        assert_eq!(status["server"]["address"], format!("127.0.0.1:{}", self.port));
    }

    /// From now on, workers are replaced whenever their server was started again.
    pub(crate) fn replaces(&self) {
        let line = format!("port = {}", self.port);
        let config = self.config().replace(&line, &format!("{line}\non_restart = \"replace\""));
        self.house.apply(&config);
    }

    /// Where the scheduler is.
    pub(crate) fn address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Where the texts are.
    pub(crate) fn folder_of_texts(&self) -> PathBuf {
        self.house.path("texts")
    }

    /// The Python that has Dask, as a process of the house.
    pub(crate) fn python(&self) -> Command {
        let mut python = Command::new(self.venv.python());
        let mark = self.house.mark();
        let (name, value) = mark.split_once('=').expect("a variable and its value");
        python
            .env(name, value)
            .env("HOME", self.house.path("home"))
            .env("TMPDIR", self.house.path("tmp"))
            .env("DASK_TEMPORARY_DIRECTORY", self.house.path("scratch"))
            .env_remove("PYTHONPATH")
            // Nothing is written beside the script.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        python
    }

    /// The processes that the provider has started for containers of workers.
    pub(crate) fn workers(&self) -> Vec<Pid> {
        self.commands("worker")
    }

    /// Sends every process of every worker a signal.
    pub(crate) fn signal_workers(&self, signal: Signal) {
        for worker in self.workers() {
            // The provider lets each container lead a group of its own. One that has ended meanwhile needs no signal.
            let _ = killpg(worker, signal);
        }
    }

    /// The scheduler's process.
    pub(crate) fn scheduler(&self) -> Option<Pid> {
        let found = self.commands("scheduler");
        assert!(found.len() <= 1, "there is never more than one: {found:?}");
        found.first().copied()
    }

    /// The processes that run `dask` with this command.
    fn commands(&self, command: &str) -> Vec<Pid> {
        let is_so = |(pid, _): &(Pid, String)| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            words.any(|word| word.ends_with("/bin/dask")) && words.next().is_some_and(|next| next == command)
        };
        self.house.marked().into_iter().filter(is_so).map(|(pid, _)| pid).collect()
    }

    /// `longshore stop`: the workers have gone, and then the scheduler. Then the host ends.
    pub(crate) fn stops(&mut self) {
        let _ = self.house.run(&["stop", "dask"]).ok();
        let status = self.house.status("dask");
        assert_eq!((&status["running"], &status["handles"]), (&json!(0), &json!(0)));
        assert_eq!(status["server"]["phase"], "down");
        assert_eq!(self.house.handles("dask"), [""; 0]);
        assert_eq!(self.house.marked_beside_the_host(), [], "nothing runs any more but the host");
        TcpListener::bind(("127.0.0.1", self.port)).expect("the port is free again");
        let told = self.house.run(&["history", "dask"]).ok().out;
        assert_in_turn(
            &told,
            &["the server is up at", "stopping the server: no worker is left", "the server has stopped"],
        );
        self.house.signal_host(Signal::SIGINT);
        assert_eq!(self.house.host_ends(), Some(0), "{}", self.house.log());
    }

    /// No process is left, and no file but those that are meant to stay.
    pub(crate) fn leaves_nothing(&self) {
        assert_eq!(self.house.marked(), []);
        let known = [
            // The house's own, and the test's.
            "applied.toml",
            "count.log",
            "dask.toml",
            "home",
            "host-state",
            "host.log",
            "plugins",
            "scratch",
            "texts",
            "tmp",
            "watch.log",
            // Here the provider's root is.
            "state-home",
        ];
        let more: Vec<_> =
            names(&self.house.path("")).into_iter().filter(|it| !known.contains(&&**it)).collect();
        assert_eq!(more, [""; 0]);
        assert_eq!(names(&self.house.path("state-home")), BTreeSet::from(["longshore".to_owned()]));
        for folder in ["home", "tmp"] {
            assert_eq!(names(&self.house.path(folder)), BTreeSet::new(), "{folder} is as it was");
        }
        let scratch: Vec<_> = names(&self.house.path("scratch/dask-scratch-space"))
            .into_iter()
            .filter(|it| !LOCKS.iter().any(|lock| it.ends_with(lock)))
            .collect();
        assert_eq!(scratch, [""; 0], "no worker has left anything that it had");
    }
}

/// What is in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect()
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let mut dice = fastrand::Rng::new();
    let mut ports = std::iter::repeat_with(|| dice.u16(PORTS)).take(TRIES);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("one of them is free")
}

/// Fails unless a text has all of these words, one after the other.
#[track_caller]
pub(crate) fn assert_in_turn(text: &str, words: &[&str]) {
    let mut rest = text;
    for words in words {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words:?} does not come next in:\n{text}"));
        rest = &rest[at + words.len()..];
    }
}
