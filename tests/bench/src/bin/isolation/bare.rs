//! The plugin without a host: its table of functions, called as it is.
#![expect(unsafe_code, reason = "the bare call has no host around it")]

use std::{path::Path, time::Instant};

use abi_stable::{
    library::lib_header_from_path,
    std_types::{RSlice, RStr},
};
use longshore_bench::Runs;
use longshore_plugin_abi::{CallContext, CallControl, Instance, Logger, RootModuleRef, WorkersV1, ids};
use longshore_providers::Handles;

use crate::{CONFIG, Way};

pub(crate) struct Bare {
    instance: Instance,
    workers: &'static WorkersV1,
}

extern "C" fn no_line(_: *const (), _: u8, _: RStr<'_>, _: RStr<'_>) {}
extern "C" fn never(_: *const ()) -> bool {
    false
}
extern "C" fn never_within(_: *const (), _: u64) -> bool {
    false
}

fn logger() -> Logger {
    // SAFETY: the function looks at nothing.
    unsafe { Logger::new(std::ptr::null(), no_line, 0) }
}

fn context() -> CallContext<'static> {
    // SAFETY: the functions look at nothing.
    let control = unsafe { CallControl::new(std::ptr::null(), never, never_within) };
    CallContext { cluster: "bench".into(), budget_nanos: u64::MAX, verbose: 0, control, log: logger() }
}

impl Bare {
    pub(crate) fn new(path: &Path) -> Self {
        let header = lib_header_from_path(path).expect("the plugin is loaded");
        let root: RootModuleRef = header.init_root_module().expect("its layout is ours");
        let found = root.query()(ids::WORKERS.into()).into_option().expect("every plugin has it");
        let workers = found.table().expect("its layout is ours");
        let instance = root.create()(logger(), CONFIG.into()).into_result().expect("it is made");
        Self { instance, workers }
    }
}

impl Way for Bare {
    fn name(&self) -> &'static str {
        "bare table"
    }

    fn measure(&mut self, handles: &Handles, calls: usize) -> Runs {
        let texts: Vec<RStr<'_>> = handles.iter().map(|handle| RStr::from_str(handle)).collect();
        let mut runs = Runs::default();
        for _ in 0..calls {
            let begun = Instant::now();
            // SAFETY: the instance and the table are of one root module, and the context's functions look at nothing.
            let values =
                unsafe { (self.workers.status)(&self.instance, &context(), RSlice::from_slice(&texts)) };
            assert_eq!(values.into_result().expect("it answers").len(), texts.len());
            runs.add(begun.elapsed());
        }
        runs
    }
}
