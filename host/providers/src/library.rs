//! A plugin's library: the bytes of its file, loaded once and for good, with everything about it checked that can be
//! checked before a provider is made. What the host keeps of it — code, metadata, tables — is never unloaded.
#![expect(unsafe_code, reason = "loading a library runs its code")]

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use longshore_config::Trust;
use longshore_plugin_abi::{
    CONTRACT_VERSION, CleanupV1, Failure, InitializeV1, Instance, Interface, InterfaceTable, ListV1, Logger,
    RootModuleRef, ServerV1, WorkersV1,
    abi_stable::{
        library::{AbiHeaderRef, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL},
        std_types::RStr,
    },
};
use longshore_plugin_api::{Metadata, PanicStrategy};
use serde_json::Value;

use crate::{
    error::{ConfigError, Function, LoadError, LoadErrorKind},
    image, private_copy,
    registry::{Refusal, Registry},
    schema::ConfigSchema,
    verify::{Verified, verify},
};

/// The libraries of this process.
static LIBRARIES: LazyLock<Registry<Library>> = LazyLock::new(Registry::default);

/// The tables that a library has.
pub(crate) struct Tables {
    pub(crate) workers: &'static WorkersV1,
    pub(crate) initialize: Option<&'static InitializeV1>,
    pub(crate) list: Option<&'static ListV1>,
    pub(crate) server: Option<&'static ServerV1>,
    pub(crate) cleanup: Option<&'static CleanupV1>,
}

impl Tables {
    /// Whether the plugin has a function.
    pub(crate) fn have(&self, function: Function) -> bool {
        match function {
            Function::Run
            | Function::Status
            | Function::Kill
            | Function::IsInitializing
            | Function::IsRunning
            | Function::IsStopped => true,
            Function::Initialize => self.initialize.is_some(),
            Function::List => self.list.is_some(),
            Function::RunServer | Function::StopServer | Function::ServerStatus | Function::ServerAddress => {
                self.server.is_some()
            }
            Function::Cleanup => self.cleanup.is_some(),
        }
    }
}

/// A plugin's library, loaded and checked.
pub struct Library {
    path: PathBuf,
    hash: String,
    root: RootModuleRef,
    metadata: Metadata,
    schema: ConfigSchema,
    tables: &'static Tables,
}

impl Library {
    /// Loads a library and checks what it says of itself. A file of the same content is loaded once a process: opening it
    /// again, under whatever path, gives the same library.
    ///
    /// The file is read once and what was read is loaded, so that it may be replaced, overwritten or deleted afterwards.
    /// Blocks, for at most [`LOAD_LIMIT`](crate::LOAD_LIMIT) beside the reading.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what is wrong, where, and what to do about it.
    pub fn open(path: &Path) -> Result<Arc<Self>, LoadError> {
        Self::open_trusted(path, &Trust::default())
    }

    /// As [`open`](Self::open), of a file that must be what is demanded of it: see [`verify`].
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn open_trusted(path: &Path, trust: &Trust) -> Result<Arc<Self>, LoadError> {
        Self::open_verified(path, verify(path, trust)?)
    }

    /// As [`open`](Self::open), of what was read and looked at before: the file is not touched any more.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn open_verified(path: &Path, verified: Verified) -> Result<Arc<Self>, LoadError> {
        let Verified { bytes, hash, .. } = verified;
        let load = {
            let (path, hash) = (path.to_owned(), hash.clone());
            move || Self::load(&path, &bytes, hash)
        };
        LIBRARIES.once(path, &hash, load)
    }

    /// As [`open`](Self::open), but on the calling thread, for as long as it takes, and whatever was loaded before: for a harness
    /// that looks at what loading does to a thread. It never shares what it loads.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn open_here(path: &Path) -> Result<Arc<Self>, LoadError> {
        let Verified { bytes, hash, .. } = verify(path, &Trust::default())?;
        Self::load(path, &bytes, hash).map(Arc::new).map_err(Refusal::into_error)
    }

    /// Loads the bytes. A refusal says whether the library is in the process already, for then it stays there.
    fn load(path: &Path, bytes: &[u8], hash: String) -> Result<Self, Refusal> {
        image::check(bytes)
            .map_err(|(kind, message)| Refusal::before(LoadError::new(path, kind, message)))?;
        let header = private_copy::load(bytes, &hash, |library| {
            // SAFETY: the symbol is abi_stable's own, which nobody else exports, and is a static that starts with an
            // `AbiHeader`; the library is never unloaded.
            unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) }
                .map(|symbol| *symbol)
        })
        .map_err(|failure| Refusal::before(LoadError::new(path, failure.kind, failure.message)))?;
        Self::examine(path, hash, header).map_err(Refusal::after)
    }

    /// Checks a library that is in the process.
    fn examine(path: &Path, hash: String, header: AbiHeaderRef) -> Result<Self, LoadError> {
        let root = root_module(header).map_err(|error| describe(path, &error))?;
        let document = root.metadata()();
        let metadata: Metadata = serde_json::from_str(&document).map_err(|error| {
            LoadError::new(
                path,
                LoadErrorKind::Metadata,
                format_args!("its metadata cannot be read: {error}"),
            )
            .with_detail(document.as_str())
        })?;
        check_metadata(&metadata).map_err(|(kind, message)| LoadError::new(path, kind, message))?;
        let schema = ConfigSchema::new(metadata.config_schema.clone())
            .map_err(|message| LoadError::new(path, LoadErrorKind::Schema, message))?;
        let tables = Tables {
            workers: interface(path, root, &metadata)?.ok_or_else(|| {
                let message = format_args!("it does not have the interface {}", WorkersV1::ID);
                LoadError::new(path, LoadErrorKind::Metadata, message)
            })?,
            initialize: interface(path, root, &metadata)?,
            list: interface(path, root, &metadata)?,
            server: interface(path, root, &metadata)?,
            cleanup: interface(path, root, &metadata)?,
        };
        // As long-lived as the library whose functions they are.
        let tables = Box::leak(Box::new(tables));
        Ok(Self { path: path.to_owned(), hash, root, metadata, schema, tables })
    }

    /// What the plugin says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The file that it was first loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of its content, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Checks a provider's configuration against the plugin's schema, without running any of the plugin's code.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field.
    pub fn validate_config(&self, config: &Value) -> Result<(), ConfigError> {
        self.schema.check(config)
    }

    /// Whether the library answers when it is asked for an interface, be it one that the host knows or not. It runs the
    /// plugin's code, and looks at no layout.
    pub fn answers(&self, interface: &str) -> bool {
        self.root.query()(RStr::from_str(interface)).is_some()
    }

    pub(crate) fn tables(&self) -> &'static Tables {
        self.tables
    }

    /// Lets the plugin make an instance, to be called through [`tables`](Self::tables) alone: see `Paired`.
    pub(crate) fn make(&self, log: Logger, config: &str) -> Result<Instance, Failure> {
        self.root.create()(log, RStr::from_str(config)).into_result()
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("path", &self.path)
            .field("hash", &self.hash)
            .field("name", &self.metadata.name)
            .field("version", &self.metadata.version)
            .finish_non_exhaustive()
    }
}

/// The root module, its layout checked.
///
/// Of its crate's version, only the major number must be ours, which is that of the contract; the layout says the rest.
/// (`abi_stable`'s own check would turn down the plugins of every older minor version.)
fn root_module(header: AbiHeaderRef) -> Result<RootModuleRef, RootError> {
    let header = header.upgrade().map_err(RootError::Library)?;
    let theirs = header.version_strings().version;
    if !agree(theirs.as_str(), RootModuleRef::expected_version()) {
        return Err(RootError::OtherVersion(theirs.as_str().to_owned()));
    }
    if header.layout().is_none() {
        return Err(RootError::NoLayout);
    }
    header.check_layout::<RootModuleRef>().map_err(RootError::Library)
}

/// Whether two versions have the same major number, the one before the first dot.
fn agree(theirs: &str, ours: &str) -> bool {
    theirs.split('.').next() == ours.split('.').next()
}

enum RootError {
    Library(LibraryError),
    OtherVersion(String),
    NoLayout,
}

fn describe(path: &Path, error: &RootError) -> LoadError {
    let layout = |message: &str| LoadError::new(path, LoadErrorKind::Layout, message);
    let error = match error {
        RootError::NoLayout => return layout("it exports a root module without its layout"),
        RootError::OtherVersion(theirs) => {
            let ours = RootModuleRef::expected_version();
            return layout(&format!("its root module is of version {theirs}, and this host's of {ours}"));
        }
        RootError::Library(error) => error,
    };
    let refusal = match error {
        LibraryError::AbiInstability(_) => layout(
            "its root module is laid out differently from this host's; it was built for another release",
        ),
        LibraryError::InvalidAbiHeader(header) => layout(&format!(
            "it was built with abi_stable {}.{}, which this host's does not understand",
            header.abi_major, header.abi_minor
        )),
        LibraryError::InvalidCAbi { .. } => {
            layout("its compiler calls functions in another way than this host's")
        }
        LibraryError::RootModule { .. } => {
            LoadError::new(path, LoadErrorKind::Open, "it failed to make its root module")
        }
        other => LoadError::new(path, LoadErrorKind::Open, other),
    };
    refusal.with_detail(error.to_string())
}

fn check_metadata(metadata: &Metadata) -> Result<(), (LoadErrorKind, String)> {
    if metadata.contract != CONTRACT_VERSION {
        let message = format!(
            "it was built for version {} of the contract, and this host knows version {CONTRACT_VERSION}",
            metadata.contract
        );
        return Err((LoadErrorKind::Contract, message));
    }
    if metadata.panic == PanicStrategy::Abort {
        let message = "it was built with panic = \"abort\": a panic in it would end the host".to_owned();
        return Err((LoadErrorKind::Aborts, message));
    }
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if metadata.name.is_empty() || !metadata.name.chars().all(fit) {
        let message =
            format!("its name is {:?}, where lower-case letters, digits and `-` are allowed", metadata.name);
        return Err((LoadErrorKind::Metadata, message));
    }
    if metadata.version.is_empty() {
        return Err((LoadErrorKind::Metadata, "its metadata names no version".to_owned()));
    }
    Ok(())
}

/// The table of an interface, its layout checked; `None` where the plugin neither has nor claims it.
fn interface<T: InterfaceTable>(
    path: &Path,
    root: RootModuleRef,
    metadata: &Metadata,
) -> Result<Option<&'static T>, LoadError> {
    let found: Option<Interface> = root.query()(RStr::from_str(T::ID)).into_option();
    let claimed = metadata.has(T::ID);
    if claimed != found.is_some() {
        let message = if claimed {
            format!("its metadata names the interface {}, which it does not have", T::ID)
        } else {
            format!("it has the interface {}, which its metadata does not name", T::ID)
        };
        return Err(LoadError::new(path, LoadErrorKind::Metadata, message));
    }
    let table = found.map(|interface| interface.table::<T>()).transpose();
    table.map_err(|mismatch| {
        let detail = mismatch.detail.clone();
        LoadError::new(path, LoadErrorKind::Layout, mismatch).with_detail(detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_agree_by_their_major_number_whichever_is_the_newer() {
        assert!(agree("1.0.0", "1.0.0") && agree("1.7.3", "1.0.0") && agree("1.0.0", "1.7.3"));
        assert!(!agree("2.0.0", "1.0.0") && !agree("10.0.0", "1.0.0") && !agree("0.1.0", "1.0.0"));
    }
}
