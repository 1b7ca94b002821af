//! A gate in front of an engine: a socket that passes everything on, until it is told to do it badly. So one engine can serve
//! many tests while each has its own trouble with it.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use longshore_support::Engine;

/// What the gate does with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Passes everything on.
    Open,
    /// Closes it at once.
    Shut,
    /// Takes the request, and says nothing.
    Silent,
    /// Passes requests on whose first line has this text, and then loses the answers; others pass.
    Loses(String),
    /// Holds requests up for so long whose first line has this text; others pass.
    Slow(String, Duration),
}

/// The gate; it is there until the test's process ends.
pub(crate) struct Gate {
    folder: tempfile::TempDir,
    manner: Arc<Mutex<Manner>>,
    held: Arc<Held>,
}

/// The requests that are held up.
#[derive(Default)]
struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Held {
    fn up(&self, time: Duration) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        thread::sleep(time);
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gate {
    pub(crate) fn before(engine: &Engine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let manner = Arc::new(Mutex::new(Manner::Open));
        let gate = Self { folder, manner, held: Arc::default() };
        let listener = UnixListener::bind(gate.path()).expect("the folder is ours");
        let (manner, held) = (Arc::clone(&gate.manner), Arc::clone(&gate.held));
        let behind = engine.socket().to_owned();
        thread::spawn(move || {
            // At most one thread a connection of the one provider of a test.
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, held, behind) = (Arc::clone(&manner), Arc::clone(&held), behind.clone());
                // A connection that breaks is what the test is about.
                thread::spawn(move || drop(pass(stream, &manner, &held, &behind)));
            }
        });
        gate
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("gate.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.path().display())
    }

    /// From now on, for new connections.
    pub(crate) fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// The most requests that were held up at once.
    pub(crate) fn most_held(&self) -> usize {
        self.held.most.load(Ordering::SeqCst)
    }

    /// Takes the socket away, as an engine that has ended does.
    pub(crate) fn vanish(&self) {
        fs::remove_file(self.path()).expect("it was there");
    }
}

fn pass(mut stream: UnixStream, manner: &Mutex<Manner>, held: &Held, behind: &PathBuf) -> io::Result<()> {
    let manner = manner.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut first = [0; 4096];
    let length = match manner {
        Manner::Shut => return Ok(()),
        _ => stream.read(&mut first)?,
    };
    let text = String::from_utf8_lossy(&first[..length]).into_owned();
    let line = text.lines().next().unwrap_or_default();
    match &manner {
        Manner::Silent => {
            // Until the other side gives up.
            while stream.read(&mut first)? > 0 {}
            return Ok(());
        }
        Manner::Slow(words, time) if line.contains(words.as_str()) => held.up(*time),
        _ => {}
    }
    let mut engine = UnixStream::connect(behind)?;
    engine.write_all(&first[..length])?;
    if matches!(&manner, Manner::Loses(words) if line.contains(words.as_str())) {
        // The rest of the request passes, and then the answer is waited for and thrown away.
        let (mut from, mut to) = (stream.try_clone()?, engine.try_clone()?);
        thread::spawn(move || io::copy(&mut from, &mut to));
        engine.read_exact(&mut first[..1])?;
        return stream.shutdown(Shutdown::Both);
    }
    let (mut from, mut to) = (stream.try_clone()?, engine.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        to.shutdown(Shutdown::Write)
    });
    io::copy(&mut engine, &mut stream)?;
    stream.shutdown(Shutdown::Both)
}
