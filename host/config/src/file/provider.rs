//! Reads `[[provider]]`: what its library must be, where it runs, and what it may not do there.

use std::path::{self, Path, PathBuf};

use super::required;
use crate::{
    check,
    config::ProviderConfig,
    isolation::{Confinement, Guard, Isolation, Trust},
    keys,
    section::Section,
};

pub(super) fn read_provider(section: &mut Section<'_, '_>, folder: &Path) -> ProviderConfig {
    section.check_keys(keys::PROVIDER);
    let name = required(section, "name");
    let plugin = match section.text("plugin") {
        Some(plugin) => located(&plugin, folder),
        None => name.clone(),
    };
    let mut confine = None;
    section.section("confine", |section| confine = Some(read_confinement(section, folder)));
    let isolations = [("in-process", Isolation::InProcess), ("subprocess", Isolation::Subprocess)];
    // What is confined is confined in a runner.
    let usual = section.has("confine").then_some(Isolation::Subprocess);
    ProviderConfig {
        plugin,
        config: section.json("config").unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new())),
        threads: section.count("threads", check::THREADS_LIMIT),
        create_timeout: section.duration("create_timeout"),
        hang_grace: section.duration("hang_grace"),
        isolation: section.choice("isolation", &isolations).or(usual),
        trust: read_trust(section),
        confine,
        watch: section.text("watch").map(|watch| path_of(&watch, folder)),
        name,
    }
}

fn read_trust(section: &mut Section<'_, '_>) -> Trust {
    let signed_by = section.texts("signed_by");
    if signed_by.as_ref().is_some_and(Vec::is_empty) {
        section.wrong("signed_by", "must not be empty; leave it out where no signature is asked for");
    }
    Trust {
        sha256: section.text("sha256").map(|digits| digits.to_ascii_lowercase()),
        signed_by: signed_by.unwrap_or_default(),
    }
}

fn read_confinement(section: &mut Section<'_, '_>, folder: &Path) -> Confinement {
    section.check_keys(keys::CONFINE);
    let paths = |texts: Vec<String>| texts.iter().map(|text| path_of(text, folder)).collect();
    let confinement = Confinement {
        user: section.text("user"),
        memory: section.bytes("memory"),
        descriptors: section.count_in("descriptors", check::DESCRIPTORS),
        cpu_time: section.duration("cpu_time"),
        read: section.texts("read").map(paths),
        write: section.texts("write").map(paths),
        seccomp: section.flag("seccomp").unwrap_or_default(),
        ..Confinement::default()
    };
    let guards = Guard::ALL.map(|guard| (guard.name(), guard));
    let required = section.choices("required", &guards, confinement.guards()).unwrap_or_default();
    Confinement { required, ..confinement }
}

/// The absolute path of a plugin that is named by its file; a plain name as it is.
fn located(plugin: &str, folder: &Path) -> String {
    let is_path = plugin.contains(path::is_separator)
        || [".so", ".dll", ".dylib"].iter().any(|ending| plugin.ends_with(ending));
    if is_path { absolute(plugin, folder) } else { plugin.to_owned() }
}

/// A path as the file has it, made absolute; one that is empty stays so, for the check to find.
fn path_of(path: &str, folder: &Path) -> PathBuf {
    if path.is_empty() { PathBuf::new() } else { absolute(path, folder).into() }
}

/// It is text, as all that is written down or sent has to be.
fn absolute(path: &str, folder: &Path) -> String {
    let joined = folder.join(path);
    // It fails where there is no current folder any more; the host's own error on the path then says enough.
    path::absolute(&joined).unwrap_or(joined).to_string_lossy().into_owned()
}
