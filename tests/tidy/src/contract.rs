//! The contract's document and its clauses as values say the same.

use longshore_conformance::Check;
use longshore_mutants::catalogue;
use longshore_plugin_api::{Clause, Level};

use crate::{Breaches, TextFile};

/// A clause as the document or the code has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Such as `RUN-1`.
    pub id: String,
    /// Whether it must be kept, or should; `None` where the document does not say.
    pub must: Option<bool>,
}

/// The clauses that the host and the checks know.
pub fn known() -> Vec<Entry> {
    let entry =
        |clause: &Clause| Entry { id: clause.id().to_owned(), must: Some(clause.level() == Level::Must) };
    Clause::ALL.iter().map(entry).collect()
}

/// The clauses that the document defines: lines that begin with marks, as of a heading, a list or a table, and a number.
pub fn defined(document: &TextFile) -> Vec<Entry> {
    let entry = |line: &str| {
        let marked = line.trim_start();
        let line = marked.trim_start_matches(|c: char| c.is_whitespace() || "#*-|`_>[".contains(c));
        let end = line
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-'))
            .unwrap_or(line.len());
        let (family, number) = line[..end].split_once('-')?;
        let is_id = family.chars().all(|c| c.is_ascii_uppercase())
            && number.parse::<u32>().is_ok()
            && !family.is_empty();
        let says = |word: &str| line[end..].split(|c: char| !c.is_alphabetic()).any(|other| other == word);
        let must = match (says("MUST"), says("SHOULD")) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        };
        (is_id && line.len() < marked.len()).then(|| Entry { id: line[..end].to_owned(), must })
    };
    document.text.lines().filter_map(entry).collect()
}

/// Both have the same clauses, in the same order, of the same level.
pub fn agreement(document: &TextFile, known: &[Entry]) -> Breaches {
    let defined = defined(document);
    let path = &document.path;
    let mut breaches = vec![];
    for entry in known {
        match defined.iter().filter(|other| other.id == entry.id).collect::<Vec<_>>()[..] {
            [] => breaches.push(format!("{path}: no line begins with {}", entry.id)),
            [one] if one.must == entry.must => {}
            [_] => {
                let level = if entry.must == Some(true) { "MUST" } else { "SHOULD" };
                breaches.push(format!(
                    "{path}: the line of {} says {level}, as the code does, and not the other",
                    entry.id
                ));
            }
            [..] => breaches.push(format!("{path}: more than one line begins with {}", entry.id)),
        }
    }
    for entry in &defined {
        if known.iter().all(|other| other.id != entry.id) {
            breaches.push(format!("{path}: {} is not among the clauses of the code", entry.id));
        }
    }
    if breaches.is_empty() && defined != known {
        breaches.push(format!("{path}: the clauses stand in another order than in the code"));
    }
    breaches
}

/// Every clause has a check and a mutant, by the clauses that those are for.
pub fn tried(known: &[Entry], checks: &[String], mutants: &[String]) -> Breaches {
    let mut breaches = vec![];
    for Entry { id, .. } in known {
        if !checks.contains(id) {
            breaches.push(format!("{id} has no check; add one to tests/conformance/src/check.rs"));
        }
        if !mutants.contains(id) {
            breaches.push(format!("{id} has no mutant; add one to tests/mutants/src/catalogue.rs"));
        }
    }
    breaches
}

/// The clauses that the conformance checks are for.
pub fn of_checks() -> Vec<String> {
    let clauses = Check::ALL.iter().flat_map(|check| check.clauses());
    clauses.map(|clause| clause.id().to_owned()).collect()
}

/// The clauses that the mutants break.
pub fn of_mutants() -> Vec<String> {
    catalogue::all().iter().map(|mutant| mutant.clause.id().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_that_nobody_tries_is_caught() {
        let entry = |id: &str, must| Entry { id: id.to_owned(), must: Some(must) };
        let known = [entry("RUN-1", true), entry("RUN-2", false)];
        let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let both = of(&["RUN-2", "RUN-1"]);
        assert_eq!(tried(&known, &both, &both), [""; 0]);
        let breaches = tried(&known, &of(&["RUN-1"]), &of(&["RUN-2"]));
        assert_eq!(breaches.len(), 2, "{breaches:?}");
        assert!(
            breaches[0].starts_with("RUN-1 has no mutant") && breaches[1].starts_with("RUN-2 has no check")
        );
    }

    #[test]
    fn a_document_that_differs_is_caught() {
        let entry = |id: &str, must| Entry { id: id.to_owned(), must: Some(must) };
        let known = [entry("RUN-1", true), entry("RUN-2", false)];
        let check = |text: &str| agreement(&TextFile::sample("C.md", text), &known);
        for text in [
            "# Run\n- **RUN-1** (MUST) one\n- **RUN-2** (SHOULD) two, see RUN-1",
            "| `RUN-1` | MUST | one |\n| `RUN-2` | SHOULD | two |",
            "### RUN-1 MUST\nRuns in\nUTF-8.\n### RUN-2 SHOULD\n",
        ] {
            assert_eq!(check(text), [""; 0], "{text}");
        }
        assert_eq!(check("- RUN-1 MUST"), ["C.md: no line begins with RUN-2"]);
        assert_eq!(
            check("- RUN-1 MUST\n- RUN-2 SHOULD\n- RUN-3 MUST"),
            ["C.md: RUN-3 is not among the clauses of the code"]
        );
        assert_eq!(
            check("- RUN-1 MUST\n- RUN-2 SHOULD\n- RUN-2 SHOULD"),
            ["C.md: more than one line begins with RUN-2"]
        );
        assert_eq!(
            check("- RUN-2 SHOULD\n- RUN-1 MUST"),
            ["C.md: the clauses stand in another order than in the code"]
        );
        assert_eq!(check("- RUN-1 SHOULD\n- RUN-2 SHOULD").len(), 1);
        assert_eq!(check("- RUN-1\n- RUN-2 SHOULD").len(), 1);
    }
}
