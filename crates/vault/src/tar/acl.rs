//! POSIX ACLs: the kernel's binary attribute on one side, the text that tar archives carry on the other.
//!
//! The text is the long form, one entry per line. Named entries end in the numeric id as a fourth field (star's
//! habit; GNU tar drops it when it reads), so that an ACL survives on a host that lacks the name.

use super::owners::Owners;

/// The attributes the kernel keeps ACLs in.
pub(super) const ACCESS: &str = "system.posix_acl_access";
pub(super) const DEFAULT: &str = "system.posix_acl_default";

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// `None` when the attribute is not an ACL of the version we know.
pub(super) fn to_text(binary: &[u8], owners: &mut Owners) -> Option<Vec<u8>> {
    let entries = binary.strip_prefix(&VERSION.to_le_bytes())?;
    if entries.len() % 8 != 0 {
        return None;
    }
    let mut out = Vec::new();
    for entry in entries.chunks_exact(8) {
        let [t0, t1, p0, p1, i0, i1, i2, i3] = *entry else { return None };
        let (tag, perm) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]));
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let (word, name): (&[u8], Option<Vec<u8>>) = match tag {
            USER_OBJ => (b"user", None),
            USER => (b"user", Some(owners.user(id).to_vec())),
            GROUP_OBJ => (b"group", None),
            GROUP => (b"group", Some(owners.group(id).to_vec())),
            MASK => (b"mask", None),
            OTHER => (b"other", None),
            _ => return None,
        };
        out.extend_from_slice(word);
        out.push(b':');
        let number = id.to_string();
        match &name {
            Some(name) if !name.is_empty() => out.extend_from_slice(name),
            Some(_) => out.extend_from_slice(number.as_bytes()),
            None => {}
        }
        out.push(b':');
        for (bit, letter) in [(4, b'r'), (2, b'w'), (1, b'x')] {
            out.push(if perm & bit != 0 { letter } else { b'-' });
        }
        if name.is_some() {
            out.push(b':');
            out.extend_from_slice(number.as_bytes());
        }
        out.push(b'\n');
    }
    Some(out)
}

/// Accepts long and short words, commas or lines, comments, a fourth field. `None` when it makes no sense.
pub(super) fn from_text(text: &[u8], numeric: bool, owners: &mut Owners) -> Option<Vec<u8>> {
    let mut entries: Vec<(u16, u32, u16)> = Vec::new();
    for line in text.split(|&byte| byte == b'\n' || byte == b',') {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
        let line = line.strip_prefix(b"default:").unwrap_or(line);
        if line.is_empty() || line == b"\0" {
            continue;
        }
        entries.push(entry_from(line, numeric, owners)?);
    }
    if entries.is_empty() {
        return None;
    }
    // The kernel insists on this order.
    entries.sort_unstable();
    entries.dedup();
    let mut out = VERSION.to_le_bytes().to_vec();
    for (tag, id, perm) in entries {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&perm.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    Some(out)
}

fn entry_from(line: &[u8], numeric: bool, owners: &mut Owners) -> Option<(u16, u32, u16)> {
    let mut fields = line.split(|&byte| byte == b':').map(<[u8]>::trim_ascii);
    let word = fields.next()?;
    let second = fields.next()?;
    let third = fields.next();
    // `mask:rwx` and `other:r--` may come without the empty middle field.
    let (name, perm) = match third {
        Some(perm) => (second, perm),
        None => (&b""[..], second),
    };
    let extra = fields.next().and_then(super::pax::decimal).and_then(|id| u32::try_from(id).ok());
    let perm = perm_from(perm)?;
    let plain = |tag| Some((tag, NO_ID, perm));
    match (word, name.is_empty()) {
        (b"user" | b"u", true) => plain(USER_OBJ),
        (b"group" | b"g", true) => plain(GROUP_OBJ),
        (b"mask" | b"m", _) => plain(MASK),
        (b"other" | b"o", _) => plain(OTHER),
        (b"user" | b"u", false) => {
            Some((USER, id_from(name, extra, numeric, |name| owners.user_id(name))?, perm))
        }
        (b"group" | b"g", false) => {
            Some((GROUP, id_from(name, extra, numeric, |name| owners.group_id(name))?, perm))
        }
        _ => None,
    }
}

fn id_from(
    name: &[u8],
    extra: Option<u32>,
    numeric: bool,
    look_up: impl FnOnce(&[u8]) -> Option<u32>,
) -> Option<u32> {
    let digits = super::pax::decimal(name).and_then(|id| u32::try_from(id).ok());
    if numeric && extra.is_some() {
        return extra;
    }
    digits.or_else(|| look_up(name)).or(extra)
}

fn perm_from(text: &[u8]) -> Option<u16> {
    if let [digit @ b'0'..=b'7'] = text {
        return Some(u16::from(digit - b'0'));
    }
    text.iter().try_fold(0, |perm, letter| {
        Some(match letter {
            b'r' => perm | 4,
            b'w' => perm | 2,
            b'x' => perm | 1,
            b'-' => perm,
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_binary_agree() {
        let text = b"user::rw-\nuser:root:r-x:0\nuser:54321:rwx:54321\ngroup::r--\ngroup:54322:-w-:54322\nmask::rwx\nother::---\n";
        let owners = &mut Owners::default();
        let binary = from_text(text, false, owners).unwrap();
        assert_eq!(binary.len(), 4 + 7 * 8);
        assert_eq!(to_text(&binary, owners).unwrap(), text);
        assert_eq!(
            from_text(b"u::rw-,u:0:r-x,user:54321:7,g::r,g:54322:w,m:rwx,o:---", true, owners).unwrap(),
            binary
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let owners = &mut Owners::default();
        for bad in [&b""[..], b"user", b"user::q", b"who::rwx", b"user:no-such-user-here:rwx"] {
            assert_eq!(from_text(bad, false, owners), None);
        }
        assert_eq!(to_text(b"\x02\0\0\0abc", owners), None);
        assert_eq!(to_text(b"\x01\0\0\0", owners), None);
    }
}
