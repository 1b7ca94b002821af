//! A plugin's library: what is known of it. Its code is in this process only where somebody here needs it: a provider that
//! runs in this process, or a harness that looks at it.

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak},
};

use longshore_plugin_api::Metadata;
use serde_json::Value;

use crate::{
    code::Code,
    error::{ConfigError, Function, LoadError, LoadErrorKind},
    registry::Refusal,
    runner::{self, RunnerProgram},
    said::Said,
    sealed::Sealed,
};

/// The libraries that somebody uses, by the hash of their content.
static LIBRARIES: LazyLock<Mutex<HashMap<String, Weak<Library>>>> = LazyLock::new(Mutex::default);

/// A plugin's library: its bytes, and what it says of itself.
pub struct Library {
    sealed: Arc<Sealed>,
    said: Arc<Said>,
    /// Empty until somebody in this process needs it.
    code: OnceLock<Arc<Code>>,
}

impl Library {
    /// Loads a library into this process and checks what it says of itself. A file of the same content is loaded once a
    /// process: opening it again, under whatever path, gives the same library.
    ///
    /// The file is read once and what was read is loaded, so that it may be replaced, overwritten or deleted afterwards.
    /// Blocks, for at most [`LOAD_LIMIT`](crate::LOAD_LIMIT) beside the reading.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what is wrong, where, and what to do about it.
    pub fn open(path: &Path) -> Result<Arc<Self>, LoadError> {
        Self::load(Sealed::read(path)?)
    }

    /// As [`open`](Self::open), of what was read already.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn load(sealed: Sealed) -> Result<Arc<Self>, LoadError> {
        let sealed = Arc::new(sealed);
        let code = Code::once(&sealed)?;
        Ok(Self::shared(Self { sealed, said: Arc::clone(code.said()), code: code.into() }))
    }

    /// Takes a first look at a library without any of its code in this process: it is loaded and checked in a process of the
    /// program, which is thrown away. Blocks, for at most [`LOAD_LIMIT`](crate::LOAD_LIMIT).
    ///
    /// # Errors
    ///
    /// As `open`; a library that ends that process is refused with how it ended.
    pub fn examine(sealed: Sealed, program: &RunnerProgram) -> Result<Arc<Self>, LoadError> {
        if let Some(known) = Self::known(sealed.hash()) {
            return Ok(known);
        }
        let sealed = Arc::new(sealed);
        let look = || {
            sealed.check()?;
            let document = runner::examine(&sealed, program)?;
            Said::read(sealed.path(), &document)
        };
        // A panic would be one of the host's own parsers on a strange file: a reason to refuse it, too.
        let said = catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| {
            let message = "the host failed while it examined the file";
            Err(LoadError::new(sealed.path(), LoadErrorKind::Damaged, message))
        });
        let said = Arc::new(said?);
        Ok(Self::shared(Self { sealed, said, code: OnceLock::new() }))
    }

    /// As [`open`](Self::open), but on the calling thread, for as long as it takes, and whatever was loaded before: for a harness
    /// that looks at what loading does to a thread. It never shares what it loads.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn open_here(path: &Path) -> Result<Arc<Self>, LoadError> {
        let sealed = Arc::new(Sealed::read(path)?);
        let code = Code::load(&sealed).map(Arc::new).map_err(Refusal::into_error)?;
        Ok(Arc::new(Self { sealed, said: Arc::clone(code.said()), code: code.into() }))
    }

    /// The library of that content that is in use already.
    fn known(hash: &str) -> Option<Arc<Self>> {
        LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner).get(hash).and_then(Weak::upgrade)
    }

    /// The library of the same content that is in use already, or else this one, from now on.
    fn shared(self) -> Arc<Self> {
        // It is changed by single inserts and removals: a panic in between leaves it sound.
        let mut libraries = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = libraries.get(self.hash()).and_then(Weak::upgrade) {
            if let Some(code) = self.code.into_inner() {
                // Where it is there already it is the same.
                let _ = known.code.set(code);
            }
            return known;
        }
        // What nobody uses any more is forgotten, so that the map is as small as what is in use.
        libraries.retain(|_, library| library.strong_count() > 0);
        let library = Arc::new(self);
        libraries.insert(library.hash().to_owned(), Arc::downgrade(&library));
        library
    }

    /// What the plugin says of itself.
    pub fn metadata(&self) -> &Metadata {
        self.said.metadata()
    }

    /// The file that it was first read from.
    pub fn path(&self) -> &Path {
        self.sealed.path()
    }

    /// The SHA-256 of its content, in hexadecimal.
    pub fn hash(&self) -> &str {
        self.sealed.hash()
    }

    /// Its content.
    pub fn sealed(&self) -> &Arc<Sealed> {
        &self.sealed
    }

    /// Checks a provider's configuration against the plugin's schema, without running any of the plugin's code.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub fn validate_config(&self, config: &Value) -> Result<(), ConfigError> {
        self.said.schema().check(config)
    }

    /// Whether the library answers when it is asked for an interface, be it one that the host knows or not. It runs the
    /// plugin's code in this process, and looks at no layout.
    pub fn answers(&self, interface: &str) -> bool {
        self.code().is_ok_and(|code| code.answers(interface))
    }

    /// Whether the plugin has a function.
    pub(crate) fn has(&self, function: Function) -> bool {
        self.said.has(function)
    }

    /// Its code, loaded into this process where it is not there yet. Blocks, for at most
    /// [`LOAD_LIMIT`](crate::LOAD_LIMIT).
    pub(crate) fn code(&self) -> Result<&Arc<Code>, LoadError> {
        if let Some(code) = self.code.get() {
            return Ok(code);
        }
        let code = Code::once(&self.sealed)?;
        Ok(self.code.get_or_init(|| code))
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("path", &self.path())
            .field("hash", &self.hash())
            .field("name", &self.metadata().name)
            .field("version", &self.metadata().version)
            .finish_non_exhaustive()
    }
}
