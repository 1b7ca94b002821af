//! Where `unsafe` may stand, and that each has its reason.

use crate::{Breaches, TextFile, source::tokens};

/// Files and folders that may have unsafe code, each for a reason.
pub const PLACES: &[(&str, &str)] = &[
    ("plugin-api/abi/src/", "the contract is made of pointers and functions of C"),
    ("plugin-api/src/export.rs", "it puts the plugin's functions behind the contract"),
    ("plugin-api/src/testing.rs", "it makes a call's context as the host does"),
    ("plugin-api/tests/boundary/", "a host as small as can be, which calls the tables"),
    ("host/providers/src/code.rs", "it takes a plugin's root module from its library"),
    ("host/providers/src/confine/tests/kernel.rs", "it makes system calls to see that they are refused"),
    ("host/providers/src/control.rs", "a plugin holds a pointer to a call's state"),
    ("host/providers/src/heap.rs", "an allocator that counts, for tests"),
    ("host/providers/src/instance.rs", "the one place that calls into a table"),
    ("host/providers/src/log.rs", "a plugin holds a pointer to where its lines go"),
    ("host/providers/src/made.rs", "it chooses the thread that destroys an instance"),
    ("host/providers/src/private_copy.rs", "it opens libraries"),
    ("host/providers/src/runner/fate.rs", "a signal's handler and the descriptors are the whole process's"),
    ("host/providers/src/runner/voice.rs", "a plugin holds a pointer to where its lines go"),
    ("host/providers/src/verify/accounts.rs", "it goes through the system's users"),
    ("host/providers/tests/fixtures/", "libraries that are wrong"),
    ("plugins/process/src/spawn.rs", "between fork and exec there is no other way"),
    ("tests/compat/later/", "both sides of the boundary, as a later release may have them"),
    ("tests/compat/released/", "both sides of the boundary, as a release had them"),
    ("tests/mutants/", "libraries that break the contract below the safe interface"),
    ("tests/bench/src/heap.rs", "an allocator that counts"),
    ("tests/bench/src/bin/isolation/bare.rs", "it calls a plugin without the guard"),
];

/// Unsafe code is in its places, and a comment says before each block and implementation why it is sound.
pub fn places_and_reasons(file: &TextFile, places: &[(&str, &str)]) -> Breaches {
    let tokens = match tokens(file) {
        Ok(tokens) => tokens,
        Err(why) => return vec![why],
    };
    let lines: Vec<&str> = file.text.lines().collect();
    let mut breaches = vec![];
    for pair in tokens.windows(2).filter(|pair| pair[0].text == "unsafe") {
        let (line, next) = (pair[0].line, pair[1].text.as_str());
        if !places.iter().any(|(place, _)| file.path.starts_with(place)) {
            breaches.push(format!("{}:{line}: unsafe code does not belong here", file.path));
        } else if ["{", "impl"].contains(&next) && !has_reason(&lines, line) {
            breaches.push(format!("{}:{line}: say in a SAFETY comment above why this is sound", file.path));
        }
    }
    breaches
}

/// A place without unsafe code is not on the list.
pub fn stale_places(files: &[&TextFile], places: &[(&str, &str)]) -> Breaches {
    let has_unsafe =
        |file: &TextFile| tokens(file).is_ok_and(|all| all.iter().any(|token| token.text == "unsafe"));
    let used = |place: &str| files.iter().any(|file| file.path.starts_with(place) && has_unsafe(file));
    let stale = places.iter().filter(|(place, _)| !used(place));
    stale.map(|(place, _)| format!("{place} has no unsafe code any more; take it off the list")).collect()
}

/// Whether the comment above the statement that a line (from 1) belongs to has the reason.
fn has_reason(lines: &[&str], line: usize) -> bool {
    let mut above = lines[..line - 1].iter().rev().map(|line| line.trim()).peekable();
    // Up to where the statement begins: a comment, or the end of what was before.
    while above
        .next_if(|line| !line.starts_with("//") && !line.is_empty() && !line.ends_with([';', '{', '}']))
        .is_some()
    {}
    above.take_while(|line| line.starts_with("//")).any(|line| line.contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Breaches {
        places_and_reasons(&TextFile::sample(path, text), &[("abi/", "a sample")])
    }

    #[test]
    fn unsafe_code_elsewhere_is_caught() {
        let breach = ["host/x.rs:2: unsafe code does not belong here"];
        for text in
            ["\nfn f() { unsafe {} }", "\nunsafe impl Send for X {}", "\n#[unsafe(no_mangle)] fn f() {}"]
        {
            assert_eq!(breaches("host/x.rs", text), breach, "{text}");
        }
        assert_eq!(
            breaches("host/x.rs", "#![deny(unsafe_code)] // unsafe\nfn f() { \"unsafe {}\" }"),
            [""; 0]
        );
    }

    #[test]
    fn unsafe_code_without_a_reason_is_caught() {
        for text in [
            "fn f() {\n    unsafe { g() }\n}",
            "unsafe impl Send for X {}",
            "// SAFETY: for another.\nfn f() {}\nfn g() { unsafe {} }",
            "// SAFETY: for another.\n\nunsafe impl Send for X {}",
            "// It is safe.\nunsafe impl Send for X {}",
            "// SAFETY: for the first.\nlet a = unsafe { f() };\nlet b = unsafe { f() };",
        ] {
            assert_eq!(breaches("abi/x.rs", text).len(), 1, "{text}");
        }
        for text in [
            "fn f() {\n    // SAFETY: it is.\n    unsafe { g() }\n}",
            "// SAFETY: it is,\n// and more.\nlet x = g(\n    a,\n    unsafe { h() },\n);",
            "// SAFETY: it is.\n#[cfg(unix)]\nunsafe impl Send for X {}",
            "/// # Safety\n/// None.\nunsafe fn f() {}",
        ] {
            assert_eq!(breaches("abi/x.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_stale_place_is_caught() {
        let files = [TextFile::sample("abi/x.rs", "// SAFETY: it is.\nunsafe impl Send for X {}")];
        let files: Vec<_> = files.iter().collect();
        let places = [("abi/", ""), ("host/y.rs", "")];
        assert_eq!(
            stale_places(&files, &places),
            ["host/y.rs has no unsafe code any more; take it off the list"]
        );
    }
}
