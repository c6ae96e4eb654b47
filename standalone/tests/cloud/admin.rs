//! What only an administrator makes for a test's project: external networks, flavors, types of volumes. Removed when the test has
//! ended; so they are made before the project that uses them.

use super::project::{CINDER, NEUTRON, NOVA, call};
use super::{LOOK, PATIENCE, login};
use freezer_testkit::random_name;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Instant;

/// Deletes what stands at these addresses, in their order.
struct Undo(Vec<String>);

impl Undo {
    async fn all(&self) {
        let admin = login("admin", "admin").await;
        let end = Instant::now() + PATIENCE;
        for url in &self.0 {
            // In use as long as the project is being emptied.
            while !matches!(call(Method::DELETE, url, &admin.token, None).await.0, 202 | 204 | 404) {
                assert!(Instant::now() < end, "{url} stays");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            let undoing = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(self.all());
            });
            let undone = undoing.join();
            assert!(undone.is_ok() || std::thread::panicking(), "{:?} stay", self.0);
        });
    }
}

async fn post(url: &str, body: Value) -> Value {
    let admin = login("admin", "admin").await;
    let url = url.replace("{admin}", &admin.project_id);
    let (status, mut made) = call(Method::POST, &url, &admin.token, Some(&body)).await;
    assert!((200..300).contains(&status), "{url}: {made}");
    made.as_object_mut().unwrap().values_mut().next().unwrap().take()
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

/// A network that routers may have their gateway on.
pub struct External {
    pub id: String,
    _undo: Undo,
}

impl External {
    pub async fn create(cidr: &str) -> Self {
        let network = json!({"network": {"name": random_name(), "router:external": true}});
        let id = id(&post(&format!("{NEUTRON}/networks"), network).await);
        let undo = Undo(vec![format!("{NEUTRON}/networks/{id}")]);
        let subnet =
            json!({"subnet": {"network_id": id, "ip_version": 4, "cidr": cidr, "enable_dhcp": false}});
        post(&format!("{NEUTRON}/subnets"), subnet).await;
        Self { id, _undo: undo }
    }
}

/// A type of groups of volumes, and the group of a project.
pub struct GroupType {
    pub id: String,
    pub name: String,
    _undo: Undo,
}

impl GroupType {
    pub async fn create() -> Self {
        let (name, project) = (random_name(), login("admin", "admin").await.project_id);
        let body = json!({"group_type": {"name": name, "is_public": true}});
        let id = id(&post(&format!("{CINDER}/{{admin}}/group_types"), body).await);
        let undo = Undo(vec![format!("{CINDER}/{project}/group_types/{id}")]);
        Self { id, name, _undo: undo }
    }
}

/// A type of volumes.
pub struct VolumeType {
    pub name: String,
    _undo: Undo,
}

impl VolumeType {
    /// As the default one, by another name.
    pub async fn another() -> Self {
        Self::with(json!({})).await.0
    }

    /// For volumes of several servers at a time.
    pub async fn multiattach() -> Self {
        Self::with(json!({"multiattach": "<is> True"})).await.0
    }

    /// For volumes that Cinder encrypts, with keys in Barbican.
    pub async fn encrypted() -> Self {
        let (kind, id) = Self::with(json!({})).await;
        let luks = json!({"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"});
        post(&format!("{CINDER}/{{admin}}/types/{id}/encryption"), json!({ "encryption": luks })).await;
        kind
    }

    async fn with(mut specs: Value) -> (Self, String) {
        let name = random_name();
        specs["volume_backend_name"] = json!("rbd");
        let body = json!({"volume_type": {"name": name, "extra_specs": specs}});
        let made = post(&format!("{CINDER}/{{admin}}/types"), body).await;
        let project = login("admin", "admin").await.project_id;
        let id = id(&made);
        let undo = Undo(vec![format!("{CINDER}/{project}/types/{id}")]);
        (Self { name, _undo: undo }, id)
    }
}

/// A flavor.
pub struct Flavor {
    pub id: String,
    _undo: Undo,
}

impl Flavor {
    /// As `tiny`, with a disk that goes with the server and swap.
    pub async fn with_own_disks() -> Self {
        let flavor = json!({"name": random_name(), "vcpus": 1, "ram": 192, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": 1, "swap": 64});
        let id = id(&post(&format!("{NOVA}/flavors"), json!({ "flavor": flavor })).await);
        Self { _undo: Undo(vec![format!("{NOVA}/flavors/{id}")]), id }
    }

    /// Devices of a server's guest.
    pub async fn disks_of(server: &str) -> Vec<String> {
        let admin = login("admin", "admin").await;
        let (_, shown) = call(Method::GET, &format!("{NOVA}/servers/{server}"), &admin.token, None).await;
        let domain = shown["server"]["OS-EXT-SRV-ATTR:instance_name"].as_str().unwrap();
        let output =
            Command::new("virsh").args(["-c", "qemu:///system", "domblklist", domain]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows = said.lines().skip(2).filter_map(|line| line.split_whitespace().next());
        rows.map(str::to_owned).collect()
    }
}
