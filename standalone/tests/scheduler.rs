//! `freezer-scheduler` as its users start it: the daemon and its verbs, upstream's files and flags, on real parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ground::Ground;
use cloud::{Cloud, Login, PATIENCE, User, login};
use freezer_testkit::{program, services};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A machine on which freezer-scheduler is started: its own home, temporary folder and configuration.
struct Machine {
    folder: PathBuf,
    config: String,
}

struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Machine {
    fn new(folder: &Path, config: String) -> Self {
        std::fs::create_dir_all(folder.join("tmp")).unwrap();
        let machine = Self { folder: folder.to_path_buf(), config };
        machine.configure("");
        machine
    }

    fn configure(&self, more: &str) {
        std::fs::write(self.folder.join("scheduler.conf"), format!("{}{more}", self.config)).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn bare(&self, arguments: &[&str]) -> Said {
        self.with(arguments, &[])
    }

    /// With these variables in its environment.
    fn with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = Command::new(program("freezer-scheduler"))
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.folder)
            .env("TMPDIR", self.folder.join("tmp"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Said {
            status: output.status.code().unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// With the configuration file.
    fn run(&self, arguments: &[&str]) -> Said {
        let file = self.path("scheduler.conf");
        self.bare(&[&["--config-file", &file], arguments].concat())
    }

    #[track_caller]
    fn must(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.status, 0, "{arguments:?}: {} {}", said.out, said.err);
        said.out
    }

    fn pid(&self) -> Option<String> {
        self.must(&["status"]).trim().strip_prefix("Running with pid: ").map(str::to_owned)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("scheduler.log")).unwrap_or_default()
    }

    /// The first line of the log with all these words, once it is there.
    #[track_caller]
    fn line(&self, words: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            assert!(Instant::now() < end, "the log has no line with {words:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a job file that is its owner's.
    fn job_file(&self, name: &str, text: &str, mode: u32) {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let folder = self.folder.join("jobs");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A job file of one command that leaves a mark.
    fn touching(&self, job: &str, schedule: &Value, mode: u32) {
        let command = format!("touch {}", self.path(&format!("{job}.mark")));
        let job_file = json!({"job_schedule": schedule, "job_actions": [{"freezer_action": {"action": "exec", "command": command}}]});
        self.job_file(&format!("{job}.conf"), &job_file.to_string(), mode);
    }

    fn has_mark(&self, job: &str) -> bool {
        self.folder.join(format!("{job}.mark")).exists()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the scheduler's log:\n{}", self.log());
        }
        let program = program("freezer-scheduler");
        let _ = Command::new(program)
            .args(["--config-file", &self.path("scheduler.conf"), "stop"])
            .env("HOME", &self.folder)
            .env("TMPDIR", self.folder.join("tmp"))
            .output();
    }
}

struct Field {
    cloud: Cloud,
    demo: Login,
    user: User,
    machine: Machine,
    _kept: (Ground, tempfile::TempDir),
}

/// Half of the configuration in today's groups, half in the old `[DEFAULT]` spellings.
async fn field() -> Field {
    let work = tempfile::tempdir().unwrap();
    let ground = Ground::new();
    let demo = login("demo", "demo").await;
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let cloud = Cloud::start_services(work.path(), &parts, |_, _| String::new());
    let user = User::new(cloud.api_port, &demo);
    let config = format!(
        "[DEFAULT]\ndebug = true\nlog_file = {}\nclient_id = {}\nos_username = demo\nos_password = {}\nos_user_domain_id = default\n\
         [scheduler]\nprogress_interval = 0.2\nstate_dir = {}\n[service_auth]\nauth_url = {}\nproject_name = demo\nproject_domain_id = default\n\
         backup_url = http://127.0.0.1:{}\n[capabilities]\n",
        work.path().join("scheduler.log").display(),
        cloud.client_id,
        services::password(),
        work.path().join("state").display(),
        services::keystone_url(),
        cloud.api_port,
    );
    let machine = Machine::new(work.path(), config);
    Field { cloud, demo, user, machine, _kept: (ground, work) }
}

impl Field {
    async fn client(&self) -> Value {
        self.user.get(&format!("/clients/{}", self.cloud.client_id)).await["client"].clone()
    }

    async fn eventually(&self, what: &str, fits: impl Fn(&Value) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let client = self.client().await;
            if fits(&client) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {client:#}\n{}", self.machine.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_starts_works_reloads_and_stops() {
    let field = field().await;
    let machine = &field.machine;
    assert_eq!(machine.must(&["status"]), "Not Running\n");
    assert!(machine.must(&["start"]).starts_with("Started with pid: "));
    let pid = machine.pid().unwrap();
    assert_eq!(machine.must(&["start"]), format!("freezer daemon is already running, pid: {pid}\n"));
    field.cloud.wait_for_link(&field.user, "http").await;

    let name = |file: &str| machine.folder.join(file);
    std::fs::create_dir(name("source")).unwrap();
    std::fs::write(name("source/file"), "content").unwrap();
    let job = json!({"client_id": field.cloud.client_id, "job_schedule": {}, "job_actions": [{"max_retries": 0, "freezer_action":
        {"action": "backup", "mode": "fs", "storage": "local", "container": name("store"), "path_to_backup": name("source"), "backup_name": "b"}}]});
    let created = field.user.post("/jobs", &job).await;
    let run = field.user.finished_run(created["job_id"].as_str().unwrap(), 1).await;
    assert_eq!(run["state"], "success", "{run:#}");

    // Without a list of its own it offers all there are.
    let all = field.client().await["supported_actions"].clone();
    assert_eq!(all, json!(freezer_model::client::KNOWN_ACTIONS));
    machine.configure("supported_actions = backup,restore\n");
    assert_eq!(machine.must(&["reload"]), format!("Reload requested of pid: {pid}\n"));
    field
        .eventually("changed capabilities", |client| {
            client["supported_actions"] == json!(["backup", "restore"])
        })
        .await;
    assert_eq!(machine.pid().unwrap(), pid, "a reload is no restart");
    an_edited_action_passes_no_list(&field, created["job_id"].as_str().unwrap()).await;

    let restarted = machine.must(&["restart"]);
    assert!(restarted.contains(&format!("Stopped, pid was: {pid}")), "{restarted}");
    let second = machine.pid().unwrap();
    assert_ne!(second, pid);
    assert!(Command::new("kill").args(["-9", &second]).status().unwrap().success());
    let end = Instant::now() + PATIENCE;
    while machine.pid().is_some() {
        assert!(Instant::now() < end, "a killed daemon still counts as running");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    machine.must(&["start"]);
    let third = machine.pid().unwrap();
    is_decent(machine, &third);
    assert_eq!(machine.must(&["stop"]), format!("Stopped, pid was: {third}\n"));
    assert_eq!(machine.must(&["stop"]), "Not Running\n");
    assert!(!machine.log().contains(&format!("password = {}", services::password())));
}

/// The job was checked when it was written. Its action is another one by now, which the daemon's file does not name.
async fn an_edited_action_passes_no_list(field: &Field, job: &str) {
    let mark = field.machine.folder.join("edited.mark");
    let shown = field.user.get(&format!("/jobs/{job}")).await;
    let action = format!("/actions/{}", shown["job_actions"][0]["action_id"].as_str().unwrap());
    let options = json!({"action": "exec", "command": format!("touch {}", mark.display())});
    let edit = json!({"freezer_action": options, "max_retries": 0});
    assert_eq!(field.user.call(reqwest::Method::PATCH, &action, Some(&edit)).await.unwrap().0, 200);
    field.user.post(&format!("/jobs/{job}/event"), &json!({"start": null})).await;
    let run = field.user.finished_run(job, 2).await;
    let error = run["error"].as_str().unwrap_or_default();
    assert_eq!((&run["state"], error.contains("supported_actions")), (&json!("fail"), true), "{run:#}");
    assert!(!mark.exists());
}

/// What everybody on the host can see of the daemon.
fn is_decent(machine: &Machine, pid: &str) {
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(command.contains("freezer-scheduler") && !command.contains("password"), "{command}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.lines().any(|line| line.split_whitespace().eq(["Umask:", "0077"])), "{status}");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(machine.folder.join("tmp")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[test]
fn exit_statuses_and_words() {
    let work = tempfile::tempdir().unwrap();
    let machine = Machine::new(work.path(), String::new());
    // Nothing is configured, and no Keystone is needed for these.
    for (arguments, status, words) in [
        (&["status"] as &[&str], 0, "Not Running"),
        (&["stop"], 0, "Not Running"),
        (&["reload"], 0, "Not Running"),
        (&["start"], 1, "OS_AUTH_URL"),
        (&["--no-daemon", "start"], 1, "[service_auth]"),
        (&[], 65, "no verb"),
        (&["dance"], 65, "dance"),
        (&["--nonsense", "start"], 2, "--nonsense"),
        (&["-n", "-f", "/nowhere", "start"], 1, "/nowhere"),
        (&["--scheduler-no-api", "--conf", "/nowhere", "--no-daemon", "start"], 1, "/nowhere"),
        (&["--no-api", "--centralized-scheduler", "start"], 1, "centralized_scheduler"),
        (&["--no-api", "status"], 0, "Not Running"),
        (&["--no-api", "job-list"], 69, "--no-api"),
        (&["job-list"], 1, "OS_AUTH_URL"),
        (&["--concurrent_jobs", "many", "start"], 1, "concurrent_jobs"),
        (&["--help"], 0, "job-create"),
    ] {
        let said = machine.bare(arguments);
        let text = said.out + &said.err;
        assert_eq!((said.status, text.contains(words)), (status, true), "{arguments:?}: {text}");
    }
    files_and_variables_are_found(&machine);
}

/// Without being named, where Freezer in Python looks.
fn files_and_variables_are_found(machine: &Machine) {
    let place = machine.folder.join(".freezer");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("scheduler.conf"), "[scheduler]\nno_api = true\n").unwrap();
    let said = machine.bare(&["job-list"]);
    assert_eq!((said.status, said.err.contains("--no-api")), (69, true), "{}", said.err);
    std::fs::remove_file(place.join("scheduler.conf")).unwrap();
    assert_eq!(machine.bare(&["job-list"]).status, 1);
    // In the home itself, and in the older spelling.
    machine.configure("[DEFAULT]\nno_api = true\n");
    assert_eq!(machine.bare(&["job-list"]).status, 69);
    let said = machine.with(&["start"], &[("FREEZER_SCHEDULER_CONF_D", "/nowhere/of/the/environment")]);
    assert_eq!((said.status, said.err.contains("/nowhere/of/the/environment")), (1, true), "{}", said.err);
    machine.configure("");
}

/// A machine that knows no service and no Keystone.
fn alone(folder: &Path) -> Machine {
    let at = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "[DEFAULT]\nlog_file = {}\n[scheduler]\nno_api = true\nclient_id = lonely\nconcurrent_jobs = 4\njobs_dir = {}\nstate_dir = {}\n",
        at("scheduler.log"),
        at("jobs"),
        at("state"),
    );
    Machine::new(folder, config)
}

#[test]
fn job_files_run_without_a_service() {
    let work = tempfile::tempdir().unwrap();
    let machine = alone(work.path());
    std::fs::create_dir(machine.folder.join("source")).unwrap();
    std::fs::write(machine.folder.join("source/file"), "content").unwrap();
    let kept = |action: &str| json!({"action": action, "mode": "fs", "storage": "local", "container": machine.path("store"), "backup_name": "b"});
    let mut backup = kept("backup");
    backup["path_to_backup"] = json!(machine.path("source"));
    let save = json!({"job_id": "save", "session_id": "night", "job_actions": [{"freezer_action": backup}]});
    machine.job_file("a.conf", &save.to_string(), 0o600);
    let touch = |name: &str| json!({"action": "exec", "command": format!("touch {}", machine.path(name))});
    let chain = json!({"job_actions": [
        {"freezer_action": {"action": "exec", "command": "false"}, "max_retries": 1, "max_retries_interval": 0},
        {"freezer_action": touch("skipped.mark")},
        {"freezer_action": touch("always.mark"), "mandatory": true}]});
    machine.job_file("chain.conf", &chain.to_string(), 0o640);
    machine.job_file("broken.conf", "{", 0o600);
    machine.touching("open", &json!({}), 0o666);
    machine.touching("hourly", &json!({"schedule_interval": "1 hours"}), 0o600);

    let started = machine.run(&["start"]);
    assert_eq!(started.status, 0, "{}", started.err);
    assert!(started.err.contains("broken.conf") && started.err.contains("open.conf"), "{}", started.err);
    machine.line(&["job save run", "is over: success"]);
    let saved = machine.line(&["job save run", "action 0 (backup) attempt 1 ended: success"]);
    assert!(saved.contains("_b of ") && saved.contains("level 0, "), "{saved}");
    machine.line(&["job save", "session night"]);
    machine.line(&["job chain run", "is over: fail"]);
    machine.line(&["job chain run", "action 0 (exec) attempt 2 ended: fail"]);
    machine.line(&["job chain run", "action 1", "not mandatory"]);
    machine.line(&["broken.conf is passed over"]);
    machine.line(&["open.conf is passed over", "chmod go-w"]);
    assert!(machine.has_mark("always") && !machine.has_mark("skipped") && !machine.has_mark("open"));

    let mut restore = kept("restore");
    restore["restore_abs_path"] = json!(machine.path("restored"));
    let back = json!({"job_id": "back", "job_schedule": {"schedule_date": "2020-01-01T00:00:00"}, "job_actions": [{"freezer_action": restore}]});
    machine.job_file("b.CONF", &back.to_string(), 0o600);
    machine.must(&["reload"]);
    machine.line(&["job back run", "is over: success"]);
    assert_eq!(std::fs::read_to_string(machine.folder.join("restored/file")).unwrap(), "content");

    goes_on_after_a_restart(&machine);
    machine.configure("disable_exec = true\n");
    machine.touching("refused", &json!({}), 0o600);
    machine.must(&["reload"]);
    machine.line(&["job refused run", "is over: fail", "disable_exec"]);
    assert!(!machine.has_mark("refused"));
    let pid = machine.pid().unwrap();
    assert_eq!(machine.must(&["stop"]), format!("Stopped, pid was: {pid}\n"));
}

/// What has run does not run again, and an interval keeps its phase.
fn goes_on_after_a_restart(machine: &Machine) {
    use std::os::unix::fs::PermissionsExt;
    let state = machine.folder.join("state/lonely.no-api/jobs/hourly.json");
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    let planned = || {
        let record: Value = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
        record["next_run_at"].as_i64().unwrap()
    };
    let before = planned();
    machine.touching("late", &json!({}), 0o600);
    machine.must(&["restart"]);
    machine.line(&["job late run", "is over: success"]);
    machine.line(&["job save is completed"]);
    let log = machine.log();
    for job in ["save", "back", "chain"] {
        let begins = |line: &&str| line.contains(&format!("job {job} run ")) && line.contains(" begins");
        assert_eq!(log.lines().filter(begins).count(), 1, "{job}");
    }
    assert_eq!(planned(), before);
    assert!(machine.has_mark("late") && !machine.has_mark("hourly"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_are_calls_of_the_service() {
    let field = field().await;
    let machine = &field.machine;
    let client_id = field.cloud.client_id.as_str();
    assert_eq!(machine.must(&["register"]), format!("Registered client {client_id}\n"));
    assert!(machine.must(&["client-list"]).contains(client_id));

    let document = json!({"job_id": "one", "description": "first", "job_schedule": {"schedule_interval": "1 days"}, "job_actions":
        [{"freezer_action": {"action": "exec", "command": "true"}}]});
    std::fs::write(machine.folder.join("job.json"), document.to_string()).unwrap();
    assert_eq!(machine.must(&["job-create", "--file", &machine.path("job.json")]), "Created job one\n");
    let list = machine.must(&["job-list"]);
    assert!(list.contains("| one    | ") && list.contains("first"), "{list}");
    let titles = list.lines().find(|line| line.contains("job_id")).unwrap();
    let titles: Vec<&str> = titles.trim_matches('|').split('|').map(str::trim).collect();
    let expected =
        ["job_id", "client-id", "description", "# actions", "status", "event", "result", "session_id"];
    assert_eq!(titles, expected, "{list}");
    assert!(!machine.must(&["-c", "somebody", "job-list"]).contains("first"));
    assert!(machine.must(&["-c", "somebody", "job-list", "--all"]).contains("first"));
    let job: Value = serde_json::from_str(&machine.must(&["job-get", "-j", "one"])).unwrap();
    assert_eq!(job["client_id"], client_id);
    assert_eq!(machine.must(&["job-start", "-j", "one"]), "Start request sent for job one\n");
    assert_eq!(machine.must(&["job-stop", "--job", "one"]), "Stop request sent for job one\n");
    assert_eq!(machine.must(&["job-abort", "-j", "one"]), "Abort request sent for job one\n");
    std::fs::write(machine.folder.join("two.json"), document.to_string().replace("\"one\"", "\"two\""))
        .unwrap();
    assert_eq!(machine.must(&["job-create", "--file", &machine.path("two.json")]), "Created job two\n");
    assert_eq!(
        machine.must(&["job-stop", "-j", "one,two"]),
        "Stop request sent for job one\nStop request sent for job two\n"
    );
    assert_eq!(machine.must(&["job-delete", "-j", "two"]), "Deleted job two\n");

    let folder = machine.path("jobs");
    machine.must(&["job-download", "-f", &folder]);
    let saved = machine.folder.join("jobs/job_one.conf");
    assert!(saved.exists());
    assert_eq!(machine.must(&["job-delete", "-j", "one"]), "Deleted job one\n");
    let gone = machine.run(&["job-get", "-j", "one"]);
    assert_eq!((gone.status, gone.err.as_str()), (70, "freezer-scheduler: there is no job one\n"));
    std::fs::write(machine.folder.join("jobs/broken.conf"), "{").unwrap();
    let broken = machine.run(&["job-upload", "-f", &folder]);
    assert!(broken.status == 70 && broken.err.contains("broken.conf"), "{}", broken.err);
    std::fs::remove_file(machine.folder.join("jobs/broken.conf")).unwrap();
    assert_eq!(machine.must(&["job-upload", "-f", &folder]), "Created job one\n");
    assert_eq!(field.user.get("/jobs/one").await["description"], "first");

    let record = json!({"container": "c", "hostname": hostname(), "backup_name": "mine", "time_stamp": 1, "curr_backup_level": 0});
    field.user.post("/backups", &record).await;
    let other = json!({"container": "c", "hostname": "elsewhere", "backup_name": "theirs", "time_stamp": 1});
    field.user.post("/backups", &other).await;
    let own = machine.must(&["backup-list"]);
    assert!(own.contains("mine") && !own.contains("theirs") && !own.contains("hostname"), "{own}");
    let all = machine.must(&["backup-list", "--all", "--long"]);
    assert!(all.contains("theirs") && all.contains("elsewhere"), "{all}");

    sessions(machine);

    for (arguments, words) in [
        (&["job-create"] as &[&str], "--file"),
        (&["job-create", "--file", "/nowhere"], "/nowhere"),
        (&["job-get"], "-j"),
        (&["job-get", "-j", "a,b"], "one job"),
        (&["session-get"], "-s"),
        (&["session-get", "-s", "nothing"], "no session nothing"),
        (&["session-add-job", "-s", "nothing", "-j", "one"], "404"),
        (&["job-start", "-j", "nobody"], "404"),
    ] {
        let said = machine.run(arguments);
        assert_eq!((said.status, said.err.contains(words)), (70, true), "{arguments:?}: {}", said.err);
    }
    // A name that is a central client's, which all projects see.
    let service = User::new(field.cloud.api_port, &login("freezer", "service").await);
    service.post("/clients", &json!({"client_id": "hub", "is_central": true})).await;
    let taken = machine.run(&["-c", "hub", "register"]);
    assert_eq!((taken.status, taken.err.contains("hub")), (73, true), "{}", taken.err);
    let wrong = machine.run(&["--os-password", "wrong", "job-list"]);
    assert_eq!((wrong.status, wrong.err.contains("wrong")), (1, false), "{}", wrong.err);
    let missing = machine.run(&["--os-project-name", "nothing", "job-list"]);
    assert_eq!(missing.status, 1, "{}", missing.err);
    assert_eq!(field.demo.project_id.len(), 32);
}

/// A session with the job `one`, from its making to its end.
fn sessions(machine: &Machine) {
    let document = json!({"description": "nightly", "schedule": {"schedule_interval": "1 days"}});
    std::fs::write(machine.folder.join("session.json"), document.to_string()).unwrap();
    let made = machine.must(&["session-create", "--file", &machine.path("session.json")]);
    let id = made.trim().strip_prefix("Created session ").unwrap();
    let list = machine.must(&["session-list"]);
    assert!(list.contains(id) && list.contains("nightly"), "{list}");
    let added = machine.must(&["session-add-job", "-s", id, "-j", "one"]);
    assert_eq!(added, format!("Added job one to session {id}\n"));
    let members = machine.must(&["session-list-job", "--session", id]);
    assert!(members.contains("| one    | "), "{members}");
    machine.must(&["session-get", "-s", id, "--file", &machine.path("saved.json")]);
    let saved = std::fs::read_to_string(machine.folder.join("saved.json")).unwrap();
    let saved: Value = serde_json::from_str(&saved).unwrap();
    assert_eq!((&saved["session_id"], saved["jobs"].as_object().unwrap().len()), (&json!(id), 1));
    machine.must(&["session-remove-job", "-s", id, "-j", "one"]);
    assert!(!machine.must(&["session-list-job", "-s", id]).contains("| one "));
    assert_eq!(machine.must(&["session-delete", "-s", id]), format!("Deleted session {id}\n"));
    assert!(!machine.must(&["session-list"]).contains(id));
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}
