//! One mutant, tried: which checks catch it, and whether those of its own clause are among them.

use std::{env, path::PathBuf};

use longshore_conformance::{Check, Finding, Need, Outcome, Overall, Quirks, Report, Trial};
use longshore_mutants::{
    LoadMutation, Mutation, VARIABLE,
    catalogue::{Made, Mutant},
};
use longshore_plugin_api::Clause;
use longshore_support::{example, fixture};
use serde_json::{Value, json};

/// As many workers as the checks that take long ask for at once.
const MOST_WORKERS: u32 = 100_000;

/// What the checks found in a mutant.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) clause: Clause,
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// The checks of its clause that caught it.
    pub(crate) caught_by: Vec<Check>,
    /// Other checks that it did not pass.
    pub(crate) also: Vec<Check>,
}

/// A trial of a library of the mutants with the quirks of the specimen.
pub(crate) fn trial(made: &Made, config: &Value, env: &[(&str, String)]) -> Result<Trial, String> {
    let library = match made {
        Made::Example(name) => example("longshore-mutants", name),
        Made::Fixture { source, flags } => {
            fixture(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../mutants").join(source), flags)
        }
    };
    let quirks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../mutants/specimen.quirks.toml");
    let mut quirks = Quirks::read(&quirks)?;
    match config {
        Value::Object(fields) => quirks.config.extend(fields.clone()),
        Value::Null => {}
        other => return Err(format!("a configuration has fields, unlike {other}")),
    }
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut trial = Trial::new(library, quirks, program);
    trial.env = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Ok(trial)
}

/// Runs a trial quietly.
pub(crate) fn run(trial: &Trial) -> Result<Report, String> {
    trial.run(&|_| ()).map_err(|refusal| format!("there was no run: {refusal:?}"))
}

/// What stands in a failed test: a line a finding.
pub(crate) fn tell<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> String {
    let line = |finding: &Finding| {
        let left = match finding.left_behind.len() {
            0 => String::new(),
            left => format!(" (left {left} behind: {:?})", finding.left_behind[0]),
        };
        format!("  {}: {:?}{left}\n", finding.check, finding.outcome)
    };
    findings.into_iter().map(line).collect()
}

/// Whether a finding speaks against the provider, warnings included.
fn is_against(finding: &Finding) -> bool {
    finding.outcome.is_failure() || matches!(finding.outcome, Outcome::Warning(_))
}

/// The specimen without a mutation keeps every clause, and nothing of it is skipped that could be tried.
pub(crate) fn honest() -> Result<(), String> {
    passes(&trial(&Made::Example("specimen"), &Value::Null, &[])?)
}

/// The same of what is run with `--long` alone.
pub(crate) fn honest_for_long() -> Result<(), String> {
    passes(&lengthened(trial(&Made::Example("specimen"), &Value::Null, &[])?))
}

/// The contract leaves it open whether a token that is sent again is answered or refused, as long as the metadata say which.
/// Each of these two mutations breaks it alone, and both together make an honest provider that refuses.
pub(crate) fn honest_by_refusal() -> Result<(), String> {
    let hidden = [(VARIABLE, LoadMutation::IdempotenceIsHidden.name().to_owned())];
    let refuses = json!({ "mutation": Mutation::TokenIsRefused });
    passes(&trial(&Made::Example("spoilt_load"), &refuses, &hidden)?)
}

/// Has a trial run what takes long, and nothing else: the rest is tried without that.
fn lengthened(mut trial: Trial) -> Trial {
    trial.long = true;
    trial.quirks.most_workers = MOST_WORKERS;
    trial.checks.retain(|check| check.needs().contains(&Need::Long));
    trial
}

/// All that a trial runs is passed; nothing is skipped but what takes long.
fn passes(trial: &Trial) -> Result<(), String> {
    let report = run(trial)?;
    let others: Vec<_> = report.findings.iter().filter(|it| it.outcome != Outcome::Passed).collect();
    let expected = |finding: &&&Finding| matches!(&finding.outcome, Outcome::Skipped { because } if because.contains("--long"));
    if !report.findings.is_empty()
        && report.overall() == Overall::Conforms
        && others.iter().all(|it| expected(&it))
    {
        return Ok(());
    }
    Err(format!("the honest specimen did not pass, or was not tried:\n{}", tell(others)))
}

/// Which checks a mutant is tried with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    /// Those of its clause: seconds.
    ItsOwn,
    /// All of them: half a minute.
    All,
}

/// Tries a mutant.
fn row(mutant: &Mutant, with: With) -> Result<(Row, Report), String> {
    let mut trial = trial(&mutant.library, &mutant.config, &mutant.env)?;
    if with == With::ItsOwn {
        trial.checks.retain(|check| check.clauses().contains(&mutant.clause));
    }
    if mutant.long {
        trial = lengthened(trial);
    }
    let report = run(&trial)?;
    let faults = report.findings.iter().filter(|it| matches!(it.outcome, Outcome::HarnessFault { .. }));
    let faults: Vec<_> = faults.collect();
    if !faults.is_empty() {
        return Err(format!("the harness itself failed:\n{}", tell(faults)));
    }
    let against = || report.findings.iter().filter(|finding| is_against(finding));
    let is_own = |finding: &&Finding| finding.clauses.contains(&mutant.clause);
    let check = |finding: &Finding| Check::named(&finding.check);
    let row = Row {
        clause: mutant.clause,
        name: mutant.name,
        what: mutant.what,
        caught_by: against().filter(is_own).filter_map(check).collect(),
        also: against().filter(|finding| !is_own(finding)).filter_map(check).collect(),
    };
    Ok((row, report))
}

/// Tries a mutant and demands that it is caught by a check of its clause, in the name of the clause.
pub(crate) fn caught(mutant: &Mutant, with: With) -> Result<Row, String> {
    let (row, report) = row(mutant, with)?;
    let names_it = |finding: &Finding| match &finding.outcome {
        Outcome::Failed(breach) | Outcome::Warning(breach) => breach.clause == mutant.clause,
        // A process that ended names nothing; that it is a check of the clause must do.
        Outcome::Crashed { .. } | Outcome::TimedOut { .. } => true,
        _ => false,
    };
    let own = report.findings.iter().filter(|finding| finding.clauses.contains(&mutant.clause));
    if own.clone().any(names_it) {
        return Ok(row);
    }
    let against: Vec<_> =
        report.findings.iter().filter(|it| is_against(it) || !it.left_behind.is_empty()).collect();
    Err(format!(
        "{} ({}) is not caught by a check of {} in its name. Its checks:\n{}All that speaks against it:\n{}",
        mutant.name,
        mutant.what,
        mutant.clause,
        tell(own),
        tell(against)
    ))
}
