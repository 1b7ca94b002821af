//! The provider that keeps every clause, or breaks the one that its configuration names.

longshore_mutants::export!(longshore_mutants::specimen());
