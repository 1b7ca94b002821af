//! What an operator can get wrong in the file, and the exact words that it is answered with.

use std::path::Path;

use longshore_config::{Config, ConfigError, FAULTS_LIMIT};

const PROVIDER: &str = "[[provider]]\nname = \"process\"\n";
/// Lines 3 to 6 after [`PROVIDER`]; what a test adds begins in line 7.
const CLUSTER: &str = "[[cluster]]\nname = \"web\"\nprovider = \"process\"\nworkers = 3\n";

fn error_of(text: &str) -> ConfigError {
    Config::parse(text, Path::new("f.toml")).expect_err("it is wrong")
}

/// Holds that a file with `added` after a valid provider and cluster has this one fault.
#[track_caller]
fn one_fault(added: &str, message: &str) {
    whole_file(&format!("{PROVIDER}{CLUSTER}{added}"), message);
}

#[track_caller]
fn whole_file(text: &str, message: &str) {
    assert_eq!(error_of(text).to_string(), format!("f.toml: {message}"), "for:\n{text}");
}

#[test]
fn the_base_of_these_tests_is_valid() {
    Config::parse(&format!("{PROVIDER}{CLUSTER}"), Path::new("f.toml")).expect("it is valid");
}

#[test]
fn unknown_keys_everywhere() {
    one_fault("wrokers = 2", "unknown key `wrokers` in [[cluster]] \"web\", line 7; did you mean `workers`?");
    one_fault(
        "[cluster.container]\nimgae = \"a\"",
        "unknown key `imgae` in [cluster.container] of cluster \"web\", line 8; did you mean `image`?",
    );
    one_fault(
        "memory = 1",
        "unknown key `memory` in [[cluster]] \"web\", line 7; it belongs in [cluster.hardware]",
    );
    one_fault(
        "[cluster.scaling]\nmin = 1",
        "unknown key `min` in [cluster.scaling] of cluster \"web\", line 8; it belongs in [[cluster]]",
    );
    one_fault(
        "[cluster.scaling]\nkill_retry = 1",
        "unknown key `kill_retry` in [cluster.scaling] of cluster \"web\", line 8; it belongs in [cluster.timeouts]",
    );
    one_fault(
        "[cluster.hardware]\nzone = \"a\"",
        "unknown key `zone` in [cluster.hardware] of cluster \"web\", line 8; it has `cpu`, `memory`, `id`",
    );
    one_fault("[clusters]", "unknown key `clusters` in line 7; did you mean [[cluster]]?");
    one_fault("[[queue]]", "unknown key `queue` in line 7; a file has [[provider]] and [[cluster]] tables");
    whole_file(
        "[[provider]]\nname = \"p\"\nplugn = \"x\"",
        "unknown key `plugn` in [[provider]] \"p\", line 3; did you mean `plugin`?",
    );
    // A key that another provider may have is not ours to judge.
    whole_file(
        "[[provider]]\nname = \"p\"\nconfig = 3",
        "`config` in [[provider]] \"p\", line 3, must be a table, not 3",
    );
}

#[test]
fn a_slip_is_not_told_twice() {
    whole_file(
        &format!("{PROVIDER}[[cluster]]\nnmae = \"web\"\nprovider = \"process\"\nworkers = 1"),
        "unknown key `nmae` in [[cluster]] number 1, line 4; did you mean `name`?",
    );
}

#[test]
fn wrong_types() {
    let base = format!("{PROVIDER}[[cluster]]\nname = \"web\"\nprovider = \"process\"\nworkers = ");
    let place = "`workers` in [[cluster]] \"web\", line 6,";
    whole_file(&format!("{base}\"3\""), &format!("{place} must be a whole number, not \"3\""));
    whole_file(&format!("{base}3.0"), &format!("{place} must be a whole number, not 3.0"));
    whole_file(&format!("{base}[3]"), &format!("{place} must be a whole number, not a list"));
    whole_file(&format!("{base}1979-05-27"), &format!("{place} must be a whole number, not a date or time"));
    one_fault("stopped = 1", "`stopped` in [[cluster]] \"web\", line 7, must be true or false, not 1");
    one_fault(
        "prefer = \"old\"",
        "`prefer` in [[cluster]] \"web\", line 7, must be \"newest\" or \"oldest\", not \"old\"",
    );
    one_fault(
        "[cluster.scaling]\nstrays = \"ignore\"",
        "`strays` in [cluster.scaling] of cluster \"web\", line 8, must be \"adopt\" or \"kill\", not \"ignore\"",
    );
    one_fault(
        "stray_grace = \"5m\"",
        "unknown key `stray_grace` in [[cluster]] \"web\", line 7; it belongs in [cluster.scaling]",
    );
    one_fault(
        "verbose = 256",
        "`verbose` in [[cluster]] \"web\", line 7, must be between 0 and 255, not 256",
    );
    one_fault("container = \"x\"", "`container` in [[cluster]] \"web\", line 7, must be a table, not \"x\"");
    let container = "in [cluster.container] of cluster \"web\", line 8,";
    for (line, what) in [
        ("image = 3", "`image` {} must be a text in quotes, not 3"),
        ("args = \"-v\"", "`args` {} must be a list of texts, not \"-v\""),
        ("args = [\"-v\", 3]", "`args` {} must be a list of texts, but number 2 is 3"),
        ("env = { PORT = 80 }", "`env` {} must be a table of texts, but `PORT` is 80"),
        ("env = [\"A=B\"]", "`env` {} must be a table of texts, not a list"),
    ] {
        one_fault(&format!("[cluster.container]\n{line}"), &what.replace("{}", container));
    }
    one_fault(
        "[cluster.hardware]\ncpu = \"half\"",
        "`cpu` in [cluster.hardware] of cluster \"web\", line 8, must be a number, not \"half\"",
    );
    one_fault(
        "[cluster.hardware]\nmemory = \"lots\"",
        "`memory` in [cluster.hardware] of cluster \"web\", line 8, must be a size such as \"512MiB\", or a number of bytes, not \"lots\"",
    );
    one_fault(
        "[cluster.timeouts]\nrun = \"soon\"",
        "`run` in [cluster.timeouts] of cluster \"web\", line 8, must be a duration such as \"30s\", or a number of seconds, not \"soon\"",
    );
    one_fault(
        "[cluster.timeouts]\nrun = -1",
        "`run` in [cluster.timeouts] of cluster \"web\", line 8, must be a duration such as \"30s\", or a number of seconds, not -1",
    );
    whole_file(
        "[cluster]\nname = \"web\"",
        "`cluster` in line 1 must be written [[cluster]], one for each, not [cluster]",
    );
    whole_file(
        "provider = [\"p\"]",
        "`provider` in line 1 must be written [[provider]], one for each, not \"p\"",
    );
}

#[test]
fn missing_keys() {
    whole_file("\n[[provider]]\nplugin = \"x\"", "`name` in [[provider]] number 1, line 2, is missing");
    whole_file(
        &format!("{PROVIDER}[[cluster]]\nname = \"web\"\nprovider = \"process\""),
        "`workers` in [[cluster]] \"web\", line 3, is missing",
    );
    whole_file(
        &format!("{PROVIDER}[[cluster]]\nname = \"web\"\nworkers = 1"),
        "`provider` in [[cluster]] \"web\", line 3, is missing",
    );
}

#[test]
fn names() {
    for name in ["", "-a", ".a", "a b", "ä", "a/b", "a\u{7}", &"x".repeat(64)] {
        let shown = if name == "a\u{7}" { "a\\u{7}" } else { name };
        let head = if name.is_empty() {
            "`name` in [[provider]] number 1".to_owned()
        } else {
            format!("`name` in [[provider]] \"{shown}\"")
        };
        whole_file(
            &format!("[[provider]]\nname = {name:?}").replace("\\u{7}", "\\u0007"),
            &format!(
                "{head}, line 2, must be 1 to 63 letters, digits, `-`, `_` or `.`, and begin with a letter or digit, \
                 not \"{shown}\""
            ),
        );
    }
    for name in ["a", "0", "A.b_c-9", &"x".repeat(63)] {
        Config::parse(&format!("[[provider]]\nname = {name:?}"), Path::new("f.toml")).expect("a good name");
    }
}

#[test]
fn two_of_one_name() {
    one_fault(
        CLUSTER,
        "`name` in [[cluster]] \"web\", line 8, is the name of another cluster, line 4; give each cluster its own",
    );
    whole_file(
        &format!("{PROVIDER}\n{PROVIDER}"),
        "`name` in [[provider]] \"process\", line 5, is the name of another provider, line 2; give each provider its own",
    );
    // A third one is told of the first as well, and a provider may have a cluster's name.
    let third = error_of(&format!("{PROVIDER}{PROVIDER}{PROVIDER}"));
    assert!(third.faults()[1].message.contains("another provider, line 2;"), "{third}");
    Config::parse(&format!("{PROVIDER}{CLUSTER}").replace("web", "process"), Path::new("f.toml"))
        .expect("they are of different kinds");
}

#[test]
fn a_provider_that_is_not_there() {
    let cluster = CLUSTER.replace("\"process\"", "\"proces\"");
    whole_file(
        &format!("{PROVIDER}{cluster}"),
        "`provider` in [[cluster]] \"web\", line 5, names no provider: there is no \"proces\"; did you mean \"process\"?",
    );
    whole_file(
        &format!("{PROVIDER}{}", CLUSTER.replace("\"process\"", "\"slurm\"")),
        "`provider` in [[cluster]] \"web\", line 5, names no provider: there is no \"slurm\"; add a [[provider]] of this name",
    );
    whole_file(
        CLUSTER,
        "`provider` in [[cluster]] \"web\", line 3, names no provider: there is no \"process\"; there is no [[provider]] at all",
    );
}

#[test]
fn numbers_of_workers() {
    let with =
        |lines: &str| format!("{PROVIDER}[[cluster]]\nname = \"web\"\nprovider = \"process\"\n{lines}");
    whole_file(
        &with("workers = -1"),
        "`workers` in [[cluster]] \"web\", line 6, must be between 0 and 1000000, not -1",
    );
    whole_file(
        &with("workers = 99999999999999999999"),
        "`workers` in [[cluster]] \"web\", line 6, must be between 0 and 1000000, not 99999999999999999999",
    );
    whole_file(
        &with("min = 2\nmax = 10\nworkers = 12"),
        "`workers` in [[cluster]] \"web\", line 8, must be between min (2) and max (10), not 12",
    );
    whole_file(
        &with("workers = 1\nmin = 2"),
        "`workers` in [[cluster]] \"web\", line 6, must be between min (2) and max (1000000), not 1",
    );
    whole_file(
        &with("workers = 4\nmin = 5\nmax = 3"),
        "`min` in [[cluster]] \"web\", line 7, must not be above `max` (3), but is 5",
    );
    whole_file(
        &with("workers = 4\nmax = -3"),
        "`max` in [[cluster]] \"web\", line 7, must be between 0 and 1000000, not -3",
    );
}

#[test]
fn numbers_out_of_range() {
    let scaling = "in [cluster.scaling] of cluster \"web\", line 8,";
    let timeouts = "in [cluster.timeouts] of cluster \"web\", line 8,";
    let hardware = "in [cluster.hardware] of cluster \"web\", line 8,";
    for (lines, what) in [
        ("scaling]\npoll_interval = \"1ms\"", format!("`poll_interval` {scaling} must be between 10ms and 1day, not 1ms")),
        ("scaling]\nlaunches_in_flight = 65", format!("`launches_in_flight` {scaling} must be between 1 and 64, not 65")),
        ("scaling]\nmass_death_percent = 0", format!("`mass_death_percent` {scaling} must be between 1 and 100, not 0")),
        ("scaling]\nmissing = 1000001", format!("`missing` {scaling} must be between 0 and 1000000, not 1000001")),
        (
            "scaling]\nsurge = 0",
            format!("`surge` {scaling} must not be 0 while `missing` is 0 as well: no worker could ever be replaced when the cluster moves to another provider"),
        ),
        ("scaling]\nstray_grace = \"31days\"", format!("`stray_grace` {scaling} must be between 0s and 30days, not 31days")),
        ("scaling]\nbackoff_max = 0.5", format!("`backoff_max` {scaling} must be between 1s and 30days, not 500ms")),
        (
            "scaling]\nbackoff = \"10m\"",
            "`backoff_max` in [cluster.scaling] of cluster \"web\", line 7, must be between 10m and 30days, not its default, 5m".to_owned(),
        ),
        ("timeouts]\nlaunch = \"31days\"", format!("`launch` {timeouts} must be between 1ms and 30days, not 31days")),
        ("timeouts]\nkill_retry = 0", format!("`kill_retry` {timeouts} must be between 1ms and 1day, not 0s")),
        ("timeouts]\nstatus = 0", format!("`status` {timeouts} must be between 10ms and 1day, not 0s")),
        ("hardware]\ncpu = 0", format!("`cpu` {hardware} must be above 0 and at most 1000000 cores, not 0")),
        ("hardware]\ncpu = nan", format!("`cpu` {hardware} must be above 0 and at most 1000000 cores, not NaN")),
        ("hardware]\nmemory = 0", format!("`memory` {hardware} must be between 1 byte and 1 EiB, not 0 bytes")),
        ("hardware]\nid = \"\"", format!("`id` {hardware} must not be empty; leave it out instead")),
        (
            "container]\nmax_workers = 0",
            "`max_workers` in [cluster.container] of cluster \"web\", line 8, must be between 1 and 10000, not 0".to_owned(),
        ),
        (
            "container]\nenv = { \"A=B\" = \"\" }",
            "`env` in [cluster.container] of cluster \"web\", line 8, has a variable named \"A=B\": a name is not empty and has no `=`".to_owned(),
        ),
        (
            "container]\nargs = [\"a\\u0000\"]",
            "`args` in [cluster.container] of cluster \"web\", line 8, must not have a zero byte".to_owned(),
        ),
    ] {
        one_fault(&format!("[cluster.{lines}"), &what);
    }
    whole_file(
        "[[provider]]\nname = \"p\"\nthreads = 0",
        "`threads` in [[provider]] \"p\", line 3, must be between 1 and 1024, not 0",
    );
    whole_file(
        "[[provider]]\nname = \"p\"\ncreate_timeout = \"2days\"",
        "`create_timeout` in [[provider]] \"p\", line 3, must be between 10ms and 1day, not 2days",
    );
    whole_file(
        "[[provider]]\nname = \"p\"\nhang_grace = \"5ms\"",
        "`hang_grace` in [[provider]] \"p\", line 3, must be between 10ms and 1day, not 5ms",
    );
    whole_file(
        "[[provider]]\nname = \"p\"\nhang_grace = \"5s\"\nisolation = \"in-process\"",
        "`hang_grace` in [[provider]] \"p\", line 3, must be left out where `isolation` is \"in-process\": what hangs in the \
         host's own process cannot be ended",
    );
    whole_file(
        "[[provider]]\nname = \"p\"\nconfig = { rate = inf }",
        "`config` in [[provider]] \"p\", line 3, has the number inf, which JSON cannot hold",
    );
}

/// Holds that a provider with `lines` after its name, from line 3 on, has this one fault.
#[track_caller]
fn one_fault_of_a_provider(lines: &str, message: &str) {
    whole_file(&format!("{PROVIDER}{lines}"), message);
}

#[test]
fn what_a_library_must_be() {
    let place = "in [[provider]] \"process\", line 3,";
    for (line, what) in [
        (
            "isolation = \"sandbox\"",
            "`isolation` {} must be \"in-process\" or \"subprocess\", not \"sandbox\"",
        ),
        (
            "sha256 = \"9f86\"",
            "`sha256` {} must be 64 hexadecimal digits, as `sha256sum` prints them, not \"9f86\"",
        ),
        ("sha256 = 9", "`sha256` {} must be a text in quotes, not 9"),
        ("signed_by = \"RWQ\"", "`signed_by` {} must be a list of texts, not \"RWQ\""),
        ("signed_by = []", "`signed_by` {} must not be empty; leave it out where no signature is asked for"),
        ("watch = \"\"", "`watch` {} must not have an empty path; leave it out instead"),
        ("watch = \"a\\u0000\"", "`watch` {} must not have a zero byte"),
    ] {
        one_fault_of_a_provider(line, &what.replace("{}", place));
    }
    let digits = "z".repeat(64);
    one_fault_of_a_provider(
        &format!("sha256 = \"{digits}\""),
        &format!(
            "`sha256` {place} must be 64 hexadecimal digits, as `sha256sum` prints them, not \"{digits}\""
        ),
    );
    // Another length, another algorithm, and what is not base64 at all.
    let good = "RWQKIWS0ufLPqHSqFqEFQwguNBSrKIIc6MluxDsQJs8jwudrBOaZ+y+5";
    for bad in ["RWQKIWS0ufLPqHSqFqEF", &good.replace("RWQ", "AAQ"), "untrusted comment: minisign public key"]
    {
        one_fault_of_a_provider(
            &format!("signed_by = [\"{good}\", \"{bad}\"]"),
            &format!(
                "`signed_by` {place} must be a list of minisign's public keys, 56 characters that begin with RW, but \
                 number 2 is \"{bad}\""
            ),
        );
    }
    one_fault_of_a_provider(
        &format!("signed_by = [{}]", format!("\"{good}\",").repeat(101)),
        &format!("`signed_by` {place} must have at most 100 keys, not 101"),
    );
}

#[test]
fn what_a_runner_may_not_do() {
    let place = "in [provider.confine] of provider \"process\", line 4,";
    for (line, what) in [
        ("user = 1000", "`user` {} must be a text in quotes, not 1000"),
        ("user = \"\"", "`user` {} must not be empty; leave it out instead"),
        ("memory = \"1MiB\"", "`memory` {} must be between 64 MiB and 1 EiB, not 1048576 bytes"),
        ("descriptors = 31", "`descriptors` {} must be between 32 and 1048576, not 31"),
        ("cpu_time = 0.5", "`cpu_time` {} must be between 1s and 365days, not 500ms"),
        ("cpu_time = \"366days\"", "`cpu_time` {} must be between 1s and 365days, not 366days"),
        ("read = \"/opt\"", "`read` {} must be a list of texts, not \"/opt\""),
        ("write = [\"/opt\", \"\"]", "`write` {} must not have an empty path; leave it out instead"),
        ("seccomp = \"yes\"", "`seccomp` {} must be true or false, not \"yes\""),
        (
            "required = \"paths\"",
            "`required` {} must be true, false or a list of \"user\", \"limits\", \"no-new-privileges\", \"paths\", \
             \"system-calls\", not \"paths\"",
        ),
        (
            "required = [\"no-new-privileges\", \"path\"]",
            "`required` {} must be true, false or a list of \"user\", \"limits\", \"no-new-privileges\", \"paths\", \
             \"system-calls\", but number 2 is \"path\"",
        ),
        (
            "required = [\"user\"]",
            "`required` {} has \"user\", which needs `user`; add it, or leave that out",
        ),
        (
            "required = [\"limits\"]",
            "`required` {} has \"limits\", which needs `memory` or `descriptors` or `cpu_time`; add it, or leave that out",
        ),
        (
            "required = [\"paths\"]",
            "`required` {} has \"paths\", which needs `read` or `write`; add it, or leave that out",
        ),
        (
            "required = [\"system-calls\"]\nseccomp = false",
            "`required` {} has \"system-calls\", which needs `seccomp`; add it, or leave that out",
        ),
    ] {
        one_fault_of_a_provider(&format!("[provider.confine]\n{line}"), &what.replace("{}", place));
    }
    let paths = "\"/a\",".repeat(257);
    one_fault_of_a_provider(
        &format!("[provider.confine]\nread = [{paths}]"),
        &format!("`read` {place} must have at most 256 paths, not 257"),
    );
    // What is required is not missed where its own fault is told.
    one_fault_of_a_provider(
        "[provider.confine]\nuser = 1000\nrequired = [\"user\"]",
        &format!("`user` {place} must be a text in quotes, not 1000"),
    );
}

#[test]
fn where_a_runner_is_confined() {
    one_fault_of_a_provider(
        "isolation = \"in-process\"\nconfine = {}",
        "`isolation` in [[provider]] \"process\", line 3, must be \"subprocess\" where there is a [provider.confine]: what \
         runs in the host's own process cannot be confined",
    );
    one_fault_of_a_provider(
        "confine = true",
        "`confine` in [[provider]] \"process\", line 3, must be a table, not true",
    );
    one_fault_of_a_provider(
        "cpu_time = 3",
        "unknown key `cpu_time` in [[provider]] \"process\", line 3; it belongs in [provider.confine]",
    );
    one_fault_of_a_provider(
        "[provider.confine]\nsha256 = \"\"",
        "unknown key `sha256` in [provider.confine] of provider \"process\", line 4; it belongs in [[provider]]",
    );
    one_fault_of_a_provider(
        "[provider.confine]\ndescriptor = 64",
        "unknown key `descriptor` in [provider.confine] of provider \"process\", line 4; did you mean `descriptors`?",
    );
    one_fault_of_a_provider(
        "[confine]",
        "unknown key `confine` in line 3; did you mean [provider.confine], after its [[provider]]?",
    );
    one_fault(
        "[hardware]",
        "unknown key `hardware` in line 7; did you mean [cluster.hardware], after its [[cluster]]?",
    );
}

#[test]
fn what_is_no_toml() {
    let error = error_of("[[provider]]\nname = process\nplugin = ");
    let messages: Vec<_> = error.faults().iter().map(|fault| (fault.line, fault.message.as_str())).collect();
    assert!(
        messages[0].0 == Some(2) && messages[0].1.starts_with("line 2: not valid TOML: "),
        "{messages:?}"
    );
    let twice = error_of("[[provider]]\nname = \"a\"\nname = \"b\"");
    assert_eq!(twice.to_string(), "f.toml: line 3: not valid TOML: duplicate key");
}

#[test]
fn all_faults_at_once_in_the_order_of_lines() {
    let error = error_of(
        "[[cluster]]\nname = \"web\"\nworkers = -1\nprovder = \"p\"\n[[provider]]\nthreads = \"many\"",
    );
    assert_eq!(
        error.to_string(),
        "f.toml: 4 errors\n  \
         `workers` in [[cluster]] \"web\", line 3, must be between 0 and 1000000, not -1\n  \
         unknown key `provder` in [[cluster]] \"web\", line 4; did you mean `provider`?\n  \
         `name` in [[provider]] number 1, line 5, is missing\n  \
         `threads` in [[provider]] number 1, line 6, must be a whole number, not \"many\""
    );
    let keys: Vec<_> = error.faults().iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["cluster.web.workers", "cluster.web.provder", "provider.1.name", "provider.1.threads"]);
}

#[test]
fn faults_are_bounded_in_number_and_size() {
    let lines: Vec<_> = (0..1000).map(|i| format!("{}{i} = 1", "k".repeat(5000))).collect();
    let error = error_of(&lines.join("\n"));
    assert_eq!(error.faults().len(), FAULTS_LIMIT);
    let text = error.to_string();
    assert!(text.ends_with("\n  ... and 980 more") && text.starts_with("f.toml: 1000 errors\n"), "{text}");
    assert!(text.len() < 8_000, "{}", text.len());
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("absent.toml");
    let error = Config::read(&file).expect_err("there is no such file");
    assert_eq!(error.to_string(), format!("cannot read the configuration file {}", file.display()));
    let cause = std::error::Error::source(&error).expect("the system's error");
    assert!(!error.to_string().contains(&cause.to_string()));
    std::fs::write(&file, b"# fine\n\xff").expect("it is written");
    let error = Config::read(&file).expect_err("it is not text");
    let cause = std::error::Error::source(&error).expect("the reason");
    assert_eq!(cause.to_string(), "line 2 is not UTF-8 text");
}
