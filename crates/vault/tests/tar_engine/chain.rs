//! Levels: random changes replayed by us and by GNU tar, and chains continued across the two programs.

use crate::tree::*;
use freezer_vault::tar::{Index, ProblemKind, Source, TarError, write_archive};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// One change; numbers choose among what is there.
#[derive(Debug, Clone)]
enum Change {
    Write {
        at: usize,
        name: u8,
        size: usize,
    },
    Append {
        at: usize,
    },
    Delete {
        at: usize,
    },
    Rename {
        at: usize,
        to: usize,
        name: u8,
    },
    MakeDir {
        at: usize,
        name: u8,
    },
    Symlink {
        at: usize,
        name: u8,
    },
    HardLink {
        at: usize,
        to: usize,
        name: u8,
    },
    Fifo {
        at: usize,
        name: u8,
    },
    Mode {
        at: usize,
        bits: u32,
    },
    Touch {
        at: usize,
        secs: i64,
    },
    Xattr {
        at: usize,
        set: bool,
    },
    Acl {
        at: usize,
        set: bool,
    },
    Swap {
        at: usize,
        with: usize,
    },
    /// Written beside and renamed, as editors do.
    Replace {
        at: usize,
        size: usize,
    },
}

fn change() -> impl Strategy<Value = Change> {
    let at = || 0..64usize;
    let name = || 0..6u8;
    let size = || prop_oneof![Just(0), 1..600usize, Just(5000), Just(200_000)];
    prop_oneof![
        4 => (at(), name(), size()).prop_map(|(at, name, size)| Change::Write { at, name, size }),
        2 => at().prop_map(|at| Change::Append { at }),
        3 => at().prop_map(|at| Change::Delete { at }),
        4 => (at(), at(), name()).prop_map(|(at, to, name)| Change::Rename { at, to, name }),
        3 => (at(), name()).prop_map(|(at, name)| Change::MakeDir { at, name }),
        2 => (at(), name()).prop_map(|(at, name)| Change::Symlink { at, name }),
        3 => (at(), at(), name()).prop_map(|(at, to, name)| Change::HardLink { at, to, name }),
        1 => (at(), name()).prop_map(|(at, name)| Change::Fifo { at, name }),
        1 => (at(), 0o400..0o777u32).prop_map(|(at, bits)| Change::Mode { at, bits }),
        1 => (at(), 0..2_000_000_000i64).prop_map(|(at, secs)| Change::Touch { at, secs }),
        1 => (at(), any::<bool>()).prop_map(|(at, set)| Change::Xattr { at, set }),
        1 => (at(), any::<bool>()).prop_map(|(at, set)| Change::Acl { at, set }),
        2 => (at(), at()).prop_map(|(at, with)| Change::Swap { at, with }),
        2 => (at(), size()).prop_map(|(at, size)| Change::Replace { at, size }),
    ]
}

/// Everything below the root, and the directories among it with the root.
fn paths(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut all, mut directories) = (Vec::new(), vec![root.to_path_buf()]);
    let mut next = 0;
    while let Some(dir) = directories.get(next).cloned() {
        let mut names: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names {
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                directories.push(path.clone());
            }
            all.push(path);
        }
        next += 1;
    }
    (all, directories)
}

/// Failures (a name that is taken, a directory moved into itself) are as good as no change.
fn apply(root: &Path, change: &Change) {
    let (all, directories) = paths(root);
    let any = |at: usize| all.get(at % all.len().max(1)).cloned();
    let free =
        |at: usize, name: u8| directories[at % directories.len()].join(char::from(b'a' + name).to_string());
    let is_file = |path: &PathBuf| fs::symlink_metadata(path).unwrap().is_file();
    match *change {
        Change::Write { at, name, size } => {
            let path = free(at, name);
            if !path.exists() || is_file(&path) {
                let _ = fs::write(path, pattern(size + at));
            }
        }
        Change::Append { at } => {
            if let Some(path) = any(at).filter(is_file) {
                let mut content = fs::read(&path).unwrap();
                content.extend_from_slice(b"more");
                fs::write(path, content).unwrap();
            }
        }
        Change::Delete { at } => {
            if let Some(path) = any(at) {
                remove(&path);
            }
        }
        Change::Rename { at, to, name } => {
            if let Some(path) = any(at) {
                let _ = fs::rename(path, free(to, name));
            }
        }
        Change::MakeDir { at, name } => {
            let _ = fs::create_dir(free(at, name));
        }
        Change::Symlink { at, name } => {
            let _ = symlink(format!("target-{at}"), free(at, name));
        }
        Change::HardLink { at, to, name } => {
            if let Some(path) = any(at) {
                let _ = fs::hard_link(path, free(to, name));
            }
        }
        Change::Fifo { at, name } => {
            let path = free(at, name);
            if fs::symlink_metadata(&path).is_err() {
                run("mkfifo", &[&path]);
            }
        }
        Change::Mode { at, bits } => {
            if let Some(path) = any(at).filter(|path| !path.is_symlink()) {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
            }
        }
        Change::Touch { at, secs } => {
            if let Some(path) = any(at) {
                set_mtime(&path, secs, secs % 1000);
            }
        }
        Change::Xattr { at, set } => {
            if let Some(path) = any(at) {
                if set {
                    set_xattr(&path, "trusted.t", &pattern(at));
                } else {
                    let _ = rustix::fs::lremovexattr(&path, "trusted.t");
                }
            }
        }
        Change::Acl { at, set } => {
            if let Some(path) = any(at).filter(|path| path.is_dir() && !path.is_symlink()) {
                if set {
                    setfacl(&path, &["-m", "u:33:rx,d:u:33:rwx"]);
                } else {
                    setfacl(&path, &["-b"]);
                }
            }
        }
        Change::Swap { at, with } => {
            if let (Some(one), Some(two)) = (any(at), any(with)) {
                let aside = root.join("aside");
                if one != two && fs::rename(&one, &aside).is_ok() {
                    let _ = fs::rename(&two, &one);
                    if fs::rename(&aside, &two).is_err() {
                        let _ = fs::rename(&aside, &one);
                        if aside.symlink_metadata().is_ok() {
                            remove(&aside);
                        }
                    }
                }
            }
        }
        Change::Replace { at, size } => {
            if let Some(path) = any(at).filter(is_file) {
                fs::write(root.join("beside"), pattern(size)).unwrap();
                fs::rename(root.join("beside"), path).unwrap();
            }
        }
    }
}

fn remove(path: &Path) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

fn runner(seed: u8, cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

type Steps = Vec<(Vec<Change>, bool)>;

fn steps() -> impl Strategy<Value = Steps> {
    let first = prop::collection::vec(change(), 20..40);
    let later = prop::collection::vec((prop::collection::vec(change(), 0..12), any::<bool>()), 1..6);
    (first, later).prop_map(|(first, later)| [vec![(first, true)], later].concat())
}

fn replay(steps: &Steps) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    let (ours, gnu) = (dir.path().join("ours"), dir.path().join("gnu"));
    let mut base: Option<Index> = None;
    for (level, (changes, wait)) in steps.iter().enumerate() {
        changes.iter().for_each(|change| apply(&source, change));
        // Without waiting, the clock hides which files changed before the level began: they must be saved again.
        if *wait {
            settle(&source);
        }
        let expected = look(&source);
        let (bytes, written) = archive(&source, base.as_ref());
        assert_eq!(written.problems, vec![]);
        restore_cleanly(&bytes, &ours);
        assert_same(&expected, &look(&ours), &format!("level {level} by us"));
        gnu_restore(&bytes, &gnu);
        assert_same(
            &without_stale_attributes(&expected),
            &without_stale_attributes(&look(&gnu)),
            &format!("level {level} by GNU tar"),
        );
        let stored = Index::from_bytes(&bytes_of(&written.index)).unwrap();
        assert_eq!(stored, written.index);
        base = Some(stored);
    }
}

fn bytes_of(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    index.write_to(&mut bytes).unwrap();
    bytes
}

/// GNU tar does not take attributes away from a directory that exists, and a file in it inherits ACLs.
fn without_stale_attributes(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    for node in tree.values_mut() {
        node.xattrs.clear();
        node.mode &= !0o070;
    }
    tree
}

/// Upstream's chains, written by GNU tar, restored by us.
fn replay_gnu(steps: &Steps) {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest, snar) = (dir.path().join("source"), dir.path().join("dest"), dir.path().join("snar"));
    fs::create_dir(&source).unwrap();
    for (level, (changes, _)) in steps.iter().enumerate() {
        changes.iter().for_each(|change| apply(&source, change));
        settle(&source);
        let bytes = gnu_archive(&source, &snar, &[]);
        settle(&source);
        restore_cleanly(&bytes, &dest);
        let (mut expected, mut found) = (roughly(&look(&source)), roughly(&look(&dest)));
        // GNU tar stores second names of fifos as fifos.
        expected.values_mut().chain(found.values_mut()).for_each(|node| node.first_name.clear());
        assert_same(&expected, &found, &format!("level {level}"));
    }
}

#[test]
fn random_gnu_chains() {
    runner(77, 40)
        .run(&steps(), |steps| {
            replay_gnu(&steps);
            Ok(())
        })
        .unwrap();
}

macro_rules! random_chains {
    ($($name:ident: $seed:literal),*) => {$(
        #[test]
        fn $name() {
            runner($seed, 12).run(&steps(), |steps| { replay(&steps); Ok(()) }).unwrap();
        }
    )*};
}
random_chains!(random_changes_1: 1, random_changes_2: 2, random_changes_3: 3, random_changes_4: 4);

#[test]
fn unchanged_files_are_not_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    furnish(&source);
    settle(&source);
    let (_, first) = archive(&source, None);
    let (bytes, second) = archive(&source, Some(&first.index));
    assert!(names(&bytes).iter().all(|name| name.ends_with('/')), "{:?}", names(&bytes));
    assert_eq!(second.entries, first.entries);
    assert!(!second.index.find(b"dir/large").unwrap().saved_here);
    fs::write(source.join("dir/large"), "smaller").unwrap();
    let (bytes, third) = archive(&source, Some(&second.index));
    let files: Vec<String> = names(&bytes).into_iter().filter(|name| !name.ends_with('/')).collect();
    assert_eq!(files, ["./dir/large"]);
    let kept = third.index.find(b"dir/large").unwrap();
    assert!(kept.saved_here && kept.size == 7);
    assert!(third.index.find(b"dir/none").is_none());
    let mut seen = Vec::new();
    third.index.for_each(&mut |path, _| seen.push(path.to_vec()));
    assert_eq!(seen.len() as u64, third.entries);
    assert!(seen.contains(&b"dir/deeper/deepest/f00".to_vec()));
}

/// A change in the very tick in which the previous level looked must not be lost, however it hides.
#[test]
fn changes_that_hide_behind_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    let dest = dir.path().join("dest");
    let mut base = None;
    for round in 0..200u32 {
        fs::write(source.join("file"), format!("{round:08}")).unwrap();
        let (bytes, written) = archive(&source, base.as_ref());
        restore_cleanly(&bytes, &dest);
        assert_eq!(fs::read_to_string(dest.join("file")).unwrap(), format!("{round:08}"));
        base = Some(written.index);
    }
}

/// The same when GNU tar takes the next level from our snapshot file.
#[test]
fn gnu_tar_sees_changes_that_hide_behind_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let (source, snar) = (dir.path().join("source"), dir.path().join("snar"));
    fs::create_dir(&source).unwrap();
    for round in 0..50u32 {
        let (_, written) = archive(&source, None);
        fs::write(&snar, written.index.to_snar()).unwrap();
        fs::write(source.join("file"), format!("{round:08}")).unwrap();
        let stored = names(&gnu_archive(&source, &snar, &[]));
        assert!(stored.contains(&"./file".to_owned()), "round {round}: {stored:?}");
    }
}

#[test]
fn broken_hard_links_do_not_write_through() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("a"), "shared").unwrap();
    fs::hard_link(source.join("a"), source.join("b")).unwrap();
    fs::hard_link(source.join("a"), source.join("sub/c")).unwrap();
    settle(&source);
    let (level0, first) = archive(&source, None);
    fs::remove_file(source.join("b")).unwrap();
    fs::write(source.join("b"), "alone now").unwrap();
    let (level1, _) = archive(&source, Some(&first.index));
    let (ours, gnu) = (dir.path().join("ours"), dir.path().join("gnu"));
    for level in [&level0, &level1] {
        restore_cleanly(level, &ours);
        gnu_restore(level, &gnu);
    }
    assert_same(&look(&source), &look(&ours), "by us");
    assert_same(&look(&source), &look(&gnu), "by GNU tar");
}

/// Upstream's levels, some of them ours: both programs continue the other's chain.
#[test]
fn chains_cross_programs() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let snar = dir.path().join("snar");
    fs::create_dir(&source).unwrap();
    furnish(&source);
    settle(&source);
    let gnu0 = gnu_archive(&source, &snar, &[]);
    let base = Index::from_snar(&fs::read(&snar).unwrap()).unwrap();
    assert!(base.find(b"dir/large").unwrap().saved_here);

    settle(&source);
    fs::rename(source.join("dir/deeper"), source.join("moved")).unwrap();
    fs::remove_file(source.join("empty-file")).unwrap();
    fs::write(source.join("new"), "new").unwrap();
    fs::write(source.join("dir/large"), "changed").unwrap();
    settle(&source);
    let expected1 = look(&source);
    let (ours1, written1) = archive(&source, Some(&base));
    let stored = names(&ours1);
    assert!(stored.contains(&"./moved/text".to_owned()) && stored.contains(&"./new".to_owned()));
    assert!(!stored.contains(&"./block".to_owned()), "unchanged files are not stored again: {stored:?}");

    fs::write(&snar, written1.index.to_snar()).unwrap();
    fs::rename(source.join("moved"), source.join("moved-again")).unwrap();
    fs::write(source.join("new"), "newer").unwrap();
    fs::remove_dir_all(source.join("empty")).unwrap();
    settle(&source);
    let expected2 = look(&source);
    let gnu2 = gnu_archive(&source, &snar, &[]);
    let stored = names(&gnu2);
    assert!(stored.contains(&"./new".to_owned()) && !stored.contains(&"./block".to_owned()), "{stored:?}");
    assert!(!stored.contains(&"./moved-again/text".to_owned()), "GNU tar sees the rename: {stored:?}");

    let base = Index::from_snar(&fs::read(&snar).unwrap()).unwrap();
    fs::write(source.join("last"), "one").unwrap();
    let expected3 = look(&source);
    let (ours3, _) = archive(&source, Some(&base));
    for restore_level in [true, false] {
        let dest = dir.path().join(format!("dest-{restore_level}"));
        for (level, expected) in
            [(&gnu0, None), (&ours1, Some(&expected1)), (&gnu2, Some(&expected2)), (&ours3, Some(&expected3))]
        {
            if restore_level {
                restore_cleanly(level, &dest);
            } else {
                gnu_restore(level, &dest);
            }
            if let Some(expected) = expected {
                assert_same(&roughly(expected), &roughly(&look(&dest)), "after a level");
            }
        }
    }
}

/// What GNU tar's default format keeps.
fn roughly(tree: &Tree) -> Tree {
    let mut tree = without_stale_attributes(tree);
    tree.values_mut().for_each(|node| node.mtime.1 = 0);
    tree
}

/// Renames as GNU tar records them; the third of these chains GNU tar itself cannot restore.
#[test]
fn gnu_renames_replay() {
    type Renames = &'static [(&'static str, &'static str)];
    let cases: [Renames; 6] = [
        &[("a", "z")],
        &[("a", "new"), ("new/sub", "new/other")],
        &[("b", "c"), ("a", "b")],
        &[("a", "tmp"), ("b", "a"), ("tmp", "b")],
        &[("a/sub", "b/sub2"), ("a", "b/inner")],
        // A directory takes its parent's name. (With the parent moved below it GNU tar writes nonsense.)
        &[("b/keep", "tmp"), ("b/three", "kept"), ("b", "gone"), ("tmp", "b")],
    ];
    for renames in cases {
        let dir = tempfile::tempdir().unwrap();
        let (source, dest, snar) =
            (dir.path().join("source"), dir.path().join("dest"), dir.path().join("snar"));
        for file in ["a/one", "a/sub/two", "b/three", "b/keep/four"] {
            fs::create_dir_all(source.join(file).parent().unwrap()).unwrap();
            fs::write(source.join(file), file).unwrap();
        }
        settle(&source);
        restore_cleanly(&gnu_archive(&source, &snar, &[]), &dest);
        renames.iter().for_each(|(from, to)| fs::rename(source.join(from), source.join(to)).unwrap());
        settle(&source);
        let level1 = gnu_archive(&source, &snar, &[]);
        assert!(members(&level1)[0].dumpdir.as_ref().unwrap().iter().any(|(code, _)| *code == b'R'));
        restore_cleanly(&level1, &dest);
        assert_same(&roughly(&look(&source)), &roughly(&look(&dest)), &format!("{renames:?}"));
    }
}

#[test]
fn a_level_without_its_base_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("old"), "x").unwrap();
    settle(&source);
    let (_, first) = archive(&source, None);
    let (level1, _) = archive(&source, Some(&first.index));
    let restored = restore(&level1, &dir.path().join("dest"));
    assert!(restored.is_partial());
    assert_eq!(
        (restored.problems[0].kind, &restored.problems[0].path[..]),
        (ProblemKind::Missing, &b"old"[..])
    );
}

#[test]
fn concatenated_levels_are_one_stream() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    furnish(&source);
    settle(&source);
    let (mut stream, first) = archive(&source, None);
    fs::remove_dir_all(source.join("dir")).unwrap();
    run("chmod", &["700".as_ref(), &source]);
    let (second, _) = archive(&source, Some(&first.index));
    stream.extend(second);
    restore_cleanly(&stream, &dir.path().join("dest"));
    assert_same(&look(&source), &look(&dir.path().join("dest")), "both levels");
}

#[test]
fn index_damage_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    fs::create_dir(source.join("sub")).unwrap();
    let (_, written) = archive(&source, None);
    let bytes = bytes_of(&written.index);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        assert!(matches!(Index::from_bytes(&damaged), Err(TarError::Index(_))), "byte {at}");
        assert!(Index::from_bytes(&bytes[..at]).is_err());
    }
    let snar = written.index.to_snar();
    for at in 0..snar.len() {
        let _ = Index::from_snar(&snar[..at]);
        let mut damaged = snar.clone();
        damaged[at] ^= 0x41;
        let _ = Index::from_snar(&damaged);
    }
    let again = Index::from_snar(&snar).unwrap();
    // All but the start, which moves back a little each time.
    let directories = |snar: &[u8]| snar.splitn(3, |&byte| byte == 0).last().unwrap().to_vec();
    assert_eq!(directories(&again.to_snar()), directories(&snar));
    assert!(again.started_at() < written.index.started_at());
    assert!(Index::from_snar(b"1795361912\n1 2 ./x\n").is_err());
}

/// The clock of the caller decides, not ours: a level that claims to have begun in the past saves again.
#[test]
fn files_changed_since_the_start_are_saved_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    settle(&source);
    for (earlier, stored) in [(Duration::ZERO, 1), (Duration::from_secs(3600), 2)] {
        let start = SystemTime::now() - earlier;
        let first = write_archive(&Source::new(&source), None, start, &mut Vec::new(), &mut ()).unwrap();
        let (bytes, _) = archive(&source, Some(&first.index));
        assert_eq!(members(&bytes).len(), stored);
    }
}
