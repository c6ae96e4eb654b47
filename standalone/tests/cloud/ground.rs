//! What a service stands on: a database and a virtual host of one test alone.

use super::Parts;
use freezer_testkit::{TestDatabase, TestVhost};

/// They go when it is dropped, so it must outlive what runs on them.
pub struct Ground {
    pub database: TestDatabase,
    pub vhost: TestVhost,
    database_url: String,
    rabbit_url: String,
}

impl Ground {
    pub fn new() -> Self {
        let (database, vhost) = (TestDatabase::create(), TestVhost::create());
        Self { database_url: database.url(), rabbit_url: vhost.url(), database, vhost }
    }

    /// A service here, whose agent logs in as that user of that project.
    pub fn parts<'a>(&'a self, project_id: &'a str, agent_login: (&'a str, &'a str)) -> Parts<'a> {
        Parts { database_url: &self.database_url, rabbit_url: &self.rabbit_url, project_id, agent_login }
    }
}
