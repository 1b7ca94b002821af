//! Every way before there is a provider: while a library is loaded, and while it makes the provider. It is a message, and nothing
//! is left of it.

use std::{path::Path, process::Command, thread};

use longshore_e2e::{House, Said};
use longshore_mutants::{Place as Loading, VARIABLE, settings::Function};
use longshore_support::{example, until};

use super::{
    calm_house,
    cells::{Mode, Place, Told, tried},
    nobody_else_notices,
};

/// All places that are tried here.
pub(super) fn places() -> Vec<Place> {
    Loading::ALL.into_iter().map(Place::Load).chain([Place::In(Function::Create)]).collect()
}

/// What a command says of a plugin that went wrong, and its exit code.
#[track_caller]
fn is_told(what: &str, said: &Said, told: Told, late: &str) {
    let words = match told {
        Told::Died(words) => words,
        Told::Ended | Told::Late => late,
        Told::Failed("panic") => "panicked at",
        Told::Failed(_) => "a failure of a kind that is none",
        Told::Refused(clause) => clause,
        Told::Nothing => return assert_eq!(said.code, Some(0), "{what}: {said:?}"),
    };
    assert_eq!(said.code, Some(8), "{what}: {said:?}");
    assert!(said.err.contains(words), "{what}, {words:?}: {said:?}");
}

/// Nobody is left but the host, so many runners, and workers.
fn nobody_is_left_but(house: &House, runners: usize) {
    until("nobody is left of the dead", || {
        house.marked().iter().filter(|(_, name)| name != "sleep").count() == 1 + runners
    });
}

/// A look at a library that misbehaves when it is loaded. It comes after all others: who does not come back may keep a processor
/// busy for as long as it has.
fn look(house: &House, library: &Path, order: &str) -> Command {
    let inspect = house.command(&["plugin", "inspect", &library.display().to_string()]);
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(inspect.get_program()).args(inspect.get_args());
    nice.envs(inspect.get_envs().filter_map(|(name, value)| Some((name, value?))));
    nice.env(VARIABLE, order).current_dir(house.path("")).stdin(std::process::Stdio::null());
    nice
}

#[test]
fn whatever_a_library_does_while_it_is_loaded_is_a_message() {
    let mut house = House::with(&["longshore-process"]);
    let order = house.write("order", "none");
    house.set(VARIABLE, format!("@{}", order.display()));
    house.serve();
    house.apply(&house.sleepers("calm", 2));
    let library = example("longshore-mutants", "spoilt_load");
    let cells: Vec<_> = tried(Mode::Subprocess, &Loading::ALL.map(Place::Load))
        .into_iter()
        .filter_map(|(how, place, told)| match place {
            Place::Load(place) => Some((format!("{}:{}", place.name(), how.name()), told)),
            Place::In(_) => None,
        })
        .collect();
    // It is the command that looks, as a host does. There is time for what does not come back meanwhile.
    let looking: Vec<_> = cells
        .iter()
        .filter(|(_, told)| *told == Told::Ended)
        .map(|(order, told)| (order.clone(), *told, look(&house, &library, order)))
        .map(|(order, told, mut command)| (order, told, thread::spawn(move || command.output())))
        .collect();
    // A host is asked for the others, one after the other.
    let plugin = library.display();
    let provider = format!("[[provider]]\nname = \"spoilt\"\nplugin = \"{plugin}\"\n");
    let root = house.path("root");
    let config = format!("{provider}[provider.config]\nroot = \"{}\"\n", root.display());
    let file = house.write("spoilt.toml", &config).display().to_string();
    for (number, (order, told)) in cells.iter().filter(|(_, told)| *told != Told::Ended).enumerate() {
        house.write("order", order);
        is_told(order, &house.run(&["apply", &file]), *told, "");
        if number % 8 == 0 {
            nobody_else_notices(&house);
        }
    }
    for (order, told, looking) in looking {
        let said = Said::from(looking.join().expect("no panic").expect("the command runs"));
        is_told(&order, &said, told, "it has not ended to load within 30 s");
    }
    nobody_else_notices(&house);
    // Of the good cluster's provider, and of the one that only prints, once in each place.
    nobody_is_left_but(&house, 2);
}

#[test]
fn whatever_a_plugin_does_while_it_makes_a_provider_is_a_message() {
    let house = calm_house();
    house.drop_in(&example("longshore-mutants", "specimen"));
    let mut made = 0;
    for mode in Mode::ALL {
        for (how, _, told) in tried(mode, &[Place::In(Function::Create)]) {
            let name = format!("{}-{}", how.name(), mode.name());
            // Those who die have the time that they need.
            let limit = if matches!(told, Told::Ended | Told::Late) { "1s" } else { "30s" };
            let bounds = match mode {
                Mode::Subprocess => "[provider.confine]\nmemory = \"4GiB\"\ndescriptors = 256\n",
                Mode::InProcess => "",
            };
            let text = format!(
                r#"
[[provider]]
name = "{name}"
plugin = "specimen"
isolation = "{mode}"
create_timeout = "{limit}"
{bounds}
[provider.config]
root = "{root}"
crash = {{ function = "create", how = "{how}" }}
"#,
                mode = mode.name(),
                root = house.path(&name).display(),
                how = how.name(),
            );
            let file = house.write(&format!("{name}.toml"), &text).display().to_string();
            is_told(&name, &house.run(&["apply", &file]), told, "within 1 s");
            made += usize::from(told == Told::Nothing && mode == Mode::Subprocess);
        }
        nobody_else_notices(&house);
    }
    nobody_is_left_but(&house, 1 + made);
}
