//! The stream of the first engine: one record after the other, each with its content.
//!
//! ```text
//! LEN ¦ path ¦ 1 ¦ mode ¦ uid ¦ gid ¦ size ¦ mtime ¦ ctime ¦ user ¦ group ¦ type ¦ link ¦ inode ¦ links ¦ minor ¦ major ¦ 4096 ¦ level ¦ deleted
//! ```
//! with a NUL for each `¦`, and `LEN` the length of all of it in bytes.

use super::input::{Damage, Input};
use super::{V1_BLOCK_BYTES, level::Content, level::Step};
use crate::tar::{Kind, PlainMember, Stamp};

/// Two paths of the kernel's greatest length, and the rest.
const MOST_RECORD_BYTES: usize = 16 << 10;
const FIELDS: usize = 19;

/// The next record, and what of its content follows; `None` at the end.
pub(super) fn next(input: &mut Input) -> Result<Option<Step>, Damage> {
    if input.is_at_end()? {
        return Ok(None);
    }
    let start = input.at();
    let length = decimal(input, "the length of a record")?;
    let digits = usize::try_from(input.at().saturating_sub(start)).unwrap_or(usize::MAX);
    let rest = usize::try_from(length).ok().filter(|length| *length <= MOST_RECORD_BYTES);
    let rest = rest.and_then(|length| length.checked_sub(digits));
    let rest = rest.ok_or_else(|| damage_at(start, format!("a record of {length} bytes")))?;
    let text = input.bytes(rest)?;
    let fields: Vec<&[u8]> = text.split(|byte| *byte == 0).collect();
    let step = step(&fields).map_err(|cause| damage_at(start, cause))?;
    Ok(Some(match step {
        Step::Member(member, Content::Delta(_)) => {
            let blocks = delta(input, member.size)?;
            Step::Member(member, Content::Delta(blocks))
        }
        other => other,
    }))
}

fn damage_at(at: u64, cause: impl Into<String>) -> Damage {
    Damage { at, cause: cause.into() }
}

/// Digits up to a NUL.
fn decimal(input: &mut Input, what: &str) -> Result<u64, Damage> {
    let start = input.at();
    let mut value = 0u64;
    loop {
        let [byte] = input.exact::<1>()?;
        value = match byte {
            0 if input.at() > start + 1 => return Ok(value),
            b'0'..=b'9' if input.at() <= start + 19 => value * 10 + u64::from(byte - b'0'),
            _ => return Err(damage_at(start, format!("{what} is no number"))),
        };
    }
}

fn step(fields: &[&[u8]]) -> Result<Step, String> {
    if fields.len() != FIELDS {
        return Err(format!("a record of {} fields instead of {FIELDS}", fields.len()));
    }
    let text = |at: usize| fields.get(at).copied().unwrap_or_default();
    let number = |at: usize| {
        let number = std::str::from_utf8(text(at)).ok().and_then(|text| text.parse::<i64>().ok());
        number.ok_or_else(|| format!("field {} of a record is no number", at + 1))
    };
    if number(1)? != 1 || number(16)? != V1_BLOCK_BYTES as i64 {
        return Err("a record of an unknown version".into());
    }
    let path = text(0).to_vec();
    let flag = |at: usize| match text(at) {
        b"0000" => Ok(false),
        b"1111" => Ok(true),
        _ => Err(format!("field {} of a record is neither 0000 nor 1111", at + 1)),
    };
    let (is_patched, is_deleted) = (flag(17)?, flag(18)?);
    if is_deleted {
        return Ok(Step::Deleted(path));
    }
    let kind = match text(10) {
        b"r" | b"u" => Kind::File,
        b"d" => Kind::Directory,
        b"l" => Kind::Symlink,
        b"p" => Kind::Fifo,
        b"b" | b"c" => return Ok(Step::Lost(path, "Freezer does not record which device it is".into())),
        other => return Err(format!("a record of the unknown type '{}'", other.escape_ascii())),
    };
    let size = u64::try_from(number(5)?).map_err(|_| "a negative size")?;
    let id = |at: usize| number(at).map(|id| u32::try_from(id).unwrap_or(u32::MAX));
    let member = PlainMember {
        path,
        link: text(11).to_vec(),
        kind,
        mode: (number(2)? & 0o7777) as u32,
        uid: id(3)?,
        gid: id(4)?,
        user: text(8).to_vec(),
        group: text(9).to_vec(),
        size: if kind == Kind::File { size } else { 0 },
        mtime: Stamp { secs: number(6)?, nanos: 0 },
    };
    let content = match (kind, is_patched) {
        (Kind::File, true) => Content::Delta(Vec::new()),
        (Kind::File, false) => Content::Whole,
        _ => Content::None,
    };
    Ok(Step::Member(member, content))
}

/// `¦ SUM ¦ K ¦ i ¦ i ¦ …`: which blocks of the new content follow. The sum is not always that of the blocks and is not used.
fn delta(input: &mut Input, size: u64) -> Result<Vec<u64>, Damage> {
    let start = input.at();
    let wrong = |cause: &str| damage_at(start, cause);
    if input.exact::<1>()? != [0] {
        return Err(wrong("changed blocks without their head"));
    }
    decimal(input, "the sum of changed blocks")?;
    let length = decimal(input, "the length of a list of blocks")?;
    let blocks = size.div_ceil(V1_BLOCK_BYTES);
    // A number and its NUL for each block, and one more beyond the end.
    let most = (blocks + 2).saturating_mul(21).min(1 << 30);
    let length = usize::try_from(length).ok().filter(|length| (2..=most as usize).contains(length));
    let length = length.ok_or_else(|| wrong("a list of blocks that is too long"))?;
    let mut list = input.bytes(length - 1)?;
    // Some releases do not count the last NUL.
    if list.last() != Some(&0) {
        list.extend(input.exact::<1>()?);
    }
    let numbers = list.strip_prefix(&[0]).map(|rest| rest.strip_suffix(&[0]).unwrap_or(rest));
    let numbers = numbers.ok_or_else(|| wrong("a list of blocks without its head"))?;
    let mut indexes = Vec::new();
    for number in numbers.split(|byte| *byte == 0).filter(|number| !number.is_empty()) {
        let index = std::str::from_utf8(number).ok().and_then(|text| text.parse::<u64>().ok());
        let index = index.ok_or_else(|| wrong("a block's place is no number"))?;
        if indexes.last().is_some_and(|last| *last >= index) {
            return Err(wrong("a list of blocks out of order"));
        }
        indexes.push(index);
    }
    Ok(indexes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[u8] =
        b"89\0small\x001\x0033188\x000\x000\x003\x001700000000\x001700000000\0root\0root\0r\0\x0012345678\x001\x000\x00254\x004096\x000000\x000000hi\n";

    #[test]
    fn a_record_as_it_was_found() {
        let mut input = Input::of(SMALL);
        let Some(Step::Member(member, Content::Whole)) = next(&mut input).unwrap() else { panic!() };
        assert_eq!((member.path.as_slice(), member.kind, member.mode), (&b"small"[..], Kind::File, 0o644));
        assert_eq!(
            (member.size, member.mtime.secs, member.user.as_slice()),
            (3, 1_700_000_000, &b"root"[..])
        );
        assert_eq!(input.bytes(3).unwrap(), b"hi\n");
        assert!(next(&mut input).unwrap().is_none());
    }

    #[test]
    fn deltas_as_they_were_found() {
        let mut input = Input::of(b"\x00808\x003\0\x002\0rest");
        assert_eq!(delta(&mut input, 9000).unwrap(), [2]);
        assert_eq!(input.bytes(4).unwrap(), b"rest");
        let mut input = Input::of(b"\x00808\x004\0\x002\0rest");
        assert_eq!(delta(&mut input, 9000).unwrap(), [2]);
        assert_eq!(input.bytes(4).unwrap(), b"rest");
        let mut input = Input::of(b"\x000\x003\0\x003\0");
        assert_eq!(delta(&mut input, 9000).unwrap(), [3]);
        let mut input = Input::of(b"\x000\x002\0\0rest");
        assert_eq!(delta(&mut input, 8192).unwrap(), Vec::<u64>::new());
        assert_eq!(input.bytes(4).unwrap(), b"rest");
    }

    #[test]
    fn nonsense_is_told_with_its_place() {
        for (bytes, cause) in [
            (&b"x"[..], "no number"),
            (b"999999999999999999999\0", "no number"),
            (b"99999\0", "99999 bytes"),
            (b"1\0", "1 bytes"),
            (b"9\0a\0b\0c\0\0", "fields"),
        ] {
            let error = next(&mut Input::of(bytes)).unwrap_err();
            assert!(error.cause.contains(cause) && error.at == 0, "{error:?}");
        }
        let cut = &SMALL[..60];
        assert_eq!(next(&mut Input::of(cut)).unwrap_err().cause, "it ends too early");
        for list in [
            &b"\x00808\x0099\0\x002\0"[..],
            b"\x008\x006\0\x002\x002\0",
            b"x",
            b"\0\0",
            b"\x000\x003\x0022\0",
        ] {
            assert!(delta(&mut Input::of(list), 9000).is_err(), "{}", list.escape_ascii());
        }
    }
}
