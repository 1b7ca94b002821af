//! A real folder, with the memory plugin in it and what people do to files; the time is given, and nobody waits.

use std::io::Write as _;

use super::*;

/// A folder that is watched, second by second.
struct Folder {
    temp: tempfile::TempDir,
    watcher: Watcher,
    now: Instant,
}

impl Folder {
    fn new() -> Self {
        Self::knowing(None)
    }

    fn knowing(known: Option<String>) -> Self {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let watcher = Watcher::new(temp.path(), Trust::default(), known);
        Self { temp, watcher, now: Instant::now() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        fs::write(self.path(name), content).expect("the folder can be written");
        self.path(name)
    }

    /// One look, a second after the one before.
    fn look(&mut self) -> Vec<News> {
        self.now += LOOK_EVERY;
        self.watcher.look(self.now)
    }

    /// All that is told until everything that is there now has settled.
    fn settle(&mut self) -> Vec<News> {
        (0..4).flat_map(|_| self.look()).collect()
    }
}

fn memory() -> Vec<u8> {
    fs::read(longshore_support::library("longshore-memory")).expect("it is built")
}

/// The name of a library.
fn so(name: &str) -> String {
    format!("{name}{}", consts::DLL_SUFFIX)
}

fn complete(path: &Path, content: &[u8]) -> News {
    News::Complete { path: path.to_owned(), hash: crate::verify::hash(content) }
}

#[track_caller]
fn assert_refused(news: &[News], path: &Path, kind: LoadErrorKind) {
    assert!(
        matches!(news, [News::Refused(why)] if why.path() == path && why.kind() == kind),
        "{} is refused, and nothing else is told: {news:?}",
        path.display()
    );
}

#[test]
fn a_file_is_told_of_when_it_has_settled_and_once() {
    let mut folder = Folder::new();
    let plugin = memory();
    let path = folder.put(&so("memory"), &plugin);
    assert_eq!(folder.look(), []);
    assert_eq!(folder.look(), [], "too early");
    assert_eq!(folder.look(), [complete(&path, &plugin)]);
    assert_eq!(folder.settle(), []);
    // Another file of the same content is no news, and neither is the file after it was touched.
    folder.put(&so("copy"), &plugin);
    folder.put(&so("memory"), &plugin);
    assert_eq!(folder.settle(), []);
}

#[test]
fn what_is_known_is_no_news() {
    let plugin = memory();
    let mut folder = Folder::knowing(Some(crate::verify::hash(&plugin)));
    folder.put(&so("memory"), &plugin);
    assert_eq!(folder.settle(), []);
}

#[test]
fn a_file_that_is_being_written_is_waited_for() {
    let mut folder = Folder::new();
    let plugin = memory();
    let path = folder.path(&so("slow"));
    let mut file = fs::File::create(&path).expect("the folder can be written");
    for part in plugin.chunks(plugin.len() / 5 + 1) {
        file.write_all(part).expect("the folder can be written");
        assert_eq!(folder.look(), []);
        assert_eq!(folder.look(), []);
    }
    assert_eq!(folder.settle(), [complete(&path, &plugin)]);
}

#[test]
fn half_a_library_whose_writer_pauses_is_refused_and_looked_at_again() {
    let mut folder = Folder::new();
    let plugin = memory();
    let (half, rest) = plugin.split_at(plugin.len() / 2);
    let path = folder.put(&so("half"), half);
    assert_refused(&folder.settle(), &path, LoadErrorKind::Damaged);
    assert_eq!(folder.settle(), [], "it is told once");
    let mut file = fs::File::options().append(true).open(&path).expect("it can be written");
    file.write_all(rest).expect("it can be written");
    assert_eq!(folder.settle(), [complete(&path, &plugin)]);
}

#[test]
fn a_file_that_is_renamed_into_its_place_is_told_of_there() {
    let mut folder = Folder::new();
    let plugin = memory();
    let names =
        [".hidden".to_owned() + consts::DLL_SUFFIX, so("one") + ".tmp", so("two") + ".part", "notes".into()];
    for name in &names {
        folder.put(name, &plugin);
    }
    fs::create_dir(folder.path(&so("folder"))).expect("the folder can be written");
    assert_eq!(folder.settle(), [], "none of these is a library");
    let path = folder.path(&so("memory"));
    fs::rename(folder.path(&names[1]), &path).expect("it can be renamed");
    assert_eq!(folder.settle(), [complete(&path, &plugin)]);
}

#[test]
fn a_file_that_is_overwritten_in_place_is_told_of_when_it_is_another() {
    let mut folder = Folder::new();
    let plugin = memory();
    let path = folder.put(&so("memory"), &plugin);
    assert_eq!(folder.settle(), [complete(&path, &plugin)]);
    // Bytes behind a library's end make it another one.
    let newer = [&plugin[..], b"newer"].concat();
    folder.put(&so("memory"), &newer);
    assert_eq!(folder.settle(), [complete(&path, &newer)]);
    // And back again: that one was told of.
    folder.put(&so("memory"), &plugin);
    assert_eq!(folder.settle(), []);
}

#[test]
fn a_file_that_goes_is_told_of() {
    let mut folder = Folder::new();
    let path = folder.put(&so("memory"), b"no library");
    assert_refused(&folder.settle(), &path, LoadErrorKind::NotALibrary);
    fs::remove_file(&path).expect("it is there");
    assert_eq!(folder.settle(), [News::Gone(path)]);
}

#[test]
fn what_is_demanded_is_demanded_of_each_file() {
    let mut folder = Folder::new();
    let key = longshore_support::Key::new();
    folder.watcher.trust.signed_by = vec![key.public()];
    let path = folder.put(&so("memory"), &memory());
    assert_refused(&folder.settle(), &path, LoadErrorKind::Signature);
    // The signature comes later, and the file is another one with it.
    key.sign(&path, "of a test");
    assert_eq!(folder.settle(), [complete(&path, &memory())]);
}

#[test]
fn a_thousand_files_are_all_told_of_a_few_at_a_time() {
    let mut folder = Folder::new();
    for number in 0..1_000 {
        folder.put(&so(&format!("file-{number}")), format!("no library {number}").as_bytes());
    }
    let mut told = 0;
    for _ in 0..1_000 {
        let news = folder.look();
        assert!(news.len() <= READS_A_LOOK, "{}", news.len());
        assert!(news.iter().all(|one| matches!(one, News::Refused(_))), "{news:?}");
        told += news.len();
        if told == 1_000 {
            break;
        }
    }
    assert_eq!(told, 1_000);
    assert_eq!(folder.settle(), []);
}

#[test]
fn a_folder_that_cannot_be_looked_at_is_told_of_once_and_tried_again() {
    let mut folder = Folder::new();
    let below = folder.path("below");
    folder.watcher.folder = below.clone();
    let told = folder.settle();
    assert!(matches!(&told[..], [News::Unreadable { folder, .. }] if *folder == below), "{told:?}");
    fs::create_dir(&below).expect("the folder can be written");
    let plugin = memory();
    let path = folder.put(&format!("below/{}", so("memory")), &plugin);
    assert_eq!(folder.settle(), [complete(&path, &plugin)]);
    fs::remove_dir_all(&below).expect("it is ours");
    assert_eq!(folder.settle().len(), 1, "it is told again");
}

#[test]
fn a_folder_with_too_many_names_is_told_of_and_not_looked_at_in_part() {
    let mut folder = Folder::new();
    let plugin = memory();
    let path = folder.put(&so("memory"), &plugin);
    for number in 1..=WATCHED_NAMES {
        folder.put(&format!("note-{number}"), b"");
    }
    let told = folder.settle();
    let [News::Unreadable { why, .. }] = &told[..] else { panic!("{told:?}") };
    assert!(why.contains("more than 10000 names"), "{why}");
    fs::remove_file(folder.path("note-1")).expect("it is there");
    assert_eq!(folder.settle(), [complete(&path, &plugin)], "so many may be there");
}

#[cfg(unix)]
#[test]
fn a_file_that_others_could_write_is_looked_at_again_when_they_cannot() {
    use std::os::unix::fs::PermissionsExt as _;

    let mut folder = Folder::new();
    let plugin = memory();
    let path = folder.put(&so("memory"), &plugin);
    let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
    set_mode(0o666);
    assert_refused(&folder.settle(), &path, LoadErrorKind::Writable);
    // As the refusal advises.
    set_mode(0o644);
    assert_eq!(folder.settle(), [complete(&path, &plugin)]);
}

#[test]
fn the_oldest_content_is_forgotten_first() {
    let mut told = Told::default();
    assert!(told.is_new("first") && !told.is_new("first"));
    for number in 0..CONTENTS {
        assert!(told.is_new(&number.to_string()));
    }
    assert_eq!((told.hashes.len(), told.order.len()), (CONTENTS, CONTENTS));
    assert!(!told.is_new("1") && told.is_new("first"));
}

#[tokio::test]
async fn it_looks_by_itself_until_nobody_listens() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let folder = temp.path().join("nowhere");
    let (news, mut told) = mpsc::channel(1);
    let watching = tokio::spawn(Watcher::new(&folder, Trust::default(), None).run(news));
    let first = told.recv().await.expect("it looks");
    assert!(matches!(&first, News::Unreadable { folder: at, .. } if *at == folder), "{first:?}");
    drop(told);
    watching.await.expect("it ends");
}
