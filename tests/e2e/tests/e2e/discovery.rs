//! Where plugins are looked for, and in which order.

use std::fs;

use longshore_e2e::House;
use longshore_support::library;

#[test]
fn the_command_line_comes_before_the_environment_and_the_users_folder() {
    let house = House::with(&["longshore-memory"]);
    let plugin = library("longshore-memory");
    let name = plugin.file_name().expect("a library has a name");
    let (first, users) = (house.path("first"), house.path("data/longshore/plugins"));
    for folder in [&first, &users] {
        fs::create_dir_all(folder).expect("a new folder");
        fs::copy(&plugin, folder.join(name)).expect("the library can be copied");
    }
    let option = first.display().to_string();
    // Each folder is the one that counts once those before it have none.
    for folder in [first, house.plugins(), users] {
        let said = house.run(&["plugin", "inspect", "memory", "--plugin-path", &option, "--json"]).ok();
        let found = folder.join(name).display().to_string();
        assert_eq!(said.json()["path"], found, "{}", said.out);
        fs::remove_file(folder.join(name)).expect("it was there");
    }
    let said = house.run(&["plugin", "inspect", "memory", "--plugin-path", &option]);
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.err.contains("first") && said.err.contains("/usr/lib/longshore/plugins"), "{}", said.err);
}
