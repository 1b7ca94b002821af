//! The real `longshore` command with real plugins, in a house of its own: a socket, a plugin folder, a state folder that outlives
//! the host, and a mark in the environment of every process that it starts, by which the processes that really run are counted.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use longshore_support::{library, program, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

/// The variable that marks a house's processes.
const MARK: &str = "LONGSHORE_E2E";

/// What really runs of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Processes that are told that they are workers of it.
    pub workers: u64,
    /// Processes that are told its name alone.
    pub servers: u64,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Fails unless the command succeeded.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// The output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {:?}, {:?}", self.out, self.err))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A host, its folders, and all processes that it starts. Dropping it ends them all.
#[derive(Debug)]
pub struct House {
    temp: TempDir,
    host: Option<Child>,
    is_kept: bool,
    /// More variables for its commands, and for what they start.
    variables: Vec<(String, OsString)>,
}

impl House {
    /// A house whose plugin folder holds the libraries of these packages, without a host.
    pub fn with(packages: &[&str]) -> Self {
        let temp = TempDir::with_prefix("longshore-e2e-").expect("a temporary folder");
        let house = Self { temp, host: None, is_kept: false, variables: vec![] };
        fs::create_dir(house.plugins()).expect("an empty folder");
        for package in packages {
            house.drop_in(&library(package));
        }
        house
    }

    /// The same, with a host that listens.
    pub fn serving(packages: &[&str]) -> Self {
        let mut house = Self::with(packages);
        house.serve();
        house
    }

    /// Sets a variable for every command of the house from now on.
    pub fn set(&mut self, variable: &str, value: impl Into<OsString>) {
        self.variables.push((variable.to_owned(), value.into()));
    }

    /// A path in the house's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// The folder that the host looks for plugins in.
    pub fn plugins(&self) -> PathBuf {
        self.path("plugins")
    }

    /// The host's state folder: the next host of the house takes up what the one before it had.
    pub fn state(&self) -> PathBuf {
        self.path("host-state")
    }

    /// The host's socket.
    pub fn socket(&self) -> PathBuf {
        self.path("host.sock")
    }

    /// Copies a library into the plugin folder, as an operator does: under another name first, then renamed.
    pub fn drop_in(&self, library: &Path) {
        let name = library.file_name().expect("a library has a name");
        let unfinished = self.plugins().join(".unfinished");
        fs::copy(library, &unfinished).expect("the library can be copied");
        fs::rename(&unfinished, self.plugins().join(name)).expect("a rename within a folder");
    }

    /// Writes a file into the house's folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file in the house");
        path
    }

    /// A configuration with a provider of local processes and one cluster of sleepers, which carry the house's mark.
    pub fn sleepers(&self, cluster: &str, workers: u32) -> String {
        format!(
            r#"
[[provider]]
name = "local"
plugin = "process"
[provider.config]
root = "{root}"
grace = "5s"

[[cluster]]
name = "{cluster}"
provider = "local"
workers = {workers}
[cluster.container]
command = "sleep"
args = ["100000"]
[cluster.scaling]
poll_interval = "200ms"
"#,
            root = self.path("state").display(),
        )
    }

    /// Leaves the house's folder as it is when the house goes, for whoever looks at what went wrong. The processes end all the
    /// same. Gives the folder.
    pub fn keep(&mut self) -> &Path {
        self.temp.disable_cleanup(true);
        self.is_kept = true;
        self.temp.path()
    }

    /// What every process of the house has in its environment, and no other process.
    pub fn mark(&self) -> String {
        format!("{MARK}={}", self.temp.path().display())
    }

    /// A command of this house, to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("longshore-cli", "longshore"));
        command
            .args(arguments)
            .env("LONGSHORE_SOCKET", self.socket())
            .env("LONGSHORE_STATE", self.state())
            .env("LONGSHORE_PLUGIN_PATH", self.plugins())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_STATE_HOME", self.path("state-home"))
            .env(MARK, self.temp.path())
            .envs(self.variables.iter().map(|(variable, value)| (variable, value)))
            .current_dir(self.temp.path())
            .stdin(Stdio::null());
        command
    }

    /// Starts the host on the house's state folder, and waits until it listens.
    pub fn serve(&mut self) {
        self.start(&["serve"]);
        assert_eq!(self.begins(), Ok(()), "{}", self.log());
    }

    /// Waits until the host that was started listens. If it ends before, it is taken away, and its exit code is the error.
    pub fn begins(&mut self) -> Result<(), Option<i32>> {
        let mut begun = None;
        until("the host listens, or ends", || {
            let host = self.host.as_mut().expect("a host was started");
            let ended = host.try_wait().expect("the host is our child");
            begun = match ended {
                Some(status) => Some(Err(status.code())),
                None => (self.run(&["status"]).code == Some(0)).then_some(Ok(())),
            };
            begun.is_some()
        });
        let begun = begun.expect("it was waited for");
        if begun.is_err() {
            self.host = None;
        }
        begun
    }

    /// Starts a command that stays, as the house's host. What it says goes to the file `host.log`.
    pub fn start(&mut self, arguments: &[&str]) {
        let log = File::options().create(true).append(true).open(self.path("host.log")).expect("a log file");
        let out = log.try_clone().expect("another descriptor");
        let host = self.command(arguments).stdout(out).stderr(log).spawn().expect("the host starts");
        assert!(self.host.replace(host).is_none(), "one host a house");
    }

    /// What the host has said, and what plugins in its process have printed, which need not be text.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("host.log")).unwrap_or_default()).into_owned()
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().expect("the command runs").into()
    }

    /// Applies a configuration and waits until all is as it says.
    #[track_caller]
    pub fn apply(&self, text: &str) {
        let file = self.write("applied.toml", text);
        let _ = self.run(&["apply", &file.display().to_string()]).ok();
    }

    /// How a cluster is.
    #[track_caller]
    pub fn status(&self, cluster: &str) -> Value {
        self.run(&["status", cluster, "--json"]).ok().json()
    }

    /// The handles of a cluster, oldest first.
    #[track_caller]
    pub fn handles(&self, cluster: &str) -> Vec<String> {
        let page = self.run(&["workers", cluster, "--json"]).ok().json();
        let workers = page["workers"].as_array().expect("a list of workers").clone();
        workers.iter().map(|worker| worker["handle"].as_str().expect("a handle").to_owned()).collect()
    }

    /// Waits until a number of a cluster's status is so.
    #[track_caller]
    pub fn until_status(&self, cluster: &str, field: &str, value: u64) {
        until(&format!("{field} of {cluster} is {value}"), || self.status(cluster)[field] == value);
    }

    /// The sleeping worker processes of this house that really run.
    pub fn alive(&self) -> Vec<Pid> {
        self.marked().into_iter().filter(|(_, name)| name == "sleep").map(|(pid, _)| pid).collect()
    }

    /// What really runs of each cluster that has anything, by what its processes were told: the sleeping ones of this house.
    pub fn census(&self) -> BTreeMap<String, Count> {
        let mut census = BTreeMap::<String, Count>::new();
        for (_, name, environment) in self.environments() {
            let find = |variable: &str| {
                let texts = environment.split(|byte| *byte == 0);
                texts.filter_map(|text| text.strip_prefix(variable.as_bytes())).next_back()
            };
            if let Some(cluster) = find("LONGSHORE_CLUSTER=").filter(|_| name == "sleep") {
                let count = census.entry(String::from_utf8_lossy(cluster).into_owned()).or_default();
                let of_its_kind = if find("LONGSHORE_WORKERS=").is_some() {
                    &mut count.workers
                } else {
                    &mut count.servers
                };
                *of_its_kind += 1;
            }
        }
        census
    }

    /// Every process that carries the house's mark and is not a zombie, with its name: the host is among them.
    pub fn marked(&self) -> Vec<(Pid, String)> {
        self.environments().into_iter().map(|(pid, name, _)| (pid, name)).collect()
    }

    /// The same, each with its environment.
    fn environments(&self) -> Vec<(Pid, String, Vec<u8>)> {
        let mark = self.mark();
        let is_marked =
            |environment: &[u8]| environment.split(|byte| *byte == 0).any(|it| it == mark.as_bytes());
        let processes = fs::read_dir("/proc").expect("this system has /proc");
        let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        numbers
            .filter_map(|pid| {
                // What ended meanwhile, or is another user's, is not ours. A zombie has no environment.
                let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                is_marked(&environment).then(|| (Pid::from_raw(pid), name.trim_end().to_owned(), environment))
            })
            .collect()
    }

    /// The same without the host, and without the processes that it runs its plugins in.
    pub fn marked_beside_the_host(&self) -> Vec<(Pid, String)> {
        let host = self.host();
        let is_runner = |pid: Pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.nth(1) == Some(b"--longshore-runner") && words.next() == Some(host.to_string().as_bytes())
        };
        self.marked().into_iter().filter(|(pid, _)| *pid != host && !is_runner(*pid)).collect()
    }

    /// The host's process.
    pub fn host(&self) -> Pid {
        Pid::from_raw(self.host.as_ref().expect("a host runs").id().cast_signed())
    }

    /// Sends the host a signal.
    pub fn signal_host(&self, signal: Signal) {
        kill(self.host(), signal).expect("the host is ours");
    }

    /// Waits until the host has ended, and gives its exit code.
    pub fn host_ends(&mut self) -> Option<i32> {
        let mut host = self.host.take().expect("a host runs");
        let mut status = None;
        until("the host ends", || {
            status = host.try_wait().expect("the host is our child");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// Kills the host as the system would, with no chance to clean up.
    pub fn kill_host(&mut self) {
        self.signal_host(Signal::SIGKILL);
        assert_eq!(self.host_ends(), None, "a signal has no exit code");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(host) = &mut self.host {
            // Where it has ended already, there is nothing to do.
            let _ = host.kill();
            let _ = host.wait();
        }
        // A test that failed leaves nothing behind either.
        for (pid, _) in self.marked() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        if std::thread::panicking() && !self.is_kept {
            eprintln!("the host's log:\n{}", self.log());
        }
    }
}
