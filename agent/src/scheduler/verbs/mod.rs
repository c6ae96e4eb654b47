//! The verbs that are calls of the REST API, as freezer-scheduler had them up to its third version.

mod backups;
mod clients;
mod jobs;
mod service;
mod sessions;

use super::command::runtime;
use super::exit::Failure;
use clap::{Arg, ArgAction, ArgMatches, Command};
use oslo_config::Config;
use service::Service;

/// Verb and what it does.
const VERBS: [(&str, &str); 19] = [
    ("register", "Register this client"),
    ("client-list", "List clients"),
    ("job-create", "Create a job from --file"),
    ("job-delete", "Delete jobs (-j)"),
    ("job-get", "Show a job (-j), or save it to --file"),
    ("job-list", "List this client's jobs (--all: everybody's, -a: those that are not completed)"),
    ("job-start", "Start jobs (-j)"),
    ("job-stop", "Stop jobs (-j)"),
    ("job-abort", "Abort jobs (-j)"),
    ("job-download", "Save this client's jobs as files in --conf DIR"),
    ("job-upload", "Create a job from every *.conf of --conf DIR"),
    ("session-create", "Create a session from --file"),
    ("session-get", "Show a session (-s), or save it to --file"),
    ("session-list", "List sessions"),
    ("session-delete", "Delete a session (-s)"),
    ("session-add-job", "Put jobs (-j) into a session (-s)"),
    ("session-remove-job", "Take jobs (-j) out of a session (-s)"),
    ("session-list-job", "List the jobs of a session (-s)"),
    ("backup-list", "List this host's backups (--all: of all hosts, --long: more columns)"),
];

/// Adds them and their options, which may stand before or behind the verb.
pub fn add(command: Command) -> Command {
    let text = |id: &'static str, value: &'static str, help: &'static str| {
        Arg::new(id).long(id).value_name(value).global(true).help(help).help_heading("verbs")
    };
    let switch = |id: &'static str, help: &'static str| {
        Arg::new(id).long(id).action(ArgAction::SetTrue).global(true).help(help).help_heading("verbs")
    };
    let command = command
        .arg(text("job", "ID[,ID…]", "Jobs").short('j'))
        .arg(text("session", "ID", "Session").short('s'))
        .arg(text("file", "FILE", "JSON document to read, or to write"))
        .arg(switch("active-only", "Only jobs that are not completed").short('a'))
        .arg(switch("all", "Of every client"))
        .arg(switch("long", "More columns"));
    VERBS.iter().fold(command, |command, (verb, about)| command.subcommand(Command::new(*verb).about(*about)))
}

pub fn is_one(verb: &str) -> bool {
    VERBS.iter().any(|(name, _)| *name == verb)
}

/// What the command line says to a verb.
pub(super) struct Said<'a> {
    verb: &'a str,
    matches: &'a ArgMatches,
}

impl Said<'_> {
    fn text(&self, id: &str) -> Option<&str> {
        self.matches.get_one::<String>(id).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn flag(&self, id: &str) -> bool {
        self.matches.get_flag(id)
    }

    fn needed(&self, id: &str, flag: &str) -> Result<&str, Failure> {
        self.text(id).ok_or_else(|| Failure::command(format!("{} needs {flag}", self.verb)))
    }

    fn jobs(&self) -> Result<Vec<&str>, Failure> {
        let ids = self.needed("job", "-j ID[,ID…]")?;
        Ok(ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect())
    }

    fn job(&self) -> Result<&str, Failure> {
        match self.jobs()?.as_slice() {
            [one] => Ok(one),
            _ => Err(Failure::command(format!("{} takes one job", self.verb))),
        }
    }

    fn session(&self) -> Result<&str, Failure> {
        self.needed("session", "-s ID")
    }
}

/// Does one.
pub fn run(verb: &str, matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let said = Said { verb, matches };
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let service = Service::connect(config).await?;
        perform(&service, &said, config).await
    });
    runtime.shutdown_background();
    outcome
}

async fn perform(service: &Service, said: &Said<'_>, config: &Config) -> Result<(), Failure> {
    match said.verb {
        "register" => clients::register(service, config).await,
        "client-list" => clients::list(service).await,
        "job-create" => jobs::create(service, said).await,
        "job-delete" => jobs::delete(service, said).await,
        "job-get" => jobs::get(service, said).await,
        "job-list" => jobs::list(service, said).await,
        "job-start" => jobs::event(service, said, "start").await,
        "job-stop" => jobs::event(service, said, "stop").await,
        "job-abort" => jobs::event(service, said, "abort").await,
        "job-download" => jobs::download(service, said, config).await,
        "job-upload" => jobs::upload(service, config).await,
        "session-create" => sessions::create(service, said).await,
        "session-get" => sessions::get(service, said).await,
        "session-list" => sessions::list(service).await,
        "session-delete" => sessions::delete(service, said).await,
        "session-add-job" => sessions::add_job(service, said).await,
        "session-remove-job" => sessions::remove_job(service, said).await,
        "session-list-job" => sessions::list_job(service, said).await,
        "backup-list" => backups::list(service, said).await,
        other => Err(Failure::usage(format!("there is no verb {other}"))),
    }
}
