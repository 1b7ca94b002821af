//! What goes on while one waits: one line on standard error that changes in place on a terminal, or plain lines where there
//! is none.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
    last_at: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: String::new(), last_at: None }
    }

    /// Shows what goes on now.
    pub(crate) fn show(&mut self, text: &str) {
        if self.terminal {
            line().unwrap_or_else(begin).set_message(text.to_owned());
            return;
        }
        let soon = self.last_at.is_some_and(|at| at.elapsed() < PLAIN_PACE);
        if text == self.last || soon {
            return;
        }
        text.clone_into(&mut self.last);
        self.last_at = Some(Instant::now());
        // Whoever closed standard error does not want to know.
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    /// Takes the line away until there is more to show.
    pub(crate) fn pause(&mut self) {
        self.last.clear();
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
