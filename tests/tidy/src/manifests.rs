//! What every crate's `Cargo.toml` says, and what the workspace's says for all of them.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::{Breaches, TextFile};

/// Crates that are not called `longshore-<folder>`.
const OTHER_NAMES: &[(&str, &str, &str)] = &[
    (
        "plugin-api/abi",
        "longshore-plugin-abi",
        "authors meet it in compiler messages, where plain \"abi\" says nothing",
    ),
    ("tests/xtask", "xtask", "`cargo xtask` is what everyone calls it"),
];

/// Crates that have a version of their own.
const OWN_VERSIONS: &[(&str, &str)] = &[(
    "plugin-api/abi",
    "its major number is the contract's version, which changes far less often than the rest",
)];

/// What a crate takes over from the workspace.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

fn table(file: &TextFile) -> Result<Table, String> {
    file.text.parse().map_err(|error| format!("{} is not valid TOML: {error}", file.path))
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn text<'a>(table: &'a Table, path: &[&str]) -> Option<&'a str> {
    let (last, before) = path.split_last()?;
    before.iter().try_fold(table, |table, key| table.get(*key)?.as_table())?.get(*last)?.as_str()
}

/// The tables of dependencies in a manifest, those of single platforms included.
fn dependency_tables(manifest: &Table) -> Vec<&Table> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let holders = platforms.filter_map(Value::as_table).chain([manifest]);
    holders.flat_map(|holder| KINDS.map(|kind| holder.get(kind)?.as_table())).flatten().collect()
}

/// A crate inherits the workspace's package fields and lints, has its folder's name, and takes every dependency's version
/// from the workspace.
pub fn member(file: &TextFile) -> Breaches {
    let manifest = match table(file) {
        Ok(manifest) => manifest,
        Err(why) => return vec![why],
    };
    let path = &file.path;
    let mut breaches = vec![];
    let package = manifest.get("package").and_then(Value::as_table);
    let folder = path.strip_suffix("/Cargo.toml").unwrap_or(path);
    let own_version = OWN_VERSIONS.iter().any(|(at, _)| *at == folder);
    for key in INHERITED.iter().filter(|key| !(own_version && **key == "version")) {
        if !inherits(package.and_then(|package| package.get(*key))) {
            breaches.push(format!("{path}: write `{key}.workspace = true`"));
        }
    }
    if own_version && text(&manifest, &["package", "version"]).is_none() {
        breaches.push(format!(
            "{path}: give it a `version` of its own, or take it off the list of those that have one"
        ));
    }
    if !inherits(manifest.get("lints")) {
        breaches.push(format!("{path}: write `[lints] workspace = true`"));
    }
    let own = format!("longshore-{}", folder.rsplit('/').next().unwrap_or(folder));
    let other = OTHER_NAMES.iter().find(|(at, ..)| *at == folder).map(|(_, name, _)| *name);
    let (name, wanted) = (text(&manifest, &["package", "name"]).unwrap_or_default(), other.unwrap_or(&own));
    if name != wanted {
        breaches.push(format!("{path}: the crate is called {name:?}, but its folder says {wanted:?}"));
    }
    if text(&manifest, &["package", "description"]).unwrap_or_default().is_empty() {
        breaches.push(format!("{path}: say in `description` what the crate is for"));
    }
    for (name, dependency) in dependency_tables(&manifest).into_iter().flatten() {
        let own = ["version", "path", "git", "registry"].iter().find(|key| dependency.get(*key).is_some());
        if !inherits(Some(dependency)) || own.is_some() {
            breaches.push(format!(
                "{path}: write `{name}.workspace = true`; its version is the workspace's to say"
            ));
        }
    }
    breaches
}

/// The workspace licenses everything alike, names its members one by one, denies unsafe code, and shares no version that
/// nobody uses. `members` are the manifests of its crates.
pub fn workspace(root: &TextFile, members: &[&TextFile]) -> Breaches {
    let manifest = match table(root) {
        Ok(manifest) => manifest,
        Err(why) => return vec![why],
    };
    let mut breaches = vec![];
    if manifest.contains_key("package") {
        breaches.push("the root is a virtual manifest: it has no [package]".to_owned());
    }
    for (path, wanted) in [
        (["workspace", "package", "license"], "MIT OR Apache-2.0"),
        (["workspace", "package", "edition"], "2024"),
    ] {
        if text(&manifest, &path) != Some(wanted) {
            breaches.push(format!("{}: {} must be {wanted:?}", root.path, path.join(".")));
        }
    }
    if text(&manifest, &["workspace", "lints", "rust", "unsafe_code"]) != Some("deny") {
        breaches.push(format!("{}: [workspace.lints.rust] must say `unsafe_code = \"deny\"`", root.path));
    }
    let workspace = manifest.get("workspace");
    let listed: BTreeSet<&str> = workspace
        .and_then(|workspace| workspace.get("members")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for member in listed.iter().filter(|member| member.contains(['*', '?', '['])) {
        breaches.push(format!("{}: name members one by one, not as {member:?}", root.path));
    }
    for member in members {
        let folder = member.path.strip_suffix("/Cargo.toml").unwrap_or(&member.path);
        if !listed.contains(folder) {
            breaches.push(format!("{}: {folder} has a Cargo.toml and is not among the members", root.path));
        }
    }
    let tables: Vec<Table> = members.iter().filter_map(|member| table(member).ok()).collect();
    let used: BTreeSet<&String> =
        tables.iter().flat_map(|manifest| dependency_tables(manifest)).flat_map(Table::keys).collect();
    let shared = workspace.and_then(|workspace| workspace.get("dependencies")?.as_table());
    for name in shared.into_iter().flat_map(Table::keys).filter(|name| !used.contains(name)) {
        breaches.push(format!("{}: no crate uses {name}; drop it from [workspace.dependencies]", root.path));
    }
    breaches
}

/// Both licences are there in full, where authors of plugins look.
pub fn licences(files: &[TextFile]) -> Breaches {
    let wanted = [
        ("plugin-api/LICENSE-MIT", "MIT License", "THE SOFTWARE IS PROVIDED \"AS IS\""),
        ("plugin-api/LICENSE-APACHE", "Apache License", "END OF TERMS AND CONDITIONS"),
    ];
    let mut breaches = vec![];
    for (path, title, late) in wanted {
        match files.iter().find(|file| file.path == path) {
            None => breaches.push(format!("{path} is missing")),
            Some(file) if !(file.text.contains(title) && file.text.contains(late)) => {
                breaches.push(format!("{path} is not the whole licence"));
            }
            Some(_) => {}
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [package]
        name = "longshore-good"
        description = "Good"
        version.workspace = true
        edition.workspace = true
        rust-version.workspace = true
        license.workspace = true
        publish.workspace = true
        [dependencies]
        serde.workspace = true
        tokio = { workspace = true, features = ["net"] }
        [target.'cfg(unix)'.dev-dependencies]
        libc.workspace = true
        [lints]
        workspace = true
    "#;

    fn breaches(path: &str, from: &str, to: &str) -> Breaches {
        assert!(GOOD.contains(from), "the sample has {from}");
        member(&TextFile::sample(path, &GOOD.replace(from, to)))
    }

    #[test]
    fn a_crate_of_its_own_ways_is_caught() {
        const PATH: &str = "host/good/Cargo.toml";
        assert_eq!(breaches(PATH, "", ""), [""; 0]);
        for (from, to, breach) in [
            ("edition.workspace = true", "edition = \"2021\"", "write `edition.workspace = true`"),
            ("license.workspace = true", "license = \"GPL-3.0\"", "write `license.workspace = true`"),
            ("publish.workspace = true", "", "write `publish.workspace = true`"),
            ("[lints]\n        workspace = true", "[lints.rust]", "write `[lints] workspace = true`"),
            (
                "longshore-good",
                "good",
                "the crate is called \"good\", but its folder says \"longshore-good\"",
            ),
            ("\"Good\"", "\"\"", "say in `description` what the crate is for"),
            (
                "serde.workspace = true",
                "serde = \"1\"",
                "write `serde.workspace = true`; its version is the workspace's to say",
            ),
            (
                "libc.workspace = true",
                "libc = { git = \"x\" }",
                "write `libc.workspace = true`; its version is the workspace's to say",
            ),
            (
                "tokio = { workspace",
                "tokio = { version = \"1\", workspace",
                "write `tokio.workspace = true`; its version is the workspace's to say",
            ),
        ] {
            assert_eq!(breaches(PATH, from, to), [format!("{PATH}: {breach}")]);
        }
        assert_eq!(breaches("tests/xtask/Cargo.toml", "longshore-good", "xtask"), [""; 0]);
        assert_eq!(breaches("tests/xtask/Cargo.toml", "longshore-good", "longshore-xtask").len(), 1);
        assert_eq!(member(&TextFile::sample(PATH, "= 3")).len(), 1);
    }

    #[test]
    fn only_the_boundary_has_a_version_of_its_own() {
        const ABI: &str = "plugin-api/abi/Cargo.toml";
        let version = |path: &str, name: &str, version: &str| {
            let manifest = GOOD.replace("longshore-good", name).replace(" version.workspace = true", version);
            member(&TextFile::sample(path, &manifest))
        };
        assert_eq!(version(ABI, "longshore-plugin-abi", " version = \"1.0.0\""), [""; 0]);
        assert_eq!(version(ABI, "longshore-plugin-abi", " version.workspace = true").len(), 1);
        assert_eq!(
            version("host/good/Cargo.toml", "longshore-good", " version = \"1.0.0\""),
            ["host/good/Cargo.toml: write `version.workspace = true`"]
        );
    }

    #[test]
    fn a_workspace_of_other_ways_is_caught() {
        const ROOT: &str = r#"
            [workspace]
            members = ["host/good"]
            [workspace.package]
            license = "MIT OR Apache-2.0"
            edition = "2024"
            [workspace.dependencies]
            serde = "1"
            tokio = "1"
            libc = "0.2"
            [workspace.lints.rust]
            unsafe_code = "deny"
        "#;
        let good = TextFile::sample("host/good/Cargo.toml", GOOD);
        let breaches = |from: &str, to: &str| {
            assert!(ROOT.contains(from), "the sample has {from}");
            workspace(&TextFile::sample("Cargo.toml", &ROOT.replace(from, to)), &[&good])
        };
        assert_eq!(breaches("", ""), [""; 0]);
        for (from, to, breach) in [
            ("MIT OR Apache-2.0", "GPL-3.0", "workspace.package.license must be \"MIT OR Apache-2.0\""),
            ("2024", "2021", "workspace.package.edition must be \"2024\""),
            ("deny", "warn", "[workspace.lints.rust] must say `unsafe_code = \"deny\"`"),
            (
                "\"host/good\"",
                "\"host/good\", \"plugins/*\"",
                "name members one by one, not as \"plugins/*\"",
            ),
            ("\"host/good\"", "", "host/good has a Cargo.toml and is not among the members"),
            (
                "tokio",
                "tokio-util = \"1\"\ntokio",
                "no crate uses tokio-util; drop it from [workspace.dependencies]",
            ),
        ] {
            assert_eq!(breaches(from, to), [format!("Cargo.toml: {breach}")]);
        }
        assert_eq!(breaches("[workspace]\n", "[package]\nname = \"x\"\n[workspace]\n").len(), 1);
    }

    #[test]
    fn a_licence_that_is_not_there_is_caught() {
        let mit =
            TextFile::sample("plugin-api/LICENSE-MIT", "MIT License\n... THE SOFTWARE IS PROVIDED \"AS IS\"");
        let cut = TextFile::sample("plugin-api/LICENSE-APACHE", "Apache License\n");
        assert_eq!(licences(&[mit.clone(), cut]), ["plugin-api/LICENSE-APACHE is not the whole licence"]);
        assert_eq!(licences(&[mit]), ["plugin-api/LICENSE-APACHE is missing"]);
    }
}
