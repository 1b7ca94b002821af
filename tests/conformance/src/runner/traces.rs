//! What the process of a check leaves in its folder: its report, its output, and which call was under way.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use crate::{
    order::{self, Order, Reported},
    verdict::{Leftover, Outcome},
};

/// The most lines, and bytes, of a check's output that a finding carries.
const LOG_LINES: usize = 20;
const LOG_BYTES: usize = 4096;

/// What a check's process reported.
pub(super) struct Told {
    pub(super) outcome: Outcome,
    /// What its sweep left; none where it did not come to its end.
    pub(super) left_behind: Option<Vec<Leftover>>,
    pub(super) notes: Vec<String>,
    /// Whether it was the last that it had to say.
    pub(super) is_last: bool,
}

/// What a check's process reported, where it came to that.
pub(super) fn told(order: &Order) -> Option<Told> {
    let told = |outcome, left_behind, notes, is_last| Some(Told { outcome, left_behind, notes, is_last });
    match order::read(&order.report()).ok()? {
        Reported::Check { outcome, left_behind, notes } => told(outcome, Some(left_behind), notes, true),
        // A sweep that failed is done again by another process.
        Reported::Unswept { outcome, notes, because } => told(outcome, None, notes, because.is_some()),
        Reported::Fault(what) => told(Outcome::HarnessFault { what }, None, Vec::new(), true),
        _ => {
            let what = "a check's process reported something else".to_owned();
            told(Outcome::HarnessFault { what }, None, Vec::new(), true)
        }
    }
}

/// The call that was under way when the process ended: the last that was begun.
pub(super) fn during(order: &Order) -> Option<String> {
    let text = tail(&order.progress());
    let last = text.lines().last()?;
    (last != "-").then(|| last.to_owned())
}

/// The end of what the provider wrote and logged.
pub(super) fn log(order: &Order) -> String {
    let all = [order.output(), order.log()].map(|path| tail(&path)).concat();
    let lines: Vec<&str> = all.lines().collect();
    let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    tail[tail.ceil_char_boundary(tail.len().saturating_sub(LOG_BYTES))..].to_owned()
}

/// The last [`LOG_BYTES`] of a file, as text; none where it cannot be read. It may be large.
fn tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    let mut read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES as u64)))?;
        file.take(LOG_BYTES as u64).read_to_end(&mut bytes)
    };
    // What was read before an error is as good.
    drop(read());
    String::from_utf8_lossy(&bytes).into_owned()
}
