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

/// What stands before and after the number of bytes that were cut off a text.
const CUT_OFF: (&str, &str) = ("… (", " bytes cut off)");
/// The room for these words in a text that is cut.
const SAYING_SO: usize = 64;

/// A text of somebody else's, of at most so many bytes. Of a longer one as much as that is its beginning, and how much was cut off:
/// by that, [`Secret::hidden_in`] sees where a part of a secret may be left. What was cut is not cut again.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let (shown, rest) = text.split_at(text.floor_char_boundary(most.saturating_sub(SAYING_SO)));
    cut_off(shown, rest.len()).into()
}

/// The beginning of a text, and that so many bytes of it were cut off.
pub fn cut_off(shown: &str, rest: usize) -> String {
    let (before, after) = CUT_OFF;
    format!("{shown}{before}{rest}{after}")
}

/// Where the first cut of a text is, and where the words about it end.
fn first_cut(text: &str) -> Option<(usize, usize)> {
    let (before, after) = CUT_OFF;
    text.match_indices(before).find_map(|(at, _)| {
        let number = &text[at + before.len()..];
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0 && number[digits..].starts_with(after))
            .then(|| (at, at + before.len() + digits + after.len()))
    })
}

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
    ///
    /// Where the text was [`cut`], what stands there may be the first part of the secret: as much as could be is taken away, whatever
    /// it is.
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
        let longest_part = forms.iter().map(String::len).max().unwrap_or_default() - 1;
        match without_parts(&hidden, longest_part) {
            Some(without) => Cow::Owned(without),
            None => hidden,
        }
    }
}

/// A text without the last so many bytes before each place where it was cut; `None` where it was not.
fn without_parts(text: &str, most: usize) -> Option<String> {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((at, end)) = first_cut(rest) {
        shown.push_str(&rest[..rest.floor_char_boundary(at.saturating_sub(most))]);
        shown.push_str(&rest[at..end]);
        rest = &rest[end..];
    }
    (rest.len() < text.len()).then(|| shown + rest)
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
    fn no_part_of_it_is_left_where_a_text_was_cut() {
        const MOST: usize = 2000;
        for password in ["hunter2", r#"hun"ter2"#, "pässwörd", &r#"\""#.repeat(20)] {
            let secret = Secret::new(password);
            let mut form = password.to_owned();
            for _ in 0..=QUOTES_WITHIN {
                // Wherever in it the cut is; once more before, so that hiding makes the text shorter.
                for before in MOST - SAYING_SO - form.len() - 2..=MOST - SAYING_SO + 1 {
                    let told = format!(
                        "{form} {} {form}, and more: {}",
                        "x".repeat(before - form.len() - 2),
                        "y".repeat(MOST)
                    );
                    let wrapped = format!("the provider failed: {}; it is tried again", cut(&told, MOST));
                    let shown = secret.hidden_in(&wrapped);
                    let (start, end) = shown.split_once("xx").expect("what is no secret stays");
                    assert_eq!(start, "the provider failed: *** ");
                    let (left, words) = end.trim_start_matches('x').split_once('…').expect("it says so");
                    assert!(left.chars().all(|c| " *,andmore:y".contains(c)), "{password} as {form}: {left}");
                    assert!(words.ends_with(" bytes cut off); it is tried again"), "{words}");
                }
                form = within_quotes(&form);
            }
        }
        // Words that are like it are left as they are.
        let like = "hunter… (many bytes cut off), hunter… ( bytes cut off), hunter… (3 bytes";
        assert!(matches!(Secret::new("hunter2").hidden_in(like), Cow::Borrowed(_)));
    }

    #[test]
    fn a_text_is_cut_between_characters_and_once() {
        let long = "é".repeat(1000);
        let short = cut(&long, 501);
        assert!(
            short.len() <= 501 && long.starts_with(&short[..400]) && short.ends_with(" bytes cut off)"),
            "{short}"
        );
        assert_eq!(cut(&short, 501), short);
        assert!(matches!(cut(&long, 2000), Cow::Borrowed(_)));
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
