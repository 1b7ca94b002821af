//! Plugins that are given to the host to keep, and plugins that are refused: `longshore plugin add`, `remove` and `list`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use longshore_support::{Key, example, library, until};
use serde_json::{Value, json};

use crate::house::House;

/// A copy of the memory plugin, with bytes behind its end that make it another one.
fn copy(house: &House, name: &str, more: &str) -> String {
    let plugin = fs::read(library("longshore-memory")).expect("it is built");
    let path = house.path(name);
    fs::write(&path, [&plugin[..], more.as_bytes()].concat()).expect("a folder of our own");
    path.display().to_string()
}

/// One of the list, by its path or its hash.
#[track_caller]
fn listed<'a>(list: &'a Value, kind: &str, key: &str, value: &str) -> &'a Value {
    let all = list[kind].as_array().expect("a list");
    all.iter().find(|it| it[key] == value).unwrap_or_else(|| panic!("{value} is in {kind}: {list}"))
}

fn wait_for_host(house: &House) {
    until("the host listens", || house.run(&["status"]).code == Some(0));
}

#[test]
fn a_plugin_is_kept_used_and_given_back() {
    let mut house = House::serving();
    let given = copy(&house, "given.so", "kept");
    let added = house.run(&["plugin", "add", &given, "--json"]).ok().json();
    let (hash, version) =
        (added["hash"].as_str().expect("a hash"), added["version"].as_str().expect("a version"));
    let named = format!("memory@{version}");
    assert_eq!((&added["name"], hash.len()), (&json!("memory"), 64));
    let path = added["path"].as_str().expect("a path");
    assert!(Path::new(path).starts_with(house.path("state-home")), "{path}");
    let again = house.run(&["plugin", "add", &given]).ok();
    assert!(
        again.out.contains(&format!("memory {version} is on the shelf")) && again.out.contains(hash),
        "{again:?}"
    );
    fs::remove_file(&given).expect("it is ours");

    let config = format!(
        "[[provider]]\nname = \"kept\"\nplugin = \"{named}\"\n[[cluster]]\nname = \"web\"\nprovider = \"kept\"\nworkers = 2\n"
    );
    house.run(&["apply", &house.file("kept.toml", &config)]).ok();
    let list = house.run(&["plugin", "list", "--json"]).ok().json();
    let kept = listed(&list, "plugins", "hash", hash);
    assert_eq!((&kept["place"], &kept["version"]), (&json!("shelf"), &json!(version)));
    assert_eq!((&kept["name"], &kept["providers"]), (&json!("memory"), &json!(["kept"])));
    let text = house.run(&["plugin", "list"]).ok().out;
    assert!(text.contains(&format!("shelf, {}", &hash[..12])), "{text}");
    for plugin in ["memory", &named, hash, &hash[..12]] {
        house.run(&["plugin", "remove", plugin]).ended(6).tells(&[
            &named,
            "in use",
            "provider `kept` uses it",
        ]);
    }

    // The next host has it from there, and it is in use before the provider is made.
    house.signal(rustix::process::Signal::KILL);
    house.ended();
    house.start(&["serve"]);
    wait_for_host(&house);
    assert_eq!(house.run(&["update", "web", "--json"]).ok().json()["status"]["expected"], 2);
    house.run(&["plugin", "remove", &named]).ended(6);

    // Another build of the same version has to be told apart; the one that nobody uses goes.
    let other = house.run(&["plugin", "add", &copy(&house, "other.so", "other"), "--json"]).ok().json();
    let other = other["hash"].as_str().expect("a hash");
    house.run(&["plugin", "remove", "memory"]).ended(8).tells(&[hash, other, "name one of them"]);
    let removed = house.run(&["plugin", "remove", other, "--json"]).ok().json();
    assert_eq!(removed, json!({"name": "memory", "version": version, "hash": other}));
    house.run(&["plugin", "remove", other]).ended(8).tells(&["the shelf has nothing called"]);
    house.run(&["plugin", "remove", "a/../b"]).ended(8).tells(&["NAME@VERSION"]);
}

#[test]
fn what_is_demanded_of_a_plugin_is_looked_at_before_it_is_kept() {
    let house = House::serving();
    let given = copy(&house, "given.so", "");
    let add = |more: &[&str]| house.run(&[&["plugin", "add", &given], more].concat());
    add(&["--sha256", &"0".repeat(64)]).ended(8).tells(&["given.so", "SHA-256", "is asked for"]);
    add(&["--sha256", "0"]).ended(2).tells(&["64 hexadecimal digits"]);
    let (ours, theirs) = (Key::new(), Key::new());
    let ours_is = ours.public();
    add(&["--signed-by", &ours_is]).ended(8).tells(&["given.so.minisig"]);
    theirs.sign(Path::new(&given), "theirs");
    add(&["--signed-by", &ours_is]).ended(8).tells(&["signed with another key"]);
    ours.sign(Path::new(&given), "built for a test");
    let list = house.run(&["plugin", "list", "--json"]).ok().json();
    assert!(list["plugins"].as_array().expect("a list").iter().all(|it| it["place"] == "folder"), "{list}");

    let added = add(&["--signed-by", &theirs.public(), "--signed-by", &ours_is, "--json"]).ok().json();
    assert_eq!(added["signer"], json!({"key": ours_is, "comment": "built for a test"}));
    let hash = added["hash"].as_str().expect("a hash").to_uppercase();
    let said = add(&["--sha256", &hash, "--signed-by", &ours_is]).ok();
    assert!(said.out.contains("built for a test"), "{said:?}");

    // From the shelf it is held to what its provider demands.
    let apply = |demands: &str| {
        let config = format!(
            "[[provider]]\nname = \"kept\"\nplugin = \"memory@{}\"\n{demands}\n",
            added["version"].as_str().expect("a version")
        );
        house.run(&["apply", &house.file("kept.toml", &config)])
    };
    apply(&format!("signed_by = [\"{}\"]", theirs.public())).ended(8).tells(&["signed with another key"]);
    apply(&format!("sha256 = \"{}\"", "0".repeat(64))).ended(8).tells(&["is asked for"]);
    apply(&format!("signed_by = [\"{ours_is}\"]\nsha256 = \"{}\"", hash.to_lowercase())).ok();

    fs::write(&given, "tampered with").expect("it is ours");
    add(&["--signed-by", &ours_is]).ended(8).tells(&["that of another content"]);
}

#[test]
fn a_host_that_keeps_no_state_says_why_it_keeps_no_plugins() {
    let mut house = House::without_host();
    house.run(&["plugin", "add", "given.so"]).ended(4).tells(&["no host listens"]);
    house.start(&["serve", "--no-state"]);
    wait_for_host(&house);
    let given = copy(&house, "given.so", "");
    house.run(&["plugin", "add", &given]).ended(6).tells(&["no shelf", "--no-state", "plugin folders"]);
    house.run(&["plugin", "remove", "memory"]).ended(6).tells(&["no shelf", "--no-state"]);
    let config = house.file("kept.toml", "[[provider]]\nname = \"kept\"\nplugin = \"memory@1.0.0\"\n");
    house.run(&["apply", &config]).ended(8).tells(&["memory@1.0.0", "none is kept", "state folder"]);
    let list = house.run(&["plugin", "list", "--json"]).ok().json();
    assert_eq!(list["shelf"], Value::Null);
}

/// A folder with good and bad plugins.
fn folder(house: &House) -> PathBuf {
    let folder = house.path("folder");
    fs::create_dir(&folder).expect("a folder of our own");
    let put = |name: &str, library: &Path| {
        fs::copy(library, folder.join(name)).expect("a folder of our own");
    };
    put("good.so", &library("longshore-memory"));
    put("crashing.so", &example("longshore-mutants", "spoilt_load"));
    put("strange.so", &example("longshore-mutants", "no_symbol"));
    put("open.so", &library("longshore-memory"));
    let open = fs::Permissions::from_mode(0o666);
    fs::set_permissions(folder.join("open.so"), open).expect("it is ours");
    fs::write(folder.join("notes.so"), "these are notes").expect("a folder of our own");
    folder
}

#[test]
fn every_file_that_is_refused_is_listed_with_its_reason() {
    let mut house = House::without_host();
    let folder = folder(&house);
    let mut serve = house.command(&["serve", "--plugin-path", &folder.display().to_string()]);
    serve.env("LONGSHORE_MUTANT_LOAD", "constructor:segfault");
    house.begin(serve);
    wait_for_host(&house);
    let kept = house.run(&["plugin", "add", &copy(&house, "given.so", "kept"), "--json"]).ok().json();
    let kept = PathBuf::from(kept["path"].as_str().expect("a path"));
    let spoilt = house.run(&["plugin", "add", &copy(&house, "given.so", "spoilt"), "--json"]).ok().json();
    let spoilt = PathBuf::from(spoilt["path"].as_str().expect("a path"));
    let mut bytes = fs::read(&spoilt).expect("it is there");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    fs::write(&spoilt, bytes).expect("it is ours");
    let stranger = kept.with_file_name("stranger.so");
    fs::write(&stranger, "a stranger").expect("it is ours");

    let list = house.run(&["plugin", "list", "--json"]).ok().json();
    let good = listed(&list, "plugins", "path", &folder.join("good.so").display().to_string());
    assert_eq!((&good["name"], &good["place"]), (&json!("good"), &json!("folder")));
    assert!(good["version"].is_string() && good["hash"].is_string(), "it was looked into: {good}");
    assert_eq!(listed(&list, "plugins", "path", &kept.display().to_string())["place"], "shelf");
    let text = house.run(&["plugin", "list"]).ok().out;
    for (path, place, words) in [
        (folder.join("crashing.so"), "folder", "SIGSEGV"),
        (folder.join("strange.so"), "folder", "no Longshore plugin"),
        (folder.join("open.so"), "folder", "can be written by everybody"),
        (folder.join("notes.so"), "folder", "not a shared library"),
        (spoilt, "shelf", "not what was put on the shelf"),
        (stranger, "shelf", "not of the shelf"),
    ] {
        let path = path.display().to_string();
        let refused = listed(&list, "refused", "path", &path);
        let why = refused["why"].as_str().expect("a reason");
        assert_eq!(refused["place"], place, "{refused}");
        assert!(why.contains(words), "{refused}");
        assert!(text.contains(&format!("refused: {path}")) && text.contains(words), "{path}: {text}");
    }
    assert_eq!(house.run(&["status"]).code, Some(0), "the host lives");

    // Without a host, this program looks by itself.
    let folder = folder.display().to_string();
    let alone = House::without_host();
    let mut list = alone.command(&["plugin", "list", "--json", "--plugin-path", &folder]);
    let list = list.env("LONGSHORE_MUTANT_LOAD", "constructor:segfault").output().expect("it runs");
    let list: Value = serde_json::from_slice(&list.stdout).expect("a document");
    assert_eq!((&list["found_by"], &list["shelf"]), (&json!("here"), &Value::Null));
    let crashing = listed(&list, "refused", "path", &format!("{folder}/crashing.so"));
    assert!(crashing["why"].as_str().expect("a reason").contains("SIGSEGV"), "{crashing}");
}

#[test]
fn a_plugin_that_others_can_write_is_loaded_only_where_the_operator_says_so() {
    let mut house = House::without_host();
    let folder = folder(&house);
    let folder = folder.display().to_string();
    let config = house.file("open.toml", "[[provider]]\nname = \"open\"\n");
    house.start(&["serve", "--plugin-path", &folder]);
    wait_for_host(&house);
    house.run(&["apply", &config]).ended(8).tells(&["open.so", "can be written by everybody", "chmod go-w"]);
    house.signal(rustix::process::Signal::TERM);
    house.ended();
    let mut serve = house.command(&["serve", "--plugin-path", &folder]);
    serve.env("LONGSHORE_ALLOW_WRITABLE_PLUGINS", "1");
    house.begin(serve);
    wait_for_host(&house);
    house.run(&["apply", &config]).ok();
    until("it is told", || house.said("err").contains("LONGSHORE_ALLOW_WRITABLE_PLUGINS is set"));
}
