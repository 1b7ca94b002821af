//! The project's own commands: cargo xtask demo, test, bench, ci.
fn main() {}
