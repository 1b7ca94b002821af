//! How long calls took, as a histogram in a few words: the buckets that hold any, a doubling each.

use anstyle::Style;
use longshore_http::wire::{FunctionFigures, Latency};
use longshore_providers::LATENCY_BOUNDS;

use crate::{render::clean, table::table};

/// A table with two rows for each function whose calls came back: the whole time, and the time inside the plugin.
pub(super) fn times(functions: &[FunctionFigures], width: Option<u16>) -> Option<String> {
    let rows: Vec<_> = functions.iter().flat_map(rows).map(|row| (row, Style::new())).collect();
    let header = ["FUNCTION", "TIME", "P50", "P99", "CALLS THAT TOOK NO LONGER"];
    (!rows.is_empty()).then(|| table(&header, rows, width))
}

fn rows(figures: &FunctionFigures) -> impl Iterator<Item = Vec<String>> {
    let of = [("whole", &figures.latency), ("in the plugin", &figures.inside)].into_iter();
    of.filter_map(|(what, latency)| {
        let latency = latency.as_ref()?;
        let (p50, p99) = (length(latency.p50_us), length(latency.p99_us));
        Some(vec![clean(&figures.function), what.to_owned(), p50, p99, buckets(latency)])
    })
}

/// Up to which time how many calls took, of those that took longer than the time before: `16 µs: 3, 33 µs: 14`.
fn buckets(latency: &Latency) -> String {
    let (counts, longer) = latency.by_bounds();
    let filled = LATENCY_BOUNDS.iter().zip(counts).filter(|(_, count)| *count > 0);
    let mut told: Vec<_> =
        filled.map(|(bound, count)| format!("{}: {count}", length(bound / 1_000))).collect();
    if longer > 0 {
        told.push(format!("longer: {longer}"));
    }
    told.join(", ")
}

/// A length of time with two or three digits: `850 µs`, `1.2 ms`, `30 s`.
pub(super) fn length(micros: u64) -> String {
    let (unit, name) = match micros {
        0..1_000 => (1, "µs"),
        1_000..1_000_000 => (1_000, "ms"),
        _ => (1_000_000, "s"),
    };
    let (whole, tenths) = (micros / unit, micros % unit * 10 / unit);
    if unit == 1 || whole >= 10 { format!("{whole} {name}") } else { format!("{whole}.{tenths} {name}") }
}

#[cfg(test)]
mod tests {
    use longshore_http::wire::LatencyBucket;

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
    fn only_the_buckets_that_hold_any_are_told_and_each_call_once() {
        let bucket = |above_ns, upto_ns, count| LatencyBucket { above_ns, upto_ns, count };
        let latency = Latency {
            count: 10,
            buckets: vec![
                bucket(0, Some(1_280), 1),
                bucket(5_120, Some(6_144), 1),
                bucket(12_288, Some(14_336), 2),
                bucket(14_336, Some(16_384), 3),
                bucket(1_610_612_736, Some(1_879_048_192), 1),
                bucket(3_848_290_697_216, None, 2),
            ],
            ..Latency::default()
        };
        assert_eq!(buckets(&latency), "8 µs: 2, 16 µs: 5, 2.1 s: 1, longer: 2");
    }

    #[test]
    fn of_calls_that_never_came_back_there_is_no_table() {
        assert_eq!(times(&[FunctionFigures::default()], None), None);
    }
}
