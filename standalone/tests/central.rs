//! A central agent on real parts: a member's job runs on the operator's host, with a token that Keystone gave it for the
//! member's project under the job's trust, and reaches nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;
#[path = "../../api/tests/real/tenant.rs"]
#[allow(dead_code)]
mod tenant;

/// What `tenant` calls a user with a token.
#[allow(dead_code)]
mod stage {
    pub struct Person {
        pub token: String,
        pub project_id: String,
        pub user_id: String,
    }
}

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use cloud::central::start;
use cloud::ground::Ground;
use cloud::{Cloud, Login, User, remove_container};
use freezer_database::{Database, DatabaseOptions};
use freezer_model::{JobId, ProjectId};
use freezer_testkit::{program, random_name, services};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tenant::Tenant;

/// A way to Keystone that remembers the tokens it gave.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<Vec<String>>>);

impl Tokens {
    /// Starts it; answers where it is.
    fn start(&self) -> String {
        let (tokens, http) = (self.clone(), cloud::http());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::PayloadConfig::new(1 << 20))
                .app_data(web::Data::new((tokens.clone(), http.clone())))
                .default_service(web::to(pass_on))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        tokio::spawn(server.run());
        format!("http://{address}/v3")
    }

    fn given(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn pass_on(
    request: HttpRequest,
    body: web::Bytes,
    shared: web::Data<(Tokens, reqwest::Client)>,
) -> HttpResponse {
    let base = services::keystone_url().trim_end_matches('/').trim_end_matches("/v3").to_owned();
    let method = Method::from_bytes(request.method().as_str().as_bytes()).unwrap();
    let mut onward = shared.1.request(method, format!("{base}{}", request.uri())).body(body);
    for name in ["content-type", "accept", "x-auth-token"] {
        if let Some(value) = request.headers().get(name) {
            onward = onward.header(name, value.as_bytes());
        }
    }
    let answer = onward.send().await.unwrap();
    let mut response =
        HttpResponse::build(actix_web::http::StatusCode::from_u16(answer.status().as_u16()).unwrap());
    response.content_type("application/json");
    if let Some(token) = answer.headers().get("x-subject-token") {
        let token = token.to_str().unwrap();
        shared.0.0.lock().unwrap().push(token.to_owned());
        response.insert_header(("X-Subject-Token", token));
    }
    response.body(answer.bytes().await.unwrap())
}

/// A backup that the member makes without the service, in the member's own account.
fn back_up(folder: &Path, token: &str, project_id: &str, container: &str) {
    let source = folder.join("source");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("file"), "a member's data\n").unwrap();
    let output = Command::new(program("freezer-agent"))
        .args(["--action", "backup", "--storage", "swift", "--container", container, "--backup-name", "own"])
        .args(["--path-to-backup", source.to_str().unwrap()])
        .env_clear()
        .envs([
            ("OS_AUTH_TYPE", "token"),
            ("OS_TOKEN", token),
            ("OS_AUTH_URL", &services::keystone_url()),
            ("OS_PROJECT_ID", project_id),
            ("HOME", folder.to_str().unwrap()),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

struct Scene {
    cloud: Cloud,
    user: User,
    database: Database,
    project: ProjectId,
}

impl Scene {
    async fn job(&self, actions: &[Value]) -> String {
        let actions: Vec<Value> =
            actions.iter().map(|action| json!({"freezer_action": action, "max_retries": 0})).collect();
        let job = json!({"client_id": self.cloud.client_id, "job_schedule": {}, "job_actions": actions});
        let created = self.user.post("/jobs", &job).await;
        created["job_id"].as_str().unwrap().to_owned()
    }

    async fn run(&self, action: Value) -> (String, Value) {
        self.run_all(&[action]).await
    }

    async fn run_all(&self, actions: &[Value]) -> (String, Value) {
        let id = self.job(actions).await;
        let run = self.user.finished_run(&id, 1).await;
        (id, run)
    }

    /// As if the job had been written before there were trusts.
    fn forget_trust(&self, id: &str) {
        let id = JobId::from(id);
        self.database
            .transaction(|tx| {
                let mut job = tx.jobs().get_for_update(&self.project, &id)?.unwrap();
                job.credentials = None;
                tx.jobs().save(&job)
            })
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_central_agent_acts_in_the_tenants_account_under_the_trust_alone() {
    Tenant::with(async |tenant| {
        let work = tempfile::tempdir().unwrap();
        let (ground, tokens) = (Ground::new(), Tokens::default());
        let service = tenant::account("freezer", "service");
        let (service_user, service_project) =
            (service.user_id().await.unwrap(), service.project_id().await.unwrap().unwrap());
        let parts = ground.parts(&service_project, ("freezer", "service"));
        let cloud = start(work.path(), &parts, &tokens.start(), "amqp");
        let ann = tenant.ann().await;
        let login = Login { token: ann.person.token.clone(), project_id: tenant.project_id.clone() };
        let user = User::new(cloud.api_port, &login);
        cloud.wait_for_agent(&user).await;
        let database = Database::connect(&DatabaseOptions::new(ground.database.url())).unwrap();
        let scene = Scene { cloud, user, database, project: ProjectId::from(tenant.project_id.as_str()) };
        let container = format!("central-{}", random_name());
        back_up(work.path(), &login.token, &tenant.project_id, &container);

        the_token_is_the_trusts(&scene, &tokens, &container, &ann.session, &service_user).await;
        what_is_not_for_it_is_refused(&scene, &container).await;
        without_a_trust_nothing_is_done(&scene, &tokens, &container, &ann.session).await;
        remove_container(&login, &container).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_https_it_finds_the_tenants_backups_too() {
    Tenant::with(async |tenant| {
        let work = tempfile::tempdir().unwrap();
        let ground = Ground::new();
        let service = tenant::account("freezer", "service").project_id().await.unwrap().unwrap();
            let parts = ground.parts(&service, ("freezer", "service"));
        let cloud = start(work.path(), &parts, &services::keystone_url(), "http");
        let ann = tenant.ann().await;
        let login = Login { token: ann.person.token.clone(), project_id: tenant.project_id.clone() };
        let user = User::new(cloud.api_port, &login);
        cloud.wait_for_link(&user, "http").await;
        let container = format!("central-{}", random_name());
        back_up(work.path(), &login.token, &tenant.project_id, &container);
        let info = json!({"action": "info", "storage": "swift", "container": container});
        let job = json!({"client_id": cloud.client_id, "job_schedule": {}, "job_actions": [{"freezer_action": info, "max_retries": 0}]});
        let created = user.post("/jobs", &job).await;
        let run = user.finished_run(created["job_id"].as_str().unwrap(), 1).await;
        assert_eq!(run["state"], "success", "{run:#}");
        assert_eq!(run["steps"][0]["result"]["info"]["backups"].as_array().unwrap().len(), 1, "{run:#}");
        remove_container(&login, &container).await;
    })
    .await;
}

async fn the_token_is_the_trusts(
    scene: &Scene,
    tokens: &Tokens,
    container: &str,
    ann: &keystone::Session,
    service_user: &str,
) {
    let info = json!({"action": "info", "storage": "swift", "container": container});
    let (job, run) = scene.run(info.clone()).await;
    assert_eq!(run["state"], "success", "{run:#}");
    let found = &run["steps"][0]["result"]["info"]["backups"];
    assert_eq!(found.as_array().unwrap().len(), 1, "{run:#}");
    assert!(found[0]["name"].as_str().unwrap().ends_with("_own"), "{found}");
    let admin = json!({"action": "admin", "storage": "swift", "container": container, "backup_name": "own",
        "keep_last": 1, "dry_run": true, "insecure": false});
    let (_, run) = scene.run_all(&[info, admin]).await;
    assert_eq!(run["state"], "success", "{run:#}");
    assert_eq!(run["steps"].as_array().unwrap().len(), 2, "{run:#}");

    let shown = scene.user.get(&format!("/jobs/{job}")).await;
    let trust_id = shown["user_credentials"]["trust_id"].as_str().unwrap();
    assert!(ann.show_trust(trust_id).await.unwrap().is_some());
    let given = tokens.given();
    assert_eq!(given.len(), 2, "one token for each of the two runs, however many steps they have");
    let validator = keystone::TokenValidator::new(keystone::AuthTokenConfig::new(
        tenant::account("freezer", "service").options().clone(),
    ))
    .unwrap();
    for token in given {
        let document = validator.validate(&token.into(), false).await.unwrap();
        let trust = document.trust.as_ref().expect("scoped to a trust");
        assert_eq!((trust.id.as_str(), trust.impersonation), (trust_id, false));
        assert_eq!(document.user.id, service_user);
        assert_eq!(document.project.as_ref().unwrap().id, scene.project.as_str());
        let is_admin = document.roles.iter().any(|role| role.name == "admin");
        assert!(!document.roles.is_empty() && !is_admin, "never an administrator's");
    }
    for daemon in [&scene.cloud.api, &scene.cloud.conductor, &scene.cloud.agent] {
        assert!(!daemon.log().contains(trust_id), "ids of trusts stay out of logs");
    }
}

async fn what_is_not_for_it_is_refused(scene: &Scene, container: &str) {
    // What it says that it never does, is refused when a job asks for it.
    for action in [
        json!({"action": "exec", "command": "touch /tmp/x"}),
        json!({"action": "restore", "mode": "fs", "restore_abs_path": "/tmp", "container": container}),
        json!({"action": "info", "storage": "local", "container": "/etc"}),
    ] {
        let job = json!({"client_id": scene.cloud.client_id, "job_actions": [{"freezer_action": action}]});
        let (status, answer) = scene.user.call(Method::POST, "/jobs", Some(&job)).await.unwrap();
        assert_eq!(status, 422, "{answer}");
    }
    // An action that is edited later is not looked at before it runs.
    let (job, run) = scene.run(json!({"action": "info", "storage": "swift", "container": container})).await;
    assert_eq!(run["state"], "success", "{run:#}");
    let shown = scene.user.get(&format!("/jobs/{job}")).await;
    let action_id = shown["job_actions"][0]["action_id"].as_str().unwrap();
    let edits = [
        (json!({"action": "exec", "command": "touch /tmp/x"}), "exec"),
        (json!({"action": "backup", "path_to_backup": "/etc", "container": container}), "mode fs"),
        (
            json!({"action": "restore", "mode": "fs", "restore_abs_path": "/tmp", "container": container}),
            "mode fs",
        ),
        (json!({"action": "info", "storage": "local", "container": "/etc"}), "storage local"),
        (json!({"action": "backup", "mode": "mongo", "container": container}), "mode mongo"),
    ];
    for (count, (action, word)) in edits.into_iter().enumerate() {
        let path = format!("/actions/{action_id}");
        let body = json!({"freezer_action": action, "max_retries": 0});
        let (status, answer) = scene.user.call(Method::PATCH, &path, Some(&body)).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        scene.user.post(&format!("/jobs/{job}/event"), &json!({"start": null})).await;
        let run = scene.user.finished_run(&job, count + 2).await;
        assert_eq!(run["state"], "fail", "{action}: {run:#}");
        let error = run["error"].as_str().unwrap_or_default();
        assert!(error.contains(word) && error.contains("central"), "{action}: {error}");
    }
}

async fn without_a_trust_nothing_is_done(
    scene: &Scene,
    tokens: &Tokens,
    container: &str,
    ann: &keystone::Session,
) {
    let info = || json!({"action": "info", "storage": "swift", "container": container});
    let (job, first) = scene.run(info()).await;
    assert_eq!(first["state"], "success", "{first:#}");
    let given = tokens.given().len();
    let trust = scene.user.get(&format!("/jobs/{job}")).await;
    ann.delete_trust(trust["user_credentials"]["trust_id"].as_str().unwrap()).await.unwrap();
    scene.user.post(&format!("/jobs/{job}/event"), &json!({"start": null})).await;
    let run = scene.user.finished_run(&job, 2).await;
    assert_eq!(run["state"], "fail", "{run:#}");
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("trust was ended"), "{error}");

    scene.forget_trust(&job);
    scene.user.post(&format!("/jobs/{job}/event"), &json!({"start": null})).await;
    let run = scene.user.finished_run(&job, 3).await;
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("has no trust") && error.contains(&job), "{error}");
    assert_eq!(tokens.given().len(), given, "no token was had without a trust");
}
