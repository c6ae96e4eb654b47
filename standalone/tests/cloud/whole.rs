//! A project with some of everything, and what is known of it without ids: so that what has come back can be compared.

use super::project::{CINDER, GLANCE, Hands, NEUTRON, NOVA, Project, call, content};
use super::{PATIENCE, http, login};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

pub const SWIFT: &str = "http://127.0.0.1:8080/v1";
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk8rYn3h1Xz0w2n4fH2w3y5Yb7m9Qe6t1sVd0cUoP4B freezer-test";

/// Objects of the container `photos`: name and content.
pub fn objects() -> Vec<(&'static str, Vec<u8>)> {
    let big = (0..1_000_003_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    vec![("2024/a b/ü.txt", b"small".to_vec()), ("big", big), ("empty", Vec::new())]
}

/// What a list of a kind's resources is asked for by.
async fn rows(hands: &Hands, url: String, key: &str) -> Vec<Value> {
    let (status, document) = call(Method::GET, &url, &hands.login.token, None).await;
    assert_eq!(status, 200, "{url}: {document}");
    document[key].as_array().unwrap_or_else(|| panic!("{url}: {document}")).clone()
}

pub async fn neutron(hands: &Hands, path: &str, key: &str) -> Vec<Value> {
    rows(hands, format!("{NEUTRON}{path}?project_id={}", hands.login.project_id), key).await
}

pub async fn volumes(hands: &Hands) -> Vec<Value> {
    rows(hands, format!("{CINDER}/{}/volumes/detail", hands.login.project_id), "volumes").await
}

async fn make(hands: &Hands, path: &str, body: Value) -> Value {
    let (status, document) =
        call(Method::POST, &format!("{NEUTRON}{path}"), &hands.login.token, Some(&body)).await;
    assert_eq!(status, 201, "{path}: {document}");
    document.as_object().unwrap().values().next().unwrap().clone()
}

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_owned()
}

impl Hands {
    /// Everything that a project can have here; answers the volume's id.
    pub async fn furnish(&self) -> String {
        self.furnish_network().await;
        let body =
            json!({"keypair": {"name": format!("key-{}", self.login.project_id), "public_key": SSH_KEY}});
        let url = format!("{NOVA}/os-keypairs");
        let (status, made) = call(Method::POST, &url, &self.login.token, Some(&body)).await;
        assert!(status < 300, "{made}");
        let body = json!({"name": "gold", "disk_format": "raw", "container_format": "bare", "tags": ["mine"], "os_distro": "debian"});
        let (status, image) =
            call(Method::POST, &format!("{GLANCE}/images"), &self.login.token, Some(&body)).await;
        assert_eq!(status, 201, "{image}");
        let url = format!("{GLANCE}/images/{}/file", id(&image));
        let request = http().put(url).header("Content-Type", "application/octet-stream");
        let content: Vec<u8> = (0..700_001_u32).map(|at| (at % 251) as u8).collect();
        let sent = request.header("X-Auth-Token", &self.login.token).body(content).send().await.unwrap();
        assert_eq!(sent.status(), 204);
        self.swift(Method::PUT, "/photos", &[("X-Container-Meta-Colour", "red")], Vec::new()).await;
        for (name, content) in objects() {
            let headers = [("X-Object-Meta-Place", "here"), ("Content-Type", "text/plain")];
            self.swift(Method::PUT, &format!("/photos/{}", encoded(name)), &headers, content).await;
        }
        self.furnish_large_objects().await;
        let volume = self.volume("data", true).await;
        let tags = json!({"metadata": {"owner": "me"}});
        self.cinder(Method::POST, &format!("/volumes/{volume}/metadata"), Some(&tags)).await;
        volume
    }

    /// Two objects in `photos` that consist of parts in another container, in both of Swift's ways.
    async fn furnish_large_objects(&self) {
        self.swift(Method::PUT, "/parts", &[], Vec::new()).await;
        let mut list = Vec::new();
        for name in ["one", "two"] {
            let put =
                self.swift(Method::PUT, &format!("/parts/{name}"), &[], name.repeat(1000).into_bytes()).await;
            let etag = put.headers()["etag"].to_str().unwrap().to_owned();
            list.push(json!({"path": format!("/parts/{name}"), "etag": etag, "size_bytes": 3000}));
        }
        let list = json!(list).to_string().into_bytes();
        self.swift(
            Method::PUT,
            "/photos/slo?multipart-manifest=put",
            &[("Content-Type", "text/plain")],
            list,
        )
        .await;
        self.swift(Method::PUT, "/photos/dlo", &[("X-Object-Manifest", "parts/t")], Vec::new()).await;
    }

    async fn furnish_network(&self) {
        let network =
            id(&make(self, "/networks", json!({"network": {"name": "net", "description": "inner"}})).await);
        let url = format!("{NEUTRON}/networks/{network}/tags");
        call(Method::PUT, &url, &self.login.token, Some(&json!({"tags": ["blue"]}))).await;
        let subnet = json!({"subnet": {
            "name": "sub", "network_id": network, "ip_version": 4, "cidr": "10.55.0.0/24", "enable_dhcp": false,
            "dns_nameservers": ["10.55.0.2"], "allocation_pools": [{"start": "10.55.0.5", "end": "10.55.0.99"}],
        }});
        let subnet = id(&make(self, "/subnets", subnet).await);
        let router = id(&make(self, "/routers", json!({"router": {"name": "gate"}})).await);
        let url = format!("{NEUTRON}/routers/{router}/add_router_interface");
        let (status, said) =
            call(Method::PUT, &url, &self.login.token, Some(&json!({"subnet_id": subnet}))).await;
        assert_eq!(status, 200, "{said}");
        let group = make(self, "/security-groups", json!({"security_group": {"name": "web"}})).await;
        // What Neutron gives by itself is not wanted for IPv6.
        let given = group["security_group_rules"].as_array().unwrap();
        let six = given.iter().find(|rule| rule["ethertype"] == "IPv6").unwrap();
        let url = format!("{NEUTRON}/security-group-rules/{}", id(six));
        assert_eq!(call(Method::DELETE, &url, &self.login.token, None).await.0, 204);
        for rule in [
            json!({"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "10.0.0.0/8"}),
            json!({"direction": "ingress", "protocol": "udp", "remote_group_id": id(&group)}),
        ] {
            let mut rule = rule;
            rule["security_group_id"] = group["id"].clone();
            make(self, "/security-group-rules", json!({"security_group_rule": rule})).await;
        }
        let port = json!({"port": {
            "name": "eth", "network_id": network, "fixed_ips": [{"subnet_id": subnet, "ip_address": "10.55.0.9"}],
            "security_groups": [id(&group)],
        }});
        make(self, "/ports", port).await;
    }

    pub async fn swift(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> reqwest::Response {
        let url = format!("{SWIFT}/AUTH_{}{path}", self.login.project_id);
        let mut request = http().request(method.clone(), &url).header("X-Auth-Token", &self.login.token);
        if method == Method::PUT {
            request = request.header("Content-Length", body.len().to_string());
        }
        request = request.body(body);
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer
    }

    /// All that is known of the project, by names.
    pub async fn facts(&self) -> Value {
        let mut facts = self.network_facts().await;
        let volumes = volumes(self).await;
        let of = |volume: &Value| {
            let mut metadata = volume["metadata"].clone();
            metadata.as_object_mut().unwrap().remove("freezer_restored");
            json!([
                volume["name"],
                volume["size"],
                volume["volume_type"],
                volume["bootable"],
                metadata,
                content(&id(volume))
            ])
        };
        facts["volumes"] = volumes.iter().map(of).collect();
        let images = self.images().await;
        let of = |image: &Value| {
            json!([
                image["name"],
                image["os_hash_value"],
                image["disk_format"],
                image["os_distro"],
                ours(&image["tags"])
            ])
        };
        facts["images"] = images.iter().map(of).collect();
        let keys = rows(self, format!("{NOVA}/os-keypairs"), "keypairs").await;
        facts["keypairs"] = keys.iter().map(|key| key["keypair"].clone()).collect();
        facts["objects"] = self.object_facts().await;
        facts
    }

    async fn network_facts(&self) -> Value {
        let mut names: BTreeMap<String, Value> = BTreeMap::new();
        let mut lists = BTreeMap::new();
        for (path, key) in [
            ("/networks", "networks"),
            ("/subnets", "subnets"),
            ("/routers", "routers"),
            ("/security-groups", "security_groups"),
            ("/ports", "ports"),
        ] {
            let rows = neutron(self, path, key).await;
            names.extend(rows.iter().map(|row| (id(row), row["name"].clone())));
            lists.insert(key, rows);
        }
        let name = |id: &Value| names.get(id.as_str().unwrap_or_default()).cloned().unwrap_or(Value::Null);
        let mut facts = json!({});
        facts["networks"] = lists["networks"]
            .iter()
            .map(|row| {
                json!([
                    row["name"],
                    row["description"],
                    row["mtu"],
                    row["admin_state_up"],
                    ours(&row["tags"])
                ])
            })
            .collect();
        facts["subnets"] = lists["subnets"]
            .iter()
            .map(|row| {
                let keys =
                    ["name", "cidr", "gateway_ip", "enable_dhcp", "allocation_pools", "dns_nameservers"];
                json!([name(&row["network_id"]), keys.map(|key| row[key].clone())])
            })
            .collect();
        facts["routers"] =
            lists["routers"].iter().map(|row| json!([row["name"], row["admin_state_up"]])).collect();
        let mut ports: Vec<Value> = lists["ports"]
            .iter()
            .map(|row| {
                let address = &row["fixed_ips"][0];
                let groups = row["security_groups"].as_array().unwrap().iter().map(name);
                let is_routers = row["device_owner"] == "network:router_interface";
                // Those of routers are made anew by Neutron.
                let mac = if is_routers { Value::Null } else { row["mac_address"].clone() };
                let owner = if is_routers { name(&row["device_id"]) } else { Value::Null };
                json!([
                    row["name"],
                    name(&row["network_id"]),
                    name(&address["subnet_id"]),
                    address["ip_address"],
                    mac,
                    owner,
                    groups.collect::<Vec<_>>()
                ])
            })
            .collect();
        ports.sort_by_key(Value::to_string);
        facts["ports"] = json!(ports);
        let group = lists["security_groups"].iter().find(|group| group["name"] == "web");
        let rules =
            group.map(|group| group["security_group_rules"].as_array().unwrap().clone()).unwrap_or_default();
        let mut rules: Vec<Value> = rules
            .iter()
            .map(|rule| {
                let keys = [
                    "direction",
                    "ethertype",
                    "protocol",
                    "port_range_min",
                    "port_range_max",
                    "remote_ip_prefix",
                ];
                json!([keys.map(|key| rule[key].clone()), name(&rule["remote_group_id"])])
            })
            .collect();
        rules.sort_by_key(Value::to_string);
        facts["rules of web"] = json!(rules);
        facts
    }

    async fn object_facts(&self) -> Value {
        let mut found = json!({});
        let listed = self.swift(Method::GET, "", &[], Vec::new()).await.text().await.unwrap();
        for container in listed.lines() {
            let path = format!("/{}", encoded(container));
            let head = self.swift(Method::HEAD, &path, &[], Vec::new()).await;
            let colour =
                head.headers().get("x-container-meta-colour").map(|value| value.to_str().unwrap().to_owned());
            let names = self.swift(Method::GET, &path, &[], Vec::new()).await.text().await.unwrap();
            let mut objects = Vec::new();
            for name in names.lines() {
                let got =
                    self.swift(Method::GET, &format!("{path}/{}", encoded(name)), &[], Vec::new()).await;
                let header =
                    |key: &str| got.headers().get(key).map(|value| value.to_str().unwrap().to_owned());
                let headers = ["etag", "content-type", "x-object-meta-place"].map(header);
                objects.push(json!([name, headers, got.bytes().await.unwrap().len()]));
            }
            found[container] = json!([colour, objects]);
        }
        found
    }

    /// Deletes everything that a project can have, but for the backups of Cinder.
    pub async fn clear(&self) {
        let token = &self.login.token;
        self.clear_network().await;
        for volume in volumes(self).await {
            let (status, said) =
                self.cinder(Method::DELETE, &format!("/volumes/{}", id(&volume)), None).await;
            assert_eq!(status, 202, "{said}");
        }
        for image in self.images().await {
            let url = format!("{GLANCE}/images/{}", id(&image));
            assert_eq!(call(Method::DELETE, &url, token, None).await.0, 204);
        }
        for key in rows(self, format!("{NOVA}/os-keypairs"), "keypairs").await {
            let url = format!("{NOVA}/os-keypairs/{}", key["keypair"]["name"].as_str().unwrap());
            call(Method::DELETE, &url, token, None).await;
        }
        let listed = self.swift(Method::GET, "", &[], Vec::new()).await.text().await.unwrap();
        for container in listed.lines() {
            super::remove_container(&self.login, container).await;
        }
        let end = Instant::now() + PATIENCE;
        while !volumes(self).await.is_empty() {
            assert!(Instant::now() < end, "volumes stay");
            tokio::time::sleep(super::LOOK).await;
        }
    }

    /// Networks, and what is on them.
    pub async fn clear_network(&self) {
        let token = &self.login.token;
        for address in neutron(self, "/floatingips", "floatingips").await {
            call(Method::DELETE, &format!("{NEUTRON}/floatingips/{}", id(&address)), token, None).await;
        }
        for router in neutron(self, "/routers", "routers").await {
            // Routes keep their interfaces from going.
            let none = json!({"router": {"routes": []}});
            call(Method::PUT, &format!("{NEUTRON}/routers/{}", id(&router)), token, Some(&none)).await;
            let url = format!("{NEUTRON}/ports?device_id={}", id(&router));
            for port in rows(self, url, "ports").await {
                let url = format!("{NEUTRON}/routers/{}/remove_router_interface", id(&router));
                call(Method::PUT, &url, token, Some(&json!({"port_id": id(&port)}))).await;
            }
            call(Method::DELETE, &format!("{NEUTRON}/routers/{}", id(&router)), token, None).await;
        }
        for (path, key) in
            [("/ports", "ports"), ("/networks", "networks"), ("/security-groups", "security_groups")]
        {
            for row in neutron(self, path, key).await {
                if row["name"] != "default" {
                    let (status, said) =
                        call(Method::DELETE, &format!("{NEUTRON}{path}/{}", id(&row)), token, None).await;
                    // A port goes with its server.
                    assert!(matches!(status, 204 | 404), "{path}: {said}");
                }
            }
        }
    }
}

/// Tags without those of restores.
fn ours(tags: &Value) -> Vec<Value> {
    let tags = tags.as_array().cloned().unwrap_or_default();
    tags.into_iter().filter(|tag| !tag.as_str().unwrap().starts_with("freezer:")).collect()
}

fn encoded(name: &str) -> String {
    name.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") }).collect()
}

/// An administrator's change of something of the project's.
pub async fn as_admin(method: Method, url: &str, body: Value) {
    let admin = login("admin", "admin").await;
    let url = url.replace("{admin}", &admin.project_id);
    let (status, said) = call(method, &url, &admin.token, Some(&body)).await;
    assert!((200..300).contains(&status), "{url}: {status} {said}");
}

/// Lets `user` into `project` as a member.
pub async fn let_in(user: &Project, project: &Project) {
    let admin = login("admin", "admin").await;
    let keystone = freezer_testkit::services::keystone_url();
    let get =
        async |path: String| call(Method::GET, &format!("{keystone}{path}"), &admin.token, None).await.1;
    let users = get(format!("/users?name={}", user.user)).await;
    let roles = get("/roles?name=member".to_owned()).await;
    let (user, role) = (id(&users["users"][0]), id(&roles["roles"][0]));
    let url = format!("{keystone}/projects/{}/users/{user}/roles/{role}", project.id);
    assert_eq!(call(Method::PUT, &url, &admin.token, None).await.0, 204);
}
