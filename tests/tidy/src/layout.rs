//! Where things lie: the visible top level is fixed, and no file grows without end.

use std::collections::BTreeSet;

use crate::{Breaches, TextFile};

/// The whole visible top level.
pub const TOP: &[&str] = &["Cargo.lock", "Cargo.toml", "README.md", "host", "plugin-api", "plugins", "tests"];

/// The most lines of a source file.
pub const LINES: usize = 900;

/// The visible top level is what it is said to be: nothing more, nothing less.
pub fn top_level(paths: &[String]) -> Breaches {
    let found: BTreeSet<&str> = paths.iter().filter_map(|path| path.split('/').next()).collect();
    let visible = found.iter().filter(|name| !name.starts_with('.'));
    let more = visible.filter(|name| !TOP.contains(name)).map(|name| {
        format!("{name} does not belong at the top: put it in its part of the house, or hide it")
    });
    let less =
        TOP.iter().filter(|name| !found.contains(*name)).map(|name| format!("{name} is missing at the top"));
    more.chain(less).collect()
}

/// A source file has a limit, and says in its first lines what it is for.
pub fn source_file(file: &TextFile) -> Breaches {
    let mut breaches = vec![];
    let lines = file.text.lines().count();
    if lines > LINES {
        breaches.push(format!("{}: {lines} lines are more than {LINES}; split it", file.path));
    }
    let first = file.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//! ").is_none_or(|words| words.trim().is_empty()) {
        breaches.push(format!("{}: begin with `//!` and what the file is for", file.path));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_at_the_top_is_caught() {
        let paths = |more: &[&str], less: &str| -> Vec<String> {
            let all = TOP.iter().filter(|name| **name != less).chain(more);
            all.map(|name| if name.contains('.') { (*name).to_owned() } else { format!("{name}/src/x.rs") })
                .collect()
        };
        assert_eq!(top_level(&paths(&[".ci", ".gitignore"], "")), [""; 0]);
        let breaches = top_level(&paths(&["LICENSE.md", "docs"], ""));
        assert_eq!(breaches.len(), 2, "{breaches:?}");
        assert!(
            breaches[0].starts_with("LICENSE.md does not belong") && breaches[1].starts_with("docs does not")
        );
        assert_eq!(top_level(&paths(&[], "README.md")), ["README.md is missing at the top"]);
    }

    #[test]
    fn a_file_that_is_too_long_or_says_nothing_is_caught() {
        let file = |text: String| source_file(&TextFile::sample("a.rs", &text));
        assert_eq!(file(format!("//! It.\n{}", "\n".repeat(LINES - 1))), [""; 0]);
        assert_eq!(
            file(format!("//! It.\n{}", "\n".repeat(LINES))),
            ["a.rs: 901 lines are more than 900; split it"]
        );
        for text in ["", "fn main() {}", "// It.", "//!", "\n//! It."] {
            assert_eq!(
                file(text.to_owned()),
                ["a.rs: begin with `//!` and what the file is for"],
                "{text:?}"
            );
        }
    }
}
