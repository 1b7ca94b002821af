//! Images that the engine does not have: pulled from a registry of the test's own, with the credentials of a configuration of
//! Docker's.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use longshore_plugin_api::{ErrorKind, Launch, Provider as _};
use longshore_support::{Engine, until};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{House, call, within};

/// `user:secret`, as HTTP and Docker write it down.
const BASIC: &str = "dXNlcjpzZWNyZXQ=";

/// A registry with one image, in which there is nothing, for those who know the password.
struct Registry {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    is_slow: Arc<AtomicBool>,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        let (asked, is_slow) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (log, slow) = (Arc::clone(&asked), Arc::clone(&is_slow));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, slow) = (Arc::clone(&log), Arc::clone(&slow));
                thread::spawn(move || drop(serve(&stream, &log, &slow)));
            }
        });
        Self { address, asked, is_slow }
    }

    fn image(&self) -> String {
        format!("{}/nothing:1", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("memory can be written to");
    }
    text
}

/// The end of an archive without entries.
fn layer() -> Vec<u8> {
    vec![0; 1024]
}

/// Another one for each registry: what an engine has already it does not ask for.
fn config(port: u16) -> Vec<u8> {
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux", "config": {"Labels": {"port": port.to_string()}},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer())]},
    });
    config.to_string().into_bytes()
}

fn manifest(port: u16) -> Vec<u8> {
    let (config, layer) = (config(port), layer());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(), "digest": digest(&config)},
        "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "size": layer.len(), "digest": digest(&layer)}],
    });
    manifest.to_string().into_bytes()
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn serve(stream: &TcpStream, asked: &Mutex<Vec<String>>, is_slow: &AtomicBool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(()) };
    let mut is_known = false;
    for line in lines.by_ref() {
        let line = line?;
        is_known |= line.to_lowercase().starts_with("authorization:") && line.ends_with(BASIC);
        if line.is_empty() {
            break;
        }
    }
    let path = first.split_whitespace().nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(first.clone());
    while is_slow.load(Ordering::Relaxed) && path.contains("/blobs/") {
        thread::sleep(std::time::Duration::from_millis(10));
    }
    let port = stream.local_addr()?.port();
    let (config, layer, manifest) = (config(port), layer(), manifest(port));
    let is_the_manifest = path == "/v2/nothing/manifests/1" || path.ends_with(&digest(&manifest));
    let (status, kind, body) = match path.as_str() {
        _ if !is_known => ("401 Unauthorized", "application/json", b"{}".to_vec()),
        "/v2/" => ("200 OK", "application/json", b"{}".to_vec()),
        _ if is_the_manifest => ("200 OK", MANIFEST, manifest),
        path if path.ends_with(&digest(&config)) => ("200 OK", "application/octet-stream", config),
        path if path.ends_with(&digest(&layer)) => ("200 OK", "application/octet-stream", layer),
        _ => (
            "404 Not Found",
            "application/json",
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.to_vec(),
        ),
    };
    let mut out = stream;
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\n\
         Docker-Distribution-Api-Version: registry/2.0\r\nWWW-Authenticate: Basic realm=\"test\"\r\nConnection: close\r\n\r\n",
        body.len(),
        digest(&body),
    )?;
    // A question about the head alone is answered without a body.
    if first.starts_with("HEAD") { Ok(()) } else { out.write_all(&body) }
}

/// Asks for a worker of the registry's image. There is no program in it, so that it fails once the image is there.
fn ask(house: &House<'_>, token: &str, image: &str) -> Result<Launch, longshore_plugin_api::Error> {
    let mut request = house.request(token, 1, "unused");
    request.container.image = Some(image.to_owned());
    house.try_run(&request)
}

fn has_image(engine: &Engine, image: &str) -> bool {
    engine.wait(engine.docker().inspect_image(image)).is_ok()
}

#[test]
fn an_image_is_pulled_with_the_credentials_of_docker_s_configuration() {
    let test = "an_image_is_pulled_with_the_credentials_of_docker_s_configuration";
    let Some(engine) = Engine::or_skip(test) else { return };
    let registry = Registry::start();
    let image = registry.image();
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::with(&engine, json!({"pull": "missing", "docker_config": folder.path()}));
    // Without any, and with wrong ones.
    let wrong = json!({"auths": {registry.address.to_string(): {"auth": "dXNlcjp3cm9uZw=="}}}).to_string();
    for (token, config) in [("t-1", None), ("t-2", Some(wrong))] {
        if let Some(config) = config {
            fs::write(folder.path().join("config.json"), config).expect("it is ours");
        }
        let error = ask(&house, token, &image).expect_err("the registry lets nobody in");
        assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
        assert!(error.message().contains(&image) && !error.message().contains("wrong"), "{error}");
    }
    assert!(!has_image(&engine, &image));
    // With the right ones.
    let right = json!({"auths": {registry.address.to_string(): {"auth": BASIC}}}).to_string();
    fs::write(folder.path().join("config.json"), right).expect("it is ours");
    let error = ask(&house, "t-3", &image).expect_err("there is no program in it");
    assert!(has_image(&engine, &image), "{error}: {:?}", registry.asked());
    assert!(error.message().contains("start the container"), "{error}");
    // What is there is not pulled again, unless that is asked for.
    let before = registry.asked().len();
    ask(&house, "t-4", &image).expect_err("there is no program in it");
    assert_eq!(registry.asked().len(), before);
    let always = House::with(&engine, json!({"pull": "always", "docker_config": folder.path()}));
    ask(&always, "t-5", &image).expect_err("there is no program in it");
    assert!(registry.asked().len() > before);
    // An image that the registry does not have.
    let error = ask(&house, "t-6", &format!("{}/other:1", registry.address)).expect_err("there is none");
    assert!(
        error.kind() == ErrorKind::Permanent && error.message().contains("cannot pull the image"),
        "{error}"
    );
    assert_eq!(house.containers(), []);
    engine.remove_image(&image);
}

#[test]
fn a_pull_goes_on_when_the_launch_that_wanted_it_is_out_of_time() {
    let test = "a_pull_goes_on_when_the_launch_that_wanted_it_is_out_of_time";
    let Some(engine) = Engine::or_skip(test) else { return };
    let registry = Registry::start();
    let image = registry.image();
    let folder = tempfile::tempdir().expect("a folder");
    let config = json!({"auths": {registry.address.to_string(): {"auth": BASIC}}}).to_string();
    fs::write(folder.path().join("config.json"), config).expect("it is ours");
    let house = House::with(&engine, json!({"pull": "missing", "docker_config": folder.path()}));
    registry.is_slow.store(true, Ordering::Relaxed);
    let mut request = house.request("t-1", 1, "unused");
    request.container.image = Some(image.clone());
    let late = within(std::time::Duration::from_secs(1), |ctx| house.provider().run(ctx, &request));
    let error = late.expect_err("the image is not there yet");
    assert!(
        error.kind() == ErrorKind::Cancelled && error.message().contains("still being pulled"),
        "{error}"
    );
    registry.is_slow.store(false, Ordering::Relaxed);
    until("the image is there", || has_image(&engine, &image));
    call(|ctx| house.provider().run(ctx, &request)).expect_err("there is no program in it");
    engine.remove_image(&image);
}
