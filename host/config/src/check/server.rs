//! What `[cluster.server]` must keep.

use std::time::Duration;

use longshore_plugin_api::Container;

use super::{Checker, check_container, check_hardware};
use crate::{
    secret::{HIDDEN, Secret},
    server::{PASSWORD_LIMIT, Probe, ServerConfig, ServerSource, is_host},
};

/// The shortest and the longest time that a server may have to be up.
const START_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));

const AT: Option<&str> = Some("server");
const NO_PORT: &str = "must be between 1 and 65535, not 0";

pub(super) fn check(server: &ServerConfig, checker: &mut Checker<'_>) {
    let is_managed = match &server.source {
        ServerSource::Managed { container, hardware, port } => {
            if *port == Some(0) {
                checker.wrong(AT, "port", NO_PORT);
            }
            if container.max_workers.is_some() {
                checker.wrong(
                    Some("server.container"),
                    "max_workers",
                    "must be left out: a server holds no workers",
                );
            }
            check_container(
                "server.container",
                &Container { max_workers: None, ..container.clone() },
                checker,
            );
            check_hardware("server.hardware", hardware, checker);
            true
        }
        ServerSource::External { host, port } => {
            if !is_host(host) {
                let what =
                    "must have the name or the address of a host; in JSON, an IPv6 address has no brackets";
                checker.wrong(AT, "external", what);
            } else if *port == 0 {
                checker.wrong(AT, "external", "must have a port from 1 to 65535, not 0");
            }
            if server.probe == Probe::Status {
                let what =
                    "must be \"tcp\" with `external`: no provider can tell how a server is that others run";
                checker.wrong(AT, "probe", what);
            }
            false
        }
    };
    if let Some(password) = &server.password {
        check_password(password, is_managed, checker);
    }
    checker.duration(AT, "start_timeout", server.start_timeout, START_TIMEOUTS);
}

/// No message repeats any of it.
fn check_password(password: &Secret, is_managed: bool, checker: &mut Checker<'_>) {
    let text = password.reveal();
    let instead =
        if is_managed { "leave it out to have one made" } else { "leave it out where there is none" };
    let what = if text.is_empty() {
        format!("must not be empty; {instead}")
    } else if text.len() > PASSWORD_LIMIT {
        format!("must be at most {PASSWORD_LIMIT} bytes long, not {}", text.len())
    } else if text.contains(char::is_control) {
        "must not have control characters, such as a line break".to_owned()
    } else if text.trim() != text {
        "must not begin or end with a blank".to_owned()
    } else if text == HIDDEN {
        format!(
            "is `{HIDDEN}`, which is shown in place of a password; write the password itself, or {instead}"
        )
    } else if text.starts_with("${") && text.ends_with('}') {
        format!("looks like a variable, and is taken as it stands; write the password itself, or {instead}")
    } else {
        return;
    };
    checker.wrong(AT, "password", &what);
}
