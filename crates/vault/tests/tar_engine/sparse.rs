//! Holes, in every notation.

use crate::tree::*;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const GIB: u64 = 1 << 30;

fn hollow(path: &Path, size: u64, pieces: &[(u64, &[u8])]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (offset, bytes) in pieces {
        file.write_all_at(bytes, *offset).unwrap();
    }
}

/// Files that differ in where their holes are.
fn furnish_holes(root: &Path) {
    let block = [5u8; 4096];
    hollow(&root.join("all-hole"), 70_000, &[]);
    hollow(&root.join("hole-first"), 1 << 20, &[((1 << 20) - 4096, &block)]);
    hollow(&root.join("hole-last"), 1 << 20, &[(0, &block)]);
    hollow(&root.join("odd-end"), 1_000_001, &[(0, &block), (999_990, b"last words.")]);
    let many: Vec<(u64, &[u8])> = (0..60).map(|at| (at * 65_536, &block[..])).collect();
    hollow(&root.join("many"), 60 * 65_536, &many);
    hollow(&root.join("five"), 5 * 65_536 + 1, &many[..5]);
    fs::write(root.join("solid"), pattern(300_000)).unwrap();
}

#[track_caller]
fn assert_holes(source: &Path, dest: &Path, names: &[&str]) {
    for name in names {
        let (from, to) = (fs::metadata(source.join(name)).unwrap(), fs::metadata(dest.join(name)).unwrap());
        assert_eq!(from.len(), to.len(), "{name}");
        assert!(to.blocks() <= from.blocks() + 16, "{name}: {} blocks became {}", from.blocks(), to.blocks());
    }
}

const NAMES: [&str; 6] = ["all-hole", "hole-first", "hole-last", "odd-end", "many", "five"];

#[test]
fn ours_to_ours_and_gnu() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    furnish_holes(&source);
    let long = source.join("l".repeat(200));
    hollow(&long, 5_000_000, &[(4_000_000, b"x")]);
    let (bytes, written) = archive(&source, None);
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    assert_eq!(written.problems, vec![]);
    for member in members(&bytes).iter().filter(|member| member.name.ends_with(b"odd-end")) {
        assert_eq!(member.size, 1_000_001);
    }
    let (ours, gnu) = (dir.path().join("ours"), dir.path().join("gnu"));
    restore_cleanly(&bytes, &ours);
    gnu_restore(&bytes, &gnu);
    for dest in [&ours, &gnu] {
        assert_same(&look(&source), &look(dest), "restored");
        assert_holes(&source, dest, &NAMES);
    }
}

#[test]
fn gnu_to_ours_in_every_sparse_format() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    furnish_holes(&source);
    for options in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let dest = dir.path().join(options.concat());
        let bytes = gnu_tar(&source, &[&["-c", "--sparse", "-f", "-"], options, &["."]].concat(), b"");
        assert!(bytes.len() < 1_200_000, "{options:?} {}", bytes.len());
        restore_cleanly(&bytes, &dest);
        let (mut expected, mut found) = (look(&source), look(&dest));
        expected.values_mut().chain(found.values_mut()).for_each(|node| node.mtime.1 = 0);
        assert_same(&expected, &found, &format!("{options:?}"));
        assert_holes(&source, &dest, &NAMES);
    }
}

#[test]
fn giants() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    hollow(&source.join("five"), 5 * GIB + 3, &[(0, b"start"), (3 * GIB, b"middle"), (5 * GIB, b"end")]);
    hollow(&source.join("nine"), 9 * GIB, &[(9 * GIB - 4, b"last")]);
    let (bytes, written) = archive(&source, None);
    assert!(bytes.len() < 200_000 && written.content_bytes < 100_000);
    let (ours, gnu) = (dir.path().join("ours"), dir.path().join("gnu"));
    restore_cleanly(&bytes, &ours);
    gnu_restore(&bytes, &gnu);
    for dest in [&ours, &gnu] {
        assert_same(&look(&source), &look(dest), "restored");
        assert_holes(&source, dest, &["five", "nine"]);
        let read = |name: &str, at: u64, length: usize| {
            let mut bytes = vec![0; length];
            File::open(dest.join(name)).unwrap().read_exact_at(&mut bytes, at).unwrap();
            bytes
        };
        assert_eq!(read("five", 3 * GIB, 6), b"middle");
        assert_eq!(read("five", 5 * GIB, 3), b"end");
        assert_eq!(read("nine", 9 * GIB - 4, 4), b"last");
        assert_eq!(read("nine", 8 * GIB, 4), [0; 4]);
    }
}
