//! The file that says where a SQL Server is (`sql_server_conf`): upstream's `[default]` with `instance`, and keys of ours.

use crate::databases::access::Access;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const KEYS: [&str; 14] = [
    "instance",
    "host",
    "port",
    "user",
    "password",
    "trust_server_certificate",
    "folder",
    "agent_folder",
    "data_folder",
    "names",
    "exclude",
    "copy_only",
    "program",
    "encrypt",
];
/// The instance that a server has without a name.
const DEFAULT_INSTANCE: &str = "MSSQLSERVER";
const ENCRYPT: [&str; 3] = ["strict", "mandatory", "optional"];

/// A server, and how it is saved.
#[derive(Clone)]
pub(crate) struct SqlServerConf {
    /// As `sqlcmd -S` takes it.
    pub server: String,
    /// Without one the agent's own account logs in.
    pub user: Option<String>,
    pub password: Option<Zeroizing<String>>,
    pub trusts_certificate: bool,
    pub encrypt: Option<String>,
    /// Where the server writes, as the server names it.
    pub folder: String,
    /// The same folder, as this host names it.
    pub agent_folder: PathBuf,
    /// Where restored databases get their files, as the server names it.
    pub data_folder: Option<String>,
    /// Empty: all but the server's own.
    pub names: Vec<String>,
    pub exclude: Vec<String>,
    /// Leaves what other backups of the server are built on alone.
    pub copy_only: bool,
    pub program: String,
}

impl SqlServerConf {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let access = Access::read("sql_server_conf", path, &KEYS, &["password"])?;
        let folder = access.get("folder").ok_or_else(|| {
            access.bad("folder is not set: a folder that the server writes into and this host reads")
        })?;
        let agent_folder = PathBuf::from(access.get("agent_folder").unwrap_or_else(|| folder.clone()));
        if !agent_folder.is_absolute() {
            let text = format!(
                "agent_folder is not set, and '{folder}' is no path of this host: say by agent_folder where the server's folder is here"
            );
            return Err(access.bad(&text));
        }
        let (user, password) = (access.get("user"), access.get("password").map(Zeroizing::new));
        if user.is_some() != password.is_some() {
            return Err(
                access.bad("user and password go together; without both, the agent's own account logs in")
            );
        }
        let encrypt = access.get("encrypt");
        if let Some(bad) = encrypt.as_ref().filter(|word| !ENCRYPT.contains(&word.as_str())) {
            return Err(access.bad(&format!("encrypt: '{bad}' is none of {}", ENCRYPT.join(", "))));
        }
        let conf = Self {
            server: server(&access)?,
            user,
            password,
            trusts_certificate: access.flag("trust_server_certificate", false)?,
            encrypt,
            folder,
            agent_folder,
            data_folder: access.get("data_folder"),
            names: access.list("names"),
            exclude: access.list("exclude"),
            copy_only: access.flag("copy_only", true)?,
            program: access.get("program").unwrap_or_else(|| "sqlcmd".to_owned()),
        };
        let texts = [Some(&conf.server), conf.user.as_ref(), Some(&conf.folder), conf.data_folder.as_ref()];
        let bad = texts
            .into_iter()
            .flatten()
            .find(|text| text.starts_with('-') || text.contains(char::is_control))
            .map(|text| text.escape_debug().to_string());
        match bad {
            Some(bad) => Err(access.bad(&format!("'{bad}' would be taken for an option"))),
            None => Ok(conf),
        }
    }

    /// What whoever wrote the file should know.
    pub(crate) fn warning(&self) -> Option<String> {
        self.trusts_certificate.then(|| {
            format!(
                "trust_server_certificate: the certificate of {} is not verified, so that whoever is on the way can read and change what is sent",
                self.server
            )
        })
    }
}

fn server(access: &Access) -> Result<String, String> {
    let host = access.get("host").unwrap_or_else(|| "localhost".to_owned());
    let instance = access.get("instance").filter(|name| !name.eq_ignore_ascii_case(DEFAULT_INSTANCE));
    let port = access.get("port").map(|text| text.parse::<u16>()).transpose();
    match (instance, port.map_err(|error| access.bad(&format!("port: {error}")))?) {
        (None, None) => Ok(host),
        (None, Some(port)) => Ok(format!("{host},{port}")),
        (Some(instance), None) => Ok(format!("{host}\\{instance}")),
        (Some(_), Some(_)) => Err(access.bad("instance and port are both set: a port leads to an instance")),
    }
}
