//! The service of a container engine, in a room and a folder of its own: started, told to end, killed, held up, and started again on the
//! same data.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Missing, network::Network, programs, room::Room, socket};

/// How long a service may take until it answers.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long a service may take to end when it is told to: it stops its containers first.
const STOP_LIMIT: Duration = Duration::from_secs(45);
/// The longest path that a Unix socket can have on every system.
const SOCKET_PATH: usize = 100;
/// How many lines of its log are shown of a service that does not come up.
const LOG_LINES: usize = 15;

/// A service. Dropping it ends it, its containers and all that is theirs.
#[derive(Debug)]
pub(crate) struct Service {
    program: &'static str,
    folder: PathBuf,
    socket: PathBuf,
    /// `nsenter`, which ends as the service does.
    process: Option<Child>,
    room: Room,
}

impl Service {
    /// A folder and a room for a service that has not been started. The network's bridges are the room's to remove.
    pub(crate) fn new(program: &'static str, network: Option<&Network>) -> Result<Self, Missing> {
        let made = Self::make(program, network);
        if let (Err(_), Some(network)) = (&made, network) {
            network.remove();
        }
        made
    }

    fn make(program: &'static str, network: Option<&Network>) -> Result<Self, Missing> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Missing::new(format!("only root can start {program}")));
        }
        for needed in [program, "unshare", "nsenter", "ip"] {
            programs::find(needed)?;
        }
        let folder = tempfile::Builder::new()
            .prefix("longshore-engine-")
            .tempdir()
            .map_err(|error| Missing::new(format!("no folder can be made for {program}: {error}")))?;
        let socket = folder.path().join("engine.sock");
        if socket.as_os_str().len() > SOCKET_PATH {
            let socket = socket.display();
            return Err(Missing::new(format!(
                "{socket} is too long for a socket: set TMPDIR to a shorter folder"
            )));
        }
        let folder = folder.keep();
        let room = Room::new(&folder, network, cgroup(&folder)).inspect_err(|_| {
            // The room has removed it, unless there was not even a shell.
            let _ = fs::remove_dir_all(&folder);
        })?;
        Ok(Self { program, folder, socket, process: None, room })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The name of a cgroup that is the room's to remove.
    pub(crate) fn cgroup(&self) -> &str {
        cgroup(&self.folder)
    }

    /// Starts the service, and waits until it answers.
    pub(crate) fn start(
        &mut self,
        arguments: &[OsString],
        environment: &[(&str, OsString)],
    ) -> Result<(), Missing> {
        assert!(!self.is_running(), "{} is running already", self.program);
        let failed = |error| Missing::new(format!("{} cannot be started: {error}", self.program));
        let log = File::options().create(true).append(true).open(self.log_file()).map_err(failed)?;
        let begin = log.metadata().map_err(failed)?.len();
        let mut command = self.room.command("sh");
        command
            .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
            .arg(self.pid_file())
            .arg(programs::find(self.program)?)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0);
        self.process = Some(command.spawn().map_err(failed)?);
        let end = Instant::now() + START_LIMIT;
        let why = loop {
            match socket::answers(&self.socket) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > end => {
                    break format!("does not answer within {} s ({error})", START_LIMIT.as_secs());
                }
                Err(_) => {}
            }
            if let Some(status) = self.ended() {
                break format!("has ended with {status}");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let log = self.log();
        let lines: Vec<_> = log.get(begin as usize..).unwrap_or(&log).lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        self.kill();
        Err(Missing::new(format!("{} {why}; the end of its log:\n{last}", self.program)))
    }

    /// How the service ended, if it did.
    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().expect("it is a child")?;
        self.process = None;
        Some(status)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.ended();
        self.process.is_some()
    }

    /// Tells the service to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        assert!(self.wait(STOP_LIMIT), "{} does not end; its log:\n{}", self.program, self.log());
    }

    /// Kills the service, with no time for a last word. Its containers live on.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        assert!(self.wait(STOP_LIMIT), "{} was killed and has not ended", self.program);
    }

    /// Holds the service up: it does nothing, and answers nobody.
    pub(crate) fn pause(&mut self) {
        self.signal("STOP");
    }

    /// Lets a service that was held up go on.
    pub(crate) fn resume(&mut self) {
        self.signal("CONT");
        if let Some(process) = &self.process {
            // It stops when the service stops, and does not notice that it goes on.
            kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGCONT).expect("it is a child");
        }
    }

    fn signal(&mut self, signal: &str) {
        if !self.is_running() {
            return;
        }
        let sent = self
            .room
            .command("sh")
            .args(["-c", "kill -\"$0\" \"$(cat \"$1\")\"", signal])
            .arg(self.pid_file())
            .output()
            .expect("a shell can be run");
        // It may have ended in between.
        let said = String::from_utf8_lossy(&sent.stderr);
        assert!(sent.status.success() || !self.is_running(), "{} gets no {signal}: {said}", self.program);
    }

    fn wait(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// All that the service has written.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Ends everything, and says what is left.
    pub(crate) fn end(mut self) -> Result<(), String> {
        let ended = self.room.end();
        if let Some(process) = &mut self.process {
            process.wait().map_err(|error| error.to_string())?;
        }
        ended
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(why) = self.room.end() {
            eprintln!("{} has not ended well: {why}", self.program);
        }
        if let Some(process) = &mut self.process {
            // The room has ended, and with it the service.
            let _ = process.wait();
        }
    }
}

fn cgroup(folder: &Path) -> &str {
    folder.file_name().and_then(|name| name.to_str()).expect("the folder was named by us")
}
