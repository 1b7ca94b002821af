//! Families of figures as the library writes them: each with its name, its help and its lines, and none at all without a line.

use std::{borrow::Cow, fmt};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

/// The names and values that tell a family's lines apart.
pub(super) type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// How long calls took, as a histogram tells it.
#[derive(Clone, Debug)]
pub(super) struct Times {
    pub(super) seconds: f64,
    pub(super) count: u64,
    /// Up to where a bucket goes, in seconds, and how many it holds that no bucket before it does. The last one has no end.
    pub(super) buckets: Vec<(f64, u64)>,
}

/// Where families are written to.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// What is as it is: each line says `1`, and its labels are what it tells.
    pub(super) fn info<'l>(
        &mut self,
        name: &str,
        help: &str,
        lines: impl IntoIterator<Item = Labels<'l>>,
    ) -> fmt::Result {
        let lines = lines.into_iter().map(|labels| (labels, ()));
        self.family(name, help, None, MetricType::Info, lines, |metric, labels, ()| {
            metric.encode_info(labels)
        })
    }

    /// What goes up and down.
    pub(super) fn gauge<'l, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        lines: impl IntoIterator<Item = (Labels<'l>, V)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Gauge, lines, |metric, labels, value| {
            metric.encode_family(labels)?.encode_gauge(&value)
        })
    }

    /// What only ever grows, but for beginning anew. The library puts `_total` behind its name.
    pub(super) fn counter<'l, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        lines: impl IntoIterator<Item = (Labels<'l>, V)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Counter, lines, |metric, labels, value| {
            metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    /// How long something took.
    pub(super) fn histogram<'l>(
        &mut self,
        name: &str,
        help: &str,
        lines: impl IntoIterator<Item = (Labels<'l>, Times)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        self.family(name, help, unit, MetricType::Histogram, lines, |metric, labels, times| {
            let Times { seconds, count, buckets } = times;
            metric.encode_family(labels)?.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
        })
    }

    fn family<'l, V>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        lines: impl IntoIterator<Item = (Labels<'l>, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, &Labels<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_none() {
            return Ok(());
        }
        let mut metric = self.0.encode_descriptor(name, help, unit, kind)?;
        lines.try_for_each(|(labels, value)| write(&mut metric, &labels, value))
    }
}
