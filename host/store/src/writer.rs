//! The thread that owns the database. It takes all that waits, does it in one transaction, commits once, and only then
//! answers: what many clusters write at the same time costs one write to the disk. When nothing waits it tidies up.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior, config::DbConfig};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    Appended, JournalError, Lease, Subject,
    codec::{EncodedEntry, EncodedSnapshot},
    folder::Lock,
    guard::{Guard, Refusal},
    ledger::{Fault, Ledger, RawKept, explain},
    upkeep::{checkpoint, vacuum},
    witness::Witness,
};

/// Operations in one transaction.
pub const GROUP_OPERATIONS: usize = 4_096;
/// Bytes of payload in one transaction; a single operation may have more.
pub const GROUP_BYTES: usize = 8 << 20;
/// Pages in the write-ahead log (of 4 KiB each) after which they are moved to the file.
pub const WAL_PAGES: i64 = 2_000;
/// How long the writer waits for more before it tidies up.
pub const IDLE: Duration = Duration::from_millis(200);
/// Commits after which the witness is brought to the disk even though the writer is never idle.
pub const WITNESS_COMMITS: u64 = 10_000;

/// What the writer can do.
#[derive(Debug)]
pub(crate) enum Op {
    Providers,
    DefineProvider { name: String, payload: Option<Vec<u8>> },
    Libraries,
    DefineLibrary { hash: String, payload: Option<Vec<u8>> },
    Clusters,
    Claim { cluster: Arc<str> },
    Append { lease: Lease, entries: Vec<EncodedEntry> },
    Compact { lease: Lease, snapshot: EncodedSnapshot },
    History { cluster: String, before: Option<u64>, limit: usize },
    Remove { lease: Lease },
}

impl Op {
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Providers | Self::Libraries | Self::Clusters => Subject::Whole,
            Self::DefineProvider { name, .. } => Subject::Provider(name.clone()),
            Self::DefineLibrary { hash, .. } => Subject::Library(hash.clone()),
            Self::Claim { cluster } => Subject::Cluster(cluster.as_ref().to_owned()),
            Self::Append { lease, .. } | Self::Compact { lease, .. } | Self::Remove { lease } => {
                Subject::Cluster(lease.cluster.as_ref().to_owned())
            }
            Self::History { cluster, .. } => Subject::Cluster(cluster.clone()),
        }
    }

    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Providers | Self::Libraries | Self::Clusters | Self::History { .. } => "read",
            Self::DefineProvider { .. } | Self::DefineLibrary { .. } | Self::Append { .. } => "written",
            Self::Claim { .. } => "claimed",
            Self::Compact { .. } => "compacted",
            Self::Remove { .. } => "removed",
        }
    }

    fn writes(&self) -> bool {
        !matches!(self, Self::Providers | Self::Libraries | Self::Clusters | Self::History { .. })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::DefineProvider { payload, .. } | Self::DefineLibrary { payload, .. } => {
                payload.as_ref().map_or(0, Vec::len)
            }
            Self::Append { entries, .. } => entries.iter().map(|entry| entry.payload.len()).sum(),
            Self::Compact { snapshot, .. } => snapshot.parts.iter().map(Vec::len).sum(),
            _ => 0,
        }
    }
}

/// What it answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    Providers(Vec<(String, serde_json::Value)>),
    Libraries(Vec<(String, serde_json::Value)>),
    Clusters(Vec<String>),
    Claimed(Lease, RawKept),
    Appended(Appended),
    History(Vec<(u64, Vec<u8>)>),
}

/// An operation that waits for the writer.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) op: Op,
    pub(crate) reply: oneshot::Sender<Result<Answer, JournalError>>,
    /// Its place in the queue.
    pub(crate) place: OwnedSemaphorePermit,
}

/// What the writer needs of a file; a journal in memory has none.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) witness: Witness,
    /// Commits that the witness on the disk may not know of.
    pub(crate) unsynced: u64,
    pub(crate) guard: Guard,
    /// Held until the file is closed.
    pub(crate) _lock: Lock,
}

/// The writer, before it has its thread.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) ledger: Ledger,
    pub(crate) durable: Option<Durable>,
    /// What errors call the file.
    pub(crate) file: String,
    /// For everybody to read.
    pub(crate) commits: Arc<AtomicU64>,
    /// A write failed: the log is better moved to the file, as soon as that can be.
    pub(crate) suspect: bool,
    /// Something was written since the last tidying.
    pub(crate) untidy: bool,
}

impl Writer {
    /// Works until nobody can send any more, then closes the file.
    pub(crate) fn run(mut self, queue: &Receiver<Message>) {
        loop {
            let first = if self.untidy {
                match queue.recv_timeout(IDLE) {
                    Ok(message) => Ok(message),
                    Err(RecvTimeoutError::Timeout) => {
                        self.tidy();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                queue.recv()
            };
            let Ok(first) = first else { break };
            self.turn(&mut group(first, queue));
        }
        self.close();
    }

    /// Does a group of operations, and answers them.
    fn turn(&mut self, messages: &mut Vec<Message>) {
        let ops: Vec<&Op> = messages.iter().map(|message| &message.op).collect();
        let mut answers: VecDeque<_> = match self.transact(&ops) {
            Ok(answers) => answers.into(),
            // One of them, by itself, may be what does not work: the others are not to suffer for it.
            Err(error) if ops.len() == 1 => [Err(Fault::Broken(error))].into(),
            Err(_) => ops.iter().map(|op| self.alone(op)).collect(),
        };
        for Message { op, reply, place } in messages.drain(..) {
            drop(place);
            let Some(answer) = answers.pop_front() else { break };
            let answer = answer.map_err(|fault| explain(fault, op.subject(), op.action(), &self.file));
            // Who does not wait any more has said that it does not matter.
            let _ = reply.send(answer);
        }
        self.checkpoint_if_long();
    }

    fn alone(&mut self, op: &Op) -> Result<Answer, Fault> {
        match self.transact(&[op]) {
            Ok(mut answers) => answers.pop().unwrap_or(Ok(Answer::Done)),
            Err(error) => Err(Fault::Broken(error)),
        }
    }

    /// One transaction. Where it fails, nothing of it has happened.
    pub(crate) fn transact(&mut self, ops: &[&Op]) -> rusqlite::Result<Vec<Result<Answer, Fault>>> {
        if let Some(durable) = &mut self.durable
            && let Err(refusal) = durable.guard.look(&self.connection, self.ledger.meta())
        {
            return Ok(refused(ops, &refusal));
        }
        if self.suspect && ops.iter().any(|op| op.writes()) {
            self.rescue();
        }
        let done = self.attempt(ops);
        if done.is_err() {
            self.ledger.undo();
            self.suspect = self.durable.is_some();
        }
        done
    }

    fn attempt(&mut self, ops: &[&Op]) -> rusqlite::Result<Vec<Result<Answer, Fault>>> {
        let writes = ops.iter().any(|op| op.writes());
        let behaviour = if writes { TransactionBehavior::Immediate } else { TransactionBehavior::Deferred };
        let transaction = self.connection.transaction_with_behavior(behaviour)?;
        if let Some(durable) = &mut self.durable
            && let Err(refusal) = durable.guard.compare(&transaction, self.ledger.meta())?
        {
            return Ok(refused(ops, &refusal));
        }
        let mut answers = Vec::with_capacity(ops.len());
        for op in ops {
            match perform(&mut self.ledger, &transaction, op) {
                Err(Fault::Broken(error)) => return Err(error),
                answer => answers.push(answer),
            }
        }
        let changed = self.ledger.finish(&transaction)?;
        transaction.commit()?;
        self.ledger.settle();
        if changed {
            self.untidy = true;
            let commits = self.ledger.meta().commits;
            self.commits.store(commits, Ordering::Release);
            if let Some(durable) = &mut self.durable {
                // Only now: the witness must never know more than an honest disk does.
                durable.witness.tell(commits);
                durable.unsynced += 1;
                if durable.unsynced >= WITNESS_COMMITS {
                    durable.witness.sync();
                    durable.unsynced = 0;
                }
            }
        }
        Ok(answers)
    }

    /// Moves as much as it can from the log to the file, after a write that failed: a disk that could not write a sector may
    /// have harmed what was acknowledged and lies in the same one, of which the system still has a copy in memory.
    ///
    /// The next write does not depend on it. Each commit brings its part of the log to the disk before it is acknowledged; the
    /// one after a failed commit begins where that began, writes each page of it anew, and asks the disk anew. So this waits for
    /// no reader, who could hold up all work for as long as an export takes; and where it fails, the write itself shows what the
    /// disk can do. What a reader keeps in the log now is moved when it has gone.
    fn rescue(&mut self) {
        match checkpoint(&self.connection, "PASSIVE") {
            Ok(log) if log.moved >= log.pages => self.suspect = false,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!("the log of {} cannot be moved to the file yet: {error}", self.file);
            }
        }
    }

    fn checkpoint_if_long(&mut self) {
        if self.durable.is_none() {
            return;
        }
        // What cannot be moved now stays in the log, where it is as safe.
        let moved = checkpoint(&self.connection, "NOOP").and_then(|log| {
            if log.pages >= WAL_PAGES { checkpoint(&self.connection, "PASSIVE") } else { Ok(log) }
        });
        if let Err(error) = moved {
            tracing::warn!("the log of {} cannot be moved to the file yet: {error}", self.file);
        }
    }

    /// Gives free pages back, moves the log to the file, brings the witness to the disk: for when nothing waits.
    fn tidy(&mut self) {
        self.untidy = false;
        let Some(durable) = &mut self.durable else { return };
        if !durable.guard.is_own() {
            return;
        }
        durable.witness.sync();
        durable.unsynced = 0;
        match vacuum(&self.connection) {
            Ok(is_more) => self.untidy = is_more,
            Err(error) => {
                self.suspect = true;
                tracing::debug!("free pages of {} stay: {error}", self.file);
            }
        }
        match checkpoint(&self.connection, "TRUNCATE") {
            Ok(_) => self.suspect = false,
            Err(error) => {
                tracing::debug!("the log of {} cannot be moved to the file yet: {error}", self.file);
            }
        }
    }

    fn close(mut self) {
        let Some(durable) = &mut self.durable else { return };
        if !durable.guard.is_own() {
            // Closing the file removes the log by its name; whether that still is its log, `SQLite` tells by the file alone.
            tracing::warn!("{} is not this host's any more, and is left as it is", self.file);
            return;
        }
        if let Err(error) = checkpoint(&self.connection, "TRUNCATE") {
            // The next host finds it in the log.
            tracing::warn!("the log of {} could not be moved to the file: {error}", self.file);
            return;
        }
        durable.witness.sync();
        // The log is empty and may go.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!("{} could not be closed: {error}", self.file);
        }
    }
}

/// All that waits, up to the limits.
fn group(first: Message, queue: &Receiver<Message>) -> Vec<Message> {
    let mut bytes = first.op.bytes();
    let mut messages = vec![first];
    while messages.len() < GROUP_OPERATIONS && bytes < GROUP_BYTES {
        match queue.try_recv() {
            Ok(message) => {
                bytes += message.op.bytes();
                messages.push(message);
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    messages
}

fn perform(ledger: &mut Ledger, connection: &Connection, op: &Op) -> Result<Answer, Fault> {
    Ok(match op {
        Op::Providers => Answer::Providers(ledger.providers(connection)?),
        Op::DefineProvider { name, payload } => {
            ledger.define_provider(connection, name, payload.as_deref())?;
            Answer::Done
        }
        Op::Libraries => Answer::Libraries(ledger.libraries(connection)?),
        Op::DefineLibrary { hash, payload } => {
            ledger.define_library(connection, hash, payload.as_deref())?;
            Answer::Done
        }
        Op::Clusters => Answer::Clusters(ledger.clusters()),
        Op::Claim { cluster } => {
            let (lease, kept) = ledger.claim(connection, cluster)?;
            Answer::Claimed(lease, kept)
        }
        Op::Append { lease, entries } => Answer::Appended(ledger.append(connection, lease, entries)?),
        Op::Compact { lease, snapshot } => {
            ledger.compact(connection, lease, snapshot)?;
            Answer::Done
        }
        Op::History { cluster, before, limit } => {
            Answer::History(ledger.history(connection, cluster, *before, *limit)?)
        }
        Op::Remove { lease } => {
            ledger.remove(connection, lease)?;
            Answer::Done
        }
    })
}

/// Everything refused for one reason.
fn refused(ops: &[&Op], refusal: &Refusal) -> Vec<Result<Answer, Fault>> {
    ops.iter().map(|_| Err(refusal.clone().into())).collect()
}
