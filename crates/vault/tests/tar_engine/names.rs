//! Names of every kind and length, deep trees, and many small files.

use crate::tree::*;
use freezer_vault::tar::{Source, Watch};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

#[test]
fn odd_names() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    let odd: [&[u8]; 16] = [
        b"new\nline",
        b"\xff\xfe not utf-8 \x80",
        b"-dash",
        b"--option=x",
        b" spaces ",
        b"back\\slash",
        b"\\n",
        b"quote'\"",
        b"\xc3\xa9t\xc3\xa9",
        b"tab\t",
        b"...",
        b".freezer-1-1",
        b"*?[x]",
        b"$HOME",
        b"\x01\x02",
        b"%25=",
    ];
    for name in odd {
        let path = source.join(OsStr::from_bytes(name));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(OsStr::from_bytes(name)), name).unwrap();
        symlink(OsStr::from_bytes(name), path.join("link")).unwrap();
    }
    // Around the 100 bytes of the header's field, and up to what file systems allow; the 31 bytes of a name are safe.
    for length in [95, 96, 97, 98, 99, 100, 101, 154, 155, 156, 254, 255] {
        let name = "n".repeat(length);
        fs::write(source.join(&name), &name).unwrap();
        fs::hard_link(source.join(&name), source.join(name.replacen('n', "z", 1))).unwrap();
        symlink("t".repeat(length), source.join(format!("link-{length}"))).unwrap();
        let directory = source.join("d".repeat(length));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("\u{fc}".repeat(length / 2)), &name).unwrap();
    }
    round_trip(&source, true);
}

fn round_trip(source: &std::path::Path, with_gnu: bool) {
    let dir = source.parent().unwrap();
    let (bytes, written) = archive(source, None);
    assert_eq!(written.problems, vec![]);
    restore_cleanly(&bytes, &dir.join("ours"));
    assert_same(&look(source), &look(&dir.join("ours")), "by us");
    if with_gnu {
        gnu_restore(&bytes, &dir.join("gnu"));
        assert_same(&look(source), &look(&dir.join("gnu")), "by GNU tar");
        let snar = dir.join("snar");
        let _ = fs::remove_file(&snar);
        restore_cleanly(&gnu_archive(source, &snar, &["--format=posix"]), &dir.join("from-gnu"));
        assert_eq!(look(source).len(), look(&dir.join("from-gnu")).len());
    }
}

/// Makes `depth` directories inside each other, each with a file, without ever using a long path.
fn dig(root: &std::path::Path, depth: usize, name: &str) {
    let mut dir = rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for level in 0..depth {
        mkdirat(&dir, name, Mode::from_raw_mode(0o755)).unwrap();
        dir = openat(&dir, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let file = openat(&dir, "file", OFlags::WRONLY | OFlags::CREATE, Mode::from_raw_mode(0o644)).unwrap();
        rustix::io::write(&file, level.to_string().as_bytes()).unwrap();
    }
}

#[test]
fn paths_longer_than_the_kernel_takes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("zz"), "after the deep").unwrap();
    dig(&source, 30, &"x".repeat(250));
    round_trip(&source, false);
    // And away with it: the deep tree is deleted at the next level.
    let (_, first) = archive(&source, None);
    run("rm", &["-rf".as_ref(), &source.join("x".repeat(250))]);
    let (second, _) = archive(&source, Some(&first.index));
    let restored = restore_cleanly(&second, &dir.path().join("ours"));
    assert_eq!(restored.deleted, 60);
    assert_same(&look(&source), &look(&dir.path().join("ours")), "deleted");
}

#[test]
fn deeper_than_descriptors_reach() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    dig(&source, 1500, "d");
    let (bytes, written) = archive(&source, None);
    assert_eq!((written.members, written.problems.len()), (3001, 0));
    restore_cleanly(&bytes, &dir.path().join("ours"));
    let (again, _) = archive(&dir.path().join("ours"), None);
    assert_eq!(names(&again), names(&bytes));
    fs::remove_dir(dir.path().join("empty")).ok();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let (nothing, _) = archive(&dir.path().join("empty"), None);
    assert_eq!(restore_cleanly(&nothing, &dir.path().join("ours")).deleted, 3000);
    run("rm", &["-rf".as_ref(), &source]);
}

/// Names of the threads that read ahead, looked for at one file in a thousand.
#[derive(Default)]
struct Readers {
    files: usize,
    seen: BTreeSet<String>,
}

impl Watch for Readers {
    fn on_file(&mut self, _path: &[u8]) {
        self.files += 1;
        if !self.files.is_multiple_of(1000) {
            return;
        }
        for thread in fs::read_dir("/proc/self/task").unwrap() {
            // One that ends meanwhile has no name any more.
            let name = fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default();
            self.seen.extend(name.starts_with("tar-read-").then(|| name.trim_end().to_owned()));
        }
    }
}

#[test]
fn a_hundred_thousand_small_files() {
    // In memory where possible: the disk has no part in this test.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let source = dir.path().join("source");
    for number in 0..100 {
        let sub = source.join(format!("{number:02}"));
        fs::create_dir_all(&sub).unwrap();
        for file in 0..1000 {
            fs::write(sub.join(format!("file-{file}")), format!("{number} {file}")).unwrap();
        }
    }
    let mut readers = Readers::default();
    let (bytes, written) = archive_with(&Source::new(&source), None, &mut readers);
    assert_eq!(readers.seen.len(), 4, "{:?}", readers.seen);
    assert_eq!((written.members, written.entries), (100_101, 100_100));
    assert_eq!(written.problems, vec![]);
    let restored = restore_cleanly(&bytes, &dir.path().join("ours"));
    assert_eq!((restored.members, restored.content_bytes), (100_101, written.content_bytes));
    assert_same(&look(&source), &look(&dir.path().join("ours")), "100,000 files");
    settle(&source);
    let (_, first) = archive(&source, None);
    fs::write(source.join("42/file-42"), "changed").unwrap();
    let (bytes, second) = archive_with(&Source::new(&source), Some(&first.index), &mut ());
    assert_eq!(second.members, 102);
    let mut stored = Vec::new();
    second.index.write_to(&mut stored).unwrap();
    let per_entry = stored.len() / 100_000;
    assert!(per_entry < 48, "{per_entry} bytes per entry in the index");
    restore_cleanly(&bytes, &dir.path().join("ours"));
    assert_eq!(fs::read_to_string(dir.path().join("ours/42/file-42")).unwrap(), "changed");
}
