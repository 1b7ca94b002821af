//! How large a schema becomes, and how deep, where each reference in it is written out: that is how long it takes to hold anything
//! against it, and how much of a stack. A few references to references come to more than anybody has, and whoever wrote them would
//! keep a thread of the host for good, or end it.

use std::{collections::HashMap, iter::repeat_n};

use serde_json::Value;

/// The most objects, each reference written out.
const SIZE_LIMIT: usize = 20_000;
/// The most of objects, lists and values within each other.
const DEPTH_LIMIT: usize = 200;
/// The most parts and names that are looked at to find that out. A reference that is not understood may lead to any of them.
const STEPS_LIMIT: usize = 1_000_000;

/// What makes a validator look at its siblings a second time.
const AGAIN: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];

/// Why a schema is too large or too deep to be used, if it is.
pub(super) fn excess(document: &Value) -> Option<String> {
    Walk::through(document).extent(document, 0).err().map(|excess| match excess {
        Excess::Depth => {
            format!(
                "has objects, lists and values within each other, more than {DEPTH_LIMIT} deep, each reference written out"
            )
        }
        Excess::Size => format!("has more than {SIZE_LIMIT} objects, each reference written out"),
        Excess::Steps => {
            format!("has references that may lead to so much that it takes more than {STEPS_LIMIT} steps to follow them")
        }
    })
}

/// What there is too much of. It ends the walk: what is around it is no smaller.
#[derive(Clone, Copy, Debug)]
enum Excess {
    Depth,
    Size,
    Steps,
}

/// How large and how deep something is, within the limits.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    size: usize,
    depth: usize,
}

impl Extent {
    fn and(self, other: Self) -> Self {
        Self { size: self.size.saturating_add(other.size), depth: self.depth.max(other.depth) }
    }

    fn or(self, other: Self) -> Self {
        Self { size: self.size.max(other.size), depth: self.depth.max(other.depth) }
    }

    const fn checked(self) -> Result<Self, Excess> {
        if self.depth > DEPTH_LIMIT {
            return Err(Excess::Depth);
        }
        if self.size > SIZE_LIMIT { Err(Excess::Size) } else { Ok(self) }
    }
}

/// What is known of a document.
struct Walk<'a> {
    /// What a reference may begin at: the document, and each part of it that has an identifier of its own. Which of them it does is
    /// not looked at; the largest counts.
    bases: Vec<&'a Value>,
    anchors: Vec<(&'a str, &'a Value)>,
    /// Of each part, by its place; nothing while it is looked at. A part within itself is no larger for that: a validator is in it
    /// already, or further inside of what it validates.
    known: HashMap<*const Value, Option<Extent>>,
    /// How much was looked at.
    steps: usize,
}

impl<'a> Walk<'a> {
    fn through(document: &'a Value) -> Self {
        let mut walk = Self { bases: vec![document], anchors: vec![], known: HashMap::new(), steps: 0 };
        walk.look_for_names(document);
        walk
    }

    /// As deep as the document is written, which a parser has bounded.
    fn look_for_names(&mut self, value: &'a Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.look_for_names(item)),
            Value::Object(object) => {
                if object.get("$id").is_some_and(Value::is_string) {
                    self.bases.push(value);
                }
                let anchors =
                    ["$anchor", "$dynamicAnchor"].into_iter().filter_map(|key| object.get(key)?.as_str());
                self.anchors.extend(anchors.zip(repeat_n(value, 2)));
                object.values().for_each(|inner| self.look_for_names(inner));
            }
            _ => {}
        }
    }

    fn step(&mut self, times: usize) -> Result<(), Excess> {
        self.steps = self.steps.saturating_add(times);
        if self.steps > STEPS_LIMIT { Err(Excess::Steps) } else { Ok(()) }
    }

    /// Of a part that so many others are around.
    fn extent(&mut self, value: &'a Value, around: usize) -> Result<Extent, Excess> {
        self.step(1)?;
        if around > DEPTH_LIMIT {
            return Err(Excess::Depth);
        }
        let place = std::ptr::from_ref(value);
        if let Some(known) = self.known.get(&place) {
            return Ok(known.unwrap_or_default());
        }
        self.known.insert(place, None);
        let mut extent = Extent::default();
        match value {
            Value::Array(items) => {
                for item in items {
                    extent = extent.and(self.extent(item, around + 1)?).checked()?;
                }
            }
            Value::Object(object) => {
                extent.size = 1;
                for (key, inner) in object {
                    let inner = match (key.as_str(), inner) {
                        ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) => {
                            self.referred(to, around + 1)
                        }
                        _ => self.extent(inner, around + 1),
                    };
                    extent = extent.and(inner?).checked()?;
                }
                for _ in AGAIN.iter().filter(|key| object.contains_key(**key)) {
                    extent.size = extent.size.saturating_mul(2);
                }
            }
            _ => {}
        }
        extent.depth += 1;
        let extent = extent.checked()?;
        self.known.insert(place, Some(extent));
        Ok(extent)
    }

    /// Of what a reference leads to: the largest of all that it may.
    fn referred(&mut self, to: &str, around: usize) -> Result<Extent, Excess> {
        self.step(self.bases.len() + self.anchors.len())?;
        let (_, fragment) = to.split_once('#').unwrap_or((to, ""));
        // Whoever writes a pointer in another way than it is written in the document has it found nowhere, and all of it counts.
        let pointed = self.bases.iter().filter_map(|base| base.pointer(fragment));
        let named = self.anchors.iter().filter(|(name, _)| *name == fragment).map(|(_, value)| *value);
        let mut found: Vec<_> = pointed.chain(named).collect();
        if found.is_empty() {
            found = self.known_parts()?;
        }
        let mut largest = Extent::default();
        for value in found {
            largest = largest.or(self.extent(value, around)?);
        }
        Ok(largest)
    }

    /// All that may be meant by a reference that is not understood: whatever has an identifier or an anchor, and the definitions.
    fn known_parts(&mut self) -> Result<Vec<&'a Value>, Excess> {
        let definitions = self.bases.iter().flat_map(|base| {
            let inner = ["$defs", "definitions"].into_iter().filter_map(|key| base.get(key)?.as_object());
            inner.flat_map(|definitions| definitions.values())
        });
        let named = self.anchors.iter().map(|(_, value)| *value);
        let parts: Vec<_> =
            definitions.chain(named).chain(self.bases.iter().copied()).take(STEPS_LIMIT).collect();
        self.step(parts.len())?;
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Definitions that each refer to the next one so often, from the first to the last or the other way round.
    fn chain(length: usize, times: usize, refer: impl Fn(usize) -> Value, backwards: bool) -> Value {
        let mut parts: Vec<_> = (0..length)
            .map(|number| {
                let next = vec![refer(number + 1); times];
                json!({ "$anchor": format!("d{number}"), "allOf": next })
            })
            .chain([json!({ "type": "object", "$anchor": format!("d{length}") })])
            .collect();
        let first = json!({ "$ref": "#d0" });
        if backwards {
            parts.reverse();
        }
        json!({ "anyOf": [{ "allOf": parts }, first] })
    }

    fn by_anchor(number: usize) -> Value {
        json!({ "$ref": format!("#d{number}") })
    }

    #[track_caller]
    fn assert_excess(document: &Value, words: &str) {
        let why = excess(document).unwrap_or_default();
        assert!(why.contains(words), "{why:?}");
    }

    #[test]
    fn references_that_double_again_and_again_are_too_much() {
        for backwards in [false, true] {
            assert_excess(&chain(40, 2, by_anchor, backwards), "more than 20000 objects");
            assert_eq!(excess(&chain(5, 2, by_anchor, backwards)), None);
        }
        let mut definitions = serde_json::Map::new();
        for number in 0..40 {
            let next = json!({ "$ref": format!("#/$defs/a~1{}", number + 1) });
            definitions.insert(format!("a/{number}"), json!({ "allOf": [next, next] }));
        }
        definitions.insert("a/40".to_owned(), json!({}));
        // As they are in the document, in a part with an identifier, and written so that they are not understood.
        let plain = json!({ "$defs": definitions, "$ref": "#/$defs/a~10" });
        assert_excess(&plain, "more than 20000 objects");
        let inside = json!({ "$defs": { "x": { "$id": "x", "$defs": definitions, "$ref": "#/$defs/a~10" } }, "$ref": "x" });
        assert_excess(&inside, "more than 20000 objects");
        let odd = plain.to_string().replace("#/$defs/a~1", "#/%24defs/a~1");
        assert!(excess(&serde_json::from_str(&odd).expect("it is the same document")).is_some());
    }

    #[test]
    fn references_that_lead_deeper_and_deeper_are_too_much() {
        for backwards in [false, true] {
            assert_excess(&chain(1_000, 1, by_anchor, backwards), "more than 200 deep");
        }
    }

    #[test]
    fn references_that_may_lead_to_anything_are_not_followed_for_ever() {
        let definitions: serde_json::Map<_, _> =
            (0..50_000).map(|number| (number.to_string(), json!(1))).collect();
        let references = |count: usize| vec![json!({ "$ref": "#/%24defs/1" }); count];
        let document = |count| json!({ "$defs": definitions, "allOf": references(count) });
        assert_excess(&document(10_000), "more than 1000000 steps");
        assert_eq!(excess(&document(3)), None);
        // Each of many identifiers may be where a pointer begins, too.
        let bases: Vec<_> =
            (0..9_000).map(|number| json!({ "$id": number.to_string(), "$ref": "#/allOf/1/type" })).collect();
        assert_excess(&json!({ "allOf": bases }), "more than 1000000 steps");
    }

    #[test]
    fn objects_count_for_the_size_and_whatever_is_within_each_other_for_the_depth() {
        assert_eq!(excess(&json!({ "enum": vec![json!([1, 2]); 50_000] })), None);
        assert_excess(&json!({ "enum": vec![json!({}); 20_000] }), "more than 20000 objects");
        // A definition, its list, the item with the reference: three for each.
        assert_eq!(excess(&chain(60, 1, by_anchor, false)), None);
        assert_excess(&chain(70, 1, by_anchor, false), "more than 200 deep");
    }

    #[test]
    fn what_is_looked_at_twice_at_each_level_counts_so() {
        let nested = |depth: usize| {
            (0..depth).fold(
                json!({ "type": "object" }),
                |inner, _| json!({ "allOf": [inner], "unevaluatedProperties": false }),
            )
        };
        assert_eq!(excess(&nested(8)), None);
        assert_excess(&nested(40), "more than 20000 objects");
    }

    #[test]
    fn what_refers_to_itself_is_no_larger_for_that() {
        let tree = json!({
            "$defs": { "tree": { "properties": { "left": { "$ref": "#/$defs/tree" }, "right": { "$ref": "#/$defs/tree" } } } },
            "$ref": "#/$defs/tree"
        });
        assert_eq!(excess(&tree), None);
        for document in
            [json!({ "$ref": "#" }), json!({ "$dynamicAnchor": "x", "$dynamicRef": "#x" }), json!(true)]
        {
            assert_eq!(excess(&document), None);
        }
        let meta = json!({ "$ref": "https://json-schema.org/draft/2020-12/schema" });
        assert_eq!(excess(&meta), None);
    }
}
