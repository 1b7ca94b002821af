//! The checks of the family `kill`.

mod again;
mod answers;
mod ends;
mod others;
mod whole;

pub(crate) use self::{
    again::{kill_twice, kill_twice_at_once},
    answers::{
        kill_fails_for_one, kill_mixed, kill_odd_text, kill_of_many, kill_of_none, kill_order, kill_stopped,
        kill_unknown,
    },
    ends::{
        kill_from_a_new_instance, kill_in_an_outage, kill_initializing, kill_stops, kill_stops_the_stubborn,
    },
    others::{kill_near_misses, kill_nobody_else},
    whole::{kill_children, kill_children_that_left, kill_whole_container},
};
