//! The configurations that are shown as examples, run for real: what each says of itself happens. Only what no two machines have
//! in common is replaced: the names of images, the engine and its namespace, a port.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    path::Path,
};

use longshore_e2e::House;
use longshore_support::{Engine, find_program, or_skip, until};
use nix::sys::signal::Signal;
use redis::{Commands as _, Connection};
use sha2::{Digest as _, Sha256};

use crate::yard::Yard;

/// An example's text, with each of these replaced, which must be there.
fn example(name: &str, replacements: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/examples").join(name);
    let text = fs::read_to_string(path).expect("the example is there");
    replacements.iter().fold(text, |text, (shown, ours)| {
        assert!(text.contains(shown), "{shown:?} is not in {name} any more");
        text.replace(shown, ours)
    })
}

/// Begins `longshore up` with a configuration, and waits until so many workers of a cluster run.
fn up(house: &mut House, text: &str, cluster: &str, workers: u64) {
    let file = house.write("example.toml", text).display().to_string();
    house.start(&["up", &file]);
    assert_eq!(house.begins(), Ok(()), "{}", house.log());
    until(&format!("{workers} workers run"), || {
        let said = house.run(&["status", cluster, "--json"]);
        said.code == Some(0) && {
            let status = said.json();
            status["converged"] == true && status["running"] == workers
        }
    });
}

/// Interrupts the host, which takes its workers and servers down.
fn down(house: &mut House) {
    house.signal_host(Signal::SIGINT);
    assert_eq!(house.host_ends(), Some(0), "{}", house.log());
}

/// The queue of an example, by the address and the password that the command tells.
fn queue(house: &House) -> Connection {
    let said = house.run(&["server", "queue", "--show-password", "--json"]).ok().json();
    let address = said["server"]["address"].as_str().expect("it is up");
    let password = said["password"].as_str().expect("it has one");
    let client = redis::Client::open(format!("redis://:{password}@{address}/")).expect("an address");
    client.get_connection().expect("the password is right")
}

/// A server that ends with a test that fails.
struct Redis(Connection);

impl Drop for Redis {
    fn drop(&mut self) {
        // It has ended already, unless something went wrong; and it does not answer.
        let _: redis::RedisResult<()> = redis::cmd("SHUTDOWN").arg("NOSAVE").query(&mut self.0);
    }
}

/// Gives the jobs that the example's first lines speak of, and looks at their results.
fn computes(house: &House, workers: u64) {
    let mut queue = queue(house);
    let texts: Vec<String> = (0..40).map(|number| format!("text number {number}")).collect();
    let _: u64 = queue.lpush("jobs", &texts[..20]).expect("it takes jobs");
    let _ = house.run(&["scale", "queue", &workers.to_string()]).ok();
    let _: u64 = queue.lpush("jobs", &texts[20..]).expect("it takes jobs");
    let mut results: Vec<String> = vec![];
    until("all jobs are done", || {
        results = queue.lrange("results", 0, -1).expect("it has results");
        results.len() == texts.len()
    });
    let split = |result: &String| {
        result.rsplit_once(' ').map(|(text, sum)| (text.to_owned(), sum.to_owned())).expect("two words")
    };
    let hash = |text: &String| {
        let sum = Sha256::digest(text).iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
        (text.clone(), sum)
    };
    let results: BTreeMap<_, _> = results.iter().map(split).collect();
    assert_eq!(results, texts.iter().map(hash).collect());
    until("nothing is held", || queue.llen::<_, u64>("taken").expect("it answers") == 0);
}

/// What an example has to say of the engine and the namespace.
fn place(yard: &Yard) -> String {
    let (url, namespace) = (yard.engine().url(), yard.namespace());
    format!("[provider.config]\nhost = \"{url}\"\nnamespace = \"{namespace}\"\n")
}

#[test]
fn docker_toml_runs() {
    let Some(engine) = Engine::or_skip("docker_toml_runs") else { return };
    let Some(image) = or_skip("docker_toml_runs", engine.shell_image()) else { return };
    let mut yard = Yard::without_a_host(engine);
    let text = example("docker.toml", &[("[provider.config]\n", &place(&yard)), ("alpine:3.22", &image)]);
    up(&mut yard.house, &text, "web", 3);
    assert_eq!(yard.running(), yard.handles("web"));
    let _ = yard.house.run(&["scale", "web", "5"]).ok();
    assert_eq!(yard.running().len(), 5);
    down(&mut yard.house);
    assert_eq!(yard.containers(), []);
}

#[test]
fn docker_redis_toml_runs() {
    let Some(engine) = Engine::or_skip("docker_redis_toml_runs") else { return };
    let Some(image) = or_skip("docker_redis_toml_runs", engine.redis_image()) else { return };
    let mut yard = Yard::without_a_host(engine);
    let text =
        example("docker-redis.toml", &[("[provider.config]\n", &place(&yard)), ("redis:7-alpine", &image)]);
    up(&mut yard.house, &text, "queue", 2);
    computes(&yard.house, 6);
    assert_eq!(yard.running().len(), 2, "six workers in containers of four at most");
    down(&mut yard.house);
    assert_eq!(yard.containers(), []);
}

#[test]
fn process_toml_runs() {
    let mut house = House::with(&["longshore-process"]);
    up(&mut house, &example("process.toml", &[]), "web", 3);
    assert_eq!(house.alive().len(), 3);
    let said = house.run(&["explain", "web"]).ok().out;
    assert!(said.contains("all is as asked: 3 workers running"), "{said}");
    down(&mut house);
    assert_eq!(house.marked(), []);
}

#[test]
fn process_redis_toml_runs() {
    for program in ["redis-server", "redis-cli"] {
        if or_skip("process_redis_toml_runs", find_program(program)).is_none() {
            return;
        }
    }
    let mut house = House::with(&["longshore-process"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it has an address").port().to_string();
    drop(listener);
    up(&mut house, &example("process-redis.toml", &[("6390", &port)]), "queue", 2);
    // Redis writes its title over the environment by which a house finds its processes.
    let redis = Redis(queue(&house));
    computes(&house, 6);
    down(&mut house);
    assert_eq!(house.marked(), []);
    let answer = TcpStream::connect(format!("127.0.0.1:{port}"));
    assert!(
        answer.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused),
        "the server is gone as well"
    );
    drop(redis);
}
