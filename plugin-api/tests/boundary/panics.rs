//! A panic stays inside the plugin, and is told instead of printed.

use longshore_plugin_api::{
    __private::{Capability, Export, Package, root_module as make_root},
    Context, Error, ErrorKind, Killed, Launch, Log, Provider, RunRequest, WorkerStatus,
    schemars::{JsonSchema, Schema, SchemaGenerator},
    serde::Deserialize,
};

use crate::{
    exported::{metadata, root_module},
    host::{FUNCTIONS, Lines, alone, probe, try_make},
};

/// The place of a message such as `panicked at file.rs:1:2: text`, without the column.
fn place(message: &str) -> Option<(&str, &str)> {
    let (place, text) = message.strip_prefix("panicked at ")?.split_once(": ")?;
    let (place, _column) = place.rsplit_once(':')?;
    Some((place, text))
}

fn line_of(text: &str) -> String {
    let source = include_str!("probe.rs");
    let line = source.lines().position(|line| line.contains(text)).expect("the probe has this line") + 1;
    format!("{}:{line}", file!().replace("panics.rs", "probe.rs"))
}

fn assert_panic(error: &Error, text: &str) {
    assert_eq!(error.kind(), ErrorKind::Panic, "{error}");
    let (place, told) = place(error.message()).unwrap_or_else(|| panic!("no place in {error}"));
    assert_eq!((place, told), (line_of(text).as_str(), text));
}

#[test]
fn every_function_turns_a_panic_into_an_error_that_names_the_place() {
    let probe = probe();
    for function in FUNCTIONS {
        let error = probe.outcome(function, "panic").expect_err("it panics");
        assert_panic(&error, "the probe panics, as it was told");
        assert_eq!(probe.outcome("status", "c"), Ok(()), "the instance goes on after {function}");
    }
}

#[test]
fn a_panic_in_create_is_an_error_and_one_in_drop_is_logged() {
    let lines = Lines::new();
    let Err(error) = try_make(root_module(), r#"{"panic_in_create":true}"#, lines) else {
        panic!("it panics")
    };
    assert_panic(&error, "the probe panics in create");
    assert_eq!(lines.texts(), [""; 0]);
    drop(try_make(root_module(), r#"{"panic_in_drop":true}"#, lines).expect("it is in order"));
    let texts = lines.texts();
    assert_eq!(texts[..2], ["created ports=[]", "dropped"]);
    let failed = texts[2].strip_prefix("the provider failed to shut down: ").expect("it says what failed");
    assert_eq!(
        place(failed),
        Some((line_of("the probe panics in drop").as_str(), "the probe panics in drop"))
    );
}

/// A provider whose schema is written by hand, and wrongly.
struct NoSchema;

#[derive(Deserialize)]
#[serde(crate = "longshore_plugin_api::serde")]
struct Hopeless {}

impl JsonSchema for Hopeless {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hopeless".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        panic!("no schema today")
    }
}

impl Provider for NoSchema {
    const NAME: &'static str = "no-schema";
    type Config = Hopeless;

    fn create(_config: Hopeless, _log: Log) -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&self, _ctx: &Context<'_>, _request: &RunRequest) -> Result<Launch, Error> {
        Ok(Launch::default())
    }

    fn status(&self, _ctx: &Context<'_>, _handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
        Ok(Vec::new())
    }

    fn kill(&self, _ctx: &Context<'_>, _handles: &[&str]) -> Result<Vec<Killed>, Error> {
        Ok(Vec::new())
    }
}

impl Export for NoSchema {
    type Provider = Self;
    const PACKAGE: Package = Package { version: "1.0.0", description: "", unwinds: true };
    const CAPABILITIES: &'static [Capability] = &[];
}

#[test]
fn metadata_that_panic_are_none_and_say_why() {
    let root = make_root::<NoSchema>();
    assert!(metadata(root).is_err());
    let document: serde_json::Value = serde_json::from_str(&root.metadata()()).expect("it is a document");
    let why = document["error"].as_str().expect("it says why");
    assert!(why.starts_with("panicked at ") && why.ends_with("no schema today"), "{why}");
}

#[test]
fn nothing_is_printed() {
    assert_eq!(alone("panics::all_at_once"), "");
}

#[test]
#[ignore = "run by the test above, in a process whose output is watched"]
fn all_at_once() {
    every_function_turns_a_panic_into_an_error_that_names_the_place();
    a_panic_in_create_is_an_error_and_one_in_drop_is_logged();
    metadata_that_panic_are_none_and_say_why();
}

#[test]
fn a_panic_elsewhere_is_printed_as_ever() {
    assert!(alone("panics::elsewhere").contains("not in a call"));
}

#[test]
#[ignore = "run by the test above, in a process whose output is watched"]
fn elsewhere() {
    // The first call puts the hook in place.
    let probe = probe();
    probe.outcome("status", "panic").expect_err("it panics");
    std::panic::catch_unwind(|| panic!("not in a call")).expect_err("it panics");
}
