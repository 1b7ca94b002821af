//! A cluster moves from processes of the machine to containers of an engine, and back: two kinds of providers, one cluster.

use longshore_support::{Engine, library, or_skip, until};

use crate::yard::Yard;

#[test]
fn a_cluster_moves_from_processes_to_containers_and_back() {
    let Some(engine) = Engine::or_skip("a_cluster_moves_from_processes_to_containers_and_back") else {
        return;
    };
    let image = or_skip("a_cluster_moves_from_processes_to_containers_and_back", engine.shell_image());
    let Some(image) = image else { return };
    let mut yard = Yard::without_a_host(engine);
    yard.house.drop_in(&library("longshore-process"));
    yard.house.serve();
    let local = format!(
        "[[provider]]\nname = \"local\"\nplugin = \"process\"\n[provider.config]\nroot = \"{}\"\n",
        yard.house.path("local").display()
    );
    let on = |provider: &str| {
        let cluster = Yard::sleepers("web", 4, &image);
        let cluster = cluster.replace("provider = \"docker\"", &format!("provider = \"{provider}\""));
        local.clone() + &yard.provider("") + &cluster + "surge = 2\n"
    };
    yard.house.apply(&on("local"));
    assert_eq!((yard.house.alive().len(), yard.running().len()), (4, 0));

    yard.begin(&on("docker"));
    until("it has moved to the engine", || {
        // Containers only come and processes only go: counted in this order, they are never more than they were.
        let (containers, processes) = (yard.running().len(), yard.house.alive().len());
        assert!(processes + containers <= 6, "{processes} processes and {containers} containers");
        let status = yard.house.status("web");
        status["converged"] == true && status.get("leaving").is_none()
    });
    yard.until_all_run("web", 4);
    assert_eq!((yard.house.alive().len(), yard.running().len()), (0, 4));

    yard.house.apply(&on("local"));
    assert_eq!((yard.house.alive().len(), yard.running().len()), (4, 0));
    yard.ends("web");
}
