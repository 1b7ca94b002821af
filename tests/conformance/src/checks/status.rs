//! The checks of the family `status`.

mod answers;
mod last;
mod outage;
mod strangers;

pub(crate) use self::{
    answers::{status_changes_nothing, status_comes_to_run, status_of_many, status_of_none, status_order},
    last::{status_own_end_is_final, status_stopped_is_final},
    outage::status_in_an_outage,
    strangers::{status_of_near_misses, status_of_odd_text, status_of_unknown},
};
