//! The quirks file: what an author says of a provider so that it can be tried. It lies beside the library
//! (`NAME.quirks.toml` for `libNAME.so`), or in the root of the provider's crate (`quirks.toml`).
//!
//! It says how to try, never what to forgive: no check can be switched off here. What it does not declare (an outage, a
//! container that cannot start) cannot be brought about, and the checks that need it are skipped and say so.
//!
//! In every text of `config`, of the overlays and of the commands, `${scratch}` is a fresh folder of the check, `${check}` a
//! name that no other check has, and `${program}` the program that runs the check. In the server's container, `${port}` is the
//! port of the request, another one for each cluster.

use std::{fs, ops::RangeInclusive, path::Path, time::Duration};

use longshore_plugin_api::{Container, Hardware, MAX_WORKERS_ON_A_HANDLE};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest time that the file may name. Ten times of it can still be counted with.
const LONGEST: Duration = Duration::from_hours(24);

/// How a provider is tried. Every field has a default.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// The provider's configuration, where `--config` names none.
    pub config: Map<String, Value>,
    /// What a worker runs in a check that only needs it to stay alive.
    pub container: Container,
    /// What a worker needs of the machine.
    pub hardware: Hardware,
    /// What the workers outlive.
    pub outlives: Outlives,
    /// How long a worker may take until it runs.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub start: Duration,
    /// How long a killed worker may take until it has stopped: the grace of KILL-4.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub grace: Duration,
    /// The budget of each call.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub call: Duration,
    /// How long a check may take; ten times as long with `--long`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub check: Duration,
    /// How often to look while waiting for a worker.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub poll: Duration,
    /// The most workers that a check may have at a time.
    pub most_workers: u32,
    /// What is costly there, in money or time. Checks do with the least of it, or are skipped, unless `--long` is given.
    pub costly: Vec<Costly>,
    /// The most checks that may run side by side.
    pub most_jobs: Option<usize>,
    /// How a worker can tell the harness of itself: where workers run a program and can reach this machine. Without it the
    /// checks that look through a worker's eyes are skipped.
    pub witness: Option<WitnessQuirks>,
    /// A server, where the provider has servers.
    pub server: Option<ServerQuirks>,
    /// How to have a run fail: a container that cannot be started, or a configuration that makes runs fail.
    pub bad_run: Option<Variant>,
    /// How to have a worker end by itself within `start`: a container that does, or a configuration.
    pub brief: Option<Variant>,
    /// How to put the backend out of reach.
    pub outage: Option<Outage>,
    /// How to have the kill of one handle fail, and of no other.
    pub bad_kill: Option<BadKill>,
    /// How to have a run fall short.
    pub shortfall: Option<Shortfall>,
    /// How to have a run take long, but honour a cancellation.
    pub slow_run: Option<SlowRun>,
    /// Configurations that cannot be used, beyond those that the schema itself tells.
    pub bad_config: Vec<BadConfig>,
    /// Folders in which the provider keeps files, counted over many cycles.
    pub files: Vec<String>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            config: Map::new(),
            container: Container::default(),
            hardware: Hardware::default(),
            outlives: Outlives::Process,
            start: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            call: Duration::from_mins(1),
            check: Duration::from_mins(2),
            poll: Duration::from_millis(50),
            most_workers: 1_000,
            costly: Vec::new(),
            most_jobs: None,
            witness: None,
            server: None,
            bad_run: None,
            brief: None,
            outage: None,
            bad_kill: None,
            shortfall: None,
            slow_run: None,
            bad_config: Vec::new(),
            files: Vec::new(),
        }
    }
}

/// What a provider's workers outlive (LOAD-9, LIST-3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outlives {
    /// They end with the instance: a test double, which says so in its documentation.
    Nothing,
    /// They outlive the instance, and end with its process.
    Instance,
    /// They outlive the host's process, as the contract has it.
    #[default]
    Process,
}

/// What may be costly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Costly {
    /// Launching workers: checks launch as few as they can.
    Launches,
    /// Calls: checks that ask thousands of times are skipped.
    Calls,
    /// Servers: checks that start one are skipped.
    Servers,
}

/// How a worker runs the witness, a program that tells the harness what it sees and holds a connection for as long as it lives.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WitnessQuirks {
    /// The witness program as a worker sees it; the program that runs the check, unless it lies elsewhere in the container.
    pub program: String,
    /// The address of this machine as a worker reaches it, and that the harness listens on.
    pub address: String,
    /// What else the worker's container needs: an image, for instance. Its command and arguments are the witness's.
    pub container: Container,
}

impl Default for WitnessQuirks {
    fn default() -> Self {
        Self {
            program: "${program}".to_owned(),
            address: "127.0.0.1".to_owned(),
            container: Container::default(),
        }
    }
}

/// A server that can be started there.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerQuirks {
    /// What it runs.
    pub container: Container,
    /// What it needs of the machine.
    pub hardware: Hardware,
    /// Whether its address takes connections from this machine once it runs.
    pub connects: bool,
}

/// Another container, another configuration, or both.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Variant {
    /// Laid over the configuration.
    pub config: Map<String, Value>,
    /// What a worker runs instead of the plain container.
    pub container: Option<Container>,
}

/// How to put the backend out of reach: by another configuration, or by commands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outage {
    /// Laid over the configuration: an instance that is made with it cannot reach the backend.
    pub config: Map<String, Value>,
    /// A command that puts the backend of an instance that is made already out of reach: program and arguments.
    pub begin: Vec<String>,
    /// The command that ends it.
    pub end: Vec<String>,
}

/// How to have the kill of one handle fail: by commands in whose texts `${handle}` is the handle. It was launched by itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BadKill {
    /// A command after which a kill of the handle fails: program and arguments.
    pub begin: Vec<String>,
    /// The command that ends that.
    pub end: Vec<String>,
}

/// How to have a run fall short.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shortfall {
    /// Laid over the configuration.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// So many workers are more than can be had.
    pub workers: u32,
}

/// How to have a run take long.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowRun {
    /// Laid over the configuration.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// A run of so many workers takes two seconds or longer.
    pub workers: u32,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BadConfig {
    /// Laid over the configuration.
    pub config: Map<String, Value>,
    /// The field that the error must name, such as `limits.ports[2]`.
    pub field: String,
}

impl Quirks {
    /// Reads a quirks file.
    ///
    /// # Errors
    ///
    /// What is wrong with it, where, for a person.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("the quirks file {} cannot be read: {error}", path.display()))?;
        let wrong = |what: &str| format!("the quirks file {} is wrong: {}", path.display(), what.trim_end());
        let quirks: Self = toml::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        unknown(&table).and_then(|()| quirks.check()).map_err(|what| wrong(&what))?;
        Ok(quirks)
    }

    /// The quirks beside a library: `NAME.quirks.toml` for `libNAME.so`; the defaults where there is none.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn beside(library: &Path) -> Result<Self, String> {
        let stem = library.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = stem.strip_prefix(std::env::consts::DLL_PREFIX).unwrap_or(stem);
        let path = library.with_file_name(format!("{name}.quirks.toml"));
        if path.exists() { Self::read(&path) } else { Ok(Self::default()) }
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), String> {
        for (name, value) in
            [("start", self.start), ("grace", self.grace), ("call", self.call), ("check", self.check)]
        {
            if value.is_zero() {
                return Err(format!("`{name}` must be longer than nothing"));
            }
            if value > LONGEST {
                return Err(format!("`{name}` must be at most `1day`"));
            }
        }
        if self.poll < Duration::from_millis(1) {
            return Err("`poll` must be at least `1ms`".to_owned());
        }
        if self.poll > LONGEST {
            return Err("`poll` must be at most `1day`".to_owned());
        }
        if self.most_workers < 4 {
            return Err("`most_workers` must be at least 4: the checks cannot do with fewer".to_owned());
        }
        if self.most_jobs == Some(0) {
            return Err("`most_jobs` must be at least 1".to_owned());
        }
        if self.outage.as_ref().is_some_and(|it| it.config.is_empty() && it.begin.is_empty()) {
            return Err("`outage` needs `config`, or the commands `begin` and `end`".to_owned());
        }
        if self.outage.as_ref().is_some_and(|it| it.begin.is_empty() != it.end.is_empty()) {
            return Err("`outage.begin` and `outage.end` belong together".to_owned());
        }
        if self.bad_kill.as_ref().is_some_and(|it| it.begin.is_empty() || it.end.is_empty()) {
            return Err("`bad_kill` needs both of the commands `begin` and `end`".to_owned());
        }
        if self.containers().any(|it| it.max_workers.is_some_and(|most| !WORKERS_ON_A_HANDLE.contains(&most)))
        {
            return Err(format!("`max_workers` of a container must be 1 to {MAX_WORKERS_ON_A_HANDLE}"));
        }
        if self.shortfall.as_ref().is_some_and(|it| it.workers == 0) {
            return Err("`shortfall.workers` must be at least 1".to_owned());
        }
        Ok(())
    }

    /// Every container that the file has.
    fn containers(&self) -> impl Iterator<Item = &Container> {
        let variants = [&self.bad_run, &self.brief].into_iter().flatten();
        let others = variants.filter_map(|variant| variant.container.as_ref());
        let own =
            self.witness.iter().map(|it| &it.container).chain(self.server.iter().map(|it| &it.container));
        [&self.container].into_iter().chain(own).chain(others)
    }

    /// Whether something is costly there.
    pub fn is_costly(&self, what: Costly) -> bool {
        self.costly.contains(&what)
    }
}

/// How many workers a container may hold.
const WORKERS_ON_A_HANDLE: RangeInclusive<u32> = 1..=MAX_WORKERS_ON_A_HANDLE;

/// Finds a key of a container or of hardware that there is none of. What crosses the boundary ignores those, for a newer side
/// may have them; in a file that a person writes they are a slip of the pen.
fn unknown(quirks: &toml::Table) -> Result<(), String> {
    let places: [(&[&str], Value); 7] = [
        (&["container"], schema_for!(Container).to_value()),
        (&["hardware"], schema_for!(Hardware).to_value()),
        (&["witness", "container"], schema_for!(Container).to_value()),
        (&["server", "container"], schema_for!(Container).to_value()),
        (&["server", "hardware"], schema_for!(Hardware).to_value()),
        (&["bad_run", "container"], schema_for!(Container).to_value()),
        (&["brief", "container"], schema_for!(Container).to_value()),
    ];
    for (steps, schema) in places {
        let mut within = Some(quirks);
        for step in steps {
            within = within.and_then(|table| table.get(*step)).and_then(toml::Value::as_table);
        }
        let Some(known) = schema["properties"].as_object() else { continue };
        let stranger = within.and_then(|table| table.keys().find(|key| !known.contains_key(*key)));
        if let Some(key) = stranger {
            let known: Vec<_> = known.keys().map(|key| format!("`{key}`")).collect();
            let place = steps.join(".");
            return Err(format!("unknown field `{key}` in `{place}`, expected one of {}", known.join(", ")));
        }
    }
    Ok(())
}

/// Durations as a person writes them: `30s`, `1m 30s`.
mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format_args!("{error}; write a duration such as `30s` or `1m 30s`"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Quirks, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("odd.quirks.toml");
        fs::write(&path, text).expect("it is written");
        let found = Quirks::read(&path);
        let beside = Quirks::beside(&folder.path().join(format!("{}odd.so", std::env::consts::DLL_PREFIX)));
        assert_eq!(found.as_ref().err(), beside.as_ref().err(), "both ways lead to the same file");
        found.map_err(|error| error.replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn a_file_says_what_it_says_and_the_rest_is_as_usual() {
        let quirks = read("grace = \"1m 30s\"\ncostly = [\"launches\"]\n[container]\ncommand = \"sleep\"")
            .expect("it is right");
        assert_eq!((quirks.grace, quirks.start), (Duration::from_secs(90), Duration::from_secs(30)));
        assert_eq!(quirks.container.command.as_deref(), Some("sleep"));
        assert!(quirks.is_costly(Costly::Launches) && !quirks.is_costly(Costly::Calls));
        assert!(
            Quirks::beside(Path::new("/of/nobody/libx.so")).is_ok(),
            "no file is as good as an empty one"
        );
    }

    #[test]
    fn a_mistake_is_told_with_the_file_and_the_key() {
        for (text, words) in [
            ("grce = \"1s\"", "unknown field `grce`"),
            ("grace = \"long\"", "write a duration such as"),
            ("grace = \"0s\"", "`grace` must be longer than nothing"),
            ("check = \"90000000000years\"", "`check` must be at most `1day`"),
            ("poll = \"2days\"", "`poll` must be at most `1day`"),
            ("poll = \"1us\"", "`poll` must be at least"),
            ("most_workers = 3", "`most_workers` must be at least 4"),
            ("most_jobs = 0", "`most_jobs` must be at least 1"),
            ("[outage]", "`outage` needs"),
            ("[outage]\nbegin = [\"true\"]", "belong together"),
            ("[bad_kill]\nbegin = [\"true\"]\nend = []", "`bad_kill` needs both"),
            ("[bad_kill]\nbegin = [\"true\"]", "missing field `end`"),
            ("[shortfall]\nworkers = 0", "`shortfall.workers`"),
            ("outlives = \"everything\"", "unknown variant"),
            (
                "[container]\ncomand = \"x\"",
                "unknown field `comand` in `container`, expected one of `args`, `command`",
            ),
            ("[hardware]\ncpus = 2", "unknown field `cpus` in `hardware`"),
            ("[witness.container]\nimg = \"x\"", "unknown field `img` in `witness.container`"),
            ("[brief.container]\nargv = []", "unknown field `argv` in `brief.container`"),
            ("[server.hardware]\nmem = 1", "unknown field `mem` in `server.hardware`"),
            ("[bad_run.container]\nmax_workers = 0", "`max_workers` of a container must be 1 to 10000"),
        ] {
            let error = read(text).expect_err(text);
            assert!(
                error.starts_with("the quirks file FILE is wrong: ")
                    && error.contains(words)
                    && error.trim_end() == error,
                "{text}: {error}"
            );
        }
        let error = Quirks::read(Path::new("/of/nobody.toml")).expect_err("it is not there");
        assert!(error.starts_with("the quirks file /of/nobody.toml cannot be read"), "{error}");
    }

    #[test]
    fn quirks_come_back_as_they_were_written() {
        let quirks = read(
            "grace = \"250ms\"\n[outage.config]\nx = 1\n[witness]\n[[bad_config]]\nfield = \"a\"\nconfig = {}",
        );
        let quirks = quirks.expect("it is right");
        let text = serde_json::to_string(&quirks).expect("it is written");
        let again: Quirks = serde_json::from_str(&text).expect("it is read");
        assert_eq!(serde_json::to_string(&again).expect("it is written"), text);
        assert_eq!(again.grace, Duration::from_millis(250));
    }

    #[test]
    fn the_page_has_every_key_and_its_example_is_right() {
        let page = include_str!("../QUIRKS.md");
        let schema = schemars::schema_for!(Quirks).to_value();
        let keys = schema["properties"].as_object().expect("it has keys").keys();
        let missing: Vec<_> = keys.filter(|key| !page.contains(&format!("\n| `{key}` |"))).collect();
        assert_eq!(missing, [""; 0], "QUIRKS.md does not tell of them");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let quirks = read(example.expect("there is an example")).expect("it is right");
        assert!(quirks.outage.is_some() && quirks.server.is_some_and(|server| server.connects));
    }
}
