//! The unmodified command line clients: `freezer` and `openstack backup`, with a password login at the real Keystone.

use crate::stage::Stage;
use freezer_testkit::services;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the programs, made once: `FREEZER_TEST_VENV` with `-client` after it.
fn programs() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place =
        std::env::var_os("FREEZER_TEST_VENV").map_or_else(|| here.join("../target/test-venv"), PathBuf::from);
    let mut place = place.into_os_string();
    place.push("-client");
    let output = Command::new(here.join("tests/real/make-venv")).arg(place).output().unwrap();
    assert!(
        output.status.success(),
        "python-freezerclient cannot be installed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

struct Shell<'a> {
    stage: &'a Stage,
    programs: PathBuf,
    user: &'static str,
}

impl Shell<'_> {
    fn run(&self, program: &str, words: &[&str]) -> (bool, String) {
        let output = Command::new(self.programs.join(program))
            .args(words)
            .env_clear()
            .envs([
                ("PATH", "/usr/bin:/bin"),
                ("LANG", "C.UTF-8"),
                ("OS_AUTH_URL", &services::keystone_url()),
                ("OS_USERNAME", self.user),
                ("OS_PASSWORD", &services::password()),
                ("OS_PROJECT_NAME", self.user),
                ("OS_USER_DOMAIN_NAME", "Default"),
                ("OS_PROJECT_DOMAIN_NAME", "Default"),
                ("OS_IDENTITY_API_VERSION", "3"),
                ("OS_BACKUP_URL", &self.stage.base),
                ("OS_BACKUP_API_VERSION", "2"),
            ])
            .env("HOME", self.stage.folder.path())
            .output()
            .unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    #[track_caller]
    fn freezer(&self, words: &[&str]) -> String {
        let (is_fine, text) = self.run("freezer", words);
        assert!(is_fine, "freezer {words:?}: {text}\n{}", self.stage.daemon.last_words());
        assert!(!text.contains("Traceback"), "freezer {words:?}: {text}");
        text
    }

    /// Output of a list or show command as JSON, whatever warnings stand before it.
    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let text = self.freezer(&[words, &["-f", "json"]].concat());
        let start = text.find(['[', '{']).unwrap_or_else(|| panic!("no JSON: {text}"));
        let mut rows =
            serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>().next().unwrap().unwrap();
        if let Value::Array(rows) = &mut rows {
            // the client shows an empty list as one row of blanks
            rows.retain(|row| row.as_object().unwrap().values().any(|value| value != ""));
        }
        rows
    }

    fn file(&self, name: &str, document: Value) -> String {
        let path = self.stage.folder.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_freezer_command_of_these_nouns() {
    let stage = Stage::start();
    let shell = Shell { stage: &stage, programs: programs(), user: "demo" };
    // an empty project
    for list in ["job-list", "client-list", "backup-list", "action-list"] {
        assert_eq!(shell.json(&[list]), json!([]), "{list}");
    }
    let client = shell.file("client.json", json!({"client_id": "test-tenant_5253_test-hostname_19544", "hostname": "test-hostname_19544",
        "description": "some usefule text here", "uuid": "someone_uuid", "config_id": "config_id_contains_uuid_of_config", "project_id": "tenant_id"}));
    shell.freezer(&["client-register", "--file", &client]);
    shell.freezer(&["client-register", "--file", &client]);
    shell.freezer(&["client-show", "test-tenant_5253_test-hostname_19544"]);
    assert_eq!(shell.json(&["client-list"]).as_array().unwrap().len(), 1);

    let action = shell.file("action.json", json!({"freezer_action": {"action": "backup", "mode": "fs", "backup_name": "n1", "path_to_backup": "/etc",
        "container": "c", "max_retries": 3}}));
    let created = shell.json(&["action-create", "--file", &action]);
    let id = created["Action ID"].as_str().unwrap().to_owned();
    shell.freezer(&["action-show", &id]);
    shell.freezer(&["action-update", &id, &action]);
    assert_eq!(shell.json(&["action-list"])[0]["Action ID"], json!(id));

    let job = shell.file("job.json", json!({"description": "cli job", "job_schedule": {"schedule_interval": "1 days"},
        "job_actions": [{"freezer_action": {"action": "backup", "mode": "fs", "backup_name": "b", "path_to_backup": "/etc", "container": "c"}}]}));
    let created =
        shell.json(&["job-create", "--file", &job, "--client", "test-tenant_5253_test-hostname_19544"]);
    let id_of_job = created["Job ID"].as_str().unwrap().to_owned();
    assert_eq!(created["Description"], "cli job");
    let listed = shell.json(&["job-list", "-C", "test-tenant_5253_test-hostname_19544"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["Job ID"]), (1, &json!(id_of_job)));
    assert_eq!(shell.json(&["job-list", "-C", "other-node"]), json!([]));
    assert_eq!(shell.json(&["job-list", "--search", "[{\"mode\": \"nova\"}]"]), json!([]));
    assert_eq!(
        shell.json(&["job-list", "--search", "cli job", "--all-projects"]).as_array().unwrap().len(),
        1
    );
    for command in ["job-stop", "job-start", "job-abort", "job-show"] {
        shell.freezer(&[command, &id_of_job]);
    }
    assert!(shell.freezer(&["job-get", &id_of_job, "--no-format"]).contains(&id_of_job));
    let changed = shell.file("changed.json", json!({"description": "changed", "user_credentials": {}}));
    assert!(shell.freezer(&["job-update", &id_of_job, &changed]).contains("changed"));

    let backup = shell.file(
        "backup.json",
        json!({"container": "vault", "hostname": "h", "backup_name": "etc", "curr_backup_level": 0}),
    );
    shell.freezer(&["backup-create", "--file", &backup]);
    // not as JSON: the client cannot write its own dates that way
    let listed = shell.freezer(&["backup-list", "-f", "value", "-c", "Backup ID"]);
    let id_of_backup = listed.lines().find(|line| line.len() == 32).unwrap().to_owned();
    assert!(shell.freezer(&["backup-show", &id_of_backup]).contains(&id_of_backup));

    shell.freezer(&["backup-delete", &id_of_backup]);
    shell.freezer(&["job-delete", &id_of_job]);
    shell.freezer(&["action-delete", &id]);
    shell.freezer(&["client-delete", "test-tenant_5253_test-hostname_19544"]);
    shell.freezer(&["client-delete", "never-there"]);
    for list in ["job-list", "client-list", "backup-list"] {
        assert_eq!(shell.json(&[list]), json!([]), "{list}");
    }
    // a refusal says which field
    let bad = shell.file("bad.json", json!({"job_actions": [{"freezer_action": {"action": "explode"}}]}));
    let (is_fine, text) = shell.run("freezer", &["job-create", "--file", &bad, "--client", "node1"]);
    assert!(!is_fine && text.contains("job_actions[0].freezer_action.action"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openstack_backup_commands() {
    // This program takes the address from Keystone's catalogue only.
    let stage = Stage::at_the_catalogues_address();
    let programs = programs();
    let (demo, other) = (
        Shell { stage: &stage, programs: programs.clone(), user: "demo" },
        Shell { stage: &stage, programs, user: "other" },
    );
    let client = demo.file("client.json", json!({"client_id": "node1"}));
    let job = demo.file("job.json", json!({"job_actions": [{"freezer_action": {"action": "backup"}}]}));
    for words in [
        &["backup", "client", "register", "--file", &client][..],
        &["backup", "job", "create", "--file", &job, "--client", "node1"],
    ] {
        let (is_fine, text) = demo.run("openstack", words);
        assert!(is_fine, "openstack {words:?}: {text}");
    }
    let jobs = |shell: &Shell<'_>| {
        let (is_fine, text) =
            shell.run("openstack", &["backup", "job", "list", "-f", "value", "-c", "Job ID"]);
        assert!(is_fine, "{text}");
        text.lines().filter(|line| line.trim().len() == 32).count()
    };
    assert_eq!((jobs(&demo), jobs(&other)), (1, 0));
}
