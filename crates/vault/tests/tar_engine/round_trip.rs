//! One archive each way.

use crate::tree::*;
use freezer_vault::tar::{Dereference, Existing, Extract, Kind, ProblemKind, Source, TarError, read_archive};
use rustix::fs::FileType;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;

#[test]
fn ours_to_ours() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    fs::create_dir(&source).unwrap();
    furnish(&source);
    let (bytes, written) = archive(&source, None);
    assert_eq!(written.problems, vec![]);
    restore_cleanly(&bytes, &dest);
    assert_same(&look(&source), &look(&dest), "restored");
    let again = archive_with_time(&source);
    assert!(again == archive_with_time(&source), "the same tree gives the same bytes");
}

fn archive_with_time(source: &std::path::Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let time = std::time::UNIX_EPOCH;
    freezer_vault::tar::write_archive(&Source::new(source), None, time, &mut bytes, &mut ()).unwrap();
    bytes
}

#[test]
fn ours_to_gnu() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest, plain) =
        (dir.path().join("source"), dir.path().join("dest"), dir.path().join("plain"));
    fs::create_dir(&source).unwrap();
    furnish(&source);
    let (bytes, _) = archive(&source, None);
    gnu_restore(&bytes, &dest);
    assert_same(&look(&source), &look(&dest), "tar --incremental --extract");
    fs::create_dir(&plain).unwrap();
    gnu_tar(&plain, &["-x", "-p", "--xattrs", "--xattrs-include=*", "--acls", "-f", "-"], &bytes);
    assert_same(&look(&source), &look(&plain), "tar -x");
}

#[test]
fn gnu_lists_our_dumpdirs() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let (bytes, _) = archive(dir.path(), None);
    let listing = gnu_tar(dir.path(), &["--incremental", "--list", "-vv", "-f", "-"], &bytes);
    let listing = String::from_utf8(listing).unwrap();
    assert!(listing.contains("./\nY file\nD sub\n"), "{listing}");
    assert_eq!(names(&bytes), ["./", "./file", "./sub/"]);
}

#[test]
fn gnu_to_ours_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    furnish(&source);
    fs::write(source.join("n".repeat(150)), "long").unwrap();
    let mut expected = look(&source);
    for (format, precise) in
        [("gnu", false), ("oldgnu", false), ("posix", true), ("ustar", false), ("v7", false)]
    {
        let dest = dir.path().join(format);
        let format_option = format!("--format={format}");
        let options = ["-c", "--sort=name", &format_option, "-f", "-"];
        let mut more = vec![];
        match format {
            "posix" => more.extend(["--xattrs", "--xattrs-include=*", "--acls"]),
            // These formats hold neither long names nor large ids nor old times.
            "ustar" | "v7" => more.extend([
                "--exclude=long-link",
                "--exclude=nnn*",
                "--exclude=block-and-one",
                "--exclude=text",
            ]),
            _ => {}
        }
        if format == "v7" {
            more.extend(["--exclude=fifo", "--exclude=null", "--exclude=loop"]);
        }
        let bytes = gnu_tar(&source, &[&options[..], &more, &["."]].concat(), b"");
        restore_cleanly(&bytes, &dest);
        let mut found = look(&dest);
        if precise {
            assert_same(&expected, &found, format);
            continue;
        }
        let kept: Vec<_> = found.keys().cloned().collect();
        let mut wanted = expected.clone();
        if matches!(format, "ustar" | "v7") {
            wanted.retain(|path, _| kept.contains(path));
            assert!(wanted.len() > 50);
        }
        for node in wanted.values_mut().chain(found.values_mut()) {
            node.mtime.1 = 0;
            node.xattrs.clear();
            // The group bits of a file with an ACL are its mask.
            node.mode &= !0o070;
        }
        assert_same(&wanted, &found, format);
    }
    expected.clear();
}

#[test]
fn owner_names_win_over_numbers_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    let bytes = gnu_tar(&source, &["-c", "--owner=daemon:4242", "--group=bin:4343", "-f", "-", "."], b"");
    for (numeric_owner, uid, gid) in [(false, 1, 2), (true, 4242, 4343)] {
        let dest = dir.path().join(format!("dest-{numeric_owner}"));
        let options = Extract { numeric_owner, ..Extract::default() };
        read_archive(&mut &*bytes, &dest, &options, &mut ()).unwrap();
        let found = fs::metadata(dest.join("file")).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, gid));
    }
}

#[test]
fn without_owner_no_set_id_bits() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    run("chmod", &["6755".as_ref(), &source.join("file")]);
    std::os::unix::fs::chown(source.join("file"), Some(1000), Some(1000)).unwrap();
    run("chmod", &["6755".as_ref(), &source.join("file")]);
    let (bytes, _) = archive(&source, None);
    let options = Extract { restore_owner: false, ..Extract::default() };
    read_archive(&mut &*bytes, &dest, &options, &mut ()).unwrap();
    let found = fs::metadata(dest.join("file")).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o755));
}

#[test]
fn a_single_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.db");
    fs::write(&file, pattern(200_000)).unwrap();
    symlink("one.db", dir.path().join("alias")).unwrap();
    settle(&file);
    let (bytes, written) = archive(&file, None);
    assert_eq!(names(&bytes), ["one.db"]);
    for dest in ["ours", "gnu"] {
        let dest = dir.path().join(dest);
        if dest.ends_with("ours") {
            drop(restore_cleanly(&bytes, &dest))
        } else {
            gnu_restore(&bytes, &dest)
        }
        assert_eq!(fs::read(dest.join("one.db")).unwrap(), pattern(200_000));
    }
    let (second, unchanged) = archive(&file, Some(&written.index));
    assert_eq!((names(&second).len(), unchanged.members, unchanged.entries), (0, 0, 1));
    restore_cleanly(&second, &dir.path().join("ours"));
    fs::write(&file, "new").unwrap();
    let (third, _) = archive(&file, Some(&unchanged.index));
    restore_cleanly(&third, &dir.path().join("ours"));
    assert_eq!(fs::read(dir.path().join("ours/one.db")).unwrap(), b"new");
    let (linked, _) = archive(&dir.path().join("alias"), None);
    assert_eq!(members(&linked)[0].kind, Kind::File);
    assert_eq!(names(&linked), ["alias"]);
}

#[test]
fn a_source_that_cannot_be_read() {
    let missing = freezer_vault::tar::write_archive(
        &Source::new("/nonexistent/source"),
        None,
        std::time::SystemTime::now(),
        &mut Vec::new(),
        &mut (),
    );
    assert!(matches!(missing, Err(TarError::Source { .. })), "{missing:?}");
    let device = freezer_vault::tar::write_archive(
        &Source::new("/dev/null"),
        None,
        std::time::SystemTime::now(),
        &mut Vec::new(),
        &mut (),
    );
    assert!(matches!(device, Err(TarError::Source { .. })));
}

#[test]
fn links_followed_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let outside = dir.path().join("outside");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("far"), "far away").unwrap();
    fs::write(source.join("a"), "same").unwrap();
    fs::hard_link(source.join("a"), source.join("b")).unwrap();
    symlink(&outside, source.join("out")).unwrap();
    symlink("a", source.join("s")).unwrap();
    symlink("nowhere", source.join("dangling")).unwrap();
    symlink("..", source.join("sub/up")).unwrap();
    for dereference in [Dereference::None, Dereference::Soft, Dereference::Hard, Dereference::All] {
        let dest = dir.path().join(format!("{dereference:?}"));
        let source = Source { dereference, ..Source::new(&source) };
        let (bytes, written) = archive_with(&source, None, &mut ());
        restore_cleanly(&bytes, &dest);
        let found = look(&dest);
        let soft = matches!(dereference, Dereference::Soft | Dereference::All);
        let hard = matches!(dereference, Dereference::Hard | Dereference::All);
        assert_eq!(found[&b"s"[..]].kind == FileType::RegularFile, soft);
        assert_eq!(found.contains_key(&b"out/far"[..]), soft);
        assert_eq!(found[&b"dangling"[..]].kind, FileType::Symlink);
        assert_eq!(found[&b"b"[..]].first_name == b"b", hard);
        let loops =
            written.problems.iter().filter(|problem| problem.kind == ProblemKind::SkippedLoop).count();
        assert_eq!(loops, usize::from(soft));
        assert!(!written.is_partial());
    }
}

#[test]
fn sockets_are_noted_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    fs::create_dir(&source).unwrap();
    let _listener = UnixListener::bind(source.join("socket")).unwrap();
    let (bytes, written) = archive(&source, None);
    assert_eq!(written.problems.len(), 1);
    assert_eq!(written.problems[0].kind, ProblemKind::SkippedSocket);
    assert!(!written.is_partial());
    fs::create_dir(&dest).unwrap();
    let _other = UnixListener::bind(dest.join("living")).unwrap();
    fs::write(dest.join("foreign"), "x").unwrap();
    restore_cleanly(&bytes, &dest);
    assert!(dest.join("living").exists() && !dest.join("foreign").exists());
}

#[test]
fn what_exists_is_replaced_kept_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("sub/file"), "new").unwrap();
    let (bytes, _) = archive(&source, None);
    for (existing, incremental) in [
        (Existing::Replace, true),
        (Existing::Replace, false),
        (Existing::Keep, false),
        (Existing::Refuse, false),
    ] {
        let dest = dir.path().join(format!("{existing:?}-{incremental}"));
        fs::create_dir_all(dest.join("sub")).unwrap();
        fs::write(dest.join("sub/file"), "old").unwrap();
        fs::write(dest.join("sub/foreign"), "mine").unwrap();
        let options = Extract { existing, incremental, ..Extract::default() };
        let result = read_archive(&mut &*bytes, &dest, &options, &mut ());
        let expected = if existing == Existing::Replace { "new" } else { "old" };
        assert_eq!(fs::read_to_string(dest.join("sub/file")).unwrap(), expected);
        assert_eq!(dest.join("sub/foreign").exists(), !incremental);
        match existing {
            Existing::Refuse => assert!(matches!(result, Err(TarError::Exists { .. }))),
            Existing::Keep => assert_eq!(result.unwrap().problems[0].kind, ProblemKind::KeptExisting),
            Existing::Replace => assert_eq!(result.unwrap().problems, vec![]),
        }
    }
}

#[test]
fn excludes_as_gnu_does() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    for name in [
        "a.log",
        "sub/b.log",
        "sub/keep",
        "sub/deep/er/x",
        "cache/1",
        "sub/cache/2",
        "star*name",
        "[x]",
        "y z",
    ] {
        let path = source.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    for pattern in [
        "*.log",
        "cache",
        "sub/cache",
        "./cache",
        "s*er",
        "s*er/x",
        "/cache",
        "cache/",
        "cache/*",
        "?",
        "[x]",
        "\\[x]",
        "star\\*name",
        "star*",
        "*",
        "sub",
        "deep/er",
        "*/x",
        "y z",
        "[!a-c]*",
        "[[:alpha:]].log",
        "k?ep",
        ".",
        "",
    ] {
        let excludes = vec![pattern.as_bytes().to_vec()];
        let source = Source { excludes, ..Source::new(&source) };
        let (bytes, _) = archive_with(&source, None, &mut ());
        let mut ours = names(&bytes);
        ours.sort();
        let option = format!("--exclude={pattern}");
        let snar = dir.path().join("snar");
        let _ = fs::remove_file(&snar);
        let mut gnu = names(&gnu_archive(&source.root, &snar, &[&option]));
        gnu.sort();
        // GNU tar lets a pattern exclude even the root; we never archive nothing for that reason.
        if gnu.is_empty() {
            gnu.push("./".into());
            ours.retain(|name| name == "./");
        }
        assert_eq!(ours, gnu, "--exclude={pattern}");
    }
}

#[test]
fn nothing_is_deleted_through_a_second_mount() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest, outside) =
        (dir.path().join("source"), dir.path().join("dest"), dir.path().join("outside"));
    for path in [&source, &dest.join("sub/second"), &dest.join("first"), &outside] {
        fs::create_dir_all(path).unwrap();
    }
    fs::write(outside.join("precious"), "x").unwrap();
    fs::write(dest.join("foreign"), "x").unwrap();
    for place in ["first", "sub/second"] {
        run("mount", &["--bind".as_ref(), &outside, &dest.join(place)]);
    }
    let (bytes, _) = archive(&source, None);
    let restored = restore(&bytes, &dest);
    for place in ["first", "sub/second"] {
        run("umount", &[&dest.join(place)]);
    }
    assert!(outside.join("precious").exists() && !dest.join("foreign").exists());
    let paths: Vec<_> = restored.problems.iter().map(|problem| (&problem.path[..], problem.kind)).collect();
    assert_eq!(paths, [(&b"first"[..], ProblemKind::Undeleted), (b"sub", ProblemKind::Undeleted)]);
}

#[test]
fn mount_points_stay_as_empty_directories() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    fs::create_dir_all(source.join("mount")).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(source.join("mount")).status();
    assert!(mounted.unwrap().success(), "this test needs the right to mount");
    fs::write(source.join("mount/inner"), "other file system").unwrap();
    let (bytes, written) = archive(&source, None);
    let crossing = Source { one_file_system: false, ..Source::new(&source) };
    let (all, _) = archive_with(&crossing, None, &mut ());
    run("umount", &[&source.join("mount")]);
    assert_eq!(written.problems[0].kind, ProblemKind::SkippedMount);
    assert_eq!(names(&bytes), ["./", "./mount/", "./file"]);
    assert!(names(&all).contains(&"./mount/inner".to_owned()));
    fs::create_dir_all(dest.join("mount")).unwrap();
    fs::write(dest.join("mount/kept"), "not ours to delete").unwrap();
    restore_cleanly(&bytes, &dest);
    assert!(dest.join("mount/kept").exists() && dest.join("file").exists());
    gnu_restore(&bytes, &dest);
    assert!(dest.join("mount/kept").exists());
}
