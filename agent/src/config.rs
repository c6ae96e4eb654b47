//! The options of the agent's configuration file.

use crate::openstack::ceph::CephAccess;
use crate::options::keys::KEYS;
use oslo_config::{Config, Opt, OptGroup, Registry};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What this agent can do.
pub const ACTIONS: &str = "backup,restore,info,admin,exec,verify,hold,release,adopt";
pub const MODES: &str =
    "fs,cinder,cindernative,glance,nova,rbd,cloud,project,stream,mysql,postgresql,mongo,sqlserver";
pub const STORAGES: &str = "local,swift,ssh,s3,ftp,ftps";
/// Those that are only read (`rsync` and the like, of upstream's backups) are asked for by restores.
pub const ENGINES: &str = "tar,image,glance,nova,set,rsync,rsyncv2,osbrick,cinder";

/// Sections and options of `freezer-agent.conf`. `[DEFAULT]` may hold any option of an action, too.
pub fn registry() -> Registry {
    let default: Vec<Opt> = vec![Opt::str("host").help("Name of this host (default: its host name).")];
    let taken = ["debug", "log_file"];
    let actions: Vec<Opt> = KEYS
        .iter()
        .filter(|key| !taken.contains(&key.name))
        .map(|key| {
            let option = Opt::str(key.name)
                .help(format!("{} (option of an action, lower precedence than the job's).", key.help));
            if key.name.contains("password") || key.name == "secret_key" { option.secret() } else { option }
        })
        .collect();
    Registry::new("freezer", "freezer-agent")
        .group("DEFAULT", default)
        .group("DEFAULT", actions)
        .group("agent", agent_options())
        .group("ceph", ceph_options())
        .groups_of(oslo_messaging::config::options())
        .groups_of(oslo_log::options())
        .groups_of(vec![
            OptGroup::new("service_auth", service_auth())
                .help("The agent's own login, used for storage swift and for link http."),
        ])
}

fn agent_options() -> Vec<Opt> {
    vec![
        Opt::str("link").default("amqp").choices(&["amqp", "http"]).help(
            "How this agent reaches the service: amqp (the message bus, for hosts of the cloud) or http (the REST service with \
             the login of [service_auth], for tenants' machines: no broker, nothing listens).",
        ),
        Opt::str("client_id").help("Name under which this agent is registered (default: <project_id>_<host>)."),
        Opt::str("project_id").help("Project this agent works for. Work of another project is refused. Default on link http: the login's."),
        Opt::bool("is_central").default("false").help("Serve all projects, each under its own trust."),
        Opt::int("concurrent_jobs").min(1).max(1000).help("Actions that run at the same time (default: 1; of an agent that serves all projects 4, so that one project's long backup leaves the others room)."),
        Opt::str("state_dir").default("/var/lib/freezer/agent").help("Where the agent keeps what it has promised and not yet reported."),
        Opt::bool("disable_exec").default("false").help("Refuse action exec."),
        Opt::str("upload_limit").default("-1").help("Bytes a second of all this host's uploads of one action, with a unit if you like (10M); -1 is no limit."),
        Opt::str("download_limit").default("-1").help("The same for downloads."),
        Opt::int("parallel_resources").default("4").min(1).max(64).help("Resources of the cloud that one action moves at the same time on this host, whatever the action asks for."),
        Opt::float("progress_interval").default("2").min(0.1).help("Seconds between two progress reports of a running action."),
        Opt::list("supported_actions").default(ACTIONS).help("What jobs may ask of this agent."),
        Opt::list("supported_modes").default(MODES).help("Modes jobs may ask for."),
        Opt::list("supported_storages").default(STORAGES).help("Storages jobs may ask for."),
        Opt::list("supported_engines").default(ENGINES).help("Engines jobs may ask for."),
        Opt::str("metrics_bind_host").default("127.0.0.1").help("Address of /metrics and /healthcheck."),
        Opt::port("metrics_bind_port").default("0").help("Port of /metrics and /healthcheck; 0 is none."),
    ]
}

pub(crate) fn ceph_options() -> Vec<Opt> {
    vec![
        Opt::str("conf").help(
            "Ceph's configuration file. With it volumes that Cinder keeps in this cluster are read and written there, not \
             through Glance, and mode rbd works.",
        ),
        Opt::str("client").help("Name of the Ceph client, without 'client.' (default: Ceph's own, admin)."),
        Opt::str("pool").default("volumes").help("Pool of Cinder's volumes."),
        Opt::bool("use_fast_diff").default("true").help(
            "Go by the map of changed objects (fast-diff) that Ceph keeps of an image. Switch it off when images are written by a \
             librbd 16 before 16.2.14, a librbd 17 before 17.2.7 or a Linux before 6.4: their maps may lack what is written in the \
             moment of a snapshot, and increments with them. It is off where this host's own rbd is one of these.",
        ),
    ]
}

/// How this host reaches a Ceph cluster, if it does.
pub fn ceph(config: &Config) -> Option<CephAccess> {
    let text = |name: &str| config.opt_str("ceph", name).filter(|text| !text.is_empty()).map(str::to_owned);
    Some(CephAccess {
        conf: text("conf")?,
        client: text("client"),
        pool: text("pool").unwrap_or_default(),
        without_fast_diff: config.opt_bool("ceph", "use_fast_diff") == Some(false),
    })
}

/// How many actions run at the same time. A project may have three quarters of a central agent's places
/// (`[conductor] largest_share`): with one place, one tenant's long backup would be all that agent does.
pub(crate) fn concurrency(config: &Config, group: &str, is_central: bool) -> usize {
    let usual = if is_central { 4 } else { 1 };
    config.opt_int(group, "concurrent_jobs").and_then(|most| usize::try_from(most).ok()).unwrap_or(usual)
}

/// The lists of what jobs may ask for that somebody has set.
pub(crate) fn narrowed(config: &Config, group: &str) -> Vec<&'static str> {
    let lists = ["supported_actions", "supported_modes", "supported_storages", "supported_engines"];
    lists.into_iter().filter(|name| config.is_set(group, name)).collect()
}

fn service_auth() -> Vec<Opt> {
    let text = |name: &str, help: &str| Opt::str(name).help(help);
    vec![
        text("auth_type", "password or v3applicationcredential."),
        text("auth_url", "Keystone, with /v3."),
        text("username", "User."),
        text("password", "Password.").secret(),
        text("user_domain_name", "Domain of the user."),
        text("user_domain_id", "Domain of the user."),
        text("project_id", "Project."),
        text("project_name", "Project by name."),
        text("project_domain_name", "Domain of the project."),
        text("project_domain_id", "Domain of the project."),
        text("application_credential_id", "Application credential."),
        text("application_credential_secret", "Its secret.").secret(),
        text("region_name", "Region."),
        text("endpoint_type", "public, internal or admin."),
        text("cacert", "File with trusted certificates."),
        text("insecure", "Do not verify TLS certificates (true or false)."),
        text("backup_url", "Address of the backup service on link http, instead of the catalogue's."),
    ]
}

/// What the file says about actions, as a layer of option values.
pub fn action_layer(config: &Config) -> Map<String, Value> {
    let set = KEYS.iter().filter_map(|key| {
        let text =
            config.is_set("DEFAULT", key.name).then(|| config.opt_str("DEFAULT", key.name)).flatten()?;
        Some((key.name.to_owned(), Value::String(text.to_owned())))
    });
    set.collect()
}

/// `[service_auth]` as `OS_…` variables; those of the environment fill what is not there.
pub fn auth_variables(
    config: &Config,
    environment: impl Iterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        environment.filter(|(name, _)| name.starts_with("OS_")).collect();
    for (name, text) in config.section_raw("service_auth").unwrap_or_default() {
        if !text.is_empty() {
            variables.insert(format!("OS_{}", name.to_uppercase()), text);
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::keys::Kind;

    #[test]
    fn jobs_may_ask_for_whatever_an_action_takes() {
        let offered = [("action", ACTIONS), ("mode", MODES), ("storage", STORAGES), ("engine_name", ENGINES)];
        for (name, offered) in offered {
            let key = KEYS.iter().find(|key| key.name == name);
            let Some(Kind::Choice(words)) = key.map(|key| key.kind) else { panic!("{name} is no choice") };
            let missing: Vec<_> =
                words.iter().filter(|word| !offered.split(',').any(|can| can == **word)).collect();
            assert!(missing.is_empty(), "{name}: {missing:?}");
        }
    }
}
