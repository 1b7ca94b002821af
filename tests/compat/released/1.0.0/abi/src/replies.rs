//! What a plugin answers. Enumerations cross as plain numbers: a number that means nothing is a breach that the host can
//! name, while an invalid enum value would be undefined behaviour.

use abi_stable::{
    StableAbi,
    std_types::{ROption, RString, RVec},
};

/// The values of a worker's status.
pub mod status {
    /// Asked for, not yet at work.
    pub const INITIALIZING: u8 = 1;
    /// At work.
    pub const RUNNING: u8 = 2;
    /// Gone for good, or never known.
    pub const STOPPED: u8 = 3;
}

/// The kinds of a [`Failure`]. A host takes a kind that it does not know for [`kind::OTHER`].
pub mod kind {
    /// Nothing more is known; nothing was created; trying again may help.
    pub const OTHER: u8 = 0;
    /// The backend is busy, throttling or short of capacity: try again later.
    pub const RETRYABLE: u8 = 1;
    /// The request can never succeed as it stands.
    pub const PERMANENT: u8 = 2;
    /// The backend could not be reached.
    pub const UNREACHABLE: u8 = 3;
    /// The call was cancelled or ran out of time, and left nothing behind.
    pub const CANCELLED: u8 = 4;
    /// The provider itself does not know whether the request took effect.
    pub const UNKNOWN: u8 = 5;
    /// The configuration is wrong; `field` says where.
    pub const CONFIG: u8 = 6;
    /// The provider panicked.
    pub const PANIC: u8 = 7;
}

/// Why a call failed.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct Failure {
    /// One of [`kind`].
    pub kind: u8,
    /// For a person: what went wrong.
    pub message: RString,
    /// For [`kind::CONFIG`]: the field, as a path such as `limits.memory`; otherwise empty.
    pub field: RString,
}

/// Why fewer workers were launched than asked for.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct Shortfall {
    /// For a person.
    pub reason: RString,
    /// Whether asking again later may help.
    pub retryable: bool,
}

/// The answer of `run`: one handle a worker, in any order; a handle may stand several times.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct RunReply {
    /// One entry a worker.
    pub handles: RVec<RString>,
    /// Present exactly when there are fewer entries than workers asked for.
    pub shortfall: ROption<Shortfall>,
}

/// Why one entry of a request failed.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct Reason {
    /// The position in the request, from 0.
    pub index: u64,
    /// For a person.
    pub text: RString,
}

/// The answer of `kill`: 1 (stopped, or was never alive) or 0 (not stopped) for every handle, in order.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct KillReply {
    /// One answer a handle.
    pub answers: RVec<u8>,
    /// For the handles that were not stopped: why.
    pub reasons: RVec<Reason>,
}

/// One live handle of a cluster.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct Listed {
    /// The handle.
    pub handle: RString,
    /// The token of the launch that created it.
    pub token: RString,
    /// How many workers it holds.
    pub workers: u32,
}

/// The answer of `list`.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct ListReply {
    /// Every live handle of the cluster, each once.
    pub entries: RVec<Listed>,
}
