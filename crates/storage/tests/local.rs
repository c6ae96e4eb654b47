//! The local store: the suite, and what only files can go wrong with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use async_trait::async_trait;
use bytes::Bytes;
use freezer_storage::suite::{SuiteStore, assert_same, name, noise, read, write_large};
use freezer_storage::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use support::SmallDisk;

struct LocalFixture {
    folder: tempfile::TempDir,
}

#[async_trait]
impl SuiteStore for LocalFixture {
    fn store(&self) -> Arc<dyn Store> {
        open(StoreConfig::Local { path: self.folder.path().join("root") }).unwrap()
    }
    async fn clean(self) {}
}

async fn local(test: &'static str) -> LocalFixture {
    LocalFixture { folder: tempfile::Builder::new().prefix(test).tempdir().unwrap() }
}

freezer_storage::store_suite!(local);

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn files_and_folders_are_private() {
    let fixture = local("modes").await;
    let root = fixture.folder.path().join("root");
    let store = fixture.store();
    store.prepare().await.unwrap();
    store.put(&name("a/b/c"), Bytes::from_static(b"x")).await.unwrap();
    write_large(store.as_ref(), &name("a/d/data"), &noise(1, 1000), 500, 100).await.unwrap();
    for folder in ["", "a", "a/b", "a/d"] {
        assert_eq!(mode(&root.join(folder)), 0o700, "{folder}");
    }
    for file in ["a/b/c", "a/d/data"] {
        assert_eq!(mode(&root.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn deleting_never_follows_links() {
    let fixture = local("links").await;
    let (root, outside) = (fixture.folder.path().join("root"), fixture.folder.path().join("outside"));
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    std::fs::write(outside.join("sub/precious"), b"x").unwrap();
    let store = fixture.store();
    store.put(&name("t/real"), Bytes::from_static(b"x")).await.unwrap();
    symlink(&outside, root.join("t/link")).unwrap();
    symlink(outside.join("sub/precious"), root.join("t/file-link")).unwrap();
    symlink(&outside, root.join("way")).unwrap();

    let through = store.delete_tree(&name("way/sub")).await;
    assert!(matches!(through, Err(StoreError::Other { .. })), "{through:?}");
    let through = store.delete(&name("way/sub/precious")).await;
    assert!(matches!(through, Err(StoreError::Other { .. })), "{through:?}");
    assert_eq!(store.delete_tree(&name("t")).await.unwrap(), 3);
    assert_eq!(store.delete_tree(&name("way")).await.unwrap(), 1);
    assert!(outside.join("sub/precious").exists());
    assert!(!root.join("t").exists());
}

#[tokio::test]
async fn unfinished_files_are_removed_and_never_listed() {
    let fixture = local("unfinished").await;
    let root = fixture.folder.path().join("root");
    let store = fixture.store();
    let mut writer = store.create_large(&name("f/data")).await.unwrap();
    writer.write(noise(1, 100)).await.unwrap();
    assert_eq!(std::fs::read_dir(root.join("f")).unwrap().count(), 1);
    assert_eq!(store.list(Some(&name("f"))).await.unwrap(), vec![]);
    writer.abandon().await;
    assert_eq!(std::fs::read_dir(root.join("f")).unwrap().count(), 0);
    let hidden = store.put(&name("f/.freezer-part-x"), Bytes::new()).await;
    assert!(matches!(hidden, Err(StoreError::BadName { .. })));
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let disk = SmallDisk::mount();
    let store = open(StoreConfig::Local { path: disk.path().join("root") }).unwrap();
    store.put(&name("small"), noise(1, 1000)).await.unwrap();
    let error = store.put(&name("big"), noise(2, 2 << 20)).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().contains("big"), "{error}");

    let mut writer = store.create_large(&name("large")).await.unwrap();
    let mut failed = None;
    for piece in 0..40 {
        if let Err(error) = writer.write(noise(piece, 100_000)).await {
            failed = Some(error);
            break;
        }
    }
    let error = match failed {
        Some(error) => {
            writer.abandon().await;
            error
        }
        None => writer.finish().await.unwrap_err(),
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(!error.is_transient());
    // The room is free again.
    store.put(&name("fits"), noise(3, 900_000)).await.unwrap();
    let names: Vec<_> = store.list(None).await.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["fits", "small"]);
}

#[tokio::test]
async fn a_read_only_root_is_refused() {
    let disk = SmallDisk::mount();
    let store = open(StoreConfig::Local { path: disk.path().join("root") }).unwrap();
    store.put(&name("x"), noise(1, 10)).await.unwrap();
    let again = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status();
    assert!(again.unwrap().success());
    for error in [
        store.put(&name("y"), noise(1, 10)).await.unwrap_err(),
        store.delete(&name("x")).await.unwrap_err(),
        store.prepare().await.unwrap_err(),
        store.create_large(&name("z")).await.err().unwrap(),
    ] {
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
    assert_eq!(read(store.as_ref(), &name("x"), None).await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_large_object_of_many_pieces() {
    let fixture = local("large").await;
    let store = fixture.store();
    let body = noise(7, 200 << 20);
    write_large(store.as_ref(), &name("l/data"), &body, 8 << 20, 1 << 20).await.unwrap();
    assert_same(&read(store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "200 MiB");
}
