//! An agent in a tenant's machine: an application credential and the address of the API, no broker. Its scheduled backup
//! ends once and well while each process is killed in the middle of runs; nobody else's token or agent can take its place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::credential::Credential;
use cloud::ground::Ground;
use cloud::restored::restores;
use cloud::tls::TlsFront;
use cloud::{Cloud, Login, PATIENCE, User, http, login, remove_container};
use freezer_testkit::{random_name, services};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Nothing of the broker, and no project: the credential has one.
fn guest_conf(folder: &Path, client_id: &str, api_port: u16, credential: &Credential) -> String {
    format!(
        "[DEFAULT]\ndebug = true\n[agent]\nlink = http\nclient_id = {client_id}\nstate_dir = {}\nprogress_interval = 0.2\n\
         [service_auth]\nauth_type = v3applicationcredential\nauth_url = {}\napplication_credential_id = {}\n\
         application_credential_secret = {}\nbackup_url = http://127.0.0.1:{api_port}\n",
        folder.join("state").display(),
        services::keystone_url(),
        credential.id,
        credential.secret,
    )
}

/// Asks until the service answers: it may be the one that was killed.
async fn answered(user: &User, method: Method, path: &str, body: Option<&Value>) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        match user.call(method.clone(), path, body).await {
            Ok((200..=299, document)) => return document,
            Ok((status, document)) if status < 500 => panic!("{method} {path}: {status} {document}"),
            other => assert!(Instant::now() < end, "{method} {path} never answered: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The job's runs, when there is one in a state that fits.
async fn run_that(user: &User, job_id: &str, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let document = answered(user, Method::GET, &format!("/jobs/{job_id}/runs?limit=10"), None).await;
        let runs = document["runs"].as_array().unwrap().clone();
        if runs.iter().any(&fits) {
            return runs;
        }
        assert!(Instant::now() < end, "job {job_id}: {document:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_over(run: &Value) -> bool {
    run["finished_at"].as_i64().unwrap() > 0
}

fn is_running(run: &Value) -> bool {
    run["state"] == "running" || is_over(run)
}

/// One action that notices when it is not alone, one that saves.
fn job(name: &str, client_id: &str, folder: &Path, plan: Value) -> Value {
    let (lock, twice) = (folder.join(format!("lock-{name}")), folder.join("twice"));
    let alone = format!("flock -n {} sleep 1.5 || echo {name} >> {}", lock.display(), twice.display());
    json!({"job_id": name, "client_id": client_id, "job_schedule": plan, "job_actions": [
        {"freezer_action": {"action": "exec", "command": alone, "exec_shell": true}, "max_retries": 0},
        {"freezer_action": {"action": "backup", "mode": "fs", "engine_name": "tar", "storage": "local", "container": folder.join("store"),
            "path_to_backup": folder.join("source"), "backup_name": name}, "max_retries": 0}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_agent_backs_up_whatever_is_killed() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path();
    std::fs::create_dir_all(folder.join("source/deep")).unwrap();
    std::fs::write(folder.join("source/deep/file"), "content\n".repeat(100_000)).unwrap();
    let ground = Ground::new();
    let demo = login("demo", "demo").await;
    let credential = Credential::create(&demo).await;
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let mut cloud = Cloud::start_services(folder, &parts, |client_id, api_port| {
        guest_conf(folder, client_id, api_port, &credential)
    });
    cloud.agent.start();
    let user = User::new(cloud.api_port, &demo);
    cloud.wait_for_link(&user, "http").await;

    let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(2)).format("%Y-%m-%dT%H:%M:%S").to_string();
    let document = job("scheduled", &cloud.client_id, folder, json!({"schedule_date": soon}));
    answered(&user, Method::POST, "/jobs", Some(&document)).await;
    let runs = run_that(&user, "scheduled", is_over).await;
    assert_eq!((runs.len(), &runs[0]["state"]), (1, &json!("success")), "{runs:#?}");
    restores(folder, "scheduled");

    for (round, part) in ["conductor", "agent", "api", "agent", "api", "conductor"].into_iter().enumerate() {
        let name = format!("round{round}");
        let document = job(&name, &cloud.client_id, folder, json!({}));
        answered(&user, Method::POST, "/jobs", Some(&document)).await;
        // In the first half while the step runs, then before or while it is fetched.
        if round < 3 {
            run_that(&user, &name, is_running).await;
        }
        cloud.crash(part);
        let runs = run_that(&user, &name, is_over).await;
        assert_eq!((runs.len(), &runs[0]["state"]), (1, &json!("success")), "{part} killed: {runs:#?}");
        restores(folder, &name);
    }
    assert!(!folder.join("twice").exists(), "a step ran twice at a time");
    abort_reaches_the_guest(&user, &cloud.client_id).await;
    the_credential_opens_the_tenants_account(&user, &cloud.client_id, folder, &demo).await;
    assert!(!cloud.agent.log().contains(&credential.secret), "the secret is in the agent's log");
    credential.delete(&demo).await;
}

async fn abort_reaches_the_guest(user: &User, client_id: &str) {
    let document = json!({"job_id": "long", "client_id": client_id, "job_schedule": {}, "job_actions": [
        {"freezer_action": {"action": "exec", "command": "sleep 1000"}, "max_retries": 0}]});
    answered(user, Method::POST, "/jobs", Some(&document)).await;
    run_that(user, "long", is_running).await;
    answered(user, Method::POST, "/jobs/long/event", Some(&json!({"abort": null}))).await;
    let runs = run_that(user, "long", is_over).await;
    assert_eq!(runs[0]["state"], "aborted", "{runs:#?}");
}

async fn the_credential_opens_the_tenants_account(user: &User, client_id: &str, folder: &Path, demo: &Login) {
    let container = format!("guest-{}", random_name());
    let action = json!({"action": "backup", "mode": "fs", "storage": "swift", "container": container, "path_to_backup": folder.join("source"),
        "backup_name": "guest"});
    let document = json!({"job_id": "swift", "client_id": client_id, "job_schedule": {}, "job_actions": [{"freezer_action": action, "max_retries": 0}]});
    answered(user, Method::POST, "/jobs", Some(&document)).await;
    let runs = run_that(user, "swift", is_over).await;
    assert_eq!(runs[0]["state"], "success", "{runs:#?}");
    remove_container(demo, &container).await;
}

/// What an agent says about itself.
fn hello(project: &str, client_id: &str) -> Value {
    json!({"project_id": project, "client_id": client_id, "hostname": "guest", "agent_version": "1", "is_central": false, "held": [],
        "capabilities": {"actions": ["backup", "exec"], "modes": ["fs"], "storages": ["local"], "engines": ["tar"]}})
}

fn finished(run_id: &Value) -> Value {
    json!({"run_id": run_id, "epoch": 1, "outcome": "success", "exit_code": 0, "error": null, "progress": {}, "result": {}})
}

/// Somebody who plays an agent by hand.
struct Player<'a> {
    user: &'a User,
    client_id: &'a str,
}

impl Player<'_> {
    async fn say(&self, verb: &str, body: &Value) -> (u16, Value) {
        let path = format!("/agents/{}/{verb}", self.client_id);
        self.user.call(Method::POST, &path, Some(body)).await.unwrap()
    }

    async fn all(&self, project: &str, run_id: &Value) -> Vec<u16> {
        let mut statuses = Vec::new();
        let (start, progress) = (
            json!({"run_id": run_id, "epoch": 1, "pid": 1}),
            json!({"run_id": run_id, "epoch": 1, "progress": {}}),
        );
        let introduction = hello(project, self.client_id);
        for (verb, body) in [
            ("hello", &introduction),
            ("heartbeat", &introduction),
            ("work", &json!({})),
            ("started", &start),
            ("progress", &progress),
            ("finished", &finished(run_id)),
        ] {
            statuses.push(self.say(verb, body).await.0);
        }
        statuses
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_another_agents_place() {
    let work = tempfile::tempdir().unwrap();
    let ground = Ground::new();
    let (demo, other) = (login("demo", "demo").await, login("other", "other").await);
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let mut cloud = Cloud::start_services(work.path(), &parts, |_, _| String::new());
    // The guest of this test sends no heartbeats, and what is tried against it takes a while.
    cloud.conductor.kill();
    let patient = cloud::conductor_conf(&parts).replace("lease = 5\n", "lease = 600\n");
    assert!(patient.contains("lease = 600"));
    cloud::write(work.path(), "conductor.conf", &patient);
    cloud.conductor.start();
    let user = User::new(cloud.api_port, &demo);
    let guest = Player { user: &user, client_id: "guest-1" };
    let (status, reply) = guest.say("hello", &hello(&demo.project_id, "guest-1")).await;
    assert_eq!((status, &reply["heartbeat_secs"]), (200, &json!(1)), "{reply}");
    assert_eq!(user.get("/clients/guest-1").await["user_id"].as_str().unwrap().len(), 32);

    let job = json!({"job_id": "j", "client_id": "guest-1", "job_schedule": {}, "job_actions": [
        {"freezer_action": {"action": "exec", "command": "secret-of-demo"}, "max_retries": 0}]});
    let nothing = json!({});
    let (waited, _) =
        tokio::join!(guest.say("work?wait=25", &nothing), answered(&user, Method::POST, "/jobs", Some(&job)));
    let order = &waited.1["run_action"][0];
    assert_eq!(
        (waited.0, &order["freezer_action"]["command"]),
        (200, &json!("secret-of-demo")),
        "{waited:?}"
    );
    assert!(cloud.api.log().contains("agent guest-1 was called to its orders"), "not woken, but found later");
    let run_id = &order["run_id"];
    attack(&cloud, &demo, &other, run_id).await;

    let (status, reply) = guest.say("started", &json!({"run_id": run_id, "epoch": 1, "pid": 1})).await;
    assert_eq!((status, &reply["verdict"]), (200, &json!("continue")), "{reply}");
    let held = json!({"held": [{"run_id": run_id, "epoch": 1}]});
    assert_eq!(guest.say("work", &held).await, (200, json!({"run_action": [], "abort_run": []})));
    let (status, reply) = guest.say("finished", &finished(run_id)).await;
    assert_eq!((status, &reply["verdict"]), (200, &json!("continue")), "{reply}");
    let runs = run_that(&user, "j", is_over).await;
    assert_eq!((runs.len(), &runs[0]["state"]), (1, &json!("success")));

    a_narrow_credential_is_an_agent_and_nothing_else(&cloud, &demo, &other).await;
    a_credential_is_good_for_its_project_alone(&cloud, &demo, &other).await;

    cloud.conductor.kill();
    let url = format!("http://127.0.0.1:{}/v2/{}/agents/guest-1/heartbeat", cloud.api_port, demo.project_id);
    let request =
        http().post(&url).header("X-Auth-Token", &demo.token).json(&hello(&demo.project_id, "guest-1"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}

/// Everything somebody else may try while the guest's run is handed out.
async fn attack(cloud: &Cloud, demo: &Login, other: &Login, run_id: &Value) {
    let own = User::new(cloud.api_port, other);
    let at = |login: &Login, project: &str| {
        User::new(cloud.api_port, &Login { token: login.token.clone(), project_id: project.to_owned() })
    };
    // Somebody else's token at this project's path; also an administrator's of another project, and a reader's.
    for login in [other, &login("admin", "admin").await, &login("reader", "demo").await] {
        let user = at(login, &demo.project_id);
        let player = Player { user: &user, client_id: "guest-1" };
        assert_eq!(player.all(&demo.project_id, run_id).await, [403; 6]);
    }
    let nobody = at(&Login { token: "garbage".to_owned(), project_id: String::new() }, &demo.project_id);
    assert_eq!(Player { user: &nobody, client_id: "guest-1" }.all(&demo.project_id, run_id).await, [401; 6]);

    // At the own path, in another's name.
    let trespasser = Player { user: &own, client_id: "guest-1" };
    assert_eq!(trespasser.say("hello", &hello(&demo.project_id, "guest-1")).await.0, 403);
    assert_eq!(trespasser.say("hello", &hello(&other.project_id, "guest-2")).await.0, 403);
    let mut central = hello(&other.project_id, "guest-1");
    central["is_central"] = json!(true);
    assert_eq!(trespasser.say("hello", &central).await.0, 403);

    // The same client id in the own project is one's own agent, and sees and touches only that.
    let mut greedy = hello(&other.project_id, "guest-1");
    greedy["held"] = json!([{"run_id": run_id, "epoch": 1}]);
    let (status, reply) = trespasser.say("hello", &greedy).await;
    assert_eq!((status, &reply["drop"]), (200, &greedy["held"]), "{reply}");
    assert_eq!(trespasser.say("work", &json!({})).await, (200, json!({"run_action": [], "abort_run": []})));
    let mut forged = finished(run_id);
    forged["reporter"] = json!({"project_id": demo.project_id, "client_id": "guest-1"});
    for report in [&finished(run_id), &forged] {
        assert_eq!(trespasser.say("finished", report).await, (200, json!({"verdict": "stale"})));
    }
    let started = json!({"run_id": run_id, "epoch": 1, "pid": 666});
    assert_eq!(trespasser.say("started", &started).await, (200, json!({"verdict": "stale"})));

    // Another agent of the same project.
    let user = User::new(cloud.api_port, demo);
    let neighbour = Player { user: &user, client_id: "guest-2" };
    assert_eq!(neighbour.say("work", &json!({})).await.0, 404);
    assert_eq!(neighbour.say("hello", &hello(&demo.project_id, "guest-2")).await.0, 200);
    assert_eq!(neighbour.say("work", &json!({})).await, (200, json!({"run_action": [], "abort_run": []})));
    for report in [&finished(run_id), &forged] {
        assert_eq!(neighbour.say("finished", report).await, (200, json!({"verdict": "stale"})));
    }
    let run = user.get(&format!("/runs/{}", run_id.as_str().unwrap())).await;
    assert_eq!((&run["state"], &run["started_at"]), (&json!("dispatched"), &json!(-1)), "{run:#}");
}

/// With access rules a credential that is stolen from a guest can do nothing but be that project's agent.
async fn a_narrow_credential_is_an_agent_and_nothing_else(cloud: &Cloud, demo: &Login, other: &Login) {
    let rules = json!([{"service": "backup", "method": "POST", "path": "/v2/*/agents/**"}]);
    let credential = Credential::create_for(demo, rules).await;
    let narrow = Login { token: credential.token().await, project_id: demo.project_id.clone() };
    let user = User::new(cloud.api_port, &narrow);
    // Of its own machine: the names of others belong to their logins, though it is the same user's.
    for taken in ["guest-1", "guest-2"] {
        let impostor = Player { user: &user, client_id: taken };
        let (status, said) = impostor.say("hello", &hello(&demo.project_id, taken)).await;
        assert_eq!(status, 409, "{said}");
        assert!(said["description"].as_str().unwrap().contains("belongs to another login"), "{said}");
        assert_eq!(impostor.say("heartbeat", &hello(&demo.project_id, taken)).await.0, 409);
        assert_eq!(impostor.say("work", &json!({})).await.0, 409);
    }
    let guest = Player { user: &user, client_id: "guest-3" };
    assert_eq!(guest.say("hello", &hello(&demo.project_id, "guest-3")).await.0, 200);
    assert_eq!(guest.say("work", &json!({})).await.0, 200);
    for (method, path) in
        [(Method::GET, "/jobs"), (Method::GET, "/backups"), (Method::DELETE, "/clients/guest-2")]
    {
        let (status, document) = user.call(method, path, None).await.unwrap();
        assert!(matches!(status, 401 | 403), "{path}: {status} {document}");
    }
    // The rules name every project's agents, and the token is of one.
    refused_in_another_project(cloud, &narrow.token, other).await;
    credential.delete(demo).await;
}

/// What a credential without access rules opens is its own project, too.
async fn a_credential_is_good_for_its_project_alone(cloud: &Cloud, demo: &Login, other: &Login) {
    let credential = Credential::create(demo).await;
    let wide = Login { token: credential.token().await, project_id: demo.project_id.clone() };
    let (status, document) = User::new(cloud.api_port, &wide).call(Method::GET, "/jobs", None).await.unwrap();
    assert_eq!(status, 200, "{document}");
    refused_in_another_project(cloud, &wide.token, other).await;
    credential.delete(demo).await;
}

/// Every call of an agent, and what its user may do at home, at the paths of a project that the token is not of.
async fn refused_in_another_project(cloud: &Cloud, token: &str, other: &Login) {
    let there = Login { token: token.to_owned(), project_id: other.project_id.clone() };
    let user = User::new(cloud.api_port, &there);
    let guest = Player { user: &user, client_id: "guest-3" };
    assert_eq!(guest.all(&other.project_id, &json!("r")).await, [403; 6]);
    for path in ["/jobs", "/backups", "/clients", "/runs"] {
        let (status, document) = user.call(Method::GET, path, None).await.unwrap();
        assert!(matches!(status, 401 | 403), "{path}: {status} {document}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_verified() {
    let work = tempfile::tempdir().unwrap();
    let ground = Ground::new();
    let demo = login("demo", "demo").await;
    let credential = Credential::create(&demo).await;
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let mut cloud = Cloud::start_services(work.path(), &parts, |client_id, port| {
        guest_conf(work.path(), client_id, port, &credential)
    });
    let user = User::new(cloud.api_port, &demo);
    let front = TlsFront::start(work.path(), cloud.api_port).await;
    let file = work.path().join("agent.conf");
    let plain = format!("http://127.0.0.1:{}", cloud.api_port);
    let conf =
        std::fs::read_to_string(&file).unwrap().replace(&plain, &format!("https://localhost:{}", front.port));

    std::fs::write(&file, &conf).unwrap();
    cloud.agent.start();
    let end = Instant::now() + PATIENCE;
    while !cloud.agent.log().contains("certificate") {
        assert!(Instant::now() < end, "{}", cloud.agent.last_words());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (status, _) = user.call(Method::GET, &format!("/clients/{}", cloud.client_id), None).await.unwrap();
    assert_eq!(status, 404, "the agent spoke to whoever answered");

    std::fs::write(&file, format!("{conf}cacert = {}\n", front.certificate)).unwrap();
    cloud.agent.start();
    cloud.wait_for_link(&user, "http").await;
    credential.delete(&demo).await;
}
