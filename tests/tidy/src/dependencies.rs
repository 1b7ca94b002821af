//! Who may depend on whom.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, Package};

use crate::Breaches;

/// A crate of the workspace, or one that it depends on.
#[derive(Clone, Debug)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its folder from the root on; `None` for a crate from elsewhere.
    pub folder: Option<String>,
    /// What it depends on, by name.
    pub needs: Vec<(Kind, String)>,
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The crate itself, or its build script.
    Normal,
    /// Its tests.
    Dev,
}

/// Names that the pure core may not reach, however far away: runtimes, clocks, randomness, libraries, the ABI.
pub const IMPURE: &[&str] = &[
    "abi_stable",
    "chrono",
    "fastrand",
    "futures-util",
    "getrandom",
    "jiff",
    "libc",
    "libloading",
    "log",
    "longshore-plugin-abi",
    "longshore-plugin-api",
    "mio",
    "nix",
    "rand",
    "rand_core",
    "rustix",
    "socket2",
    "time",
    "tokio",
    "tracing",
];

/// The crates of cargo's description.
pub fn crates(metadata: &Metadata) -> Vec<Crate> {
    let resolve = metadata.resolve.as_ref().expect("cargo was asked for the whole graph");
    let packages: BTreeMap<_, &Package> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let describe = |node: &cargo_metadata::Node| {
        let package = packages[&node.id];
        let folder = package.source.is_none().then(|| {
            let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
            let folder = folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder);
            folder.components().map(|part| part.as_str()).collect::<Vec<_>>().join("/")
        });
        let needs = node.deps.iter().flat_map(|dependency| {
            let name = packages[&dependency.pkg].name.to_string();
            dependency.dep_kinds.iter().map(move |kind| match kind.kind {
                DependencyKind::Development => (Kind::Dev, name.clone()),
                _ => (Kind::Normal, name.clone()),
            })
        });
        Crate { name: package.name.to_string(), folder, needs: needs.collect() }
    };
    resolve.nodes.iter().map(describe).collect()
}

/// The part of the house that a crate is in: the first folder of its path.
fn wing<'a>(crates: &'a [Crate], name: &str) -> Option<&'a str> {
    let found = crates.iter().find(|it| it.name == name && it.folder.is_some())?;
    found.folder.as_deref()?.split('/').next()
}

/// What each wing may use of the house, in its crates and in their tests.
fn may_use(from: &Crate, wing_of_need: &str, kind: Kind, need: &str) -> Result<(), &'static str> {
    let folder = from.folder.as_deref().unwrap_or_default();
    let wing = folder.split('/').next().unwrap_or_default();
    match (wing, wing_of_need) {
        // `longshore conformance` is the harness at an operator's hand: one program for hosts and for authors of providers.
        (_, "tests") if folder == "host/cli" && need == "longshore-conformance" => Ok(()),
        (_, "tests") if kind == Kind::Dev || wing == "tests" => Ok(()),
        (_, "tests") => Err("only tests may use the crates of tests/"),
        ("plugins", _) if need == "longshore-plugin-api" => Ok(()),
        ("plugins", _) => Err("a plugin uses longshore-plugin-api alone"),
        ("host", "plugins") => Err("the host knows plugins by their files, not as crates"),
        ("plugin-api", "host" | "plugins") => Err("the contract stands below the host and the plugins"),
        _ => Ok(()),
    }
}

/// Plugins use the plugin API alone; the host uses no plugin; the API uses neither; nothing but tests uses the tests.
pub fn wings(crates: &[Crate]) -> Breaches {
    let mut breaches = vec![];
    for from in crates.iter().filter(|it| it.folder.is_some()) {
        for (kind, need) in &from.needs {
            let Some(of) = wing(crates, need) else { continue };
            if let Err(why) = may_use(from, of, *kind, need) {
                breaches.push(format!("{} depends on {need}: {why}", from.name));
            }
        }
    }
    breaches
}

/// The pure core reaches nothing impure. Its tests may, as far as the house's own crates and the ABI are not concerned.
pub fn pure_core(crates: &[Crate], core: &str) -> Breaches {
    let by_name: BTreeMap<&str, &Crate> = crates.iter().map(|it| (it.name.as_str(), it)).collect();
    let Some(start) = by_name.get(core) else { return vec![format!("there is no crate {core}")] };
    let mut breaches = vec![];
    let (mut seen, mut open) = (BTreeSet::from([core]), vec![*start]);
    while let Some(from) = open.pop() {
        for (_, need) in from.needs.iter().filter(|(kind, _)| *kind == Kind::Normal) {
            if IMPURE.contains(&need.as_str()) {
                breaches.push(format!("{core} reaches {need} through {}", from.name));
            }
            if seen.insert(need) {
                open.extend(by_name.get(need.as_str()));
            }
        }
    }
    let ours = |need: &str| by_name.get(need).is_some_and(|it| it.folder.is_some());
    for (_, need) in start.needs.iter().filter(|(_, need)| ours(need)) {
        breaches.push(format!("{core} depends on {need}: the core stands alone"));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(folder: &str, needs: &[(Kind, &str)]) -> Crate {
        let name = format!("longshore-{}", folder.rsplit('/').next().expect("a folder"));
        let needs = needs.iter().map(|(kind, need)| (*kind, (*need).to_owned())).collect();
        Crate { name, folder: Some(folder.to_owned()), needs }
    }

    fn foreign(name: &str, needs: &[&str]) -> Crate {
        let needs = needs.iter().map(|need| (Kind::Normal, (*need).to_owned())).collect();
        Crate { name: name.to_owned(), folder: None, needs }
    }

    #[test]
    fn a_wing_that_leans_on_another_is_caught() {
        use Kind::{Dev, Normal};
        let crates = |from: Crate| {
            let others =
                ["plugin-api", "host/config", "plugins/memory", "tests/support", "tests/conformance"];
            let mut crates: Vec<_> = others.into_iter().map(|folder| member(folder, &[])).collect();
            crates.push(from);
            wings(&crates)
        };
        for (folder, kind, need) in [
            ("plugins/own", Normal, "longshore-config"),
            ("plugins/own", Dev, "longshore-config"),
            ("plugins/own", Normal, "longshore-memory"),
            ("plugins/own", Normal, "longshore-support"),
            ("host/own", Normal, "longshore-memory"),
            ("host/own", Dev, "longshore-memory"),
            ("host/own", Normal, "longshore-support"),
            ("host/own", Normal, "longshore-conformance"),
            ("plugins/own", Normal, "longshore-conformance"),
            ("plugin-api/own", Normal, "longshore-config"),
        ] {
            let breaches = crates(member(folder, &[(kind, need)]));
            assert_eq!(breaches.len(), 1, "{folder} {kind:?} {need}");
            assert!(breaches[0].starts_with(&format!("longshore-own depends on {need}: ")), "{breaches:?}");
        }
        for (folder, kind, need) in [
            ("plugins/own", Normal, "longshore-plugin-api"),
            ("plugins/own", Normal, "serde"),
            ("plugins/own", Dev, "longshore-support"),
            ("plugins/own", Dev, "longshore-conformance"),
            ("host/own", Normal, "longshore-plugin-api"),
            ("host/own", Normal, "longshore-config"),
            ("tests/own", Normal, "longshore-memory"),
            ("tests/own", Normal, "longshore-support"),
        ] {
            assert_eq!(crates(member(folder, &[(kind, need)])), [""; 0], "{folder} {kind:?} {need}");
        }
        // The command alone.
        assert_eq!(crates(member("host/cli", &[(Normal, "longshore-conformance")])), [""; 0]);
        assert_eq!(crates(member("host/cli", &[(Normal, "longshore-support")])).len(), 1);
    }

    #[test]
    fn an_impure_core_is_caught_however_deep() {
        use Kind::{Dev, Normal};
        let core = |needs: &[(Kind, &str)]| {
            pure_core(
                &[
                    member("host/scaling", needs),
                    member("host/store", &[]),
                    foreign("harmless", &["deeper"]),
                    foreign("deeper", &["tokio", "harmless"]),
                    foreign("proptest", &["rand"]),
                ],
                "longshore-scaling",
            )
        };
        assert_eq!(core(&[(Normal, "harmless")]), ["longshore-scaling reaches tokio through deeper"]);
        assert_eq!(core(&[(Normal, "rand")]), ["longshore-scaling reaches rand through longshore-scaling"]);
        assert_eq!(core(&[(Dev, "longshore-store")]).len(), 1);
        assert_eq!(core(&[(Dev, "proptest"), (Normal, "serde")]), [""; 0]);
        assert_eq!(pure_core(&[], "longshore-scaling"), ["there is no crate longshore-scaling"]);
    }
}
