//! What is written for people: links that lead somewhere, and no paths of the machine that it was written on.

use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::{Breaches, TextFile};

/// Folders that are on one machine only. In pieces, so that this file keeps its own rule.
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// No file names an absolute path of somebody's machine.
pub fn machine_paths(file: &TextFile) -> Breaches {
    let mut breaches = vec![];
    for (number, line) in file.text.lines().enumerate() {
        for folder in MACHINE {
            // What stands before tells an absolute path from the middle of another one, or of an address.
            let begins =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}/~".contains(c));
            if line.match_indices(folder).any(|(at, _)| begins(at)) {
                breaches.push(format!("{}:{}: {folder} is a folder of one machine", file.path, number + 1));
            }
        }
    }
    breaches
}

/// Every relative link in a Markdown file leads to a file or folder of the repository, and to a heading that is there.
pub fn links(file: &TextFile, files: &[TextFile], root: &Path) -> Breaches {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut breaches = vec![];
    for (event, range) in Parser::new_ext(&file.text, Options::all()).into_offset_iter() {
        let Event::Start(Tag::Link { dest_url: to, .. } | Tag::Image { dest_url: to, .. }) = event else {
            continue;
        };
        let line = file.text[..range.start].matches('\n').count() + 1;
        let mut breach = |why: &str| breaches.push(format!("{}:{line}: {why}: {to}", file.path));
        let is_address =
            to.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
        if is_address {
            continue;
        }
        let (path, heading) =
            to.split_once('#').map_or((&*to, None), |(path, heading)| (path, Some(heading)));
        if path.starts_with('/') {
            breach("a link begins at its own file, not at /");
            continue;
        }
        let target = if path.is_empty() { file.path.clone() } else { joined(folder, path) };
        let page = files.iter().find(|file| file.path == target);
        if page.is_none() && !root.join(&target).exists() {
            breach("a link leads nowhere");
            continue;
        }
        if let (Some(heading), Some(page)) = (heading, page.filter(|page| page.is_markdown()))
            && !headings(&page.text).contains(&heading.to_owned())
        {
            breach("a link leads to a heading that is not there");
        }
    }
    breaches
}

/// A relative path from a folder, without `.` and `..`.
fn joined(folder: &Path, path: &str) -> String {
    let mut parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if !parts.is_empty() && parts.last() != Some(&"..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The names under which a page's headings are linked to, as code hosts make them.
fn headings(text: &str) -> Vec<String> {
    let mut headings: Vec<String> = vec![];
    let mut open: Option<String> = None;
    for event in Parser::new_ext(text, Options::all()) {
        match (event, &mut open) {
            (Event::Start(Tag::Heading { .. }), _) => open = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => heading.push_str(&text),
            (Event::End(pulldown_cmark::TagEnd::Heading(_)), _) => {
                let name: String = open
                    .take()
                    .unwrap_or_default()
                    .to_lowercase()
                    .chars()
                    .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                    .map(|c| if c == ' ' { '-' } else { c })
                    .collect();
                let same = headings.iter().filter(|heading| **heading == name).count();
                headings.push(if same == 0 { name } else { format!("{name}-{same}") });
            }
            _ => {}
        }
    }
    headings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_machine_is_caught() {
        let breaches = |text: &str| machine_paths(&TextFile::sample("a.md", text));
        for folder in MACHINE {
            for text in [
                format!("see {folder}x"),
                format!("\"{folder}me\""),
                format!("P={folder}bin"),
                folder.to_string(),
            ] {
                assert_eq!(
                    breaches(&format!("\n{text}")),
                    [format!("a.md:2: {folder} is a folder of one machine")]
                );
            }
            for text in
                [format!("https://host{folder}x"), format!("target{folder}x"), format!("${{HERE}}{folder}x")]
            {
                assert_eq!(breaches(&text), [""; 0], "{text}");
            }
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_caught() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = |text: &str| {
            let page = TextFile::sample("tests/page.md", text);
            links(&page, std::slice::from_ref(&page), root)
        };
        for text in [
            "[a](house.rs)",
            "[a](./house.rs) ![b](../src/house.rs)",
            "[a](https://example.org/x) [b](mailto:a@b.c) `[c](absent)`",
            "```\n[a](absent)\n```\n[b](#a-heading-with-code)\n\n# A heading, with `code`!",
            "[a]\n\n[a]: house.rs",
            "# A\n# A\n[b](page.md#a-1)",
        ] {
            let breaches: Vec<_> =
                page(text).into_iter().filter(|breach| !breach.contains("page.md#")).collect();
            assert_eq!(breaches, [""; 0], "{text}");
        }
        assert_eq!(page("\n[a](absent.md)"), ["tests/page.md:2: a link leads nowhere: absent.md"]);
        assert_eq!(page("[a](../../absent)"), ["tests/page.md:1: a link leads nowhere: ../../absent"]);
        assert_eq!(page("[a]\n\n[a]: absent"), ["tests/page.md:1: a link leads nowhere: absent"]);
        assert_eq!(page("[a](/src)"), ["tests/page.md:1: a link begins at its own file, not at /: /src"]);
        assert_eq!(
            page("# A\n[b](page.md#b)"),
            ["tests/page.md:2: a link leads to a heading that is not there: page.md#b"]
        );
        assert_eq!(joined(Path::new("a/b"), "../../c/./d"), "c/d");
        assert_eq!(headings("# One `two`!\n## One two\nText"), ["one-two", "one-two-1"]);
    }
}
