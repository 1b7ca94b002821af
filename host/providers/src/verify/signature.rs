//! Signatures of minisign: `FILE.minisig` beside the file, made with one of the keys that are trusted. What the signature's own
//! file says is believed only where one of these keys vouches for it.

use std::{
    ffi::OsString,
    io::Read as _,
    path::{Path, PathBuf},
};

use minisign_verify::{Error, PublicKey, Signature};
use serde::{Deserialize, Serialize};

use super::open;
use crate::error::one_line;

/// The largest signature that is read.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 16 << 10;

/// Whose signature a file bears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The public key, as it was asked for.
    pub key: String,
    /// The comment that was signed along with the file.
    pub comment: String,
}

/// The place of a file's signature.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".minisig");
    name.into()
}

/// Whose signature the bytes bear; nobody's where none is asked for.
pub(super) fn check(path: &Path, bytes: &[u8], keys: &[String]) -> Result<Option<Signer>, String> {
    if keys.is_empty() {
        return Ok(None);
    }
    let trusted = keys.iter().map(|key| Ok((key, public_key(key)?))).collect::<Result<Vec<_>, String>>()?;
    let signature = read(&beside(path))?;
    let mut why = "it is signed with another key than those that are asked for";
    for (key, public) in trusted {
        // What older programs of minisign made is as good: it signs the content itself instead of its hash.
        match public.verify(bytes, &signature, true) {
            Ok(()) => {
                let comment = one_line(signature.trusted_comment());
                return Ok(Some(Signer { key: key.clone(), comment }));
            }
            Err(Error::UnexpectedKeyId) => {}
            Err(_) => why = "its signature is that of another content: the file or the signature was changed",
        }
    }
    Err(why.to_owned())
}

/// A public key: the one line of it, or the two of a key's file.
fn public_key(text: &str) -> Result<PublicKey, String> {
    let text = text.trim();
    let key = if text.contains('\n') { PublicKey::decode(text) } else { PublicKey::from_base64(text) };
    key.map_err(|_| {
        format!(
            "{text:?} in `signed_by` is no public key of minisign, which has 56 letters and begins with RW"
        )
    })
}

fn read(path: &Path) -> Result<Signature, String> {
    let missing = |error| format!("its signature {} cannot be read: {error}", path.display());
    let (file, metadata) = open(path).map_err(missing)?;
    if !metadata.is_file() {
        return Err(format!("its signature {} is not a regular file", path.display()));
    }
    let mut text = String::new();
    file.take(MAX_SIGNATURE_BYTES).read_to_string(&mut text).map_err(missing)?;
    Signature::decode(&text).map_err(|_| format!("what is in {} is no signature of minisign", path.display()))
}
