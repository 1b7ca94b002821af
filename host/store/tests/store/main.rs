//! The journal, from outside: what it keeps, whom it lets write, and what it says when something is wrong.

mod basics;
mod support;
