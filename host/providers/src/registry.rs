//! The libraries of this process, by the hash of their content. Each is loaded once, and so is each refusal, because what
//! was loaded cannot be unloaded. Loading is done on a thread of its own, for a library may hang while it loads.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::{
    error::{LoadError, LoadErrorKind},
    library::{LOAD_LIMIT, Library, MAX_LIBRARIES},
};

/// A library that was refused, before it was in the process or after.
pub(crate) struct Refusal {
    error: LoadError,
    stays: bool,
}

impl Refusal {
    /// Nothing of it was loaded: another attempt costs nothing and may succeed.
    pub(crate) fn before(error: LoadError) -> Self {
        Self { error, stays: false }
    }

    /// It is in the process for good: the refusal is final.
    pub(crate) fn after(error: LoadError) -> Self {
        Self { error, stays: true }
    }
}

/// What became of a library; nothing while it is being loaded.
#[derive(Default)]
struct Slot {
    outcome: Mutex<Option<Result<Arc<Library>, LoadError>>>,
    known: Condvar,
}

static SLOTS: LazyLock<Mutex<HashMap<String, Arc<Slot>>>> = LazyLock::new(Mutex::default);

fn slots() -> MutexGuard<'static, HashMap<String, Arc<Slot>>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The library of that hash, loaded with `load` unless it is there already. Waits for at most [`LOAD_LIMIT`].
pub(crate) fn once(
    path: &Path,
    hash: &str,
    load: impl FnOnce() -> Result<Library, Refusal> + Send + 'static,
) -> Result<Arc<Library>, LoadError> {
    let slot = slot(path, hash, load)?;
    let outcome = slot.outcome.lock().unwrap_or_else(PoisonError::into_inner);
    let (outcome, _) = slot
        .known
        .wait_timeout_while(outcome, LOAD_LIMIT, |outcome| outcome.is_none())
        .unwrap_or_else(PoisonError::into_inner);
    match &*outcome {
        Some(Ok(library)) => Ok(Arc::clone(library)),
        Some(Err(error)) => Err(error.clone().at(path)),
        None => {
            let message = format_args!("it has not ended to load within {} s", LOAD_LIMIT.as_secs());
            Err(LoadError::new(path, LoadErrorKind::Stuck, message))
        }
    }
}

/// The slot of that hash; a new one is being filled by a thread of its own.
fn slot(
    path: &Path,
    hash: &str,
    load: impl FnOnce() -> Result<Library, Refusal> + Send + 'static,
) -> Result<Arc<Slot>, LoadError> {
    let mut slots = slots();
    if let Some(slot) = slots.get(hash) {
        return Ok(Arc::clone(slot));
    }
    if slots.len() >= MAX_LIBRARIES {
        let message = format_args!("this process has loaded {MAX_LIBRARIES} libraries already");
        return Err(LoadError::new(path, LoadErrorKind::TooMany, message));
    }
    let slot = Arc::new(Slot::default());
    let fill = {
        let (slot, hash, path) = (Arc::clone(&slot), hash.to_owned(), path.to_owned());
        move || {
            // A panic would be one of the host's own parsers on a strange file: a reason to refuse it, too.
            let outcome = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
                let message = "the host failed while it examined the file";
                Err(Refusal::after(LoadError::new(path, LoadErrorKind::Damaged, message)))
            });
            settle(&slot, &hash, outcome);
        }
    };
    thread::Builder::new().name("ls-load".to_owned()).spawn(fill).map_err(|error| {
        let message = format_args!("no thread could be started to load it: {error}");
        LoadError::new(path, LoadErrorKind::Unreadable, message)
    })?;
    slots.insert(hash.to_owned(), Arc::clone(&slot));
    Ok(slot)
}

fn settle(slot: &Slot, hash: &str, outcome: Result<Library, Refusal>) {
    if matches!(&outcome, Err(refusal) if !refusal.stays) {
        slots().remove(hash);
    }
    let outcome = outcome.map(Arc::new).map_err(|refusal| refusal.error);
    *slot.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    slot.known.notify_all();
}
