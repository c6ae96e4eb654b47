//! What several test files need: trees, stores, real tools.
#![allow(dead_code)]

pub mod images;

use freezer_storage::{LocalStore, Store};
use freezer_vault::backup::Source;
use freezer_vault::encryption::{Cipher, EncryptionOptions, KeyDerivation, PassPhrase};
use freezer_vault::levels::LevelPolicy;
use freezer_vault::{
    BackupReport, BackupRequest, Hbn, Monitor, RestoreReport, RestoreRequest, VaultError, backup, restore,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

pub const HOST: &str = "host1";
pub const NAME: &str = "daily job";
pub const T0: i64 = 1_700_000_000;
pub const DAY: i64 = 86_400;

/// The same noise for the same seed (xorshift).
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(size);
    out
}

/// Runs a shell line with `input`; answers what it printed. Fails when it fails.
pub fn pipe(line: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("bash")
        .args(["-o", "pipefail", "-c", line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub fn shell(line: &str) -> Vec<u8> {
    pipe(line, b"")
}

/// A scratch folder with a store in it.
pub struct Room {
    pub folder: tempfile::TempDir,
    pub store: Arc<dyn Store>,
}

impl Room {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(LocalStore::new(folder.path().join("store")));
        std::fs::create_dir(folder.path().join("source")).unwrap();
        Self { folder, store }
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    pub fn source(&self) -> PathBuf {
        self.path("source")
    }
    /// Files of the store, relative to its root.
    pub fn objects(&self) -> Vec<String> {
        let root = self.path("store");
        let mut names: Vec<String> = tree(&root)
            .into_iter()
            .filter(|(name, entry)| entry.kind == 'f' && !name.contains("/locks/"))
            .map(|(name, _)| name)
            .collect();
        names.sort();
        names
    }
    pub fn object(&self, end: &str) -> PathBuf {
        let found: Vec<String> = self.objects().into_iter().filter(|name| name.ends_with(end)).collect();
        assert_eq!(found.len(), 1, "{end}: {found:?}");
        self.path("store").join(&found[0])
    }
    pub fn request(&self, now: i64) -> BackupRequest {
        BackupRequest::new(HOST, NAME, Source::new(self.source()), now)
    }
    pub fn incremental(&self, now: i64) -> BackupRequest {
        let levels = LevelPolicy { incremental: true, ..LevelPolicy::default() };
        BackupRequest { levels, ..self.request(now) }
    }
    pub async fn backup(&self, request: BackupRequest) -> Result<BackupReport, VaultError> {
        backup(self.store.clone(), request, Arc::new(Monitor::new())).await
    }
    pub async fn restore(&self, request: RestoreRequest) -> Result<RestoreReport, VaultError> {
        restore(self.store.clone(), request, Arc::new(Monitor::new())).await
    }
    pub fn to(&self, name: &str) -> RestoreRequest {
        RestoreRequest::new(HOST, NAME, self.path(name))
    }
    /// Restores into a fresh folder and compares.
    pub async fn expect(&self, request: RestoreRequest, expected: &Tree) -> RestoreReport {
        let target = request.target.clone();
        let report = self.restore(request).await.expect("restore");
        assert!(!report.is_partial, "{:?}", report.problems);
        assert_same(&tree(&target), expected);
        report
    }
}

pub fn hbn() -> Hbn {
    Hbn::new(HOST, NAME).unwrap()
}

pub fn pass(text: &str) -> PassPhrase {
    PassPhrase::new(text).unwrap()
}

/// Encryption with as few iterations as are allowed, for speed.
pub fn encryption(text: &str) -> Option<EncryptionOptions> {
    Some(EncryptionOptions { mac_iterations: 200_000, ..EncryptionOptions::new(pass(text)) })
}

/// The same in sealed chunks (AES-256-GCM).
pub fn sealed(text: &str) -> Option<EncryptionOptions> {
    let (cipher, derivation) = (Cipher::Aes256Gcm, KeyDerivation::Pbkdf2Sha256 { iterations: SEALED_ROUNDS });
    Some(EncryptionOptions { cipher, derivation, hides_names: true, ..encryption(text).unwrap() })
}

pub const SEALED_ROUNDS: u32 = 10_000;

pub type Tree = BTreeMap<String, Entry>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: char,
    pub mode: u32,
    pub mtime: i64,
    pub content: Vec<u8>,
}

/// Everything below `root`; the root itself is `.`.
pub fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    collect(root, root, &mut found);
    found
}

fn collect(root: &Path, path: &Path, found: &mut Tree) {
    let facts = std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    let name = if relative.is_empty() { ".".into() } else { relative };
    let (kind, content, mode) = if facts.is_dir() {
        ('d', Vec::new(), facts.permissions().mode() & 0o7777)
    } else if facts.is_symlink() {
        ('l', std::fs::read_link(path).unwrap().to_string_lossy().into_owned().into_bytes(), 0)
    } else {
        ('f', std::fs::read(path).unwrap(), facts.permissions().mode() & 0o7777)
    };
    found.insert(name, Entry { kind, mode, mtime: facts.mtime(), content });
    if facts.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect(root, &entry.unwrap().path(), found);
        }
    }
}

pub fn assert_same(found: &Tree, expected: &Tree) {
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    for (name, entry) in expected {
        let other = &found[name];
        assert!(other.content == entry.content, "{name}: content");
        assert_eq!((other.kind, other.mode, other.mtime), (entry.kind, entry.mode, entry.mtime), "{name}");
    }
}

/// A first tree.
pub fn plant(root: &Path) {
    std::fs::create_dir_all(root.join("sub/deeper")).unwrap();
    std::fs::create_dir_all(root.join("to go/away")).unwrap();
    std::fs::write(root.join("a"), b"hello\n").unwrap();
    std::fs::write(root.join("empty"), b"").unwrap();
    std::fs::write(root.join("sub/big"), noise(7, 3_000_000)).unwrap();
    std::fs::write(root.join("sub/deeper/text"), "text ".repeat(10_000)).unwrap();
    std::fs::write(root.join("to go/away/file"), b"soon gone").unwrap();
    std::os::unix::fs::symlink("sub/big", root.join("link")).unwrap();
    std::fs::set_permissions(root.join("a"), std::fs::Permissions::from_mode(0o640)).unwrap();
}

/// The same, and then the clock that files are stamped with goes on until nothing of it counts as changed just now: such files
/// are saved again.
pub fn plant_before_now(root: &Path) {
    use std::os::unix::fs::MetadataExt;
    plant(root);
    let nanos = |path: &Path| {
        let facts = std::fs::metadata(path).unwrap();
        facts.ctime() * 1_000_000_000 + facts.ctime_nsec()
    };
    let probe = root.with_extension("probe");
    let planted = nanos(&root.join("a")).max(nanos(root));
    loop {
        std::fs::write(&probe, b"").unwrap();
        if nanos(&probe) > planted + 100_000_000 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::fs::remove_file(probe).unwrap();
}

/// Changes of the given round: a new file, a changed one, a deleted one, a renamed folder.
pub fn change(root: &Path, round: u64) {
    std::fs::write(root.join(format!("new {round}")), noise(round, 50_000)).unwrap();
    std::fs::write(root.join("a"), format!("hello in round {round}\n")).unwrap();
    if round > 1 {
        std::fs::remove_file(root.join(format!("new {}", round - 1))).unwrap();
    }
    if round == 1 {
        std::fs::remove_dir_all(root.join("to go")).unwrap();
    }
    if round == 2 {
        std::fs::rename(root.join("sub/deeper"), root.join("sub/renamed")).unwrap();
    }
}

/// What plain tools make of a level: `openssl | codec | tar --incremental`.
pub fn extract_with_tools(data: &Path, target: &Path, decrypt: Option<&str>, codec: &str) {
    std::fs::create_dir_all(target).unwrap();
    let decrypt = decrypt.map(|line| format!("{line} 2>/dev/null |")).unwrap_or_default();
    let unpack = if codec == "none" { "cat".to_owned() } else { format!("{codec} -dc") };
    shell(&format!(
        "cat '{}' | {decrypt} {unpack} | tar --incremental --extract --ignore-zeros --warning=none --overwrite \
         --preserve-permissions --directory '{}'",
        data.display(),
        target.display()
    ));
}

/// A backup as upstream's agent makes it, placed where it places it.
pub struct UpstreamLevel<'a> {
    pub chain: i64,
    pub timestamp: i64,
    pub level: u32,
    pub codec: &'a str,
    /// `openssl enc` line without redirections.
    pub encrypt: Option<String>,
}

impl UpstreamLevel<'_> {
    pub fn make(&self, room: &Room, base: Option<&Path>) -> PathBuf {
        let folder = format!("{HOST}_{NAME}/{}/{}_{}", self.chain, self.level, self.timestamp);
        let data = room.path("store").join("data/tar").join(&folder);
        let metadata = room.path("store").join("metadata/tar").join(&folder);
        std::fs::create_dir_all(&data).unwrap();
        std::fs::create_dir_all(&metadata).unwrap();
        let snapshot = data.join("engine_metadata");
        if let Some(base) = base {
            std::fs::copy(base, &snapshot).unwrap();
        }
        let encrypt = self.encrypt.as_ref().map(|line| format!("| {line} 2>/dev/null")).unwrap_or_default();
        let flag = match self.codec {
            "gzip" => "-z",
            "bzip2" => "-j",
            "xz" => "-J",
            other => panic!("upstream has no {other}"),
        };
        shell(&format!(
            "cd '{}' && tar --create {flag} --warning=none --no-check-device --one-file-system \
             --preserve-permissions --same-owner --seek --ignore-failed-read --listed-incremental='{}' . {encrypt} > '{}'",
            room.source().display(),
            snapshot.display(),
            data.join("data").display()
        ));
        let text = format!(
            r#"{{"engine_name": "tar", "compression": "{}", "encryption": {}}}"#,
            self.codec,
            self.encrypt.is_some()
        );
        std::fs::write(metadata.join("metadata"), text).unwrap();
        snapshot
    }
}

/// A file system of so little room that it gets full; taken away at the end.
pub struct Small(PathBuf);

impl Small {
    pub fn mount(folder: PathBuf) -> Self {
        std::fs::create_dir(&folder).unwrap();
        Self::run(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"], &folder);
        Self(folder)
    }
    pub fn grow(&self) {
        Self::run(&["-o", "remount,size=32m"], &self.0);
    }
    fn run(options: &[&str], folder: &Path) {
        let done = Command::new("mount").args(options).arg(folder).status().unwrap();
        assert!(done.success(), "a tmpfs cannot be mounted; run the tests as root");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
