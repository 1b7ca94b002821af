//! A folder of one's own with a socket in it, and the real command.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use longshore_support::{library, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Standard output is one document, without colours.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!(!self.out.contains('\u{1b}'), "{self:?}");
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard error tells one error, in these words.
    #[track_caller]
    pub(crate) fn tells(&self, words: &[&str]) {
        assert_eq!(self.err.matches("error: ").count(), 1, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A folder, and the host that may run in it. Dropping it ends the host.
#[derive(Debug)]
pub(crate) struct House {
    temp: TempDir,
    host: Option<Child>,
}

impl House {
    pub(crate) fn without_host() -> Self {
        Self { temp: TempDir::with_prefix("longshore-cli-").expect("a temporary folder"), host: None }
    }

    pub(crate) fn serving() -> Self {
        let mut house = Self::without_host();
        house.start(&["serve"]);
        until("the host listens", || house.run(&["status"]).code == Some(0));
        house
    }

    /// A host with the cluster `web`: three workers, ten at most.
    pub(crate) fn with_web() -> Self {
        let house = Self::serving();
        let file = house.file("web.toml", &web("workers = 3"));
        house.run(&["apply", &file]).ok();
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/host.sock")
    }

    /// Writes a file, and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).expect("a file in a folder of our own");
        self.path(name).display().to_string()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        let memory = library("longshore-memory");
        command
            .args(arguments)
            .env("LONGSHORE_SOCKET", self.socket())
            .env("LONGSHORE_PLUGIN_PATH", memory.parent().expect("it is in a folder"))
            .env_remove("LONGSHORE_LOG")
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_STATE_HOME", self.path("state-home"))
            .env_remove("LONGSHORE_STATE")
            .current_dir(self.temp.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().expect("the command runs").into()
    }

    /// Starts a command that stays. What it says goes to the files `out` and `err`.
    pub(crate) fn start(&mut self, arguments: &[&str]) {
        self.begin(self.command(arguments));
    }

    /// The same, with a command that was prepared.
    pub(crate) fn begin(&mut self, mut command: Command) {
        let file = |name| File::create(self.path(name)).expect("a file in a folder of our own");
        let child = command.stdout(file("out")).stderr(file("err")).spawn();
        assert!(self.host.replace(child.expect("the command runs")).is_none(), "one at a time");
    }

    /// What it has said so far.
    pub(crate) fn said(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.host.as_ref().expect("it runs");
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it is ours");
    }

    /// Waits until it has ended; gives its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut child = self.host.take().expect("it runs");
        let mut status = None;
        until("the command ends", || {
            status = child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// How a cluster is.
    #[track_caller]
    pub(crate) fn status(&self, cluster: &str) -> Value {
        self.run(&["status", cluster, "--json"]).ok().json()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(child) = &mut self.host {
            // Where it has ended already, there is nothing to do.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A configuration with the cluster `web`, ten workers at most.
pub(crate) fn web(more: &str) -> String {
    format!(
        "[[provider]]\nname = \"memory\"\n[[cluster]]\nname = \"web\"\nprovider = \"memory\"\nmax = 10\n{more}\n"
    )
}

/// One whose workers never begin to work.
pub(crate) fn slow(name: &str) -> String {
    format!(
        "[[provider]]\nname = \"slow\"\nplugin = \"memory\"\n[provider.config]\nstart_after = {{ ms = 1000000000 }}\n\
         [[cluster]]\nname = \"{name}\"\nprovider = \"slow\"\nworkers = 2\n"
    )
}
