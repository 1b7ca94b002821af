//! Checks a provider's configuration against its plugin's JSON Schema, and says what is wrong in the words of the person
//! who wrote it: which field, what was expected, what may have been meant. It never repeats a value, which may be secret.

mod extent;

use std::fmt::Write as _;

use jsonschema::{
    ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
    paths::{Location, LocationSegment},
};
use serde_json::Value;

use crate::{
    discover::nearest,
    error::{ConfigError, one_line},
};

/// A plugin's schema, ready for use.
pub(crate) struct ConfigSchema {
    document: Value,
    validator: Validator,
}

impl ConfigSchema {
    /// # Errors
    ///
    /// What is wrong with the schema, for a person.
    pub(crate) fn new(document: Value) -> Result<Self, String> {
        if !document.is_object() && !document.is_boolean() {
            return Err("its metadata carries no schema of its configuration".to_owned());
        }
        if let Some(excess) = extent::excess(&document) {
            return Err(format!("the schema of its configuration {excess}"));
        }
        if let Err(error) = jsonschema::meta::validate(&document) {
            return Err(format!(
                "the schema of its configuration is not valid at {}: {error}",
                place(&error)
            ));
        }
        let validator = jsonschema::validator_for(&document)
            .map_err(|error| format!("the schema of its configuration cannot be used: {error}"))?;
        Ok(Self { document, validator })
    }

    pub(crate) fn check(&self, config: &Value) -> Result<(), ConfigError> {
        let errors = self.validator.iter_errors(config);
        // A misspelt key often makes two errors, "unknown" and "missing": the first one helps.
        match errors.min_by_key(|error| u8::from(!is_unknown_key(error))) {
            None => Ok(()),
            Some(error) => Err(self.tell(&error)),
        }
    }

    fn tell(&self, error: &ValidationError<'_>) -> ConfigError {
        if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } =
            error.kind()
        {
            return match closest(error, context) {
                Some(inner) => self.tell(inner),
                None => self.tell_choice(error, context),
            };
        }
        let mut field = field(error.instance_path());
        let message = match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let unknown = unexpected.first().map_or("", String::as_str);
                let message = self.unknown_key(error, unknown);
                push(&mut field, unknown);
                message
            }
            ValidationErrorKind::Required { property } => {
                push(&mut field, property.as_str().unwrap_or_default());
                "is missing".to_owned()
            }
            ValidationErrorKind::Type { kind } => {
                format!("must be {}, not {}", types(kind), kind_of(error.instance()))
            }
            ValidationErrorKind::Enum { options } => format!("must be one of {options}"),
            ValidationErrorKind::Constant { expected_value } => format!("must be {expected_value}"),
            ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
            ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
            ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be above {limit}"),
            ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be below {limit}"),
            ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
            ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
            ValidationErrorKind::Pattern { pattern } => format!("must match the pattern {pattern}"),
            ValidationErrorKind::Format { format } => format!("must have the format {format}"),
            _ => format!("is not valid: {}", error.masked()),
        };
        ConfigError { field, message: one_line(&message) }
    }

    /// A value that is none of several that it may be.
    fn tell_choice(
        &self,
        error: &ValidationError<'_>,
        alternatives: &[Vec<ValidationError<'_>>],
    ) -> ConfigError {
        let wanted = alternatives.iter().filter_map(|errors| errors.first()).map(|error| {
            let message = self.tell(error).message;
            let wanted = message.strip_prefix("must be ").unwrap_or(&message);
            wanted.split_once(", not ").map_or(wanted, |(wanted, _)| wanted).to_owned()
        });
        let mut message = String::from("must be one of ");
        for (i, wanted) in wanted.enumerate() {
            message.push_str(if i > 0 { ", " } else { "" });
            message.push_str(&wanted);
        }
        ConfigError { field: field(error.instance_path()), message: one_line(&message) }
    }

    fn unknown_key(&self, error: &ValidationError<'_>, unknown: &str) -> String {
        let keyword = error.schema_path().as_str();
        let parent = keyword.rsplit_once('/').map_or("", |(parent, _)| parent);
        let known: Vec<String> = self
            .document
            .pointer(parent)
            .and_then(|schema| schema.get("properties"))
            .and_then(Value::as_object)
            .map(|properties| properties.keys().cloned().collect())
            .unwrap_or_default();
        if let Some(nearest) = nearest(unknown, known.iter().cloned()) {
            return format!("is not known; did you mean `{nearest}`?");
        }
        if known.is_empty() {
            return "is not known: no key is allowed there".to_owned();
        }
        format!("is not known; the keys are: {}", known.join(", "))
    }
}

fn is_unknown_key(error: &ValidationError<'_>) -> bool {
    matches!(
        error.kind(),
        ValidationErrorKind::AdditionalProperties { .. } | ValidationErrorKind::UnevaluatedProperties { .. }
    )
}

/// Of the alternatives' errors, the one that got furthest: an optional table is "null or this", and what is wrong inside
/// the table is of interest, not that it is not null.
fn closest<'a>(
    whole: &ValidationError<'_>,
    alternatives: &'a [Vec<ValidationError<'static>>],
) -> Option<&'a ValidationError<'static>> {
    let is_type = |error: &ValidationError<'_>| matches!(error.kind(), ValidationErrorKind::Type { .. });
    let mut fitting = alternatives.iter().filter(|errors| {
        // An alternative that fails by its type alone was not meant.
        !errors.iter().any(|error| is_type(error) && error.instance_path() == whole.instance_path())
    });
    match (fitting.next(), fitting.next()) {
        (Some(errors), None) => errors.first(),
        _ => None,
    }
}

/// `limits.memory`, `mounts[2].source`.
fn field(path: &Location) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            LocationSegment::Property(name) => push(&mut text, &name),
            LocationSegment::Index(index) => {
                // Writing to a String cannot fail.
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}

fn push(field: &mut String, name: &str) {
    if !field.is_empty() {
        field.push('.');
    }
    field.push_str(name);
}

fn place(error: &ValidationError<'_>) -> String {
    let field = field(error.instance_path());
    if field.is_empty() { "its top".to_owned() } else { format!("`{field}`") }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => words(one.as_str()).to_owned(),
        TypeKind::Multiple(set) => {
            let names: Vec<_> = set.iter().map(|one| words(one.as_str())).collect();
            names.join(" or ")
        }
    }
}

/// A JSON type in the words of TOML, which is what people write.
fn words(json: &str) -> &str {
    match json {
        "object" => "a table",
        "array" => "an array",
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "null" => "left out",
        other => other,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::schemars::{self, JsonSchema};
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Config {
        #[schemars(length(min = 1))]
        folder: String,
        limits: Option<Limits>,
        #[serde(default)]
        mounts: Vec<Mount>,
        #[serde(default)]
        mode: Mode,
    }

    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "as above")]
    struct Limits {
        memory: Option<u64>,
        #[schemars(range(min = 1, max = 64))]
        cores: Option<u32>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "as above")]
    struct Mount {
        source: String,
    }

    #[derive(Default, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "as above")]
    enum Mode {
        #[default]
        Slow,
        Fast,
    }

    fn schema() -> ConfigSchema {
        ConfigSchema::new(schemars::schema_for!(Config).to_value()).expect("a derived schema is valid")
    }

    #[track_caller]
    fn wrong(config: &Value, field: &str, words: &str) {
        let error = schema().check(config).expect_err("it breaks the schema");
        assert_eq!(error.field, field, "{error}");
        assert!(error.message.contains(words), "{error}");
    }

    #[test]
    fn a_sound_configuration_passes() {
        schema().check(&json!({ "folder": "/x" })).expect("the rest is optional");
        let full = json!({
            "folder": "/x", "limits": { "memory": 1, "cores": 2 }, "mounts": [{ "source": "/y" }], "mode": "fast"
        });
        schema().check(&full).expect("every field is right");
    }

    #[test]
    fn the_field_is_named_with_its_path() {
        wrong(&json!({ "folder": 3 }), "folder", "must be a string, not a whole number");
        wrong(&json!({ "folder": "" }), "folder", "at least 1 character");
        wrong(&json!({ "folder": "/x", "limits": { "memory": "4G" } }), "limits.memory", "whole number");
        wrong(&json!({ "folder": "/x", "limits": { "cores": 65 } }), "limits.cores", "at most 64");
        wrong(
            &json!({ "folder": "/x", "mounts": [{ "source": "a" }, {}] }),
            "mounts[1].source",
            "is missing",
        );
        wrong(&json!({ "folder": "/x", "mode": "quick" }), "mode", "slow");
        wrong(&json!([]), "", "must be a table, not an array");
        wrong(&json!({}), "folder", "is missing");
    }

    #[test]
    fn an_unknown_key_gets_the_nearest_one() {
        wrong(&json!({ "foldr": "/x" }), "foldr", "did you mean `folder`?");
        wrong(&json!({ "folder": "/x", "limits": { "memry": 1 } }), "limits.memry", "did you mean `memory`?");
        wrong(&json!({ "folder": "/x", "zz": 1 }), "zz", "the keys are: folder, limits, mode, mounts");
    }

    #[test]
    fn a_value_is_never_repeated() {
        let secret = "hunter2-is-secret";
        for config in [
            json!({ "folder": secret, "limits": secret }),
            json!({ "folder": secret, "mode": secret }),
            json!({ "folder": [secret] }),
        ] {
            let error = schema().check(&config).expect_err("it breaks the schema");
            assert!(!error.to_string().contains(secret), "{error}");
        }
    }

    #[test]
    fn a_schema_that_is_none_is_told() {
        for document in [json!(null), json!(7), json!({ "type": "objekt" }), json!({ "$ref": "#/nowhere" })] {
            assert!(ConfigSchema::new(document.clone()).is_err(), "{document}");
        }
    }

    #[test]
    fn a_schema_that_nothing_can_be_held_against_in_time_is_told() {
        let mut definitions = json!({ "d60": { "type": "object" } });
        for number in 0..60 {
            let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
            definitions[format!("d{number}")] = json!({ "allOf": [next, next] });
        }
        let document = json!({ "$defs": definitions, "$ref": "#/$defs/d0" });
        let why = ConfigSchema::new(document).err().expect("it would take for ever");
        assert!(why.contains("more than 20000 objects, each reference written out"), "{why}");
    }
}
