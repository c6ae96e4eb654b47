//! The command line of `freezer-agent`.

use crate::options::command_line;
use crate::{one_shot, serve, step_process};
use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const ABOUT: &str =
    "Backs up and restores. With --action it does one thing and ends; `serve` is the daemon of a host.";
const EXAMPLES: &str = "\
Examples:
  freezer-agent --action backup --storage local --container /srv/backups \\
      --path-to-backup /etc --backup-name etc --incremental --max-level 6
  freezer-agent --action restore --storage local --container /srv/backups \\
      --backup-name etc --restore-abs-path /tmp/etc
  freezer-agent --config-file /etc/freezer/freezer-agent.conf serve

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but not everything could be read, 143 aborted.";

pub fn definition() -> Command {
    let files = Arg::new("config_file")
        .long("config-file")
        .value_name("FILE")
        .action(ArgAction::Append)
        .global(true)
        .value_parser(clap::value_parser!(PathBuf))
        .help("Configuration file; may be given several times, the later one wins");
    let job = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Job file: INI as upstream's scheduler writes it; the command line wins over it");
    let command = Command::new("freezer-agent")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        // As upstream's parser does: flags by their beginnings, and of what is given twice the last.
        .infer_long_args(true)
        .args_override_self(true)
        .arg(files)
        .arg(job)
        .subcommand(Command::new("serve").about("Take work from the conductor until stopped"))
        .subcommand(
            Command::new("sample-config").about("Print a sample configuration file with every option"),
        )
        .subcommand(Command::new("run-step").hide(true).about("Do the step given on standard input"));
    command_line::flags(command)
}

/// Runs the program. `step_arguments` come between this executable and `run-step` when the daemon starts
/// its children (the standalone program is several programs in one).
pub fn run(arguments: impl IntoIterator<Item = OsString>, step_arguments: &[&str]) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.len() <= 1 {
        let _ = definition().print_help();
        return ExitCode::FAILURE;
    }
    let matches = match definition().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("freezer-agent: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        match matches.subcommand_name() {
            Some("serve") => serve::run(&matches, step_arguments).await,
            Some("sample-config") => {
                print!("{}", crate::config::registry().sample());
                ExitCode::SUCCESS
            }
            Some(_) => step_process::run().await,
            None => one_shot::run(&matches).await,
        }
    });
    // A thread that is stuck in a read of the source must not keep the process.
    runtime.shutdown_background();
    code
}
