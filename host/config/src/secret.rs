//! A text that is kept and passed on, and never shown: it has no `Display`, its `Debug` says `***`, and an error about it
//! does not repeat it.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// What is shown in a secret's place.
pub const HIDDEN: &str = "***";
/// A shorter secret is not looked for in texts: it would be found in words that have nothing to do with it, and give itself
/// away by what is missing.
const HIDDEN_FROM: usize = 4;
/// How deep in quotes within quotes a secret is looked for.
const QUOTES_WITHIN: usize = 3;

/// A secret, such as the password of a server. A document has its text as it is, as the journal and the host's socket need
/// it; [`redacted`](crate::Config::redacted) makes a document that has it not.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text for a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What stands in its place in a document that is fit for showing. No configuration may have it as a password.
    pub fn hidden() -> Self {
        Self(HIDDEN.to_owned())
    }

    /// The text itself: for what must have it, and never for a log, an answer or an error.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A text of somebody else's, such as a provider's error, with `***` for the secret wherever it stands in it, also within
    /// quotes: an engine may repeat in its error what a program was called with, as a text in quotes within another one.
    pub fn hidden_in<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut hidden = Cow::Borrowed(text);
        if self.0.len() < HIDDEN_FROM {
            return hidden;
        }
        let mut forms = vec![self.0.clone()];
        while let Some(form) = forms.last().map(|form| within_quotes(form))
            && forms.len() <= QUOTES_WITHIN
            && !forms.contains(&form)
        {
            forms.push(form);
        }
        // The longest first: one that begins with a quote has the next shorter one in it.
        for form in forms.iter().rev().filter(|form| text.contains(*form)) {
            hidden = Cow::Owned(hidden.replace(form, HIDDEN));
        }
        hidden
    }
}

/// A text as it stands within quotes, in JSON, Rust and Go alike. A password has no control characters.
fn within_quotes(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Where a text alone is asked for, a format may name what it finds instead.
        deserializer.deserialize_any(Reader)
    }
}

/// Reads a text. What is none is refused without being repeated, as serde would do it: a number may be the secret.
struct Reader;

const NO_TEXT: &str = "a secret must be a text";

impl Visitor<'_> for Reader {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret(text))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(NO_TEXT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_and_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {secret:#?}"), "*** ***");
        let text = serde_json::to_string(&secret).expect("a text");
        assert_eq!(text, "\"hunter2\"");
        assert_eq!(serde_json::from_str::<Secret>(&text).expect("a text"), secret);
        assert_eq!(serde_json::from_value::<Secret>("hunter2".into()).expect("a text"), secret);
    }

    #[test]
    fn what_is_no_text_is_not_repeated() {
        for wrong in
            ["7777", "-7777", "7.777", "77777777777777777777777", "true", "[7777]", "{\"a\": 7777}", "null"]
        {
            let error = serde_json::from_str::<Secret>(wrong).expect_err("no text").to_string();
            assert!(!error.contains("77") && !error.contains("true"), "{error}");
        }
    }

    #[test]
    fn it_is_hidden_in_the_texts_of_others() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            secret.hidden_in("exec: --requirepass hunter2: hunter2?"),
            "exec: --requirepass ***: ***?"
        );
        assert!(matches!(secret.hidden_in("nothing of it"), Cow::Borrowed("nothing of it")));
        assert_eq!(Secret::new("a").hidden_in("a banana"), "a banana");
        assert_eq!(Secret::new("").hidden_in("a banana"), "a banana");
    }

    #[test]
    fn it_is_hidden_within_quotes_too() {
        for password in ["hunter2", r#"hun"ter2"#, r"hun\ter2", r#""hunter\""#, r#"a\"b\\"ter2"#] {
            let secret = Secret::new(password);
            let mut told = format!("exec: {password}");
            for _ in 0..=QUOTES_WITHIN {
                let shown = secret.hidden_in(&told);
                assert!(shown.contains(HIDDEN) && !shown.contains("ter"), "{password} in {told}: {shown}");
                assert_eq!(shown.matches(HIDDEN).count(), 1, "{password} in {told}: {shown}");
                told = format!("it says {told:?}");
            }
        }
    }
}
