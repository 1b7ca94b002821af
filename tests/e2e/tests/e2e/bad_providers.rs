//! Providers that panic, lie or hang: the host goes on, the other clusters do not notice, and `explain` says what is wrong.

use longshore_e2e::House;
use longshore_support::{example, until};

/// A host that has a good plugin, and one that breaks what its configuration says.
fn rough_house() -> House {
    let mut house = House::with(&["longshore-memory"]);
    house.drop_in(&example("longshore-mutants", "mutant"));
    house.serve();
    house
}

/// A host with a good cluster, `calm`, and one whose provider has a fault, `rough`.
fn house(fault: &str) -> House {
    let house = rough_house();
    house.apply(
        r#"
[[provider]]
name = "memory"
[[cluster]]
name = "calm"
provider = "memory"
workers = 2
"#,
    );
    let rough = format!(
        r#"
[[provider]]
name = "bad"
plugin = "mutant"
[provider.config]
release = "{release}"
{fault}
[[cluster]]
name = "rough"
provider = "bad"
workers = 3
[cluster.timeouts]
run = "300ms"
status = "300ms"
kill = "300ms"
[cluster.scaling]
poll_interval = "100ms"
busy_poll_interval = "100ms"
backoff = "50ms"
backoff_max = "200ms"
"#,
        release = house.path("release").display(),
    );
    let file = house.write("rough.toml", &rough).display().to_string();
    let _ = house.run(&["apply", "--no-wait", &file]).ok();
    house
}

#[track_caller]
fn explains(house: &House, what: &[&str]) {
    until(&format!("it explains {what:?}"), || {
        let said = house.run(&["explain", "rough"]).ok();
        what.iter().all(|what| said.out.contains(what))
    });
}

/// The command that shows a breach of a clause again, as it is told: with the library that was dropped in.
fn seen_again(house: &House, clause: &str) -> String {
    let mutant = example("longshore-mutants", "mutant");
    let library = house.plugins().join(mutant.file_name().expect("a library has a name"));
    format!("longshore conformance {} --filter {clause}", library.display())
}

/// The good cluster is scaled up and down at once.
#[track_caller]
fn nobody_else_notices(house: &House) {
    for workers in ["6", "1", "2"] {
        let _ = house.run(&["scale", "calm", workers]).ok();
        assert_eq!(house.status("calm")["running"].to_string(), workers);
    }
}

#[test]
fn one_that_panics() {
    let house = house(r#"faults = { run = "panic" }"#);
    explains(&house, &["panicked at", "mutant.rs"]);
    nobody_else_notices(&house);
}

#[test]
fn one_that_answers_with_too_few() {
    let house = house("faults = { run = \"fewer\" }\ntimes = 1");
    // The answer is refused, but what it claimed is kept and what it hid is found: nothing is launched twice.
    house.until_status("rough", "running", 3);
    assert_eq!(house.status("rough")["handles"], 3);
    let line =
        house.log().lines().find(|line| line.contains("RUN-1")).expect("it names the clause").to_owned();
    assert!(line.contains(&seen_again(&house, "RUN-1")), "{line}");
    assert_eq!(line.matches("conformance").count(), 1, "{line}");
    nobody_else_notices(&house);
}

#[test]
fn one_that_always_answers_with_too_few() {
    let house = house(r#"faults = { run = "fewer" }"#);
    // What it hides is found so soon that nobody may see it held; the history has it all the same.
    house.until_status("rough", "running", 3);
    let history = house.run(&["history", "rough"]).ok();
    let told = format!("RUN-1)\n  to see it again:  {}\n", seen_again(&house, "RUN-1"));
    assert!(history.out.contains(&told), "{}", history.out);
    assert_eq!(history.out.matches("conformance").count(), 1, "once a clause: {}", history.out);
    nobody_else_notices(&house);
}

#[test]
fn one_that_answers_a_kill_with_too_few() {
    let house = house(r#"faults = { kill = "fewer" }"#);
    house.until_status("rough", "running", 3);
    // Its word is not taken, but it did what it was told, and a status says so.
    let _ = house.run(&["stop", "rough"]).ok();
    assert!(house.log().contains("KILL-1"), "the log names the clause");
    nobody_else_notices(&house);
}

#[test]
fn one_that_tells_a_status_that_is_none() {
    let house = house(r#"faults = { status = "bad_value" }"#);
    let again = format!("\n  to see it again:  {}\n", seen_again(&house, "STATUS-2"));
    explains(&house, &["(clause STATUS-2)", "what was known is kept", &again]);
    assert_eq!(house.status("rough")["handles"], 3, "a bad answer takes no worker away");
    nobody_else_notices(&house);
}

#[test]
fn one_that_tells_too_few_statuses() {
    let house = house(r#"faults = { status = "fewer" }"#);
    explains(&house, &["STATUS-1"]);
    nobody_else_notices(&house);
}

#[test]
fn one_whose_handles_are_empty() {
    let house = house("faults = { run = \"empty_handle\" }\ntimes = 1");
    // As above, it may be found out before anybody asks.
    house.until_status("rough", "running", 3);
    let history = house.run(&["history", "rough"]).ok();
    assert!(history.out.contains(&seen_again(&house, "RUN-4")), "{}", history.out);
    nobody_else_notices(&house);
}

#[test]
fn one_that_hangs_past_its_deadline() {
    let house = house("faults = { run = \"hang\" }\ntimes = 1\nhang_ms = 600000");
    explains(&house, &["did not answer within 0.3 s", "has not returned yet"]);
    assert_eq!(house.status("rough")["unknown"], 3, "its capacity is held");
    nobody_else_notices(&house);
    // The late answer is not lost, and nothing was launched in its place.
    house.write("release", "");
    house.until_status("rough", "running", 3);
    assert_eq!(house.status("rough")["handles"], 3);
}

#[test]
fn one_that_hangs_in_status() {
    let house = house("faults = { status = \"hang\" }\nhang_ms = 600000");
    explains(&house, &["did not answer within 0.3 s"]);
    nobody_else_notices(&house);
    house.write("release", "");
}

#[test]
fn one_that_kills_nobody_and_says_yes() {
    let house = house(r#"faults = { kill = "lie" }"#);
    house.until_status("rough", "running", 3);
    let said = house.run(&["scale", "rough", "1", "--timeout", "2s"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert_eq!(house.status("rough")["terminating"], 2, "a yes is believed when a status says so");
    nobody_else_notices(&house);
}

#[test]
fn one_that_cannot_be_made() {
    let house = rough_house();
    let text = "[[provider]]\nname = \"bad\"\nplugin = \"mutant\"\n[provider.config]\nfaults = { create = \"panic\" }\n";
    let file = house.write("bad.toml", text).display().to_string();
    let said = house.run(&["apply", &file]);
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.err.contains("panicked at"), "{}", said.err);
    let _ = house.run(&["status"]).ok();
}
