//! A room: namespaces for the processes and the mounts of a container engine. With the room, all that is in it ends: not one
//! process, mount, file or bridge is left, whether whoever made it ends it, panics, or is killed (`room.sh` sees to that).

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read as _, Seek as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Missing, network::Network};

/// How long a room may take to end: everything in it is killed.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A room. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Room {
    keeper: Child,
    /// Its end is the room's end.
    lifeline: Option<ChildStdin>,
    /// Where the namespaces are to be found.
    namespaces: PathBuf,
    folder: PathBuf,
    complaints: File,
}

impl Room {
    /// Makes a room. At its end, and where it cannot be made, it removes the folder, the bridges of the network and the cgroup.
    pub(crate) fn new(folder: &Path, network: Option<&Network>, cgroup: &str) -> Result<Self, Missing> {
        let missing = |error: io::Error| Missing::new(format!("no namespaces can be made: {error}"));
        let complaints = tempfile::tempfile().map_err(missing)?;
        let script = folder.join("room.sh");
        fs::write(&script, include_str!("room.sh")).map_err(missing)?;
        let mut keeper = Command::new("sh")
            .arg(script)
            .arg("keep")
            .arg(folder)
            .arg(network.map_or_else(String::new, Network::all))
            .arg(cgroup)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone().map_err(missing)?)
            // Ctrl-C is for the tests; the room ends after them.
            .process_group(0)
            .spawn()
            .map_err(missing)?;
        let said = keeper.stdout.take().map(BufReader::new);
        let mut lines = said.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
        let namespaces = lines.find_map(|line| Some(format!("/proc/{}/ns", line.strip_prefix("room ")?)));
        let is_ready = lines.any(|line| line == "ready");
        let mut room = Self {
            lifeline: keeper.stdin.take(),
            keeper,
            namespaces: namespaces.unwrap_or_default().into(),
            folder: folder.to_owned(),
            complaints,
        };
        if is_ready {
            return Ok(room);
        }
        let why = match room.end() {
            Ok(()) => room.complained(),
            Err(why) => why,
        };
        Err(Missing::new(format!("no namespaces can be made: {why}")))
    }

    /// A command that will run in the room, found on a path that has the folders of system programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount={}", self.namespaces.join("mnt").display()))
            .arg(format!("--pid={}", self.namespaces.join("pid_for_children").display()))
            .args(["--", program])
            .env("PATH", crate::programs::path())
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// Ends the room, and waits until all is gone.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        drop(self.lifeline.take());
        let end = Instant::now() + END_LIMIT;
        while self.keeper.try_wait().map_err(|error| error.to_string())?.is_none() {
            if Instant::now() > end {
                return Err(format!("{} is not gone after {} s", self.folder.display(), END_LIMIT.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.folder.exists() {
            let why = self.complained();
            return Err(format!("{} cannot be removed: {why}", self.folder.display()));
        }
        Ok(())
    }

    /// What the room's keeper has complained of.
    fn complained(&mut self) -> String {
        let mut said = String::new();
        // Without it, the complaint is told all the same.
        let _ = self.complaints.rewind().and_then(|()| self.complaints.read_to_string(&mut said));
        said.trim().replace('\n', "; ")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.lifeline.is_some()
            && let Err(why) = self.end()
        {
            eprintln!("a room of a container engine has not ended well: {why}");
        }
    }
}
