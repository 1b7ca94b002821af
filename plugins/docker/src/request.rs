//! What the engine is asked to make, as data: a container of a request and a configuration.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HostConfig, HostConfigLogConfig, Mount as EngineMount,
    MountTmpfsOptions, MountType, PortBinding, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use longshore_plugin_api::{Container, Error, Hardware};

use crate::{
    config::{Gpus, Mount, Ulimit},
    image::Image,
    labels::Place,
    settings::{Network, Settings},
};

/// The least memory that an engine takes, in bytes.
const MEMORY_LEAST: u64 = 6 << 20;

/// A container that is to be made.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) place: &'a Place,
    pub(crate) image: &'a Image,
    pub(crate) container: &'a Container,
    pub(crate) hardware: &'a Hardware,
    /// How often the hardware is needed.
    pub(crate) workers: u32,
    pub(crate) labels: HashMap<String, String>,
    /// Longshore's own variables, which win.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// The port that is published, where the configuration publishes it.
    pub(crate) port: Option<u16>,
}

/// What can be seen to be wrong with a request before anything is asked of the engine. Gives the image.
pub(crate) fn check(container: &Container, hardware: &Hardware) -> Result<Image, Error> {
    let Some(image) = &container.image else {
        return Err(Error::permanent(
            "container.image is missing: name the image that the containers are made of",
        ));
    };
    if let Some(name) = container.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(Error::permanent(format_args!(
            "container.env: {name:?} cannot be a variable's name: it is empty, or has '=' or a zero byte"
        )));
    }
    let texts = container.command.iter().chain(&container.args).chain(container.env.values());
    if let Some(text) = texts.chain(&container.working_dir).find(|text| text.contains('\0')) {
        return Err(Error::permanent(format_args!(
            "container: {text:?} has a zero byte, which no program can be given"
        )));
    }
    if container.working_dir.as_ref().is_some_and(|folder| !folder.starts_with('/')) {
        return Err(Error::permanent("container.working_dir is not absolute: write it from / on"));
    }
    if let Some(memory) = hardware.memory.filter(|memory| *memory < MEMORY_LEAST) {
        return Err(Error::permanent(format_args!(
            "hardware.memory: {memory} bytes are too few for a container; 6 MiB are the least"
        )));
    }
    Image::read(image)
}

/// The request for a container.
pub(crate) fn body(settings: &Settings, wish: Wish<'_>) -> ContainerCreateBody {
    let (container, plain) = (wish.container, &settings.plain);
    let mut env: BTreeMap<&str, &str> =
        container.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    env.extend(wish.variables.iter().map(|(name, value)| (*name, value.as_str())));
    let port = wish.port.map(|port| format!("{port}/tcp"));
    let labels = plain.labels.iter().map(|(name, value)| (name.clone(), value.clone())).chain(wish.labels);
    // A program of the request's takes the place of the image's, arguments and all; arguments alone go to the image's.
    let has_command = container.command.is_some();
    ContainerCreateBody {
        image: Some(wish.image.text().to_owned()),
        entrypoint: container.command.as_ref().map(|command| vec![command.clone()]),
        cmd: (has_command || !container.args.is_empty()).then(|| container.args.clone()),
        env: Some(env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: container.working_dir.clone(),
        user: plain.user.clone(),
        stop_signal: plain.stop_signal.clone(),
        labels: Some(labels.collect()),
        exposed_ports: port.as_ref().map(|port| vec![port.clone()]),
        host_config: Some(HostConfig {
            port_bindings: settings.publish.zip(port).map(|(address, port)| {
                let number = port.split('/').next().unwrap_or_default().to_owned();
                let binding = PortBinding { host_ip: Some(address.to_string()), host_port: Some(number) };
                HashMap::from([(port, Some(vec![binding]))])
            }),
            ..machine(settings, wish.place, wish.hardware, wish.workers)
        }),
        ..ContainerCreateBody::default()
    }
}

/// What the machine is to give, and to keep from it.
fn machine(settings: &Settings, place: &Place, hardware: &Hardware, workers: u32) -> HostConfig {
    let plain = &settings.plain;
    let memory = hardware.memory.map(|memory| memory.saturating_mul(u64::from(workers)));
    let memory = memory.map(|memory| i64::try_from(memory).unwrap_or(i64::MAX));
    HostConfig {
        nano_cpus: hardware.cpu.map(|cpu| (cpu * f64::from(workers) * 1e9).round() as i64),
        memory,
        memory_swap: memory.zip(settings.swap).map(|(memory, swap)| memory.saturating_add(swap)),
        network_mode: mode(settings, place),
        // Starting again is the host's business, under a new handle.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        mounts: Some(
            plain
                .mounts
                .iter()
                .zip(&settings.mount_sizes)
                .map(|(mount, size)| mounted(mount, *size))
                .collect(),
        ),
        readonly_rootfs: Some(plain.read_only),
        cap_add: listed(&plain.cap_add),
        cap_drop: listed(&plain.cap_drop),
        security_opt: listed(&plain.security_opt),
        extra_hosts: listed(&plain.extra_hosts),
        device_requests: plain.gpus.as_ref().map(|gpus| vec![devices(gpus)]),
        ulimits: (!plain.ulimits.is_empty())
            .then(|| plain.ulimits.iter().map(|(name, limit)| ulimit(name, *limit)).collect()),
        shm_size: settings.shm_size,
        log_config: plain.log.as_ref().map(|log| HostConfigLogConfig {
            typ: Some(log.driver.clone()),
            config: Some(log.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect()),
        }),
        init: plain.init.then_some(true),
        ..HostConfig::default()
    }
}

/// The engine's word for the network of a cluster's containers.
pub(crate) fn mode(settings: &Settings, place: &Place) -> Option<String> {
    match &settings.network {
        Network::Default => None,
        Network::Host => Some("host".to_owned()),
        Network::Nowhere => Some("none".to_owned()),
        Network::Named(name) => Some(name.clone()),
        Network::Cluster => Some(place.network()),
    }
}

fn listed(texts: &[String]) -> Option<Vec<String>> {
    (!texts.is_empty()).then(|| texts.to_vec())
}

fn mounted(mount: &Mount, size_bytes: Option<i64>) -> EngineMount {
    let of = |typ, source: &str, target: &str, read_only| EngineMount {
        typ: Some(typ),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        ..EngineMount::default()
    };
    match mount {
        Mount::Bind { source, target, read_only } => of(MountType::BIND, source, target, *read_only),
        Mount::Volume { source, target, read_only } => of(MountType::VOLUME, source, target, *read_only),
        Mount::Tmpfs { target, .. } => EngineMount {
            typ: Some(MountType::TMPFS),
            target: Some(target.clone()),
            tmpfs_options: size_bytes
                .map(|size| MountTmpfsOptions { size_bytes: Some(size), ..MountTmpfsOptions::default() }),
            ..EngineMount::default()
        },
    }
}

fn devices(gpus: &Gpus) -> DeviceRequest {
    let (count, device_ids) = match gpus {
        Gpus::Count(count) => (Some(i64::from(*count)), None),
        Gpus::All(_) => (Some(-1), None),
        Gpus::Ids(ids) => (None, Some(ids.clone())),
    };
    DeviceRequest {
        count,
        device_ids,
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}

fn ulimit(name: &str, limit: Ulimit) -> ResourcesUlimits {
    let (soft, hard) = match limit {
        Ulimit::Both(limit) => (limit, limit),
        Ulimit::Each(limit) => (limit.soft, limit.hard),
    };
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::ErrorKind;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Config;

    /// The document that the engine is sent.
    fn sent(config: Value, container: Value, hardware: Value) -> Value {
        let config: Config = serde_json::from_value(config).expect("it has the shape of the schema");
        let settings =
            Settings::try_from(Config { host: Some("unix:///x".to_owned()), ..config }).expect("it is right");
        let container: Container = serde_json::from_value(container).expect("a container");
        let hardware: Hardware = serde_json::from_value(hardware).expect("hardware");
        let image = check(&container, &hardware).expect("it is right");
        let wish = Wish {
            place: &Place::new("longshore", "c"),
            image: &image,
            container: &container,
            hardware: &hardware,
            workers: 3,
            labels: HashMap::from([("io.longshore.token".to_owned(), "t".to_owned())]),
            variables: vec![("LONGSHORE_WORKERS", "3".to_owned())],
            port: Some(6379),
        };
        serde_json::to_value(body(&settings, wish)).expect("it is a document")
    }

    #[test]
    fn a_plain_container_leaves_the_rest_to_the_image_and_the_engine() {
        let sent = sent(json!({}), json!({"image": "x"}), json!({}));
        assert_eq!((&sent["Image"], &sent["Env"]), (&json!("x"), &json!(["LONGSHORE_WORKERS=3"])));
        assert_eq!(sent["HostConfig"]["RestartPolicy"]["Name"], "no");
        for absent in ["Entrypoint", "Cmd", "User", "WorkingDir", "StopSignal"] {
            assert_eq!(sent[absent], Value::Null, "{absent}");
        }
        for absent in [
            "NanoCpus",
            "Memory",
            "NetworkMode",
            "PortBindings",
            "DeviceRequests",
            "Init",
            "LogConfig",
            "Ulimits",
        ] {
            assert_eq!(sent["HostConfig"][absent], Value::Null, "{absent}");
        }
    }

    #[test]
    fn a_program_replaces_the_image_s_and_arguments_alone_do_not() {
        let with = |container: Value| sent(json!({}), container, json!({}));
        let both = with(json!({"image": "x", "command": "p", "args": ["a b", ""]}));
        assert_eq!((&both["Entrypoint"], &both["Cmd"]), (&json!(["p"]), &json!(["a b", ""])));
        let program = with(json!({"image": "x", "command": "p"}));
        assert_eq!((&program["Entrypoint"], &program["Cmd"]), (&json!(["p"]), &json!([])));
        let args = with(json!({"image": "x", "args": ["a"]}));
        assert_eq!((&args["Entrypoint"], &args["Cmd"]), (&Value::Null, &json!(["a"])));
    }

    #[test]
    fn the_hardware_is_that_of_all_workers_of_the_container() {
        let sent = sent(json!({"swap": 1024}), json!({"image": "x"}), json!({"cpu": 0.5, "memory": 1 << 30}));
        let host = &sent["HostConfig"];
        assert_eq!((&host["NanoCpus"], &host["Memory"]), (&json!(1_500_000_000), &json!(3_u64 << 30)));
        assert_eq!(host["MemorySwap"], json!((3_u64 << 30) + 1024));
    }

    #[test]
    fn longshore_s_variables_and_labels_win() {
        let sent = sent(
            json!({"labels": {"team": "x"}}),
            json!({"image": "x", "env": {"LONGSHORE_WORKERS": "9", "A": "1=2"}, "working_dir": "/w"}),
            json!({}),
        );
        assert_eq!(sent["Env"], json!(["A=1=2", "LONGSHORE_WORKERS=3"]));
        assert_eq!(sent["Labels"], json!({"team": "x", "io.longshore.token": "t"}));
        assert_eq!(sent["WorkingDir"], "/w");
    }

    #[test]
    fn the_rest_of_the_configuration_is_passed_on() {
        let sent = sent(
            json!({
                "network": "cluster", "gpus": ["GPU-1"], "init": true, "read_only": true, "user": "1:2", "cap_drop": ["ALL"],
                "publish": "127.0.0.1", "ulimits": {"nofile": {"soft": 1, "hard": 2}}, "shm_size": 4096,
                "log": {"driver": "local", "options": {"max-size": "1m"}}, "stop_signal": "SIGINT",
                "mounts": [{"type": "bind", "source": "/a", "target": "/b", "read_only": true},
                           {"type": "tmpfs", "target": "/t", "size": "1 MiB"}],
            }),
            json!({"image": "x"}),
            json!({}),
        );
        let host = &sent["HostConfig"];
        assert_eq!((&host["NetworkMode"], &host["Init"]), (&json!("longshore.c.network"), &json!(true)));
        assert_eq!(host["DeviceRequests"], json!([{"DeviceIDs": ["GPU-1"], "Capabilities": [["gpu"]]}]));
        assert_eq!(host["PortBindings"], json!({"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "6379"}]}));
        assert_eq!(host["Ulimits"], json!([{"Name": "nofile", "Soft": 1, "Hard": 2}]));
        assert_eq!((&host["ReadonlyRootfs"], &host["CapDrop"]), (&json!(true), &json!(["ALL"])));
        assert_eq!(host["LogConfig"], json!({"Type": "local", "Config": {"max-size": "1m"}}));
        assert_eq!(
            host["Mounts"][0],
            json!({"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true})
        );
        assert_eq!(host["Mounts"][1]["TmpfsOptions"], json!({"SizeBytes": 1 << 20}));
        assert_eq!((&sent["User"], &sent["StopSignal"]), (&json!("1:2"), &json!("SIGINT")));
        assert_eq!(host["ShmSize"], 4096);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_for_good() {
        for (container, hardware, words) in [
            (json!({}), json!({}), "container.image is missing"),
            (json!({"image": "x", "env": {"A=B": ""}}), json!({}), "container.env"),
            (json!({"image": "x", "args": ["a\0"]}), json!({}), "zero byte"),
            (json!({"image": "x", "working_dir": "w"}), json!({}), "container.working_dir"),
            (json!({"image": "x"}), json!({"memory": 4096}), "hardware.memory"),
            (json!({"image": "x y"}), json!({}), "container.image"),
        ] {
            let container: Container = serde_json::from_value(container).expect("a container");
            let hardware: Hardware = serde_json::from_value(hardware).expect("hardware");
            let error = check(&container, &hardware).expect_err(words);
            assert!(error.kind() == ErrorKind::Permanent && error.message().contains(words), "{error}");
        }
    }
}
