//! The real `longshore` command: one as the host, and one for each thing that the demonstration asks of it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::Failure;

/// How long the host may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A host in the background. Dropping it ends it.
pub(super) struct Host {
    program: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Host {
    pub(super) fn start(program: &Path, temp: &Path, plugins: &Path) -> Result<Self, Failure> {
        let (socket, log) = (temp.join("host.sock"), temp.join("host.log"));
        let child = Command::new(program)
            .arg("serve")
            .arg("--socket")
            .arg(&socket)
            .arg("--state")
            .arg(temp.join("host-state"))
            .arg("--plugin-path")
            .arg(plugins)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut host = Self { program: program.to_owned(), socket, log, child };
        let end = Instant::now() + PATIENCE;
        while host.json(&["status"]).is_err() {
            if Instant::now() > end || host.child.try_wait()?.is_some() {
                return Err(Failure::new(format!("the host does not listen; {}", host.log()?)));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(host)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(&self.socket).args(arguments);
        command
    }

    /// Runs a command as a person would see it.
    pub(super) fn show(&self, arguments: &[&str]) -> Result<(), Failure> {
        println!("\n$ longshore {}", arguments.join(" "));
        let status = self.command(arguments).status()?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("longshore {}: {status}; {}", arguments.join(" "), self.log()?)))
    }

    fn json(&self, arguments: &[&str]) -> Result<Value, Failure> {
        let output = self.command(arguments).arg("--json").output()?;
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout)?);
        }
        Err(Failure::new(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// The handles of a cluster, oldest first.
    pub(super) fn handles(&self, cluster: &str) -> Result<Vec<String>, Failure> {
        let workers = self.json(&["workers", cluster])?;
        let workers = workers["workers"].as_array().cloned().unwrap_or_default();
        Ok(workers.iter().filter_map(|worker| worker["handle"].as_str().map(str::to_owned)).collect())
    }

    /// How many workers of a cluster run.
    pub(super) fn running(&self, cluster: &str) -> Result<u64, Failure> {
        let status = self.status(cluster)?;
        status["running"].as_u64().ok_or_else(|| Failure::new(format!("no number of workers in {status}")))
    }

    /// How a cluster is, in one line.
    pub(super) fn summary(&self, cluster: &str) -> Result<String, Failure> {
        let status = self.status(cluster)?;
        Ok(format!("{} of {} workers running", status["running"], status["expected"]))
    }

    fn status(&self, cluster: &str) -> Result<Value, Failure> {
        self.json(&["status", cluster])
    }

    /// What the host wrote into its log, for the message of a failure.
    pub(super) fn log(&self) -> Result<String, Failure> {
        Ok(format!("the host's log:\n{}", fs::read_to_string(&self.log)?))
    }

    /// Ends the host as an operator would.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                let failed = || Failure::new(format!("the host ended with {status}"));
                return status.success().then_some(()).ok_or_else(failed);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Failure::new(format!("the host does not end; {}", self.log()?)))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
