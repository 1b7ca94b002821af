//! `cargo xtask demo`: the main job, on real input, from a fresh checkout. Worker processes share the checksums of every
//! file of this repository through a spool folder while they are scaled 2 → 8 → 3 and one of them is killed. The result is
//! checked, and so is that nothing is left running.

mod host;
mod worker;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ignore::WalkBuilder;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::Failure;
use host::Host;
pub(crate) use worker::work;

/// How long a worker rests after each file, so that a person can watch.
const PACE: Duration = Duration::from_millis(300);
/// How long each step of the demonstration may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// The name of the cluster.
const CLUSTER: &str = "checksums";

/// Runs the demonstration.
pub(crate) fn run() -> Result<(), Failure> {
    let root = crate::root();
    say("building the host and the process plugin");
    let build = ["build", "--package", "longshore-cli", "--package", "longshore-process"];
    crate::cargo(&build)?;

    let temp = tempfile::Builder::new().prefix("longshore-demo-").tempdir()?;
    let spool = Spool::fill(&temp.path().join("spool"), &root)?;
    say(&format!("{} files of this repository wait in a spool folder for their checksums", spool.jobs.len()));

    let plugins = temp.path().join("plugins");
    fs::create_dir(&plugins)?;
    let library =
        format!("{}longshore_process{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    fs::copy(crate::target()?.join(&library), plugins.join(&library))?;
    let config = temp.path().join("demo.toml");
    fs::write(&config, configuration(temp.path(), &root, &spool.folder)?)?;

    // Declared before the host, and so dropped after it: a demonstration that fails leaves nothing running either.
    let mark = Mark(temp.path().to_owned());
    let host = Host::start(&crate::target()?.join("longshore"), temp.path(), &plugins)?;
    say("a host is listening; it is told of two workers");
    host.show(&["apply", &config.display().to_string()])?;
    wait("a tenth of the files", || Ok(spool.done()? * 10 >= spool.jobs.len()), &host, &spool)?;

    host.show(&["scale", CLUSTER, "8"])?;
    host.show(&["workers", CLUSTER])?;
    wait("a third of the files", || Ok(spool.done()? * 3 >= spool.jobs.len()), &host, &spool)?;

    let victim = kill_one(&host, &spool)?;
    wait("a replacement", || is_replaced(&host, &victim), &host, &spool)?;
    say(&format!("{victim} is gone and replaced"));
    wait("two thirds of the files", || Ok(spool.done()? * 3 >= spool.jobs.len() * 2), &host, &spool)?;

    host.show(&["scale", CLUSTER, "3"])?;
    host.show(&["explain", CLUSTER])?;
    wait("all files", || Ok(spool.done()? == spool.jobs.len()), &host, &spool)?;

    spool.check(&root)?;
    say(&format!("all {} checksums are there, and each is right", spool.jobs.len()));
    host.show(&["delete", CLUSTER])?;
    host.stop()?;
    let left = mark.processes()?;
    if !left.is_empty() {
        return Err(Failure::new(format!("processes are still running: {left:?}")));
    }
    say("nothing is left running");
    Ok(())
}

fn say(text: &str) {
    println!("\n── {text}");
}

fn configuration(temp: &Path, root: &Path, spool: &Path) -> Result<String, Failure> {
    let quoted = |path: &Path| toml_text(&path.display().to_string());
    Ok(format!(
        r#"[[provider]]
name = "local"
plugin = "process"

[provider.config]
root = {state}
grace = "5s"

[[cluster]]
name = "{CLUSTER}"
provider = "local"
workers = 2
max = 8

[cluster.container]
command = {program}
args = ["demo-worker", {spool}, {root}, "{pace}"]
env = {{ LONGSHORE_DEMO = {temp} }}

[cluster.scaling]
poll_interval = "500ms"
"#,
        state = quoted(&temp.join("state")),
        program = quoted(&std::env::current_exe()?),
        spool = quoted(spool),
        root = quoted(root),
        pace = PACE.as_millis(),
        temp = quoted(temp),
    ))
}

/// A text as TOML writes it.
fn toml_text(text: &str) -> String {
    // JSON's escapes are a part of TOML's.
    serde_json::Value::from(text).to_string()
}

/// Kills the process of one worker as the system would, and names its handle.
fn kill_one(host: &Host, spool: &Spool) -> Result<String, Failure> {
    let handles = host.handles(CLUSTER)?;
    let handle = handles.last().ok_or_else(|| Failure::new("there is no worker to kill"))?.clone();
    let pid = fs::read_to_string(spool.folder.join("workers").join(&handle))?;
    say(&format!("kill -KILL {pid}, which is {handle}, in the midst of its work"));
    let pid = pid.parse().map_err(|_| Failure::new(format!("a worker wrote {pid:?} for its process id")))?;
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    Ok(handle)
}

fn is_replaced(host: &Host, victim: &str) -> Result<bool, Failure> {
    let handles = host.handles(CLUSTER)?;
    Ok(handles.len() == 8 && handles.iter().all(|handle| handle != victim) && host.running(CLUSTER)? == 8)
}

/// Waits for a condition, and shows what happens meanwhile.
fn wait(
    what: &str,
    condition: impl Fn() -> Result<bool, Failure>,
    host: &Host,
    spool: &Spool,
) -> Result<(), Failure> {
    let end = std::time::Instant::now() + PATIENCE;
    let mut shown = String::new();
    while !condition()? {
        if std::time::Instant::now() > end {
            return Err(Failure::new(format!("no {what} within {} s; {}", PATIENCE.as_secs(), host.log()?)));
        }
        let line = format!("   {} · {} of {} files", host.summary(CLUSTER)?, spool.done()?, spool.jobs.len());
        if line != shown {
            println!("{line}");
            std::io::stdout().flush()?;
            shown = line;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// The spool folder: jobs that wait, jobs that are claimed, results.
struct Spool {
    folder: PathBuf,
    /// The name of each job, and the file that it stands for.
    jobs: BTreeMap<String, PathBuf>,
}

impl Spool {
    /// One job for each file of the repository.
    fn fill(folder: &Path, root: &Path) -> Result<Self, Failure> {
        for part in ["jobs", "claimed", "done", "workers"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let mut jobs = BTreeMap::new();
        // What is built, and what git keeps to itself, is not of the repository.
        let files =
            WalkBuilder::new(root).hidden(false).filter_entry(|entry| entry.file_name() != ".git").build();
        for entry in files {
            let path = entry.map_err(|error| Failure::new(error.to_string()))?.into_path();
            if let (true, Ok(file)) = (path.is_file(), path.strip_prefix(root)) {
                let name = format!("{:05}", jobs.len());
                fs::write(folder.join("jobs").join(&name), file.as_os_str().as_encoded_bytes())?;
                jobs.insert(name, file.to_owned());
            }
        }
        Ok(Self { folder: folder.to_owned(), jobs })
    }

    fn done(&self) -> Result<usize, Failure> {
        Ok(fs::read_dir(self.folder.join("done"))?.count())
    }

    /// Works every checksum out once more, and compares.
    fn check(&self, root: &Path) -> Result<(), Failure> {
        for (name, file) in &self.jobs {
            let result = fs::read_to_string(self.folder.join("done").join(name))?;
            let expected = worker::result(root, file)?;
            if result != expected {
                let file = file.display();
                return Err(Failure::new(format!("the result for {file} is {result:?}, not {expected:?}")));
            }
        }
        Ok(())
    }
}

/// The variable in the environment of this demonstration's workers. Dropping it kills those that are left.
struct Mark(PathBuf);

impl Mark {
    /// The processes that carry it.
    fn processes(&self) -> Result<Vec<Pid>, Failure> {
        let mark = format!("LONGSHORE_DEMO={}", self.0.display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            // A process that is not ours to look into, or that ended meanwhile, is not one of the demonstration's.
            let Ok(environment) = fs::read(path.join("environ")) else { continue };
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
                found.push(Pid::from_raw(pid));
            }
        }
        Ok(found)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        for pid in self.processes().unwrap_or_default() {
            // One that ended meanwhile needs no killing.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}
