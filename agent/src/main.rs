fn main() -> std::process::ExitCode {
    freezer_agent::command::run(std::env::args_os(), &[])
}
