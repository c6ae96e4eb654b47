//! Members of what is in no file system: translated from another format, to be restored like any archive.

use super::member::{extended_header, long_name, typeflag};
use crate::tar::facts::Kind;
use crate::tar::header::{BLOCK, Fields, NAME_FIELD, OWNER_FIELD};
use crate::tar::{Stamp, pax};

/// One member. The content of a file follows it in the archive, and [`PlainMember::padding`].
#[derive(Clone, Debug)]
pub(crate) struct PlainMember {
    /// Below the root, without `./`.
    pub path: Vec<u8>,
    /// Target of a symbolic link.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub user: Vec<u8>,
    pub group: Vec<u8>,
    /// Of a file's content, in bytes.
    pub size: u64,
    pub mtime: Stamp,
}

impl PlainMember {
    /// Zero bytes between the end of the content and the next member.
    pub(crate) fn padding(&self) -> usize {
        let over = usize::try_from(self.size % BLOCK as u64).unwrap_or(0);
        if over == 0 { 0 } else { BLOCK - over }
    }
}

/// Appends the blocks in front of a member's content.
pub(crate) fn append_plain(out: &mut Vec<u8>, member: &PlainMember) {
    let name = [b"./".as_slice(), &member.path].concat();
    let mut records = Vec::new();
    if member.mtime.nanos != 0 {
        pax::append(&mut records, b"mtime", pax::time_text(member.mtime).as_bytes());
    }
    for (key, owner) in [(&b"uname"[..], &member.user), (b"gname", &member.group)] {
        if owner.len() > OWNER_FIELD {
            pax::append(&mut records, key, owner);
        }
    }
    if !records.is_empty() {
        extended_header(out, b'x', &name, &records);
    }
    if member.link.len() > NAME_FIELD {
        long_name(out, b'K', &member.link);
    }
    if name.len() > NAME_FIELD {
        long_name(out, b'L', &name);
    }
    let fits = |owner: &'_ Vec<u8>| if owner.len() > OWNER_FIELD { Vec::new() } else { owner.clone() };
    let fields = Fields {
        name: &name,
        link: &member.link,
        typeflag: typeflag(member.kind),
        mode: member.mode & 0o7777,
        uid: member.uid,
        gid: member.gid,
        size: if member.kind == Kind::File { member.size } else { 0 },
        mtime_secs: member.mtime.secs,
        user: &fits(&member.user),
        group: &fits(&member.group),
        rdev: None,
        posix_magic: false,
    };
    out.extend_from_slice(&fields.encode());
}
