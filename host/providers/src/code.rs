//! A plugin's code, in this process: loaded once and for good, with everything about it checked that can be checked before
//! a provider is made. What is here of it, tables and functions, is never unloaded.
#![expect(unsafe_code, reason = "loading a library runs its code")]

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use longshore_plugin_abi::{
    CleanupV1, Failure, InitializeV1, Instance, Interface, InterfaceTable, ListV1, Logger, RootModuleRef,
    ServerV1, WorkersV1,
    abi_stable::{
        library::{AbiHeaderRef, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL},
        std_types::RStr,
    },
};
use longshore_plugin_api::Metadata;

use crate::{
    error::{LoadError, LoadErrorKind},
    private_copy,
    registry::{Refusal, Registry},
    said::Said,
    sealed::Sealed,
};

/// The code in this process, by its hash.
static CODE: LazyLock<Registry<Code>> = LazyLock::new(Registry::default);

/// The tables that a library has.
pub(crate) struct Tables {
    pub(crate) workers: &'static WorkersV1,
    pub(crate) initialize: Option<&'static InitializeV1>,
    pub(crate) list: Option<&'static ListV1>,
    pub(crate) server: Option<&'static ServerV1>,
    pub(crate) cleanup: Option<&'static CleanupV1>,
}

/// A plugin's code, loaded and checked.
pub(crate) struct Code {
    root: RootModuleRef,
    document: String,
    said: Arc<Said>,
    tables: &'static Tables,
}

impl Code {
    /// The code of what is sealed, loaded unless it is in the process already. Blocks, for at most
    /// [`LOAD_LIMIT`](crate::LOAD_LIMIT).
    pub(crate) fn once(sealed: &Arc<Sealed>) -> Result<Arc<Self>, LoadError> {
        let load = {
            let sealed = Arc::clone(sealed);
            move || Self::load(&sealed)
        };
        CODE.once(sealed.path(), sealed.hash(), load)
    }

    /// Loads it on the calling thread, for as long as that takes, and whatever was loaded before. A refusal says whether
    /// the library is in the process already, for then it stays there.
    pub(crate) fn load(sealed: &Sealed) -> Result<Self, Refusal> {
        let path = sealed.path();
        sealed.check().map_err(Refusal::before)?;
        let header = private_copy::load(sealed, |library| {
            // SAFETY: the symbol is abi_stable's own, which nobody else exports, and is a static that starts with an
            // `AbiHeader`; the library is never unloaded.
            unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) }
                .map(|symbol| *symbol)
        })
        .map_err(|failure| Refusal::before(LoadError::new(path, failure.kind, failure.message)))?;
        Self::examine(path, header).map_err(Refusal::after)
    }

    /// Checks a library that is in the process.
    fn examine(path: &Path, header: AbiHeaderRef) -> Result<Self, LoadError> {
        let root = root_module(header).map_err(|error| describe(path, &error))?;
        let document = String::from(root.metadata()());
        let said = Said::read(path, &document)?;
        let metadata = said.metadata();
        let tables = Tables {
            workers: interface(path, root, metadata)?.ok_or_else(|| {
                let message = format_args!("it does not have the interface {}", WorkersV1::ID);
                LoadError::new(path, LoadErrorKind::Metadata, message)
            })?,
            initialize: interface(path, root, metadata)?,
            list: interface(path, root, metadata)?,
            server: interface(path, root, metadata)?,
            cleanup: interface(path, root, metadata)?,
        };
        // As long-lived as the library whose functions they are.
        let tables = Box::leak(Box::new(tables));
        Ok(Self { root, document, said: Arc::new(said), tables })
    }

    /// What the plugin says of itself.
    pub(crate) fn said(&self) -> &Arc<Said> {
        &self.said
    }

    /// The same, in its own words.
    pub(crate) fn document(&self) -> &str {
        &self.document
    }

    /// Whether the library answers when it is asked for an interface.
    pub(crate) fn answers(&self, interface: &str) -> bool {
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
