//! A journal that fails in all the ways that a journal may: what it has said is written stays; what it was given and has
//! not said yes to may be there after a crash, or not. A batch is there as a whole or not at all.

use longshore_scaling::{Record, Snapshot, State};

/// One cluster's journal. What is in here outlives every host.
#[derive(Debug, Default)]
pub(crate) struct Store {
    snapshot: Option<Kept<Snapshot>>,
    tail: Vec<Kept<Record>>,
    /// What was refused and may be found nevertheless, by the next host.
    limbo: Option<Vec<Record>>,
    /// The term of whoever may write.
    term: u64,
    /// Whether it goes through JSON.
    serialized: bool,
}

/// As it lies on the disk: as JSON in some runs, which costs time, as it is in others.
#[derive(Clone, Debug)]
enum Kept<T> {
    Text(String),
    Plain(T),
}

/// What a new host finds.
pub(crate) struct Found {
    pub(crate) term: u64,
    /// Nothing where there is no cluster.
    pub(crate) state: Option<State>,
}

impl Store {
    pub(crate) fn new(serialized: bool) -> Self {
        Self { serialized, ..Self::default() }
    }

    /// Whether a host of this term may write.
    pub(crate) fn is_current(&self, term: u64) -> bool {
        term == self.term
    }

    /// Makes records durable.
    pub(crate) fn append(&mut self, records: &[Record]) {
        // A page that was half written before is written over.
        self.limbo = None;
        for record in records {
            let kept = if self.serialized {
                Kept::Text(serde_json::to_string(record).expect("a record is data"))
            } else {
                Kept::Plain(record.clone())
            };
            self.tail.push(kept);
        }
    }

    /// Says no, and keeps what may be found later.
    pub(crate) fn refuse(&mut self, records: Vec<Record>) {
        self.limbo = Some(records);
    }

    /// What was refused and not written over, at the end of a host.
    pub(crate) fn take_limbo(&mut self) -> Option<Vec<Record>> {
        self.limbo.take()
    }

    pub(crate) fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Records since the last snapshot.
    pub(crate) fn tail(&self) -> usize {
        self.tail.len()
    }

    /// Lets a snapshot stand for all records so far.
    pub(crate) fn compact(&mut self, snapshot: Snapshot) {
        self.limbo = None;
        self.snapshot = Some(if self.serialized {
            Kept::Text(serde_json::to_string(&snapshot).expect("a snapshot is data"))
        } else {
            Kept::Plain(snapshot)
        });
        self.tail.clear();
    }

    /// Forgets the cluster.
    pub(crate) fn remove(&mut self) {
        (self.snapshot, self.limbo) = (None, None);
        self.tail.clear();
    }

    /// Gives the journal to a new host, which ends everybody else's right to write.
    pub(crate) fn claim(&mut self) -> Result<Found, String> {
        self.term += 1;
        Ok(Found { term: self.term, state: self.read()? })
    }

    /// The state that is in here: a snapshot and what came after.
    pub(crate) fn read(&self) -> Result<Option<State>, String> {
        if self.snapshot.is_none() && self.tail.is_empty() {
            return Ok(None);
        }
        let mut state = match &self.snapshot {
            None => State::default(),
            Some(kept) => {
                let snapshot = match kept {
                    Kept::Plain(snapshot) => snapshot.clone(),
                    Kept::Text(text) => serde_json::from_str(text)
                        .map_err(|error| format!("a snapshot cannot be read back: {error}"))?,
                };
                State::restore(snapshot).map_err(|error| format!("a snapshot is refused: {error}"))?
            }
        };
        for kept in &self.tail {
            match kept {
                Kept::Plain(record) => state.apply(record),
                Kept::Text(text) => {
                    let record = serde_json::from_str(text)
                        .map_err(|error| format!("a record cannot be read back: {error}: {text}"))?;
                    state.apply(&record);
                }
            }
        }
        Ok(Some(state))
    }
}
