//! What the tests share: looking at a tree, comparing trees, running our engine and GNU tar.

use freezer_vault::tar::{
    Extract, Index, Listed, Restored, Source, Watch, Written, list_archive, read_archive, write_archive,
};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, readlinkat, statat};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// All that should survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: FileType,
    pub mode: u32,
    pub owner: (u32, u32),
    pub content: Vec<u8>,
    pub mtime: (i64, u64),
    pub rdev: u64,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path of the same file.
    pub first_name: Vec<u8>,
}

pub type Tree = BTreeMap<Vec<u8>, Node>;

/// Looks at everything below `root`; works for paths of any length.
pub fn look(root: &Path) -> Tree {
    let fd = rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut tree = Tree::new();
    let mut first_names = HashMap::new();
    let node = node_at(&fd, b".", b".", &mut HashMap::new());
    tree.insert(b".".to_vec(), node);
    look_below(fd, b"", &mut tree, &mut first_names);
    tree
}

fn look_below(dir: OwnedFd, path: &[u8], tree: &mut Tree, first_names: &mut HashMap<u64, Vec<u8>>) {
    let mut names: Vec<Vec<u8>> = rustix::fs::Dir::read_from(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_bytes().to_vec())
        .filter(|name| name != b"." && name != b"..")
        .collect();
    names.sort();
    let mut below = Vec::new();
    for name in names {
        let full = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
        let node = node_at(&dir, &name, &full, first_names);
        if node.kind == FileType::Directory {
            below.push((name, full.clone()));
        }
        tree.insert(full, node);
    }
    for (name, full) in below {
        let fd = openat(
            &dir,
            name.as_slice(),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW,
            Mode::empty(),
        );
        look_below(fd.unwrap(), &full, tree, first_names);
    }
}

fn node_at(dir: &OwnedFd, name: &[u8], full: &[u8], first_names: &mut HashMap<u64, Vec<u8>>) -> Node {
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    let kind = FileType::from_raw_mode(stat.st_mode);
    let content = match kind {
        FileType::RegularFile => {
            let fd = openat(dir, name, OFlags::RDONLY, Mode::empty()).unwrap();
            let mut content = Vec::new();
            // Sparse giants are compared by size and by the tests about holes.
            if stat.st_size < 1 << 26 {
                std::io::Read::read_to_end(&mut fs::File::from(fd), &mut content).unwrap();
            } else {
                content = format!("size {}", stat.st_size).into_bytes();
            }
            content
        }
        FileType::Symlink => readlinkat(dir, name, Vec::new()).unwrap().into_bytes(),
        _ => Vec::new(),
    };
    let first_name = if kind == FileType::Directory {
        full.to_vec()
    } else {
        first_names.entry(stat.st_ino).or_insert_with(|| full.to_vec()).clone()
    };
    Node {
        kind,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        content,
        mtime: (stat.st_mtime, stat.st_mtime_nsec),
        rdev: if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            stat.st_rdev
        } else {
            0
        },
        xattrs: xattrs_at(dir, name),
        first_name,
    }
}

fn xattrs_at(dir: &OwnedFd, name: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    let mut list = vec![0u8; 65536];
    let length = rustix::fs::llistxattr(path.as_slice(), list.as_mut_slice()).unwrap();
    list[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0u8; 65536];
            let length = rustix::fs::lgetxattr(path.as_slice(), name, value.as_mut_slice()).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}

/// Panics with a readable difference.
#[track_caller]
pub fn assert_same(expected: &Tree, found: &Tree, what: &str) {
    let mut differences = Vec::new();
    for (path, node) in expected {
        match found.get(path) {
            None => differences.push(format!("missing: {}", path.escape_ascii())),
            Some(other) if other != node => differences.push(difference(path, node, other)),
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        differences.push(format!("too much: {}", path.escape_ascii()));
    }
    differences.truncate(20);
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

fn difference(path: &[u8], expected: &Node, found: &Node) -> String {
    let brief = |node: &Node| {
        let mut node = node.clone();
        let length = node.content.len();
        node.content.truncate(32);
        format!("{length} bytes, {node:?}")
    };
    format!("differs: {}\n  expected {}\n  found    {}", path.escape_ascii(), brief(expected), brief(found))
}

pub fn archive(root: &Path, base: Option<&Index>) -> (Vec<u8>, Written) {
    archive_with(&Source::new(root), base, &mut ())
}

pub fn archive_with(source: &Source, base: Option<&Index>, watch: &mut dyn Watch) -> (Vec<u8>, Written) {
    let mut bytes = Vec::new();
    let written = write_archive(source, base, SystemTime::now(), &mut bytes, watch).unwrap();
    assert_eq!(bytes.len() as u64, written.archive_bytes);
    assert_eq!(bytes.len() % 10240, 0);
    (bytes, written)
}

pub fn restore(archive: &[u8], dest: &Path) -> Restored {
    let restored = read_archive(&mut &*archive, dest, &Extract::default(), &mut ()).unwrap();
    assert_eq!(restored.archive_bytes, archive.len() as u64);
    restored
}

/// Without a single complaint.
#[track_caller]
pub fn restore_cleanly(archive: &[u8], dest: &Path) -> Restored {
    let restored = restore(archive, dest);
    assert_eq!(restored.problems, vec![]);
    restored
}

pub fn members(archive: &[u8]) -> Vec<Listed> {
    let mut members = Vec::new();
    list_archive(&mut &*archive, &mut |member| members.push(member), &mut ()).unwrap();
    members
}

/// Names as stored, for short comparisons.
pub fn names(archive: &[u8]) -> Vec<String> {
    members(archive).iter().map(|member| member.name.escape_ascii().to_string()).collect()
}

/// Runs GNU tar in `dir` with `input` on its standard input; its standard output.
#[track_caller]
pub fn gnu_tar(dir: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), input).unwrap();
    let output = Command::new("tar")
        .args(["--warning=no-timestamp"])
        .args(arguments)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .stdin(fs::File::open(file.path()).unwrap())
        .output()
        .expect("GNU tar is needed: apt-get install tar");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "tar {arguments:?}: {} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Upstream's restore command, plus what GNU tar needs to restore attributes.
#[track_caller]
pub fn gnu_restore(archive: &[u8], dest: &Path) {
    fs::create_dir_all(dest).unwrap();
    let arguments = [
        "--incremental",
        "--extract",
        "--ignore-zeros",
        "--overwrite",
        "--xattrs",
        "--xattrs-include=*",
        "--acls",
    ];
    gnu_tar(dest, &[&arguments[..], &["-p", "--same-owner", "-f", "-"]].concat(), archive);
}

/// Upstream's backup command; the SNAR file is read and written.
#[track_caller]
pub fn gnu_archive(root: &Path, snar: &Path, more: &[&str]) -> Vec<u8> {
    let snar = format!("--listed-incremental={}", snar.display());
    let arguments =
        ["--create", "--no-check-device", "--one-file-system", "--preserve-permissions", "--same-owner"];
    let end = ["--seek", "--ignore-failed-read", &snar, "--warning=none", "-f", "-"];
    gnu_tar(root, &[&arguments[..], &end, more, &["."]].concat(), b"")
}

/// Waits until the clock of the file system is well past everything that happened in it so far.
pub fn settle(root: &Path) {
    let start = SystemTime::now();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let probe = tempfile::NamedTempFile::new_in(root.parent().unwrap()).unwrap();
        if probe.as_file().metadata().unwrap().modified().unwrap() > start + Duration::from_millis(60) {
            return;
        }
        assert!(Instant::now() < deadline, "the file system's clock stands still");
        std::thread::yield_now();
    }
}

/// A source with one of everything. Owners without a name here, times before 1970, attributes, ACLs.
pub fn furnish(root: &Path) {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let write = |name: &str, content: &[u8]| fs::write(root.join(name), content).unwrap();
    for dir in ["dir/deeper/deepest", "empty", "closed"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    write("empty-file", b"");
    write("block", &[7; 512]);
    write("block-and-one", &[8; 513]);
    write("dir/large", &pattern(3_000_000));
    write("dir/deeper/text", b"hello\n");
    write("closed/secret", b"s3cret");
    for number in 0..40 {
        write(&format!("dir/deeper/deepest/f{number:02}"), &pattern(number * 97));
    }
    fs::hard_link(root.join("block"), root.join("dir/second-name")).unwrap();
    fs::hard_link(root.join("block"), root.join("zz-third-name")).unwrap();
    symlink("dir/large", root.join("link")).unwrap();
    symlink("/nowhere/at all", root.join("dir/dangling")).unwrap();
    symlink("t".repeat(300), root.join("long-link")).unwrap();
    run("mkfifo", &[&root.join("fifo")]);
    run("mknod", &[&root.join("null"), Path::new("c"), Path::new("1"), Path::new("3")]);
    run("mknod", &[&root.join("loop"), Path::new("b"), Path::new("7"), Path::new("300")]);
    fs::set_permissions(root.join("closed/secret"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o1555)).unwrap();
    chown(root.join("block-and-one"), Some(54_321), Some(3_000_000)).unwrap();
    chown(root.join("dir/deeper"), Some(1), Some(2)).unwrap();
    std::os::unix::fs::lchown(root.join("link"), Some(33), Some(33)).unwrap();
    fs::set_permissions(root.join("block-and-one"), fs::Permissions::from_mode(0o6755)).unwrap();
    set_xattr(&root.join("dir/large"), "user.note", b"a\0b=c\n");
    set_xattr(&root.join("dir"), "user.dir=odd%name", b"");
    set_xattr(&root.join("empty-file"), "user.big", &pattern(2000));
    set_xattr(&root.join("link"), "trusted.on-link", b"x");
    set_xattr(&root.join("fifo"), "trusted.on-fifo", b"y");
    setfacl(&root.join("dir/large"), &["-m", "u:54321:rw,g:33:r,m:rwx"]);
    setfacl(&root.join("dir/deeper"), &["-m", "u:root:rwx", "-m", "d:u:7:rx,d:g:54322:w"]);
    set_mtime(&root.join("dir/deeper/text"), -3, 250_000_000);
    set_mtime(&root.join("block-and-one"), 1_000_000_000, 123_456_789);
    set_mtime(&root.join("link"), 1_234_567_890, 5);
    set_mtime(&root.join("empty"), 4_000_000_000, 0);
}

pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31) ^ (at >> 8)) as u8).collect()
}

pub fn set_mtime(path: &Path, secs: i64, nanos: i64) {
    let time = rustix::fs::Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

pub fn setfacl(path: &Path, arguments: &[&str]) {
    let status = Command::new("setfacl").args(arguments).arg(path).status();
    assert!(status.expect("setfacl is needed: apt-get install acl").success());
}

pub fn run(program: &str, arguments: &[&Path]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}
