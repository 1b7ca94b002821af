//! Plugins that end their process, never return, answer nonsense, or take from everybody what all need: while they are loaded,
//! while they make a provider, and in its functions. The host lives, other clusters are served meanwhile, no worker is lost or
//! doubled, and what dies again and again is quarantined until it is released.
//!
//! `cells` is the table of all that is tried: way, place, mode. `beginnings` and `lives` try it, once a cell; `quarantine` is for
//! whoever does it again and again.

mod beginnings;
mod cells;
mod lives;
mod quarantine;

use longshore_e2e::House;

/// A host with a good cluster, `calm`, of local processes.
fn calm_house() -> House {
    let house = House::serving(&["longshore-process"]);
    house.apply(&house.sleepers("calm", 2));
    house
}

/// The good cluster is scaled up and down at once, and there are as many processes as that.
#[track_caller]
fn nobody_else_notices(house: &House) {
    for workers in [5, 1, 2] {
        let _ = house.run(&["scale", "calm", &workers.to_string()]).ok();
        assert_eq!(house.status("calm")["running"], workers);
        let census = house.census();
        assert_eq!(census["calm"].workers, workers, "none is lost, and none is doubled: {census:?}");
    }
}
