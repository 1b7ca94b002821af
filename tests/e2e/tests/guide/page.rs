//! What a page tells its reader to do: the blocks `console` are commands, a block `text` after them is what they say.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// What a block of the page is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// To be run, one after the other; one that reads a text from the page has it with it.
    Commands(Vec<String>),
    /// To be seen, line by line; `…` stands for anything.
    Output(Vec<String>),
}

/// The blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for event in Parser::new(page) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                open = Some((language.to_string(), String::new()));
            }
            Event::Text(more) => {
                if let Some((_, text)) = &mut open {
                    text.push_str(&more);
                }
            }
            Event::End(TagEnd::CodeBlock) => match open.take() {
                Some((language, text)) if language == "console" => {
                    blocks.push(Block::Commands(commands(&text)));
                }
                Some((language, text)) if language == "text" => {
                    blocks.push(Block::Output(text.lines().map(str::to_owned).collect()));
                }
                _ => {}
            },
            _ => {}
        }
    }
    blocks
}

fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push(command.to_owned()),
            (None, Some(command)) => {
                command.push('\n');
                command.push_str(line);
            }
            (None, None) => panic!("a console block begins with a command, and not with {line:?}"),
        }
    }
    commands
}

/// Whether an output has such a line, but for what `…` stands for.
pub(crate) fn shows(output: &str, line: &str) -> bool {
    output.lines().any(|said| {
        let mut rest = Some(said);
        for part in line.split('…').map(str::trim) {
            rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
        }
        rest.is_some()
    })
}

#[test]
fn a_page_is_commands_and_what_they_say() {
    let page = "Do\n\n```console\n$ cat <<EOF\na\nEOF\n$ b    # fails\n```\n\n```toml\nx = 1\n```\n\n```text\nout … put\n```\n";
    let wanted = [
        Block::Commands(vec!["cat <<EOF\na\nEOF".to_owned(), "b    # fails".to_owned()]),
        Block::Output(vec!["out … put".to_owned()]),
    ];
    assert_eq!(blocks(page), wanted);
    assert!(shows("one\nan output of 3 is put here", "  out … put") && shows("a", ""));
    assert!(!shows("put, and then out", "out … put") && !shows("one\ntwo", "one … two"));
}
