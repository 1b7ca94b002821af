//! What goes on while one waits: one line on standard error that changes in place on a terminal, or plain lines where there
//! is none.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, sleep_until};

/// How often the line moves on a terminal.
const TICK: Duration = Duration::from_millis(100);
/// How long at least between two plain lines.
const PLAIN_PACE: Duration = Duration::from_millis(500);

/// The line on the terminal, so that what is logged goes above it.
static LINE: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn line() -> Option<ProgressBar> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Writes to standard error, above the line where there is one.
pub(crate) fn above(text: &[u8]) -> std::io::Result<()> {
    let write = || std::io::stderr().lock().write_all(text);
    match line() {
        Some(line) => line.suspend(write),
        None => write(),
    }
}

/// Runs something that writes to the terminal, with the line out of the way.
pub(crate) fn aside<T>(write: impl FnOnce() -> T) -> T {
    match line() {
        Some(line) => line.suspend(write),
        None => write(),
    }
}

/// A line of progress. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    last: String,
    /// When the next plain line may be written.
    next_at: Instant,
    /// A plain line that came too soon.
    pending: Option<String>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { terminal, last: String::new(), next_at: Instant::now(), pending: None }
    }

    /// The line where there is a terminal, and nothing where there is none: for what is told in other words anyway.
    pub(crate) fn at_terminal() -> Option<Self> {
        let progress = Self::new();
        progress.terminal.then_some(progress)
    }

    /// Shows what goes on now. Without a terminal it may be left to [`catch_up`](Self::catch_up).
    pub(crate) fn show(&mut self, text: &str) {
        if self.terminal {
            line().unwrap_or_else(begin).set_message(text.to_owned());
            return;
        }
        self.pending = (text != self.last).then(|| text.to_owned());
        if Instant::now() >= self.next_at {
            self.write_pending();
        }
    }

    /// Waits until what was shown may be written, and writes it; for ever where nothing is left to write.
    pub(crate) async fn catch_up(&mut self) {
        if self.pending.is_none() {
            std::future::pending::<()>().await;
        }
        sleep_until(self.next_at).await;
        self.write_pending();
    }

    fn write_pending(&mut self) {
        let Some(text) = self.pending.take() else { return };
        // Whoever closed standard error does not want to know.
        let _ = writeln!(anstream::stderr(), "{text}");
        self.last = text;
        self.next_at = Instant::now() + PLAIN_PACE;
    }

    /// Takes the line away until there is more to show.
    pub(crate) fn pause(&mut self) {
        self.last.clear();
        self.pending = None;
        let line = LINE.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(line) = line {
            line.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.pause();
    }
}

fn begin() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is ours and sound; without it the line would look plainer.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    *LINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
    bar
}
