//! The `engine_metadata` of a level: for each file the hashes of its blocks as they were when it was saved.
//!
//! These are the only checksums there are in upstream's backups: what is restored is compared with them.

use super::input::{Damage, Input};
use super::msgpack::Reader;
use super::{Codec, Flavour};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::collections::HashMap;
use std::io::{BufReader, Cursor, Read};

/// Longer ones (unpacked) are not used: a level of some hundred GiB is then restored without comparison.
const MOST_BYTES: u64 = 512 << 20;
const MOST_PATH_BYTES: u32 = 64 << 10;

/// SHA-1 of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Strong(pub [u8; 20]);

/// Hashes of a file, block by block.
#[derive(Clone, Debug, Default)]
pub(super) struct Signature {
    /// What a rolling scan finds blocks by; of the first engine only.
    pub weak: Vec<u64>,
    pub strong: Vec<Strong>,
}

/// By path.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    files: HashMap<Vec<u8>, Signature>,
}

impl Signatures {
    pub(super) fn of(&self, path: &[u8]) -> Option<&Signature> {
        self.files.get(path)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.files.keys()
    }

    /// Reads a whole object. Errors are causes for people.
    pub(super) fn read(flavour: Flavour, body: Vec<u8>) -> Result<Self, String> {
        let codec = Codec::sniff(&body).ok_or("it is compressed in no known way")?;
        let reader = codec.reader(Box::new(Cursor::new(body)));
        let mut limited = reader.take(MOST_BYTES);
        let files = match flavour {
            Flavour::V1 => {
                let found: Described =
                    serde_json::from_reader(BufReader::new(&mut limited)).map_err(|error| {
                        if error.is_eof() {
                            "it ends too early, or is too long".into()
                        } else {
                            error.to_string()
                        }
                    })?;
                found.into_files()
            }
            Flavour::V2 { .. } => read_v2(Box::new(limited))
                .map_err(|damage| format!("at byte {}: {}", damage.at, damage.cause))?,
        };
        Ok(Self { files })
    }
}

impl<'de> Deserialize<'de> for Strong {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        strong(text.as_bytes()).ok_or_else(|| D::Error::custom("a hash that is none"))
    }
}

fn strong(text: &[u8]) -> Option<Strong> {
    let mut hash = [0; 20];
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(Strong(hash))
}

/// The first engine's JSON.
#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    files: HashMap<String, DescribedFile>,
}

#[derive(Deserialize)]
struct DescribedFile {
    #[serde(default)]
    inode: DescribedInode,
    #[serde(default)]
    signature: Option<(Vec<u64>, Vec<Strong>)>,
}

#[derive(Default, Deserialize)]
struct DescribedInode {
    #[serde(default)]
    deleted: String,
    #[serde(default)]
    ftype: String,
}

impl Described {
    fn into_files(self) -> HashMap<Vec<u8>, Signature> {
        let mut files = HashMap::new();
        for (path, file) in self.files {
            let is_plain = matches!(file.inode.ftype.as_str(), "r" | "u");
            if let Some((weak, strong)) = file.signature.filter(|_| is_plain && file.inode.deleted != "1111")
            {
                files.insert(path.into_bytes(), Signature { weak, strong });
            }
        }
        files
    }
}

/// The second engine's MessagePack.
fn read_v2(reader: Box<dyn Read + Send>) -> Result<HashMap<Vec<u8>, Signature>, Damage> {
    let mut input = Input::new(reader);
    let mut reader = Reader::new(&mut input, MOST_BYTES);
    let mut files = HashMap::new();
    for _ in 0..reader.map()? {
        if reader.bytes(64)? != b"files" {
            reader.skip()?;
            continue;
        }
        for _ in 0..reader.map()? {
            let path = reader.bytes(MOST_PATH_BYTES)?;
            if let Some(strong) = file_v2(&mut reader)? {
                files.insert(path, Signature { weak: Vec::new(), strong });
            }
        }
    }
    Ok(files)
}

fn file_v2(reader: &mut Reader<'_>) -> Result<Option<Vec<Strong>>, Damage> {
    let mut found = None;
    for _ in 0..reader.map()? {
        if reader.bytes(64)? != b"signature" {
            reader.skip()?;
            continue;
        }
        if reader.array()? != 2 {
            return Err(reader.damage("a signature that is none"));
        }
        reader.skip()?;
        let mut hashes = Vec::new();
        for _ in 0..reader.array()? {
            let text = reader.bytes(64)?;
            hashes.push(strong(&text).ok_or_else(|| reader.damage("a hash that is none"))?);
        }
        found = Some(hashes);
    }
    Ok(found)
}
