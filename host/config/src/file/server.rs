//! Reads `[cluster.server]`: a server that the provider runs, or the address of one that others run.

use longshore_plugin_api::{Container, Hardware};
use longshore_scaling::{OnRestart, ServerPolicy};

use super::{read_container, read_hardware};
use crate::{
    keys,
    section::Section,
    server::{Probe, ServerConfig, ServerSource, host_and_port},
};

/// What a server that others run has no use for.
const OF_A_MANAGED_ONE: [&str; 3] = ["port", "container", "hardware"];

pub(super) fn read_server(section: &mut Section<'_, '_>) -> ServerConfig {
    section.check_keys(keys::SERVER);
    let source = if section.has("external") { read_external(section) } else { read_managed(section) };
    let usual = ServerPolicy::default();
    let on_restart = [
        ("replace_if_moved", OnRestart::ReplaceIfMoved),
        ("replace", OnRestart::Replace),
        ("keep", OnRestart::Keep),
    ];
    ServerConfig {
        source,
        password: section.secret("password"),
        probe: section.choice("probe", &[("tcp", Probe::Tcp), ("status", Probe::Status)]).unwrap_or_default(),
        start_timeout: section.duration("start_timeout").unwrap_or(usual.start_timeout),
        on_restart: section.choice("on_restart", &on_restart).unwrap_or(usual.on_restart),
    }
}

fn read_managed(section: &mut Section<'_, '_>) -> ServerSource {
    let port = section.count_in("port", 1..=u32::from(u16::MAX)).map(|port| port as u16);
    let (mut container, mut hardware) = (Container::default(), Hardware::default());
    section.section("container", |section| {
        section.check_keys(keys::SERVER_CONTAINER);
        container = read_container(section);
    });
    section.section("hardware", |section| hardware = read_hardware(section));
    ServerSource::Managed { container, hardware, port }
}

fn read_external(section: &mut Section<'_, '_>) -> ServerSource {
    let others: Vec<_> = OF_A_MANAGED_ONE.into_iter().filter(|key| section.has(key)).collect();
    if !others.is_empty() {
        let others: Vec<_> = others.iter().map(|key| format!("`{key}`")).collect();
        let what = format!(
            "is a server that others run, which has no {}; leave out the one or the other",
            others.join(" and no ")
        );
        section.wrong("external", &what);
    }
    let mut place = None;
    if let Some(text) = section.text("external") {
        match host_and_port(&text) {
            Ok(found) => place = Some(found),
            Err(what) => section.wrong("external", &what),
        }
    }
    // What could not be read is told of; the check passes over it.
    let (host, port) = place.unwrap_or_default();
    ServerSource::External { host, port }
}
