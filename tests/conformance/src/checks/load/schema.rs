//! LOAD-5: the schema of the configuration. The host holds it to be valid; here it is read the way a person's editor, a form or
//! a page of documentation would read it, which is what it is for beside that.

use std::collections::{BTreeSet, VecDeque};

use longshore_plugin_api::Clause;
use serde_json::{Map, Value};

use super::library::library_for;
use crate::{
    bench::Bench,
    verdict::{Verdict, demand},
};

const CLAUSE: Clause = Clause::LoadSchema;

/// The draft, as `$schema` names it.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The deepest that a configuration is followed.
const DEPTH: usize = 12;

/// The most fields that are looked at: a type may refer to itself.
const FIELDS: usize = 500;

/// The most faults that are told.
const TOLD: usize = 5;

/// The keywords whose value is a list of schemas for the same place.
const CHOICES: [&str; 3] = ["anyOf", "oneOf", "allOf"];

pub(crate) fn load_schema(bench: &Bench) -> Verdict {
    let library = library_for(bench, CLAUSE)?;
    let schema = &library.metadata().config_schema;
    demand(
        schema.is_object() || schema.is_boolean(),
        CLAUSE,
        CLAUSE.text(),
        || "`config_schema` is neither an object nor true or false",
    )?;
    let draft = schema.get("$schema").map(|draft| draft.as_str().unwrap_or_default().trim_end_matches('#'));
    demand(draft.is_none_or(|draft| draft == DRAFT), CLAUSE, "the schema is of draft 2020-12", || {
        format!("`$schema` is {:?}", draft.unwrap_or_default())
    })?;
    let ids = ids(schema);
    let foreign = references(schema).find(|reference| {
        let document = reference.split('#').next().unwrap_or_default();
        !document.is_empty() && document != DRAFT && !ids.contains(document)
    });
    demand(foreign.is_none(), CLAUSE, "the schema can be used without fetching anything", || {
        format!("it refers to {:?}", foreign.unwrap_or_default())
    })
}

/// The documents that a schema holds in itself under a name.
fn ids(schema: &Value) -> BTreeSet<&str> {
    every(schema).filter_map(|object| object.get("$id").and_then(Value::as_str)).collect()
}

/// What a schema refers to.
fn references(schema: &Value) -> impl Iterator<Item = &str> {
    let keys = ["$ref", "$dynamicRef"];
    every(schema).flat_map(move |object| keys.into_iter().filter_map(|key| object.get(key)?.as_str()))
}

/// Every object in a document, but for those that are examples of values.
fn every(document: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    const VALUES: [&str; 4] = ["default", "examples", "const", "enum"];
    let mut waiting = vec![document];
    std::iter::from_fn(move || {
        loop {
            match waiting.pop()? {
                Value::Array(items) => waiting.extend(items),
                Value::Object(fields) => {
                    let fields_of = fields.iter().filter(|(key, _)| !VALUES.contains(&key.as_str()));
                    waiting.extend(fields_of.map(|(_, value)| value));
                    return Some(fields);
                }
                _ => {}
            }
        }
    })
}

pub(crate) fn load_schema_describes(bench: &Bench) -> Verdict {
    let library = library_for(bench, CLAUSE)?;
    let schema = &library.metadata().config_schema;
    let mut faults = Vec::new();
    for field in fields(schema) {
        // A field that can have one value alone tells which of several forms is meant: there is nothing to explain.
        let is_fixed = within(schema, field.schema).iter().any(|it| it.contains_key("const"));
        if !is_fixed && !is_described(schema, field.schema) {
            faults.push(format!("`{}` has no description", field.path));
        }
    }
    for Field { path, schema: table, .. } in tables(schema) {
        if !denies(schema, table, 0) {
            let name = if path.is_empty() { "the configuration".to_owned() } else { format!("`{path}`") };
            faults.push(format!("{name} takes fields that it does not know"));
        }
    }
    demand(
        faults.is_empty(),
        CLAUSE,
        "the schema describes every field for a person, and denies unknown ones",
        || {
            let more = faults.len().saturating_sub(TOLD);
            let told = faults[..faults.len().min(TOLD)].join("; ");
            if more > 0 { format!("{told}; and {more} more such") } else { told }
        },
    )
}

/// A field of the configuration, as the schema tells it.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    /// As an error names it: `limits.ports[0]`.
    pub(super) path: String,
    /// What leads to it: names of fields, and nothing for the first item of a list.
    pub(super) steps: Vec<Option<String>>,
    schema: &'a Value,
}

/// The fields of a configuration, those of its tables, and those of the tables in its lists; each path once.
pub(super) fn fields(schema: &Value) -> Vec<Field<'_>> {
    let mut found: Vec<Field<'_>> = Vec::new();
    let root = Field { path: String::new(), steps: Vec::new(), schema };
    let mut waiting = VecDeque::from([root]);
    while let Some(place) = waiting.pop_front() {
        if place.steps.len() >= DEPTH || found.len() >= FIELDS {
            break;
        }
        for object in within(schema, place.schema) {
            if let Some(items) = object.get("items").filter(|items| items.is_object()) {
                let steps = place.steps.iter().cloned().chain([None]).collect();
                waiting.push_back(Field { path: format!("{}[0]", place.path), steps, schema: items });
            }
            for (name, field) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let path =
                    if place.path.is_empty() { name.clone() } else { format!("{}.{name}", place.path) };
                let steps = place.steps.iter().cloned().chain([Some(name.clone())]).collect();
                if found.iter().all(|known| known.path != path) {
                    let field = Field { path, steps, schema: field };
                    found.push(field.clone());
                    waiting.push_back(field);
                }
            }
        }
    }
    found
}

/// The places of a configuration that hold a table with fields, the configuration itself among them.
pub(super) fn tables(schema: &Value) -> Vec<Field<'_>> {
    let mut places = vec![Field { path: String::new(), steps: Vec::new(), schema }];
    for field in fields(schema) {
        let items = within(schema, field.schema).into_iter().filter_map(|object| object.get("items"));
        places.extend(items.map(|items| Field {
            path: format!("{}[0]", field.path),
            steps: field.steps.iter().cloned().chain([None]).collect(),
            schema: items,
        }));
        places.push(field);
    }
    let has_fields =
        |it: &Field<'_>| within(schema, it.schema).iter().any(|it| it.contains_key("properties"));
    places.retain(has_fields);
    places
}

impl Field<'_> {
    /// The format of its numbers, where it has one.
    pub(super) fn format(&self, root: &Value) -> Option<String> {
        let formats =
            within(root, self.schema).into_iter().filter_map(|object| object.get("format")?.as_str());
        formats.map(str::to_owned).next()
    }
}

/// The objects of a schema that speak of the same place: itself, what it refers to, and its alternatives and parts.
fn within<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Map<String, Value>> {
    let mut found: Vec<&Map<String, Value>> = Vec::new();
    let mut waiting = vec![schema];
    while let Some(next) = waiting.pop() {
        let Some(object) = next.as_object() else { continue };
        // A schema may refer to itself.
        if found.iter().any(|known| std::ptr::eq(*known, object)) {
            continue;
        }
        found.push(object);
        waiting.extend(referred(root, object));
        waiting.extend(CHOICES.iter().filter_map(|key| object.get(*key)?.as_array()).flatten());
        waiting.extend(["if", "then", "else"].iter().filter_map(|key| object.get(*key)));
    }
    found
}

/// What a schema refers to, within the document.
fn referred<'a>(root: &'a Value, object: &Map<String, Value>) -> Option<&'a Value> {
    root.pointer(object.get("$ref")?.as_str()?.strip_prefix('#')?)
}

fn is_described(root: &Value, schema: &Value) -> bool {
    let has_words = |object: &Map<String, Value>| {
        object.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
    };
    let Some(object) = schema.as_object() else { return false };
    // By itself, or as whatever uses this type.
    has_words(object) || referred(root, object).and_then(Value::as_object).is_some_and(has_words)
}

/// Whether a table may have no other fields than those that the schema names.
fn denies(root: &Value, schema: &Value, depth: usize) -> bool {
    let Some(object) = schema.as_object() else { return false };
    let closed = |key: &str| object.get(key) == Some(&Value::Bool(false));
    if depth > DEPTH || closed("additionalProperties") || closed("unevaluatedProperties") {
        return true;
    }
    if referred(root, object).is_some_and(|target| denies(root, target, depth + 1)) {
        return true;
    }
    let listed = |key: &str| object.get(key).and_then(Value::as_array);
    // One part that denies is enough; of alternatives, each that has fields must.
    let part = listed("allOf").is_some_and(|parts| parts.iter().any(|part| denies(root, part, depth + 1)));
    let each = ["anyOf", "oneOf"].into_iter().filter_map(listed).any(|choices| {
        let mut tables = choices
            .iter()
            .filter(|choice| within(root, choice).iter().any(|object| object.contains_key("properties")));
        let has_own = object.contains_key("properties");
        !has_own && tables.clone().next().is_some() && tables.all(|choice| denies(root, choice, depth + 1))
    });
    part || each
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "folder": { "type": "string", "description": "Where." },
                "limits": { "$ref": "#/$defs/Limits" },
                "mounts": { "type": "array", "description": "What.", "items": { "$ref": "#/$defs/Mount" } },
                "mode": { "description": "How.", "oneOf": [
                    { "type": "object", "additionalProperties": false, "properties": { "kind": { "const": "a" } } },
                    { "type": "object", "properties": { "kind": { "const": "b" }, "level": { "type": "integer" } } }
                ] }
            },
            "$defs": {
                "Limits": { "type": "object", "description": "How much.", "unevaluatedProperties": false,
                            "properties": { "memory": { "type": "integer", "default": { "$ref": "http://a" } } } },
                "Mount": { "type": "object", "properties": { "parts": { "items": { "$ref": "#/$defs/Mount" } } } }
            }
        })
    }

    #[test]
    fn fields_are_followed_through_references_lists_and_alternatives() {
        let schema = schema();
        let paths: BTreeSet<String> = fields(&schema).into_iter().map(|field| field.path).collect();
        for path in
            ["folder", "limits", "limits.memory", "mounts", "mounts[0].parts", "mode.kind", "mode.level"]
        {
            assert!(paths.contains(path), "{path}: {paths:?}");
        }
        assert!(paths.len() < 40, "a type that refers to itself is not followed for ever");
    }

    #[test]
    fn descriptions_may_be_those_of_the_type() {
        let schema = schema();
        let undescribed: Vec<_> = fields(&schema)
            .into_iter()
            .filter(|field| field.steps.len() <= 2 && !is_described(&schema, field.schema))
            .map(|field| field.path)
            .collect();
        assert_eq!(
            undescribed.iter().filter(|path| !path.starts_with("mode")).collect::<Vec<_>>(),
            ["limits.memory"]
        );
    }

    #[test]
    fn a_table_denies_by_itself_by_its_type_or_in_each_alternative() {
        let schema = schema();
        let open: Vec<_> = tables(&schema)
            .into_iter()
            .filter(|it| !denies(&schema, it.schema, 0))
            .map(|it| it.path)
            .collect();
        assert!(open.contains(&"mounts[0]".to_owned()) && open.contains(&"mode".to_owned()), "{open:?}");
        assert!(!open.contains(&String::new()) && !open.contains(&"limits".to_owned()), "{open:?}");
    }

    #[test]
    fn references_in_examples_of_values_are_none() {
        assert!(references(&schema()).all(|reference| reference.starts_with('#')));
        let foreign = json!({ "properties": { "a": { "$ref": "https://example.org/a.json" } } });
        assert_eq!(references(&foreign).collect::<Vec<_>>(), ["https://example.org/a.json"]);
    }
}
