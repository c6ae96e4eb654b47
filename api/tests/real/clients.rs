//! The unmodified command line clients: `freezer …` and `openstack backup …`, all their 30 commands, with a password login
//! at the real Keystone.

use crate::region::Region;
use crate::stage::Stage;
use freezer_testkit::{services, venv};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

const COMMANDS: [&str; 30] = [
    "job-list",
    "job-show",
    "job-get",
    "job-create",
    "job-update",
    "job-delete",
    "job-start",
    "job-stop",
    "job-abort",
    "client-list",
    "client-show",
    "client-register",
    "client-delete",
    "backup-list",
    "backup-show",
    "backup-create",
    "backup-delete",
    "session-list",
    "session-show",
    "session-create",
    "session-update",
    "session-delete",
    "session-add-job",
    "session-remove-job",
    "session-start",
    "action-list",
    "action-show",
    "action-create",
    "action-update",
    "action-delete",
];

/// The spelling of the commands.
#[derive(Clone, Copy, PartialEq)]
enum Program {
    Freezer,
    Openstack,
}

struct Shell<'a> {
    stage: &'a Stage,
    program: Program,
    programs: PathBuf,
    user: &'static str,
    region: &'a str,
    used: Mutex<BTreeSet<String>>,
}

impl<'a> Shell<'a> {
    fn new(stage: &'a Stage, program: Program, user: &'static str, region: &'a str) -> Self {
        let programs = venv::programs("client", &["python-freezerclient==6.5.0", "python-openstackclient"]);
        Self { stage, program, programs, user, region, used: Mutex::default() }
    }

    /// Runs a command; the first word is its name as `freezer` has it.
    fn run(&self, words: &[&str]) -> (bool, String) {
        self.used.lock().unwrap().insert(words[0].to_owned());
        let mut command = match self.program {
            Program::Freezer => {
                let mut command = Command::new(self.programs.join("freezer"));
                command.args(words);
                command
            }
            Program::Openstack => {
                let mut command = Command::new(self.programs.join("openstack"));
                let name = words[0].strip_prefix("backup-").unwrap_or(words[0]);
                command.arg("backup").args(name.split('-')).args(&words[1..]);
                command
            }
        };
        command.env_clear().envs([
            ("PATH", "/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("OS_AUTH_URL", &services::keystone_url()),
            ("OS_USERNAME", self.user),
            ("OS_PASSWORD", &services::password()),
            ("OS_PROJECT_NAME", self.user),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
            ("OS_IDENTITY_API_VERSION", "3"),
            ("OS_REGION_NAME", self.region),
            ("OS_BACKUP_API_VERSION", "2"),
        ]);
        if self.program == Program::Freezer {
            command.env("OS_BACKUP_URL", &self.stage.base);
        }
        let output = command.env("HOME", self.stage.folder.path()).output().unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    #[track_caller]
    fn fine(&self, words: &[&str]) -> String {
        let (is_fine, text) = self.run(words);
        assert!(is_fine, "{words:?}: {text}\n{}", self.stage.daemon.last_words());
        assert!(!text.contains("Traceback"), "{words:?}: {text}");
        text
    }

    /// Output of a list or show command as JSON, whatever warnings stand before it.
    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let text = self.fine(&[words, &["-f", "json"]].concat());
        let start = text.find(['[', '{']).unwrap_or_else(|| panic!("no JSON: {text}"));
        let mut rows =
            serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>().next().unwrap().unwrap();
        if let Value::Array(rows) = &mut rows {
            // the client shows an empty list as one row of blanks
            rows.retain(|row| row.as_object().unwrap().values().any(|value| value != ""));
        }
        rows
    }

    /// A file with this document, for a command to read.
    fn file(&self, document: Value) -> String {
        let path = self.stage.folder.path().join(format!("{}.json", freezer_testkit::random_name()));
        std::fs::write(&path, document.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

const NODE: &str = "test-tenant_5253_test-hostname_19544";

#[tokio::test(flavor = "multi_thread")]
async fn every_freezer_command() {
    let stage = Stage::start();
    every_command(&Shell::new(&stage, Program::Freezer, "demo", "RegionOne"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_openstack_backup_command() {
    let stage = Stage::start();
    // This program takes the address from Keystone's catalogue only.
    let admin = stage.person("admin", "admin").await;
    let region = Region::with_service_at(&stage.base, &admin.token).await;
    let demo = Shell::new(&stage, Program::Openstack, "demo", &region.name);
    every_command(&demo);
    demo.fine(&["client-register", "--file", &demo.file(json!({"client_id": "node1"}))]);
    let other = Shell::new(&stage, Program::Openstack, "other", &region.name);
    assert_eq!(other.json(&["client-list"]), json!([]), "of another project");
}

fn every_command(shell: &Shell<'_>) {
    let lists = ["job-list", "client-list", "backup-list", "action-list", "session-list"];
    for list in lists {
        assert_eq!(shell.json(&[list]), json!([]), "{list} of an empty project");
    }
    clients(shell);
    let action = actions(shell);
    let job = jobs(shell);
    backups(shell);
    sessions(shell, &job);
    shell.fine(&["job-delete", &job]);
    shell.fine(&["action-delete", &action]);
    shell.fine(&["client-delete", NODE]);
    shell.fine(&["client-delete", "never-there"]);
    for list in lists.iter().filter(|list| **list != "action-list") {
        assert_eq!(shell.json(&[list]), json!([]), "{list} in the end");
    }
    // a refusal says which field
    let bad = shell.file(json!({"job_actions": [{"freezer_action": {"action": "explode"}}]}));
    let (is_fine, text) = shell.run(&["job-create", "--file", &bad, "--client", "node1"]);
    assert!(!is_fine && text.contains("job_actions[0].freezer_action.action"), "{text}");
    let used = shell.used.lock().unwrap();
    assert_eq!(used.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(COMMANDS));
}

fn clients(shell: &Shell<'_>) {
    let client = shell.file(
        json!({"client_id": NODE, "hostname": "test-hostname_19544", "description": "some usefule text here",
        "uuid": "someone_uuid", "config_id": "config_id_contains_uuid_of_config", "project_id": "tenant_id"}),
    );
    shell.fine(&["client-register", "--file", &client]);
    shell.fine(&["client-register", "--file", &client]);
    shell.fine(&["client-show", NODE]);
    assert_eq!(shell.json(&["client-list"]).as_array().unwrap().len(), 1);
}

fn actions(shell: &Shell<'_>) -> String {
    let action = shell.file(json!({"freezer_action": {"action": "backup", "mode": "fs", "backup_name": "n1", "path_to_backup": "/etc",
        "container": "c", "max_retries": 3}}));
    let id = shell.json(&["action-create", "--file", &action])["Action ID"].as_str().unwrap().to_owned();
    shell.fine(&["action-show", &id]);
    shell.fine(&["action-update", &id, &action]);
    assert_eq!(shell.json(&["action-list"])[0]["Action ID"], json!(id));
    id
}

fn jobs(shell: &Shell<'_>) -> String {
    let job = shell.file(json!({"description": "cli job", "job_schedule": {"schedule_interval": "1 days"},
        "job_actions": [{"freezer_action": {"action": "backup", "mode": "fs", "backup_name": "b", "path_to_backup": "/etc", "container": "c"}}]}));
    let created = shell.json(&["job-create", "--file", &job, "--client", NODE]);
    let id = created["Job ID"].as_str().unwrap().to_owned();
    assert_eq!(created["Description"], "cli job");
    let listed = shell.json(&["job-list", "-C", NODE]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["Job ID"]), (1, &json!(id)));
    assert_eq!(shell.json(&["job-list", "-C", "other-node"]), json!([]));
    assert_eq!(shell.json(&["job-list", "--search", "[{\"mode\": \"nova\"}]"]), json!([]));
    assert_eq!(
        shell.json(&["job-list", "--search", "cli job", "--all-projects"]).as_array().unwrap().len(),
        1
    );
    for command in ["job-stop", "job-start", "job-abort", "job-show"] {
        shell.fine(&[command, &id]);
    }
    assert!(shell.fine(&["job-get", &id, "--no-format"]).contains(&id));
    let changed = shell.file(json!({"description": "changed", "user_credentials": {}}));
    assert!(shell.fine(&["job-update", &id, &changed]).contains("changed"));
    id
}

fn backups(shell: &Shell<'_>) {
    let backup = shell
        .file(json!({"container": "vault", "hostname": "h", "backup_name": "etc", "curr_backup_level": 0}));
    shell.fine(&["backup-create", "--file", &backup]);
    // not as JSON: the client cannot write its own dates that way
    let listed = shell.fine(&["backup-list", "-f", "value", "-c", "Backup ID"]);
    let id = listed.lines().find(|line| line.len() == 32).unwrap().to_owned();
    assert!(shell.fine(&["backup-show", &id]).contains(&id));
    // A time that the client cannot show would take the whole list with it.
    let never = shell
        .file(json!({"container": "vault", "hostname": "h", "backup_name": "etc", "time_stamp": i64::MAX}));
    let (is_fine, text) = shell.run(&["backup-create", "--file", &never]);
    assert!(!is_fine && text.contains("time_stamp"), "{text}");
    let older = "UPDATE backups SET time_stamp = 9223372036854775807, metadata = JSON_SET(metadata, '$.time_stamp', 9223372036854775807)";
    shell.stage.sql(older);
    assert!(shell.fine(&["backup-list", "-f", "value"]).contains(&id));
    shell.fine(&["backup-delete", &id]);
}

fn sessions(shell: &Shell<'_>, job: &str) {
    let schedule = json!({"schedule_interval": "1 days"});
    let session =
        shell.file(json!({"description": "web + db", "hold_off": 60, "schedule": schedule, "jobs": []}));
    let created = shell.json(&["session-create", "--file", &session]);
    let id = created["Session ID"].as_str().unwrap().to_owned();
    assert_eq!(shell.json(&["session-list"])[0]["Session ID"], json!(id));
    shell.fine(&["session-add-job", "--session-id", &id, "--job-id", job]);
    assert!(shell.fine(&["session-show", &id]).contains(job));
    assert!(shell.fine(&["job-show", job]).contains(&id));
    let start =
        |tag: &str| shell.run(&["session-start", "--session-id", &id, "--job-id", job, "--job-tag", tag]);
    let (is_fine, text) = start("0");
    assert!(is_fine, "{text}");
    let (is_fine, text) = start("7");
    assert!(!is_fine && text.contains("requested tag value too high"), "{text}");
    let shown = shell.json(&["session-show", &id]);
    assert_eq!((&shown["Status"], &shown["Session tag"]), (&json!("running"), &json!(1)), "{shown}");
    let changed = shell.file(json!({"description": "changed", "session_name": "no such key"}));
    assert!(shell.fine(&["session-update", &id, &changed]).contains("changed"));
    // once more is no error
    for _ in 0..2 {
        shell.fine(&["session-remove-job", "--session-id", &id, "--job-id", job]);
    }
    // with an id in the file it is created under that id, or replaced
    let own = shell
        .file(json!({"session_id": "own", "session_tag": 0, "schedule": schedule, "description": "own"}));
    for _ in 0..2 {
        assert!(shell.fine(&["session-create", "--file", &own]).contains("own"));
    }
    assert_eq!(shell.json(&["session-list"]).as_array().unwrap().len(), 2);
    for id in [&id, "own"] {
        shell.fine(&["session-delete", id]);
    }
}
