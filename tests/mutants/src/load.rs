//! What a library does wrong before a provider can be made of it: named by a variable, since there is no configuration yet.
#![expect(unsafe_code, reason = "what a library does when it is loaded is beyond the standard library")]

use std::{io::Write as _, sync::OnceLock, time::Duration};

use longshore_plugin_abi::{
    CleanupV1, Failure, Interface, InterfaceTable as _, RootModuleRef,
    abi_stable::{
        library::LibHeader,
        std_types::{ROption, RStr, RString},
    },
    ids,
};
use longshore_plugin_api::Clause;
use nix::libc;

use crate::{
    crash::How,
    mutated::Mutated,
    raw::{self, Spoiler},
};

/// The variable: the name of a [`LoadMutation`], or `PLACE:HOW` for a crash, as in `metadata:segfault`; or `@FILE`, where FILE
/// has one of the two, so that a host that lives can be told something else.
pub const VARIABLE: &str = "LONGSHORE_MUTANT_LOAD";

/// How long a library that is slow to load takes.
const SLOW: Duration = Duration::from_secs(6);

/// Where a library may crash before anything is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// While it is opened.
    Constructor,
    /// When its metadata is asked for.
    Metadata,
    /// When an interface is asked for.
    Query,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Constructor, Self::Metadata, Self::Query];

    /// Its name, as the variable has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constructor => "constructor",
            Self::Metadata => "metadata",
            Self::Query => "query",
        }
    }
}

macro_rules! mutations {
    ($($clause:ident { $($variant:ident $name:literal $text:literal;)* })*) => {
        /// One thing that a library does wrong when it is loaded, or says wrongly of itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum LoadMutation {
            $($(#[doc = $text] $variant,)*)*
        }

        impl LoadMutation {
            /// Every one, in the order of the clauses.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)*)*];

            /// Its name, as the variable has it.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)*)* }
            }

            /// What it does, in one line.
            pub const fn text(self) -> &'static str {
                match self { $($(Self::$variant => $text,)*)* }
            }

            /// The clause that it breaks.
            pub const fn clause(self) -> Clause {
                match self { $($(Self::$variant => Clause::$clause,)*)* }
            }
        }
    };
}

mutations! {
LoadMetadata {
    NameHasCapitals "name-has-capitals" "The metadata's name has capital letters.";
    NameIsEmpty "name-is-empty" "The metadata's name is an empty text.";
    VersionIsLoose "version-is-loose" "The metadata's version is none of semantic versioning.";
    InterfaceIsHidden "interface-is-hidden" "The library answers for an interface that its metadata does not list.";
    InterfaceIsPromised "interface-is-promised" "The metadata lists an interface that the library does not answer for.";
    InterfaceIsNobodys "interface-is-nobodys" "The library answers for an interface that nobody ever heard of.";
}
LoadSchema {
    SchemaRefersElsewhere "schema-refers-elsewhere" "The schema needs another document, which lies on a server.";
    SchemaIsAText "schema-is-a-text" "The schema is a text.";
}
LoadNoSideEffects {
    LoadStartsAThread "load-starts-a-thread" "Loading starts a thread.";
    LoadIgnoresASignal "load-ignores-a-signal" "Loading has the process ignore SIGUSR1.";
    LoadBlocksASignal "load-blocks-a-signal" "Loading blocks SIGUSR2 in the thread that loads.";
    LoadSetsAVariable "load-sets-a-variable" "Loading sets an environment variable.";
    LoadChangesTheFolder "load-changes-the-folder" "Loading changes the working folder.";
    LoadChangesTheUmask "load-changes-the-umask" "Loading changes the umask.";
    LoadPrints "load-prints" "Loading writes to the standard output.";
    LoadPrintsErrors "load-prints-errors" "Loading writes to the standard error.";
    MetadataPrint "metadata-print" "Telling the metadata writes to the standard output.";
    LoadIsSlow "load-is-slow" "Telling the metadata takes six seconds.";
}
RunOnce {
    IdempotenceIsHidden "idempotence-is-hidden" "A token that is sent again is answered, though the metadata do not say that it may be sent.";
}
}

/// What the variable says.
#[derive(Clone, Copy, Debug)]
enum Order {
    Crash(Place, How),
    Mutation(LoadMutation),
}

/// The order, read once a process: what changes the environment must not change it.
fn order() -> Option<Order> {
    static ORDER: OnceLock<Option<Order>> = OnceLock::new();
    *ORDER.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        let text = match text.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file).ok()?,
            None => text,
        };
        if let Some((place, how)) = text.split_once(':') {
            let place = Place::ALL.into_iter().find(|it| it.name() == place)?;
            return Some(Order::Crash(place, How::ALL.into_iter().find(|it| it.name() == how)?));
        }
        LoadMutation::ALL.iter().find(|it| it.name() == text).map(|it| Order::Mutation(*it))
    })
}

fn is(mutation: LoadMutation) -> bool {
    matches!(order(), Some(Order::Mutation(it)) if it == mutation)
}

/// Whether it answers nonsense at this place.
fn is_senseless(place: Place) -> bool {
    matches!(order(), Some(Order::Crash(at, How::Senseless)) if at == place)
}

fn strike(place: Place) {
    if let Some(Order::Crash(at, how)) = order()
        && at == place
    {
        how.strike();
    }
}

/// What the library does when it is opened: the example puts it where the system's loader finds it.
#[expect(clippy::disallowed_methods, reason = "it is just what a library must not do")]
pub extern "C" fn constructor() {
    strike(Place::Constructor);
    let Some(Order::Mutation(mutation)) = order() else { return };
    match mutation {
        LoadMutation::LoadStartsAThread => {
            let forever = || loop {
                std::thread::park();
            };
            // Where no thread can be had, there is none.
            let _ = std::thread::Builder::new().spawn(forever);
        }
        // SAFETY: only the process's own attributes change, which nobody relies on in a test of this very fault.
        LoadMutation::LoadIgnoresASignal => unsafe {
            libc::signal(libc::SIGUSR1, libc::SIG_IGN);
        },
        // SAFETY: as above; the set lives on this stack.
        LoadMutation::LoadBlocksASignal => unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGUSR2);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        },
        // SAFETY: as above; no other thread of the test reads the environment while the library is opened.
        LoadMutation::LoadSetsAVariable => unsafe { std::env::set_var("LONGSHORE_MUTANT_WAS_HERE", "1") },
        LoadMutation::LoadChangesTheFolder => drop(std::env::set_current_dir("/")),
        // SAFETY: as above.
        LoadMutation::LoadChangesTheUmask => unsafe {
            libc::umask(0o077);
        },
        LoadMutation::LoadPrints => drop(writeln!(std::io::stdout(), "the library was loaded")),
        LoadMutation::LoadPrintsErrors => drop(writeln!(std::io::stderr(), "the library was loaded")),
        _ => {}
    }
}

/// What the library exports that is wrong when it is loaded: `examples/spoilt_load.rs`.
pub const fn spoilt_load() -> LibHeader {
    raw::header::<SpoiltLoad>()
}

/// The honest specimen in a library that is wrong.
pub(crate) struct SpoiltLoad;

impl Spoiler for SpoiltLoad {
    type Provider = Mutated;

    fn inner() -> &'static OnceLock<RootModuleRef> {
        static INNER: OnceLock<RootModuleRef> = OnceLock::new();
        &INNER
    }

    fn metadata(honest: RString) -> RString {
        strike(Place::Metadata);
        if is_senseless(Place::Metadata) {
            return "\u{1}{".into();
        }
        let mut document: serde_json::Value = serde_json::from_str(&honest).unwrap_or_default();
        let Some(Order::Mutation(mutation)) = order() else { return honest };
        match mutation {
            LoadMutation::NameHasCapitals => document["name"] = "Specimen".into(),
            LoadMutation::NameIsEmpty => document["name"] = "".into(),
            LoadMutation::VersionIsLoose => document["version"] = "the newest".into(),
            LoadMutation::InterfaceIsHidden => {
                if let Some(listed) = document["interfaces"].as_array_mut() {
                    listed.retain(|id| id != ids::LIST);
                }
            }
            LoadMutation::SchemaRefersElsewhere => {
                document["config_schema"]["$ref"] = "https://longshore.invalid/schema.json".into();
            }
            LoadMutation::SchemaIsAText => document["config_schema"] = "anything goes".into(),
            LoadMutation::IdempotenceIsHidden => document["idempotent_run"] = false.into(),
            LoadMutation::MetadataPrint => drop(writeln!(std::io::stdout(), "here is the metadata")),
            LoadMutation::LoadIsSlow => std::thread::sleep(SLOW),
            _ => return honest,
        }
        document.to_string().into()
    }

    fn query(id: RStr<'_>, honest: ROption<Interface>, workers: fn() -> Interface) -> ROption<Interface> {
        strike(Place::Query);
        if is_senseless(Place::Query) {
            return ROption::RSome(workers()).filter(|_| id != ids::WORKERS);
        }
        if is(LoadMutation::InterfaceIsPromised) && id == CleanupV1::ID {
            return ROption::RNone;
        }
        if is(LoadMutation::InterfaceIsNobodys) && honest.is_none() {
            return ROption::RSome(workers());
        }
        honest
    }

    fn new(_config: &str) -> Result<Self, Failure> {
        Ok(Self)
    }
}
