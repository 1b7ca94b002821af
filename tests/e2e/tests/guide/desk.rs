//! Where the page is followed: a fresh folder with a home of its own, `longshore` on the path, and a shell. What cargo needs is on
//! the machine already, since the workspace needs it too; what it builds for others is used again.

use std::{
    env,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use longshore_support::{program, until};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tempfile::TempDir;

/// How a command ends that is meant to fail.
pub(crate) const FAILS: &str = "# fails";

/// The longest that a command may take: the first one that builds has to build everything.
const LIMIT: Duration = Duration::from_mins(20);

/// How often a command is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The desk of somebody who reads the page.
pub(crate) struct Desk {
    temp: TempDir,
    /// The folder that the shell is in.
    folder: PathBuf,
    /// The command that stays.
    host: Option<Child>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let temp = TempDir::with_prefix("longshore-guide-").expect("a temporary folder");
        let folder = temp.path().join("work");
        for name in ["work", "home", "run"] {
            fs::create_dir(temp.path().join(name)).expect("an empty folder");
        }
        Self { temp, folder, host: None }
    }

    /// Does what the page says, and returns what was said. One that stays is left running, once it does what it is for.
    pub(crate) fn follow(&mut self, command: &str) -> String {
        if command.starts_with("longshore up ") {
            assert!(self.host.is_none(), "one host is enough");
            let output = self.output("host");
            self.host = Some(self.shell(&format!("exec {command}"), &output).spawn().expect("a shell"));
            until("the host has its workers", || self.has_come_up());
            return String::new();
        }
        let output = self.output("output");
        let place = self.temp.path().join("folder");
        let script = format!("{command}\nstatus=$?; pwd > '{}'; exit $status", place.display());
        let status = wait(self.shell(&script, &output).spawn().expect("a shell"), command);
        let said = fs::read_to_string(self.temp.path().join("output")).expect("what was said is text");
        assert_eq!(status.success(), !command.ends_with(FAILS), "`{command}` ended with {status}:\n{said}");
        self.folder = fs::read_to_string(place).expect("the shell has a folder").trim_end().into();
        said
    }

    fn has_come_up(&mut self) -> bool {
        let host = self.host.as_mut().expect("it was started");
        if let Some(status) = host.try_wait().expect("it is our child") {
            panic!("the host ended with {status}:\n{}", self.host_said());
        }
        let output = self.output("status");
        let asked = self.shell("longshore status web --json", &output).status().expect("a shell");
        let said = fs::read_to_string(self.temp.path().join("status")).expect("what was said is text");
        asked.success() && said.contains("\"converged\":true")
    }

    fn host_said(&self) -> String {
        fs::read_to_string(self.temp.path().join("host")).unwrap_or_default()
    }

    /// Ends what stays, as Ctrl-C does, and tells which visible files the reader's folder has.
    pub(crate) fn ends(mut self) -> Vec<String> {
        let host = self.host.take().expect("the page starts a host");
        kill(Pid::from_raw(host.id().cast_signed()), Signal::SIGINT).expect("it is ours");
        let status = wait(host, "the host");
        assert!(status.success(), "the host ended with {status}:\n{}", self.host_said());
        let entries = fs::read_dir(&self.folder).expect("it is there");
        let names = entries.map(|entry| entry.expect("it can be read").file_name().display().to_string());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    fn output(&self, name: &str) -> File {
        File::create(self.temp.path().join(name)).expect("a file for what is said")
    }

    /// A shell with the reader's variables, in a process group of its own.
    fn shell(&self, script: &str, output: &File) -> Command {
        let longshore = program("longshore-cli", "longshore");
        let folder = longshore.parent().expect("a program is in a folder");
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([folder.to_owned()].into_iter().chain(env::split_paths(&path)));
        let mut command = Command::new("bash");
        command
            .args(["-c", script])
            .current_dir(&self.folder)
            .env("PATH", path.expect("the path was one before"))
            .env("HOME", self.temp.path().join("home"))
            .env("XDG_RUNTIME_DIR", self.temp.path().join("run"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("another descriptor"))
            .stderr(output.try_clone().expect("another descriptor"));
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if ["XDG_DATA_HOME", "XDG_STATE_HOME"].contains(&&*name) || name.starts_with("LONGSHORE_") {
                command.env_remove(&*name);
            }
        }
        cargo(&mut command, folder);
        command
    }
}

/// Lets a cargo whose home is elsewhere find what the machine has, and share what was built for the workspace.
fn cargo(command: &mut Command, programs: &Path) {
    let home = env::home_dir().expect("somebody runs this");
    for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        command.env(variable, env::var_os(variable).unwrap_or_else(|| home.join(folder).into()));
    }
    let target = programs.parent().expect("cargo puts programs into the folder of their profile");
    command
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_BUILD_BUILD_DIR", target)
        .env("CARGO_NET_OFFLINE", "true")
        // What is built in this profile is to run once.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
}

/// Waits for a command, and ends it with all that it has started where it takes too long.
fn wait(mut child: Child, what: &str) -> ExitStatus {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        if Instant::now() > end {
            end_group(&mut child);
            panic!("not within {} s: {what}", LIMIT.as_secs());
        }
        thread::sleep(LOOK);
    }
}

fn end_group(child: &mut Child) {
    // Where it has ended already, there is nothing to do.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    let _ = child.wait();
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(host) = &mut self.host {
            end_group(host);
        }
    }
}
