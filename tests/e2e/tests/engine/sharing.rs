//! Several workers share a container: each container is told how many it has, is given what all of them need, and is killed
//! whole.

use std::collections::BTreeMap;

use longshore_support::{Engine, or_skip};

use crate::yard::Yard;

const MEBIBYTE: i64 = 1 << 20;

/// What each container was told, said by itself: how many workers have such a container.
fn told(yard: &Yard) -> BTreeMap<u64, usize> {
    let mut told = BTreeMap::new();
    // One that was killed is still there for a moment.
    for container in yard.workers().into_iter().filter(|one| one.state == "running") {
        let label = &container.labels["io.longshore.workers"];
        let count: u64 = label.parse().expect("a number");
        yard.until_said("web", "the container tells what it was told", |_| {
            yard.engine().output(&container.id).trim() == format!("{count} in web, {count} in all")
        });
        let found = yard.engine().docker().inspect_container(&container.id, None);
        let limits = yard.engine().wait(found).expect("it is there").host_config.expect("it has limits");
        let memory = limits.memory.expect("it has a limit");
        assert_eq!(memory, i64::try_from(count).expect("a few") * 16 * MEBIBYTE, "what each needs, for all");
        *told.entry(count).or_default() += 1;
    }
    told
}

#[test]
fn containers_are_told_how_many_workers_they_have() {
    let Some(engine) = Engine::or_skip("containers_are_told_how_many_workers_they_have") else { return };
    let image = or_skip("containers_are_told_how_many_workers_they_have", engine.shell_image());
    let Some(image) = image else { return };
    let yard = Yard::on(engine);
    let script = "echo \"${worker.count} in ${cluster.name}, $LONGSHORE_WORKERS in all\"; trap exit TERM; sleep 100000 & wait";
    let cluster = Yard::cluster("web", 6, &image, script)
        .replace("[cluster.container]\n", "[cluster.container]\nmax_workers = 4\n");
    yard.house.apply(&(yard.provider("") + &cluster + "[cluster.hardware]\nmemory = \"16MiB\"\n"));
    assert_eq!((yard.count("web"), told(&yard)), (6, BTreeMap::from([(4, 1), (2, 1)])));

    let _ = yard.house.run(&["scale", "web", "9"]).ok();
    assert_eq!((yard.count("web"), told(&yard)), (9, BTreeMap::from([(4, 1), (2, 1), (3, 1)])));

    // Four are too many: one container has just as many.
    let _ = yard.house.run(&["scale", "web", "5"]).ok();
    assert_eq!((yard.count("web"), told(&yard)), (5, BTreeMap::from([(2, 1), (3, 1)])));

    // One is fewer than any container holds.
    let said = yard.house.run(&["scale", "web", "4", "--timeout", "2s"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    yard.until_explained(
        "web",
        &["1 worker too many, but the smallest container holds 2 and can only be killed whole"],
    );
    assert_eq!(told(&yard), BTreeMap::from([(2, 1), (3, 1)]));
    yard.ends("web");
}
