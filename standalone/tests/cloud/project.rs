//! A project of one test in the real cloud: its users, and hands on Keystone, Cinder and Nova. Removed with everything in it.

use super::{Login, PATIENCE, http, login, remove_container};
use freezer_testkit::{random_name, services};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Instant;

pub const CINDER: &str = "http://127.0.0.1:8776/v3";
pub const NOVA: &str = "http://127.0.0.1:8774/v2.1";
pub const GLANCE: &str = "http://127.0.0.1:9292/v2";
pub const NEUTRON: &str = "http://127.0.0.1:9696/v2.0";
const MICROVERSIONS: &str = "volume 3.64, compute 2.79";

/// An answer as status and JSON.
pub async fn call(method: Method, url: &str, token: &str, body: Option<&Value>) -> (u16, Value) {
    let mut request = http()
        .request(method, url)
        .header("X-Auth-Token", token)
        .header("OpenStack-API-Version", MICROVERSIONS);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}; make services"));
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// A project with a member (`user`) and one whom Swift does not let in (`weak`).
pub struct Project {
    pub id: String,
    pub name: String,
    pub user: String,
    pub weak: String,
    admin: String,
    user_ids: Vec<String>,
}

impl Project {
    pub async fn create() -> Self {
        let admin = login("admin", "admin").await.token;
        let name = format!("freezer-test-{}", random_name());
        let mut project = Self {
            id: String::new(),
            user: format!("{name}-user"),
            weak: format!("{name}-weak"),
            name,
            admin,
            user_ids: Vec::new(),
        };
        let body = json!({"project": {"name": project.name, "domain_id": "default"}});
        project.id = project.keystone(Method::POST, "/projects", Some(&body)).await["project"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        for (user, role) in [(project.user.clone(), "member"), (project.weak.clone(), "creator")] {
            project.add_user(&user, role).await;
        }
        project
    }

    /// Another user of it: one that is an administrator, and so is shown what belongs to others. Answers the name.
    pub async fn administrator(&mut self) -> String {
        let name = format!("{}-administrator", self.name);
        self.add_user(&name, "admin").await;
        name
    }

    async fn add_user(&mut self, name: &str, role: &str) {
        let body = json!({"user": {"name": name, "domain_id": "default", "password": services::password()}});
        let made = self.keystone(Method::POST, "/users", Some(&body)).await;
        let user = made["user"]["id"].as_str().unwrap().to_owned();
        let roles = self.keystone(Method::GET, &format!("/roles?name={role}"), None).await;
        let role = roles["roles"][0]["id"].as_str().unwrap();
        self.keystone(Method::PUT, &format!("/projects/{}/users/{user}/roles/{role}", self.id), None).await;
        self.user_ids.push(user);
    }

    async fn keystone(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", services::keystone_url());
        let (status, document) = call(method, &url, &self.admin, body).await;
        assert!((200..300).contains(&status), "{url}: {status} {document}");
        document
    }

    pub async fn login(&self) -> Login {
        login(&self.user, &self.name).await
    }
}

/// Hands of a member in the project.
pub struct Hands {
    pub login: Login,
}

impl Hands {
    pub async fn of(project: &Project) -> Self {
        Self { login: project.login().await }
    }

    pub async fn cinder(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        call(method, &format!("{CINDER}/{}{path}", self.login.project_id), &self.login.token, body).await
    }

    /// A volume that is there, with the content of the image `tiny` when asked for.
    pub async fn volume(&self, name: &str, from_image: bool) -> String {
        let mut volume = json!({"name": name, "size": 1});
        if from_image {
            let (_, images) =
                call(Method::GET, &format!("{GLANCE}/images?name=tiny"), &self.login.token, None).await;
            volume["imageRef"] = images["images"][0]["id"].clone();
        }
        self.volume_of(volume).await
    }

    /// A volume that is there; `volume` are Cinder's fields.
    pub async fn volume_of(&self, volume: Value) -> String {
        let (status, made) = self.cinder(Method::POST, "/volumes", Some(&json!({"volume": volume}))).await;
        assert_eq!(status, 202, "{made}");
        let id = made["volume"]["id"].as_str().unwrap().to_owned();
        self.volume_is(&id, "available").await;
        id
    }

    /// Id of the one volume of this name.
    pub async fn volume_named(&self, name: &str) -> String {
        let (_, listed) = self.cinder(Method::GET, &format!("/volumes?name={name}"), None).await;
        let rows = listed["volumes"].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{listed}");
        rows[0]["id"].as_str().unwrap().to_owned()
    }

    pub async fn volume_is(&self, id: &str, wanted: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, document) = self.cinder(Method::GET, &format!("/volumes/{id}"), None).await;
            let status = document["volume"]["status"].as_str().unwrap_or("gone").to_owned();
            if status == wanted {
                return;
            }
            let is_late = Instant::now() > end || status.starts_with("error");
            assert!(!is_late, "volume {id} is {status}, not {wanted}");
            tokio::time::sleep(super::LOOK).await;
        }
    }

    /// Ids of all snapshots of groups in the project.
    pub async fn group_snapshots(&self) -> Vec<String> {
        let (status, listed) = self.cinder(Method::GET, "/group_snapshots", None).await;
        assert_eq!(status, 200, "{listed}");
        let rows = listed["group_snapshots"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Removes groups with their volumes.
    async fn clear_volume_groups(&self) {
        let end = Instant::now() + PATIENCE;
        for id in self.group_snapshots().await {
            self.cinder(Method::DELETE, &format!("/group_snapshots/{id}"), None).await;
        }
        loop {
            let (_, listed) = self.cinder(Method::GET, "/groups", None).await;
            let ids = listed["groups"].as_array().cloned().unwrap_or_default();
            if ids.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "groups stay: {listed}");
            for id in ids.iter().filter_map(|row| row["id"].as_str()) {
                let body = json!({"delete": {"delete-volumes": true}});
                self.cinder(Method::POST, &format!("/groups/{id}/action"), Some(&body)).await;
            }
            tokio::time::sleep(super::LOOK).await;
        }
    }

    /// Cinder's backups of a volume, oldest first.
    pub async fn backups(&self, volume: &str) -> Vec<Value> {
        let path = format!("/backups/detail?volume_id={volume}&sort=created_at:asc");
        let (status, document) = self.cinder(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{document}");
        document["backups"].as_array().unwrap().clone()
    }

    /// A backup as a user makes one, without Freezer.
    pub async fn own_backup(&self, volume: &str, name: &str) -> String {
        let body = json!({"backup": {"volume_id": volume, "name": name, "force": true, "container": "own"}});
        let (status, made) = self.cinder(Method::POST, "/backups", Some(&body)).await;
        assert_eq!(status, 202, "{made}");
        let id = made["backup"]["id"].as_str().unwrap().to_owned();
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, document) = self.cinder(Method::GET, &format!("/backups/{id}"), None).await;
            match document["backup"]["status"].as_str().unwrap() {
                "available" => return id,
                "error" => panic!("{document}"),
                other => assert!(Instant::now() < end, "backup {id} is {other}"),
            }
            tokio::time::sleep(super::LOOK).await;
        }
    }

    /// A running server with nothing of its own but this volume as its second disk.
    pub async fn server_with(&self, volume: &str) -> String {
        let nova = |path: &str| format!("{NOVA}{path}");
        let named = |list: &Value, name: &str| -> Value {
            let all = list.as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {list}"))["id"]
                .clone()
        };
        let (_, flavors) = call(Method::GET, &nova("/flavors"), &self.login.token, None).await;
        let (_, images) =
            call(Method::GET, &format!("{GLANCE}/images?name=tiny"), &self.login.token, None).await;
        let body = json!({"server": {
            "name": "freezer-test",
            "flavorRef": named(&flavors["flavors"], "tiny"),
            "imageRef": images["images"][0]["id"],
            "networks": "none",
        }});
        let (status, made) = call(Method::POST, &nova("/servers"), &self.login.token, Some(&body)).await;
        assert_eq!(status, 202, "{made}");
        let id = made["server"]["id"].as_str().unwrap().to_owned();
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, server) =
                call(Method::GET, &nova(&format!("/servers/{id}")), &self.login.token, None).await;
            match server["server"]["status"].as_str().unwrap_or_default() {
                "ACTIVE" => break,
                "ERROR" => panic!("{server}"),
                other => assert!(Instant::now() < end, "server {id} is {other}"),
            }
            tokio::time::sleep(super::LOOK).await;
        }
        let attachment = json!({"volumeAttachment": {"volumeId": volume}});
        let url = nova(&format!("/servers/{id}/os-volume_attachments"));
        let (status, attached) = call(Method::POST, &url, &self.login.token, Some(&attachment)).await;
        assert_eq!(status, 200, "{attached}");
        self.volume_is(volume, "in-use").await;
        id
    }

    /// Images of the project, those that are hidden last.
    pub async fn images(&self) -> Vec<Value> {
        let mut found = Vec::new();
        for hidden in ["false", "true"] {
            let url = format!("{GLANCE}/images?owner={}&os_hidden={hidden}", self.login.project_id);
            let (status, document) = call(Method::GET, &url, &self.login.token, None).await;
            assert_eq!(status, 200, "{document}");
            found.extend(document["images"].as_array().unwrap().clone());
        }
        found
    }

    async fn remove_images(&self) {
        for image in self.images().await {
            let url = format!("{GLANCE}/images/{}", image["id"].as_str().unwrap());
            if image["protected"] == true {
                let patch = r#"[{"op": "replace", "path": "/protected", "value": false}]"#;
                let request = http().patch(&url).header("X-Auth-Token", &self.login.token);
                let kind = "application/openstack-images-v2.1-json-patch";
                request.header("Content-Type", kind).body(patch).send().await.unwrap();
            }
            let (status, document) = call(Method::DELETE, &url, &self.login.token, None).await;
            assert_eq!(status, 204, "{url}: {document}");
        }
    }

    /// Deletes what the list at `path` holds under `key` until it is empty.
    async fn empty(&self, base: &str, path: &str, key: &str, token: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, document) = call(Method::GET, &format!("{base}{path}"), token, None).await;
            let listed = document[key].as_array().cloned().unwrap_or_default();
            if listed.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{path} stays: {document}");
            // Backups that others depend on and volumes of servers refuse at first.
            for id in listed.iter().filter_map(|one| one["id"].as_str()) {
                call(Method::DELETE, &format!("{base}{path}/{id}"), token, None).await;
            }
            tokio::time::sleep(super::LOOK).await;
        }
    }
}

impl Project {
    async fn remove(&self) {
        let hands = Hands::of(self).await;
        let token = hands.login.token.clone();
        hands.clear_stacks().await;
        hands.empty(NOVA, "/servers", "servers", &token).await;
        hands.clear_groups().await;
        hands.clear_network().await;
        // The group that Neutron gives each project is an administrator's to remove.
        for group in super::whole::neutron(&hands, "/security-groups", "security_groups").await {
            let url = format!("{}/security-groups/{}", NEUTRON, group["id"].as_str().unwrap());
            call(Method::DELETE, &url, &self.admin, None).await;
        }
        let cinder = format!("{CINDER}/{}", self.id);
        hands.clear_volume_groups().await;
        for (path, key) in [("/backups", "backups"), ("/snapshots", "snapshots"), ("/volumes", "volumes")] {
            hands.empty(&cinder, path, key, &token).await;
        }
        hands.remove_images().await;
        let url = format!("http://127.0.0.1:8080/v1/AUTH_{}", self.id);
        let containers =
            http().get(&url).header("X-Auth-Token", &token).send().await.unwrap().text().await.unwrap();
        for container in containers.lines() {
            remove_container(&hands.login, container).await;
        }
        for user in &self.user_ids {
            self.keystone(Method::DELETE, &format!("/users/{user}"), None).await;
        }
        self.keystone(Method::DELETE, &format!("/projects/{}", self.id), None).await;
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            let cleaning = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(self.remove());
            });
            let cleaned = cleaning.join();
            assert!(cleaned.is_ok() || std::thread::panicking(), "project {} stays", self.name);
        });
    }
}

/// SHA-256 of what is on a volume in Ceph.
pub fn content(volume: &str) -> String {
    let line =
        format!("rbd -c /etc/ceph/ceph.conf export --no-progress volumes/volume-{volume} - | sha256sum");
    let output = Command::new("bash").args(["-o", "pipefail", "-c", &line]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes 64 KiB to a volume in Ceph.
pub fn scribble(volume: &str) {
    let output = Command::new("rbd")
        .args([
            "-c",
            "/etc/ceph/ceph.conf",
            "bench",
            "--io-type",
            "write",
            "--io-size",
            "4K",
            "--io-total",
            "64K",
        ])
        .arg(format!("volumes/volume-{volume}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
