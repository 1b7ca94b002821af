//! LOAD-6: configurations that cannot be used. What the schema tells to be wrong is found by the host before the plugin is
//! asked, and shows whether the schema leads to the field; what it does not tell, `create` has to find.

use longshore_plugin_api::{Clause, ErrorKind};
use longshore_providers::{CallError, ConfigError, CreateError};
use serde_json::{Map, Value, json};

use super::schema::{Field, fields, tables};
use crate::{
    bench::Bench,
    subject::Subject,
    verdict::{Verdict, breach, demand},
};

const CLAUSE: Clause = Clause::LoadConfigError;

/// A field that no configuration has.
const UNKNOWN: &str = "longshore-no-such-field";

/// What the host puts before a plugin's own words.
const REFUSED: &str = "is refused by the plugin:";

type Config = Map<String, Value>;

pub(crate) fn load_config_is_taken(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let expected = "what is wrong with a configuration is told by `create`, and by no call later";
    let sound = |what: &str, error: Option<CallError>| match error {
        Some(CallError::Failed(error)) if error.kind() == ErrorKind::Config => {
            breach(CLAUSE, expected, format_args!("{what} failed with the kind `config`: {error}"))
        }
        // Other failures are the business of other checks.
        _ => Ok(()),
    };
    let launched = subject.run(&cluster, &bench.request(1))?;
    let handles: Vec<_> = launched
        .iter()
        .flat_map(|launched| launched.handles.iter().map(|(handle, _)| handle.clone()))
        .collect();
    sound("run", launched.err())?;
    sound("status", subject.status(&cluster, &handles).err())?;
    if subject.provider().has_list() {
        sound("list", subject.list(&cluster).err())?;
    }
    sound("kill", subject.kill(&cluster, &handles).err())?;
    if subject.provider().has_cleanup() {
        sound("cleanup", subject.cleanup(&cluster, false).err())?;
    }
    Ok(())
}

pub(crate) fn load_config_names_the_field(bench: &Bench) -> Verdict {
    // Where the configuration is wrong as it stands, nothing can be told from another fault in it.
    bench.provider()?.shut_down();
    let schema = &bench.library()?.metadata().config_schema;
    for field in fields(schema) {
        wrong_type(bench, schema, &field)?;
        wrong_size(bench, schema, &field)?;
    }
    for bad in &bench.quirks().bad_config {
        let expected = format!(
            "the configuration with {} laid over it, `bad_config` of the quirks file, is refused with the kind `config` and \
             the field `{}`",
            Value::Object(bad.config.clone()),
            bad.field
        );
        match refusal(bench, &bench.overlaid(&bad.config), &expected)? {
            Some(error) if error.field == bad.field => {}
            Some(error) => {
                return breach(CLAUSE, expected, format_args!("it named `{}`: {error}", error.field));
            }
            None => return breach(CLAUSE, expected, "`create` took it"),
        }
    }
    // "… and keeps everything as it was": what is right is taken as before.
    demand(
        bench.provider()?.shut_down(),
        Clause::LoadShutdown,
        Clause::LoadShutdown.text(),
        || "an instance that was never used was not gone in time",
    )
}

/// A value of a wrong type for a field.
fn wrong_type(bench: &Bench, schema: &Value, field: &Field<'_>) -> Verdict {
    let library = bench.library()?;
    let values = [json!(true), json!(7), json!(1.5), json!("longshore"), json!([]), json!({})];
    let given = at(bench.config(), &field.steps);
    for value in values {
        let config = with(bench.config(), &field.steps, value.clone());
        let told = library.validate_config(&Value::Object(config.clone())).is_err();
        // What the schema takes is only tried in place of a given value of another type, and never as a text, which may be
        // the name of something.
        let is_other =
            given.is_some_and(|given| std::mem::discriminant(given) != std::mem::discriminant(&value));
        if !told && (!is_other || value.is_string()) {
            continue;
        }
        let expected = format!(
            "a configuration in which `{}` is {value} is refused with the kind `config` and that field",
            field.path
        );
        let Some(error) = refusal_or_unreachable(bench, &config, &expected, told)? else { continue };
        // Where the whole configuration is one of several forms, none may be the one that was meant.
        let has_forms = told && ["anyOf", "oneOf"].iter().any(|key| schema.get(*key).is_some());
        let is_named = names(&error.field, &field.path) || (error.field.is_empty() && has_forms);
        if !is_named {
            return breach(CLAUSE, expected, format_args!("it named `{}`: {error}", error.field));
        }
        if told {
            // The others would be told in the same way.
            break;
        }
    }
    Ok(())
}

/// A number beyond its format, which a schema names for people alone: the schema takes it, and `create` may not be able to.
fn wrong_size(bench: &Bench, schema: &Value, field: &Field<'_>) -> Verdict {
    let beyond = match field.format(schema).as_deref() {
        Some("uint8") => json!(1_u64 << 8),
        Some("uint16") => json!(1_u64 << 16),
        Some("uint32" | "int32") => json!(1_u64 << 32),
        Some("uint64" | "int64" | "uint" | "int") => json!(1.0e30),
        _ => return Ok(()),
    };
    let config = with(bench.config(), &field.steps, beyond.clone());
    if bench.library()?.validate_config(&Value::Object(config.clone())).is_err() {
        return Ok(());
    }
    let expected = format!(
        "a configuration in which `{}` is {beyond} is taken, or refused with the kind `config` and that field",
        field.path
    );
    match refusal_or_unreachable(bench, &config, &expected, false)? {
        Some(error) if !names(&error.field, &field.path) => {
            breach(CLAUSE, expected, format_args!("it named `{}`: {error}", error.field))
        }
        _ => Ok(()),
    }
}

pub(crate) fn load_config_unknown_field(bench: &Bench) -> Verdict {
    bench.provider()?.shut_down();
    let schema = &bench.library()?.metadata().config_schema;
    let places = tables(schema).into_iter().map(|table| table.steps);
    let given =
        places.filter(|steps| steps.is_empty() || at(bench.config(), steps).is_some_and(Value::is_object));
    // The configuration as a whole also where the schema names no field.
    let mut places: Vec<_> = given.collect();
    if !places.iter().any(Vec::is_empty) {
        places.push(Vec::new());
    }
    for mut steps in places {
        steps.push(Some(UNKNOWN.to_owned()));
        let config = with(bench.config(), &steps, json!(true));
        let place = path(&steps);
        let expected =
            format!("a configuration with a field `{place}`, which is not known, is refused with that field");
        match refusal(bench, &config, &expected)? {
            Some(error) if names(&error.field, &place) => {}
            Some(error) => {
                return breach(CLAUSE, expected, format_args!("it named `{}`: {error}", error.field));
            }
            None => {
                return breach(
                    CLAUSE,
                    expected,
                    "it was taken: a misspelt field has no effect, and nobody is told",
                );
            }
        }
    }
    Ok(())
}

/// Why a configuration is refused, or nothing where it is taken. Whatever else it comes to is a breach.
fn refusal(bench: &Bench, config: &Config, expected: &str) -> Verdict<Option<ConfigError>> {
    match bench.create(config)? {
        Ok(subject) => {
            subject.shut_down();
            Ok(None)
        }
        Err(CreateError::Config(error)) => {
            let words = error.message.strip_prefix(REFUSED).unwrap_or(&error.message);
            demand(!words.trim().is_empty(), CLAUSE, "the error says what is wrong with the field", || {
                format!("it names `{}`, and says nothing of it", error.field)
            })?;
            Ok(Some(error))
        }
        Err(CreateError::Failed(error)) => breach(
            CLAUSE,
            expected,
            format_args!("`create` failed with the kind `{}`: {error}", word(error.kind())),
        ),
        Err(error) => breach(CLAUSE, expected, error),
    }
}

/// As [`refusal`]; where the configuration may be a sound one that leads nowhere, a backend that cannot be reached is no fault.
fn refusal_or_unreachable(
    bench: &Bench,
    config: &Config,
    expected: &str,
    is_wrong: bool,
) -> Verdict<Option<ConfigError>> {
    if !is_wrong
        && let Err(CreateError::Failed(error)) = bench.create(config)?.map(Subject::shut_down)
        && matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Retryable)
    {
        return Ok(None);
    }
    refusal(bench, config, expected)
}

const fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retryable => "retryable",
        ErrorKind::Permanent => "permanent",
        ErrorKind::Unreachable => "unreachable",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Unknown => "unknown",
        ErrorKind::Config => "config",
        ErrorKind::Panic => "panic",
        _ => "other",
    }
}

/// Whether an error's field leads to what is wrong: it is the field, or within it; for what lies deeper, something of the same
/// table will do, for the table may lack more than that.
fn names(named: &str, path: &str) -> bool {
    let within = |named: &str, path: &str| {
        named.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let parent = path.rfind(['.', '[']).map(|end| &path[..end]);
    within(named, path) || parent.is_some_and(|parent| within(named, parent))
}

/// The value at a place of a configuration.
fn at<'a>(config: &'a Config, steps: &[Option<String>]) -> Option<&'a Value> {
    let (first, rest) = steps.split_first()?;
    rest.iter().try_fold(config.get(first.as_deref()?)?, |value, step| match step {
        Some(name) => value.get(name),
        None => value.get(0),
    })
}

/// A configuration with a value put into a place; what leads there is made where it is not there.
fn with(config: &Config, steps: &[Option<String>], value: Value) -> Config {
    let mut whole = Value::Object(config.clone());
    let mut place = &mut whole;
    for step in steps {
        place = if let Some(name) = step {
            if !place.is_object() {
                *place = json!({});
            }
            &mut place[name.as_str()]
        } else {
            if place.as_array().is_none_or(Vec::is_empty) {
                *place = json!([null]);
            }
            &mut place[0]
        };
    }
    *place = value;
    match whole {
        Value::Object(config) => config,
        _ => Map::new(),
    }
}

/// A place as an error names it.
fn path(steps: &[Option<String>]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Some(name) => {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(name);
            }
            None => path.push_str("[0]"),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| (!name.is_empty()).then(|| (*name).to_owned())).collect()
    }

    #[test]
    fn a_value_is_put_in_its_place() {
        let config = json!({ "a": { "b": 1 }, "c": [{ "d": 2 }, 3] });
        let config = config.as_object().expect("an object");
        let put = |names: &[&str]| Value::Object(with(config, &steps(names), json!(true)));
        assert_eq!(put(&["a", "b"]), json!({ "a": { "b": true }, "c": [{ "d": 2 }, 3] }));
        assert_eq!(put(&["c", "", "d"]), json!({ "a": { "b": 1 }, "c": [{ "d": true }, 3] }));
        assert_eq!(put(&["e", "f"]), json!({ "a": { "b": 1 }, "c": [{ "d": 2 }, 3], "e": { "f": true } }));
        assert_eq!(at(config, &steps(&["c", "", "d"])), Some(&json!(2)));
        assert_eq!(path(&steps(&["c", "", "d"])), "c[0].d");
    }

    #[test]
    fn a_field_is_named_by_itself_and_a_deeper_one_by_its_table_too() {
        for (named, path) in
            [("a", "a"), ("a.b", "a"), ("a[2]", "a"), ("a.b", "a.b"), ("a", "a.b"), ("a.c", "a.b")]
        {
            assert!(names(named, path), "{named} for {path}");
        }
        for (named, path) in [("", "a"), ("b", "a"), ("ab", "a"), ("", "a.b"), ("c", "a.b"), ("ab.c", "a.b")]
        {
            assert!(!names(named, path), "{named} for {path}");
        }
    }
}
