//! Stacks of a test's project.

use super::project::{Hands, call};
use super::{LOOK, PATIENCE};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Instant;

pub const HEAT: &str = "http://127.0.0.1:8004/v1";

impl Hands {
    async fn heat(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        call(method, &format!("{HEAT}/{}{path}", self.login.project_id), &self.login.token, body).await
    }

    async fn stack_is(&self, path: &str, wanted: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, shown) = self.heat(Method::GET, path, None).await;
            let state = shown["stack"]["stack_status"].as_str().unwrap_or("gone").to_owned();
            if state == wanted || (wanted == "gone" && state == "DELETE_COMPLETE") {
                return;
            }
            assert!(!state.ends_with("FAILED") && Instant::now() < end, "stack {path} is {state}: {shown}");
            tokio::time::sleep(LOOK).await;
        }
    }

    pub async fn remove_stack(&self, name: &str, id: &str) {
        let path = format!("/stacks/{name}/{id}");
        self.heat(Method::DELETE, &path, None).await;
        self.stack_is(&path, "gone").await;
    }

    /// All stacks of the project, with what they have made.
    pub async fn clear_stacks(&self) {
        let (_, listed) = self.heat(Method::GET, "/stacks", None).await;
        for row in listed["stacks"].as_array().into_iter().flatten() {
            self.remove_stack(row["stack_name"].as_str().unwrap(), row["id"].as_str().unwrap()).await;
        }
    }
}

/// A stack that has made one network, called `inner` by its parameter; answers its id.
pub async fn stack(hands: &Hands, name: &str) -> String {
    let template = json!({
        "heat_template_version": "2018-08-31",
        "parameters": {"title": {"type": "string"}},
        "resources": {"net": {"type": "OS::Neutron::Net", "properties": {"name": {"get_param": "title"}}}},
    });
    let body = json!({"stack_name": name, "template": template, "parameters": {"title": "inner"}, "timeout_mins": 5});
    let (status, made) = hands.heat(Method::POST, "/stacks", Some(&body)).await;
    assert_eq!(status, 201, "{made}; make services");
    let id = made["stack"]["id"].as_str().unwrap().to_owned();
    hands.stack_is(&format!("/stacks/{name}/{id}"), "CREATE_COMPLETE").await;
    id
}
