//! Commands that change a provider over to another version of its plugin, and back; and the generations of providers in a
//! table.

use std::{path, time::Duration};

use anstyle::Style;
use longshore_http::{
    Client,
    wire::{
        GenerationState, GenerationStatus, ProviderStatus, ProviderVersion, RolledBack, Swap, SwapOutcome,
    },
};
use longshore_providers::is_path;
use serde::Serialize;
use tokio::{
    signal::ctrl_c,
    time::{Instant, sleep},
};

use crate::{
    args,
    exit::{Exit, Failure},
    output::{GOOD, Output, PENDING},
    render::{clean, short, span},
    table::table,
};

/// How often is looked whether the watch is over.
const LOOK: Duration = Duration::from_millis(500);
/// How long the host may take longer than the watch itself.
const GRACE: Duration = Duration::from_mins(1);

/// What became of it, for `--json`.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    outcome: &'a SwapOutcome,
    /// Whether the new version serves for good; null when that was not waited for.
    settled: Option<bool>,
    /// Why the host gave it up; null where it did not.
    rolled_back: Option<RolledBack>,
}

/// How a watch ended.
enum End {
    Settled,
    RolledBack(RolledBack),
    /// Somebody else went back, or on.
    Replaced,
}

pub(super) async fn swap(client: &Client, asked: &args::Swap, output: &Output) -> Result<(), Failure> {
    let request = Swap {
        to: asked.to.as_deref().map(located),
        sha256: asked.sha256.clone(),
        watch_ms: Some(u64::try_from(asked.watch.as_millis()).unwrap_or(u64::MAX)),
        canary: asked.canary.is_some(),
        cluster: asked.canary.clone().filter(|cluster| !cluster.is_empty()),
    };
    let outcome = client.swap(&asked.provider, &request).await?;
    let name = &outcome.provider;
    if !outcome.changed {
        let document = Document { outcome: &outcome, settled: Some(true), rolled_back: None };
        return output.either(&document, || format!("{name}: {} serves already", told(&outcome.to)));
    }
    if asked.no_wait {
        let document = Document { outcome: &outcome, settled: None, rolled_back: None };
        return output.either(&document, || changed(&outcome));
    }
    if outcome.watch_ms > 0 && !output.is_json() {
        eprintln!("{}; it is watched", changed(&outcome));
    }
    let (settled, rolled_back, failure) = match watched(client, &outcome).await? {
        End::Settled => (true, None, None),
        End::RolledBack(rolled_back) => {
            let text = format!(
                "provider `{name}` is rolled back: {} was given up: {}",
                told(&outcome.to),
                clean(&rolled_back.reason)
            );
            (false, Some(rolled_back), Some(Failure::new(Exit::Plugin, "rolled_back", text)))
        }
        End::Replaced => {
            let text = format!(
                "provider `{name}`: somebody else has put another version in the place of {}",
                told(&outcome.to)
            );
            (false, None, Some(Failure::new(Exit::Denied, "replaced", text)))
        }
    };
    if failure.is_none() || output.is_json() {
        let document = Document { outcome: &outcome, settled: Some(settled), rolled_back };
        output.either(&document, || format!("{name}: {} serves", told(&outcome.to)))?;
    }
    failure.map_or(Ok(()), Err)
}

pub(super) async fn rollback(client: &Client, provider: &str, output: &Output) -> Result<(), Failure> {
    let outcome = client.rollback(provider).await?;
    let document = Document { outcome: &outcome, settled: Some(true), rolled_back: None };
    output.either(&document, || changed(&outcome))
}

/// Waits until the watch is over, or somebody interrupts the waiting.
async fn watched(client: &Client, outcome: &SwapOutcome) -> Result<End, Failure> {
    if outcome.watch_ms == 0 {
        return Ok(End::Settled);
    }
    // A canary is watched, and then all are.
    let watch =
        Duration::from_millis(outcome.watch_ms).saturating_mul(if outcome.canary.is_some() { 2 } else { 1 });
    let limit = Instant::now().checked_add(watch.saturating_add(GRACE));
    let mut interrupt = std::pin::pin!(ctrl_c());
    loop {
        let providers = client.providers().await?.providers;
        let provider = providers.into_iter().find(|it| it.name == outcome.provider);
        if let Some(end) = ended(provider.as_ref(), outcome) {
            return Ok(end);
        }
        let why = tokio::select! {
            () = sleep(LOOK) => {
                if limit.is_none_or(|limit| Instant::now() < limit) {
                    continue;
                }
                "it should be over by now"
            }
            _ = &mut interrupt => "waiting was interrupted",
        };
        let name = &outcome.provider;
        let text = format!(
            "provider `{name}` is still watched: {why}; the host goes on, and `longshore plugin list` shows how far it is"
        );
        return Err(Failure::gave_up(text));
    }
}

/// How the watch ended, where it has.
fn ended(provider: Option<&ProviderStatus>, outcome: &SwapOutcome) -> Option<End> {
    let Some(provider) = provider else { return Some(End::Replaced) };
    let ours = provider.generations.iter().find(|it| it.number == outcome.generation);
    match ours.map(|ours| (ours.state, ours.watched_ms)) {
        Some((GenerationState::Canary, _) | (GenerationState::Serving, Some(_))) => None,
        Some((GenerationState::Serving | GenerationState::Kept, _)) => Some(End::Settled),
        // It died too often, and the host has not gone back yet.
        None if provider.trouble.is_some() => None,
        _ => match &provider.rolled_back {
            Some(rolled_back) if rolled_back.hash == outcome.to.hash => {
                Some(End::RolledBack(rolled_back.clone()))
            }
            _ => Some(End::Replaced),
        },
    }
}

/// A file is meant from where the command is given; the host has a folder of its own.
fn located(to: &str) -> String {
    if !is_path(to) {
        return to.to_owned();
    }
    // It fails where there is no current folder any more; the host then says that there is no such file.
    path::absolute(to).map_or_else(|_| to.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn changed(outcome: &SwapOutcome) -> String {
    let from = outcome.from.as_ref().map(|from| format!(" after {}", told(from))).unwrap_or_default();
    let (name, to) = (&outcome.provider, told(&outcome.to));
    match &outcome.canary {
        Some(cluster) => format!("{name}: cluster {cluster} tries {to}{from}"),
        None => format!("{name}: {to} serves{from}"),
    }
}

fn told(version: &ProviderVersion) -> String {
    format!("{} ({})", clean(&version.version), short(&version.hash))
}

/// The generations of providers, and what the host gave up.
pub(super) fn generations(providers: &[ProviderStatus], width: Option<u16>) -> String {
    let rows = providers
        .iter()
        .flat_map(|provider| provider.generations.iter().map(|generation| row(&provider.name, generation)));
    let header =
        ["PROVIDER", "GENERATION", "STATE", "VERSION", "SHA256", "AGE", "UNDER WAY", "CALLS", "ERRORS"];
    let mut text = table(&header, rows, width);
    for provider in providers {
        if let Some(RolledBack { version, reason, .. }) = &provider.rolled_back {
            let (version, reason) = (clean(version), clean(reason));
            text.extend(["\n", &provider.name, ": ", &version, " was given up: ", &reason]);
        }
    }
    text
}

fn row(provider: &str, generation: &GenerationStatus) -> (Vec<String>, Style) {
    let watched =
        generation.watched_ms.map(|left| format!(", watched for {}", span(Duration::from_millis(left))));
    let (state, style) = match generation.state {
        GenerationState::Serving => ("serving", if watched.is_some() { PENDING } else { GOOD }),
        GenerationState::Canary => ("canary", PENDING),
        GenerationState::Kept => ("kept", Style::new()),
        GenerationState::Retiring => ("retiring", Style::new()),
    };
    let cells = vec![
        provider.to_owned(),
        generation.number.to_string(),
        format!("{state}{}", watched.unwrap_or_default()),
        clean(&generation.version),
        short(&generation.hash).to_owned(),
        span(Duration::from_millis(generation.age_ms)),
        generation.under_way.to_string(),
        generation.calls.to_string(),
        generation.errors.to_string(),
    ];
    (cells, style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_meant_from_where_the_command_is_given() {
        let here = std::env::current_dir().expect("there is one").join("x.so").display().to_string();
        assert_eq!(located("./x.so"), here);
        assert_eq!(located("1.2.3"), "1.2.3");
        assert_eq!(located("memory@1.2.3"), "memory@1.2.3");
        assert_eq!(located("/plugins/x.so"), "/plugins/x.so");
    }
}
