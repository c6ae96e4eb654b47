//! The file that says what a control plane consists of. It lies on the operator's host: a job only names it (`cloud_conf`).

use crate::options::ini;
use oslo_config::{Config, LoadArgs, Opt, Registry};
use serde_json::Value;
use std::path::{Component, Path, PathBuf};
use zeroize::Zeroizing;

/// Where the databases are, and with what rights they are read.
#[derive(Clone)]
pub struct DatabaseConf {
    /// Host or socket, port, user.
    pub host: Option<String>,
    pub port: u16,
    pub socket: Option<String>,
    pub user: String,
    pub password: Option<Zeroizing<String>>,
    /// Empty: all but the server's own.
    pub names: Vec<String>,
    pub exclude: Vec<String>,
    /// All are dumped in one transaction, into one part.
    pub one_transaction: bool,
    pub dump_program: String,
    pub client_program: String,
    pub backup_program: String,
    pub binlog_program: String,
}

#[derive(Clone)]
pub struct RabbitConf {
    /// The management interface.
    pub url: String,
    pub user: String,
    pub password: Zeroizing<String>,
    pub cafile: Option<PathBuf>,
}

#[derive(Clone)]
pub struct CephConf {
    pub conf: String,
    pub client: Option<String>,
}

#[derive(Clone)]
pub struct ControlPlaneConf {
    pub databases: Option<DatabaseConf>,
    /// Files and folders: configuration, policy, Fernet and credential keys.
    pub trees: Vec<String>,
    pub rabbit: Option<RabbitConf>,
    pub ceph: Option<CephConf>,
}

fn registry() -> Registry {
    let text = |name: &str, help: &str| Opt::str(name).help(help);
    Registry::new("freezer", "control-plane")
        .group("database", vec![
            text("host", "Address of MariaDB or MySQL (or socket)."),
            Opt::port("port").default("3306").help("Its port."),
            text("socket", "Its socket, instead of host and port."),
            text("user", "Account with SELECT, SHOW VIEW, TRIGGER, EVENT and, with the binary log, RELOAD and BINLOG MONITOR."),
            text("password", "Its password.").secret(),
            Opt::list("names").help("Databases to save (default: all but the server's own)."),
            Opt::list("exclude").help("Databases to leave out."),
            text("dump_program", "Program that dumps.").default("mariadb-dump"),
            text("client_program", "Program that asks the server.").default("mariadb"),
        ])
        .group("files", vec![Opt::list("paths").help(
            "Files and folders to save: configuration, policy, Fernet and credential keys (/etc/keystone,/etc/cinder).",
        )])
        .group("rabbitmq", vec![
            text("url", "RabbitMQ's management interface, http://HOST:15672."),
            text("user", "Administrator of the broker."), text("cafile", "Certificates that are trusted (default: the system's)."),
            text("password", "Its password.").secret(),
        ])
        .group("ceph", vec![
            text("conf", "Ceph's configuration file; with it keyrings and the monitors' map are saved."),
            text("client", "Name of the Ceph client, without 'client.'."),
        ])
}

impl ControlPlaneConf {
    pub fn read(path: &Path) -> Result<Self, String> {
        let named = |error: &dyn std::fmt::Display| format!("cloud_conf {}: {error}", path.display());
        std::fs::metadata(path).map_err(|error| named(&error))?;
        let config = registry().load(LoadArgs::default().file(path)).map_err(|error| named(&error))?;
        if let Some(warning) = config.warnings().first() {
            return Err(named(warning));
        }
        let conf = Self {
            databases: databases(&config).map_err(|error| named(&error))?,
            trees: trees(&config).map_err(|error| named(&error))?,
            rabbit: rabbit(&config).map_err(|error| named(&error))?,
            ceph: set(&config, "ceph", "conf")
                .map(|conf| CephConf { conf, client: set(&config, "ceph", "client") }),
        };
        if conf.databases.is_none() && conf.trees.is_empty() && conf.rabbit.is_none() && conf.ceph.is_none() {
            return Err(named(&"it names nothing to save: see [database], [files], [rabbitmq] and [ceph]"));
        }
        Ok(conf)
    }
}

impl ControlPlaneConf {
    /// Databases alone, from upstream's access file of mode mysql: `[default]` with host, port, user and password.
    pub fn of_server(path: &Path) -> Result<Self, String> {
        let named = |error: &dyn std::fmt::Display| format!("mysql_conf {}: {error}", path.display());
        let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| named(&error))?;
        let values = ini::parse(&text, &format!("mysql_conf {}", path.display()))?;
        if let Some(unknown) = values.keys().find(|key| !SERVER_KEYS.contains(&key.as_str())) {
            return Err(named(&format!("'{unknown}' is none of {}", SERVER_KEYS.join(", "))));
        }
        let get = |key: &str| {
            values.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let list = |key: &str| -> Vec<String> {
            let text = get(key).unwrap_or_default();
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let one_transaction =
            match get("one_transaction").map(|text| text.trim().to_ascii_lowercase()).as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(other) => {
                    return Err(named(&format!("one_transaction: '{other}' is neither true nor false")));
                }
            };
        let port = get("port").map(|text| text.trim().parse::<u16>()).transpose();
        let socket = get("socket");
        let databases = DatabaseConf {
            host: get("host").or_else(|| socket.is_none().then(|| "127.0.0.1".to_owned())),
            port: port.map_err(|error| named(&format!("port: {error}")))?.unwrap_or(3306),
            socket,
            user: get("user").ok_or_else(|| named(&"user is not set"))?,
            password: get("password").map(Zeroizing::new),
            names: list("names"),
            exclude: list("exclude"),
            one_transaction,
            dump_program: get("dump_program").unwrap_or_else(|| "mariadb-dump".to_owned()),
            client_program: get("client_program").unwrap_or_else(|| "mariadb".to_owned()),
            backup_program: get("backup_program").unwrap_or_else(|| BACKUP_PROGRAM.to_owned()),
            binlog_program: get("binlog_program").unwrap_or_else(|| BINLOG_PROGRAM.to_owned()),
        };
        check_names(&databases).map_err(|error| named(&error))?;
        Ok(Self { databases: Some(databases), trees: Vec::new(), rabbit: None, ceph: None })
    }
}

const SERVER_KEYS: [&str; 12] = [
    "host",
    "port",
    "socket",
    "user",
    "password",
    "names",
    "exclude",
    "one_transaction",
    "dump_program",
    "client_program",
    "backup_program",
    "binlog_program",
];
const BACKUP_PROGRAM: &str = "mariadb-backup";
const BINLOG_PROGRAM: &str = "mariadb-binlog";

fn check_names(conf: &DatabaseConf) -> Result<(), String> {
    let plain = |name: &String| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$');
        !name.is_empty() && !name.starts_with('-') && name.bytes().all(inside)
    };
    match conf.names.iter().chain(&conf.exclude).find(|name| !plain(name)) {
        Some(bad) => Err(format!("'{bad}' is no name of a database")),
        None => Ok(()),
    }
}

fn set(config: &Config, group: &str, name: &str) -> Option<String> {
    config.opt_str(group, name).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Absolute paths without detours, once each.
fn trees(config: &Config) -> Result<Vec<String>, String> {
    let mut trees = Vec::new();
    for text in config.list("files", "paths") {
        let path: PathBuf = Path::new(&text).components().collect();
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return Err(format!("[files] paths: '{text}' is no absolute path without '..'"));
        }
        let plain = path.display().to_string();
        if !trees.contains(&plain) {
            trees.push(plain);
        }
    }
    Ok(trees)
}

fn databases(config: &Config) -> Result<Option<DatabaseConf>, String> {
    let get = |name: &str| set(config, "database", name);
    let (host, socket) = (get("host"), get("socket"));
    if host.is_none() && socket.is_none() {
        return Ok(None);
    }
    let conf = DatabaseConf {
        host,
        port: config.port("database", "port"),
        socket,
        user: get("user").ok_or("[database] user is not set")?,
        password: get("password").map(Zeroizing::new),
        names: config.list("database", "names"),
        exclude: config.list("database", "exclude"),
        // Each service's is restored by itself.
        one_transaction: false,
        dump_program: get("dump_program").unwrap_or_default(),
        client_program: get("client_program").unwrap_or_default(),
        backup_program: BACKUP_PROGRAM.to_owned(),
        binlog_program: BINLOG_PROGRAM.to_owned(),
    };
    check_names(&conf).map_err(|error| format!("[database] {error}"))?;
    Ok(Some(conf))
}

fn rabbit(config: &Config) -> Result<Option<RabbitConf>, String> {
    let Some(url) = set(config, "rabbitmq", "url") else { return Ok(None) };
    let user = set(config, "rabbitmq", "user").ok_or("[rabbitmq] user is not set")?;
    let password = set(config, "rabbitmq", "password").ok_or("[rabbitmq] password is not set")?;
    Ok(Some(RabbitConf {
        url: url.trim_end_matches('/').to_owned(),
        user,
        password: Zeroizing::new(password),
        cafile: set(config, "rabbitmq", "cafile").map(PathBuf::from),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<ControlPlaneConf, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ControlPlaneConf::read(file.path())
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("", "names nothing to save"),
            ("[files]\npaths = etc/keystone\n", "no absolute path"),
            ("[files]\npaths = /etc/../root\n", "no absolute path"),
            ("[database]\nhost = h\n", "user is not set"),
            ("[database]\nhost = h\nuser = u\nnames = --all-databases\n", "no name of a database"),
            ("[rabbitmq]\nurl = http://h\nuser = u\n", "password is not set"),
            ("[files]\npaths = /etc\npath = /x\n", "path"),
        ] {
            let error = read(text).map(|_| ()).unwrap_err();
            assert!(error.contains(word) && error.contains("cloud_conf"), "{text}: {error}");
        }
        let conf = read("[files]\npaths = /etc/keystone/,/etc/keystone\n").unwrap();
        assert_eq!(conf.trees, ["/etc/keystone"]);
    }
}
