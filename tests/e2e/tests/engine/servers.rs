//! A cluster's server in a container: what becomes of the workers when it was started again, where it has moved and where it has
//! not, under each policy; and where it dies while no host is there.

use longshore_support::{Engine, or_skip};

use crate::yard::Yard;

/// A worker that says which server it was told of.
const WORKER: &str =
    "echo \"the server is at ${server.host} ${server.port}\"; trap exit TERM; sleep 100000 & wait";

/// A cluster whose server is Redis, on that port.
fn configuration(yard: &Yard, image: &str, port: u16, (network, on_restart): (&str, &str)) -> String {
    let server = format!(
        r#"
[cluster.server]
port = {port}
on_restart = "{on_restart}"
[cluster.server.container]
image = "{image}"
command = "redis-server"
args = ["--port", "${{server.port}}", "--requirepass", "${{server.password}}", "--bind", "0.0.0.0", "--save", ""]
"#
    );
    yard.provider(&format!("network = \"{network}\"")) + &Yard::cluster("web", 3, image, WORKER) + &server
}

fn redis(test: &str) -> Option<(Yard, String)> {
    let engine = Engine::or_skip(test)?;
    let image = or_skip(test, engine.redis_image())?;
    Some((Yard::on(engine), image))
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}

/// The server is killed behind the host's back, and comes up again.
fn server_dies(yard: &Yard, starts: u64) -> String {
    yard.engine().remove(&yard.server().expect("it runs").id);
    yard.until_server("web", starts + 1)
}

/// Waits until all workers are others, or the same, than before.
#[track_caller]
fn workers_follow(yard: &Yard, before: &std::collections::BTreeSet<String>, replaced: bool) {
    yard.until_said("web", "the workers follow", |_| {
        let handles = yard.handles("web");
        handles.len() == before.len()
            && if replaced { handles.is_disjoint(before) } else { handles == *before }
    });
    yard.until_all_run("web", before.len() as u64);
}

#[test]
fn workers_live_on_where_a_server_comes_back_at_its_place() {
    let Some((yard, image)) = redis("workers_live_on_where_a_server_comes_back_at_its_place") else { return };
    // On the machine's own network, it is always at the same place.
    let port = free_port();
    let place = format!("127.0.0.1:{port}");
    yard.house.apply(&configuration(&yard, &image, port, ("host", "replace_if_moved")));
    let before = yard.handles("web");
    assert_eq!(server_dies(&yard, 1), place);
    workers_follow(&yard, &before, false);

    // Unless it is said that they shall not.
    yard.house.apply(&configuration(&yard, &image, port, ("host", "replace")));
    assert_eq!(yard.handles("web"), before, "nothing was restarted");
    assert_eq!(server_dies(&yard, 2), place);
    workers_follow(&yard, &before, true);
    yard.history_says(
        "web",
        &[
            "the server died",
            "; the workers of before are replaced",
            "they know a server that was started again since",
        ],
    );
    yard.ends("web");
}

#[test]
fn workers_follow_a_server_that_moved_while_no_host_was_there() {
    let Some((mut yard, image)) = redis("workers_follow_a_server_that_moved_while_no_host_was_there") else {
        return;
    };
    if yard.engine().network() == "host" {
        println!("skipped, because containers have no addresses of their own here");
        return;
    }
    yard.house.apply(&configuration(&yard, &image, 6379, ("cluster", "replace_if_moved")));
    let (before, was_at) = (yard.handles("web"), yard.until_server("web", 1));

    yard.house.kill_host();
    yard.engine().remove(&yard.server().expect("it runs").id);
    // Somebody else takes its address, where addresses are given out again.
    let foreigner = yard.foreigner_on(&image, &format!("{}.web.network", yard.namespace()));
    assert_eq!(yard.running(), before, "workers outlive their host, and their server");
    yard.house.serve();

    let is_at = yard.until_server("web", 2);
    assert_ne!(is_at, was_at);
    workers_follow(&yard, &before, true);
    let wanted = format!("the server is at {}", is_at.replace(':', " "));
    for worker in yard.workers() {
        assert_eq!(yard.engine().output(&worker.id).trim(), wanted);
    }
    yard.engine().remove(&foreigner);

    // Where they are to be kept, they are.
    yard.house.apply(&configuration(&yard, &image, 6379, ("cluster", "keep")));
    let before = yard.handles("web");
    server_dies(&yard, 2);
    workers_follow(&yard, &before, false);
    yard.ends("web");
}
