//! The libraries of this process, by the hash of their content. Each is loaded once, and so is each refusal, because what
//! was loaded cannot be unloaded. Loading is done on a thread of its own, for a library may hang while it loads.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::error::{LoadError, LoadErrorKind};

/// The most libraries of different content that one process loads, as they are never unloaded.
pub const MAX_LIBRARIES: usize = 256;
/// How long a library may take to load: one that hangs while it loads is refused.
pub const LOAD_LIMIT: Duration = Duration::from_secs(30);

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

    /// Why.
    pub(crate) fn into_error(self) -> LoadError {
        self.error
    }
}

/// What became of a library; nothing while it is being loaded.
struct Slot<T> {
    outcome: Mutex<Option<Result<Arc<T>, LoadError>>>,
    known: Condvar,
}

/// What is loaded, by the hash of its content.
pub(crate) struct Registry<T>(Mutex<HashMap<String, Arc<Slot<T>>>>);

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + Sync + 'static> Registry<T> {
    fn slots(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The library of that hash, loaded with `load` unless it is there already. Waits for at most [`LOAD_LIMIT`].
    pub(crate) fn once(
        &'static self,
        path: &Path,
        hash: &str,
        load: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Arc<T>, LoadError> {
        let slot = self.slot(path, hash, load)?;
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
        &'static self,
        path: &Path,
        hash: &str,
        load: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Arc<Slot<T>>, LoadError> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(hash) {
            return Ok(Arc::clone(slot));
        }
        if slots.len() >= MAX_LIBRARIES {
            let message = format_args!("this process has loaded {MAX_LIBRARIES} libraries already");
            return Err(LoadError::new(path, LoadErrorKind::TooMany, message));
        }
        let slot = Arc::new(Slot { outcome: Mutex::new(None), known: Condvar::new() });
        let fill = {
            let (slot, hash, path) = (Arc::clone(&slot), hash.to_owned(), path.to_owned());
            move || {
                // A panic would be one of the host's own parsers on a strange file: a reason to refuse it, too.
                let outcome = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
                    let message = "the host failed while it examined the file";
                    Err(Refusal::after(LoadError::new(path, LoadErrorKind::Damaged, message)))
                });
                self.settle(&slot, &hash, outcome);
            }
        };
        thread::Builder::new().name("ls-load".to_owned()).spawn(fill).map_err(|error| {
            let message = format_args!("no thread could be started to load it: {error}");
            LoadError::new(path, LoadErrorKind::Unreadable, message)
        })?;
        slots.insert(hash.to_owned(), Arc::clone(&slot));
        Ok(slot)
    }

    fn settle(&self, slot: &Slot<T>, hash: &str, outcome: Result<T, Refusal>) {
        if matches!(&outcome, Err(refusal) if !refusal.stays) {
            self.slots().remove(hash);
        }
        let outcome = outcome.map(Arc::new).map_err(|refusal| refusal.error);
        *slot.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        slot.known.notify_all();
    }
}
