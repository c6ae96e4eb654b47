//! One suite for both links: the real agent against API and conductor, on the in-process bus or over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_agent::daemon::ExecutorOptions;
use freezer_agent::serve::{Agent, executor_options, start, start_over_http};
use freezer_api::notices::Notices;
use freezer_api::policy::Policy;
use freezer_api::serve::project_of_path;
use freezer_api::{ApiOptions, ApiParts};
use freezer_conductor::{Conductor, ConductorOptions, ConductorParts};
use freezer_database::{Database, DatabaseOptions, Page, RunFilter};
use freezer_model::{Clock, JobId, Link, ProjectId, Run, RunState, SystemClock};
use freezer_testkit::{program, random_name};
use keystone::AuthToken;
use oslo_messaging::{RabbitOptions, Transport};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(120);

macro_rules! link_suite {
    ($($test:ident),+ $(,)?) => {
        mod amqp {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Place::start(freezer_model::Link::Amqp).await).await;
            })+
        }
        mod http {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Place::start(freezer_model::Link::Http).await).await;
            })+
        }
    };
}

link_suite! {
    a_job_runs_to_its_end, an_abort_ends_the_step, more_steps_than_slots_wait,
    fresh_options_are_told, a_run_is_let_go_while_it_crawls, a_restore_is_let_go_while_it_crawls,
    what_hooks_said_is_in_the_run, a_conductor_that_was_away_is_found_again
}

/// Service and agent of one test.
struct Place {
    link: Link,
    url: String,
    db: Database,
    transport: Transport,
    conductor: Option<Conductor>,
    http: reqwest::Client,
    _stop_api: oneshot::Sender<()>,
    folder: tempfile::TempDir,
    /// Of the agent, in seconds.
    progress_interval: &'static str,
}

impl Place {
    async fn start(link: Link) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("freezer.sqlite").display());
        let db = Database::connect(&DatabaseOptions::new(url)).unwrap();
        db.sync().unwrap();
        let transport =
            Transport::connect(&format!("fake://{}/", random_name()), RabbitOptions::default()).unwrap();
        let options = ApiOptions {
            bind_host: "127.0.0.1".to_owned(),
            bind_port: 0,
            workers: Some(1),
            ..ApiOptions::default()
        };
        let parts = ApiParts {
            db: db.clone(),
            policy: Policy::defaults().unwrap(),
            notices: Notices::on(&transport),
            clock: Arc::new(SystemClock),
            auth: AuthToken::noauth(project_of_path),
            trusts: None,
            options,
        };
        let listening = freezer_api::listen(parts).unwrap();
        let url = format!("http://{}", listening.addresses[0]);
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(listening.run(async move {
            let _ = stopped.await;
        }));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut place = Self {
            link,
            url,
            db,
            transport,
            conductor: None,
            http,
            _stop_api: stop,
            folder,
            progress_interval: "0.1",
        };
        place.conduct().await;
        place
    }

    async fn conduct(&mut self) {
        let options = ConductorOptions {
            poll_interval: Duration::from_millis(100),
            heartbeat: Duration::from_secs(1),
            ..ConductorOptions::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let parts = ConductorParts { db: self.db.clone(), transport: self.transport.clone(), clock, options };
        self.conductor = Some(freezer_conductor::start(parts).await.unwrap());
    }

    fn options(&self, actions: &str) -> ExecutorOptions {
        let arguments = oslo_config::LoadArgs::default()
            .option("agent", "client_id", "node1")
            .option("agent", "project_id", "p")
            .option("agent", "link", if self.link == Link::Http { "http" } else { "amqp" })
            .option("agent", "progress_interval", self.progress_interval)
            .option("agent", "supported_actions", actions)
            .option("agent", "state_dir", self.folder.path().join("state").display().to_string());
        let config = freezer_agent::config::registry().load(arguments).unwrap();
        let step_program = vec![program("freezer-agent").into_os_string(), "run-step".into()];
        ExecutorOptions { step_program, ..executor_options(&config, &[]).unwrap() }
    }

    /// An agent that a conductor has answered.
    async fn agent(&self) -> Agent {
        let options = self.options("exec,backup,restore");
        let mut agent = match self.link {
            Link::Http => {
                let auth = [("OS_AUTH_TYPE", "none"), ("OS_USERNAME", "guest"), ("OS_PROJECT_ID", "p")];
                let mut auth: std::collections::BTreeMap<String, String> =
                    auth.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
                auth.insert("OS_BACKUP_URL".to_owned(), self.url.clone());
                let session = freezer_agent::links::http::session(&auth).unwrap();
                start_over_http(options, session).await.unwrap()
            }
            _ => start(options, &self.transport).await.unwrap(),
        };
        tokio::time::timeout(PATIENCE, agent.greeted.wait_for(|greeted| *greeted)).await.unwrap().unwrap();
        agent
    }

    async fn post(&self, path: &str, body: Value) {
        let request = self.http.post(format!("{}/v2/p{path}", self.url)).header("X-Auth-Token", "user:p");
        let answer = request.json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {} {}", answer.status(), answer.text().await.unwrap());
    }

    /// A job that starts at once and runs this line of shell.
    async fn job(&self, id: &str, line: &str) {
        let action = json!({"action": "exec", "command": line, "exec_shell": true});
        let body = json!({"job_id": id, "client_id": "node1", "job_schedule": {}, "job_actions": [{"freezer_action": action, "max_retries": 0}]});
        self.post("/jobs", body).await;
    }

    /// A job that starts at once, of the backup `b` of a folder.
    async fn action(&self, job: &str, options: Value) {
        let mut action =
            json!({"mode": "fs", "storage": "local", "container": self.file("store"), "backup_name": "b"});
        action.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let body = json!({"job_id": job, "client_id": "node1", "job_schedule": {},
            "job_actions": [{"freezer_action": action, "max_retries": 0}]});
        self.post("/jobs", body).await;
    }

    async fn limit(&self, run: &Run, limits: Value) {
        let url = format!("{}/v2/p/runs/{}", self.url, run.run_id);
        let request = self.http.patch(url).header("X-Auth-Token", "user:p");
        let answer = request.json(&limits).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    async fn run_that(&self, job: &str, fits: impl Fn(&Run) -> bool) -> Run {
        let end = Instant::now() + PATIENCE;
        loop {
            let filter = RunFilter { job_id: Some(JobId::from(job)), ..RunFilter::default() };
            let runs =
                self.db.read(|tx| tx.runs().list(&ProjectId::from("p"), &filter, None, Page::ALL)).unwrap();
            assert!(runs.len() <= 1, "one firing, one run");
            if let Some(run) = runs.into_iter().find(|run| fits(run)) {
                return run;
            }
            assert!(Instant::now() < end, "job {job}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ended(&self, job: &str) -> Run {
        self.run_that(job, |run| run.state.is_final()).await
    }

    /// Waits until the agent holds that many steps.
    async fn running(&self, agent: &Agent, fits: impl Fn(usize) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !fits(agent.executor.running()) {
            assert!(Instant::now() < end, "{} steps", agent.executor.running());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn a_job_runs_to_its_end(place: Place) {
    let agent = place.agent().await;
    place.job("good", "echo done").await;
    place.job("bad", "echo broken >&2; exit 7").await;
    let (good, bad) = (place.ended("good").await, place.ended("bad").await);
    assert_eq!((good.state, good.steps.len(), good.epoch.0), (RunState::Success, 1, 1), "{good:#?}");
    assert!(good.steps[0].started_at.is_some() && good.steps[0].finished_at.is_some());
    assert_eq!(bad.state, RunState::Fail);
    assert!(bad.error.as_ref().unwrap().contains('7'), "{bad:#?}");
    place.running(&agent, |count| count == 0).await;
    agent.stop().await;
}

async fn an_abort_ends_the_step(place: Place) {
    let agent = place.agent().await;
    place.job("long", "sleep 1000").await;
    place.run_that("long", |run| run.state == RunState::Running).await;
    place.post("/jobs/long/event", json!({"abort": null})).await;
    assert_eq!(place.ended("long").await.state, RunState::Aborted);
    agent.stop().await;
}

fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let bytes = |path: PathBuf| match std::fs::symlink_metadata(&path) {
        Ok(facts) if facts.is_dir() => bytes_below(&path),
        Ok(facts) => facts.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(|entry| bytes(entry.path())).sum()
}

/// At the first rate it would take half a day. Over RPC the new one comes to the process that moves the bytes by itself, long before
/// the next report is due, whose answer would tell of it.
async fn a_run_is_let_go_while_it_crawls(mut place: Place) {
    if place.link == Link::Amqp {
        place.progress_interval = "30";
    }
    let agent = place.agent().await;
    let (source, store) = (place.file("source"), place.file("store"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("data"), vec![7; 40 << 20]).unwrap();
    let action = json!({"action": "backup", "mode": "fs", "storage": "local", "path_to_backup": source, "container": store,
        "compression": "none", "upload_limit": "1K"});
    let body = json!({"job_id": "crawls", "client_id": "node1", "job_schedule": {},
        "job_actions": [{"freezer_action": action, "max_retries": 0}]});
    place.post("/jobs", body).await;
    let is_crawling = |run: &Run| run.state == RunState::Running && run.progress.bytes_done > 0;
    let run = place.run_that("crawls", is_crawling).await;
    assert!(bytes_below(&store) < 1 << 20);
    // Half of what is left until the next report, as the last one has just come.
    let end = Instant::now() + Duration::from_secs(15);
    place.limit(&run, json!({"upload_limit": null})).await;
    while place.link == Link::Amqp && bytes_below(&store) < 1 << 20 {
        assert!(Instant::now() < end, "the new limit is not obeyed yet");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let run = place.ended("crawls").await;
    assert_eq!((run.state, run.steps.len()), (RunState::Success, 1), "{run:#?}");
    agent.stop().await;
}

/// As long as it crawls it has taken little from the storage, and has not ended.
async fn a_restore_is_let_go_while_it_crawls(place: Place) {
    let agent = place.agent().await;
    let (source, target) = (place.file("source"), place.file("target"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("data"), vec![7; 8 << 20]).unwrap();
    // What comes from the storage is counted segment by segment.
    let saved = json!({"action": "backup", "path_to_backup": source, "compression": "none", "max_segment_size": 65536});
    place.action("saved", saved).await;
    let run = place.ended("saved").await;
    assert_eq!(run.state, RunState::Success, "{run:#?}");

    let slow = json!({"action": "restore", "restore_abs_path": target, "download_limit": "16K"});
    place.action("crawls", slow).await;
    let is_crawling = |run: &Run| run.state == RunState::Running && run.progress.bytes_stored > 0;
    let run = place.run_that("crawls", is_crawling).await;
    assert!(run.progress.bytes_stored < 1 << 20, "{run:#?}");
    place.limit(&run, json!({"download_limit": null})).await;
    let run = place.ended("crawls").await;
    assert_eq!((run.state, run.steps.len()), (RunState::Success, 1), "{run:#?}");
    assert!(std::fs::read(target.join("data")).unwrap() == std::fs::read(source.join("data")).unwrap());
    agent.stop().await;
}

async fn what_hooks_said_is_in_the_run(place: Place) {
    let agent = place.agent().await;
    let source = place.file("source");
    std::fs::create_dir(&source).unwrap();
    let backup = async |job: &str, before: &str| {
        let options = json!({"action": "backup", "path_to_backup": source, "exec_shell": true, "hook_before": before,
            "hook_after": "echo $FREEZER_OUTCOME"});
        place.action(job, options).await;
        let mut run = place.ended(job).await;
        let hooks = run.steps[0].result.remove("hooks");
        (run, hooks.unwrap())
    };
    let (run, hooks) = backup("good", "seq 1 9999; echo quiet >&2").await;
    assert_eq!(run.state, RunState::Success, "{run:#?}");
    let told = hooks["before"]["stdout"].as_str().unwrap();
    assert!(told.ends_with("\n9998\n9999\n") && told.len() <= 8192, "{hooks}");
    assert_eq!((&hooks["before"]["stderr"], &hooks["before"]["exit_code"]), (&json!("quiet\n"), &json!(0)));
    assert_eq!(hooks["after"]["stdout"], "success\n");

    let (run, hooks) = backup("bad", "echo busy >&2; exit 3").await;
    assert_eq!(run.state, RunState::Fail, "{run:#?}");
    assert!(run.error.as_ref().unwrap().contains("hook_before ended with status 3"), "{run:#?}");
    assert_eq!((&hooks["before"]["stderr"], &hooks["before"]["exit_code"]), (&json!("busy\n"), &json!(3)));
    assert_eq!(hooks["after"]["stdout"], "fail\n");

    let begun = place.file("begun");
    let command = format!("touch {}; sleep 1000", begun.display());
    let options = json!({"action": "exec", "command": command, "exec_shell": true, "hook_before": "echo begins",
        "hook_after": "echo $FREEZER_OUTCOME"});
    place.action("endless", options).await;
    place.run_that("endless", |_| begun.exists()).await;
    place.post("/jobs/endless/event", json!({"abort": null})).await;
    let run = place.ended("endless").await;
    assert_eq!(run.state, RunState::Aborted, "{run:#?}");
    let hooks = &run.steps[0].result["hooks"];
    assert_eq!(
        (&hooks["before"]["stdout"], &hooks["after"]["stdout"]),
        (&json!("begins\n"), &json!("aborted\n"))
    );
    what_an_aborted_hook_said_is_there(&place).await;
    agent.stop().await;
}

async fn what_an_aborted_hook_said_is_there(place: &Place) {
    let begun = place.file("waits");
    let before = format!("echo waits for it; touch {}; sleep 1000", begun.display());
    let options = json!({"action": "exec", "command": "true", "exec_shell": true, "hook_before": before,
        "hook_after": "echo $FREEZER_OUTCOME"});
    place.action("waiting", options).await;
    place.run_that("waiting", |_| begun.exists()).await;
    place.post("/jobs/waiting/event", json!({"abort": null})).await;
    let run = place.ended("waiting").await;
    let hooks = &run.steps[0].result["hooks"];
    assert_eq!((run.state, &hooks["before"]["exit_code"]), (RunState::Aborted, &json!(null)), "{run:#?}");
    let said = (&hooks["before"]["stdout"], &hooks["after"]["stdout"]);
    assert_eq!(said, (&json!("waits for it\n"), &json!("aborted\n")));
}

async fn more_steps_than_slots_wait(place: Place) {
    let agent = place.agent().await;
    let gate = place.file("gate");
    place.job("first", &format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display())).await;
    place.run_that("first", |run| run.state == RunState::Running).await;
    place.job("second", "true").await;
    // The agent has said how many steps it works on at a time: the conductor keeps the rest, and says why.
    let waiting = place.run_that("second", |run| run.waiting_for.is_some()).await;
    assert_eq!(waiting.state, RunState::Queued);
    std::fs::write(gate, "").unwrap();
    for job in ["first", "second"] {
        let run = place.ended(job).await;
        assert_eq!((run.state, run.epoch.0), (RunState::Success, 1), "{run:#?}");
    }
    agent.stop().await;
}

async fn fresh_options_are_told(place: Place) {
    let agent = place.agent().await;
    agent.executor.reconfigure(place.options("restore"));
    let end = Instant::now() + PATIENCE;
    loop {
        let client = place.db.read(|tx| tx.clients().get(&"p".into(), &"node1".into())).unwrap().unwrap();
        assert_eq!(client.link, place.link);
        if client.capabilities.actions == ["restore"] {
            break;
        }
        assert!(Instant::now() < end, "{client:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.stop().await;
}

async fn a_conductor_that_was_away_is_found_again(mut place: Place) {
    let mut agent = place.agent().await;
    place.conductor.take().unwrap().stop().await;
    place.job("j", "true").await;
    tokio::time::timeout(PATIENCE, agent.greeted.wait_for(|greeted| !*greeted)).await.unwrap().unwrap();
    place.conduct().await;
    let run = place.ended("j").await;
    assert_eq!((run.state, run.losses), (RunState::Success, 0), "{run:#?}");
    agent.stop().await;
}
