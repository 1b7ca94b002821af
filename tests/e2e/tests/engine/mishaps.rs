//! What goes wrong with containers: they are removed behind the host's back, their image is missing, their memory does not
//! suffice, their name is somebody else's, and their host is killed while it launches them. Each time the host comes to what was
//! asked, says meanwhile why it is not there yet, and leaves nothing behind.

use std::collections::{BTreeSet, HashMap};

use bollard::{
    models::{ContainerCreateBody, NetworkCreateRequest},
    query_parameters::{CreateContainerOptionsBuilder, KillContainerOptionsBuilder, TagImageOptions},
};
use longshore_support::{Engine, or_skip, until};

use crate::yard::Yard;

/// A yard beside the machine's engine, and an image with a shell.
fn yard(test: &str) -> Option<(Yard, String)> {
    let engine = Engine::or_skip(test)?;
    let image = or_skip(test, engine.shell_image())?;
    Some((Yard::on(engine), image))
}

#[test]
fn containers_that_vanish_are_replaced_and_no_others() {
    let Some((yard, image)) = yard("containers_that_vanish_are_replaced_and_no_others") else { return };
    yard.house.apply(&(yard.provider("") + &Yard::sleepers("web", 4, &image)));
    let before = yard.handles("web");
    let mut victims = before.iter();
    let (removed, killed) = (victims.next().expect("four"), victims.next().expect("four"));
    yard.engine().remove(removed);
    let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
    let kill = yard.engine().docker().kill_container(killed, Some(options));
    yard.engine().wait(kill).expect("it runs");
    yard.until_said("web", "both are replaced", |_| {
        let handles = yard.handles("web");
        handles.len() == 4 && !handles.contains(removed) && !handles.contains(killed)
    });
    yard.until_all_run("web", 4);
    assert_eq!(yard.handles("web").intersection(&before).count(), 2, "the others are untouched");
    // One that ended by itself is kept for a look at it, and a cleanup removes it.
    let names: BTreeSet<_> = yard.workers().into_iter().map(|one| one.name).collect();
    assert!(names.contains(killed) && !names.contains(removed), "{names:?}");
    let _ = yard.house.run(&["cleanup", "web"]).ok();
    assert_eq!(yard.workers().len(), 4);
    yard.history_says("web", &["died: ", "launching"]);
    yard.ends("web");
}

/// A name for an image that goes with the test.
struct Tag<'a>(&'a Engine, String);

impl<'a> Tag<'a> {
    fn new(engine: &'a Engine, image: &str, name: &str) -> Self {
        let (repo, tag) = name.rsplit_once(':').expect("it has a tag");
        let options = TagImageOptions { repo: Some(repo.to_owned()), tag: Some(tag.to_owned()) };
        engine.wait(engine.docker().tag_image(image, Some(options))).expect("the image is there");
        Self(engine, name.to_owned())
    }
}

impl Drop for Tag<'_> {
    fn drop(&mut self) {
        self.0.remove_image(&self.1);
    }
}

fn comes_late(yard: &Yard, image: &str, pull: &str, words: &str) {
    // Nobody listens there: what there is to pull cannot be had.
    let name = format!("localhost:9/longshore-test/{}:1", yard.namespace());
    yard.begin(&(yard.provider(&format!("pull = \"{pull}\"")) + &Yard::sleepers("web", 2, &name)));
    let said = yard.until_explained("web", &["launching failed", "next try in", words, &name]);
    assert_eq!((yard.workers(), yard.count("web")), (vec![], 0), "{said}");
    yard.until_said("web", "it is tried again", |_| yard.has_reason("web", "backing_off", "failures", 3));
    let late = Tag::new(yard.engine(), image, &name);
    yard.until_all_run("web", 2);
    yard.ends("web");
    drop(late);
}

#[test]
fn an_image_that_cannot_be_pulled_is_waited_for() {
    let Some((yard, image)) = yard("an_image_that_cannot_be_pulled_is_waited_for") else { return };
    comes_late(&yard, &image, "missing", "cannot pull the image");
}

#[test]
fn an_image_that_is_not_to_be_pulled_is_waited_for() {
    let Some((yard, image)) = yard("an_image_that_is_not_to_be_pulled_is_waited_for") else { return };
    comes_late(&yard, &image, "never", "o such image");
}

#[test]
fn workers_that_need_too_much_memory_are_not_started_over_and_over() {
    let Some((yard, image)) = yard("workers_that_need_too_much_memory_are_not_started_over_and_over") else {
        return;
    };
    let greedy = Yard::cluster("web", 2, &image, "x=longshore; while :; do x=$x$x; done");
    let provider = yard.provider("swap = \"0\"");
    yard.begin(&(provider.clone() + &greedy + "[cluster.hardware]\nmemory = \"16MiB\"\n"));
    yard.until_explained("web", &["workers died soon after their launch", "in a row; next launch in"]);
    yard.until_said("web", "they die again and again", |_| {
        yard.has_reason("web", "crash_loop", "crashes", 5)
    });
    // None is launched before the wait after the last crash is over.
    let launches = yard.decided("web", "launching ") as u64;
    assert!(yard.has_reason("web", "crash_loop", "crashes", launches - 1), "{launches} launches");
    assert!(yard.running().len() <= 2);
    let killed_for_memory = yard.workers().into_iter().filter(|worker| {
        let found = yard.engine().wait(yard.engine().docker().inspect_container(&worker.id, None));
        let state = found.ok().and_then(|found| found.state);
        state.is_some_and(|state| state.oom_killed == Some(true))
    });
    assert!(killed_for_memory.count() > 0, "they are kept for whoever asks why");
    yard.history_says("web", &["launching 2 workers", "died: ", "launching"]);

    // With what they need, they live.
    yard.house
        .apply(&(provider + &Yard::sleepers("web", 2, &image) + "[cluster.hardware]\nmemory = \"64MiB\"\n"));
    yard.until_all_run("web", 2);
    yard.ends("web");
}

#[test]
fn names_that_are_others_stay_theirs() {
    let Some((yard, image)) = yard("names_that_are_others_stay_theirs") else { return };
    let namespace = yard.namespace();
    // A server's.
    let foreigner = yard.foreigner_called(&image, &format!("{namespace}.web.server"));
    let server = format!(
        "[cluster.server]\nprobe = \"status\"\n[cluster.server.container]\nimage = \"{image}\"\ncommand = \"/bin/sh\"\n\
         args = [\"-c\", \"trap exit TERM; sleep 100000 & wait\"]\n"
    );
    yard.begin(&(yard.provider("network = \"cluster\"") + &Yard::sleepers("web", 2, &image) + &server));
    let clash = format!("the name clashes: there is a container {namespace}.web.server");
    yard.until_explained(
        "web",
        &["the server failed to start", &clash, "remove it, or choose another `namespace`"],
    );
    assert!(yard.is_running(&foreigner) && yard.workers().is_empty());
    yard.engine().remove(&foreigner);
    yard.until_all_run("web", 2);

    // A worker's: the next launch has the next number, and the one after it another.
    let handles = yard.handles("web");
    let (launch, _) = handles.first().and_then(|handle| handle.rsplit_once('.')).expect("they have dots");
    let (launch, number) = launch.rsplit_once('-').expect("a launch has a number");
    let next: u64 = number.parse::<u64>().expect("a number") + 1;
    let taken = format!("{launch}-{next}.0");
    let foreigner = yard.foreigner_called(&image, &taken);
    let _ = yard.house.run(&["scale", "web", "3"]).ok();
    yard.until_all_run("web", 3);
    assert!(yard.is_running(&foreigner) && !yard.handles("web").contains(&taken));
    yard.history_says(
        "web",
        &[&format!("the name clashes: there is a container {taken}"), "launching 1 worker"],
    );
    yard.engine().remove(&foreigner);
    yard.ends("web");
}

#[test]
fn a_network_of_others_is_not_joined() {
    let Some((yard, image)) = yard("a_network_of_others_is_not_joined") else { return };
    let name = format!("{}.web.network", yard.namespace());
    let docker = yard.engine().docker();
    let request = NetworkCreateRequest { name: name.clone(), ..NetworkCreateRequest::default() };
    yard.engine().wait(docker.create_network(request)).expect("the name is free");
    yard.begin(&(yard.provider("network = \"cluster\"") + &Yard::sleepers("web", 1, &image)));
    let said = yard.until_explained("web", &[&format!("the name clashes: there is a network {name}")]);
    assert_eq!(yard.containers(), [], "{said}");
    yard.engine().wait(docker.remove_network(&name)).expect("nobody has joined it");
    yard.until_all_run("web", 1);
    yard.ends("web");
}

#[test]
fn a_host_that_is_killed_while_it_launches_leaves_nothing_to_chance() {
    let Some((mut yard, image)) = yard("a_host_that_is_killed_while_it_launches_leaves_nothing_to_chance")
    else {
        return;
    };
    // One after the other, so that there is a middle.
    yard.house.apply(&(yard.provider("parallel = 1") + &Yard::sleepers("web", 1, &image)));
    let mut ever: BTreeSet<_> = yard.handles("web");
    for (workers, seen) in [(6, 3), (11, 7), (16, 16)] {
        let _ = yard.house.run(&["scale", "web", &workers.to_string(), "--no-wait"]).ok();
        until("some are made", || yard.workers().len() >= seen);
        yard.house.kill_host();
        yard.house.serve();
        yard.until_all_run("web", workers);
        let all: BTreeSet<_> = yard.workers().into_iter().map(|one| one.name).collect();
        assert_eq!(all, yard.handles("web"), "none was made twice, and none is forgotten");
        assert!(ever.is_subset(&all), "those that ran run on");
        ever = all;
    }

    // The same while it kills.
    let _ = yard.house.run(&["scale", "web", "2", "--no-wait"]).ok();
    until("some are killed", || yard.running().len() < 16);
    yard.house.kill_host();
    yard.house.serve();
    yard.until_all_run("web", 2);
    yard.until_said("web", "those that were killed are gone", |_| yard.workers().len() == 2);
    assert!(yard.handles("web").is_subset(&ever));
    yard.ends("web");
}

#[test]
fn a_container_that_was_made_and_never_started_is_started() {
    let Some((mut yard, image)) = yard("a_container_that_was_made_and_never_started_is_started") else {
        return;
    };
    yard.house.apply(&(yard.provider("") + &Yard::sleepers("web", 1, &image)));
    yard.house.kill_host();
    // As a host leaves it that is killed between the two, in its next launch.
    let first = yard.workers().pop().expect("one");
    let (launch, _) = first.name.rsplit_once('.').expect("it has an index");
    let (place, token) = launch.rsplit_once('.').expect("it has a token");
    let token = format!("{token}9");
    let name = format!("{place}.{token}.0");
    let mut labels: HashMap<_, _> = first.labels.into_iter().collect();
    for (label, value) in
        [("token", &token), ("handle", &name), ("index", &"0".to_owned()), ("launch", &"1/1".to_owned())]
    {
        labels.insert(format!("io.longshore.{label}"), value.clone());
    }
    let body = ContainerCreateBody {
        image: Some(image.clone()),
        cmd: Some(["sh", "-c", "trap exit TERM; sleep 100000 & wait"].map(str::to_owned).to_vec()),
        labels: Some(labels),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let made = yard.engine().docker().create_container(Some(options), body);
    yard.engine().wait(made).expect("the name is free");
    // The next host shall have two, and looks who is there before it launches anybody.
    let two = yard.house.write("two.toml", &(yard.provider("") + &Yard::sleepers("web", 2, &image)));
    yard.house.start(&["up", &two.display().to_string()]);
    assert_eq!(yard.house.begins(), Ok(()), "{}", yard.house.log());
    yard.until_all_run("web", 2);
    assert!(yard.handles("web").contains(&name), "it is as good as another");
    yard.ends("web");
}
