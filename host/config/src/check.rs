//! What a configuration must keep beyond its form: names, references, limits. The same check for a file and for what
//! arrives over the wire, which no reader of ours has to have made.

mod provider;
mod server;
mod variables;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use longshore_plugin_api::{Container, Hardware, MAX_WORKERS_ON_A_HANDLE};
use longshore_scaling::PolicyError;

use crate::{
    config::{ClusterConfig, Config},
    error::ConfigError,
    keys::nearest,
    notes::Notes,
    spot::{Kind, Spot, Table, short},
};

pub(crate) use provider::DESCRIPTORS;
pub use provider::{PATHS_LIMIT, SIGNERS_LIMIT};

/// What a configuration without a file is called in errors.
pub(crate) const ORIGIN: &str = "the configuration";
/// The most characters in the name of a provider or a cluster.
pub const NAME_LIMIT: usize = 63;
/// The most threads that a provider may have.
pub const THREADS_LIMIT: u32 = 1024;
/// The most cores that a worker may ask for.
const CORES_LIMIT: f64 = 1e6;
/// The most memory that a worker may ask for: 1 EiB.
const MEMORY_LIMIT: u64 = 1 << 60;
/// The shortest and the longest deadline of a call.
const DEADLINES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_hours(24));

/// The fields of a policy as the file has them: section and key, and whether it is a duration.
const POLICY: &[(&str, Option<&str>, &str, bool)] = &[
    ("min", None, "min", false),
    ("max", None, "max", false),
    ("launch_timeout", Some("timeouts"), "launch", true),
    ("kill_retry", Some("timeouts"), "kill_retry", true),
    ("poll_interval", Some("scaling"), "poll_interval", true),
    ("busy_poll_interval", Some("scaling"), "busy_poll_interval", true),
    ("list_interval", Some("scaling"), "list_interval", true),
    ("stray_grace", Some("scaling"), "stray_grace", true),
    ("launch_batch", Some("scaling"), "launch_batch", false),
    ("launches_in_flight", Some("scaling"), "launches_in_flight", false),
    ("backoff", Some("scaling"), "backoff", true),
    ("backoff_max", Some("scaling"), "backoff_max", true),
    ("stable_after", Some("scaling"), "stable_after", true),
    ("mass_death_workers", Some("scaling"), "mass_death_workers", false),
    ("mass_death_percent", Some("scaling"), "mass_death_percent", false),
    ("surge", Some("scaling"), "surge", false),
    ("missing", Some("scaling"), "missing", false),
];

impl Config {
    /// Checks a configuration that was made by hand. [`read`](Self::read), [`parse`](Self::parse) and
    /// [`from_json`](Self::from_json) do so themselves.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut notes = Notes::default();
        check(self, &mut notes);
        notes.into_result(ORIGIN)
    }
}

/// Whether a text can be the name of a provider or a cluster: 1 to [`NAME_LIMIT`] ASCII letters, digits, `-`, `_` and `.`,
/// the first of them a letter or a digit.
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_LIMIT
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Notes all that is wrong, but for keys that are known to be.
pub(crate) fn check(config: &Config, notes: &mut Notes) {
    names(Kind::Provider, config.providers.iter().map(|provider| provider.name.as_str()), notes);
    names(Kind::Cluster, config.clusters.iter().map(|cluster| cluster.name.as_str()), notes);
    for (index, provider) in config.providers.iter().enumerate() {
        let at = Table::new(Kind::Provider, index);
        provider::check(provider, &mut Checker { notes, at, name: &provider.name });
    }
    let providers = config.providers.iter().map(|provider| provider.name.as_str()).collect();
    for (index, cluster) in config.clusters.iter().enumerate() {
        let mut checker = Checker { notes, at: Table::new(Kind::Cluster, index), name: &cluster.name };
        check_reference(&cluster.provider, &providers, &mut checker);
        check_limits(cluster, &mut checker);
        check_container("container", &cluster.container, &mut checker);
        check_hardware("hardware", &cluster.hardware, &mut checker);
        check_deadlines(cluster, &mut checker);
        if let Some(server) = &cluster.server {
            server::check(server, &mut checker);
        }
        variables::check(cluster, &mut checker);
    }
}

/// Notes the faults of one table.
struct Checker<'a> {
    notes: &'a mut Notes,
    at: Table,
    name: &'a str,
}

impl Checker<'_> {
    fn spot(&self, section: Option<&'static str>, key: &'static str) -> Spot {
        Table { section, ..self.at }.key(key)
    }

    fn wrong(&mut self, section: Option<&'static str>, key: &'static str, what: &str) {
        self.notes.wrong(self.name, self.spot(section, key), what);
    }

    fn is_faulty(&self, section: Option<&'static str>, key: &'static str) -> bool {
        self.notes.is_faulty(self.spot(section, key))
    }

    /// Whether a text is there, and neither empty nor more than the system's calls can take.
    fn plain(&mut self, section: Option<&'static str>, key: &'static str, text: Option<&str>) {
        match text {
            Some("") => self.wrong(section, key, "must not be empty; leave it out instead"),
            Some(text) if text.contains('\0') => self.wrong(section, key, "must not have a zero byte"),
            _ => {}
        }
    }

    fn deadline(&mut self, section: Option<&'static str>, key: &'static str, given: Duration) {
        self.duration(section, key, given, DEADLINES);
    }

    fn duration(
        &mut self,
        section: Option<&'static str>,
        key: &'static str,
        given: Duration,
        (low, high): (Duration, Duration),
    ) {
        if given < low || given > high {
            let [low, high, given] = [low, high, given].map(in_words);
            self.wrong(section, key, &format!("must be between {low} and {high}, not {given}"));
        }
    }
}

fn names<'a>(kind: Kind, names: impl Iterator<Item = &'a str>, notes: &mut Notes) {
    let word = kind.word();
    let mut seen = BTreeMap::new();
    for (index, name) in names.enumerate() {
        let spot = Table::new(kind, index).key("name");
        if notes.is_faulty(spot) {
            continue;
        }
        if !is_name(name) {
            let what = format!(
                "must be 1 to {NAME_LIMIT} letters, digits, `-`, `_` or `.`, and begin with a letter or digit, not \"{}\"",
                short(name)
            );
            notes.wrong(name, spot, &what);
            continue;
        }
        let Some(first) = seen.insert(name, spot) else { continue };
        seen.insert(name, first);
        let line = notes.line_of(first).map(|line| format!(", line {line}")).unwrap_or_default();
        let what = format!("is the name of another {word}{line}; give each {word} its own");
        notes.wrong(name, spot, &what);
    }
}

fn check_reference(wanted: &str, known: &BTreeSet<&str>, checker: &mut Checker<'_>) {
    if known.contains(wanted) {
        return;
    }
    // The search costs time for each provider; of more faults than are told, none needs it.
    let meant = if checker.notes.is_full() { None } else { nearest(wanted, known.iter().copied()) };
    let advice = match meant {
        Some(meant) => format!("did you mean \"{}\"?", short(meant)),
        None if known.is_empty() => "there is no [[provider]] at all".to_owned(),
        None => "add a [[provider]] of this name".to_owned(),
    };
    checker.wrong(
        None,
        "provider",
        &format!("names no provider: there is no \"{}\"; {advice}", short(wanted)),
    );
}

fn check_limits(cluster: &ClusterConfig, checker: &mut Checker<'_>) {
    let policy = &cluster.policy;
    match policy.check() {
        Ok(()) => {}
        Err(PolicyError::MinAboveMax { min, max }) => {
            if !checker.is_faulty(None, "max") {
                checker.wrong(None, "min", &format!("must not be above `max` ({max}), but is {min}"));
            }
            return;
        }
        Err(PolicyError::NoRoomToMove) => {
            let what = "must not be 0 while `missing` is 0 as well: no worker could ever be replaced when the cluster moves to \
                        another provider";
            checker.wrong(Some("scaling"), "surge", what);
        }
        Err(PolicyError::OutOfRange { field, low, high, given }) => {
            out_of_range(&field, [low, high, given], checker);
        }
    }
    let (min, max, workers) = (policy.min, policy.max, cluster.workers);
    let unsure = checker.is_faulty(None, "min") || checker.is_faulty(None, "max");
    if !unsure && !(min..=max).contains(&workers) {
        checker.wrong(
            None,
            "workers",
            &format!("must be between min ({min}) and max ({max}), not {workers}"),
        );
    }
}

fn out_of_range(field: &str, numbers: [u64; 3], checker: &mut Checker<'_>) {
    let known = POLICY.iter().find(|(name, ..)| *name == field);
    // A field that this crate does not know yet is still refused, if in the core's own words.
    let Some(&(_, section, key, is_duration)) = known else {
        let [low, high, given] = numbers;
        let what = format!("must have {field} between {low} and {high}, not {given}");
        return checker.wrong(Some("scaling"), "policy", &what);
    };
    if key == "backoff_max" && checker.is_faulty(section, "backoff") {
        return;
    }
    let [low, high, given] = numbers
        .map(|number| if is_duration { in_words(Duration::from_millis(number)) } else { number.to_string() });
    let left_out = checker.notes.is_left_out(checker.spot(section, key));
    let given = if left_out { format!("its default, {given}") } else { given };
    checker.wrong(section, key, &format!("must be between {low} and {high}, not {given}"));
}

/// A duration as an operator writes it: in days where humantime would count in months of 30.44 days.
fn in_words(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match duration.as_secs() / DAY {
        0 => humantime::format_duration(duration).to_string(),
        1 if duration == Duration::from_secs(DAY) => "1day".to_owned(),
        days => {
            let rest = duration.saturating_sub(Duration::from_secs(days * DAY));
            let rest =
                if rest.is_zero() { String::new() } else { format!(" {}", humantime::format_duration(rest)) };
            format!("{days}days{rest}")
        }
    }
}

/// Checks the container of a section; that of a server has no `max_workers`, which is checked there.
fn check_container(section: &'static str, container: &Container, checker: &mut Checker<'_>) {
    let at = Some(section);
    checker.plain(at, "image", container.image.as_deref());
    checker.plain(at, "command", container.command.as_deref());
    checker.plain(at, "working_dir", container.working_dir.as_deref());
    if container.args.iter().any(|arg| arg.contains('\0')) {
        checker.wrong(at, "args", "must not have a zero byte");
    }
    for (name, value) in &container.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            let what =
                format!("has a variable named \"{}\": a name is not empty and has no `=`", short(name));
            checker.wrong(at, "env", &what);
        } else if value.contains('\0') {
            checker.wrong(at, "env", &format!("has a zero byte in `{}`", short(name)));
        }
    }
    if let Some(max) = container.max_workers
        && !(1..=MAX_WORKERS_ON_A_HANDLE).contains(&max)
    {
        checker.wrong(
            at,
            "max_workers",
            &format!("must be between 1 and {MAX_WORKERS_ON_A_HANDLE}, not {max}"),
        );
    }
}

fn check_hardware(section: &'static str, hardware: &Hardware, checker: &mut Checker<'_>) {
    let at = Some(section);
    if let Some(cpu) = hardware.cpu
        && !(cpu > 0.0 && cpu <= CORES_LIMIT)
    {
        checker.wrong(at, "cpu", &format!("must be above 0 and at most {CORES_LIMIT} cores, not {cpu}"));
    }
    if let Some(memory) = hardware.memory
        && !(1..=MEMORY_LIMIT).contains(&memory)
    {
        checker.wrong(at, "memory", &format!("must be between 1 byte and 1 EiB, not {memory} bytes"));
    }
    checker.plain(at, "id", hardware.id.as_deref());
}

fn check_deadlines(cluster: &ClusterConfig, checker: &mut Checker<'_>) {
    let deadlines = &cluster.deadlines;
    for (key, given) in [
        ("run", deadlines.run),
        ("status", deadlines.status),
        ("kill", deadlines.kill),
        ("list", deadlines.list),
        ("initialize", deadlines.initialize),
        ("cleanup", deadlines.cleanup),
        ("server", deadlines.server),
    ] {
        checker.deadline(Some("timeouts"), key, given);
    }
}

#[cfg(test)]
mod tests {
    use longshore_scaling::Policy;

    use super::*;

    #[test]
    fn every_field_of_a_policy_has_its_key() {
        let policy = serde_json::to_value(Policy::default()).expect("it is plain data");
        let mut fields: Vec<_> = policy.as_object().expect("an object").keys().map(String::as_str).collect();
        // Each is one of two words, so that it has no range.
        fields.retain(|field| !["prefer", "strays"].contains(field));
        let mut known: Vec<_> = POLICY.iter().map(|(field, ..)| *field).collect();
        known.sort_unstable();
        assert_eq!(fields, known);
        for (_, section, key, _) in POLICY {
            let keys = match section {
                None => crate::keys::CLUSTER,
                Some(section) => {
                    crate::keys::CLUSTER_SECTIONS
                        .iter()
                        .find(|(name, _)| name == section)
                        .expect("it is there")
                        .1
                }
            };
            assert!(keys.contains(key), "{key}");
        }
    }
}
