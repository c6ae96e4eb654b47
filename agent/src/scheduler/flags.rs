//! The command line of `freezer-scheduler`: upstream's flags in every spelling, today's and the oldest.
//!
//! `--<group>-<name>` and the old names without a group mean the same; dashes and underscores in them are alike.

use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;

/// One option of the configuration that has a flag.
pub struct Flag {
    pub group: &'static str,
    pub name: &'static str,
    /// Older names, with dashes.
    old: &'static [&'static str],
    short: Option<char>,
    is_switch: bool,
    help: &'static str,
}

const fn flag(
    group: &'static str,
    name: &'static str,
    old: &'static [&'static str],
    short: Option<char>,
    help: &'static str,
) -> Flag {
    Flag { group, name, old, short, is_switch: false, help }
}

const fn switch(
    group: &'static str,
    name: &'static str,
    old: &'static [&'static str],
    short: Option<char>,
    help: &'static str,
) -> Flag {
    Flag { group, name, old, short, is_switch: true, help }
}

const SCHEDULER: &str = "scheduler";
const AUTH: &str = "service_auth";
const CAPABILITIES: &str = "capabilities";
const DEFAULT: &str = "DEFAULT";

/// All of them.
pub const FLAGS: &[Flag] = &[
    flag(
        SCHEDULER,
        "client_id",
        &["client-id"],
        Some('c'),
        "Name of this client (default: <project id>_<host name>)",
    ),
    flag(
        SCHEDULER,
        "jobs_dir",
        &["conf", "jobs-dir"],
        Some('f'),
        "Folder of job files, for job-download, job-upload and --no-api; for --no-api also one file",
    ),
    flag(SCHEDULER, "interval", &["interval"], Some('i'), "Accepted for old scripts; work arrives at once"),
    flag(SCHEDULER, "concurrent_jobs", &["concurrent-jobs"], None, "Actions that run at the same time"),
    flag(SCHEDULER, "pid_file", &["pid-file"], None, "File that holds the daemon's process id"),
    flag(SCHEDULER, "state_dir", &["state-dir"], None, "Folder of what was promised and not yet reported"),
    switch(SCHEDULER, "no_daemon", &["no-daemon"], None, "Stay in the foreground"),
    switch(
        SCHEDULER,
        "no_api",
        &["no-api"],
        Some('n'),
        "Run the job files by their own schedules, without the service",
    ),
    switch(SCHEDULER, "insecure", &["insecure"], None, "Do not verify TLS certificates"),
    switch(SCHEDULER, "disable_exec", &["disable-exec"], None, "Refuse action exec"),
    switch(SCHEDULER, "enable_v1_api", &["enable-v1-api"], None, "Accepted for old scripts; means nothing"),
    switch(
        SCHEDULER,
        "centralized_scheduler",
        &["centralized-scheduler"],
        None,
        "Serve all projects, each under its own trust",
    ),
    flag(AUTH, "username", &["os-username"], None, "User"),
    flag(AUTH, "password", &["os-password"], None, "Password; better in the file or in OS_PASSWORD"),
    flag(AUTH, "user_domain_id", &["os-user-domain-id"], None, "Domain of the user"),
    flag(AUTH, "user_domain_name", &["os-user-domain-name"], None, "Domain of the user"),
    flag(AUTH, "project_id", &["os-project-id"], None, "Project"),
    flag(AUTH, "project_name", &["os-project-name"], None, "Project by name"),
    flag(AUTH, "project_domain_id", &["os-project-domain-id"], None, "Domain of the project"),
    flag(AUTH, "project_domain_name", &["os-project-domain-name"], None, "Domain of the project"),
    flag(
        AUTH,
        "application_credential_id",
        &["os-application-credential-id"],
        None,
        "Application credential",
    ),
    flag(
        AUTH,
        "application_credential_secret",
        &["os-application-credential-secret"],
        None,
        "Its secret; better in the file",
    ),
    flag(AUTH, "auth_type", &["os-auth-type"], None, "password, v3applicationcredential or token"),
    flag(AUTH, "auth_url", &["os-auth-url"], None, "Keystone"),
    flag(
        AUTH,
        "backup_url",
        &["os-backup-url"],
        None,
        "The backup service, instead of the catalogue's address",
    ),
    flag(AUTH, "region_name", &["os-region-name"], None, "Region"),
    flag(AUTH, "token", &["os-token"], None, "A token instead of a password"),
    flag(AUTH, "endpoint_type", &["os-endpoint-type"], None, "public, internal or admin"),
    flag(AUTH, "cert", &["os-cert"], None, "Client certificate"),
    flag(AUTH, "cacert", &["os-cacert"], None, "File with trusted certificates"),
    flag(CAPABILITIES, "supported_actions", &["supported-actions"], None, "What jobs may ask of this agent"),
    flag(CAPABILITIES, "supported_modes", &["supported-modes"], None, "Modes jobs may ask for"),
    flag(CAPABILITIES, "supported_storages", &["supported-storages"], None, "Storages jobs may ask for"),
    flag(CAPABILITIES, "supported_engines", &["supported-engines"], None, "Engines jobs may ask for"),
    switch(DEFAULT, "debug", &[], Some('d'), "Log at DEBUG"),
    flag(DEFAULT, "log_file", &[], Some('l'), "Log to this file"),
    flag(DEFAULT, "log_dir", &[], None, "Folder of the log file"),
    switch(DEFAULT, "use_syslog", &[], None, "Log to syslog"),
];

impl Flag {
    fn id(&self) -> String {
        format!("{}.{}", self.group, self.name)
    }

    fn long(&self) -> String {
        let name = if self.group == DEFAULT {
            self.name.to_owned()
        } else {
            format!("{}-{}", self.group, self.name)
        };
        name.replace('_', "-")
    }

    fn arg(&self) -> Arg {
        let mut arg =
            Arg::new(self.id()).long(self.long()).help(self.help).global(true).help_heading(self.group);
        if let Some((first, others)) = self.old.split_first() {
            arg = arg.visible_alias(*first).aliases(others);
        }
        if let Some(letter) = self.short {
            arg = arg.short(letter);
        }
        if self.is_switch {
            return arg.action(ArgAction::SetTrue).overrides_with(self.off_id());
        }
        arg.value_name("VALUE").action(ArgAction::Set).allow_hyphen_values(true)
    }

    fn off_id(&self) -> String {
        format!("{}.off", self.id())
    }

    /// `--<group>-no<name>`, as oslo.config has it for each switch.
    fn off(&self) -> Arg {
        let name = self.name.replace('_', "-");
        let long =
            if self.group == DEFAULT { format!("no{name}") } else { format!("{}-no{name}", self.group) };
        let aliases = self.old.iter().map(|old| format!("no{old}"));
        let arg = Arg::new(self.off_id()).long(long).aliases(aliases).global(true).hide(true);
        arg.action(ArgAction::SetTrue).overrides_with(self.id())
    }
}

/// Adds all flags. As upstream's parser does, they are known by their beginnings, and of what is given twice the last counts.
pub fn add(command: Command) -> Command {
    let verbose =
        Arg::new("verbose").long("verbose").short('v').global(true).action(ArgAction::Count).hide(true);
    let command = command.infer_long_args(true).args_override_self(true).arg(verbose);
    FLAGS.iter().fold(command, |command, flag| {
        let off = flag.is_switch.then(|| flag.off());
        command.arg(flag.arg()).args(off)
    })
}

/// What the command line set: group, name, text.
pub fn given(matches: &ArgMatches) -> Vec<(&'static str, &'static str, String)> {
    let set = FLAGS.iter().filter_map(|flag| {
        let text = if flag.is_switch {
            let (is_on, is_off) = (matches.get_flag(&flag.id()), matches.get_flag(&flag.off_id()));
            (is_on || is_off).then(|| is_on.to_string())?
        } else {
            matches.get_one::<String>(&flag.id())?.clone()
        };
        Some((flag.group, flag.name, text))
    });
    set.collect()
}

/// Arguments with the underscores of flags made dashes, up to `--`.
pub fn with_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut is_over = false;
    let dashed = |argument: OsString| {
        is_over |= argument == "--";
        let Some(text) = argument.to_str().filter(|text| text.starts_with("--") && !is_over) else {
            return argument;
        };
        let (flag, value) = text.split_once('=').map_or((text, None), |(flag, value)| (flag, Some(value)));
        let flag = flag.replace('_', "-");
        OsString::from(value.map_or(flag.clone(), |value| format!("{flag}={value}")))
    };
    arguments.into_iter().map(dashed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_one_option() {
        let parse = |words: &[&str]| {
            let words = std::iter::once("freezer-scheduler").chain(words.iter().copied()).map(OsString::from);
            let command = add(Command::new("freezer-scheduler")).subcommand(Command::new("start"));
            given(&command.try_get_matches_from(with_dashes(words)).unwrap())
        };
        let client = vec![("scheduler", "client_id", "a_b".to_owned())];
        for words in [
            &["-c", "a_b", "start"] as &[&str],
            &["--client-id", "a_b", "start"],
            &["start", "--client_id=a_b"],
            &["--scheduler-client_id", "a_b", "start"],
            &["start", "--scheduler-client-id", "a_b"],
        ] {
            assert_eq!(parse(words), client, "{words:?}");
        }
        let tempest = parse(&[
            "--debug",
            "--scheduler-no-daemon",
            "-c",
            "ID",
            "-f",
            "DIR",
            "--os-endpoint-type",
            "publicURL",
            "--os-cacert",
            "F",
            "--os-project-domain-name",
            "D",
            "--os-user-domain-name",
            "D",
            "--capabilities-supported-actions",
            "restore",
            "start",
        ]);
        assert_eq!(tempest.len(), 9);
        assert!(tempest.contains(&("scheduler", "no_daemon", "true".to_owned())));
        let central = |text: &str| vec![("scheduler", "centralized_scheduler", text.to_owned())];
        assert_eq!(parse(&["--scheduler-nocentralized-scheduler", "start"]), central("false"));
        assert_eq!(parse(&["--nocentralized_scheduler", "--centralized-scheduler"]), central("true"));
        let twice = &["--os-project-name", "one", "--service_auth-project-name", "two"];
        assert_eq!(parse(twice), [("service_auth", "project_name", "two".to_owned())]);
        assert_eq!(parse(&["--nodebug"]), [("DEFAULT", "debug", "false".to_owned())]);
        assert_eq!(parse(&["--service_auth-project-name", "p"]), parse(&["--os-project-name", "p"]));
        assert_eq!(parse(&["--concurrent_jobs", "3"]), [("scheduler", "concurrent_jobs", "3".to_owned())]);
    }
}
