//! What is known of a server beside the content of its disks: the document of its set.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// Version of the document this program writes; older ones are read.
pub const VERSION: u32 = 1;
/// Role of an image-booted server's own disk among the members of its set; volumes have their id for a role.
pub const ROOT: &str = "root";

/// How the disks' states belong together; no more is claimed than is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// All at one instant, with the guest's file systems frozen.
    Quiesced,
    /// All at one instant, as after a loss of power.
    CrashConsistent,
    /// Each at one instant, but not all at the same.
    #[default]
    PerVolume,
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quiesced => "quiesced",
            Self::CrashConsistent => "crash-consistent",
            Self::PerVolume => "per-volume",
        })
    }
}

/// A resource of another kind, found again by its id, or else by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    pub id: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FixedIp {
    pub address: String,
    pub subnet_id: String,
    /// `10.0.0.0/24`, by which the subnet is found in another network.
    pub cidr: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortDescription {
    pub id: String,
    pub name: String,
    pub network: Named,
    pub mac_address: String,
    pub fixed_ips: Vec<FixedIp>,
    pub security_groups: Vec<Named>,
    /// Device tag of the interface.
    pub tag: Option<String>,
    /// What Neutron is told as it was: `binding:vnic_type`, `allowed_address_pairs` and others.
    pub fields: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskDescription {
    /// Role of its member in the set.
    pub role: String,
    /// None for the disk that was made from an image.
    pub volume_id: Option<String>,
    pub device: Option<String>,
    /// The server boots from it.
    pub is_boot: bool,
    pub delete_on_termination: bool,
    pub tag: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerDescription {
    pub version: u32,
    pub id: String,
    pub name: String,
    pub project_id: String,
    pub description: Option<String>,
    pub hostname: Option<String>,
    /// `ACTIVE`, `SHUTOFF`, …
    pub status: String,
    /// As Nova tells it with the server: `original_name`, `vcpus`, `ram`, `disk`, …, `extra_specs`.
    pub flavor: Map<String, Value>,
    /// The image it was made from; none when it boots from a volume.
    pub image_id: Option<String>,
    pub availability_zone: Option<String>,
    pub metadata: Map<String, Value>,
    pub tags: Vec<String>,
    pub key_name: Option<String>,
    pub user_data: Option<String>,
    /// Nova's policy shows user data to administrators only, by default.
    pub user_data_is_hidden: bool,
    pub has_config_drive: bool,
    pub server_groups: Vec<Named>,
    /// In the order of the interfaces.
    pub ports: Vec<PortDescription>,
    /// In the order of the devices, the one it boots from first.
    pub disks: Vec<DiskDescription>,
    pub consistency: Consistency,
    /// Seconds since 1970.
    pub taken_at: i64,
}

impl ServerDescription {
    /// As it stands in a set.
    pub fn to_value(&self) -> Value {
        json!({"kind": "server", "server": self})
    }

    pub fn from_value(topology: &Value) -> Option<Self> {
        serde_json::from_value(topology.get("server")?.clone()).ok()
    }

    /// GiB of disks that no image and no snapshot holds.
    pub fn ephemeral_gib(&self) -> u64 {
        self.flavor.get("ephemeral").and_then(Value::as_u64).unwrap_or_default()
    }
}

/// Sorts devices as a guest counts them: `vda`, `vdb`, …, `vdz`, `vdaa`.
pub fn device_key(device: Option<&str>) -> (usize, String) {
    let device = device.unwrap_or("~");
    (device.len(), device.to_owned())
}
