//! The checks of the family `load`: what a library is before anything is made of it, its configuration, and its instances.

mod config;
mod effects;
mod instances;
mod library;
mod schema;
mod shutdown;

pub(crate) use config::{load_config_is_taken, load_config_names_the_field, load_config_unknown_field};
pub(crate) use effects::{
    load_changes_no_environment, load_changes_no_signal, load_is_quick, load_prints_nothing,
    load_starts_no_thread,
};
pub(crate) use instances::{instances_in_number, instances_share_a_backend, instances_stand_apart};
pub(crate) use library::{load_interfaces, load_layout, load_metadata, load_symbols, load_unwinds};
pub(crate) use schema::{load_schema, load_schema_describes};
pub(crate) use shutdown::{drop_closes_descriptors, drop_ends_threads, drop_is_quick, drop_leaves_workers};
