//! Texts to try a provider with: handles of nobody's, odd ones, near misses of a handle; and orders thrown with a seed.
//!
//! All of them are handles that a host might send (RUN-4). None of them harms anybody where a provider obeys it (as a path, a
//! pattern, a process id, a command of a shell), but for workers of the check's own: `kill` is tried with them, on the
//! machine of an author whose provider is not finished yet.

use std::{collections::HashSet, slice};

use longshore_plugin_api::Clause;
use longshore_providers::CallError;

use crate::{
    subject::Handle,
    verdict::{Must as _, Verdict, breach},
};

/// The longest handle, in bytes (RUN-4).
pub(crate) const MAX_HANDLE: usize = 256;

/// The longest number that may be one of a system's own: a process, a job. It is not turned into another one.
const SYSTEM_NUMBER: usize = 12;

/// The shortest handle of which a letter is exchanged. A shorter one may be a system's running name, and its neighbour somebody's.
const LETTERS_FROM: usize = 8;

/// The shortest end of a handle that is put behind the beginning of another.
const SPLICED_END: usize = 4;

/// How many handles of a call that failed are asked for alone.
const ASKED_ALONE: usize = 300;

/// So many handles that nobody gave out. `unique` is a text that nobody else has, such as a token's.
pub(crate) fn nobodys(unique: &str, count: usize) -> Vec<Handle> {
    (0..count).map(|number| format!("nobody-{unique}-{number}").into()).collect()
}

/// Handles as other providers give them out: none of them can be known.
pub(crate) fn foreign(unique: &str) -> Vec<Handle> {
    let texts = [
        format!("nobody-{unique}"),
        format!("nobody-{unique}.0"),
        format!("nobody-{unique}-0"),
        format!("nobody-{unique}:0:0"),
        format!("nobody/{unique}/0"),
        format!("arn:aws:ecs:eu-central-1:000000000000:task/nobody/{unique}"),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
        "00000000-0000-4000-8000-000000000000".to_owned(),
        "i-0ffffffffffffffff".to_owned(),
        "98765432109876543210".to_owned(),
        format!("{{\"pod\":\"nobody-{unique}\"}}"),
    ];
    texts.into_iter().map(Handle::from).collect()
}

/// Texts that are handles by the letter of RUN-4, and that a hurried author does not think of.
pub(crate) fn odd() -> Vec<Handle> {
    let texts: &[&str] = &[
        // Blanks, and what looks like one.
        " ",
        "   ",
        " nobody ",
        "no body",
        "\u{a0}",
        "\u{2028}",
        "\u{3000}nobody",
        // Numbers, and what looks like one. None is a process that anybody may signal by mistake: 0 is the check's own group.
        "0",
        "-0",
        "0x",
        "1e999",
        "NaN",
        "99999999999999999999999999999999",
        "-99999999999999999999999999999999",
        // Paths that lead nowhere.
        "/longshore-no-such-thing",
        "../longshore-no-such-thing",
        "a/../../../../longshore-no-such-thing",
        "longshore-no-such-thing/",
        "//",
        "C:\\longshore-no-such-thing",
        "~longshore-no-such-user/x",
        "file:///longshore-no-such-thing",
        // Options.
        "-",
        "--",
        "--help",
        "-longshore",
        // What a shell, a format, a query, a pattern or a document reads in its own way.
        "$HOME",
        "${nobody}",
        "$(true)",
        "`true`",
        "; true",
        "& true",
        "| true",
        "> /dev/null",
        "\"",
        "'",
        "''",
        "\\",
        "\\n",
        "\\0",
        "%",
        "%s%n%d%p",
        "{}",
        "{0}",
        "{{.ID}}",
        "nobody' OR '1'='1",
        "nobody'; --",
        "[",
        "(",
        "nobody)(",
        "nobody+",
        "a{99999}",
        "null",
        "true",
        "undefined",
        "[]",
        "<nobody/>",
        "&amp;",
        "%2e%2e",
        "%00",
        "#",
        "=",
        ",",
        ":",
        ";",
        "nobody=1,nobody=2",
        "nobody@nobody",
        "nobody?x=1&y=2#z",
        // Other scripts, and what is not what it looks like.
        "mañana",
        "man\u{303}ana",
        "Straße",
        "ＮＯＢＯＤＹ",
        "никто",
        "没有人",
        "לאאיש",
        "👩‍👩‍👧‍👦",
        "\u{202e}ydobon",
        "\u{200b}",
        "\u{feff}nobody",
        "nobody\u{0301}",
        "\u{fffd}",
        "\u{10ffff}",
        "İı",
    ];
    let mut odd: Vec<Handle> = texts.iter().copied().map(Handle::from).collect();
    // As long as a handle may be, in characters of one to four bytes, and a name too long for most file systems.
    odd.extend(["n", "ñ", "😀"].map(|text| text.repeat(MAX_HANDLE / text.len()).into()));
    odd.push(format!("{}/{}", "n".repeat(127), "n".repeat(128)).into());
    odd.push(" ".repeat(MAX_HANDLE).into());
    odd
}

/// Texts that are almost a handle: one character more, less or exchanged, or written in another way. None of them is one of
/// `known`, and none turns a number into another one that the system may have given to somebody else.
pub(crate) fn near_misses(handle: &str, known: &[Handle]) -> Vec<Handle> {
    let chars: Vec<char> = handle.chars().collect();
    let joined = |chars: &[char]| chars.iter().collect::<String>();
    let mut texts = Vec::new();
    // One more at either end, and the same read as a path, a pattern or a number.
    for more in [" ", "0", "x", "-", ".", "/", "_", "*", "%", "?", "\u{a0}", "\u{200b}", "'", "+", "#"] {
        texts.push(format!("{handle}{more}"));
        texts.push(format!("{more}{handle}"));
    }
    texts.extend([
        format!("./{handle}"),
        format!("{handle}/."),
        format!("x/../{handle}"),
        format!("{handle}{handle}"),
    ]);
    texts.extend([
        format!("\"{handle}\""),
        format!("^{handle}$"),
        handle.to_uppercase(),
        handle.to_lowercase(),
    ]);
    texts.push(handle.replace(['-', '.', ':'], "_"));
    let places = [0, chars.len() / 3, chars.len() / 2, chars.len() - chars.len().min(2), chars.len() - 1];
    for place in places {
        let (before, from) = chars.split_at(place);
        let Some((own, after)) = from.split_first() else { continue };
        // One less, and one twice.
        texts.push(joined(before) + &joined(after));
        texts.push(joined(before) + &own.to_string() + &joined(from));
        // One exchanged: by what a pattern takes for any, by the other case, by another letter.
        let mut others = vec!['*', '?', '%', '_', '.'];
        others.extend(own.to_uppercase().chain(own.to_lowercase()));
        if own.is_ascii_alphabetic() && chars.len() >= LETTERS_FROM {
            others.push(if own.eq_ignore_ascii_case(&'q') { 'z' } else { 'q' });
        }
        texts.extend(others.iter().map(|other| format!("{}{other}{}", joined(before), joined(after))));
    }
    // Its beginnings and ends, which a search by a part of the name would find.
    for (place, _) in handle.match_indices(['-', '.', ':', '/', '_']) {
        texts.extend([handle[..place].to_owned(), handle[..=place].to_owned()]);
        texts.extend([handle[place..].to_owned(), handle[place + 1..].to_owned()]);
    }
    let numbers = numbers(handle);
    let harmless = |text: &str| self::numbers(text).is_subset(&numbers);
    sound(texts.into_iter().filter(|text| harmless(text)), known)
}

/// The beginning of one handle with the end of another, cut wherever a number begins or ends: whoever looks at one part
/// of a handle alone, such as a process id without the moment of its start, takes them for a worker. None is one of `known`.
pub(crate) fn splices(one: &str, other: &str, known: &[Handle]) -> Vec<Handle> {
    let joints = |text: &str| -> Vec<usize> {
        let bytes = text.as_bytes();
        let is_joint = |place: &usize| {
            bytes[place - 1].is_ascii_digit() != bytes[*place].is_ascii_digit()
                && text.is_char_boundary(*place)
        };
        (1..bytes.len()).filter(is_joint).collect()
    };
    let (of_one, of_other) = (joints(one), joints(other));
    if of_one.len() != of_other.len() {
        return Vec::new();
    }
    let both = of_one.into_iter().zip(of_other).filter(|(_, end)| other.len() - end >= SPLICED_END);
    sound(both.map(|(beginning, end)| format!("{}{}", &one[..beginning], &other[end..])), known)
}

/// What is almost one of these handles, or made of two of them, and none of them.
pub(crate) fn all_misses(handles: &[Handle]) -> Vec<Handle> {
    let mut known = handles.to_vec();
    for one in handles {
        let misses = near_misses(one, &known);
        known.extend(misses);
        for other in handles {
            let misses = splices(one, other, &known);
            known.extend(misses);
        }
    }
    known.split_off(handles.len())
}

/// Those of the texts that a host may send, each once, without those that are known.
fn sound(texts: impl Iterator<Item = String>, known: &[Handle]) -> Vec<Handle> {
    let mut seen: HashSet<String> = known.iter().map(ToString::to_string).collect();
    let may_be_sent =
        |text: &String| !text.is_empty() && text.len() <= MAX_HANDLE && !text.chars().any(char::is_control);
    texts.filter(may_be_sent).filter(|text| seen.insert(text.clone())).map(Handle::from).collect()
}

/// The numbers in a text, without leading zeros, that a system may have given out.
fn numbers(text: &str) -> HashSet<&str> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|number| !number.is_empty())
        .map(|number| number.trim_start_matches('0'))
        .filter(|number| number.len() <= SYSTEM_NUMBER)
        .collect()
}

/// Asks for all handles in one call; where that fails, for each alone, so that the breach names the one that it fails for.
pub(crate) fn answered<T>(
    handles: &[Handle],
    clause: Clause,
    expected: &str,
    ask: impl Fn(&[Handle]) -> Result<Vec<T>, CallError>,
) -> Verdict<Vec<T>> {
    let whole = ask(handles);
    if matches!(whole, Err(CallError::Failed(_))) {
        for handle in handles.iter().take(ASKED_ALONE) {
            if let Err(CallError::Failed(error)) = ask(slice::from_ref(handle)) {
                let seen =
                    format!("for {} alone the call failed: {}", shown(handle), cut(&error.to_string(), 300));
                return breach(clause, expected, seen);
            }
        }
    }
    whole.must(clause, expected)
}

/// A handle as it is shown to a person: in quotes, and not the whole of one that is very long.
pub(crate) fn shown(handle: &str) -> String {
    const WHOLE: usize = 80;
    if handle.len() <= WHOLE {
        return format!("{handle:?}");
    }
    format!("{:?}… ({} bytes)", handle.chars().take(WHOLE / 4).collect::<String>(), handle.len())
}

/// The beginning of a text that may be very long.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(most).collect::<String>())
}

/// The items in an order thrown with a seed.
pub(crate) fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let mut items = items.to_vec();
    fastrand::Rng::with_seed(seed).shuffle(&mut items);
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_handle(text: &str) -> bool {
        (1..=MAX_HANDLE).contains(&text.len()) && !text.chars().any(char::is_control)
    }

    fn texts(handles: &[Handle]) -> HashSet<&str> {
        handles.iter().map(AsRef::as_ref).collect()
    }

    #[test]
    fn every_text_is_one_that_a_host_may_send_and_stands_once() {
        let misses = near_misses("abc-12345", &[]);
        for all in [odd(), foreign("u"), nobodys("u", 100), misses, splices("100-5000", "200-6000", &[])] {
            assert_eq!(texts(&all).len(), all.len());
            assert!(all.iter().all(|text| is_handle(text)), "{all:?}");
        }
        assert!(odd().iter().any(|text| text.len() == MAX_HANDLE));
    }

    #[test]
    fn a_near_miss_is_neither_known_nor_the_number_of_somebody_else() {
        let known = ["abc-7.0", "abc-7.00"].map(Handle::from);
        let misses = near_misses("abc-7.0", &known);
        let misses = texts(&misses);
        for expected in
            ["abc-7.", "bc-7.0", "abc-7.0 ", " abc-7.0", "./abc-7.0", "ABC-7.0", "abc-7", "abc-7.*"]
        {
            assert!(misses.contains(expected), "{expected}");
        }
        for known in ["abc-7.0", "abc-7.00"] {
            assert!(!misses.contains(known), "{known}");
        }
        let of_a_number = near_misses("12345", &[]);
        assert!(texts(&of_a_number).contains("012345"));
        assert!(numbers("012345").contains("12345"));
        for miss in &of_a_number {
            assert!(numbers(miss).iter().all(|number| *number == "12345"), "{miss}");
        }
    }

    #[test]
    fn a_handle_of_one_character_and_one_of_the_longest_have_near_misses() {
        for handle in ["a".to_owned(), "7".to_owned(), "é".repeat(128)] {
            assert!(near_misses(&handle, &[handle.as_str().into()]).len() > 5, "{handle}");
        }
    }

    #[test]
    fn splices_join_what_is_known() {
        let known = ["100-5000", "200-6000"].map(Handle::from);
        assert_eq!(splices("100-5000", "200-6000", &known), ["100-6000"].map(Handle::from));
        assert_eq!(splices("t.0", "t.1", &["t.0", "t.1"].map(Handle::from)), Vec::new());
        assert_eq!(splices("a", "a-1", &[]), Vec::new(), "handles of another form");
    }

    #[test]
    fn a_seed_throws_the_same_order_again() {
        let items: Vec<u32> = (0..50).collect();
        assert_eq!(shuffled(&items, 7), shuffled(&items, 7));
        assert_ne!(shuffled(&items, 7), shuffled(&items, 8));
        let mut sorted = shuffled(&items, 7);
        sorted.sort_unstable();
        assert_eq!(sorted, items);
    }
}
