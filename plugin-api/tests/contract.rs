//! `CONTRACT.md` and the clauses of the code say the same.

use longshore_plugin_api::{Clause, Level};

const CONTRACT: &str = include_str!("../CONTRACT.md");

/// A clause as the document has it.
struct Documented {
    id: &'static str,
    level: &'static str,
    text: &'static str,
    body: &'static str,
}

fn documented() -> Vec<Documented> {
    let mut clauses = Vec::new();
    for section in CONTRACT.split("\n### ").skip(1) {
        let (heading, rest) = section.split_once('\n').expect("a heading has a line of its own");
        let Some((id, level)) = heading.split_once(" (") else { continue };
        let (text, body) = rest.split_once("\n\n").expect("a clause's text is followed by a blank line");
        let text = text.strip_prefix("**").and_then(|text| text.strip_suffix("**"));
        clauses.push(Documented {
            id,
            level: level.trim_end_matches(')'),
            text: text.expect("a clause's text is bold"),
            body: body.split("\n## ").next().unwrap_or_default().trim(),
        });
    }
    clauses
}

#[test]
fn the_document_and_the_code_list_the_same_clauses_in_the_same_order() {
    let level = |clause: &Clause| match clause.level() {
        Level::Must => "MUST",
        Level::Should => "SHOULD",
    };
    let known: Vec<_> =
        Clause::ALL.iter().map(|clause| (clause.id(), level(clause), clause.text())).collect();
    let documented: Vec<_> = documented().iter().map(|found| (found.id, found.level, found.text)).collect();
    assert_eq!(documented, known);
}

#[test]
fn every_clause_is_explained() {
    for found in documented() {
        assert!(found.body.len() > 40, "{} is not explained: {:?}", found.id, found.body);
    }
}

#[test]
fn the_numbers_of_a_family_count_from_one() {
    let mut before = ("", 0);
    for clause in Clause::ALL {
        let (family, number) = clause.id().split_once('-').expect("a number has a family");
        let number: u32 = number.parse().expect("it is a number");
        assert_eq!(number, if family == before.0 { before.1 + 1 } else { 1 }, "{clause}");
        before = (family, number);
    }
}

#[test]
fn the_clauses_that_the_document_refers_to_exist() {
    let is_number = |word: &&str| {
        let parts = word.split_once('-');
        parts.is_some_and(|(family, number)| {
            family.bytes().all(|b| b.is_ascii_uppercase()) && number.parse::<u32>().is_ok()
        })
    };
    let words = CONTRACT.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-'));
    let numbers: Vec<_> = words.filter(is_number).filter(|word| *word != "UTF-8").collect();
    assert!(numbers.len() > Clause::ALL.len(), "it refers to none");
    for number in numbers {
        assert!(Clause::ALL.iter().any(|clause| clause.id() == number), "there is no {number}");
    }
}
