//! The report as one JSON document on one line, and the schema of it.

use std::io::{self, Write};

use serde_json::Value;

use super::Sink;
use crate::{report::Report, runner::Event};

/// Writes the document when the run has ended.
pub(super) struct Json<W> {
    out: W,
}

impl<W> Json<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn event(&mut self, _: Event<'_>) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, report)?;
        writeln!(self.out)?;
        self.out.flush()
    }
}

/// The JSON Schema of the document, as `report.schema.json` in this crate has it.
pub fn schema() -> Value {
    schemars::schema_for!(Report).to_value()
}
