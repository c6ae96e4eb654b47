//! The blocks before a member's content: pax header where needed, long names, the header itself.

use crate::tar::acl;
use crate::tar::attributes::Attributes;
use crate::tar::facts::{Facts, Kind};
use crate::tar::header::{BLOCK, Fields, NAME_FIELD, OWNER_FIELD};
use crate::tar::owners::Owners;
use crate::tar::pax;

/// Says in a global header (as a comment, which GNU tar ignores without a word) that directories come before
/// their content and are left for good, and that what has no attributes here had none.
pub(in crate::tar) const PROMISE: &[u8] = b"freezer tar 1: depth first, all attributes";

/// One member to be written.
#[derive(Debug)]
pub(super) struct Head<'a> {
    /// Full, as in the archive.
    pub name: &'a [u8],
    /// Target of a link.
    pub link: &'a [u8],
    pub typeflag: u8,
    pub facts: &'a Facts,
    /// Bytes that follow in the archive.
    pub stored: u64,
    pub attributes: Option<&'a Attributes>,
    /// The body begins with a pax 1.0 sparse map; the real size is that of the facts.
    pub sparse: bool,
}

/// The type flag of a kind when it is not a hard link.
pub(super) fn typeflag(kind: Kind) -> u8 {
    match kind {
        Kind::File | Kind::Socket => b'0',
        Kind::Directory => b'5',
        Kind::Symlink => b'2',
        Kind::Fifo => b'6',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
    }
}

/// Appends all blocks of `head` to `out`.
pub(super) fn encode(out: &mut Vec<u8>, head: &Head<'_>, owners: &mut Owners) {
    let facts = head.facts;
    let user = owners.user(facts.uid).to_vec();
    let group = owners.group(facts.gid).to_vec();
    let records = records(head, &user, &group, owners);
    if !records.is_empty() {
        extended_header(out, b'x', head.name, &records);
    }
    // GNU's own members, not pax records: GNU tar converts pax names between character sets.
    if head.link.len() > NAME_FIELD {
        long_name(out, b'K', head.link);
    }
    if head.name.len() > NAME_FIELD {
        long_name(out, b'L', head.name);
    }
    let fits = |name: Vec<u8>| if name.len() > OWNER_FIELD { Vec::new() } else { name };
    let fields = Fields {
        name: head.name,
        link: head.link,
        typeflag: head.typeflag,
        mode: facts.mode,
        uid: facts.uid,
        gid: facts.gid,
        size: head.stored,
        mtime_secs: facts.mtime.secs,
        user: &fits(user),
        group: &fits(group),
        rdev: matches!(facts.kind, Kind::CharDevice | Kind::BlockDevice).then_some(facts.rdev),
        posix_magic: head.sparse,
    };
    out.extend_from_slice(&fields.encode());
}

/// The pax records a member needs; empty for most metadata-free members.
fn records(head: &Head<'_>, user: &[u8], group: &[u8], owners: &mut Owners) -> Vec<u8> {
    let mut out = Vec::new();
    if head.typeflag == b'1' {
        return out;
    }
    if head.facts.mtime.nanos != 0 {
        pax::append(&mut out, b"mtime", pax::time_text(head.facts.mtime).as_bytes());
    }
    if user.len() > OWNER_FIELD {
        pax::append(&mut out, b"uname", user);
    }
    if group.len() > OWNER_FIELD {
        pax::append(&mut out, b"gname", group);
    }
    if head.sparse {
        pax::append(&mut out, b"GNU.sparse.major", b"1");
        pax::append(&mut out, b"GNU.sparse.minor", b"0");
        pax::append(&mut out, b"GNU.sparse.realsize", head.facts.size.to_string().as_bytes());
    }
    let Some(attributes) = head.attributes else { return out };
    for (key, binary) in [
        (&b"SCHILY.acl.access"[..], &attributes.access_acl),
        (b"SCHILY.acl.default", &attributes.default_acl),
    ] {
        if let Some(text) = binary.as_ref().and_then(|binary| acl::to_text(binary, owners)) {
            pax::append(&mut out, key, &text);
        }
    }
    for (name, value) in &attributes.plain {
        let key = [b"SCHILY.xattr.", pax::escape_key(name).as_slice()].concat();
        pax::append(&mut out, &key, value);
    }
    out
}

/// An `x` or `g` member.
pub(super) fn extended_header(out: &mut Vec<u8>, typeflag: u8, name: &[u8], records: &[u8]) {
    let base = name.rsplit(|&byte| byte == b'/').find(|part| !part.is_empty()).unwrap_or(b"root");
    let mut label = b"./PaxHeaders/".to_vec();
    label.extend(base.iter().take(NAME_FIELD - label.len()));
    service_member(out, typeflag, &label, records, true);
}

pub(super) fn long_name(out: &mut Vec<u8>, typeflag: u8, name: &[u8]) {
    let mut body = name.to_vec();
    body.push(0);
    service_member(out, typeflag, b"././@LongLink", &body, false);
}

fn service_member(out: &mut Vec<u8>, typeflag: u8, label: &[u8], body: &[u8], posix_magic: bool) {
    let fields = Fields {
        name: label,
        typeflag,
        mode: 0o644,
        size: body.len() as u64,
        posix_magic,
        ..Fields::default()
    };
    out.extend_from_slice(&fields.encode());
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// The map in front of a sparse body, padded to a block. `map` must end at the real size.
pub(super) fn sparse_map(map: &[(u64, u64)]) -> Vec<u8> {
    let mut out = format!("{}\n", map.len()).into_bytes();
    for (offset, length) in map {
        out.extend_from_slice(format!("{offset}\n{length}\n").as_bytes());
    }
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}
