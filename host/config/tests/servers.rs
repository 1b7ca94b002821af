//! A cluster's server: documents with one and without, what is secret of it, and what can be wrong with it and with the
//! variables of containers, in the exact words.

use std::{path::Path, time::Duration};

use longshore_config::{Config, FAULTS_LIMIT, Probe, Secret, ServerConfig, ServerSource, redact_definition};
use longshore_plugin_api::{Container, Hardware};
use longshore_scaling::{OnRestart, ServerKind, ServerPolicy};
use serde_json::{Value, json};

/// What a test adds begins in line 7.
const BASE: &str =
    "[[provider]]\nname = \"process\"\n[[cluster]]\nname = \"web\"\nprovider = \"process\"\nworkers = 3\n";
/// What a test adds begins in line 8.
const SERVER: &str = "[cluster.server]\n";
const IN_SERVER: &str = "in [cluster.server] of cluster \"web\", line 8,";

fn parsed(added: &str) -> Result<Config, String> {
    Config::parse(&format!("{BASE}{added}"), Path::new("f.toml")).map_err(|error| error.to_string())
}

fn server_of(added: &str) -> ServerConfig {
    parsed(added).expect("it is valid").clusters.remove(0).server.expect("it has one")
}

#[track_caller]
fn one_fault(added: &str, message: &str) {
    assert_eq!(parsed(added).expect_err("it is wrong"), format!("f.toml: {message}"), "for:\n{added}");
}

/// Holds that a line of `[cluster.server]` is told so.
#[track_caller]
fn wrong_key(line: &str, what: &str) {
    let key = line.split_once(' ').expect("a key and a value").0;
    one_fault(&format!("{SERVER}{line}"), &format!("`{key}` {IN_SERVER} {what}"));
}

#[test]
fn a_server_that_is_named_alone_has_defaults() {
    let server = server_of(SERVER);
    let (container, hardware) = (Container::default(), Hardware::default());
    let wanted = ServerConfig {
        source: ServerSource::Managed { container, hardware, port: None },
        password: None,
        probe: Probe::Tcp,
        start_timeout: Duration::from_mins(2),
        on_restart: OnRestart::ReplaceIfMoved,
    };
    assert_eq!((server.policy(), &server), (ServerPolicy::default(), &wanted));
}

#[test]
fn a_server_that_others_run() {
    let text = "external = \"[::1]:6379\"\npassword = \"p w\"\non_restart = \"replace\"\nstart_timeout = 1";
    let server = server_of(&format!("{SERVER}{text}"));
    assert_eq!(server.source, ServerSource::External { host: "::1".into(), port: 6379 });
    assert_eq!(server.password, Some(Secret::new("p w")));
    let (kind, start_timeout) = (ServerKind::External, Duration::from_secs(1));
    assert_eq!(server.policy(), ServerPolicy { kind, start_timeout, on_restart: OnRestart::Replace });
    assert_eq!(server_of(&format!("{SERVER}external = \"queue.example.org:1\"")).password, None);
}

#[test]
fn documents_without_a_server_are_what_they_were() {
    let config = parsed("").expect("it is valid");
    assert_eq!(json!(config.clusters[0]).get("server"), None);
    // As the host before wrote it: without a server, and without its deadline.
    let mut before = json!(config);
    before["clusters"][0]["deadlines"].as_object_mut().expect("a table").remove("server");
    assert_eq!(serde_json::from_value::<Config>(before.clone()).expect("the journal's"), config);
    assert_eq!(Config::from_json(&before.to_string()).expect("an older client's"), config);
}

#[test]
fn the_wire_has_the_password_and_is_strict() {
    for added in ["port = 1\npassword = \"hunter2\"", "external = \"a:1\""] {
        let config = parsed(&format!("{SERVER}{added}")).expect("it is valid");
        let text = json!(config).to_string();
        assert_eq!(Config::from_json(&text).expect("it is valid"), config);
        assert_eq!(text.contains("\"password\":\"hunter2\""), added.contains("hunter2"));
    }
    let sent = |server: Value| {
        let mut document = json!(parsed("").expect("it is valid"));
        document["clusters"][0]["server"] = server;
        Config::from_json(&document.to_string()).expect_err("it is wrong").to_string()
    };
    for (server, what) in [
        (json!({"source": {"managed": {"prot": 1}}}), "unknown key `clusters.0.server.source.prot`"),
        (
            json!({"source": {"managed": {"port": 0}}}),
            "`port` in [cluster.server] of cluster \"web\" must be between 1 and 65535, not 0",
        ),
        (
            json!({"source": {"managed": {"container": {"max_workers": 2}}}}),
            "`max_workers` in [cluster.server.container] of cluster \"web\" must be left out: a server holds no workers",
        ),
        (
            json!({"source": {"external": {"host": "[::1]", "port": 1}}}),
            "`external` in [cluster.server] of cluster \"web\" must have the name or the address of a host; in JSON, an IPv6 \
             address has no brackets",
        ),
        (
            json!({"source": {"external": {"host": "a", "port": 0}}}),
            "`external` in [cluster.server] of cluster \"web\" must have a port from 1 to 65535, not 0",
        ),
        (
            json!({"source": {"managed": {"container": {"args": ["${worker.count}"]}}}}),
            "`args` in [cluster.server.container] of cluster \"web\" has `${worker.count}` in number 1, which has no value \
             there: the container of a server holds no workers",
        ),
    ] {
        assert_eq!(sent(server), format!("the configuration: {what}"));
    }
    let error = sent(json!({"source": {"managed": {}}, "password": 777_777}));
    assert!(error.contains("a secret must be a text") && !error.contains("777"), "{error}");
}

#[test]
fn no_copy_that_is_fit_for_showing_has_the_password() {
    let with = format!(
        "{SERVER}password = \"hunter2\"\n[cluster.server.container]\nargs = [\"${{server.password}}\"]"
    );
    for added in [with.as_str(), "[cluster.server]\nexternal = \"a:1\"\npassword = \"hunter2\""] {
        let config = parsed(added).expect("it is valid");
        assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
        let redacted = config.redacted();
        assert!(!json!(redacted).to_string().contains("hunter2"));
        assert_eq!(
            redacted.clusters[0].server.as_ref().and_then(|it| it.password.clone()),
            Some(Secret::hidden())
        );
        // Nothing else is lost, and the copy cannot be taken for a configuration.
        let mut again = redacted.clone();
        again.clusters[0].server.as_mut().expect("it is there").password = Some(Secret::new("hunter2"));
        assert_eq!(again, config);
        assert!(redacted.check().expect_err("it is hidden").to_string().contains("is `***`, which is shown"));

        let mut definition = json!(config.clusters[0]);
        definition["novel"] = json!("of a newer host");
        redact_definition(&mut definition);
        assert_eq!(definition["server"]["password"], "***");
        definition.as_object_mut().expect("a table").remove("novel");
        assert_eq!(definition, json!(redacted.clusters[0]));
    }
    let bare = parsed(SERVER).expect("it is valid");
    assert_eq!(bare.redacted(), bare);
    for untouched in [json!(bare.clusters[0]), json!({"server": {"password": null}}), json!([]), json!(null)]
    {
        let mut redacted = untouched.clone();
        redact_definition(&mut redacted);
        assert_eq!(redacted, untouched);
    }
}

#[test]
fn keys_that_are_not_known_or_elsewhere() {
    for (added, message) in [
        ("[cluster.sever]", "unknown key `sever` in [[cluster]] \"web\", line 7; did you mean `server`?"),
        ("port = 1", "unknown key `port` in [[cluster]] \"web\", line 7; it belongs in [cluster.server]"),
        (
            "[cluster.server]\nprot = 1",
            "unknown key `prot` in [cluster.server] of cluster \"web\", line 8; did you mean `port`?",
        ),
        (
            "[cluster.server]\nimage = \"i\"",
            "unknown key `image` in [cluster.server] of cluster \"web\", line 8; it belongs in [cluster.server.container]",
        ),
        (
            "[cluster.server.container]\nmemory = 1",
            "unknown key `memory` in [cluster.server.container] of cluster \"web\", line 8; it belongs in \
             [cluster.server.hardware]",
        ),
        (
            "[cluster.server.container]\nmax_workers = 1",
            "unknown key `max_workers` in [cluster.server.container] of cluster \"web\", line 8; it belongs in \
             [cluster.container]",
        ),
        (
            "[cluster.server.container]\npassword = \"hunter2\"",
            "unknown key `password` in [cluster.server.container] of cluster \"web\", line 8; it belongs in [cluster.server]",
        ),
        (
            "[cluster.container]\nport = 1",
            "unknown key `port` in [cluster.container] of cluster \"web\", line 8; it belongs in [cluster.server]",
        ),
        (
            "[cluster.scaling]\ncontainer = 1",
            "unknown key `container` in [cluster.scaling] of cluster \"web\", line 8; it belongs in [[cluster]]",
        ),
        ("[server]", "unknown key `server` in line 7; did you mean [cluster.server], after its [[cluster]]?"),
        (
            "[cluster.server.container.novel]",
            "unknown key `novel` in [cluster.server.container] of cluster \"web\", line 7; \
          it has `image`, `command`, `args`, `env`, `working_dir`",
        ),
    ] {
        one_fault(added, message);
    }
}

#[test]
fn values_of_a_server() {
    wrong_key("port = 0", "must be between 1 and 65535, not 0");
    wrong_key("port = 65536", "must be between 1 and 65535, not 65536");
    wrong_key("port = \"1\"", "must be a whole number, not \"1\"");
    wrong_key("probe = \"http\"", "must be \"tcp\" or \"status\", not \"http\"");
    wrong_key(
        "on_restart = \"kill\"",
        "must be \"replace_if_moved\" or \"replace\" or \"keep\", not \"kill\"",
    );
    wrong_key("start_timeout = \"900ms\"", "must be between 1s and 1day, not 900ms");
    wrong_key("start_timeout = \"2days\"", "must be between 1s and 1day, not 2days");
    wrong_key("container = 1", "must be a table, not 1");
    one_fault("server = 3", "`server` in [[cluster]] \"web\", line 7, must be a table, not 3");
    one_fault("[[cluster.server]]", "`server` in [[cluster]] \"web\", line 7, must be a table, not a list");
    one_fault(
        "[cluster.timeouts]\nserver = 0",
        "`server` in [cluster.timeouts] of cluster \"web\", line 8, must be between 10ms and 1day, not 0s",
    );
    one_fault(
        "[cluster.server.container]\nimage = \"\"",
        "`image` in [cluster.server.container] of cluster \"web\", line 8, must not be empty; leave it out instead",
    );
    one_fault(
        "[cluster.server.container]\nenv = { \"A=B\" = \"\" }",
        "`env` in [cluster.server.container] of cluster \"web\", line 8, has a variable named \"A=B\": a name is not empty \
         and has no `=`",
    );
    one_fault(
        "[cluster.server.hardware]\ncpu = 0",
        "`cpu` in [cluster.server.hardware] of cluster \"web\", line 8, must be above 0 and at most 1000000 cores, not 0",
    );
}

#[test]
fn addresses_of_others() {
    const WANTED: &str = "must be \"host:port\", such as \"queue.example.org:6379\"";
    wrong_key("external = \"queue\"", &format!("{WANTED}, not \"queue\""));
    wrong_key("external = \"a b:1\"", &format!("{WANTED}, not \"a b:1\""));
    wrong_key("external = \"tcp://queue:1\"", &format!("{WANTED}, without `tcp://`"));
    wrong_key("external = \"a:0\"", "must have a port from 1 to 65535 after its last colon, not \"a:0\"");
    wrong_key(
        "external = \"::1:6379\"",
        &format!("{WANTED}, not \"::1:6379\"; an IPv6 address with its port is written \"[::1]:6379\""),
    );
    wrong_key(
        "external = \"redis://:hunter2@a:1\"",
        &format!("{WANTED}, without a user or a password; a password has a key of its own"),
    );
    wrong_key("external = 6379", "must be a text in quotes, not 6379");
    one_fault(
        &format!("{SERVER}external = \"a:1\"\nprobe = \"status\""),
        "`probe` in [cluster.server] of cluster \"web\", line 9, must be \"tcp\" with `external`: no provider can tell how a \
         server is that others run",
    );
    for (others, named) in [
        ("port = 1", "`port`"),
        ("container = {}", "`container`"),
        ("[cluster.server.hardware]", "`hardware`"),
        ("port = 1\n[cluster.server.container]\nimage = \"i\"", "`port` and no `container`"),
    ] {
        one_fault(
            &format!("{SERVER}external = \"a:1\"\n{others}"),
            &format!(
                "`external` {IN_SERVER} is a server that others run, which has no {named}; leave out the one or the other"
            ),
        );
    }
}

#[test]
fn passwords_that_are_none_are_not_repeated() {
    let made = "leave it out to have one made";
    wrong_key("password = \"\"", &format!("must not be empty; {made}"));
    wrong_key("password = \" \"", "must not begin or end with a blank");
    wrong_key("password = \"hunter2 \"", "must not begin or end with a blank");
    for control in ["\\n", "\\u0000", "\\t", "\\u007f"] {
        wrong_key(
            &format!("password = \"hunter{control}2\""),
            "must not have control characters, such as a line break",
        );
    }
    wrong_key(&format!("password = \"{}\"", "x".repeat(1025)), "must be at most 1024 bytes long, not 1025");
    wrong_key(
        "password = \"${REDIS_PASSWORD}\"",
        &format!("looks like a variable, and is taken as it stands; write the password itself, or {made}"),
    );
    wrong_key("password = 123456", "must be a text in quotes");
    wrong_key("password = [\"hunter2\"]", "must be a text in quotes");
    one_fault(
        &format!("{SERVER}password = \"\"\nexternal = \"a:1\""),
        &format!("`password` {IN_SERVER} must not be empty; leave it out where there is none"),
    );
    for good in ["x", "two words", "\u{fc}", "$${x} 'y' \\\"z\\\"", &"x".repeat(1024)] {
        server_of(&format!("{SERVER}password = \"{good}\""));
    }
    // What is no TOML is told without the text as well.
    let error = parsed(&format!("{SERVER}password = \"hunter2\nport = 1")).expect_err("no end of the text");
    assert!(error.contains("line 8: not valid TOML") && !error.contains("hunter2"), "{error}");
}

#[test]
fn variables_are_told_with_their_own_lines() {
    let container = "[cluster.container]\ncommand = \"${x\"\nargs = [\n  \"a\",\n  \"${server.host}\",\n]\n[cluster.container.env]\nA = \"$$\"\nHOME = \"${HOME}\"";
    assert_eq!(
        parsed(container).expect_err("three faults"),
        "f.toml: 3 errors\n  \
         `command` in [cluster.container] of cluster \"web\", line 8, has a `${` without its `}`; for a plain `${`, write \
         `$${`\n  \
         `args` in [cluster.container] of cluster \"web\", line 11, has `${server.host}` in number 2, which has no value \
         there: the cluster has no server; add [cluster.server]\n  \
         `env` in [cluster.container] of cluster \"web\", line 15, has `${HOME}` in `HOME`, which is no variable; for the \
         shell's, write `$${HOME}`"
    );
    one_fault(
        "[cluster.container]\nargs = [\"${server.hots} ${cluster.name}\"]\n[cluster.server]",
        "`args` in [cluster.container] of cluster \"web\", line 8, has `${server.hots}` in number 1, which is no variable; \
         did you mean `${server.host}`?",
    );
    for key in ["image", "working_dir"] {
        one_fault(
            &format!("[cluster.container]\n{key} = \"a${{cluster.name}}\""),
            &format!(
                "`{key}` in [cluster.container] of cluster \"web\", line 8, has `${{cluster.name}}`, which is filled in in \
                 `command`, `args` and `env` alone"
            ),
        );
        parsed(&format!("[cluster.container]\n{key} = \"a${{b}}\"")).expect("it is the provider's to judge");
    }
}

#[test]
fn variables_that_can_have_no_value() {
    let in_own = |variable: &str| format!("[cluster.server.container]\nargs = [\"${{{variable}}}\"]");
    let own = |variable: &str, why: &str| {
        let place = "`args` in [cluster.server.container] of cluster \"web\", line 8,";
        let what = format!("{place} has `${{{variable}}}` in number 1, which has no value there: {why}");
        one_fault(&in_own(variable), &what);
    };
    own("server.host", "the address of a server is known only once it runs");
    own("server.port", "no port is known; set `port` in [cluster.server]");
    own("worker.count", "the container of a server holds no workers");
    for good in ["cluster.name", "server.password"] {
        parsed(&in_own(good)).expect("it has a value");
    }
    parsed(&format!("{SERVER}port = 1\n{}", in_own("server.port"))).expect("it has a value");

    let all = "[cluster.container]\nargs = [\"${server.host}${server.port}${server.password}${cluster.name}${worker.count}\"]\n";
    for server in ["", "port = 1", "external = \"a:1\"\npassword = \"p\""] {
        parsed(&format!("{all}{SERVER}{server}"))
            .expect("all have a value, the port maybe from the provider");
    }
    one_fault(
        &format!("{all}{SERVER}external = \"a:1\""),
        "`args` in [cluster.container] of cluster \"web\", line 8, has `${server.password}` in number 1, which has no value \
         there: the server has none; set `password` in [cluster.server]",
    );
}

/// What a fault makes unsure is not told as another one.
#[test]
fn a_variable_is_not_blamed_for_what_could_not_be_read() {
    let uses = "[cluster.container]\nargs = [\"${server.host}${server.port}${server.password}\"]\n";
    let own = "[cluster.server.container]\nargs = [\"${server.port}\"]";
    for (added, faulty) in [
        (format!("server = 1\n{uses}"), "`server` in [[cluster]]"),
        (format!("{uses}[cluster.sever]\nport = 1"), "unknown key `sever`"),
        (format!("{uses}{SERVER}external = \"a:1\"\npassword = 1"), "`password` in"),
        (format!("{uses}{SERVER}external = \"a\""), "`external` in"),
        (format!("{SERVER}port = 0\n{own}"), "`port` in"),
        (format!("{SERVER}prot = 1\n{own}"), "unknown key `prot`"),
    ] {
        let error = parsed(&added).expect_err("it is wrong");
        assert!(error.starts_with(&format!("f.toml: {faulty}")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn faults_of_one_container_are_bounded() {
    let error = Config::parse(
        &format!("{BASE}[cluster.container]\nargs = [\"{}\"]", "${}".repeat(100_000)),
        Path::new("f.toml"),
    );
    let error = error.expect_err("each is wrong");
    assert_eq!(error.faults().len(), FAULTS_LIMIT);
    assert!(error.to_string().len() < 20_000);
    one_fault(
        &format!("[cluster.container]\nargs = [\"{}\"]", "${cluster.name}".repeat(1001)),
        "`args` in [cluster.container] of cluster \"web\", line 8, has more than 1000 variables, those before it counted",
    );
}
