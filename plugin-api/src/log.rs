//! The way from a provider's `tracing` events to the host's log.
//!
//! A plugin carries its own copy of `tracing`, which the host's subscriber never hears of. So each call runs inside a
//! subscriber of ours that hands every event over the boundary as one line; nothing global is set.

use std::fmt::{self, Write as _};

use longshore_plugin_abi::{Logger, level};
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// The host's log, as one provider sees it. It may be kept, cloned and used from any thread.
#[derive(Clone)]
pub struct Log {
    dispatch: Dispatch,
}

impl Log {
    pub(crate) fn new(logger: Logger, cluster: Option<&str>) -> Self {
        Self { dispatch: Dispatch::new(Forward { logger, cluster: cluster.map(str::to_owned) }) }
    }

    /// A log that nobody hears, for a provider's own unit tests.
    pub fn silent() -> Self {
        Self { dispatch: Dispatch::none() }
    }

    /// Runs `work` with the `tracing` events of this thread going to the host's log. Calls of the host are inside such a
    /// scope already; a thread of the provider's own enters one itself.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.dispatch, work)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

struct Forward {
    logger: Logger,
    cluster: Option<String>,
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => level::ERROR,
        Level::WARN => level::WARN,
        Level::INFO => level::INFO,
        Level::DEBUG => level::DEBUG,
        Level::TRACE => level::TRACE,
    }
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && number(*metadata.level()) <= self.logger.max_level()
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        if let Some(cluster) = &self.cluster {
            line.pair("cluster", format_args!("{cluster}"));
        }
        let metadata = event.metadata();
        self.logger.log(number(*metadata.level()), metadata.target(), &line.finish());
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// One event as text: the message, then `name=value` for each field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn pair(&mut self, name: &str, value: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = write!(self.fields, " {name}={value}");
    }

    fn finish(self) -> String {
        self.message + &self.fields
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.pair(field.name(), format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.pair(field.name(), format_args!("{value:?}"));
        }
    }
}
