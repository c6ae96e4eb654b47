//! Images of a Ceph cluster through the program `rbd`: no library of Ceph's is linked, and no data touch the disk.

use serde::{Deserialize, Serialize};

/// How this host reaches a Ceph cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephAccess {
    pub conf: String,
    pub client: Option<String>,
    /// Pool of Cinder's volumes.
    pub pool: String,
}
