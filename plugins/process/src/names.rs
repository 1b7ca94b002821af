//! Names that become paths and handles. Nothing that comes from outside reaches a path without passing here.

/// The longest name of a cluster or token, in bytes.
pub(crate) const NAME_LIMIT: usize = 128;

/// What a name may be, for error messages.
pub(crate) const NAME_RULE: &str = "1 to 128 letters, digits, '-', '_' and '.', not beginning with '.'";

/// Whether a name may stand in a path: see [`NAME_RULE`]. So it is neither `..` nor hidden, and holds no `/`.
pub(crate) fn is_valid(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // A token may begin with '-', which harms nobody in the midst of a path.
    (1..=NAME_LIMIT).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// A handle taken apart: the container of one index in the launch of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handle<'a> {
    pub(crate) token: &'a str,
    pub(crate) index: u32,
}

impl<'a> Handle<'a> {
    /// Takes apart what [`text`](Self::text) made; nothing for any other text.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (token, index) = text.rsplit_once('-')?;
        let handle = Self { token, index: index.parse().ok()? };
        // "t-01" and "t-+1" are numbers too, but no handles of ours.
        (is_valid(token) && handle.text() == text).then_some(handle)
    }

    /// The handle's text: `<token>-<index>`.
    pub(crate) fn text(self) -> String {
        format!("{}-{}", self.token, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "a\0", "ä", &"x".repeat(129)] {
            assert!(!is_valid(name), "{name:?}");
        }
        for name in ["a", "c-1", "_x", "-x", "--", "1.2", "A_b-C.d", &"x".repeat(128)] {
            assert!(is_valid(name), "{name:?}");
        }
    }

    #[test]
    fn only_our_own_handles_are_taken_apart() {
        assert_eq!(Handle::parse("t-1-20"), Some(Handle { token: "t-1", index: 20 }));
        assert_eq!(Handle::parse("--t--1"), Some(Handle { token: "--t-", index: 1 }));
        for text in ["", "t", "t-", "-1", "t-01", "t-+1", "t--1x", "../t-1", "t-4294967296", "a/b-1"] {
            assert_eq!(Handle::parse(text), None, "{text:?}");
        }
    }
}
