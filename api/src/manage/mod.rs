//! The commands of `freezer-manage`. They print to where the caller says, so that tests can read it.

mod database;
mod import;

use crate::{options, policy};
use clap::{Parser, Subcommand};
use oslo_config::LoadArgs;
use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Manages Freezer's database and sample files.
#[derive(Parser)]
#[command(
    name = "freezer-manage",
    version,
    about,
    after_help = "Configuration: --config-file FILE and --config-dir DIR, \
    anywhere on the line; without any, freezer.conf and freezer-manage.conf in ~/.freezer, ~, /etc/freezer, /etc."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The database: schema and old rows
    #[command(subcommand)]
    Db(database::Command),
    /// Take over the database of Freezer in Python, named by [import] connection or FREEZER_IMPORT_CONNECTION
    Import(import::Command),
    /// Configuration files
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Policy files
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print a commented configuration file with every option
    Sample {
        /// Of which program
        #[arg(value_parser = ["api"], default_value = "api")]
        program: String,
    },
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Print a commented policy file with every rule
    Sample,
}

/// How the program ends after an error: 3 when an import took over some rows and not others.
pub fn exit_code(error: &(dyn Error + 'static)) -> ExitCode {
    if error.is::<import::Partial>() { ExitCode::from(3) } else { ExitCode::FAILURE }
}

/// Runs one command line, program name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let (load, rest) = LoadArgs::from_process().take_from(arguments)?;
    match Arguments::try_parse_from(rest) {
        Ok(arguments) => obey(arguments.command, load, out),
        // Help and version are no failures; clap knows where to print and how to exit.
        Err(error) => error.exit(),
    }
}

fn obey(command: Command, load: LoadArgs, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Db(command) => {
            let config = options::registry("freezer-manage").load(load)?;
            database::run(command, &freezer_database::DatabaseOptions::from_config(&config), out)
        }
        Command::Import(command) => {
            let config = options::registry("freezer-manage").load(load)?;
            import::run(&command, &config, out)
        }
        Command::Config(ConfigCommand::Sample { program }) => {
            Ok(write!(out, "{}", options::registry(&format!("freezer-{program}")).sample())?)
        }
        Command::Policy(PolicyCommand::Sample) => Ok(write!(out, "{}", policy::sample())?),
    }
}
