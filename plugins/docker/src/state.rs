//! How a container is: what the engine says of it, as a status. Engines differ in their words, and later ones may have more; so
//! they are read here as texts, of which those that are not known are no reason to give up a worker.

use std::collections::HashMap;

use longshore_plugin_api::WorkerStatus;
use serde::Deserialize;

use crate::labels;

/// A container, as an engine's list has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Found {
    pub(crate) id: String,
    names: Option<Vec<String>>,
    state: String,
    status: String,
    labels: Option<HashMap<String, String>>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
    health: Option<Health>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Health {
    status: String,
}

/// How far a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Made, and not started yet.
    Made,
    /// Started, and its health check has not had a good answer yet.
    Starting,
    /// Started.
    Running,
    /// Over.
    Ended,
}

impl Phase {
    pub(crate) fn status(self) -> WorkerStatus {
        match self {
            Self::Made | Self::Starting => WorkerStatus::Initializing,
            Self::Running => WorkerStatus::Running,
            Self::Ended => WorkerStatus::Stopped,
        }
    }
}

impl Found {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// Its handle, where it has workers.
    pub(crate) fn handle(&self) -> Option<&str> {
        self.label(labels::HANDLE)
    }

    /// Its place in its launch.
    pub(crate) fn index(&self) -> Option<u32> {
        self.label(labels::INDEX)?.parse().ok()
    }

    /// Its workers, at least one.
    pub(crate) fn workers(&self) -> Option<u32> {
        self.label(labels::WORKERS)?.parse().ok().filter(|workers| *workers > 0)
    }

    /// What to call it for a person.
    pub(crate) fn name(&self) -> &str {
        self.names.iter().flatten().next().map_or(self.id.as_str(), |name| name.trim_start_matches('/'))
    }

    /// Whether it goes by a name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.names.iter().flatten().any(|known| known.trim_start_matches('/') == name)
    }

    /// How far it has come. A container that is unhealthy has been at work, or will not be asked again: there is no way back to
    /// "initializing", and whoever is unhealthy is not dead.
    pub(crate) fn phase(&self) -> Phase {
        match self.state.as_str() {
            "created" | "configured" | "initialized" => Phase::Made,
            "exited" | "dead" | "removing" | "stopped" => Phase::Ended,
            _ if self.is_becoming_healthy() => Phase::Starting,
            _ => Phase::Running,
        }
    }

    /// Older engines say it in words alone: "Up 2 seconds (health: starting)", Podman "(starting)".
    fn is_becoming_healthy(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.status == "starting")
            || self.status.contains("(health: starting)")
            || self.status.contains("(starting)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(state: &str, status: &str) -> Found {
        serde_json::from_value(
            json!({"Id": "1", "Names": ["/n"], "State": state, "Status": status, "Novel": 1}),
        )
        .expect("it is read")
    }

    #[test]
    fn an_engine_s_words_are_statuses() {
        for (state, status, phase) in [
            ("created", "Created", Phase::Made),
            ("initialized", "", Phase::Made),
            ("running", "Up 2 seconds", Phase::Running),
            ("running", "Up 2 seconds (health: starting)", Phase::Starting),
            ("running", "Up 2 seconds (starting)", Phase::Starting),
            ("running", "Up 2 minutes (healthy)", Phase::Running),
            ("running", "Up 2 minutes (unhealthy)", Phase::Running),
            ("paused", "Up 2 minutes (Paused)", Phase::Running),
            ("stopping", "", Phase::Running),
            ("of the year 2040", "", Phase::Running),
            ("exited", "Exited (137) 2 seconds ago", Phase::Ended),
            ("dead", "Dead", Phase::Ended),
            ("removing", "Removal In Progress", Phase::Ended),
            ("stopped", "", Phase::Ended),
        ] {
            assert_eq!(found(state, status).phase(), phase, "{state} {status}");
        }
    }

    #[test]
    fn the_health_of_a_newer_engine_is_read() {
        let one = json!({"Id": "1", "State": "running", "Status": "Up", "Health": {"Status": "starting"}});
        let one: Found = serde_json::from_value(one).expect("it is read");
        assert_eq!(one.phase().status(), WorkerStatus::Initializing);
    }

    #[test]
    fn a_list_of_podman_s_is_read() {
        let one: Found = serde_json::from_value(json!({
            "Id": "4ddc", "Names": ["/a.b"], "Labels": {}, "State": "created", "NetworkSettings": {"Networks": null},
        }))
        .expect("it is read");
        assert!(one.is_called("a.b") && one.name() == "a.b" && one.handle().is_none());
    }
}
