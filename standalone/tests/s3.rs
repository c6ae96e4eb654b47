//! Actions over the real Swift: storage s3 with keys that Keystone made, against Swift's own S3; storage swift over HTTPS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::detour::keystone_saying;
use cloud::ec2::Ec2Keys;
use cloud::one_shot::Said;
use cloud::tls::TlsFront;
use cloud::{http, login, remove_container};
use freezer_testkit::{program, services};
use std::process::Command;

/// The agent with nothing in its environment.
fn agent(endpoint: &str, bucket: &str) -> Command {
    let mut command = Command::new(program("freezer-agent"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
    command.args(["--storage", "s3", "--endpoint", endpoint, "--hostname", "h", "--backup-name", "b"]);
    command.args(["--container", &format!("{bucket}/prefix")]);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_goes_to_a_bucket_and_comes_back() {
    let work = tempfile::tempdir().unwrap();
    let demo = login("demo", "demo").await;
    let made = Ec2Keys::of(&demo).await;
    let (access, secret) = (&made.access, &made.secret);

    let file = work.path().join("credentials");
    let lines = format!(
        "[other]\naws_access_key_id = x\n[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"
    );
    std::fs::write(&file, lines).unwrap();
    let (source, target) = (work.path().join("source"), work.path().join("target"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "worth saving\n".repeat(10_000)).unwrap();
    let bucket = freezer_testkit::random_name().replace('_', "-");
    let run = async |keys: &[&str], arguments: &[&str]| {
        let mut command = agent("http://127.0.0.1:8080", &bucket);
        command.args(keys).args(arguments);
        Said::by(command).await
    };
    let keys = ["--s3-credentials-file", file.to_str().unwrap()];
    let saved = run(&keys, &["--action", "backup", "--path-to-backup", source.to_str().unwrap()]).await;
    assert_eq!(saved.status, Some(0), "{}", saved.err);
    assert!(run(&keys, &["--action", "verify"]).await.out.contains("everything is as it was written"));
    let restored = run(&keys, &["--action", "restore", "--restore-abs-path", target.to_str().unwrap()]).await;
    assert_eq!(restored.status, Some(0), "{}", restored.err);
    let read = |folder: &std::path::Path| std::fs::read(folder.join("file")).unwrap();
    assert!(read(&source) == read(&target), "it comes back as it was");
    // What is wrong is said, and no key with it.
    run(&[], &["--action", "info"])
        .await
        .fails_with(&["/nonexistent/.aws/credentials", "s3_credentials_file"]);
    let lines = format!("aws_access_key_id = {access}\naws_secret_access_key = no-such-secret\n");
    let wrong_keys = work.path().join("wrong");
    std::fs::write(&wrong_keys, lines).unwrap();
    let in_argv = ["--access-key", access.as_str(), "--secret-key", "no-such-secret"];
    let in_list = ["--storages", r#"[{"storage": "s3", "secret_key": "no-such-secret"}]"#];
    for (keys, words) in [
        (&["--s3-credentials-file", wrong_keys.to_str().unwrap()][..], "check the keys"),
        (&in_argv[..], "AWS_SECRET_ACCESS_KEY"),
        (&in_list[..], "not taken from the command line"),
    ] {
        let said = run(keys, &["--action", "info"]).await;
        said.fails_with(&[words]);
        assert!(!said.err.contains("no-such-secret"), "{}", said.err);
    }

    // The environment holds them as well.
    let mut command = agent("http://127.0.0.1:8080", &bucket);
    command.envs([("AWS_ACCESS_KEY_ID", access), ("AWS_SECRET_ACCESS_KEY", secret)]);
    command.args(["--action", "info"]);
    let listed = Said::by(command).await;
    assert_eq!(listed.status, Some(0), "{}", listed.err);

    // Whoever answers must show a good certificate, unless that is given up, which is told.
    let front = TlsFront::start(work.path(), 8080).await;
    let endpoint = format!("https://localhost:{}", front.port);
    let over_tls = async |cacert: &str, more: &[&str]| {
        let mut command = agent(&endpoint, &bucket);
        command.env("OS_CACERT", cacert).args(keys).args(["--action", "info"]).args(more);
        Said::by(command).await
    };
    over_tls("", &[]).await.fails_with(&["certificate", "OS_CACERT"]);
    let known = over_tls(&front.certificate, &[]).await;
    assert!(known.status == Some(0) && !known.out.contains("insecure"), "{}{}", known.out, known.err);
    let insecure = over_tls("", &["--insecure"]).await;
    assert_eq!(insecure.status, Some(0), "{}", insecure.err);
    let told = format!("{}{}", insecure.out, insecure.err);
    assert!(told.contains("insecure: neither certificates"), "{told}");

    remove_container(&demo, &bucket).await;
    made.remove().await;
}

/// The catalogue leads to it over HTTPS; who answers there must show a good certificate, unless that is given up, which is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_goes_to_swift_over_https_and_comes_back() {
    let work = tempfile::tempdir().unwrap();
    let demo = login("demo", "demo").await;
    let front = TlsFront::start(work.path(), 8080).await;
    let behind = ("http://127.0.0.1:8080".to_owned(), format!("https://localhost:{}", front.port));
    let keystone = format!("http://127.0.0.1:{}/v3", keystone_saying(vec![behind]).await);
    let (source, target) = (work.path().join("source"), work.path().join("target"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "worth saving\n".repeat(10_000)).unwrap();
    let container = format!("https-{}", freezer_testkit::random_name());
    let password = services::password();
    let run = async |around: (&str, &str), arguments: &[&str]| {
        let mut command = Command::new(program("freezer-agent"));
        command.env_clear().envs([
            ("PATH", "/usr/bin:/bin"),
            ("HOME", "/nonexistent"),
            ("OS_AUTH_URL", keystone.as_str()),
            ("OS_USERNAME", "demo"),
            ("OS_PASSWORD", password.as_str()),
            ("OS_PROJECT_NAME", "demo"),
            ("OS_USER_DOMAIN_ID", "default"),
            ("OS_PROJECT_DOMAIN_ID", "default"),
            around,
        ]);
        command.args(["--storage", "swift", "--container", &container, "--hostname", "h"]);
        command.args(["--backup-name", "b"]).args(arguments);
        Said::by(command).await
    };
    let backup = ["--action", "backup", "--path-to-backup", source.to_str().unwrap()];
    let refused = run(("LANG", "C"), &backup).await;
    refused.fails_with(&["certificate", "OS_CACERT"]);
    let address = format!("http://127.0.0.1:8080/v1/AUTH_{}/{container}", demo.project_id);
    let asked = http().head(address).header("X-Auth-Token", &demo.token).send().await.unwrap();
    assert_eq!(asked.status(), 404, "nothing was sent to whom nobody knows");

    let trusted = ("OS_CACERT", front.certificate.as_str());
    let saved = run(trusted, &backup).await;
    assert_eq!(saved.status, Some(0), "{}", saved.err);
    assert!(!format!("{}{}", saved.out, saved.err).contains("insecure"), "{}{}", saved.out, saved.err);
    let restore = ["--action", "restore", "--restore-abs-path", target.to_str().unwrap()];
    let restored = run(trusted, &restore).await;
    assert_eq!(restored.status, Some(0), "{}", restored.err);
    let read = |folder: &std::path::Path| std::fs::read(folder.join("file")).unwrap();
    assert!(read(&source) == read(&target), "it comes back as it was");

    for (around, more) in [(("LANG", "C"), &["--insecure"][..]), (("OS_INSECURE", "true"), &[][..])] {
        let insecure = run(around, &[&["--action", "info"], more].concat()).await;
        assert_eq!(insecure.status, Some(0), "{}", insecure.err);
        assert!(insecure.err.contains("insecure: the certificates of Keystone"), "{}", insecure.err);
        assert!(insecure.out.contains("h_b"), "{}", insecure.out);
    }
    remove_container(&demo, &container).await;
}
