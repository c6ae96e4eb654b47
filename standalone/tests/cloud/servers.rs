//! Servers of a test's project, with networks, ports and keypairs; and all that a backup or a restore of them could leave.

use super::project::{CINDER, GLANCE, Hands, NEUTRON, NOVA, Project, call};
use super::{PATIENCE, login};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Instant;

impl Hands {
    pub async fn nova(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        call(method, &format!("{NOVA}{path}"), &self.login.token, body).await
    }

    pub async fn neutron(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, document) = call(method, &format!("{NEUTRON}{path}"), &self.login.token, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {document}");
        document
    }

    pub async fn image_id(&self) -> String {
        self.image_named("tiny").await
    }

    pub async fn image_named(&self, name: &str) -> String {
        let url = format!("{GLANCE}/images?name={name}");
        let (_, images) = call(Method::GET, &url, &self.login.token, None).await;
        let found = images["images"][0]["id"].as_str();
        found.unwrap_or_else(|| panic!("no image {name}; make services")).to_owned()
    }

    pub async fn flavor_id(&self, name: &str) -> String {
        let (_, list) = self.nova(Method::GET, "/flavors", None).await;
        let all = list["flavors"].as_array().unwrap();
        let found = all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {list}"));
        found["id"].as_str().unwrap().to_owned()
    }

    /// A network of the project's own with one subnet.
    pub async fn network(&self, name: &str, cidr: &str) -> String {
        let body = json!({"network": {"name": name}});
        let made = self.neutron(Method::POST, "/networks", Some(&body)).await;
        let id = made["network"]["id"].as_str().unwrap().to_owned();
        let subnet =
            json!({"subnet": {"network_id": id, "ip_version": 4, "cidr": cidr, "enable_dhcp": false}});
        self.neutron(Method::POST, "/subnets", Some(&subnet)).await;
        id
    }

    pub async fn security_group(&self, name: &str) -> String {
        let body = json!({"security_group": {"name": name}});
        let made = self.neutron(Method::POST, "/security-groups", Some(&body)).await;
        made["security_group"]["id"].as_str().unwrap().to_owned()
    }

    /// A port with this address, plugged into nothing.
    pub async fn port(&self, network: &str, address: &str, group: &str) -> String {
        let body = json!({"port": {
            "network_id": network, "name": "eth", "fixed_ips": [{"ip_address": address}], "security_groups": [group],
        }});
        let made = self.neutron(Method::POST, "/ports", Some(&body)).await;
        made["port"]["id"].as_str().unwrap().to_owned()
    }

    pub async fn keypair(&self, name: &str) {
        let key = std::fs::read_to_string(format!("{}.pub", std::env::var("FREEZER_TEST_SSH_KEY").unwrap()));
        let body = json!({"keypair": {"name": name, "type": "ssh", "public_key": key.unwrap().trim()}});
        let (status, made) = self.nova(Method::POST, "/os-keypairs", Some(&body)).await;
        assert_eq!(status, 201, "{made}");
    }

    /// A running server; `fields` are Nova's.
    pub async fn server(&self, fields: Value) -> String {
        self.server_by(json!({ "server": fields })).await
    }

    /// A running server in this server group.
    pub async fn server_in(&self, fields: Value, group: &str) -> String {
        self.server_by(json!({"server": fields, "os:scheduler_hints": {"group": group}})).await
    }

    async fn server_by(&self, body: Value) -> String {
        let (status, made) = self.nova(Method::POST, "/servers", Some(&body)).await;
        assert_eq!(status, 202, "{made}");
        let id = made["server"]["id"].as_str().unwrap().to_owned();
        self.server_is(&id, "ACTIVE").await;
        id
    }

    pub async fn shown_server(&self, id: &str) -> Value {
        self.nova(Method::GET, &format!("/servers/{id}"), None).await.1["server"].take()
    }

    pub async fn server_is(&self, id: &str, wanted: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let server = self.shown_server(id).await;
            let status = server["status"].as_str().unwrap_or("gone").to_owned();
            if status == wanted {
                return;
            }
            assert!(status != "ERROR" && Instant::now() < end, "server {id} is {status}: {server}");
            tokio::time::sleep(super::LOOK).await;
        }
    }

    /// Waits until nothing is done with a server.
    pub async fn server_rests(&self, id: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.shown_server(id).await["OS-EXT-STS:task_state"].is_null() {
            assert!(Instant::now() < end, "server {id} does not come to rest");
            tokio::time::sleep(super::LOOK).await;
        }
    }

    /// Waits until the guest has said how often its disk was booted.
    pub async fn booted(&self, id: &str, times: u32) {
        self.says(id, &format!("MINICLOUD BOOT {times}")).await;
    }

    /// Waits until the guest has said this.
    pub async fn says(&self, id: &str, wanted: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let body = json!({"os-getConsoleOutput": {}});
            let (_, document) = self.nova(Method::POST, &format!("/servers/{id}/action"), Some(&body)).await;
            let said = document["output"].as_str().unwrap_or_default().to_owned();
            if said.contains(wanted) {
                return;
            }
            assert!(Instant::now() < end, "no '{wanted}' on the console of {id}: {said}");
            tokio::time::sleep(super::LOOK).await;
        }
    }

    pub async fn delete_server(&self, id: &str) {
        let (status, document) = self.nova(Method::DELETE, &format!("/servers/{id}"), None).await;
        assert_eq!(status, 204, "{document}");
        self.server_is(id, "gone").await;
    }

    /// Removes all server groups of the project.
    pub async fn clear_groups(&self) {
        let (_, list) = self.nova(Method::GET, "/os-server-groups", None).await;
        for row in list["server_groups"].as_array().into_iter().flatten() {
            let path = format!("/os-server-groups/{}", row["id"].as_str().unwrap());
            self.nova(Method::DELETE, &path, None).await;
        }
    }

    /// Ports of a server as Neutron shows them.
    pub async fn ports_of(&self, server: &str) -> Vec<Value> {
        let found = self.neutron(Method::GET, &format!("/ports?device_id={server}"), None).await;
        found["ports"].as_array().unwrap().clone()
    }

    /// Volumes of a server by device.
    pub async fn disks_of(&self, server: &str) -> Vec<(String, Value)> {
        let (_, list) =
            self.nova(Method::GET, &format!("/servers/{server}/os-volume_attachments"), None).await;
        let rows = list["volumeAttachments"].as_array().unwrap().iter();
        let mut found: Vec<(String, Value)> =
            rows.map(|row| (row["device"].as_str().unwrap().to_owned(), row.clone())).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

/// Kinds and names of everything of the project that a backup or a restore could leave.
pub async fn resources(hands: &Hands) -> Vec<String> {
    let login = &hands.login;
    let cinder = format!("{CINDER}/{}", login.project_id);
    let mut found = Vec::new();
    for (url, key) in [
        (format!("{cinder}/volumes/detail"), "volumes"),
        (format!("{cinder}/snapshots/detail"), "snapshots"),
        (format!("{GLANCE}/images?owner={}", login.project_id), "images"),
        (format!("{NEUTRON}/ports?project_id={}", login.project_id), "ports"),
        (format!("{}/servers", NOVA), "servers"),
    ] {
        let (status, list) = call(Method::GET, &url, &login.token, None).await;
        assert_eq!(status, 200, "{list}");
        let rows = list[key].as_array().unwrap();
        found.extend(rows.iter().map(|row| format!("{key} {}", row["name"].as_str().unwrap_or_default())));
    }
    found
}

/// Whether a project has a temporary resource of each of `kinds`, in the words of [`resources`].
pub async fn has_temporary(hands: &Hands, kinds: &[&str]) -> bool {
    let found = resources(hands).await;
    let is_there = |kind: &&str| found.iter().any(|row| row.starts_with(&format!("{kind} freezer_")));
    kinds.iter().all(is_there)
}

/// Sets how many servers Nova lets a project have.
pub async fn servers_allowed(project: &Project, count: u32) {
    let admin = login("admin", "admin").await;
    let url = format!("{}/os-quota-sets/{}", NOVA, project.id);
    let body = json!({"quota_set": {"instances": count}});
    let (status, answer) = call(Method::PUT, &url, &admin.token, Some(&body)).await;
    assert_eq!(status, 200, "{answer}");
}
