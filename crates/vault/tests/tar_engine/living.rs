//! Files that do not hold still, cannot be read, or are gone; and work that is cancelled.

use crate::tree::*;
use freezer_vault::tar::{
    Extract, Problem, ProblemKind, Source, TarError, Watch, read_archive, write_archive,
};
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::SystemTime;

/// Does something once, when a file is begun or when its first bytes were read.
struct Meddler<F: FnMut()> {
    file: &'static [u8],
    after_first_bytes: bool,
    here: bool,
    deed: Option<F>,
}

impl<F: FnMut()> Meddler<F> {
    fn new(file: &'static [u8], after_first_bytes: bool, deed: F) -> Self {
        Self { file, after_first_bytes, here: false, deed: Some(deed) }
    }

    fn act(&mut self) {
        if let Some(mut deed) = self.deed.take() {
            deed();
        }
    }
}

impl<F: FnMut()> Watch for Meddler<F> {
    fn on_file(&mut self, path: &[u8]) {
        self.here = path == self.file;
        if self.here && !self.after_first_bytes {
            self.act();
        }
    }

    fn on_bytes(&mut self, _count: u64) {
        if self.here {
            self.act();
        }
    }
}

/// Saves a tree with a large file while `deed` is done to it; restores it; saves the next level.
fn meddle(deed: fn(&Path), after_first_bytes: bool) -> (Vec<Problem>, Option<Vec<u8>>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), pattern(3 << 20)).unwrap();
    fs::write(source.join("b"), "after").unwrap();
    settle(&source);
    let path = source.join("a");
    let mut watch = Meddler::new(b"a", after_first_bytes, || deed(&path));
    let (bytes, written) = archive_with(&Source::new(&source), None, &mut watch);
    assert!(!written.is_partial());
    restore_cleanly(&bytes, &dest);
    gnu_restore(&bytes, &dir.path().join("gnu"));
    assert_eq!(fs::read_to_string(dest.join("b")).unwrap(), "after");
    assert!(!written.index.find(b"a").unwrap().saved_here);
    let content = fs::read(dest.join("a")).ok();
    assert_eq!(fs::read(dir.path().join("gnu/a")).ok(), content);
    let (next, _) = archive(&source, Some(&written.index));
    restore_cleanly(&next, &dest);
    assert_same(&look(&source), &look(&dest), "the next level has it right");
    (written.problems, content, names(&next))
}

#[test]
fn grows() {
    let deed =
        |path: &Path| OpenOptions::new().append(true).open(path).unwrap().write_all(&[1; 5000]).unwrap();
    let (problems, content, next) = meddle(deed, true);
    assert_eq!((problems.len(), problems[0].kind), (1, ProblemKind::Grew));
    assert_eq!(content.unwrap(), pattern(3 << 20));
    assert_eq!(next, ["./", "./a"]);
}

#[test]
fn shrinks() {
    let deed = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(1_500_000).unwrap();
    let (problems, content, next) = meddle(deed, true);
    assert_eq!((problems.len(), problems[0].kind), (1, ProblemKind::Shrunk));
    let content = content.unwrap();
    assert_eq!(content.len(), 3 << 20);
    assert_eq!(content[..1_500_000], pattern(3 << 20)[..1_500_000]);
    assert!(content[1_500_000..].iter().all(|&byte| byte == 0));
    assert_eq!(next, ["./", "./a"]);
}

#[test]
fn changes() {
    let deed = |path: &Path| {
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(2_500_000)).unwrap();
        file.write_all(b"new").unwrap();
    };
    let (problems, _, next) = meddle(deed, true);
    assert_eq!((problems.len(), problems[0].kind), (1, ProblemKind::Changed));
    assert_eq!(next, ["./", "./a"]);
}

#[test]
fn vanishes() {
    let (problems, content, next) = meddle(|path| fs::remove_file(path).unwrap(), false);
    assert_eq!((problems.len(), problems[0].kind), (1, ProblemKind::Vanished));
    assert_eq!(content, None);
    assert_eq!(next, ["./"]);
}

#[test]
fn becomes_a_link() {
    let deed = |path: &Path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    };
    let (problems, content, _) = meddle(deed, false);
    assert_eq!((problems.len(), problems[0].kind), (1, ProblemKind::Changed));
    assert_eq!(content, None);
}

#[test]
fn becomes_a_fifo() {
    let deed = |path: &Path| {
        fs::remove_file(path).unwrap();
        run("mkfifo", &[path]);
    };
    let (problems, content, _) = meddle(deed, false);
    assert_eq!((problems.len(), problems[0].kind), (1, ProblemKind::Changed));
    assert_eq!(content, None);
}

#[test]
fn a_directory_vanishes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    for sub in ["a", "b/c"] {
        fs::create_dir_all(source.join(sub)).unwrap();
        fs::write(source.join(sub).join("file"), pattern(200_000)).unwrap();
    }
    // More than the queue holds, so that the walk has not come to `b` when `a` is stored.
    for number in 0..200 {
        fs::write(source.join("a").join(format!("{number}")), pattern(200_000)).unwrap();
    }
    let gone = source.join("b");
    let mut watch = Meddler::new(b"a/0", false, || fs::remove_dir_all(&gone).unwrap());
    let (bytes, written) = archive_with(&Source::new(&source), None, &mut watch);
    assert_eq!((written.problems.len(), written.problems[0].kind), (1, ProblemKind::Vanished));
    restore_cleanly(&bytes, &dir.path().join("dest"));
}

/// Runs `deed` in a thread without root's rights.
fn as_nobody<T: Send>(deed: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (uid, gid) = (rustix::fs::Uid::from_raw(65534), rustix::fs::Gid::from_raw(65534));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            deed()
        });
        thread.join().unwrap()
    })
}

#[test]
fn unreadable_files_and_directories() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    for sub in ["closed", "hidden", "open"] {
        fs::create_dir_all(source.join(sub)).unwrap();
        fs::write(source.join(sub).join("file"), sub).unwrap();
    }
    fs::write(source.join("large"), pattern(200_000)).unwrap();
    fs::write(source.join("small"), "small").unwrap();
    fs::write(source.join("readable"), "readable").unwrap();
    settle(&source);
    // A level 0 with everything, made by root.
    let (level0, first) = archive(&source, None);
    restore_cleanly(&level0, &dest);
    for (path, mode) in [("large", 0o000), ("small", 0o200), ("closed", 0o700), ("hidden", 0o744)] {
        fs::set_permissions(source.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(source.join("small"), "changed, but secret").unwrap();
    let (bytes, written) = as_nobody(|| archive(&source, Some(&first.index)));
    assert!(written.is_partial());
    let mut trouble: Vec<_> = written
        .problems
        .iter()
        .map(|problem| (problem.path.escape_ascii().to_string(), problem.kind))
        .collect();
    trouble.sort();
    let unreadable = |path: &str| (path.to_owned(), ProblemKind::Unreadable);
    assert_eq!(trouble, ["closed", "hidden", "large", "small"].map(unreadable));
    // What could not be read stays as the earlier level had it.
    restore_cleanly(&bytes, &dest);
    gnu_restore(&level0, &dir.path().join("gnu"));
    gnu_restore(&bytes, &dir.path().join("gnu"));
    for dest in [&dest, &dir.path().join("gnu")] {
        assert_eq!(fs::read_to_string(dest.join("small")).unwrap(), "small");
        assert_eq!(fs::read(dest.join("large")).unwrap().len(), 200_000);
        assert_eq!(fs::read_to_string(dest.join("closed/file")).unwrap(), "closed");
        assert_eq!(fs::metadata(dest.join("closed")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(dest.join("hidden/file")).unwrap(), "hidden");
    }
    // Root tries again at the next level, and upstream's tar would too.
    let (bytes, next) = archive(&source, Some(&written.index));
    assert!(!next.is_partial());
    restore_cleanly(&bytes, &dest);
    assert_same(&look(&source), &look(&dest), "readable again");
    let snar = dir.path().join("snar");
    fs::write(&snar, written.index.to_snar()).unwrap();
    let gnu = names(&gnu_archive(&source, &snar, &[]));
    assert!(gnu.contains(&"./small".to_owned()) && gnu.contains(&"./closed/file".to_owned()), "{gnu:?}");
    assert!(!gnu.contains(&"./readable".to_owned()), "{gnu:?}");
}

#[test]
fn an_ordinary_user_restores_what_he_can() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    fs::create_dir_all(source.join("locked/inner")).unwrap();
    fs::write(source.join("locked/inner/file"), "x").unwrap();
    fs::set_permissions(source.join("locked/inner"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(source.join("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    run("mknod", &[&source.join("null"), Path::new("c"), Path::new("1"), Path::new("3")]);
    fs::create_dir(&dest).unwrap();
    chown(&dest, Some(65534), Some(65534)).unwrap();
    let (level0, first) = archive(&source, None);
    fs::write(source.join("locked/inner/file"), "y").unwrap();
    fs::create_dir(source.join("locked/more")).unwrap();
    let (level1, _) = archive(&source, Some(&first.index));
    fs::remove_dir_all(source.join("locked")).unwrap();
    let (level2, _) = archive(&source, Some(&first.index));
    for (level, content) in [(&level0, Some("x")), (&level1, Some("y")), (&level2, None)] {
        let restored = as_nobody(|| restore(level, &dest));
        assert!(restored.problems.iter().all(|problem| problem.path == b"null"), "{:?}", restored.problems);
        assert_eq!(fs::read_to_string(dest.join("locked/inner/file")).ok().as_deref(), content);
        if content.is_some() {
            assert_eq!(fs::metadata(dest.join("locked")).unwrap().permissions().mode() & 0o777, 0o555);
        }
    }
    assert!(!dest.join("locked").exists());
}

/// Says stop after so many questions.
struct Impatient(u32);

impl Watch for Impatient {
    fn cancelled(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 == 0
    }
}

#[test]
fn cancelled_work_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    furnish(&source);
    let (bytes, _) = archive(&source, None);
    let expected = look(&source);
    for patience in [1, 2, 5, 20, 40, 60, 70, 80, 100, 120] {
        let written = write_archive(
            &Source::new(&source),
            None,
            SystemTime::now(),
            &mut Vec::new(),
            &mut Impatient(patience),
        );
        assert!(patience > 60 || matches!(written, Err(TarError::Cancelled)));
        let dest = dir.path().join(format!("dest-{patience}"));
        let restored = read_archive(&mut &*bytes, &dest, &Extract::default(), &mut Impatient(patience));
        assert!(matches!(restored, Err(TarError::Cancelled)), "patience {patience}");
        for (path, node) in look(&dest) {
            assert_eq!(node.content, expected[&path].content, "{}", path.escape_ascii());
        }
    }
}
