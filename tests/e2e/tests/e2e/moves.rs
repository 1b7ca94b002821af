//! A cluster of real processes moves to another provider: another root folder is another provider, whose processes the first one
//! does not know.

use longshore_e2e::House;
use longshore_support::until;

const WORKERS: usize = 6;
const SURGE: usize = 1;

/// Two providers of local processes, and a cluster on one of them.
fn on(house: &House, provider: &str) -> String {
    let root = |name: &str| house.path(name).display().to_string();
    let providers = ["left", "right"].map(|name| {
        format!(
            "[[provider]]\nname = \"{name}\"\nplugin = \"process\"\n[provider.config]\nroot = \"{}\"\ngrace = \"5s\"\n",
            root(name)
        )
    });
    format!(
        "{}[[cluster]]\nname = \"web\"\nprovider = \"{provider}\"\nworkers = {WORKERS}\n\
         [cluster.container]\ncommand = \"sleep\"\nargs = [\"100000\"]\n\
         [cluster.scaling]\npoll_interval = \"200ms\"\nbusy_poll_interval = \"50ms\"\nsurge = {SURGE}\n",
        providers.concat()
    )
}

#[test]
fn processes_move_to_another_root_while_the_host_is_killed() {
    let mut house = House::serving(&["longshore-process"]);
    house.apply(&on(&house, "left"));
    let before = house.alive();
    assert_eq!(before.len(), WORKERS);

    let file = house.write("right.toml", &on(&house, "right")).display().to_string();
    let said = house.run(&["plan", &file]).ok();
    assert!(said.out.contains("moving away from provider `left`"), "{}", said.out);
    let _ = house.run(&["apply", "--no-wait", &file]).ok();
    for _ in 0..3 {
        house.kill_host();
        // Nobody launches or kills while there is no host.
        let alive = house.alive().len();
        assert!((WORKERS..=WORKERS + SURGE).contains(&alive), "{alive} are alive");
        house.serve();
    }
    until("all have moved", || {
        // Each that goes has another one in its place before. The old ones only go and the others only come: counted in this order
        // they are never fewer than they were.
        let first = house.alive();
        let going = before.iter().filter(|pid| first.contains(pid)).count();
        let alive = going + house.alive().iter().filter(|pid| !before.contains(pid)).count();
        assert!(alive >= WORKERS, "{alive} are alive");
        let status = house.status("web");
        status["converged"] == true && status.get("leaving").is_none()
    });
    assert_eq!((house.status("web")["running"].as_u64(), house.alive().len()), (Some(6), WORKERS));
    assert_eq!(house.status("web")["provider"], "right");
    assert!(before.iter().all(|old| !house.alive().contains(old)), "all of them are others");
    let told = house.run(&["history", "web"]).ok().out;
    assert!(told.contains("moving from provider `left` to `right`"), "{told}");
    assert!(told.contains("moved: nothing is left on provider `left`"), "{told}");

    // And back, waiting for it.
    house.apply(&on(&house, "left"));
    assert_eq!((house.alive().len(), &house.status("web")["provider"]), (WORKERS, &"left".into()));
    let _ = house.run(&["delete", "web"]).ok();
    assert_eq!(house.alive().len(), 0);
}
