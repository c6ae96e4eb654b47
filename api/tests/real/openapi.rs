//! schemathesis makes requests from the document that the program prints, good and bad ones: no answer may be a 5xx, each is
//! documented, and what is good by the document is taken.

use crate::stage::Stage;
use freezer_testkit::venv;
use serde_json::{Value, json};
use std::process::Command;

/// The document with the person's project in its paths: any other project is refused before anything is looked at.
fn document(project: &str) -> Value {
    let printed = Command::new(env!("CARGO_BIN_EXE_freezer-api")).arg("--openapi").output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let mut document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let paths = document["paths"].as_object().unwrap().clone().into_iter().map(|(path, mut item)| {
        if let Some(parameters) = item["parameters"].as_array_mut() {
            parameters.retain(|parameter| parameter["name"] != "project_id");
        }
        (path.replace("{project_id}", project), item)
    });
    document["paths"] = Value::Object(paths.collect());
    document
}

const SETTINGS: &str = "headers = { X-Auth-Token = \"${FREEZER_TOKEN}\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let programs = venv::programs("schemathesis", &["schemathesis"]);
    let stage = Stage::start();
    let conductor = stage.conductor(&stage.vhost.url()).await;
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    let job = json!({"client_id": "node1", "job_actions": [{"freezer_action": {"action": "backup"}}]});
    stage.call(&demo, "POST", "/jobs", job).await.expect(201);
    let file = |name: &str, text: String| {
        let path = stage.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let schema = file("openapi.json", document(&demo.project_id).to_string());
    let settings = file("schemathesis.toml", SETTINGS.to_owned());
    let run = |token: &str, more: &[&str]| {
        let checks = "not_a_server_error,response_schema_conformance,status_code_conformance";
        let output = Command::new(programs.join("schemathesis"))
            .arg("--config-file")
            .arg(&settings)
            .arg("run")
            .arg(&schema)
            .args(["--url", &stage.base, "--checks", checks, "--max-examples", "10", "--seed", "1"])
            .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--no-color"])
            .args(more)
            .env("FREEZER_TOKEN", token)
            .current_dir(stage.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{}", stage.daemon.last_words());
        // It has really been inside: with a token that is refused everything would be fine, too.
        assert!(said.contains("Fuzzing") && said.contains("passed"), "{said}");
        assert!(!said.contains("Authentication failed: 40"), "{said}");
    };
    run(&demo.token, &[]);
    // What members may not do. Last: it may leave the project without any quota.
    let admin = stage.person("admin", "admin").await;
    run(&admin.token, &["--include-path-regex", "/quotas$"]);
    stage.call(&demo, "GET", "/jobs", Value::Null).await.expect(200);
    conductor.stop().await;
}
