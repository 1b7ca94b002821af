//! The core in the simulated world: a fixed set of seeds, a fresh one, and each checker against a core with a bent rule.

mod mutants;
mod seeds;
