//! mongodump's archive, followed while it is read: what the oplog in it reaches from and to, and whether it is whole.
//!
//! A magic number, a header and the collections' descriptions as BSON documents, a terminator; then blocks: a document that names a
//! collection, its documents, a terminator. The last block of a collection is empty and says `EOF`.

use super::bson::{self, BOOLEAN, TIMESTAMP};
use super::place::OplogPlace;
use std::collections::HashSet;
use std::io::{self, ErrorKind, Read};

const MAGIC: u32 = 0x8199_e26d;
const TERMINATOR: u32 = 0xffff_ffff;
const SHORTEST_DOCUMENT_BYTES: u32 = 5;
/// Entries of an oplog are a little longer than the 16 MiB of a document.
const LONGEST_DOCUMENT_BYTES: u32 = 32 << 20;
/// The collection that the oplog is in: of no database.
const OPLOG: &str = "oplog";

/// What an archive holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub collections: u64,
    /// First and last change of the oplog in it.
    pub oplog: Option<(OplogPlace, OplogPlace)>,
}

/// Reads through, looking at what passes.
pub(super) struct Archive<R> {
    inner: R,
    place: Place,
    /// Bytes of a length that was not whole yet.
    length: Vec<u8>,
    /// Bytes that the current document still has.
    left: usize,
    /// The current document, if it is of interest.
    document: Option<Vec<u8>>,
    open: HashSet<String>,
    held: Held,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Magic,
    /// Before the first terminator.
    Prelude,
    BlockHead,
    Block {
        is_oplog: bool,
    },
}

impl<R: Read> Archive<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            place: Place::Magic,
            length: Vec::new(),
            left: 0,
            document: None,
            open: HashSet::new(),
            held: Held::default(),
        }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// What it held, when it has been read to its end.
    pub(super) fn held(&self) -> Result<Held, String> {
        if self.place != Place::BlockHead || self.left > 0 || !self.length.is_empty() {
            return Err("the archive ends too early".to_owned());
        }
        if self.held.collections == 0 {
            return Err("the archive holds no collection, and every server has some".to_owned());
        }
        if let Some(name) = self.open.iter().next() {
            return Err(format!("the archive ends before the end of {name}"));
        }
        Ok(self.held.clone())
    }

    fn look(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (now, later) = bytes.split_at(bytes.len().min(4 - self.length.len()));
                self.length.extend_from_slice(now);
                bytes = later;
                if let Ok(length) = <[u8; 4]>::try_from(self.length.as_slice()) {
                    self.length.clear();
                    self.begin(u32::from_le_bytes(length))?;
                }
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.left));
            if let Some(document) = &mut self.document {
                document.extend_from_slice(now);
            }
            self.left -= now.len();
            bytes = later;
            if self.left == 0
                && let Some(document) = self.document.take()
            {
                self.end(&document)?;
            }
        }
        Ok(())
    }

    /// A length, or what stands in the place of one.
    fn begin(&mut self, length: u32) -> Result<(), String> {
        match (self.place, length) {
            (Place::Magic, MAGIC) => self.place = Place::Prelude,
            (Place::Magic, _) => return Err("it is no archive of mongodump".to_owned()),
            (Place::BlockHead, TERMINATOR) => return Err("the archive has a block without a name".to_owned()),
            (_, TERMINATOR) => self.place = Place::BlockHead,
            (place, SHORTEST_DOCUMENT_BYTES..=LONGEST_DOCUMENT_BYTES) => {
                self.left = length as usize - 4;
                let is_wanted = matches!(place, Place::BlockHead | Place::Block { is_oplog: true });
                self.document = is_wanted.then(|| length.to_le_bytes().to_vec());
            }
            _ => return Err(format!("the archive is damaged: {length} is no length of a document")),
        }
        Ok(())
    }

    /// A document that is of interest, and whole.
    fn end(&mut self, document: &[u8]) -> Result<(), String> {
        if self.place == Place::BlockHead {
            let both = bson::text(document, "db").zip(bson::text(document, "collection"));
            let (database, collection) = both.ok_or("the archive has a block that names no collection")?;
            let name = format!("{database}.{collection}");
            match bson::field(document, "EOF") {
                Some((BOOLEAN, [0])) => {
                    if self.open.insert(name) {
                        self.held.collections += 1;
                    }
                }
                // A collection without documents has nothing but its end.
                Some((BOOLEAN, _)) if !self.open.remove(&name) => self.held.collections += 1,
                Some((BOOLEAN, _)) => {}
                _ => return Err(format!("the archive has a block of {name} that is none")),
            }
            self.place = Place::Block { is_oplog: database.is_empty() && collection == OPLOG };
            return Ok(());
        }
        let place = match bson::field(document, "ts") {
            Some((TIMESTAMP, bytes)) => bytes.try_into().ok().map(OplogPlace::of),
            _ => None,
        };
        let place = place.ok_or("a change in the oplog has no time")?;
        self.held.oplog = Some(match self.held.oplog {
            None => (place, place),
            Some((first, last)) => (first.min(place), last.max(place)),
        });
        Ok(())
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        self.look(bytes).map_err(|cause| io::Error::new(ErrorKind::InvalidData, cause))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(fields: &[u8]) -> Vec<u8> {
        let length = u32::try_from(fields.len() + 5).unwrap();
        [&length.to_le_bytes()[..], fields, &[0]].concat()
    }

    fn head(database: &str, collection: &str, is_end: bool) -> Vec<u8> {
        let text = |name: &str, value: &str| {
            let length = u32::try_from(value.len() + 1).unwrap();
            [b"\x02".as_slice(), name.as_bytes(), b"\0", &length.to_le_bytes(), value.as_bytes(), b"\0"]
                .concat()
        };
        let end = [b"\x08EOF\0".as_slice(), &[u8::from(is_end)], b"\x12CRC\0........"].concat();
        document(&[text("db", database), text("collection", collection), end].concat())
    }

    fn change(seconds: u8) -> Vec<u8> {
        document(&[b"\x10v\0....\x11ts\0\x01\0\0\0".as_slice(), &[seconds, 0, 0, 0]].concat())
    }

    const END: [u8; 4] = TERMINATOR.to_le_bytes();

    fn archive() -> Vec<u8> {
        [
            MAGIC.to_le_bytes().to_vec(),
            document(b"\x0ax\0"),
            END.to_vec(),
            head("a", "b", false),
            document(&[b'\x0a'; 0]),
            END.to_vec(),
            head("", "oplog", false),
            change(5),
            change(9),
            END.to_vec(),
            head("a", "b", true),
            END.to_vec(),
            head("a", "empty", true),
            END.to_vec(),
            head("", "oplog", true),
            END.to_vec(),
        ]
        .concat()
    }

    fn read(bytes: &[u8], at_once: usize) -> Result<Held, String> {
        let mut archive = Archive::new(bytes);
        let mut buffer = vec![0; at_once];
        while archive.read(&mut buffer).map_err(|error| error.to_string())? > 0 {}
        archive.held()
    }

    #[test]
    fn an_archive_is_followed_however_it_comes() {
        let at = |seconds| OplogPlace { seconds, ordinal: 1 };
        let wanted = Held { collections: 3, oplog: Some((at(5), at(9))) };
        for at_once in [1, 3, 4096] {
            assert_eq!(read(&archive(), at_once), Ok(wanted.clone()), "{at_once}");
        }
    }

    #[test]
    fn an_archive_that_is_not_whole_is_none() {
        let whole = archive();
        for end in 0..whole.len() {
            assert!(read(whole.get(..end).unwrap(), 4096).is_err(), "{end} of {}", whole.len());
        }
        let mut other = whole.clone();
        other.splice(0..4, *b"ABCD");
        assert_eq!(read(&other, 7), Err("it is no archive of mongodump".to_owned()));
        let twice = [whole, END.to_vec()].concat();
        assert!(read(&twice, 7).unwrap_err().contains("without a name"));
    }
}
