//! What the command says: text or one JSON document on standard output, errors on standard error. Colours are kept for
//! terminals, and a reader that has gone away is no error.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use anstyle::{AnsiColor, Style};
use longshore_config::Fault;
use serde::Serialize;

use crate::{
    args::Global,
    exit::{Exit, Failure, Kind},
    render::clean_lines,
};

/// The longest detail of an error, in lines.
const DETAIL_LINES: usize = 2_000;

/// Bold.
pub(crate) const STRONG: Style = Style::new().bold();
/// What is as it shall be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is not yet.
pub(crate) const PENDING: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// An error, for `--json`.
#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorText<'a>,
    exit_code: u8,
}

#[derive(Serialize)]
struct ErrorText<'a> {
    kind: Kind,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    faults: &'a [Fault],
}

/// Where the command speaks to.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    verbose: u8,
    /// Whether a document was written already: an error then has no second one.
    told: AtomicBool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json, verbose: global.verbose, told: AtomicBool::new(false) }
    }

    /// Whether documents are wanted instead of text.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// How many columns the terminal has, where there is one.
    pub(crate) fn width(&self) -> Option<u16> {
        if !self.is_terminal() {
            return None;
        }
        terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0)
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// A document goes to standard output by another way: an error that follows has none of its own.
    pub(crate) fn tell_elsewhere(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    /// Writes a document, on one line.
    pub(crate) fn document(&self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document)
            .map_err(|error| Failure::internal(format_args!("cannot write the answer as JSON: {error}")))?;
        self.told.store(true, Ordering::Relaxed);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Writes text, with an end of line.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.told.store(true, Ordering::Relaxed);
        let mut out = anstream::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Writes a document or text, as is wanted.
    pub(crate) fn either(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json { self.document(document) } else { self.text(&text()) }
    }

    /// Tells why the command ends early.
    pub(crate) fn fail(&self, failure: &Failure) -> Exit {
        if failure.is_silent() {
            return failure.exit;
        }
        let mut text = format!("{BAD}error:{BAD:#} {}", clean_lines(&failure.message));
        if let Some(detail) = &failure.detail {
            if self.is_verbose() {
                for line in clean_lines(detail).lines().take(DETAIL_LINES) {
                    text.push_str("\n  ");
                    text.push_str(line);
                }
            } else {
                text.push_str("\n  more: with --verbose");
            }
        }
        // Whoever closed standard error does not want to know.
        let _ = writeln!(anstream::stderr(), "{text}");
        if self.json && !self.told.load(Ordering::Relaxed) {
            let Failure { exit, kind, message, detail, faults } = failure;
            let error = ErrorText { kind: *kind, message, detail: detail.as_deref(), faults };
            // The exit code says enough when this cannot be written.
            let _ = self.document(&ErrorDocument { error, exit_code: *exit as u8 });
        }
        failure.exit
    }
}
