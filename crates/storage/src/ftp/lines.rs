//! Lines of listings: MLSD's facts (RFC 3659), and what LIST prints, for which there is no rule but habit.

use super::time;

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// The folder that is listed, or the one above it.
    Itself,
    /// A link, a device: no object, but something that can be deleted.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub name: String,
    pub kind: Kind,
    pub size_bytes: u64,
    /// When it was last written to, in seconds since 1970, if the line has that to the second.
    pub modified_secs: Option<i64>,
}

impl Item {
    pub fn new(name: impl Into<String>, kind: Kind, size_bytes: u64) -> Self {
        Self { name: name.into(), kind, size_bytes, modified_secs: None }
    }
}

/// A line of MLSD or MLST; `None` for what is no such line.
pub(super) fn facts(line: &str) -> Option<Item> {
    // The name begins behind the first blank, and may begin with one itself.
    let (facts, name) = line.split_once(' ')?;
    let (mut kind, mut size_bytes, mut modified_secs) = (None, 0, None);
    for fact in facts.split(';') {
        let Some((key, value)) = fact.split_once('=') else { continue };
        if key.eq_ignore_ascii_case("type") {
            kind = match value.to_ascii_lowercase().as_str() {
                "file" => Some(Kind::File),
                "dir" => Some(Kind::Folder),
                "cdir" | "pdir" => Some(Kind::Itself),
                _ => Some(Kind::Other),
            };
        } else if key.eq_ignore_ascii_case("size") {
            size_bytes = value.parse().ok()?;
        } else if key.eq_ignore_ascii_case("modify") {
            modified_secs = time::seconds(value);
        }
    }
    let kind = kind?;
    let size_bytes = if kind == Kind::File { size_bytes } else { 0 };
    Some(Item { modified_secs, ..Item::new(name, kind, size_bytes) })
}

/// A line of LIST.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Item(Item),
    /// `total 8`, and the folders `.` and `..`.
    Nothing,
    Unknown,
}

pub(super) fn listed(line: &str) -> Listed {
    if line.starts_with("total ") {
        return Listed::Nothing;
    }
    let Some(item) = unix(line).or_else(|| dos(line)) else { return Listed::Unknown };
    if matches!(item.name.as_str(), "." | "..") { Listed::Nothing } else { Listed::Item(item) }
}

/// `-rw-r--r--   1 owner    group        1234 Nov 26 20:58 name`
fn unix(line: &str) -> Option<Item> {
    let (mut rest, mut fields) = (line, [""; 8]);
    for field in &mut fields {
        rest = rest.trim_start_matches(' ');
        let (word, behind) = rest.split_once(' ')?;
        (*field, rest) = (word, behind);
    }
    let [mode, links, _, _, size, _, day, _] = fields;
    links.parse::<u64>().ok()?;
    day.parse::<u8>().ok()?;
    let kind = match mode.as_bytes() {
        [b'-', rest @ ..] if rest.len() >= 9 => Kind::File,
        [b'd', rest @ ..] if rest.len() >= 9 => Kind::Folder,
        [b'l' | b'b' | b'c' | b'p' | b's', rest @ ..] if rest.len() >= 9 => Kind::Other,
        _ => return None,
    };
    let size_bytes = match kind {
        Kind::File => size.parse().ok()?,
        _ => 0,
    };
    let name = match (mode.starts_with('l'), rest.split_once(" -> ")) {
        (true, Some((name, _))) => name,
        _ => rest,
    };
    Some(Item::new(name, kind, size_bytes))
}

/// `11-26-26  08:58PM       <DIR>          name`, as IIS has it.
fn dos(line: &str) -> Option<Item> {
    let (date, rest) = line.split_once(' ')?;
    let (time, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    if !date.starts_with(|c: char| c.is_ascii_digit()) || !date.contains('-') || !time.contains(':') {
        return None;
    }
    let rest = rest.trim_start_matches(' ');
    if let Some(name) = rest.strip_prefix("<DIR>") {
        // The column is as wide as that of sizes.
        let name = name.strip_prefix("          ").unwrap_or(name.trim_start_matches(' '));
        return Some(Item::new(name, Kind::Folder, 0));
    }
    let (size, name) = rest.split_once(' ')?;
    Some(Item::new(name, Kind::File, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn item(name: &str, kind: Kind, size_bytes: u64) -> Item {
        Item::new(name, kind, size_bytes)
    }

    #[test]
    fn facts_of_mlsd() {
        let line =
            "modify=20261126205800;perm=adfr;Size=12;Type=file;unique=8U1;UNIX.mode=0644;  two blanks; a=b ";
        let dated = Item { modified_secs: Some(1_795_726_680), ..item(" two blanks; a=b ", Kind::File, 12) };
        assert_eq!(facts(line), Some(dated));
        assert_eq!(facts("type=file;size=1;modify=soon; x"), Some(item("x", Kind::File, 1)));
        assert_eq!(facts("type=dir;sizd=4096; d"), Some(item("d", Kind::Folder, 0)));
        assert_eq!(facts("type=OS.unix=symlink;size=3; l"), Some(item("l", Kind::Other, 0)));
        assert_eq!(facts("type=cdir; /some/where"), Some(item("/some/where", Kind::Itself, 0)));
        for nothing in ["size=1; x", "nothing", "type=file;size=x; y"] {
            assert_eq!(facts(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn habits_of_list() {
        let known = [
            (
                "-rw-r--r--   1 nobody   nogroup      1234 Nov 26 20:58  leading",
                item(" leading", Kind::File, 1234),
            ),
            (
                "drwx------  12 0        0            4096 Jan  1  2026 a -> b",
                item("a -> b", Kind::Folder, 0),
            ),
            ("lrwxrwxrwx   1 u        g               3 Nov 26 20:58 l -> to", item("l", Kind::Other, 0)),
            ("-rw-r--r--+  1 u        g               0 Nov 26 20:58 acl", item("acl", Kind::File, 0)),
            ("11-26-26  08:58PM       <DIR>          some folder", item("some folder", Kind::Folder, 0)),
            ("11-26-2026  08:58PM                 1234 a.txt", item("a.txt", Kind::File, 1234)),
        ];
        for (line, expected) in known {
            assert_eq!(listed(line), Listed::Item(expected), "{line}");
        }
        for nothing in ["total 8", "drwxr-xr-x   2 u g 4096 Nov 26 20:58 ."] {
            assert_eq!(listed(nothing), Listed::Nothing, "{nothing}");
        }
        for unknown in
            ["", "hello", "+i8388621.48594,m825718503,r,s280,\tdjb.html", "-rw 1 u g 1 Nov x 20:58 n"]
        {
            assert_eq!(listed(unknown), Listed::Unknown, "{unknown}");
        }
    }
}
