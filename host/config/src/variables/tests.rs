//! Escapes, values, and what is wrong: by example, and for texts of all kinds.

use std::{collections::BTreeMap, time::Duration};

use longshore_plugin_api::Hardware;
use longshore_scaling::OnRestart;
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{Probe, ServerConfig, ServerSource};

/// A container with texts in all places.
fn container(command: &str, args: &[&str], env: &[(&str, &str)]) -> Container {
    Container {
        command: Some(command.to_owned()),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..Container::default()
    }
}

fn server(source: ServerSource, password: Option<&str>) -> ServerConfig {
    ServerConfig {
        source,
        password: password.map(Secret::new),
        probe: Probe::Tcp,
        start_timeout: Duration::from_mins(2),
        on_restart: OnRestart::Keep,
    }
}

fn managed(port: Option<u16>) -> ServerConfig {
    server(
        ServerSource::Managed { container: Container::default(), hardware: Hardware::default(), port },
        None,
    )
}

fn external(password: Option<&str>) -> ServerConfig {
    server(ServerSource::External { host: "q".into(), port: 1 }, password)
}

fn full(password: &Secret) -> Values<'_> {
    let server = ServerValues { host: Some("::1"), port: Some(6379), password: Some(password) };
    Values { cluster: "web", worker_count: Some(4), server: Some(server) }
}

/// What an argument becomes where everything has a value.
fn filled(text: &str) -> Result<String, FillError> {
    let filled = fill(&container("c", &[text], &[]), &full(&Secret::new("hunter2")))?;
    Ok(filled.args[0].clone())
}

#[track_caller]
fn refused(text: &str, what: &str) {
    let error = filled(text).expect_err("it is wrong");
    assert_eq!(error.to_string(), format!("`args` has {what}"), "for {text}");
}

#[test]
fn everything_is_filled_in_and_the_rest_is_kept() {
    let template = Container {
        image: Some("i".into()),
        working_dir: Some("/w".into()),
        max_workers: Some(9),
        ..container(
            "${cluster.name}",
            &["${server.host}:${server.port}", "plain", "${worker.count}${worker.count}"],
            &[("URL", "redis://:${server.password}@[${server.host}]"), ("NAME", "$cluster.name")],
        )
    };
    let wanted = Container {
        command: Some("web".into()),
        args: vec!["::1:6379".into(), "plain".into(), "44".into()],
        env: BTreeMap::from([
            ("URL".into(), "redis://:hunter2@[::1]".into()),
            ("NAME".into(), "$cluster.name".into()),
        ]),
        ..template.clone()
    };
    assert_eq!(fill(&template, &full(&Secret::new("hunter2"))), Ok(wanted));
    assert!(Variable::ALL.into_iter().all(|variable| uses(&template, variable)));
    assert!(
        !Variable::ALL.into_iter().any(|variable| uses(&container("c", &["$${server.host}"], &[]), variable))
    );
}

#[test]
fn dollars() {
    for (text, wanted) in [
        ("$", "$"),
        ("$$", "$$"),
        ("$HOME $$ $(id) {a} }", "$HOME $$ $(id) {a} }"),
        ("$${HOME}", "${HOME}"),
        ("$${cluster.name}", "${cluster.name}"),
        ("$$${cluster.name}", "$${cluster.name}"),
        ("$${", "${"),
        ("$${$${", "${${"),
        ("$${${cluster.name}}", "${web}"),
        ("${cluster.name}}", "web}"),
        ("${cluster.name}$", "web$"),
        ("$ ${cluster.name}", "$ web"),
        ("ä${cluster.name}ö", "äwebö"),
    ] {
        assert_eq!(filled(text).as_deref(), Ok(wanted), "for {text}");
    }
}

#[test]
fn what_looks_like_a_variable_in_a_value_is_none() {
    let password = Secret::new("${cluster.name}$${");
    let template = container("c", &["${server.password}"], &[]);
    assert_eq!(fill(&template, &full(&password)).expect("it has a value").args, ["${cluster.name}$${"]);
}

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    refused(
        "${server.hst}",
        "`${server.hst}` in number 1, which is no variable; did you mean `${server.host}`?",
    );
    refused(
        "${ server.host }",
        "`${ server.host }` in number 1, which is no variable; did you mean `${server.host}`?",
    );
    refused(
        "${SERVER_HOST}",
        "`${SERVER_HOST}` in number 1, which is no variable; did you mean `${server.host}`, or \
         `$${SERVER_HOST}` for the shell's?",
    );
    refused("${HOME}", "`${HOME}` in number 1, which is no variable; for the shell's, write `$${HOME}`");
    refused("${1}", "`${1}` in number 1, which is no variable; for the shell's, write `$${1}`");
    refused(
        "${port:-80}",
        "`${port:-80}` in number 1, which is no variable; for the shell's, write `$${port:-80}`",
    );
    let all =
        "`${server.host}`, `${server.port}`, `${server.password}`, `${cluster.name}`, `${worker.count}`";
    for name in ["", "address", "a\u{7}b", "a ${b"] {
        let shown = if name == "a\u{7}b" { "a\\u{7}b" } else { name };
        refused(
            &format!("${{{name}}}"),
            &format!(
                "`${{{shown}}}` in number 1, which is no variable; there are {all}; for a plain `${{`, write `$${{`"
            ),
        );
    }
    refused("${server.host", "a `${` in number 1 without its `}`; for a plain `${`, write `$${`");
    let error = fill(&container("c", &[], &[("A", "ok"), ("B", "${")]), &full(&Secret::new("p")));
    assert_eq!(
        error.expect_err("it is open").to_string(),
        "`env` has a `${` in `B` without its `}`; for a plain `${`, write `$${`"
    );
    let error = fill(&container("${", &[], &[]), &full(&Secret::new("p"))).expect_err("it is open");
    assert_eq!(
        (error.key, error.what.as_str()),
        ("command", "has a `${` without its `}`; for a plain `${`, write `$${`")
    );
}

#[test]
fn what_has_no_value_is_an_error() {
    let bare = Values { cluster: "web", worker_count: None, server: None };
    let none = Values { server: Some(ServerValues::default()), ..bare };
    for (variable, values, why) in [
        ("worker.count", bare, NO_WORKERS),
        ("server.host", bare, NO_SERVER),
        ("server.port", bare, NO_SERVER),
        ("server.password", bare, NO_SERVER),
        ("server.host", none, NO_HOST),
        ("server.port", none, NO_PORT),
        ("server.password", none, NO_PASSWORD),
    ] {
        let error = fill(&container(&format!("${{{variable}}}"), &[], &[]), &values).expect_err("no value");
        let wanted = format!("`command` has `${{{variable}}}`, which has no value there: {why}");
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
fn who_has_what() {
    use Variable::{ServerHost, ServerPassword, ServerPort, WorkerCount};
    for (owner, lacking) in [
        (Owner::Workers(None), &[ServerHost, ServerPort, ServerPassword][..]),
        (Owner::Workers(Some(&managed(None))), &[]),
        (Owner::Workers(Some(&managed(Some(1)))), &[]),
        (Owner::Workers(Some(&external(None))), &[ServerPassword]),
        (Owner::Workers(Some(&external(Some("p")))), &[]),
        (Owner::Server(&managed(None)), &[ServerHost, ServerPort, WorkerCount]),
        (Owner::Server(&managed(Some(1))), &[ServerHost, WorkerCount]),
    ] {
        let found: Vec<_> = Variable::ALL.into_iter().filter(|it| owner.lacks(*it).is_some()).collect();
        assert_eq!(found, lacking, "{owner:?}");
    }
}

#[test]
fn variables_are_bounded_in_number() {
    let one = "${cluster.name}";
    let many = container("c", &[&one.repeat(VARIABLES_LIMIT)], &[]);
    let owner = Owner::Workers(None);
    assert!(judge(&many, owner).next().is_none());
    assert_eq!(fill(&many, &full(&Secret::new("p"))).expect("as many").args[0].len(), 3 * VARIABLES_LIMIT);
    // In another place, and wrong: neither is looked at any more.
    let more = container("c", &[&one.repeat(VARIABLES_LIMIT)], &[("A", "${server.host}"), ("B", "${x}")]);
    let found: Vec<_> = judge(&more, owner).map(|found| (found.place, found.problem)).collect();
    assert_eq!(found, [(Place::Env("A"), Problem::TooMany)]);
    let error = fill(&more, &full(&Secret::new("p"))).expect_err("one too many");
    assert_eq!(error.to_string(), "`env` has more than 1000 variables, those before it counted");
}

/// Texts that are full of what matters here.
fn texts() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "$",
        "$$",
        "{",
        "}",
        "${",
        "$${",
        "${}",
        "${cluster.name}",
        "${server.host}",
        "${server.port}",
        "${server.password}",
        "${worker.count}",
        "server.host",
        "${HOME}",
        " ",
        "ä",
        "x",
    ];
    prop_oneof![vec(select(PIECES), 0..12).prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #[test]
    fn a_text_without_variables_is_left_alone(text in texts()) {
        let text = text.replace("${", "$ {");
        prop_assert_eq!(filled(&text), Ok(text));
    }

    #[test]
    fn every_text_can_be_written(text in texts()) {
        prop_assert_eq!(filled(&text.replace("${", "$${")), Ok(text));
    }

    #[test]
    fn what_is_accepted_is_filled_in_and_nothing_else(
        command in texts(), args in vec(texts(), 0..4), env in vec(texts(), 0..4), which in 0..6_usize,
    ) {
        let env: Vec<_> = env.iter().enumerate().map(|(at, text)| (format!("V{at}"), text.as_str())).collect();
        let env: Vec<_> = env.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let container = container(&command, &args, &env);

        let password = Secret::new("p");
        let known = ServerValues { host: Some("h"), port: Some(1), password: Some(&password) };
        let own = ServerValues { host: None, ..known };
        let servers = [managed(Some(1)), managed(None), external(None), external(Some("p"))];
        let (owner, count, server) = [
            (Owner::Workers(None), Some(1), None),
            (Owner::Workers(Some(&servers[0])), Some(1), Some(known)),
            (Owner::Workers(Some(&servers[2])), Some(1), Some(ServerValues { password: None, ..known })),
            (Owner::Workers(Some(&servers[3])), Some(1), Some(known)),
            (Owner::Server(&servers[0]), None, Some(own)),
            (Owner::Server(&servers[1]), None, Some(ServerValues { port: None, ..own })),
        ][which];
        let found = judge(&container, owner).next();
        let filled = fill(&container, &Values { cluster: "c", worker_count: count, server });
        match (found, filled) {
            (None, Ok(_)) => {}
            (Some(found), Err(error)) => {
                prop_assert_eq!((found.place.key(), found.problem.what(found.place)), (error.key, error.what));
            }
            (found, filled) => prop_assert!(false, "{found:?}, but {filled:?}"),
        }
    }
}
