//! What goes into a call and what comes out of it, whichever function it is: so that a call is made in the same way wherever
//! the plugin is.

use std::{fmt, marker::PhantomData};

use longshore_plugin_abi::{
    KillReply, ListReply, RunReply,
    abi_stable::std_types::{ROption, RStr, RString, RVec},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
    ser::SerializeSeq as _,
};

use crate::{
    call::Answer,
    check::MAX_ENTRIES,
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

    /// The handles that it is about, where it is about any.
    pub(crate) fn handles(&self) -> Option<&H> {
        match self {
            Self::Status(handles)
            | Self::Kill(handles)
            | Self::IsInitializing(handles)
            | Self::IsRunning(handles)
            | Self::IsStopped(handles) => Some(handles),
            _ => None,
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
#[derive(Debug, Default)]
pub(crate) struct Texts<'a>(pub(crate) Vec<RStr<'a>>);

impl<'a, T: AsRef<str>> From<&'a [T]> for Texts<'a> {
    fn from(handles: &'a [T]) -> Self {
        Self(handles.iter().map(|handle| RStr::from_str(handle.as_ref())).collect())
    }
}

/// Handles that are written as [`Texts`] are read. They are packed in batches, so that few pieces are written and none is so large
/// that a copy of it costs anything: each handle by itself costs more than its bytes, and all of them as one need twice the memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing<'a, T>(pub(crate) &'a [T]);

/// The handles of a batch; those of the last one are fewer.
const BATCH: usize = 256;

/// A batch: the lengths of its handles, and all their bytes. They are copied and checked as a whole.
#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    #[serde(serialize_with = "bytes")]
    lengths: &'a [u8],
    text: &'a str,
}

/// A length is in this many of its lowest bits in each byte, the lowest first; the highest bit says that more follow.
const BITS: u32 = 7;
const MORE: u8 = 1 << BITS;

impl<T: AsRef<str>> Packing<'_, T> {
    /// About how many bytes they are written with: no fewer, as long as none is so long that nobody takes it.
    pub(crate) fn size(&self) -> usize {
        let text: usize = self.0.iter().map(|handle| handle.as_ref().len()).sum();
        text + 2 * self.0.len() + size_of::<u64>() * (1 + self.0.len().div_ceil(BATCH))
    }
}

impl<T: AsRef<str>> Serialize for Packing<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut lengths, mut text) = (Vec::with_capacity(BATCH), String::new());
        let batches = self.0.chunks(BATCH);
        let mut packed = serializer.serialize_seq(Some(batches.len()))?;
        for batch in batches {
            lengths.clear();
            text.clear();
            for handle in batch {
                let handle = handle.as_ref();
                text.push_str(handle);
                let mut length = handle.len();
                while length >= usize::from(MORE) {
                    lengths.push(length as u8 | MORE);
                    length >>= BITS;
                }
                lengths.push(length as u8);
            }
            packed.serialize_element(&Packed { lengths: &lengths, text: &text })?;
        }
        packed.end()
    }
}

/// In one piece, and not byte by byte.
pub(crate) fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Packing(&self.0).serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = Named::deserialize(deserializer)?;
        if named.is_whole() { Ok(named.texts) } else { Err(D::Error::custom("there are too many handles")) }
    }
}

/// Handles as somebody names them who may name any number: all are counted, and no more than [`MAX_ENTRIES`] are kept.
#[derive(Debug, Default)]
pub(crate) struct Named<'a> {
    /// The first of them.
    pub(crate) texts: Texts<'a>,
    /// How many there are.
    pub(crate) count: usize,
}

impl Named<'_> {
    /// Whether all of them are here.
    pub(crate) fn is_whole(&self) -> bool {
        self.count == self.texts.0.len()
    }
}

impl<'a> From<Texts<'a>> for Named<'a> {
    fn from(texts: Texts<'a>) -> Self {
        Self { count: texts.0.len(), texts }
    }
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts.serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Unpacking(PhantomData))
    }
}

/// Unpacks batches as they come.
struct Unpacking<'a>(PhantomData<Named<'a>>);

impl<'de: 'a, 'a> Visitor<'de> for Unpacking<'a> {
    type Value = Named<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("handles, in batches")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut batches: A) -> Result<Named<'a>, A::Error> {
        let mut named = Named::default();
        while let Some(batch) = batches.next_element()? {
            unpack(&batch, MAX_ENTRIES, &mut named)
                .ok_or_else(|| A::Error::custom("the lengths of handles are not those of their text"))?;
        }
        Ok(named)
    }
}

/// Adds a batch to those before it, of which at most so many are kept. Nothing where the lengths do not add up, or cut a character in
/// two.
fn unpack<'a>(packed: &Packed<'a>, most: usize, named: &mut Named<'a>) -> Option<()> {
    // A length ends with its first byte that says so.
    let count = packed.lengths.iter().filter(|byte| **byte & MORE == 0).count();
    named.count += count;
    let texts = &mut named.texts.0;
    texts.reserve(count.min(most - texts.len()));
    let (mut bytes, mut text) = (packed.lengths.iter(), packed.text);
    while let Some(first) = bytes.next() {
        let (mut length, mut byte, mut shift) = (usize::from(first & !MORE), *first, 0);
        while byte & MORE != 0 {
            byte = *bytes.next()?;
            shift += BITS;
            // What is cut off here makes a length that is longer than any text, or none that was written.
            length |= usize::from(byte & !MORE).checked_shl(shift)?;
        }
        let (handle, rest) = text.split_at_checked(length)?;
        if texts.len() < most {
            texts.push(RStr::from_str(handle));
        }
        text = rest;
    }
    text.is_empty().then_some(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of batches, of which so many handles are kept.
    fn named<'a>(batches: &[Packed<'a>], most: usize) -> Option<Named<'a>> {
        let mut named = Named::default();
        batches.iter().try_for_each(|batch| unpack(batch, most, &mut named))?;
        Some(named)
    }

    fn unpacked(lengths: &[u8], text: &str) -> Option<Vec<String>> {
        let named = named(&[Packed { lengths, text }], usize::MAX)?;
        assert!(named.is_whole());
        Some(named.texts.0.iter().map(|text| text.as_str().to_owned()).collect())
    }

    #[test]
    fn a_long_handle_has_a_long_length() {
        for length in [0, 1, 127, 128, 300, 20_000] {
            let handle = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let packed = postcard::to_stdvec(&Packing(&[&*handle, "end"])).expect("there is room");
            let texts: Texts<'_> = postcard::from_bytes(&packed).expect("it is what was written");
            assert_eq!(texts.0.iter().map(RStr::as_str).collect::<Vec<_>>(), [&*handle, "end"]);
        }
    }

    #[test]
    fn handles_arrive_in_as_many_batches_as_they_need_and_in_the_room_that_was_made_for_them() {
        for count in [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH] {
            let handles: Vec<_> =
                (0..count).map(|number| format!("{number:0width$}", width = number % 300)).collect();
            let packing = Packing(&handles);
            let packed = postcard::to_stdvec(&packing).expect("there is room");
            let (least, room) = (handles.iter().map(String::len).sum(), packing.size());
            assert!((least..=room).contains(&packed.len()), "{} bytes in {room}", packed.len());
            let texts: Texts<'_> = postcard::from_bytes(&packed).expect("it is what was written");
            assert!(texts.0.iter().map(RStr::as_str).eq(&handles), "{count} handles");
        }
    }

    #[test]
    fn lengths_that_are_not_those_of_the_text_are_refused() {
        assert_eq!(unpacked(&[1, 0, 2], "abc").expect("they add up"), ["a", "", "bc"]);
        for (lengths, text) in [
            (&[1, 1][..], "abc"),
            (&[4], "abc"),
            (&[], "abc"),
            (&[1, 2], "éa"),
            (&[3 | MORE], "abc"),
            (&[u8::MAX; 12], "abc"),
        ] {
            assert_eq!(unpacked(lengths, text), None, "{lengths:?} of {text}");
        }
    }

    #[test]
    fn more_than_are_kept_are_counted() {
        let long = "x".repeat(200);
        let text = format!("a{long}");
        // A long length is one as well, however many bytes it takes.
        let packed =
            [Packed { lengths: &[1, 0x48 | MORE, 1], text: &text }, Packed { lengths: &[1, 1], text: "bc" }];
        for most in [2, 3] {
            let named = named(&packed, most).expect("they add up");
            assert_eq!((named.count, named.is_whole(), named.texts.0.len()), (4, false, most));
            assert_eq!(named.texts.0[1].as_str(), long);
        }
        assert!(named(&packed, 4).expect("they add up").is_whole());
        // What is not kept must make sense, too.
        assert!(named(&[Packed { lengths: &[1, 1, 9], text: "abc" }], 2).is_none());
    }

    #[test]
    fn no_call_is_about_more_handles_than_an_answer_may_have() {
        let packed = postcard::to_stdvec(&Packing(&vec![""; MAX_ENTRIES + 1])).expect("there is room");
        assert!(postcard::from_bytes::<Texts<'_>>(&packed).is_err());
        let named: Named<'_> = postcard::from_bytes(&packed).expect("they are counted");
        assert_eq!((named.count, named.texts.0.len()), (MAX_ENTRIES + 1, MAX_ENTRIES));
    }
}
