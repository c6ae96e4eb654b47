//! From the command line to a verb.

use super::exit::Failure;
use super::{config, daemon, flags, serve, verbs};
use crate::step_process;
use clap::{Arg, ArgAction, ArgMatches, Command};
use oslo_config::Config;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Configuration: scheduler.conf in ~/.freezer, ~, /etc/freezer or /etc, or --config-file; then the flags; OS_... variables for
the login. With an application credential the daemon holds no password and reaches one project only.

With --no-api the daemon needs no service: it runs the jobs of a folder (--conf) by their own schedules.

Exit status: 0 done, 1 not set up, 2 wrong flag, 65 no such verb, 69 not offered, 70 the verb failed, 73 name taken.";

/// Verbs of the daemon and what they do.
const DAEMON_VERBS: [(&str, &str); 5] = [
    ("start", "Start the daemon (with --no-daemon: stay in the foreground)"),
    ("stop", "End the daemon and wait for its end"),
    ("restart", "Stop, then start"),
    ("status", "Say whether the daemon runs"),
    (
        "reload",
        "Let the daemon read its configuration again: capabilities, limits, login of new steps, debug; with --no-api the job files",
    ),
];

/// With it the daemon's own process is started; its arguments come on standard input, where nobody sees a password.
pub(super) const CHILD: &str = "daemon-child";

fn definition() -> Command {
    let paths = |id: &'static str, long: &'static str, what: &'static str, help: &'static str| {
        let arg = Arg::new(id).long(long).value_name(what).action(ArgAction::Append).global(true);
        arg.value_parser(clap::value_parser!(PathBuf)).help(help)
    };
    let command = Command::new("freezer-scheduler")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The backup client of a machine: takes work from the backup service over HTTPS, and manages jobs.")
        .after_help(EXAMPLES)
        .allow_external_subcommands(true)
        .arg(paths("config_file", "config-file", "FILE", "Configuration file; the later one wins"))
        .arg(paths("config_dir", "config-dir", "DIR", "Folder of *.conf files"))
        .subcommand(Command::new("sample-config").about("Print a sample configuration file with every option"))
        .subcommand(Command::new("run-step").hide(true))
        .subcommand(Command::new(CHILD).hide(true));
    let command = flags::add(command);
    let command = DAEMON_VERBS
        .into_iter()
        .fold(command, |command, (verb, about)| command.subcommand(Command::new(verb).about(about)));
    verbs::add(command)
}

/// Runs the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = flags::with_dashes(arguments);
    let matches = match definition().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let outcome = match matches.subcommand_name() {
        Some("run-step") => return run_step(),
        Some("sample-config") => {
            print!("{}", config::registry().sample());
            Ok(())
        }
        Some(CHILD) => daemon::child(),
        Some(verb) => dispatch(verb, &matches, &arguments),
        None => Err(Failure::usage("no verb is given; see freezer-scheduler --help")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("freezer-scheduler: {}", failure.message);
            ExitCode::from(failure.status)
        }
    }
}

fn run_step() -> ExitCode {
    match runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(step_process::run());
            // A thread that is stuck in a read of the source must not keep the process.
            runtime.shutdown_background();
            code
        }
        Err(failure) => {
            eprintln!("freezer-scheduler: {}", failure.message);
            ExitCode::FAILURE
        }
    }
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::setup(format!("cannot start: {error}")))
}

/// The matches of a whole command line, for the daemon's own process.
pub(super) fn parsed(arguments: &[OsString]) -> Result<ArgMatches, Failure> {
    definition().try_get_matches_from(arguments).map_err(|error| Failure::setup(error.to_string()))
}

fn dispatch(verb: &str, matches: &ArgMatches, arguments: &[OsString]) -> Result<(), Failure> {
    let is_known = DAEMON_VERBS.iter().any(|(name, _)| *name == verb);
    if !is_known && !verbs::is_one(verb) {
        return Err(Failure::usage(format!("there is no verb {verb}; see freezer-scheduler --help")));
    }
    let config = config::load(matches).map_err(Failure::setup)?;
    if is_known {
        return of_daemon(verb, config, arguments);
    }
    if serve::is_alone(&config) {
        let text =
            format!("{verb} asks the service, which --no-api does without; see the job files and the log");
        return Err(Failure::unavailable(text));
    }
    verbs::run(verb, matches, &config)
}

fn of_daemon(verb: &str, config: Config, arguments: &[OsString]) -> Result<(), Failure> {
    let file = daemon::pid_path(&config);
    match verb {
        "stop" => daemon::stop(&file),
        "status" => daemon::status(&file),
        "reload" => daemon::reload(&file),
        "restart" => {
            daemon::stop(&file)?;
            daemon::start(config, &file, arguments)
        }
        _ => daemon::start(config, &file, arguments),
    }
}
