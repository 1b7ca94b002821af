//! The command that shows one provider: how it runs, its generations, what its calls came to, and whether they are held back.

mod times;

use std::time::Duration;

use anstyle::Style;
use bytesize::ByteSize;
use longshore_http::{
    Client,
    wire::{
        BreakerPhase, BreakerStatus, FunctionFigures, Isolation, ProviderStatus, Resources, RunnerLoad,
        RunnerPhase, RunnerStatus,
    },
};

use self::times::{length, times as histograms};
use super::swap::generations;
use crate::{
    exit::{Exit, Failure},
    output::{Output, PENDING},
    render::clean,
    table::table,
};

pub(super) async fn show(client: &Client, name: &str, output: &Output) -> Result<(), Failure> {
    let providers = client.providers_with_runners().await?.providers;
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
    let mut text = format!(
        "{name}: plugin {} {}\n  file       {}\n  sha256     {hash}\n  clusters   {users}\n  runs       {}\n  calls now  {}",
        clean(plugin),
        clean(version),
        clean(path),
        isolation(provider.isolation, provider.runner.as_ref()),
        calls(provider),
    );
    if let Some(taken) = provider.runner.as_ref().and_then(|runner| runner.resources) {
        text.push_str("\n  it takes   ");
        text.push_str(&resources(&taken));
    }
    for what in provider.runner.iter().flat_map(|runner| &runner.lacking) {
        text.push_str("\n  lacking    ");
        text.push_str(&clean(what));
    }
    if let Some(status) = &provider.breaker {
        text.push_str("\n  breaker    ");
        text.push_str(&breaker(status));
    }
    // One that serves, and nothing beside it, is told of above.
    if provider.generations.len() > 1 || provider.rolled_back.is_some() {
        text.push_str("\n\n");
        text.push_str(&generations(std::slice::from_ref(provider), width));
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
    if let Some(histograms) = histograms(&provider.functions, width) {
        text.push_str("\n\n");
        text.push_str(&histograms);
    }
    text
}

/// Where the calls are: as the process says, where there is one and it has said so.
fn calls(provider: &ProviderStatus) -> String {
    let (busy, stuck, waiting) = (provider.busy, provider.stuck, provider.queued);
    let said = provider.runner.as_ref().and_then(|runner| runner.calls);
    let there = match said {
        Some(RunnerLoad { inside, on_the_way }) if on_the_way > 0 => {
            format!("{inside} in the plugin, {on_the_way} on the way there or back")
        }
        Some(RunnerLoad { inside, .. }) => format!("{inside} in the plugin"),
        None => format!("{busy} in the plugin"),
    };
    let silent =
        provider.runner.as_ref().is_some_and(|it| it.phase == RunnerPhase::Running && said.is_none());
    let silent = if silent { "; its process does not say where they are" } else { "" };
    format!("{there}, {stuck} of them stuck; {waiting} waiting{silent}")
}

fn resources(taken: &Resources) -> String {
    let size = |bytes| ByteSize(bytes).display().si();
    let Resources { resident_bytes, peak_resident_bytes, cpu_ms, threads, descriptors } = *taken;
    let peak = peak_resident_bytes.map(|bytes| format!(" ({} at most)", size(bytes))).unwrap_or_default();
    let cpu = length(u64::try_from(Duration::from_millis(cpu_ms).as_micros()).unwrap_or(u64::MAX));
    let descriptors = descriptors.map(|count| format!(", {count} descriptors")).unwrap_or_default();
    format!(
        "{} of memory{peak}, {cpu} of processor time, {threads} threads{descriptors}",
        size(resident_bytes)
    )
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
    let latency = figures.latency.as_ref();
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

    use longshore_http::wire::{GenerationState, GenerationStatus, Latency, LatencyBucket};

    use super::*;

    /// A runner that has died so often.
    fn running(deaths: u64) -> RunnerStatus {
        RunnerStatus {
            phase: RunnerPhase::Running,
            pid: Some(42),
            restarts: deaths,
            deaths,
            why: None,
            lacking: vec![],
            calls: Some(RunnerLoad { inside: 2, on_the_way: 1 }),
            resources: Some(Resources {
                resident_bytes: 8_700_000,
                peak_resident_bytes: Some(9_100_000),
                cpu_ms: 1_230,
                threads: 5,
                descriptors: Some(14),
            }),
        }
    }

    #[test]
    fn a_provider_is_shown_with_its_troubles() {
        let count = |name: &str, count| BTreeMap::from([(name.to_owned(), count)]);
        let bucket = |above_ns, upto_ns, count| LatencyBucket { above_ns, upto_ns: Some(upto_ns), count };
        let latency = Latency {
            count: 3,
            total_us: 9_000,
            p50_us: 900,
            p90_us: 1_200,
            p99_us: 30_000,
            max_us: 30_000,
            buckets: vec![bucket(786_432, 917_504, 2), bucket(29_360_128, 33_554_432, 1)],
        };
        let inside = Latency { p50_us: 800, p99_us: 29_000, ..latency.clone() };
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
                inside: Some(inside),
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
        let runner = running(2);
        let generation = |number, state| GenerationStatus {
            number,
            state,
            version: format!("{number}.0.0"),
            hash: "ab".into(),
            path: "/plugins/libdocker.so".into(),
            age_ms: 60_000,
            watched_ms: None,
            under_way: 0,
            calls: 9,
            errors: 1,
            violations: 0,
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
            generations: vec![generation(2, GenerationState::Serving), generation(1, GenerationState::Kept)],
            breaker: Some(breaker),
            functions,
            ..ProviderStatus::default()
        };
        let text = anstream::adapter::strip_str(&describe(&provider, None)).to_string();
        for line in [
            "box: plugin docker 1.0.0",
            "  clusters   web, db",
            "  runs       as a subprocess: process 42; died 2 times, restarted 2 times",
            "  calls now  2 in the plugin, 1 on the way there or back, 1 of them stuck; 0 waiting",
            "  it takes   8.7 MB of memory (9.1 MB at most), 1.2 s of processor time, 5 threads, 14 descriptors",
            "PROVIDER   GENERATION   STATE     VERSION   SHA256   AGE   UNDER WAY   CALLS   ERRORS",
            "box        1            kept      1.0.0     ab       1m    0           9       1",
            "  breaker    the provider's circuit breaker is open since yesterday; it has opened once",
            "FUNCTION   CALLS   NOW   P50      P90      P99     MAX     ERRORS",
            "run        2       0     -        -        -       -       -",
            "status     9       1     900 µs   1.2 ms   30 ms   30 ms   2 unreachable, 1 broke STATUS-1, 1 late, 1 died, \
             3 not sent (breaker open)",
            "FUNCTION   TIME            P50      P99     CALLS THAT TOOK NO LONGER",
            "status     whole           900 µs   30 ms   1.0 ms: 2, 33 ms: 1",
            "status     in the plugin   800 µs   29 ms   1.0 ms: 2, 33 ms: 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_process_that_says_nothing_is_told_as_that() {
        let runner = RunnerStatus { calls: None, ..running(0) };
        let provider = ProviderStatus { busy: 3, runner: Some(runner), ..ProviderStatus::default() };
        let told = calls(&provider);
        assert_eq!(
            told,
            "3 in the plugin, 0 of them stuck; 0 waiting; its process does not say where they are"
        );
        let here = ProviderStatus { busy: 3, runner: None, ..provider };
        assert_eq!(calls(&here), "3 in the plugin, 0 of them stuck; 0 waiting");
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
