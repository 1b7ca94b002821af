//! The way from a provider's `tracing` events to the host's log.
//!
//! A plugin carries its own copy of `tracing`, which the host's subscriber never hears of. So each call runs inside a
//! subscriber of ours that hands every event over the boundary as one line; nothing global is set. There is one
//! subscriber an instance and not one a call, since `tracing` keeps a list of them all behind a lock.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    sync::{Arc, OnceLock},
};

use longshore_plugin_abi::{Logger, level};
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};

/// The longest line that is handed to the host, in bytes; the rest is cut.
const MAX_LINE: usize = 16 * 1024;

/// The host's log, as one provider sees it. It may be kept, cloned and used from any thread.
#[derive(Clone)]
pub struct Log {
    dispatch: Dispatch,
    call: Option<Call>,
}

/// Where the lines of one call go.
#[derive(Clone)]
struct Call {
    logger: Logger,
    cluster: Arc<str>,
}

thread_local! {
    /// The call whose log this thread is in the scope of.
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

impl Log {
    pub(crate) fn new(logger: Logger) -> Self {
        // `tracing` asks a lone subscriber about an event only on a thread that is in its scope, and remembers a "no" of
        // any other thread for ever. It asks them all where there are two, so there always are.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(Forward { logger: None }));
        Self { dispatch: Dispatch::new(Forward { logger: Some(logger) }), call: None }
    }

    /// The log of one call for `cluster`.
    pub(crate) fn for_call(&self, logger: Logger, cluster: &str) -> Self {
        Self { dispatch: self.dispatch.clone(), call: Some(Call { logger, cluster: cluster.into() }) }
    }

    /// A log that nobody hears, for a provider's own unit tests.
    pub fn silent() -> Self {
        Self { dispatch: Dispatch::none(), call: None }
    }

    /// Runs `work` with the `tracing` events of this thread going to the host's log. Calls of the host are inside such a
    /// scope already; a thread of the provider's own enters one itself.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Call>);
        impl Drop for Restore {
            fn drop(&mut self) {
                set_call(self.0.take());
            }
        }
        let _restore = Restore(set_call(self.call.clone()));
        tracing::dispatcher::with_default(&self.dispatch, work)
    }
}

/// Sets the call of this thread and returns the one before. A thread that is ending has none.
fn set_call(call: Option<Call>) -> Option<Call> {
    CALL.try_with(|cell| cell.replace(call)).ok().flatten()
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// The subscriber of one instance. A line goes to the logger of the call that its thread is in; where there is none (a
/// thread of the provider's own, a task on its runtime) it goes to the logger that the instance was created with.
struct Forward {
    logger: Option<Logger>,
}

impl Forward {
    fn logger(&self) -> Option<Logger> {
        let of_call = CALL.try_with(|cell| cell.borrow().as_ref().map(|call| call.logger));
        of_call.ok().flatten().or(self.logger)
    }
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
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // "Sometimes", since the calls of one instance may want different levels.
        if metadata.is_event() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && self.logger().is_some_and(|logger| number(*metadata.level()) <= logger.max_level())
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let cluster = CALL.try_with(|cell| cell.borrow().as_ref().map(|call| Arc::clone(&call.cluster)));
        if let Some(cluster) = cluster.ok().flatten() {
            line.pair("cluster", format_args!("{cluster}"));
        }
        if let Some(logger) = self.logger() {
            let metadata = event.metadata();
            logger.log(number(*metadata.level()), metadata.target(), &line.finish());
        }
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
        let mut line = self.message + &self.fields;
        if line.len() > MAX_LINE {
            let end = line.floor_char_boundary(MAX_LINE);
            let cut = line.len() - end;
            line.truncate(end);
            let _ = write!(line, " (and {cut} more bytes)");
        }
        line
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
