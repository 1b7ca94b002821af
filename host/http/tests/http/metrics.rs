//! The figures of a host, held line by line to what the text format says.

use std::collections::{BTreeMap, BTreeSet};

use longshore_http::ProblemKind;
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};

use crate::house::House;

/// A line: its name, its labels and its value.
type Line = (String, BTreeMap<String, String>, f64);

/// Reads the text format and nothing but it: each family is told once, with its help and its kind before its lines, which no
/// other family's are among; no two lines are of the same thing; histograms add up.
fn read(text: &str) -> Vec<Line> {
    let (mut family, mut kinds, mut lines, mut seen) =
        (String::new(), BTreeMap::new(), vec![], BTreeSet::new());
    assert!(text.ends_with('\n'), "the last line ends as well");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a name and words");
            assert!(!words.is_empty() && !kinds.contains_key(name), "{line}");
            name.clone_into(&mut family);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a kind");
            assert_eq!(name, family, "its help comes first");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (name, labels, value) = sample(line);
            let base = match kinds.get(&family).map(String::as_str) {
                Some("histogram") => {
                    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end))
                }
                Some(_) => Some(&*name),
                None => None,
            };
            assert_eq!(base, Some(&*family), "{line} is among the lines of {family}");
            assert!(seen.insert((name.clone(), labels.clone())), "told twice: {line}");
            lines.push((name, labels, value));
        }
    }
    for (name, _) in kinds.iter().filter(|(_, kind)| *kind == "histogram") {
        adds_up(name, &lines);
    }
    lines
}

fn sample(line: &str) -> Line {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let (what, value) = line.rsplit_once(' ').expect("a name and a value");
    let (name, mut rest) = what.split_once('{').map_or((what, None), |(name, rest)| (name, Some(rest)));
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    while let Some(more) = rest.filter(|more| *more != "}") {
        let (label, quoted) = more.split_once("=\"").expect("a label");
        // Nothing that is told here has to be escaped.
        let (value, after) = quoted.split_once('"').expect("an end");
        assert!(is_name(label) && !value.contains('\\'), "{line}");
        assert!(labels.insert(label.to_owned(), value.to_owned()).is_none(), "{line}");
        rest = Some(after.strip_prefix(',').unwrap_or(after));
    }
    (name.to_owned(), labels, value.parse().expect("a number"))
}

/// Each bucket holds what those before it do, and the last one all.
fn adds_up(family: &str, lines: &[Line]) {
    let of = |end: &str| {
        let name = format!("{family}{end}");
        lines.iter().filter(move |(line, _, _)| *line == name)
    };
    for (_, labels, count) in of("_count") {
        let buckets: Vec<_> = of("_bucket")
            .filter_map(|(_, with_bound, held)| {
                let mut without = with_bound.clone();
                let bound = without.remove("le").expect("a bound");
                (without == *labels).then(|| (bound.parse::<f64>().expect("a number"), *held as u64))
            })
            .collect();
        assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{family}: {buckets:?}");
        let last = buckets.last().expect("there are some");
        assert_eq!((last.0.is_infinite(), last.1), (true, *count as u64), "{family}");
        assert_eq!(of("_sum").filter(|(_, with, _)| with == labels).count(), 1, "{family}");
    }
}

#[track_caller]
fn value(lines: &[Line], name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |told: &BTreeMap<String, String>| {
        labels.iter().all(|(label, value)| told.get(*label).is_some_and(|told| told == value))
    };
    let found: Vec<_> = lines.iter().filter(|(told, with, _)| told == name && has(with)).collect();
    assert_eq!(found.len(), 1, "{name} with {labels:?}: {found:?}");
    found[0].2
}

/// The same, of what is counted.
#[track_caller]
fn count(lines: &[Line], name: &str, labels: &[(&str, &str)]) -> u64 {
    value(lines, name, labels) as u64
}

#[tokio::test]
async fn the_figures_tell_what_the_documents_do() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    let lines = read(&house.client.metrics().await.expect("the host"));
    let web = [("cluster", "web")];
    for (name, labels, wanted) in [
        ("longshore_cluster_workers", &[("cluster", "web"), ("state", "running")][..], 3),
        ("longshore_cluster_workers", &[("cluster", "web"), ("state", "stray")], 0),
        ("longshore_cluster_workers_expected", &web, 3),
        ("longshore_cluster_workers_desired", &web, 3),
        ("longshore_cluster_workers_missing", &web, 0),
        ("longshore_cluster_handles", &web, 3),
        ("longshore_cluster_converged", &web, 1),
        ("longshore_cluster_info", &[("cluster", "web"), ("provider", "memory")], 1),
        ("longshore_provider_up", &[("provider", "memory")], 1),
        ("longshore_plugin_calls_total", &[("function", "run"), ("outcome", "answered")], 1),
        ("longshore_plugin_call_duration_seconds_count", &[("function", "run")], 1),
        ("longshore_plugin_call_inside_seconds_count", &[("function", "run")], 1),
    ] {
        assert_eq!(count(&lines, name, labels), wanted, "{name} {labels:?}");
    }
    for name in ["longshore_plugin_call_duration_seconds_sum", "longshore_plugin_call_inside_seconds_sum"] {
        assert!(value(&lines, name, &[("function", "run")]) > 0.0, "{name}");
    }
    house.client.stop("web").await.expect("it can be stopped");
    house.until_converged("web").await;
    let lines = read(&house.client.metrics().await.expect("the host"));
    assert_eq!(count(&lines, "longshore_cluster_workers_desired", &web), 0);
    assert_eq!(count(&lines, "longshore_cluster_workers_expected", &web), 3);
    house.end().await;
}

#[tokio::test]
async fn a_host_without_anything_has_figures_of_its_own() {
    let house = House::empty().await;
    let lines = read(&house.client.metrics().await.expect("the host"));
    let names: Vec<_> = lines.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names, ["longshore_build_info", "longshore_uptime_seconds"]);
    house.end().await;
}

#[tokio::test]
async fn who_asks_for_open_metrics_gets_it() {
    let house = House::with_web().await;
    for (accept, kind, end) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", false),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            true,
        ),
    ] {
        let answer = house.get("/v1/metrics", accept).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_TYPE], kind);
        assert_eq!(answer.text().await.expect("text").ends_with("# EOF\n"), end, "{accept}");
    }
    let answer = house.send(Method::POST, "/v1/metrics", "").await;
    assert_eq!(answer.json["error"]["kind"], serde_json::json!(ProblemKind::WrongMethod));
    house.end().await;
}
