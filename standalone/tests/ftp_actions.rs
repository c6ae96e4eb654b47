//! Actions over storages that a password or a key opens, ftp, ftps and ssh: a backup, its increment, a check and a restore by the
//! agent's program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_testkit::{PasswordSshd, Said, program, services};
use std::path::{Path, PathBuf};
use std::process::Command;

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// A file of the server's.
fn of_server(name: &str) -> PathBuf {
    Path::new(&variable("FREEZER_TEST_FTP_DIR", "/var/lib/minicloud/ftp")).join(name)
}

/// The agent with nothing in its environment but the CA that the server's certificate is of.
fn agent(storage: &str, port: &str, container: &str) -> Command {
    let mut command = Command::new(program("freezer-agent"));
    command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent")]);
    command.env("OS_CACERT", of_server("ca.pem"));
    command.args(["--storage", storage, "--ftp-host", "127.0.0.1", "--ftp-port", port]);
    command.args(["--ftp-username", "freezer", "--container", container]);
    command.args(["--hostname", "h", "--backup-name", "b"]);
    command
}

fn port(name: &str, default: &str) -> String {
    let address = variable(name, default);
    address.rsplit_once(':').expect("host:port").1.to_owned()
}

/// What each of them leaves on the server goes with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_goes_to_an_ftp_server_and_comes_back() {
    let work = tempfile::tempdir().unwrap();
    let password = work.path().join("password");
    std::fs::write(&password, format!("{}\n", services::password())).unwrap();
    let port = port("FREEZER_TEST_FTP", "127.0.0.1:2121");
    for storage in ["ftp", "ftps"] {
        let name = freezer_testkit::random_name();
        let home = variable("FREEZER_TEST_FTP_HOME", "/var/lib/minicloud/data/ftp");
        let on_server = Folder(Path::new(&home).join(&name));
        let source = work.path().join(storage);
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("first"), "worth saving\n".repeat(10_000)).unwrap();
        let run = async |arguments: &[&str]| {
            let mut command = agent(storage, &port, &format!("/{name}/store"));
            match storage {
                "ftp" => command.env("FTP_PASSWORD", services::password()),
                _ => command.args(["--ftp-password-file", password.to_str().unwrap()]),
            };
            command.args(arguments);
            Said::by(command).await
        };
        let backup = [
            "--action",
            "backup",
            "--incremental",
            "--max-level",
            "5",
            "--metadata-out",
            "-",
            "--path-to-backup",
        ];
        for (level, file) in [(0, "second"), (1, "third")] {
            let saved = run(&[&backup[..], &[source.to_str().unwrap()]].concat()).await;
            let record = saved.document();
            assert_eq!(record["curr_backup_level"], level, "{record}");
            assert_eq!((&record["storage"], &record["ftp_host"]), (&storage.into(), &"127.0.0.1".into()));
            std::fs::write(source.join(file), file).unwrap();
        }
        let checked = run(&["--action", "verify"]).await;
        assert!(checked.out.contains("everything is as it was written"), "{}{}", checked.out, checked.err);
        let target = work.path().join(format!("{storage}-back"));
        let restored = run(&["--action", "restore", "--restore-abs-path", target.to_str().unwrap()]).await;
        assert_eq!(restored.status, Some(0), "{}", restored.err);
        let read = |folder: &Path, file: &str| std::fs::read(folder.join(file)).unwrap();
        for file in ["first", "second"] {
            assert!(read(&source, file) == read(&target, file), "{file} comes back as it was");
        }
        assert!(!target.join("third").exists(), "it was saved by no level");
        // A new chain, and the old one goes.
        let saved = run(&["--action", "backup", "--path-to-backup", source.to_str().unwrap()]).await;
        assert_eq!(saved.status, Some(0), "{}", saved.err);
        let before = files_below(&on_server.0);
        let rotated = run(&["--action", "admin", "--keep-last", "1"]).await;
        assert_eq!(rotated.status, Some(0), "{}", rotated.err);
        assert!(files_below(&on_server.0) < before, "{}", rotated.out);
        assert!(run(&["--action", "verify"]).await.out.contains("everything is as it was written"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_without_the_password() {
    let port = port("FREEZER_TEST_FTP", "127.0.0.1:2121");
    let run = async |storage: &str, password: &str, cafile: &str, arguments: &[&str]| {
        let mut command = agent(storage, &port, &format!("/{}", freezer_testkit::random_name()));
        command
            .env("FTP_PASSWORD", password)
            .env("OS_CACERT", cafile)
            .args(["--action", "info"])
            .args(arguments);
        Said::by(command).await
    };
    let ca = of_server("ca.pem");
    let ca = ca.to_str().unwrap();
    let wrong = run("ftps", "no-such-password", ca, &[]).await;
    wrong.fails_with(&["user freezer", "password"]);
    assert!(!format!("{}{}", wrong.out, wrong.err).contains("no-such-password"), "{}", wrong.err);
    run("ftps", &services::password(), "", &[]).await.fails_with(&["certificate", "ftps:freezer@127.0.0.1"]);
    let without = run("ftps", &services::password(), ca, &["--ftp-keyfile", "/nonexistent"]).await;
    without.fails_with(&["ftp_certfile"]);
    let known = run("ftps", &services::password(), ca, &[]).await;
    assert_eq!(known.status, Some(0), "{}", known.err);
    // Who asks for it gets it, and is told.
    let insecure = run("ftps", &services::password(), "", &["--insecure"]).await;
    assert_eq!(insecure.status, Some(0), "{}", insecure.err);
    assert!(insecure.out.contains("insecure: neither certificates"), "{}", insecure.out);
    let plain = run("ftp", &services::password(), "", &[]).await;
    assert!(plain.status == Some(0) && plain.out.contains("in the clear"), "{}{}", plain.out, plain.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_goes_over_ssh_by_a_password_and_comes_back() {
    let work = tempfile::tempdir().unwrap();
    let sshd = PasswordSshd::start(work.path());
    let (source, target) = (work.path().join("source"), work.path().join("target"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "worth saving\n".repeat(10_000)).unwrap();
    let file = work.path().join("password");
    std::fs::write(&file, format!("{}\n", sshd.password)).unwrap();
    let storage = sshd.options(&work.path().join("store"));
    let run = async |password: &str, arguments: &[&str]| {
        let mut command = Command::new(program("freezer-agent"));
        command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent")]);
        if !password.is_empty() {
            command.env("SSH_PASSWORD", password);
        }
        command.args(&storage).args(["--hostname", "h", "--backup-name", "b"]).args(arguments);
        Said::by(command).await
    };
    let backup = ["--action", "backup", "--path-to-backup", source.to_str().unwrap()];
    let wrong = run("no-such-password", &backup).await;
    wrong.fails_with(&["does not accept the password"]);
    assert!(!format!("{}{}", wrong.out, wrong.err).contains("no-such-password"), "{}", wrong.err);
    let in_argv = run("", &[&backup[..], &["--ssh-password", "no-such-password"]].concat()).await;
    in_argv.fails_with(&["SSH_PASSWORD", "every user of this host"]);
    assert!(!in_argv.err.contains("no-such-password"), "{}", in_argv.err);

    let saved = run(&sshd.password, &backup).await;
    assert_eq!(saved.status, Some(0), "{}", saved.err);
    assert!(!format!("{}{}", saved.out, saved.err).contains(&sshd.password), "{}", saved.err);
    let restore = ["--action", "restore", "--restore-abs-path", target.to_str().unwrap()];
    let in_file = [&restore[..], &["--ssh-password-file", file.to_str().unwrap()]].concat();
    let restored = run("", &in_file).await;
    assert_eq!(restored.status, Some(0), "{}", restored.err);
    let read = |folder: &Path| std::fs::read(folder.join("file")).unwrap();
    assert!(read(&source) == read(&target), "it comes back as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_ssh_hosts_are_known_and_locked_keys_are_opened() {
    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name).display().to_string();
    let (key, phrase, store) = (path("key"), path("phrase"), path("store"));
    // The key that the server takes, under a pass phrase.
    std::fs::copy(variable("FREEZER_TEST_SSH_KEY", "/var/lib/minicloud/ssh/id_ed25519"), &key).unwrap();
    let locked =
        Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "open sesame", "-f", &key]).output();
    assert!(locked.unwrap().status.success());
    std::fs::write(&phrase, "open sesame\n").unwrap();
    std::fs::create_dir(&store).unwrap();
    let known = variable("FREEZER_TEST_SSH_KNOWN_HOSTS", "/var/lib/minicloud/ssh/known_hosts");
    let address = variable("FREEZER_TEST_SSH", "127.0.0.1:2222");
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let user = variable("FREEZER_TEST_SSH_USER", "root");
    let run = async |known_hosts: &str, more: &[&str]| {
        let mut command = Command::new(program("freezer-agent"));
        command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent")]);
        command.args(["--storage", "ssh", "--ssh-host", host, "--ssh-port", port, "--ssh-username", &user]);
        command.args(["--ssh-known-hosts", known_hosts, "--ssh-key", &key, "--container", &store]);
        command.args(["--action", "info"]).args(more);
        Said::by(command).await
    };
    let opened = ["--ssh-key-passphrase-file", &phrase];
    run(&known, &[]).await.fails_with(&["has a passphrase"]);
    let nobody = path("known_hosts");
    run(&nobody, &opened).await.fails_with(&["the host is unknown", "ssh-keyscan", &nobody]);
    let told = "insecure: neither certificates nor host keys";
    let said = run(&known, &opened).await;
    assert_eq!(said.status, Some(0), "{}", said.err);
    for words in ["open sesame", told] {
        assert!(!said.out.contains(words) && !said.err.contains(words), "{}{}", said.out, said.err);
    }
    // Who asks for it gets it, and is told.
    let insecure = run(&nobody, &[&opened[..], &["--insecure"]].concat()).await;
    assert_eq!(insecure.status, Some(0), "{}", insecure.err);
    assert!(insecure.out.contains(told), "{}", insecure.out);
}
