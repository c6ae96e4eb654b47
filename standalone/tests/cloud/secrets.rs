//! Secrets of a project in the real Barbican.

use super::project::{Project, call};
use super::{Login, http};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Mutex;

const BARBICAN: &str = "http://127.0.0.1:9311/v1";

pub struct Secrets {
    login: Login,
    made: Mutex<Vec<String>>,
}

impl Secrets {
    pub async fn of(project: &Project) -> Self {
        Self { login: project.login().await, made: Mutex::default() }
    }

    /// Keeps a text as a member of the project does; its reference.
    pub async fn store(&self, payload: &str) -> String {
        let body = json!({"name": "pass phrase", "secret_type": "passphrase", "payload": payload, "payload_content_type": "text/plain"});
        let url = format!("{BARBICAN}/secrets");
        let (status, answer) = call(Method::POST, &url, &self.login.token, Some(&body)).await;
        assert_eq!(status, 201, "{answer}");
        let reference = answer["secret_ref"].as_str().unwrap().to_owned();
        self.made.lock().unwrap().push(reference.clone());
        reference
    }

    /// When each secret of the project ends; null for never.
    pub async fn ends(&self) -> Vec<Value> {
        let (status, listed) =
            call(Method::GET, &format!("{BARBICAN}/secrets"), &self.login.token, None).await;
        assert_eq!(status, 200, "{listed}");
        let rows = listed["secrets"].as_array().unwrap();
        rows.iter().map(|row| row["expiration"].clone()).collect()
    }

    /// The bytes of a key.
    pub async fn key(&self, id: &str) -> Vec<u8> {
        let request = http().get(format!("{BARBICAN}/secrets/{id}/payload"));
        let request =
            request.header("X-Auth-Token", &self.login.token).header("Accept", "application/octet-stream");
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{id}");
        answer.bytes().await.unwrap().to_vec()
    }

    pub async fn remove_all(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        for reference in made {
            let request = http().delete(&reference).header("X-Auth-Token", &self.login.token);
            assert!(request.send().await.unwrap().status().is_success(), "{reference}");
        }
    }
}
