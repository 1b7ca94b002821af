//! The kill matrix: every mutant of `tests/mutants` is tried with the checks, and is caught by a check of its own clause; the
//! honest specimen passes everything. So the harness is known to find what it is there to find.
//!
//! One test a mutant, so that each can be run by itself. `cargo xtask matrix` writes what was found to `MATRIX.md`, and a
//! test holds that what stands there is so.

mod crashes;
mod page;
mod row;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};
use longshore_conformance::intercept;
use longshore_mutants::catalogue;

use page::Page;

fn main() -> ExitCode {
    // The checks' processes are this program, too.
    if let Some(code) = intercept() {
        return code;
    }
    if std::env::var_os(page::WRITE).is_some() {
        return page::write();
    }
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let page = Arc::new(Page::read());
    let mut trials = vec![
        Trial::test("the_honest_specimen_passes_everything", || test(row::honest)),
        Trial::test("the_honest_specimen_passes_what_takes_long", || test(row::honest_for_long)),
        Trial::test("an_honest_specimen_that_refuses_tokens_passes_everything", || {
            test(row::honest_by_refusal)
        }),
        Trial::test("every_mutant_has_a_row_and_every_row_a_mutant", {
            let page = Arc::clone(&page);
            move || test(|| page.agrees_with_the_catalogue())
        }),
    ];
    for mutant in catalogue::all() {
        let page = Arc::clone(&page);
        let name = format!("mutant::{}::{}", mutant.clause.id(), mutant.name);
        trials.push(Trial::test(name, move || test(|| page.holds(&mutant))));
    }
    for crash in catalogue::crashes() {
        let name = format!("crash::{}", crash.name);
        trials.push(Trial::test(name, move || test(|| crashes::is_told(&crash))));
    }
    trials
}

/// What went wrong, as a failed test says it.
fn test(work: impl FnOnce() -> Result<(), String>) -> Result<(), Failed> {
    work().map_err(Failed::from)
}
