//! Interfaces: tables of functions that a host finds by id, with their layout checked before use.

use abi_stable::{StableAbi, abi_stability::check_layout_compatibility, type_layout::TypeLayout};

/// The ids of the interfaces that this release knows.
pub mod ids {
    /// `run`, `status`, `kill` and the predicates: every plugin has it.
    pub const WORKERS: &str = "longshore.workers/1";
    /// `initialize`: once a cluster, before its first `run`.
    pub const INITIALIZE: &str = "longshore.initialize/1";
    /// `list`: the live handles of a cluster.
    pub const LIST: &str = "longshore.list/1";
    /// The life cycle of a cluster's server.
    pub const SERVER: &str = "longshore.server/1";
    /// `cleanup`: removes what a cluster left behind.
    pub const CLEANUP: &str = "longshore.cleanup/1";
}

/// A table of functions that is found by id.
pub trait InterfaceTable: StableAbi + Sync + 'static {
    /// The id, ending in a version: `longshore.workers/1`.
    const ID: &'static str;
}

/// A pointer to some table, together with the layout that the plugin was compiled with.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct Interface {
    table: *const (),
    layout: &'static TypeLayout,
}

// SAFETY: it points to a `'static` table that is `Sync` (see `Interface::of`).
unsafe impl Send for Interface {}
// SAFETY: as above.
unsafe impl Sync for Interface {}

/// The host and the plugin disagree on the layout of an interface's table.
#[derive(Debug)]
pub struct LayoutMismatch {
    /// The interface's id.
    pub id: &'static str,
    /// The full comparison; hundreds of lines long.
    pub detail: String,
}

impl std::fmt::Display for LayoutMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the plugin's table for {} is laid out differently from the host's", self.id)
    }
}

impl std::error::Error for LayoutMismatch {}

impl Interface {
    /// Points to a table, keeping its layout beside it.
    pub fn of<T: InterfaceTable>(table: &'static T) -> Self {
        Self { table: std::ptr::from_ref(table).cast(), layout: T::LAYOUT }
    }

    /// The table as the type that the host knows by the id it asked for.
    ///
    /// It is safe to call: the fields are private, so that an `Interface` comes from [`Interface::of`] alone, in this
    /// program or in a library that it has loaded. Whoever loads a library trusts it to hand out nothing else; that trust
    /// is given where the library is opened, which is unsafe, and not here.
    ///
    /// # Errors
    ///
    /// [`LayoutMismatch`] when the plugin was compiled with another layout of that table.
    pub fn table<T: InterfaceTable>(&self) -> Result<&'static T, LayoutMismatch> {
        check_layout_compatibility(T::LAYOUT, self.layout)
            .into_result()
            .map_err(|errors| LayoutMismatch { id: T::ID, detail: errors.to_string() })?;
        // SAFETY: an `Interface` is only made by `Interface::of`, here or in a library, which keeps together the layout
        // and the pointer to a table that lives for ever; that layout was just found to be the one of `T`.
        Ok(unsafe { &*self.table.cast::<T>() })
    }
}
