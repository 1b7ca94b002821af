//! The checks of the family `run`: what is launched, what is said of it, and what is left when a launch goes wrong.

mod bulk;
mod counts;
pub(crate) mod crashed;
mod evidence;
mod failures;
mod handles;
mod interrupted;
mod known;
mod names;
mod shares;
mod tokens;
pub(crate) mod witnessed;

pub(crate) use bulk::{run_hundred, run_hundred_thousand, run_thousand};
pub(crate) use counts::{run_falls_short, run_few, run_never_more, run_none};
pub(crate) use crashed::run_token_after_a_crash;
pub(crate) use failures::run_that_fails_leaves_nothing;
pub(crate) use handles::{run_handles_are_fresh, run_handles_are_fresh_anew, run_handles_are_text};
pub(crate) use interrupted::{run_cancelled_leaves_nothing, run_late_leaves_nothing};
pub(crate) use known::{run_is_known_at_once, run_is_known_elsewhere, run_is_known_to_others};
pub(crate) use names::run_odd_names;
pub(crate) use shares::{run_fills_containers, run_one_a_container};
pub(crate) use tokens::{
    run_token_at_once, run_token_twice, run_token_twice_after_kill, run_token_twice_anew,
    run_token_twice_elsewhere,
};
pub(crate) use witnessed::{run_arguments, run_environment, run_folder, run_variables_of_longshore};
