//! The services that `make services` starts, and what one test makes in them for itself.

use std::process::{Command, Output};

/// An address from the environment, or its usual value.
fn setting(name: &str, usual: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| usual.to_owned())
}

pub fn mysql_url() -> String {
    setting("FREEZER_TEST_MYSQL", "mysql+pymysql://freezer_test:freezer_test@127.0.0.1:3306/")
}
pub fn rabbit_url() -> String {
    setting("FREEZER_TEST_RABBIT", "rabbit://freezer_test:freezer_test@127.0.0.1:5672/")
}
pub fn keystone_url() -> String {
    setting("FREEZER_TEST_KEYSTONE", "http://127.0.0.1:5000/v3")
}
pub fn password() -> String {
    setting("FREEZER_TEST_PASSWORD", "minicloud")
}
pub fn memcached() -> String {
    setting("FREEZER_TEST_MEMCACHED", "127.0.0.1:11211")
}
fn rabbitmqctl() -> String {
    setting("FREEZER_TEST_RABBITMQCTL", "/var/lib/minicloud/run/rabbitmqctl")
}

fn must(output: std::io::Result<Output>, what: &str) -> String {
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => {
            panic!("{what}: {}; start the services: make services", String::from_utf8_lossy(&output.stderr))
        }
        Err(error) => panic!("{what}: {error}; start the services: make services"),
    }
}

/// What it answers: a line a row, columns apart by tabs, without their names.
fn sql(statement: &str) -> String {
    let url = mysql_url();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (login, place) = rest.split_once('@').expect("FREEZER_TEST_MYSQL holds user:password@host:port");
    let (user, password) = login.split_once(':').expect("user:password");
    let (host, port) = place.trim_end_matches('/').split_once(':').expect("host:port");
    let output = Command::new("mariadb")
        .args(["--no-defaults", "-N", "-h", host, "-P", port, "-u", user, "-e", statement])
        .env("MYSQL_PWD", password)
        .output();
    must(output, "MariaDB")
}

/// A database of one test; dropped with this value.
pub struct TestDatabase {
    name: String,
}

impl TestDatabase {
    pub fn create() -> Self {
        let name = format!("freezer_test_{}", super::random_name());
        sql(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        Self { name }
    }
    /// Runs a statement in it.
    pub fn run(&self, statement: &str) {
        sql(&format!("USE {}; {statement}", self.name));
    }
    /// The rows that a query finds in it: a line each, columns apart by tabs.
    pub fn ask(&self, query: &str) -> String {
        sql(&format!("USE {}; {query}", self.name))
    }
    /// In oslo's spelling.
    pub fn url(&self) -> String {
        format!("{}{}?charset=utf8", mysql_url(), self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        sql(&format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}

/// A RabbitMQ virtual host of one test; removed with this value.
pub struct TestVhost {
    name: String,
}

impl TestVhost {
    pub fn create() -> Self {
        let name = format!("freezer_test_{}", super::random_name());
        ctl(&["add_vhost", &name]);
        let url = rabbit_url();
        let user = url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once(':'))
            .map_or("freezer_test", |(user, _)| user);
        ctl(&["set_permissions", "-p", &name, user, ".*", ".*", ".*"]);
        Self { name }
    }
    pub fn url(&self) -> String {
        format!("{}{}", rabbit_url(), self.name)
    }
}

fn ctl(arguments: &[&str]) -> String {
    must(Command::new(rabbitmqctl()).args(arguments).output(), "rabbitmqctl")
}

impl TestVhost {
    /// Messages that wait in a queue; `None` when there is no such queue.
    pub fn messages(&self, queue: &str) -> Option<u64> {
        let listed = ctl(&["-q", "list_queues", "-p", &self.name, "--no-table-headers", "name", "messages"]);
        let mut queues = listed.lines().filter_map(|line| line.split_once('\t'));
        queues.find(|(name, _)| *name == queue).and_then(|(_, count)| count.trim().parse().ok())
    }
}

impl Drop for TestVhost {
    fn drop(&mut self) {
        ctl(&["delete_vhost", &self.name]);
    }
}
