//! The house, held to its rules.

use std::sync::LazyLock;

use longshore_tidy::{
    Breaches, House, TextFile, contract, dependencies, layout, manifests, prose, purity, source, unsafety,
};

static HOUSE: LazyLock<House> = LazyLock::new(House::look);

#[track_caller]
fn hold(breaches: impl IntoIterator<Item = String>) {
    let breaches: Breaches = breaches.into_iter().collect();
    assert!(breaches.is_empty(), "{} breaches:\n  {}\n", breaches.len(), breaches.join("\n  "));
}

fn file(path: &str) -> &'static TextFile {
    HOUSE.texts.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is missing"))
}

fn member_manifests() -> Vec<&'static TextFile> {
    // What was released is a workspace of its own, and stays as it was.
    let is_released = |file: &&TextFile| file.path.starts_with("tests/compat/released/");
    let is_member = |file: &&TextFile| file.path.ends_with("/Cargo.toml") && !is_released(file);
    HOUSE.texts.iter().filter(is_member).collect()
}

#[test]
fn the_house_was_looked_at() {
    assert!(HOUSE.rust().count() > 50, "all source files are there");
    assert!(member_manifests().len() >= HOUSE.metadata.workspace_members.len());
    assert!(HOUSE.paths.iter().any(|path| path == ".gitignore"), "hidden files are there as well");
    assert!(HOUSE.paths.iter().all(|path| !path.starts_with("target/")), "what is built is not");
}

#[test]
fn plugins_host_and_tests_keep_apart() {
    hold(dependencies::wings(&dependencies::crates(&HOUSE.metadata)));
}

#[test]
fn the_core_reaches_nothing_impure() {
    hold(dependencies::pure_core(&dependencies::crates(&HOUSE.metadata), "longshore-scaling"));
}

#[test]
fn the_cores_sources_are_pure() {
    let of_core = |file: &&TextFile| {
        let is_test = file.path.ends_with("/tests.rs");
        file.path.starts_with("host/scaling/src/") && !is_test
    };
    assert!(HOUSE.rust().filter(of_core).count() > 5, "the core is there");
    hold(HOUSE.rust().filter(of_core).flat_map(purity::core_source));
}

#[test]
fn every_crate_inherits_from_the_workspace() {
    hold(member_manifests().into_iter().flat_map(manifests::member));
}

#[test]
fn the_workspace_speaks_for_all() {
    hold(manifests::workspace(file("Cargo.toml"), &member_manifests()));
}

#[test]
fn the_licences_are_there() {
    hold(manifests::licences(&HOUSE.texts));
}

#[test]
fn unsafe_code_is_in_its_places_with_its_reasons() {
    hold(HOUSE.rust().flat_map(|file| unsafety::places_and_reasons(file, unsafety::PLACES)));
    hold(unsafety::stale_places(&HOUSE.rust().collect::<Vec<_>>(), unsafety::PLACES));
}

#[test]
fn lints_are_silenced_with_a_reason() {
    hold(HOUSE.rust().flat_map(source::silenced_lints));
}

#[test]
fn source_files_are_short_and_say_what_they_are_for() {
    hold(HOUSE.rust().flat_map(layout::source_file));
}

#[test]
fn the_top_level_is_as_given() {
    hold(layout::top_level(&HOUSE.paths));
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    hold(HOUSE.texts.iter().flat_map(prose::machine_paths));
}

#[test]
fn links_lead_somewhere() {
    let pages = HOUSE.texts.iter().filter(|file| file.is_markdown());
    hold(pages.flat_map(|file| prose::links(file, &HOUSE.texts, &HOUSE.root)));
}

#[test]
fn the_contract_and_the_code_have_the_same_clauses() {
    hold(contract::agreement(file("plugin-api/CONTRACT.md"), &contract::known()));
}

#[test]
fn every_clause_has_a_check_and_a_mutant() {
    hold(contract::tried(&contract::known(), &contract::of_checks(), &contract::of_mutants()));
}
