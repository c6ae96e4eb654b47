//! `freezer-manage`: what an operator does beside the running services.

use std::process::ExitCode;

fn main() -> ExitCode {
    match freezer_api::manage::run(std::env::args_os(), &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freezer-manage: {error}");
            freezer_api::manage::exit_code(error.as_ref())
        }
    }
}
