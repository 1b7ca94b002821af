//! `MATRIX.md`: written from what the checks found, and held to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::Mutex,
    thread,
};

use longshore_conformance::Check;
use longshore_mutants::catalogue::{self, Mutant};
use longshore_plugin_api::{Clause, Level};

use crate::row::{self, Row, With};

/// Set, it has the page written; to `all`, each mutant is tried with every check meanwhile, and what else catches it is told.
/// That takes the better part of an hour.
pub(crate) const WRITE: &str = "LONGSHORE_MATRIX_WRITE";

/// What has to be done where the page is not as it should be.
const REMEDY: &str = "write it again: cargo xtask matrix";

const HEAD: &str = "\
# The kill matrix

What each check is worth: for every clause of [the contract](../../plugin-api/CONTRACT.md) its checks, and the mutants that
break it, each with the checks of the clause that catch it; other checks may catch it as well. The tests try every mutant, and
hold that each check that stands here catches it. Written by `cargo xtask matrix`.
";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("MATRIX.md")
}

/// The page as it is.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    /// By mutant, the checks that catch it.
    rows: BTreeMap<String, Vec<String>>,
}

impl Page {
    /// Reads the page. One that is not there has no rows.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let row = |line: &str| {
            let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
            let [mutant, _, caught_by, ""] = cells[..] else { return None };
            let name = mutant.strip_prefix('`')?.strip_suffix('`')?;
            let checks = caught_by.split(", ").map(|check| check.trim_matches('`').to_owned());
            Some((name.to_owned(), checks.collect()))
        };
        let rows = text.lines().filter_map(row).collect();
        Self { text, rows }
    }

    /// Every mutant of the catalogue stands on the page, and nothing else; every clause that must be kept has a mutant, and every
    /// check catches one. What the page says beside is what the catalogue and the checks say of themselves today.
    pub(crate) fn agrees_with_the_catalogue(&self) -> Result<(), String> {
        let all = catalogue::all();
        let there: BTreeSet<&str> = self.rows.keys().map(String::as_str).collect();
        let wanted: BTreeSet<&str> = all.iter().map(|mutant| mutant.name).collect();
        if there != wanted {
            let odd: Vec<_> = there.symmetric_difference(&wanted).collect();
            return Err(format!("MATRIX.md and the catalogue of mutants differ in {odd:?}; {REMEDY}"));
        }
        for clause in Clause::ALL.iter().filter(|clause| clause.level() == Level::Must) {
            if !all.iter().any(|mutant| mutant.clause == *clause) {
                return Err(format!("no mutant breaks {clause}"));
            }
        }
        let row = |mutant: &Mutant| {
            let caught_by = self.rows.get(mutant.name).into_iter().flatten();
            let caught_by = caught_by.map(|name| {
                Check::named(name).ok_or_else(|| {
                    format!(
                        "MATRIX.md names {name} for {}, and there is no such check; {REMEDY}",
                        mutant.name
                    )
                })
            });
            let caught_by = caught_by.collect::<Result<_, _>>()?;
            Ok(Row {
                clause: mutant.clause,
                name: mutant.name,
                what: mutant.what,
                caught_by,
                also: Vec::new(),
            })
        };
        let rows = all.iter().map(row).collect::<Result<Vec<_>, String>>()?;
        let rows: Vec<&Row> = rows.iter().collect();
        let idle: Vec<_> = idle(&rows).map(|check| check.name()).collect();
        if !idle.is_empty() {
            return Err(format!("no mutant of their clauses is caught by {idle:?}: write one for each"));
        }
        let wanted = page(&rows);
        let differs = self.text.lines().zip(wanted.lines()).find(|(is, wanted)| is != wanted);
        match differs {
            Some((is, wanted)) => Err(format!("MATRIX.md says {is:?}, and was to say {wanted:?}; {REMEDY}")),
            None if self.text != wanted => Err(format!("MATRIX.md is too long or too short; {REMEDY}")),
            None => Ok(()),
        }
    }

    /// The mutant is caught, by every check that the page names for it.
    pub(crate) fn holds(&self, mutant: &Mutant) -> Result<(), String> {
        let row = row::caught(mutant, With::ItsOwn)?;
        let said =
            self.rows.get(mutant.name).ok_or_else(|| format!("MATRIX.md has no row for it; {REMEDY}"))?;
        let caught_by: Vec<&str> = row.caught_by.iter().map(|check| check.name()).collect();
        match said.iter().find(|name| !caught_by.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(format!(
                "MATRIX.md says that {name} catches {}, which only {caught_by:?} did; find out why, or {REMEDY}",
                mutant.name
            )),
        }
    }
}

/// Tries every mutant and writes the page.
pub(crate) fn write() -> ExitCode {
    let with = if env::var_os(WRITE).is_some_and(|how| how == "all") { With::All } else { With::ItsOwn };
    let mutants = Mutex::new(catalogue::all().into_iter().enumerate());
    let found = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = mutants.lock().ok().and_then(|mut mutants| mutants.next());
                    let Some((place, mutant)) = next else { break };
                    let row = row::caught(&mutant, with);
                    match &row {
                        Ok(row) => {
                            eprintln!(
                                "{} {}: {:?}, also {:?}",
                                row.clause, row.name, row.caught_by, row.also
                            );
                        }
                        Err(why) => eprintln!("NOT CAUGHT: {why}"),
                    }
                    if let Ok(mut found) = found.lock() {
                        found.insert(place, row);
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_default();
    let rows: Vec<&Row> = found.values().filter_map(|row| row.as_ref().ok()).collect();
    if let Err(error) = fs::write(path(), page(&rows)) {
        eprintln!("error: {} cannot be written: {error}", path().display());
        return ExitCode::FAILURE;
    }
    if rows.len() < found.len() {
        eprintln!("error: {} of {} mutants were not caught", found.len() - rows.len(), found.len());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn page(rows: &[&Row]) -> String {
    let mut text = HEAD.to_owned();
    let code = |names: &mut dyn Iterator<Item = &'static str>| {
        names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    for clause in Clause::ALL {
        let level = if clause.level() == Level::Must { "MUST" } else { "SHOULD" };
        let checks = Check::ALL.iter().filter(|check| check.clauses().contains(clause));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\n## {clause} ({level}): {}\n\nChecks: {}.\n\n| mutant | what it does | caught by |\n|---|---|---|",
            clause.text(),
            code(&mut checks.map(|check| check.name()))
        );
        for row in rows.iter().filter(|row| row.clause == *clause) {
            let caught_by = code(&mut row.caught_by.iter().map(|check| check.name()));
            let _ = writeln!(text, "| `{}` | {} | {caught_by} |", row.name, row.what);
        }
    }
    let idle = code(&mut idle(rows).map(|check| check.name()));
    if !idle.is_empty() {
        let _ = writeln!(
            text,
            "\n## Not proved\n\nNo mutant is there that these checks of its clause catch: {idle}."
        );
    }
    text
}

/// The checks that catch no mutant of their clauses: nobody knows what they are worth.
fn idle(rows: &[&Row]) -> impl Iterator<Item = &'static Check> {
    Check::ALL.iter().filter(|check| !rows.iter().any(|row| row.caught_by.contains(check)))
}
