//! Files and folders. Where the kernel's Landlock is missing or too old, it must say so.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::Child,
};

use super::{kernel::landlock, *};

fn only(read: &[&str], write: &[&str]) -> Confinement {
    let all = |paths: &[&str]| Some(paths.iter().map(|path| folder().join(path)).collect());
    Confinement { read: all(read), write: all(write), ..Confinement::default() }
}

/// Confines this process. Where the kernel cannot do all of it, holds that it is told, and says that there is nothing to try.
#[must_use]
fn is_confined_by(confinement: &Confinement, own: &[&Path]) -> bool {
    let lacking = apply(confinement, own).expect("nothing is required");
    let version = landlock();
    if version >= 3 {
        assert_eq!(lacking, []);
        return true;
    }
    let guards: Vec<_> = lacking.iter().map(|lacking| lacking.guard).collect();
    assert_eq!(guards, [Guard::Paths], "the kernel's version is {version}");
    println!("there is nothing to try, because {}", lacking[0]);
    false
}

#[track_caller]
fn denied<T>(result: io::Result<T>) {
    assert_eq!(result.err().map(|error| error.kind()), Some(ErrorKind::PermissionDenied));
}

/// A folder with one of each kind, and a file in each.
fn house() -> tempfile::TempDir {
    let house = tempfile::tempdir().expect("a folder");
    for name in ["read", "write", "other"] {
        fs::create_dir(house.path().join(name)).expect("it is made");
        fs::write(house.path().join(name).join("file"), name).expect("it is written");
    }
    fs::write(house.path().join("single"), "single").expect("it is written");
    let script = house.path().join("other/script");
    fs::write(&script, "#!/bin/sh\n").expect("it is written");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    house
}

#[test]
#[ignore = "the process of the test below"]
fn tries_every_path() {
    let at = |path: &str| folder().join(path);
    let open = fs::File::open(at("other/file")).expect("everything is allowed to begin with");
    Command::new(at("other/script")).status().expect("it is run");
    if !is_confined_by(&only(&["read", "single"], &["write"]), &[]) {
        return;
    }

    assert_eq!(fs::read_to_string(at("read/file")).expect("it may be read"), "read");
    assert_eq!(fs::read_to_string(at("single")).expect("it may be read"), "single");
    assert_eq!(fs::read_dir(at("read")).expect("it may be listed").count(), 1);
    denied(fs::write(at("read/file"), ""));
    denied(fs::write(at("read/new"), ""));
    denied(fs::remove_file(at("read/file")));
    denied(fs::write(at("single"), ""));

    denied(fs::read(at("other/file")));
    denied(fs::read_dir(at("other")));
    denied(fs::read(at("write/../other/file")));
    denied(fs::read("/etc/shadow"));
    denied(Command::new(at("other/script")).status());
    denied(nix::unistd::truncate(&at("other/file"), 0).map_err(Into::into));
    denied(fs::File::create(at("other/new")).map(|_| ()));
    denied(fs::create_dir(at("other/new")));
    assert_eq!(fs::metadata(at("other/file")).expect("names may be looked up").len(), 5);

    fs::write(at("write/file"), "changed").expect("it may be written");
    nix::unistd::truncate(&at("write/file"), 2).expect("it may be cut short");
    fs::create_dir(at("write/folder")).expect("folders may be made");
    fs::rename(at("write/file"), at("write/folder/moved")).expect("files may be moved within");
    assert_eq!(fs::read_to_string(at("write/folder/moved")).expect("it may be read"), "ch");
    fs::remove_dir_all(at("write/folder")).expect("it may be removed");
    fs::rename(at("other/file"), at("write/file")).expect_err("files may not be brought in");
    // What a link leads to must be allowed itself.
    std::os::unix::fs::symlink(at("other/file"), at("write/link")).expect("links may be made");
    denied(fs::read(at("write/link")));
    let device = nix::sys::stat::makedev(1, 3);
    let kind = nix::sys::stat::SFlag::S_IFCHR;
    let made = nix::sys::stat::mknod(&at("write/device"), kind, nix::sys::stat::Mode::S_IRUSR, device);
    assert!(matches!(made, Err(Errno::EACCES | Errno::EPERM)), "{made:?}");

    let mut text = String::new();
    io::BufReader::new(open).read_to_string(&mut text).expect("what is open stays so");
    assert_eq!(text, "other");
}

#[test]
fn only_what_is_listed_may_be_used() {
    let house = house();
    succeeds_in("paths::tries_every_path", house.path());
    assert_eq!(fs::read_to_string(house.path().join("other/file")).expect("it is there"), "other");
}

#[test]
#[ignore = "the process of the test below"]
fn does_what_every_program_does() {
    if !is_confined_by(&only(&[], &[]), &[&folder().join("other")]) {
        return;
    }
    assert_eq!(fs::read_to_string(folder().join("other/file")).expect("it is its own"), "other");
    denied(fs::write(folder().join("other/file"), ""));
    denied(fs::read(folder().join("read/file")));
    // The programs, the loader and the libraries of the system, devices, users, and processes.
    assert_eq!(
        shell("echo x > /dev/null; id -un 0; ls / | wc -l | grep -c . ; cat /proc/self/comm"),
        "root\n1\ncat"
    );
    let mut random = [0; 8];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).expect("it may be read");
    fs::read_to_string("/proc/1/stat").expect("processes may be looked for");
    fs::read_to_string("/etc/hosts").expect("hosts may be looked up");
    let host = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 80)).expect("it is known");
    assert!(host.count() >= 1);
    // A library is loaded from memory.
    let memory = rustix::fs::memfd_create("library", rustix::fs::MemfdFlags::CLOEXEC).expect("it is made");
    let mut file = fs::File::from(memory);
    file.write_all(b"of its own").expect("it is written");
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    assert_eq!(fs::read_to_string(path).expect("it may be opened anew"), "of its own");
}

#[test]
fn what_every_program_needs_is_allowed() {
    let house = house();
    succeeds_in("paths::does_what_every_program_does", house.path());
}

#[test]
fn a_path_that_is_not_there_is_an_error() {
    for key in ["read", "write"] {
        let paths = Some(vec!["/tmp".into(), "/nowhere/at/all".into()]);
        let mut confinement = Confinement::default();
        *(if key == "read" { &mut confinement.read } else { &mut confinement.write }) = paths;
        let why = format!(
            "/nowhere/at/all in `{key}` cannot be opened: No such file or directory (os error 2); make it first, name the \
             folder that it is in, or leave it out"
        );
        // It is found before anything is changed.
        assert_eq!(apply(&confinement, &[]), Err(ConfineError::Failed { guard: Guard::Paths, why }));
    }
    let own = Path::new("/nowhere/libp.so");
    let confinement = Confinement { read: Some(vec![]), ..Confinement::default() };
    let why = "/nowhere/libp.so cannot be opened: No such file or directory (os error 2)".to_owned();
    assert_eq!(apply(&confinement, &[own]), Err(ConfineError::Failed { guard: Guard::Paths, why }));
}

#[test]
#[ignore = "the process of the test below"]
fn has_a_kernel_without_landlock() {
    without(libc::SYS_landlock_create_ruleset, vec![], Errno::ENOSYS);
    let why = "the kernel has no Landlock; Linux 5.13 and later have, where it is built in";
    lacks(&only(&[], &[]), Guard::Paths, why);
    fs::read(folder().join("other/file")).expect("it is not confined, as it says");
}

#[test]
#[ignore = "the process of the test below"]
fn has_a_kernel_with_landlock_switched_off() {
    without(libc::SYS_landlock_create_ruleset, vec![], Errno::EOPNOTSUPP);
    let why = "the kernel's Landlock is switched off; add `landlock` to its boot option `lsm=`";
    lacks(&only(&[], &[]), Guard::Paths, why);
}

#[test]
fn a_kernel_without_landlock_is_told() {
    if has_filters() {
        let house = house();
        succeeds_in("paths::has_a_kernel_without_landlock", house.path());
        succeeds_in("paths::has_a_kernel_with_landlock_switched_off", house.path());
    }
}

/// A shell that this process starts, and that runs until this is dropped.
struct Waiting(Child);

impl Waiting {
    fn start() -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo; read line"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it is started");
        // Until its program runs, it is as this process, which has changed its user: nobody may look into it.
        let output = child.stdout.as_mut().expect("it is piped");
        output.read_exact(&mut [0]).expect("it says that it runs");
        Self(child)
    }

    fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        fs::read(format!("/proc/{}/{file}", self.0.id()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "the process of the test below"]
fn looks_at_what_another_started() {
    if nix::unistd::geteuid().is_root() {
        // Root may look into whatever runs, on newer kernels.
        confine(&Confinement { user: Some("nobody".to_owned()), ..Confinement::default() });
    }
    let others = Waiting::start();
    others.read("environ").expect("it may to begin with");
    if !is_confined_by(&only(&[], &[]), &[]) {
        return;
    }
    Waiting::start().read("environ").expect("it started it");
    denied(others.read("environ"));
    others.read("stat").expect("that it is there is no secret");
    let other = rustix::process::Pid::from_child(&others.0);
    rustix::process::kill_process(other, Signal::KILL).expect("it may end it");
}

#[test]
fn whoever_is_confined_later_cannot_look_into_what_was_started_before() {
    succeeds("paths::looks_at_what_another_started");
}
