//! Damaged archives and archives made to harm: never a panic, never a write outside the destination.

use crate::tree::*;
use freezer_vault::tar::{Extract, Restored, TarError, list_archive, read_archive};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A destination beside things that must not be touched.
struct Yard {
    dir: tempfile::TempDir,
    outside: Tree,
}

impl Yard {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
        fs::write(dir.path().join("outside/precious"), "precious").unwrap();
        fs::write(dir.path().join("outside/sub/file"), "also precious").unwrap();
        fs::create_dir(dir.path().join("dest")).unwrap();
        let outside = look(&dir.path().join("outside"));
        Self { dir, outside }
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    fn restore(&self, archive: &[u8]) -> Result<Restored, TarError> {
        read_archive(&mut &*archive, &self.dest(), &Extract::default(), &mut ())
    }

    #[track_caller]
    fn check(&self) {
        assert_same(&self.outside, &look(&self.dir.path().join("outside")), "outside");
        let mut beside: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["dest", "outside"]);
        for path in look(&self.dest()).keys() {
            assert!(!path.windows(9).any(|part| part == b".freezer-"), "left: {}", path.escape_ascii());
        }
    }
}

/// A header block, by hand.
fn header(name: &str, typeflag: u8, link: &str, size: usize) -> Vec<u8> {
    let mut block = vec![0u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000755");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000001");
    block[156] = typeflag;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar  \0");
    seal(&mut block);
    block
}

/// Makes the checksum right.
fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn member(name: &str, typeflag: u8, link: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, typeflag, link, body.len());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn end(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

#[test]
fn names_that_lead_out_are_refused() {
    for (name, typeflag, link) in [
        ("../outside/precious", b'0', ""),
        ("./a/../../outside/precious", b'0', ""),
        ("/tmp/freezer-test-absolute", b'0', ""),
        ("..", b'5', ""),
        ("./..", b'D', ""),
        (".", b'0', ""),
        ("./", b'2', "../outside"),
        ("./hard", b'1', "../outside/precious"),
        ("./hard", b'1', "/etc/passwd"),
    ] {
        let yard = Yard::new();
        let result =
            yard.restore(&end(&[member("./first", b'0', "", b"ok"), member(name, typeflag, link, b"")]));
        let Err(TarError::Unsafe { offset, .. }) = result else { panic!("{name} {link}: {result:?}") };
        assert_eq!(offset, 1024);
        yard.check();
    }
}

#[test]
fn links_are_never_followed() {
    let outside = |yard: &Yard| yard.dir.path().join("outside").to_str().unwrap().to_owned();
    type Attack<'a> = &'a dyn Fn(&str) -> Vec<u8>;
    let attacks: [Attack; 7] = [
        // Through a link of the archive's own making.
        &|out| end(&[member("./l", b'2', out, b""), member("./l/precious", b'0', "", b"bad")]),
        &|out| end(&[member("./l", b'2', out, b""), member("./l/new/file", b'0', "", b"bad")]),
        &|out| end(&[member("./l", b'2', &format!("{out}/precious"), b""), member("./l", b'0', "", b"bad")]),
        &|out| end(&[member("./l", b'2', out, b""), member("./hard", b'1', "./l/precious", b"")]),
        // A hard link to the link, then a file over it.
        &|out| {
            end(&[
                member("./l", b'2', &format!("{out}/precious"), b""),
                member("./h", b'1', "./l", b""),
                member("./h", b'0', "", b"bad"),
            ])
        },
        // A directory with an empty dumpdir where the link is.
        &|out| end(&[member("./l", b'2', out, b""), member("./l/", b'D', "", b"\0")]),
        &|out| {
            end(&[
                member("./l", b'2', out, b""),
                member("./l/sub/", b'D', "", b"\0"),
                member("./", b'D', "", b"R./l/sub\0T./stolen\0\0"),
            ])
        },
    ];
    for attack in attacks {
        let yard = Yard::new();
        let _ = yard.restore(&attack(&outside(&yard)));
        yard.check();
    }
}

#[test]
fn links_in_the_destination_are_not_followed_either() {
    let yard = Yard::new();
    for (name, target) in [("dirlink", "../outside"), ("filelink", "../outside/precious")] {
        symlink(target, yard.dest().join(name)).unwrap();
    }
    let restored = yard.restore(&end(&[
        member("./", b'5', "", b""),
        member("./dirlink/precious", b'0', "", b"bad"),
        member("./filelink", b'0', "", b"good"),
    ]));
    assert!(restored.unwrap().is_partial());
    assert_eq!(fs::read_to_string(yard.dest().join("filelink")).unwrap(), "good");
    let replayed = yard.restore(&end(&[
        member("./", b'D', "", b"Ddirlink\0Yfilelink\0\0"),
        member("./dirlink/", b'D', "", b"Yprecious\0\0"),
        member("./dirlink/precious", b'0', "", b"good"),
    ]));
    assert_eq!(replayed.unwrap().problems, vec![]);
    assert_eq!(fs::read_to_string(yard.dest().join("dirlink/precious")).unwrap(), "good");
    yard.check();
}

#[test]
fn renames_stay_inside() {
    for dumpdir in [
        &b"R../outside\0T./in\0\0"[..],
        b"R./a\0T../outside/in\0\0",
        b"X../outside\0R./a\0T\0\0",
        b"R/etc\0T./in\0\0",
        b"T./in\0\0",
        b"R./\0T./in\0\0",
        b"R./a\0T./\0\0",
    ] {
        let yard = Yard::new();
        fs::create_dir(yard.dest().join("a")).unwrap();
        let result = yard.restore(&end(&[member("./", b'D', "", dumpdir)]));
        assert!(matches!(result, Err(TarError::Unsafe { .. })), "{}: {result:?}", dumpdir.escape_ascii());
        yard.check();
    }
}

fn sample() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("sub/deep")).unwrap();
    fs::write(source.join("file"), pattern(1500)).unwrap();
    fs::write(source.join("sub/other"), "text").unwrap();
    fs::write(source.join("n".repeat(180)), "long").unwrap();
    fs::hard_link(source.join("file"), source.join("sub/deep/link")).unwrap();
    symlink("file", source.join("sym")).unwrap();
    set_xattr(&source.join("file"), "user.x", b"value");
    setfacl(&source.join("file"), &["-m", "u:33:r"]);
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(100_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 50_000).unwrap();
    let (bytes, _) = archive(&source, None);
    (dir, bytes)
}

#[test]
fn truncated_anywhere() {
    let (_dir, bytes) = sample();
    let end_of_members = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    let mut offsets: Vec<usize> = (0..end_of_members).step_by(97).collect();
    offsets.extend((0..end_of_members).step_by(512));
    for offset in offsets {
        let listed = list_archive(&mut &bytes[..offset], &mut |_| {}, &mut ());
        assert!(matches!(listed, Err(TarError::Truncated { .. })), "{offset}: {listed:?}");
    }
    for offset in (0..end_of_members).step_by(1111) {
        let yard = Yard::new();
        let restored = yard.restore(&bytes[..offset]);
        let Err(error @ TarError::Truncated { .. }) = restored else { panic!("{offset}: {restored:?}") };
        assert!(error.to_string().contains(&format!("byte {offset}")), "{error}");
        yard.check();
    }
}

#[test]
fn damage_names_the_place() {
    let (_dir, mut bytes) = sample();
    let at = bytes.windows(9).position(|part| part == b"./sub/oth").unwrap();
    bytes[at + 3] ^= 1;
    let error = list_archive(&mut &*bytes, &mut |_| {}, &mut ()).unwrap_err();
    assert!(matches!(error, TarError::Corrupt { offset, .. } if offset as usize == at), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
}

/// Random damage, in half of the cases with the header checksums made right again so that it gets deep.
#[test]
fn random_damage() {
    let (_dir, ours) = sample();
    let gnu = {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        restore_cleanly(&ours, &source);
        gnu_archive(&source, &dir.path().join("snar"), &["--format=posix", "--sparse", "--xattrs"])
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut outcomes = [0u32; 2];
    for round in 0..300 {
        let mut bytes = if round % 3 == 0 { gnu.clone() } else { ours.clone() };
        for _ in 0..=random.next() % 6 {
            let at = random.next() as usize % bytes.len();
            bytes[at] = if round % 2 == 0 {
                random.next() as u8
            } else {
                b"0123456789/. \0=DxLKS"[random.next() as usize % 20]
            };
        }
        if random.next() & 1 == 0 {
            for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
                seal(block);
            }
        }
        let yard = Yard::new();
        let result = yard.restore(&bytes);
        outcomes[usize::from(result.is_ok())] += 1;
        yard.check();
    }
    assert!(outcomes[0] > 50 && outcomes[1] > 20, "{outcomes:?}");
}

#[test]
fn absurd_claims_cost_nothing() {
    for (typeflag, size) in
        [(b'x', 0o77_777_777_777usize), (b'L', 0o77_777_777_777), (b'D', 0o77_777_777_777), (b'g', 1 << 32)]
    {
        let yard = Yard::new();
        let result = yard.restore(&end(&[header("./x", typeflag, "", size)]));
        assert!(matches!(result, Err(TarError::Corrupt { .. } | TarError::Truncated { .. })), "{result:?}");
    }
    let yard = Yard::new();
    let result = yard.restore(&end(&[header("./file", b'0', "", 0o77_777_777_777)]));
    assert!(matches!(result, Err(TarError::Truncated { .. })), "{result:?}");
    yard.check();
    assert!(!exists(&yard.dest().join("file")));
    assert!(matches!(yard.restore(b""), Err(TarError::Truncated { .. })));
    assert!(matches!(yard.restore(&[b'x'; 10_240]), Err(TarError::Corrupt { .. })));
}

/// Xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
