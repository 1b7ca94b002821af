//! The journal, from outside: what it keeps, whom it lets write, and what it says when something is wrong.

mod basics;
mod damage;
mod leases;
mod limits;
mod outside;
mod support;
mod takeover;
mod transfers;
