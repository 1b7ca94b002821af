//! Takes the plugins' log lines into the host's `tracing`, under the target [`TARGET`], with the provider's name, the
//! plugin's own target and the text; without what the host does not want to see in any log.
#![expect(unsafe_code, reason = "a plugin holds a pointer to its log for as long as the process lives")]

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use longshore_config::cut;
use longshore_plugin_abi::{Logger, abi_stable::std_types::RStr, level};
use tracing::{Level, level_filters::LevelFilter};

/// The target of every line of a plugin: `longshore_plugin=debug` in a filter shows what plugins say at that level.
pub const TARGET: &str = "longshore_plugin";

/// The longest line that is taken over, in bytes; the rest is cut off.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// The longest target of a line, in bytes.
pub(crate) const MAX_TARGET_BYTES: usize = 256;

/// Takes out of a line what must not be in a log; `None` where it has nothing of the kind.
pub type Veil = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a logger points to.
pub(crate) struct Source {
    provider: String,
    /// Each is on its own: one of a provider's clusters has put it there.
    veils: Mutex<Vec<Veil>>,
}

/// A veil that is over the lines of a provider until this is dropped.
#[must_use = "what is veiled is seen again once this is dropped"]
pub struct Veiled {
    source: &'static Source,
    veil: Veil,
}

impl Drop for Veiled {
    fn drop(&mut self) {
        self.source.veils().retain(|veil| !Arc::ptr_eq(veil, &self.veil));
    }
}

impl fmt::Debug for Veiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Veiled").field("provider", &self.source.provider).finish_non_exhaustive()
    }
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
    let source = Box::leak(Box::new(Source { provider: provider.to_owned(), veils: Mutex::default() }));
    sources.insert(provider.to_owned(), source);
    source
}

impl Source {
    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// Lets `veil` take out of every line what must not be in a log, until the answer is dropped.
    pub(crate) fn veil(&'static self, veil: Veil) -> Veiled {
        self.veils().push(Arc::clone(&veil));
        Veiled { source: self, veil }
    }

    fn veils(&self) -> MutexGuard<'_, Vec<Veil>> {
        // It is changed by single pushes and removals: a panic in between leaves it sound.
        self.veils.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line as a log may have it.
    fn veiled<'a>(&self, message: &'a str) -> Cow<'a, str> {
        let mut shown = Cow::Borrowed(message);
        for veil in &*self.veils() {
            if let Some(veiled) = veil(&shown) {
                shown = Cow::Owned(veiled);
            }
        }
        shown
    }

    /// A logger for as much as the host listens to now.
    pub(crate) fn logger(&'static self) -> Logger {
        // SAFETY: `take_line` reads a `Source`, which is `Sync`, and this one lives as long as the process.
        unsafe { Logger::new(std::ptr::from_ref(self).cast(), take_line, loudest()) }
    }
}

/// The most talkative level that the host's subscriber listens to at the moment.
pub(crate) fn loudest() -> u8 {
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

/// Takes over a line. The level of an event is part of its static metadata, so each has a place of its own.
pub(crate) fn emit(source: &Source, line_level: u8, plugin_target: &str, message: &str) {
    // It is the path of a module, in any honest plugin.
    let plugin_target = &plugin_target[..plugin_target.floor_char_boundary(MAX_TARGET_BYTES)];
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: TARGET,
                $level,
                provider = source.provider,
                plugin_target,
                "{}",
                Shown(source, message)
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

/// A line as a log may have it. It is made only where somebody listens.
struct Shown<'a>(&'a Source, &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is veiled must be whole: only then is it cut.
        f.write_str(&cut(&self.0.veiled(self.1), MAX_LINE_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_veil_is_there_until_it_is_dropped() {
        let source = source("a_veil_is_there_until_it_is_dropped");
        let veil = |word: &'static str| -> Veil {
            Arc::new(move |line| line.contains(word).then(|| line.replace(word, "***")))
        };
        let (first, second) = (source.veil(veil("hunter2")), source.veil(veil("swordfish")));
        assert_eq!(source.veiled("hunter2 and swordfish, hunter2"), "*** and ***, ***");
        assert!(matches!(source.veiled("nothing to hide"), Cow::Borrowed(_)));
        drop(first);
        assert_eq!(source.veiled("hunter2 and swordfish"), "hunter2 and ***");
        drop(second);
        assert_eq!(source.veiled("hunter2 and swordfish"), "hunter2 and swordfish");
    }

    #[test]
    fn a_long_line_is_cut_after_it_is_veiled() {
        let source = source("a_long_line_is_cut_after_it_is_veiled");
        let shown = |line: &str| Shown(source, line).to_string();
        let line = "é".repeat(MAX_LINE_BYTES);
        let whole = shown(&line);
        assert!(whole.starts_with("éé") && whole.ends_with("bytes cut off)"), "{}", whole.len());
        assert!(whole.len() <= MAX_LINE_BYTES);
        assert_eq!(shown("short"), "short");
        let _veiled = source.veil(Arc::new(|line| Some(line.replace("hunter2", "***"))));
        for at in MAX_LINE_BYTES - 100..MAX_LINE_BYTES {
            let told = shown(&format!("{}hunter2{line}", "x".repeat(at)));
            assert!(!told.contains("xh"), "{at}");
        }
    }
}
