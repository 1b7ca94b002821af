//! The host's figures for Prometheus: of the host, its clusters, its providers and their processes, as they are when somebody asks.
//! They are told from the same plain values as the documents are; nothing is counted here.
//!
//! How many there are is bounded by what there is by name: a family has a line for each cluster, provider or function, and some for
//! each kind of end of a call, but none for a handle. What a plugin says is never a label; its name and version, which are checked
//! when it is loaded, are.

mod clusters;
mod families;
mod negotiate;
mod providers;

use std::{fmt, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use longshore_runtime::{ClusterStatus, ProviderStatus};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, prometheus_text, text},
    registry::{Registry, Unit},
};

use self::{families::Families, negotiate::Format};
use crate::{
    problem::{Problem, ProblemKind},
    routes::Desk,
};

/// What the name of each family begins with.
const PREFIX: &str = "longshore";

pub(crate) async fn metrics(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    let format = Format::of(&headers);
    let told = Told {
        uptime: desk.since.elapsed(),
        providers: desk.host.providers_with_runners().await,
        clusters: desk.host.clusters(),
    };
    match told.written(format) {
        Ok(text) => ([(CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => {
            let what = format_args!("the figures cannot be written: {error}").to_string();
            Problem::new(ProblemKind::Internal, what).into_response()
        }
    }
}

/// All that is told at once.
#[derive(Debug)]
struct Told {
    /// For how long the host has been listening.
    uptime: Duration,
    providers: Vec<ProviderStatus>,
    clusters: Vec<ClusterStatus>,
}

impl Told {
    fn written(self, format: Format) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        match format {
            Format::Prometheus => prometheus_text::encode(&mut written, &registry)?,
            Format::OpenMetrics => text::encode(&mut written, &registry)?,
        }
        Ok(written)
    }
}

impl Collector for Told {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        let version = vec![("version", env!("CARGO_PKG_VERSION").into())];
        families.info("build", "Which version of Longshore the host is.", [version])?;
        let uptime = [(vec![], self.uptime.as_secs_f64())];
        families.gauge(
            "uptime",
            "For how long the host has been listening.",
            Some(&Unit::Seconds),
            uptime,
        )?;
        clusters::tell(&mut families, &self.clusters)?;
        providers::tell(&mut families, &self.providers)
    }
}

#[cfg(test)]
mod tests;
