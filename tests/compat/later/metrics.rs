//! An interface that nobody has yet: what a later release of the contract may add.

use abi_stable::{StableAbi, std_types::RResult};

use crate::{CallContext, Failure, Instance, InterfaceTable};

/// `longshore.metrics/1`.
///
/// # Safety
///
/// As for every table: the instance is of the same library, and the context stays valid until the call returns.
#[repr(C)]
#[derive(StableAbi)]
pub struct MetricsV1 {
    /// How many containers are alive.
    pub alive: unsafe extern "C" fn(&Instance, &CallContext<'_>) -> RResult<u64, Failure>,
}

impl InterfaceTable for MetricsV1 {
    const ID: &'static str = "longshore.metrics/1";
}
