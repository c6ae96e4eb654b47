//! Mode cloud: the databases of a Keystone and a Cinder are lost, and come back by the steps of the operator's document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::one_shot::{Said, agent_of, without_files};
use cloud::project::{CINDER, Project, call};
use cloud::{PATIENCE, http, login, write};
use freezer_testkit::private::{PrivateMariadb, free_port, wait_for_port};
use freezer_testkit::{Daemon, program, services};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

const RUNBOOK: &str = include_str!("../../docs/operate-restore-control-plane.md");
const ETC: &str = "/var/lib/minicloud/etc";
/// Configuration, policy and keys: modes, owners and contents.
const OF_ETC: &str =
    "cd \"$ETC\"; find . -type f -printf '%p %m %u %g\\n' | sort; find . -type f | sort | xargs sha256sum";
const SOCKET: &str = "/var/lib/minicloud/run/mysql/mysqld.sock";

#[track_caller]
fn must(output: std::io::Result<Output>) -> String {
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[track_caller]
fn bash(line: &str, variables: &[(&str, String)]) -> String {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", line]);
    must(command.envs(variables.iter().map(|(name, value)| (*name, value.as_str()))).output())
}

/// A block of the document, as an operator runs it.
fn step(name: &str) -> &'static str {
    let start = format!("```bash step={name}\n");
    let (_, rest) = RUNBOOK.split_once(&start).unwrap_or_else(|| panic!("no step {name}"));
    rest.split("```").next().unwrap()
}

/// A Keystone and a Cinder API of this test alone, with copies of the databases of the real ones.
struct Plane {
    server: PrivateMariadb,
    keystone_port: u16,
    cinder_port: u16,
    keystone: Daemon,
    cinder: Daemon,
    login_file: String,
    etc: String,
}

impl Plane {
    fn start(folder: &Path) -> Self {
        let server = PrivateMariadb::start_with(folder, &["--log-bin=log", "--server-id=7"]);
        let (keystone_port, cinder_port) = (free_port(), free_port());
        let etc = folder.join("keystone");
        std::fs::create_dir(&etc).unwrap();
        for keys in ["fernet-keys", "credential-keys"] {
            must(Command::new("cp").arg("-a").arg(format!("{ETC}/keystone/{keys}")).arg(&etc).output());
        }
        // A rule that nothing asks for.
        write(folder, "keystone/policy.yaml", "\"freezer_test\": \"!\"\n");
        let url = |database: &str| {
            format!("mysql+pymysql://root@127.0.0.1:{}/{database}?charset=utf8", server.port)
        };
        let etc = etc.display().to_string();
        write(
            folder,
            "keystone/keystone.conf",
            &format!(
                "[DEFAULT]\nuse_stderr = true\n[database]\nconnection = {}\n[token]\nprovider = fernet\n[cache]\nenabled = false\n\
             [fernet_tokens]\nkey_repository = {etc}/fernet-keys\n[credential]\nkey_repository = {etc}/credential-keys\n",
                url("keystone")
            ),
        );
        write(
            folder,
            "cinder.conf",
            &format!(
                "[DEFAULT]\nauth_strategy = keystone\ntransport_url = fake:/\nosapi_volume_listen = 127.0.0.1\nosapi_volume_listen_port = {cinder_port}\n\
             osapi_volume_workers = 1\nstate_path = {0}\napi_paste_config = /etc/cinder/api-paste.ini\n[database]\nconnection = {1}\n\
             [oslo_concurrency]\nlock_path = {0}\n[keystone_authtoken]\nauth_type = password\nauth_url = http://127.0.0.1:{keystone_port}/v3\n\
             www_authenticate_uri = http://127.0.0.1:{keystone_port}/v3\nusername = cinder\npassword = {2}\nproject_name = service\n\
             user_domain_id = default\nproject_domain_id = default\n",
                folder.display(),
                url("cinder"),
                services::password()
            ),
        );
        let login = format!("[client]\nuser=root\nhost=127.0.0.1\nport={}\nprotocol=tcp\n", server.port);
        write(folder, "login.cnf", &login);
        let login_file = folder.join("login.cnf").display().to_string();
        let copy = "mariadb-dump --no-defaults -uroot -S \"$SOCKET\" --single-transaction --databases keystone cinder | mariadb --defaults-file=\"$LOGIN\"";
        bash(copy, &[("SOCKET", SOCKET.to_owned()), ("LOGIN", login_file.clone())]);
        let port = format!("127.0.0.1:{keystone_port}");
        let keystone = Daemon::new(
            "keystone",
            "/usr/bin/uwsgi-core".into(),
            &[
                "--plugin",
                "python3",
                "--master",
                "--http-socket",
                &port,
                "--wsgi-file",
                "/usr/bin/keystone-wsgi-public",
                "--processes",
                "1",
                "--enable-threads",
                "--buffer-size",
                "65535",
                "--die-on-term",
                "--need-app",
                "--add-header",
                "Connection: close",
            ],
            folder.join("keystone.log"),
        )
        .variable("OS_KEYSTONE_CONFIG_DIR", &etc)
        .variable("OS_KEYSTONE_CONFIG_FILES", &format!("{etc}/keystone.conf"))
        .variable("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let config = folder.join("cinder.conf").display().to_string();
        let cinder = Daemon::new(
            "cinder-api",
            "/usr/bin/python3".into(),
            &["/usr/bin/cinder-api", "--config-file", &config],
            folder.join("cinder.log"),
        )
        .variable("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let mut plane = Self { server, keystone_port, cinder_port, keystone, cinder, login_file, etc };
        plane.serve();
        plane
    }

    fn serve(&mut self) {
        self.keystone.start();
        wait_for_port(self.keystone_port, "keystone");
        self.cinder.start();
        wait_for_port(self.cinder_port, "cinder-api");
    }

    fn sql(&self, statement: &str) -> String {
        let file = format!("--defaults-file={}", self.login_file);
        must(Command::new("mariadb").args([&file, "-N", "-B", "-e", statement]).output())
    }

    /// A token for a user of the real cloud, from this Keystone.
    async fn token(&self) -> Option<String> {
        let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "domain": {"id": "default"}, "password": services::password()}}},
            "scope": {"project": {"name": "demo", "domain": {"id": "default"}}}}});
        let url = format!("http://127.0.0.1:{}/v3/auth/tokens", self.keystone_port);
        let answer = http().post(url).json(&body).send().await.ok()?;
        let token = answer.headers().get("x-subject-token")?.to_str().ok()?.to_owned();
        Some(token)
    }

    /// Names of the demo project's volumes as this Cinder lists them, once it answers.
    async fn volumes(&self, project: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(token) = self.token().await {
                let url = format!("http://127.0.0.1:{}/v3/{project}/volumes", self.cinder_port);
                let (status, listed) = call(Method::GET, &url, &token, None).await;
                if status == 200 {
                    let all = listed["volumes"].as_array().unwrap().iter();
                    return all.map(|volume| volume["name"].as_str().unwrap().to_owned()).collect();
                }
            }
            assert!(Instant::now() < end, "no list of volumes");
            tokio::time::sleep(cloud::LOOK).await;
        }
    }
}

/// Another volume of the real cloud, so that there is one to list. Removed at the end.
struct Volume {
    url: String,
    token: String,
    name: String,
}

impl Volume {
    async fn create(project: &str, token: &str) -> Self {
        let name = format!("freezer-test-{}", freezer_testkit::random_name());
        let url = format!("{CINDER}/{project}/volumes");
        let (status, made) =
            call(Method::POST, &url, token, Some(&json!({"volume": {"name": name, "size": 1}}))).await;
        assert_eq!(status, 202, "{made}");
        let url = format!("{url}/{}", made["volume"]["id"].as_str().unwrap());
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, shown) = call(Method::GET, &url, token, None).await;
            if shown["volume"]["status"] == "available" {
                return Self { url, token: token.to_owned(), name };
            }
            assert!(Instant::now() < end, "{shown}");
            tokio::time::sleep(cloud::LOOK).await;
        }
    }

    async fn delete(self) {
        let (status, answer) = call(Method::DELETE, &self.url, &self.token, None).await;
        assert_eq!(status, 202, "{answer}");
    }
}

/// A key in the cluster's keyring. Removed at the end.
struct CephKey {
    entity: String,
    key: String,
}

impl CephKey {
    fn create() -> Self {
        let entity = format!("client.freezer-test-{}", freezer_testkit::random_name());
        Self::ceph(&["auth", "get-or-create", &entity, "mon", "allow r"]);
        let key = Self::ceph(&["auth", "get-key", &entity]);
        Self { entity, key }
    }

    fn ceph(words: &[&str]) -> String {
        must(Command::new("ceph").args(["-c", "/etc/ceph/ceph.conf"]).args(words).output())
    }

    fn lose(&self) {
        Self::ceph(&["auth", "rm", &self.entity]);
    }

    fn is_back(&self) {
        assert_eq!(Self::ceph(&["auth", "get-key", &self.entity]), self.key);
    }
}

impl Drop for CephKey {
    fn drop(&mut self) {
        let words = ["-c", "/etc/ceph/ceph.conf", "auth", "rm", &self.entity];
        let removed = Command::new("ceph").args(words).output().unwrap();
        assert!(removed.status.success() || std::thread::panicking(), "{removed:?}");
    }
}

fn agent_folder() -> String {
    program("freezer-agent").parent().unwrap().display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_databases_of_keystone_and_cinder_come_back() {
    let demo = login("demo", "demo").await;
    let volume = Volume::create(&demo.project_id, &demo.token).await;
    let work = tempfile::tempdir().unwrap();
    let folder = work.path();
    let mut plane = Plane::start(folder);
    let (name, ceph_key) = (volume.name.clone(), CephKey::create());
    volume.delete().await;
    assert!(plane.volumes(&demo.project_id).await.contains(&name));

    let path = |name: &str| folder.join(name).display().to_string();
    write(folder, "pass", "a phrase\n");
    write(
        folder,
        "plane.conf",
        &format!(
            "[database]\nhost = 127.0.0.1\nport = {}\nuser = root\nexclude = freezer\n[files]\npaths = {}\n[rabbitmq]\nurl = http://127.0.0.1:15672\nuser = freezer_test\n\
         password = freezer_test\n[ceph]\nconf = /etc/ceph/ceph.conf\n",
            plane.server.port, plane.etc
        ),
    );
    let storage = format!(
        "--storage local --container {} --encrypt-pass-file {} --hostname control",
        path("store"),
        path("pass")
    );
    let variables = [
        ("STORAGE", storage.clone()),
        ("TARGET", path("target")),
        ("KEYSTONE_ETC", plane.etc.clone()),
        ("MYSQL_LOGIN", plane.login_file.clone()),
        ("CONF", path("plane.conf")),
        ("PATH", format!("{}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", agent_folder())),
    ];
    // Its cipher is told by the backup itself; the document's steps name none.
    bash(
        "freezer-agent --action backup --mode cloud --cloud-conf \"$CONF\" --backup-name control-plane \
         --encryption-cipher aes-256-gcm $STORAGE",
        &variables,
    );
    let records = bash("freezer-agent --action adopt --metadata-out - $STORAGE", &variables);
    let records: Value = serde_json::from_str(&records).unwrap();
    assert_eq!((records.as_array().unwrap().len(), &records[0]["mode"]), (1, &json!("cloud")), "{records:#}");
    // Nothing of it lies readable in the storage.
    let store = [("STORAGE_FOLDER", path("store"))];
    bash("! grep -rl 'INSERT INTO' \"${STORAGE_FOLDER}\"", &store);
    bash("grep -rqF '\"cipher\":\"aes-256-gcm\"' \"${STORAGE_FOLDER}\"", &store);
    nothing_is_put_down_on_the_way(folder).await;
    let etc_before = bash(OF_ETC, &[("ETC", plane.etc.clone())]);
    let before = plane.sql("SELECT count(*) FROM keystone.project; SELECT count(*) FROM cinder.volumes");

    ceph_key.lose();
    plane.keystone.kill();
    plane.cinder.kill();
    plane.sql("DROP DATABASE keystone; DROP DATABASE cinder");
    bash(
        "rm -r \"$ETC\"/fernet-keys \"$ETC\"/credential-keys \"$ETC\"/keystone.conf \"$ETC\"/policy.yaml",
        &[("ETC", plane.etc.clone())],
    );

    for name in ["fetch", "prove", "files", "databases", "ceph"] {
        bash(step(name), &variables);
    }
    assert_eq!(bash(OF_ETC, &[("ETC", plane.etc.clone())]), etc_before);
    ceph_key.is_back();
    plane.serve();
    assert_eq!(
        plane.sql("SELECT count(*) FROM keystone.project; SELECT count(*) FROM cinder.volumes"),
        before
    );
    assert!(plane.volumes(&demo.project_id).await.contains(&name));
    is_documented(&folder.join("target"));
    a_part_that_fails_is_named(folder, &plane, &variables);
}

/// From the services to Swift by an agent that may not write a byte to any file, and leaves none without bytes either.
async fn nothing_is_put_down_on_the_way(folder: &Path) {
    let (project, nowhere) = (Project::create().await, tempfile::tempdir().unwrap());
    let path = |name: &str| folder.join(name).display().to_string();
    let agent = |action: &str, more: [&str; 2]| {
        let mut command = agent_of(&project, &project.user);
        command.args([
            "--action",
            action,
            "--mode",
            "cloud",
            "--backup-name",
            "streamed",
            "--hostname",
            "control",
        ]);
        command.args(["--storage", "swift", "--container", "streamed", "--encrypt-pass-file", &path("pass")]);
        command.args(more);
        command
    };
    let saving = agent("backup", ["--cloud-conf", &path("plane.conf")]);
    let saved = Said::by(without_files(&saving, nowhere.path())).await;
    assert_eq!(saved.status, Some(0), "{}", saved.err);
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
    let restored = Said::by(agent("restore", ["--restore-abs-path", &path("streamed")])).await;
    assert_eq!(restored.status, Some(0), "{}", restored.err);
    is_documented(&folder.join("streamed"));
}

/// The document names every part, databases with their place in the binary log.
fn is_documented(target: &Path) {
    let document: Value =
        serde_json::from_slice(&std::fs::read(target.join("control-plane.json")).unwrap()).unwrap();
    let parts = document["parts"].as_array().unwrap();
    let kinds: Vec<&str> = parts.iter().map(|part| part["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["database", "database", "files", "rabbitmq", "ceph", "ceph"], "{document:#}");
    for part in parts {
        assert_eq!(part["error"], Value::Null, "{part}");
        assert!(part["bytes"].as_u64().unwrap() > 0, "{part}");
    }
    assert!(parts[0]["position"]["log_file"].as_str().unwrap().starts_with("log."), "{document:#}");
    assert!(parts[0]["position"]["log_position"].as_u64().unwrap() > 0);
    let definitions: Value =
        serde_json::from_slice(&std::fs::read(target.join("rabbitmq/definitions.json")).unwrap()).unwrap();
    assert!(definitions["users"].as_array().is_some_and(|users| !users.is_empty()));
    assert!(target.join("ceph/monmap").metadata().unwrap().len() > 0);
}

/// One part that cannot be read makes the backup partial, and the others are saved.
fn a_part_that_fails_is_named(folder: &Path, plane: &Plane, variables: &[(&str, String)]) {
    let conf = format!(
        "[database]\nhost = 127.0.0.1\nport = {}\nuser = nobody\npassword = wrong-secret\n[files]\npaths = {},/nowhere/at/all\n",
        plane.server.port, plane.etc
    );
    write(folder, "plane.conf", &conf);
    let line =
        "freezer-agent --action backup --mode cloud --cloud-conf \"$CONF\" --backup-name half $STORAGE";
    let output = Command::new("bash")
        .args(["-c", line])
        .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    for word in ["PARTIAL", "Access denied", "/nowhere/at/all"] {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
    assert!(!text.contains("wrong-secret"));
}
