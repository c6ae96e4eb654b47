//! A pass phrase that Barbican keeps: backups are encrypted with it, and only who may read the secret restores them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ec2::Ec2Keys;
use cloud::one_shot::{Said, agent_of};
use cloud::project::Project;
use cloud::secrets::Secrets;
use freezer_testkit::{PasswordSshd, random_name, services};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_encrypted_with_a_secret_of_the_project() {
    let (project, other) = (Project::create().await, Project::create().await);
    let secrets = Secrets::of(&project).await;
    let secret = secrets.store("correct horse battery staple\n").await;
    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    let (source, store, pass) = (path("source"), path("store"), path("pass"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(format!("{source}/file"), "worth saving\n".repeat(1000)).unwrap();
    std::fs::write(&pass, "correct horse battery staple\n").unwrap();
    let run = async |of: &Project, arguments: &[&str]| {
        let mut command = agent_of(of, &of.user);
        command.args(["--storage", "local", "--container", &store, "--hostname", "h", "--backup-name", "b"]);
        command.args(arguments);
        Said::by(command).await
    };
    let backup = ["--action", "backup", "--path-to-backup", &source];

    // What cannot be had saves nothing.
    let missing = "00000000-0000-4000-8000-000000000000";
    let refused = run(&project, &[&backup[..], &["--encrypt-secret-ref", missing]].concat()).await;
    refused.fails_with(&["Barbican has no secret", missing, "in this project"]);
    let refused = run(&other, &[&backup[..], &["--encrypt-secret-ref", &secret]].concat()).await;
    refused.fails_with(&["Barbican", "403"]);
    let long = secrets.store(&"x".repeat(2000)).await;
    let refused = run(&project, &[&backup[..], &["--encrypt-secret-ref", &long]].concat()).await;
    refused.fails_with(&["longer than"]);
    assert!(!std::path::Path::new(&store).exists() || std::fs::read_dir(&store).unwrap().next().is_none());

    let saved = run(&project, &[&backup[..], &["--encrypt-secret-ref", &secret]].concat()).await;
    assert_eq!(saved.status, Some(0), "{}", saved.err);
    assert!(!(saved.out.contains("horse") || saved.err.contains("horse")));

    // By the secret, and by what it holds, wherever the reference points.
    let id = secret.rsplit('/').next().unwrap();
    let elsewhere = format!("http://203.0.113.1:9311/v1/secrets/{id}");
    for (number, key) in [
        ["--encrypt-secret-ref", secret.as_str()],
        ["--encrypt-secret-ref", id],
        ["--encrypt-secret-ref", elsewhere.as_str()],
        ["--encrypt-pass-file", pass.as_str()],
    ]
    .iter()
    .enumerate()
    {
        let target = path(&format!("target{number}"));
        let restore = ["--action", "restore", "--restore-abs-path", &target];
        let restored = run(&project, &[&restore[..], &key[..]].concat()).await;
        assert_eq!(restored.status, Some(0), "{}", restored.err);
        let read = |folder: &str| std::fs::read(format!("{folder}/file")).unwrap();
        assert!(read(&source) == read(&target), "it comes back as it was");
    }
    let target = path("stolen");
    let restore = ["--action", "restore", "--restore-abs-path", &target];
    run(&other, &[&restore[..], &["--encrypt-secret-ref", &secret]].concat()).await.fails_with(&["403"]);
    assert!(!std::path::Path::new(&target).exists());
    secrets.remove_all().await;
}

/// What opens a storage may be such a secret, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_opens_by_a_secret_of_the_project() {
    let (project, other) = (Project::create().await, Project::create().await);
    let secrets = Secrets::of(&project).await;
    let wrong = secrets.store("no such password").await;
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "worth saving\n".repeat(1000)).unwrap();
    let variable = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    let address = variable("FREEZER_TEST_FTP", "127.0.0.1:2121");
    let (host, port) = address.rsplit_once(':').unwrap();
    let folder = random_name();
    let ftp = format!(
        "--storage ftp --ftp-host {host} --ftp-port {port} --ftp-username freezer --container {folder}"
    );
    let sshd = PasswordSshd::start(work.path());
    let ssh = sshd.options(&work.path().join("over-ssh")).join(" ");
    let keys = Ec2Keys::of(&project.login().await).await;
    let s3 = format!(
        "--storage s3 --endpoint http://127.0.0.1:8080 --access-key {} --container {folder}",
        keys.access
    );
    let password = services::password();
    for (number, (storage, opens)) in
        [(&ftp, &password), (&ssh, &sshd.password), (&s3, &keys.secret)].into_iter().enumerate()
    {
        let secret = secrets.store(&format!("{opens}\n")).await;
        let target = work.path().join(format!("target{number}"));
        let run = async |of: &Project, secret: &str, arguments: &[&str]| {
            let mut command = agent_of(of, &of.user);
            command.args(storage.split(' ')).args(["--hostname", "h", "--backup-name", "b"]);
            command.args(["--storage-secret-ref", secret]).args(arguments);
            Said::by(command).await
        };
        let backup = ["--action", "backup", "--path-to-backup", source.to_str().unwrap()];
        run(&other, &secret, &backup).await.fails_with(&["Barbican", "403", "storage_secret_ref"]);
        let refused = run(&project, &wrong, &backup).await;
        assert!(
            refused.status == Some(1) && !refused.err.contains("no such password"),
            "{storage}: {}",
            refused.err
        );

        let saved = run(&project, &secret, &backup).await;
        assert_eq!(saved.status, Some(0), "{storage}: {}", saved.err);
        assert!(!saved.err.contains(opens) && !saved.out.contains(opens), "{}{}", saved.out, saved.err);
        let restore = ["--action", "restore", "--restore-abs-path", target.to_str().unwrap()];
        let restored = run(&project, &secret, &restore).await;
        assert_eq!(restored.status, Some(0), "{storage}: {}", restored.err);
        let read = |folder: &std::path::Path| std::fs::read(folder.join("file")).unwrap();
        assert!(read(&source) == read(&target), "{storage}: it comes back as it was");
    }
    let home = variable("FREEZER_TEST_FTP_HOME", "/var/lib/minicloud/data/ftp");
    std::fs::remove_dir_all(std::path::Path::new(&home).join(&folder)).unwrap();
    keys.remove().await;
    secrets.remove_all().await;
}
