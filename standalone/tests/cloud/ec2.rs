//! Keys for S3 that Keystone makes for a user of the real cloud.

use super::{Login, http};
use freezer_testkit::services;
use serde_json::{Value, json};

pub struct Ec2Keys {
    pub access: String,
    pub secret: String,
    token: String,
    address: String,
}

impl Ec2Keys {
    pub async fn of(login: &Login) -> Self {
        let tokens = format!("{}/auth/tokens", services::keystone_url());
        let shown =
            http().get(&tokens).header("X-Auth-Token", &login.token).header("X-Subject-Token", &login.token);
        let shown: Value = shown.send().await.unwrap().json().await.unwrap();
        let user = shown["token"]["user"]["id"].as_str().unwrap();
        let address = format!("{}/users/{user}/credentials/OS-EC2", services::keystone_url());
        let made = http().post(&address).header("X-Auth-Token", &login.token);
        let made = made.json(&json!({"tenant_id": login.project_id})).send().await.unwrap();
        let made: Value = made.json().await.unwrap();
        let key = |name: &str| made["credential"][name].as_str().unwrap().to_owned();
        Self { access: key("access"), secret: key("secret"), token: login.token.clone(), address }
    }

    pub async fn remove(self) {
        let gone = http().delete(format!("{}/{}", self.address, self.access));
        let gone = gone.header("X-Auth-Token", &self.token).send().await.unwrap();
        assert!(gone.status().is_success(), "{}", gone.status());
    }
}
