//! Runs checks over a library and prints what they found: `try LIB [--quirks FILE] [--filter GLOB]`.

use std::{env, path::PathBuf, process::ExitCode};

use longshore_conformance::{Check, Event, Quirks, Trial, intercept};

fn main() -> ExitCode {
    if let Some(code) = intercept() {
        return code;
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let library = PathBuf::from(arguments.first().expect("a library"));
    let quirks =
        option("--quirks").map_or_else(|| Quirks::beside(&library), |path| Quirks::read(path.as_ref()));
    let quirks = quirks.unwrap_or_else(|error| panic!("{error}"));
    let mut trial = Trial::new(library, quirks, env::current_exe().expect("a program"));
    if let Some(filter) = option("--filter") {
        trial.checks = Check::matching(&filter).unwrap_or_else(|error| panic!("{error}"));
    }
    if let Some(config) = option("--config") {
        trial.config = serde_json::from_str(&config).expect("a configuration in JSON");
    }
    let report = trial.run(&|event| {
        if let Event::Ended(finding) = event {
            println!("{:>7} ms  {:<14} {}", finding.took_ms, finding.outcome.word(), finding.check);
        }
    });
    match report {
        Ok(report) => {
            for finding in report
                .findings
                .iter()
                .filter(|it| it.outcome.word() != "passed" || !it.left_behind.is_empty())
            {
                println!("{finding:#?}");
            }
            println!("{:?} in {} ms: {:?}", report.counts, report.took_ms, report.overall());
        }
        Err(refusal) => println!("{refusal:?}"),
    }
    ExitCode::SUCCESS
}
