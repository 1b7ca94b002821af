//! The guide for authors, followed to the letter in a fresh folder: every command of `plugin-api/README.md`, in its order, from
//! `longshore plugin new` to workers that are scaled. What the guide shows of an output must be in it.

mod desk;
mod page;

use crate::{
    desk::Desk,
    page::{Block, blocks},
};

const GUIDE: &str = include_str!("../../../../plugin-api/README.md");

/// Commands of the guide, and what each must say beyond ending well.
const SAYS: &[(&str, &[&str])] = &[
    ("longshore plugin new", &["shelf/ is a provider", "cargo test"]),
    ("cargo test", &["workers_outlive_their_provider ... ok", "test run-few ", "test model ", "; 0 failed;"]),
    ("cargo test --test conformance status-order", &["test status-order ... ok", "1 passed; 0 failed;"]),
    ("longshore conformance", &["run-token-at-once", "keeps the contract"]),
    ("longshore plugin list", &["shelf", ".local/share/longshore/plugins/libshelf.so"]),
    (
        "longshore plugin inspect",
        &["Keeps workers as entries", "longshore.list/1", "capacity", "must be given"],
    ),
    ("longshore status", &["web", "mine", "3/3"]),
    ("longshore scale", &["web: 5 workers running"]),
    ("longshore workers", &[".0", "running"]),
    ("longshore explain", &["all is as asked: 5 workers running"]),
];

#[test]
fn the_guide_can_be_followed_to_the_letter() {
    let mut desk = Desk::new();
    let mut said = String::new();
    let mut unsaid: Vec<&str> = SAYS.iter().map(|(command, _)| *command).collect();
    for block in blocks(GUIDE) {
        match block {
            Block::Commands(commands) => {
                said.clear();
                for command in commands {
                    let told = desk.follow(&command);
                    if is_of(&command, "longshore plugin new") {
                        desk.follow("cargo fmt --check --manifest-path shelf/Cargo.toml");
                    }
                    // The most particular one speaks for the command.
                    let fits = SAYS.iter().filter(|(begin, _)| is_of(&command, begin));
                    if let Some((begin, words)) = fits.max_by_key(|(begin, _)| begin.len()) {
                        for words in words.iter().filter(|_| !command.ends_with(desk::FAILS)) {
                            assert!(told.contains(words), "`{command}` does not say {words:?}:\n{told}");
                        }
                        unsaid.retain(|it| it != begin);
                    }
                    said.push_str(&told);
                }
            }
            Block::Output(lines) => {
                for line in lines {
                    assert!(
                        page::shows(&said, &line),
                        "the guide shows {line:?}, and what was said is:\n{said}"
                    );
                }
            }
        }
    }
    assert!(unsaid.is_empty(), "the guide has no such commands any more: {unsaid:?}");
    let made = desk.ends();
    assert_eq!(
        made,
        [
            "Cargo.lock",
            "Cargo.toml",
            "README.md",
            "quirks.toml",
            "shelf.toml",
            "src",
            "target",
            "tests",
            "workers"
        ]
    );
}

/// Whether a command is of those that begin so: with the same words.
fn is_of(command: &str, begin: &str) -> bool {
    command.strip_prefix(begin).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}
