//! Source code as a flat list of words and signs with their lines, without comments and without what is in quotes.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{Breaches, TextFile};

/// A word, a sign, a bracket, or a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// As it is written; a literal is `""`, whatever it says.
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// The tokens of a source file.
///
/// # Errors
///
/// It is not Rust.
pub fn tokens(file: &TextFile) -> Result<Vec<Token>, String> {
    let stream: TokenStream =
        file.text.parse().map_err(|error| format!("{} is not Rust: {error}", file.path))?;
    let mut tokens = vec![];
    flatten(stream, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let text = match &tree {
            TokenTree::Ident(word) => word.to_string(),
            TokenTree::Punct(sign) => sign.to_string(),
            TokenTree::Literal(_) => "\"\"".to_owned(),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                let end = group.span_close().end().line;
                tokens.push(Token { text: open.to_owned(), line });
                flatten(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: end });
                continue;
            }
        };
        tokens.push(Token { text, line });
    }
}

/// Whether the tokens go on with these.
pub fn begins(tokens: &[Token], with: &[&str]) -> bool {
    tokens.len() >= with.len() && tokens.iter().zip(with).all(|(token, text)| token.text == *text)
}

/// The tokens up to the bracket that closes the first one, which opens.
pub fn bracketed(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return &tokens[..=at];
        }
    }
    tokens
}

/// The tokens without the items that are there for tests alone.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const MARK: &[&str] = &["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = vec![];
    let mut rest = tokens;
    while let Some(first) = rest.first() {
        if !begins(rest, MARK) {
            kept.push(first.clone());
            rest = &rest[1..];
            continue;
        }
        // An item ends with its body or its semicolon.
        rest = &rest[MARK.len()..];
        while let Some(token) = rest.first() {
            let part = bracketed(rest);
            rest = &rest[part.len()..];
            if token.text == "{" || token.text == ";" {
                break;
            }
        }
    }
    kept
}

/// A lint is silenced with a reason, and by `expect`, which speaks up when there is nothing to silence any more.
pub fn silenced_lints(file: &TextFile) -> Breaches {
    let tokens = match tokens(file) {
        Ok(tokens) => tokens,
        Err(why) => return vec![why],
    };
    let mut breaches = vec![];
    for at in 0..tokens.len() {
        let rest = &tokens[at..];
        let open = match rest {
            _ if begins(rest, &["#", "["]) => 1,
            _ if begins(rest, &["#", "!", "["]) => 2,
            _ => continue,
        };
        let attribute = bracketed(&rest[open..]);
        let [_, name, inside @ ..] = attribute else { continue };
        let line = name.line;
        // Within `cfg_attr` they count as well.
        let mentions = |word: &str| {
            name.text == word || (name.text == "cfg_attr" && inside.iter().any(|t| t.text == word))
        };
        if mentions("allow") {
            breaches.push(format!("{}:{line}: write `expect` with a reason instead of `allow`", file.path));
        } else if mentions("expect") && !inside.iter().any(|token| token.text == "reason") {
            breaches.push(format!("{}:{line}: give the `expect` a reason", file.path));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_comments_and_quotes_is_no_token() {
        let file = TextFile::sample("a.rs", "//! unsafe\n/* unsafe */ fn f() { \"unsafe\"; }");
        let tokens = tokens(&file).expect("it is Rust");
        assert!(tokens.iter().all(|token| token.text != "unsafe"), "{tokens:?}");
        let body = tokens.iter().find(|token| token.text == "{").expect("the body");
        assert_eq!(body.line, 2);
        assert!(super::tokens(&TextFile::sample("a.rs", "fn f( {")).is_err());
    }

    #[test]
    fn items_of_tests_are_left_out_and_no_others() {
        let text = "use a::{x, y};\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[x(y)]\nmod more { fn f() { {} } }\nfn kept() {}";
        let kept = without_tests(&tokens(&TextFile::sample("a.rs", text)).expect("it is Rust"));
        let words: Vec<_> = kept.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(words.concat(), "usea::{x,y};fnkept(){}");
    }

    #[test]
    fn a_lint_that_is_silenced_without_a_word_is_caught() {
        let breaches = |text: &str| silenced_lints(&TextFile::sample("a.rs", text));
        let allow = "a.rs:2: write `expect` with a reason instead of `allow`";
        let silent = "a.rs:2: give the `expect` a reason";
        assert_eq!(breaches("\n#[allow(dead_code)] fn f() {}"), [allow]);
        assert_eq!(breaches("\n#![allow(dead_code, reason = \"r\")]"), [allow]);
        assert_eq!(breaches("\n#[cfg_attr(test, allow(dead_code))] fn f() {}"), [allow]);
        assert_eq!(breaches("\n#[expect(dead_code)] fn f() {}"), [silent]);
        assert_eq!(
            breaches("#[expect(dead_code, reason = \"r\")] fn f() { a.expect(\"x\"); allow(1) }"),
            [""; 0]
        );
    }
}
