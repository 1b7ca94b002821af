//! Takes the plugins' log lines into the host's `tracing`, under the target [`TARGET`], with the provider's name, the
//! plugin's own target and the text.
#![expect(unsafe_code, reason = "a plugin holds a pointer to its log for as long as the process lives")]

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use longshore_plugin_abi::{Logger, abi_stable::std_types::RStr, level};
use tracing::{Level, level_filters::LevelFilter};

/// The target of every line of a plugin: `longshore_plugin=debug` in a filter shows what plugins say at that level.
pub const TARGET: &str = "longshore_plugin";

/// The longest line that is taken over, in bytes; the rest is cut off.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// What a logger points to.
#[derive(Debug)]
pub(crate) struct Source {
    provider: String,
}

/// Where the lines of a provider come from.
///
/// A plugin may keep a logger until the process ends, so its data is never freed: once for each name of a provider,
/// however often a provider of that name is made.
pub(crate) fn source(provider: &str) -> &'static Source {
    static SOURCES: Mutex<BTreeMap<String, &'static Source>> = Mutex::new(BTreeMap::new());
    let mut sources = SOURCES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(source) = sources.get(provider) {
        return source;
    }
    let source = Box::leak(Box::new(Source { provider: provider.to_owned() }));
    sources.insert(provider.to_owned(), source);
    source
}

impl Source {
    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// A logger for as much as the host listens to now.
    pub(crate) fn logger(&'static self) -> Logger {
        // SAFETY: `take_line` reads a `Source`, which is `Sync`, and this one lives as long as the process.
        unsafe { Logger::new(std::ptr::from_ref(self).cast(), take_line, loudest()) }
    }
}

/// The most talkative level that the host's subscriber listens to at the moment.
fn loudest() -> u8 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(Level::ERROR) => level::ERROR,
        Some(Level::WARN) => level::WARN,
        Some(Level::INFO) => level::INFO,
        Some(Level::DEBUG) => level::DEBUG,
        Some(Level::TRACE) => level::TRACE,
    }
}

unsafe extern "C" fn take_line(data: *const (), line_level: u8, target: RStr<'_>, message: RStr<'_>) {
    // SAFETY: only `Source::logger` hands this function out, together with a `Source` that is never freed.
    let source = unsafe { &*data.cast::<Source>() };
    // A panic must not cross the boundary: it would end the process. A subscriber that panics loses the line.
    let _ = catch_unwind(AssertUnwindSafe(|| emit(source, line_level, target.as_str(), message.as_str())));
}

/// The level of an event is part of its static metadata, so each has a place of its own.
fn emit(source: &Source, line_level: u8, plugin_target: &str, message: &str) {
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: TARGET,
                $level,
                provider = source.provider,
                plugin_target,
                "{}",
                Cut(message)
            )
        };
    }
    match line_level {
        level::ERROR => event!(Level::ERROR),
        level::WARN => event!(Level::WARN),
        level::INFO => event!(Level::INFO),
        level::DEBUG => event!(Level::DEBUG),
        _ => event!(Level::TRACE),
    }
}

/// A line, cut to what a log can bear.
struct Cut<'a>(&'a str);

impl std::fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.len() <= MAX_LINE_BYTES {
            return f.write_str(self.0);
        }
        let end = self.0.floor_char_boundary(MAX_LINE_BYTES);
        write!(f, "{}… ({} bytes cut off)", &self.0[..end], self.0.len() - end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = "é".repeat(MAX_LINE_BYTES);
        let shown = Cut(&line).to_string();
        assert!(shown.starts_with("éé") && shown.ends_with("bytes cut off)"), "{}", shown.len());
        assert!(shown.len() < MAX_LINE_BYTES + 64);
        assert_eq!(Cut("short").to_string(), "short");
    }
}
