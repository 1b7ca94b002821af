//! Images for containers, made of files of this machine: no registry is asked. The same files make the same image, byte by byte,
//! and its tag is made of what it holds.

use std::{
    collections::BTreeMap,
    env, fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::closure::closure;
use crate::{Missing, programs};

/// What the names of all images begin with that tests make.
pub const IMAGES: &str = "longshore-test";
/// Where an image's programs are looked for.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What stands for busybox where it is not installed.
const PROGRAMS: [&str; 16] = [
    "cat", "date", "echo", "env", "false", "hostname", "id", "kill", "ls", "mkdir", "rm", "sh", "sleep",
    "tail", "touch", "true",
];

#[derive(Clone)]
enum Entry {
    Folder,
    File { bytes: Vec<u8> },
    Link { to: PathBuf },
}

/// What is in an image.
#[derive(Clone)]
pub struct Recipe {
    name: String,
    entries: BTreeMap<PathBuf, (Entry, u32)>,
}

impl Recipe {
    /// An image with what every system has: a user, and a folder for what is temporary.
    pub fn new(name: &str) -> Self {
        let recipe = Self { name: name.to_owned(), entries: BTreeMap::new() };
        let mut recipe = recipe
            .file(
                "/etc/passwd",
                "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
                0o644,
            )
            .file("/etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644)
            .folder("/tmp");
        recipe.entries.entry("tmp".into()).and_modify(|(_, mode)| *mode = 0o1777);
        recipe
    }

    /// A folder, and those above it.
    #[must_use]
    pub fn folder(mut self, at: impl AsRef<Path>) -> Self {
        let at = relative(at.as_ref());
        for folder in at.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            self.entries.entry(folder.to_owned()).or_insert((Entry::Folder, 0o755));
        }
        self
    }

    /// A file of these bytes, with a mode such as `0o755`.
    #[must_use]
    pub fn file(self, at: impl AsRef<Path>, bytes: impl AsRef<[u8]>, mode: u32) -> Self {
        self.put(at.as_ref(), Entry::File { bytes: bytes.as_ref().to_vec() }, mode)
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(self, at: impl AsRef<Path>, to: impl Into<PathBuf>) -> Self {
        self.put(at.as_ref(), Entry::Link { to: to.into() }, 0o777)
    }

    fn put(self, at: &Path, entry: Entry, mode: u32) -> Self {
        let mut recipe = match at.parent() {
            Some(folder) => self.folder(folder),
            None => self,
        };
        recipe.entries.insert(relative(at), (entry, mode));
        recipe
    }

    /// A program of this machine, with all that it needs to run, at the places that they have here.
    pub fn program(mut self, name: &str) -> Result<Self, Missing> {
        for file in closure(&programs::find(name)?)? {
            let read = fs::metadata(&file)
                .and_then(|metadata| Ok((fs::read(&file)?, metadata.permissions().mode())));
            let (bytes, mode) = read.map_err(|error| Missing::new(format!("{}: {error}", file.display())))?;
            self = self.file(&file, bytes, mode & 0o755);
        }
        Ok(self)
    }

    /// A shell and the usual small programs: busybox where it is installed, or else this machine's own.
    pub fn shell(mut self) -> Result<Self, Missing> {
        let Ok(busybox) = programs::find("busybox") else {
            for program in PROGRAMS {
                self = self.program(program)?;
                self = self.at_bin(program, &programs::find(program)?);
            }
            return Ok(self);
        };
        let list = Command::new(&busybox).arg("--list").output();
        let list = list.map_err(|error| Missing::new(format!("{} --list: {error}", busybox.display())))?;
        self = self.program("busybox")?;
        for applet in String::from_utf8_lossy(&list.stdout).lines() {
            self = self.at_bin(applet, &busybox);
        }
        Ok(self)
    }

    /// Lets a program be found as `/bin/NAME` as well.
    fn at_bin(self, name: &str, program: &Path) -> Self {
        let at = Path::new("/bin").join(name);
        if self.entries.contains_key(&relative(&at)) { self } else { self.link(at, program) }
    }

    /// The image's name and tag, and an archive of it as `docker load` takes it.
    pub(super) fn archive(&self) -> (String, Vec<u8>) {
        let layer = self.layer().expect("memory can be written to");
        let layer_name = format!("{}.tar", hash(&layer));
        let config = json!({
            "architecture": match env::consts::ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other },
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": { "Env": [PATH], "Cmd": ["/bin/sh"], "Labels": { "longshore.test.image": self.name } },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hash(&layer))] },
            "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "a Longshore test" }],
        });
        let config = config.to_string().into_bytes();
        let config_name = format!("{}.json", hash(&config));
        let tag = format!("{IMAGES}/{}:{}", self.name, &hash(&config)[..12]);
        let manifest =
            json!([{ "Config": config_name, "RepoTags": [tag], "Layers": [layer_name] }]).to_string();
        let files =
            [(config_name, config), (layer_name, layer), ("manifest.json".to_owned(), manifest.into_bytes())];
        let write = || {
            let mut archive = Builder::new(vec![]);
            for (name, bytes) in files {
                archive.append_data(
                    &mut header(EntryType::Regular, 0o644, bytes.len()),
                    name,
                    bytes.as_slice(),
                )?;
            }
            archive.into_inner()
        };
        (tag, write().expect("memory can be written to"))
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        let mut layer = Builder::new(vec![]);
        for (path, (entry, mode)) in &self.entries {
            match entry {
                Entry::Folder => {
                    layer.append_data(&mut header(EntryType::Directory, *mode, 0), path, io::empty())?;
                }
                Entry::File { bytes } => {
                    let mut header = header(EntryType::Regular, *mode, bytes.len());
                    layer.append_data(&mut header, path, bytes.as_slice())?;
                }
                Entry::Link { to } => {
                    layer.append_link(&mut header(EntryType::Symlink, *mode, 0), path, to)?;
                }
            }
        }
        layer.into_inner()
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe").field("name", &self.name).field("paths", &self.entries.keys()).finish()
    }
}

/// Nothing in it depends on when or by whom it was made.
fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn paths(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().expect("an archive");
        let read = |entry: io::Result<tar::Entry<'_, _>>| {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut bytes = vec![];
            entry.read_to_end(&mut bytes).expect("its bytes");
            (path, bytes)
        };
        entries.map(read).collect()
    }

    #[test]
    fn what_an_image_holds_makes_its_tag() {
        let recipe = |text: &str| Recipe::new("note").file("/a/b/note", text, 0o644).link("/c", "/a/b/note");
        let (tag, archive) = recipe("one").archive();
        assert_eq!((tag.clone(), archive.clone()), recipe("one").archive(), "the same again");
        assert!(
            tag.starts_with("longshore-test/note:") && tag.len() == "longshore-test/note:".len() + 12,
            "{tag}"
        );
        assert_ne!(recipe("two").archive().0, tag);

        let files = paths(&archive);
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
        assert_eq!(manifest[0]["RepoTags"], json!([tag]));
        let layer = &files[manifest[0]["Layers"][0].as_str().expect("a name")];
        let config = &files[manifest[0]["Config"].as_str().expect("a name")];
        let config: serde_json::Value = serde_json::from_slice(config).expect("JSON");
        assert_eq!(config["rootfs"]["diff_ids"], json!([format!("sha256:{}", hash(layer))]));
        let layer = paths(layer);
        assert_eq!(layer["a/b/note"], b"one");
        for path in ["a", "a/b", "c", "etc/passwd", "tmp"] {
            assert!(layer.contains_key(path), "{path} is not in {:?}", layer.keys());
        }
    }

    #[test]
    fn a_program_comes_with_its_libraries_and_a_shell_is_found() {
        let recipe = Recipe::new("shell").program("sh").and_then(Recipe::shell).expect("there is a shell");
        let own = closure(&programs::find("sh").expect("a shell")).expect("its libraries");
        for file in own {
            assert!(recipe.entries.contains_key(&relative(&file)), "{} is missing", file.display());
        }
        assert!(recipe.entries.contains_key(Path::new("bin/sh")), "{recipe:?}");
        let why = Recipe::new("none").program("longshore-of-nobody").expect_err("there is no such program");
        assert_eq!(why.to_string(), "longshore-of-nobody is not installed");
    }
}
