//! The whole service with a central agent.

use super::{Cloud, Parts, api_conf, conductor_conf, write};
use freezer_testkit::{Daemon, private, program, random_name, services};
use std::path::Path;
use std::process::Command;

/// The programs, with an agent of the service user that works for all projects.
pub fn start(folder: &Path, parts: &Parts<'_>, keystone_of_agent: &str, link: &str) -> Cloud {
    start_with(folder, parts, keystone_of_agent, link, "")
}

/// The same; `more` is what the agent's configuration has beside its login.
pub fn start_with(
    folder: &Path,
    parts: &Parts<'_>,
    keystone_of_agent: &str,
    link: &str,
    more: &str,
) -> Cloud {
    let (api_port, client_id) = (private::free_port(), format!("central-{}", random_name()));
    let conf = |name: &str| folder.join(name).display().to_string();
    write(folder, "api.conf", &api_conf(api_port, parts));
    write(folder, "conductor.conf", &conductor_conf(parts));
    let agent = format!(
        "[DEFAULT]\ndebug = true\ntransport_url = {}\n[agent]\nclient_id = {client_id}\nproject_id = {}\nis_central = true\nlink = {link}\nstate_dir = {}\n\
         [service_auth]\nauth_type = password\nauth_url = {keystone_of_agent}\nusername = freezer\npassword = {}\nproject_name = service\n\
         user_domain_id = default\nproject_domain_id = default\nregion_name = RegionOne\nbackup_url = http://127.0.0.1:{api_port}\n{more}",
        parts.rabbit_url,
        parts.project_id,
        conf("state"),
        services::password()
    );
    write(folder, "agent.conf", &agent);
    let synced = Command::new(program("freezer-manage"))
        .args(["--config-file", &conf("api.conf"), "db", "sync"])
        .output()
        .unwrap();
    assert!(synced.status.success(), "{}", String::from_utf8_lossy(&synced.stderr));
    let daemon = |name: &str, arguments: &[&str]| {
        let mut daemon = Daemon::new(name, program(name), arguments, folder.join(format!("{name}.log")));
        daemon.start();
        daemon
    };
    let api = daemon("freezer-api", &["--config-file", &conf("api.conf")]);
    private::wait_for_port(api_port, "freezer-api");
    let conductor = daemon("freezer-conductor", &["--config-file", &conf("conductor.conf")]);
    let agent = daemon("freezer-agent", &["--config-file", &conf("agent.conf"), "serve"]);
    Cloud { api_port, api, conductor, agent, client_id }
}
