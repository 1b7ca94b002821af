//! For people.

use longshore_conformance::{Check, Counts, Finding, Format, Outcome, Report, block, sentence};

use crate::{
    golden,
    made_up::{context, findings, leftover, report, report_of, told},
};

#[test]
fn a_run_reads_as_it_did() {
    golden("human.txt", &told(Format::Human, &report(), false));
}

#[test]
fn colours_are_all_that_a_terminal_obeys() {
    let plain = told(Format::Human, &report(), false);
    let odd = |c: char| c.is_control() && c != '\n';
    assert!(!plain.contains(odd), "{plain:?}");
    let coloured = told(Format::Human, &report(), true);
    let mut stripped = String::new();
    let mut parts = coloured.split("\u{1b}[");
    stripped.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (code, rest) = part.split_once('m').expect("a colour");
        assert!(code.chars().all(|c| c.is_ascii_digit() || c == ';'), "{code:?} is no colour");
        stripped.push_str(rest);
    }
    assert!(coloured.len() > plain.len());
    assert_eq!(stripped, plain, "the same words, but for the colours");
}

#[test]
fn each_failure_says_how_to_run_it_again() {
    let text = told(Format::Human, &report(), false);
    for check in ["run-few", "run-none", "status-order", "kill-stops", "model", "load-schema-describes"] {
        let again = format!(r"longshore conformance 'plugins/lib it'\''s.so' --filter {check} --seed 42");
        assert_eq!(text.matches(&again).count(), 1, "{check}: {text}");
    }
    let finding = findings().into_iter().find(|finding| finding.check == "run-few").expect("it is there");
    assert!(
        text.contains(block(&finding, &context(false).again, false).trim_end()),
        "a block is the same by itself"
    );
}

#[test]
fn one_sentence_says_it_all() {
    let said = |change: fn(&mut Report)| {
        let mut report = report_of(vec![], Counts::default());
        change(&mut report);
        sentence(&report)
    };
    let all = |outcome: Outcome| -> Vec<Finding> {
        let one = |check: &Check| Finding {
            check: check.name().to_owned(),
            outcome: outcome.clone(),
            ..findings().remove(0)
        };
        Check::ALL.iter().map(one).collect()
    };
    assert_eq!(said(|_| {}), "made-up 1.2.3: nothing was tried, and nothing can be said");
    assert_eq!(
        sentence(&report_of(all(Outcome::Passed), Counts::default())),
        "made-up 1.2.3 keeps the contract"
    );
    let some = said(|report| report.findings = findings().into_iter().take(2).collect());
    let checks = Check::ALL.len();
    assert_eq!(some, format!("made-up 1.2.3 keeps the contract, as far as 2 of {checks} checks tell"));
    let fault = said(|report| report.counts.harness_faults = 1);
    assert_eq!(fault, "made-up 1.2.3: the harness failed, and nothing can be said");
    let left = said(|report| {
        report.plugin = None;
        report.counts.left_behind = 1;
        report.findings = vec![Finding { left_behind: vec![leftover(1)], ..findings().remove(0) }];
    });
    assert_eq!(left, "plugins/lib it's.so leaves a worker behind");
    assert_eq!(
        sentence(&report()),
        "made-up 1.2.3 breaks RUN-1, STATUS-1, KILL-4, and leaves 13 workers behind"
    );
}
