//! A project of one test in the real Keystone, with two members and a reader. Removed with its trusts when the test ends.

use crate::stage::Person;
use freezer_testkit::{random_name, services};
use futures_util::FutureExt;
use keystone::{Auth, Domain, Named, Scope, Session, SessionOptions};
use reqwest::Method;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;

const PASSWORD: &str = "correct horse battery";

pub struct Tenant {
    admin: Session,
    pub project_id: String,
    pub project_name: String,
    users: Vec<String>,
}

/// A user of the tenant: the token for the REST API, and a session for Keystone.
pub struct User {
    pub person: Person,
    pub session: Session,
}

pub fn account(user: &str, project: &str) -> Session {
    let domain = || Domain::Id("default".to_owned());
    let named = |name: &str| Named::Name { name: name.to_owned(), domain: domain() };
    let auth = Auth::Password {
        user: named(user),
        password: services::password().into(),
        scope: Scope::Project(named(project)),
    };
    Session::new(SessionOptions::new(services::keystone_url(), auth)).unwrap()
}

impl Tenant {
    /// Runs the test, and removes the tenant whatever comes of it.
    pub async fn with(test: impl AsyncFnOnce(&Tenant)) {
        let tenant = Self::make().await;
        let outcome = AssertUnwindSafe(test(&tenant)).catch_unwind().await;
        for user in &tenant.users {
            tenant.remove(&format!("/users/{user}")).await;
        }
        tenant.remove(&format!("/projects/{}", tenant.project_id)).await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    async fn make() -> Self {
        let admin = account("admin", "admin");
        let project_name = format!("freezer-test-{}", random_name());
        let project = json!({"project": {"name": project_name, "domain_id": "default"}});
        let project = post(&admin, "/projects", project).await;
        let project_id = text(&project["project"]["id"]);
        let mut tenant = Self { admin, project_id, project_name, users: Vec::new() };
        for (name, role) in [("ann", "member"), ("bob", "member"), ("rita", "reader")] {
            let user = json!({"user": {"name": format!("{}-{name}", tenant.project_name), "password": PASSWORD,
                "domain_id": "default"}});
            let id = text(&post(&tenant.admin, "/users", user).await["user"]["id"]);
            tenant.grant(&id, role).await;
            tenant.users.push(id);
        }
        tenant
    }

    async fn role(&self, name: &str) -> String {
        let path = format!("/roles?name={name}");
        let roles: Value =
            self.admin.request(Method::GET, "identity", &path).send().await.unwrap().json().await.unwrap();
        text(&roles["roles"][0]["id"])
    }

    async fn grant(&self, user: &str, role: &str) {
        let role = self.role(role).await;
        self.assign(&format!("/projects/{}/users/{user}/roles/{role}", self.project_id)).await;
    }

    async fn assign(&self, path: &str) {
        assert_eq!(self.admin.request(Method::PUT, "identity", path).send().await.unwrap().status(), 204);
    }

    /// A token of bob's for the whole domain, where he becomes an administrator by it.
    pub async fn domain_token(&self) -> String {
        let role = self.role("admin").await;
        self.assign(&format!("/domains/default/users/{}/roles/{role}", self.users[1])).await;
        let auth = Auth::Password {
            user: Named::Id(self.users[1].clone()),
            password: PASSWORD.into(),
            scope: Scope::Domain(Domain::Id("default".to_owned())),
        };
        let session = Session::new(SessionOptions::new(services::keystone_url(), auth)).unwrap();
        session.token().await.unwrap().expose().to_owned()
    }

    async fn remove(&self, path: &str) {
        let status = self.admin.request(Method::DELETE, "identity", path).send().await.unwrap().status();
        assert!(status == 204 || status == 404, "{path}: {status}");
    }

    /// Members.
    pub async fn ann(&self) -> User {
        self.user(0).await
    }
    pub async fn bob(&self) -> User {
        self.user(1).await
    }
    /// Has only the role reader.
    pub async fn rita(&self) -> User {
        self.user(2).await
    }

    async fn user(&self, index: usize) -> User {
        let auth = Auth::Password {
            user: Named::Id(self.users[index].clone()),
            password: PASSWORD.into(),
            scope: Scope::Project(Named::Id(self.project_id.clone())),
        };
        let session = Session::new(SessionOptions::new(services::keystone_url(), auth)).unwrap();
        let person = Person {
            token: session.token().await.unwrap().expose().to_owned(),
            project_id: self.project_id.clone(),
            user_id: self.users[index].clone(),
        };
        User { person, session }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn post(session: &Session, path: &str, body: Value) -> Value {
    let answer = session.request(Method::POST, "identity", path).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{path}");
    answer.json().await.unwrap()
}
