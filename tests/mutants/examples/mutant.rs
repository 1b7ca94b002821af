//! The provider that breaks what its configuration says.

longshore_mutants::export!(longshore_mutants::mutant());
