//! The command that shows one provider: how it runs, what its calls came to, and whether they are held back.

use anstyle::Style;
use longshore_http::{
    Client,
    wire::{
        BreakerPhase, BreakerStatus, FunctionFigures, Isolation, ProviderStatus, RunnerPhase, RunnerStatus,
    },
};

use crate::{
    exit::{Exit, Failure},
    output::{Output, PENDING},
    render::clean,
    table::table,
};

pub(super) async fn show(client: &Client, name: &str, output: &Output) -> Result<(), Failure> {
    let providers = client.providers().await?.providers;
    let Some(provider) = providers.iter().find(|provider| provider.name == name) else {
        let names: Vec<_> = providers.iter().map(|provider| provider.name.as_str()).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let message = format_args!("there is no provider `{}`; the host has: {there}", clean(name));
        return Err(Failure::new(Exit::NoCluster, "no_such_provider", message));
    };
    output.either(provider, || describe(provider, output.width()))
}

fn describe(provider: &ProviderStatus, width: Option<u16>) -> String {
    let ProviderStatus { name, plugin, version, path, hash, clusters, .. } = provider;
    let users = if clusters.is_empty() { "-".to_owned() } else { clusters.join(", ") };
    if let Some(trouble) = &provider.trouble {
        let (plugin, trouble) = (clean(plugin), clean(&trouble.to_string()));
        return format!("{name}: plugin {plugin}\n  clusters   {users}\n  it is not there: {trouble}");
    }
    let (busy, stuck, waiting) = (provider.busy, provider.stuck, provider.queued);
    let mut text = format!(
        "{name}: plugin {} {}\n  file       {}\n  sha256     {hash}\n  clusters   {users}\n  runs       {}\n  calls now  {busy} \
         in the plugin, {stuck} of them stuck; {waiting} waiting",
        clean(plugin),
        clean(version),
        clean(path),
        isolation(provider.isolation, provider.runner.as_ref()),
    );
    for what in provider.runner.iter().flat_map(|runner| &runner.lacking) {
        text.push_str("\n  lacking    ");
        text.push_str(&clean(what));
    }
    if let Some(status) = &provider.breaker {
        text.push_str("\n  breaker    ");
        text.push_str(&breaker(status));
    }
    if provider.functions.is_empty() {
        text.push_str("\n\nit was not called yet");
        return text;
    }
    let rows = provider.functions.iter().map(|figures| {
        let style = if figures.calls == figures.answered { Style::new() } else { PENDING };
        (row(figures), style)
    });
    text.push_str("\n\n");
    text.push_str(&table(&["FUNCTION", "CALLS", "NOW", "P50", "P90", "P99", "MAX", "ERRORS"], rows, width));
    text
}

fn isolation(isolation: Option<Isolation>, runner: Option<&RunnerStatus>) -> String {
    let Some(runner) = runner else {
        return match isolation {
            Some(Isolation::InProcess) => "in the host's own process",
            Some(Isolation::Subprocess) => "as a subprocess",
            None => "-",
        }
        .to_owned();
    };
    let what = match (runner.phase, runner.pid) {
        (RunnerPhase::Running, Some(pid)) => format!("process {pid}"),
        (RunnerPhase::Running, None) => "its process".to_owned(),
        (RunnerPhase::Starting, _) => "its process is being started".to_owned(),
        (RunnerPhase::Waiting, _) => "its process is gone, and is started again".to_owned(),
        (RunnerPhase::Quarantined, _) => "quarantined".to_owned(),
        (RunnerPhase::ShutDown, _) => "shut down".to_owned(),
    };
    let RunnerStatus { restarts, deaths, why, .. } = runner;
    let why = why.as_ref().map(|why| format!(" ({})", clean(why))).unwrap_or_default();
    format!("as a subprocess: {what}; died {}, restarted {}{why}", times(*deaths), times(*restarts))
}

fn breaker(status: &BreakerStatus) -> String {
    let mut parts = vec![match (status.phase, &status.why) {
        (BreakerPhase::Closed, _) => "closed".to_owned(),
        (_, Some(why)) => clean(why),
        (BreakerPhase::Open | BreakerPhase::Trying, None) => "open".to_owned(),
    }];
    if status.phase == BreakerPhase::Closed && status.failures > 0 {
        parts.push(format!("failures in a row so far: {}", status.failures));
    }
    if status.openings > 0 {
        parts.push(format!("it has opened {}", times(status.openings)));
    }
    parts.join("; ")
}

fn row(figures: &FunctionFigures) -> Vec<String> {
    let time = |micros: Option<u64>| micros.map_or_else(|| "-".to_owned(), length);
    let latency = figures.latency;
    vec![
        clean(&figures.function),
        figures.calls.to_string(),
        figures.under_way.to_string(),
        time(latency.map(|it| it.p50_us)),
        time(latency.map(|it| it.p90_us)),
        time(latency.map(|it| it.p99_us)),
        time(latency.map(|it| it.max_us)),
        errors(figures),
    ]
}

/// What went wrong, by kind: `2 unreachable, 1 late`.
fn errors(figures: &FunctionFigures) -> String {
    let whole = [(figures.late, "late"), (figures.died, "died"), (figures.lost, "lost")];
    let whole = whole.into_iter().filter(|(count, _)| *count > 0);
    let kinds = figures.failed.iter().map(|(kind, count)| format!("{count} {}", clean(kind)));
    let clauses = figures.violations.iter().map(|(clause, count)| format!("{count} broke {}", clean(clause)));
    let unsent = figures.not_sent.iter();
    let unsent = unsent.map(|(why, count)| format!("{count} not sent ({})", clean(why).replace('_', " ")));
    let whole = whole.map(|(count, what)| format!("{count} {what}"));
    let all: Vec<_> = kinds.chain(clauses).chain(whole).chain(unsent).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// A length of time with two or three digits: `850 µs`, `1.2 ms`, `30 s`.
fn length(micros: u64) -> String {
    let (unit, name) = match micros {
        0..1_000 => (1, "µs"),
        1_000..1_000_000 => (1_000, "ms"),
        _ => (1_000_000, "s"),
    };
    let (whole, tenths) = (micros / unit, micros % unit * 10 / unit);
    if unit == 1 || whole >= 10 { format!("{whole} {name}") } else { format!("{whole}.{tenths} {name}") }
}

fn times(count: u64) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use longshore_http::wire::Latency;

    use super::*;

    #[test]
    fn lengths_are_short_whatever_their_size() {
        for (micros, told) in [
            (1, "1 µs"),
            (850, "850 µs"),
            (1_234, "1.2 ms"),
            (123_456, "123 ms"),
            (1_500_000, "1.5 s"),
            (3_600_000_000, "3600 s"),
        ] {
            assert_eq!(length(micros), told);
        }
    }

    #[test]
    fn a_provider_is_shown_with_its_troubles() {
        let count = |name: &str, count| BTreeMap::from([(name.to_owned(), count)]);
        let latency =
            Latency { count: 3, total_us: 9_000, p50_us: 900, p90_us: 1_200, p99_us: 30_000, max_us: 30_000 };
        let functions = vec![
            FunctionFigures { function: "run".into(), calls: 2, answered: 2, ..FunctionFigures::default() },
            FunctionFigures {
                function: "status".into(),
                calls: 9,
                under_way: 1,
                answered: 1,
                failed: count("unreachable", 2),
                violations: count("STATUS-1", 1),
                late: 1,
                died: 1,
                not_sent: count("breaker_open", 3),
                latency: Some(latency),
                ..FunctionFigures::default()
            },
        ];
        let why = "the provider's circuit breaker is open since yesterday".to_owned();
        let breaker = BreakerStatus {
            phase: BreakerPhase::Open,
            failures: 5,
            openings: 1,
            since: None,
            until: None,
            why: Some(why),
        };
        let runner = RunnerStatus {
            phase: RunnerPhase::Running,
            pid: Some(42),
            restarts: 2,
            deaths: 2,
            why: None,
            lacking: vec![],
        };
        let provider = ProviderStatus {
            name: "box".into(),
            plugin: "docker".into(),
            version: "1.0.0".into(),
            path: "/plugins/libdocker.so".into(),
            clusters: vec!["web".into(), "db".into()],
            busy: 2,
            stuck: 1,
            runner: Some(runner),
            breaker: Some(breaker),
            functions,
            ..ProviderStatus::default()
        };
        let text = anstream::adapter::strip_str(&describe(&provider, None)).to_string();
        for line in [
            "box: plugin docker 1.0.0",
            "  clusters   web, db",
            "  runs       as a subprocess: process 42; died 2 times, restarted 2 times",
            "  calls now  2 in the plugin, 1 of them stuck; 0 waiting",
            "  breaker    the provider's circuit breaker is open since yesterday; it has opened once",
            "FUNCTION   CALLS   NOW   P50      P90      P99     MAX     ERRORS",
            "run        2       0     -        -        -       -       -",
            "status     9       1     900 µs   1.2 ms   30 ms   30 ms   2 unreachable, 1 broke STATUS-1, 1 late, 1 died, \
             3 not sent (breaker open)",
        ] {
            assert!(text.lines().any(|told| told == line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_provider_that_is_not_there_says_why() {
        let trouble = Some(longshore_scaling::Trouble::new("there is no plugin `docker`"));
        let provider =
            ProviderStatus { name: "box".into(), plugin: "docker".into(), trouble, ..Default::default() };
        let text = describe(&provider, None);
        assert_eq!(
            text,
            "box: plugin docker\n  clusters   -\n  it is not there: there is no plugin `docker`"
        );
    }
}
