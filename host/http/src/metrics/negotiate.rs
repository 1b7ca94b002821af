//! In which of its two forms whoever asks wants the figures.

use axum::http::{HeaderMap, header::ACCEPT};
use prometheus_client::encoding::prometheus_text;

/// A form of the same figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format of Prometheus, which everybody reads.
    Prometheus,
    /// `OpenMetrics`, which followed it, with units: for whoever asks for it.
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Format {
    /// What is preferred; the text format where that is not said.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = || {
            let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
            lines.flat_map(|line| line.split(','))
        };
        let most = |kind| accepted().map(|range| weight(range, kind)).fold(0.0, f32::max);
        let wanted = most(OPEN_METRICS);
        if wanted > 0.0 && wanted >= most("text/plain") { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// How much a range of media types wants one, by its name: nothing where it does not name it.
fn weight(range: &str, kind: &str) -> f32 {
    let mut parts = range.split(';').map(str::trim);
    if parts.next().is_none_or(|named| !named.eq_ignore_ascii_case(kind)) {
        return 0.0;
    }
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(accept: &[&'static str]) -> Format {
        let lines = accept.iter().map(|line| (ACCEPT, HeaderValue::from_static(line)));
        Format::of(&lines.collect())
    }

    #[test]
    fn whoever_prefers_open_metrics_gets_it_and_nobody_else() {
        // As Prometheus 2 and 3 ask.
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,*/*;q=0.1";
        for accept in [
            &[two][..],
            &[three],
            &["Application/OpenMetrics-Text"],
            &["text/plain", "application/openmetrics-text"],
            &["text/plain; q=0.2, application/openmetrics-text; q=0.3"],
        ] {
            assert_eq!(of(accept), Format::OpenMetrics, "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["text/html, text/plain;version=0.0.4"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=0.2, text/plain;q=0.3"],
            &["application/openmetrics-text;q=much"],
            &["application/openmetrics-textual"],
        ] {
            assert_eq!(of(accept), Format::Prometheus, "{accept:?}");
        }
    }
}
