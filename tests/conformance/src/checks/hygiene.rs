//! The checks of the family `hygiene`: what a provider does to the process that it is in.

mod cycles;
mod faults;
mod output;
mod rounds;

pub(crate) use cycles::{
    cycles_leave_no_descriptors, cycles_leave_no_files, cycles_leave_no_memory, cycles_leave_no_threads,
    instances_leave_nothing,
};
pub(crate) use faults::{instance_survives_failures, odd_text_does_no_harm};
pub(crate) use output::output_stays_empty;
