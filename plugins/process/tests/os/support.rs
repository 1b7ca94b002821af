//! A provider on a folder of its own, and what the tests look at the system with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use longshore_plugin_api::{
    Container, Context, Error, Hardware, Killed, Launch, LaunchToken, List as _, ListedHandle, Log,
    Provider as _, RunRequest, WorkerStatus, testing,
};
use longshore_process::LocalProcesses;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The cluster of every test.
pub(crate) const CLUSTER: &str = "c1";
/// How long anything may take before a test gives up: far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for what the upkeep does: on a busy machine its rounds are far apart.
const LONG_PATIENCE: Duration = Duration::from_mins(3);
/// The variable that marks the workers of one test.
pub(crate) const MARK: &str = "LONGSHORE_TEST_MARK";

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG_PATIENCE, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A provider, its folder, and its workers.
pub(crate) struct House {
    folder: TempDir,
    settings: Value,
    mark: String,
    provider: Option<LocalProcesses>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// With settings beside the folder.
    pub(crate) fn with(settings: Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mark = folder.path().display().to_string();
        let mut house = Self { folder, settings, mark, provider: None };
        house.provider = Some(house.another());
        house
    }

    /// A second provider on the same folder.
    pub(crate) fn another(&self) -> LocalProcesses {
        provider(&self.root(), &self.settings).expect("the settings are valid")
    }

    /// Drops the provider, and makes it anew.
    pub(crate) fn create_anew(&mut self) {
        self.provider = None;
        self.provider = Some(self.another());
    }

    /// Drops the provider.
    pub(crate) fn close(&mut self) {
        self.provider = None;
    }

    pub(crate) fn provider(&self) -> &LocalProcesses {
        self.provider.as_ref().expect("it is open")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// The folder of a launch.
    pub(crate) fn launch_folder(&self, token: &str) -> PathBuf {
        self.root().join("clusters").join(CLUSTER).join("launches").join(token)
    }

    /// A file beside the state folder, for workers to leave a sign in.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A request for workers that run a script of the shell.
    pub(crate) fn request(&self, token: &str, workers: u32, script: &str) -> RunRequest {
        request(&self.mark, token, workers, script)
    }

    #[track_caller]
    pub(crate) fn run(&self, token: &str, workers: u32, script: &str) -> Vec<String> {
        let launch = self.try_run(&self.request(token, workers, script)).expect("it is launched");
        assert_eq!(launch.shortfall, None);
        launch.handles
    }

    pub(crate) fn try_run(&self, request: &RunRequest) -> Result<Launch, Error> {
        call(|ctx| self.provider().run(ctx, request))
    }

    #[track_caller]
    pub(crate) fn status(&self, handles: &[impl AsRef<str>]) -> Vec<WorkerStatus> {
        call(|ctx| self.provider().status(ctx, &texts(handles))).expect("the status is known")
    }

    /// Kills, and demands that it worked for each.
    #[track_caller]
    pub(crate) fn kill(&self, handles: &[impl AsRef<str>]) {
        let answers = call(|ctx| self.provider().kill(ctx, &texts(handles))).expect("they are killed");
        assert_eq!(answers, vec![Killed::Yes; handles.len()]);
    }

    #[track_caller]
    pub(crate) fn list(&self) -> Vec<ListedHandle> {
        list(self.provider())
    }

    /// Kills this test's workers behind the provider's back.
    pub(crate) fn slay(&self) {
        wait_until("they are dead", || {
            let alive = self.alive();
            for pid in &alive {
                signal(*pid, rustix::process::Signal::KILL);
            }
            alive.is_empty()
        });
    }

    /// The processes with this test's mark, other than zombies.
    pub(crate) fn alive(&self) -> Vec<i32> {
        marked(&self.mark)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // A second panic would end all tests and hide the first.
        if std::thread::panicking() {
            self.provider = None;
            for pid in self.alive() {
                signal(pid, rustix::process::Signal::KILL);
            }
            return;
        }
        if let Some(provider) = self.provider.take() {
            let handles: Vec<String> = list(&provider).into_iter().map(|listed| listed.handle).collect();
            let killed = call(|ctx| provider.kill(ctx, &texts(&handles)));
            assert_eq!(killed, Ok(vec![Killed::Yes; handles.len()]));
        }
        let left = self.alive();
        for pid in &left {
            signal(*pid, rustix::process::Signal::KILL);
        }
        assert_eq!(left, [0_i32; 0], "processes that the provider left behind");
    }
}

pub(crate) fn provider(root: &Path, settings: &Value) -> Result<LocalProcesses, Error> {
    let mut config = json!({"root": root, "grace": "5s"});
    let settings = settings.as_object().expect("settings are an object").clone();
    config.as_object_mut().expect("an object").extend(settings);
    LocalProcesses::create(serde_json::from_value(config).expect("it fits the schema"), Log::silent())
}

pub(crate) fn request(mark: &str, token: &str, workers: u32, script: &str) -> RunRequest {
    let container = Container {
        command: Some("sh".to_owned()),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::from([(MARK.to_owned(), mark.to_owned())]),
        ..Container::default()
    };
    RunRequest { container, hardware: Hardware::default(), workers, token: LaunchToken::new(token) }
}

pub(crate) fn call<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
    testing::call(CLUSTER, PATIENCE, work)
}

#[track_caller]
pub(crate) fn list(provider: &LocalProcesses) -> Vec<ListedHandle> {
    call(|ctx| provider.list(ctx)).expect("the list is complete")
}

pub(crate) fn texts(handles: &[impl AsRef<str>]) -> Vec<&str> {
    handles.iter().map(AsRef::as_ref).collect()
}

/// The processes with a mark, other than zombies.
pub(crate) fn marked(mark: &str) -> Vec<i32> {
    let variable = format!("{MARK}={mark}");
    let has_mark =
        |pid: &i32| environment(*pid).split(|byte| *byte == 0).any(|text| text == variable.as_bytes());
    pids().filter(|pid| is_alive(*pid) && has_mark(pid)).collect()
}

/// The environment of a process. It is empty for a moment while the process becomes another program, and while it ends:
/// that is waited for, unless the process is older than this test program.
pub(crate) fn environment(pid: i32) -> Vec<u8> {
    let start = |pid| stat(pid).and_then(|stat| stat[19].parse::<u64>().ok());
    let began = Instant::now();
    loop {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_young = || start(pid) >= start(std::process::id().cast_signed());
        let may_have_one = || is_alive(pid) && is_young() && began.elapsed() < Duration::from_millis(100);
        if !environment.is_empty() || !may_have_one() {
            return environment;
        }
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc is readable");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// What follows the name in a line of `/proc/PID/stat`: the state first, then the parent, the group, the session.
pub(crate) fn stat(pid: i32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(line.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect())
}

pub(crate) fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat[0] != "Z" && stat[0] != "X")
}

/// The zombies among this process's children.
pub(crate) fn zombies() -> Vec<i32> {
    let itself = std::process::id().to_string();
    pids().filter(|pid| stat(*pid).is_some_and(|stat| stat[0] == "Z" && stat[1] == itself)).collect()
}

pub(crate) fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a number of a process");
    let _ = rustix::process::kill_process(pid, signal);
}

/// The number that a worker wrote to a file, once it has.
#[track_caller]
pub(crate) fn number_in(path: &Path) -> i32 {
    let mut number = None;
    wait_until("a worker wrote a number", || {
        let text = fs::read_to_string(path).unwrap_or_default();
        number = text.strip_suffix('\n').and_then(|text| text.trim().parse().ok());
        number.is_some()
    });
    number.expect("waited for")
}
