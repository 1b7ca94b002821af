//! The journal on `SQLite`, as the rest of the host sees it. Payloads are encoded and decoded by the caller, so that the one
//! thread that writes has little to do but write.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use longshore_scaling::Snapshot;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
};

use crate::{
    Appended, Claimed, Entry, Journal, JournalError, JournalErrorKind, Journaling, Kept, Lease, Numbered,
    OpenError, Subject,
    codec::{self, CodecError, EncodedEntry, EncodedSnapshot, LibraryRow, ProviderRow},
    folder::Folder,
    ledger::RawKept,
    open::{self, Opened},
    writer::{Answer, Durable, Message, Op, Writer},
};

/// Operations that wait for the writer; more wait for a place.
pub const QUEUE: usize = 4_096;
/// How long dropping a journal waits for what is under way, and for the file to be closed.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// From so many handles on, payloads are encoded and decoded on a thread of their own.
const HEAVY_HANDLES: usize = 10_000;
/// The same in bytes.
const HEAVY_BYTES: usize = 1 << 20;

/// A journal in a database of `SQLite`: a file of a folder's, or memory.
///
/// Dropping it does what waits, moves everything to the file and closes it. It blocks meanwhile, [`CLOSE_LIMIT`] at most.
#[derive(Debug)]
pub struct SqliteJournal {
    /// Nothing once it is being dropped.
    queue: Option<SyncSender<Message>>,
    places: Arc<Semaphore>,
    commits: Arc<AtomicU64>,
    /// Says when the writer has ended.
    ended: Mutex<Receiver<()>>,
    file: String,
}

impl SqliteJournal {
    /// Opens the journal of a folder, and makes folder and journal where there are none. It looks at every byte, and so
    /// blocks: under a second for the state of 100,000 workers.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is in the way. Nothing has changed then, but that the folder and its lock may have been made.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let folder = Folder::make(folder)?;
        let writer = Self::writer(&folder)?;
        Self::start(writer).map_err(|error| OpenError::system("start a thread for", &folder.file(), error))
    }

    fn writer(folder: &Folder) -> Result<Writer, OpenError> {
        let Opened { connection, ledger, witness, guard, lock } = open::open(folder)?;
        let commits = Arc::new(AtomicU64::new(ledger.meta().commits));
        Ok(Writer {
            connection,
            ledger,
            durable: Some(Durable { witness, unsynced: 0, guard, _lock: lock }),
            file: folder.file().display().to_string(),
            commits,
            suspect: false,
            untidy: true,
        })
    }

    /// A journal that ends with its process: for a host that may forget, and for tests.
    ///
    /// # Panics
    ///
    /// There is no memory, or no thread.
    pub fn in_memory() -> Self {
        let (connection, ledger) = open::in_memory().expect("a database in memory can be made");
        let commits = Arc::new(AtomicU64::new(ledger.meta().commits));
        let file = "the memory".to_owned();
        let writer =
            Writer { connection, ledger, durable: None, file, commits, suspect: false, untidy: false };
        Self::start(writer).expect("a thread can be started")
    }

    fn start(writer: Writer) -> std::io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let journal = Self::with_queue(&writer, queue);
        journal.run(writer, messages)?;
        Ok(journal)
    }

    fn with_queue(writer: &Writer, queue: SyncSender<Message>) -> Self {
        let (_, ended) = sync_channel(1);
        Self {
            queue: Some(queue),
            places: Arc::new(Semaphore::new(QUEUE)),
            commits: Arc::clone(&writer.commits),
            ended: Mutex::new(ended),
            file: writer.file.clone(),
        }
    }

    fn run(&self, writer: Writer, messages: Receiver<Message>) -> std::io::Result<()> {
        let (end, ended) = sync_channel::<()>(1);
        thread::Builder::new().name("longshore-journal".to_owned()).spawn(move || {
            // Gone however the thread ends: that is the signal.
            let _end = end;
            writer.run(&messages);
        })?;
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = ended;
        Ok(())
    }

    /// How many transactions this journal has made durable since its file was made.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    async fn ask(&self, op: Op) -> Result<Answer, JournalError> {
        let (subject, action) = (op.subject(), op.action());
        let closed = || JournalError {
            subject: subject.clone(),
            action,
            kind: JournalErrorKind::Closed,
            reason: "the journal is closed, or its thread has failed; the host's log says more".to_owned(),
        };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let message = Message { op, reply, place };
        // There is a place for everyone who holds one.
        self.queue.as_ref().and_then(|queue| queue.try_send(message).ok()).ok_or_else(closed)?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It never says anything: it goes.
        if ended.recv_timeout(CLOSE_LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!(
                "{} is not closed after {} s; what was acknowledged is safe",
                self.file,
                CLOSE_LIMIT.as_secs()
            );
        }
    }
}

/// Does heavy work where it holds nobody up.
async fn apart<T: Send + 'static>(
    is_heavy: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    if is_heavy && Handle::try_current().is_ok() {
        spawn_blocking(work).await.map_err(|error| format!("the work on it was cut off: {error}"))
    } else {
        Ok(work())
    }
}

fn handles(entry: &Entry) -> usize {
    match entry {
        Entry::Happened(record) => record.change.handles(),
        Entry::Defined(_) => 0,
    }
}

fn too_large(subject: Subject, action: &'static str, reason: CodecError) -> JournalError {
    JournalError { subject, action, kind: JournalErrorKind::TooLarge, reason }
}

fn damaged(cluster: &str, action: &'static str, reason: CodecError) -> JournalError {
    JournalError::of_cluster(cluster, action, JournalErrorKind::Damaged, reason)
}

/// Answers of another kind than was asked for do not come.
fn unexpected() -> ! {
    unreachable!("the writer answers what it was asked")
}

impl RawKept {
    fn is_heavy(&self) -> bool {
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.parts.iter().map(Vec::len).sum());
        let tail: usize = self.tail.iter().map(|(_, payload)| payload.len()).sum();
        snapshot + tail > HEAVY_BYTES
    }

    fn decode(self) -> Result<Kept, CodecError> {
        let mut kept = Kept::default();
        if let Some(bytes) = self.definition {
            match codec::decode(&bytes).map_err(|why| format!("its definition makes no sense: {why}"))? {
                Entry::Defined(definition) => kept.definition = Some(definition),
                Entry::Happened(_) => return Err("its definition is something else".to_owned()),
            }
        }
        if let Some(snapshot) = self.snapshot {
            let decoded = snapshot.decode().map_err(|why| format!("its snapshot makes no sense: {why}"))?;
            kept.snapshot = Some(decoded);
        }
        for (number, bytes) in self.tail {
            match codec::decode(&bytes).map_err(|why| format!("entry {number} makes no sense: {why}"))? {
                Entry::Happened(record) => kept.tail.push(record),
                Entry::Defined(_) => {}
            }
        }
        Ok(kept)
    }
}

impl Journal for SqliteJournal {
    fn providers(&self) -> Journaling<'_, Vec<(String, serde_json::Value)>> {
        Box::pin(async {
            let Answer::Providers(all) = self.ask(Op::Providers).await? else { unexpected() };
            Ok(all)
        })
    }

    fn define_provider<'a>(
        &'a self,
        name: &'a str,
        definition: Option<serde_json::Value>,
    ) -> Journaling<'a, ()> {
        Box::pin(async move {
            let row = definition.map(|definition| ProviderRow { name: name.to_owned(), definition });
            let payload = row.as_ref().map(codec::encode).transpose();
            let payload =
                payload.map_err(|why| too_large(Subject::Provider(name.to_owned()), "written", why))?;
            self.ask(Op::DefineProvider { name: name.to_owned(), payload }).await.map(drop)
        })
    }

    fn libraries(&self) -> Journaling<'_, Vec<(String, serde_json::Value)>> {
        Box::pin(async {
            let Answer::Libraries(all) = self.ask(Op::Libraries).await? else { unexpected() };
            Ok(all)
        })
    }

    fn define_library<'a>(
        &'a self,
        hash: &'a str,
        document: Option<serde_json::Value>,
    ) -> Journaling<'a, ()> {
        Box::pin(async move {
            let row = document.map(|document| LibraryRow { hash: hash.to_owned(), document });
            let payload = row.as_ref().map(LibraryRow::encode).transpose();
            let payload =
                payload.map_err(|why| too_large(Subject::Library(hash.to_owned()), "written", why))?;
            self.ask(Op::DefineLibrary { hash: hash.to_owned(), payload }).await.map(drop)
        })
    }

    fn clusters(&self) -> Journaling<'_, Vec<String>> {
        Box::pin(async {
            let Answer::Clusters(names) = self.ask(Op::Clusters).await? else { unexpected() };
            Ok(names)
        })
    }

    fn claim<'a>(&'a self, cluster: &'a str) -> Journaling<'a, Claimed> {
        Box::pin(async move {
            let Answer::Claimed(lease, raw) = self.ask(Op::Claim { cluster: cluster.into() }).await? else {
                unexpected()
            };
            let kept = apart(raw.is_heavy(), || raw.decode()).await.flatten();
            Ok(Claimed { lease, kept: kept.map_err(|why| damaged(cluster, "claimed", why))? })
        })
    }

    fn append<'a>(&'a self, lease: &'a Lease, entries: Vec<Entry>) -> Journaling<'a, Appended> {
        Box::pin(async move {
            let is_heavy = entries.iter().map(handles).sum::<usize>() > HEAVY_HANDLES;
            let encode = move || entries.iter().map(EncodedEntry::of).collect::<Result<_, _>>();
            let entries = apart(is_heavy, encode).await.flatten().map_err(|why| {
                too_large(Subject::Cluster(lease.cluster.as_ref().to_owned()), "written", why)
            })?;
            let Answer::Appended(appended) = self.ask(Op::Append { lease: lease.clone(), entries }).await?
            else {
                unexpected()
            };
            Ok(appended)
        })
    }

    fn compact<'a>(&'a self, lease: &'a Lease, snapshot: Snapshot) -> Journaling<'a, ()> {
        Box::pin(async move {
            let is_heavy = snapshot.handles.len() > HEAVY_HANDLES;
            let encoded = apart(is_heavy, move || EncodedSnapshot::of(&snapshot)).await.flatten();
            let snapshot = encoded.map_err(|why| {
                too_large(Subject::Cluster(lease.cluster.as_ref().to_owned()), "compacted", why)
            })?;
            self.ask(Op::Compact { lease: lease.clone(), snapshot }).await.map(drop)
        })
    }

    fn history<'a>(
        &'a self,
        cluster: &'a str,
        before: Option<u64>,
        limit: usize,
    ) -> Journaling<'a, Vec<Numbered>> {
        Box::pin(async move {
            let op = Op::History { cluster: cluster.to_owned(), before, limit };
            let Answer::History(raw) = self.ask(op).await? else { unexpected() };
            let is_heavy = raw.iter().map(|(_, payload)| payload.len()).sum::<usize>() > HEAVY_BYTES;
            let decode = move || {
                let decode = |(number, payload): (u64, Vec<u8>)| {
                    let entry = codec::decode(&payload)
                        .map_err(|why| format!("entry {number} makes no sense: {why}"))?;
                    Ok(Numbered { number, entry })
                };
                raw.into_iter().map(decode).collect::<Result<_, _>>()
            };
            apart(is_heavy, decode).await.flatten().map_err(|why| damaged(cluster, "read", why))
        })
    }

    fn remove<'a>(&'a self, lease: &'a Lease) -> Journaling<'a, ()> {
        Box::pin(async move { self.ask(Op::Remove { lease: lease.clone() }).await.map(drop) })
    }
}

#[cfg(test)]
mod tests;
