//! Application credentials of users of the real cloud.

use super::{Login, http};
use freezer_testkit::{random_name, services};
use serde_json::{Value, json};

/// Deleted with [`Credential::delete`].
pub struct Credential {
    url: String,
    pub id: String,
    pub secret: String,
}

impl Credential {
    pub async fn create(login: &Login) -> Self {
        Self::create_for(login, Value::Null).await
    }

    /// Good only for what the access rules name, if there are any.
    pub async fn create_for(login: &Login, rules: Value) -> Self {
        let keystone = services::keystone_url();
        let shown = http().get(format!("{keystone}/auth/tokens")).header("X-Auth-Token", &login.token);
        let token: Value =
            shown.header("X-Subject-Token", &login.token).send().await.unwrap().json().await.unwrap();
        let user = token["token"]["user"]["id"].as_str().unwrap();
        let url = format!("{keystone}/users/{user}/application_credentials");
        let mut wanted = json!({"application_credential": {"name": format!("freezer-test-{}", random_name()), "roles": [{"name": "member"}]}});
        if !rules.is_null() {
            wanted["application_credential"]["access_rules"] = rules;
        }
        let made: Value = http()
            .post(&url)
            .header("X-Auth-Token", &login.token)
            .json(&wanted)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let text = |key: &str| made["application_credential"][key].as_str().unwrap().to_owned();
        Self { url: format!("{url}/{}", text("id")), id: text("id"), secret: text("secret") }
    }

    pub async fn token(&self) -> String {
        let used = json!({"id": self.id, "secret": self.secret});
        let body = json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": used}}});
        let url = format!("{}/auth/tokens", services::keystone_url());
        // Keystone 22 shows the rules of a token only to services that say they know them.
        let answer = http()
            .post(&url)
            .header("OpenStack-Identity-Access-Rules", "1.0")
            .json(&body)
            .send()
            .await
            .unwrap();
        answer.headers()["x-subject-token"].to_str().unwrap().to_owned()
    }

    pub async fn delete(self, login: &Login) {
        let gone = http().delete(&self.url).header("X-Auth-Token", &login.token).send().await.unwrap();
        assert!(gone.status().is_success(), "{}", gone.status());
    }
}
