//! Closed lists of kinds that have a name each: an enum with its names, and a list of the names of another crate's enum.

/// An enum whose variants have a kebab-case name and a sentence, and that can be listed, printed and read.
macro_rules! kinds {
    ($(#[$outer:meta])* $type:ident { $($variant:ident = $name:literal, $about:literal;)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $(#[doc = $about] $variant,)+
        }

        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name, in kebab-case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What it is, in a sentence.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().copied().find(|kind| kind.name() == name);
                found.ok_or_else(|| {
                    let all: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
                    format!("there is no {name:?}; there are {}", all.join(", "))
                })
            }
        }
    };
}

/// The names of the variants of somebody else's enum: a function that names a value, and the list of all names. A variant
/// that is added over there does not compile here before it has a name.
macro_rules! names {
    ($(#[$outer:meta])* $function:ident, $list:ident, $type:ty { $($pattern:pat => $name:literal,)+ }) => {
        #[doc = concat!("The names of all kinds of `", stringify!($type), "`.")]
        pub(crate) const $list: &[&str] = &[$($name),+];

        $(#[$outer])*
        pub(crate) fn $function(value: &$type) -> &'static str {
            match value { $($pattern => $name),+ }
        }
    };
}

pub(crate) use {kinds, names};
