//! A region of its own in Keystone's catalogue, for clients that look for the service only there.

use freezer_testkit::{random_name, services};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Removed with this value.
pub struct Region {
    pub name: String,
    endpoint: String,
    token: String,
}

impl Region {
    /// Says in the catalogue that the service is at `url`. `token`: an admin's.
    pub async fn with_service_at(url: &str, token: &str) -> Self {
        let name = format!("freezer-test-{}", random_name());
        let http = Client::new();
        let ask = async |method: Method, path: &str, body: Value| {
            let request = http.request(method, format!("{}{path}", services::keystone_url()));
            let request = request.header("X-Auth-Token", token).header("Content-Type", "application/json");
            let request = if body.is_null() { request } else { request.body(body.to_string()) };
            let answer = request.send().await.expect("Keystone answers: make services");
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
        };
        let found = ask(Method::GET, "/services?type=backup", Value::Null).await;
        let service =
            found["services"][0]["id"].as_str().expect("the catalogue knows the type backup").to_owned();
        ask(Method::POST, "/regions", json!({"region": {"id": name}})).await;
        let endpoint = json!({"service_id": service, "interface": "public", "url": url, "region_id": name});
        let made = ask(Method::POST, "/endpoints", json!({ "endpoint": endpoint })).await;
        let endpoint = made["endpoint"]["id"].as_str().unwrap().to_owned();
        Self { name, endpoint, token: token.to_owned() }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let paths = [format!("/endpoints/{}", self.endpoint), format!("/regions/{}", self.name)];
        let token = self.token.clone();
        // A runtime of its own: this may run inside the test's.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for path in paths {
                    let request = Client::new().delete(format!("{}{path}", services::keystone_url()));
                    let _ = request.header("X-Auth-Token", &token).send().await;
                }
            });
        });
        let _ = removal.join();
    }
}
