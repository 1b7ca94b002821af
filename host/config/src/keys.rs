//! Every key that a configuration file may have, by table.
//!
//! A duration is a text such as `"30s"`, `"1h 30m"` or `"500ms"`, or a number of seconds. A default that says "the host's"
//! is decided by the host, which may do better than a fixed number.
//!
//! # `[[provider]]`
//!
//! | key | what it is | default | range |
//! |---|---|---|---|
//! | `name` | what clusters call it | must be given | 1 to 63 letters, digits, `-`, `_`, `.`; the first a letter or digit |
//! | `plugin` | the plugin's name, looked for in the plugin folders; or the path of its file, from the configuration file's folder on: it has a `/`, or ends like a library's name | the provider's name | |
//! | `config` | a table of the provider's own keys, as its plugin's schema has them (`longshore plugin inspect`) | empty | |
//! | `threads` | the most threads that call the provider at once | the host's | 1 to 1024 |
//! | `create_timeout` | how long the plugin may take to make the provider | the host's | 10 ms to 1 day |
//! | `hang_grace` | how long a call may still be inside the plugin after its deadline before the runner that it hangs in is ended, with all other calls there, and started again; not with `isolation = "in-process"`, where nothing can be ended | the host's | 10 ms to 1 day |
//! | `isolation` | where its code runs: `"in-process"`, in the host's own process, or `"subprocess"`, in a *runner*, which the host starts, watches and starts again | the host's; `"subprocess"` with `[provider.confine]` | |
//! | `sha256` | the SHA-256 that the plugin's file must have | any | 64 hexadecimal digits |
//! | `signed_by` | a list of minisign's public keys, as `minisign -G` prints them: one of them must have signed the file, in `FILE.minisig` beside it | no signature is asked for | 1 to 100 keys |
//! | `watch` | a folder that is watched for newer versions of the plugin, from the configuration file's folder on | none | |
//!
//! # `[provider.confine]`
//!
//! What the provider's runner may not do, and all that it starts: the workers of a provider that runs programs on this
//! machine inherit every limit. With this section, even an empty one, no program that it starts has more rights than it has
//! itself. Linux alone has all of it; what a system does not offer is told in the log, and fatal where it is `required`.
//!
//! | key | what it is | default | range |
//! |---|---|---|---|
//! | `user` | the user whose rights it has, by name or number; needs a host that is root | the host's | |
//! | `memory` | the most memory that one process may address, as `hardware.memory`. It counts what is reserved, not what is used: the program itself, its libraries, and several MiB for each thread | no limit | 64 MiB to 1 EiB |
//! | `descriptors` | the most files and sockets that one process may have open | the host's | 32 to 1 048 576 |
//! | `cpu_time` | the most time of a processor that one process may use before it is killed; of a runner, over its whole life | no limit | 1 s to 365 days; a part of a second counts as a whole one |
//! | `read` | the files and folders that it may read and run, beside what each program needs of the system's: absolute, or from the configuration file's folder on | everything; nothing more with `write` | 256 paths |
//! | `write` | the files and folders that it may change as well | everything; nothing with `read` | 256 paths |
//! | `seccomp` | whether system calls that no provider needs are refused: of modules, mounts, tracing, the clock, typing into a terminal, and the like | `false` | |
//! | `required` | what must be in force, or else the provider is not started: `true` for all that is configured, or a list of `"user"`, `"limits"`, `"no-new-privileges"`, `"paths"`, `"system-calls"` | `false`: nothing | |
//!
//! # `[[cluster]]`
//!
//! | key | what it is | default | range |
//! |---|---|---|---|
//! | `name` | the cluster's name | must be given | as a provider's |
//! | `provider` | the name of its provider, which is in the same file | must be given | |
//! | `workers` | how many workers are expected | must be given | `min` to `max` |
//! | `min` | the fewest workers that may be asked for | 0 | 0 to `max` |
//! | `max` | the most workers that may be asked for, and that are ever alive at once | 1 000 000 | 0 to 1 000 000 |
//! | `prefer` | who goes first when the cluster shrinks, after those that are still initializing: `"newest"` or `"oldest"` | `"newest"` | |
//! | `stopped` | whether it starts out stopped: remembered, and without workers until it is started | `false` | |
//! | `stop_on_exit` | whether its workers and its server stop when the host ends | `true` under `longshore up`, `false` under `longshore serve` | |
//! | `verbose` | how much its provider says in the log: 0 for little, 1 as usual, 2 and up for ever more | 1 | 0 to 255 |
//!
//! # `[cluster.container]`
//!
//! | key | what it is | default | range |
//! |---|---|---|---|
//! | `image` | the image, for providers that have such a thing | none | |
//! | `command` | the program to run | the image's | |
//! | `args` | its arguments, a list of texts | none | |
//! | `env` | a table of variables for its environment, all texts | none | |
//! | `working_dir` | the folder that it starts in, passed to the provider as it is | the provider's | |
//! | `max_workers` | the most workers that one container may hold | 1 | 1 to 10 000 |
//!
//! # `[cluster.hardware]`
//!
//! | key | what it is | default | range |
//! |---|---|---|---|
//! | `cpu` | cores for one worker; `0.5` is half of one | the provider's | above 0, to 1 000 000 |
//! | `memory` | memory for one worker: a text such as `"512MiB"` or `"2GB"`, or a number of bytes | the provider's | 1 byte to 1 EiB |
//! | `id` | a name that means something to the provider alone: a machine type, a partition | none | |
//!
//! # `[cluster.timeouts]`
//!
//! How long the provider's functions may take; what a call did that took longer is not known, and is found out.
//!
//! | key | what it is | default | range |
//! |---|---|---|---|
//! | `run` | to launch workers | `"5m"` | 10 ms to 1 day |
//! | `status` | to tell statuses | `"30s"` | 10 ms to 1 day |
//! | `kill` | to kill workers | `"1m"` | 10 ms to 1 day |
//! | `list` | to name all workers | `"1m"` | 10 ms to 1 day |
//! | `initialize` | to prepare for the cluster | `"5m"` | 10 ms to 1 day |
//! | `cleanup` | to remove what the cluster left behind | `"5m"` | 10 ms to 1 day |
//! | `server` | to start the cluster's server, and to stop it | `"2m"` | 10 ms to 1 day |
//! | `launch` | how long a worker may stay initializing before it is killed and counted as a failure | `"10m"` | 1 ms to 30 days |
//! | `kill_retry` | how long after a kill a worker may still be alive before it is killed again; doubled at each further attempt | `"30s"` | 1 ms to 1 day |
//!
//! # `[cluster.scaling]`
//!
//! | key | what it is | default | range |
//! |---|---|---|---|
//! | `poll_interval` | how often statuses are asked for when nothing is under way | `"5s"` | 10 ms to 1 day |
//! | `busy_poll_interval` | how often while workers are starting or stopping | `"500ms"` | 10 ms to 1 day |
//! | `list_interval` | how often the provider is asked for all its workers, where it can tell | `"1m"` | 100 ms to 30 days |
//! | `strays` | what becomes of listed workers of the cluster's name that none of its launches brought: `"adopt"` makes them the cluster's own, `"kill"` kills them | `"adopt"` | |
//! | `stray_grace` | for how long they are let live where they shall be killed; until then they count against `max` | `"10m"` | 0 to 30 days |
//! | `launch_batch` | the most workers asked for in one launch | 1000 | 1 to 1 000 000 |
//! | `launches_in_flight` | the most launches at once | 4 | 1 to 64 |
//! | `backoff` | the first wait after a failed launch; doubled at each further failure | `"1s"` | 1 ms to 1 day |
//! | `backoff_max` | the longest wait after a failed launch | `"5m"` | `backoff` to 30 days |
//! | `stable_after` | a worker that dies sooner than this after its launch counts as a crash | `"10s"` | 0 to 1 day |
//! | `mass_death_workers` | a death of at least so many workers at once ... | 10 | from 1 |
//! | `mass_death_percent` | ... that are at least so many percent of the live ones is believed only when it is seen a second time | 50 | 1 to 100 |
//! | `surge` | how many workers beyond the expected number may be there while the cluster moves to another provider, those that are being killed included; never more than `max` in all | a quarter of the expected number, rounded up, and a container's worth at least | 0 to 1 000 000 |
//! | `missing` | how many workers fewer than expected may be there for the sake of such a move | 0 | 0 to 1 000 000; not 0 where `surge` is 0 |
//!
//! # `[cluster.server]`
//!
//! The server that the workers report to. It is there before the first worker and goes after the last; while it is down,
//! no worker is launched. Without this section a cluster has none.
//!
//! | key | what it is | default | range |
//! |---|---|---|---|
//! | `port` | the port that it listens on | none, or the provider's | 1 to 65 535 |
//! | `password` | its password, of which `${server.password}` tells it and the workers. It is never shown | made by the host, and kept; none with `external` | 1 to 1024 bytes, no control characters |
//! | `external` | `"host:port"` of a server that others run, in place of `port`, `container` and `hardware`; an IPv6 address has brackets | none: the provider runs it | |
//! | `probe` | how it is seen to be up: `"tcp"`, a connection to its address succeeds, or `"status"`, the provider says that it runs | `"tcp"` | |
//! | `start_timeout` | how long it may take to be up before it is stopped and started anew | `"2m"` | 1 s to 1 day |
//! | `on_restart` | what becomes of the workers when a server that had died is up again: `"replace_if_moved"` launches them anew where its address is another one, `"replace"` in any case, `"keep"` in none | `"replace_if_moved"` | |
//!
//! # `[cluster.server.container]` and `[cluster.server.hardware]`
//!
//! What the server runs, and on what: the keys of `[cluster.container]` but for `max_workers`, and those of
//! `[cluster.hardware]`.
//!
//! # Variables
//!
//! In `command`, `args` and the values of `env`, of the workers' container and of the server's, these are filled in at each
//! launch:
//!
//! | variable | its value | where it has none |
//! |---|---|---|
//! | `${server.host}` | the name or the address of the server's host; an IPv6 address without brackets | without a server; for the server itself |
//! | `${server.port}` | its port | without a server; for the server itself, without `port` |
//! | `${server.password}` | its password | without a server; with `external`, without `password` |
//! | `${cluster.name}` | the cluster's name | |
//! | `${worker.count}` | how many workers this container holds | for the server |
//!
//! `$${` stands for `${`, and every other `$` for itself. A variable that is not in this table, or can have no value there,
//! is an error. A value is put in as it is, quoted for nobody, and nothing in it is filled in again. A container may have
//! 1000 of them.

/// Sections of a table with their keys.
pub type Sections = &'static [(&'static str, &'static [&'static str])];

/// The keys of the file itself.
pub const TOP: &[&str] = &["provider", "cluster"];
/// The keys of `[[provider]]`, its section included.
pub const PROVIDER: &[&str] = &[
    "name",
    "plugin",
    "config",
    "threads",
    "create_timeout",
    "hang_grace",
    "isolation",
    "sha256",
    "signed_by",
    "watch",
    "confine",
];
/// The keys of `[provider.confine]`.
pub const CONFINE: &[&str] =
    &["user", "memory", "descriptors", "cpu_time", "read", "write", "seccomp", "required"];
/// The sections of `[[provider]]` with their keys. (`config` is none: its keys are its plugin's.)
pub const PROVIDER_SECTIONS: Sections = &[("confine", CONFINE)];
/// The keys of `[[cluster]]`, its sections included.
pub const CLUSTER: &[&str] = &[
    "name",
    "provider",
    "workers",
    "min",
    "max",
    "prefer",
    "stopped",
    "stop_on_exit",
    "verbose",
    "container",
    "hardware",
    "timeouts",
    "scaling",
    "server",
];
/// The keys of `[cluster.container]`.
pub const CONTAINER: &[&str] = &["image", "command", "args", "env", "working_dir", "max_workers"];
/// The keys of `[cluster.hardware]`.
pub const HARDWARE: &[&str] = &["cpu", "memory", "id"];
/// The keys of `[cluster.timeouts]`.
pub const TIMEOUTS: &[&str] =
    &["run", "status", "kill", "list", "initialize", "cleanup", "server", "launch", "kill_retry"];
/// The keys of `[cluster.scaling]`.
pub const SCALING: &[&str] = &[
    "poll_interval",
    "busy_poll_interval",
    "list_interval",
    "strays",
    "stray_grace",
    "launch_batch",
    "launches_in_flight",
    "backoff",
    "backoff_max",
    "stable_after",
    "mass_death_workers",
    "mass_death_percent",
    "surge",
    "missing",
];
/// The keys of `[cluster.server]`, its sections included.
pub const SERVER: &[&str] =
    &["port", "password", "external", "probe", "start_timeout", "on_restart", "container", "hardware"];
/// The keys of `[cluster.server.container]`.
pub const SERVER_CONTAINER: &[&str] = &["image", "command", "args", "env", "working_dir"];
/// The sections of `[[cluster]]` with their keys; `a.b` is the section `b` of the section `a`.
pub const CLUSTER_SECTIONS: Sections = &[
    ("container", CONTAINER),
    ("hardware", HARDWARE),
    ("timeouts", TIMEOUTS),
    ("scaling", SCALING),
    ("server", SERVER),
    ("server.container", SERVER_CONTAINER),
    ("server.hardware", HARDWARE),
];

/// The name that was most likely meant by one that is not known; `None` where nothing is near.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// What is longer was not mistyped, and would only cost time.
    const LONGEST: usize = 128;
    let length = unknown.chars().count();
    if length > LONGEST {
        return None;
    }
    let unknown = unknown.to_lowercase();
    let near = |known: &'a str| {
        let other = known.chars().count();
        // A third of the letters may be wrong, one at least; what differs more in length alone is not looked at.
        let limit = (length.max(other) / 3).max(1);
        if length.abs_diff(other) > limit {
            return None;
        }
        let distance = strsim::osa_distance(&unknown, &known.to_lowercase());
        (distance <= limit).then_some((distance, known))
    };
    known.into_iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant() {
        for (slip, meant) in [
            ("wrokers", Some("workers")),
            ("Workers", Some("workers")),
            ("worker", Some("workers")),
            ("mim", Some("min")),
            ("prefers", Some("prefer")),
            ("time_outs", Some("timeouts")),
            ("replicas", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, CLUSTER.iter().copied()), meant, "{slip}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), CLUSTER.iter().copied()), None);
    }
}
