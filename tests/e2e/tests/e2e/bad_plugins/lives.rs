//! Every way in every function that a host calls, once each, in the lives of clusters: made, scaled, tidied up, stopped, and left
//! by the host. All of a mode's cells share one host. Workers are counted all the time, by cluster: there are never more than
//! asked for, and in the end as many; a good cluster is scaled up and down meanwhile.
//!
//! What changes something goes wrong once its work is done, so that only the answer is lost: that is where a host might do it
//! twice.

use std::{collections::BTreeMap, fs, path::PathBuf, thread, time::Instant};

use longshore_e2e::House;
use longshore_mutants::{How, settings::Function};
use longshore_support::{PATIENCE, example, until};
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use super::{
    calm_house,
    cells::{Mode, Place, Told, tried},
    nobody_else_notices,
};

/// The functions that go wrong in one provider's life, each once: fewer than the deaths that end in quarantine, and than the
/// threads that calls may hang in.
const PARTS: [(&str, &[Function]); 3] = [
    ("begin", &[Function::Initialize, Function::RunServer, Function::ServerStatus, Function::ServerAddress]),
    ("grow", &[Function::Run, Function::Status, Function::List, Function::IsStopped]),
    ("end", &[Function::Kill, Function::Cleanup, Function::StopServer, Function::Drop]),
];

/// How many workers a cluster has at first, and how many it is scaled down to.
const BEFORE: u64 = 2;
const AFTER: u64 = 1;

/// All places that are tried here.
pub(super) fn places() -> Vec<Place> {
    PARTS.into_iter().flat_map(|(_, functions)| functions).map(|function| Place::In(*function)).collect()
}

/// A provider of its own for one way in the functions of one part, and a cluster of the same name on it.
struct Life {
    name: String,
    how: How,
    /// What is tried, and how it is told.
    functions: Vec<(Function, Told)>,
    has_server: bool,
}

impl Life {
    /// The lives of a mode.
    fn all(mode: Mode) -> Vec<Self> {
        let lives =
            How::ALL.into_iter().flat_map(|how| PARTS.map(|(part, functions)| (how, part, functions)));
        lives
            .map(|(how, part, functions)| {
                let places: Vec<_> = functions.iter().map(|function| Place::In(*function)).collect();
                let cells = tried(mode, &places);
                let functions = cells.into_iter().filter(|(way, ..)| *way == how);
                Self {
                    name: format!("{}-{part}", how.name()),
                    how,
                    functions: functions
                        .filter_map(|(_, place, told)| match place {
                            Place::In(function) => Some((function, told)),
                            Place::Load(_) => None,
                        })
                        .collect(),
                    has_server: part != "grow",
                }
            })
            .filter(|life| !life.functions.is_empty())
            .collect()
    }

    fn has(&self, function: Function) -> bool {
        self.functions.iter().any(|(it, _)| *it == function)
    }

    /// The file that a function makes when it goes wrong.
    fn struck(&self, house: &House, function: Function) -> PathBuf {
        house.path(&format!("{}-{}-struck", self.name, function.name()))
    }

    /// The file that ends its hang.
    fn release(&self, house: &House, function: Function) -> PathBuf {
        house.path(&format!("{}-{}-release", self.name, function.name()))
    }

    fn provider(&self, house: &House, mode: Mode) -> String {
        let crashes = self.functions.iter().map(|(function, _)| {
            let does_something = !matches!(
                function,
                Function::Status
                    | Function::IsStopped
                    | Function::List
                    | Function::ServerStatus
                    | Function::ServerAddress
                    | Function::Drop
            );
            let mut crash = json!({
                "function": function,
                "how": self.how,
                "once": self.struck(house, *function),
                "late": does_something,
            });
            // In a process of its own nobody lets go of it but the host.
            if mode == Mode::InProcess {
                crash["release"] = self.release(house, *function).display().to_string().into();
            }
            inline(&crash)
        });
        let bounds = match mode {
            Mode::Subprocess => {
                "hang_grace = \"1s\"\n[provider.confine]\nmemory = \"4GiB\"\ndescriptors = 256\n"
            }
            Mode::InProcess => "",
        };
        format!(
            r#"
[[provider]]
name = "{name}"
plugin = "specimen"
isolation = "{mode}"
{bounds}
[provider.config]
root = "{root}"
crashes = [{crashes}]
"#,
            name = self.name,
            mode = mode.name(),
            root = house.path(&format!("{}-root", self.name)).display(),
            crashes = crashes.collect::<Vec<_>>().join(", "),
        )
    }

    fn cluster(&self, workers: u64) -> String {
        let server = "[cluster.server]\nprobe = \"status\"\n[cluster.server.container]\ncommand = \"sleep\"\nargs = [\"200000\"]\n";
        format!(
            r#"
[[cluster]]
name = "{name}"
provider = "{name}"
workers = {workers}
[cluster.container]
command = "sleep"
args = ["100000"]
[cluster.timeouts]
run = "2s"
status = "2s"
kill = "2s"
list = "2s"
initialize = "2s"
cleanup = "2s"
server = "2s"
kill_retry = "500ms"
[cluster.scaling]
poll_interval = "400ms"
busy_poll_interval = "200ms"
list_interval = "800ms"
backoff = "100ms"
backoff_max = "400ms"
{server}
"#,
            name = self.name,
            server = if self.has_server { server } else { "" },
        )
    }
}

/// An object as an inline table.
fn inline(object: &Value) -> String {
    let fields = object.as_object().expect("an object").iter();
    let fields: Vec<_> = fields.map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", fields.join(", "))
}

/// The clusters of a mode with their host.
struct Lives {
    house: House,
    mode: Mode,
    all: Vec<Life>,
}

impl Lives {
    fn begin(mode: Mode) -> Self {
        let house = calm_house();
        house.drop_in(&example("longshore-mutants", "specimen"));
        let lives = Self { house, mode, all: Life::all(mode) };
        lives.ask_for(BEFORE);
        lives
    }

    /// Asks for so many workers in each cluster, and does not wait for them.
    fn ask_for(&self, workers: u64) {
        let mut config: String = self.all.iter().map(|life| life.provider(&self.house, self.mode)).collect();
        config.extend(self.all.iter().map(|life| life.cluster(workers)));
        let file = self.house.write("lives.toml", &config).display().to_string();
        let _ = self.house.run(&["apply", "--no-wait", &file]).ok();
    }

    /// The good cluster is scaled up and down until each of these functions has gone wrong in each way; nobody ever has more
    /// workers than were asked for.
    #[track_caller]
    fn until_struck(&self, functions: &[Function]) {
        let end = Instant::now() + PATIENCE * 2;
        loop {
            nobody_else_notices(&self.house);
            self.nobody_has_too_many();
            let mut missing = Vec::new();
            for life in &self.all {
                self.let_go(life);
                let wanted = functions.iter().filter(|function| life.has(**function));
                let yet = wanted.filter(|function| !life.struck(&self.house, **function).exists());
                missing.extend(yet.map(|function| format!("{} in {}", life.how.name(), function.name())));
            }
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "never came to be: {missing:?}");
        }
    }

    /// What hangs in the host's own process is let go once it is too late. Whether nobody hangs any more.
    fn let_go(&self, life: &Life) -> bool {
        if self.mode == Mode::Subprocess || life.how != How::Hang {
            return true;
        }
        let hangs = |function: &Function| {
            life.struck(&self.house, *function).exists() && !life.release(&self.house, *function).exists()
        };
        let hanging: Vec<_> = life.functions.iter().map(|(function, _)| *function).filter(hangs).collect();
        if hanging.is_empty() {
            return true;
        }
        // They are among the calls that are in the plugin. Where all of these are late, they are.
        let shown = self.shown(life);
        if shown["busy"] == shown["stuck"] {
            for function in &hanging {
                fs::write(life.release(&self.house, *function), "").expect("a file in the house");
            }
        }
        false
    }

    fn until_nobody_hangs(&self) {
        for life in &self.all {
            until(&format!("{} hangs nowhere", life.name), || self.let_go(life));
        }
    }

    #[track_caller]
    fn nobody_has_too_many(&self) {
        for (cluster, count) in self.house.census() {
            let most = if cluster == "calm" { 5 } else { BEFORE };
            assert!(count.workers <= most && count.servers <= 1, "{cluster} has {count:?}");
        }
    }

    /// Each cluster has as many workers as were asked for, by the host's word and by what really runs, and its server.
    #[track_caller]
    fn all_are_as_asked(&self, workers: u64) {
        let is_so = |status: &Value| {
            status["converged"] == true && status["running"] == workers && status["handles"] == workers
        };
        let mut last = BTreeMap::new();
        let end = Instant::now() + PATIENCE;
        loop {
            let all = self.house.run(&["status", "--json"]).ok().json();
            let clusters = all["clusters"].as_array().expect("a list");
            last.clear();
            last.extend(
                clusters
                    .iter()
                    .filter(|status| status["name"] != "calm" && !is_so(status))
                    .map(|status| (status["name"].to_string(), status["reasons"].to_string())),
            );
            if last.is_empty() {
                break;
            }
            self.nobody_has_too_many();
            assert!(Instant::now() < end, "never came to be as asked: {last:#?}");
        }
        let census = self.house.census();
        for life in &self.all {
            let count = census.get(&life.name).copied().unwrap_or_default();
            let wanted = (workers, u64::from(life.has_server));
            assert_eq!(
                (count.workers, count.servers),
                wanted,
                "{}: none is lost, and none is doubled",
                life.name
            );
        }
    }

    fn shown(&self, life: &Life) -> Value {
        self.house.run(&["plugin", "show", &life.name, "--json"]).ok().json()
    }

    /// Each cell is told as the table says, by what the calls of its function came to and in the log.
    fn each_is_told(&self) {
        let log = self.house.log();
        for life in &self.all {
            let shown = self.shown(life);
            let named = format!("provider=\"{}\"", life.name);
            let lines: Vec<_> = log.lines().filter(|line| line.contains(&named)).collect();
            let says = |words: &str| lines.iter().any(|line| line.contains(words));
            for (function, told) in life.functions.iter().filter(|(it, _)| *it != Function::Drop) {
                let name = function.name();
                let functions = shown["functions"].as_array().expect("a list");
                let figures = functions.iter().find(|figures| figures["function"] == name);
                let figures = figures.expect("it was called");
                let some = |value: &Value| value.as_u64().is_some_and(|count| count > 0);
                let is_so = match told {
                    Told::Died(words) => some(&figures["died"]) && says(words),
                    // Another function may have hung at the same time, and be the one that is told.
                    Told::Ended => some(&figures["died"]) && says("had not come back 1 s after its deadline"),
                    Told::Late => some(&figures["late"]),
                    Told::Failed(kind) => some(&figures["failed"][kind]),
                    Told::Refused(clause) => some(&figures["violations"][clause]),
                    Told::Nothing => {
                        let wrong = [&figures["failed"], &figures["violations"]];
                        some(&figures["answered"])
                            && !some(&figures["died"])
                            && wrong.iter().all(|counts| counts.as_object().is_none_or(Map::is_empty))
                    }
                };
                let how = life.how.name();
                assert!(is_so, "{how} in {name} is to be told as {told:?}: {figures:#}\n{lines:#?}");
            }
            // A process dies once for each function at most, and only where there is one to lose.
            let deaths = shown["runner"]["deaths"].as_u64();
            let is_lost = |told: &Told| matches!(told, Told::Died(_) | Told::Ended);
            let most = life.functions.iter().filter(|(_, told)| is_lost(told)).count() as u64;
            match self.mode {
                Mode::Subprocess => {
                    assert!(deaths.is_some_and(|deaths| deaths <= most), "{}: {deaths:?}", life.name);
                }
                Mode::InProcess => assert_eq!(deaths, None, "{}", life.name),
            }
        }
    }

    /// Every provider tidies up, and once more where that failed.
    fn tidy_up(&self) {
        thread::scope(|scope| {
            for life in self.all.iter().filter(|life| life.has(Function::Cleanup)) {
                scope.spawn(|| {
                    let told = life.functions.iter().find(|(it, _)| *it == Function::Cleanup);
                    let first = self.house.run(&["cleanup", &life.name]);
                    let succeeds = matches!(told, Some((_, Told::Nothing)));
                    assert_eq!(first.code == Some(0), succeeds, "{}: {first:?}", life.name);
                    until(&format!("{} tidies up", life.name), || {
                        self.let_go(life);
                        self.house.run(&["cleanup", &life.name]).code == Some(0)
                    });
                });
            }
        });
    }

    /// The clusters of a part with servers are stopped, while the others go on.
    fn stop(&self) {
        let stopped = || self.all.iter().filter(|life| life.has(Function::StopServer));
        for life in stopped() {
            let _ = self.house.run(&["stop", "--no-wait", &life.name]).ok();
        }
        self.until_struck(&[Function::StopServer]);
        self.until_nobody_hangs();
        for life in stopped() {
            until(&format!("{} is stopped", life.name), || {
                self.house.status(&life.name)["converged"] == true
            });
        }
        let census = self.house.census();
        for life in &self.all {
            let count = census.get(&life.name).copied().unwrap_or_default();
            let wanted =
                if life.has(Function::StopServer) { (0, 0) } else { (AFTER, u64::from(life.has_server)) };
            assert_eq!((count.workers, count.servers), wanted, "{}", life.name);
        }
    }

    /// The host ends: so do its providers, whatever they do meanwhile, and no worker does.
    fn end(mut self) {
        let before = self.house.census();
        self.house.signal_host(Signal::SIGTERM);
        assert_eq!(self.house.host_ends(), Some(0), "{}", self.house.log());
        for life in self.all.iter().filter(|life| life.has(Function::Drop)) {
            assert!(life.struck(&self.house, Function::Drop).exists(), "{} in drop", life.how.name());
        }
        until("nobody is left but workers and servers", || {
            self.house.marked().iter().all(|(_, name)| name == "sleep")
        });
        assert_eq!(self.house.census(), before, "the workers live on");
    }
}

fn live(mode: Mode) {
    const AT_FIRST: [Function; 7] = [
        Function::Initialize,
        Function::RunServer,
        Function::ServerStatus,
        Function::ServerAddress,
        Function::Run,
        Function::Status,
        Function::List,
    ];
    const LATER: [Function; 2] = [Function::Kill, Function::IsStopped];
    let lives = Lives::begin(mode);
    lives.until_struck(&AT_FIRST);
    lives.until_nobody_hangs();
    lives.all_are_as_asked(BEFORE);
    lives.ask_for(AFTER);
    lives.until_struck(&LATER);
    lives.until_nobody_hangs();
    lives.all_are_as_asked(AFTER);
    lives.tidy_up();
    lives.all_are_as_asked(AFTER);
    lives.stop();
    lives.each_is_told();
    nobody_else_notices(&lives.house);
    lives.end();
}

#[test]
fn in_a_process_of_its_own_a_plugin_costs_its_own_provider_alone_whatever_it_does() {
    live(Mode::Subprocess);
}

#[test]
fn in_the_hosts_own_process_what_holds_there_costs_nobody_else() {
    live(Mode::InProcess);
}
