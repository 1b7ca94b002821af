//! What the configuration of a provider must keep.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use minisign_verify::PublicKey;

use super::{Checker, MEMORY_LIMIT, THREADS_LIMIT};
use crate::{
    config::ProviderConfig,
    isolation::{Confinement, Guard, Isolation, Trust},
    spot::short,
};

/// The most keys of which one must have signed a plugin.
pub const SIGNERS_LIMIT: usize = 100;
/// The most paths in each list of what a runner may use.
pub const PATHS_LIMIT: usize = 256;
/// The least memory that a runner can be held to: less, and it does not even start.
const MEMORY_LEAST: u64 = 64 << 20;
/// How many descriptors a runner can be held to: less, and it cannot open a library; more is the kernel's own limit.
pub(crate) const DESCRIPTORS: RangeInclusive<u32> = 32..=1 << 20;
/// The least and the most time of a processor that a runner can be held to.
const CPU_TIMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(365 * 24));

const CONFINE: Option<&str> = Some("confine");

pub(super) fn check(provider: &ProviderConfig, checker: &mut Checker<'_>) {
    // Left out, it is the name, whose fault is told already.
    if !checker.is_faulty(None, "name") {
        checker.plain(None, "plugin", Some(&provider.plugin));
    }
    if !provider.config.is_object() {
        checker.wrong(None, "config", "must be an object");
    }
    if let Some(threads) = provider.threads
        && !(1..=THREADS_LIMIT).contains(&threads)
    {
        checker.wrong(None, "threads", &format!("must be between 1 and {THREADS_LIMIT}, not {threads}"));
    }
    if let Some(create) = provider.create_timeout {
        checker.deadline(None, "create_timeout", create);
    }
    if let Some(grace) = provider.hang_grace {
        checker.deadline(None, "hang_grace", grace);
        if provider.isolation == Some(Isolation::InProcess) {
            let what = "must be left out where `isolation` is \"in-process\": what hangs in the host's own process cannot be \
                        ended";
            checker.wrong(None, "hang_grace", what);
        }
    }
    if provider.confine.is_some() && provider.isolation != Some(Isolation::Subprocess) {
        let what = "must be \"subprocess\" where there is a [provider.confine]: what runs in the host's own process \
                    cannot be confined";
        checker.wrong(None, "isolation", what);
    }
    check_trust(&provider.trust, checker);
    paths(None, "watch", provider.watch.as_slice(), checker);
    if let Some(confinement) = &provider.confine {
        check_confinement(confinement, checker);
    }
}

fn check_trust(trust: &Trust, checker: &mut Checker<'_>) {
    let is_digest = |digits: &str| {
        digits.len() == 64 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    if let Some(digits) = trust.sha256.as_deref()
        && !is_digest(digits)
    {
        let what =
            format!("must be 64 hexadecimal digits, as `sha256sum` prints them, not \"{}\"", short(digits));
        checker.wrong(None, "sha256", &what);
    }
    if trust.signed_by.len() > SIGNERS_LIMIT {
        let what = format!("must have at most {SIGNERS_LIMIT} keys, not {}", trust.signed_by.len());
        return checker.wrong(None, "signed_by", &what);
    }
    let no_key = |key: &String| PublicKey::from_base64(key).is_err();
    if let Some(at) = trust.signed_by.iter().position(no_key) {
        let what = format!(
            "must be a list of minisign's public keys, 56 characters that begin with RW, but number {} is \"{}\"",
            at + 1,
            short(&trust.signed_by[at])
        );
        checker.wrong(None, "signed_by", &what);
    }
}

fn check_confinement(confinement: &Confinement, checker: &mut Checker<'_>) {
    checker.plain(CONFINE, "user", confinement.user.as_deref());
    if let Some(memory) = confinement.memory
        && !(MEMORY_LEAST..=MEMORY_LIMIT).contains(&memory)
    {
        checker.wrong(CONFINE, "memory", &format!("must be between 64 MiB and 1 EiB, not {memory} bytes"));
    }
    if let Some(descriptors) = confinement.descriptors
        && !DESCRIPTORS.contains(&descriptors)
    {
        let (least, most) = (DESCRIPTORS.start(), DESCRIPTORS.end());
        checker.wrong(
            CONFINE,
            "descriptors",
            &format!("must be between {least} and {most}, not {descriptors}"),
        );
    }
    if let Some(time) = confinement.cpu_time {
        checker.duration(CONFINE, "cpu_time", time, CPU_TIMES);
    }
    paths(CONFINE, "read", confinement.read.as_deref().unwrap_or_default(), checker);
    paths(CONFINE, "write", confinement.write.as_deref().unwrap_or_default(), checker);
    check_required(confinement, checker);
}

/// What is required must be there to be required, or else nobody would miss it.
fn check_required(confinement: &Confinement, checker: &mut Checker<'_>) {
    let there = confinement.guards();
    let Some(guard) = confinement.required.iter().find(|guard| !there.contains(guard)) else { return };
    let of: &[&str] = match guard {
        Guard::User => &["user"],
        Guard::Limits => &["memory", "descriptors", "cpu_time"],
        Guard::NoNewPrivileges => &[],
        Guard::Paths => &["read", "write"],
        Guard::SystemCalls => &["seccomp"],
    };
    // A key whose own fault is told may be there in truth.
    if of.iter().any(|key| checker.is_faulty(CONFINE, key)) {
        return;
    }
    let of: Vec<_> = of.iter().map(|key| format!("`{key}`")).collect();
    let what = format!("has \"{guard}\", which needs {}; add it, or leave that out", of.join(" or "));
    checker.wrong(CONFINE, "required", &what);
}

fn paths(section: Option<&'static str>, key: &'static str, paths: &[PathBuf], checker: &mut Checker<'_>) {
    if paths.len() > PATHS_LIMIT {
        let what = format!("must have at most {PATHS_LIMIT} paths, not {}", paths.len());
        return checker.wrong(section, key, &what);
    }
    for path in paths {
        if path.as_os_str().is_empty() {
            checker.wrong(section, key, "must not have an empty path; leave it out instead");
        } else if path.as_os_str().as_encoded_bytes().contains(&0) {
            checker.wrong(section, key, "must not have a zero byte");
        } else if !path.is_absolute() {
            let what = format!("must be absolute, not \"{}\"", short(&path.to_string_lossy()));
            checker.wrong(section, key, &what);
        }
    }
}
