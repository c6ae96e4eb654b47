//! The FTP stores against a real server: the suite in the clear, over TLS and with an old server, certificates, logins, lost
//! connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use freezer_storage::suite::{assert_same, name, noise, read, write_large};
use freezer_storage::*;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use support::far;
use support::proxy::Proxy;
use support::{
    FTP, FTP_CLIENT, FTP_LAX, FTP_OLD, FtpFixture, ftp_config, ftp_file, ftp_home, ftp_tls, quick_retry,
};

/// The suite; but ProFTPD makes no folder with a star in its name.
macro_rules! suite {
    ($make:path) => {
        freezer_storage::store_suite!(@each $make:
            prepares_twice, writes_and_reads, writes_several, replaces, refuses_bad_names, knows_missing_objects,
            reads_ranges, lists_folders, lists_trees, stamps_what_is_not_written_to, keeps_similar_prefixes_apart, deletes_trees, writes_large_objects,
            reads_ranges_of_large_objects, hides_unfinished_objects, rewrites_large_objects,
            writes_empty_large_objects, serves_many_at_once, never_shows_half_an_object);

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn keeps_odd_names() {
            let fixture = $make("keeps_odd_names").await;
            let parts: Vec<&str> = freezer_storage::suite::ODD_PARTS.iter().copied().filter(|part| !part.contains('*')).collect();
            freezer_storage::suite::keeps_names(fixture.store.as_ref(), &parts).await;
        }
    };
}

mod ftp {
    use super::*;
    async fn make(test: &'static str) -> FtpFixture {
        FtpFixture::new(test, FTP, None)
    }
    suite!(make);
}

mod ftps {
    use super::*;
    async fn make(test: &'static str) -> FtpFixture {
        FtpFixture::new(test, FTP, Some(ftp_tls()))
    }
    suite!(make);
}

mod old_server {
    use super::*;
    async fn make(test: &'static str) -> FtpFixture {
        FtpFixture::new(test, FTP_OLD, Some(ftp_tls()))
    }
    suite!(make);
}

fn plain(config: FtpConfig) -> Arc<dyn Store> {
    open_with(StoreConfig::Ftp(config), Limits::none(), quick_retry().0).unwrap()
}

fn count(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn certificates_are_verified() {
    let fixture = FtpFixture::new("certificates", FTP, Some(ftp_tls()));
    plain(fixture.config.clone()).prepare().await.unwrap();
    let with = |tls: FtpTls| FtpConfig { tls: Some(tls), ..fixture.config.clone() };
    // The system does not know the server's CA; a certificate that is none is no CA.
    let cases = [
        (FtpTls::default(), "certificate"),
        (FtpTls { cafile: Some(ftp_file("client.pem")), ..FtpTls::default() }, "certificate"),
        (FtpTls { cafile: Some(ftp_file("users")), ..FtpTls::default() }, "users: it holds no certificate"),
        (FtpTls { cafile: Some(ftp_file("none")), ..FtpTls::default() }, "PEM file"),
    ];
    for (tls, expected) in cases {
        let error = plain(with(tls)).prepare().await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    plain(with(FtpTls { insecure: true, ..FtpTls::default() })).prepare().await.unwrap();
    // The certificate is for the machine's names.
    let mut other = with(ftp_tls());
    other.host = "localhost.localdomain".into();
    if tokio::net::lookup_host((other.host.as_str(), other.port)).await.is_ok() {
        assert!(plain(other).prepare().await.is_err());
    }
}

#[tokio::test]
async fn a_server_may_want_a_certificate_and_keep_its_files() {
    let client = Some((ftp_file("client.pem"), ftp_file("client.key")));
    let fixture = FtpFixture::new("client", FTP_CLIENT, Some(FtpTls { client, ..ftp_tls() }));
    let store = plain(fixture.config.clone());
    store.put(&name("a/x"), noise(1, 70_000)).await.unwrap();
    // This one lets no file take the place of another.
    store.put(&name("a/x"), Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(read(store.as_ref(), &name("a/x"), None).await.unwrap(), b"second");
    write_large(store.as_ref(), &name("a/x"), &noise(2, 300_000), 100_000, 50_000).await.unwrap();
    assert_same(&read(store.as_ref(), &name("a/x"), None).await.unwrap(), &noise(2, 300_000), "the third");
    assert_eq!(count(&fixture.folder.join("a")), 1);

    let none = FtpConfig { tls: Some(ftp_tls()), ..fixture.config.clone() };
    let error = plain(none).prepare().await.unwrap_err();
    assert!(
        matches!(error, StoreError::Refused { .. }) && error.to_string().contains("ftp_certfile"),
        "{error}"
    );
    let in_the_clear = FtpConfig { tls: None, ..fixture.config.clone() };
    let error = plain(in_the_clear).prepare().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn bad_logins_say_what_is_wrong() {
    let fixture = FtpFixture::new("login", FTP, None);
    for secret in ["s3cret-w0rd", "s3cret-w0rd\r\nDELE /x"] {
        let config = FtpConfig { password: Secret::new(secret), ..fixture.config.clone() };
        let error = plain(config.clone()).prepare().await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        assert!(
            !error.to_string().contains("s3cret") && !format!("{config:?}").contains("s3cret"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn no_command_is_smuggled_in_by_a_name() {
    let fixture = FtpFixture::new("smuggled", FTP, None);
    let store = plain(fixture.config.clone());
    store.put(&name("kept"), Bytes::from_static(b"x")).await.unwrap();
    let root = &fixture.config.dir;
    for bad in [format!("x\r\nDELE {root}/kept"), format!("x\nDELE {root}/kept"), "x\r".to_owned()] {
        let bad = name(&bad);
        let is_bad = |error: StoreError| assert!(matches!(error, StoreError::BadName { .. }), "{error}");
        is_bad(store.put(&bad, Bytes::new()).await.unwrap_err());
        is_bad(store.get(&bad, None).await.map(|_| ()).unwrap_err());
        is_bad(store.head(&bad).await.unwrap_err());
        is_bad(store.list(Some(&bad)).await.unwrap_err());
        is_bad(store.delete(&bad).await.unwrap_err());
        is_bad(store.delete_tree(&bad).await.unwrap_err());
        is_bad(store.create_large(&bad).await.map(|_| ()).unwrap_err());
    }
    for dir in ["a\r\nDELE kept", "a/../b", "nul\0"] {
        let config = FtpConfig { dir: dir.to_owned(), ..fixture.config.clone() };
        let refused = open(StoreConfig::Ftp(config)).map(|_| ()).unwrap_err();
        assert!(matches!(refused, StoreError::BadName { .. }), "{refused}");
    }
    assert_eq!(read(store.as_ref(), &name("kept"), None).await.unwrap(), b"x");
}

#[tokio::test]
async fn deleting_never_follows_links() {
    let fixture = FtpFixture::new("links", FTP, None);
    let outside = fixture.folder.parent().unwrap().join("outside");
    fixture.store.put(&name("t/real"), Bytes::from_static(b"x")).await.unwrap();
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    std::fs::write(outside.join("sub/precious"), b"x").unwrap();
    // The server follows it, as it leads to nowhere outside of the account.
    symlink("../../outside", fixture.folder.join("t/link")).unwrap();
    assert_eq!(fixture.store.delete_tree(&name("t")).await.unwrap(), 2);
    assert!(outside.join("sub/precious").exists() && !fixture.folder.join("t").exists());
}

#[tokio::test]
async fn relative_folders_are_below_the_home() {
    let fixture = FtpFixture::new("relative", FTP, None);
    let below = fixture.config.dir.trim_matches('/').to_owned();
    for dir in [below.clone(), format!("~/{below}/"), format!("/{below}/")] {
        let store = plain(FtpConfig { dir, ..fixture.config.clone() });
        store.put(&name("x"), Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(std::fs::read(fixture.folder.join("x")).unwrap(), b"1");
        store.delete(&name("x")).await.unwrap();
    }
    let whole = plain(FtpConfig { dir: ".".into(), ..fixture.config.clone() });
    whole.put(&name(&format!("{below}/y")), Bytes::from_static(b"2")).await.unwrap();
    let top = below.split('/').next().unwrap();
    assert!(whole.list(None).await.unwrap().iter().any(|entry| entry.name == top && entry.is_folder));
    assert_eq!(whole.delete_tree(&name(top)).await.unwrap(), 1);
}

/// A store behind a proxy whose control connections can be cut, with uploads slow enough to be met half-way.
async fn cuttable(fixture: &FtpFixture) -> (Arc<dyn Store>, Proxy, Retry) {
    const RATE: u64 = 64 << 20;
    let mut config = fixture.config.clone();
    let proxy = Proxy::plain(format!("{}:{}", config.host, config.port)).await;
    config.host = "127.0.0.1".into();
    config.port = proxy.port;
    let (retry, _) = quick_retry();
    let limits = Limits::none().upload(Limiter::new(Some(RATE)));
    (open_with(StoreConfig::Ftp(config), limits, retry.clone()).unwrap(), proxy, retry)
}

/// Waits until the one file in a folder has more than so many bytes; answers which it is.
async fn grown(folder: &std::path::Path, bytes: u64) -> std::path::PathBuf {
    loop {
        let first = std::fs::read_dir(folder).ok().and_then(|mut folder| folder.next()).and_then(Result::ok);
        match first.map(|file| file.path()) {
            Some(path) if std::fs::metadata(&path).is_ok_and(|found| found.len() > bytes) => return path,
            _ => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_made_again() {
    let fixture = FtpFixture::new("lost", FTP, Some(ftp_tls()));
    let (store, proxy, _) = cuttable(&fixture).await;
    far::connections_are_made_again(store.as_ref(), &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_as_long_as_their_sessions() {
    // Of TLS 1.3 this server gives two tickets for two uploads, and refuses a third one on the same connection, unless it is told
    // that sessions need not be gone on with: this is found out without a connection of its own.
    for (server, tls, connections) in [
        (FTP, None, 1),
        (FTP, Some(ftp_tls()), 6),
        (FTP_OLD, Some(ftp_tls()), 1),
        (FTP_LAX, Some(ftp_tls()), 1),
    ] {
        let fixture = FtpFixture::new("kept", server, tls);
        let (store, proxy, retry) = cuttable(&fixture).await;
        let (body, long) = (noise(1, 300_000), noise(2, 8 << 20));
        for at in 0..10 {
            let object = name(&format!("f/{at}"));
            store.put(&object, body.clone()).await.unwrap();
            assert_same(
                &read(store.as_ref(), &object, Some(299_000..u64::MAX)).await.unwrap(),
                &body[299_000..],
                "end",
            );
        }
        assert_eq!(store.list(Some(&name("f"))).await.unwrap().len(), 10);
        assert_eq!(retry.repeated(), 0, "nothing was refused");
        assert!(proxy.connections() <= connections, "{} of {connections}", proxy.connections());
        // Hanging up in the middle, while the server still sends or when it has just ended. Not through the proxy: no upload counts.
        fixture.store.put(&name("long"), long.clone()).await.unwrap();
        let before = proxy.connections();
        for at in 0..10 {
            let part = read(store.as_ref(), &name(&format!("f/{at}")), Some(10..20_000)).await.unwrap();
            assert_same(&part, &body[10..20_000], "part");
            let part = read(store.as_ref(), &name("long"), Some(10..20_000)).await.unwrap();
            assert_same(&part, &long[10..20_000], "part of a long one");
        }
        assert_eq!((proxy.connections(), retry.repeated()), (before, 0), "the connection stays good");
    }
}

/// Uploads alone, as of a large object whose legs are one each, and several at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_are_never_refused_for_their_session() {
    let client = Some((ftp_file("client.pem"), ftp_file("client.key")));
    for (server, tls) in [(FTP, ftp_tls()), (FTP_CLIENT, FtpTls { client, ..ftp_tls() })] {
        let fixture = FtpFixture::new("uploads", server, Some(tls));
        let (retry, _) = quick_retry();
        let config = StoreConfig::Ftp(fixture.config.clone());
        let store = open_with(config, Limits::none(), retry.clone()).unwrap();
        let put = |at: u64| {
            let store = store.clone();
            async move { store.put(&name(&format!("f/{at}")), noise(at, 1000)).await.unwrap() }
        };
        for at in 0..10 {
            put(at).await;
        }
        futures_util::future::join_all((10..20).map(put)).await;
        assert_eq!(store.list(Some(&name("f"))).await.unwrap().len(), 20);
        assert_eq!(store.delete_tree(&name("f")).await.unwrap(), 20);
        assert_eq!(retry.repeated(), 0, "nothing was refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_where_they_broke() {
    let fixture = FtpFixture::new("resume", FTP, None);
    let (store, proxy, retry) = cuttable(&fixture).await;
    far::reads_go_on(store.as_ref(), &proxy).await;
    assert!(retry.repeated() >= 1, "{}", retry.repeated());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_writes_go_on_where_they_broke() {
    for tls in [None, Some(ftp_tls())] {
        let fixture = FtpFixture::new("resume-write", FTP, tls);
        let (store, proxy, retry) = cuttable(&fixture).await;
        let body = noise(3, 50 << 20);
        let mut writer = store.create_large(&name("l/data")).await.unwrap();
        for (at, piece) in body.chunks(1 << 20).enumerate() {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
            if [15, 31, 47].contains(&at) {
                // A leg has just been sent off.
                grown(&fixture.folder.join("l"), (at as u64 - 15) << 20).await;
                proxy.cut();
            }
        }
        writer.finish().await.unwrap();
        assert!(retry.repeated() >= 2, "{}", retry.repeated());
        assert_same(&read(store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "50 MiB with cuts");
        assert_eq!(count(&fixture.folder.join("l")), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_the_server_lost_is_noticed() {
    let fixture = FtpFixture::new("server-lost", FTP, None);
    let (store, proxy, _) = cuttable(&fixture).await;
    let mut writer = store.create_large(&name("l/data")).await.unwrap();
    // Two legs: the first has arrived when the second is sent off.
    for piece in 0..32 {
        writer.write(noise(piece, 1 << 20)).await.unwrap();
    }
    // As after a crash of the server: a hole where data had been acknowledged.
    let part = grown(&fixture.folder.join("l"), 16 << 20).await;
    let file = std::fs::OpenOptions::new().write(true).open(part).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, &[0; 4096], 100_000).unwrap();
    proxy.cut();
    // The leg that was on its way is waited for when the next one is to be sent off.
    let error = writer.write(noise(9, 16 << 20)).await.unwrap_err();
    assert!(error.to_string().contains("lost data it had acknowledged"), "{error}");
    writer.abandon().await;
    assert_eq!(count(&fixture.folder.join("l")), 0);
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    far::nobody_there(|port| StoreConfig::Ftp(FtpConfig { port, ..ftp_config(FTP, None, "/x") })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_nothing() {
    for tls in [None, Some(ftp_tls())] {
        let disk = support::SmallDisk::mount_on(tempfile::tempdir_in(ftp_home()).unwrap());
        let dir = format!("/{}/root", disk.path().file_name().unwrap().to_str().unwrap());
        let store = plain(ftp_config(FTP, tls, &dir));
        // This server calls it an input/output error, or just breaks off over TLS.
        let is_told =
            |error: &StoreError| matches!(error, StoreError::Full { .. } | StoreError::Unavailable { .. });
        far::a_full_disk_leaves_nothing(store.as_ref(), is_told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_count_at_the_socket() {
    let fixture = FtpFixture::new("limits", FTP, Some(ftp_tls()));
    far::limits_count_at_the_socket(StoreConfig::Ftp(fixture.config.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_mebibytes() {
    let body = noise(7, 40 << 20);
    for tls in [None, Some(ftp_tls())] {
        let fixture = FtpFixture::new("big", FTP, tls);
        let what = fixture.store.describe().split(':').next().unwrap().to_owned();
        let start = std::time::Instant::now();
        write_large(fixture.store.as_ref(), &name("l/data"), &body, 8 << 20, 1 << 20).await.unwrap();
        println!("{what}: 40 MiB written in {:?}", start.elapsed());
        let start = std::time::Instant::now();
        assert_same(&read(fixture.store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "40 MiB");
        println!("{what}: 40 MiB read in {:?}", start.elapsed());
    }
}
