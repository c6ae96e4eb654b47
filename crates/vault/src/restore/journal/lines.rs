//! Lines of the journal: a letter, a blank, what it is about. Paths come last, as they are, but for line ends.

use crate::problem::FileProblem;
use crate::tar::{Existing, Mark, Placed, Restored, Severity, Stamp};
use serde::{Deserialize, Serialize};

/// First line: whose journal this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub version: u32,
    /// As [`super::identity::of`] says.
    pub request: String,
    pub hbn: String,
    /// Of the state that is restored.
    pub timestamp: i64,
    /// The journal's own: a copy is nobody's journal.
    pub inode: u64,
    /// As [`super::life`] says: until it changes, what was written stays written.
    pub life: String,
    /// In the names of what is not complete yet.
    pub token: String,
    /// Name of the folder in the target into which is restored; `None`: into the target itself.
    pub staging: Option<String>,
    /// The target was empty, so that what is in it now must be known.
    pub guards: bool,
}

/// How the restore of a level ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::restore) struct Outcome {
    pub members: u64,
    /// The first of them.
    pub problems: Vec<FileProblem>,
    pub problem_count: u64,
    pub is_partial: bool,
}

impl Outcome {
    /// With so many problems in full at most.
    pub(in crate::restore) fn of(restored: &Restored, most_problems: usize) -> Self {
        Self {
            members: restored.members,
            problems: restored.problems.iter().take(most_problems).map(FileProblem::from).collect(),
            problem_count: (restored.problems.len() as u64).saturating_add(restored.unlisted_problems),
            is_partial: restored.worst == Some(Severity::Partial),
        }
    }
}

/// From here on files are moved from the staging folder into the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::restore) struct MergeStart {
    pub existing: Existing,
    /// There was nothing else in the target.
    pub is_alone: bool,
    /// Found before: parts that the backup does not hold.
    pub problems: Vec<FileProblem>,
}

/// From here on files are moved out of this folder; what the backup does not know has gone from its counterpart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::restore) struct FolderStart {
    /// In hexadecimal digits.
    pub path: String,
    pub mode: u32,
    pub mtime_secs: i64,
    pub mtime_nanos: u32,
    pub deleted: u64,
    /// Not deleted, though foreign.
    #[serde(default)]
    pub spared: u64,
    pub problems: Vec<FileProblem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The name is about to be made, or what has it, and all below it, to be replaced or deleted.
    Announced(Vec<u8>),
    Placed(Vec<u8>, Placed, Mark),
    /// A level has ended.
    Ended(Outcome),
    Merging(MergeStart),
    Folder(FolderStart),
    /// The restore goes on after nothing could be believed, in this [`Header::life`].
    Life(String),
}

impl Line {
    /// Without the line end. `None`: no such line.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let (letter, rest) = line.split_first()?;
        let rest = rest.strip_prefix(b" ")?;
        Some(match *letter {
            b'a' => Self::Announced(unescape(rest)?),
            b'f' => placed(rest)?,
            b'e' => Self::Ended(serde_json::from_slice(rest).ok()?),
            b'm' => Self::Merging(serde_json::from_slice(rest).ok()?),
            b'g' => Self::Folder(serde_json::from_slice(rest).ok()?),
            b'b' => Self::Life(String::from_utf8(rest.to_vec()).ok()?),
            _ => return None,
        })
    }
}

pub(super) fn announced(out: &mut Vec<u8>, path: &[u8]) {
    out.extend_from_slice(b"a ");
    escape(out, path);
    out.push(b'\n');
}

pub(super) fn note(out: &mut Vec<u8>, path: &[u8], placed: &Placed, mark: Mark) {
    let letter = match mark {
        Mark::Whole => '-',
        Mark::Linked => 'l',
        Mark::Troubled => 't',
    };
    let Placed { inode, size, mode, uid, gid, mtime, ctime } = placed;
    let times = format!("{} {} {} {}", mtime.secs, mtime.nanos, ctime.secs, ctime.nanos);
    out.extend_from_slice(format!("f {letter} {inode} {size} {mode} {uid} {gid} {times} ").as_bytes());
    escape(out, path);
    out.push(b'\n');
}

/// What is written as JSON, which has no line ends in it.
pub(super) fn json<T: Serialize>(out: &mut Vec<u8>, letter: u8, value: &T) -> std::io::Result<()> {
    out.extend_from_slice(&[letter, b' ']);
    serde_json::to_writer(&mut *out, value)?;
    out.push(b'\n');
    Ok(())
}

fn placed(rest: &[u8]) -> Option<Line> {
    let mut fields = rest.splitn(11, |byte| *byte == b' ');
    let mark = match fields.next()? {
        b"-" => Mark::Whole,
        b"l" => Mark::Linked,
        b"t" => Mark::Troubled,
        _ => return None,
    };
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<i128>().ok();
    let placed = Placed {
        inode: u64::try_from(number()?).ok()?,
        size: u64::try_from(number()?).ok()?,
        mode: u32::try_from(number()?).ok()?,
        uid: u32::try_from(number()?).ok()?,
        gid: u32::try_from(number()?).ok()?,
        mtime: Stamp { secs: i64::try_from(number()?).ok()?, nanos: u32::try_from(number()?).ok()? },
        ctime: Stamp { secs: i64::try_from(number()?).ok()?, nanos: u32::try_from(number()?).ok()? },
    };
    Some(Line::Placed(unescape(fields.next()?)?, placed, mark))
}

fn escape(out: &mut Vec<u8>, path: &[u8]) {
    for byte in path {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(*other),
        }
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        path.push(match (byte, if *byte == b'\\' { bytes.next() } else { None }) {
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b'\\')) => b'\\',
            (b'\\', _) => return None,
            (other, _) => *other,
        });
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_survive() {
        let stamp = |secs| Stamp { secs, nanos: 5 };
        let facts = |inode| Placed {
            inode,
            size: 1 << 40,
            mode: 0o100_644,
            uid: 1,
            gid: 2,
            mtime: stamp(-3),
            ctime: stamp(4),
        };
        for path in [&b"a b/c"[..], b"line\nend", b"back\\slash\\n", b" ", b"\xff\0", b""] {
            for mark in [Mark::Whole, Mark::Linked, Mark::Troubled] {
                let (mut written, placed) = (Vec::new(), facts(u64::MAX));
                note(&mut written, path, &placed, mark);
                assert_eq!(written.pop(), Some(b'\n'));
                assert!(!written.contains(&b'\n'));
                assert_eq!(Line::parse(&written), Some(Line::Placed(path.to_vec(), placed, mark)));
            }
            let mut written = Vec::new();
            announced(&mut written, path);
            written.pop();
            assert_eq!(Line::parse(&written), Some(Line::Announced(path.to_vec())));
        }
        for torn in ["", "f", "f - 1 2 3", "a", "x y", "a \\", "e {\"members\":", "f - 1 2 3 4 5 6 7 8 "] {
            assert_eq!(Line::parse(torn.as_bytes()), None, "{torn}");
        }
    }
}
