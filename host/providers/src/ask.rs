//! What goes into a call and what comes out of it, whichever function it is: so that a call is made in the same way wherever
//! the plugin is.

use std::fmt;

use longshore_plugin_abi::{
    KillReply, ListReply, RunReply,
    abi_stable::std_types::{ROption, RStr, RString, RVec},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

use crate::{
    call::Answer,
    error::{CallError, Function},
};

/// A function, and what it is handed: handles, or a document in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask<H, D> {
    Run(D),
    Status(H),
    Kill(H),
    IsInitializing(H),
    IsRunning(H),
    IsStopped(H),
    Initialize,
    List,
    RunServer(D),
    StopServer,
    ServerStatus,
    ServerAddress,
    Cleanup { deep: bool },
}

impl<H, D> Ask<H, D> {
    pub(crate) fn function(&self) -> Function {
        match self {
            Self::Run(_) => Function::Run,
            Self::Status(_) => Function::Status,
            Self::Kill(_) => Function::Kill,
            Self::IsInitializing(_) => Function::IsInitializing,
            Self::IsRunning(_) => Function::IsRunning,
            Self::IsStopped(_) => Function::IsStopped,
            Self::Initialize => Function::Initialize,
            Self::List => Function::List,
            Self::RunServer(_) => Function::RunServer,
            Self::StopServer => Function::StopServer,
            Self::ServerStatus => Function::ServerStatus,
            Self::ServerAddress => Function::ServerAddress,
            Self::Cleanup { .. } => Function::Cleanup,
        }
    }

    /// The same call, with its handles or its document in another form.
    pub(crate) fn with<'a, I, E>(
        &'a self,
        handles: impl FnOnce(&'a H) -> I,
        document: impl FnOnce(&'a D) -> E,
    ) -> Ask<I, E> {
        match self {
            Self::Run(request) => Ask::Run(document(request)),
            Self::Status(asked) => Ask::Status(handles(asked)),
            Self::Kill(asked) => Ask::Kill(handles(asked)),
            Self::IsInitializing(asked) => Ask::IsInitializing(handles(asked)),
            Self::IsRunning(asked) => Ask::IsRunning(handles(asked)),
            Self::IsStopped(asked) => Ask::IsStopped(handles(asked)),
            Self::Initialize => Ask::Initialize,
            Self::List => Ask::List,
            Self::RunServer(request) => Ask::RunServer(document(request)),
            Self::StopServer => Ask::StopServer,
            Self::ServerStatus => Ask::ServerStatus,
            Self::ServerAddress => Ask::ServerAddress,
            Self::Cleanup { deep } => Ask::Cleanup { deep: *deep },
        }
    }
}

/// Handles as they cross the boundary. They point into what they were read from, so that a hundred thousand of them cost
/// one piece of memory.
#[derive(Debug)]
pub(crate) struct Texts<'a>(pub(crate) Vec<RStr<'a>>);

impl<'a, T: AsRef<str>> From<&'a [T]> for Texts<'a> {
    fn from(handles: &'a [T]) -> Self {
        Self(handles.iter().map(|handle| RStr::from_str(handle.as_ref())).collect())
    }
}

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(RStr::as_str))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reader)
    }
}

struct Reader;

/// The most room that is made for handles before they are seen: how many there are is a claim.
const ROOM: usize = 1 << 20;

impl<'de> Visitor<'de> for Reader {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("handles")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut handles: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::with_capacity(handles.size_hint().unwrap_or(0).min(ROOM));
        while let Some(handle) = handles.next_element::<&'de str>()? {
            texts.push(RStr::from_str(handle));
        }
        Ok(Texts(texts))
    }
}

/// What a plugin answered, and nobody has held against the contract yet.
#[derive(Clone, Debug)]
pub(crate) enum Raw {
    Nothing,
    Values(RVec<u8>),
    Run(RunReply),
    Kill(KillReply),
    List(ListReply),
    Status(u8),
    Document(ROption<RString>),
}

impl Raw {
    /// Whether it is of the kind that a function answers with.
    pub(crate) fn fits(&self, function: Function) -> bool {
        match function {
            Function::Run => matches!(self, Self::Run(_)),
            Function::Status | Function::IsInitializing | Function::IsRunning | Function::IsStopped => {
                matches!(self, Self::Values(_))
            }
            Function::Kill => matches!(self, Self::Kill(_)),
            Function::List => matches!(self, Self::List(_)),
            Function::ServerStatus => matches!(self, Self::Status(_)),
            Function::ServerAddress => matches!(self, Self::Document(_)),
            Function::Initialize | Function::RunServer | Function::StopServer | Function::Cleanup => {
                matches!(self, Self::Nothing)
            }
        }
    }
}

/// Each takes the answer for one of its kind; where it is of another, it is lost.
impl Raw {
    pub(crate) fn nothing(self) -> Answer<()> {
        if let Self::Nothing = self { Ok(()) } else { Err(CallError::Gone) }
    }

    pub(crate) fn values(self) -> Answer<RVec<u8>> {
        if let Self::Values(values) = self { Ok(values) } else { Err(CallError::Gone) }
    }

    pub(crate) fn run(self) -> Answer<RunReply> {
        if let Self::Run(reply) = self { Ok(reply) } else { Err(CallError::Gone) }
    }

    pub(crate) fn kill(self) -> Answer<KillReply> {
        if let Self::Kill(reply) = self { Ok(reply) } else { Err(CallError::Gone) }
    }

    pub(crate) fn list(self) -> Answer<ListReply> {
        if let Self::List(reply) = self { Ok(reply) } else { Err(CallError::Gone) }
    }

    pub(crate) fn status(self) -> Answer<u8> {
        if let Self::Status(value) = self { Ok(value) } else { Err(CallError::Gone) }
    }

    pub(crate) fn document(self) -> Answer<Option<RString>> {
        if let Self::Document(document) = self { Ok(document.into_option()) } else { Err(CallError::Gone) }
    }
}
