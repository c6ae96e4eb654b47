//! The SFTP store against a real sshd: the suite, host keys, logins, and lost connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use freezer_storage::suite::{SuiteStore, assert_same, name, noise, read, write_large};
use freezer_storage::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use support::far;
use support::proxy::Proxy;
use support::{SshFixture, quick_retry, ssh_config, ssh_known_hosts};

async fn ssh(test: &'static str) -> SshFixture {
    SshFixture::new(test)
}

freezer_storage::store_suite!(ssh);

fn plain(config: SshConfig) -> Arc<dyn Store> {
    open_with(StoreConfig::Ssh(config), Limits::none(), quick_retry().0).unwrap()
}

#[tokio::test]
async fn files_and_folders_are_private() {
    let fixture = SshFixture::new("modes");
    let root = fixture.folder.path().join("root");
    fixture.store.prepare().await.unwrap();
    fixture.store.put(&name("a/b/c"), Bytes::from_static(b"x")).await.unwrap();
    let mode = |path: &str| std::fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode(""), mode("a"), mode("a/b"), mode("a/b/c")], [0o700, 0o700, 0o700, 0o600]);
}

#[tokio::test]
async fn deleting_never_follows_links() {
    let fixture = SshFixture::new("links");
    let (root, outside) = (fixture.folder.path().join("root"), fixture.folder.path().join("outside"));
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    std::fs::write(outside.join("sub/precious"), b"x").unwrap();
    fixture.store.put(&name("t/real"), Bytes::from_static(b"x")).await.unwrap();
    symlink(&outside, root.join("t/link")).unwrap();
    symlink(&outside, root.join("way")).unwrap();
    let through = fixture.store.delete_tree(&name("way/sub")).await;
    assert!(matches!(through, Err(StoreError::Other { .. })), "{through:?}");
    assert_eq!(fixture.store.delete_tree(&name("t")).await.unwrap(), 2);
    assert!(outside.join("sub/precious").exists());
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ssh_config(folder.path());
    config.known_hosts = folder.path().join("known_hosts");
    let error = plain(config.clone()).prepare().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    let text = error.to_string();
    let file = config.known_hosts.display().to_string();
    assert!(text.contains(&format!("ssh-keyscan -p {} {} >> {file}", config.port, config.host)), "{text}");
    assert!(text.contains("SHA256:"), "{text}");

    config.insecure = true;
    plain(config).prepare().await.unwrap();
}

#[tokio::test]
async fn a_changed_or_revoked_host_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ssh_config(folder.path());
    let real = std::fs::read_to_string(ssh_known_hosts()).unwrap();
    config.known_hosts = folder.path().join("known_hosts");
    // Another ed25519 key for the same host.
    let host = format!("[{}]:{}", config.host, config.port);
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    std::fs::write(&config.known_hosts, format!("# comment\n{host} {other}\n")).unwrap();
    let text = plain(config.clone()).prepare().await.unwrap_err().to_string();
    assert!(text.contains("CHANGED") && text.contains("line 2"), "{text}");
    assert!(text.contains(&config.known_hosts.display().to_string()), "{text}");

    // With the real key beside it the host is known.
    std::fs::write(&config.known_hosts, format!("{host} {other}\n{real}")).unwrap();
    plain(config.clone()).prepare().await.unwrap();

    std::fs::write(&config.known_hosts, format!("{real}\n@revoked {real}")).unwrap();
    let text = plain(config).prepare().await.unwrap_err().to_string();
    assert!(text.contains("@revoked"), "{text}");
}

fn make_key(path: &std::path::Path, passphrase: &str) {
    let done = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen is installed");
    assert!(done.success());
}

#[tokio::test]
async fn bad_logins_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ssh_config(folder.path());
    let locked = folder.path().join("locked");
    make_key(&locked, "open sesame");
    let cases = [
        (SshAuth::Key { path: locked.clone(), passphrase: None }, "has a passphrase"),
        (
            SshAuth::Key { path: locked.clone(), passphrase: Some(Secret::new("wrong")) },
            "check the passphrase",
        ),
        (
            SshAuth::Key { path: locked, passphrase: Some(Secret::new("open sesame")) },
            "does not accept the key",
        ),
        (SshAuth::Key { path: folder.path().join("none"), passphrase: None }, "cannot be read"),
        (SshAuth::Password(Secret::new("s3cret-w0rd")), "does not accept the password"),
    ];
    for (auth, expected) in cases {
        config.auth = auth;
        let error = plain(config.clone()).prepare().await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        for secret in ["s3cret-w0rd", "open sesame", "wrong"] {
            assert!(!text.contains(&format!("\"{secret}\"")) && !format!("{config:?}").contains(secret));
        }
        assert!(!text.contains("s3cret-w0rd"), "{text}");
    }
}

#[tokio::test]
async fn relative_folders_are_below_the_home() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ssh_config(folder.path());
    let below = support::unique("relative");
    config.dir = below.clone();
    let store = plain(config.clone());
    store.put(&name("x"), Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(read(store.as_ref(), &name("x"), None).await.unwrap(), b"1");
    config.dir = ".".into();
    assert_eq!(plain(config).delete_tree(&name(&below)).await.unwrap(), 1);
}

/// A store behind a proxy whose connections can be cut.
async fn cuttable(fixture: &SshFixture) -> (Arc<dyn Store>, Proxy, Retry) {
    let mut config = fixture.config.clone();
    let proxy = Proxy::plain(format!("{}:{}", config.host, config.port)).await;
    let known = std::fs::read_to_string(ssh_known_hosts()).unwrap();
    let known = known.replace(&format!("]:{}", config.port), &format!("]:{}", proxy.port));
    config.known_hosts = fixture.folder.path().join("known_hosts");
    std::fs::write(&config.known_hosts, known).unwrap();
    config.host = "127.0.0.1".into();
    config.port = proxy.port;
    let (retry, _) = quick_retry();
    (open_with(StoreConfig::Ssh(config), Limits::none(), retry.clone()).unwrap(), proxy, retry)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_made_again() {
    let fixture = SshFixture::new("lost");
    let (store, proxy, _) = cuttable(&fixture).await;
    far::connections_are_made_again(store.as_ref(), &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_where_they_broke() {
    let fixture = SshFixture::new("resume");
    let (store, proxy, retry) = cuttable(&fixture).await;
    far::reads_go_on(store.as_ref(), &proxy).await;
    assert!(retry.repeated() >= 3, "{}", retry.repeated());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_writes_go_on_where_they_broke() {
    let fixture = SshFixture::new("resume-write");
    let (store, proxy, retry) = cuttable(&fixture).await;
    let body = noise(3, 24 << 20);
    let mut writer = store.create_large(&name("l/data")).await.unwrap();
    for (at, piece) in body.chunks(1 << 20).enumerate() {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        if [5, 12, 23].contains(&at) {
            proxy.cut();
        }
    }
    writer.finish().await.unwrap();
    assert!(retry.repeated() >= 3, "{}", retry.repeated());
    assert_same(&read(store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "24 MiB with three cuts");
    let left: Vec<_> = std::fs::read_dir(fixture.folder.path().join("root/l")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_the_host_lost_is_noticed() {
    let fixture = SshFixture::new("host-lost");
    let (store, proxy, _) = cuttable(&fixture).await;
    let mut writer = store.create_large(&name("l/data")).await.unwrap();
    for piece in 0..8 {
        writer.write(noise(piece, 1 << 20)).await.unwrap();
    }
    // As after a crash of the host: the right length, but a hole where data had been acknowledged.
    let folder = fixture.folder.path().join("root/l");
    let part = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::OpenOptions::new().write(true).open(part).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, &[0; 4096], 100_000).unwrap();
    proxy.cut();
    let error = loop {
        if let Err(error) = writer.write(noise(9, 1 << 20)).await {
            break error;
        }
    };
    assert!(error.to_string().contains("lost data it had acknowledged"), "{error}");
    writer.abandon().await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    far::nobody_there(|port| StoreConfig::Ssh(SshConfig { port, ..ssh_config(folder.path()) })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let disk = support::SmallDisk::mount();
    let store = plain(ssh_config(&disk.path().join("root")));
    let is_told = |error: &StoreError| matches!(error, StoreError::Full { .. });
    far::a_full_disk_leaves_nothing(store.as_ref(), is_told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_count_at_the_socket() {
    let fixture = SshFixture::new("limits");
    far::limits_count_at_the_socket(StoreConfig::Ssh(fixture.config.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_mebibytes() {
    let fixture = SshFixture::new("big");
    let body = noise(7, 200 << 20);
    let start = std::time::Instant::now();
    write_large(fixture.store.as_ref(), &name("l/data"), &body, 8 << 20, 1 << 20).await.unwrap();
    println!("SFTP: 200 MiB written in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    assert_same(&read(fixture.store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "200 MiB");
    println!("SFTP: 200 MiB read in {:?}", start.elapsed());
    fixture.clean().await;
}
