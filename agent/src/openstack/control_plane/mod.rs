//! Mode cloud: the control plane of a cloud in one backup. Databases, configuration with its keys, the broker's definitions and
//! Ceph's keys go as streams through the vault, nothing is staged on disk; the last member names all parts.

mod conf;
mod databases;
mod parts;
mod small;
mod trees;

pub use conf::{ControlPlaneConf, DatabaseConf};
pub use parts::{DOCUMENT, Parts, SERVER_DOCUMENT};

impl Parts {
    /// Asks for the small parts; the big ones are read while they are stored.
    pub async fn gather(conf: ControlPlaneConf, hostname: &str, now_secs: i64) -> Self {
        let mut small = Vec::new();
        if let Some(rabbit) = &conf.rabbit {
            small.push(small::rabbit(rabbit).await);
        }
        if let Some(ceph) = &conf.ceph {
            small.extend(small::ceph(ceph).await);
        }
        Self { conf, small, hostname: hostname.to_owned(), now_secs, is_server: false }
    }

    /// The databases of one server alone.
    pub fn of_databases(conf: ControlPlaneConf, hostname: &str, now_secs: i64) -> Self {
        Self { conf, small: Vec::new(), hostname: hostname.to_owned(), now_secs, is_server: true }
    }
}
