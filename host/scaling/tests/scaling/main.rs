//! Tests of the core as a whole, against a fake backend under a time that the tests move.

mod edges;
mod faults;
mod moving;
mod random;
mod recovery;
mod seed;
mod server;
mod server_ends;
mod serving;
mod simulated;
mod world;
