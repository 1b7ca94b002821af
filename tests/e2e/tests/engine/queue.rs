//! A real framework: Redis as the server, and workers that take jobs of its queue, in containers. A computation goes on while the
//! cluster is scaled, a worker is killed, and the server is killed; its result is right, and nothing is left over.

use longshore_support::{Engine, or_skip, until};

use crate::{
    redis_queue::{Queue, WORKER},
    yard::Yard,
};

/// The server keeps its jobs on a volume, so that they outlive it.
fn configuration(yard: &Yard, image: &str) -> String {
    let volume = yard.volume();
    let mounts = format!(
        "mounts = [{{ type = \"volume\", source = \"{volume}\", target = \"/data\" }}]\nnetwork = \"cluster\""
    );
    let server = format!(
        r#"
[cluster.container.env]
REDISCLI_AUTH = "${{server.password}}"
[cluster.server]
port = 6379
[cluster.server.container]
image = "{image}"
command = "redis-server"
args = [
    "--port", "${{server.port}}", "--requirepass", "${{server.password}}", "--bind", "0.0.0.0",
    "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always", "--save", "",
]
"#
    );
    yard.provider(&mounts) + &Yard::cluster("queue", 2, image, WORKER) + &server
}

fn lives(yard: &Yard, image: &str) {
    let config = configuration(yard, image);
    yard.house.apply(&config);
    yard.until_all_run("queue", 2);
    let address = yard.until_server("queue", 1);
    let password = yard.password("queue");
    assert!(password.len() >= 16, "{password}");
    let mut queue = Queue::at(&address, &password);

    // Two workers.
    queue.give(40);
    queue.until_more_are_done(4);

    // Six, while it goes on.
    queue.give(20);
    assert!(queue.waiting() > 0, "there is more to do");
    let _ = yard.house.run(&["scale", "queue", "6"]).ok();
    yard.until_all_run("queue", 6);

    // One is killed behind the host's back, with a job in its hands.
    let job = queue.give_a_long_one();
    let mut holder = None;
    until("the job is taken", || {
        holder = queue.holder(&job);
        holder.is_some()
    });
    let victim = holder.expect("it was taken");
    yard.engine().remove(&victim);
    yard.until_said("queue", "the dead one is replaced", |_| !yard.handles("queue").contains(&victim));
    yard.until_all_run("queue", 6);
    assert_eq!(queue.put_back(&yard.handles("queue")), 1, "the job that it held");
    queue.until_more_are_done(4);
    yard.history_says("queue", &["scaled: 6", "died: ", "launching 1 worker"]);

    // The server is killed: it is started again with all that it had, and the workers do as is stated, with `on_restart` left
    // out: they are replaced where it has another address, and live on where it has not.
    queue.give(40);
    let before = yard.handles("queue");
    yard.engine().remove(&yard.server().expect("it runs").id);
    let now_at = yard.until_server("queue", 2);
    yard.until_said("queue", "the workers follow", |_| {
        let kept = yard.handles("queue").intersection(&before).count();
        kept == if now_at == address { 6 } else { 0 }
    });
    yard.until_all_run("queue", 6);
    queue.moved(&now_at, &password);
    assert_eq!(yard.password("queue"), password, "it is kept");
    queue.put_back(&yard.handles("queue"));
    queue.until_more_are_done(4);
    yard.history_says(
        "queue",
        &["the server is up at", "the server died", "starting the server", "the server is up at"],
    );

    // Two again, while it goes on.
    queue.give(30);
    assert!(queue.waiting() > 0, "there is more to do");
    let _ = yard.house.run(&["scale", "queue", "2"]).ok();
    yard.until_all_run("queue", 2);
    queue.give(10);
    until("all is done", || {
        queue.put_back(&yard.handles("queue"));
        queue.waiting() == 0 && queue.nothing_is_held()
    });
    queue.is_right(&[job]);

    // What is read by whoever may look at the host has no password in it. Nor does applying it again make another.
    yard.house.apply(&config.replace("workers = 2", "workers = 1"));
    yard.until_all_run("queue", 1);
    assert_eq!((yard.password("queue"), yard.server_of("queue").2), (password.clone(), 2));
    assert!(!yard.all_that_is_said("queue").contains(&password));

    let _ = yard.house.run(&["stop", "queue"]).ok();
    yard.history_says("queue", &["scaled: 2", "stopped, as asked", "stopping the server: no worker is left"]);
    yard.ends("queue");
}

#[test]
fn a_queue_computes_while_all_that_serves_it_changes() {
    let Some(engine) = Engine::or_skip("a_queue_computes_while_all_that_serves_it_changes") else { return };
    let image = or_skip("a_queue_computes_while_all_that_serves_it_changes", engine.redis_image());
    let Some(image) = image else { return };
    lives(&Yard::on(engine), &image);
}

#[test]
fn a_queue_computes_on_podman() {
    let Some(engine) = Engine::podman_or_skip("a_queue_computes_on_podman") else { return };
    let Some(image) = or_skip("a_queue_computes_on_podman", engine.redis_image()) else { return };
    lives(&Yard::on(engine), &image);
}
