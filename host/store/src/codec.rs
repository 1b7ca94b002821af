//! How payloads are written: `MessagePack` with the names of fields, so that a later version can add some and still read
//! these. It knows nothing of files.

use longshore_scaling::{KeptHandle, Snapshot, SnapshotHead};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Entry;

/// Handles in one piece of a snapshot.
pub const PART_HANDLES: usize = 1_000;

/// The largest payload of one row, in bytes. `SQLite` takes about four times as much.
pub const PAYLOAD_LIMIT: usize = 256 << 20;

/// The largest payload of what is known of one library, in bytes.
pub const LIBRARY_BYTES: usize = 64 << 10;

/// Terms are smaller: the numbers of a term's launches begin at the term times 2^32, and must fit in 64 bits.
pub const TERM_LIMIT: u64 = 1 << 32;

/// No number of a journal that another one is counted on from is larger: it then stays within what `SQLite` can keep, however
/// long a host counts.
pub const NUMBER_LIMIT: u64 = 1 << 62;

/// What is true of the whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The file's own number, so that the witness of another one is known.
    pub(crate) file: u64,
    /// The file's format; the same is in its header.
    pub(crate) format: u32,
    /// Commits since the file was made.
    pub(crate) commits: u64,
    /// The latest lease's term.
    pub(crate) term: u64,
    /// The id that the next cluster, provider or library gets.
    pub(crate) next_id: u64,
    /// How many clusters there must be.
    pub(crate) clusters: u64,
    /// How many providers there must be.
    pub(crate) providers: u64,
    /// How many libraries there must be; before format 3 there were none.
    #[serde(default)]
    pub(crate) libraries: u64,
    /// The sum of the checksums of all other rows.
    pub(crate) total: u64,
}

/// What must be there of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterRow {
    pub(crate) name: String,
    /// The term of the latest lease.
    pub(crate) term: u64,
    /// The first entry that is still there.
    pub(crate) first: u64,
    /// The last entry.
    pub(crate) last: u64,
    /// The last entry that the snapshot stands for; 0 where there is no snapshot.
    pub(crate) upto: u64,
    /// Pieces of the snapshot.
    pub(crate) parts: u64,
    /// Handles in the snapshot.
    pub(crate) handles: u64,
    /// Bytes of the snapshot's pieces.
    pub(crate) snapshot_bytes: u64,
    /// Bytes of all entries.
    pub(crate) bytes: u64,
    /// Bytes of the entries after the snapshot.
    pub(crate) tail_bytes: u64,
    /// Whether there is a definition.
    pub(crate) defined: bool,
}

/// A provider's definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProviderRow {
    pub(crate) name: String,
    pub(crate) definition: serde_json::Value,
}

/// What is known of a library.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LibraryRow {
    /// The SHA-256 of its bytes, in hexadecimal.
    pub(crate) hash: String,
    pub(crate) document: serde_json::Value,
}

impl LibraryRow {
    /// Its payload, which is bounded more closely than others are.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let bytes = encode(self)?;
        if bytes.len() > LIBRARY_BYTES {
            return Err(format!("{} bytes are more than {LIBRARY_BYTES}", bytes.len()));
        }
        Ok(bytes)
    }
}

/// Why a payload cannot be written or read, in words.
pub(crate) type CodecError = String;

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = rmp_serde::to_vec_named(value).map_err(|error| error.to_string())?;
    if bytes.len() > PAYLOAD_LIMIT {
        return Err(format!("{} bytes are more than {PAYLOAD_LIMIT}", bytes.len()));
    }
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

/// Whether a piece of a snapshot makes sense.
pub(crate) fn decode_part(part: u64, bytes: &[u8]) -> Result<(), CodecError> {
    if part == 0 {
        decode::<SnapshotHead>(bytes).map(drop)
    } else {
        decode::<Vec<KeptHandle>>(bytes).map(drop)
    }
}

/// An entry's payload, and whether it is a definition.
#[derive(Clone, Debug)]
pub(crate) struct EncodedEntry {
    pub(crate) payload: Vec<u8>,
    pub(crate) is_definition: bool,
}

impl EncodedEntry {
    pub(crate) fn of(entry: &Entry) -> Result<Self, CodecError> {
        Ok(Self { payload: encode(entry)?, is_definition: matches!(entry, Entry::Defined(_)) })
    }
}

/// A snapshot in pieces: its head, then its handles.
#[derive(Clone, Debug)]
pub(crate) struct EncodedSnapshot {
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) handles: u64,
}

impl EncodedSnapshot {
    pub(crate) fn of(snapshot: &Snapshot) -> Result<Self, CodecError> {
        let mut parts = vec![encode(&snapshot.head)?];
        for handles in snapshot.handles.chunks(PART_HANDLES) {
            parts.push(encode(&handles)?);
        }
        Ok(Self { parts, handles: snapshot.handles.len() as u64 })
    }

    pub(crate) fn decode(&self) -> Result<Snapshot, CodecError> {
        let (head, rest) = self.parts.split_first().ok_or("it has no head")?;
        let head: SnapshotHead = decode(head)?;
        let mut handles = Vec::with_capacity(rest.len() * PART_HANDLES);
        for part in rest {
            handles.extend(decode::<Vec<KeptHandle>>(part)?);
        }
        if handles.len() as u64 != self.handles {
            return Err(format!("it has {} handles instead of {}", handles.len(), self.handles));
        }
        Ok(Snapshot { head, handles })
    }
}
