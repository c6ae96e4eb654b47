//! What a project consists of, as one document: every resource as its service described it, and which backup holds its data.
//!
//! The document is what a restore plans from. It names resources by the ids they had; those of the restored ones are found
//! by [`super::plan`].

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Version of the document this program writes; older ones are read.
pub const TOPOLOGY_VERSION: u32 = 1;
/// Key in the document of a server for what mode nova knows of it; without that it cannot be made again.
pub const SAVED_SERVER: &str = "saved_server";
/// Key in the document of a stack for what of it this login may not read: part and cause.
pub const UNREADABLE: &str = "unreadable";

/// In the order of creation: a kind needs only kinds before it, but for rules of security groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Keypair,
    ServerGroup,
    SecurityGroup,
    Network,
    Subnet,
    Router,
    Port,
    FloatingIp,
    Image,
    Volume,
    Server,
    Container,
    Stack,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Keypair,
        Self::ServerGroup,
        Self::SecurityGroup,
        Self::Network,
        Self::Subnet,
        Self::Router,
        Self::Port,
        Self::FloatingIp,
        Self::Image,
        Self::Volume,
        Self::Server,
        Self::Container,
        Self::Stack,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keypair => "keypair",
            Self::ServerGroup => "server_group",
            Self::SecurityGroup => "security_group",
            Self::Network => "network",
            Self::Subnet => "subnet",
            Self::Router => "router",
            Self::Port => "port",
            Self::FloatingIp => "floating_ip",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Server => "server",
            Self::Container => "container",
            Self::Stack => "stack",
        }
    }

    /// It holds data of its own, kept by a backup that the resource names.
    pub fn has_data(self) -> bool {
        matches!(self, Self::Image | Self::Volume | Self::Server | Self::Container)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("'{text}' is no kind of resource; there are {}", known.join(", "))
        })
    }
}

/// One resource by the id it had when it was saved. Keypairs and containers have their name for an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceId {
    pub kind: Kind,
    pub id: String,
}

impl ResourceId {
    pub fn new(kind: Kind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// The backup that holds a resource's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `<hostname>_<backup_name>` of its chain.
    pub hbn: String,
    /// Seconds since 1970: the level's id.
    pub timestamp: i64,
    /// `image`, `set` or `tar`.
    pub engine: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    #[serde(flatten)]
    pub id: ResourceId,
    pub name: String,
    /// False for what the project uses but does not own: a shared network, a public image.
    pub owned: bool,
    /// As its service described it.
    pub document: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Member>,
}

impl Resource {
    /// It has data that a backup should hold.
    pub fn expects_data(&self) -> bool {
        let is_left_out = self.document.get("without_objects").is_some();
        self.id.kind.has_data() && self.owned && !is_left_out
    }

    /// The backup has all that [`Resource::expects_data`] expects.
    pub fn is_saved(&self) -> bool {
        match self.id.kind {
            // One that boots from a volume has no data of its own.
            Kind::Server => {
                let has_disk = self.document.pointer("/image/id").is_some();
                self.document.get(SAVED_SERVER).is_some() && (self.backup.is_some() || !has_disk)
            }
            _ => self.backup.is_some(),
        }
    }

    /// A text of the document, `""` when there is none.
    pub fn text(&self, key: &str) -> &str {
        self.document.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What should be in the backup and is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// A kind alone when its list could not be had.
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    pub version: u32,
    pub project_id: String,
    /// Seconds since 1970.
    pub taken_at: i64,
    pub resources: Vec<Resource>,
    /// Empty when the backup is whole.
    pub missing: Vec<Missing>,
    /// Services that this cloud does not have.
    #[serde(default)]
    pub absent: Vec<String>,
    /// What the user did not want saved.
    #[serde(default)]
    pub excluded: Vec<ResourceId>,
}

impl Topology {
    pub fn find(&self, id: &ResourceId) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.id == *id)
    }
}
