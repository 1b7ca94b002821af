//! What tests need of the machine beside Rust, and how it is installed where it may be: on Debian and its kin, by root; and what
//! they need of Python's packages, which anybody may have in a folder.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use longshore_support::{Missing, Venv, everything_must_be_here, find_program};
use nix::unistd::geteuid;

use crate::Failure;

/// A package of Debian's.
struct Package {
    name: &'static str,
    /// What tests need it for.
    what_for: &'static str,
    /// Whether what it brings is there, whoever has installed it.
    is_there: fn() -> bool,
}

/// All of them, in one place.
const PACKAGES: &[Package] = &[
    Package {
        name: "docker.io",
        what_for: "a Docker engine",
        is_there: || ["dockerd", "containerd", "runc"].iter().all(|program| find_program(program).is_ok()),
    },
    Package {
        name: "iptables",
        what_for: "the engine asks for it, though tests need no rules",
        is_there: || find_program("iptables").is_ok(),
    },
    Package {
        name: "iproute2",
        what_for: "a bridge for containers",
        is_there: || find_program("ip").is_ok(),
    },
    Package {
        name: "busybox-static",
        what_for: "a shell in images, without libraries",
        is_there: || find_program("busybox").is_ok(),
    },
    Package {
        name: "podman",
        what_for: "Podman's service, which speaks as a Docker engine does",
        is_there: || ["podman", "conmon"].iter().all(|program| find_program(program).is_ok()),
    },
    Package {
        name: "containernetworking-plugins",
        what_for: "networks of Podman's containers",
        is_there: || Path::new("/usr/lib/cni/bridge").exists(),
    },
    Package {
        name: "redis-server",
        what_for: "a cluster with a server and a queue",
        is_there: || ["redis-server", "redis-cli"].iter().all(|program| find_program(program).is_ok()),
    },
    Package {
        name: "ca-certificates",
        what_for: "packages of Python's",
        is_there: || Path::new("/etc/ssl/certs/ca-certificates.crt").exists(),
    },
    Package {
        name: "python3-venv",
        what_for: "a cluster of Dask, and the parsers of Prometheus",
        is_there: || {
            let mut python = Command::new("python3");
            python.args(["-c", "import ensurepip, venv"]).stdin(Stdio::null()).stdout(Stdio::null());
            python.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        },
    },
];

/// Installs what is missing, or says what is.
pub(crate) fn install() -> Result<(), Failure> {
    of_debian()?;
    of_python("Dask", Venv::dask())?;
    of_python("the parsers of Prometheus", Venv::prometheus())
}

fn of_python(what: &str, found: Result<Venv, Missing>) -> Result<(), Failure> {
    match found {
        Err(why) if everything_must_be_here() => Err(Failure::new(format!("tests need {what}: {why}"))),
        Err(why) => {
            println!("   tests with {what} are skipped, because {why}");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

fn of_debian() -> Result<(), Failure> {
    let missing: Vec<_> = PACKAGES.iter().filter(|package| !(package.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for Package { name, what_for, .. } in &missing {
        println!("   missing: {name} ({what_for})");
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    let outcome = may_install().and_then(|()| apt(&names));
    match outcome {
        Err(why) if everything_must_be_here() => Err(Failure::new(format!(
            "tests need {}, and {why}; install them, or unset CI for the tests to be skipped that need them",
            names.join(", ")
        ))),
        Err(why) => {
            println!("   nothing is installed, because {why}; tests that need it are skipped");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn may_install() -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("only root may install packages".to_owned());
    }
    if !Path::new("/etc/debian_version").exists() || find_program("apt-get").is_err() {
        return Err("this is not Debian, nor a kin of it".to_owned());
    }
    Ok(())
}

fn apt(names: &[&str]) -> Result<(), String> {
    println!("   apt-get install {}", names.join(" "));
    let status = Command::new("sh")
        .args(["-c", include_str!("install.sh"), "install"])
        .args(names)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("a shell cannot be run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("apt-get has ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_named_once_and_says_what_it_is_for() {
        let mut names: Vec<_> = PACKAGES.iter().map(|package| package.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PACKAGES.len());
        assert!(PACKAGES.iter().all(|package| !package.what_for.is_empty()));
    }
}
