//! The server's own numbers, in the text format of Prometheus.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use keygate::sink::{ChannelSink, Lost};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tracing_appender::non_blocking::ErrorCounter;

use crate::{
    database::{LOOK_UPS, Lookup, STORE_LOOK_UPS},
    users::{STORE_USER_LOOK_UPS, USER_LOOK_UPS},
};

/// The counters of the server itself; other parts keep their own, which a scrape reads.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) touches: AtomicU64,
    pub(crate) failed_touches: AtomicU64,
    pub(crate) failed_ticks: AtomicU64,
}

/// Everything that the server counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
}

impl Metrics {
    pub(crate) fn new(counts: Arc<Counts>, sink: ChannelSink, lookup: Lookup, lost_lines: ErrorCounter) -> Self {
        let mut registry = Registry::with_prefix("keygate");
        registry.register_collector(Box::new(Numbers { counts, sink, lookup, lost_lines }));
        Self { registry }
    }

    /// Returns the text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a `String` does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[derive(Debug)]
struct Numbers {
    counts: Arc<Counts>,
    sink: ChannelSink,
    lookup: Lookup,
    lost_lines: ErrorCounter,
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), core::fmt::Error> {
        let counter = |encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, count: u64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(metric)
        };
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;

        let mut decisions =
            encoder.encode_descriptor("decisions", "Decisions by outcome and reason", None, MetricType::Counter)?;
        let outcome = |outcome, reason| [("outcome", outcome), ("reason", reason)];
        ConstCounter::new(self.sink.allowed()).encode(decisions.encode_family(&outcome("allowed", ""))?)?;
        // Every reason is there from the start, so that the first refusal is seen as a rise.
        for (reason, count) in self.sink.refused() {
            ConstCounter::new(count).encode(decisions.encode_family(&outcome("refused", reason.as_str()))?)?;
        }
        for (reason, count) in self.sink.strangers() {
            ConstCounter::new(count).encode(decisions.encode_family(&outcome("unauthenticated", reason.as_str()))?)?;
        }

        let Lost { events, failures, strangers, touches, .. } = self.sink.lost();
        let lines = u64::try_from(self.lost_lines.dropped_lines()).unwrap_or(u64::MAX);
        let mut lost = encoder.encode_descriptor(
            "lost",
            "Messages dropped because a queue was full",
            None,
            MetricType::Counter,
        )?;
        for (queue, count) in [
            ("events", events),
            ("failures", failures),
            ("strangers", strangers),
            ("touches", touches),
            ("lines", lines),
        ] {
            ConstCounter::new(count).encode(lost.encode_family(&[("queue", queue)])?)?;
        }

        counter(&mut encoder, "look_ups", "Keys that were looked up", read(&LOOK_UPS))?;
        counter(&mut encoder, "store_look_ups", "Keys that were looked up in the database", read(&STORE_LOOK_UPS))?;
        counter(&mut encoder, "user_look_ups", "Users that were looked up", read(&USER_LOOK_UPS))?;
        let help = "Users that were looked up in the database";
        counter(&mut encoder, "store_user_look_ups", help, read(&STORE_USER_LOOK_UPS))?;
        counter(&mut encoder, "requests", "Requests that were taken", read(&counts.requests))?;
        counter(&mut encoder, "overloaded", "Requests that found too many others in flight", read(&counts.overloaded))?;
        counter(&mut encoder, "touches", "Last uses of keys that were written", read(&counts.touches))?;
        counter(&mut encoder, "failed_touches", "Batches of last uses that failed", read(&counts.failed_touches))?;
        counter(&mut encoder, "failed_ticks", "Readings of the changes that failed", read(&counts.failed_ticks))?;

        let in_flight = encoder.encode_descriptor("in_flight", "Requests in flight", None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(read(&counts.in_flight)).unwrap_or(i64::MAX)).encode(in_flight)?;
        if let Lookup::Cached(cache) = &self.lookup {
            if let Some(revision) = cache.revision() {
                let metric = encoder.encode_descriptor(
                    "revision",
                    "Number of the newest change known here",
                    None,
                    MetricType::Gauge,
                )?;
                ConstGauge::new(i64::try_from(revision.number()).unwrap_or(i64::MAX)).encode(metric)?;
            }
            if let Some(age) = cache.age() {
                let help = "Seconds since the cache was confirmed as a whole";
                let metric = encoder.encode_descriptor("revision_age_seconds", help, None, MetricType::Gauge)?;
                ConstGauge::new(age.as_secs_f64()).encode(metric)?;
            }
        }
        Ok(())
    }
}
