//! `freezer-manage import` from a database as Freezer in Python leaves it (contract §9.1, appendix B), in MariaDB.

use crate::stage::{Person, Stage, manage};
use freezer_testkit::private::{free_port, wait_for_port};
use freezer_testkit::{TestDatabase, services, venv};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const COMMON: &str =
    "created_at DATETIME NULL, updated_at DATETIME NULL, deleted_at DATETIME NULL, deleted BOOL NULL";

/// Upstream's tables, as its migrations leave them.
fn tables() -> String {
    let table = |name: &str, columns: &str| {
        format!("CREATE TABLE {name} ({COMMON}, {columns}) ENGINE=InnoDB CHARACTER SET utf8mb3;\n")
    };
    [
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);\nINSERT INTO alembic_version VALUES ('7a3b9c1d2e4f');\n".to_owned(),
        table(
            "clients",
            "id VARCHAR(255) PRIMARY KEY, project_id VARCHAR(36), user_id VARCHAR(64) NOT NULL, client_id VARCHAR(255) NOT NULL, \
             hostname VARCHAR(128), description VARCHAR(255), uuid VARCHAR(36) NOT NULL, supported_actions VARCHAR(255), \
             supported_modes VARCHAR(255), supported_storages VARCHAR(255), supported_engines VARCHAR(255), \
             is_central BOOL NOT NULL DEFAULT 0",
        ),
        table(
            "actions",
            "id VARCHAR(36) PRIMARY KEY, `action` VARCHAR(255) NOT NULL, project_id VARCHAR(36), user_id VARCHAR(64) NOT NULL, \
             actionmode VARCHAR(255), path_to_backup VARCHAR(255), backup_name VARCHAR(255), container VARCHAR(255), timeout INT, \
             priority INT, max_retries_interval INT DEFAULT 6, max_retries INT DEFAULT 5, mandatory BOOL, log_file VARCHAR(255), \
             backup_metadata TEXT",
        ),
        table(
            "action_reports",
            "id VARCHAR(36) PRIMARY KEY, project_id VARCHAR(36), user_id VARCHAR(64) NOT NULL, result VARCHAR(255), \
             time_elapsed VARCHAR(255), report_date TIMESTAMP NULL, log BLOB",
        ),
        table(
            "jobs",
            "id VARCHAR(36) PRIMARY KEY, project_id VARCHAR(36), user_id VARCHAR(64) NOT NULL, schedule TEXT, \
             client_id VARCHAR(255) NOT NULL, session_id VARCHAR(36) DEFAULT '', session_tag INT, description VARCHAR(255)",
        ),
        table(
            "job_actions",
            "id VARCHAR(36) PRIMARY KEY, job_id VARCHAR(36) NOT NULL, action_id VARCHAR(36) NOT NULL, position INT",
        ),
        table(
            "user_credentials",
            "id VARCHAR(36) PRIMARY KEY, trust_id VARCHAR(255) NOT NULL, trustor_user_id VARCHAR(64) NOT NULL, job_id VARCHAR(36) NOT NULL",
        ),
        table(
            "sessions",
            "id VARCHAR(36) PRIMARY KEY, session_tag INT, description VARCHAR(255), hold_off INT DEFAULT 30, schedule TEXT, job TEXT, \
             project_id VARCHAR(36), user_id VARCHAR(64) NOT NULL, time_start INT DEFAULT -1, time_end INT DEFAULT -1, \
             time_started INT DEFAULT -1, time_ended INT DEFAULT -1, status VARCHAR(255), result VARCHAR(255)",
        ),
        table(
            "backups",
            "id VARCHAR(36) PRIMARY KEY, job_id VARCHAR(36), project_id VARCHAR(36), user_id VARCHAR(64) NOT NULL, \
             status VARCHAR(64) NOT NULL DEFAULT 'available', backup_metadata TEXT",
        ),
    ]
    .concat()
}

/// Rows of a healthy service, and the odd ones that years leave. `P` is the project.
const ROWS: &str = r#"
INSERT INTO clients (created_at, deleted, id, uuid, project_id, user_id, client_id, hostname, supported_actions, supported_modes, is_central) VALUES
 ('2026-01-01 00:00:00', 0, 'c1', 'c1', 'P', 'U64', 'node1', 'node1.dom', '["backup", "restore", "admin"]', NULL, 0),
 ('2026-01-01 00:00:01', 0, 'c2', 'c2', 'service-project', 'f', 'central', 'h1', 'null', '', 1),
 ('2026-01-01 00:00:02', 0, 'c3', 'c3', 'service-project', 'f', 'central', 'h2', NULL, NULL, 1),
 ('2026-01-01 00:00:03', 1, 'c4', 'c4', 'P', 'U64', 'gone', NULL, NULL, NULL, 0),
 ('2026-01-01 00:00:04', 0, 'c5', 'c5', 'P', 'U64', 'broken', NULL, '["backup"', NULL, 0),
 ('2026-01-01 00:00:05', NULL, 'c6', 'c6', NULL, 'U64', 'nobodys', NULL, NULL, NULL, 0);
INSERT INTO actions (created_at, deleted, id, `action`, actionmode, backup_name, container, path_to_backup, timeout, mandatory, max_retries, max_retries_interval, project_id, user_id, backup_metadata) VALUES
 ('2026-01-01 00:00:00', 0, 'a1', 'backup', 'fs', 'etc', 'vault', '/etc', NULL, 1, 3, 60, 'P', 'U64', '{"action": "backup", "mode": "fs", "storage": "swift", "max_level": 6, "backup_name": "old", "timeout": 7}'),
 ('2026-01-01 00:00:01', 0, 'a2', 'admin', NULL, NULL, NULL, NULL, 30, NULL, NULL, NULL, 'P', 'U64', NULL),
 ('2026-01-01 00:00:02', 1, 'a3', 'exec', NULL, NULL, NULL, NULL, NULL, 0, 5, 6, 'P', 'U64', '{}'),
 ('2026-01-01 00:00:03', 0, 'a4', 'info', NULL, NULL, NULL, NULL, NULL, 0, 5, 6, 'P', 'U64', '{"action": "info", "cut'),
 ('2026-01-01 00:00:04', 0, 'a5', 'info', NULL, NULL, NULL, NULL, NULL, 0, -2, 6, 'other-project', 'o', 'null');
INSERT INTO jobs (created_at, deleted, id, project_id, user_id, client_id, session_id, session_tag, description, schedule) VALUES
 ('2026-01-01 00:00:00', 0, 'j1', 'P', 'U64', 'node1', '', 0, 'nightly etc', '{"schedule_interval": "1  days", "schedule_start_date": "2026-01-02T03:00:00.5+02:00", "time_created": 1767225600, "time_started": 1767322800, "time_ended": 1767322860, "event": "", "status": "scheduled", "result": "success", "current_pid": 10058}'),
 ('2026-01-01 00:00:01', 0, 'j2', 'P', 'U64', 'central', NULL, NULL, NULL, '{}'),
 ('2026-01-01 00:00:02', 1, 'j3', 'P', 'U64', 'node1', '', 0, 'deleted', '{}'),
 ('2026-01-01 00:00:03', 0, 'j4', 'P', 'U64', 'node1', '', 0, 'odd', '{"schedule_interval": "now and then"}'),
 ('2026-01-01 00:00:04', 0, 'J5', 'other-project', 'o', 'node1', '', 0, 'other', NULL);
INSERT INTO job_actions (deleted, id, job_id, action_id, position) VALUES
 (0, 'l1', 'j1', 'a2', 1), (0, 'l2', 'j1', 'a1', 0), (0, 'l3', 'j1', 'a3', 2), (0, 'l4', 'j1', 'nothing', 3), (1, 'l5', 'j1', 'a1', 4),
 (0, 'l6', 'j1', 'a5', 5), (0, 'l7', 'j1', 'a1', 6), (0, 'l8', 'j4', 'a1', 0), (0, 'l9', 'J5', 'a5', 0), (0, 'la', 'j3', 'a1', 0);
INSERT INTO user_credentials (created_at, deleted, id, job_id, trust_id, trustor_user_id) VALUES
 ('2026-01-01 00:00:00', 0, 'u1', 'j2', 'older', 'U64'), ('2026-01-02 00:00:00', 0, 'u2', 'j2', 'newest', 'U64'), ('2026-01-03 00:00:00', 1, 'u3', 'j2', 'gone', 'U64'),
 ('2026-01-04 00:00:00', 0, 'u4', 'j2', 'disputed', 'U64'), ('2026-01-04 00:00:00', 0, 'u5', 'J5', 'DISPUTED ', 'U64');
INSERT INTO sessions (created_at, deleted, id, project_id, user_id, session_tag, schedule, job, status, result) VALUES
 ('2026-01-01 00:00:00', 0, 's1', 'P', 'U64', 1, '{"schedule_interval": "1 days"}', 'null', 'active', NULL),
 ('2026-01-01 00:00:01', 1, 's2', 'P', 'U64', 1, '{}', NULL, 'active', NULL),
 ('2026-01-01 00:00:02', 0, 's3', 'P', 'U64', 3, '{}', '{"j2": {"client_id": "central", "status": "completed", "result": "success", "time_started": 1767225601, "time_ended": 1767225602}, "j3": {"client_id": "node1", "status": ""}}', 'completed', 'success'),
 ('2026-01-01 00:00:03', 0, 's4', 'P', 'U64', 1, '[1]', NULL, 'active', NULL);
INSERT INTO backups (created_at, deleted, id, project_id, user_id, job_id, status, backup_metadata) VALUES
 ('2026-01-01 00:00:00', 0, 'b1', 'P', 'U64', 'j1', 'available', '{"container": "vault", "hostname": "db1", "backup_name": "etc", "time_stamp": "1767225600", "job_id": "j1"}'),
 ('2026-01-01 00:00:01', 0, 'b2', 'P', 'U64', NULL, 'error', '{"container": "vault", "hostname": null, "backup_name": "etc"}'),
 ('2026-01-01 00:00:02', 0, 'b3', 'P', 'U64', NULL, 'available', '{"container": "", "hostname": "db1", "backup_name": "etc"}'),
 ('2026-01-01 00:00:03', 0, 'b4', 'P', 'U64', NULL, 'lost', '{"container": "v", "hostname": "db1", "backup_name": "etc", "time_stamp": 1}'),
 ('2026-01-01 00:00:04', 1, 'b5', 'P', 'U64', NULL, 'available', '{}');
"#;

/// Runs SQL in a database of the test server.
fn sql(database: &TestDatabase, text: &str) {
    let url = database.url();
    let (login, place) = url.split_once("://").unwrap().1.split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (address, name) = place.split('?').next().unwrap().split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let output = Command::new("mariadb")
        .args(["--no-defaults", "-h", host, "-P", port, "-u", user, name, "-e", text])
        .env("MYSQL_PWD", password)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn upstream(project: &str, user: &str) -> TestDatabase {
    let database = TestDatabase::create();
    sql(&database, &(tables() + &ROWS.replace("'P'", &format!("'{project}'")).replace("U64", user)));
    database
}

fn import(configuration: &Path, source: Option<&str>, words: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freezer-manage"));
    command.arg("--config-file").arg(configuration).arg("import").args(words);
    if let Some(source) = source {
        command.env("FREEZER_IMPORT_CONNECTION", source);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    (output, printed, said)
}

/// The numbers of a table's line: found, taken, already there, left out, void, deleted.
fn numbers(printed: &str, table: &str) -> Vec<u64> {
    let line = printed.lines().find(|line| line.starts_with(&format!("{table} "))).unwrap();
    line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect()
}

const EXPECTED: [(&str, [u64; 6]); 7] = [
    ("clients", [5, 2, 0, 3, 0, 1]),
    ("actions", [4, 3, 0, 1, 0, 1]),
    ("jobs", [4, 3, 0, 1, 0, 1]),
    ("job_actions", [8, 4, 0, 0, 4, 1]),
    ("user_credentials", [4, 1, 0, 2, 1, 1]),
    ("sessions", [3, 2, 0, 1, 1, 1]),
    ("backups", [4, 2, 0, 2, 0, 1]),
];

#[track_caller]
fn expect_first_run(printed: &str) {
    for (table, expected) in EXPECTED {
        assert_eq!(numbers(printed, table), expected, "{table}:\n{printed}");
    }
    for line in [
        "clients c3: client central of this project is there already, with the uuid c2",
        "clients c5: supported_actions is no list of words",
        "clients c6: it belongs to no project",
        "actions a4: backup_metadata is no JSON",
        "jobs j4: 'schedule.schedule_interval':",
        "job_actions l4: job j1: action nothing is not there",
        "job_actions l6: job j1: action a5 is not there, or not of its project",
        "user_credentials u1: job j2 has newer ones",
        "user_credentials u4: jobs of several projects name the trust of job j2",
        "user_credentials u5: jobs of several projects name the trust of job J5",
        "sessions s3: its job j3 is not there",
        "sessions s4: schedule is no JSON object",
        "backups b3: 'container': must not be empty",
        "backups b4: status \"lost\"",
    ] {
        assert!(printed.contains(line), "{line}:\n{printed}");
    }
}

#[track_caller]
fn expect_second_run(printed: &str) {
    for (table, [found, taken, _, left_out, ..]) in EXPECTED {
        let numbers = numbers(printed, table);
        assert_eq!((numbers[0], numbers[1], numbers[3]), (found, 0, left_out), "{table}:\n{printed}");
        assert!(numbers[2] >= taken, "{table}:\n{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_taken_over_and_read_through_the_api() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let user = "u".repeat(64);
    let source = upstream(&demo.project_id, &user);
    let configuration = stage.folder.path().join("freezer.conf");
    let (url, everything) = (source.url(), ["jobs", "actions", "clients", "backups", "sessions"]);
    let (dry, printed, said) = import(&configuration, Some(&url), &["--dry-run"]);
    assert_eq!(dry.status.code(), Some(3), "{said}");
    expect_first_run(&printed);
    assert!(printed.contains("would import") && printed.contains("Dry run: nothing was written."));
    for list in everything {
        let listed = stage.call(&demo, "GET", &format!("/{list}"), Value::Null).await.expect(200).json();
        assert_eq!(listed, json!({list: []}), "a dry run writes nothing");
    }

    let (first, printed, said) = import(&configuration, Some(&url), &[]);
    assert_eq!(first.status.code(), Some(3), "{said}");
    expect_first_run(&printed);
    assert!(said.contains("rows were not taken over"), "{said}");
    let read = async || {
        let mut all = Vec::new();
        for list in everything {
            all.push(stage.call(&demo, "GET", &format!("/{list}?limit=100"), Value::Null).await.json());
        }
        json!(all)
    };
    let before = read().await;
    what_was_stored_is_shown(&before, &user);
    let job = before[0]["jobs"][0].clone();
    stage.call(&demo, "PATCH", "/jobs/j1", json!({"description": "changed since"})).await.expect(200);
    let changed = read().await;
    let (second, printed, _) = import(&configuration, Some(&url), &[]);
    assert_eq!(second.status.code(), Some(3));
    expect_second_run(&printed);
    assert_eq!(read().await, changed, "what is there stays");
    // What was read is taken back: the documents of old jobs are like those of new ones.
    stage.call(&demo, "POST", "/jobs/j1", job).await.expect(201);
    stage.call(&demo, "POST", "/jobs/j1/event", json!({"start": null})).await.expect(202);
    let backup = changed[3]["backups"][0]["backup_id"].as_str().unwrap();
    for path in ["/jobs/j2", "/clients/node1", "/sessions/s1", &format!("/backups/{backup}")] {
        stage.call(&demo, "DELETE", path, Value::Null).await.expect(204);
    }
    let deleted = read().await;
    let (third, printed, _) = import(&configuration, Some(&url), &[]);
    assert_eq!(third.status.code(), Some(3));
    expect_second_run(&printed);
    assert_eq!(read().await, deleted, "what was deleted here is not brought back");
}

fn what_was_stored_is_shown(all: &Value, user: &str) {
    let jobs = all[0]["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 2, "{jobs:#?}");
    let schedule = json!({"schedule_interval": "1 days", "schedule_start_date": "2026-01-02T01:00:00",
        "time_created": 1_767_225_600, "time_started": 1_767_322_800, "time_ended": 1_767_322_860, "event": "", "status": "scheduled", "result": "success", "current_pid": 10058});
    assert_eq!((&jobs[0]["job_id"], &jobs[0]["job_schedule"]), (&json!("j1"), &schedule));
    assert_eq!((&jobs[0]["user_id"], &jobs[0]["description"]), (&json!(user), &json!("nightly etc")));
    let actions: Vec<&Value> =
        jobs[0]["job_actions"].as_array().unwrap().iter().map(|action| &action["action_id"]).collect();
    assert_eq!(actions, ["a1", "a2", "a1"], "in the order of their position");
    let trust = json!({"trust_id": "newest", "trustor_user_id": user});
    assert_eq!((&jobs[1]["job_id"], &jobs[1]["user_credentials"]), (&json!("j2"), &trust));
    assert_eq!(jobs[1]["job_schedule"]["time_created"], 1_767_225_601);

    let actions = all[1]["actions"].as_array().unwrap();
    let first = json!({"action": "backup", "mode": "fs", "storage": "swift", "max_level": 6, "backup_name": "etc",
        "container": "vault", "path_to_backup": "/etc", "timeout": null, "priority": null, "log_file": null});
    assert_eq!((&actions[0]["freezer_action"], &actions[0]["mandatory"]), (&first, &json!(true)));
    assert_eq!(
        (&actions[1]["freezer_action"]["timeout"], &actions[1]["max_retries"]),
        (&json!(30), &json!(5))
    );

    let clients = all[2]["clients"].as_array().unwrap();
    assert_eq!(clients.len(), 2);
    assert_eq!(clients[0]["client"]["supported_actions"], json!(["backup", "restore", "admin"]));
    assert_eq!(clients[0]["client"]["supported_modes"].as_array().unwrap().len(), 8);
    assert_eq!(
        (&clients[1]["client"]["is_central"], &clients[1]["project_id"]),
        (&json!(true), &json!("service-project"))
    );

    let backups = all[3]["backups"].as_array().unwrap();
    assert_eq!((backups.len(), backups[0].get("status"), &backups[1]["status"]), (2, None, &json!("error")));
    assert_eq!(backups[0]["backup_metadata"]["time_stamp"], 1_767_225_600);
    assert_eq!(backups[1]["backup_metadata"]["time_stamp"], 1_767_225_601);
    assert_eq!(backups[1]["backup_metadata"]["hostname"], "", "never begun");

    let sessions = all[4]["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]["jobs"], &sessions[0]["hold_off"]), (2, &json!({}), &json!(30)));
    assert_eq!(sessions[0]["schedule"], json!({"schedule_interval": "1 days"}));
    let member = json!({"client_id": "central", "status": "completed", "result": "success", "time_started": 1_767_225_601,
        "time_ended": 1_767_225_602});
    assert_eq!((&sessions[1]["session_tag"], &sessions[1]["jobs"]), (&json!(3), &json!({"j2": member})));
    assert_eq!((&sessions[1]["status"], &sessions[1]["result"]), (&json!("completed"), &json!("success")));
}

#[test]
fn into_sqlite_and_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("freezer.conf");
    let ours = format!("[database]\nconnection = sqlite:///{}/f.sqlite\n", folder.path().display());
    std::fs::write(&configuration, &ours).unwrap();
    let refused = |source: Option<&str>, words: &str| {
        let (output, printed, said) = import(&configuration, source, &[]);
        assert_eq!((output.status.code(), printed.as_str()), (Some(1), ""), "{said}");
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains(&services::mysql_url()), "no password is told: {said}");
    };
    let source = upstream("p", "u");
    refused(Some(&source.url()), "freezer-manage db sync");
    manage(&configuration, &["db", "sync"]);
    refused(None, "FREEZER_IMPORT_CONNECTION");
    refused(Some("sqlite:////tmp/old.sqlite"), "MySQL only");
    let version =
        |version: &str| sql(&source, &format!("UPDATE alembic_version SET version_num = '{version}'"));
    version("5c9d21e87f34");
    refused(Some(&source.url()), "run upstream's own freezer-manage db sync");
    version("feedfeedfeed");
    refused(Some(&source.url()), "feedfeedfeed, which is not known here; only 7a3b9c1d2e4f");
    version("7a3b9c1d2e4f");
    let empty = TestDatabase::create();
    refused(Some(&empty.url()), "is no database of Freezer in Python");

    // From the configuration file, this time.
    std::fs::write(&configuration, format!("{ours}[import]\nconnection = {}\n", source.url())).unwrap();
    let (output, printed, said) = import(&configuration, None, &[]);
    assert_eq!(output.status.code(), Some(3), "{said}");
    expect_first_run(&printed);
    expect_second_run(&import(&configuration, None, &[]).1);
    sql(&source, "DELETE FROM sessions WHERE id = 's4'; DELETE FROM clients WHERE id IN ('c3', 'c5', 'c6'); DELETE FROM actions WHERE id = 'a4';
        DELETE FROM jobs WHERE id = 'j4'; DELETE FROM backups WHERE id IN ('b3', 'b4'); DELETE FROM user_credentials WHERE id IN ('u4', 'u5')");
    assert_eq!(import(&configuration, None, &[]).0.status.code(), Some(0), "nothing is left out");
}

/// Upstream's own service, from PyPI: its migrations make the tables, its API writes the rows.
struct Upstream {
    database: TestDatabase,
    base: String,
    server: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Upstream {
    fn start() -> Self {
        let programs = venv::programs("api", &["freezer-api==19.0.0", "PyMySQL"]);
        let (folder, database, port) = (tempfile::tempdir().unwrap(), TestDatabase::create(), free_port());
        let own = |name: &str| folder.path().join(name);
        let keystone = services::keystone_url();
        let text = format!(
            "[DEFAULT]\nlog_file = {}\n[storage]\nbackend = sqlalchemy\ndriver = sqlalchemy\n[paste_deploy]\nconfig_file = {}\n\
             [database]\nconnection = {}\n[keystone_authtoken]\nwww_authenticate_uri = {keystone}\nauth_url = {keystone}\n\
             auth_type = password\nusername = freezer\npassword = {}\nuser_domain_name = Default\nproject_name = service\n\
             project_domain_name = Default\n[centralized_scheduler]\nenabled = false\n[oslo_policy]\npolicy_file = {}\n",
            own("log").display(),
            own("freezer-paste.ini").display(),
            database.url(),
            services::password(),
            own("policy.yaml").display()
        );
        std::fs::write(own("freezer.conf"), text).unwrap();
        std::fs::write(own("policy.yaml"), "").unwrap();
        std::fs::copy(programs.join("../etc/freezer/freezer-paste.ini"), own("freezer-paste.ini")).unwrap();
        let synced = Command::new(programs.join("freezer-manage"))
            .args(["--config-file", own("freezer.conf").to_str().unwrap(), "db", "sync"])
            .output()
            .unwrap();
        assert!(synced.status.success(), "{}", String::from_utf8_lossy(&synced.stderr));
        // The service reads bodies to their end, which this server does not mark.
        let serve = format!(
            "import io\nfrom wsgiref.simple_server import make_server\nfrom freezer_api.wsgi import application\n\
             def bounded(environ, start):\n\
             \x20   length = int(environ.get('CONTENT_LENGTH') or 0)\n\
             \x20   environ['wsgi.input'] = io.BytesIO(environ['wsgi.input'].read(length))\n\
             \x20   return application(environ, start)\n\
             make_server('127.0.0.1', {port}, bounded).serve_forever()"
        );
        let server = Command::new(programs.join("python"))
            .args(["-c", &serve, "--config-file", own("freezer.conf").to_str().unwrap()])
            .stdout(std::fs::File::create(own("out")).unwrap())
            .stderr(std::fs::File::create(own("errors")).unwrap())
            .spawn()
            .unwrap();
        wait_for_port(port, "freezer-api of PyPI");
        Self { database, base: format!("http://127.0.0.1:{port}"), server, _folder: folder }
    }

    async fn call(&self, who: &Person, method: &str, path: &str, body: Value) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = reqwest::Client::new()
            .request(method, format!("{}/v2/{}{path}", self.base, who.project_id))
            .header("X-Auth-Token", &who.token)
            .header("Accept", "application/json");
        if !body.is_null() {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("freezer-api of PyPI answers");
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The keys of the document as the other service shows them, and as this one does.
#[track_caller]
fn same(theirs: &Value, ours: &Value, keys: &[&str]) {
    for key in keys {
        assert_eq!(theirs.pointer(key), ours.pointer(key), "{key}: {theirs:#} {ours:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_from_pypi_has_written_is_taken_over() {
    let (stage, upstream) = (Stage::start(), Upstream::start());
    let demo = stage.person("demo", "demo").await;
    upstream.call(&demo, "POST", "/clients", json!({"client_id": "node1", "hostname": "node1"})).await;
    let options = json!({"action": "backup", "mode": "fs", "path_to_backup": "/etc", "backup_name": "etc", "container": "vault",
        "storage": "swift", "max_level": 6});
    let job = json!({"client_id": "node1", "description": "nightly", "job_schedule": {"schedule_interval": "1 days"},
        "job_actions": [{"freezer_action": options, "max_retries": 3, "max_retries_interval": 60}]});
    let job = upstream.call(&demo, "POST", "/jobs", job).await["job_id"].as_str().unwrap().to_owned();
    let session = json!({"description": "web", "schedule": {"schedule_interval": "1 days"}, "hold_off": 60});
    let session =
        upstream.call(&demo, "POST", "/sessions", session).await["session_id"].as_str().unwrap().to_owned();
    upstream.call(&demo, "PUT", &format!("/sessions/{session}/jobs/{job}"), Value::Null).await;
    let record = json!({"container": "vault", "hostname": "node1", "backup_name": "etc", "time_stamp": 1_767_225_600, "curr_backup_level": 0});
    let backup = upstream.call(&demo, "POST", "/backups", record.clone()).await["backup_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut late = record;
    late["time_stamp"] = json!(i64::MAX);
    let late = upstream.call(&demo, "POST", "/backups", late).await["backup_id"].as_str().unwrap().to_owned();

    let (output, printed, said) =
        import(&stage.folder.path().join("freezer.conf"), Some(&upstream.database.url()), &[]);
    assert_eq!(output.status.code(), Some(0), "{printed}{said}");
    let theirs = async |path: &str| upstream.call(&demo, "GET", path, Value::Null).await;
    let ours = async |path: &str| stage.call(&demo, "GET", path, Value::Null).await.expect(200).json();
    let path = format!("/jobs/{job}");
    let keys = [
        "/job_id",
        "/project_id",
        "/user_id",
        "/client_id",
        "/description",
        "/session_id",
        "/job_schedule/schedule_interval",
        "/job_actions/0/action_id",
        "/job_actions/0/freezer_action",
        "/job_actions/0/max_retries",
    ];
    same(&theirs(&path).await, &ours(&path).await, &keys);
    let path = format!("/sessions/{session}");
    let keys = ["/session_id", "/description", "/hold_off", "/schedule/schedule_interval", "/session_tag"];
    same(&theirs(&path).await, &ours(&path).await, &keys);
    assert!(ours(&path).await["jobs"].get(&job).is_some());
    let path = format!("/backups/{backup}");
    same(&theirs(&path).await, &ours(&path).await, &["/backup_id", "/backup_metadata", "/user_id"]);
    same(
        &theirs("/clients/node1").await,
        &ours("/clients/node1").await,
        &["/client/client_id", "/client/uuid", "/client/hostname"],
    );
    let shown = ours(&format!("/backups/{late}")).await;
    assert_eq!(shown["backup_metadata"]["time_stamp"], 253_402_300_799_i64);
    // A second run finds all of it there.
    let (output, printed, _) =
        import(&stage.folder.path().join("freezer.conf"), Some(&upstream.database.url()), &[]);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert_eq!(numbers(&printed, "jobs")[1], 0);
}
