//! Stores that neither take several objects at once nor tell what is in those that they list: folders, SSH, FTPS.

use super::support::*;
use super::{counts_of, expected, remembering, turn_a_byte};
use freezer_storage::{FtpConfig, FtpTls, Secret, SshAuth, SshConfig, StoreConfig, open};
use freezer_vault::BackupRequest;
use std::path::PathBuf;

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Host and port of a service of the test machine.
fn address(name: &str, default: &str) -> (String, u16) {
    let address = variable(name, default);
    if std::net::TcpStream::connect(&address).is_err() {
        panic!("nobody answers at {address}; start the services: make services");
    }
    let (host, port) = address.rsplit_once(':').expect("host:port");
    (host.to_owned(), port.parse().unwrap())
}

fn ssh(folder: &std::path::Path) -> StoreConfig {
    let (host, port) = address("FREEZER_TEST_SSH", "127.0.0.1:2222");
    let key = variable("FREEZER_TEST_SSH_KEY", "/var/lib/minicloud/ssh/id_ed25519");
    let known_hosts = variable("FREEZER_TEST_SSH_KNOWN_HOSTS", "/var/lib/minicloud/ssh/known_hosts");
    let user = variable("FREEZER_TEST_SSH_USER", "root");
    let auth = SshAuth::Key { path: key.into(), passphrase: None };
    let config = SshConfig::new(host, user, auth, known_hosts, folder.to_str().unwrap());
    StoreConfig::Ssh(SshConfig { port, ..config })
}

fn ftps(dir: &str) -> StoreConfig {
    let (host, port) = address("FREEZER_TEST_FTP", "127.0.0.1:2121");
    let password = Secret::new(variable("FREEZER_TEST_PASSWORD", "minicloud"));
    let files = PathBuf::from(variable("FREEZER_TEST_FTP_DIR", "/var/lib/minicloud/ftp"));
    let tls = Some(FtpTls { cafile: Some(files.join("ca.pem")), ..FtpTls::default() });
    StoreConfig::Ftp(FtpConfig { port, tls, ..FtpConfig::new(host, "freezer", password, dir) })
}

/// A folder that the FTP server's account makes, and that is gone afterwards.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Neither takes several objects at once, nor tells what is in the objects that it lists: that nobody has written to the manifests since
/// is known by their stamps.
async fn a_level_takes_six(config: StoreConfig, secret: Option<&str>) {
    let room = Room { store: open(config).unwrap(), ..Room::new() };
    plant_before_now(&room.source());
    let request = |level: u32| {
        let now = T0 + i64::from(level) * DAY;
        BackupRequest { encryption: secret.and_then(encryption), ..remembering(&room, now) }
    };
    room.backup(request(0)).await.unwrap();
    for level in 1..=3 {
        let (report, counts) = counts_of(room.store.clone(), request(level)).await;
        assert_eq!(report.level, level, "{}", report.level_reason);
        assert_eq!((counts.all(), counts.one_by_one()), (expected(0), 6), "level {level}");
    }
    let to = freezer_vault::RestoreRequest { pass_phrase: secret.map(pass), ..room.to("target") };
    room.expect(to, &tree(&room.source())).await;
}

/// The root of a store, and what is to be done to the manifest of the level that the newest is built on, and to that of the newest: it is
/// another one then, of the same length. Nothing is built on either, though this machine has kept both as they were.
async fn a_manifest_that_was_written_to_is_read(config: StoreConfig, root: PathBuf, harm: fn(PathBuf)) {
    for (harmed, expected) in [(1, T0), (2, T0 + DAY)] {
        let room = Room { store: open(config.clone()).unwrap(), ..Room::new() };
        plant_before_now(&room.source());
        for level in 0..3 {
            let report = room.backup(remembering(&room, T0 + level * DAY)).await.unwrap();
            assert_eq!(i64::from(report.level), level, "{}", report.level_reason);
        }
        let folder = format!("data/tar/{}/{T0}/{harmed}_{}", hbn().as_str(), T0 + harmed * DAY);
        harm(root.join(folder).join("manifest"));
        let report = room.backup(remembering(&room, T0 + 3 * DAY)).await.unwrap();
        assert_eq!(report.parent.unwrap().timestamp, expected, "{}", report.level_reason);
        room.expect(room.to("target"), &tree(&room.source())).await;
        std::fs::remove_dir_all(&root).unwrap();
    }
}

/// As [`turn_a_byte`], by somebody who sets the file's time to what it was.
fn turn_a_byte_secretly(file: PathBuf) {
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    turn_a_byte(file.clone());
    std::fs::File::options().append(true).open(file).unwrap().set_modified(modified).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder_a_manifest_that_was_written_to_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for harm in [turn_a_byte, turn_a_byte_secretly] {
        let config = StoreConfig::Local { path: root.clone() };
        a_manifest_that_was_written_to_is_read(config, root.clone(), harm).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ssh_a_level_takes_six() {
    let folder = tempfile::tempdir().unwrap();
    for secret in [None, Some("secret")] {
        a_level_takes_six(ssh(&folder.path().join(secret.unwrap_or("clear"))), secret).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ssh_a_manifest_that_was_written_to_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    a_manifest_that_was_written_to_is_read(ssh(&root), root, turn_a_byte).await;
}

/// A folder on the FTP server, by its name there, and here.
fn ftp_folder() -> (String, Removed) {
    let home = PathBuf::from(variable("FREEZER_TEST_FTP_HOME", "/var/lib/minicloud/data/ftp"));
    let name = format!("freezer_test_requests_{}", uuid::Uuid::new_v4().simple());
    let folder = Removed(home.join(&name));
    (format!("/{name}"), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ftps_a_level_takes_six() {
    let (name, folder) = ftp_folder();
    for secret in [None, Some("secret")] {
        let root = secret.unwrap_or("clear");
        a_level_takes_six(ftps(&format!("{name}/{root}")), secret).await;
        assert!(folder.0.join(root).join("data").is_dir());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ftps_a_manifest_that_was_written_to_is_read() {
    let (name, folder) = ftp_folder();
    let config = ftps(&format!("{name}/root"));
    a_manifest_that_was_written_to_is_read(config, folder.0.join("root"), turn_a_byte).await;
}
