//! The tables behind the interface ids, version 1. They are frozen: a change is a new table under a new id.
//!
//! Every function of a table is unsafe, for one reason, which each table states under *Safety*: only the library that made
//! an [`Instance`] knows what it points to.
#![expect(missing_docs, reason = "the clauses of CONTRACT.md say what each function does")]

use abi_stable::{
    StableAbi,
    std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
};

use crate::{
    call::CallContext,
    interface::{InterfaceTable, ids},
    replies::{Failure, KillReply, ListReply, RunReply},
};

/// A provider that a plugin has made; the plugin alone knows what is inside. Dropping it shuts the provider down.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct Instance {
    data: *const (),
    destroy: unsafe extern "C" fn(data: *const ()),
}

// SAFETY: `Instance::new` demands that `data` may be used from any thread, by many at once.
unsafe impl Send for Instance {}
// SAFETY: as above.
unsafe impl Sync for Instance {}

impl Instance {
    /// Wraps a plugin's own data.
    ///
    /// # Safety
    ///
    /// `data` must be usable from any thread, by many at once, until `destroy` is called with it. That happens at most once,
    /// when the instance is dropped, on any thread; until then `destroy` must be callable.
    pub const unsafe fn new(data: *const (), destroy: unsafe extern "C" fn(*const ())) -> Self {
        Self { data, destroy }
    }

    /// What the plugin put in.
    pub const fn data(&self) -> *const () {
        self.data
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: `Instance::new` demands that it may be called once, when the instance is dropped, which is now.
        unsafe { (self.destroy)(self.data) };
    }
}

type Handles<'a> = RSlice<'a, RStr<'a>>;

/// `longshore.workers/1`: what every provider does.
///
/// # Safety
///
/// The instance must have been made by `create` of the root module whose `query` gave the table (a library has one), and
/// the context must stay valid until the call returns.
#[repr(C)]
#[derive(StableAbi)]
pub struct WorkersV1 {
    /// `request` is a JSON document: container, hardware, workers, token.
    pub run:
        unsafe extern "C" fn(&Instance, &CallContext<'_>, request: RStr<'_>) -> RResult<RunReply, Failure>,
    pub status: unsafe extern "C" fn(&Instance, &CallContext<'_>, Handles<'_>) -> RResult<RVec<u8>, Failure>,
    pub kill: unsafe extern "C" fn(&Instance, &CallContext<'_>, Handles<'_>) -> RResult<KillReply, Failure>,
    pub is_initializing:
        unsafe extern "C" fn(&Instance, &CallContext<'_>, Handles<'_>) -> RResult<RVec<u8>, Failure>,
    pub is_running:
        unsafe extern "C" fn(&Instance, &CallContext<'_>, Handles<'_>) -> RResult<RVec<u8>, Failure>,
    pub is_stopped:
        unsafe extern "C" fn(&Instance, &CallContext<'_>, Handles<'_>) -> RResult<RVec<u8>, Failure>,
}

impl InterfaceTable for WorkersV1 {
    const ID: &'static str = ids::WORKERS;
}

/// `longshore.initialize/1`.
///
/// # Safety
///
/// The instance must have been made by `create` of the root module whose `query` gave the table (a library has one), and
/// the context must stay valid until the call returns.
#[repr(C)]
#[derive(StableAbi)]
pub struct InitializeV1 {
    pub initialize: unsafe extern "C" fn(&Instance, &CallContext<'_>) -> RResult<(), Failure>,
}

impl InterfaceTable for InitializeV1 {
    const ID: &'static str = ids::INITIALIZE;
}

/// `longshore.list/1`.
///
/// # Safety
///
/// The instance must have been made by `create` of the root module whose `query` gave the table (a library has one), and
/// the context must stay valid until the call returns.
#[repr(C)]
#[derive(StableAbi)]
pub struct ListV1 {
    pub list: unsafe extern "C" fn(&Instance, &CallContext<'_>) -> RResult<ListReply, Failure>,
}

impl InterfaceTable for ListV1 {
    const ID: &'static str = ids::LIST;
}

/// `longshore.server/1`: one server a cluster.
///
/// # Safety
///
/// The instance must have been made by `create` of the root module whose `query` gave the table (a library has one), and
/// the context must stay valid until the call returns.
#[repr(C)]
#[derive(StableAbi)]
pub struct ServerV1 {
    /// `request` is a JSON document: container, hardware.
    pub run_server:
        unsafe extern "C" fn(&Instance, &CallContext<'_>, request: RStr<'_>) -> RResult<(), Failure>,
    pub stop_server: unsafe extern "C" fn(&Instance, &CallContext<'_>) -> RResult<(), Failure>,
    pub server_status: unsafe extern "C" fn(&Instance, &CallContext<'_>) -> RResult<u8, Failure>,
    /// A JSON document, or nothing while the server has no address.
    pub server_address:
        unsafe extern "C" fn(&Instance, &CallContext<'_>) -> RResult<ROption<RString>, Failure>,
}

impl InterfaceTable for ServerV1 {
    const ID: &'static str = ids::SERVER;
}

/// `longshore.cleanup/1`.
///
/// # Safety
///
/// The instance must have been made by `create` of the root module whose `query` gave the table (a library has one), and
/// the context must stay valid until the call returns.
#[repr(C)]
#[derive(StableAbi)]
pub struct CleanupV1 {
    pub cleanup: unsafe extern "C" fn(&Instance, &CallContext<'_>, deep: bool) -> RResult<(), Failure>,
}

impl InterfaceTable for CleanupV1 {
    const ID: &'static str = ids::CLEANUP;
}
