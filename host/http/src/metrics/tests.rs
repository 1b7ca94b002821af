//! What is written of made-up providers and clusters, line by line, in both forms.

use std::collections::BTreeMap;

use longshore_config::Isolation;
use longshore_providers::{FunctionFigures, LATENCY_BOUNDS, Latency, LatencyBucket, Resources, RunnerLoad};
use longshore_runtime::{
    BreakerPhase, BreakerStatus, GenerationState, GenerationStatus, RunnerPhase, RunnerStatus,
};

use super::*;

/// A generation, with calls as many as its number.
fn generation(number: u64, state: GenerationState) -> GenerationStatus {
    GenerationStatus {
        number,
        state,
        version: "1.0.0".into(),
        hash: "ab".into(),
        path: "/x.so".into(),
        age_ms: 1,
        watched_ms: None,
        under_way: 0,
        calls: number,
        errors: number - 1,
        violations: number - 2,
    }
}

/// A provider with one call of each kind.
fn provider() -> ProviderStatus {
    let bucket = |above_ns, upto_ns, count| LatencyBucket { above_ns, upto_ns, count };
    let latency = Latency {
        count: 4,
        total_us: 2_500_000,
        buckets: vec![
            bucket(0, Some(1_280), 1),
            // The end of a doubling, and the next piece of time.
            bucket(14_336, Some(16_384), 1),
            bucket(16_384, Some(20_480), 1),
            bucket(3_848_290_697_216, None, 1),
        ],
        ..Latency::default()
    };
    let count = |name: &str, count| BTreeMap::from([(name.to_owned(), count)]);
    let figures = FunctionFigures {
        function: "status".into(),
        calls: 9,
        under_way: 2,
        answered: 3,
        failed: count("unreachable", 1),
        violations: count("STATUS-1", 1),
        late: 1,
        died: 1,
        lost: 0,
        not_sent: count("queue_full", 2),
        latency: Some(latency),
        inside: None,
    };
    let resources = Resources {
        resident_bytes: 9_000_000,
        peak_resident_bytes: Some(10_000_000),
        cpu_ms: 1_230,
        threads: 5,
        descriptors: None,
    };
    ProviderStatus {
        name: "box".into(),
        plugin: "docker".into(),
        version: "1.0.0".into(),
        stuck: 1,
        isolation: Some(Isolation::Subprocess),
        runner: Some(RunnerStatus {
            phase: RunnerPhase::Running,
            pid: Some(42),
            restarts: 3,
            deaths: 2,
            why: None,
            lacking: vec![],
            calls: Some(RunnerLoad { inside: 2, on_the_way: 1 }),
            resources: Some(resources),
        }),
        generations: vec![
            generation(8, GenerationState::Canary),
            generation(7, GenerationState::Serving),
            generation(6, GenerationState::Kept),
        ],
        breaker: Some(BreakerStatus {
            phase: BreakerPhase::Open,
            failures: 5,
            openings: 4,
            since: None,
            until: None,
            why: None,
        }),
        functions: vec![figures],
        ..ProviderStatus::default()
    }
}

fn written(provider: ProviderStatus, format: Format) -> String {
    let told = Told { uptime: Duration::from_millis(1_500), providers: vec![provider], clusters: vec![] };
    told.written(format).expect("it can be written")
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|told| told == *line), "{line:?} is not in\n{text}");
    }
}

const STATUS: &str = r#"provider="box",generation="7",function="status""#;

#[test]
fn everybody_reads_the_text_format() {
    let text = written(provider(), Format::Prometheus);
    let of_status = |line: &str| line.replace('…', STATUS);
    has(
        &text,
        &[
            concat!("longshore_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "longshore_uptime_seconds 1.5",
            r#"longshore_provider_info{provider="box",plugin="docker",version="1.0.0",isolation="subprocess"} 1"#,
            r#"longshore_provider_up{provider="box"} 1"#,
            r#"longshore_provider_quarantined{provider="box"} 0"#,
            r#"longshore_provider_generations{provider="box",state="serving"} 1"#,
            r#"longshore_provider_generations{provider="box",state="kept"} 1"#,
            r#"longshore_provider_generations{provider="box",state="retiring"} 0"#,
            r#"longshore_provider_generation_info{provider="box",generation="8",state="canary",version="1.0.0"} 1"#,
            r#"longshore_provider_generation_calls_total{provider="box",generation="8"} 8"#,
            r#"longshore_provider_generation_errors_total{provider="box",generation="8"} 7"#,
            r#"longshore_provider_generation_violations_total{provider="box",generation="8"} 6"#,
            r#"longshore_provider_generation_calls_total{provider="box",generation="6"} 6"#,
            r#"longshore_provider_breaker_state{provider="box",state="open"} 1"#,
            r#"longshore_provider_breaker_state{provider="box",state="closed"} 0"#,
            "# TYPE longshore_provider_breaker_openings_total counter",
            r#"longshore_provider_breaker_openings_total{provider="box"} 4"#,
            r#"longshore_plugin_calls_inside{provider="box"} 2"#,
            r#"longshore_plugin_calls_on_the_way{provider="box"} 1"#,
            r#"longshore_plugin_calls_stuck{provider="box"} 1"#,
            "# TYPE longshore_plugin_calls_total counter",
            &of_status(r#"longshore_plugin_calls_total{…,outcome="answered"} 3"#),
            &of_status(r#"longshore_plugin_calls_total{…,outcome="lost"} 0"#),
            &of_status(r#"longshore_plugin_calls_total{…,outcome="failed",reason="unreachable"} 1"#),
            &of_status(r#"longshore_plugin_calls_total{…,outcome="violation",reason="STATUS-1"} 1"#),
            &of_status(r#"longshore_plugin_calls_total{…,outcome="not_sent",reason="queue_full"} 2"#),
            &of_status("longshore_plugin_calls_under_way{…} 2"),
            "# TYPE longshore_plugin_call_duration_seconds histogram",
            &of_status("longshore_plugin_call_duration_seconds_sum{…} 2.5"),
            &of_status("longshore_plugin_call_duration_seconds_count{…} 4"),
            r#"longshore_runner_state{provider="box",state="running"} 1"#,
            r#"longshore_runner_restarts_total{provider="box"} 3"#,
            r#"longshore_runner_deaths_total{provider="box"} 2"#,
            r#"longshore_runner_responding{provider="box"} 1"#,
            r#"longshore_runner_resident_memory_bytes{provider="box"} 9000000"#,
            r#"longshore_runner_resident_memory_max_bytes{provider="box"} 10000000"#,
            r#"longshore_runner_cpu_seconds_total{provider="box"} 1.23"#,
            r#"longshore_runner_threads{provider="box"} 5"#,
        ],
    );
    for absent in ["longshore_plugin_call_inside", "longshore_runner_open_fds", "longshore_cluster", "# EOF"]
    {
        assert!(!text.contains(absent), "of {absent} there is nothing to tell\n{text}");
    }
}

#[test]
fn a_bucket_holds_what_took_no_longer() {
    let text = written(provider(), Format::Prometheus);
    let buckets: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let (labels, count) =
                line.strip_prefix("longshore_plugin_call_duration_seconds_bucket{")?.split_once("} ")?;
            let (_, bound) = labels.split_once("le=\"")?;
            Some((bound.split_once('"')?.0.to_owned(), count.to_owned()))
        })
        .collect();
    let told: Vec<_> = buckets.iter().map(|(bound, count)| (bound.as_str(), count.as_str())).collect();
    assert_eq!(told.len(), LATENCY_BOUNDS.len() + 1);
    assert_eq!(told[..3], [("8.192e-06", "1"), ("1.6384e-05", "2"), ("3.2768e-05", "3")]);
    assert_eq!(told[told.len() - 2..], [("549.755813888", "3"), ("+Inf", "4")]);
}

#[test]
fn whoever_asks_for_open_metrics_gets_units_and_an_end() {
    let text = written(provider(), Format::OpenMetrics);
    has(
        &text,
        &[
            "# TYPE longshore_runner_cpu_seconds counter",
            "# UNIT longshore_runner_cpu_seconds seconds",
            r#"longshore_runner_cpu_seconds_total{provider="box"} 1.23"#,
            "# TYPE longshore_build info",
        ],
    );
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn what_a_plugin_calls_itself_breaks_no_line() {
    let plugin = "a\"b\\c\nd";
    let text = written(ProviderStatus { plugin: plugin.into(), ..provider() }, Format::Prometheus);
    assert!(text.contains(r#"plugin="a\"b\\c\nd""#), "{text}");
}

#[test]
fn of_a_provider_that_is_not_there_only_that_is_told() {
    let trouble = Some(longshore_scaling::Trouble::new("there is no plugin `docker`"));
    let gone = ProviderStatus { name: "box".into(), trouble, ..ProviderStatus::default() };
    let text = written(gone, Format::Prometheus);
    has(
        &text,
        &[
            r#"longshore_provider_up{provider="box"} 0"#,
            r#"longshore_provider_quarantined{provider="box"} 0"#,
        ],
    );
    for absent in ["longshore_provider_info", "longshore_plugin_", "longshore_runner_", "breaker"] {
        assert!(!text.contains(absent), "{absent}\n{text}");
    }
}

#[test]
fn a_runner_that_says_nothing_is_told_as_that() {
    let mut silent = provider();
    let runner = silent.runner.as_mut().expect("it has one");
    (runner.calls, runner.resources) = (None, None);
    let text = written(silent, Format::Prometheus);
    has(&text, &[r#"longshore_runner_responding{provider="box"} 0"#]);
    for absent in
        ["longshore_plugin_calls_inside", "longshore_plugin_calls_on_the_way", "longshore_runner_threads"]
    {
        assert!(!text.contains(absent), "{absent}\n{text}");
    }
}
