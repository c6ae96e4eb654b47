//! The stream of the second engine: a MessagePack list of entries, then the contents of the files among them in that order.

use super::input::{Damage, Input};
use super::level::{Content, Step};
use super::msgpack::Reader;
use crate::tar::{Kind, PlainMember, Stamp};
use rustix::fs::FileType;

/// The list stands in memory as a whole: some millions of files.
const MOST_LIST_BYTES: u64 = 512 << 20;
const MOST_PATH_BYTES: u32 = 64 << 10;
const MOST_NAME_BYTES: u32 = 1 << 10;

/// Calls `each` with every entry.
pub(super) fn read<E: From<Damage>>(
    input: &mut Input,
    mut each: impl FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(input, MOST_LIST_BYTES);
    for _ in 0..reader.array()? {
        let start = reader.at();
        let found = Entry::read(&mut reader)?;
        let step = found.step().map_err(|cause| Damage { at: start, cause: cause.into() })?;
        each(step)?;
    }
    Ok(())
}

#[derive(Default)]
struct Entry {
    path: Vec<u8>,
    link: Vec<u8>,
    inode: Option<Inode>,
    deltas: Option<Vec<u64>>,
    deleted: bool,
}

#[derive(Default)]
struct Inode {
    mode: u32,
    user: Vec<u8>,
    group: Vec<u8>,
    mtime: Stamp,
    size: u64,
}

impl Entry {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Damage> {
        let mut entry = Self::default();
        for _ in 0..reader.map()? {
            match reader.bytes(64)?.as_slice() {
                b"path" => entry.path = reader.bytes(MOST_PATH_BYTES)?,
                b"lname" => entry.link = reader.bytes(MOST_PATH_BYTES)?,
                b"inode" => entry.inode = Some(Inode::read(reader)?),
                b"deltas" => entry.deltas = deltas(reader)?,
                b"deleted" => entry.deleted = reader.flag()?,
                _ => reader.skip()?,
            }
        }
        Ok(entry)
    }

    fn step(self) -> Result<Step, &'static str> {
        let Some(inode) = self.inode.filter(|_| !self.deleted) else {
            return if self.deleted { Ok(Step::Deleted(self.path)) } else { Err("an entry of nothing") };
        };
        let kind = match FileType::from_raw_mode(inode.mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::BlockDevice | FileType::CharacterDevice => {
                return Ok(Step::Lost(self.path, "Freezer does not record which device it is".into()));
            }
            _ => return Err("an entry of an unknown type"),
        };
        let member = PlainMember {
            path: self.path,
            link: self.link,
            kind,
            mode: inode.mode & 0o7777,
            // Only names are recorded: an unknown one falls to who restores.
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            user: inode.user,
            group: inode.group,
            size: if kind == Kind::File { inode.size } else { 0 },
            mtime: inode.mtime,
        };
        let content = match (kind, self.deltas) {
            (Kind::File, Some(blocks)) => Content::Delta(blocks),
            (Kind::File, None) => Content::Whole,
            _ => Content::None,
        };
        Ok(Step::Member(member, content))
    }
}

impl Inode {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Damage> {
        let mut inode = Self::default();
        for _ in 0..reader.map()? {
            match reader.bytes(64)?.as_slice() {
                b"mode" => {
                    let mode = reader.unsigned()?;
                    inode.mode = u32::try_from(mode).map_err(|_| reader.damage("a mode that is none"))?;
                }
                b"uname" => inode.user = reader.bytes(MOST_NAME_BYTES)?,
                b"gname" => inode.group = reader.bytes(MOST_NAME_BYTES)?,
                b"mtime" => inode.mtime = reader.time()?,
                b"size" => inode.size = reader.unsigned()?,
                _ => reader.skip()?,
            }
        }
        Ok(inode)
    }
}

/// The length of all blocks, and which they are; none when nothing of the content is recorded as changed.
fn deltas(reader: &mut Reader<'_>) -> Result<Option<Vec<u64>>, Damage> {
    if reader.array()? != 2 {
        return Err(reader.damage("a list of blocks that is none"));
    }
    reader.unsigned()?;
    let mut blocks: Vec<u64> = Vec::new();
    for _ in 0..reader.array()? {
        let block = reader.unsigned()?;
        if blocks.last().is_some_and(|last| *last >= block) {
            return Err(reader.damage("a list of blocks out of order"));
        }
        blocks.push(block);
    }
    Ok(Some(blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(bytes: &[u8]) -> Result<Vec<Step>, Damage> {
        let mut found = Vec::new();
        read(&mut Input::of(bytes), |step| {
            found.push(step);
            Ok::<(), Damage>(())
        })?;
        Ok(found)
    }

    #[test]
    fn the_beginning_of_a_list_as_it_was_found() {
        // An array of one map of three: new_level: true, path, inode.
        let mut bytes = vec![0x91, 0x83, 0xa9];
        bytes.extend(b"new_level\xc3\xa4path\xda\x00\x01f\xa5inode\x82\xa4mode\xcd\x81\xa4\xa4size\x03");
        let found = steps(&bytes).unwrap();
        let [Step::Member(member, Content::Whole)] = found.as_slice() else { panic!() };
        assert_eq!((member.path.as_slice(), member.mode, member.size), (&b"f"[..], 0o644, 3));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(steps(&[0x91, 0x80]).unwrap_err().cause.contains("nothing"));
        assert!(steps(&[0x91, 0xc0]).is_err());
        assert!(steps(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
        let mut bytes = vec![0x91, 0x81];
        bytes.extend(b"\xa6deltas\x92\x08\x92\x02\x01");
        assert!(steps(&bytes).unwrap_err().cause.contains("order"));
    }
}
