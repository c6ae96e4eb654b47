//! `scheduler.conf`: upstream's groups and names, the older `[DEFAULT]` ones too, and what the agent makes of them.

use super::flags;
use crate::config::{ACTIONS, ENGINES, MODES, STORAGES};
use crate::daemon::ExecutorOptions;
use crate::serve;
use clap::ArgMatches;
use freezer_model::bytes::parse_bytes;
use freezer_model::{Capabilities, ClientId, Link, ProjectId};
use oslo_config::{Config, LoadArgs, Opt, OptGroup, Registry, Source};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const SCHEDULER: &str = "scheduler";
const AUTH: &str = "service_auth";
const CAPABILITIES: &str = "capabilities";

pub fn registry() -> Registry {
    let old = |opt: Opt, prefix: &str| {
        let name = format!("{prefix}{}", opt.name());
        opt.deprecated_name("DEFAULT", &name)
    };
    let scheduler = scheduler().into_iter().map(|opt| old(opt, "")).collect();
    let auth = auth().into_iter().map(|opt| old(opt, "os_")).collect();
    let capabilities = capabilities().into_iter().map(|opt| old(opt, "")).collect();
    Registry::new("freezer", "scheduler")
        .groups_of(vec![
            OptGroup::new(SCHEDULER, scheduler),
            OptGroup::new(AUTH, auth)
                .help("The login of this client: user and password, or an application credential."),
            OptGroup::new(CAPABILITIES, capabilities).help("What jobs may ask of this client."),
            OptGroup::new("ceph", crate::config::ceph_options()),
        ])
        .groups_of(oslo_log::options())
}

fn scheduler() -> Vec<Opt> {
    vec![
        Opt::str("client_id").help("Name of this client (default: <project id>_<host name>)."),
        Opt::bool("no_api").default("false").help("Run the job files of jobs_dir by their own schedules, without the service."),
        Opt::str("jobs_dir").default("/etc/freezer/scheduler/conf.d").help("Folder of job files, for job-download, job-upload and no_api; for no_api also one file."),
        Opt::int("interval").default("60").help("Accepted for old files; work arrives at once."),
        Opt::bool("no_daemon").default("false").help("Stay in the foreground."),
        Opt::bool("insecure").default("false").help("Do not verify TLS certificates."),
        Opt::bool("disable_exec").default("false").help("Refuse action exec."),
        Opt::int("concurrent_jobs").min(1).max(1000).help("Actions that run at the same time (default: 1; of an agent that serves all projects 4, so that one project's long backup leaves the others room)."),
        Opt::bool("enable_v1_api").default("false").help("Accepted for old files; means nothing."),
        Opt::bool("centralized_scheduler").default("false").help("Serve all projects, each under its own trust."),
        Opt::str("pid_file").help("File that holds the daemon's process id (default: freezer_sched_<home>.pid in the folder for temporary files)."),
        Opt::str("state_dir").help("Folder of what was promised and not yet reported (default: /var/lib/freezer/scheduler, for others than root ~/.freezer/scheduler)."),
        Opt::str("upload_limit").default("-1").help("Bytes a second of the uploads of one action, with a unit if you like (10M); -1 is no limit."),
        Opt::str("download_limit").default("-1").help("The same for downloads."),
        Opt::int("parallel_resources").default("4").min(1).max(64).help("Resources of the cloud that one action moves at the same time."),
        Opt::float("progress_interval").default("2").min(0.1).help("Seconds between two progress reports of a running action."),
    ]
}

fn auth() -> Vec<Opt> {
    let plain = [
        "auth_type",
        "auth_url",
        "username",
        "user_domain_id",
        "user_domain_name",
        "project_id",
        "project_name",
        "project_domain_id",
        "project_domain_name",
        "application_credential_id",
        "region_name",
        "endpoint_type",
        "backup_url",
        "cert",
        "cacert",
    ];
    let secret = ["password", "token", "application_credential_secret"];
    let plain = plain.into_iter().map(Opt::str);
    let secret = secret.into_iter().map(|name| Opt::str(name).secret());
    plain
        .chain(secret)
        .map(|opt| {
            let variable = format!("OS_{}", opt.name().to_uppercase());
            opt.help(format!("Default: {variable} of the environment."))
        })
        .collect()
}

fn capabilities() -> Vec<Opt> {
    let list = |name: &str, words: &str| Opt::list(name).default(words);
    vec![
        list("supported_actions", ACTIONS),
        list("supported_modes", MODES),
        list("supported_storages", STORAGES),
        list("supported_engines", ENGINES),
    ]
}

/// Reads files, environment and command line.
pub fn load(matches: &ArgMatches) -> Result<Config, String> {
    let mut arguments = LoadArgs::from_process();
    for (id, make) in [("config_file", Source::File as fn(PathBuf) -> Source), ("config_dir", Source::Dir)] {
        for path in matches.get_many::<PathBuf>(id).into_iter().flatten() {
            // The daemon leaves this folder, and reads again when told to.
            let path = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
            arguments.sources.push(make(path));
        }
    }
    for (group, name, mut text) in flags::given(matches) {
        if name == "jobs_dir" {
            // As above.
            let path = std::path::absolute(&text).map_err(|error| format!("{text}: {error}"))?;
            text = path.display().to_string();
        }
        arguments = arguments.option(group, name, text);
    }
    registry().load(arguments).map_err(|error| error.to_string())
}

/// The login as `OS_…` variables: the environment's, and over them what files and flags say.
pub fn auth_variables(
    config: &Config,
    environment: impl Iterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        environment.filter(|(name, text)| name.starts_with("OS_") && !text.is_empty()).collect();
    for opt in auth() {
        if let Some(text) = config.opt_str(AUTH, opt.name()).filter(|text| !text.is_empty()) {
            variables.insert(format!("OS_{}", opt.name().to_uppercase()), text.to_owned());
        }
    }
    // One spelling of the project is enough, and the other may come from elsewhere.
    if config.is_set(AUTH, "project_name") && !config.is_set(AUTH, "project_id") {
        variables.remove("OS_PROJECT_ID");
    }
    if config.bool(SCHEDULER, "insecure") {
        variables.insert("OS_INSECURE".to_owned(), "true".to_owned());
    }
    variables
}

/// Folder of job files: option, then environment, then the default.
pub fn jobs_dir(config: &Config) -> PathBuf {
    let from_environment = std::env::var_os("FREEZER_SCHEDULER_CONF_D").filter(|text| !text.is_empty());
    match from_environment {
        Some(folder) if !config.is_set(SCHEDULER, "jobs_dir") => PathBuf::from(folder),
        _ => PathBuf::from(config.str(SCHEDULER, "jobs_dir")),
    }
}

pub fn client_id(config: &Config, project: &str) -> String {
    let named = config.opt_str(SCHEDULER, "client_id").filter(|name| !name.is_empty());
    named.map_or_else(|| format!("{project}_{}", serve::hostname()), str::to_owned)
}

fn state_dir(config: &Config, client_id: &str) -> PathBuf {
    let base = match config.opt_str(SCHEDULER, "state_dir").filter(|text| !text.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None if rustix::process::geteuid().is_root() => PathBuf::from("/var/lib/freezer/scheduler"),
        None => super::home().join(".freezer/scheduler"),
    };
    // Several clients may live on one host.
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    base.join(client_id.chars().map(safe).collect::<String>())
}

/// What the executor is told when there is no service. The client is named after its host, and what it was ordered by a
/// service is not mixed with what it does alone.
pub fn options_alone(config: &Config) -> Result<ExecutorOptions, String> {
    if config.bool(SCHEDULER, "centralized_scheduler") {
        return Err(
            "no_api and centralized_scheduler exclude each other: only the service knows for whom a central \
                    client works"
                .to_owned(),
        );
    }
    let named = config.opt_str(SCHEDULER, "client_id").filter(|name| !name.is_empty());
    let client = named.map_or_else(serve::hostname, str::to_owned);
    let state_dir = state_dir(config, &client).with_extension("no-api");
    // As Freezer in Python: the lists are about what a service may ask for, and here nobody asks but who writes the files.
    let narrowed = Vec::new();
    Ok(ExecutorOptions {
        state_dir,
        client_id: ClientId::new(client),
        narrowed,
        ..executor_options(config, "")?
    })
}

/// What the agent is told.
pub fn executor_options(config: &Config, project: &str) -> Result<ExecutorOptions, String> {
    let client = client_id(config, project);
    let rate = |name: &str| {
        parse_bytes(config.str(SCHEDULER, name)).map_err(|cause| format!("[scheduler] {name}: {cause}"))
    };
    let words = |name: &str| config.list(CAPABILITIES, name);
    Ok(ExecutorOptions {
        state_dir: state_dir(config, &client),
        client_id: ClientId::new(client),
        project_id: ProjectId::new(project),
        hostname: serve::hostname(),
        is_central: config.bool(SCHEDULER, "centralized_scheduler"),
        link: Link::Http,
        capabilities: Capabilities {
            actions: words("supported_actions"),
            modes: words("supported_modes"),
            storages: words("supported_storages"),
            engines: words("supported_engines"),
        },
        narrowed: crate::config::narrowed(config, CAPABILITIES),
        concurrency: crate::config::concurrency(
            config,
            SCHEDULER,
            config.bool(SCHEDULER, "centralized_scheduler"),
        ),
        step_program: serve::step_program(&[])?,
        auth: auth_variables(config, std::env::vars()),
        disable_exec: config.bool(SCHEDULER, "disable_exec"),
        upload_limit: rate("upload_limit")?,
        download_limit: rate("download_limit")?,
        parallel_limit: usize::try_from(config.int(SCHEDULER, "parallel_resources")).unwrap_or(1),
        progress_interval: Duration::from_secs_f64(config.float(SCHEDULER, "progress_interval")),
        ceph: crate::config::ceph(config),
        log: serve::log_options(config),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scheduler.conf");
        std::fs::write(&file, text).unwrap();
        registry().load(LoadArgs::default().file(file)).unwrap()
    }

    #[test]
    fn old_and_new_spellings_are_one() {
        let new = loaded(
            "[scheduler]\nclient_id = a\nconcurrent_jobs = 3\n[service_auth]\nusername = u\nauth_url = http://k\n[capabilities]\nsupported_actions = backup\n",
        );
        let old = loaded(
            "[DEFAULT]\nclient_id = a\nconcurrent_jobs = 3\nos_username = u\nos_auth_url = http://k\nsupported_actions = backup\n",
        );
        for config in [&new, &old] {
            let options = executor_options(config, "p").unwrap();
            assert_eq!((options.client_id.as_str(), options.concurrency), ("a", 3));
            assert_eq!((options.capabilities.actions, options.link), (vec!["backup".to_owned()], Link::Http));
            let auth = auth_variables(config, std::iter::empty());
            assert_eq!((auth["OS_USERNAME"].as_str(), auth["OS_AUTH_URL"].as_str()), ("u", "http://k"));
        }
    }

    #[test]
    fn who_serves_all_projects_has_room_for_several() {
        let most = |text: &str| {
            executor_options(&loaded(&format!("[scheduler]\nclient_id = a\n{text}")), "p")
                .unwrap()
                .concurrency
        };
        assert_eq!(most(""), 1);
        assert_eq!(most("centralized_scheduler = true\n"), 4);
        assert_eq!(most("centralized_scheduler = true\nconcurrent_jobs = 2\n"), 2);
    }

    #[test]
    fn the_environment_fills_what_is_not_said() {
        let config = loaded("[service_auth]\nproject_name = mine\n[scheduler]\ninsecure = true\n");
        let pairs =
            [("OS_PROJECT_ID", "theirs"), ("OS_PASSWORD", "pw"), ("OS_REGION_NAME", ""), ("HOME", "/")];
        let auth = auth_variables(&config, pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let expected = [("OS_INSECURE", "true"), ("OS_PASSWORD", "pw"), ("OS_PROJECT_NAME", "mine")];
        assert_eq!(auth.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    }
}
