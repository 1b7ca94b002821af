//! Keys of minisign that are made for one test, and files that are signed with them.

use std::{ffi::OsString, fs, path::Path};

use minisign::KeyPair;

/// A key that is nobody else's.
#[expect(missing_debug_implementations, reason = "a secret key is not shown")]
pub struct Key(KeyPair);

impl Key {
    /// A new one.
    pub fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().expect("the system has random numbers"))
    }

    /// The line of it that others may know.
    pub fn public(&self) -> String {
        self.0.pk.to_base64()
    }

    /// Signs a file as it is now: puts `FILE.minisig` beside it.
    pub fn sign(&self, file: &Path, comment: &str) {
        let content = fs::File::open(file).expect("the file can be read");
        let signature = minisign::sign(None, &self.0.sk, content, Some(comment), None).expect("it is signed");
        let mut name = OsString::from(file);
        name.push(".minisig");
        fs::write(name, signature.to_string()).expect("the folder can be written");
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new()
    }
}
