//! The sources of the pure core: nothing in them touches the world, or gives another answer to the same question.

use crate::{
    Breaches, TextFile,
    source::{Token, begins, tokens, without_tests},
};

/// Modules of std that the core has no business with.
const MODULES: &[&str] = &["env", "fs", "io", "net", "os", "process", "random", "thread"];

/// Names that bring in a clock, a thread, an order that differs from run to run, or output.
const NAMES: &[(&str, &str)] = &[
    ("Instant", "time enters as a value"),
    ("SystemTime", "time enters as a value"),
    ("HashMap", "its order differs from run to run; take a BTreeMap"),
    ("HashSet", "its order differs from run to run; take a BTreeSet"),
    ("RandomState", "it is random"),
    ("thread_local", "state is a value"),
    ("Mutex", "the core has one caller"),
    ("RwLock", "the core has one caller"),
    ("println", "the core says what it has to say in its report"),
    ("print", "the core says what it has to say in its report"),
    ("eprintln", "the core says what it has to say in its report"),
    ("eprint", "the core says what it has to say in its report"),
    ("dbg", "the core says what it has to say in its report"),
];

/// The modules and names right below `std`, in paths and in groups of `use`.
fn below_std(tokens: &[Token]) -> Vec<&Token> {
    let mut found = vec![];
    for at in 0..tokens.len() {
        let inner = match &tokens[..at] {
            // `my::std` is another one; in `use ::std` it is the same.
            [.., before, colon, other] if colon.text == ":" && other.text == ":" => is_name(before),
            [.., before] => before.text == ".",
            [] => false,
        };
        if inner || tokens[at].text != "std" {
            continue;
        }
        let rest = &tokens[at + 1..];
        if !begins(rest, &[":", ":"]) {
            // `use std as other` would hide what follows.
            found.extend(rest.first().filter(|next| next.text == "as"));
            continue;
        }
        let rest = &rest[2..];
        if !begins(rest, &["{"]) {
            found.extend(rest.first());
            continue;
        }
        let mut depth = 0;
        for pair in crate::source::bracketed(rest).windows(2) {
            match pair[0].text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 1 && ["{", ","].contains(&pair[0].text.as_str()) {
                found.push(&pair[1]);
            }
        }
    }
    found
}

/// Whether a token can be the part of a path before `::`.
fn is_name(token: &Token) -> bool {
    const KEYWORDS: [&str; 8] = ["use", "return", "in", "as", "else", "if", "match", "while"];
    token.text == ">"
        || token.text.starts_with(|first: char| first.is_alphanumeric() || first == '_')
            && !KEYWORDS.contains(&token.text.as_str())
}

/// A source file of the core, its tests left aside.
pub fn core_source(file: &TextFile) -> Breaches {
    let tokens = match tokens(file) {
        Ok(tokens) => without_tests(&tokens),
        Err(why) => return vec![why],
    };
    let mut breaches = vec![];
    for token in below_std(&tokens) {
        let name = &token.text;
        if MODULES.contains(&name.as_str()) {
            breaches.push(format!("{}:{}: the core does not use std::{name}", file.path, token.line));
        } else if name == "*" || name == "as" {
            breaches.push(format!("{}:{}: name what is used of std", file.path, token.line));
        }
    }
    for token in &tokens {
        if let Some((name, why)) = NAMES.iter().find(|(name, _)| *name == token.text) {
            breaches.push(format!("{}:{}: the core has no {name}: {why}", file.path, token.line));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(text: &str) -> Breaches {
        core_source(&TextFile::sample("a.rs", text))
    }

    #[test]
    fn an_impure_source_is_caught() {
        for (text, module) in [
            ("use std::fs;", "fs"),
            ("use std::fs::{self, File};", "fs"),
            ("use std::{fmt, net::TcpStream};", "net"),
            ("use std::{collections::{BTreeMap, BTreeSet}, thread};", "thread"),
            ("fn f() { std::process::exit(1) }", "process"),
            ("fn f() { ::std::env::var(\"X\"); }", "env"),
            ("use ::std::io::Write;", "io"),
        ] {
            assert_eq!(breaches(text), [format!("a.rs:1: the core does not use std::{module}")], "{text}");
        }
        for text in ["use std::*;", "use std as s;"] {
            assert_eq!(breaches(text), ["a.rs:1: name what is used of std"], "{text}");
        }
        for (name, _) in NAMES {
            assert_eq!(breaches(&format!("fn f() {{ {name}!() }}")).len(), 1, "{name}");
        }
        assert_eq!(
            breaches("use std::{\n  fmt,\n  time::Instant,\n};"),
            ["a.rs:3: the core has no Instant: time enters as a value"]
        );
    }

    #[test]
    fn a_pure_source_is_not() {
        for text in [
            "use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};",
            "/// Not std::fs, and no Instant.\nfn f() -> &'static str { \"std::net\" }",
            "mod thread {} use crate::thread; fn f() { my::std::fs::x(); thread::x() }",
            "#[cfg(test)]\nmod tests { use std::collections::HashMap; use std::fs; }",
        ] {
            assert_eq!(breaches(text), [""; 0], "{text}");
        }
    }
}
