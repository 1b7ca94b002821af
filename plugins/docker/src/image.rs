//! The name of an image, taken apart as Docker does it: which registry it comes from, and what is asked of it there.

use longshore_plugin_api::Error;

/// The registry of images that name none.
const HUB: &str = "docker.io";
/// What credentials for it are kept under.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The longest name, in bytes.
const LIMIT: usize = 512;

/// An image's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Image {
    /// As it was written.
    text: String,
    /// The name alone, and its tag or digest.
    name: String,
    version: String,
    registry: String,
}

impl Image {
    /// Reads a name: `[registry[:port]/]path[:tag][@digest]`.
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Err(Error::permanent(format_args!("container.image: {text:?} is no image's name: {why}")))
        };
        let plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':' | b'@')
        };
        if text.is_empty() || text.len() > LIMIT {
            return wrong("it must have 1 to 512 characters");
        }
        // It becomes part of a path, in which neither blanks nor `..` have a place.
        let hollow = |part: &str| part.is_empty() || part.bytes().all(|byte| byte == b'.');
        if !text.bytes().all(plain) || text.split('/').any(hollow) {
            return wrong("it may have letters, digits and ._-/:@");
        }
        let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
        if digest.is_some_and(|digest| !digest.contains(':')) {
            return wrong("its digest lacks the algorithm, as in sha256:…");
        }
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(str::is_empty) || name.is_empty() || name.ends_with('/') {
            return wrong("a part of it is empty");
        }
        let registry = match name.split_once('/') {
            Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => first,
            _ => HUB,
        };
        Ok(Self {
            text: text.to_owned(),
            name: name.to_owned(),
            version: digest.or(tag).unwrap_or("latest").to_owned(),
            registry: registry.to_owned(),
        })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The name to pull, and its tag or digest: without one of them, an engine would pull all there are.
    pub(crate) fn pulled(&self) -> (&str, &str) {
        (&self.name, &self.version)
    }

    /// What the credentials for its registry are kept under.
    pub(crate) fn credentials_key(&self) -> &str {
        if self.registry == HUB || self.registry == "index.docker.io" { HUB_KEY } else { &self.registry }
    }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::ErrorKind;

    use super::*;

    #[test]
    fn names_are_taken_apart_as_docker_does_it() {
        for (text, name, version, key) in [
            ("busybox", "busybox", "latest", HUB_KEY),
            ("busybox:1.36", "busybox", "1.36", HUB_KEY),
            ("library/busybox:1", "library/busybox", "1", HUB_KEY),
            ("docker.io/library/busybox", "docker.io/library/busybox", "latest", HUB_KEY),
            ("ghcr.io/a/b:c", "ghcr.io/a/b", "c", "ghcr.io"),
            ("localhost/x", "localhost/x", "latest", "localhost"),
            ("node-1:5000/x", "node-1:5000/x", "latest", "node-1:5000"),
            ("node-1:5000/x:y@sha256:0a", "node-1:5000/x", "sha256:0a", "node-1:5000"),
            ("a/b@sha256:0a", "a/b", "sha256:0a", HUB_KEY),
        ] {
            let image = Image::read(text).expect(text);
            assert_eq!((image.pulled(), image.credentials_key()), ((name, version), key), "{text}");
            assert_eq!(image.text(), text);
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        for text in
            ["", "a b", "a?b", "../x", "a//b", "/a", "a/", "a:", ":a", "a@b", "ä", "a/../b", &"x".repeat(513)]
        {
            let error = Image::read(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Permanent);
            assert!(error.message().starts_with("container.image: "), "{error}");
        }
    }
}
