//! Reads the TOML text: keys to fields, defaults for what is left out, faults for what is wrong.

mod provider;
mod server;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use longshore_plugin_api::{Container, Hardware, MAX_WORKERS_ON_A_HANDLE};
use longshore_scaling::{Policy, Prefer, Strays, WORKERS_LIMIT};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    check,
    config::{ClusterConfig, Config, Deadlines},
    error::ConfigError,
    keys::{self, nearest},
    notes::Notes,
    section::{Lines, Section, described},
    spot::{Kind, Table, short},
};

/// The largest file that is read, in bytes.
pub const FILE_LIMIT: u64 = 64 << 20;

impl Config {
    /// Reads and checks a file in TOML.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is larger than [`FILE_LIMIT`], or says something wrong; see [`parse`](Self::parse).
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { file: file.display().to_string(), source };
        Self::parse(&text_of(file).map_err(unreadable)?, file)
    }

    /// Reads and checks a text in TOML. `origin` is its name in errors; relative paths are resolved against its folder.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in the order of the lines.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        let lines = Lines::new(text);
        let mut notes = Notes::default();
        let (document, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let config = read_document(document.get_ref(), &lines, &mut notes, origin);
            check::check(&config, &mut notes);
            notes.into_result(&origin.display().to_string())?;
            return Ok(config);
        }
        for error in errors {
            let line = error.span().map(|span| lines.of(span.start));
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            notes.push(String::new(), line, format!("{place}not valid TOML: {message}"));
        }
        Err(notes.into_error(&origin.display().to_string()))
    }
}

fn text_of(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(io::Error::other(format!("it is larger than {} MiB", FILE_LIMIT >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
        io::Error::other(format!("line {line} is not UTF-8 text"))
    })
}

fn read_document(table: &DeTable<'_>, lines: &Lines, notes: &mut Notes, origin: &Path) -> Config {
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        if keys::TOP.contains(&name) {
            continue;
        }
        let line = lines.of(key.span().start);
        let meant = match nearest(name, keys::TOP.iter().copied()) {
            Some(meant) => format!("; did you mean [[{meant}]]?"),
            None => match Kind::ALL.into_iter().find(|kind| is_section(*kind, name)).map(Kind::word) {
                Some(kind) => format!("; did you mean [{kind}.{name}], after its [[{kind}]]?"),
                None => "; a file has [[provider]] and [[cluster]] tables".to_owned(),
            },
        };
        let name = short(name);
        notes.push(name.clone(), Some(line), format!("unknown key `{name}` in line {line}{meant}"));
    }
    let folder = origin.parent().unwrap_or(Path::new(""));
    let mut config = Config::default();
    each(table, Kind::Provider, lines, notes, |section| {
        config.providers.push(provider::read_provider(section, folder));
    });
    each(table, Kind::Cluster, lines, notes, |section| config.clusters.push(read_cluster(section)));
    config
}

fn is_section(kind: Kind, name: &str) -> bool {
    kind.sections().iter().any(|(section, _)| *section == name)
}

/// Calls `read` for every table of a kind.
fn each<'t>(
    document: &DeTable<'t>,
    kind: Kind,
    lines: &Lines,
    notes: &mut Notes,
    mut read: impl FnMut(&mut Section<'_, 't>),
) {
    let word = kind.word();
    let Some((key, value)) = document.get_key_value(word) else { return };
    let not_tables = |notes: &mut Notes, key: &Spanned<_>, found: String| {
        let line = lines.of(key.span().start);
        let message =
            format!("`{word}` in line {line} must be written [[{word}]], one for each, not {found}");
        notes.push(word.to_owned(), Some(line), message);
    };
    let DeValue::Array(list) = value.get_ref() else {
        let found = match value.get_ref() {
            DeValue::Table(_) => format!("[{word}]"),
            other => described(other),
        };
        return not_tables(notes, key, found);
    };
    for (index, entry) in list.iter().enumerate() {
        let DeValue::Table(table) = entry.get_ref() else {
            return not_tables(notes, key, described(entry.get_ref()));
        };
        let at = Table::new(kind, index);
        notes.table_is_in(at, lines.of(entry.span().start));
        let name = table.get("name").and_then(|name| name.get_ref().as_str()).unwrap_or_default();
        read(&mut Section { lines, notes, at, name, table });
    }
}

fn required(section: &mut Section<'_, '_>, key: &'static str) -> String {
    if !section.has(key) {
        section.missing(key);
    }
    section.text(key).unwrap_or_default()
}

fn read_cluster(section: &mut Section<'_, '_>) -> ClusterConfig {
    section.check_keys(keys::CLUSTER);
    let name = required(section, "name");
    let provider = required(section, "provider");
    if !section.has("workers") {
        section.missing("workers");
    }
    let mut cluster = ClusterConfig {
        name,
        provider,
        workers: section.count("workers", WORKERS_LIMIT).unwrap_or_default(),
        policy: read_limits(section),
        container: Container::default(),
        hardware: Hardware::default(),
        server: None,
        deadlines: Deadlines::default(),
        verbose: section.count("verbose", u32::from(u8::MAX)).map_or(1, |level| level as u8),
        stopped: section.flag("stopped").unwrap_or_default(),
        stop_on_exit: section.flag("stop_on_exit"),
    };
    section.section("container", |section| {
        section.check_keys(keys::CONTAINER);
        let max_workers = section.count("max_workers", MAX_WORKERS_ON_A_HANDLE);
        cluster.container = Container { max_workers, ..read_container(section) };
    });
    section.section("hardware", |section| cluster.hardware = read_hardware(section));
    section.section("timeouts", |section| {
        read_timeouts(section, &mut cluster.deadlines, &mut cluster.policy);
    });
    section.section("scaling", |section| read_scaling(section, &mut cluster.policy));
    section.section("server", |section| cluster.server = Some(server::read_server(section)));
    cluster
}

fn read_limits(section: &mut Section<'_, '_>) -> Policy {
    let usual = Policy::default();
    Policy {
        min: section.count("min", WORKERS_LIMIT).unwrap_or(usual.min),
        max: section.count("max", WORKERS_LIMIT).unwrap_or(usual.max),
        prefer: section
            .choice("prefer", &[("newest", Prefer::Newest), ("oldest", Prefer::Oldest)])
            .unwrap_or(usual.prefer),
        ..usual
    }
}

/// Reads what the container of workers and that of a server have in common.
fn read_container(section: &mut Section<'_, '_>) -> Container {
    Container {
        image: section.text("image"),
        command: section.text("command"),
        args: section.texts("args").unwrap_or_default(),
        env: section.text_map("env").unwrap_or_default(),
        working_dir: section.text("working_dir"),
        max_workers: None,
    }
}

fn read_hardware(section: &mut Section<'_, '_>) -> Hardware {
    section.check_keys(keys::HARDWARE);
    Hardware { cpu: section.number("cpu"), memory: section.bytes("memory"), id: section.text("id") }
}

fn read_timeouts(section: &mut Section<'_, '_>, deadlines: &mut Deadlines, policy: &mut Policy) {
    section.check_keys(keys::TIMEOUTS);
    for (key, field) in [
        ("run", &mut deadlines.run),
        ("status", &mut deadlines.status),
        ("kill", &mut deadlines.kill),
        ("list", &mut deadlines.list),
        ("initialize", &mut deadlines.initialize),
        ("cleanup", &mut deadlines.cleanup),
        ("server", &mut deadlines.server),
        ("launch", &mut policy.launch_timeout),
        ("kill_retry", &mut policy.kill_retry),
    ] {
        *field = section.duration(key).unwrap_or(*field);
    }
}

fn read_scaling(section: &mut Section<'_, '_>, policy: &mut Policy) {
    section.check_keys(keys::SCALING);
    for (key, field) in [
        ("poll_interval", &mut policy.poll_interval),
        ("busy_poll_interval", &mut policy.busy_poll_interval),
        ("list_interval", &mut policy.list_interval),
        ("stray_grace", &mut policy.stray_grace),
        ("backoff", &mut policy.backoff),
        ("backoff_max", &mut policy.backoff_max),
        ("stable_after", &mut policy.stable_after),
    ] {
        *field = section.duration(key).unwrap_or(*field);
    }
    for (key, field) in [
        ("launch_batch", &mut policy.launch_batch),
        ("launches_in_flight", &mut policy.launches_in_flight),
        ("mass_death_workers", &mut policy.mass_death_workers),
        ("mass_death_percent", &mut policy.mass_death_percent),
        ("missing", &mut policy.missing),
    ] {
        *field = section.count(key, u32::MAX).unwrap_or(*field);
    }
    policy.surge = section.count("surge", u32::MAX).or(policy.surge);
    let choices = [("adopt", Strays::Adopt), ("kill", Strays::Kill)];
    policy.strays = section.choice("strays", &choices).unwrap_or(policy.strays);
}
