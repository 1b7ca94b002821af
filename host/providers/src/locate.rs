//! From what a configuration calls a plugin to its file: a path as it stands; a name in the folders, then on the shelf; a name
//! with a version on the shelf alone, where versions are kept apart.

use std::path::PathBuf;

use longshore_config::Trust;

use crate::{
    discover::{NotFound, Place, SearchPath, is_path},
    error::LoadError,
    shelf::{Contents, Shelf, Shelved, versioned},
    verify::{Verified, verify},
};

/// A plugin's file, where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// In a folder, or by its path.
    File(PathBuf),
    /// On the shelf.
    Shelved(Shelved),
}

impl Located {
    /// The file.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::File(path) => path,
            Self::Shelved(shelved) => &shelved.path,
        }
    }

    /// Reads it, and holds it to what is demanded of it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what is wrong.
    pub fn verify(&self, trust: &Trust) -> Result<Verified, LoadError> {
        match self {
            Self::File(path) => verify(path, trust),
            Self::Shelved(shelved) => shelved.verify(trust),
        }
    }
}

/// The file of a plugin, by what a configuration calls it: a path, `NAME`, or `NAME@VERSION`. A name is looked for in the folders
/// first, and stands for the newest of the shelf where they do not have it. Reads the shelf's cards.
///
/// # Errors
///
/// [`NotFound`] tells where it was looked for, and what is there instead.
pub fn locate(search: &SearchPath, shelf: Option<&Shelf>, plugin: &str) -> Result<Located, NotFound> {
    if is_path(plugin) {
        return search.find(plugin).map(Located::File);
    }
    if versioned(plugin).is_some() {
        let refused = |why: String| NotFound {
            plugin: plugin.to_owned(),
            searched: Vec::new(),
            nearest: None,
            shelf: Some(why),
        };
        let shelf = shelf.ok_or_else(|| {
            let why =
                "a version is looked for on the shelf, which is where the state is kept, and none is kept";
            refused(format!("{why}\n  to do: run the host with a state folder, or name a file"))
        })?;
        let contents = shelf.contents().map_err(|error| refused(error.to_string()))?;
        let found = contents.find(plugin).map_err(|why| {
            refused(format!("{why}\n  to do: put it there with `longshore plugin add FILE`"))
        })?;
        return Ok(Located::Shelved(found.clone()));
    }
    let mut missing = match search.find(plugin) {
        Ok(path) => return Ok(Located::File(path)),
        Err(missing) => missing,
    };
    let Some(shelf) = shelf else { return Err(missing) };
    missing.searched.push((shelf.folder().to_owned(), Place::Shelf));
    match shelf.contents() {
        Ok(contents) => found(plugin, &contents, missing),
        Err(error) => Err(NotFound { shelf: Some(error.to_string()), ..missing }),
    }
}

fn found(plugin: &str, contents: &Contents, missing: NotFound) -> Result<Located, NotFound> {
    if let Ok(shelved) = contents.find(plugin) {
        return Ok(Located::Shelved(shelved.clone()));
    }
    let on_shelf = contents.shelved.iter().map(|shelved| shelved.name.clone());
    let nearest = crate::discover::nearest(plugin, on_shelf.chain(missing.nearest.clone()));
    Err(NotFound { nearest, ..missing })
}

#[cfg(test)]
mod tests {
    use std::{env::consts, fs, path::Path};

    use super::*;
    use crate::shelf::Named;

    /// A folder to search, and a shelf.
    struct House {
        temp: tempfile::TempDir,
        search: SearchPath,
        shelf: Shelf,
    }

    impl House {
        fn new() -> Self {
            let temp = tempfile::tempdir().expect("a temporary folder");
            let search = SearchPath::of([temp.path()]);
            let shelf = Shelf::new(temp.path().join("shelf"));
            Self { temp, search, shelf }
        }

        fn file(&self, name: &str) -> PathBuf {
            let path = self.temp.path().join(format!("{name}{}", consts::DLL_SUFFIX));
            fs::write(&path, name).expect("the folder can be written");
            path
        }

        fn shelve(&self, name: &str, version: &str) -> Shelved {
            let path = self.temp.path().join("given");
            fs::write(&path, format!("{name} {version}")).expect("the folder can be written");
            let named = Named { name: name.to_owned(), version: version.to_owned() };
            self.shelf.add(&path, &Trust::default(), |_, _| Ok(named)).expect("there is room")
        }

        fn locate(&self, plugin: &str) -> Result<Located, NotFound> {
            locate(&self.search, Some(&self.shelf), plugin)
        }
    }

    #[test]
    fn a_name_is_looked_for_in_the_folders_and_then_on_the_shelf() {
        let house = House::new();
        house.shelve("memory", "1.0.0");
        let newest = house.shelve("memory", "1.1.0");
        assert_eq!(house.locate("memory"), Ok(Located::Shelved(newest)));
        let file = house.file("memory");
        assert_eq!(house.locate("memory"), Ok(Located::File(file)));
    }

    #[test]
    fn a_version_is_looked_for_on_the_shelf_alone() {
        let house = House::new();
        house.file("memory");
        let old = house.shelve("memory", "1.0.0");
        house.shelve("memory", "1.1.0");
        let located = house.locate("memory@1.0.0").expect("it is there");
        assert_eq!(located, Located::Shelved(old.clone()));
        assert_eq!(located.verify(&Trust::default()).expect("it is sound").hash, old.hash);
        let why = house.locate("memory@1.2.0").expect_err("it is not there").to_string();
        assert!(why.contains("but 1.1.0, 1.0.0") && why.contains("plugin add"), "{why}");
        let why = locate(&house.search, None, "memory@1.0.0").expect_err("there is no shelf").to_string();
        assert!(why.contains("none is kept"), "{why}");
    }

    #[test]
    fn a_path_is_no_name_and_no_version() {
        let house = House::new();
        let file = house.file("memory@1.0.0");
        let text = file.to_str().expect("the temporary folder's name is text");
        assert_eq!(house.locate(text), Ok(Located::File(file.clone())));
        assert!(house.locate(&text.replace("1.0.0", "1.0.1")).is_err());
    }

    #[test]
    fn a_name_that_is_nowhere_tells_of_the_shelf_as_well() {
        let house = House::new();
        house.shelve("memory", "1.0.0");
        let missing = house.locate("memori").expect_err("it is misspelt");
        assert_eq!(missing.nearest.as_deref(), Some("memory"));
        let shelf = house.shelf.folder().display().to_string();
        assert!(missing.to_string().contains(&format!("\n    {shelf} (the shelf)")), "{missing}");
    }

    #[test]
    fn a_shelf_that_cannot_be_read_is_told_of() {
        let house = House::new();
        fs::write(house.shelf.folder(), "no folder").expect("the folder can be written");
        for plugin in ["memory", "memory@1.0.0"] {
            let why = house.locate(plugin).expect_err("it is not there").to_string();
            assert!(why.contains("the shelf cannot be used"), "{why}");
        }
        assert!(Path::new(house.shelf.folder()).is_file());
    }
}
