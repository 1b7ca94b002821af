//! The real command and the Docker provider on a real container engine: third-party software in containers that computes while
//! it is scaled and killed, everything that can go wrong with an engine, and the configurations that are shown as examples.

mod engines;
mod examples;
mod mishaps;
mod moves;
mod queue;
mod redis_queue;
mod servers;
mod sharing;
mod yard;
